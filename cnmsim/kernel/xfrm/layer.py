"""The IPsec layer of the packet path: lookup of policies and states, encryption and decryption.

Source: net/xfrm/xfrm_{policy,input,output}.c and net/ipv4/xfrm4_{input,output}.c of Linux 6.1. A locally generated
packet is matched against the policies with the mark that OUTPUT set; it passes POSTROUTING, is encrypted, and passes
OUTPUT and POSTROUTING again as ESP. A received packet passes INPUT as ESP, is decrypted, and passes PREROUTING and
INPUT as the inner packet.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from cnmsim.kernel.address import Address, format_ip
from cnmsim.kernel.checksum import update
from cnmsim.kernel.events import DropReason, Step
from cnmsim.kernel.files import GeneratedFile
from cnmsim.kernel.netfilter.hooks import Hook
from cnmsim.kernel.packet import Protocol
from cnmsim.kernel.skbuff import Packet
from cnmsim.kernel.xfrm.esp import HEADER_LENGTH, IntegrityError, header_of
from cnmsim.kernel.xfrm.policy import Mark, Selector, Template, XfrmPolicy
from cnmsim.kernel.xfrm.state import XfrmState

if TYPE_CHECKING:
    from cnmsim.kernel.namespace import NetworkNamespace

#: The counters of /proc/net/xfrm_stat, in its order.
COUNTERS = (
    "XfrmInError", "XfrmInBufferError", "XfrmInHdrError", "XfrmInNoStates", "XfrmInStateProtoError",
    "XfrmInStateModeError", "XfrmInStateSeqError", "XfrmInStateExpired", "XfrmInStateMismatch", "XfrmInStateInvalid",
    "XfrmInTmplMismatch", "XfrmInNoPols", "XfrmInPolBlock", "XfrmInPolError", "XfrmOutError", "XfrmOutBundleGenError",
    "XfrmOutBundleCheckError", "XfrmOutNoStates", "XfrmOutStateProtoError", "XfrmOutStateModeError",
    "XfrmOutStateSeqError", "XfrmOutStateExpired", "XfrmOutPolBlock", "XfrmOutPolDead", "XfrmOutPolError",
    "XfrmFwdHdrError", "XfrmOutStateInvalid", "XfrmAcquireError",
)  # fmt: skip

_DIRECTIONS = {"in": 0, "out": 1, "fwd": 2}


def xfrm_of(namespace: NetworkNamespace) -> Xfrm:
    """Return the IPsec layer of a namespace, creating it on first use.

    A namespace processes ESP packets only after the first use.
    """
    if namespace.xfrm is None:
        namespace.xfrm = Xfrm(namespace)
        machine = namespace.machine
        if machine is not None and namespace is machine.root:
            machine.files.mount("/proc/net/xfrm_stat", GeneratedFile(namespace.xfrm.statistics))
    return namespace.xfrm


class Xfrm:
    """States and policies of one namespace. `counters` are the counters of /proc/net/xfrm_stat.

    `removals` is incremented whenever a state or a policy may have been removed.
    """

    __slots__ = ("_namespace", "_next_index", "_random", "counters", "policies", "removals", "states")

    def __init__(self, namespace: NetworkNamespace) -> None:
        self._namespace = namespace
        self._random = namespace.clock.stream(f"{namespace.name}/xfrm")
        self._next_index = 0
        self.removals = 0
        #: Newest first, as the kernel lists them.
        self.states: list[XfrmState] = []
        #: Newest first.
        self.policies: list[XfrmPolicy] = []
        self.counters = dict.fromkeys(COUNTERS, 0)
        namespace.register_protocol(Protocol.ESP, self.input)

    def statistics(self) -> str:
        """Return the counters as /proc/net/xfrm_stat shows them."""
        return "".join(f"{name:<24}\t{value}\n" for name, value in self.counters.items())

    # --- configuration

    def add_state(self, state: XfrmState, *, update: bool = False) -> None:
        """Add a state. With `update`, replace the existing state that has the same identity.

        Raises `OSError`: EEXIST if it exists and `update` is false, ESRCH if there is none to update.
        """
        old = next((other for other in self.states if other.identity == state.identity), None)
        if update and old is None:
            raise OSError(errno.ESRCH, "No such process")
        if not update and old is not None:
            raise OSError(errno.EEXIST, "File exists")
        state.added_ns = self._namespace.clock.now_ns
        state.salt = self._random.randbytes(8)
        if old is None:
            self.states.insert(0, state)
        else:
            self.states[self.states.index(old)] = state

    def remove_state(self, dst: Address, spi: int, mark: Mark | None = None) -> None:
        """Delete the state with the destination `dst`, this SPI and this mark (`None`: the default mark).

        Raises `OSError(ESRCH)` if it does not exist.
        """
        self._remove_state(self.get_state(dst, spi, mark))

    def _remove_state(self, state: XfrmState) -> None:
        self.removals += 1
        self.states.remove(state)

    def get_state(self, dst: Address, spi: int, mark: Mark | None = None) -> XfrmState:
        """Return the state with the destination `dst`, this SPI and this mark (`None`: the default mark).

        Raises `OSError(ESRCH)` if it does not exist.
        """
        for state in self.states:
            if state.identity == (dst, spi, mark or Mark()):
                return state
        raise OSError(errno.ESRCH, "No such process")

    def flush_states(self) -> None:
        """Delete all states."""
        self.removals += 1
        self.states.clear()

    def add_policy(self, policy: XfrmPolicy, *, update: bool = False) -> None:
        """Add a policy. With `update`, it replaces an existing policy that has the same identity.

        Raises `OSError(EEXIST)` if it exists and `update` is false.
        """
        old = next((other for other in self.policies if other.identity == policy.identity), None)
        if old is not None:
            if not update:
                raise OSError(errno.EEXIST, "File exists")
            self.policies.remove(old)
        policy.added_ns = self._namespace.clock.now_ns
        if old is not None:
            policy.index = old.index
        else:
            policy.index = self._next_index | _DIRECTIONS[policy.direction] or 8
            self._next_index += 8
        self.policies.insert(0, policy)
        self._namespace.topology_changed()

    def remove_policy(self, direction: str, selector: Selector, mark: Mark | None = None) -> None:
        """Delete the policy with this direction, selector and mark (`None`: the default mark).

        Raises `OSError(ENOENT)` if it does not exist.
        """
        self.policies.remove(self.get_policy(direction, selector, mark))
        self.removals += 1
        self._namespace.topology_changed()

    def get_policy(self, direction: str, selector: Selector, mark: Mark | None = None) -> XfrmPolicy:
        """Return the policy with this direction, selector and mark (`None`: the default mark).

        Raises `OSError(ENOENT)` if it does not exist.
        """
        for policy in self.policies:
            if policy.identity == (direction, selector, mark or Mark()):
                return policy
        raise OSError(errno.ENOENT, "No such file or directory")

    def flush_policies(self) -> None:
        """Delete all policies."""
        self.removals += 1
        self.policies.clear()
        self._namespace.topology_changed()

    def policy_for(self, direction: str, packet: Packet) -> XfrmPolicy | None:
        """Return the policy that applies to a packet in `direction`: `out`, `in` or `fwd`.

        Return `None` if no policy matches. If several match, the one with the lowest priority value applies; of those
        with the same value, the oldest.
        """
        best: XfrmPolicy | None = None
        for policy in self.policies:  # newest first
            if (
                policy.direction == direction
                and (best is None or policy.priority <= best.priority)
                and policy.matches(packet)
            ):
                best = policy
        return best

    # --- out

    def bundle(self, packet: Packet) -> tuple[XfrmState, ...]:
        """Return the states that would encrypt an outgoing packet, in order; () if no policy requires protection."""
        policy = self.policy_for("out", packet) if packet.protocol != Protocol.ESP else None
        if policy is None or policy.action != "allow":
            return ()
        return tuple(
            state for template in policy.templates if (state := self._state_for(template, packet)) is not None
        )

    def _state_for(self, template: Template, packet: Packet) -> XfrmState | None:
        """Return the newest state that matches a policy's template and the packet (xfrm_state_find).

        Return `None` if no state matches.
        """
        src = template.src if any(template.src) else packet.src
        dst = template.dst if any(template.dst) else packet.dst
        for state in self.states:
            if (
                state.dst == dst
                and state.src == src
                and state.reqid == template.reqid
                and (not template.spi or state.spi == template.spi)
                and state.mark.matches(packet.mark)
                and (state.selector is None or state.selector.matches(packet))
            ):
                return state
        return None

    def output(self, packet: Packet) -> bool:
        """Encrypt and send an outgoing packet. Return False, and do nothing, if no policy requires encryption.

        Return True if the packet was sent or dropped. Raises `OSError` in the sending program: EPERM if a policy
        blocks the packet, EREMOTE if there is no matching state.
        """
        policy = self.policy_for("out", packet)
        if policy is None:
            return False
        if policy.action == "block":
            self._drop(packet, "XfrmOutPolBlock", DropReason.POLICY_BLOCK, decision=_policy_text(policy))
            raise OSError(errno.EPERM, "Operation not permitted")
        if not policy.templates:
            return False
        namespace = self._namespace
        states: list[XfrmState] = []
        for template in policy.templates:
            state = self._state_for(template, packet)
            if state is None:
                self._drop(packet, "XfrmOutNoStates", DropReason.NO_STATE, decision=_policy_text(policy))
                raise OSError(errno.EREMOTE, "Object is remote")
            states.append(state)
        if namespace.netfilter.is_active and not namespace.netfilter.run(Hook.POSTROUTING, packet):
            return True
        for state in states:
            encrypted = self._encrypt(packet, state)
            if encrypted is None:
                return True
            packet = encrypted
        netfilter = namespace.netfilter
        if not netfilter.is_active or (
            netfilter.run(Hook.OUTPUT, packet) and netfilter.run(Hook.POSTROUTING, packet)
        ):
            namespace.ip.finish_output(packet)
        return True

    def _encrypt(self, packet: Packet, state: XfrmState) -> Packet | None:
        namespace = self._namespace
        if state.is_expired(namespace.clock.now_ns):
            self._remove_state(state)
            self._drop(packet, "XfrmOutStateExpired", DropReason.STATE_EXPIRED, decision=_state_text(state))
            return None
        try:
            payload = state.encrypt(packet.payload, packet.protocol)
            state.last_used_s = namespace.clock.unix_s
        except OverflowError as error:
            self._drop(packet, "XfrmOutStateSeqError", DropReason.SEQUENCE, str(error), decision=_state_text(state))
            return None
        data = _with_payload(packet, payload, Protocol.ESP)
        encrypted = Packet.outgoing(data, Protocol.ESP, packet.src, packet.dst, packet.ttl)
        encrypted.outdev, encrypted.nexthop, encrypted.mark = packet.outdev, packet.nexthop, packet.mark
        encrypted.frag_max_size = packet.frag_max_size
        if not encrypted.frag_max_size:
            longest = namespace.path_mtu.to(packet.dst)
            if len(data) > longest:
                encrypted.frag_max_size = longest
        if namespace.clock.context is not None:
            what = f"encrypted as ESP 0x{state.spi:08x}, number {state.sequence_out}"
            namespace.report(Step.ENCAPSULATED, what, encrypted, decision=_state_text(state))
        return encrypted

    # --- in

    def input(self, packet: Packet) -> None:
        """Process an ESP packet for this namespace (xfrm_input)."""
        message = packet.payload
        if len(message) < HEADER_LENGTH:
            self._drop(packet, "XfrmInHdrError", DropReason.MALFORMED, "truncated ESP header")
            return
        spi, sequence = header_of(message)
        state = next(
            (
                candidate
                for candidate in self.states
                if candidate.spi == spi and candidate.dst == packet.dst and candidate.mark.matches(packet.mark)
            ),
            None,
        )
        if state is None:
            what = f"no state for SPI 0x{spi:08x} to {format_ip(packet.dst)}"
            self._drop(packet, "XfrmInNoStates", DropReason.NO_STATE, what)
            return
        if state.is_expired(self._namespace.clock.now_ns):
            self._remove_state(state)
            self._drop(packet, "XfrmInStateExpired", DropReason.STATE_EXPIRED, decision=_state_text(state))
            return
        if state.is_replay(sequence):
            state.replay_failures += 1
            what = f"sequence number {sequence} was received before, or is too old"
            self._drop(packet, "XfrmInStateSeqError", DropReason.SEQUENCE, what, decision=_state_text(state))
            return
        try:
            payload, protocol = state.decrypt(message)
        except IntegrityError:
            self._drop(packet, "XfrmInStateProtoError", DropReason.INTEGRITY, decision=_state_text(state))
            return
        except ValueError as error:
            self._drop(packet, "XfrmInStateProtoError", DropReason.MALFORMED, str(error), decision=_state_text(state))
            return
        state.record_sequence(sequence)
        state.last_used_s = self._namespace.clock.unix_s
        self._receive_inner(packet, payload, protocol, state, sequence)

    def _receive_inner(self, packet: Packet, payload: bytes, protocol: int, state: XfrmState, sequence: int) -> None:
        namespace = self._namespace
        decrypted = Packet(_with_payload(packet, payload, protocol), packet.indev)
        decrypted.mark = packet.mark
        decrypted.secpath = (*packet.secpath, state)
        if namespace.clock.context is not None:
            what = f"decrypted ESP 0x{state.spi:08x}, number {sequence}"
            namespace.report(Step.DECAPSULATED, what, decrypted, decision=_state_text(state))
        namespace.ip.input(decrypted)

    def check_input_policy(self, packet: Packet) -> bool:
        """Return True if the policies accept a packet for this namespace.

        Otherwise drop the packet and return False.
        """
        if packet.protocol == Protocol.ESP:
            return True
        policy = self.policy_for("in", packet)
        if policy is None:
            return True
        if policy.action == "block":
            self._drop(packet, "XfrmInPolBlock", DropReason.POLICY_BLOCK, decision=_policy_text(policy))
            return False
        if len(packet.secpath) < len(policy.templates) or not all(
            _satisfies(state, template) for state, template in zip(packet.secpath, policy.templates, strict=False)
        ):
            self._drop(packet, "XfrmInTmplMismatch", DropReason.POLICY_MISMATCH, decision=_policy_text(policy))
            return False
        return True

    def _drop(self, packet: Packet, counter: str, reason: DropReason, what: str = "", *, decision: str = "") -> None:
        self.counters[counter] += 1
        self._namespace.drop(packet, reason, what or f"{reason.value} ({counter})", decision=decision)


def _satisfies(state: XfrmState, template: Template) -> bool:
    return (not template.spi or state.spi == template.spi) and (not template.reqid or state.reqid == template.reqid)


def _with_payload(packet: Packet, payload: bytes, protocol: int) -> bytes:
    """Return the packet as bytes, with its payload and protocol number replaced."""
    data = packet.data
    if packet.family == 6:
        return (
            data[:4]
            + (packet.l4 - 40 + len(payload)).to_bytes(2)
            + bytes((protocol,))
            + data[7 : packet.l4]
            + payload
        )
    total = (packet.l4 + len(payload)).to_bytes(2)
    before, after = data[2:4] + data[8:10], total + data[8:9] + bytes((protocol,))
    sum_ = update(int.from_bytes(data[10:12]), before, after)
    return data[:2] + total + data[4:8] + after[2:] + sum_.to_bytes(2) + data[12 : packet.l4] + payload


def _state_text(state: XfrmState) -> str:
    return f"state {format_ip(state.src)} > {format_ip(state.dst)} esp spi 0x{state.spi:08x} reqid {state.reqid}"


def _policy_text(policy: XfrmPolicy) -> str:
    """Format a policy as `ip xfrm policy` does, but on one line."""
    return " ".join(str(policy).split())

"""Encryption of overlay networks: IPsec between tunnel endpoints, for the VNIs of encrypted networks only.

There are three keys. Packets are encrypted with the primary key and can be decrypted with any of them, so that a key
rotation loses no packet. Source: moby `daemon/libnetwork/drivers/overlay/{encryption,bpf}.go` (docker-v29.7.2),
`libnetwork/drivers/overlay` (v26.1.5, v28.5.2).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from attrs import define, field, frozen

from cnmsim.errors import InvalidParameter
from cnmsim.kernel.address import Address, Prefix, format_ip
from cnmsim.kernel.errno_text import go_strerror
from cnmsim.kernel.sockets.base import mapped
from cnmsim.kernel.xfrm import Mark, Selector, Template, XfrmPolicy, XfrmState, xfrm_of
from cnmsim.libnetwork.drivers.overlay.encryption_rules import MARK, EncryptionRules

if TYPE_CHECKING:
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.xfrm import Xfrm

_T = TypeVar("_T")

#: The mark that this driver's IPsec states and policies have, and that packets to be encrypted get.
_SECURITY_MARK = Mark(MARK, 0xFFFFFFFF)
_ICV_BITS = 64
_UDP = 17
_FNV_OFFSET = 2166136261
_FNV_PRIME = 16777619


def build_spi(src: Address, dst: Address, tag: int) -> int:
    """Return the SPI of packets from the tunnel endpoint `src` to `dst`.

    It is an FNV-1a hash of both addresses and the key's tag.
    """
    value = _FNV_OFFSET
    for byte in mapped(src) + (tag & 0xFFFFFFFF).to_bytes(4) + mapped(dst):
        value = (value ^ byte) * _FNV_PRIME & 0xFFFFFFFF
    return value


@frozen
class Key:
    """An encryption key. `tag` is the lower half (32 bits) of the key's Lamport time."""

    value: bytes = field(repr=False)
    tag: int


@frozen
class Spis:
    """The two SPIs of one key: `forward` for packets to another node, `reverse` for packets from it."""

    forward: int
    reverse: int


@define(eq=False)
class _Peer:
    spis: list[Spis]
    count: int = 0
    #: The settings in effect when the states and the policy of this peer were last set up; `()` if that failed.
    configured_with: tuple[object, ...] = ()


@define(eq=False)
class Encryption:
    """The IPsec configuration of one host's overlay networks.

    `bind` is the local address of the IPsec states, `vtep` the address of this host's tunnel endpoint, `port` the UDP
    port of the tunnels. If `counts_peers` is True (29.x), the states towards another host are deleted together with
    the last endpoint there; in earlier releases they are kept until the keys change.
    """

    namespace: NetworkNamespace
    log: Callable[[str], None]
    counts_peers: bool
    rules: EncryptionRules
    bind: Address = b""
    vtep: Address = b""
    port: int = 4789
    keys: list[Key] = field(factory=list, init=False)
    _peers: dict[Address, _Peer] = field(factory=dict, init=False)

    @property
    def _xfrm(self) -> Xfrm:
        return xfrm_of(self.namespace)

    # --- rules

    @property
    def _family(self) -> int:
        return 6 if len(self.vtep) == 16 else 4

    def program_rules(self, vni: int) -> None:
        """Install the rules that mark a VNI's outgoing packets for encryption, and drop its incoming cleartext.

        Raises `SystemFault` if a rule cannot be installed.
        """
        self.rules.program(vni, self.port, self._family)

    def remove_rules(self, vni: int) -> None:
        """Delete the rules of a VNI, if there are any."""
        self.rules.remove(vni, self.port, self._family)

    # --- keys

    def set_keys(self, keys: list[Key]) -> None:
        """Replace all keys, and delete all IPsec states and policies of this driver."""
        if self.namespace.xfrm is not None:
            self._clear()
        self._peers.clear()
        self.keys = list(keys)

    def _clear(self) -> None:
        xfrm = self._xfrm
        for policy in [entry for entry in xfrm.policies if entry.mark == _SECURITY_MARK]:
            xfrm.remove_policy(policy.direction, policy.selector, policy.mark)
        for state in [entry for entry in xfrm.states if entry.reqid == MARK]:
            xfrm.remove_state(state.dst, state.spi, state.mark)

    def update_keys(self, new: Key | None, primary: Key | None, pruned: Key | None) -> None:
        """Rotate the keys towards every peer: add the key `new`, use `primary` to encrypt, and remove `pruned`.

        An argument that is `None` skips its step. Raises `InvalidParameter` if `primary` or `pruned` is not among the
        present keys, or if they are the same key; `new` is added even then.
        """
        if new is not None:
            self.keys.append(new)
        at_new = len(self.keys) - 1 if new is not None else -1
        at_primary = self._index(primary)
        at_pruned = self._index(pruned)
        if (primary is not None and at_primary == -1) or (pruned is not None and at_pruned == -1):
            raise InvalidParameter(
                "cannot find proper key indices while processing key update:"
                f"(newIdx,priIdx,delIdx):({at_new}, {at_primary}, {at_pruned})"
            )
        if at_primary != -1 and at_primary == at_pruned:
            raise InvalidParameter(f"attempting to both make a key (index {at_primary}) primary and delete it")
        for remote, peer in self._peers.items():
            self._rotate(remote, peer, at_new, at_primary, at_pruned)
        _rearrange(self.keys, at_primary, at_pruned)

    def _index(self, key: Key | None) -> int:
        indexes = [index for index, known in enumerate(self.keys) if key is not None and known.tag == key.tag]
        return indexes[-1] if indexes else -1

    def _rotate(self, remote: Address, peer: _Peer, at_new: int, at_primary: int, at_pruned: int) -> None:
        spis, keys = peer.spis, self.keys
        if at_new != -1:
            spis.append(self._spis(remote, keys[at_new]))
        if at_pruned != -1:
            self._remove_state(self.bind, spis[at_pruned].reverse)
        if at_new != -1:
            self._add_state(remote, self.bind, spis[at_new].reverse, keys[at_new])
        if at_primary > 0:
            self._add_state(self.bind, remote, spis[at_primary].forward, keys[at_primary])
            self._xfrm.add_policy(self._policy(remote, spis[at_primary].forward), update=True)
            self._remove_state(remote, spis[0].forward)
        _rearrange(spis, at_primary if at_primary > 0 else -1, at_pruned)

    # --- peers

    def secure(self, remote: Address) -> None:
        """Set up IPsec states and a policy between this host and the tunnel endpoint `remote`, if they are missing.

        Each call adds one use of these states; `release` ends one.
        """
        if not self.keys:
            self.log("encryption key is not present")
            return
        configuration = self._xfrm.removals, self.vtep, self.bind, self.port, *self.keys
        peer = self._peers.get(remote)
        if peer is None or peer.configured_with != configuration:  # called for each endpoint of the networks
            spis = [self._spis(remote, key) for key in self.keys]
            if peer is None:
                peer = self._peers[remote] = _Peer(spis)
            peer.spis = spis
            peer.configured_with = configuration if self._set_up(remote, spis) else ()
        peer.count += 1

    def _set_up(self, remote: Address, spis: list[Spis]) -> bool:
        """Add the missing IPsec states and policy for the tunnel endpoint `remote`.

        `spis` are the SPIs of all keys. There is an inbound state for each key, and an outbound one for the primary
        key only. Return `False` after a failure, which is logged.
        """
        are_there = True
        for number, (key, spi) in enumerate(zip(self.keys, spis, strict=True)):
            are_there &= self._add_state(remote, self.bind, spi.reverse, key)
            if number == 0:
                are_there &= self._add_state(self.bind, remote, spi.forward, key)
                policy = self._policy(remote, spi.forward)
                if all(installed.identity != policy.identity for installed in self._xfrm.policies):
                    self._xfrm.add_policy(policy)
        return are_there

    def release(self, remote: Address) -> None:
        """End one use of the IPsec states towards `remote`, and delete them after the last one (29.x).

        Does nothing in earlier releases.
        """
        peer = self._peers.get(remote)
        if peer is None or not self.counts_peers:
            return
        peer.count -= 1
        if peer.count:
            return
        del self._peers[remote]
        for number, spi in enumerate(peer.spis):
            self._remove_state(self.bind, spi.reverse)
            if number == 0:
                self._remove_state(remote, spi.forward)
                policy = self._policy(remote, spi.forward)
                if any(installed.identity == policy.identity for installed in self._xfrm.policies):
                    self._xfrm.remove_policy("out", policy.selector, policy.mark)

    def _spis(self, remote: Address, key: Key) -> Spis:
        return Spis(build_spi(self.vtep, remote, key.tag), build_spi(remote, self.vtep, key.tag))

    def _policy(self, remote: Address, spi: int) -> XfrmPolicy:
        length = len(remote) * 8
        selector = Selector(Prefix(self.bind, length), Prefix(remote, length), _UDP, dport=self.port)
        template = Template(self.bind, remote, spi, MARK)
        return XfrmPolicy("out", selector, (template,), _SECURITY_MARK)

    def _add_state(self, src: Address, dst: Address, spi: int, key: Key) -> bool:
        """Add an IPsec state for packets from `src` to `dst` with this SPI and key.

        Return `True` if it exists now, `False` after a failure, which is logged.
        """
        try:
            self._xfrm.add_state(XfrmState(src, dst, spi, key.value + spi.to_bytes(4), _ICV_BITS, MARK))
        except FileExistsError:
            return True
        except OSError as error:
            cause = go_strerror(error)
            self.log(f"Failed Adding SA {format_ip(src)} > {format_ip(dst)} 0x{spi:x}: {cause}")
            return False
        return True

    def _remove_state(self, dst: Address, spi: int) -> None:
        xfrm = self._xfrm
        if any(state.identity == (dst, spi, Mark()) for state in xfrm.states):
            xfrm.remove_state(dst, spi)


def _rearrange(items: list[_T], at_primary: int, at_pruned: int) -> None:
    """Swap the item at `at_primary` with the first, then remove the item that was at `at_pruned` before.

    An index of -1 skips its step.
    """
    if at_primary != -1:
        items[0], items[at_primary] = items[at_primary], items[0]
    if at_pruned != -1:
        del items[at_primary if at_pruned == 0 else at_pruned]

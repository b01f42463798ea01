"""The packet filter of one namespace: the hooks, and the steps registered on them in the kernel's order."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from attrs import evolve

from cnmsim.kernel.address import Address
from cnmsim.kernel.events import DropReason, Step
from cnmsim.kernel.netfilter.conntrack import Conntrack
from cnmsim.kernel.netfilter.hooks import LEGACY, NFT, ChainType, Dependency, Hook, Priority, Registration
from cnmsim.kernel.netfilter.ipset import IpSet
from cnmsim.kernel.netfilter.iptables import IpTables
from cnmsim.kernel.netfilter.nat import Nat
from cnmsim.kernel.skbuff import CtState, Packet

if TYPE_CHECKING:
    from random import Random

    from cnmsim.kernel.ipvs import Hooks, Ipvs
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.netfilter.hooks import HookStep, Variant


def _uncached(step: HookStep) -> HookStep:
    """Wrap a step whose outcome depends on more than the flow, so that packets that pass it are never cached."""

    def run(packet: Packet) -> bool:
        packet.recording = None
        return step(packet)

    return run


_NO_FAMILY: frozenset[int] = frozenset()
#: Shared sets of families: every namespace has one.
_FAMILIES = {families: families for families in map(frozenset, ([4], [6], [4, 6]))}


class RuleSet(Protocol):
    """The base chains of one family (4 or 6) that one program (such as iptables or nft) created."""

    @property
    def has_effect(self) -> bool:
        """Whether any chain has a rule or a policy other than accept."""

    @property
    def has_nat(self) -> bool:
        """Whether any rule translates addresses."""

    @property
    def needs_conntrack(self) -> bool:
        """Whether any rule reads the connection of packets, so that packets must pass connection tracking."""

    def registrations(self) -> Iterator[Registration]:
        """Yield the base chains, each with its hook and priority."""


class RuleSetSource(Protocol):
    """The rules of a program other than iptables, such as nft. It is registered by `add_rule_set_source`."""

    def rule_set(self, family: int) -> RuleSet:
        """Return the base chains through which packets of a family (4 or 6) pass."""

    def text(self) -> str:
        """Return all rules as the program itself lists them, e.g. as `nft list ruleset` does."""


class Netfilter:
    """The packet filter of one namespace.

    `is_active` is False as long as no rule can affect a packet; the network stack then does not call `run`.
    `generation` increases with every change of rules. While a reply to a packet is sent, such as an ICMP error,
    `replied_packet` is that packet. `ipvs` is the load balancer, None while it has no services. `log` holds the lines
    of the LOG target.
    """

    __slots__ = (
        "_is_stale", "_legacy", "_order", "_random", "_steps", "_tables4", "_tables6", "always_tracks", "conntrack",
        "generation", "ip_sets", "ipvs", "is_active", "log", "namespace", "nat", "replied_packet", "rule_set_sources",
        "tracked_families",
    )  # fmt: skip

    def __init__(self, namespace: NetworkNamespace) -> None:
        self.namespace = namespace
        self.conntrack = Conntrack(namespace)
        self.nat = Nat(namespace, self.conntrack)
        self.ip_sets: dict[str, IpSet] = {}
        self.ipvs: Ipvs | None = None
        self.log: list[str] = []
        self._random: Random | None = None
        self.generation = 0
        self.is_active = False
        self.always_tracks = False
        self.tracked_families = _NO_FAMILY
        self._order = 0
        self._tables4, self._tables6 = IpTables(4, self), IpTables(6, self)
        self._legacy: dict[int, IpTables] = {}  # created on first use: few namespaces have legacy tables
        #: The registered owners of base chains other than iptables.
        self.rule_set_sources: tuple[RuleSetSource, ...] = ()
        self._steps: dict[int, dict[Hook, list[HookStep]]] = {}
        self._is_stale = True
        self.replied_packet: Packet | None = None

    @property
    def random(self) -> Random:
        """The random number generator of the statistic match."""
        if self._random is None:  # created on first use: few namespaces need it
            self._random = self.namespace.clock.stream(f"{self.namespace.name}/netfilter")
        return self._random

    # --- the packet path

    def run(self, hook: Hook, packet: Packet) -> bool:
        """Run the steps of a hook. Return False if the packet was dropped or rejected.

        The caller has set the packet's devices. At OUTPUT a step may change the packet's route.
        """
        if self._is_stale:
            self._rebuild()
        for step in self._steps[packet.family][hook]:  # noqa: SIM110 - the hot path
            if not step(packet):
                return False
        return True

    def tracks(self, family: int) -> bool:
        """Return True if packets of a family (4 or 6) pass connection tracking."""
        if self._is_stale:
            self._rebuild()
        return family in self.tracked_families

    def rules_changed(self) -> None:
        """Invalidate everything that depends on rules, chains, policies or sets."""
        self.generation += 1
        self._is_stale = True
        self.is_active = (
            self.always_tracks
            or self.ipvs is not None
            or any(rule_set.has_effect for family in (4, 6) for rule_set in self._rule_sets(family))
        )

    def set_always_tracking(self, enabled: bool = True) -> None:
        """If `enabled` is True, track connections even if no rule needs it, as a loaded kernel module does.

        If `enabled` is False, connections are tracked only if a rule needs it.
        """
        self.always_tracks = enabled
        self.rules_changed()

    def _rebuild(self) -> None:
        self.tracked_families = _NO_FAMILY
        self._steps = {family: self._family_steps(family) for family in (4, 6)}
        self._is_stale = False

    def _rule_sets(self, family: int) -> list[RuleSet]:
        """Return the rule sets of a family (4 or 6), one for each program.

        They are those of iptables, of iptables-legacy if it was used, and of other programs such as nft.
        """
        legacy = self._legacy.get(family)
        return [
            self._tables4 if family == 4 else self._tables6,
            *([] if legacy is None else [legacy]),
            *(source.rule_set(family) for source in self.rule_set_sources),
        ]

    def next_order(self) -> int:
        """Return a new sequence number for a registration on a hook.

        Of registrations with the same priority, the newest runs first (nf_hook_entries_grow).
        """
        self._order += 1
        return self._order

    def _family_steps(self, family: int) -> dict[Hook, list[HookStep]]:
        rule_sets = self._rule_sets(family)
        has_nat = any(rule_set.has_nat for rule_set in rule_sets)
        tracks = self.always_tracks or has_nat or any(rule_set.needs_conntrack for rule_set in rule_sets)
        if tracks:
            self.tracked_families = _FAMILIES[self.tracked_families | {family}]
        on_hook: dict[Hook, list[Registration]] = {hook: [] for hook in Hook}
        for rule_set in rule_sets:
            for entry in rule_set.registrations():
                on_hook[entry.hook].append(entry)
        steps: dict[Hook, list[HookStep]] = {}
        for hook, registered in on_hook.items():
            registered.sort(key=lambda entry: (entry.priority, -entry.order))
            ordered: list[tuple[int, HookStep, Dependency]] = [
                (entry.priority, self._step_of(entry), entry.depends)
                for entry in registered
                if entry.type is not ChainType.NAT
            ]
            if has_nat and hook is not Hook.FORWARD:
                is_source = hook in (Hook.INPUT, Hook.POSTROUTING)
                traversals = [entry.step for entry in registered if entry.type is ChainType.NAT]
                place = Priority.SOURCE_NAT if is_source else Priority.DESTINATION_NAT
                ordered.append((place, self._nat_step(traversals, hook, is_source=is_source), Dependency.FLOW))
            if tracks and hook in (Hook.PREROUTING, Hook.OUTPUT):
                ordered.append((Priority.CONNTRACK, self._attach_and_track, Dependency.FLOW))
            if tracks and hook in (Hook.INPUT, Hook.POSTROUTING):
                ordered.append((Priority.CONFIRM, self._confirm, Dependency.FLOW))
            if self.ipvs is not None:
                place = Priority.IPVS_OUTPUT if hook is Hook.OUTPUT else Priority.IPVS_INPUT
                ordered += [(place, step, Dependency.ANYTHING) for step in self._balancing(self.ipvs.hooks, hook)]
            ordered.sort(key=lambda entry: entry[0])
            steps[hook] = [step if depends is Dependency.FLOW else _uncached(step) for _, step, depends in ordered]
        return steps

    def _step_of(self, registered: Registration) -> HookStep:
        return self._rerouting(registered.step) if registered.type is ChainType.ROUTE else registered.step

    @staticmethod
    def _balancing(ipvs: Hooks, hook: Hook) -> list[HookStep]:
        """Return the steps of IPVS on a hook, in the order in which they run (ip_vs_ops4).

        The list is empty for hooks on which IPVS has none.
        """
        if hook is Hook.OUTPUT:
            return [ipvs.reply, ipvs.request]
        if hook is Hook.INPUT:
            return [ipvs.reply, ipvs.request]
        return [ipvs.forward_error, ipvs.reply] if hook is Hook.FORWARD else []

    def _attach_and_track(self, packet: Packet) -> bool:
        answered = self.replied_packet
        if answered is not None and packet.indev is None:
            self._attach(packet, answered)
        if self.conntrack.track(packet):
            return True
        if self.namespace.clock.observes_drops:
            self.namespace.report(
                Step.DROPPED, "nf_conntrack: table full, dropping packet", packet,
                decision="net.netfilter.nf_conntrack_max", reason=DropReason.CONNTRACK_INVALID,
            )  # fmt: skip
        return False

    def _confirm(self, packet: Packet) -> bool:
        if self.conntrack.confirm(packet):
            return True
        if self.namespace.clock.observes_drops:
            self.namespace.report(
                Step.DROPPED, "another connection has the same addresses and ports", packet,
                reason=DropReason.NAT_EXHAUSTED,
            )  # fmt: skip
        return False

    def _rerouting(self, step: HookStep) -> HookStep:
        """Return a step for OUTPUT that runs `step` and routes the packet again if its addresses or mark changed.

        Source: ip_route_me_harder.
        """
        reroute = self.namespace.reroute

        def run(packet: Packet) -> bool:
            before = packet.dst, packet.src, packet.mark
            if not step(packet):
                return False
            return before == (packet.dst, packet.src, packet.mark) or reroute(packet)

        return run

    def _nat_step(self, traversals: Sequence[HookStep], hook: Hook, *, is_source: bool) -> HookStep:
        """Return the step of a hook that chooses the translation of new connections and translates all packets.

        `traversals` are the nat chains. For a new connection they run in order, until one of them has decided about
        its source (`is_source`) or destination.

        Source: net/netfilter/nf_nat_core.c (nf_nat_inet_fn).
        """
        nat = self.nat
        apply, bind_unchanged = nat.apply, nat.bind_unchanged
        reroute = self.namespace.reroute if hook is Hook.OUTPUT else None

        def run(packet: Packet) -> bool:
            connection = packet.connection
            if connection is None:
                return True
            if not connection.is_confirmed and packet.ct_state is CtState.NEW:
                is_bound = connection.source_nat_done if is_source else connection.destination_nat_done
                if not is_bound:
                    for traverse in traversals:
                        if not traverse(packet):
                            return False
                        if connection.source_nat_done if is_source else connection.destination_nat_done:
                            break
                    bind_unchanged(packet, is_source=is_source)
            elif (
                is_source
                and connection.masquerade is not None
                and not packet.ct_reply
                and hook is Hook.POSTROUTING
                and packet.outdev is not connection.masquerade
            ):
                # The route moved to another device, for which the masqueraded address is wrong (nf_nat_oif_changed).
                self.conntrack.destroy(connection)
                self.namespace.drop(
                    packet, DropReason.CONNTRACK_INVALID, "its route no longer uses the masqueraded device"
                )
                return False
            if reroute is None:
                if connection.has_source_nat or connection.has_destination_nat:
                    apply(packet, is_source=is_source)
                return True
            if not (connection.has_source_nat or connection.has_destination_nat):
                return True
            before = packet.dst
            apply(packet, is_source=is_source)
            return packet.dst == before or reroute(packet)

        return run

    # --- replies of the stack and of targets

    @contextmanager
    def replying_to(self, packet: Packet) -> Iterator[None]:
        """Context manager that attaches messages sent inside the block to the connection of `packet`.

        Source: nf_ct_attach.
        """
        before, self.replied_packet = self.replied_packet, packet
        try:
            yield
        finally:
            self.replied_packet = before

    @staticmethod
    def _attach(packet: Packet, answered: Packet) -> None:
        if packet.connection is None and answered.connection is not None:
            packet.connection = answered.connection
            packet.ct_state = CtState.RELATED
            packet.ct_reply = not answered.ct_reply

    def send_as(self, src: Address, dst: Address, protocol: int, message: bytes, *, replied_packet: Packet) -> None:
        """Send an IP packet from `src` to `dst` in reply to `replied_packet`. If there is no route, send nothing.

        `src` need not be an address of the namespace. `message` is the payload of the IP packet, `protocol` the
        payload's protocol number.
        """
        namespace = self.namespace
        try:
            decision = evolve(namespace.route_output(dst), src=src)
            with self.replying_to(replied_packet):
                namespace.send(protocol, decision, dst, message)
        except OSError as error:
            if namespace.clock.context is not None:
                namespace.report(Step.NOTE, f"reply could not be sent: {error.strerror}", replied_packet)

    def source_mac(self, packet: Packet) -> bytes:
        """Return the MAC address of the packet's sender or of the gateway to it, b"" if it is unknown.

        It is looked up in the neighbour table, because the Ethernet header is no longer available when rules see a
        packet.
        """
        device = packet.indev
        if device is None:
            return b""
        route = self.namespace.find_route(packet.src, src=packet.dst)
        hop = route.gateway if route is not None and route.gateway is not None else packet.src
        return self.namespace.neighbours.known_mac(device, hop) or b""

    # --- rules and sets

    def iptables(self, family: int = 4, variant: Variant = NFT) -> IpTables:
        """Return the tables of iptables (family 4) or ip6tables (family 6).

        `variant` is nf_tables or legacy; each has tables of its own.
        """
        if variant is NFT:
            return self._tables4 if family == 4 else self._tables6
        legacy = self._legacy.get(family)
        if legacy is None:
            legacy = self._legacy[family] = IpTables(family, self, LEGACY)
        return legacy

    def add_rule_set_source(self, source: RuleSetSource) -> None:
        """Register a program's rules: packets pass its base chains together with those of iptables."""
        self.rule_set_sources = (*self.rule_set_sources, source)

    @property
    def has_rules_outside_iptables_nft(self) -> bool:
        """Whether iptables-legacy or nft has a rule or policy that takes effect.

        `iptables` (the nf_tables variant) does not list such rules.
        """
        own = (self._tables4, self._tables6)
        others = [rule_set for family in (4, 6) for rule_set in self._rule_sets(family) if rule_set not in own]
        return any(rule_set.has_effect for rule_set in others)

    def rules_outside_iptables_nft(self) -> str:
        """Return the rules of iptables-legacy and of nft, each as its own program prints them, without counters.

        `iptables` and `ip6tables` (the nf_tables variants) do not list these.
        """
        legacy = "".join(self._legacy[family].save() for family in sorted(self._legacy))
        native = "".join(source.text() for source in self.rule_set_sources)
        return legacy + re.sub(r"counter packets [0-9]+ bytes [0-9]+", "counter", native)

    def has_legacy_tables(self, family: int) -> bool:
        """Return True if iptables-legacy has created a table of the family (/proc/net/ip_tables_names)."""
        return family in self._legacy and self._legacy[family].is_loaded

    @property
    def set_names(self) -> frozenset[str]:
        """The names of the IP sets that rules may refer to."""
        return frozenset(self.ip_sets)

    def create_set(self, name: str, kind: str = "hash:ip", family: int = 4) -> IpSet:
        """Create an IP set, as `ipset create`. Raises `ValueError` if the name is taken or the kind unknown."""
        if name in self.ip_sets:
            raise ValueError(f"set with the same name already exists: {name}")
        created = self.ip_sets[name] = IpSet(name, kind, family)
        self.rules_changed()
        return created

    def destroy_set(self, name: str) -> None:
        """Delete an IP set, as `ipset destroy`.

        Raises `ValueError` if a rule uses it, `KeyError` if it does not exist.
        """
        if any(
            match.name == "set" and match.settings[0].values[0] == name
            for tables in (self._tables4, self._tables6)
            for table in tables.tables.values()
            for chain in table.chains.values()
            for entry in chain.rules
            for match in entry.rule.matches
        ):
            raise ValueError(f"Set cannot be destroyed: it is in use by a kernel component: {name}")
        del self.ip_sets[name]
        self.rules_changed()

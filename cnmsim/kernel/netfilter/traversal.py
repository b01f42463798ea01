"""Walking a packet through one chain of a table, and remembering what was decided for its flow.

What a chain decides for packets of one connection is remembered on
the connection (`Connection.flows`): which counters to bump, which actions to repeat, and the verdict. It holds until
a rule, an address, a route or a link changes, and is kept only if every test that was made reads nothing but the key.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from attrs import define

from cnmsim.kernel.events import DropReason, Step
from cnmsim.kernel.netfilter.compiled import compile_rule
from cnmsim.kernel.netfilter.extension import Extension
from cnmsim.kernel.netfilter.hooks import Dependency, Hook
from cnmsim.kernel.netfilter.matches import MATCHES
from cnmsim.kernel.netfilter.rule import Rule
from cnmsim.kernel.netfilter.targets import TARGETS, Action, Verdict
from cnmsim.kernel.skbuff import CtState, Packet


class Counts(Protocol):
    """What counts packets and bytes."""

    packets: int
    bytes: int


if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.packet_filter import PacketFilter
    from cnmsim.kernel.netfilter.table import Chain, RuleEntry, Table

    #: The tables' stamp, the verdict, what counts the packet, and what targets do with it.
    _Outcome = tuple[int, "Verdict", tuple[Counts, ...], tuple[Action, ...]]


Entry = TypeVar("Entry")

#: How much of a chain walk an untracked flow may leave behind, per chain.
_MOST_FLOWS = 16384
_MOST_OUTCOMES = 256
#: A chain of so few rules is walked in less time than it takes to find out whether a flow's outcome is known.
_FEW_RULES = 8
_ESTABLISHED, _RELATED, _UNTRACKED = CtState.ESTABLISHED, CtState.RELATED, CtState.UNTRACKED
_ACCEPT = Verdict.ACCEPT


@define(eq=False)
class TraversalResult(Generic[Entry]):
    """How a walk through a chain ended: by `entry`, or by the policy if that is `None`.

    `is_cacheable`: whether it goes the same way for all packets of a flow until rules, addresses, routes or links change.
    """

    verdict: Verdict
    counters: list[Counts]
    actions: list[Action]
    entry: Entry | None
    chains: list[str]
    is_cacheable: bool


class CachedTraversal(ABC, Generic[Entry]):
    """One base chain at one hook, a step of the packet path: what it decided for a flow it remembers.

    `identity` tells it from other chains, `extras` read what must join the key of remembered flows. For packets without a
    connection one that `is_short` remembers nothing.
    """

    __slots__ = ("_extras", "_flows", "_hook", "_identity", "_is_short", "_netfilter", "_outcomes")

    def __init__(
        self,
        hook: Hook,
        netfilter: PacketFilter,
        identity: tuple[object, ...],
        extras: tuple[Callable[[Packet], int], ...] = (),
        *,
        is_short: bool = False,
    ) -> None:
        self._hook = hook
        self._netfilter = netfilter
        self._identity = identity
        self._flows: dict[tuple[Any, ...], _Outcome] = {}
        self._outcomes: dict[_Outcome, _Outcome] = {}
        self._extras = extras
        self._is_short = is_short

    def __call__(self, packet: Packet) -> bool:
        """Take a packet through the chain. `False`: it ends here."""
        netfilter = self._netfilter
        if netfilter.namespace.clock.context is not None:
            return self._observed(packet)
        connection = packet.connection
        if connection is not None:
            if not connection.is_confirmed or packet.ct_state is _RELATED:
                packet.recording = None
                return self._finish(self._walk(packet))
            flows: dict[tuple[Any, ...], Any] | None = connection.flows
            if flows is None:
                flows = connection.flows = {}
            key: tuple[Any, ...] = (
                self._identity, packet.ct_reply, packet.ct_state is _ESTABLISHED, packet.indev, packet.outdev,
                packet.physindev, packet.physoutdev, packet.src, packet.dst, packet.mark,
            )  # fmt: skip
        else:
            if packet.fragment_offset or packet.more_fragments:
                packet.recording = None
                return self._finish(self._walk(packet))
            if self._is_short:
                return self._walk_once(packet)
            flows = self._flows
            key = (
                packet.ct_state is _UNTRACKED, packet.indev, packet.outdev, packet.physindev,
                packet.physoutdev, packet.src, packet.dst, packet.mark, packet.protocol, packet.sport, packet.dport,
                packet.icmp_type, packet.icmp_code,
            )  # fmt: skip
        if self._extras:
            packet.recording = None
            key += tuple([reads(packet) for reads in self._extras])
        known = flows.get(key)
        stamp = netfilter.generation + netfilter.namespace.generation
        if known is not None and known[0] == stamp:
            _, verdict, counters, actions = known
            self._record(packet, counters, actions)
            size = len(packet.data)
            for counter in counters:
                counter.packets += 1
                counter.bytes += size
            for action in actions:
                if action(packet, self._hook) is Verdict.DROP:  # this packet is malformed, unlike the first
                    return False
            return verdict is _ACCEPT
        walked = self._walk(packet)
        if walked.is_cacheable:
            if len(flows) >= _MOST_FLOWS:
                flows.clear()
            flows[key] = self._outcome(stamp, walked)
            self._record(packet, walked.counters, walked.actions)
        else:
            packet.recording = None
        return self._finish(walked)

    def _walk_once(self, packet: Packet) -> bool:
        walked = self._walk(packet)
        if walked.is_cacheable:
            self._record(packet, walked.counters, walked.actions)
        else:
            packet.recording = None
        return self._finish(walked)

    def _outcome(self, stamp: int, walked: TraversalResult[Entry]) -> _Outcome:
        """Give what is remembered of a walk: most flows meet the same rules, and share it."""
        outcome: _Outcome = (stamp, walked.verdict, tuple(walked.counters), tuple(walked.actions))
        known = self._outcomes.get(outcome)
        if known is None:
            if len(self._outcomes) >= _MOST_OUTCOMES:
                self._outcomes.clear()
            known = self._outcomes[outcome] = outcome
        return known

    @staticmethod
    def _record(packet: Packet, counters: Iterable[Counts], actions: Sequence[Action]) -> None:
        if packet.recording is not None:
            if actions:
                packet.recording = None
            else:
                packet.recording.counters += counters

    def _finish(self, walked: TraversalResult[Entry]) -> bool:
        return walked.verdict is _ACCEPT

    @abstractmethod
    def _walk(self, packet: Packet) -> TraversalResult[Entry]:
        """Walk the chain and the chains it leads to."""

    @abstractmethod
    def _observed(self, packet: Packet) -> bool:
        """Walk, and tell the observer what decided."""


class ChainTraversal(CachedTraversal["RuleEntry"]):
    """One built-in chain of iptables at one hook."""

    __slots__ = ("_chain", "_table")

    def __init__(self, table: Table, chain: Chain, hook: Hook, netfilter: PacketFilter) -> None:
        self._table = table
        self._chain = chain
        extras = self._find_extras()
        is_short = len(chain.rules) <= _FEW_RULES and not extras and not any(each.chain_name for each in chain.rules)
        super().__init__(hook, netfilter, (table.family, table.label, hook.value), extras, is_short=is_short)

    def _find_extras(self) -> tuple[Callable[[Packet], int], ...]:
        """Give what must join the key of remembered flows because some rule in reach reads it."""
        needed: set[Dependency] = set()
        waiting, seen = [self._chain], set()
        while waiting:
            chain = waiting.pop()
            if chain.name in seen:
                continue
            seen.add(chain.name)
            for entry in chain.rules:
                needed |= rule_dependencies(entry.rule)
                if entry.chain_name:
                    waiting.append(self._table.chains[entry.chain_name])
        return tuple(read for dependency, read in _EXTRAS.items() if dependency in needed)

    def _walk(self, packet: Packet) -> TraversalResult[RuleEntry]:
        """Walk the chain and the chains it jumps to, bumping counters and doing what targets do."""
        table, netfilter, hook = self._table, self._netfilter, self._hook
        size = len(packet.data)
        counters: list[Counts] = []
        actions: list[Action] = []
        chain, at = self._chain, 0
        stack: list[tuple[Chain, int]] = []
        is_cacheable = True
        while True:
            rules = chain.rules
            entered = None
            while at < len(rules):
                entry = rules[at]
                at += 1
                compiled = entry.compiled
                if compiled is None:
                    compiled = entry.compiled = compile_rule(entry.rule, table, netfilter)
                fits = True
                for test in compiled.tests:
                    if not test(packet):
                        fits = False
                        break
                if not fits:
                    continue
                if compiled.stateful_tests:
                    is_cacheable = False
                    if not all(test(packet) for test in compiled.stateful_tests):
                        continue
                entry.packets += 1
                entry.bytes += size
                counters.append(entry)
                verdict = compiled.verdict
                if compiled.jump is not None:
                    if not compiled.is_goto:
                        stack.append((chain, at))
                    entered = compiled.jump
                    break
                if compiled.action is not None:
                    actions.append(compiled.action)
                    verdict = compiled.action(packet, hook)
                    # A DROP is due to this packet's content, not to its flow.
                    is_cacheable &= compiled.is_action_cacheable and verdict is not Verdict.DROP
                if verdict is None:
                    continue
                if verdict is Verdict.RETURN:
                    break
                names = [frame[0].name for frame in stack] + [chain.name]
                if names[0] != self._chain.name:
                    names.insert(0, self._chain.name)
                return TraversalResult(verdict, counters, actions, entry, names, is_cacheable)
            if entered is not None:
                chain, at = entered, 0
            elif stack:
                chain, at = stack.pop()
            else:
                break
        base = self._chain
        base.packets += 1
        base.bytes += size
        counters.append(base)
        verdict = _ACCEPT if base.policy == "ACCEPT" else Verdict.DROP
        return TraversalResult(verdict, counters, actions, None, [base.name], is_cacheable)

    # --- observation ---------------------------------------------------------------------------------------------

    def _observed(self, packet: Packet) -> bool:
        walked = self._walk(packet)
        namespace = self._netfilter.namespace
        decision = self._decision(walked)
        if walked.verdict is Verdict.ACCEPT:
            if self._chain.rules or self._chain.policy != "ACCEPT":
                namespace.report(
                    Step.HOOK, f"{self._table.label} {self._chain.name} lets it go on", packet, decision=decision
                )
            return True
        if walked.verdict is Verdict.REJECT:
            reason = DropReason.NETFILTER_REJECT
        elif walked.entry is None:
            reason = DropReason.NETFILTER_POLICY
        elif self._table.name == "nat":
            reason = DropReason.NAT_EXHAUSTED
        else:
            reason = DropReason.NETFILTER_DROP
        what = f"{self._table.label} {self._chain.name}: {reason.value}"
        namespace.report(Step.DROPPED, what, packet, decision=decision, reason=reason)
        return False

    def _decision(self, walked: TraversalResult[RuleEntry]) -> str:
        """Write which rule or policy decided, and by which chains it was reached."""
        path = f"{self._table.label} {' → '.join(walked.chains)}"
        if walked.entry is None:
            return f"{path}: policy {self._chain.policy}"
        return f"{path}: -A {walked.chains[-1]} {walked.entry.rule}"


class PolicyTraversal(ChainTraversal):
    """A built-in chain that has no rules: its policy decides."""

    __slots__ = ()

    def __call__(self, packet: Packet) -> bool:
        """Take a packet through the chain. `False`: it ends here."""
        if self._netfilter.namespace.clock.context is not None:
            return self._observed(packet)
        chain = self._chain
        chain.packets += 1
        chain.bytes += len(packet.data)
        recording = packet.recording
        if recording is not None:
            connection = packet.connection
            if connection is None or (connection.is_confirmed and packet.ct_state is not _RELATED):
                recording.counters.append(chain)
            else:
                packet.recording = None
        return chain.policy == "ACCEPT"


def _connection_mark(packet: Packet) -> int:
    return packet.connection.mark if packet.connection is not None else 0


_EXTRAS: dict[Dependency, Callable[[Packet], int]] = {
    Dependency.TCP_FLAGS: lambda packet: packet.tcp_flags,
    Dependency.LENGTH: lambda packet: len(packet.data),
    Dependency.TTL: lambda packet: packet.ttl,
    Dependency.CONNMARK: _connection_mark,
    Dependency.IPVS: lambda packet: packet.is_ipvs,
}


def rule_dependencies(rule: Rule) -> set[Dependency]:
    """Return what the outcome of a rule depends on."""
    found: set[Dependency] = set()
    for match in rule.matches:
        found |= MATCHES[match.name].dependencies(match)
    target = _extension_target(rule)
    if target is not None:
        found.add(TARGETS[target.name].depends)
    return found


def rule_needs_conntrack(rule: Rule) -> bool:
    """Tell whether a rule makes sense only where connections are tracked."""
    if any(MATCHES[match.name].needs_conntrack for match in rule.matches):
        return True
    target = _extension_target(rule)
    return target is not None and TARGETS[target.name].needs_conntrack


def _extension_target(rule: Rule) -> Extension | None:
    target = rule.target
    return target if target is not None and target.name in TARGETS and not rule.is_goto else None

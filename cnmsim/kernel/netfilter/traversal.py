"""Traversal of a chain by a packet, and the cache of its outcome by flow.

The outcome for a connection is cached on it (`Connection.flows`): the counters to increment, the actions to repeat
and the verdict. It is valid until a rule, an address, a route or a link changes, and is stored only if every test
that was run depends on nothing but the cache key.
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
    """An object that counts packets and bytes."""

    packets: int
    bytes: int


if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.packet_filter import PacketFilter
    from cnmsim.kernel.netfilter.table import Chain, RuleEntry, Table

    #: The generation of the tables, the verdict, the counters and the actions of a cached traversal.
    _Outcome = tuple[int, "Verdict", tuple[Counts, ...], tuple[Action, ...]]


Entry = TypeVar("Entry")

#: The maximum number of cached flows without a connection, per chain.
_MOST_FLOWS = 16384
_MOST_OUTCOMES = 256
#: Traversing a chain of so few rules is faster than a cache lookup.
_FEW_RULES = 8
_ESTABLISHED, _RELATED, _UNTRACKED = CtState.ESTABLISHED, CtState.RELATED, CtState.UNTRACKED
_ACCEPT = Verdict.ACCEPT


@define(eq=False)
class TraversalResult(Generic[Entry]):
    """The outcome of a traversal: decided by the rule `entry`, or by the policy if that is None.

    `is_cacheable`: all packets of the flow have this outcome until rules, addresses, routes or links change.
    """

    verdict: Verdict
    counters: list[Counts]
    actions: list[Action]
    entry: Entry | None
    chains: list[str]
    is_cacheable: bool


class CachedTraversal(ABC, Generic[Entry]):
    """A base chain registered on a hook, with a cache of its outcome by flow.

    `identity` distinguishes it from other chains; `extras` read the packet fields that join the cache key. A chain that `is_short` caches
    nothing for packets without a connection.
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
        """Traverse the chain with a packet. Return False if the packet ends here."""
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
                if (
                    action(packet, self._hook) is Verdict.DROP
                ):  # this packet is malformed, unlike the one that was cached
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
        """Return the cache entry of a traversal, shared by all flows with the same outcome."""
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
        """Traverse the chain and the chains it jumps to."""

    @abstractmethod
    def _observed(self, packet: Packet) -> bool:
        """Traverse the chain, and report the decision to the observer."""


class ChainTraversal(CachedTraversal["RuleEntry"]):
    """A built-in chain of iptables registered on its hook."""

    __slots__ = ("_chain", "_table")

    def __init__(self, table: Table, chain: Chain, hook: Hook, netfilter: PacketFilter) -> None:
        self._table = table
        self._chain = chain
        extras = self._find_extras()
        is_short = (
            len(chain.rules) <= _FEW_RULES and not extras and not any(entry.chain_name for entry in chain.rules)
        )
        super().__init__(hook, netfilter, (table.family, table.label, hook.value), extras, is_short=is_short)

    def _find_extras(self) -> tuple[Callable[[Packet], int], ...]:
        """Return readers of the fields that join the cache key because a reachable rule depends on them."""
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
        """Traverse the chain and the chains it jumps to: increment counters and run targets."""
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
                    # A DROP depends on the content of this packet, not on its flow.
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
                    Step.HOOK, f"accepted by {self._table.label} {self._chain.name}", packet, decision=decision
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
        """Return the rule or policy that decided, and the chains through which it was reached."""
        path = f"{self._table.label} {' → '.join(walked.chains)}"
        if walked.entry is None:
            return f"{path}: policy {self._chain.policy}"
        return f"{path}: -A {walked.chains[-1]} {walked.entry.rule}"


class PolicyTraversal(ChainTraversal):
    """A built-in chain without rules: its policy decides."""

    __slots__ = ()

    def __call__(self, packet: Packet) -> bool:
        """Apply the policy to a packet. Return False if the packet ends here."""
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
    dependencies: set[Dependency] = set()
    for match in rule.matches:
        dependencies |= MATCHES[match.name].dependencies(match)
    target = _extension_target(rule)
    if target is not None:
        dependencies.add(TARGETS[target.name].depends)
    return dependencies


def rule_needs_conntrack(rule: Rule) -> bool:
    """Return True if a rule needs connections to be tracked."""
    if any(MATCHES[match.name].needs_conntrack for match in rule.matches):
        return True
    target = _extension_target(rule)
    return target is not None and TARGETS[target.name].needs_conntrack


def _extension_target(rule: Rule) -> Extension | None:
    target = rule.target
    return target if target is not None and target.name in TARGETS and not rule.is_goto else None

"""Traversal of one base chain by a packet (Linux: ipt_do_table).

Rules are compiled when a packet first reaches them: see `compiled.py`. Every packet is tested anew; packets of a
cached flow skip the traversal, see `kernel/offload/flow_cache.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from attrs import define

from cnmsim.kernel.events import DropReason, Step
from cnmsim.kernel.netfilter.compiled import compile_rule
from cnmsim.kernel.netfilter.extension import Extension
from cnmsim.kernel.netfilter.hooks import Hook
from cnmsim.kernel.netfilter.matches import MATCHES
from cnmsim.kernel.netfilter.rule import Rule
from cnmsim.kernel.netfilter.targets import TARGETS, Verdict
from cnmsim.kernel.skbuff import Packet

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.packet_filter import PacketFilter
    from cnmsim.kernel.netfilter.table import Chain, RuleEntry, Table

Entry = TypeVar("Entry")


class PacketCounter(Protocol):
    """Anything that counts packets and bytes: a rule, a chain (for its policy) or a counter statement."""

    packets: int
    bytes: int


@define(eq=False)
class TraversalResult(Generic[Entry]):
    """The outcome of a traversal. `entry` is the rule that returned `verdict`; None means the policy of the chain.

    `counters` are the counters that were incremented; `chains` are the names of the chains on the path to the
    verdict. `is_cacheable` is True if every packet of the flow has the same outcome until a rule, an address, a route
    or a link changes: all tests that were run depend only on the flow (`Dependency.FLOW`), and no target acted on the
    packet.
    """

    verdict: Verdict
    counters: list[PacketCounter]
    entry: Entry | None
    chains: list[str]
    is_cacheable: bool


class Traversal(ABC, Generic[Entry]):
    """The base class of steps on a hook that pass a packet through one base chain."""

    __slots__ = ("_hook", "_netfilter")

    def __init__(self, hook: Hook, netfilter: PacketFilter) -> None:
        self._hook = hook
        self._netfilter = netfilter

    def __call__(self, packet: Packet) -> bool:
        """Pass a packet through the chain. Return `False` if it was dropped or rejected."""
        result = self._traverse(packet)
        if packet.recording is not None:
            packet.recording.add_traversal(packet, result)
        is_accepted = result.verdict is Verdict.ACCEPT
        clock = self._netfilter.namespace.clock
        if clock.context is not None or (not is_accepted and clock.meter is not None):
            self._report(packet, result)
        return is_accepted

    @abstractmethod
    def _traverse(self, packet: Packet) -> TraversalResult[Entry]:
        """Evaluate the chain and the chains it jumps to, and return the outcome.

        Counters are incremented and targets are executed.
        """

    @abstractmethod
    def _report(self, packet: Packet, result: TraversalResult[Entry]) -> None:
        """Report the outcome to the observer."""


class ChainTraversal(Traversal["RuleEntry"]):
    """The traversal of a built-in chain of iptables."""

    __slots__ = ("_chain", "_table")

    def __init__(self, table: Table, chain: Chain, hook: Hook, netfilter: PacketFilter) -> None:
        super().__init__(hook, netfilter)
        self._table = table
        self._chain = chain

    def _traverse(self, packet: Packet) -> TraversalResult[RuleEntry]:
        table, netfilter, hook = self._table, self._netfilter, self._hook
        size = len(packet.data)
        counters: list[PacketCounter] = []
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
                matches = True
                for test in compiled.flow_tests:
                    if not test(packet):
                        matches = False
                        break
                if not matches:
                    continue
                if compiled.packet_tests:
                    is_cacheable = False
                    if not all(test(packet) for test in compiled.packet_tests):
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
                    is_cacheable = False
                    verdict = compiled.action(packet, hook)
                if verdict is None:
                    continue
                if verdict is Verdict.RETURN:
                    break
                names = [frame[0].name for frame in stack] + [chain.name]
                if names[0] != self._chain.name:
                    names.insert(0, self._chain.name)
                return TraversalResult(verdict, counters, entry, names, is_cacheable)
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
        verdict = Verdict.ACCEPT if base.policy == "ACCEPT" else Verdict.DROP
        return TraversalResult(verdict, counters, None, [base.name], is_cacheable)

    def _report(self, packet: Packet, result: TraversalResult[RuleEntry]) -> None:
        namespace = self._netfilter.namespace
        decision = self._decision(result)
        if result.verdict is Verdict.ACCEPT:
            if self._chain.rules or self._chain.policy != "ACCEPT":
                namespace.report(
                    Step.HOOK, f"accepted by {self._table.label} {self._chain.name}", packet, decision=decision
                )
            return
        if result.verdict is Verdict.REJECT:
            reason = DropReason.NETFILTER_REJECT
        elif result.entry is None:
            reason = DropReason.NETFILTER_POLICY
        elif self._table.name == "nat":
            reason = DropReason.NAT_EXHAUSTED
        else:
            reason = DropReason.NETFILTER_DROP
        what = f"{self._table.label} {self._chain.name}: {reason.value}"
        namespace.report(Step.DROPPED, what, packet, decision=decision, reason=reason)

    def _decision(self, result: TraversalResult[RuleEntry]) -> str:
        """Return the rule or policy that decided, as text, after the table and the chains that lead to it."""
        path = f"{self._table.label} {' → '.join(result.chains)}"
        if result.entry is None:
            return f"{path}: policy {self._chain.policy}"
        return f"{path}: -A {result.chains[-1]} {result.entry.rule}"


def rule_needs_conntrack(rule: Rule) -> bool:
    """Return True if a match or the target of a rule reads the connection of the packet."""
    if any(MATCHES[match.name].needs_conntrack for match in rule.matches):
        return True
    target = _extension_target(rule)
    return target is not None and TARGETS[target.name].needs_conntrack


def _extension_target(rule: Rule) -> Extension | None:
    target = rule.target
    return target if target is not None and target.name in TARGETS and not rule.is_goto else None

"""Traversal of a base chain of nf_tables by a packet (nft_do_chain)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.kernel.events import DropReason, Step
from cnmsim.kernel.netfilter.hooks import ChainType, Hook
from cnmsim.kernel.netfilter.nftables.elements import Jump
from cnmsim.kernel.netfilter.nftables.statements import Break, CompileContext, Counter
from cnmsim.kernel.netfilter.nftables.tables import Chain, RuleEntry, Table
from cnmsim.kernel.netfilter.targets import Verdict
from cnmsim.kernel.netfilter.traversal import PacketCounter, Traversal, TraversalResult
from cnmsim.kernel.skbuff import Packet

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.packet_filter import PacketFilter


class ChainTraversal(Traversal[RuleEntry]):
    """The traversal of a base chain of nf_tables, as a step on its hook."""

    __slots__ = ("_chain", "_env", "_table")

    def __init__(self, table: Table, chain: Chain, hook: Hook, netfilter: PacketFilter) -> None:
        self._table = table
        self._chain = chain
        self._env = CompileContext(netfilter, lambda name: table.sets[name].elements)
        super().__init__(hook, netfilter)

    def _traverse(self, packet: Packet) -> TraversalResult[RuleEntry]:
        chains = self._table.chains
        chain, at = self._chain, 0
        stack: list[tuple[Chain, int]] = []
        counters: list[PacketCounter] = []
        is_cacheable = True
        while True:
            outcome: Verdict | Jump | None = None
            rules = chain.rules
            while at < len(rules):
                entry = rules[at]
                at += 1
                outcome, was_cacheable = self._evaluate(entry, packet, counters)
                is_cacheable = is_cacheable and was_cacheable
                if outcome is not None:
                    break
            if isinstance(outcome, Jump):
                if not outcome.is_goto:
                    stack.append((chain, at))
                chain, at = chains[outcome.chain], 0
                continue
            if outcome is not None and outcome is not Verdict.RETURN:
                path = [frame[0].name for frame in stack] + [chain.name]
                if path[0] != self._chain.name:
                    path.insert(0, self._chain.name)
                return TraversalResult(outcome, counters, entry, path, is_cacheable)
            if not stack:
                policy = Verdict.ACCEPT if self._chain.policy == "accept" else Verdict.DROP
                return TraversalResult(policy, counters, None, [self._chain.name], is_cacheable)
            chain, at = stack.pop()

    def _evaluate(
        self, entry: RuleEntry, packet: Packet, counters: list[PacketCounter]
    ) -> tuple[Verdict | Jump | None, bool]:
        """Apply the statements of one rule to a packet. Append the counters that were incremented to `counters`.

        Return the rule's verdict (None: continue with the next rule), and True if the outcome is the same for all
        packets of the flow.
        """
        compiled = entry.compiled
        if compiled is None:
            compiled = entry.compiled = tuple((part.compile(self._env), part) for part in entry.rule.statements)
        hook = self._hook
        is_cacheable = True
        for run, statement in compiled:
            outcome = run(packet, hook)
            if not statement.is_cacheable:
                is_cacheable = False
            elif isinstance(statement, Counter):
                counters.append(statement)
            if outcome is None:
                continue
            return (None if isinstance(outcome, Break) else outcome), is_cacheable
        return None, is_cacheable

    def _report(self, packet: Packet, result: TraversalResult[RuleEntry]) -> None:
        namespace = self._netfilter.namespace
        name = f"{self._table.label} {self._chain.name}"
        decision = f"{self._table.label} {' → '.join(result.chains)}: "
        decision += f"policy {self._chain.policy}" if result.entry is None else result.entry.rule.text()
        if result.verdict is Verdict.ACCEPT:
            if not self._chain.is_empty or self._chain.policy != "accept":
                namespace.report(Step.HOOK, f"accepted by {name}", packet, decision=decision)
            return
        if result.verdict is Verdict.REJECT:
            reason = DropReason.NETFILTER_REJECT
        elif result.entry is None:
            reason = DropReason.NETFILTER_POLICY
        elif self._chain.base is not None and self._chain.base.type is ChainType.NAT and result.entry.rule.translates:
            reason = DropReason.NAT_EXHAUSTED
        else:
            reason = DropReason.NETFILTER_DROP
        namespace.report(Step.DROPPED, f"{name}: {reason.value}", packet, decision=decision, reason=reason)

"""A packet's walk through a base chain of nf_tables (nft_do_chain)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from cnmsim.kernel.events import DropReason, Step
from cnmsim.kernel.netfilter.hooks import ChainType, Hook
from cnmsim.kernel.netfilter.nftables.elements import Goto
from cnmsim.kernel.netfilter.nftables.statements import Env, Miss
from cnmsim.kernel.netfilter.nftables.tables import Chain, RuleEntry, Table
from cnmsim.kernel.netfilter.targets import Verdict
from cnmsim.kernel.packet import Packet

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.netfilter import Netfilter


@frozen
class Walked:
    """How a walk ended: by `entry`, or by the policy if that is `None`; and the chains it was reached by."""

    verdict: Verdict
    entry: RuleEntry | None
    chains: tuple[str, ...]


class ChainWalk:
    """One base chain at its hook: a step of the packet path."""

    __slots__ = ("_chain", "_env", "_hook", "_netfilter", "_table")

    def __init__(self, table: Table, chain: Chain, hook: Hook, netfilter: Netfilter) -> None:
        self._table = table
        self._chain = chain
        self._hook = hook
        self._netfilter = netfilter
        self._env = Env(netfilter, lambda name: table.sets[name].elements)

    def __call__(self, packet: Packet) -> bool:
        """Take a packet through the chain. `False`: it ends here."""
        walked = self._walk(packet)
        if self._netfilter.namespace.clock.context is not None:
            self._report(packet, walked)
        return walked.verdict is Verdict.ACCEPT

    def _walk(self, packet: Packet) -> Walked:
        chains = self._table.chains
        chain, at = self._chain, 0
        stack: list[tuple[Chain, int]] = []
        while True:
            outcome: Verdict | Goto | None = None
            rules = chain.rules
            while at < len(rules):
                entry = rules[at]
                at += 1
                outcome = self._evaluate(entry, packet)
                if outcome is not None:
                    break
            if isinstance(outcome, Goto):
                if not outcome.is_goto:
                    stack.append((chain, at))
                chain, at = chains[outcome.chain], 0
                continue
            if outcome is not None and outcome is not Verdict.RETURN:
                path = [frame[0].name for frame in stack] + [chain.name]
                if path[0] != self._chain.name:
                    path.insert(0, self._chain.name)
                return Walked(outcome, entry, tuple(path))
            if not stack:
                policy = Verdict.ACCEPT if self._chain.policy == "accept" else Verdict.DROP
                return Walked(policy, None, (self._chain.name,))
            chain, at = stack.pop()

    def _evaluate(self, entry: RuleEntry, packet: Packet) -> Verdict | Goto | None:
        """Run one rule: its verdict, or `None` to go on with the next."""
        compiled = entry.compiled
        if compiled is None:
            compiled = entry.compiled = tuple(each.compile(self._env) for each in entry.rule.statements)
        hook = self._hook
        for run in compiled:
            outcome = run(packet, hook)
            if outcome is None:
                continue
            return None if isinstance(outcome, Miss) else outcome
        return None

    # --- observation ---------------------------------------------------------------------------------------------

    def _report(self, packet: Packet, walked: Walked) -> None:
        namespace = self._netfilter.namespace
        name = f"{self._table.label} {self._chain.name}"
        decision = f"{self._table.label} {' → '.join(walked.chains)}: "
        decision += f"policy {self._chain.policy}" if walked.entry is None else walked.entry.rule.text()
        if walked.verdict is Verdict.ACCEPT:
            if self._chain.rules or self._chain.policy != "accept":
                namespace.report(Step.HOOK, f"{name} lets it go on", packet, decision=decision)
            return
        if walked.verdict is Verdict.REJECT:
            reason = DropReason.NETFILTER_REJECT
        elif walked.entry is None:
            reason = DropReason.NETFILTER_POLICY
        elif self._chain.base is not None and self._chain.base.type is ChainType.NAT and walked.entry.rule.translates:
            reason = DropReason.NAT_EXHAUSTED
        else:
            reason = DropReason.NETFILTER_DROP
        namespace.report(Step.DROPPED, f"{name}: {reason.value}", packet, decision=decision, reason=reason)

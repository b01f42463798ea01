"""Carries the bridge driver's rule programs out on a namespace's packet filter, so that they can be undone."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import define, field

from cnmsim.errors import SystemFault
from cnmsim.kernel.netfilter.errors import IptablesError
from cnmsim.kernel.netfilter.iptables import IpTables
from cnmsim.libnetwork.drivers.bridge.rules import Action, RuleOp


@define
class RuleSet:
    """Rules that were written to one family's tables. `withdraw` takes them out again."""

    tables: IpTables
    _written: list[RuleOp] = field(factory=list)

    def write(self, program: Iterable[RuleOp]) -> None:
        """Carry a program out. If an operation fails, those before it are taken back and the error goes on."""
        before = len(self._written)
        try:
            for op in program:
                if carry_out(self.tables, op):
                    self._written.append(op)
        except Exception:
            self._take_back(before)
            raise

    def withdraw(self) -> None:
        """Delete every rule that was written. Chains and rules already gone are let be."""
        self._take_back(0)

    def _take_back(self, keep: int) -> None:
        while len(self._written) > keep:
            op = self._written.pop()
            if op.action in {Action.APPEND, Action.INSERT} and self.tables.exists(op.table, op.chain, op.rule):
                self.tables.delete(op.table, op.chain, op.rule)


def carry_out(tables: IpTables, op: RuleOp) -> bool:
    """Do one operation; tell whether it wrote a rule that was not there.

    Raises `SystemFault` in the engine's words if iptables refuses, as when somebody deleted Docker's chains.
    """
    try:
        return _carry_out(tables, op)
    except IptablesError as error:
        program = "ip6tables" if tables.family == 6 else "iptables"
        letter = "-A" if op.action is Action.APPEND else "-I"
        command = f"{program} --wait -t {op.table} {letter} {op.chain} {op.wording or op.rule}"
        purpose = f"Unable to enable {op.purpose} rule: " if op.purpose else ""
        raise SystemFault(
            f"{purpose} (iptables failed: {command}: {error.text}\n (exit status {error.status}))"
        ) from None


def _carry_out(tables: IpTables, op: RuleOp) -> bool:
    if op.action is Action.NEW_CHAIN:
        if op.chain not in tables.tables[op.table].chains:
            tables.new_chain(op.table, op.chain)
        return False
    present = tables.exists(op.table, op.chain, op.rule)
    if op.action is Action.TOP:
        if present:
            tables.delete(op.table, op.chain, op.rule)
        tables.insert(op.table, op.chain, op.rule)
    elif not present:
        write = tables.append if op.action is Action.APPEND else tables.insert
        write(op.table, op.chain, op.rule)
    return not present

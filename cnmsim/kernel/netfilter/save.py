"""Rule sets as text: iptables-save, iptables-restore and `iptables -S`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from cnmsim.kernel.netfilter.errors import IptablesError, ParameterProblemError
from cnmsim.kernel.netfilter.hooks import program_name
from cnmsim.kernel.netfilter.option_values import split_words
from cnmsim.kernel.netfilter.table import Chain, RuleEntry, Table

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.iptables import IpTables
    from cnmsim.kernel.netfilter.netfilter import Netfilter


def rule_line(chain: str, entry: RuleEntry) -> str:
    """Write one rule as `-A CHAIN …`."""
    text = str(entry.rule)
    return f"-A {chain} {text}" if text else f"-A {chain}"


def rule_lines(chains: Iterable[Chain], *, with_counters: bool = False, number: int = 0) -> str:
    """Write chains as `iptables -S` does: policies and new chains first, then the rules; or one rule by number."""
    chains = list(chains)
    lines = []
    for chain in chains if not number else ():
        counts = f" -c {chain.packets} {chain.bytes}" if with_counters and chain.policy is not None else ""
        lines.append(f"-P {chain.name} {chain.policy}{counts}" if chain.policy is not None else f"-N {chain.name}")
    for chain in chains:
        for at, entry in enumerate(chain.rules, 1):
            if number in {0, at}:
                lines.append(_counted_line(chain.name, entry) if with_counters else rule_line(chain.name, entry))
    return "".join(f"{line}\n" for line in lines)


def _counted_line(chain: str, entry: RuleEntry) -> str:
    parts = [f"-A {chain}", entry.rule.matches_text(), f"-c {entry.packets} {entry.bytes}", entry.rule.target_text()]
    return " ".join(part for part in parts if part)


def save(tables: Mapping[str, Table], name: str | None, *, with_counters: bool = False) -> str:
    """Write the tables that exist (or one, if it does) as iptables-save does, without its comment lines."""
    parts = []
    for table in tables.values():
        if table.name == name or (name is None and table.exists):
            parts.extend(_table_lines(table, with_counters=with_counters))
    return "".join(f"{line}\n" for line in parts)


def _table_lines(table: Table, *, with_counters: bool) -> list[str]:
    lines = [f"*{table.name}"]
    chains = table.chains_in_order()
    lines.extend(f":{chain.name} {chain.policy or '-'} [{chain.packets}:{chain.bytes}]" for chain in chains)
    for chain in chains:
        for entry in chain.rules:
            counts = f"[{entry.packets}:{entry.bytes}] " if with_counters else ""
            lines.append(counts + rule_line(chain.name, entry))
    lines.append("COMMIT")
    return lines


class Restorer:
    """One run of iptables-restore."""

    def __init__(self, tables: IpTables, netfilter: Netfilter, *, no_flush: bool, with_counters: bool) -> None:
        self._tables = tables
        self._netfilter = netfilter
        self._program = f"{program_name(tables.family)}-restore"
        self._version = tables.variant.version
        self._no_flush = no_flush
        self._with_counters = with_counters
        self._table: Table | None = None

    def run(self, text: str) -> None:
        """Take every line. Raises `IptablesError` that names the first wrong one."""
        number = 0
        for number, raw in enumerate(text.splitlines(), 1):
            line = raw.strip()
            if not line or line.startswith("#"):
                continue
            try:
                self._line(line, number)
            except ParameterProblemError as problem:
                raise self._problem(number, problem.text(self._tables.variant)) from None
            except IptablesError as error:
                if error.text.startswith(self._program):
                    raise
                raise self._failure(number, error) from None
        if self._table is not None:
            raise IptablesError(1, f"{self._program}: COMMIT expected at line {number + 1}")

    def _problem(self, line: int, message: str) -> IptablesError:
        program = self._program
        hint = f"Try `{program} -h' or '{program} --help' for more information."
        return IptablesError(2, f"{program} {self._version}: {message}\nError occurred at line: {line}\n{hint}")

    def _failure(self, line: int, error: IptablesError) -> IptablesError:
        """Word the failure of one line's command as iptables-restore does."""
        name = program_name(self._tables.family)
        text = error.text.removeprefix(f"{name}: ").removeprefix(f"{name} {self._version}: ")
        if error.status == 2:
            return self._problem(line, text.rpartition("\nTry `")[0])
        if self._tables.variant.is_legacy:
            return IptablesError(1, f"{self._program}: line {line} failed")
        if error.status == 4:
            return IptablesError(4, f"{self._program} {self._version}: \nline {line}:{text}")
        return IptablesError(error.status, f"{self._program}: line {line} failed: {text}")

    def _line(self, line: str, number: int) -> None:
        if line == "COMMIT" and self._table is not None:
            self._table = None
            self._netfilter.rules_changed()
        elif line.startswith("*"):
            self._begin(line[1:], number)
        elif self._table is None:
            raise IptablesError(1, f"{self._program}: line {number} failed")
        elif line.startswith(":"):
            self._declare(self._table, line[1:])
        else:
            self._rule(self._table, line)

    def _begin(self, name: str, number: int) -> None:
        table = self._tables.tables.get(name)
        if table is None:
            if self._tables.variant.is_legacy:
                raise ParameterProblemError(f"{self._program}: unable to initialize table '{name}'\n")
            raise ParameterProblemError(f"{self._program}: line {number} table name '{name}' invalid")
        if not self._no_flush:
            table.chains = Table(name, self._tables.family).chains
        self._tables.create_table(table)
        self._table = table

    def _declare(self, table: Table, text: str) -> None:
        words = text.split()
        if len(words) < 2:
            raise ParameterProblemError("invalid chain line")
        name, policy = words[0], words[1]
        chain = table.chains.get(name)
        if chain is None:
            chain = table.chains[name] = Chain(name)
        elif chain.policy is None:
            chain.clear()
        self._tables.register_chain(chain)
        if policy != "-":
            if policy not in {"ACCEPT", "DROP"} or chain.policy is None:
                raise ParameterProblemError(f"Can't set policy `{policy}' on `{name}' line")
            chain.policy = policy
        if self._with_counters and len(words) > 2:
            chain.packets, chain.bytes = _counts(words[2])

    def _rule(self, table: Table, line: str) -> None:
        words = split_words(line)
        counts = (0, 0)
        if words[0].startswith("["):
            counts = _counts(words.pop(0))
        if any(word in {"-t", "--table"} for word in words):
            raise ParameterProblemError("The -t option cannot be used in iptables-restore.")
        given = ["-c", str(counts[0]), str(counts[1])] if self._with_counters and words[:1] == ["-A"] else []
        self._tables.execute(["-t", table.name, *words, *given])


def _counts(text: str) -> tuple[int, int]:
    packets, colon, size = text.strip("[]").partition(":")
    if not (colon and packets.isdigit() and size.isdigit()):
        raise ParameterProblemError("invalid counters")
    return int(packets), int(size)

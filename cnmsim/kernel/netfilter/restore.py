"""iptables-restore: replaces rules by those in the text that iptables-save prints."""

from __future__ import annotations

from cnmsim.digits import is_number
from cnmsim.kernel.netfilter.errors import IptablesError, ParameterProblemError
from cnmsim.kernel.netfilter.hooks import program_name
from cnmsim.kernel.netfilter.iptables import IpTables
from cnmsim.kernel.netfilter.option_values import split_words
from cnmsim.kernel.netfilter.table import Chain, Table


def restore_rules(tables: IpTables, text: str, *, no_flush: bool = False, with_counters: bool = False) -> None:
    """Execute `text`, which has the format of iptables-save, as iptables-restore does.

    If `no_flush` is True, the existing rules of the tables in `text` are kept; otherwise they are deleted first.
    `with_counters` also sets the counters. Raises `IptablesError` if a line is invalid; then nothing is changed.
    """
    before = tables.save(counters=True)
    existing = {name for name, table in tables.tables.items() if table.exists}
    try:
        _Restorer(tables, no_flush=no_flush, with_counters=with_counters).run(text)
    except IptablesError:
        tables.reset(existing)
        _Restorer(tables, no_flush=False, with_counters=True).run(before)
        raise


class _Restorer:
    """One run of iptables-restore."""

    def __init__(self, tables: IpTables, *, no_flush: bool, with_counters: bool) -> None:
        self._tables = tables
        self._program = f"{program_name(tables.family)}-restore"
        self._version = tables.variant.version
        self._no_flush = no_flush
        self._with_counters = with_counters
        self._table: Table | None = None

    def run(self, text: str) -> None:
        """Execute every line of `text`. Raises an `IptablesError` that names the first invalid line."""
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
        """Return `error`, which a command in line number `line` raised, in the wording of iptables-restore."""
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
            self._tables.notify_rules_changed()
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
        counter_options = (
            ["-c", str(counts[0]), str(counts[1])] if self._with_counters and words[:1] == ["-A"] else []
        )
        self._tables.execute(["-t", table.name, *words, *counter_options])


def _counts(text: str) -> tuple[int, int]:
    packets, colon, size = text.strip("[]").partition(":")
    if not (colon and is_number(packets) and is_number(size)):
        raise ParameterProblemError("invalid counters")
    return int(packets), int(size)

"""Statements of rules with their text and evaluation: comparisons, verdicts and counters; and rules.

Source: net/netfilter/nft_{cmp,lookup,bitwise,counter}.c, nftables src/statement.c.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

from attrs import define, evolve, field, frozen

from cnmsim.kernel.netfilter.hooks import Hook
from cnmsim.kernel.netfilter.nftables.datatypes import Span
from cnmsim.kernel.netfilter.nftables.elements import Data, Elements, Jump
from cnmsim.kernel.netfilter.nftables.keys import INDEX, Key, Read
from cnmsim.kernel.netfilter.targets import Verdict
from cnmsim.kernel.skbuff import Packet

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.packet_filter import PacketFilter


class Break(Enum):
    """The outcome that ends a rule without a verdict, e.g. of a comparison that is false (NFT_BREAK)."""

    BREAK = "break"


BREAK = Break.BREAK
#: The outcome of a statement: None continues with the next statement, `Break` with the next rule; others are
#: verdicts.
Outcome: TypeAlias = Verdict | Jump | Break | None
Evaluate: TypeAlias = Callable[[Packet, Hook], Outcome]
#: The outcome of each verdict that names no chain.
VERDICTS: dict[str, Verdict | Break] = {
    "accept": Verdict.ACCEPT, "drop": Verdict.DROP, "return": Verdict.RETURN, "continue": BREAK,
}  # fmt: skip


@frozen
class CompileContext:
    """The argument with which statements are compiled.

    `netfilter` is the packet filter. `find_set(name)` returns the elements of the table's set or map `name`.
    """

    netfilter: PacketFilter
    find_set: Callable[[str], Elements]


class Statement(ABC):
    """A statement of an nft rule, such as a comparison, a counter or a verdict. The base class of all statements."""

    __slots__ = ()
    needs_conntrack = False
    #: Whether it translates addresses.
    translates = False
    #: Whether its outcome depends only on the flow (`Dependency.FLOW`) and it has no side effect; else it is never
    #: cached.
    is_cacheable = False

    @abstractmethod
    def text(self, *, show_counters: bool) -> str:
        """Return the statement as nft lists it. `show_counters` includes the values of counters."""

    @abstractmethod
    def compile(self, context: CompileContext) -> Evaluate:
        """Return the function that applies this statement to a packet and returns its outcome (`Outcome`)."""

    def chains(self) -> Iterator[str]:
        """Yield the names of the chains to which the statement may jump, except those in named maps.

        The base class, for statements without jumps, yields none.
        """
        yield from ()

    def set_names(self) -> Iterator[str]:
        """Yield the names of the named sets and maps that the statement looks up."""
        yield from ()


def _field_text(key: Key, span: Span, name_of: Callable[[int], str]) -> str:
    return f'"{name_of(span.low)}"' if key.type is INDEX else key.type.text(span)


#: The right side of a comparison: one span, an anonymous set, or the name of a set.
Operand = Span | Elements | str


def operand_text(operand: Operand, key: Key, index_names: tuple[tuple[int, str], ...] = ()) -> str:
    """Return the text of an operand with which the field `key` is compared.

    `index_names` are pairs of interface index and name; an index is listed by its name.
    """
    if isinstance(operand, str):
        return f"@{operand}"
    if isinstance(operand, Elements):
        return operand.inline()
    return _field_text(key, operand, lambda index: dict(index_names).get(index, str(index)))


def values_reader(keys: tuple[Key, ...], context: CompileContext) -> Callable[[Packet], tuple[int, ...] | None]:
    """Return a function that reads the fields `keys` of a packet. It returns None if the packet lacks one of them."""
    reads: list[Read] = [key.reader(context.netfilter.namespace) for key in keys]
    if len(reads) == 1:
        read = reads[0]

        def one(packet: Packet) -> tuple[int, ...] | None:
            value = read(packet)
            return None if value is None else (value,)

        return one

    def several(packet: Packet) -> tuple[int, ...] | None:
        values = []
        for read_field in reads:
            value = read_field(packet)
            if value is None:
                return None
            values.append(value)
        return tuple(values)

    return several


def keys_text(keys: tuple[Key, ...]) -> str:
    """Return the text of one field, or of a concatenation such as `ip saddr . tcp dport`."""
    return " . ".join(key.text for key in keys)


class FieldStatement(Statement):
    """A statement that reads fields of the packet and compares them with an operand or looks them up in it."""

    __slots__ = ()
    keys: tuple[Key, ...]
    operand: Operand

    @property
    def is_cacheable(self) -> bool:  # type: ignore[override]
        """Whether all fields that the statement reads are constant within a flow."""
        return all(key.is_flow_constant for key in self.keys)

    @property
    def needs_conntrack(self) -> bool:  # type: ignore[override]
        """Whether the statement reads a field of the packet's connection."""
        return any(key.needs_conntrack for key in self.keys)

    def set_names(self) -> Iterator[str]:
        """Yield the name of the set or map that the statement looks up, if that is a named one."""
        if isinstance(self.operand, str):
            yield self.operand


@frozen(eq=False)
class Match(FieldStatement):
    """A comparison of the fields `keys` with an operand, after ANDing with `mask` unless it is None.

    `operator` is written as in nft, e.g. `!=`. "" tests for equality, or for bit sets whether a bit of the operand is
    set. `index_names` are pairs of interface index and name, for listings.
    """

    keys: tuple[Key, ...]
    operator: str
    operand: Operand
    mask: int | None = None
    index_names: tuple[tuple[int, str], ...] = ()

    @property
    def is_equality(self) -> bool:
        """Whether the statement tests if one field is equal to one value."""
        return (
            len(self.keys) == 1 and self.operator == "" and self.mask is None
            and isinstance(self.operand, Span) and self.operand.is_single and not self.keys[0].type.is_flags
        )  # fmt: skip

    def text(self, *, show_counters: bool) -> str:
        """Return the statement as nft lists it. It has no counters, so `show_counters` is not used."""
        key = self.keys[0]
        words = [keys_text(self.keys)]
        if self.mask is not None and isinstance(self.operand, Span):
            return f"{words[0]} {self._masked(key, self.mask, self.operand)}"
        if self.operator == "==" and isinstance(self.operand, Span) and key.type.is_flags:
            words.append("==")
        elif self.operator not in {"", "=="}:
            words.append(self.operator)
        words.append(operand_text(self.operand, key, self.index_names))
        return " ".join(words)

    def _masked(self, key: Key, mask: int, operand: Span) -> str:
        kind = key.type
        if kind.is_flags:
            if not operand.low:
                return f"{'! ' if self.operator in {'', '=='} else ''}{kind.write(mask)}"
            bits = kind.write(mask).replace(",", " | ")
            bits = f"({bits})" if "|" in bits else bits
            return f"& {bits} {self.operator or '=='} {kind.write(operand.low).replace(',', ' | ')}"
        return f"& {kind.write(mask)} {self.operator or '=='} {kind.write(operand.low)}"

    def compile(self, context: CompileContext) -> Evaluate:
        """Return the function that applies this statement to a packet and returns its outcome (`Outcome`)."""
        operand, operator = self.operand, self.operator
        is_inverted = operator == "!="
        if not isinstance(operand, Span):
            read_all = values_reader(self.keys, context)
            elements = context.find_set(operand) if isinstance(operand, str) else operand

            def look_up(packet: Packet, hook: Hook) -> Outcome:
                values = read_all(packet)
                return None if values is not None and elements.find(values)[0] is not is_inverted else BREAK

            return look_up
        read = self.keys[0].reader(context.netfilter.namespace)
        test = self._test(operand)

        def compare(packet: Packet, hook: Hook) -> Outcome:
            value = read(packet)
            return None if value is not None and test(value) else BREAK

        return compare

    def _test(self, operand: Span) -> Callable[[int], bool]:
        low, high, mask, operator = operand.low, operand.high, self.mask, self.operator
        if mask is not None:
            return (lambda value: value & mask != low) if operator == "!=" else (lambda value: value & mask == low)
        if self.keys[0].type.is_flags and not operator:
            return lambda value: bool(value & low)
        tests: dict[str, Callable[[int], bool]] = {
            "": lambda value: low <= value <= high,
            "==": lambda value: low <= value <= high,
            "!=": lambda value: not low <= value <= high,
            "<": lambda value: value < low,
            ">": lambda value: value > high,
            "<=": lambda value: value <= high,
            ">=": lambda value: value >= low,
        }
        return tests[operator]


def verdict_of(data: Data) -> Verdict | Jump | Break:
    """Return the outcome for `data`, a verdict such as `accept`, or a jump, which is returned unchanged."""
    if isinstance(data, Jump):
        return data
    assert isinstance(data, str)
    return VERDICTS[data]


@frozen(eq=False)
class VerdictMap(FieldStatement):
    """A statement that looks up the verdict in a map (vmap)."""

    keys: tuple[Key, ...]
    operand: Elements | str

    def chains(self) -> Iterator[str]:
        """Yield the names of the chains to which the elements of an anonymous map jump."""
        if isinstance(self.operand, Elements):
            yield from (data.chain for _, data in self.operand if isinstance(data, Jump))

    def text(self, *, show_counters: bool) -> str:
        """Return the statement as nft lists it. It has no counters, so `show_counters` is not used."""
        return f"{keys_text(self.keys)} vmap {operand_text(self.operand, self.keys[0])}"

    def compile(self, context: CompileContext) -> Evaluate:
        """Return the function that applies this statement to a packet and returns its outcome (`Outcome`)."""
        read = values_reader(self.keys, context)
        elements = context.find_set(self.operand) if isinstance(self.operand, str) else self.operand

        def choose(packet: Packet, hook: Hook) -> Outcome:
            values = read(packet)
            if values is None:
                return BREAK
            is_there, data = elements.find(values)
            return verdict_of(data) if is_there else BREAK

        return choose


@frozen(eq=False)
class VerdictStatement(Statement):
    """A verdict: accept, drop, return, continue, jump or goto."""

    verdict: str | Jump
    is_cacheable = True

    def text(self, *, show_counters: bool) -> str:
        """Return the statement as nft lists it. It has no counters, so `show_counters` is not used."""
        return str(self.verdict)

    def chains(self) -> Iterator[str]:
        """Yield the name of the chain to which the statement jumps, if it does."""
        if isinstance(self.verdict, Jump):
            yield self.verdict.chain

    def compile(self, context: CompileContext) -> Evaluate:
        """Return the function that applies this statement to a packet and returns its outcome (`Outcome`)."""
        verdict = verdict_of(self.verdict)
        return lambda packet, hook: verdict


@define(eq=False)
class Counter(Statement):
    """A statement that counts the packets that reach it, and their bytes."""

    packets: int = 0
    bytes: int = 0
    is_cacheable = True

    def text(self, *, show_counters: bool) -> str:
        """Return the statement as nft lists it. `show_counters` includes the values of the counter."""
        return f"counter packets {self.packets} bytes {self.bytes}" if show_counters else "counter"

    def compile(self, context: CompileContext) -> Evaluate:
        """Return the function that applies this statement to a packet and returns its outcome (`Outcome`)."""

        def count(packet: Packet, hook: Hook) -> Outcome:
            self.packets += 1
            self.bytes += len(packet.data)
            return None

        return count


@frozen(eq=False)
class Rule:
    """The statements of one rule and its comment."""

    statements: tuple[Statement, ...]
    comment: str = ""
    #: The number of anonymous sets in the rule; each takes a handle.
    anonymous_sets: int = field(default=0)

    def text(self, *, show_counters: bool = False) -> str:
        """Return the rule as nft lists it. `show_counters` includes the values of counters."""
        words = [statement.text(show_counters=show_counters) for statement in self.statements]
        if self.comment:
            words.append(f'comment "{self.comment}"')
        return " ".join(word for word in words if word)

    @property
    def is_context_free(self) -> bool:
        """Whether the rule's text means the same in every table of a family.

        This is so if it contains no name of a chain or set, and no interface index.
        """
        for statement in self.statements:
            if any(statement.chains()) or any(statement.set_names()):
                return False
            if any(key.type is INDEX for key in getattr(statement, "keys", ())):
                return False
        return True

    def copy(self) -> Rule:
        """Return a copy of the rule that has counters of its own, with the same values."""
        statements = (
            Counter(statement.packets, statement.bytes) if isinstance(statement, Counter) else statement
            for statement in self.statements
        )
        return evolve(self, statements=tuple(statements))

    @property
    def needs_conntrack(self) -> bool:
        """Whether the rule reads the connection of packets, so that packets must pass connection tracking."""
        return any(statement.needs_conntrack for statement in self.statements)

    @property
    def translates(self) -> bool:
        """Whether the rule contains a statement that translates addresses (snat, dnat, masquerade, redirect)."""
        return any(statement.translates for statement in self.statements)

"""Policy routing: rules that choose a routing table by source, mark and device (Linux: net/core/fib_rules.c, ip-rule(8)).

A namespace has them once it needs more than the main table; until then routing asks that table alone. The rule of the local table
is always the first, and what it holds is found without it.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import frozen

from cnmsim.kernel.address import Address, Prefix
from cnmsim.kernel.route import Route, RoutingTable

if TYPE_CHECKING:
    from cnmsim.kernel.device import Device

#: Numbers of the tables that every kernel has.
DEFAULT, MAIN, LOCAL = 253, 254, 255
TABLE_NAMES = {DEFAULT: "default", MAIN: "main", LOCAL: "local"}
_LAST = 32766
_WHOLE_MARK = 0xFFFFFFFF


@frozen
class FibRule:
    """One rule. What is `None`, "" or 0 matches everything; `indev` is `lo` for packets that start here.

    `action` is `lookup` (in `table`), `blackhole`, `unreachable` or `prohibit`; of `mark` only the bits of `mask` count. A route
    whose prefix is no longer than `suppress_length` is passed over, and the next rule asked (-1: none is); an `unreachable` one and
    its kin are answers all the same.
    """

    priority: int
    table: int = MAIN
    action: str = "lookup"
    source: Prefix | None = None
    destination: Prefix | None = None
    indev: str = ""
    outdev: str = ""
    mark: int = 0
    mask: int = 0
    is_inverted: bool = False
    suppress_length: int = -1

    def matches(self, dst: Address, src: Address | None, indev: str, outdev: str, mark: int) -> bool:
        """Tell whether the rule is about a packet (fib_rule_match); `src` is `None` while the source is to be chosen."""
        found = (
            self.indev in ("", indev)
            and self.outdev in ("", outdev)
            and not (mark ^ self.mark) & self.mask
            and (self.source is None or not self.source.length or (src is not None and src in self.source))
            and (self.destination is None or dst in self.destination)
        )
        return found is not self.is_inverted

    def text(self, names: dict[int, str] = TABLE_NAMES) -> str:
        """Write the rule as `ip rule` does, its priority before it; `names` are those of the tables."""
        words = [f"{self.priority}:\t{'not ' if self.is_inverted else ''}from", _target(self.source) or "all"]
        words += ["to", _target(self.destination)] if self.destination is not None else []
        if self.mask:
            mask = "" if self.mask == _WHOLE_MARK else f"/{self.mask:#x}"
            words += ["fwmark", f"{self.mark:#x}{mask}"]
        words += ["iif", self.indev] if self.indev else []
        words += ["oif", self.outdev] if self.outdev else []
        words += ["lookup", names.get(self.table, str(self.table))] if self.action == "lookup" else [self.action]
        words += ["suppress_prefixlength", str(self.suppress_length)] if self.suppress_length >= 0 else []
        return " ".join(words)

    def __str__(self) -> str:
        """Write the rule on one line."""
        return self.text().replace("\t", " ")


def _target(prefix: Prefix | None) -> str:
    if prefix is None or not prefix.length:
        return "all" if prefix is None else str(prefix)
    return str(prefix).removesuffix("/128" if prefix.family == 6 else "/32")


class FibRules:
    """The rules of one family and their tables. `on_change` is called whenever a rule or a table changes."""

    __slots__ = ("_on_change", "family", "rules", "tables", "usual")

    def __init__(self, main: RoutingTable, on_change: Callable[[], None]) -> None:
        self.family = main.family
        self._on_change = on_change
        self.tables = {MAIN: main}
        self.rules = [FibRule(_LAST, MAIN)]
        if self.family == 4:
            self.rules.append(FibRule(_LAST + 1, DEFAULT))
        #: The rules that every namespace begins with.
        self.usual = tuple(self.rules)

    def table(self, number: int) -> RoutingTable:
        """Give a table; one that is asked for the first time is empty."""
        if number not in self.tables:
            self.tables[number] = RoutingTable(self.family, self._on_change)
        return self.tables[number]

    def add(self, rule: FibRule) -> None:
        """Add a rule behind those of its priority. Raises `OSError(EEXIST)` if it is there."""
        if rule in self.rules:
            raise OSError(errno.EEXIST, "File exists")
        at = next((n for n, each in enumerate(self.rules) if each.priority > rule.priority), len(self.rules))
        self.rules.insert(at, rule)
        self._on_change()

    def remove(self, rule: FibRule) -> None:
        """Remove a rule. Raises `OSError(ENOENT)` if it is not there."""
        try:
            self.rules.remove(rule)
        except ValueError:
            raise OSError(errno.ENOENT, "No such file or directory") from None
        self._on_change()

    def default_priority(self) -> int:
        """Give the priority of a rule that names none: one before the first behind the local table's (fib_default_rule_pref)."""
        return max(self.rules[0].priority - 1, 0) if self.rules else 0

    def find(
        self, dst: Address, src: Address | None, indev: Device | None, outdev: Device | None, mark: int
    ) -> tuple[Route | None, FibRule | None]:
        """Find the route of a packet and the rule that led to it (fib_rules_lookup).

        A rule that is `blackhole` or `prohibit` answers with such a route; `unreachable` with none, as a network without a way.
        """
        come_in, go_out = indev.name if indev is not None else "lo", outdev.name if outdev is not None else ""
        for rule in self.rules:
            if not rule.matches(dst, src, come_in, go_out, mark):
                continue
            if rule.action != "lookup":
                nowhere = Route(Prefix(bytes(len(dst)), 0), kind=rule.action)
                return (None if rule.action == "unreachable" else nowhere), rule
            table = self.tables.get(rule.table)
            route = table.lookup(dst, outdev) if table is not None else None
            if route is not None and (route.prefix.length > rule.suppress_length or route.kind != "unicast"):
                return route, rule
        return None, None

    def remove_device(self, device: Device) -> None:
        """Remove every route out of a device from the tables other than main."""
        for number, table in self.tables.items():
            if number != MAIN:
                table.remove_device(device)

    def forget(self) -> None:
        """Forget what the tables other than main have cached, because something routes depend on has changed."""
        for number, table in self.tables.items():
            if number != MAIN:
                table.changed()

    def numbers(self) -> list[int]:
        """List the tables that hold routes, in the order in which the kernel dumps them (by hash)."""
        return sorted((each for each in self.tables if len(self.tables[each])), key=lambda each: (each & 255, each))


def decision_text(route: Route | None, rule: FibRule | None) -> str:
    """Write what decided about a packet: its route, and the rule that led there or that refused it."""
    if rule is not None and rule.action != "lookup":
        return f"ip rule {rule}"
    text = "" if route is None else str(route)
    return text if rule is None else f"{text}, by rule {rule}"


def default_mask(mark: int) -> int:
    """Give the mask of a mark that is given without one."""
    return _WHOLE_MARK if mark else 0

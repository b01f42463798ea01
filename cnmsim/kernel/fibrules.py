"""Policy routing: rules that select a routing table by source, mark and device (net/core/fib_rules.c, ip-rule(8)).

A namespace creates its rules when it needs more than the main table; until then lookups use that table only. The rule
for the local table always comes first and is not stored, because local addresses are looked up without it.
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
_MAIN_PRIORITY = 32766
_FULL_MASK = 0xFFFFFFFF


@frozen
class FibRule:
    """One rule. A field that is `None`, "" or 0 matches every packet.

    `indev` is `lo` to match locally generated packets. `action` is `lookup` (in `table`), `blackhole`, `unreachable`
    or `prohibit`. `mask` selects the bits of `mark` to compare. If the route that `table` returns is a unicast route
    with a prefix of at most `suppress_length` bits, it is ignored and the next rule is tried; -1 ignores none.
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
        """Return True if the rule matches a packet with these addresses, devices and mark (fib_rule_match).

        `src` is `None` while the source address is still to be chosen. `indev` is `lo` for a locally generated
        packet. `outdev` is the device that the sender requires, or "".
        """
        matches_all = (
            self.indev in ("", indev)
            and self.outdev in ("", outdev)
            and not (mark ^ self.mark) & self.mask
            and (self.source is None or not self.source.length or (src is not None and src in self.source))
            and (self.destination is None or dst in self.destination)
        )
        return matches_all is not self.is_inverted

    def text(self, names: dict[int, str] = TABLE_NAMES) -> str:
        """Format the rule as `ip rule` prints it after the priority. `names` maps table numbers to names."""
        words = [f"{self.priority}:\t{'not ' if self.is_inverted else ''}from", _target(self.source) or "all"]
        words += ["to", _target(self.destination)] if self.destination is not None else []
        if self.mask:
            mask = "" if self.mask == _FULL_MASK else f"/{self.mask:#x}"
            words += ["fwmark", f"{self.mark:#x}{mask}"]
        words += ["iif", self.indev] if self.indev else []
        words += ["oif", self.outdev] if self.outdev else []
        words += ["lookup", names.get(self.table, str(self.table))] if self.action == "lookup" else [self.action]
        words += ["suppress_prefixlength", str(self.suppress_length)] if self.suppress_length >= 0 else []
        return " ".join(words)

    def __str__(self) -> str:
        """Format the rule on one line."""
        return self.text().replace("\t", " ")


def _target(prefix: Prefix | None) -> str:
    if prefix is None or not prefix.length:
        return "all" if prefix is None else str(prefix)
    return str(prefix).removesuffix("/128" if prefix.family == 6 else "/32")


class FibRules:
    """The policy routing rules of one address family, and the routing tables that they refer to.

    `on_change` is called after every change of a rule or table.
    """

    __slots__ = ("_on_change", "default_rules", "family", "rules", "tables")

    def __init__(self, main: RoutingTable, on_change: Callable[[], None]) -> None:
        self.family = main.family
        self._on_change = on_change
        self.tables = {MAIN: main}
        self.rules = [FibRule(_MAIN_PRIORITY, MAIN)]
        if self.family == 4:
            self.rules.append(FibRule(_MAIN_PRIORITY + 1, DEFAULT))
        #: The rules that every namespace starts with.
        self.default_rules = tuple(self.rules)

    def table(self, number: int) -> RoutingTable:
        """Return the routing table with this number, creating an empty one on first use."""
        if number not in self.tables:
            self.tables[number] = RoutingTable(self.family, self._on_change)
        return self.tables[number]

    def add(self, rule: FibRule) -> None:
        """Insert a rule after the existing rules with the same priority.

        Raises `OSError(EEXIST)` if an equal rule exists.
        """
        if rule in self.rules:
            raise OSError(errno.EEXIST, "File exists")
        at = next((n for n, existing in enumerate(self.rules) if existing.priority > rule.priority), len(self.rules))
        self.rules.insert(at, rule)
        self._on_change()

    def remove(self, rule: FibRule) -> None:
        """Remove a rule. Raises `OSError(ENOENT)` if it does not exist."""
        try:
            self.rules.remove(rule)
        except ValueError:
            raise OSError(errno.ENOENT, "No such file or directory") from None
        self._on_change()

    def default_priority(self) -> int:
        """Return the priority for a rule that specifies none (fib_default_rule_pref).

        It is one less than the priority of the first rule after the local table's.
        """
        return max(self.rules[0].priority - 1, 0) if self.rules else 0

    def find(
        self, dst: Address, src: Address | None, indev: Device | None, outdev: Device | None, mark: int
    ) -> tuple[Route | None, FibRule | None]:
        """Return the route of a packet and the rule that selected it (fib_rules_lookup).

        Both are `None` if no rule leads to a route. If the action of the rule is `blackhole` or `prohibit`, the route
        has that kind; if it is `unreachable`, the route is `None`. `indev` is `None` for a locally generated packet.
        `outdev` is the device that the sender requires, or `None` for any.
        """
        indev_name, outdev_name = indev.name if indev is not None else "lo", outdev.name if outdev is not None else ""
        for rule in self.rules:
            if not rule.matches(dst, src, indev_name, outdev_name, mark):
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

    def clear_caches(self) -> None:
        """Clear cached lookups of the tables other than main, because a device, link or address has changed."""
        for number, table in self.tables.items():
            if number != MAIN:
                table.invalidate()

    def table_numbers(self) -> list[int]:
        """Return the numbers of the tables that contain routes, in the order of the kernel's listing (by hash)."""
        return sorted(
            (number for number in self.tables if len(self.tables[number])), key=lambda number: (number & 255, number)
        )


def decision_text(route: Route | None, rule: FibRule | None) -> str:
    """Format a routing decision: the route, and the policy rule that selected it unless `rule` is `None`.

    For a rule that rejects the packet, only the rule is formatted.
    """
    if rule is not None and rule.action != "lookup":
        return f"ip rule {rule}"
    text = "" if route is None else str(route)
    return text if rule is None else f"{text}, by rule {rule}"


def default_mask(mark: int) -> int:
    """Return the mask of a `mark` that was specified without a mask: all bits, or 0 if the mark is 0."""
    return _FULL_MASK if mark else 0

"""What an iptables match is made of: its options, its listing text and its compiled test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from attrs import frozen

from cnmsim.kernel.netfilter.extension import Extension, FinalCheck, Option, accept_any
from cnmsim.kernel.netfilter.hooks import Dependency
from cnmsim.kernel.skbuff import Packet

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.packet_filter import PacketFilter

#: A compiled match: tells whether one packet fits.
Test = Callable[[Packet], bool]


@frozen
class MatchKind:
    """One match extension.

    `compile` makes the test for one setting of the match in one namespace; `describe` gives the text of a listing
    (`iptables -L`), numeric or with names; `depends` declares what the test's outcome depends on, if need be
    by option ("" for any use); `has_no_leading_space` that a listing puts no blank before its text.
    """

    name: str
    options: tuple[Option, ...]
    compile: Callable[[Extension, int, PacketFilter], Test]
    describe: Callable[[Extension, bool], str]
    final_check: FinalCheck = accept_any
    depends: Dependency | Mapping[str, Dependency] = Dependency.ANYTHING
    families: tuple[int, ...] = (4, 6)
    aliases: tuple[str, ...] = ()
    needs_conntrack: bool = False
    has_no_leading_space: bool = False

    def dependencies(self, match: Extension) -> set[Dependency]:
        """Return what the outcome of this use of the match depends on."""
        if isinstance(self.depends, Dependency):
            return {self.depends}
        names = {"", *(setting.name for setting in match.settings)}
        return {what for name, what in self.depends.items() if name in names}


def negate(test: Test) -> Test:
    """Give the opposite test."""

    def opposite(packet: Packet) -> bool:
        return not test(packet)

    return opposite


def invert_if(is_inverted: bool, test: Test) -> Test:
    """Give the test, or its opposite if `!` stood before the option."""
    return negate(test) if is_inverted else test


def all_of(tests: list[Test]) -> Test:
    """Give the test that all of `tests` pass."""
    if not tests:
        return always
    if len(tests) == 1:
        return tests[0]

    def every(packet: Packet) -> bool:
        return all(test(packet) for test in tests)

    return every


def always(packet: Packet) -> bool:
    """Fit every packet."""
    return True


def options_listing(prefix: str, settings: list[tuple[str, str, bool]]) -> str:
    """Join listing words `label value` with `! ` before the label where inverted."""
    words = [
        f"{'! ' if is_inverted else ''}{label}{' ' + value if value else ''}"
        for label, value, is_inverted in settings
    ]
    return " ".join([prefix, *words] if prefix else words)

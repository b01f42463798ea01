"""Definition of an iptables match: its options, its listing text and its compiled test."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from attrs import frozen

from cnmsim.kernel.netfilter.extension import Extension, FinalCheck, Option, ParseContext, Setting, accept_any
from cnmsim.kernel.netfilter.hooks import Dependency
from cnmsim.kernel.netfilter.option_values import (
    host_mask_text,
    parse_host_mask,
    parse_port_range,
    parse_protocol,
    port_range_text,
)
from cnmsim.kernel.skbuff import Packet

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.connection import Connection
    from cnmsim.kernel.netfilter.packet_filter import PacketFilter

#: A compiled match: returns True if it matches the packet.
Test = Callable[[Packet], bool]
#: Compiles one use of a match: called with the match, the rule's family (4 or 6) and the namespace's packet filter.
Compile = Callable[[Extension, int, "PacketFilter"], Test]


@frozen
class MatchKind:
    """One match extension, such as `tcp` or `conntrack`.

    `compile` returns the test for one use of the match. `describe` returns the text of one use in `iptables -L`, with
    numbers if its second argument is True, else with names; `has_no_leading_space` means that no space precedes the
    text. `depends` states whether the result of the test is the same for all packets of a flow (`FLOW`) or may differ
    (`ANYTHING`). It is one value for all uses, or a mapping from the name of an option to the value for uses with
    that option; the key "" has the value for all uses and for options that the mapping does not contain.
    """

    name: str
    options: tuple[Option, ...]
    compile: Compile
    describe: Callable[[Extension, bool], str]
    final_check: FinalCheck = accept_any
    depends: Dependency | Mapping[str, Dependency] = Dependency.ANYTHING
    families: tuple[int, ...] = (4, 6)
    aliases: tuple[str, ...] = ()
    needs_conntrack: bool = False
    has_no_leading_space: bool = False

    def dependency(self, match: Extension) -> Dependency:
        """Return the dependency of `match`, which is one use of this extension.

        The result is `Dependency.FLOW` only if `depends` declares this for every option that is used.
        """
        if isinstance(self.depends, Dependency):
            return self.depends
        declared = {
            self.depends.get(name, self.depends[""]) for name in ("", *(setting.name for setting in match.settings))
        }
        return Dependency.FLOW if declared == {Dependency.FLOW} else Dependency.ANYTHING


def negate(test: Test) -> Test:
    """Return a test that passes if `test` fails."""

    def opposite(packet: Packet) -> bool:
        return not test(packet)

    return opposite


def invert_if(is_inverted: bool, test: Test) -> Test:
    """Return `test`, or its inverse if `is_inverted`."""
    return negate(test) if is_inverted else test


def all_of(tests: list[Test]) -> Test:
    """Return a test that passes if all of `tests` pass."""
    if not tests:
        return always
    if len(tests) == 1:
        return tests[0]

    def every(packet: Packet) -> bool:
        return all(test(packet) for test in tests)

    return every


def each_setting(test_of: Callable[[Setting, int, PacketFilter], Test]) -> Compile:
    """Return the `compile` function of a match that passes a packet if the test of each of its settings passes.

    `test_of(setting, family, netfilter)` returns the test of one setting, which is inverted for a setting with `!`.
    """

    def compile_(match: Extension, family: int, netfilter: PacketFilter) -> Test:
        return all_of([invert_if(s.is_inverted, test_of(s, family, netfilter)) for s in match.settings])

    return compile_


def of_connection(reads: Callable[[Connection], bool]) -> Test:
    """Return a test that passes if the packet has a connection for which `reads` returns True."""
    return lambda packet: packet.connection is not None and reads(packet.connection)


def always(packet: Packet) -> bool:
    """Return True: the test that every packet passes."""
    return True


def settings_listing(match: Extension, is_numeric: bool) -> str:
    """Return the settings of a match in the form in which `iptables -L` prints most matches.

    Each setting is printed as the option's name and its values, with an exclamation mark before it if it is inverted.
    """
    return " ".join(" ".join([*(["!"] if s.is_inverted else []), s.name, *s.values]) for s in match.settings)


def canonical_protocol(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
    """Parse an option's argument, a protocol, into its number."""
    return (str(parse_protocol(words[0])),)


def canonical_port_range(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
    """Parse an option's argument, a port or a range of ports, into `80` or `80:90`."""
    return (port_range_text(*parse_port_range(words[0])),)


def canonical_host(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
    """Parse an option's argument, an address with an optional mask, into canonical form such as `10.0.0.0/8`."""
    address, mask = parse_host_mask(words[0], context.family)
    return (host_mask_text(address, mask, always_length=False),)

"""Compiles an iptables rule into functions that test a packet, and the action of its target.

The tests that depend only on the flow (`Dependency.FLOW`) are stored separately: the flow cache stores the outcome of
a chain only if no other test was run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.kernel.netfilter.hooks import Dependency
from cnmsim.kernel.netfilter.interface import interface_test
from cnmsim.kernel.netfilter.matches import MATCHES, Test
from cnmsim.kernel.netfilter.matches.kind import always, invert_if, negate
from cnmsim.kernel.netfilter.rule import HostMatch, Rule
from cnmsim.kernel.netfilter.table import CompiledRule, Table
from cnmsim.kernel.netfilter.targets import TARGETS, Verdict

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.packet_filter import PacketFilter

_PLAIN_VERDICTS = frozenset({"ACCEPT", "DROP", "RETURN"})


def _host_test(match: HostMatch, is_source: bool) -> Test:
    bits = len(match.address) * 8
    address = match.address
    if match.mask == (1 << bits) - 1:
        if is_source:
            test: Test = lambda packet: packet.src == address  # noqa: E731
        else:
            test = lambda packet: packet.dst == address  # noqa: E731
    else:
        mask, value = match.mask, int.from_bytes(address)
        from_bytes = int.from_bytes
        if is_source:
            test = lambda packet: from_bytes(packet.src) & mask == value  # noqa: E731
        else:
            test = lambda packet: from_bytes(packet.dst) & mask == value  # noqa: E731
    return negate(test) if match.is_inverted else test


def _header_tests(rule: Rule) -> list[Test]:
    tests: list[Test] = []
    if rule.in_interface is not None:
        test = interface_test(rule.in_interface.name, lambda packet: packet.indev)
        tests.append(invert_if(rule.in_interface.is_inverted, test))
    if rule.out_interface is not None:
        test = interface_test(rule.out_interface.name, lambda packet: packet.outdev)
        tests.append(invert_if(rule.out_interface.is_inverted, test))
    if rule.source is not None:
        tests.append(_host_test(rule.source, True))
    if rule.destination is not None:
        tests.append(_host_test(rule.destination, False))
    if rule.protocol:
        number = rule.protocol
        tests.append(invert_if(rule.is_protocol_inverted, lambda packet: packet.protocol == number))
    if rule.fragment is not None:
        tests.append(invert_if(not rule.fragment, lambda packet: packet.fragment_offset > 0))
    return tests


def compile_rule(rule: Rule, table: Table, netfilter: PacketFilter) -> CompiledRule:
    """Compile a rule of `table`: its tests, and what happens if all pass (an action, a verdict or a jump)."""
    flow_tests = _header_tests(rule)
    packet_tests: list[Test] = []
    for match in rule.matches:
        kind = MATCHES[match.name]
        test = kind.compile(match, table.family, netfilter)
        if test is always:
            continue
        if packet_tests or kind.dependency(match) is not Dependency.FLOW:
            packet_tests.append(test)
        else:
            flow_tests.append(test)
    action, verdict, jump = None, None, None
    target = rule.target
    if target is not None:
        if target.name in _PLAIN_VERDICTS and not rule.is_goto:
            verdict = Verdict[target.name]
        elif target.name in TARGETS and not rule.is_goto:
            action = TARGETS[target.name].compile(target, table.family, netfilter)
        else:
            jump = table.chains[target.name]
    return CompiledRule(tuple(flow_tests), tuple(packet_tests), action, verdict, jump, rule.is_goto)

"""The tabular listing of rules: `iptables -L` with -n, -v, -x and --line-numbers."""

from __future__ import annotations

from collections.abc import Iterable

from cnmsim.kernel.address import format_ip
from cnmsim.kernel.netfilter.hooks import Variant, program_name
from cnmsim.kernel.netfilter.matches import MATCHES
from cnmsim.kernel.netfilter.option_values import host_mask_text, protocol_long_text, protocol_text
from cnmsim.kernel.netfilter.rule import HostMatch, NameMatch, Rule
from cnmsim.kernel.netfilter.table import Chain, RuleEntry, Table
from cnmsim.kernel.netfilter.targets import TARGETS

#: Addresses named in Debian's /etc/networks and /etc/hosts.
_NAMES = {b"\x7f\0\0\0": "loopback", b"\xa9\xfe\0\0": "link-local", b"\x7f\0\0\1": "localhost"}


def listing(table: Table, chains: Iterable[Chain], options: set[str], number: int = 0) -> str:
    """Return chains as `iptables -L` prints them.

    `options` are option letters: `n`, `v`, `x`, and `0` for line numbers. If `number` is not 0, return only the rule
    at that position, counted from 1, without headings.
    """
    blocks = []
    for chain in chains:
        lines = [] if number else [_chain_line(table, chain, options), _header(options)]
        lines.extend(
            _rule_line(entry, at, options, table.family)
            for at, entry in enumerate(chain.rules, 1)
            if number in {0, at}
        )
        blocks.append("".join(f"{line}\n" for line in lines))
    return "\n".join(blocks)


def _chain_line(table: Table, chain: Chain, options: set[str]) -> str:
    if chain.policy is None:
        return f"Chain {chain.name} ({table.count_references(chain.name)} references)"
    counts = ""
    if "v" in options:
        packets, size = _count(chain.packets, options).strip(), _count(chain.bytes, options).strip()
        counts = f" {packets} packets, {size} bytes"
    return f"Chain {chain.name} (policy {chain.policy}{counts})"


def _header(options: set[str]) -> str:
    words = f"{'num':<4} " if "0" in options else ""
    if "v" in options:
        words += f"{'pkts':>8} {'bytes':>10} " if "x" in options else f"{'pkts':>5} {'bytes':>5} "
    words += f"{'target':<9}  prot opt"
    if "v" in options:
        words += f" {'in':<6} {'out':<6} "
    return f"{words} {'source':<19}  {'destination':<19} "


def _count(value: int, options: set[str]) -> str:
    """Return a counter as `-L -v` prints it.

    It is five columns wide, abbreviated (K, M, G, T) if it has more digits; with the option `x` it is exact.
    """
    if "x" in options:
        return f"{value:>8}"
    if value <= 99999:
        return f"{value:>5}"
    for unit in "KMG":
        value = (value + 500) // 1000
        if value <= 9999:
            return f"{value:>4}{unit}"
    return f"{(value + 500) // 1000:>4}T"


def _rule_line(entry: RuleEntry, number: int, options: set[str], family: int) -> str:
    rule = entry.rule
    is_numeric = "n" in options
    text = f"{number:<4} " if "0" in options else ""
    if "v" in options:
        text += f"{_count(entry.packets, options)} {_count(entry.bytes, options)} "
    protocol = protocol_text(rule.protocol) if is_numeric else protocol_long_text(rule.protocol)
    text += f"{rule.target.name if rule.target else '':<9} {'!' if rule.is_protocol_inverted else ' '}{protocol:<4} "
    text += f"{_fragment(rule)} "
    if "v" in options:
        text += f" {_name(rule.in_interface, is_numeric):<6} {_name(rule.out_interface, is_numeric):<6} "
    for host in (rule.source, rule.destination):
        is_inverted = host is not None and host.is_inverted
        text += f"{'!' if is_inverted else ' '}{_host(host, family, is_numeric):<19} "
    if rule.is_goto:
        text += "[goto] "
    return text + _extension_text(rule, is_numeric)


def _fragment(rule: Rule) -> str:
    return {None: "--", True: "-f", False: "!f"}[rule.fragment]


def _name(match: NameMatch | None, is_numeric: bool) -> str:
    if match is None:
        return "*" if is_numeric else "any"
    return f"!{match.name}" if match.is_inverted else match.name


def _host(match: HostMatch | None, family: int, is_numeric: bool) -> str:
    if match is None or match.mask == 0:
        if not is_numeric:
            return "anywhere"
        return "::/0" if family == 6 else "0.0.0.0/0"
    is_host = match.mask == (1 << len(match.address) * 8) - 1
    text = format_ip(match.address) if is_host else host_mask_text(match.address, match.mask)
    name = None if is_numeric else _NAMES.get(match.address)
    return text if name is None else name + text[len(format_ip(match.address)) :]


def _extension_text(rule: Rule, is_numeric: bool) -> str:
    text = ""
    for match in rule.matches:
        kind = MATCHES[match.name]
        word = kind.describe(match, is_numeric)
        text += word if kind.has_no_leading_space or not word else f" {word}"
    if rule.target is not None and rule.target.name in TARGETS and not rule.is_goto:
        word = TARGETS[rule.target.name].describe(rule.target, is_numeric)
        text += f" {word}" if word else ""
    return text


def echo_line(rule: Rule, family: int) -> str:
    """Return the line that `iptables -v -A`, or ip6tables for family 6, prints for a rule."""
    target = rule.target.name if rule.target else ""
    protocol = f"{'!' if rule.is_protocol_inverted else ''}{protocol_text(rule.protocol)}"
    text = f"{target}  {protocol} opt {_fragment(rule)} in {_name(rule.in_interface, True)}"
    text += f" out {_name(rule.out_interface, True)} "
    for host, arrow in ((rule.source, " "), (rule.destination, "-> ")):
        mark = "!" if host is not None and host.is_inverted else ""
        text += f"{arrow}{mark}{_host(host, family, True)}  "
    return text + _extension_text(rule, True) + "\n"


def usage(family: int, variant: Variant) -> str:
    """Return the help text of `iptables` (family 4) or `ip6tables` (family 6) of that variant."""
    program = program_name(family)
    return (
        f"{program} {variant.version}\n\n"
        f"Usage: {program} -[ACD] chain rule-specification [options]\n"
        f"       {program} -I chain [rulenum] rule-specification [options]\n"
        f"       {program} -R chain rulenum rule-specification [options]\n"
        f"       {program} -D chain rulenum [options]\n"
        f"       {program} -[LS] [chain [rulenum]] [options]\n"
        f"       {program} -[FZ] [chain] [options]\n"
        f"       {program} -[NX] chain\n"
        f"       {program} -E old-chain-name new-chain-name\n"
        f"       {program} -P chain target [options]\n"
        f"       {program} -h (print this help information)\n"
    )

"""Tables of iptables (nf_tables) as nft lists them: each rule translated or marked as an extension.

Source: iptables' `*_xlate` functions (1.8.11), nftables src/xt.c. nft commands can list such tables, and can
delete them as a whole. Adding rules to them by nft is not simulated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from attrs import frozen

from cnmsim.digits import is_number
from cnmsim.kernel.address import format_ip
from cnmsim.kernel.netfilter.extension import Extension, Setting
from cnmsim.kernel.netfilter.hooks import Hook, built_in_chain_spec
from cnmsim.kernel.netfilter.nftables import datatypes as types
from cnmsim.kernel.netfilter.nftables.list_options import PLAIN, ListOptions
from cnmsim.kernel.netfilter.nftables.tables import BaseChainSpec
from cnmsim.kernel.netfilter.option_values import mask_length
from cnmsim.kernel.netfilter.rule import HostMatch, NameMatch, Rule

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.table import Chain, RuleEntry, Table

#: Extensions that iptables-nft writes as native expressions; for the others nft prints a warning.
_NATIVE_MATCHES = frozenset({"tcp", "udp", "mark", "limit"})
_NATIVE_TARGETS = frozenset({"ACCEPT", "DROP", "RETURN"})
#: Matches with another name in the kernel.
_KERNEL_NAMES = {"state": "conntrack"}
_UNITS = {"sec": "second", "min": "minute", "hour": "hour", "day": "day"}


def _not(is_inverted: bool) -> str:
    return "!= " if is_inverted else ""


def _host(side: str, match: HostMatch | None, family: int) -> Iterator[str]:
    if match is None:
        return
    bits = len(match.address) * 8
    length = mask_length(match.mask, bits)
    text = format_ip(match.address)
    if length is None:
        mask = format_ip(match.mask.to_bytes(bits // 8))
        yield f"{'ip6' if family == 6 else 'ip'} {side} & {mask} {'!=' if match.is_inverted else '=='} {text}"
        return
    text += f"/{length}" if length < bits else ""
    yield f"{'ip6' if family == 6 else 'ip'} {side} {_not(match.is_inverted)}{text}"


def _device(key: str, match: NameMatch | None) -> Iterator[str]:
    if match is not None:
        name = f"{match.name[:-1]}*" if match.name.endswith("+") else match.name
        yield f'{key} {_not(match.is_inverted)}"{name}"'


def _ports(match: Extension, family: int) -> str | None:
    words = []
    for setting in match.settings:
        if setting.name in {"sport", "dport", "source-port", "destination-port"}:
            side = "sport" if setting.name.startswith("s") else "dport"
            words.append(f"{match.name} {side} {_not(setting.is_inverted)}{setting.value.replace(':', '-')}")
        elif setting.name == "tcp-flags":
            mask, bits_set = (_flags(value) for value in setting.values)
            bits = types.FLAGS.write(mask).replace(",", " | ")
            bits = f"({bits})" if "|" in bits else bits
            sign = "!=" if setting.is_inverted else "=="
            words.append(f"tcp flags & {bits} {sign} {types.FLAGS.write(bits_set).replace(',', ' | ')}")
        else:
            return None
    return " ".join(words)


def _flags(text: str) -> int:
    return sum(types.TCP_FLAGS.get(name.lower(), 0) for name in text.split(","))


def _multiport(match: Extension, family: int) -> str | None:
    setting = match.settings[0]
    if len(match.settings) != 1 or setting.name not in {"sports", "dports"}:
        return None
    ports = ", ".join(setting.value.replace(":", "-").split(","))
    return f"{{}} {setting.name[:-1]} {_not(setting.is_inverted)}{{{{ {ports} }}}}"


def _conntrack(match: Extension, family: int) -> str | None:
    ip = "ip6" if family == 6 else "ip"
    keys = {
        "ctstate": "ct state", "state": "ct state", "ctstatus": "ct status", "ctdir": "ct direction",
        "ctproto": "ct original protocol", "ctorigsrc": f"ct original {ip} saddr",
        "ctorigdst": f"ct original {ip} daddr", "ctreplsrc": f"ct reply {ip} saddr",
        "ctrepldst": f"ct reply {ip} daddr", "ctorigsrcport": "ct original proto-src",
        "ctorigdstport": "ct original proto-dst", "ctreplsrcport": "ct reply proto-src",
        "ctrepldstport": "ct reply proto-dst",
    }  # fmt: skip
    words = []
    for setting in match.settings:
        key = keys.get(setting.name)
        if key is None:
            return None
        words.append(f"{key} {_not(setting.is_inverted)}{setting.value.lower().replace(':', '-')}")
    return " ".join(words)


def _addrtype(match: Extension, family: int) -> str | None:
    words = []
    for setting in match.settings:
        if setting.name not in {"src-type", "dst-type"} or "," in setting.value:
            return None
        side = "saddr" if setting.name == "src-type" else "daddr"
        words.append(f"fib {side} type {_not(setting.is_inverted)}{setting.value.lower()}")
    return " ".join(words)


def _mark(match: Extension, family: int) -> str | None:
    setting = match.settings[0]
    value, slash, mask = setting.value.partition("/")
    if slash:
        sign = "!=" if setting.is_inverted else "=="
        return f"meta mark & {types.MARK.write(int(mask, 16))} {sign} {types.MARK.write(int(value, 16))}"
    return f"meta mark {_not(setting.is_inverted)}{types.MARK.write(int(value, 16))}"


def _limit(match: Extension, family: int) -> str | None:
    rate, burst = match.get("limit"), match.get("limit-burst")
    amount, _, unit = (rate.value if rate is not None else "3/hour").partition("/")
    return f"limit rate {amount}/{_UNITS.get(unit, unit)} burst {burst.value if burst is not None else '5'} packets"


def _icmp(match: Extension, family: int) -> str | None:
    setting = match.settings[0]
    number, slash, code = setting.value.partition("/")
    if not is_number(number) or number == "255":
        return "" if number in {"255", "any"} else None
    kind = types.ICMPV6 if family == 6 else types.ICMP
    header = "icmpv6" if family == 6 else "icmp"
    text = f"{header} type {_not(setting.is_inverted)}{kind.write(int(number))}"
    return f"{text} {header} code {code}" if slash else text


def _nothing(match: Extension, family: int) -> str | None:
    return ""


_MATCHES: dict[str, Callable[[Extension, int], str | None]] = {
    "tcp": _ports, "udp": _ports, "sctp": _ports, "multiport": _multiport, "conntrack": _conntrack,
    "state": _conntrack, "addrtype": _addrtype, "mark": _mark, "limit": _limit, "icmp": _icmp, "icmp6": _icmp,
    "comment": _nothing,
}  # fmt: skip


def _protocol(rule: Rule, family: int) -> Iterator[str]:
    if not rule.protocol:
        return
    name = types.PROTOCOL.write(rule.protocol)
    if (
        any(match.name == name in {"tcp", "udp"} and match.settings for match in rule.matches)
        and not rule.is_protocol_inverted
    ):
        return
    key = "meta l4proto" if family == 6 else "ip protocol"
    yield f"{key} {_not(rule.is_protocol_inverted)}{name}"


def _matches(rule: Rule, family: int) -> Iterator[str]:
    for match in rule.matches:
        translate = _MATCHES.get(match.name)
        text = translate(match, family) if translate is not None else None
        if text is None:
            yield f'xt match "{match.name}"'
        else:
            yield text.format(types.PROTOCOL.write(rule.protocol)) if match.name == "multiport" else text


def _target(rule: Rule, family: int, is_extension: bool) -> str:
    target = rule.target
    if target is None:
        return ""
    if not is_extension:
        return f"{'goto' if rule.is_goto else 'jump'} {target.name}"
    if target.name in _NATIVE_TARGETS:
        return target.name.lower()
    translate = _TARGETS.get(target.name)
    text = translate(target, family) if translate is not None else None
    return text if text is not None else f'xt target "{target.name}"'


def _reject(target: Extension, family: int) -> str | None:
    how = target.settings[0].value
    if how == "tcp-reset":
        return "reject with tcp reset"
    kind = how.removeprefix("icmp6-").removeprefix("icmp-")
    if kind == "port-unreachable":
        return "reject"
    words = {"proto-unreachable": "prot-unreachable", "adm-prohibited": "admin-prohibited"}
    return f"reject with {'icmpv6' if family == 6 else 'icmp'} type {words.get(kind, kind)}"


def _translation(word: str, option: str) -> Callable[[Extension, int], str | None]:
    def translate(target: Extension, family: int) -> str | None:
        setting = target.get(option)
        words = [word]
        if setting is not None:
            words.append(f"to {':' if option == 'to-ports' else ''}{setting.value}")
        flags = [flag.name.replace("random-fully", "fully-random") for flag in target.settings if flag.name != option]
        return " ".join([*words, *([",".join(flags)] if flags else [])])

    return translate


def _log(target: Extension, family: int) -> str | None:
    prefix, level = target.get("log-prefix"), target.get("log-level")
    names = ("emerg", "alert", "crit", "err", "warn", "notice", "info", "debug")
    words = ["log", *([f'prefix "{prefix.value}"'] if prefix is not None else [])]
    return " ".join([*words, *([f"level {names[int(level.value)]}"] if level is not None else [])])


def _set_mark(target: Extension, family: int) -> str | None:
    setting: Setting | None = target.get("set-xmark")
    value, _, mask = setting.value.partition("/") if setting is not None else ("", "", "")
    return f"meta mark set {value}" if mask == "0xffffffff" else None


def _segment_size(target: Extension, family: int) -> str | None:
    size = target.get("set-mss")
    return f"tcp option maxseg size set {size.value if size is not None else 'rt mtu'}"


_TARGETS: dict[str, Callable[[Extension, int], str | None]] = {
    "REJECT": _reject, "DNAT": _translation("dnat", "to-destination"), "SNAT": _translation("snat", "to-source"),
    "MASQUERADE": _translation("masquerade", "to-ports"), "REDIRECT": _translation("redirect", "to-ports"),
    "LOG": _log, "MARK": _set_mark, "TCPMSS": _segment_size,
}  # fmt: skip


def rule_text(entry: RuleEntry, family: int, *, show_counters: bool = True) -> str:
    """Return a rule of iptables (nf_tables) as nft lists it. `family` is 4 or 6.

    `show_counters` includes the values of the rule's counters.
    """
    rule = entry.rule
    words = [
        *_host("saddr", rule.source, family),
        *_host("daddr", rule.destination, family),
        *_device("iifname", rule.in_interface),
        *_device("oifname", rule.out_interface),
        *_protocol(rule, family),
        *_matches(rule, family),
        f"counter packets {entry.packets} bytes {entry.bytes}" if show_counters else "counter",
    ]
    target = _target(rule, family, not entry.chain_name)
    return " ".join([*words, *([target] if target else [])])


@frozen
class XtExpression:
    """A match or target of an iptables rule for which nf_tables has no native expression.

    `type` is `match` or `target`, `name` its name in the kernel.
    """

    type: str
    name: str


def parts(entry: RuleEntry, family: int) -> Iterator[str | XtExpression]:
    """Yield the expressions of which a rule consists in the kernel.

    A native expression is yielded as the text in which nft lists it, an extension of iptables as an `XtExpression`.
    """
    rule = entry.rule
    yield from _host("saddr", rule.source, family)
    yield from _host("daddr", rule.destination, family)
    yield from _device("iifname", rule.in_interface)
    yield from _device("oifname", rule.out_interface)
    yield from _protocol(rule, family)
    for match in rule.matches:
        text = _MATCHES[match.name](match, family) if match.name in _NATIVE_MATCHES else None
        yield XtExpression("match", _KERNEL_NAMES.get(match.name, match.name)) if text is None else text
    yield f"counter packets {entry.packets} bytes {entry.bytes}"
    if rule.target is None:
        return
    is_extension = not entry.chain_name
    if is_extension and rule.target.name not in _NATIVE_TARGETS:
        yield XtExpression("target", rule.target.name)
    else:
        yield _target(rule, family, is_extension)


def _is_compat(rule: Rule, is_extension: bool) -> bool:
    if any(match.name not in _NATIVE_MATCHES for match in rule.matches):
        return True
    return rule.target is not None and is_extension and rule.target.name not in _NATIVE_TARGETS


def base_chain_spec(table: Table, chain: Chain) -> BaseChainSpec:
    """Return type, hook and priority of a built-in chain."""
    hook = Hook(chain.name)
    chain_type, priority = built_in_chain_spec(table.name, hook)
    return BaseChainSpec(chain_type, hook, priority)


def chain_lines(table: Table, chain: Chain, options: ListOptions) -> list[str]:
    """Return the lines of a chain in the listing of its table."""
    lines = [f"\tchain {chain.name} {{"]
    if chain.policy is not None:
        lines.append(f"\t\t{base_chain_spec(table, chain).text(chain.policy.lower())}")
    return [
        *lines,
        *(f"\t\t{rule_text(entry, table.family, show_counters=options.show_counters)}" for entry in chain.rules),
        "\t}",
    ]


def shown_chains(table: Table) -> list[Chain]:
    """Return the chains that exist in the kernel, in order of creation.

    The kernel creates a built-in chain with the first rule or policy in it.
    """
    existing = [chain for chain in table.chains.values() if chain.order]
    return sorted(existing, key=lambda chain: chain.order)


def table_text(table: Table, options: ListOptions = PLAIN) -> str:
    """Return a table as `nft list table` prints it."""
    lines = [f"table {family_name(table)} {table.name} {{"]
    for number, chain in enumerate(shown_chains(table)):
        lines += [""] * bool(number) + chain_lines(table, chain, options)
    return "".join(f"{line}\n" for line in [*lines, "}"])


def family_name(table: Table) -> str:
    """Return nft's name for the family of the table: `ip` or `ip6`."""
    return "ip6" if table.family == 6 else "ip"


def warning(table: Table) -> str:
    """Return the warning that nft prints to stderr for a table with extensions of iptables, "" if it has none."""
    if not any(_is_compat(entry.rule, not entry.chain_name) for entry in table.rules):
        return ""
    return f"# Warning: table {family_name(table)} {table.name} is managed by iptables-nft, do not touch!\n"

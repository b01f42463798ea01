"""Statements that act on packets: limit, log, set mark, notrack, reject, and address translation.

Source: net/netfilter/nft_{limit,log,reject,nat,masq,redir,ct,meta}.c.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from cnmsim.kernel.address import format_ip
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.netfilter.extension import Extension, Setting
from cnmsim.kernel.netfilter.hooks import Hook
from cnmsim.kernel.netfilter.nftables import datatypes as types
from cnmsim.kernel.netfilter.nftables.datatypes import MARK, Span
from cnmsim.kernel.netfilter.nftables.elements import Elements, Value
from cnmsim.kernel.netfilter.nftables.keys import Key
from cnmsim.kernel.netfilter.nftables.statements import (
    BREAK,
    CompileContext,
    Evaluate,
    Outcome,
    Statement,
    keys_text,
    operand_text,
    values_reader,
)
from cnmsim.kernel.netfilter.targets import TARGETS
from cnmsim.kernel.skbuff import CtState, Packet

_UNITS_S = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}
_SIZES = {"bytes": 1, "kbytes": 1024, "mbytes": 1024 * 1024}


@frozen(eq=False)
class Limit(Statement):
    """Match packets up to a rate; if `is_over` is True, only packets above the rate.

    The rate is `rate` packets per `unit` (such as `second`) or, if `size_unit` (such as `kbytes`) is not "", `rate`
    times that size per `unit`. `burst`, in `burst_unit`, may exceed the rate.
    """

    rate: int
    unit: str
    burst: int
    is_over: bool = False
    size_unit: str = ""
    burst_unit: str = "packets"

    def text(self, *, show_counters: bool) -> str:
        """Return the statement as nft lists it. It has no counters, so `show_counters` is not used."""
        amount = f"{self.rate} {self.size_unit}" if self.size_unit else str(self.rate)
        burst = "" if self.size_unit and not self.burst else f" burst {self.burst} {self.burst_unit}"
        return f"limit rate {'over ' if self.is_over else ''}{amount}/{self.unit}{burst}"

    def compile(self, context: CompileContext) -> Evaluate:
        """Return the function that applies this statement to a packet: a token bucket (nft_limit_eval)."""
        clock = context.netfilter.namespace.clock
        period_ns = _UNITS_S[self.unit] * NS_PER_S
        rate = self.rate * _SIZES.get(self.size_unit, 1)
        burst = self.burst * _SIZES.get(self.burst_unit, 1)
        of_bytes = bool(self.size_unit)
        most = period_ns // rate * burst if not of_bytes else period_ns * (rate + burst) // rate
        tokens, filled_ns = most, clock.now_ns
        is_over = self.is_over

        def test(packet: Packet, hook: Hook) -> Outcome:
            nonlocal tokens, filled_ns
            tokens = min(most, tokens + clock.now_ns - filled_ns)
            filled_ns = clock.now_ns
            cost = period_ns * len(packet.data) // rate if of_bytes else period_ns // rate
            within = tokens >= cost
            if within:
                tokens -= cost
            return None if within is not is_over else BREAK

        return test


@frozen(eq=False)
class Log(Statement):
    """Write a line to the kernel log."""

    prefix: str = ""
    level: str = ""
    group: str = ""
    flags: str = ""

    def text(self, *, show_counters: bool) -> str:
        """Return the statement as nft lists it. It has no counters, so `show_counters` is not used."""
        words = ["log"]
        words += [f'prefix "{self.prefix}"'] if self.prefix else []
        words += [f"group {self.group}"] if self.group else []
        words += [f"level {self.level}"] if self.level and self.level != "warn" else []
        words += [f"flags {self.flags}"] if self.flags else []
        return " ".join(words)

    def compile(self, context: CompileContext) -> Evaluate:
        """Return the function that applies this statement to a packet; it runs the LOG target of iptables."""
        settings = [Setting("log-prefix", (self.prefix,))] if self.prefix else []
        log = TARGETS["LOG"].compile(Extension("LOG", tuple(settings)), 4, context.netfilter)

        def run(packet: Packet, hook: Hook) -> Outcome:
            log(packet, hook)
            return None

        return run


@frozen(eq=False)
class SetMark(Statement):
    """Set the mark of the packet or of its connection; `target` is the field to set.

    The new mark is `value`. If that is None, the new mark is the field `source`, ANDed with `keep` and ORed with
    `extra`.
    """

    target: Key
    value: int | None = None
    source: Key | None = None
    keep: int = 0xFFFFFFFF
    extra: int = 0

    @property
    def needs_conntrack(self) -> bool:  # type: ignore[override]
        """Whether the statement reads or writes the mark of the connection."""
        return self.target.needs_conntrack or (self.source is not None and self.source.needs_conntrack)

    def text(self, *, show_counters: bool) -> str:
        """Return the statement as nft lists it. It has no counters, so `show_counters` is not used."""
        if self.source is None:
            return f"{self.target.text} set {MARK.write(self.value or 0)}"
        words = [f"{self.target.text} set {self.source.text}"]
        words += [f"& {MARK.write(self.keep)}"] if self.keep != 0xFFFFFFFF else []
        words += [f"| {MARK.write(self.extra)}"] if self.extra else []
        return " ".join(words)

    def compile(self, context: CompileContext) -> Evaluate:
        """Return the function that applies this statement to a packet and returns its outcome (`Outcome`)."""
        read = self.source.reader(context.netfilter.namespace) if self.source is not None else None
        fixed, keep, extra = self.value or 0, self.keep, self.extra
        of_connection = self.target.needs_conntrack

        def run(packet: Packet, hook: Hook) -> Outcome:
            value: int | None = fixed
            if read is not None:
                value = read(packet)
                if value is None:
                    return BREAK
                value = value & keep | extra
            assert value is not None
            if not of_connection:
                packet.mark = value
            elif packet.connection is not None:
                packet.connection.mark = value
            return None

        return run


@frozen(eq=False)
class Notrack(Statement):
    """Exempt the packet from connection tracking."""

    def text(self, *, show_counters: bool) -> str:
        """Return the statement as nft lists it. It has no counters, so `show_counters` is not used."""
        return "notrack"

    def compile(self, context: CompileContext) -> Evaluate:
        """Return the function that applies this statement to a packet and returns its outcome (`Outcome`)."""

        def run(packet: Packet, hook: Hook) -> Outcome:
            if packet.ct_state is None:
                packet.ct_state = CtState.UNTRACKED
            return None

        return run


#: `reject with icmp CODE` by family: nft's name → the name that iptables uses.
REJECTS = {
    "icmp": {"net-unreachable": "icmp-net-unreachable", "host-unreachable": "icmp-host-unreachable",
             "prot-unreachable": "icmp-proto-unreachable", "port-unreachable": "icmp-port-unreachable",
             "net-prohibited": "icmp-net-prohibited", "host-prohibited": "icmp-host-prohibited",
             "admin-prohibited": "icmp-admin-prohibited"},
    "icmpv6": {"no-route": "icmp6-no-route", "admin-prohibited": "icmp6-adm-prohibited",
               "addr-unreachable": "icmp6-addr-unreachable", "port-unreachable": "icmp6-port-unreachable",
               "policy-fail": "icmp6-policy-fail", "reject-route": "icmp6-reject-route"},
}  # fmt: skip
#: The names of `icmpx` codes in each family: of ICMP and of ICMPv6.
ICMPX = {"port-unreachable": ("icmp-port-unreachable", "icmp6-port-unreachable"),
         "admin-prohibited": ("icmp-admin-prohibited", "icmp6-adm-prohibited"),
         "no-route": ("icmp-net-unreachable", "icmp6-no-route"),
         "host-unreachable": ("icmp-host-unreachable", "icmp6-addr-unreachable")}  # fmt: skip


@frozen(eq=False)
class Reject(Statement):
    """Drop the packet and notify its sender. `how` is `tcp reset`, `icmp CODE`, `icmpv6 CODE` or `icmpx CODE`.

    `is_default` is True if nft lists the statement as a plain `reject`, because `how` is the default.
    """

    how: str
    is_default: bool = False

    def text(self, *, show_counters: bool) -> str:
        """Return the statement as nft lists it. It has no counters, so `show_counters` is not used."""
        return "reject" if self.is_default else f"reject with {self.how}"

    def compile(self, context: CompileContext) -> Evaluate:
        """Return the function that applies this statement to a packet; it runs the REJECT target of iptables."""
        protocol, _, kind = self.how.partition(" ")
        names: dict[int, str] = {}
        if self.how == "tcp reset":
            names = {4: "tcp-reset", 6: "tcp-reset"}
        elif protocol == "icmpx":
            names = {4: ICMPX[kind][0], 6: ICMPX[kind][1]}
        else:
            names = {4 if protocol == "icmp" else 6: REJECTS[protocol][kind]}
        compile_ = TARGETS["REJECT"].compile
        actions = {
            family: compile_(Extension("REJECT", (Setting("reject-with", (name,)),)), family, context.netfilter)
            for family, name in names.items()
        }

        def run(packet: Packet, hook: Hook) -> Outcome:
            action = actions.get(packet.family)
            if action is None or (self.how == "tcp reset" and packet.protocol != 6):
                return BREAK
            return action(packet, hook)

        return run


@frozen(eq=False)
class Nat(Statement):
    """Translate addresses: dnat, snat, masquerade or redirect.

    The new address and port are the constants `address` and `ports`, or are looked up in the map `lookup` by the
    fields `keys`. `names_family` is True if the listing includes the family, as in `inet` tables (`dnat ip to …`).
    """

    kind: str
    family: int = 0
    names_family: bool = False
    address: Span | None = None
    ports: Span | None = None
    keys: tuple[Key, ...] = ()
    lookup: Elements | str = ""
    flags: tuple[str, ...] = ()
    needs_conntrack = True
    translates = True

    def set_names(self) -> Iterator[str]:
        """Yield the name of the map that the translation looks up, if it has a name."""
        if isinstance(self.lookup, str) and self.lookup:
            yield self.lookup

    def text(self, *, show_counters: bool) -> str:
        """Return the statement as nft lists it. It has no counters, so `show_counters` is not used."""
        words = [self.kind]
        if self.names_family:
            words.append("ip" if self.family == 4 else "ip6")
        if self.keys:
            words.append(f"to {keys_text(self.keys)} map {operand_text(self.lookup, self.keys[0])}")
        elif self.address is not None or self.ports is not None:
            words.append(f"to {_range_text(self.family, self.address, self.ports)}")
        return " ".join([*words, *([",".join(self.flags)] if self.flags else [])])

    def compile(self, context: CompileContext) -> Evaluate:
        """Return the function that applies this statement to a packet.

        It runs the target of iptables that does the same.
        """
        target = {"dnat": "DNAT", "snat": "SNAT", "masquerade": "MASQUERADE", "redirect": "REDIRECT"}[self.kind]
        option = {"DNAT": "to-destination", "SNAT": "to-source"}.get(target, "to-ports")
        kind = TARGETS[target]
        flags = tuple(Setting({"fully-random": "random-fully"}.get(flag, flag)) for flag in self.flags)

        def action_for(family: int, address: Span | None, ports: Span | None) -> Evaluate:
            settings: tuple[Setting, ...] = ()
            if option == "to-ports":
                if ports is not None:
                    settings = (Setting(option, (types.PORT.text(ports),)),)
            elif address is not None or ports is not None:
                settings = (Setting(option, (_range_text(family, address, ports),)),)
            return kind.compile(Extension(target, settings + flags), family, context.netfilter)

        if not self.keys:
            families = (self.family,) if self.family else (4, 6)
            actions = {family: action_for(family, self.address, self.ports) for family in families}

            def run(packet: Packet, hook: Hook) -> Outcome:
                action = actions.get(packet.family)
                return action(packet, hook) if action is not None else BREAK

            return run
        read = values_reader(self.keys, context)
        elements = context.find_set(self.lookup) if isinstance(self.lookup, str) else self.lookup

        def run_by_map(packet: Packet, hook: Hook) -> Outcome:
            values = read(packet) if packet.family == self.family else None
            is_there, data = elements.find(values) if values is not None else (False, None)
            if not is_there or not isinstance(data, Value):
                return BREAK
            address = Span(data.parts[0], data.parts[0])
            ports = Span(data.parts[1], data.parts[1]) if len(data.parts) > 1 else None
            return action_for(packet.family, address, ports)(packet, hook)

        return run_by_map


def _range_text(family: int, address: Span | None, ports: Span | None) -> str:
    """Return an address range and a port range as one text, such as `10.0.0.1-10.0.0.9:80-90`.

    A range that is None is omitted. nft lists translations in this form, and the targets DNAT and SNAT of iptables
    accept it. `family` is 4 or 6.
    """
    size = 16 if family == 6 else 4
    text = ""
    if address is not None:
        text = format_ip(address.low.to_bytes(size))
        text += f"-{format_ip(address.high.to_bytes(size))}" if not address.is_single else ""
        text = f"[{text}]" if family == 6 and ports is not None else text
    if ports is not None:
        text += f":{ports.low}" + (f"-{ports.high}" if not ports.is_single else "")
    return text

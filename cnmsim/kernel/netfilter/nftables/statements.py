"""The statements of rules: comparisons, verdicts, and what is done to packets; their text and their effect.

Source: net/netfilter/nft_{cmp,lookup,bitwise,counter,limit,log,reject,nat,masq,redir,ct,meta}.c, nftables src/statement.c.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

from attrs import define, evolve, field, frozen

from cnmsim.kernel.address import format_ip
from cnmsim.kernel.clock import NS
from cnmsim.kernel.netfilter.extension import Extension, Setting
from cnmsim.kernel.netfilter.hooks import Hook
from cnmsim.kernel.netfilter.nftables import datatypes as types
from cnmsim.kernel.netfilter.nftables.datatypes import IPV4, IPV6, MARK, Span
from cnmsim.kernel.netfilter.nftables.elements import Data, Elements, Goto, Value
from cnmsim.kernel.netfilter.nftables.keys import INDEX, Key, Read
from cnmsim.kernel.netfilter.targets import TARGETS, Verdict
from cnmsim.kernel.packet import CtState, Packet

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.netfilter import Netfilter


class Miss(Enum):
    """A rule ends without a verdict."""

    MISS = "miss"


MISS = Miss.MISS
#: What a statement makes of a packet: `None` goes on in the rule, `Miss` in the next rule.
Outcome: TypeAlias = Verdict | Goto | Miss | None
Run: TypeAlias = Callable[[Packet, Hook], Outcome]
_VERDICTS: dict[str, Verdict | Miss] = {
    "accept": Verdict.ACCEPT, "drop": Verdict.DROP, "return": Verdict.RETURN, "continue": MISS,
}  # fmt: skip


@frozen
class Env:
    """What compiled statements work with: the packet filter, and the sets of the rule's table."""

    netfilter: Netfilter
    find_set: Callable[[str], Elements]


class Statement:
    """A part of a rule."""

    __slots__ = ()
    needs_conntrack = False
    #: Whether it binds connections to translations.
    translates = False
    #: Whether it makes the same of all packets of a flow, and does nothing else with them.
    is_pure = False

    def text(self, *, counts: bool) -> str:
        """Write it as nft lists it, with what it has counted if `counts`."""
        raise NotImplementedError

    def compile(self, env: Env) -> Run:
        """Make what it does."""
        raise NotImplementedError

    def chains(self) -> Iterator[str]:
        """Give the chains it may lead to, apart from those in named maps."""
        yield from ()

    def set_names(self) -> Iterator[str]:
        """Give the named sets it looks into."""
        yield from ()


def _field_text(key: Key, span: Span, name_of: Callable[[int], str]) -> str:
    return f'"{name_of(span.low)}"' if key.type is INDEX else key.type.text(span)


#: What is compared with: one span, or the elements of a set without a name, or the name of a set.
Operand = Span | Elements | str


def operand_text(operand: Operand, key: Key, index_names: tuple[tuple[int, str], ...] = ()) -> str:
    """Write what is compared with."""
    if isinstance(operand, str):
        return f"@{operand}"
    if isinstance(operand, Elements):
        return operand.inline()
    return _field_text(key, operand, lambda index: dict(index_names).get(index, str(index)))


def values_reader(keys: tuple[Key, ...], env: Env) -> Callable[[Packet], tuple[int, ...] | None]:
    """Give what reads the fields of a (concatenated) key."""
    reads: list[Read] = [key.reader(env.netfilter.namespace) for key in keys]
    if len(reads) == 1:
        read = reads[0]

        def one(packet: Packet) -> tuple[int, ...] | None:
            value = read(packet)
            return None if value is None else (value,)

        return one

    def several(packet: Packet) -> tuple[int, ...] | None:
        values = []
        for each in reads:
            value = each(packet)
            if value is None:
                return None
            values.append(value)
        return tuple(values)

    return several


def keys_text(keys: tuple[Key, ...]) -> str:
    """Write a (concatenated) key."""
    return " . ".join(key.text for key in keys)


@frozen(eq=False)
class Match(Statement):
    """A comparison. `operator` "" is equality, or for sets of bits, that any is set; `mask` is taken off before."""

    keys: tuple[Key, ...]
    operator: str
    operand: Operand
    mask: int | None = None
    index_names: tuple[tuple[int, str], ...] = ()

    @property
    def is_pure(self) -> bool:  # type: ignore[override]
        """Whether it compares nothing but what all packets of a flow have alike."""
        return all(key.is_of_the_flow for key in self.keys)

    @property
    def needs_conntrack(self) -> bool:  # type: ignore[override]
        """Whether it compares what conntrack knows."""
        return any(key.needs_conntrack for key in self.keys)

    def set_names(self) -> Iterator[str]:
        """Give the set it looks into."""
        if isinstance(self.operand, str):
            yield self.operand

    @property
    def is_equality(self) -> bool:
        """Whether it wants one field to have one value."""
        return (
            len(self.keys) == 1 and self.operator == "" and self.mask is None
            and isinstance(self.operand, Span) and self.operand.is_single and not self.keys[0].type.is_flags
        )  # fmt: skip

    def text(self, *, counts: bool) -> str:
        """Write it as nft lists it."""
        del counts
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

    def compile(self, env: Env) -> Run:
        """Make the test."""
        operand, operator = self.operand, self.operator
        is_inverted = operator == "!="
        if not isinstance(operand, Span):
            read_all = values_reader(self.keys, env)
            elements = env.find_set(operand) if isinstance(operand, str) else operand

            def look_up(packet: Packet, hook: Hook) -> Outcome:  # noqa: ARG001
                values = read_all(packet)
                return None if values is not None and elements.find(values)[0] is not is_inverted else MISS

            return look_up
        read = self.keys[0].reader(env.netfilter.namespace)
        test = self._test(operand)

        def compare(packet: Packet, hook: Hook) -> Outcome:  # noqa: ARG001
            value = read(packet)
            return None if value is not None and test(value) else MISS

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


def verdict_of(data: Data) -> Verdict | Goto | Miss:
    """Give what a verdict in a map does."""
    if isinstance(data, Goto):
        return data
    assert isinstance(data, str)
    return _VERDICTS[data]


@frozen(eq=False)
class VerdictMap(Statement):
    """A verdict chosen by a map."""

    keys: tuple[Key, ...]
    operand: Elements | str

    @property
    def is_pure(self) -> bool:  # type: ignore[override]
        """Whether it chooses by nothing but what all packets of a flow have alike."""
        return all(key.is_of_the_flow for key in self.keys)

    @property
    def needs_conntrack(self) -> bool:  # type: ignore[override]
        """Whether it chooses by what conntrack knows."""
        return any(key.needs_conntrack for key in self.keys)

    def set_names(self) -> Iterator[str]:
        """Give the map it looks into."""
        if isinstance(self.operand, str):
            yield self.operand

    def chains(self) -> Iterator[str]:
        """Give where the map without a name leads."""
        if isinstance(self.operand, Elements):
            yield from (data.chain for _, data in self.operand if isinstance(data, Goto))

    def text(self, *, counts: bool) -> str:
        """Write it as nft lists it."""
        del counts
        return f"{keys_text(self.keys)} vmap {operand_text(self.operand, self.keys[0])}"

    def compile(self, env: Env) -> Run:
        """Make the choice."""
        read = values_reader(self.keys, env)
        elements = env.find_set(self.operand) if isinstance(self.operand, str) else self.operand

        def choose(packet: Packet, hook: Hook) -> Outcome:  # noqa: ARG001
            values = read(packet)
            if values is None:
                return MISS
            is_there, data = elements.find(values)
            return verdict_of(data) if is_there else MISS

        return choose


@frozen(eq=False)
class Decide(Statement):
    """accept, drop, return, continue, jump or goto."""

    verdict: str | Goto
    is_pure = True

    def text(self, *, counts: bool) -> str:
        """Write it as nft lists it."""
        del counts
        return str(self.verdict)

    def chains(self) -> Iterator[str]:
        """Give the chain it leads to."""
        if isinstance(self.verdict, Goto):
            yield self.verdict.chain

    def compile(self, env: Env) -> Run:
        """Make the verdict."""
        del env
        verdict = verdict_of(self.verdict)
        return lambda packet, hook: verdict  # noqa: ARG005


@define(eq=False)
class Counter(Statement):
    """Counts packets and bytes that come so far."""

    packets: int = 0
    bytes: int = 0
    is_pure = True

    def text(self, *, counts: bool) -> str:
        """Write it as nft lists it."""
        return f"counter packets {self.packets} bytes {self.bytes}" if counts else "counter"

    def compile(self, env: Env) -> Run:
        """Make the count."""
        del env

        def count(packet: Packet, hook: Hook) -> Outcome:  # noqa: ARG001
            self.packets += 1
            self.bytes += len(packet.data)
            return None

        return count


_UNITS_S = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}
_SIZES = {"bytes": 1, "kbytes": 1024, "mbytes": 1024 * 1024}


@frozen(eq=False)
class Limit(Statement):
    """Lets packets (or bytes, if `size_unit`) pass at a rate, or only those above it (`is_over`)."""

    rate: int
    unit: str
    burst: int
    is_over: bool = False
    size_unit: str = ""
    burst_unit: str = "packets"

    def text(self, *, counts: bool) -> str:
        """Write it as nft lists it."""
        del counts
        amount = f"{self.rate} {self.size_unit}" if self.size_unit else str(self.rate)
        burst = "" if self.size_unit and not self.burst else f" burst {self.burst} {self.burst_unit}"
        return f"limit rate {'over ' if self.is_over else ''}{amount}/{self.unit}{burst}"

    def compile(self, env: Env) -> Run:
        """Make the token bucket (nft_limit_eval)."""
        clock = env.netfilter.namespace.clock
        period_ns = _UNITS_S[self.unit] * NS
        rate = self.rate * _SIZES.get(self.size_unit, 1)
        burst = self.burst * _SIZES.get(self.burst_unit, 1)
        of_bytes = bool(self.size_unit)
        most = period_ns // rate * burst if not of_bytes else period_ns * (rate + burst) // rate
        tokens, filled_ns = most, clock.now_ns
        is_over = self.is_over

        def test(packet: Packet, hook: Hook) -> Outcome:  # noqa: ARG001
            nonlocal tokens, filled_ns
            tokens = min(most, tokens + clock.now_ns - filled_ns)
            filled_ns = clock.now_ns
            cost = period_ns * len(packet.data) // rate if of_bytes else period_ns // rate
            within = tokens >= cost
            if within:
                tokens -= cost
            return None if within is not is_over else MISS

        return test


@frozen(eq=False)
class Log(Statement):
    """Writes a line to the kernel log."""

    prefix: str = ""
    level: str = ""
    group: str = ""
    flags: str = ""

    def text(self, *, counts: bool) -> str:
        """Write it as nft lists it."""
        del counts
        words = ["log"]
        words += [f'prefix "{self.prefix}"'] if self.prefix else []
        words += [f"group {self.group}"] if self.group else []
        words += [f"level {self.level}"] if self.level and self.level != "warn" else []
        words += [f"flags {self.flags}"] if self.flags else []
        return " ".join(words)

    def compile(self, env: Env) -> Run:
        """Make the line."""
        settings = [Setting("log-prefix", (self.prefix,))] if self.prefix else []
        log = TARGETS["LOG"].compile(Extension("LOG", tuple(settings)), 4, env.netfilter)

        def run(packet: Packet, hook: Hook) -> Outcome:
            log(packet, hook)
            return None

        return run


@frozen(eq=False)
class SetMark(Statement):
    """Sets the mark of the packet or of its connection: `value`, or what `source` reads, `keep` and `extra` applied."""

    target: Key
    value: int | None = None
    source: Key | None = None
    keep: int = 0xFFFFFFFF
    extra: int = 0

    @property
    def needs_conntrack(self) -> bool:  # type: ignore[override]
        """Whether the mark of the connection has to do with it."""
        return self.target.needs_conntrack or (self.source is not None and self.source.needs_conntrack)

    def text(self, *, counts: bool) -> str:
        """Write it as nft lists it."""
        del counts
        if self.source is None:
            return f"{self.target.text} set {MARK.write(self.value or 0)}"
        words = [f"{self.target.text} set {self.source.text}"]
        words += [f"& {MARK.write(self.keep)}"] if self.keep != 0xFFFFFFFF else []
        words += [f"| {MARK.write(self.extra)}"] if self.extra else []
        return " ".join(words)

    def compile(self, env: Env) -> Run:
        """Make the change."""
        read = self.source.reader(env.netfilter.namespace) if self.source is not None else None
        fixed, keep, extra = self.value or 0, self.keep, self.extra
        of_connection = self.target.needs_conntrack

        def run(packet: Packet, hook: Hook) -> Outcome:  # noqa: ARG001
            value: int | None = fixed
            if read is not None:
                value = read(packet)
                if value is None:
                    return MISS
                value = value & keep | extra
            assert value is not None
            if not of_connection:
                packet.mark = value
            elif packet.connection is not None:
                packet.connection.mark = value
            return None

        return run


@frozen(eq=False)
class NoTrack(Statement):
    """Keeps conntrack off the packet."""

    def text(self, *, counts: bool) -> str:
        """Write it as nft lists it."""
        del counts
        return "notrack"

    def compile(self, env: Env) -> Run:
        """Make the mark on the packet."""
        del env

        def run(packet: Packet, hook: Hook) -> Outcome:  # noqa: ARG001
            if packet.ct_state is None:
                packet.ct_state = CtState.UNTRACKED
            return None

        return run


#: `reject with icmp KIND` by family: nft's word → iptables' word.
REJECTS = {
    "icmp": {"net-unreachable": "icmp-net-unreachable", "host-unreachable": "icmp-host-unreachable",
             "prot-unreachable": "icmp-proto-unreachable", "port-unreachable": "icmp-port-unreachable",
             "net-prohibited": "icmp-net-prohibited", "host-prohibited": "icmp-host-prohibited",
             "admin-prohibited": "icmp-admin-prohibited"},
    "icmpv6": {"no-route": "icmp6-no-route", "admin-prohibited": "icmp6-adm-prohibited",
               "addr-unreachable": "icmp6-addr-unreachable", "port-unreachable": "icmp6-port-unreachable",
               "policy-fail": "icmp6-policy-fail", "reject-route": "icmp6-reject-route"},
}  # fmt: skip
#: What `icmpx` means in each family.
ICMPX = {"port-unreachable": ("icmp-port-unreachable", "icmp6-port-unreachable"),
         "admin-prohibited": ("icmp-admin-prohibited", "icmp6-adm-prohibited"),
         "no-route": ("icmp-net-unreachable", "icmp6-no-route"),
         "host-unreachable": ("icmp-host-unreachable", "icmp6-addr-unreachable")}  # fmt: skip


@frozen(eq=False)
class Reject(Statement):
    """Drops the packet and tells its sender. `how` is `tcp reset`, `icmp KIND`, `icmpv6 KIND` or `icmpx KIND`.

    `is_default`: it is what `reject` alone means there, and listed so.
    """

    how: str
    is_default: bool = False

    def text(self, *, counts: bool) -> str:
        """Write it as nft lists it."""
        del counts
        return "reject" if self.is_default else f"reject with {self.how}"

    def compile(self, env: Env) -> Run:
        """Make the answer."""
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
            family: compile_(Extension("REJECT", (Setting("reject-with", (name,)),)), family, env.netfilter)
            for family, name in names.items()
        }

        def run(packet: Packet, hook: Hook) -> Outcome:
            action = actions.get(packet.family)
            if action is None or (self.how == "tcp reset" and packet.protocol != 6):
                return MISS
            return action(packet, hook)

        return run


@frozen(eq=False)
class Nat(Statement):
    """dnat, snat, masquerade or redirect.

    `address` and `ports` are spans or, of `lookup`, what a map gives for `keys`. `family` is written only in tables of both.
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
        """Give the map it looks into."""
        if isinstance(self.lookup, str) and self.lookup:
            yield self.lookup

    def text(self, *, counts: bool) -> str:
        """Write it as nft lists it."""
        del counts
        words = [self.kind]
        if self.names_family:
            words.append("ip" if self.family == 4 else "ip6")
        if self.keys:
            words.append(f"to {keys_text(self.keys)} map {operand_text(self.lookup, self.keys[0])}")
        elif self.address is not None or self.ports is not None:
            words.append(f"to {self._range_text(self.address, self.ports)}")
        return " ".join([*words, *([",".join(self.flags)] if self.flags else [])])

    def _range_text(self, address: Span | None, ports: Span | None) -> str:
        text = ""
        if address is not None:
            kind = IPV6 if self.family == 6 else IPV4
            text = kind.write(address.low)
            text += f"-{kind.write(address.high)}" if not address.is_single else ""
            text = f"[{text}]" if self.family == 6 and ports is not None else text
        if ports is not None:
            text += f":{ports.low}" + (f"-{ports.high}" if not ports.is_single else "")
        return text

    def compile(self, env: Env) -> Run:
        """Make what binds new connections."""
        target = {"dnat": "DNAT", "snat": "SNAT", "masquerade": "MASQUERADE", "redirect": "REDIRECT"}[self.kind]
        option = {"DNAT": "to-destination", "SNAT": "to-source"}.get(target, "to-ports")
        kind = TARGETS[target]
        flags = tuple(Setting({"fully-random": "random-fully"}.get(flag, flag)) for flag in self.flags)

        def action_for(family: int, address: Span | None, ports: Span | None) -> Run:
            settings: tuple[Setting, ...] = ()
            if option == "to-ports":
                if ports is not None:
                    settings = (Setting(option, (types.PORT.text(ports),)),)
            elif address is not None or ports is not None:
                settings = (Setting(option, (_to_text(family, address, ports),)),)
            return kind.compile(Extension(target, settings + flags), family, env.netfilter)

        if not self.keys:
            families = (self.family,) if self.family else (4, 6)
            actions = {family: action_for(family, self.address, self.ports) for family in families}

            def run(packet: Packet, hook: Hook) -> Outcome:
                action = actions.get(packet.family)
                return action(packet, hook) if action is not None else MISS

            return run
        read = values_reader(self.keys, env)
        elements = env.find_set(self.lookup) if isinstance(self.lookup, str) else self.lookup

        def run_by_map(packet: Packet, hook: Hook) -> Outcome:
            values = read(packet) if packet.family == self.family else None
            is_there, data = elements.find(values) if values is not None else (False, None)
            if not is_there or not isinstance(data, Value):
                return MISS
            address = Span(data.parts[0], data.parts[0])
            ports = Span(data.parts[1], data.parts[1]) if len(data.parts) > 1 else None
            return action_for(packet.family, address, ports)(packet, hook)

        return run_by_map


def _to_text(family: int, address: Span | None, ports: Span | None) -> str:
    """Write a range as iptables' DNAT and SNAT take it."""
    size = 16 if family == 6 else 4
    text = ""
    if address is not None:
        text = format_ip(address.low.to_bytes(size))
        text += f"-{format_ip(address.high.to_bytes(size))}" if not address.is_single else ""
        text = f"[{text}]" if family == 6 and ports is not None else text
    if ports is not None:
        text += f":{ports.low}" + (f"-{ports.high}" if not ports.is_single else "")
    return text


@frozen(eq=False)
class Rule:
    """The statements of one rule and its comment."""

    statements: tuple[Statement, ...]
    comment: str = ""
    #: How many handles of its table the sets without a name in it take.
    anonymous_sets: int = field(default=0)

    def text(self, *, counts: bool = False) -> str:
        """Write the rule as nft lists it; `counts`: with what its counters say."""
        words = [each.text(counts=counts) for each in self.statements]
        if self.comment:
            words.append(f'comment "{self.comment}"')
        return " ".join(word for word in words if word)

    @property
    def stands_alone(self) -> bool:
        """Whether its words mean the same in every table of a family: it names no chain, set or interface index."""
        for each in self.statements:
            if any(each.chains()) or any(each.set_names()):
                return False
            if any(key.type is INDEX for key in getattr(each, "keys", ())):
                return False
        return True

    def fresh(self) -> Rule:
        """Give the same rule with counters of its own, as they were given."""
        statements = (
            Counter(each.packets, each.bytes) if isinstance(each, Counter) else each for each in self.statements
        )
        return evolve(self, statements=tuple(statements))

    @property
    def needs_conntrack(self) -> bool:
        """Whether it makes sense only where connections are tracked."""
        return any(each.needs_conntrack for each in self.statements)

    @property
    def translates(self) -> bool:
        """Whether it may bind connections to translations."""
        return any(each.translates for each in self.statements)

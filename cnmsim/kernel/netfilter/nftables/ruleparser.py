"""The rule grammar of nft: statements as values, in the form in which the kernel would list them (parser_bison.y, evaluate.c)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NoReturn, Protocol

from attrs import define, field

from cnmsim.kernel.netfilter.nftables import datatypes as types
from cnmsim.kernel.netfilter.nftables.cursor import Cursor
from cnmsim.kernel.netfilter.nftables.datatypes import Datatype, Span
from cnmsim.kernel.netfilter.nftables.effects import ICMPX, REJECTS, Limit, Log, Nat, NoTrack, Reject, SetMark
from cnmsim.kernel.netfilter.nftables.elements import Data, ElementKey, Elements, Goto, Value
from cnmsim.kernel.netfilter.nftables.errors import NftError, Place, refused
from cnmsim.kernel.netfilter.nftables.keys import ALIASES, INDEX, KEYS, MOST_WORDS, Key
from cnmsim.kernel.netfilter.nftables.statements import (
    Counter,
    Decide,
    Match,
    Operand,
    Rule,
    Statement,
    VerdictMap,
)

if TYPE_CHECKING:
    from cnmsim.kernel.namespace import NetworkNamespace

_OPERATORS = frozenset({"==", "!=", "<", ">", "<=", ">=", "eq", "ne", "lt", "gt", "le", "ge"})
_OPERATOR_WORDS = {"eq": "==", "ne": "!=", "lt": "<", "gt": ">", "le": "<=", "ge": ">="}
_SIMPLE_VERDICTS = frozenset({"accept", "drop", "return", "continue"})
#: What nft knows and this kernel does not.
_NOT_HERE = frozenset(
    [
        "queue",
        "quota",
        "dup",
        "fwd",
        "tproxy",
        "synproxy",
        "flow",
        "numgen",
        "jhash",
        "symhash",
        "socket",
        "osf",
        "rt",
        "ether",
        "vlan",
        "arp",
        "dccp",
        "ah",
        "esp",
        "comp",
        "exthdr",
        "frag",
        "hbh",
        "mh",
        "dst",
        "@th",
        "@nh",
        "@ll",
        "@ih",
        "update",
        "delete",
        "set",
        "xt",
    ]
)
_NO_TRANSPORT = "transport protocol mapping is only valid after transport protocol match"
_NAT_FLAGS = ("random", "fully-random", "persistent")


class Sets(Protocol):
    """The sets of a table, as far as rules need them."""

    def types_of(self, name: str) -> tuple[tuple[Datatype, ...], tuple[Datatype, ...] | None] | None:
        """Give the types of a set's fields and, of a map, of what it gives; `None` if there is no such set."""

    def hint(self, name: str) -> str:
        """Say which set may have been meant."""


@define(eq=False)
class RuleParser:
    """Reads the rules of one table: its family ("ip", "ip6" or "inet") and sets decide what may stand in them."""

    cursor: Cursor
    family: str
    sets: Sets
    namespace: NetworkNamespace
    _statements: list[Statement] = field(factory=list, init=False)
    #: What earlier statements tell of the packet.
    _protocol: int = field(default=0, init=False)
    _network: int = field(default=0, init=False)
    _anonymous: int = field(default=0, init=False)
    _terminal: Place | None = field(default=None, init=False)
    #: Where the rule names chains.
    jumps: dict[str, Place] = field(factory=dict, init=False)

    def rule(self) -> Rule:
        """Read a rule to its end. Raises `NftError`."""
        self._statements, self._protocol, self._anonymous, self._terminal = [], 0, 0, None
        self.jumps = {}
        self._network = {"ip": 4, "ip6": 6}.get(self.family, 0)
        comment = ""
        while not self.cursor.ends_statement():
            if self.cursor.text == "comment":
                if not self._statements:
                    self.cursor.unexpected()
                self.cursor.take()
                comment = self.cursor.word().text
                continue
            begin = self.cursor.place
            if self._terminal is not None:
                raise NftError("Statement after terminal statement has no effect", begin, self._terminal)
            self._statement()
            if isinstance(self._statements[-1], (Decide, Reject, Nat)) and begin.line == self.cursor.last_place.line:
                is_open = isinstance(self._statements[-1], Decide) and str(self._statements[-1].verdict) == "continue"
                self._terminal = None if is_open else begin.to(self.cursor.last_place)
        if not self._statements:
            self.cursor.unexpected()
        return Rule(tuple(_settled(self._statements, self.family)), comment, self._anonymous)

    # --- statements ----------------------------------------------------------------------------------------------

    def _statement(self) -> None:
        cursor = self.cursor
        word = cursor.text
        special: Mapping[str, Callable[[], None]] = {
            "jump": self._jump, "goto": self._jump, "counter": self._counter, "limit": self._limit, "log": self._log,
            "reject": self._reject, "dnat": self._nat, "snat": self._nat, "masquerade": self._nat,
            "redirect": self._nat, "notrack": self._notrack,
        }  # fmt: skip
        if word in _SIMPLE_VERDICTS:
            cursor.take()
            self._add(Decide(word))
        elif word in special:
            special[word]()
        else:
            if word.split(",")[0] in _NOT_HERE or word == "add":
                raise refused("Operation not supported", cursor.place)
            self._expression()

    def _add(self, statement: Statement) -> None:
        self._statements.append(statement)

    def _jump(self) -> None:
        is_goto = self.cursor.take().text == "goto"
        chain = self.cursor.word()
        self.jumps[chain.text] = chain.place
        self._add(Decide(Goto(chain.text, is_goto)))

    def _counter(self) -> None:
        cursor = self.cursor
        cursor.take()
        counter = Counter()
        if cursor.accept("packets"):
            counter.packets = cursor.number()
            cursor.expect("bytes")
            counter.bytes = cursor.number()
        self._add(counter)

    def _limit(self) -> None:
        cursor = self.cursor
        cursor.take()
        cursor.expect("rate")
        is_over = cursor.accept("over")
        cursor.accept("until")
        rate, size, unit = self._rate()
        burst, burst_unit = (0, "bytes") if size else (5, "packets")
        if cursor.accept("burst"):
            burst = cursor.number()
            burst_unit = cursor.word().text
        self._add(Limit(rate, unit, burst, is_over, size, burst_unit))

    def _rate(self) -> tuple[int, str, str]:
        cursor = self.cursor
        token = cursor.word()
        amount, slash, unit = token.text.partition("/")
        size = ""
        if not slash:
            token = cursor.word()
            size, slash, unit = token.text.partition("/")
            if not slash:
                cursor.unexpected()
        if not amount.isdigit() or not int(amount) or unit not in {"second", "minute", "hour", "day", "week"}:
            raise NftError("invalid rate", token.place)
        return int(amount), size, unit

    def _log(self) -> None:
        cursor = self.cursor
        cursor.take()
        given: dict[str, str] = {}
        while cursor.text in {"prefix", "level", "group", "flags"}:
            name = cursor.take().text
            given[name] = cursor.word().text
            if name == "flags" and given[name] in {"tcp", "ip"}:
                given[name] += f" {cursor.word().text}"
        if len(given.get("prefix", "")) > 127:
            raise NftError("log prefix is too long", cursor.last_place)
        self._add(Log(**given))

    def _notrack(self) -> None:
        self.cursor.take()
        self._add(NoTrack())

    def _reject(self) -> None:
        cursor = self.cursor
        begin = cursor.take().place
        default = {4: "icmp port-unreachable", 6: "icmpv6 port-unreachable"}.get(
            self._network, "icmpx port-unreachable"
        )
        how = default
        if cursor.accept("with"):
            protocol = cursor.expect("tcp", "icmp", "icmpv6", "icmpx").text
            cursor.accept("type")
            kind = cursor.word()
            how = f"{protocol} {kind.text}"
            if protocol == "icmpx" and self.family != "inet":
                raise NftError("abstracted ICMP unreachable not supported", kind.place, begin)
            known = {"tcp": {"reset"}, "icmpx": set(ICMPX)}.get(protocol) or set(REJECTS.get(protocol, ()))
            if kind.text not in known:
                raise NftError("invalid reject code", kind.place)
            network = {"icmp": 4, "icmpv6": 6}.get(protocol, 0)
            if network and self._network and network != self._network:
                names = {4: "ip", 6: "ip6"}
                what = f"conflicting protocols specified: {names[network]} vs {names[self._network]}"
                raise NftError(what, kind.place, begin)
        if how == "tcp reset" and not self._protocol:
            # nft puts the protocol before it where nothing else tells it; in `ip` and `ip6` it does not list it.
            if self.family == "inet":
                self._add(Match((KEYS["meta l4proto"],), "", Span(6, 6)))
            self._protocol = 6
        is_default = how == default and (self.family != "inet" or how.startswith("icmpx"))
        self._add(Reject(how, is_default))

    _nat_place: Place | None = field(default=None, init=False)

    # --- translations --------------------------------------------------------------------------------------------

    def _nat(self) -> None:
        cursor = self.cursor
        token = cursor.take()
        kind = token.text
        self._nat_place = token.place
        family, names_family = self._network, False
        if kind in {"dnat", "snat"}:
            if cursor.text in {"ip", "ip6"} and (cursor.peek(1) in {"to", "addr", "prefix"}):
                family = 4 if cursor.take().text == "ip" else 6
                names_family = self.family == "inet"
                if cursor.accept("addr"):
                    cursor.expect(".")
                    cursor.expect("port")
            elif self.family == "inet" and not self._network:
                raise NftError(f"specify `{kind} ip' or '{kind} ip6' in inet table to disambiguate", token.place)
            else:
                names_family = self.family == "inet"
            cursor.expect("to")
            keys, lookup, address, ports = self._nat_target(family)
        else:
            family = 0 if self.family == "inet" else family
            keys, lookup, address, ports = (), "", None, None
            if cursor.accept("to"):
                address, ports = None, self._ports(cursor.word().text.removeprefix(":"), cursor.last_place)
        if isinstance(lookup, Elements):
            self._anonymous += 1
            names_family = names_family or any(isinstance(d, Value) and len(d.parts) > 1 for _, d in lookup)
        if ports is not None and not self._protocol:
            place = cursor.last_place
            raise NftError(_NO_TRANSPORT, Place(place.line, place.begin + 1, place.end), token.place)
        flags: list[str] = []
        while cursor.text in _NAT_FLAGS:
            flags.append(cursor.take().text)
            cursor.accept(",")
        ordered = tuple(flag for flag in _NAT_FLAGS if flag in flags)
        self._add(Nat(kind, family, names_family, address, ports, keys, lookup, ordered))

    def _nat_target(self, family: int) -> tuple[tuple[Key, ...], Elements | str, Span | None, Span | None]:
        cursor = self.cursor
        key = self.key()
        if key is not None:
            keys = self._concatenation(key)
            cursor.expect("map")
            address_type = types.IPV6 if family == 6 else types.IPV4
            lookup = self._map_operand(keys, (address_type, types.PORT))
            return keys, lookup, None, None
        token = cursor.word()
        text = token.text
        if text.startswith("["):
            address_text, _, ports_text = text[1:].partition("]")
            ports_text = ports_text.removeprefix(":")
        elif family == 6:
            address_text, ports_text = ("", text[1:]) if text.startswith(":") and text[1:2].isdigit() else (text, "")
        else:
            address_text, _, ports_text = text.partition(":")
        address = (
            (types.IPV6 if family == 6 else types.IPV4).read(address_text, token.place) if address_text else None
        )
        place = token.place
        ports_place = Place(place.line, place.end - len(ports_text), place.end)
        ports = self._ports(ports_text, ports_place) if ports_text else None
        if ports is not None and not self._protocol:
            raise NftError(_NO_TRANSPORT, ports_place, self._nat_place)
        return (), "", address, ports

    def _ports(self, text: str, place: Place) -> Span:
        return types.PORT.read(text, place)

    # --- comparisons and what depends on them --------------------------------------------------------------------

    def key(self) -> Key | None:
        """Take a key if one comes: the longest that fits."""
        cursor = self.cursor
        for count in range(MOST_WORDS, 0, -1):
            words = [cursor.text] + [cursor.peek(ahead) for ahead in range(1, count)]
            text = " ".join(words)
            text = ALIASES.get(text, text)
            if text.startswith("ct ") and text not in KEYS:
                # `ct original saddr` leaves out the family that the table tells.
                parts = text.split()
                if len(parts) == 3 and parts[2] in {"saddr", "daddr"} and self._network:
                    text = f"ct {parts[1]} {'ip' if self._network == 4 else 'ip6'} {parts[2]}"
            key = KEYS.get(text)
            if key is not None:
                begin = cursor.place
                for _ in words:
                    cursor.take()
                self._check(key, begin.to(cursor.last_place))
                return key
        return None

    def _check(self, key: Key, place: Place) -> None:
        if key.text == "meta nfproto" and self.family != "inet":
            raise NftError("meta nfproto is only useful in the inet family", place)
        if key.family and self._network and key.family != self._network:
            names = {4: "ip", 6: "ip6"}
            raise NftError(
                f"conflicting network layer protocols specified: {names[self._network]} vs. {names[key.family]}",
                place,
            )
        if key.protocol and self._protocol and key.protocol != self._protocol:
            names = {number: types.PROTOCOL.write(number) for number in (key.protocol, self._protocol)}
            raise NftError(
                "conflicting transport layer protocols specified: "
                f"{names[self._protocol]} vs. {names[key.protocol]}", place,
            )  # fmt: skip

    def _know(self, key: Key) -> None:
        """Take note of what a comparison tells of the packet by being there."""
        if key.protocol:
            self._protocol = key.protocol
        if key.family and key.is_payload:
            self._network = key.family

    def _concatenation(self, first: Key) -> tuple[Key, ...]:
        keys = [first]
        while self.cursor.accept("."):
            key = self.key()
            if key is None:
                self.cursor.unexpected()
            keys.append(key)
        for key in keys:
            self._know(key)
        return tuple(keys)

    _begin: Place | None = field(default=None, init=False)

    def _expression(self) -> None:
        cursor = self.cursor
        begin = cursor.place
        key = self.key()
        if key is None:
            self._complain(begin)
        if cursor.accept("set"):
            self._set_mark(key, begin)
            return
        keys = self._concatenation(key)
        self._begin = begin.to(cursor.last_place)
        if cursor.accept("vmap"):
            operand = self._map_operand(keys, None)
            self._anonymous += isinstance(operand, Elements)
            self._add(VerdictMap(keys, operand))
            return
        mask = None
        if len(keys) == 1 and cursor.accept("&", "and"):
            mask = self._bits(key)
        operator = ""
        if cursor.text in _OPERATORS:
            operator = _OPERATOR_WORDS.get(cursor.text, cursor.text)
            cursor.take()
        elif cursor.text == "!" and key.type.is_flags:
            cursor.take()
            self._add(Match(keys, "", Span(0, 0), self._bits(key)))
            return
        self._add(self._compared(keys, operator, mask))

    def _complain(self, begin: Place) -> NoReturn:
        cursor = self.cursor
        token = cursor.take()
        if cursor.ends_statement():
            cursor.unexpected()
        if token.kind == "symbol":
            raise NftError(f"syntax error, unexpected '{token.text}'", token.place)
        if token.text in {"ip", "ip6", "tcp", "udp", "ct", "meta", "fib", "icmp", "icmpv6", "th", "sctp"}:
            raise refused("Operation not supported", begin.to(cursor.place))
        raise NftError("No symbol type information", token.place)

    def _compared(self, keys: tuple[Key, ...], operator: str, mask: int | None) -> Match:
        key = keys[0]
        place = self.cursor.place
        names: tuple[tuple[int, str], ...] = ()
        if len(keys) == 1 and key.type is INDEX:
            span, names = self._device(place)
            return Match(keys, operator, span, None, names)
        operand = self._operand(keys)
        if isinstance(operand, Elements):
            self._anonymous += 1
            simple = next(iter(operand), None)
            if len(operand) == 1 and len(keys) == 1 and simple is not None and not self._was_longer:
                self._anonymous -= 1
                operand = simple[0][0]
        operator = "" if operator == "==" and not key.type.is_flags else operator
        if mask is not None and isinstance(operand, Span):
            if key.type.is_flags and operator == "!=" and not operand.low:
                return Match(keys, "", Span(mask, mask))
            return Match(keys, "" if operator == "==" else operator, operand, mask)
        if key.type.is_flags and not operator and self.cursor.accept("/") and isinstance(operand, Span):
            return Match(keys, "", operand, self._bits(key))
        self._learn(key, operator, operand)
        return Match(keys, operator, operand)

    def _learn(self, key: Key, operator: str, operand: Operand) -> None:
        """Take note of what a comparison tells of the packet by its value."""
        if operator or not isinstance(operand, Span) or not operand.is_single:
            if key.text == "meta l4proto" and isinstance(operand, Elements):
                self._protocol = self._protocol or -1
            return
        if key.text in {"meta l4proto", "ip protocol", "ip6 nexthdr"}:
            self._protocol = operand.low
        elif key.text == "meta nfproto":
            self._network = 4 if operand.low == 2 else 6
        elif key.text == "meta protocol":
            self._network = {0x0800: 4, 0x86DD: 6}.get(operand.low, self._network)

    def _device(self, place: Place) -> tuple[Span, tuple[tuple[int, str], ...]]:
        name = self.cursor.word().text
        device = self.namespace.devices.get(name)
        if device is None:
            raise NftError("Interface does not exist", place)
        return Span(device.index, device.index), ((device.index, name),)

    def _bits(self, key: Key) -> int:
        """Read a mask: a number, or names with commas or bars between, perhaps in parentheses."""
        cursor = self.cursor
        in_parentheses = cursor.accept("(")
        value = 0
        while True:
            token = cursor.word()
            value |= key.type.read(token.text, token.place).low
            if not cursor.accept("|", ",", "or"):
                break
        if in_parentheses:
            cursor.expect(")")
        return value

    def _set_mark(self, key: Key, begin: Place) -> None:
        cursor = self.cursor
        if key.text not in {"meta mark", "ct mark"}:
            raise refused("Operation not supported", begin.to(cursor.last_place))
        source = self.key()
        if source is None:
            token = cursor.word()
            self._add(SetMark(key, types.MARK.read(token.text, token.place).low))
            return
        keep, extra = 0xFFFFFFFF, 0
        if cursor.accept("&", "and"):
            keep = cursor.number()
        if cursor.accept("|", "or"):
            extra = cursor.number()
        self._add(SetMark(key, None, source, keep, extra))

    # --- operands ------------------------------------------------------------------------------------------------

    @property
    def _was_longer(self) -> bool:
        return self._given_elements > 1

    _given_elements: int = field(default=0, init=False)

    def _operand(self, keys: tuple[Key, ...]) -> Operand:
        cursor = self.cursor
        kinds = tuple(key.type for key in keys)
        if cursor.text.startswith("@"):
            return self._set_name(kinds, is_map=False)
        if cursor.text == "{":
            elements = Elements(kinds)
            self._given_elements = self._elements(elements, None)
            elements.merge_overlaps()
            return elements
        if len(kinds) > 1:
            elements = Elements(kinds)
            elements.add(self.element_key(kinds))
            self._given_elements = 2
            return elements
        return self._span(kinds[0])

    def _span(self, kind: Datatype) -> Span:
        cursor = self.cursor
        token = cursor.word()
        span = kind.read(token.text, token.place)
        if not kind.is_flags:
            return span
        value = span.low
        while cursor.text in {",", "|"}:
            cursor.take()
            token = cursor.word()
            value |= kind.read(token.text, token.place).low
        return Span(value, value)

    def _set_name(self, kinds: tuple[Datatype, ...], *, is_map: bool) -> str:
        token = self.cursor.take()
        name = token.text[1:]
        found = self.sets.types_of(name)
        if found is None:
            raise NftError(f"No such file or directory{self.sets.hint(name)}", token.place)
        if (found[1] is not None) is not is_map:
            raise NftError("Expression is not a map" if is_map else "Expression is not a set", token.place)
        if [kind.bits for kind in found[0]] != [kind.bits for kind in kinds]:
            wanted, given = (" . ".join(kind.title or kind.name for kind in each) for each in (kinds, found[0]))
            raise NftError(
                f"datatype mismatch, expected {wanted}, expression has type {given}", token.place, self._begin
            )
        return name

    def _map_operand(self, keys: tuple[Key, ...], values: tuple[Datatype, ...] | None) -> Elements | str:
        kinds = tuple(key.type for key in keys)
        if self.cursor.text.startswith("@"):
            return self._set_name(kinds, is_map=True)
        elements = Elements(kinds)
        self._elements(elements, values or ())
        return elements

    def _elements(self, elements: Elements, values: tuple[Datatype, ...] | None) -> int:
        """Read `{ element, … }`; `values`: `None` for a set, () for verdicts, else the types a map may give."""
        cursor = self.cursor
        cursor.expect("{")
        count = 0
        while True:
            cursor.skip_newlines()
            if cursor.accept("}"):
                return count
            key = self.element_key(elements.types)
            data: Data = None
            if values is not None:
                cursor.expect(":")
                data = self.data(values)
            elements.add(key, data)
            count += 1
            cursor.skip_newlines()
            if not cursor.accept(","):
                cursor.expect("}")
                return count

    def element_key(self, kinds: tuple[Datatype, ...]) -> ElementKey:
        """Read the key of an element: a value, prefix or range for each field, or `*`."""
        cursor = self.cursor
        if cursor.accept("*"):
            return ()
        spans = []
        for at, kind in enumerate(kinds):
            if at:
                cursor.expect(".")
            spans.append(self._element_span(kind))
        return tuple(spans)

    def _element_span(self, kind: Datatype) -> Span:
        token = self.cursor.word()
        if kind is INDEX:
            device = self.namespace.devices.get(token.text)
            if device is None:
                raise NftError("Interface does not exist", token.place)
            return Span(device.index, device.index)
        span = kind.read(token.text, token.place)
        return Span(span.low, span.high)

    def data(self, values: tuple[Datatype, ...]) -> Data:
        """Read what an element maps to: a verdict, or values of the types (the last ones may be left out)."""
        cursor = self.cursor
        if not values:
            word = cursor.word()
            if word.text in {"jump", "goto"}:
                chain = cursor.word()
                self.jumps.setdefault(chain.text, chain.place)
                return Goto(chain.text, word.text == "goto")
            if word.text not in _SIMPLE_VERDICTS:
                raise NftError("syntax error, unexpected string", word.place)
            return word.text
        parts = [self._element_span(values[0]).low]
        while len(parts) < len(values) and cursor.accept("."):
            parts.append(self._element_span(values[len(parts)]).low)
        return Value(tuple(parts), values[: len(parts)])


def _settled(statements: list[Statement], family: str) -> list[Statement]:
    """Bring statements into the form the kernel gives back: what others imply left out, neighbours in header order."""
    return _in_header_order(_without_implied(statements, family))


def _without_implied(statements: list[Statement], family: str) -> list[Statement]:
    """Leave out protocol comparisons that a later field of that protocol makes anyway (payload_dependency_kill)."""
    kept: list[Statement] = []
    pending: int | None = None
    for statement in statements:
        if isinstance(statement, Match) and statement.is_equality and _tells_protocol(statement, family):
            pending = len(kept)
            kept.append(statement)
            continue
        key = _first_key(statement)
        if pending is not None and key is not None:
            told = kept[pending]
            assert isinstance(told, Match)
            if _implies(key, told):
                del kept[pending]
                pending = None
            elif not key.is_payload:
                pending = None
        elif key is None:
            pending = None
        kept.append(statement)
    return kept


def _first_key(statement: Statement) -> Key | None:
    return statement.keys[0] if isinstance(statement, (Match, VerdictMap)) else None


def _tells_protocol(match: Match, family: str) -> bool:
    implied = {"meta l4proto", "meta nfproto", *({"ip protocol"} if family == "ip" else ())}
    return match.keys[0].text in implied


def _implies(key: Key, told: Match) -> bool:
    assert isinstance(told.operand, Span)
    if told.keys[0].text == "meta nfproto":
        return key.is_payload and key.family == (4 if told.operand.low == 2 else 6)
    return bool(key.protocol) and key.protocol == told.operand.low


def _in_header_order(statements: list[Statement]) -> list[Statement]:
    """Put comparisons of neighbouring fields of one header, which nft makes one, in the header's order."""
    found = list(statements)
    for at in range(len(found) - 1):
        one, two = found[at], found[at + 1]
        if not (isinstance(one, Match) and isinstance(two, Match) and one.is_equality and two.is_equality):
            continue
        first, second = one.keys[0], two.keys[0]
        is_one_header = first.is_payload and second.is_payload and first.header == second.header
        if is_one_header and first.place - second.place == second.type.bits // 8:
            found[at], found[at + 1] = two, one
    return found

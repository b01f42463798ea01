"""Parser of nft's rules into statements, normalised as nft lists them (parser_bison.y, evaluate.c)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NoReturn

from attrs import define, field

from cnmsim.digits import is_number
from cnmsim.kernel.netfilter.nftables import datatypes as types
from cnmsim.kernel.netfilter.nftables.action_statements import (
    ICMPX,
    REJECTS,
    Limit,
    Log,
    Nat,
    Notrack,
    Reject,
    SetMark,
)
from cnmsim.kernel.netfilter.nftables.cursor import Cursor
from cnmsim.kernel.netfilter.nftables.datatypes import Span
from cnmsim.kernel.netfilter.nftables.elements import Elements, Jump, Value
from cnmsim.kernel.netfilter.nftables.errors import Location, NftError, kernel_refusal
from cnmsim.kernel.netfilter.nftables.keyparser import KeyParser
from cnmsim.kernel.netfilter.nftables.keys import INDEX, KEYS, Key
from cnmsim.kernel.netfilter.nftables.normalise import normalise
from cnmsim.kernel.netfilter.nftables.operandparser import OperandParser, Sets
from cnmsim.kernel.netfilter.nftables.statements import (
    VERDICTS,
    Counter,
    Match,
    Rule,
    Statement,
    VerdictMap,
    VerdictStatement,
)

if TYPE_CHECKING:
    from cnmsim.kernel.namespace import NetworkNamespace

_OPERATORS = frozenset({"==", "!=", "<", ">", "<=", ">=", "eq", "ne", "lt", "gt", "le", "ge"})
_OPERATOR_WORDS = {"eq": "==", "ne": "!=", "lt": "<", "gt": ">", "le": "<=", "ge": ">="}
#: Statements and fields of nft that are not simulated.
_UNSUPPORTED = frozenset({
    "queue", "quota", "dup", "fwd", "tproxy", "synproxy", "flow", "numgen", "jhash", "symhash", "socket", "osf",
    "rt", "ether", "vlan", "arp", "dccp", "ah", "esp", "comp", "exthdr", "frag", "hbh", "mh", "dst", "@ll", "@ih",
    "update", "delete", "set", "xt",
})  # fmt: skip
_NO_TRANSPORT = "transport protocol mapping is only valid after transport protocol match"
_NAT_FLAGS = ("random", "fully-random", "persistent")


@define(eq=False)
class RuleParser:
    """Parses one rule of a table, whose family (`ip`, `ip6` or `inet`) and sets determine what is valid."""

    cursor: Cursor
    family: str
    sets: Sets
    namespace: NetworkNamespace
    keys: KeyParser = field(init=False)
    operands: OperandParser = field(init=False)
    #: The chains to which the rule jumps, each with its location in the input.
    jumps: dict[str, Location] = field(factory=dict, init=False)
    _statements: list[Statement] = field(factory=list, init=False)
    _anonymous_sets: int = field(default=0, init=False)
    _terminal_location: Location | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.keys = KeyParser(self.cursor, self.family, {"ip": 4, "ip6": 6}.get(self.family, 0))
        self.operands = OperandParser(self.cursor, self.sets, self.namespace, self.jumps)

    def rule(self) -> Rule:
        """Parse the rule at the cursor up to its end, and return it. Raises `NftError` if the rule is invalid."""
        comment = ""
        while not self.cursor.ends_statement():
            if self.cursor.text == "comment":
                if not self._statements:
                    self.cursor.unexpected()
                self.cursor.take()
                comment = self.cursor.word().text
                continue
            begin = self.cursor.location
            if self._terminal_location is not None:
                raise NftError("Statement after terminal statement has no effect", begin, self._terminal_location)
            self._statement()
            if (
                isinstance(self._statements[-1], (VerdictStatement, Reject, Nat))
                and begin.line == self.cursor.last_location.line
            ):
                is_open = (
                    isinstance(self._statements[-1], VerdictStatement)
                    and str(self._statements[-1].verdict) == "continue"
                )
                self._terminal_location = None if is_open else begin.to(self.cursor.last_location)
        if not self._statements:
            self.cursor.unexpected()
        return Rule(tuple(normalise(self._statements, self.family)), comment, self._anonymous_sets)

    # --- statements

    def _statement(self) -> None:
        cursor = self.cursor
        word = cursor.text
        special: Mapping[str, Callable[[], None]] = {
            "jump": self._jump, "goto": self._jump, "counter": self._counter, "limit": self._limit, "log": self._log,
            "reject": self._reject, "dnat": self._nat, "snat": self._nat, "masquerade": self._nat,
            "redirect": self._nat, "notrack": self._notrack,
        }  # fmt: skip
        if word in VERDICTS:
            cursor.take()
            self._add(VerdictStatement(word))
        elif word in special:
            special[word]()
        else:
            if word.split(",")[0] in _UNSUPPORTED or word == "add":
                raise kernel_refusal("Operation not supported", cursor.location)
            self._expression()

    def _add(self, statement: Statement) -> None:
        self._statements.append(statement)

    def _jump(self) -> None:
        is_goto = self.cursor.take().text == "goto"
        chain = self.cursor.word()
        self.jumps[chain.text] = chain.location
        self._add(VerdictStatement(Jump(chain.text, is_goto)))

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
        if not is_number(amount) or not int(amount) or unit not in {"second", "minute", "hour", "day", "week"}:
            raise NftError("invalid rate", token.location)
        return int(amount), size, unit

    def _log(self) -> None:
        cursor = self.cursor
        cursor.take()
        options: dict[str, str] = {}
        while cursor.text in {"prefix", "level", "group", "flags"}:
            name = cursor.take().text
            options[name] = cursor.word().text
            if name == "flags" and options[name] in {"tcp", "ip"}:
                options[name] += f" {cursor.word().text}"
        if len(options.get("prefix", "")) > 127:
            raise NftError("log prefix is too long", cursor.last_location)
        self._add(Log(**options))

    def _notrack(self) -> None:
        self.cursor.take()
        self._add(Notrack())

    def _reject(self) -> None:
        cursor = self.cursor
        begin = cursor.take().location
        default = {4: "icmp port-unreachable", 6: "icmpv6 port-unreachable"}.get(
            self.keys.network, "icmpx port-unreachable"
        )
        reject_type = default
        if cursor.accept("with"):
            protocol = cursor.expect("tcp", "icmp", "icmpv6", "icmpx").text
            cursor.accept("type")
            kind = cursor.word()
            reject_type = f"{protocol} {kind.text}"
            if protocol == "icmpx" and self.family != "inet":
                raise NftError("abstracted ICMP unreachable not supported", kind.location, begin)
            codes = {"tcp": {"reset"}, "icmpx": set(ICMPX)}.get(protocol) or set(REJECTS.get(protocol, ()))
            if kind.text not in codes:
                raise NftError("invalid reject code", kind.location)
            network = {"icmp": 4, "icmpv6": 6}.get(protocol, 0)
            if network and self.keys.network and network != self.keys.network:
                names = {4: "ip", 6: "ip6"}
                message = f"conflicting protocols specified: {names[network]} vs {names[self.keys.network]}"
                raise NftError(message, kind.location, begin)
        if reject_type == "tcp reset" and not self.keys.protocol:
            # nft inserts a protocol comparison if no other one exists; in `ip` and `ip6` tables it does not list it.
            if self.family == "inet":
                self._add(Match((KEYS["meta l4proto"],), "", Span(6, 6)))
            self.keys.protocol = 6
        is_default = reject_type == default and (self.family != "inet" or reject_type.startswith("icmpx"))
        self._add(Reject(reject_type, is_default))

    _nat_location: Location | None = field(default=None, init=False)

    # --- translations

    def _nat(self) -> None:
        cursor = self.cursor
        token = cursor.take()
        kind = token.text
        self._nat_location = token.location
        family, names_family = self.keys.network, False
        if kind in {"dnat", "snat"}:
            if cursor.text in {"ip", "ip6"} and (cursor.peek(1) in {"to", "addr", "prefix"}):
                family = 4 if cursor.take().text == "ip" else 6
                names_family = self.family == "inet"
                if cursor.accept("addr"):
                    cursor.expect(".")
                    cursor.expect("port")
            elif self.family == "inet" and not self.keys.network:
                raise NftError(f"specify `{kind} ip' or '{kind} ip6' in inet table to disambiguate", token.location)
            else:
                names_family = self.family == "inet"
            cursor.expect("to")
            keys, lookup, address, ports = self._nat_target(family)
        else:
            family = 0 if self.family == "inet" else family
            keys, lookup, address, ports = (), "", None, None
            if cursor.accept("to"):
                address, ports = None, types.PORT.read(cursor.word().text.removeprefix(":"), cursor.last_location)
        if isinstance(lookup, Elements):
            self._anonymous_sets += 1
            names_family = names_family or any(isinstance(d, Value) and len(d.parts) > 1 for _, d in lookup)
        elif lookup:
            map_types = self.operands.sets.types_of(lookup)
            names_family = names_family or (map_types is not None and len(map_types[1] or ()) > 1)
        if ports is not None and not self.keys.protocol:
            location = cursor.last_location
            raise NftError(_NO_TRANSPORT, Location(location.line, location.begin + 1, location.end), token.location)
        flags: list[str] = []
        while cursor.text in _NAT_FLAGS:
            flags.append(cursor.take().text)
            cursor.accept(",")
        ordered = tuple(flag for flag in _NAT_FLAGS if flag in flags)
        self._add(Nat(kind, family, names_family, address, ports, keys, lookup, ordered))

    def _nat_target(self, family: int) -> tuple[tuple[Key, ...], Elements | str, Span | None, Span | None]:
        cursor = self.cursor
        key = self.keys.key()
        if key is not None:
            keys = self.keys.concatenation(key)
            cursor.expect("map")
            address_type = types.IPV6 if family == 6 else types.IPV4
            lookup = self.operands.map_operand(keys, (address_type, types.PORT))
            return keys, lookup, None, None
        token = cursor.word()
        text = token.text
        if text.startswith("["):
            address_text, _, ports_text = text[1:].partition("]")
            ports_text = ports_text.removeprefix(":")
        elif family == 6:
            address_text, ports_text = ("", text[1:]) if text.startswith(":") and is_number(text[1:2]) else (text, "")
        else:
            address_text, _, ports_text = text.partition(":")
        address = (
            (types.IPV6 if family == 6 else types.IPV4).read(address_text, token.location) if address_text else None
        )
        location = token.location
        ports_location = Location(location.line, location.end - len(ports_text), location.end)
        ports = types.PORT.read(ports_text, ports_location) if ports_text else None
        if ports is not None and not self.keys.protocol:
            raise NftError(_NO_TRANSPORT, ports_location, self._nat_location)
        return (), "", address, ports

    # --- comparisons and other statements on fields

    def _expression(self) -> None:
        cursor = self.cursor
        begin = cursor.location
        key = self.keys.key()
        if key is None:
            self._raise_unknown_expression(begin)
        if cursor.accept("set"):
            self._set_mark(key, begin)
            return
        keys = self.keys.concatenation(key)
        self.operands.keys_location = begin.to(cursor.last_location)
        if cursor.accept("vmap"):
            operand = self.operands.map_operand(keys, ())
            self._anonymous_sets += isinstance(operand, Elements)
            self._add(VerdictMap(keys, operand))
            return
        mask = None
        if len(keys) == 1 and cursor.accept("&", "and"):
            mask = self.operands.mask(key)
        operator = ""
        if cursor.text in _OPERATORS:
            operator = _OPERATOR_WORDS.get(cursor.text, cursor.text)
            cursor.take()
        elif cursor.text == "!" and key.type.is_flags:
            cursor.take()
            self._add(Match(keys, "", Span(0, 0), self.operands.mask(key)))
            return
        self._add(self._match(keys, operator, mask))

    def _raise_unknown_expression(self, begin: Location) -> NoReturn:
        cursor = self.cursor
        token = cursor.take()
        if cursor.ends_statement():
            cursor.unexpected()
        if token.kind == "symbol":
            raise NftError(f"syntax error, unexpected '{token.text}'", token.location)
        if token.text in {"ip", "ip6", "tcp", "udp", "ct", "meta", "fib", "icmp", "icmpv6", "th", "sctp"}:
            raise kernel_refusal("Operation not supported", begin.to(cursor.location))
        raise NftError("No symbol type information", token.location)

    def _match(self, keys: tuple[Key, ...], operator: str, mask: int | None) -> Match:
        key = keys[0]
        location = self.cursor.location
        names: tuple[tuple[int, str], ...] = ()
        if len(keys) == 1 and key.type is INDEX:
            span, names = self.operands.device(location)
            return Match(keys, operator, span, None, names)
        operand = self.operands.operand(keys)
        if isinstance(operand, Elements):
            self._anonymous_sets += 1
            simple = next(iter(operand), None)
            if len(operand) == 1 and len(keys) == 1 and simple is not None and self.operands.given_elements == 1:
                self._anonymous_sets -= 1
                operand = simple[0][0]
        operator = "" if operator == "==" and not key.type.is_flags else operator
        if mask is not None and isinstance(operand, Span):
            if key.type.is_flags and operator == "!=" and not operand.low:
                return Match(keys, "", Span(mask, mask))
            return Match(keys, "" if operator == "==" else operator, operand, mask)
        if key.type.is_flags and not operator and self.cursor.accept("/") and isinstance(operand, Span):
            return Match(keys, "", operand, self.operands.mask(key))
        self.keys.infer_from_value(key, operator, operand)
        return Match(keys, operator, operand)

    def _set_mark(self, key: Key, begin: Location) -> None:
        cursor = self.cursor
        if key.text not in {"meta mark", "ct mark"}:
            raise kernel_refusal("Operation not supported", begin.to(cursor.last_location))
        source = self.keys.key()
        if source is None:
            token = cursor.word()
            self._add(SetMark(key, types.MARK.read(token.text, token.location).low))
            return
        keep, extra = 0xFFFFFFFF, 0
        if cursor.accept("&", "and"):
            keep = cursor.number()
        if cursor.accept("|", "or"):
            extra = cursor.number()
        self._add(SetMark(key, None, source, keep, extra))

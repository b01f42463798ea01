"""The parser of tcpdump's filter expressions (pcap-filter(7)).

`and` and `or` have the same precedence and associate to the left. Keywords for link layers other than Ethernet are
not supported.
"""

# ruff: noqa: S105 - tokens of a language, not secrets

from __future__ import annotations

import re

from attrs import define, field

from cnmsim.digits import is_number
from cnmsim.userland.tcpdump.arithmetic import (
    CONSTANTS,
    INDEXED,
    OPERATORS,
    RELATIONS,
    BeyondEndError,
    Value,
    combined,
    constant,
    load,
)
from cnmsim.userland.tcpdump.primitives import (
    HEADS,
    PROTOCOLS,
    SYNTAX,
    VLAN_TAG,
    CapturedFrame,
    FilterError,
    Predicate,
    Qualifiers,
    address_predicate,
    both,
    cast_predicate,
    either,
    mac_predicate,
    payload_predicate,
    port_predicate,
    protocol_predicate,
    read_address,
    read_number,
)

_SIGNS = r"&&|\|\||<<|>>|<=|>=|==|!=|[()\[\]!&|^+*%<>=]"
#: Inside brackets `:` and `-` are operators. Elsewhere they are part of addresses, ranges and names.
_OUTSIDE = re.compile(rf"\s*({_SIGNS}|/|-(?=\s)|[^\s()\[\]!&|^+*%<>=]+)")
_INSIDE = re.compile(rf"\s*({_SIGNS}|[:/]|-|0[xX][0-9a-fA-F]+|[0-9]+|[A-Za-z][\w]*(?:-[A-Za-z]\w*)*)")
_SIDES = ("src", "dst")
_KINDS = ("host", "net", "port", "portrange", "proto")
_CONJUNCTIONS = ("and", "&&", "or", "||")


def _tokens(text: str) -> list[str]:
    tokens: list[str] = []
    at = depth = 0
    while text[at:].strip():
        match = (_INSIDE if depth else _OUTSIDE).match(text, at)
        if match is None:
            raise FilterError(SYNTAX)
        tokens.append(match[1])
        depth += {"[": 1, "]": -1}.get(match[1], 0)
        at = match.end()
    return tokens


@define
class _Parser:
    tokens: list[str]
    host_bits: int
    is_live: bool
    at: int = 0
    last: Qualifiers = field(factory=Qualifiers)

    @property
    def token(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, *allowed: str) -> str:
        token = self.token
        if not token or (allowed and token not in allowed):
            raise FilterError(SYNTAX)
        self.at += 1
        return token

    def expression(self) -> Predicate:
        test = self.term()
        while self.token in _CONJUNCTIONS:
            is_both = self.take() in ("and", "&&")
            one, other = test, self.term()
            test = both(one, other) if is_both else either(one, other)
        return test

    def term(self) -> Predicate:
        if self.token in ("not", "!"):
            self.take()
            inner = self.term()
            return lambda captured: not inner(captured)
        relation = self.relation()
        if relation is not None:
            return relation
        if self.token == "(":
            self.take()
            inner = self.expression()
            self.take(")")
            return inner
        return self.primitive()

    # --- relations

    def relation(self) -> Predicate | None:
        """Parse a comparison of two numbers. If none comes next, return `None` and leave the words unread."""
        start = self.at
        if self.token in INDEXED and self.tokens[start + 1 : start + 2] == ["["]:
            return self.comparison()
        try:
            self.arithmetic(0)
            self.take(*RELATIONS)
        except FilterError:
            self.at = start
            return None
        self.at = start
        return self.comparison()

    def comparison(self) -> Predicate:
        left = self.arithmetic(0)
        compare = RELATIONS[self.take(*RELATIONS)]
        right = self.arithmetic(0)

        def test(captured: CapturedFrame) -> bool:
            one, other = left(captured), right(captured)
            return one is not None and other is not None and compare(one, other)

        return test

    def arithmetic(self, level: int) -> Value:
        if level == len(OPERATORS):
            return self.number()
        value = self.arithmetic(level + 1)
        while self.token in OPERATORS[level]:
            combine = OPERATORS[level][self.take()]
            value = combined(value, self.arithmetic(level + 1), combine)
        return value

    def number(self) -> Value:
        token = self.take()
        if token == "(":
            inner = self.arithmetic(0)
            self.take(")")
            return inner
        if token == "len":
            return lambda captured: len(captured.frame)
        if token in CONSTANTS:
            return constant(CONSTANTS[token])
        if token in INDEXED and self.token == "[":
            self.take()
            offset, size = self.arithmetic(0), 1
            if self.token == ":":
                self.take()
                size = read_number(self.take(), SYNTAX)
                if size not in (1, 2, 4):
                    raise FilterError("data size must be 1, 2, or 4")
            self.take("]")
            return load(token, offset, size)
        return constant(read_number(token, SYNTAX))

    # --- qualifiers and values

    def primitive(self) -> Predicate:
        token = self.token
        if token in _CONJUNCTIONS or token in (")", "]", "") or token in RELATIONS:
            raise FilterError(SYNTAX)
        if token in ("broadcast", "multicast"):
            return self.cast("ether")
        if token in ("less", "greater"):
            return self.length()
        if token in ("inbound", "outbound"):
            if not self.is_live:
                raise FilterError("inbound/outbound not supported on Ethernet when reading savefiles")
            direction = self.take()[:-5]
            return lambda captured: captured.direction == direction
        if token == "gateway":
            raise FilterError("'gateway' requires a name")
        if token == "vlan":
            return self.vlan()
        protocol = self.take() if token in HEADS else ""
        if self.token in ("broadcast", "multicast") and protocol in ("ether", "ip", "ip6"):
            return self.cast(protocol)
        side = self.side()
        kind = self.take() if self.token in _KINDS else ""
        if protocol and not side and not kind and (not self.token or self.token in (*_CONJUNCTIONS, ")")):
            if protocol == "ether":
                raise FilterError(SYNTAX)
            return protocol_predicate(protocol)
        if not side and not kind and (protocol or not self.last.kind):
            raise FilterError(SYNTAX)
        qualifiers = Qualifiers(protocol, side, kind or "host") if side or kind else self.last
        self.last = qualifiers
        return self.values(qualifiers)

    def cast(self, protocol: str) -> Predicate:
        kind = self.take()
        if kind == "broadcast" and protocol == "ip6":
            raise FilterError("only link-layer/IP broadcast filters supported")
        if kind == "broadcast" and protocol == "ip":
            bits = self.host_bits
            ends = (0, bits)
            return lambda captured: (
                captured.packet is not None
                and captured.packet.family == 4
                and int.from_bytes(captured.packet.dst) & bits in ends
            )
        return cast_predicate(protocol, kind)

    def side(self) -> str:
        if self.token not in _SIDES:
            return ""
        side = self.take()
        if self.token in ("or", "and") and self.at + 1 < len(self.tokens) and self.tokens[self.at + 1] in _SIDES:
            side = f"src {self.take()} dst"
            self.take()
        return side

    def values(self, qualifiers: Qualifiers) -> Predicate:
        """Parse one value, or several in parentheses joined by `and` and `or`. Return the predicate.

        `qualifiers` are the qualifiers written before the values. They apply to each value.
        """
        if self.token != "(":
            return self.value(qualifiers)
        self.take()
        test = self.values(qualifiers)
        while self.token in _CONJUNCTIONS:
            is_both = self.take() in ("and", "&&")
            one, other = test, self.values(qualifiers)
            test = both(one, other) if is_both else either(one, other)
        self.take(")")
        return test

    def length(self) -> Predicate:
        is_less = self.take() == "less"
        number = read_number(self.take(), SYNTAX)
        return lambda captured: len(captured.frame) <= number if is_less else len(captured.frame) >= number

    def vlan(self) -> Predicate:
        self.take()
        if not is_number(self.token):
            return lambda captured: captured.frame[12:14] == VLAN_TAG
        number = int(self.take())
        if number > 0xFFF:
            raise FilterError(f"VLAN tag {number} greater than maximum 4095")
        return lambda captured: (
            captured.frame[12:14] == VLAN_TAG and int.from_bytes(captured.frame[14:16]) & 0xFFF == number
        )

    def value(self, qualifiers: Qualifiers) -> Predicate:
        text = self.take()
        if text in _CONJUNCTIONS or text in ("not", "!", ")", *_KINDS, *_SIDES):
            raise FilterError(SYNTAX)
        if qualifiers.kind == "proto":
            if text in HEADS:
                raise FilterError(SYNTAX)
            return payload_predicate(qualifiers.protocol, text.lstrip("\\"))
        if qualifiers.protocol == "ether":
            return mac_predicate(qualifiers, text)
        if qualifiers.kind in ("port", "portrange"):
            return port_predicate(qualifiers, text)
        if qualifiers.protocol in PROTOCOLS:
            raise FilterError(
                f"'{qualifiers.protocol}' modifier applied to {'net' if qualifiers.kind == 'net' else 'host'}"
            )
        if qualifiers.kind == "net" and self.token == "mask":
            self.take()
            mask = read_address(self.take())
            text = f"{text}/{int.from_bytes(mask).bit_count()}"
        return address_predicate(qualifiers, text)


def _everything(_: CapturedFrame) -> bool:
    return True


def compile_filter(expression: str, *, host_bits: int = 0xFFFFFFFF, is_live: bool = True) -> Predicate:
    """Compile a filter expression to a predicate on frames. An empty expression accepts every frame.

    `host_bits` is the host mask of the captured link's IPv4 network, for `ip broadcast`. `is_live` is True for a live
    capture, where the direction of a frame is known, and False for a file. Raises `FilterError` for an invalid
    expression.
    """
    tokens = _tokens(expression)
    if not tokens:
        return _everything
    parser = _Parser(tokens, host_bits, is_live)
    inner = parser.expression()
    if parser.token:
        raise FilterError(SYNTAX)

    def test(captured: CapturedFrame) -> bool:
        try:
            return inner(captured)
        except BeyondEndError:
            return False

    return test

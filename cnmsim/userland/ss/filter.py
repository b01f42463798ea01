"""The filters of ss: socket states, and expressions on addresses and ports (ss(8), iproute2 6.15 misc/ssfilter.y)."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from ipaddress import ip_address
from typing import TYPE_CHECKING

from attrs import define, field

from cnmsim.digits import is_number
from cnmsim.kernel.address import Address
from cnmsim.kernel.netfilter.netdb import SERVICES

if TYPE_CHECKING:
    from cnmsim.kernel.sockets.table import SocketInfo

Predicate = Callable[["SocketInfo"], bool]

STATES = {
    "established": "ESTAB", "syn-sent": "SYN-SENT", "syn-recv": "SYN-RECV", "fin-wait-1": "FIN-WAIT-1",
    "fin-wait-2": "FIN-WAIT-2", "time-wait": "TIME-WAIT", "unconnected": "UNCONN", "close-wait": "CLOSE-WAIT",
    "last-ack": "LAST-ACK", "listening": "LISTEN", "closing": "CLOSING",
}  # fmt: skip
ALL = frozenset(STATES.values())
_CONNECTED = ALL - {"LISTEN", "UNCONN"}
_BUCKET = frozenset(("SYN-RECV", "TIME-WAIT"))
#: The states that are shown by default, in general and if only datagram sockets are shown.
CONNECTED = _CONNECTED - _BUCKET
ESTABLISHED = frozenset(("ESTAB",))
LISTENING = frozenset(("LISTEN", "UNCONN"))
_GROUPS = {
    "all": ALL, "connected": _CONNECTED, "synchronized": _CONNECTED - {"SYN-SENT"}, "bucket": _BUCKET,
    "big": ALL - _BUCKET, "close": frozenset(("UNCONN",)), "closed": frozenset(("UNCONN",)),
    "syn-rcv": frozenset(("SYN-RECV",)),
    **{name: frozenset((state,)) for name, state in STATES.items()},
}  # fmt: skip
_TOKEN = re.compile(r"\s*(\(|\)|\|\|?|&&?|!=|!|>=|<=|==?|>|<|[^\s()|&!=<>]+)")
_RELATIONS: dict[str, Callable[[int, int], bool]] = {
    "=": operator.eq, "==": operator.eq, "eq": operator.eq, "!=": operator.ne, "ne": operator.ne, "neq": operator.ne,
    ">=": operator.ge, "ge": operator.ge, "geq": operator.ge, "<=": operator.le, "le": operator.le,
    "leq": operator.le, ">": operator.gt, "gt": operator.gt, "<": operator.lt, "lt": operator.lt,
}  # fmt: skip


class FilterError(Exception):
    """A filter is invalid. The text is ss's error message, `status` its exit status."""

    def __init__(self, text: str, status: int = 1) -> None:
        super().__init__(text)
        self.status = status


class FilterSyntaxError(FilterError):
    """The words of the filter are not a valid expression."""

    def __init__(self) -> None:
        super().__init__('ss: bison bellows (while parsing filter): "syntax error!" Sorry.', 255)


def read_states(words: list[str], chosen: frozenset[str]) -> tuple[frozenset[str], list[str]]:
    """Parse the `state` and `exclude` clauses at the beginning of `words`. Return the states and the remaining words.

    If there is no clause, the states are `chosen`. Raises `FilterError` for an unknown state and for a clause that
    names no state.
    """
    states: frozenset[str] | None = None
    while words and words[0] in ("state", "exclude", "excl"):
        if len(words) < 2:
            raise FilterError('Command line is not complete. Try option "help"', 255)
        group = _GROUPS.get(words[1].lower())
        if group is None:
            raise FilterError(f"ss: wrong state name: {words[1]}", 255)
        is_added = words[0] == "state"
        states = (states or frozenset()) | group if is_added else (ALL if states is None else states) - group
        words = words[2:]
    return chosen if states is None else states, words


def read_expression(text: str) -> Predicate:
    """Parse an expression. Return a predicate on sockets that is true for those that match.

    The predicate for "" is always true. Raises `FilterError` if the expression is invalid.
    """
    parser = _Parser(_tokens(text))
    if not parser.tokens:
        return _is_any
    test = parser.alternatives()
    if parser.tokens:
        raise FilterSyntaxError
    return test


def _tokens(text: str) -> list[str]:
    # Characters that separate words are part of an address only if it is in brackets.
    return [match[1] for match in _TOKEN.finditer(text.rstrip())]


@define
class _Parser:
    """Parses an expression: alternatives joined by `or`, in which `and` between two conditions may be omitted."""

    tokens: list[str] = field()
    _expects_port: bool = field(default=False, init=False)

    def alternatives(self) -> Predicate:
        tests = [self._conjunction()]
        while self._accept("or", "|", "||"):
            tests.append(self._conjunction())
        return tests[0] if len(tests) == 1 else lambda info: any(test(info) for test in tests)

    def _conjunction(self) -> Predicate:
        tests = [self._test()]
        while self._accept("and", "&", "&&") or (self.tokens and self.tokens[0] not in ("or", "|", "||", ")")):
            tests.append(self._test())
        return tests[0] if len(tests) == 1 else lambda info: all(test(info) for test in tests)

    def _test(self) -> Predicate:
        if self._accept("not", "!"):
            denied = self._test()
            return lambda info: not denied(info)
        if self._accept("("):
            inner = self.alternatives()
            if not self._accept(")"):
                raise FilterSyntaxError
            return inner
        word = self._word()
        if word in ("sport", "dport"):
            self._expects_port = True
            return self._port_test(is_local=word == "sport")
        if word in ("src", "saddr", "dst", "daddr"):
            self._expects_port = False
            return self._address_test(is_local=word[0] == "s")
        # ss parses an unexpected word as the kind of value (address or port) that was compared last.
        _ = _read_port(word) if self._expects_port else _read_host(word)
        raise FilterSyntaxError

    def _port_test(self, *, is_local: bool) -> Predicate:
        # Without an operator the test is for equality.
        relation = _RELATIONS[self._word()] if self.tokens and self.tokens[0] in _RELATIONS else operator.eq
        word = self._word()
        port = _read_port(word.rpartition(":")[2])
        if port is None:
            return _is_any
        return lambda info: relation(info.local_port if is_local else info.remote_port, port)

    def _address_test(self, *, is_local: bool) -> Predicate:
        is_denied = False
        if self.tokens and self.tokens[0] in ("=", "==", "eq", "!=", "ne", "neq"):
            is_denied = self._word() in ("!=", "ne", "neq")
        prefix, bits, port = _read_host(self._word())

        def test(info: SocketInfo) -> bool:
            address, at = (info.local, info.local_port) if is_local else (info.remote, info.remote_port)
            is_met = (port is None or at == port) and (prefix is None or _is_within(address, prefix, bits))
            return is_met is not is_denied

        return test

    def _accept(self, *words: str) -> bool:
        if self.tokens and self.tokens[0] in words:
            self.tokens.pop(0)
            return True
        return False

    def _word(self) -> str:
        if not self.tokens:
            raise FilterSyntaxError
        return self.tokens.pop(0)


def _is_any(_info: SocketInfo) -> bool:
    return True


def _is_within(address: Address | None, prefix: Address, bits: int) -> bool:
    if address is None or len(address) != len(prefix):
        return False
    shift = 8 * len(prefix) - bits
    return int.from_bytes(address) >> shift == int.from_bytes(prefix) >> shift


def _read_port(text: str) -> int | None:
    if text in ("", "*"):
        return None
    if is_number(text) and int(text) <= 0xFFFF:
        return int(text)
    if text in SERVICES:
        return SERVICES[text]
    raise FilterError(f'Error: "{text}" does not look like a port.\nCannot parse dst/src address.')


def _read_host(text: str) -> tuple[Address | None, int, int | None]:
    """Parse `ADDRESS[/BITS][:PORT]`. Return the address, its prefix length and the port.

    Address or port are `None` if any is accepted. Raises `FilterError` if the text is invalid.
    """
    if text.startswith("[") and "]" in text:
        host, _, rest = text[1:].partition("]")
        length, colon, port = rest.partition(":")
        host += length
    else:
        host, colon, port = text.rpartition(":")
        if not colon:
            host, port = port, ""
    port_number = _read_port(port) if colon else None
    if host in ("", "*"):
        return None, 0, port_number
    address, slash, bits = host.partition("/")
    try:
        if is_number(address.replace(".", "")) and address.count(".") < 3:
            address += ".0" * (3 - address.count("."))
        packed = ip_address(address).packed
        size = int(bits) if slash else 8 * len(packed)
        if not 0 <= size <= 8 * len(packed):
            raise ValueError
    except ValueError:
        message = f'Error: an inet prefix is expected rather than "{host}".\nCannot parse dst/src address.'
        raise FilterError(message) from None
    return packed, size, port_number

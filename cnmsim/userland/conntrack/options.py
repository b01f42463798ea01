"""The parser of conntrack's command line: options, and criteria for entries (conntrack-tools 1.4.8 conntrack.c)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from attrs import define, field

from cnmsim.digits import is_number
from cnmsim.kernel.address import Address, parse_ip
from cnmsim.kernel.netfilter.cttext import PROTOCOL_NAMES
from cnmsim.kernel.netfilter.tcpstate import TcpState

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.connection import Connection

_LONG = {
    "dump": "L", "create": "I", "add": "A", "update": "U", "delete": "D", "get": "G", "flush": "F", "event": "E",
    "count": "C", "counter": "C", "stats": "S", "load-file": "R", "version": "V", "help": "h", "proto": "p",
    "protonum": "p", "orig-src": "s", "src": "s", "orig-dst": "d", "dst": "d", "reply-src": "r", "reply-dst": "q",
    "timeout": "t", "status": "u", "event-mask": "e", "zero": "z", "mark": "m", "secmark": "c", "id": "i",
    "family": "f", "src-nat": "n", "dst-nat": "g", "any-nat": "j", "output": "o", "buffer-size": "b", "zone": "w",
    "orig-zone": "(", "reply-zone": ")", "label": "l", "mask-src": "{", "mask-dst": "}",
}  # fmt: skip
_COMMANDS = "LIAUDGFECSRVh"
_BARE = "zUDGFECSIALhV"
_OPTIONAL = "ngj"
#: The options each command allows (`commands_v_options` in conntrack.c).
_ALLOWED = {
    "L": "sdrqpuz{}mfngocjwl()", "D": "sdrqptu{}mifngowl()", "E": "sdrqpe{}mfngocbjwl()", "U": "sdrqptumfngoil",
    "G": "sdrqpmwfo", "F": "f", "C": "", "S": "", "h": "", "V": "",
}  # fmt: skip
_NAMES = {short: name for name, short in reversed(_LONG.items())} | {
    "p": "protonum",
    "s": "orig-src",
    "d": "orig-dst",
}
#: The port options that `-p PROTOCOL` adds, as (direction, index in the tuple). Direction: 0 original, 1 reply.
_PORTS = {
    "sport": (0, 3), "orig-port-src": (0, 3), "dport": (0, 4), "orig-port-dst": (0, 4), "reply-port-src": (1, 3),
    "reply-port-dst": (1, 4),
}  # fmt: skip
_WITH_PORTS = ("tcp", "udp", "sctp", "dccp", "udplite")
_OUTPUTS = ("xml", "extended", "timestamp", "id", "ktimestamp", "labels", "userspace", "save")
_STATUS = ("ASSURED", "SEEN_REPLY", "UNSET", "FIXED_TIMEOUT", "EXPECTED", "OFFLOAD", "HW_OFFLOAD", "UNREPLIED")
_EVENTS = ("ALL", "NEW", "UPDATES", "DESTROY")
_TABLES = ("conntrack", "expect", "dying", "unconfirmed")


class ConntrackError(Exception):
    """Raised to end conntrack with this error text.

    `status` is 1 if the kernel refused, 2 for an invalid command line.

    `warning` is printed before the error.
    """

    def __init__(self, text: str, status: int = 2, warning: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.warning = warning


@define
class Request:
    """A parsed command line of conntrack. It selects the entries that match all of its criteria.

    `command` is the letter of the command, such as `L` for -L. A criterion that is `None` or empty matches every
    entry.
    """

    command: str = ""
    table: str = "conntrack"
    options: dict[str, str] = field(factory=dict)
    protocol: int | None = None
    family: int | None = None
    #: (direction, index in the tuple, required value). Direction: 0 original, 1 reply.
    tuple_fields: list[tuple[int, int, int]] = field(factory=list)
    #: (direction, index in the tuple, address, mask).
    addresses: list[tuple[int, int, int, int]] = field(factory=list)
    nat: dict[str, Address | None] = field(factory=dict)
    icmp: dict[str, int] = field(factory=dict)
    tcp_state: int | None = None
    status: set[str] = field(factory=set)
    mark: tuple[int, int] | None = None
    outputs: set[str] = field(factory=set)
    events: set[str] = field(factory=lambda: {"new", "update", "destroy"})

    def matches(self, connection: Connection) -> bool:
        """Return True if a connection matches all criteria of this request."""
        tuples = (connection.original, connection.reply)
        if self.family not in {None, connection.family} or self.protocol not in {None, connection.protocol}:
            return False
        if any(tuples[side][place] != value for side, place, value in self.tuple_fields):
            return False
        for side, place, value, mask in self.addresses:
            address = tuples[side][place]
            assert isinstance(address, bytes)
            if int.from_bytes(address) & mask != value & mask:
                return False
        first, second = connection.original[3], connection.original[4]
        values = {"type": second >> 8, "code": second & 0xFF, "id": first}
        if any(values[name] != value for name, value in self.icmp.items()):
            return False
        if self.tcp_state not in {None, connection.tcp_state}:
            return False
        if self.mark is not None and self.command != "U" and connection.mark & self.mark[1] != self.mark[0]:
            return False
        return self._has_status(connection) and self._has_nat(connection)

    def _has_status(self, connection: Connection) -> bool:
        has = {
            "ASSURED": connection.is_assured,
            "SEEN_REPLY": connection.seen_reply,
            "UNREPLIED": not connection.seen_reply,
        }
        return all(has.get(name, False) for name in self.status)

    def _has_nat(self, connection: Connection) -> bool:
        if not self.nat:
            return True
        original, reply = connection.original, connection.reply
        # As in libnetfilter_conntrack: NAT was set up in that direction and changed the address or the port.
        sides = {
            "n": (connection.source_nat_done, reply[2], original[1], reply[4], original[3]),
            "g": (connection.destination_nat_done, reply[1], original[2], reply[3], original[4]),
        }
        results = []
        for name in "ng":
            if name not in self.nat and "j" not in self.nat:
                continue
            is_done, now, before, now_port, port = sides[name]
            address = self.nat.get(name, self.nat.get("j"))
            is_other = now != before
            results.append(
                is_done and (is_other or now_port != port if address is None else is_other and now == address)
            )
        return any(results) if "j" in self.nat else all(results)


def parse_command_line(arguments: list[str]) -> Request:
    """Parse conntrack's arguments. Raises `ConntrackError` with conntrack's error text."""
    request = Request()
    names: list[str] = []
    at = 0
    while at < len(arguments):
        word = arguments[at]
        at += 1
        if word.startswith("--") and len(word) > 2:
            name, equals, value = word[2:].partition("=")
            short = _long_name(request, name)
            needs = short not in _BARE and short not in _OPTIONAL
            if needs and not equals:
                if at >= len(arguments):
                    raise ConntrackError(f"option `--{name}' requires an argument")
                value, at = arguments[at], at + 1
        elif word.startswith("-") and len(word) > 1:
            short, value = word[1], word[2:]
            if short not in _NAMES or not short.isalpha():
                raise ConntrackError(f"unknown option `-{short}'")
            needs = short not in _BARE and short not in _OPTIONAL
            if needs and not value:
                if at >= len(arguments):
                    raise ConntrackError(f"option `-{short}' requires an argument")
                value, at = arguments[at], at + 1
            elif value and short in _BARE and short not in "LDFECGUIA":
                arguments = [*arguments[:at], f"-{value}", *arguments[at:]]
                value = ""
        else:
            if len(names) == 1 and names[0] in _COMMANDS and word not in _TABLES:
                raise ConntrackError(f"unknown type `{word}'")
            request.table = word if names and names[-1] in _COMMANDS and word in _TABLES else request.table
            continue
        if short in _OPTIONAL and not value and at < len(arguments) and not arguments[at].startswith("-"):
            value, at = arguments[at], at + 1
        names.append(short)
        _apply_option(request, short, value)
    _check(request, names)
    return request


def _long_name(request: Request, name: str) -> str:
    """Return the short option of the long option `name`, e.g. `s` for `src`.

    Options that the requested protocol adds, such as `state` for TCP, have no short form: return `name` itself.
    Raises `ConntrackError` for an unknown option.
    """
    protocol = PROTOCOL_NAMES.get(request.protocol or 0, "")
    kind = name.removeprefix(f"{protocol}-") if protocol in ("icmp", "icmpv6") else ""
    if protocol in _WITH_PORTS and name in _PORTS:
        return name
    if (protocol == "tcp" and name == "state") or (kind != name and kind in ("type", "code", "id")):
        return name
    short = _LONG.get(name)
    if short is None:
        raise ConntrackError(f"unknown option `--{name}'")
    return short


def _apply_option(request: Request, short: str, value: str) -> None:
    if short in _COMMANDS:
        if request.command:
            raise ConntrackError("Invalid commands combination")
        request.command = short
    elif short == "p":
        request.protocol = _protocol(value)
    elif short in "sdrq":
        _add_address(request, short, value)
    elif short in _PORTS:
        request.tuple_fields.append((*_PORTS[short], _leading_number(value) & 0xFFFF))
    elif short == "state":
        if value not in TcpState.__members__:
            raise ConntrackError(f"unknown TCP state `{value}'")
        request.tcp_state = TcpState[value].value
    elif short.startswith("icmp"):
        request.icmp[short.rpartition("-")[2]] = _leading_number(value)
    elif short == "f":
        if value not in ("ipv4", "ipv6"):
            raise ConntrackError(f"`{value}' unsupported protocol")
        _set_family(request, int(value[-1]))
    elif short in "ngj":
        request.nat[short] = _address(value.partition(":")[0]) if value else None
    elif short == "m":
        text, _, mask = value.partition("/")
        request.mark = _leading_number(text), _leading_number(mask) if mask else 0xFFFFFFFF
    elif short == "u":
        request.status |= set(_parameters(value, _STATUS))
    elif short == "o":
        request.outputs |= set(_parameters(value, _OUTPUTS))
        if "save" in request.outputs and len(request.outputs) > 1:
            raise ConntrackError("cannot combine save output with any other output type, use -o save only", 1)
    elif short == "e":
        chosen = {name.lower().rstrip("s") for name in _parameters(value, _EVENTS)}
        request.events = request.events if "all" in chosen else chosen
    request.options[short] = value


def _parameters(text: str, names: tuple[str, ...]) -> list[str]:
    """Parse a comma-separated list of words, each an abbreviation of one of `names`. Return the full names.

    Raises `ConntrackError` for a word that abbreviates none of them.
    """
    parameters = []
    for word in text.split(","):
        if word in ("SRC_NAT", "DST_NAT") and names is _STATUS:
            what = f"WARNING: ignoring {word}, use --{word[:3].lower()}-nat instead\n"
            raise ConntrackError("Operation failed: invalid parameters", 1, what)
        known = next((name for name in names if name.lower().startswith(word.lower())), None)
        if known is None or not word:
            raise ConntrackError(f"Bad parameter `{word}'")
        parameters.append(known)
    if "UNSET" in parameters:
        raise ConntrackError("Operation failed: invalid parameters", 1)
    return parameters


def _protocol(text: str) -> int:
    known = {name: number for number, name in PROTOCOL_NAMES.items()} | {"esp": 50, "ah": 51, "igmp": 2, "ipip": 4}
    number = known.get(text.lower(), int(text) if is_number(text) else 256)
    if number > 255:
        raise ConntrackError(f"`{text}' unsupported protocol")
    return number


def _leading_number(text: str) -> int:
    """Parse the number at the beginning of a text, as strtoul(3) does.

    It is 12 for `12ab`, 16 for `0x10`, and 0 if the text begins with no number.
    """
    match = re.match(r"0[xX][0-9a-fA-F]+|[0-9]+", text)
    if match is None:
        return 0
    return int(match[0], 16) if match[0][:2].lower() == "0x" else int(match[0])


def _address(text: str) -> Address:
    try:
        return parse_ip(text)
    except ValueError:
        raise ConntrackError(f"Invalid IP address `{text}'") from None


def _set_family(request: Request, family: int) -> None:
    if request.family not in {None, family}:
        raise ConntrackError("mismatched address family")
    request.family = family


def _add_address(request: Request, short: str, value: str) -> None:
    text, slash, length = value.partition("/")
    address = _address(text)
    bits = len(address) * 8
    if slash and not (is_number(length) and int(length) <= bits):
        raise ConntrackError("Invalid netmask")
    _set_family(request, 6 if bits == 128 else 4)
    mask = ((1 << bits) - 1) >> (bits - int(length)) << (bits - int(length)) if slash else (1 << bits) - 1
    side, place = {"s": (0, 1), "d": (0, 2), "r": (1, 1), "q": (1, 2)}[short]
    request.addresses.append((side, place, int.from_bytes(address), mask))


def _check(request: Request, names: list[str]) -> None:
    """Check that the options fit the command, then apply `--mask-src` and `--mask-dst` to the request.

    `names` are the options that were given. Raises `ConntrackError` if one is not allowed, or a required one is
    missing.
    """
    if request.command in ("", "h", "V"):
        return
    options = {"p" if name in _PORTS or name == "state" or name.startswith("icmp") else name for name in names}
    allowed = "f" if request.table == "expect" else _ALLOWED.get(request.command, _ALLOWED["U"])
    for name in "sdrqptuze{}mifngocbjwl()":
        if name in options and name not in allowed and request.command != "G":
            raise ConntrackError(f"Illegal option `--{_NAMES[name]}' with this command")
    if request.command == "G" and "p" not in options:
        raise ConntrackError("You need to supply the `--protonum' option for this command")
    if request.command == "G" and not {"s", "d"} <= options and not {"r", "q"} <= options:
        raise ConntrackError("you have to specify `--src' and `--dst'")
    for short, side, word in (("{", 1, "src"), ("}", 2, "dst")):
        if short not in options:
            continue
        at = next((at for at, entry in enumerate(request.addresses) if entry[:2] == (0, side)), None)
        if at is None:
            raise ConntrackError(f"Can't use --mask-{word} without --{word}")
        entry = request.addresses[at]
        request.addresses[at] = (*entry[:3], int.from_bytes(_address(request.options[short])))

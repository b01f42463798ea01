"""Matches on the connection of a packet: conntrack and state (xt_conntrack)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cnmsim.kernel.netfilter.errors import ParameterProblemError
from cnmsim.kernel.netfilter.extension import (
    Option,
    ParseContext,
    Setting,
    one_of,
    require_option,
    require_settings,
    word_list,
)
from cnmsim.kernel.netfilter.hooks import Dependency
from cnmsim.kernel.netfilter.matches.kind import (
    MatchKind,
    Test,
    canonical_host,
    canonical_port_range,
    canonical_protocol,
    each_setting,
    of_connection,
    settings_listing,
)
from cnmsim.kernel.netfilter.option_values import parse_host_mask, parse_number, parse_port_range, port_range_text
from cnmsim.kernel.skbuff import CtState, Packet

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.connection import Connection
    from cnmsim.kernel.netfilter.packet_filter import PacketFilter

_STATES = ("INVALID", "NEW", "RELATED", "ESTABLISHED", "UNTRACKED")
_CT_STATES = (*_STATES, "SNAT", "DNAT")
_STATUSES = ("EXPECTED", "SEEN_REPLY", "ASSURED", "CONFIRMED")


_STATUS_LIST = word_list(_STATUSES, 'Bad ctstatus "{}"')


def _status_list(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
    return ("NONE",) if words[0].upper() == "NONE" else _STATUS_LIST(words, context)


def _expiry(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
    low_text, colon, high_text = words[0].partition(":")
    low = parse_number(low_text or "0", 0xFFFFFFFF)
    high = parse_number(high_text or "4294967295", 0xFFFFFFFF) if colon else low
    if low is None or high is None:
        raise ParameterProblemError('conntrack: bad value for option "--ctexpire", or out of range.\n')
    return (port_range_text(low, high),)


def state_test(names: Sequence[str]) -> Test:
    """Return a function that tests whether a packet's connection state is one of `names`, such as `NEW`.

    `SNAT` and `DNAT` match packets whose source or destination is translated. A packet that has not passed connection
    tracking counts as INVALID.
    """
    states = frozenset(CtState[name] for name in names if name in _STATES)
    fits_unseen = CtState.INVALID in states
    by_state = {state: state in states for state in CtState}
    wants_snat, wants_dnat = "SNAT" in names, "DNAT" in names

    def test(packet: Packet) -> bool:
        state = packet.ct_state
        if fits_unseen if state is None else by_state[state]:
            return True
        connection = packet.connection
        if connection is None:
            return False
        return (wants_snat and connection.has_source_nat) or (wants_dnat and connection.has_destination_nat)

    return test


def _status_test(names: str) -> Test:
    statuses = names.split(",")

    def reads(connection: Connection) -> bool:
        has = {
            "EXPECTED": False,
            "SEEN_REPLY": connection.seen_reply,
            "ASSURED": connection.is_assured,
            "CONFIRMED": connection.is_confirmed,
        }
        if statuses == ["NONE"]:
            return not any(has.values())
        return any(has[name] for name in statuses)

    return of_connection(reads)


def _direction_test(name: str) -> Test:
    wants_reply = name == "REPLY"
    return lambda packet: packet.connection is not None and packet.ct_reply is wants_reply


def _address_test(text: str, family: int, reads: Callable[[Connection], bytes]) -> Test:
    address, mask = parse_host_mask(text, family)
    value = int.from_bytes(address)
    return of_connection(lambda connection: int.from_bytes(reads(connection)) & mask == value)


def _port_test(text: str, reads: Callable[[Connection], int]) -> Test:
    low, high = parse_port_range(text)
    return of_connection(lambda connection: low <= reads(connection) <= high)


_TUPLE_ADDRESSES: dict[str, Callable[[Connection], bytes]] = {
    "ctorigsrc": lambda connection: connection.original[1],
    "ctorigdst": lambda connection: connection.original[2],
    "ctreplsrc": lambda connection: connection.reply[1],
    "ctrepldst": lambda connection: connection.reply[2],
}
_TUPLE_PORTS: dict[str, Callable[[Connection], int]] = {
    "ctorigsrcport": lambda connection: connection.original[3],
    "ctorigdstport": lambda connection: connection.original[4],
    "ctreplsrcport": lambda connection: connection.reply[3],
    "ctrepldstport": lambda connection: connection.reply[4],
}


def _setting_test(setting: Setting, family: int, netfilter: PacketFilter) -> Test:
    name, value = setting.name, setting.value
    if name in {"ctstate", "state"}:
        return state_test(value.split(","))
    if name == "ctproto":
        number = int(value)
        return of_connection(lambda connection: connection.original[0] == number)
    if name in _TUPLE_ADDRESSES:
        return _address_test(value, family, _TUPLE_ADDRESSES[name])
    if name in _TUPLE_PORTS:
        return _port_test(value, _TUPLE_PORTS[name])
    if name == "ctstatus":
        return _status_test(value)
    if name == "ctdir":
        return _direction_test(value)
    remaining_s = netfilter.conntrack.remaining_s
    low_text, _, high_text = value.partition(":")
    low, high = int(low_text), int(high_text or low_text)
    return of_connection(lambda connection: low <= remaining_s(connection) <= high)


KINDS = (
    MatchKind(
        "conntrack",
        (
            Option("ctstate", word_list(_CT_STATES, 'Bad ctstate "{}"')),
            Option("ctproto", canonical_protocol),
            Option("ctorigsrc", canonical_host),
            Option("ctorigdst", canonical_host),
            Option("ctreplsrc", canonical_host),
            Option("ctrepldst", canonical_host),
            Option("ctorigsrcport", canonical_port_range),
            Option("ctorigdstport", canonical_port_range),
            Option("ctreplsrcport", canonical_port_range),
            Option("ctrepldstport", canonical_port_range),
            Option("ctstatus", _status_list),
            Option("ctexpire", _expiry),
            Option(
                "ctdir",
                one_of('conntrack: bad value "{}" for option "--ctdir"', "ORIGINAL", "REPLY", fold=str.upper),
                can_invert=False,
            ),
        ),
        each_setting(_setting_test),
        settings_listing,
        require_settings("conntrack: At least one option is required"),
        depends={"": Dependency.FLOW, "ctstatus": Dependency.ANYTHING, "ctexpire": Dependency.ANYTHING},
        needs_conntrack=True,
    ),
    MatchKind(
        "state",
        (Option("state", word_list(_STATES, 'Bad state "{}"')),),
        each_setting(_setting_test),
        settings_listing,
        require_option("state", "state"),
        Dependency.FLOW,
        needs_conntrack=True,
    ),
)

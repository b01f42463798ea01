"""The match on the IPVS connection of a packet (xt_ipvs)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cnmsim.kernel.netfilter.errors import ParameterProblemError
from cnmsim.kernel.netfilter.extension import Extension, Option, ParseContext, Setting, one_of
from cnmsim.kernel.netfilter.matches.kind import (
    MatchKind,
    Test,
    canonical_host,
    canonical_protocol,
    invert_if,
    settings_listing,
)
from cnmsim.kernel.netfilter.option_values import parse_host_mask, parse_port
from cnmsim.kernel.skbuff import Packet

if TYPE_CHECKING:
    from cnmsim.kernel.ipvs import IpvsConnection
    from cnmsim.kernel.netfilter.packet_filter import PacketFilter


_BAD_VALUE = 'ipvs: Bad value for "--{}" option: "{{}}"'


def _port(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
    return (str(parse_port(words[0])),)


def _check(settings: dict[str, Setting], context: ParseContext) -> None:
    if not settings:
        raise ParameterProblemError("IPVS: At least one option is required")
    if len(settings) > 1:
        settings.pop("ipvs", None)  # implied by any other option


def _reader(name: str, value: str, family: int) -> Callable[[IpvsConnection], bool]:
    """Return a function that returns True for an IPVS connection that satisfies one option of the match.

    `name` is the option, such as `vport`, and `value` its argument in canonical form. `family` is 4 or 6.
    """
    if name == "vproto":
        protocol = int(value)
        return lambda connection: connection.protocol == protocol
    if name == "vaddr":
        address, mask = parse_host_mask(value, family)
        network = int.from_bytes(address)
        return lambda connection: int.from_bytes(connection.virtual) & mask == network
    if name == "vport":
        port = int(value)
        return lambda connection: connection.virtual_port == port
    if name == "vmethod":
        return lambda connection: connection.method.match_name == value
    return lambda connection: False  # vportctl: no connection here is controlled by another


def _compile(match: Extension, family: int, netfilter: PacketFilter) -> Test:
    alone = match.get("ipvs")
    if alone is not None:
        return invert_if(alone.is_inverted, lambda packet: packet.is_ipvs)
    direction = match.get("vdir")
    readers = [
        (_reader(setting.name, setting.value, family), setting.is_inverted)
        for setting in match.settings
        if setting.name != "vdir"
    ]

    def test(packet: Packet) -> bool:
        ipvs = netfilter.ipvs
        if not packet.is_ipvs or ipvs is None:
            return False
        connection = ipvs.hooks.connection_of(packet)
        if connection is None:
            return False
        if direction is not None and (
            packet.connection is None or packet.ct_reply is not (direction.value == "REPLY")
        ):
            return False
        return all(reads(connection) is not is_inverted for reads, is_inverted in readers)

    return test


KINDS = (
    MatchKind(
        "ipvs",
        (
            Option("ipvs", words=0),
            Option("vproto", canonical_protocol),
            Option("vaddr", canonical_host),
            Option("vport", _port),
            Option("vdir", one_of(_BAD_VALUE.format("vdir"), "ORIGINAL", "REPLY", fold=str.upper), can_invert=False),
            Option("vmethod", one_of(_BAD_VALUE.format("vmethod"), "GATE", "IPIP", "MASQ", fold=str.upper)),
            Option("vportctl", _port),
        ),
        _compile,
        settings_listing,
        _check,
    ),
)

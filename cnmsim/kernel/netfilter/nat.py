"""Address translation: choosing free tuples for connections, and rewriting packets of both directions.

Source: the behaviour of Linux 6.1 `net/netfilter/nf_nat_core.c` and `nf_nat_proto.c`.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from cnmsim.kernel.address import Address
from cnmsim.kernel.checksum import checksum, transport_checksum, update
from cnmsim.kernel.events import Step
from cnmsim.kernel.netfilter.tuples import ConntrackTuple, invert, quoted_header
from cnmsim.kernel.skbuff import CtState, Packet

if TYPE_CHECKING:
    from random import Random

    from cnmsim.kernel.device import Device
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.netfilter.connection import Connection
    from cnmsim.kernel.netfilter.conntrack import Conntrack

_WITH_PORTS = frozenset({6, 17, 33, 132, 136})
_CHECKSUM_AT = {6: 16, 17: 6, 33: 6, 136: 6}
_FIRST_ATTEMPTS = 128
_LEAST_ATTEMPTS = 16


@frozen
class NatRange:
    """The addresses and ports to which a rule may translate (nf_nat_range2).

    The new address is one from `low` to `high`; if they are None, the address is kept. The new port is one from
    `ports[0]` to `ports[1]`; None keeps the port if possible. In a shifted range, the port `base` becomes `ports[0]`,
    `base + 1` the port after it, and so on. `is_random`, `is_fully_random` and `is_persistent` are the options
    --random, --random-fully and --persistent of iptables.
    """

    low: Address | None = None
    high: Address | None = None
    ports: tuple[int, int] | None = None
    base: int | None = None
    is_random: bool = False
    is_fully_random: bool = False
    is_persistent: bool = False

    def with_address(self, address: Address) -> NatRange:
        """Return a copy of the range in which `address` is the only address."""
        return evolve(self, low=address, high=address)


class Nat:
    """Address translation in one namespace, for the connections of `conntrack`."""

    __slots__ = ("_conntrack", "_namespace", "_random")

    def __init__(self, namespace: NetworkNamespace, conntrack: Conntrack) -> None:
        self._namespace = namespace
        self._conntrack = conntrack
        self._random: Random | None = None

    # --- binding a connection

    def setup(
        self, packet: Packet, nat_range: NatRange, *, is_source: bool, masquerade: Device | None = None
    ) -> bool:
        """Choose the translation of a new connection's source (`is_source`) or destination from `nat_range`.

        `masquerade` is the device whose address the target MASQUERADE uses, else None. Return True, because the
        packet always continues, even if every tuple of the range is in use.
        """
        connection = packet.connection
        if connection is None or connection.is_confirmed or _is_done(connection, is_source):
            return True
        current = invert(connection.reply)
        chosen = self._unique_tuple(current, nat_range, is_source, connection)
        if chosen != current:
            connection.reply = invert(chosen)
            if is_source:
                connection.has_source_nat = True
            else:
                connection.has_destination_nat = True
        if is_source:
            connection.source_nat_done = True
            if masquerade is not None:
                connection.masquerade = masquerade
                connection.masquerade_index = masquerade.index
        else:
            connection.destination_nat_done = True
        return True

    def bind_unchanged(self, packet: Packet, *, is_source: bool) -> None:
        """Complete the translation of a new connection that no rule translates (nf_nat_alloc_null_binding).

        The source (`is_source`) or destination stays as it is, except that a source port in use by another connection
        is replaced.
        """
        connection = packet.connection
        if connection is None or connection.is_confirmed or _is_done(connection, is_source):
            return
        if not is_source:
            connection.destination_nat_done = True
        elif not self._conntrack.is_taken(connection.reply, connection):
            connection.source_nat_done = True
        else:
            address = connection.reply[2]
            self.setup(packet, NatRange(address, address), is_source=True)

    def _unique_tuple(
        self, current: ConntrackTuple, nat_range: NatRange, is_source: bool, connection: Connection
    ) -> ConntrackTuple:
        """Return the tuple after translation: `current` itself if possible, otherwise another one within `nat_range`.

        The range applies to the source of the tuple if `is_source` is True, else to its destination. A tuple is
        possible if no connection other than `connection` has its inverse. If no tuple is possible, return one that is
        in use.
        """
        is_random = nat_range.is_random or nat_range.is_fully_random
        if is_source and not is_random:
            if _in_range(current, nat_range, is_source) and not self._is_taken(current, connection):
                return current
            for other in self._conntrack.same_source(current):
                _, _, source, _, port = other.reply
                if current[0] in {1, 58}:
                    port = other.reply[3]
                candidate = (current[0], source, current[2], port, current[4])
                if _in_range(candidate, nat_range, is_source) and not self._is_taken(candidate, connection):
                    return candidate
        chosen = self._with_address(current, nat_range, is_source)
        if not is_random:
            if nat_range.ports is None:
                if not self._is_taken(chosen, connection):
                    return chosen
            elif (
                nat_range.base is None
                and _in_ports(chosen, nat_range, is_source)
                and (nat_range.ports[0] == nat_range.ports[1] or not self._is_taken(chosen, connection))
            ):
                return chosen
        return self._with_port(chosen, nat_range, is_source, connection)

    def _is_taken(self, key: ConntrackTuple, connection: Connection) -> bool:
        return self._conntrack.is_taken(invert(key), connection)

    def _with_address(self, current: ConntrackTuple, nat_range: NatRange, is_source: bool) -> ConntrackTuple:
        if nat_range.low is None or nat_range.high is None:
            return current
        address = nat_range.low
        low, high = int.from_bytes(nat_range.low), int.from_bytes(nat_range.high)
        if high != low:
            # A client always gets the same address. Without --persistent, the address also depends on the
            # destination.
            basis = current[1] if nat_range.is_persistent else current[1] + current[2]
            spread = zlib.crc32(basis) * (high - low + 1) >> 32
            address = (low + spread).to_bytes(len(address))
        protocol, src, dst, first, second = current
        return (protocol, address, dst, first, second) if is_source else (protocol, src, address, first, second)

    def _with_port(
        self, chosen: ConntrackTuple, nat_range: NatRange, is_source: bool, connection: Connection
    ) -> ConntrackTuple:
        """Return `chosen` with a free port (or ICMP identifier) in place of its own.

        The port to replace is the source port if `is_source` is True, else the destination port. The ports to try are
        those that `_port_bounds` returns. The search starts at a random one of them; for a destination whose rule is
        not random, at the first, or at the one that the range's `base` selects. If none is free, the search is
        repeated with fewer ports; finally the last port tried is returned. If the protocol has no port to change,
        `chosen` is returned unchanged.

        Source: net/netfilter/nf_nat_core.c (nf_nat_l4proto_unique_tuple).
        """
        bounds = _port_bounds(chosen, nat_range, is_source)
        if bounds is None:
            return chosen
        low, size = bounds
        attempts = min(size, _FIRST_ATTEMPTS)
        candidate = chosen
        while True:
            if nat_range.base is not None:
                offset = ((chosen[3] if is_source else chosen[4]) - nat_range.base) & 0xFFFF
            elif is_source or nat_range.is_random or nat_range.is_fully_random:
                if self._random is None:  # created on first use: few namespaces need it
                    self._random = self._namespace.clock.stream(f"{self._namespace.name}/nat")
                offset = self._random.randrange(size)
            else:
                offset = 0
            for step in range(attempts):
                candidate = _with_number(chosen, low + (offset + step) % size, is_source)
                if not self._is_taken(candidate, connection):
                    return candidate
            if attempts >= size or attempts < _LEAST_ATTEMPTS:
                return candidate
            attempts //= 2

    # --- rewriting packets

    def apply(self, packet: Packet, *, is_source: bool) -> None:
        """Rewrite a packet's source (`is_source`) or destination if its connection is translated."""
        connection = packet.connection
        if connection is None:
            return
        is_reply = packet.ct_reply
        has = connection.has_source_nat if is_source is not is_reply else connection.has_destination_nat
        if not has:
            return
        other = connection.original if is_reply else connection.reply
        before = packet.summary() if self._namespace.clock.context is not None else ""
        if packet.ct_state is CtState.RELATED and packet.protocol in {1, 58}:
            changed = _translate_error(packet, connection, other, is_source=is_source)
        else:
            changed = _translate(packet, other, is_source=is_source)
        if changed and before:
            self._namespace.report(
                Step.TRANSLATED, f"{'source' if is_source else 'destination'} translated", packet,
                decision=f"{before} → {packet.summary()}",
            )  # fmt: skip


def _is_done(connection: Connection, is_source: bool) -> bool:
    return connection.source_nat_done if is_source else connection.destination_nat_done


def _in_range(key: ConntrackTuple, nat_range: NatRange, is_source: bool) -> bool:
    if nat_range.low is not None and nat_range.high is not None:
        address = key[1] if is_source else key[2]
        if not nat_range.low <= address <= nat_range.high:
            return False
    return nat_range.ports is None or _in_ports(key, nat_range, is_source)


def _in_ports(key: ConntrackTuple, nat_range: NatRange, is_source: bool) -> bool:
    if nat_range.ports is None or key[0] not in _WITH_PORTS:
        return True
    return nat_range.ports[0] <= (key[3] if is_source else key[4]) <= nat_range.ports[1]


def _port_bounds(key: ConntrackTuple, nat_range: NatRange, is_source: bool) -> tuple[int, int] | None:
    """Return the first port to try and the number of ports to try, or None if the port must not be changed.

    `key` is the tuple to translate. The port is its source port if `is_source` is True, else its destination port.
    """
    if key[0] in {1, 58}:
        return (0, 65536) if is_source else None
    if key[0] not in _WITH_PORTS:
        return None
    if nat_range.ports is not None:
        return nat_range.ports[0], nat_range.ports[1] - nat_range.ports[0] + 1
    if not is_source:
        return None
    port = key[3]
    if port < 512:
        return 1, 511
    if port < 1024:
        return 600, 424
    return 1024, 64512


def _with_number(key: ConntrackTuple, number: int, is_source: bool) -> ConntrackTuple:
    protocol, src, dst, first, second = key
    if is_source:
        return protocol, src, dst, number, second
    return protocol, src, dst, first, number


def _translate(packet: Packet, other: ConntrackTuple, *, is_source: bool) -> bool:
    """Rewrite the source (`is_source`) or destination of a packet. Return True if the packet changed.

    `other` is the connection's tuple of the opposite direction: its destination is the packet's new source, and its
    source the packet's new destination.
    """
    if packet.protocol in {1, 58}:
        address, identifier = (other[2] if is_source else other[1]), other[3]
        at = packet.l4 + 4
        changed = False
        if int.from_bytes(packet.data[at : at + 2]) != identifier and len(packet.data) >= at + 4:
            _write_identifier(packet, identifier)
            changed = True
        if address == (packet.src if is_source else packet.dst):
            return changed
        packet.translate(src=address) if is_source else packet.translate(dst=address)
        return True
    if is_source:
        if packet.src == other[2] and packet.sport == other[4]:
            return False
        packet.translate(src=other[2], sport=other[4])
        return True
    if packet.dst == other[1] and packet.dport == other[3]:
        return False
    packet.translate(dst=other[1], dport=other[3])
    return True


def _write_identifier(packet: Packet, identifier: int) -> None:
    message = packet.payload
    new = identifier.to_bytes(2)
    total = update(int.from_bytes(message[2:4]), message[4:6], new)
    packet.replace_payload(message[:2] + total.to_bytes(2) + new + message[6:])


def _translate_error(packet: Packet, connection: Connection, other: ConntrackTuple, *, is_source: bool) -> bool:
    """Translate an ICMP error and the packet that it quotes (RFC 5508 section 4). Return True if the message changed.

    If `is_source` is True, the source of the error and the destination of the quoted packet are rewritten, otherwise
    the destination of the error and the source of the quoted packet. `other` is the connection's tuple of the
    direction opposite to the error's.
    """
    message = packet.payload
    quoted = message[8:]
    header = quoted_header(packet.family, quoted)
    if header is None:
        return False
    # The quoted packet travelled in the other direction: its source changes where the error's destination does.
    address = other[1] if not is_source else other[2]
    number = other[3] if not is_source or connection.protocol in {1, 58} else other[4]
    inner = quoted_with(packet.family, quoted, header, address, number, is_source=not is_source)
    is_same = inner == quoted and (packet.src if is_source else packet.dst) == address
    if is_same:
        return False
    if is_source:
        packet.translate(src=other[2])
    else:
        packet.translate(dst=other[1])
    replace_quoted(packet, inner)
    return True


def replace_quoted(packet: Packet, inner: bytes) -> None:
    """Replace the packet that an ICMP error quotes, and update the checksum of the error."""
    message = packet.payload
    body = message[:2] + b"\0\0" + message[4:8] + inner
    total = checksum(body) if packet.family == 4 else transport_checksum(packet.src, packet.dst, 58, body)
    packet.replace_payload(body[:2] + total.to_bytes(2) + body[4:])


def quoted_with(
    family: int,
    quoted: bytes,
    header: tuple[int, int, Address, Address],
    address: Address,
    number: int,
    *,
    is_source: bool,
) -> bytes:
    """Return a quoted packet with another source (`is_source`) or destination, and with updated checksums.

    `header` is the result of `quoted_header` for `quoted`. `address` and `number` (the port or ICMP identifier) are
    the new source or destination.
    """
    protocol, at, src, dst = header
    old_addresses = src + dst
    new_addresses = address + dst if is_source else src + address
    if family == 4:
        total = update(int.from_bytes(quoted[10:12]), old_addresses, new_addresses)
        head = quoted[:10] + total.to_bytes(2) + new_addresses + quoted[20:at]
    else:
        head = quoted[:8] + new_addresses + quoted[40:at]
    body = quoted[at:]
    if protocol in {1, 58}:
        return head + _quoted_icmp(protocol, body, number, old_addresses, new_addresses)
    if protocol not in _WITH_PORTS or len(body) < 4:
        return head + body
    old_port = body[:2] if is_source else body[2:4]
    new_port = number.to_bytes(2)
    body = new_port + body[2:] if is_source else body[:2] + new_port + body[4:]
    place = _CHECKSUM_AT.get(protocol)
    if place is None or len(body) < place + 2:
        return head + body
    old_sum = int.from_bytes(body[place : place + 2])
    if protocol == 17 and not old_sum:
        return head + body
    total = update(old_sum, old_addresses + old_port, new_addresses + new_port)
    if protocol == 17:
        total = total or 0xFFFF
    return head + body[:place] + total.to_bytes(2) + body[place + 2 :]


def _quoted_icmp(protocol: int, body: bytes, identifier: int, old_addresses: bytes, new_addresses: bytes) -> bytes:
    if len(body) < 8:
        return body
    old, new = body[4:6], identifier.to_bytes(2)
    if protocol == 58:
        old, new = old_addresses + old, new_addresses + new
    total = update(int.from_bytes(body[2:4]), old, new)
    return body[:2] + total.to_bytes(2) + identifier.to_bytes(2) + body[6:]

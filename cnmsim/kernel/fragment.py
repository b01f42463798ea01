"""Fragmentation and reassembly (RFC 791 §3.2, RFC 8200 §4.5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import Factory, define

from cnmsim.kernel.address import Address
from cnmsim.kernel.checksum import checksum
from cnmsim.kernel.skbuff import Packet

if TYPE_CHECKING:
    from cnmsim.kernel.clock import Clock, Timer

_FRAGMENT_HEADER = 44


def fragment(packet: Packet, mtu: int, identification: int) -> list[bytes]:
    """Split a packet into fragments of at most `mtu` bytes. Return them as bytes, from the IP header on.

    `identification` is the identification field of IPv6 fragments. IPv4 fragments have the identification of the
    packet.
    """
    return _fragment_ipv4(packet, mtu) if packet.family == 4 else _fragment_ipv6(packet, mtu, identification)


def _fragment_ipv4(packet: Packet, mtu: int) -> list[bytes]:
    data, size = packet.data, packet.l4
    header, body = data[:size], data[size:]
    step = (mtu - size) & ~7
    pieces = []
    for at in range(0, len(body), step):
        piece = body[at : at + step]
        more = at + step < len(body) or packet.more_fragments
        word = (packet.fragment_offset + at) // 8 | (0x2000 if more else 0) | (data[6] & 0x40) << 8
        head = header[:2] + (size + len(piece)).to_bytes(2) + header[4:6] + word.to_bytes(2)
        head += header[8:10] + b"\0\0" + header[12:]
        pieces.append(head[:10] + checksum(head).to_bytes(2) + head[12:] + piece)
    return pieces


def _fragment_ipv6(packet: Packet, mtu: int, identification: int) -> list[bytes]:
    data = packet.data
    header, body = data[:40], data[40:]
    step = (mtu - 48) & ~7
    pieces = []
    for at in range(0, len(body), step):
        piece = body[at : at + step]
        word = at | (1 if at + step < len(body) else 0)
        extension = bytes((header[6], 0)) + word.to_bytes(2) + identification.to_bytes(4)
        head = header[:4] + (8 + len(piece)).to_bytes(2) + bytes((_FRAGMENT_HEADER,)) + header[7:]
        pieces.append(head + extension + piece)
    return pieces


@define(eq=False)
class _Queue:
    pieces: dict[int, bytes] = Factory(dict)
    total: int | None = None
    longest: int = 0
    first: Packet | None = None
    timer: Timer | None = None


class Reassembly:
    """The reassembly queues of one namespace.

    `timeout_ns(family)` returns how long a packet of family 4 or 6 may stay incomplete. When a packet exceeds it,
    `on_timeout` is called with the packet's first fragment.
    """

    __slots__ = ("_clock", "_on_timeout", "_queues", "_timeout_ns")

    def __init__(self, clock: Clock, timeout_ns: Callable[[int], int], on_timeout: Callable[[Packet], None]) -> None:
        self._clock = clock
        self._timeout_ns = timeout_ns
        self._on_timeout = on_timeout
        self._queues: dict[tuple[Address, Address, int, int], _Queue] = {}

    def __len__(self) -> int:
        return len(self._queues)

    def add(self, packet: Packet) -> Packet | None:
        """Add a fragment. Return the reassembled packet if this fragment completes it, else `None`."""
        key = (packet.src, packet.dst, packet.protocol if packet.family == 4 else 0, _identification(packet))
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = _Queue()
            queue.timer = self._clock.call_at_ns(
                self._clock.now_ns + self._timeout_ns(packet.family), self._expire, key
            )
        queue.pieces[packet.fragment_offset] = packet.payload
        queue.longest = max(queue.longest, len(packet.data))
        if not packet.fragment_offset:
            queue.first = packet
        if not packet.more_fragments:
            queue.total = packet.fragment_offset + len(packet.payload)
        whole = _assemble(queue)
        if whole is None or queue.first is None:
            return None
        assert queue.timer is not None
        queue.timer.cancel()
        del self._queues[key]
        packet = _rebuild(queue.first, whole, packet)
        packet.frag_max_size = queue.longest
        return packet

    def _expire(self, key: tuple[Address, Address, int, int]) -> None:
        queue = self._queues.pop(key)
        if queue.first is not None:
            self._on_timeout(queue.first)


def _identification(packet: Packet) -> int:
    if packet.family == 4:
        return packet.identification
    return int.from_bytes(packet.data[packet.l4 - 4 : packet.l4])


def _assemble(queue: _Queue) -> bytes | None:
    if queue.total is None:
        return None
    whole = bytearray()
    for at in sorted(queue.pieces):
        if at > len(whole):
            return None
        whole[at:] = queue.pieces[at]
    return bytes(whole) if len(whole) >= queue.total else None


def _rebuild(first: Packet, body: bytes, last: Packet) -> Packet:
    data = first.data
    if first.family == 4:
        head = data[:2] + (first.l4 + len(body)).to_bytes(2) + data[4:6] + bytes((data[6] & 0x40, 0))
        head += data[8:10] + b"\0\0" + data[12 : first.l4]
        raw = head[:10] + checksum(head).to_bytes(2) + head[12:] + body
    else:
        raw = data[:4] + len(body).to_bytes(2) + bytes((first.protocol,)) + data[7:40] + body
    packet = Packet(raw, last.indev)
    packet.physindev = last.physindev
    packet.mark = first.mark
    return packet

"""Pcap files (draft-ietf-opsawg-pcap) and hexadecimal dumps of frames.

Frames captured on all devices at once are stored with a "Linux cooked v2" header (LINKTYPE_LINUX_SLL2).
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

from attrs import frozen

from cnmsim.kernel.clock import NS_PER_S

ETHERNET, COOKED = 1, 276
LINK_NAMES = {ETHERNET: "EN10MB (Ethernet)", COOKED: "LINUX_SLL2 (Linux cooked v2)"}
SNAPLEN = 262144
_HEADER = Struct("<IHHiIII")
_RECORD = Struct("<IIII")
_COOKED = Struct("!HHIHBB8s")
_MICRO, _NANO = 0xA1B2C3D4, 0xA1B23C4D
#: ARPHRD_LOOPBACK and ARPHRD_ETHER, then the packet types of AF_PACKET (packet(7)).
_LOOPBACK, _ETHER = 772, 1
_TO_US, _BROADCAST, _MULTICAST, _OUTGOING = 0, 1, 2, 4


@frozen
class Record:
    """A frame, its time in nanoseconds since 1970, the index of its device, and its direction (`in` or `out`)."""

    time_ns: int
    frame: bytes
    index: int = 0
    direction: str = ""


def file_header(link: int, snaplen: int) -> bytes:
    """Return the header of a pcap file. `link` is the link type, `snaplen` the maximum number of bytes per frame."""
    return _HEADER.pack(_MICRO, 2, 4, 0, 0, snaplen, link)


def cooked(record: Record, *, is_loopback: bool) -> bytes:
    """Return a frame with a "Linux cooked v2" header in place of its Ethernet header.

    `is_loopback` is True if the frame's device is the loopback device.
    """
    frame = record.frame
    hardware = _LOOPBACK if is_loopback else _ETHER
    head = _COOKED.pack(
        int.from_bytes(frame[12:14]), 0, record.index, hardware, _kind(record), 6, frame[6:12] + bytes(2)
    )
    return head + frame[14:]


def _kind(record: Record) -> int:
    if record.direction == "out":
        return _OUTGOING
    if not record.frame[0] & 1:
        return _TO_US
    return _BROADCAST if record.frame[:6] == b"\xff" * 6 else _MULTICAST


def direction_name(record: Record) -> str:
    """Return tcpdump's abbreviation for a frame's packet type: `In`, `Out`, `B` (broadcast) or `M` (multicast)."""
    return {_OUTGOING: "Out", _BROADCAST: "B", _MULTICAST: "M"}.get(_kind(record), "In")


def file_record(time_ns: int, data: bytes, snaplen: int) -> bytes:
    """Format a frame as a record of a pcap file. The frame is truncated to `snaplen` bytes."""
    seconds, nanos = divmod(time_ns, NS_PER_S)
    return _RECORD.pack(seconds, nanos // 1000, min(len(data), snaplen), len(data)) + data[:snaplen]


def read_file(data: bytes) -> tuple[int, int, Iterator[Record]]:
    """Parse a pcap file. Return its link type, its snapshot length and its frames.

    Raises `ValueError` for any other data.
    """
    if len(data) < _HEADER.size:
        raise ValueError(f"truncated dump file; tried to read {_HEADER.size} file header bytes, only got {len(data)}")
    magic, _, _, _, _, snaplen, link = _HEADER.unpack_from(data)
    if magic not in (_MICRO, _NANO):
        raise ValueError("unknown file format")
    if link not in LINK_NAMES:
        raise ValueError(f"unknown data link type {link}")
    return link, snaplen, _records(data, link, 1 if magic == _NANO else 1000)


def _records(data: bytes, link: int, unit: int) -> Iterator[Record]:
    at = _HEADER.size
    while at + _RECORD.size <= len(data):
        seconds, fraction, size, _ = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        frame, index, direction = data[at : at + size], 0, ""
        at += size
        if link == COOKED:
            ethertype, _, index, _, kind, _, source = _COOKED.unpack_from(frame)
            direction = "out" if kind == _OUTGOING else "in"
            to = b"\xff" * 6 if kind == _BROADCAST else b"\x01" + bytes(5) if kind == _MULTICAST else bytes(6)
            frame = to + source[:6] + ethertype.to_bytes(2) + frame[_COOKED.size :]
        yield Record(seconds * NS_PER_S + fraction * unit, frame, index, direction)


def hex_dump(data: bytes, *, has_text: bool) -> str:
    """Format bytes in hexadecimal as `-x` does or, if `has_text` is set, in hexadecimal and ASCII as `-X` does.

    Each line begins with a newline and a tab.
    """
    lines = []
    for at in range(0, len(data), 16):
        row = data[at : at + 16]
        pairs = " ".join(row[place : place + 2].hex() for place in range(0, len(row), 2))
        text = "".join(chr(byte) if 0x21 <= byte <= 0x7E else "." for byte in row)
        lines.append(f"\n\t0x{at:04x}:  {f'{pairs:<39}  {text}' if has_text else pairs}")
    return "".join(lines)


def text_dump(data: bytes) -> str:
    """Format bytes as text as `-A` does: a dot for each byte that is not printable."""
    kept = data.replace(b"\r\n", b"\n")
    return "\n" + "".join(chr(byte) if 0x21 <= byte <= 0x7E or byte in b"\t \n" else "." for byte in kept)

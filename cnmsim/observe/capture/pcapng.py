"""Captures as pcapng files (IETF draft-ietf-opsawg-pcapng), with interface names, host names and packet comments.

This module writes the blocks itself because scapy's writer does not support interface names, nanoseconds, direction,
packet comments and name resolution.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from struct import pack

from attrs import field, frozen

from cnmsim.kernel.address import Address
from cnmsim.kernel.clock import EPOCH_S, NS_PER_S

_SECTION, _INTERFACE, _NAMES, _PACKET = 0x0A0D0D0A, 1, 4, 6
_OPT_COMMENT = 1
_IF_NAME, _IF_DESCRIPTION, _IF_MAC, _IF_TSRESOL = 2, 3, 6, 9
_SECTION_APPLICATION = 4
_PACKET_FLAGS = 2
_LINKTYPE_ETHERNET = 1
#: The snapshot length of each interface, in bytes: large enough for whole frames (tcpdump's limit).
_SNAPLEN = 262144


@frozen
class CapturePoint:
    """An interface in the file: its name such as `node1:eth0`, its description, and its MAC address."""

    name: str
    description: str = ""
    mac: bytes = b""


@frozen
class CapturedFrame:
    """A frame captured at one interface of the file.

    `time_ns` is counted from the start of the lab. `point` is the index of the interface in the file. `direction` is
    "in" or "out". `comments` become packet comments.
    """

    time_ns: int
    point: int
    direction: str
    data: bytes
    comments: tuple[str, ...] = field(default=())


def _pad(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _option(code: int, value: bytes) -> bytes:
    return pack("<HH", code, len(value)) + _pad(value)


def _text_option(code: int, text: str) -> bytes:
    # The length field of an option has 16 bits.
    return _option(code, text.encode()[:65535]) if text else b""


def _options(*options: bytes) -> bytes:
    encoded = b"".join(options)
    return encoded + pack("<HH", 0, 0) if encoded else b""


def _block(kind: int, body: bytes) -> bytes:
    size = len(body) + 12
    return pack("<II", kind, size) + body + pack("<I", size)


def _section(comment: str) -> bytes:
    options = _options(_text_option(_OPT_COMMENT, comment), _text_option(_SECTION_APPLICATION, "cnmsim"))
    return _block(_SECTION, pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + options)


def _interface(point: CapturePoint) -> bytes:
    options = _options(
        _text_option(_IF_NAME, point.name),
        _text_option(_IF_DESCRIPTION, point.description),
        _option(_IF_MAC, point.mac) if len(point.mac) == 6 else b"",
        _option(_IF_TSRESOL, b"\x09"),
    )
    return _block(_INTERFACE, pack("<HHI", _LINKTYPE_ETHERNET, 0, _SNAPLEN) + options)


def _names(names: Mapping[Address, Sequence[str]]) -> bytes:
    """Return the name resolution block of a pcapng file (§4.5) for `names`, the host names of each address.

    The block has one record for each address, with zero-terminated names. Return no bytes if `names` is empty.
    """
    records = b""
    for address, texts in names.items():
        value = address + b"".join(text.encode() + b"\0" for text in texts)
        records += pack("<HH", 2 if len(address) == 16 else 1, len(value)) + _pad(value)
    return _block(_NAMES, records + pack("<HH", 0, 0)) if records else b""


def _packet(frame: CapturedFrame, epoch_s: int) -> bytes:
    stamp = epoch_s * NS_PER_S + frame.time_ns
    size = len(frame.data)
    options = _options(
        *(_text_option(_OPT_COMMENT, comment) for comment in frame.comments),
        _option(_PACKET_FLAGS, pack("<I", 1 if frame.direction == "in" else 2)),
    )
    head = pack("<IIIII", frame.point, stamp >> 32, stamp & 0xFFFFFFFF, size, size)
    return _block(_PACKET, head + _pad(frame.data) + options)


def to_pcapng(
    points: Sequence[CapturePoint],
    frames: Iterable[CapturedFrame],
    *,
    names: Mapping[Address, Sequence[str]] | None = None,
    comment: str = "",
    epoch_s: int = EPOCH_S,
) -> bytes:
    """Return the content of a pcapng file with one section: its interfaces are `points`, its packets are `frames`.

    `names` maps addresses to host names, and `comment` is the comment of the whole section. `epoch_s` is the Unix
    time at which the lab's clock started.
    """
    return b"".join(
        [
            _section(comment),
            *(_interface(point) for point in points),
            _names(names or {}),
            *(_packet(frame, epoch_s) for frame in frames),
        ]
    )

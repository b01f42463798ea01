"""Read capture files (pcap and pcapng, also gzip-compressed) as Ethernet frames with their times.

scapy reads the blocks; this module converts times to nanoseconds and other link layers to Ethernet.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import frozen

from cnmsim.bounded_read import read_bytes
from cnmsim.errors import FileError
from cnmsim.kernel.clock import NS_PER_S

_ETHERNET = 1
#: The link types whose frames begin with an IP header (LINKTYPE_RAW and its older numbers, IPV4, IPV6).
_RAW_IP = frozenset({12, 14, 101, 228, 229})
#: "Linux cooked" link types, with the offsets of the protocol and of the packet.
_COOKED = {113: (14, 16), 276: (0, 20)}
_NAMES = {105: "802.11", 127: "802.11 radiotap", 195: "802.15.4", 220: "USB", 0: "BSD loopback"}
_DIRECTIONS = {1: "in", 2: "out"}
_NO_MACS = bytes(12)
#: The size of the largest capture file that is read.
_MOST_BYTES = 1 << 30


@frozen
class RecordedFrame:
    """A frame of a capture file.

    `offset_ns` is the time since the first frame. `direction` is "in", "out", or "" if the file does not record it.
    `number` counts frames from 1, as Wireshark does.
    """

    number: int
    offset_ns: int
    data: bytes
    direction: str = ""


def read_capture(path: str | Path) -> Iterator[RecordedFrame]:
    """Yield the frames of a capture file in the order of the file.

    A frame without an Ethernet header gets one whose addresses are zero. Raises `FileError` for a file that cannot be
    read, that is not a capture, or that has a link layer other than Ethernet, IP and Linux cooked.
    """
    from scapy.error import Scapy_Exception
    from scapy.utils import RawPcapReader

    try:
        content = read_bytes(Path(path), _MOST_BYTES)
    except OSError as error:
        raise FileError(error.strerror or str(error), path=str(path)) from None
    try:
        reader: Any = RawPcapReader(io.BytesIO(content))  # type: ignore[arg-type]  # it takes files, too
    except (Scapy_Exception, EOFError, ValueError):
        raise FileError("this is no pcap or pcapng file", path=str(path)) from None
    first_ns: int | None = None
    number = 0
    while True:
        try:
            data, meta = next(reader)
        except (StopIteration, EOFError):
            return
        except Exception as error:  # noqa: BLE001 - scapy raises errors of many types for damaged files
            raise FileError(f"the file is damaged after frame {number}: {error}", path=str(path)) from None
        number += 1
        if hasattr(meta, "tshigh"):
            stamp = (meta.tshigh or 0) << 32 | (meta.tslow or 0)
            time_ns = stamp * NS_PER_S // (meta.tsresol or 1_000_000)
            link, direction = meta.linktype, _DIRECTIONS.get(getattr(meta, "direction", None) or 0, "")
        else:
            time_ns = meta.sec * NS_PER_S + meta.usec * (1 if reader.nano else 1000)
            link, direction = reader.linktype, ""
        first_ns = time_ns if first_ns is None else first_ns
        frame, cooked = _ethernet(data, link, path)
        yield RecordedFrame(number, max(0, time_ns - first_ns), frame, direction or cooked)


def _ethernet(data: bytes, link: int, path: str | Path) -> tuple[bytes, str]:
    """Return (frame, direction): the data with an Ethernet header in place of its old link-layer header.

    `link` is the link type of the file `path`. The direction is "" unless the old header has it. Raises `FileError`
    for another link type than Ethernet, IP and Linux cooked.
    """
    if link == _ETHERNET:
        return data, ""
    if link in _RAW_IP:
        is_v6 = bool(data) and data[0] >> 4 == 6
        return _NO_MACS + (b"\x86\xdd" if is_v6 else b"\x08\x00") + data, ""
    if link in _COOKED:
        protocol_at, packet_at = _COOKED[link]
        kind = int.from_bytes(data[0:2]) if link == 113 else data[10] if len(data) > 10 else 0
        ethertype = data[protocol_at : protocol_at + 2]
        return _NO_MACS + ethertype + data[packet_at:], "out" if kind == 4 else "in"
    name = _NAMES.get(link, f"number {link}")
    raise FileError(f"its link layer is {name}; a lab carries Ethernet, IP and Linux cooked captures", path=str(path))

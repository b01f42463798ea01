"""TCP options: MSS (RFC 9293 §3.7.1), window scale and timestamps (RFC 7323), selective acknowledgements (RFC 2018).

The layout is that of Linux (tcp_options_write in net/ipv4/tcp_output.c), so that captures look like those of a real
host.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import NamedTuple

#: The length of the timestamp option with its padding, in bytes.
TIMESTAMP_LENGTH = 12
_STAMP_HEAD = b"\x01\x01\x08\x0a"
_STAMP = Struct("!II")
_MAX_SCALE = 14


class TcpOptions(NamedTuple):
    """The parsed options of a segment; `None`, False or () for options that are absent.

    `timestamp` is (value, echo reply). `sack` holds the first sequence number of each block and the one after its
    last.
    """

    mss: int | None = None
    window_scale: int | None = None
    is_sack_permitted: bool = False
    timestamp: tuple[int, int] | None = None
    sack: tuple[tuple[int, int], ...] = ()


_NONE = TcpOptions()


def read_options(data: bytes) -> TcpOptions:
    """Parse the options of a segment; truncated and unknown options are ignored."""
    if not data:
        return _NONE
    if len(data) == TIMESTAMP_LENGTH and data.startswith(_STAMP_HEAD):
        return TcpOptions(timestamp=_STAMP.unpack_from(data, 4))
    mss = scale = stamp = None
    is_permitted = False
    blocks: tuple[tuple[int, int], ...] = ()
    at = 0
    while at < len(data) and data[at]:
        kind = data[at]
        if kind == 1:
            at += 1
            continue
        size = data[at + 1] if at + 1 < len(data) else 0
        if size < 2 or at + size > len(data):
            break
        value = data[at + 2 : at + size]
        if kind == 2 and size == 4:
            mss = int.from_bytes(value)
        elif kind == 3 and size == 3:
            scale = min(value[0], _MAX_SCALE)
        elif kind == 4 and size == 2:
            is_permitted = True
        elif kind == 5 and size % 8 == 2:
            blocks = tuple(_STAMP.iter_unpack(value))
        elif kind == 8 and size == 10:
            stamp = _STAMP.unpack(value)
        at += size
    return TcpOptions(mss, scale, is_permitted, stamp, blocks)


def syn_options(
    mss: int, *, is_sack_permitted: bool, timestamp: tuple[int, int] | None, window_scale: int | None
) -> bytes:
    """Build the options of a SYN: the MSS, and each of the others unless it is `None` or False.

    `is_sack_permitted` adds the option "SACK permitted". `timestamp` is (value, echo reply).
    """
    parts = [b"\x02\x04", mss.to_bytes(2)]
    if timestamp is not None:
        parts += [b"\x04\x02\x08\x0a" if is_sack_permitted else _STAMP_HEAD, _STAMP.pack(*timestamp)]
    elif is_sack_permitted:
        parts.append(b"\x01\x01\x04\x02")
    if window_scale is not None:
        parts += [b"\x01\x03\x03", bytes((window_scale,))]
    return b"".join(parts)


def segment_options(timestamp: tuple[int, int] | None, sack: Sequence[tuple[int, int]] = ()) -> bytes:
    """Build the options of a segment after the handshake: the timestamp, and as many blocks of `sack` as fit.

    `timestamp` is (value, echo reply), or `None` to omit it. A SACK block is its first sequence number and the one
    after its last.
    """
    options = b"" if timestamp is None else _STAMP_HEAD + _STAMP.pack(*timestamp)
    blocks = sack[: 4 if timestamp is None else 3]
    if not blocks:
        return options
    return b"".join(
        (options, b"\x01\x01\x05", bytes((2 + 8 * len(blocks),)), *(_STAMP.pack(*block) for block in blocks))
    )

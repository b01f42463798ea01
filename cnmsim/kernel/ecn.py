"""ECN across tunnels (RFC 6040): copy the ECN field to the outer header, and a congestion mark back to the inner one.

Source: include/net/inet_ecn.h of Linux 6.1 (INET_ECN_encapsulate, IP_ECN_decapsulate).
"""

from __future__ import annotations

from cnmsim.kernel.checksum import update

NOT_ECT, ECT_1, ECT_0, CE = range(4)
_IPV4, _IPV6 = b"\x08\x00", b"\x86\xdd"


def _ecn_of(frame: bytes) -> int | None:
    kind = frame[12:14]
    if len(frame) < 34 or (kind != _IPV4 and kind != _IPV6):  # noqa: PLR1714 - the hot path
        return None
    return frame[15] & 3 if kind == _IPV4 else frame[15] >> 4 & 3


def outer_ecn(frame: bytes) -> int:
    """Return the ECN field for the outer header of the packet that encapsulates `frame`.

    It is the ECN field of the inner packet, except that CE becomes ECT(0). A frame without an IP packet gets Not-ECT.
    The DSCP bits are not copied.
    """
    ecn = _ecn_of(frame)
    return ECT_0 if ecn == CE else ecn or NOT_ECT


def decapsulated(frame: bytes, outer: bytes) -> bytes | None:
    """Return the inner `frame` after decapsulation, with the congestion mark of its `outer` packet copied into it.

    Return `None` if the frame must be dropped: the outer packet is marked, but the inner one is not ECN-capable.
    """
    mark = outer[1] & 3 if outer[0] >> 4 == 4 else outer[1] >> 4 & 3
    ecn = _ecn_of(frame)
    if ecn is None:
        return frame
    if ecn == NOT_ECT:
        return None if mark == CE else frame
    if mark != CE and (mark != ECT_1 or ecn != ECT_0):
        return frame
    if frame[12:14] == _IPV6:
        return frame[:15] + bytes((frame[15] & 0xCF | mark << 4,)) + frame[16:]
    words = frame[14:15] + bytes((frame[15] & 0xFC | mark,))
    sum_ = update(int.from_bytes(frame[24:26]), frame[14:16], words)
    return frame[:14] + words + frame[16:24] + sum_.to_bytes(2) + frame[26:]

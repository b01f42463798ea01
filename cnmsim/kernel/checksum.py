"""The Internet checksum (RFC 1071) and its incremental update (RFC 1624)."""

from __future__ import annotations

from cnmsim.kernel.address import Address

#: A long number is folded in halves first: in CPython additions are much cheaper than a long division.
_FOLDS = tuple((bits, (1 << bits) - 1) for bits in (5632, 2816, 1408))


def modulo_65535(number: int) -> int:
    """Return `number` modulo 65535; a long number is first folded, which is faster.

    2**16 is congruent to 1 modulo 65535, so the upper part of a number can be added to its lower part.
    """
    if number >> 2816:
        for bits, mask in _FOLDS:
            number = (number >> bits) + (number & mask)
    return number % 0xFFFF


def checksum(data: bytes) -> int:
    """Return the Internet checksum of `data`: the complement of the one's complement sum of its 16-bit words.

    Data of odd length is padded with a zero byte. The sum is the data, as one big-endian number, modulo 65535; if
    that is 0, the sum is 65535, except for data of zero bytes only.
    """
    if len(data) & 1:
        data += b"\0"
    value = int.from_bytes(data)
    if not value:
        return 0xFFFF
    return 0xFFFF - (modulo_65535(value) or 0xFFFF)


def transport_checksum(src: Address, dst: Address, protocol: int, segment: bytes) -> int:
    """Return the checksum of `segment`, a TCP, UDP or ICMPv6 message whose own checksum field is zero.

    `src`, `dst` and `protocol` are the fields of the pseudo header (RFC 9293 §3.1, RFC 8200 §8.1).
    """
    size = len(segment)
    body = int.from_bytes(segment) << 8 if size & 1 else int.from_bytes(segment)
    # The sum is never zero, because it includes the protocol number.
    return 0xFFFF - (modulo_65535(int.from_bytes(src + dst) + protocol + size + body) or 0xFFFF)


def update(old_checksum: int, old: bytes, new: bytes) -> int:
    """Return the checksum of data in which the bytes `old` were replaced by `new` (RFC 1624 equation 3).

    `old_checksum` is the checksum before the change. `old` and `new` must have an even length.
    """
    total = (0xFFFF - old_checksum) - int.from_bytes(old) + int.from_bytes(new)
    return 0xFFFF - (total % 0xFFFF or 0xFFFF)

"""Encrypted payloads: opaque bytes on the wire, whose content only the receiver gets to see.

What real hosts encrypt (SwarmKit's RPCs in TLS, memberlist's gossip in AES-GCM) crosses every wire here as bytes of the
right length that start with a nonce and tell nothing more. The content itself is kept beside the wire, by nonce, one
object for all who receive it. A packet that is lost takes its content with it; a payload nobody fetches is forgotten after its lifetime.
"""

from __future__ import annotations

from collections import deque
from hashlib import shake_128
from typing import TYPE_CHECKING, Any

from cnmsim.kernel.clock import NS

if TYPE_CHECKING:
    from cnmsim.kernel.clock import Clock

#: Bytes of nonce at the head of a sealed payload (RFC 5116 section 3.2).
NONCE_LENGTH = 12
#: What payloads are cut out of, at a place that the nonce tells: to be had and compared much faster than made each time.
_NOISE = shake_128(b"sealed").digest(1 << 17)
_PLACES = 0xFFFF


class SealedExchange:
    """The contents of all sealed payloads of one lab that are under way. `Clock.sealed` gives the lab's own."""

    __slots__ = ("_clock", "_contents", "_expiries", "_sequence")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._contents: dict[bytes, Any] = {}
        self._expiries: dict[float, deque[tuple[int, bytes]]] = {}
        self._sequence = 0

    def __len__(self) -> int:
        return len(self._contents)

    def seal(self, content: object, length: int, *, lifetime_s: float = 10.0) -> bytes:
        """Give `length` bytes (at least 12) that stand for `content` on the wire for `lifetime_s` seconds of virtual time."""
        now = self._clock.now_ns
        expiries = self._expiries.get(lifetime_s)
        if expiries is None:
            expiries = self._expiries[lifetime_s] = deque()
        for each in self._expiries.values():
            while each and each[0][0] < now:
                self._contents.pop(each.popleft()[1], None)
        self._sequence += 1
        nonce = shake_128(f"{self._clock.seed}/sealed/{self._sequence}".encode()).digest(NONCE_LENGTH)
        self._contents[nonce] = content
        expiries.append((now + round(lifetime_s * NS), nonce))
        return nonce + _noise(nonce, length - NONCE_LENGTH)

    def open(self, payload: bytes) -> Any:
        """Give the content of a sealed payload. Raises `ValueError` if it is none, was altered, or is too old."""
        nonce = payload[:NONCE_LENGTH]
        if nonce not in self._contents or payload[NONCE_LENGTH:] != _noise(nonce, len(payload) - NONCE_LENGTH):
            raise ValueError("authentication of an encrypted payload failed")
        return self._contents[nonce]


def _noise(nonce: bytes, length: int) -> bytes:
    place = int.from_bytes(nonce[:2]) & _PLACES
    if length > _PLACES:
        return shake_128(nonce).digest(length)
    return _NOISE[place : place + length] if length > 0 else b""

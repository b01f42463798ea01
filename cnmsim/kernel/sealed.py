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
        self._forget()
        self._sequence += 1
        nonce = shake_128(f"{self._clock.seed}/sealed/{self._sequence}".encode()).digest(NONCE_LENGTH)
        self._contents[nonce] = content
        expiries = self._expiries.setdefault(lifetime_s, deque())
        expiries.append((self._clock.now_ns + round(lifetime_s * NS), nonce))
        return nonce + shake_128(nonce).digest(max(0, length - NONCE_LENGTH))

    def open(self, payload: bytes) -> Any:
        """Give the content of a sealed payload. Raises `ValueError` if it is none, was altered, or is too old."""
        nonce = payload[:NONCE_LENGTH]
        if nonce not in self._contents or payload[NONCE_LENGTH:] != shake_128(nonce).digest(
            max(0, len(payload) - NONCE_LENGTH)
        ):
            raise ValueError("authentication of an encrypted payload failed")
        return self._contents[nonce]

    def _forget(self) -> None:
        now = self._clock.now_ns
        for expiries in self._expiries.values():
            while expiries and expiries[0][0] < now:
                self._contents.pop(expiries.popleft()[1], None)

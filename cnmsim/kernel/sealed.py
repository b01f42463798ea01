"""Encrypted payloads: opaque bytes on the wire, whose content only the receiver gets to see.

What real hosts encrypt (SwarmKit's RPCs in TLS, memberlist's gossip in AES-GCM) crosses every wire here as bytes of the
right length that start with a nonce and tell nothing more. The content itself is kept beside the wire, by nonce, one
object for all who receive it. A packet that is lost takes its content with it; a payload nobody fetches is forgotten after its lifetime.
"""

from __future__ import annotations

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
#: So many nonces are made at once.
_BATCH = 1024


class SealedExchange:
    """The contents of all sealed payloads of one lab that are under way. `Clock.sealed` gives the lab's own."""

    __slots__ = ("_clock", "_contents", "_nonces", "_sequence", "_until")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._contents: dict[bytes, Any] = {}
        #: The nonces of those to be forgotten, by the second of virtual time at which that is so.
        self._until: dict[int, list[bytes]] = {}
        self._nonces = b""
        self._sequence = 0

    def __len__(self) -> int:
        return len(self._contents)

    def seal(self, content: object, length: int, *, lifetime_s: float = 10.0) -> bytes:
        """Give `length` bytes (at least 12) that stand for `content` on the wire for `lifetime_s` seconds of virtual time.

        It is forgotten up to a second later.
        """
        at = self._sequence % _BATCH * NONCE_LENGTH
        if not at:
            name = f"{self._clock.seed}/sealed/{self._sequence // _BATCH}"
            self._nonces = shake_128(name.encode()).digest(_BATCH * NONCE_LENGTH)
        self._sequence += 1
        nonce = self._nonces[at : at + NONCE_LENGTH]
        self._contents[nonce] = content
        second = (self._clock.now_ns + int(lifetime_s * NS)) // NS + 1
        nonces = self._until.get(second)
        if nonces is None:
            self._forget()
            nonces = self._until[second] = []
        nonces.append(nonce)
        rest = length - NONCE_LENGTH
        if rest > _PLACES:
            return nonce + shake_128(nonce).digest(rest)
        place = int.from_bytes(nonce[:2])
        return nonce + _NOISE[place : place + rest]

    def _forget(self) -> None:
        now = self._clock.now_ns // NS
        for second in [second for second in self._until if second <= now]:
            for nonce in self._until.pop(second):
                self._contents.pop(nonce, None)

    def open(self, payload: bytes) -> Any:
        """Give the content of a sealed payload. Raises `ValueError` if it is none, was altered, or is too old."""
        nonce, noise = payload[:NONCE_LENGTH], payload[NONCE_LENGTH:]
        if nonce in self._contents:
            is_whole = (
                shake_128(nonce).digest(len(noise)) == noise
                if len(noise) > _PLACES
                else _NOISE.startswith(noise, int.from_bytes(nonce[:2]))
            )
            if is_whole:
                return self._contents[nonce]
        raise ValueError("authentication of an encrypted payload failed")

"""Encrypted payloads: opaque bytes on the wire, whose content only the receiver gets to see.

What real hosts encrypt (SwarmKit's RPCs in TLS, memberlist's gossip in AES-GCM) crosses every wire here as bytes of the
right length that start with a nonce and tell nothing more. The content itself is kept beside the wire, by nonce, one
object for all who receive it. A packet that is lost takes its content with it; a payload nobody fetches is forgotten after its lifetime.
"""

from __future__ import annotations

from hashlib import shake_128
from typing import TYPE_CHECKING, Any

from cnmsim.kernel.clock import NS_PER_S

if TYPE_CHECKING:
    from cnmsim.kernel.address import Address
    from cnmsim.kernel.clock import Clock

#: Bytes of nonce at the head of a sealed payload (RFC 5116 section 3.2).
NONCE_LENGTH = 12
#: What payloads are cut out of, at a place that the nonce tells: to be had and compared much faster than made each time.
_NOISE = shake_128(b"sealed").digest(1 << 17)
_PLACES = 0xFFFF
#: So many nonces are made at once.
_BATCH = 1024


class OpaquePayload:
    """A datagram's payload that nobody has looked at yet: `head` in the clear, then `content` as `length` opaque bytes.

    `size` is what both take, in bytes. Where nobody looks at it on its way, the bytes are never made. It may go to several places:
    each gets bytes of its own, as each is encrypted by itself.
    """

    __slots__ = ("_exchange", "_number", "_second", "content", "head", "length", "size")

    def __init__(
        self, exchange: PayloadStore, number: int, second: int, content: object, head: bytes, length: int
    ) -> None:
        self._exchange = exchange
        self._number = number
        self._second = second
        self.content = content
        self.head = head
        self.length = length
        self.size = len(head) + length

    def to_bytes(self, place: int = 0) -> bytes:
        """Give the bytes for one place, by its number, from which the content can be fetched from now on."""
        return self.head + self._exchange.put(self._number, place, self._second, self.content, self.length)


def endpoint_key(address: Address, port: int) -> int:
    """Give the number of the place that an address and port are."""
    return int.from_bytes(address[-8:]) << 16 | port


class PayloadStore:
    """The contents of all sealed payloads of one lab that are under way. `Clock.sealed` gives the lab's own."""

    __slots__ = ("_batch", "_clock", "_contents", "_most", "_nonces", "_sequence", "_until")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        #: With each content, the second of virtual time from which on it is forgotten.
        self._contents: dict[bytes, tuple[Any, int]] = {}
        #: How many there were at most since that was made.
        self._most = 0
        #: The nonces of those to be forgotten, by that second.
        self._until: dict[int, list[bytes]] = {}
        self._nonces = b""
        self._batch = -1
        self._sequence = 0

    def __len__(self) -> int:
        return len(self._contents)

    def seal(self, content: object, length: int, *, lifetime_s: int = 10) -> bytes:
        """Give `length` bytes (at least 12) that stand for `content` on the wire for `lifetime_s` seconds of virtual time.

        It is forgotten up to a second later.
        """
        return self.sealed(content, length, lifetime_s=lifetime_s).to_bytes()

    def sealed(self, content: object, length: int, head: bytes = b"", *, lifetime_s: int = 10) -> OpaquePayload:
        """Give such a payload behind a head in the clear, whose bytes are made when they are asked for."""
        number = self._sequence
        self._sequence = number + 1
        return OpaquePayload(self, number, self._clock.now_ns // NS_PER_S + lifetime_s + 1, content, head, length)

    def put(self, number: int, place: int, second: int, content: object, length: int) -> bytes:
        """Keep a content until a second of virtual time, and give the bytes that stand for it at a place."""
        batch, nth = divmod(number, _BATCH)
        if batch != self._batch:
            self._nonces = shake_128(f"{self._clock.seed}/sealed/{batch}".encode()).digest(_BATCH * NONCE_LENGTH)
            self._batch = batch
        nonce = self._nonces[nth * NONCE_LENGTH : (nth + 1) * NONCE_LENGTH]
        if place:
            nonce = (int.from_bytes(nonce) ^ place).to_bytes(NONCE_LENGTH)
        self._contents[nonce] = content, second
        nonces = self._until.get(second)
        if nonces is None:
            self._forget()
            nonces = self._until[second] = []
        nonces.append(nonce)
        rest = length - NONCE_LENGTH
        if rest > _PLACES:
            return nonce + shake_128(nonce).digest(rest)
        at = int.from_bytes(nonce[:2])
        return nonce + _NOISE[at : at + rest]

    def _forget(self) -> None:
        now, before = self._clock.now_ns // NS_PER_S, len(self._contents)
        for second in [second for second in self._until if second <= now]:
            for nonce in self._until.pop(second):
                self._contents.pop(nonce, None)
        self._most = max(self._most, before)
        if len(self._contents) < self._most // 8:
            # A dict that was large stays so: after a storm a new one is smaller.
            self._contents, self._most = dict(self._contents), len(self._contents)

    def open(self, payload: bytes) -> Any:
        """Give the content of a sealed payload. Raises `ValueError` if it is none, was altered, or is too old."""
        nonce, noise = payload[:NONCE_LENGTH], payload[NONCE_LENGTH:]
        content, second = self._contents.get(nonce, (None, 0))
        if self._clock.now_ns < second * NS_PER_S:
            is_whole = (
                shake_128(nonce).digest(len(noise)) == noise
                if len(noise) > _PLACES
                else _NOISE.startswith(noise, int.from_bytes(nonce[:2]))
            )
            if is_whole:
                return content
        raise ValueError("authentication of an encrypted payload failed")

"""Simulated encryption: payloads that are opaque bytes on the wire, while their content is stored beside it.

What real hosts encrypt (SwarmKit's RPCs with TLS, memberlist's gossip with AES-GCM) crosses every link here as bytes
of the right length: a nonce, then noise. The content is one object for all receivers, stored by nonce. If the packet
is lost, its content is never used; a content that is not decrypted is deleted when its lifetime ends.
"""

from __future__ import annotations

from hashlib import shake_128
from typing import TYPE_CHECKING, Any

from cnmsim.kernel.clock import NS_PER_S

if TYPE_CHECKING:
    from cnmsim.kernel.address import Address
    from cnmsim.kernel.clock import Clock

#: Bytes of nonce at the head of a payload (RFC 5116 section 3.2).
NONCE_LENGTH = 12
#: The noise of a payload is a slice of this, at an offset that the nonce selects: slicing is much faster than
#: hashing.
_NOISE = shake_128(b"sealed").digest(1 << 17)
_MAX_OFFSET = 0xFFFF
#: Nonces are generated in batches of this many.
_NONCE_BATCH = 1024
_REGISTRY_KEY = "payloads"


class OpaquePayload:
    """A datagram's payload whose bytes are generated only if the datagram becomes a frame.

    The payload is `head` in the clear, followed by `content` as `length` opaque bytes; `size` is the length of both.
    Each destination gets different bytes, because real senders encrypt each copy separately.
    """

    __slots__ = ("_expiry_s", "_number", "_store", "content", "head", "length", "size")

    def __init__(
        self, store: PayloadStore, number: int, expiry_s: int, content: object, head: bytes, length: int
    ) -> None:
        self._store = store
        self._number = number
        self._expiry_s = expiry_s
        self.content = content
        self.head = head
        self.length = length
        self.size = len(head) + length

    def to_bytes(self, endpoint: int = 0) -> bytes:
        """Return the payload's bytes for one destination.

        `endpoint` is the number that `endpoint_key` returns for the destination. From now on `PayloadStore.decrypt`
        returns the content for these bytes.
        """
        return self.head + self._store.store(self._number, endpoint, self._expiry_s, self.content, self.length)


def endpoint_key(address: Address, port: int) -> int:
    """Return a number for a destination, computed from its address and port. Other destinations have other numbers.

    Nonces are combined with this number, so that payloads for different destinations have different nonces.
    """
    return int.from_bytes(address[-8:]) << 16 | port


def payload_store(clock: Clock) -> PayloadStore:
    """Return the payload store of the clock's lab, creating it if there is none."""
    store: PayloadStore | None = clock.registry.get(_REGISTRY_KEY)
    if store is None:
        store = clock.registry[_REGISTRY_KEY] = PayloadStore(clock)
    return store


class PayloadStore:
    """The contents of all opaque payloads of one lab that have been sent and have not expired.

    `payload_store` returns a lab's store.
    """

    __slots__ = ("_batch", "_clock", "_contents", "_expiring", "_nonces", "_peak", "_sequence")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        #: By nonce: the content and the second of virtual time at which it expires.
        self._contents: dict[bytes, tuple[Any, int]] = {}
        #: The largest number of stored contents since the dictionary was created.
        self._peak = 0
        #: The nonces that expire in each second.
        self._expiring: dict[int, list[bytes]] = {}
        self._nonces = b""
        self._batch = -1
        self._sequence = 0

    def __len__(self) -> int:
        return len(self._contents)

    def encrypt(self, content: object, length: int, *, lifetime_s: int = 10) -> bytes:
        """Return `length` bytes (at least 12) for which `decrypt` returns `content`.

        They can be decrypted for `lifetime_s` seconds of virtual time, or at most one second longer.
        """
        return self.payload(content, length, lifetime_s=lifetime_s).to_bytes()

    def payload(self, content: object, length: int, head: bytes = b"", *, lifetime_s: int = 10) -> OpaquePayload:
        """Return an `OpaquePayload` for `content`: `head` in the clear, then `length` opaque bytes.

        The opaque bytes can be decrypted for `lifetime_s` seconds.
        """
        number = self._sequence
        self._sequence = number + 1
        return OpaquePayload(self, number, self._clock.now_ns // NS_PER_S + lifetime_s + 1, content, head, length)

    def store(self, number: int, endpoint: int, expiry_s: int, content: object, length: int) -> bytes:
        """Store `content` until `expiry_s`, in seconds of virtual time. Return `length` bytes that represent it.

        `number` is the payload's sequence number, `endpoint` the number that `endpoint_key` returns for the
        destination.
        """
        batch, index = divmod(number, _NONCE_BATCH)
        if batch != self._batch:
            self._nonces = shake_128(f"{self._clock.seed}/sealed/{batch}".encode()).digest(
                _NONCE_BATCH * NONCE_LENGTH
            )
            self._batch = batch
        nonce = self._nonces[index * NONCE_LENGTH : (index + 1) * NONCE_LENGTH]
        if endpoint:
            nonce = (int.from_bytes(nonce) ^ endpoint).to_bytes(NONCE_LENGTH)
        self._contents[nonce] = content, expiry_s
        nonces = self._expiring.get(expiry_s)
        if nonces is None:
            self._drop_expired()
            nonces = self._expiring[expiry_s] = []
        nonces.append(nonce)
        noise_length = length - NONCE_LENGTH
        if noise_length > _MAX_OFFSET:
            return nonce + shake_128(nonce).digest(noise_length)
        offset = int.from_bytes(nonce[:2])
        return nonce + _NOISE[offset : offset + noise_length]

    def _drop_expired(self) -> None:
        now_s, count = self._clock.now_ns // NS_PER_S, len(self._contents)
        for second in [second for second in self._expiring if second <= now_s]:
            for nonce in self._expiring.pop(second):
                self._contents.pop(nonce, None)
        self._peak = max(self._peak, count)
        if len(self._contents) < self._peak // 8:
            # A dict never shrinks: after a burst a new one takes less memory.
            self._contents, self._peak = dict(self._contents), len(self._contents)

    def decrypt(self, payload: bytes) -> Any:
        """Return the content that was stored for these opaque bytes.

        Raises `ValueError` if they are not an opaque payload, were altered or have expired.
        """
        nonce, noise = payload[:NONCE_LENGTH], payload[NONCE_LENGTH:]
        content, expiry_s = self._contents.get(nonce, (None, 0))
        if self._clock.now_ns < expiry_s * NS_PER_S:
            is_intact = (
                shake_128(nonce).digest(len(noise)) == noise
                if len(noise) > _MAX_OFFSET
                else _NOISE.startswith(noise, int.from_bytes(nonce[:2]))
            )
            if is_intact:
                return content
        raise ValueError("authentication of an encrypted payload failed")

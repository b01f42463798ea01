"""States, Linux's term for security associations (RFC 4301 §4.4.2; net/xfrm/xfrm_state.c, xfrm_replay.c)."""

from __future__ import annotations

import errno
from datetime import UTC, datetime

from attrs import define, field, frozen

from cnmsim.kernel.address import Address, format_ip
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.xfrm.esp import Cipher
from cnmsim.kernel.xfrm.policy import Mark, Selector

_MAX_SEQUENCE = 0xFFFFFFFF
_MAX_REPLAY_WINDOW = 32
ALGORITHM = "rfc4106(gcm(aes))"


@frozen
class Limits:
    """The hard limits of a state in bytes (`size`), packets and seconds; 0 is unlimited."""

    size: int = 0
    packets: int = 0
    seconds: float = 0.0


@define(eq=False)
class XfrmState:
    """An ESP state in transport mode, for packets from `src` to `dst`.

    `key` is the AES key followed by 4 bytes of salt; `icv_bits` is 64, 96 or 128. `reqid` links the state to policy
    templates. `replay_window` is the number of packets (at most 32) by which a packet may be late, 0 for no replay
    check. `sequence_out` is the last sequence number sent, `sequence_in` the highest one received; `bitmap` records
    which of the 32 numbers up to `sequence_in` were received. Raises `OSError`: EINVAL for impossible values, ENOSYS
    without the `cryptography` package.
    """

    src: Address
    dst: Address
    spi: int
    key: bytes = field(repr=False)
    icv_bits: int = 64
    reqid: int = 0
    replay_window: int = 0
    mark: Mark = field(factory=Mark)
    limits: Limits = field(factory=Limits)
    algorithm: str = ALGORITHM
    selector: Selector | None = None
    sequence_out: int = 0
    sequence_in: int = 0
    bitmap: int = 0
    used_bytes: int = 0
    used_packets: int = 0
    replay_failures: int = 0
    added_ns: int = 0
    #: The time of the last packet in whole seconds since 1970; 0 before the first.
    last_used_s: int = 0
    salt: bytes = bytes(8)
    cipher: Cipher = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if self.algorithm != ALGORITHM:
            raise OSError(errno.ENOSYS, "Requested AEAD algorithm not found")
        if not 0 <= self.replay_window <= _MAX_REPLAY_WINDOW or self.icv_bits % 8 or len(self.src) != len(self.dst):
            raise OSError(errno.EINVAL, "Invalid argument")
        self.cipher = Cipher(self.key, self.icv_bits // 8)

    @property
    def identity(self) -> tuple[Address, int, Mark]:
        """The unique key: destination, SPI and mark (the protocol is always ESP)."""
        return self.dst, self.spi, self.mark

    def is_expired(self, now_ns: int) -> bool:
        """Return True if a hard limit has been reached at virtual time `now_ns`."""
        limits = self.limits
        return bool(
            (limits.size and self.used_bytes >= limits.size)
            or (limits.packets and self.used_packets >= limits.packets)
            or (limits.seconds and now_ns - self.added_ns >= round(limits.seconds * NS_PER_S))
        )

    def encrypt(self, payload: bytes, next_header: int) -> bytes:
        """Return the ESP payload that contains `payload`, encrypted.

        `next_header` is the protocol number of `payload`.

        Raises `OverflowError` when the sequence numbers are exhausted.
        """
        if self.sequence_out >= _MAX_SEQUENCE:
            raise OverflowError("the sequence numbers are used up")
        self.sequence_out += 1
        self._count(len(payload))
        # The IV as the kernel generates it: the sequence number combined with a secret of the state (crypto/seqiv.c).
        iv = bytes(a ^ b for a, b in zip(self.sequence_out.to_bytes(8), self.salt, strict=True))
        return self.cipher.encrypt(self.spi, self.sequence_out, iv, payload, next_header)

    def decrypt(self, message: bytes) -> tuple[bytes, int]:
        """Decrypt an ESP payload. Return the inner payload and its protocol number.

        Raises the errors of `Cipher.decrypt`.
        """
        payload, next_header = self.cipher.decrypt(message)
        self._count(len(payload))
        return payload, next_header

    def _count(self, size: int) -> None:
        self.used_bytes += size
        self.used_packets += 1

    def is_replay(self, sequence: int) -> bool:
        """Return True if the sequence number was received before, or is too old for the window (RFC 4303 §3.4.3)."""
        if not self.replay_window:
            return False
        if not sequence:
            return True
        late = self.sequence_in - sequence
        return late >= 0 and (late >= self.replay_window or bool(self.bitmap >> late & 1))

    def record_sequence(self, sequence: int) -> None:
        """Record the sequence number of a packet that passed the integrity check."""
        if not self.replay_window:
            return
        ahead = sequence - self.sequence_in
        if ahead > 0:
            self.bitmap = (self.bitmap << ahead | 1) & _MAX_SEQUENCE if ahead < _MAX_REPLAY_WINDOW else 1
            self.sequence_in = sequence
        else:
            self.bitmap |= 1 << -ahead

    def __str__(self) -> str:
        """Format the state as `ip xfrm state` does."""
        family = 4 if len(self.src) == 4 else 6
        used = datetime.fromtimestamp(self.last_used_s, UTC)
        last_used = f"\tlastused {used:%Y-%m-%d %H:%M:%S}\n" if self.last_used_s else ""
        mark = f"\t{self.mark}\n" if self.mark.mask else ""
        return (
            f"src {format_ip(self.src)} dst {format_ip(self.dst)}\n"
            f"\tproto esp spi 0x{self.spi:08x} reqid {self.reqid} mode transport\n"
            f"\treplay-window {self.replay_window} \n{mark}"
            f"\taead {self.algorithm} 0x{self.key.hex()} {self.icv_bits}\n{last_used}"
            f"\tanti-replay context: seq 0x{self.sequence_in:x}, oseq 0x{self.sequence_out:x}, "
            f"bitmap 0x{self.bitmap:08x}\n"
            f"\tsel {self.selector or Selector.match_all(family)}\n"
        )

"""The receiving half of a TCP stream: reassembly, and the window that is advertised.

Sequence numbers here count from the peer's SYN, which is 0, and never wrap; the first byte of data is 1.
"""

from __future__ import annotations

from attrs import define, field

WINDOW = 65535


@define(eq=False)
class ReceiveBuffer:
    """What arrived: in order and unread, or ahead of a gap. `next` is the sequence expected next (RCV.NXT)."""

    next: int = 1
    unread: bytearray = field(factory=bytearray, init=False)
    fin_at: int | None = None
    _ahead: dict[int, bytes] = field(factory=dict, init=False)
    _edge: int = field(default=1 + WINDOW, init=False)

    @property
    def window(self) -> int:
        """The window as last advertised, less what has arrived since."""
        return max(0, self._edge - self.next)

    def accept(self, sequence: int, data: bytes, *, has_fin: bool) -> bool:
        """Take a segment's data as far as it fits the window. True if `next` moved."""
        end = self.next + self.window
        if sequence + len(data) > end:
            data, has_fin = data[: max(0, end - sequence)], False
        if has_fin:
            self.fin_at = sequence + len(data)
        if sequence > self.next:
            if len(data) > len(self._ahead.get(sequence, b"")):
                self._ahead[sequence] = data
            return False
        before = self.next
        self._append(sequence, data)
        self._close_gaps()
        return self.next > before

    def _append(self, sequence: int, data: bytes) -> None:
        fresh = data[self.next - sequence :]
        self.unread += fresh
        self.next += len(fresh)

    def _close_gaps(self) -> None:
        while self._ahead:
            first = min(self._ahead)
            if first > self.next:
                return
            self._append(first, self._ahead.pop(first))

    def take(self, n: int) -> bytes:
        """Give up to `n` unread bytes to the reader."""
        taken = bytes(self.unread[:n])
        del self.unread[:n]
        return taken

    def advertise(self, mss: int) -> int:
        """Choose the window to advertise now.

        It never shrinks, and opens only by a worthwhile step (RFC 9293 §3.8.6.2.2).
        """
        edge = self.next + max(0, WINDOW - len(self.unread))
        if edge - self._edge >= min(mss, WINDOW // 2):
            self._edge = edge
        return self.window

    def should_announce(self, mss: int) -> bool:
        """Tell whether reading has opened the window so far that the sender should be told (as Linux judges)."""
        offered = WINDOW - len(self.unread)
        return offered - self.window >= min(mss, WINDOW // 2) and offered >= 2 * self.window

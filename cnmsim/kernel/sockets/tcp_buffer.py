"""The receive buffer of a TCP connection: reassembly and the advertised window.

Sequence numbers count from the peer's SYN, which is 0, and never wrap; the first byte of data is 1.
"""

from __future__ import annotations

from attrs import define, field

#: The largest advertised window; a connection rounds it down to whole segments (tcp_select_initial_window).
WINDOW = 65535


@define(eq=False)
class ReceiveBuffer:
    """The received data of a connection: in order and unread, or out of order after a gap.

    `next` is the next expected sequence number (RCV.NXT).
    """

    size: int = WINDOW
    next: int = 1
    unread: bytearray = field(factory=bytearray, init=False)
    fin_sequence: int | None = None
    _out_of_order: dict[int, bytes] = field(factory=dict, init=False)
    _latest_out_of_order: int = field(default=0, init=False)
    _right_edge: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._right_edge = self.next + self.size

    @property
    def window(self) -> int:
        """The bytes that the peer may still send: the last advertised window, less the data received since."""
        return max(0, self._right_edge - self.next)

    @property
    def has_gaps(self) -> bool:
        """Whether out-of-order data is stored."""
        return bool(self._out_of_order)

    def insert(self, sequence: int, data: bytes, *, has_fin: bool) -> bool:
        """Store the part of a segment's data that is inside the window. Return True if `next` advanced.

        `sequence` is the number of the first byte; `has_fin` is true if a FIN follows the data.
        """
        end = self.next + self.window
        if sequence + len(data) > end:
            data, has_fin = data[: max(0, end - sequence)], False
        if has_fin:
            self.fin_sequence = sequence + len(data)
        if sequence > self.next:
            if len(data) > len(self._out_of_order.get(sequence, b"")):
                self._out_of_order[sequence] = data
            self._latest_out_of_order = sequence
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
        while self._out_of_order:
            first = min(self._out_of_order)
            if first > self.next:
                return
            self._append(first, self._out_of_order.pop(first))

    def sack_blocks(self) -> list[tuple[int, int]]:
        """Return the out-of-order blocks, the most recent one first (RFC 2018 §4).

        A block is a pair: its first sequence number, and the one after its last.
        """
        blocks: list[tuple[int, int]] = []
        for start in sorted(self._out_of_order):
            end = start + len(self._out_of_order[start])
            if blocks and start <= blocks[-1][1]:
                blocks[-1] = blocks[-1][0], max(end, blocks[-1][1])
            else:
                blocks.append((start, end))
        return sorted(blocks, key=lambda block: not block[0] <= self._latest_out_of_order < block[1])

    def read(self, n: int) -> bytes:
        """Remove and return up to `n` in-order bytes."""
        data = bytes(self.unread[:n])
        del self.unread[:n]
        return data

    def advertise(self, mss: int, scale: int = 0) -> int:
        """Return the window to advertise now, in units of 2^`scale` bytes.

        The right edge of the window moves left only by rounding. It moves right only if it can move by at least `mss`
        bytes or half the buffer (RFC 9293 §3.8.6.2.2). A partial unit is rounded up if the buffer has room for it, as
        in Linux (__tcp_select_window).
        """
        free = max(0, self.size - len(self.unread))
        if self.next + free - self._right_edge >= min(mss, self.size // 2):
            self._right_edge = self.next + free
        window = self._right_edge - self.next
        if window <= 0:
            return 0
        units = window >> scale
        if units << scale != window and (units + 1) << scale < free + (1 << scale):
            units += 1
            self._right_edge = self.next + (units << scale)
        return units

    def should_send_window_update(self, mss: int) -> bool:
        """Return True if the program has read so much that the peer should be sent the new window.

        Source: tcp_cleanup_rbuf.
        """
        offered = self.size - len(self.unread)
        return offered - self.window >= min(mss, self.size // 2) and offered >= 2 * self.window

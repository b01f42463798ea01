"""One TCP connection: the state machine of RFC 9293 §3.10, without the socket API.

This module contains the user's calls and segment input; `tcp_sender` contains output and retransmission. Sequence
numbers are plain integers that count from each side's SYN (0) and never wrap; `_distance` converts the 32-bit numbers
on the wire.
"""

from __future__ import annotations

import errno

from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.events import DropReason, Step
from cnmsim.kernel.packet import TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, flag_text
from cnmsim.kernel.skbuff import Packet
from cnmsim.kernel.sockets.congestion import CongestionWindow
from cnmsim.kernel.sockets.errors import IcmpErrorInfo, icmp_errno
from cnmsim.kernel.sockets.tcp_sender import MINIMUM_MSS, TcpSender
from cnmsim.kernel.sockets.tcp_state import OPENING, RECEIVING, SEND_CLOSED, TcpEvent, TcpState, next_state
from cnmsim.kernel.tcpoptions import TIMESTAMP_LENGTH, TcpOptions, read_options
from cnmsim.kernel.transport import TcpSegment

#: The duration of TIME-WAIT: 60 s in Linux (TCP_TIMEWAIT_LEN in include/net/tcp.h), not the RFC's 4 minutes.
TIME_WAIT_NS = 60 * NS_PER_S
_DUPLICATE_ACKS = 3
_DEFAULT_MSS = {4: 536, 6: 1220}
# net.ipv4.tcp_invalid_ratelimit. Without the limit, two ends that disagree on sequence numbers would acknowledge each
# other's segments for ever (RFC 5961 §7).
_INVALID_INTERVAL_NS = NS_PER_S // 2
#: Module-level names: a lookup of an enum member takes ten times as long.
_SYN_SENT, _SYN_RECEIVED, _CLOSED = TcpState.SYN_SENT, TcpState.SYN_RECEIVED, TcpState.CLOSED


class TcpConnection(TcpSender):
    """A connection from (`local`, `local_port`) to (`remote`, `remote_port`).

    `socket` is the user's socket. It is `None` after the user closed it (the connection is then an orphan), and while
    the connection is in a listener's queue. `error` is the reason if the connection failed, else `None`.
    """

    __slots__ = ()

    excludes_reuse = False

    # --- user calls (RFC 9293 §3.10.1 to §3.10.6) ---

    def open(self) -> None:
        """Send the SYN (active open)."""
        self._transition(TcpEvent.ACTIVE_OPEN)
        self._choose_receive_window()
        self._send_syn(TCP_SYN)

    def open_passive(self, segment: TcpSegment) -> None:
        """Send a SYN/ACK in answer to `segment`, a SYN that a listener received (passive open)."""
        self.state = next_state(TcpState.LISTEN, TcpEvent.SYN)
        self._process_syn(segment)
        self._choose_receive_window()
        self._send_syn(TCP_SYN | TCP_ACK)

    def write(self, data: bytes) -> None:
        """Queue data, and send as much as the send window and the congestion window allow."""
        self._send_data += data
        self._output()

    def read(self, n: int) -> bytes:
        """Return up to `n` bytes of in-order data, b"" if there are none."""
        data = self._receive_buffer.read(n)
        if data and self.state in RECEIVING and self._receive_buffer.should_send_window_update(self.mss):
            self._send_ack()
        return data

    @property
    def unread(self) -> int:
        """The number of received bytes that can be read."""
        return len(self._receive_buffer.unread)

    @property
    def is_at_end(self) -> bool:
        """Whether no more data can arrive."""
        return self.state not in RECEIVING and self.state not in OPENING

    @property
    def has_peer_finished(self) -> bool:
        """Whether all data up to the peer's FIN has arrived."""
        fin_sequence = self._receive_buffer.fin_sequence
        return fin_sequence is not None and self._receive_buffer.next > fin_sequence

    def close(self) -> None:
        """Close the sending direction: FIN follows the queued data."""
        if self.state is _SYN_SENT:
            self._transition(TcpEvent.CLOSE)
            self._unregister()
        elif not self._fin_queued and self.state not in SEND_CLOSED:
            self._fin_queued = True
            self._transition(TcpEvent.CLOSE)
            self._output()

    def orphan(self) -> None:
        """Detach the user's socket and close the connection.

        If received data is still unread, reset the connection instead (RFC 2525 §2.17).
        """
        self.socket = None
        self.is_orphan = True
        if self.unread and self.state not in SEND_CLOSED | OPENING:
            self.abort()
            return
        self.close()
        if self.state is TcpState.FIN_WAIT_2:
            self._start_fin_timeout()

    def abort(self) -> None:
        """Reset the connection."""
        if self.state in RECEIVING or self.state in (_SYN_RECEIVED, TcpState.CLOSE_WAIT):
            self._transmit(TCP_RST | TCP_ACK, self._snd_max)
        self._end(None)

    # --- segment input (RFC 9293 §3.10.7) ---

    def receive(self, packet: Packet, segment: TcpSegment) -> None:
        """Process a segment of this connection."""
        if self.namespace.clock.context is not None:
            what = f"TCP receives [{flag_text(segment.flags)}] with {len(segment.payload)} bytes"
            self.namespace.report(Step.DELIVERED, what, packet, decision=self.label)
        if self.state is _SYN_SENT:
            self._receive_in_syn_sent(packet, segment)
        else:
            self._receive_synchronized(packet, segment)
        if self._is_ack_pending and self.state is not _CLOSED:
            self._send_ack()

    def _receive_in_syn_sent(self, packet: Packet, segment: TcpSegment) -> None:
        flags = segment.flags
        has_ack = bool(flags & TCP_ACK)
        if has_ack and _distance(segment.ack, self._iss) != 1:
            if not flags & TCP_RST:
                self.namespace.sockets.reset(packet, segment)
            return
        if flags & TCP_RST:
            if has_ack:
                self._end(errno.ECONNREFUSED)
            return
        if not flags & TCP_SYN:
            return
        self._process_syn(segment)
        if not has_ack:
            self._transition(TcpEvent.SYN)
            self._send_syn(TCP_SYN | TCP_ACK)
            return
        self._transition(TcpEvent.SYN_ACK)
        self._is_ack_pending = self._confirms_neighbour = True
        self._acknowledge(1)
        self._update_send_window(segment, 0, 1)
        self._process_data(1, segment)
        if self.socket is not None:
            self.set_keepalive(self.socket.keepalive)
        self._output()
        self.on_change()

    def _receive_synchronized(self, packet: Packet, segment: TcpSegment) -> None:
        flags = segment.flags
        buffer = self._receive_buffer
        sequence = buffer.next + _distance(segment.seq, self._irs + buffer.next)
        payload = segment.payload
        if self.state is _SYN_RECEIVED and flags & TCP_SYN and sequence == 0:
            if not flags & TCP_ACK:
                self._send_syn(TCP_SYN | TCP_ACK)
                return
            # Simultaneous open: the peer repeats its SYN, now with the ACK of ours.
            sequence, flags = 1, flags & ~TCP_SYN
        length = len(payload) + bool(flags & TCP_SYN) + bool(flags & TCP_FIN)
        if not self._is_acceptable(sequence, length):
            if sequence == buffer.next and not flags & (TCP_RST | TCP_SYN):
                # The receive window is closed, but the acknowledgement is processed (RFC 9293 §3.10.7.4, first
                # check).
                self._is_ack_pending = True
                self._process_ack(packet, segment, sequence)
                self._output()
                return
            self._reject_unacceptable(packet, segment)
            return
        if flags & TCP_RST:
            self._process_reset(sequence)
            return
        if segment.options:
            self._process_options(segment, sequence)
        if flags & TCP_SYN:
            # A challenge ACK (RFC 5961 §4).
            self._is_ack_pending = True
            return
        if not flags & TCP_ACK:
            self._drop(packet, DropReason.STRAY_SEGMENT, "segment without ACK")
            return
        if not self._process_ack(packet, segment, sequence):
            return
        if length:
            self._is_ack_pending = True
            self._process_data(sequence, segment)
        if self.state is not _CLOSED:
            self._output()

    def _is_acceptable(self, sequence: int, length: int) -> bool:
        start, window = self._receive_buffer.next, self._receive_buffer.window
        if not window:
            return not length and sequence == start
        end = start + window
        return start <= sequence < end or (length > 0 and start <= sequence + length - 1 < end)

    def _reject_unacceptable(self, packet: Packet, segment: TcpSegment) -> None:
        if segment.flags & TCP_RST:
            self._drop(packet, DropReason.STRAY_SEGMENT, "reset outside the window")
            return
        self._acknowledge_invalid(segment)
        if self.state is TcpState.TIME_WAIT and segment.flags & TCP_FIN:
            self._start_wait_timer(TIME_WAIT_NS)

    def _acknowledge_invalid(self, segment: TcpSegment) -> None:
        """Answer an unacceptable segment with an acknowledgement.

        Segments without data or FIN are answered at most twice a second.
        """
        if not (segment.payload or segment.flags & TCP_FIN):
            now_ns = self.namespace.clock.now_ns
            if now_ns < self._next_invalid_ns:
                return
            self._next_invalid_ns = now_ns + _INVALID_INTERVAL_NS
        self._is_ack_pending = True

    def _process_reset(self, sequence: int) -> None:
        if sequence != self._receive_buffer.next:
            # RFC 5961 §3: in the window but not exactly RCV.NXT, so possibly forged; a challenge ACK answers it.
            self._is_ack_pending = True
            return
        if self.state is _SYN_RECEIVED:
            self._end(errno.ECONNREFUSED)
        elif self.state in (TcpState.CLOSING, TcpState.LAST_ACK, TcpState.TIME_WAIT):
            self._end(None)
        else:
            self._end(errno.EPIPE if self.state is TcpState.CLOSE_WAIT else errno.ECONNRESET)

    def _process_ack(self, packet: Packet, segment: TcpSegment, sequence: int) -> bool:
        """Process the ACK field of a segment. Return True if the rest of the segment must be processed.

        `segment` is the content of `packet`. `sequence` is its sequence number, counted from the peer's SYN.
        """
        ack = self._snd_una + _distance(segment.ack, self._iss + self._snd_una)
        if self.state is _SYN_RECEIVED and not self._establish(packet, segment, ack):
            return False
        if ack > self._snd_max:
            self._acknowledge_invalid(segment)
            return False
        if ack > self._snd_una:
            self._acknowledge(ack)
        elif ack == self._snd_una:
            self._count_duplicate(segment)
        if self._keepalive is not None:
            self._keepalive.acknowledged()
        self._update_send_window(segment, sequence, ack)
        return self.state is not _CLOSED

    def _establish(self, packet: Packet, segment: TcpSegment, ack: int) -> bool:
        if ack != 1:
            self.namespace.sockets.reset(packet, segment)
            return False
        if self.listener is not None and not self.listener.has_room:
            # Linux drops the ACK while the accept queue is full; the SYN/ACK is retransmitted later.
            self._drop(packet, DropReason.SOCKET_BUFFER_FULL, "the accept queue is full")
            return False
        self._transition(TcpEvent.ACK_OF_SYN)
        listener, self.listener = self.listener, None
        if (user := listener or self.socket) is not None:
            self.set_keepalive(user.keepalive)
        if listener is not None:
            listener.enqueue(self)
        self.on_change()
        return True

    def _acknowledge(self, ack: int) -> None:
        acknowledged = ack - self._snd_una
        # The ACK of a SYN/ACK does not confirm the neighbour (tcp_ack: no_queue).
        self._confirms_neighbour = self._confirms_neighbour or ack > 1
        self._snd_una = ack
        if self._sacked:
            self._sacked = [(start, end) for start, end in self._sacked if end > ack]
        self._snd_nxt = max(self._snd_nxt, ack)
        data = min(ack - self._send_base, len(self._send_data))
        if data > 0:
            del self._send_data[:data]
            self._send_base += data
        if self._timed_segment is not None and ack >= self._timed_segment[0]:
            self._rtt.sample(self.namespace.clock.now_ns - self._timed_segment[1])
            self._timed_segment = None
        else:
            self._rtt.reset()
        self._retries = 0
        self._duplicate_acks = 0
        self._soft_error = 0
        if ack < self._cwnd.recovery_end:
            # A partial acknowledgement: the next segment was lost as well (RFC 6582).
            self._retransmit_first()
        else:
            self._cwnd.acknowledged(acknowledged)
        self._restart_retransmit_timer()
        if self._fin_queued and ack > self._fin_sequence:
            self._fin_acknowledged()
        self.on_change()

    def _fin_acknowledged(self) -> None:
        if self.state not in (TcpState.FIN_WAIT_1, TcpState.CLOSING, TcpState.LAST_ACK):
            return
        state = self._transition(TcpEvent.ACK_OF_FIN)
        if state is TcpState.TIME_WAIT:
            self._start_wait_timer(TIME_WAIT_NS)
        elif state is _CLOSED:
            self._unregister()
        elif self.is_orphan:
            self._start_fin_timeout()

    def _start_fin_timeout(self) -> None:
        self._start_wait_timer(int(self.namespace.sysctl_get("net.ipv4.tcp_fin_timeout")) * NS_PER_S)

    def _count_duplicate(self, segment: TcpSegment) -> None:
        is_duplicate = (
            self._snd_max > self._snd_una
            and not segment.payload
            and not segment.flags & (TCP_SYN | TCP_FIN)
            and segment.window << self._send_scale == self._snd_window
        )
        if not is_duplicate:
            return
        self._duplicate_acks += 1
        self._confirms_neighbour = True
        if self._duplicate_acks == _DUPLICATE_ACKS and self._snd_una > self._cwnd.recovery_end:
            self._cwnd.lost(self._snd_max - self._snd_una, self._snd_max)
            self._retransmit_first()

    def _update_send_window(self, segment: TcpSegment, sequence: int, ack: int) -> None:
        if ack < self._snd_una:
            return
        if (sequence, ack) >= (self._snd_wl1, self._snd_wl2):
            # The window of a SYN is never scaled (RFC 7323 §2.2).
            self._snd_window = segment.window << (0 if segment.flags & TCP_SYN else self._send_scale)
            self._snd_wl1, self._snd_wl2 = sequence, ack
            if segment.window and self._persist_timer is not None:
                self._persist_timer.cancel()
                self._persist_timer = None
                self._retries = 0
                self._rtt.reset()

    def _process_syn(self, segment: TcpSegment) -> None:
        self._irs = segment.seq
        options = read_options(segment.options)
        self._negotiate_options(options)
        offered = options.mss or _DEFAULT_MSS[self.family]
        self.mss = min(self.mss, max(offered, MINIMUM_MSS))
        if self._has_timestamps:
            self.mss = max(self.mss - TIMESTAMP_LENGTH, MINIMUM_MSS)
        self._cwnd = CongestionWindow(self.mss)
        self._snd_window = segment.window

    def _negotiate_options(self, options: TcpOptions) -> None:
        """Turn off the TCP options that the peer's SYN did not contain, and record the values of the others."""
        self._has_sack = self._has_sack and options.is_sack_permitted
        self._has_timestamps = self._has_timestamps and options.timestamp is not None
        if not self._receive_scale or options.window_scale is None:
            self._receive_scale = self._send_scale = 0
        else:
            self._send_scale = options.window_scale
        if options.timestamp is not None and self._has_timestamps:
            self._recent_timestamp = options.timestamp[0]

    def _process_options(self, segment: TcpSegment, sequence: int) -> None:
        """Record the peer's timestamp (RFC 7323 §4.3) and its selective acknowledgements (RFC 2018 §5).

        `sequence` is the segment's sequence number, counted from the peer's SYN.
        """
        options = read_options(segment.options)
        if options.timestamp is not None and self._has_timestamps and sequence <= self._receive_buffer.next:
            self._recent_timestamp = options.timestamp[0]
        if self._has_sack:
            for first, behind in options.sack:
                start = self._snd_una + _distance(first, self._iss + self._snd_una)
                end = self._snd_una + _distance(behind, self._iss + self._snd_una)
                if self._snd_una < start < end <= self._snd_max:
                    apart = [block for block in self._sacked if block[1] <= start or end <= block[0]]
                    self._sacked = [*apart, (start, end)]

    def _process_data(self, sequence: int, segment: TcpSegment) -> None:
        has_fin = bool(segment.flags & TCP_FIN)
        if not (segment.payload or has_fin) or self.state not in RECEIVING:
            return
        buffer = self._receive_buffer
        if self.is_orphan and sequence + len(segment.payload) > buffer.next:
            # Data for an orphan cannot be delivered: reset (RFC 9293 §3.6.1).
            self._transmit(TCP_RST, self._snd_max)
            self._end(None)
            return
        moved = buffer.insert(sequence, segment.payload, has_fin=has_fin)
        if buffer.fin_sequence == buffer.next:
            buffer.next += 1
            self._is_ack_pending = True
            self._process_fin()
        elif not moved:
            return
        self._notify_readable()

    def _process_fin(self) -> None:
        if self._transition(TcpEvent.FIN) is TcpState.TIME_WAIT:
            self._start_wait_timer(TIME_WAIT_NS)

    # --- ICMP errors (RFC 9293 §3.9.2.2, RFC 5927) ---

    def fail(self, error: IcmpErrorInfo) -> None:
        """Process an ICMP error that quotes a segment of this connection."""
        if len(error.quoted) < 8:
            return
        sequence = self._snd_una + _distance(int.from_bytes(error.quoted[4:8]), self._iss + self._snd_una)
        if not self._snd_una <= sequence <= self._snd_max:
            return
        if error.is_packet_too_big:
            if error.info:
                self._reduce_mss(error.info)
            return
        mapping = icmp_errno(error.family, error.icmp_type, error.code)
        if mapping is None:
            return
        number, is_hard = mapping
        if self.state is _SYN_SENT or (self.state is _SYN_RECEIVED and is_hard):
            self._end(number)
        else:
            self._soft_error = number

    # --- end of the connection ---

    def _unregister(self) -> None:
        for timer in (self._retransmit_timer, self._persist_timer, self._wait_timer):
            if timer is not None:
                timer.cancel()
        self.set_keepalive(None)
        self._is_ack_pending = False
        self.namespace.sockets.remove_connection(self)
        if self.listener is not None:
            self.listener.remove_embryonic(self)
            self.listener = None
        self.on_change()
        self._notify_readable()

    def close_silently(self) -> None:
        """End without sending anything, because the namespace is destroyed."""
        self._end(errno.ECONNRESET)

    def may_reuse_time_wait(self, segment: TcpSegment) -> bool:
        """Return True if the connection is in TIME-WAIT and the SYN `segment` may replace it by a new connection.

        The sequence number of the SYN must be greater than the sequence numbers of all received data.
        """
        return self.state is TcpState.TIME_WAIT and _distance(segment.seq, self._irs + self._receive_buffer.next) > 0

    def _drop(self, packet: Packet, reason: DropReason, decision: str) -> None:
        if self.namespace.clock.observes_drops:
            self.namespace.report(Step.DROPPED, reason.value, packet, decision=decision, reason=reason)


def _distance(wire: int, reference: int) -> int:
    """Return how far the 32-bit sequence number `wire` is ahead of `reference`; negative if it is behind."""
    return ((wire - reference + 0x80000000) & 0xFFFFFFFF) - 0x80000000

"""One TCP connection: the protocol machine of RFC 9293 §3.10, without the socket API.

This module is long because segment arrival is one idea that the RFC, too, tells in one section. Sequence numbers are
kept as plain integers that count from the SYN of each side (0) and never wrap; they meet the 32-bit numbers of the
wire in `_transmit` and `receive` only. Not modelled: window scaling, SACK, timestamps, delayed ACKs, urgent data,
keepalives.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

from cnmsim.kernel.address import Address
from cnmsim.kernel.clock import NS, Timer
from cnmsim.kernel.events import DropReason, Step
from cnmsim.kernel.packet import TCP_ACK, TCP_FIN, TCP_PSH, TCP_RST, TCP_SYN, Packet, build_ip, flag_text
from cnmsim.kernel.sockets.base import address_text
from cnmsim.kernel.sockets.errors import IcmpErrorInfo, icmp_errno, os_error
from cnmsim.kernel.sockets.tcp_buffer import ReceiveBuffer
from cnmsim.kernel.sockets.tcp_pace import CongestionWindow, RetransmissionTimeout
from cnmsim.kernel.sockets.tcp_state import (
    OPENING,
    RECEIVING,
    SEND_CLOSED,
    SENDING,
    TcpEvent,
    TcpState,
    next_state,
)  # fmt: skip
from cnmsim.kernel.transport import TcpSegment

if TYPE_CHECKING:
    from cnmsim.kernel.ip import Decision
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.sockets.tcp import TcpSocket

#: How long TIME-WAIT lasts: 60 s in Linux (TCP_TIMEWAIT_LEN), not the RFC's 4 minutes.
TIME_WAIT_S = 60.0
# Linux: tcp_orphan_retries 0 stands for 8.
_ORPHAN_RETRIES = 8
_DUPLICATE_ACKS = 3
_DEFAULT_MSS = {4: 536, 6: 1220}
_MINIMUM_MSS = 88
# Linux: net.ipv4.tcp_invalid_ratelimit. Without it two ends that disagree would acknowledge each other for ever.
_INVALID_INTERVAL_NS = NS // 2
_HEADERS = {4: 40, 6: 60}


class TcpConnection:
    """A connection from (`local`, `local_port`) to (`remote`, `remote_port`), addresses in data-plane form.

    `socket` is who uses it: `None` once that is closed (an orphan), and for a connection still in its listener's
    backlog. `error` is why it ended, if not by agreement.
    """

    __slots__ = (
        "_cwnd",
        "_duplicate_acks",
        "_fin_queued",
        "_irs",
        "_iss",
        "_next_invalid_ns", "_owes_ack",
        "_persist_timer",
        "_receive_buffer",
        "_retransmit_timer",
        "_retries",
        "_rto",
        "_send_base",
        "_send_data",
        "_snd_max",
        "_snd_nxt",
        "_snd_una",
        "_snd_window",
        "_snd_wl1",
        "_snd_wl2",
        "_soft_error",
        "_timed",
        "_wait_timer",
        "device_name",
        "error",
        "family",
        "is_orphan",
        "listener",
        "local",
        "local_port",
        "mss",
        "namespace",
        "no_delay",
        "on_change",
        "remote",
        "remote_port",
        "reuse_address",
        "socket",
        "state",
        "tos",
        "ttl",
    )  # fmt: skip

    excludes_reuse = False

    def __init__(
        self,
        namespace: NetworkNamespace,
        local: Address,
        local_port: int,
        remote: Address,
        remote_port: int,
        *,
        mtu: int,
        socket: TcpSocket,
        listener: TcpSocket | None = None,
    ) -> None:
        self.namespace = namespace
        self.family = 6 if len(remote) == 16 else 4
        self.local, self.local_port = local, local_port
        self.remote, self.remote_port = remote, remote_port
        self.socket: TcpSocket | None = None if listener is not None else socket
        self.listener = listener
        self.is_orphan = False
        self.device_name, self.reuse_address = socket.device_name, socket.reuse_address
        self.ttl, self.tos, self.no_delay = socket.ttl, socket.tos, socket.no_delay
        self.state = TcpState.CLOSED
        self.error: OSError | None = None
        self.on_change: Callable[[], None] = _nothing
        self.mss = mtu - _HEADERS[self.family]
        self._iss = namespace.sockets.random.getrandbits(32)
        self._irs = 0
        self._snd_una = self._snd_nxt = self._snd_max = 0
        self._snd_window = 0
        self._snd_wl1 = self._snd_wl2 = 0
        self._send_data = bytearray()
        self._send_base = 1
        self._fin_queued = False
        self._receive_buffer = ReceiveBuffer()
        self._rto = RetransmissionTimeout()
        self._cwnd = CongestionWindow(self.mss)
        self._duplicate_acks = 0
        self._retries = 0
        self._timed: tuple[int, int] | None = None
        self._owes_ack = False
        self._next_invalid_ns = 0
        self._soft_error = 0
        self._retransmit_timer: Timer | None = None
        self._persist_timer: Timer | None = None
        self._wait_timer: Timer | None = None

    def __repr__(self) -> str:
        return f"<TcpConnection {self.label}>"

    @property
    def label(self) -> str:
        """What traces call it."""
        user = self.socket or self.listener
        owner = user.owner_label if user is not None else "kernel"
        local, remote = address_text(self.local, self.local_port), address_text(self.remote, self.remote_port)
        return f"socket: {owner} {self.state.value} {local} to {remote}"

    @property
    def local_addresses(self) -> tuple[Address, ...]:
        """The address on which it holds its local port."""
        return (self.local,)

    @property
    def key(self) -> tuple[Address, int, Address, int]:
        """What identifies it among the connections of its namespace."""
        return self.local, self.local_port, self.remote, self.remote_port

    # --- calls of the user (RFC 9293 §3.10.1 to §3.10.6) ---

    def open(self) -> None:
        """Send the SYN (active open)."""
        self._move(TcpEvent.ACTIVE_OPEN)
        self._send_syn(TCP_SYN)

    def open_passive(self, segment: TcpSegment) -> None:
        """Answer the SYN that came to a listener."""
        self.state = next_state(TcpState.LISTEN, TcpEvent.SYN)
        self._take_syn(segment)
        self._send_syn(TCP_SYN | TCP_ACK)

    def write(self, data: bytes) -> None:
        """Queue data to be sent."""
        self._send_data += data
        self._output()

    def read(self, n: int) -> bytes:
        """Give up to `n` bytes of what arrived in order, b"" if there is nothing."""
        taken = self._receive_buffer.take(n)
        if taken and self.state in RECEIVING and self._receive_buffer.should_announce(self.mss):
            self._send_ack()
        return taken

    @property
    def unread(self) -> int:
        """How many bytes wait to be read."""
        return len(self._receive_buffer.unread)

    @property
    def unacknowledged(self) -> int:
        """How many bytes were written and are not acknowledged yet."""
        return len(self._send_data)

    @property
    def is_at_end(self) -> bool:
        """Whether the peer will send no more."""
        return self.state not in RECEIVING and self.state not in OPENING

    @property
    def has_peer_finished(self) -> bool:
        """Whether everything the peer had to send arrived, up to its FIN."""
        fin_at = self._receive_buffer.fin_at
        return fin_at is not None and self._receive_buffer.next > fin_at

    def close(self) -> None:
        """Send no more: FIN after what is queued."""
        if self.state is TcpState.SYN_SENT:
            self._move(TcpEvent.CLOSE)
            self._vanish()
        elif not self._fin_queued and self.state not in SEND_CLOSED:
            self._fin_queued = True
            self._move(TcpEvent.CLOSE)
            self._output()

    def orphan(self) -> None:
        """Go on without a user: close, or reset if data was left unread (RFC 2525 §2.17)."""
        self.socket = None
        self.is_orphan = True
        if self.unread and self.state not in SEND_CLOSED | OPENING:
            self.abort()
            return
        self.close()
        if self.state is TcpState.FIN_WAIT_2:
            self._expect_fin_in_time()

    def abort(self) -> None:
        """Reset the connection."""
        if self.state in RECEIVING or self.state in (TcpState.SYN_RECEIVED, TcpState.CLOSE_WAIT):
            self._transmit(TCP_RST | TCP_ACK, self._snd_max)
        self._end(None)

    # --- segments in (RFC 9293 §3.10.7) ---

    def receive(self, packet: Packet, segment: TcpSegment) -> None:
        """Take a segment that belongs to this connection."""
        if self.namespace.clock.context is not None:
            what = f"TCP takes [{flag_text(segment.flags)}] with {len(segment.payload)} bytes"
            self.namespace.report(Step.DELIVERED, what, packet, decision=self.label)
        if self.state is TcpState.SYN_SENT:
            self._receive_in_syn_sent(packet, segment)
        else:
            self._receive_synchronized(packet, segment)
        if self._owes_ack and self.state is not TcpState.CLOSED:
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
        self._take_syn(segment)
        if not has_ack:
            self._move(TcpEvent.SYN)
            self._send_syn(TCP_SYN | TCP_ACK)
            return
        self._move(TcpEvent.SYN_ACK)
        self._owes_ack = True
        self._acknowledge(1)
        self._take_window(segment, 0, 1)
        self._take_data(1, segment)
        self._output()
        self.on_change()

    def _receive_synchronized(self, packet: Packet, segment: TcpSegment) -> None:
        flags = segment.flags
        buffer = self._receive_buffer
        sequence = buffer.next + _distance(segment.seq, self._irs + buffer.next)
        payload = segment.payload
        if self.state is TcpState.SYN_RECEIVED and flags & TCP_SYN and sequence == 0:
            if not flags & TCP_ACK:
                self._send_syn(TCP_SYN | TCP_ACK)
                return
            # Simultaneous open: the peer's SYN comes again, now with the ACK of ours.
            sequence, flags = 1, flags & ~TCP_SYN
        length = len(payload) + bool(flags & TCP_SYN) + bool(flags & TCP_FIN)
        if not self._is_acceptable(sequence, length):
            if sequence == buffer.next and not flags & (TCP_RST | TCP_SYN):
                # The window is shut, but what the segment acknowledges counts (RFC 9293 §3.10.7.4, first check).
                self._owes_ack = True
                self._take_acknowledgement(packet, segment, sequence)
                self._output()
                return
            self._refuse(packet, segment)
            return
        if flags & TCP_RST:
            self._take_reset(sequence)
            return
        if flags & TCP_SYN:
            # A challenge ACK (RFC 5961 §4).
            self._owes_ack = True
            return
        if not flags & TCP_ACK:
            self._drop(packet, DropReason.STRAY_SEGMENT, "segment without ACK")
            return
        if not self._take_acknowledgement(packet, segment, sequence):
            return
        if length:
            self._owes_ack = True
            self._take_data(sequence, segment)
        if self.state is not TcpState.CLOSED:
            self._output()

    def _is_acceptable(self, sequence: int, length: int) -> bool:
        start, window = self._receive_buffer.next, self._receive_buffer.window
        if not window:
            return not length and sequence == start
        end = start + window
        return start <= sequence < end or (length > 0 and start <= sequence + length - 1 < end)

    def _refuse(self, packet: Packet, segment: TcpSegment) -> None:
        if segment.flags & TCP_RST:
            self._drop(packet, DropReason.STRAY_SEGMENT, "reset outside the window")
            return
        self._answer_invalid(segment)
        if self.state is TcpState.TIME_WAIT and segment.flags & TCP_FIN:
            self._start_wait(TIME_WAIT_S)

    def _answer_invalid(self, segment: TcpSegment) -> None:
        """Acknowledge what does not fit, but bare acknowledgements no more than twice a second."""
        if not (segment.payload or segment.flags & TCP_FIN):
            now_ns = self.namespace.clock.now_ns
            if now_ns < self._next_invalid_ns:
                return
            self._next_invalid_ns = now_ns + _INVALID_INTERVAL_NS
        self._owes_ack = True

    def _take_reset(self, sequence: int) -> None:
        if sequence != self._receive_buffer.next:
            # RFC 5961 §3: in the window but not exact, so perhaps forged.
            self._owes_ack = True
            return
        if self.state is TcpState.SYN_RECEIVED:
            self._end(errno.ECONNREFUSED)
        elif self.state in (TcpState.CLOSING, TcpState.LAST_ACK, TcpState.TIME_WAIT):
            self._end(None)
        else:
            self._end(errno.EPIPE if self.state is TcpState.CLOSE_WAIT else errno.ECONNRESET)

    def _take_acknowledgement(self, packet: Packet, segment: TcpSegment, sequence: int) -> bool:
        """Process the ACK field. False if the segment must not be looked at any further."""
        ack = self._snd_una + _distance(segment.ack, self._iss + self._snd_una)
        if self.state is TcpState.SYN_RECEIVED and not self._establish(packet, segment, ack):
            return False
        if ack > self._snd_max:
            self._answer_invalid(segment)
            return False
        if ack > self._snd_una:
            self._acknowledge(ack)
        elif ack == self._snd_una:
            self._count_duplicate(segment)
        self._take_window(segment, sequence, ack)
        return self.state is not TcpState.CLOSED

    def _establish(self, packet: Packet, segment: TcpSegment, ack: int) -> bool:
        if ack != 1:
            self.namespace.sockets.reset(packet, segment)
            return False
        if self.listener is not None and not self.listener.has_room:
            # Linux drops the ACK when the accept queue is full; the SYN/ACK will be sent again.
            self._drop(packet, DropReason.SOCKET_BUFFER_FULL, "the accept queue is full")
            return False
        self._move(TcpEvent.ACK_OF_SYN)
        listener, self.listener = self.listener, None
        if listener is not None:
            listener.enqueue(self)
        self.on_change()
        return True

    def _acknowledge(self, ack: int) -> None:
        acknowledged = ack - self._snd_una
        self._snd_una = ack
        self._snd_nxt = max(self._snd_nxt, ack)
        data = min(ack - self._send_base, len(self._send_data))
        if data > 0:
            del self._send_data[:data]
            self._send_base += data
        if self._timed is not None and ack >= self._timed[0]:
            self._rto.sample((self.namespace.clock.now_ns - self._timed[1]) / NS)
            self._timed = None
        self._rto.reset()
        self._retries = 0
        self._duplicate_acks = 0
        self._soft_error = 0
        if ack < self._cwnd.recovery_end:
            # A partial acknowledgement: the next segment is missing as well (RFC 6582).
            self._resend_first()
        else:
            self._cwnd.acknowledged(acknowledged)
        self._restart_retransmit_timer()
        if self._fin_queued and ack > self._fin_sequence:
            self._fin_acknowledged()
        self.on_change()

    @property
    def _fin_sequence(self) -> int:
        return self._send_base + len(self._send_data)

    def _fin_acknowledged(self) -> None:
        if self.state not in (TcpState.FIN_WAIT_1, TcpState.CLOSING, TcpState.LAST_ACK):
            return
        state = self._move(TcpEvent.ACK_OF_FIN)
        if state is TcpState.TIME_WAIT:
            self._start_wait(TIME_WAIT_S)
        elif state is TcpState.CLOSED:
            self._vanish()
        elif self.is_orphan:
            self._expect_fin_in_time()

    def _expect_fin_in_time(self) -> None:
        self._start_wait(float(self.namespace.sysctl_get("net.ipv4.tcp_fin_timeout")))

    def _count_duplicate(self, segment: TcpSegment) -> None:
        is_duplicate = (
            self._snd_max > self._snd_una
            and not segment.payload
            and not segment.flags & (TCP_SYN | TCP_FIN)
            and segment.window == self._snd_window
        )
        if not is_duplicate:
            return
        self._duplicate_acks += 1
        if self._duplicate_acks == _DUPLICATE_ACKS and self._snd_una > self._cwnd.recovery_end:
            self._cwnd.lost(self._snd_max - self._snd_una, self._snd_max)
            self._resend_first()

    def _take_window(self, segment: TcpSegment, sequence: int, ack: int) -> None:
        if ack < self._snd_una:
            return
        if (sequence, ack) >= (self._snd_wl1, self._snd_wl2):
            self._snd_window = segment.window
            self._snd_wl1, self._snd_wl2 = sequence, ack
            if segment.window and self._persist_timer is not None:
                self._persist_timer.cancel()
                self._persist_timer = None
                self._retries = 0
                self._rto.reset()

    def _take_syn(self, segment: TcpSegment) -> None:
        self._irs = segment.seq
        offered = segment.mss or _DEFAULT_MSS[self.family]
        self.mss = min(self.mss, max(offered, _MINIMUM_MSS))
        self._cwnd = CongestionWindow(self.mss)
        self._snd_window = segment.window

    def _take_data(self, sequence: int, segment: TcpSegment) -> None:
        has_fin = bool(segment.flags & TCP_FIN)
        if not (segment.payload or has_fin) or self.state not in RECEIVING:
            return
        buffer = self._receive_buffer
        if self.is_orphan and sequence + len(segment.payload) > buffer.next:
            # Nobody will read it (RFC 9293 §3.6.1, as Linux does).
            self._transmit(TCP_RST, self._snd_max)
            self._end(None)
            return
        moved = buffer.accept(sequence, segment.payload, has_fin=has_fin)
        if buffer.fin_at == buffer.next:
            buffer.next += 1
            self._owes_ack = True
            self._take_fin()
        elif not moved:
            return
        self._notify_readable()

    def _take_fin(self) -> None:
        if self._move(TcpEvent.FIN) is TcpState.TIME_WAIT:
            self._start_wait(TIME_WAIT_S)

    def _notify_readable(self) -> None:
        if self.socket is not None:
            self.socket.became_readable()

    # --- segments out ---

    def _output(self) -> None:
        """Send what the windows allow (RFC 9293 §3.8.6.2.1, and Nagle's rule)."""
        if self.state not in SENDING:
            return
        while self._send_next():
            pass
        end = self._fin_sequence + self._fin_queued
        is_waiting = self._snd_nxt < end and self._snd_una == self._snd_max
        if is_waiting and not self._snd_window and self._persist_timer is None:
            self._persist_timer = self._later(self._rto.rto_s, self._probe)

    def _send_next(self) -> bool:
        unsent = self._send_base + len(self._send_data) - self._snd_nxt
        in_flight = self._snd_nxt - self._snd_una
        room = min(self._snd_window, max(self._cwnd.size, self.mss)) - in_flight
        size = min(self.mss, unsent, room)
        if size <= 0:
            is_fin_due = self._fin_queued and not unsent and room > 0
            if is_fin_due:
                self._send_data_segment(0)
            return is_fin_due
        is_last = size == unsent
        is_small = size < self.mss and in_flight > 0
        if is_small and not (is_last and (self.no_delay or self._fin_queued)):
            return False
        self._send_data_segment(size)
        return True

    def _send_data_segment(self, size: int) -> None:
        """Send `size` bytes from SND.NXT on, and the FIN if it comes right behind them."""
        start = self._snd_nxt
        at = start - self._send_base
        payload = bytes(self._send_data[at : at + size])
        flags = TCP_ACK
        is_last = at + size == len(self._send_data)
        if payload and is_last:
            flags |= TCP_PSH
        with_fin = self._fin_queued and is_last
        if with_fin:
            flags |= TCP_FIN
        self._snd_nxt = start + size + with_fin
        is_new = start >= self._snd_max
        if is_new and self._timed is None:
            self._timed = (self._snd_nxt, self.namespace.clock.now_ns)
        self._snd_max = max(self._snd_max, self._snd_nxt)
        self._transmit(flags, start, payload)
        if self._retransmit_timer is None:
            self._restart_retransmit_timer()

    def _resend_first(self) -> None:
        """Send the first unacknowledged segment again (RFC 5681 §3.2)."""
        self._timed = None
        ahead, self._snd_nxt = self._snd_nxt, self._snd_una
        self._send_data_segment(min(self.mss, len(self._send_data)))
        self._snd_nxt = max(ahead, self._snd_nxt)

    def _send_syn(self, flags: int) -> None:
        is_first = self._snd_max == 0
        self._timed = (1, self.namespace.clock.now_ns) if is_first else None
        self._snd_nxt = self._snd_max = 1
        self._restart_retransmit_timer()
        offered = max(_MINIMUM_MSS, min(65535, self._interface_mss()))
        self._transmit(flags, 0, options=b"\x02\x04" + offered.to_bytes(2))

    def _interface_mss(self) -> int:
        try:
            return self._route().outdev.mtu - _HEADERS[self.family]
        except OSError:
            return self.mss

    def _send_ack(self) -> None:
        # With the highest number sent, even while older data is being sent again: an older one would be refused.
        self._transmit(TCP_ACK, self._snd_max)

    def _route(self) -> Decision:
        device = self.namespace.devices.get(self.device_name) if self.device_name else None
        return self.namespace.route_output(self.remote, self.local, device)

    def _transmit(self, flags: int, sequence: int, payload: bytes = b"", options: bytes = b"") -> None:
        namespace = self.namespace
        buffer = self._receive_buffer
        if flags & TCP_ACK:
            self._owes_ack = False
        ack = (self._irs + buffer.next) & 0xFFFFFFFF if flags & TCP_ACK else 0
        segment = TcpSegment(
            self.local_port, self.remote_port, (self._iss + sequence) & 0xFFFFFFFF, ack, flags,
            buffer.advertise(self.mss), options, payload,
        )  # fmt: skip
        message = segment.to_wire(self.local, self.remote)
        try:
            decision = self._route()
            if namespace.clock.context is not None:
                packet = build_ip(6, self.local, self.remote, message, ttl=self.ttl, tos=self.tos)
                what = f"TCP sends [{flag_text(flags)}] with {len(payload)} bytes"
                namespace.report(Step.SENT, what, packet, decision=self.label)
            namespace.send(6, decision, self.remote, message, ttl=self.ttl, tos=self.tos, may_fragment=False)
        except OSError as error:
            # For TCP a segment that cannot leave is a lost segment (Linux ignores the result of tcp_transmit_skb);
            # the retransmission timer decides what becomes of the connection, and this is then its reason.
            if error.errno == errno.EMSGSIZE:
                self._shrink(namespace.mtu_of(self.remote))
            elif error.errno is not None and error.errno != errno.EPERM:
                self._soft_error = error.errno

    # --- timers ---

    def _later(self, delay_s: float, call: Callable[[], None]) -> Timer:
        return self.namespace.clock.call_later(delay_s, call)

    def _restart_retransmit_timer(self) -> None:
        if self._retransmit_timer is not None:
            self._retransmit_timer.cancel()
            self._retransmit_timer = None
        if self._snd_una < self._snd_max:
            self._retransmit_timer = self._later(self._rto.rto_s, self._retransmit)

    def _retransmit(self) -> None:
        """Nothing was acknowledged in time (RFC 6298 §5.4 to §5.6)."""
        self._retransmit_timer = None
        self._retries += 1
        if self._retries > self._retry_limit():
            self._end(self._soft_error or errno.ETIMEDOUT)
            return
        self._rto.back_off()
        self._timed = None
        if self.state in OPENING:
            self._send_syn(TCP_SYN if self.state is TcpState.SYN_SENT else TCP_SYN | TCP_ACK)
            return
        self._cwnd.timed_out(self._snd_max - self._snd_una)
        self._duplicate_acks = 0
        self._snd_nxt = self._snd_una
        self._send_data_segment(min(self.mss, len(self._send_data)))
        self._restart_retransmit_timer()

    def _retry_limit(self) -> int:
        if self.state is TcpState.SYN_SENT:
            return int(self.namespace.sysctl_get("net.ipv4.tcp_syn_retries"))
        if self.state is TcpState.SYN_RECEIVED:
            return int(self.namespace.sysctl_get("net.ipv4.tcp_synack_retries"))
        return _ORPHAN_RETRIES if self.is_orphan else int(self.namespace.sysctl_get("net.ipv4.tcp_retries2"))

    def _probe(self) -> None:
        """Ask whether the shut window has opened (RFC 9293 §3.8.6.1), as Linux: by an old sequence number."""
        self._persist_timer = None
        if self.state not in SENDING or self._snd_window or self._snd_una != self._snd_max:
            return
        self._retries += 1
        if self._retries > self._retry_limit():
            self._end(self._soft_error or errno.ETIMEDOUT)
            return
        self._rto.back_off()
        self._transmit(TCP_ACK, self._snd_una - 1)
        self._persist_timer = self._later(self._rto.rto_s, self._probe)

    def _start_wait(self, duration_s: float) -> None:
        if self._wait_timer is not None:
            self._wait_timer.cancel()
        self._wait_timer = self._later(duration_s, self._expire)

    def _expire(self) -> None:
        self._move(TcpEvent.EXPIRY)
        self._vanish()

    # --- ICMP errors (RFC 9293 §3.9.2.2, RFC 5927) ---

    def fail(self, error: IcmpErrorInfo) -> None:
        """Take an ICMP error that quotes a segment of this connection."""
        if len(error.quoted) < 8:
            return
        sequence = self._snd_una + _distance(int.from_bytes(error.quoted[4:8]), self._iss + self._snd_una)
        if not self._snd_una <= sequence <= self._snd_max:
            return
        if error.is_packet_too_big:
            if error.info:
                self._shrink(error.info)
            return
        found = icmp_errno(error.family, error.icmp_type, error.code)
        if found is None:
            return
        number, is_hard = found
        if self.state is TcpState.SYN_SENT or (self.state is TcpState.SYN_RECEIVED and is_hard):
            self._end(number)
        else:
            self._soft_error = number

    def _shrink(self, mtu: int) -> None:
        """Send smaller segments from now on, beginning with those that were too large."""
        mss = max(mtu - _HEADERS[self.family], _MINIMUM_MSS)
        if mss >= self.mss or self.state not in SENDING:
            self.mss = min(self.mss, mss)
            return
        self.mss = self._cwnd.mss = mss
        self._timed = None
        self._snd_nxt = self._snd_una
        # Not from within the call that found out: the segment it was sending is still being accounted for.
        self.namespace.clock.call_soon(self._output)

    # --- the end ---

    def _move(self, event: TcpEvent) -> TcpState:
        self.state = next_state(self.state, event)
        return self.state

    def _end(self, number: int | None) -> None:
        """Go to CLOSED at once; `number` is the error the user will see."""
        if self.state is TcpState.CLOSED:
            return
        self._move(TcpEvent.ABORT)
        self._send_data.clear()
        if number is not None:
            self.error = os_error(number)
        self._vanish()

    def _vanish(self) -> None:
        for timer in (self._retransmit_timer, self._persist_timer, self._wait_timer):
            if timer is not None:
                timer.cancel()
        self._owes_ack = False
        self.namespace.sockets.remove_connection(self)
        if self.listener is not None:
            self.listener.forget(self)
            self.listener = None
        self.on_change()
        self._notify_readable()

    def vanish_silently(self) -> None:
        """End without a word to the peer: the namespace is going away."""
        self._end(errno.ECONNRESET)

    def replace(self) -> None:
        """Leave TIME-WAIT early: a new connection takes the place (RFC 1122 §4.2.2.13)."""
        self._expire()

    def is_newer(self, segment: TcpSegment) -> bool:
        """Tell whether a SYN in TIME-WAIT has a sequence number beyond all of this connection's."""
        return self.state is TcpState.TIME_WAIT and _distance(segment.seq, self._irs + self._receive_buffer.next) > 0

    def _drop(self, packet: Packet, reason: DropReason, decision: str) -> None:
        if self.namespace.clock.context is not None:
            self.namespace.report(Step.DROPPED, reason.value, packet, decision=decision, reason=reason)


def _nothing() -> None:
    pass


def _distance(wire: int, reference: int) -> int:
    """Give how far the 32-bit sequence number `wire` is ahead of `reference` (negative: behind)."""
    return ((wire - reference + 0x80000000) & 0xFFFFFFFF) - 0x80000000

"""The sending side of a TCP connection: output, retransmission and persist timers (RFC 9293 §3.8, RFC 6298).

Sequence numbers are plain integers that count from each side's SYN (0) and never wrap. They are converted to and from
the 32-bit numbers of the wire in `_transmit` and on input. Segments that were selectively acknowledged are not
retransmitted after a timeout; otherwise recovery follows RFC 6582. Not modelled: PAWS, delayed ACKs, urgent data.
"""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

from cnmsim.kernel.address import Address, format_endpoint
from cnmsim.kernel.clock import Timer
from cnmsim.kernel.events import Step
from cnmsim.kernel.packet import TCP_ACK, TCP_FIN, TCP_PSH, TCP_RST, TCP_SYN, build_ip, flag_text
from cnmsim.kernel.sockets.congestion import CongestionWindow
from cnmsim.kernel.sockets.errors import os_error
from cnmsim.kernel.sockets.rtt import RttEstimator
from cnmsim.kernel.sockets.tcp_buffer import WINDOW, ReceiveBuffer
from cnmsim.kernel.sockets.tcp_keepalive import Keepalive, KeepaliveTimer
from cnmsim.kernel.sockets.tcp_state import OPENING, SENDING, SYNCHRONIZED, TcpEvent, TcpState, next_state
from cnmsim.kernel.tcpoptions import TIMESTAMP_LENGTH, segment_options, syn_options
from cnmsim.kernel.transport import TcpSegment

if TYPE_CHECKING:
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.output_routing import RoutingDecision
    from cnmsim.kernel.sockets.tcp import TcpSocket

# The number of retries that Linux uses if net.ipv4.tcp_orphan_retries is 0 (tcp_orphan_retries in
# net/ipv4/tcp_timer.c).
_ORPHAN_RETRIES = 8
MINIMUM_MSS = 88
_HEADER_LENGTHS = {4: 40, 6: 60}
#: The window scale that Linux derives from the default of net.ipv4.tcp_rmem (tcp_select_initial_window).
_WINDOW_SCALE = 7


class TcpSender(ABC):
    """State and output of one connection. `TcpConnection` adds the user's calls and segment input."""

    __slots__ = (
        "_confirms_neighbour", "_cwnd", "_duplicate_acks", "_fin_queued", "_has_sack", "_has_timestamps",
        "_irs", "_is_ack_pending", "_iss", "_keepalive", "_last_data_ns", "_next_invalid_ns", "_persist_timer",
        "_receive_buffer", "_receive_scale", "_recent_timestamp", "_retransmit_timer", "_retries", "_rtt",
        "_sacked", "_send_base", "_send_data", "_send_scale", "_snd_max", "_snd_nxt", "_snd_una",
        "_snd_window", "_snd_wl1", "_snd_wl2", "_soft_error", "_timed_segment", "_timestamp_base",
        "_wait_timer", "device_name", "error", "family", "is_orphan", "listener", "local", "local_port",
        "mss", "namespace", "no_delay", "on_change", "remote", "remote_port", "retransmitted", "reuse_address",
        "socket", "state", "tos", "ttl",
    )  # fmt: skip

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
        self.on_change: Callable[[], None] = _noop
        self.mss = min(mtu, 65535) - _HEADER_LENGTHS[self.family]
        self._iss = namespace.sockets.initial_sequence(local, local_port, remote, remote_port)
        self._irs = 0
        self._snd_una = self._snd_nxt = self._snd_max = 0
        self._snd_window = 0
        self._snd_wl1 = self._snd_wl2 = 0
        self._send_data = bytearray()
        self._send_base = 1
        self._fin_queued = False
        self._receive_buffer = ReceiveBuffer()
        self._rtt = RttEstimator()
        self._cwnd = CongestionWindow(self.mss)
        #: When data was last sent, 0 before the first.
        self._last_data_ns = 0
        self._duplicate_acks = 0
        self._retries = 0
        #: The number of data segments that were sent again (tcpi_total_retrans).
        self.retransmitted = 0
        self._timed_segment: tuple[int, int] | None = None
        self._is_ack_pending = False
        self._next_invalid_ns = 0
        self._soft_error = 0
        #: Whether the next segment confirms the neighbour entry of its next hop (dst_confirm), because the peer
        #: acknowledged something since the last segment was sent.
        self._confirms_neighbour = False
        # The options that this side offers; `_negotiate_options` turns off those that are missing in the peer's SYN.
        # `_recent_timestamp` is TS.Recent of RFC 7323.
        self._has_sack, self._has_timestamps, scales = namespace.sockets.tcp_features()
        self._receive_scale = _WINDOW_SCALE if scales else 0
        self._send_scale = 0
        self._recent_timestamp = 0
        self._timestamp_base: int | None = None
        self._sacked: list[tuple[int, int]] = []
        self._retransmit_timer: Timer | None = None
        self._persist_timer: Timer | None = None
        self._wait_timer: Timer | None = None
        self._keepalive: KeepaliveTimer | None = None

    def __repr__(self) -> str:
        return f"<TcpConnection {self.label}>"

    @property
    def label(self) -> str:
        """The name of the socket in traces."""
        user = self.socket or self.listener
        owner = user.owner_label if user is not None else "kernel"
        local, remote = format_endpoint(self.local, self.local_port), format_endpoint(self.remote, self.remote_port)
        return f"socket: {owner} {self.state.value} {local} to {remote}"

    @property
    def local_addresses(self) -> tuple[Address, ...]:
        """The addresses on which the connection occupies its local port: only `local`."""
        return (self.local,)

    @property
    def key(self) -> tuple[Address, int, Address, int]:
        """The key of the connection in its namespace: (local, local_port, remote, remote_port)."""
        return self.local, self.local_port, self.remote, self.remote_port

    @property
    def unacknowledged(self) -> int:
        """The number of bytes that were written but not yet acknowledged."""
        return len(self._send_data)

    @property
    def timer(self) -> tuple[str, int, int] | None:
        """The running timer as `ss -o` prints it: name, expiry in nanoseconds of virtual time, retries.

        `None` if no timer is running.
        """
        for name, timer in (("on", self._retransmit_timer), ("persist", self._persist_timer)):
            if timer is not None:
                return name, timer.when_ns, self._retries
        if self._wait_timer is not None:
            return "timewait", self._wait_timer.when_ns, 0
        if self._keepalive is not None and (due_ns := self._keepalive.expires_ns) is not None:
            return "keepalive", due_ns, self._keepalive.unanswered
        return None

    # --- output ---

    def _output(self) -> None:
        """Send what the send window, the congestion window and Nagle's algorithm allow (RFC 9293 §3.8.6.2.1)."""
        if self.state not in SENDING:
            return
        now_ns, sent = self.namespace.clock.now_ns, self._snd_nxt
        idle_ns = now_ns - self._last_data_ns if self._last_data_ns and self._snd_una == self._snd_max else 0
        if idle_ns > self._rtt.rto_ns and self._snd_nxt < self._fin_sequence:
            self._cwnd.restart(idle_ns, self._rtt.rto_ns)
            self._last_data_ns = now_ns
        while self._send_next():
            pass
        if self._snd_nxt != sent:
            self._last_data_ns = now_ns
            self._cwnd.validate(self._snd_una, self._snd_nxt)
        end = self._fin_sequence + self._fin_queued
        is_waiting = self._snd_nxt < end and self._snd_una == self._snd_max
        if is_waiting and not self._snd_window and self._persist_timer is None:
            self._persist_timer = self._start_timer(self._rtt.rto_ns, self._persist_expired)

    @property
    def _fin_sequence(self) -> int:
        return self._send_base + len(self._send_data)

    def _skip_sacked(self) -> int:
        """Advance SND.NXT past data that the peer has selectively acknowledged.

        Return the number of bytes from SND.NXT to the next block of selectively acknowledged data, or 2^30 if there
        is none.
        """
        for start, end in sorted(self._sacked):
            if start <= self._snd_nxt < end:
                self._snd_nxt = end
            elif self._snd_nxt < start:
                return start - self._snd_nxt
        return 1 << 30

    def _send_next(self) -> bool:
        gap = self._skip_sacked() if self._sacked else 1 << 30
        unsent = self._send_base + len(self._send_data) - self._snd_nxt
        if unsent <= 0 and not self._fin_queued:
            return False
        in_flight = self._snd_nxt - self._snd_una
        room = min(self._snd_window, max(self._cwnd.size, self.mss)) - in_flight
        size = min(self.mss, unsent, room, gap)
        if size <= 0:
            is_fin_due = self._fin_queued and not unsent and room > 0
            if is_fin_due:
                self._send_data_segment(0)
            return is_fin_due
        is_last = size == unsent
        is_small = size < min(self.mss, gap) and in_flight > 0
        if is_small and not (is_last and (self.no_delay or self._fin_queued)):
            return False
        self._send_data_segment(size)
        return True

    def _send_data_segment(self, size: int) -> None:
        """Send `size` bytes of the queued data, starting at SND.NXT.

        If these are the last bytes and the user has closed the sending direction, the segment has the FIN flag.
        """
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
        if is_new and self._timed_segment is None:
            self._timed_segment = (self._snd_nxt, self.namespace.clock.now_ns)
        self.retransmitted += not is_new
        self._snd_max = max(self._snd_max, self._snd_nxt)
        self._transmit(flags, start, payload)
        if self._retransmit_timer is None:
            self._restart_retransmit_timer()

    def _retransmit_first(self) -> None:
        """Retransmit the first unacknowledged segment (fast retransmit, RFC 5681 §3.2)."""
        self._timed_segment = None
        ahead, self._snd_nxt = self._snd_nxt, self._snd_una
        self._send_data_segment(min(self.mss, len(self._send_data)))
        self._snd_nxt = max(ahead, self._snd_nxt)

    def _send_syn(self, flags: int) -> None:
        is_first = self._snd_max == 0
        self._timed_segment = (1, self.namespace.clock.now_ns) if is_first else None
        self._snd_nxt = self._snd_max = 1
        self._restart_retransmit_timer()
        offered = max(MINIMUM_MSS, self._interface_mss())
        options = syn_options(
            offered, is_sack_permitted=self._has_sack, timestamp=self._timestamp(),
            window_scale=self._receive_scale or None,
        )  # fmt: skip
        self._transmit(flags, 0, options=options)

    def _timestamp(self) -> tuple[int, int] | None:
        """Return the timestamp option (value, echo reply) for a segment sent now, or `None` if timestamps are off.

        As in Linux the value counts milliseconds from an offset that depends on the two addresses.
        """
        if not self._has_timestamps:
            return None
        begin = self._timestamp_base
        if begin is None:
            begin = self._timestamp_base = self.namespace.sockets.timestamp_offset(self.local, self.remote)
        return (begin + self.namespace.clock.now_ns // 1_000_000) & 0xFFFFFFFF, self._recent_timestamp

    def _sack_blocks(self, payload: int) -> list[tuple[int, int]]:
        """Return the SACK blocks that fit into a segment with `payload` bytes of data.

        A block is a pair of sequence numbers as on the wire: the first one, and the one after its last.
        """
        room = max(self.mss - payload - 4, 0) // 8
        blocks = self._receive_buffer.sack_blocks()[:room]
        return [((self._irs + start) & 0xFFFFFFFF, (self._irs + end) & 0xFFFFFFFF) for start, end in blocks]

    def _choose_receive_window(self) -> None:
        """Create the receive buffer. Its size is a multiple of the segment size."""
        self._receive_buffer = ReceiveBuffer(max(WINDOW // self.mss, 1) * self.mss)

    def _interface_mss(self) -> int:
        try:
            return min(self._route().outdev.mtu, 65535) - _HEADER_LENGTHS[self.family]
        except OSError:
            return self.mss

    def _send_ack(self) -> None:
        # SND.MAX even during retransmission: the peer would reject an older sequence number as outside its window.
        self._transmit(TCP_ACK, self._snd_max)

    def _route(self) -> RoutingDecision:
        device = self.namespace.devices.get(self.device_name) if self.device_name else None
        return self.namespace.route_output(self.remote, self.local, device)

    def _transmit(self, flags: int, sequence: int, payload: bytes = b"", options: bytes | None = None) -> None:
        namespace = self.namespace
        buffer = self._receive_buffer
        if flags & TCP_ACK:
            self._is_ack_pending = False
        ack = (self._irs + buffer.next) & 0xFFFFFFFF if flags & TCP_ACK else 0
        if options is None:
            has_blocks = self._has_sack and buffer.has_gaps
            options = segment_options(self._timestamp(), self._sack_blocks(len(payload)) if has_blocks else ())
        scale = 0 if flags & TCP_SYN else self._receive_scale
        segment = TcpSegment(
            self.local_port, self.remote_port, (self._iss + sequence) & 0xFFFFFFFF, ack, flags,
            buffer.advertise(self.mss, scale), options, payload,
        )  # fmt: skip
        message = segment.to_wire(self.local, self.remote)
        try:
            decision = self._route()
            if namespace.clock.context is not None:
                packet = build_ip(6, self.local, self.remote, message, ttl=self.ttl, tos=self.tos)
                what = f"TCP sends [{flag_text(flags)}] with {len(payload)} bytes"
                namespace.report(Step.SENT, what, packet, decision=self.label)
            namespace.neighbours.pending_confirm, self._confirms_neighbour = self._confirms_neighbour, False
            namespace.send(6, decision, self.remote, message, ttl=self.ttl, tos=self.tos, may_fragment=False)
            namespace.neighbours.pending_confirm = False
        except OSError as error:
            namespace.neighbours.pending_confirm = False
            # TCP treats a segment that cannot be sent as lost (Linux ignores the result of tcp_transmit_skb). The
            # retransmission timer ends the connection eventually, and reports this error as the reason.
            if error.errno == errno.EMSGSIZE:
                self._reduce_mss(namespace.mtu_of(self.remote))
            elif error.errno is not None and error.errno != errno.EPERM:
                self._soft_error = error.errno

    def _reduce_mss(self, mtu: int) -> None:
        """Reduce the segment size to the path MTU `mtu`, and retransmit the segments that were too large."""
        mss = max(mtu - _HEADER_LENGTHS[self.family] - self._has_timestamps * TIMESTAMP_LENGTH, MINIMUM_MSS)
        if mss >= self.mss or self.state not in SENDING:
            self.mss = min(self.mss, mss)
            return
        self.mss = self._cwnd.mss = mss
        self._timed_segment = None
        self._snd_nxt = self._snd_una
        # Deferred, because the caller has not finished accounting for the segment that it was sending.
        self.namespace.clock.call_soon(self._output)

    # --- timers ---

    def _start_timer(self, delay_ns: int, call: Callable[[], None]) -> Timer:
        clock = self.namespace.clock
        return clock.call_at_ns(clock.now_ns + delay_ns, call)

    def _restart_retransmit_timer(self) -> None:
        if self._retransmit_timer is not None:
            self._retransmit_timer.cancel()
            self._retransmit_timer = None
        if self._snd_una < self._snd_max:
            self._retransmit_timer = self._start_timer(self._rtt.rto_ns, self._retransmit)

    def _retransmit(self) -> None:
        """Handle the expiry of the retransmission timer (RFC 6298 §5.4 to §5.6)."""
        self._retransmit_timer = None
        if not self._may_retry():
            return
        self._timed_segment = None
        if self.state in OPENING:
            self._send_syn(TCP_SYN if self.state is TcpState.SYN_SENT else TCP_SYN | TCP_ACK)
            return
        self._cwnd.timed_out(self._snd_max - self._snd_una)
        self._duplicate_acks = 0
        self._snd_nxt = self._snd_una
        self._send_data_segment(min(self.mss, len(self._send_data)))
        self._restart_retransmit_timer()

    def _may_retry(self) -> bool:
        """Count a retry and double the time-out. Return False, and end the connection, after the last retry."""
        self._retries += 1
        if self._retries > self._retry_limit():
            self._end(self._soft_error or errno.ETIMEDOUT)
            return False
        self._rtt.back_off()
        return True

    def _retry_limit(self) -> int:
        if self.state is TcpState.SYN_SENT:
            return int(self.namespace.sysctl_get("net.ipv4.tcp_syn_retries"))
        if self.state is TcpState.SYN_RECEIVED:
            return int(self.namespace.sysctl_get("net.ipv4.tcp_synack_retries"))
        return _ORPHAN_RETRIES if self.is_orphan else int(self.namespace.sysctl_get("net.ipv4.tcp_retries2"))

    def _persist_expired(self) -> None:
        """Probe a closed send window by sending an old sequence number, as Linux does (RFC 9293 §3.8.6.1)."""
        self._persist_timer = None
        if self.state not in SENDING or self._snd_window or self._snd_una != self._snd_max:
            return
        if not self._may_retry():
            return
        self._send_probe()
        self._persist_timer = self._start_timer(self._rtt.rto_ns, self._persist_expired)

    def set_keepalive(self, settings: Keepalive | None) -> None:
        """Start sending keepalives with these settings; `None` stops them."""
        if self._keepalive is not None:
            self._keepalive.stop()
            self._keepalive = None
        if settings is not None and self.state in SYNCHRONIZED:
            self._keepalive = KeepaliveTimer(
                self.namespace, settings, self._has_unacknowledged, self._send_probe, self._give_up_silent_peer
            )
            self._keepalive.start()

    def _has_unacknowledged(self) -> bool:
        return bool(self._send_data) or self._snd_una < self._snd_max

    def _send_probe(self) -> None:
        """Send a segment with an old sequence number, which the peer answers with an acknowledgement."""
        self._transmit(TCP_ACK, self._snd_una - 1)

    def _give_up_silent_peer(self) -> None:
        self._transmit(TCP_RST | TCP_ACK, self._snd_max)
        self._end(self._soft_error or errno.ETIMEDOUT)

    def _start_wait_timer(self, duration_ns: int) -> None:
        self.set_keepalive(None)
        if self._wait_timer is not None:
            self._wait_timer.cancel()
        self._wait_timer = self._start_timer(duration_ns, self.expire)

    def expire(self) -> None:
        """End TIME-WAIT: close the connection and remove it from its namespace."""
        self._transition(TcpEvent.EXPIRY)
        self._unregister()

    # --- end of the connection ---

    def _transition(self, event: TcpEvent) -> TcpState:
        self.state = next_state(self.state, event)
        return self.state

    def _end(self, number: int | None) -> None:
        """Move to CLOSED at once. The user's next call raises the error number `number`; `None` means no error."""
        if self.state is TcpState.CLOSED:
            return
        self._transition(TcpEvent.ABORT)
        self._send_data.clear()
        if number is not None:
            self.error = os_error(number)
        self._unregister()

    @abstractmethod
    def _unregister(self) -> None:
        """Stop all timers and remove the connection from its namespace."""

    def _notify_readable(self) -> None:
        meter = self.namespace.clock.meter
        if meter is not None and meter.received_stream(self):
            return
        if self.socket is not None:
            self.socket.became_readable()


def _noop() -> None:
    pass

"""Connection tracking of one namespace (Linux: net/netfilter/nf_conntrack_core.c and its protocols).

The table is indexed by the tuples of both directions. A connection is created with its first packet, and enters the
table (`confirm`) when that packet is sent or delivered; if the packet is dropped before, the connection is discarded.
Whether a connection has expired is checked when it is looked up; no timers are used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal

from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.netfilter.connection import Connection
from cnmsim.kernel.netfilter.cttext import entry_line
from cnmsim.kernel.netfilter.cttimeouts import Timeouts
from cnmsim.kernel.netfilter.tcpstate import ACK, FLAG_KIND, IGNORE, INVALID, RST, SYN, TRANSITIONS, TcpState
from cnmsim.kernel.netfilter.tuples import (
    ERRORS,
    REQUESTS,
    UNTRACKED_TYPES,
    ConntrackTuple,
    invert,
    packet_tuple,
    quoted_tuple,
)
from cnmsim.kernel.skbuff import CtState, Packet

if TYPE_CHECKING:
    from cnmsim.kernel.device import Device
    from cnmsim.kernel.namespace import NetworkNamespace

#: The events that listeners receive: a connection entered the table, changed, or left the table.
Event = Literal["new", "update", "destroy"]
_NEW, _ESTABLISHED, _RELATED, _UNTRACKED = CtState.NEW, CtState.ESTABLISHED, CtState.RELATED, CtState.UNTRACKED
#: Comparing plain integers is three times as fast as looking up a member of an enumeration.
_TCP_ESTABLISHED, _TCP_SYN_RECV = TcpState.ESTABLISHED.value, TcpState.SYN_RECV.value

#: A UDP flow counts as a stream, with the longer timeout, once packets of both directions span this time
#: (nf_conntrack_udp_packet).
STREAM_AFTER_NS = 2 * NS_PER_S
#: Timeout of an established TCP connection without a reply (TCP_CONNTRACK_UNACK, 5 minutes).
_UNACK_S = 300


def _event_state(connection: Connection) -> tuple[int, bool, bool]:
    """Return (TCP state, `is_assured`, `seen_reply`) of a connection.

    A change of one of these causes an `update` event.
    """
    return connection.tcp_state, connection.is_assured, connection.seen_reply


class Conntrack:
    """The connection table of one namespace."""

    __slots__ = (
        "_by_source", "_count", "_namespace", "_purge_at", "_refused", "_table", "_timeout", "_timeouts",
        "early_drops", "invalid", "listeners", "table_full",
    )  # fmt: skip

    def __init__(self, namespace: NetworkNamespace) -> None:
        self._namespace = namespace
        self._table: dict[ConntrackTuple, tuple[Connection, bool]] = {}
        self._by_source: dict[tuple[int, bytes, int], list[Connection]] = {}
        self._refused: tuple[int, dict[ConntrackTuple, tuple[Connection, bool]]] = 0, {}
        self._count = 0
        self._purge_at = 1024
        self._timeouts = Timeouts(namespace)
        self._timeout = self._timeouts.of
        #: Called with every event (nfnetlink's multicast groups).
        self.listeners: list[Callable[[Event, Connection], None]] = []
        #: Statistics: packets that match no connection, packets dropped because the table was full, connections
        #: evicted for new ones.
        self.invalid = self.table_full = self.early_drops = 0

    # --- packets in

    def track(self, packet: Packet) -> bool:
        """Look up or create the packet's connection, at PREROUTING or OUTPUT.

        Return False if the packet must be dropped because the table is full.
        """
        if packet.connection is not None or packet.ct_state is _UNTRACKED:
            return True
        protocol = packet.protocol
        if protocol == 6 or protocol == 17:  # noqa: PLR1714 - the hot path
            if packet.fragment_offset:
                packet.ct_state = self._count_invalid()
                return True
            key: ConntrackTuple | None = (protocol, packet.src, packet.dst, packet.sport, packet.dport)
        else:
            if protocol in ERRORS and self._track_icmp(packet):
                return True
            key = packet_tuple(packet)
        if key is None:
            packet.ct_state = self._count_invalid()
            return True
        entry = self._lookup(key, packet)
        if entry is None:
            return self._create(packet, key)
        connection, is_reply = entry
        return self._update(packet, key, connection, is_reply)

    def _lookup(self, key: ConntrackTuple, packet: Packet) -> tuple[Connection, bool] | None:
        indev = packet.indev
        if indev is not None and indev.kind == "loopback":
            # A packet sent over lo was tracked and translated before. Linux keeps the connection attached to it; here
            # only the bytes arrive, and they match the inverted tuple.
            entry = self._lookup_live(invert(key)) or self._lookup_just_refused(invert(key))
            if entry is not None:
                return entry[0], not entry[1]
        return self._lookup_live(key)

    def _lookup_just_refused(self, key: ConntrackTuple) -> tuple[Connection, bool] | None:
        """Return the connection of a RST received on lo. Sending the RST has removed the connection from the table.

        `key` is the tuple of the RST. Return the connection, and True if the RST is in the reply direction; None if
        no such connection was removed at the current virtual time. (In Linux the received packet still refers to the
        connection.)
        """
        at_ns, entries = self._refused
        return entries.get(key) if entries and at_ns == self._namespace.clock.now_ns else None

    def _remember_refused(self, connection: Connection) -> None:
        now = self._namespace.clock.now_ns
        if self._refused[0] != now:
            self._refused = now, {}
        self._refused[1].update({connection.original: (connection, False), connection.reply: (connection, True)})

    def _lookup_live(self, key: ConntrackTuple) -> tuple[Connection, bool] | None:
        entry = self._table.get(key)
        if entry is None:
            return None
        connection = entry[0]
        if connection.expires_ns <= self._namespace.clock.now_ns or self._is_masquerade_lost(connection):
            self.destroy(connection)
            return None
        return entry

    def _count_invalid(self) -> CtState:
        self.invalid += 1
        return CtState.INVALID

    def _notify(self, event: Event, connection: Connection) -> None:
        for listener in tuple(self.listeners):
            listener(event, connection)

    @staticmethod
    def _is_masquerade_lost(connection: Connection) -> bool:
        device = connection.masquerade
        return device is not None and (not device.is_up or device.index != connection.masquerade_index)

    def _update(self, packet: Packet, key: ConntrackTuple, connection: Connection, is_reply: bool) -> bool:
        protocol = packet.protocol
        before = self.listeners and _event_state(connection)
        if protocol == 6:
            outcome = self._update_tcp(packet, connection, is_reply)
            if outcome is None:
                # A SYN on a closed connection replaces the old entry.
                self.destroy(connection)
                return self._create(packet, key)
            if not outcome:
                packet.ct_state = self._count_invalid()
                return True
        elif protocol == 17:
            self._update_udp(connection, is_reply)
        else:
            connection.expires_ns = self._namespace.clock.now_ns + self._timeout(protocol, 0)
        packet.connection = connection
        packet.ct_reply = is_reply
        if is_reply:
            connection.seen_reply = True
            packet.ct_state = _ESTABLISHED
        else:
            packet.ct_state = _ESTABLISHED if connection.seen_reply else _NEW
        if before and before != _event_state(connection) and connection.is_confirmed and not connection.is_dying:
            self._notify("update", connection)
        return True

    def _create(self, packet: Packet, key: ConntrackTuple) -> bool:
        packet.recording = None  # the first packet of a connection is not repeatable
        protocol = packet.protocol
        state = 0
        if protocol == 6:
            kind = FLAG_KIND[packet.tcp_flags]
            state = TRANSITIONS[0][kind][TcpState.NONE]
            is_pickup = kind == ACK
            if state < 0 or (is_pickup and self._namespace.sysctl_get("net.netfilter.nf_conntrack_tcp_loose") == "0"):
                packet.ct_state = self._count_invalid()
                return True
        elif protocol in REQUESTS and key[4] >> 8 not in REQUESTS[protocol]:
            packet.ct_state = self._count_invalid()
            return True
        if self._count >= self._timeouts.maximum() and not self._make_room():
            self.table_full += 1
            return False
        now = self._namespace.clock.now_ns
        connection = Connection(key, invert(key), tcp_state=state, began_ns=now)
        timeout = self._timeout(protocol, state)
        if state == _TCP_ESTABLISHED:
            timeout = min(timeout, _UNACK_S * NS_PER_S)
        connection.expires_ns = now + timeout
        packet.connection = connection
        packet.ct_reply = False
        packet.ct_state = _NEW
        return True

    def _update_tcp(self, packet: Packet, connection: Connection, is_reply: bool) -> bool | None:
        """Set the TCP state and the timeout of a connection from a segment.

        `is_reply` is True for a segment in the reply direction. Return True if the segment is valid, False if it is
        invalid, None if it is a SYN that opens a new connection with the same tuple.
        """
        kind = FLAG_KIND[packet.data[packet.l4 + 13]] if len(packet.data) >= packet.l4 + 20 else 5
        old = connection.tcp_state
        state = TRANSITIONS[is_reply][kind][old]
        if state == INVALID:
            return False
        if state == IGNORE:
            return True
        if kind == SYN and not is_reply and old >= TcpState.TIME_WAIT and state == TcpState.SYN_SENT:
            return None
        if kind == RST and not connection.seen_reply:
            # A RST that is the first reply removes the connection at once (nf_conntrack_tcp_packet).
            self.destroy(connection)
            if packet.outdev is not None and packet.outdev.kind == "loopback":
                self._remember_refused(connection)
            return True
        connection.tcp_state = state
        timeout = self._timeout(6, state)
        if state == _TCP_ESTABLISHED:
            if not connection.seen_reply and not is_reply:
                timeout = min(timeout, _UNACK_S * NS_PER_S)
            elif old in (_TCP_SYN_RECV, _TCP_ESTABLISHED):
                connection.is_assured = True
        connection.expires_ns = self._namespace.clock.now_ns + timeout
        return True

    def _update_udp(self, connection: Connection, is_reply: bool) -> None:
        now = self._namespace.clock.now_ns
        short, long = self._timeouts.udp()
        if (connection.seen_reply or is_reply) and now - connection.began_ns > STREAM_AFTER_NS:
            connection.expires_ns = now + long
            connection.is_assured = True
        else:
            connection.expires_ns = now + short

    def _track_icmp(self, packet: Packet) -> bool:
        """Set the connection state of an ICMP message that is neither a query nor a reply to one. Return True.

        An error is RELATED to the connection of the packet that it quotes, or INVALID if there is none; messages of
        ND and MLD are untracked. Return False, without a change, for a query or a reply: the caller tracks these.
        """
        if packet.protocol == 58 and packet.icmp_type in UNTRACKED_TYPES:
            packet.ct_state = CtState.UNTRACKED
            return True
        if packet.icmp_type not in ERRORS[packet.protocol]:
            return False
        inner = quoted_tuple(packet)
        if inner is None:
            packet.ct_state = self._count_invalid()
            return True
        entry = None
        if packet.indev is not None and packet.indev.kind == "loopback":
            crossed = self._lookup_live(inner)
            entry = None if crossed is None else (crossed[0], not crossed[1])
        entry = entry or self._lookup_live(invert(inner))
        if entry is None:
            packet.ct_state = self._count_invalid()
            return True
        packet.connection, packet.ct_reply = entry
        packet.ct_state = _RELATED
        return True

    # --- packets out

    def confirm(self, packet: Packet) -> bool:
        """Insert the packet's connection into the table if it is new.

        If an equal connection is in the table by now, attach the packet to that one. Return False if the packet must
        be dropped: its connection was removed, or a different one uses the original or reply tuple.
        """
        connection = packet.connection
        if connection is None or connection.is_confirmed or packet.ct_reply or packet.ct_state is _RELATED:
            return True
        if connection.is_dying:
            return False
        rival = self._lookup_live(connection.original) or self._lookup_live(connection.reply)
        if rival is not None:
            other = rival[0]
            if other.original == connection.original and other.reply == connection.reply:
                packet.connection = other
                return True
            return False
        self._insert(connection)
        return True

    def _insert(self, connection: Connection) -> None:
        connection.is_confirmed = True
        self._table[connection.reply] = (connection, True)
        self._table[connection.original] = (connection, False)
        self._count += 1
        if connection.has_source_nat:
            protocol, src, _, sport, _ = connection.original
            self._by_source.setdefault((protocol, src, sport), []).append(connection)
        if self._count > self._purge_at:
            self.purge()
            self._purge_at = max(1024, 2 * self._count)
        if self.listeners:
            self._notify("new", connection)

    def destroy(self, connection: Connection) -> None:
        """Remove a connection from the table. Subscribers are notified by a `destroy` event."""
        if connection.is_dying:
            return
        connection.is_dying = True
        if not connection.is_confirmed:
            return
        self._count -= 1
        for key in (connection.original, connection.reply):
            entry = self._table.get(key)
            if entry is not None and entry[0] is connection:
                del self._table[key]
        if connection.has_source_nat:
            protocol, src, _, sport, _ = connection.original
            others = self._by_source[protocol, src, sport]
            others.remove(connection)
            if not others:
                del self._by_source[protocol, src, sport]
        if self.listeners:
            self._notify("destroy", connection)

    def set_mark_or_timeout(
        self, connection: Connection, *, mark: int | None = None, timeout_s: int | None = None
    ) -> None:
        """Set the mark of a connection, its remaining time, or both, as `conntrack -U` does.

        None leaves a value unchanged.
        """
        connection.mark = connection.mark if mark is None else mark
        self._namespace.generation += 1
        if timeout_s is not None:
            connection.expires_ns = self._namespace.clock.now_ns + timeout_s * NS_PER_S
        self._notify("update", connection)

    # --- for NAT

    def find(self, key: ConntrackTuple) -> Connection | None:
        """Return the unexpired connection whose original or reply tuple is `key`, or None if there is none."""
        entry = self._lookup_live(key)
        return None if entry is None else entry[0]

    def is_taken(self, key: ConntrackTuple, ignoring: Connection) -> bool:
        """Return True if an unexpired connection other than `ignoring` has the tuple `key`, in either direction.

        Source: nf_nat_used_tuple.
        """
        entry = self._lookup_live(key)
        return entry is not None and entry[0] is not ignoring

    def same_source(self, key: ConntrackTuple) -> Iterator[Connection]:
        """Yield the unexpired connections with source NAT whose original source is the source of `key`.

        A source is an address and a port.
        """
        now = self._namespace.clock.now_ns
        for connection in self._by_source.get((key[0], key[1], key[3]), ()):
            if connection.expires_ns > now:
                yield connection

    def flow_timeouts(self, protocol: int) -> tuple[int, int]:
        """Return two timeouts in nanoseconds: for flows in one direction only, and for flows in both directions.

        For UDP these are the two sysctls. For any other protocol the first is 0, and the second is the timeout of an
        established TCP connection.
        """
        return self._timeouts.udp() if protocol == 17 else (0, self._timeout(6, _TCP_ESTABLISHED))

    # --- expiry

    def remaining_s(self, connection: Connection) -> int:
        """Return the time until a connection expires in seconds, rounded down; 0 if it has expired."""
        return max(0, (connection.expires_ns - self._namespace.clock.now_ns) // NS_PER_S)

    def purge(self) -> None:
        """Remove all expired connections."""
        now = self._namespace.clock.now_ns
        for connection, is_reply in list(self._table.values()):
            if not is_reply and (connection.expires_ns <= now or self._is_masquerade_lost(connection)):
                self.destroy(connection)

    def _make_room(self) -> bool:
        """Free an entry of a full table (early_drop). Return False if none can be freed.

        All expired connections are removed; if there is none, one connection that is not assured is removed instead.
        """
        self.purge()
        if self._count < self._timeouts.maximum():
            return True
        for connection, is_reply in self._table.values():
            if not is_reply and not connection.is_assured:
                self.early_drops += 1
                self.destroy(connection)
                return True
        return False

    # --- conntrack(8)

    @property
    def count(self) -> int:
        """The number of unexpired connections."""
        self.purge()
        return self._count

    def entries(self, family: int | None = None) -> list[Connection]:
        """Return the unexpired connections of a family (4, 6, or None for both), oldest first."""
        self.purge()
        return [
            connection
            for connection, is_reply in self._table.values()
            if not is_reply and family in {None, connection.family}
        ]

    def flush(self, match: Callable[[Connection], bool] | None = None) -> int:
        """Delete the connections for which `match` returns True, or all if it is None. Return the number deleted."""
        chosen = [connection for connection in self.entries() if match is None or match(connection)]
        for connection in chosen:
            self.destroy(connection)
        return len(chosen)

    def delete(
        self,
        *,
        address: bytes | None = None,
        orig_src: bytes | None = None,
        orig_dst: bytes | None = None,
        reply_src: bytes | None = None,
        reply_dst: bytes | None = None,
        protocol: int | None = None,
        orig_sport: int | None = None,
        orig_dport: int | None = None,
    ) -> int:
        """Delete the connections that match all given arguments, as `conntrack -D` does. Return the number deleted.

        `address` matches any of the four addresses (source and destination, original and reply).
        """

        def fits(connection: Connection) -> bool:
            original, reply = connection.original, connection.reply
            filters = (
                (protocol, original[0]), (orig_src, original[1]), (orig_dst, original[2]), (orig_sport, original[3]),
                (orig_dport, original[4]), (reply_src, reply[1]), (reply_dst, reply[2]),
            )  # fmt: skip
            if address is not None and address not in (*original[1:3], *reply[1:3]):
                return False
            return all(value is None or value == actual for value, actual in filters)

        return self.flush(fits)

    def device_down(self, device: Device) -> None:
        """Remove the connections masqueraded to the address of a device that went down or lost its address."""
        self.flush(lambda connection: connection.masquerade is device)

    def listing(self, family: int = 4) -> str:
        """Return the output of `conntrack -L -f ipv4` (or ipv6) without the final count."""
        return "".join(f"{self.entry_text(connection)}\n" for connection in self.entries(family))

    def entry_text(self, connection: Connection) -> str:
        """Return one entry as conntrack(8) prints it."""
        return entry_line(connection, self.remaining_s(connection))

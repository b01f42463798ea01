"""Timeouts of tracked connections by protocol and TCP state, from the sysctls of the namespace.

Source: Linux net/netfilter/nf_conntrack_proto_{tcp,udp,icmp,icmpv6,generic}.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.netfilter.tcpstate import TcpState

if TYPE_CHECKING:
    from cnmsim.kernel.namespace import NetworkNamespace

_TCP_TIMEOUTS = {
    TcpState.NONE: ("tcp_timeout_syn_sent", 120),
    TcpState.SYN_SENT: ("tcp_timeout_syn_sent", 120),
    TcpState.SYN_RECV: ("tcp_timeout_syn_recv", 60),
    TcpState.ESTABLISHED: ("tcp_timeout_established", 432000),
    TcpState.FIN_WAIT: ("tcp_timeout_fin_wait", 120),
    TcpState.CLOSE_WAIT: ("tcp_timeout_close_wait", 60),
    TcpState.LAST_ACK: ("tcp_timeout_last_ack", 30),
    TcpState.TIME_WAIT: ("tcp_timeout_time_wait", 120),
    TcpState.CLOSE: ("tcp_timeout_close", 10),
    TcpState.SYN_SENT2: ("tcp_timeout_syn_sent", 120),
}
_OTHER_TIMEOUTS = {1: ("icmp_timeout", 30), 58: ("icmpv6_timeout", 30)}
_GENERIC = ("generic_timeout", 600)


class Timeouts:
    """The conntrack timeouts of one namespace, read again after the namespace's `generation` has changed."""

    __slots__ = ("_at", "_known", "_namespace", "_tcp", "_udp")

    def __init__(self, namespace: NetworkNamespace) -> None:
        self._namespace = namespace
        self._at = -1
        #: Timeouts by TCP state; empty until the first lookup.
        self._tcp: list[int] = []
        self._known: dict[str, int] = {}
        self._udp = (30 * NS_PER_S, 120 * NS_PER_S)

    def of(self, protocol: int, state: int) -> int:
        """Return the timeout of a tracked connection in nanoseconds.

        `protocol` is an IP protocol number; for UDP (see `udp`) it is the timeout of a flow without replies. `state`
        is the TCP state (`TcpState`), ignored for other protocols.
        """
        if self._namespace.generation != self._at:
            self._refresh()
        if protocol == 6:
            if not self._tcp:
                self._tcp = [self._seconds(*_TCP_TIMEOUTS[tcp_state]) for tcp_state in TcpState]
            return self._tcp[state]
        if protocol == 17:
            return self._udp[0]
        name, default = _OTHER_TIMEOUTS.get(protocol, _GENERIC)
        timeout = self._known.get(name)
        if timeout is None:
            timeout = self._known[name] = self._seconds(name, default)
        return timeout

    def udp(self) -> tuple[int, int]:
        """Return the timeout of a UDP flow without replies, and that of a UDP stream, in nanoseconds."""
        self._refresh()
        return self._udp

    def maximum(self) -> int:
        """Return the maximum number of connections (nf_conntrack_max)."""
        self._refresh()
        maximum = self._known.get("max")
        if maximum is None:
            maximum = self._known["max"] = self._seconds("max", 262144) // NS_PER_S
        return maximum

    def _refresh(self) -> None:
        generation = self._namespace.generation
        if generation != self._at:
            self._at = generation
            self._known.clear()
            self._tcp = []
            self._udp = (self._seconds("udp_timeout", 30), self._seconds("udp_timeout_stream", 120))

    def _seconds(self, name: str, default: int) -> int:
        try:
            return int(self._namespace.sysctl_get(f"net.netfilter.nf_conntrack_{name}")) * NS_PER_S
        except OSError:
            return default * NS_PER_S  # the namespace does not list this sysctl: the kernel's default applies

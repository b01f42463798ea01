"""TCP keepalives (RFC 9293 §3.8.4), as Linux sends them (tcp_keepalive_timer in net/ipv4/tcp_timer.c)."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from cnmsim.kernel.clock import NS_PER_S, Timer
from cnmsim.kernel.sockets.errors import os_error

if TYPE_CHECKING:
    from cnmsim.kernel.namespace import NetworkNamespace

#: MAX_TCP_KEEPIDLE, MAX_TCP_KEEPINTVL and MAX_TCP_KEEPCNT (include/net/tcp.h).
_MAX_SECONDS = 32767
_MAX_PROBES = 127


@frozen
class Keepalive:
    """The keepalive settings of a socket: when to probe the peer of an idle connection.

    The first probe is sent `idle_s` seconds (TCP_KEEPIDLE) after the last acknowledgement, then one every
    `interval_s` seconds (TCP_KEEPINTVL). After `probes` unanswered probes (TCP_KEEPCNT) the connection ends. `None`
    uses the namespace's net.ipv4.tcp_keepalive_time, _intvl or _probes. Raises `OSError` (EINVAL) for a time above
    32,767 s or more than 127 probes.
    """

    idle_s: int | None = None
    interval_s: int | None = None
    probes: int | None = None

    def __attrs_post_init__(self) -> None:
        for value, most in ((self.idle_s, _MAX_SECONDS), (self.interval_s, _MAX_SECONDS), (self.probes, _MAX_PROBES)):
            if value is not None and not 1 <= value <= most:
                raise os_error(errno.EINVAL)

    def idle_ns(self, namespace: NetworkNamespace) -> int:
        """Return the idle time before the first probe, in nanoseconds: `idle_s`, or the sysctl of `namespace`."""
        return (self.idle_s or int(namespace.sysctl_get("net.ipv4.tcp_keepalive_time"))) * NS_PER_S

    def interval_ns(self, namespace: NetworkNamespace) -> int:
        """Return the time between two probes, in nanoseconds: `interval_s`, or the sysctl of `namespace`."""
        return (self.interval_s or int(namespace.sysctl_get("net.ipv4.tcp_keepalive_intvl"))) * NS_PER_S

    def probe_limit(self, namespace: NetworkNamespace) -> int:
        """Return the number of unanswered probes that end the connection: `probes`, or the sysctl of `namespace`."""
        return self.probes or int(namespace.sysctl_get("net.ipv4.tcp_keepalive_probes"))


@define(eq=False)
class KeepaliveTimer:
    """The keepalive timer of one connection.

    `is_busy` returns True while data is unacknowledged or unsent; the connection is then watched by its
    retransmission timer. `probe` sends one keepalive, `give_up` ends the connection. `unanswered` counts the probes
    without an answer.
    """

    namespace: NetworkNamespace = field(repr=False)
    settings: Keepalive
    is_busy: Callable[[], bool] = field(repr=False)
    probe: Callable[[], None] = field(repr=False)
    give_up: Callable[[], None] = field(repr=False)
    unanswered: int = 0
    _acknowledged_ns: int = 0
    _timer: Timer | None = field(default=None, repr=False)

    def start(self) -> None:
        """Start counting the idle time."""
        self._acknowledged_ns = self.namespace.clock.now_ns
        self._restart(self.settings.idle_ns(self.namespace))

    def acknowledged(self) -> None:
        """Restart the idle time, because the peer sent an acknowledgement, new or duplicate."""
        self._acknowledged_ns = self.namespace.clock.now_ns
        self.unanswered = 0

    def stop(self) -> None:
        """Cancel the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def expires_ns(self) -> int | None:
        """The virtual time in nanoseconds at which the timer expires; `None` while the timer is stopped."""
        return self._timer.when_ns if self._timer is not None else None

    def _restart(self, delay_ns: int) -> None:
        self.stop()
        clock = self.namespace.clock
        self._timer = clock.call_at_ns(clock.now_ns + delay_ns, self._expire)

    def _expire(self) -> None:
        self._timer = None
        namespace, settings = self.namespace, self.settings
        idle_ns = settings.idle_ns(namespace)
        if self.is_busy():
            self._restart(idle_ns)
            return
        silent_ns = namespace.clock.now_ns - self._acknowledged_ns
        if silent_ns < idle_ns:
            self._restart(idle_ns - silent_ns)
        elif self.unanswered >= settings.probe_limit(namespace):
            self.give_up()
        else:
            self.probe()
            self.unanswered += 1
            self._restart(settings.interval_ns(namespace))

"""Keepalives of TCP (RFC 9293 §3.8.4), as Linux sends them (tcp_keepalive_timer in net/ipv4/tcp_timer.c)."""

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
    """When a connection on which nothing comes is asked whether its peer is still there.

    `idle_s` (TCP_KEEPIDLE) seconds after the last acknowledgement the first probe goes out, then one every `interval_s`
    (TCP_KEEPINTVL) until `probes` (TCP_KEEPCNT) were not answered. `None` leaves it to the namespace's
    net.ipv4.tcp_keepalive_time, _intvl and _probes. Raises `OSError` (EINVAL) beyond 32,767 s and 127 probes.
    """

    idle_s: int | None = None
    interval_s: int | None = None
    probes: int | None = None

    def __attrs_post_init__(self) -> None:
        for value, most in ((self.idle_s, _MAX_SECONDS), (self.interval_s, _MAX_SECONDS), (self.probes, _MAX_PROBES)):
            if value is not None and not 1 <= value <= most:
                raise os_error(errno.EINVAL)

    def idle_ns(self, namespace: NetworkNamespace) -> int:
        """Return the silence in nanoseconds after which the first probe is sent."""
        return (self.idle_s or int(namespace.sysctl_get("net.ipv4.tcp_keepalive_time"))) * NS_PER_S

    def interval_ns(self, namespace: NetworkNamespace) -> int:
        """Return the nanoseconds between two probes."""
        return (self.interval_s or int(namespace.sysctl_get("net.ipv4.tcp_keepalive_intvl"))) * NS_PER_S

    def probe_limit(self, namespace: NetworkNamespace) -> int:
        """Return the number of unanswered probes after which the connection is given up."""
        return self.probes or int(namespace.sysctl_get("net.ipv4.tcp_keepalive_probes"))


@define(eq=False)
class KeepaliveTimer:
    """The timer of one connection that sends keepalives.

    `is_busy` tells whether data is on its way or waits to be sent, which the retransmission timer looks after;
    `probe` sends one, `give_up` ends the connection.
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
        """Start counting the silence now."""
        self._acknowledged_ns = self.namespace.clock.now_ns
        self._restart(self.settings.idle_ns(self.namespace))

    def acknowledged(self) -> None:
        """Reset the count of silence: the peer has sent an acknowledgement, a new or a duplicate one."""
        self._acknowledged_ns = self.namespace.clock.now_ns
        self.unanswered = 0

    def stop(self) -> None:
        """Cancel the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def expires_ns(self) -> int | None:
        """When the timer expires, in nanoseconds of virtual time; `None` if it is stopped."""
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

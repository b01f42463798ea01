"""Keepalives of TCP (RFC 9293 §3.8.4), as Linux sends them (tcp_keepalive_timer in net/ipv4/tcp_timer.c)."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from cnmsim.kernel.clock import NS, Timer
from cnmsim.kernel.sockets.errors import os_error

if TYPE_CHECKING:
    from cnmsim.kernel.namespace import NetworkNamespace

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

    def idle_of(self, namespace: NetworkNamespace) -> int:
        """Give after how many seconds of silence the first probe is due."""
        return self.idle_s or int(namespace.sysctl_get("net.ipv4.tcp_keepalive_time"))

    def interval_of(self, namespace: NetworkNamespace) -> int:
        """Give how many seconds lie between probes."""
        return self.interval_s or int(namespace.sysctl_get("net.ipv4.tcp_keepalive_intvl"))

    def probes_of(self, namespace: NetworkNamespace) -> int:
        """Give after how many unanswered probes the connection is given up."""
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
    _heard_ns: int = 0
    _timer: Timer | None = field(default=None, repr=False)

    def start(self) -> None:
        """Begin to count silence, now."""
        self._heard_ns = self.namespace.clock.now_ns
        self._again(self.settings.idle_of(self.namespace))

    def heard(self) -> None:
        """Note that the peer acknowledged something, or acknowledged again."""
        self._heard_ns = self.namespace.clock.now_ns
        self.unanswered = 0

    def stop(self) -> None:
        """Send no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def expires_ns(self) -> int | None:
        """When it is due, in nanoseconds of virtual time; `None` if it is stopped."""
        return self._timer.when_ns if self._timer is not None else None

    def _again(self, delay_s: float) -> None:
        self.stop()
        self._timer = self.namespace.clock.call_later(delay_s, self._due)

    def _due(self) -> None:
        self._timer = None
        namespace, settings = self.namespace, self.settings
        idle_s = settings.idle_of(namespace)
        if self.is_busy():
            self._again(idle_s)
            return
        silent_s = (namespace.clock.now_ns - self._heard_ns) / NS
        if silent_s < idle_s:
            self._again(idle_s - silent_s)
        elif self.unanswered >= settings.probes_of(namespace):
            self.give_up()
        else:
            self.probe()
            self.unanswered += 1
            self._again(settings.interval_of(namespace))

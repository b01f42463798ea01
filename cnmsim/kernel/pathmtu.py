"""The path MTU cache (RFC 1191, RFC 8201): the MTU that routers reported for a destination."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cnmsim.kernel.clock import NS_PER_S

if TYPE_CHECKING:
    from cnmsim.kernel.address import Address
    from cnmsim.kernel.clock import Clock

UNKNOWN = 65535
_LIFETIME_NS = 600 * NS_PER_S
_FLOOR4, _FLOOR6 = 552, 1280


class PathMtu:
    """The path MTUs that one namespace has learnt, by destination.

    `on_change` is called when a path MTU is added or lowered, or has expired.
    """

    __slots__ = ("_clock", "_known", "_on_change")

    def __init__(self, clock: Clock, on_change: Callable[[], None] = lambda: None) -> None:
        self._clock = clock
        self._on_change = on_change
        self._known: dict[Address, tuple[int, int]] = {}

    def learn(self, dst: Address, mtu: int) -> None:
        """Record that the path to `dst` carries at most `mtu` bytes; ignored if a lower or equal MTU is known.

        A value below Linux's minimum is raised to the minimum (net.ipv4.route.min_pmtu, IPV6_MIN_MTU).
        """
        mtu = max(mtu, _FLOOR6 if len(dst) == 16 else _FLOOR4)
        if mtu < self.to(dst):
            self._known[dst] = (mtu, self._clock.now_ns + _LIFETIME_NS)
            self._on_change()

    def to(self, dst: Address) -> int:
        """Return the learnt path MTU to `dst` in bytes, or `UNKNOWN` (65535) if there is none."""
        exception = self._known.get(dst)
        if exception is None:
            return UNKNOWN
        if exception[1] <= self._clock.now_ns:
            del self._known[dst]
            self._on_change()
            return UNKNOWN
        return exception[0]

    def remaining_s(self, dst: Address) -> int:
        """Return the seconds until the learnt path MTU to `dst` expires, 0 if there is none."""
        exception = self._known.get(dst)
        return max(0, exception[1] - self._clock.now_ns) // NS_PER_S if exception is not None else 0

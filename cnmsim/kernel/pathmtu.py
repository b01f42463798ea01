"""Path MTU discovery's memory (RFC 1191, RFC 8201): what routers said a way takes, for ten minutes."""

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
    """The exceptions of one namespace, by destination; it calls `on_change` when one comes or goes."""

    __slots__ = ("_clock", "_known", "_on_change")

    def __init__(self, clock: Clock, on_change: Callable[[], None] = lambda: None) -> None:
        self._clock = clock
        self._on_change = on_change
        self._known: dict[Address, tuple[int, int]] = {}

    def learn(self, dst: Address, mtu: int) -> None:
        """Remember that the way to `dst` takes at most `mtu` bytes; what is less than Linux believes is raised."""
        mtu = max(mtu, _FLOOR6 if len(dst) == 16 else _FLOOR4)
        if mtu < self.to(dst):
            self._known[dst] = (mtu, self._clock.now_ns + _LIFETIME_NS)
            self._on_change()

    def to(self, dst: Address) -> int:
        """Give what is known for `dst`, `UNKNOWN` (65535) if nothing is."""
        known = self._known.get(dst)
        if known is None:
            return UNKNOWN
        if known[1] <= self._clock.now_ns:
            del self._known[dst]
            self._on_change()
            return UNKNOWN
        return known[0]

    def remaining_s(self, dst: Address) -> int:
        """Give the whole seconds for which what is known for `dst` is believed."""
        known = self._known.get(dst)
        return max(0, known[1] - self._clock.now_ns) // NS_PER_S if known is not None else 0

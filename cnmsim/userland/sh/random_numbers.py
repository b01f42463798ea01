"""The random number generator for `$RANDOM`, that of bash (lib/sh/random.c). It is used for ash as well."""

from __future__ import annotations

_MODULUS = 2**31 - 1


class RandomNumbers:
    """A generator of numbers from 0 to 32767."""

    def __init__(self, seed: int) -> None:
        self._state = seed
        self._last = 0

    def seed(self, seed: int) -> None:
        """Restart the sequence of numbers with this seed, as an assignment to `RANDOM` does."""
        self._state, self._last = seed & 0xFFFFFFFF, 0

    def next(self) -> int:
        """Return the next number. It always differs from the previous one."""
        while True:
            # The minimal standard generator of Park and Miller, as bash's intrand32 computes it.
            high, low = divmod(self._state or 123459876, 127773)
            value = 16807 * low - 2836 * high
            self._state = value + _MODULUS if value < 0 else value
            number = ((self._state >> 16) ^ (self._state & 65535)) & 32767
            if number != self._last:
                self._last = number
                return number

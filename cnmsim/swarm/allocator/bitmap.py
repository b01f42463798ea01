"""Numbers given out of a range one after the other (moby `libnetwork/bitmap`, serial mode).

A number that comes back is not given out again before all that follow it have been.
"""

from __future__ import annotations

from attrs import define, field

from cnmsim.libnetwork.ipam.addrset import AddressSet


class BitUnavailable(ValueError):
    """The number is given out, or there is none left; the message is libnetwork's."""


@define
class SerialBitmap:
    """The numbers `first`..`last`, which may be asked for; by itself it gives only those from `automatic_first` on."""

    first: int
    last: int
    automatic_first: int
    _taken: AddressSet = field(init=False)
    _cursor: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._taken = AddressSet(self.last - self.first + 1)
        self._cursor = self.automatic_first

    def take(self, number: int) -> None:
        """Take a particular number; the cursor stays. Raises `BitUnavailable`."""
        if not self.first <= number <= self.last:
            raise BitUnavailable("requested bit is out of range")
        if not self._taken.add(number - self.first):
            raise BitUnavailable("requested bit is already allocated")

    def allocate_next(self) -> int:
        """Take the next free number after the last one taken so, or the lowest. Raises `BitUnavailable`."""
        high = self.last - self.first
        for low in (self._cursor, self.automatic_first):
            bit = self._taken.first_free(low - self.first, high) if low <= self.last else None
            if bit is not None:
                self._taken.add(bit)
                self._cursor = self.first + bit + 1
                return self.first + bit
        raise BitUnavailable("no bit available")

    def release(self, number: int) -> None:
        """Give a number back; one that was not given out is no error."""
        if self.first <= number <= self.last:
            self._taken.discard(number - self.first)

    def __len__(self) -> int:
        return len(self._taken)

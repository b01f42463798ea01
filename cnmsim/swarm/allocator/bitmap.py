"""Serial allocation of numbers from a range (moby `libnetwork/bitmap`, serial mode).

A cursor moves upwards through the range and starts again at its beginning. A released number is therefore not reused
until the cursor has passed all higher numbers.
"""

from __future__ import annotations

from attrs import define, field

from cnmsim.libnetwork.ipam.addrset import AddressSet


class BitUnavailable(ValueError):
    """The requested number is allocated already, or no number is free. The message is libnetwork's."""


@define
class SerialBitmap:
    """An allocator of the numbers from `first` to `last`, both included.

    `allocate_next` never returns a number below `automatic_first`; `take` may allocate any number in the range.
    """

    first: int
    last: int
    automatic_first: int
    _taken: AddressSet = field(init=False)
    _cursor: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._taken = AddressSet(self.last - self.first + 1)
        self._cursor = self.automatic_first

    def take(self, number: int) -> None:
        """Allocate a particular number without moving the cursor.

        Raises `BitUnavailable` if it is allocated already or out of range.
        """
        if not self.first <= number <= self.last:
            raise BitUnavailable("requested bit is out of range")
        if not self._taken.add(number - self.first):
            raise BitUnavailable("requested bit is already allocated")

    def allocate_next(self) -> int:
        """Allocate and return the next free number at or after the cursor, or else the lowest free one.

        Raises `BitUnavailable` if no number is free.
        """
        high = self.last - self.first
        for low in (self._cursor, self.automatic_first):
            bit = self._taken.first_free(low - self.first, high) if low <= self.last else None
            if bit is not None:
                self._taken.add(bit)
                self._cursor = self.first + bit + 1
                return self.first + bit
        raise BitUnavailable("no bit available")

    def release(self, number: int) -> None:
        """Release a number. Does nothing if the number is not allocated."""
        if self.first <= number <= self.last:
            self._taken.discard(number - self.first)

    def __len__(self) -> int:
        return len(self._taken)

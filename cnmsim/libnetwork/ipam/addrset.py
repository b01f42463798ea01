"""A sparse set of the ordinals 0..size-1: which addresses of a subnet are taken (moby `internal/addrset`, `bitmap`).

Taken ordinals are kept as runs, so that a /8 or an IPv6 /64 costs what is used of it and not what it holds.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from attrs import define, field


@define
class AddressSet:
    """Ordinals that are taken, of `size` in all."""

    size: int
    _starts: list[int] = field(factory=list, init=False)
    _ends: list[int] = field(factory=list, init=False)
    _count: int = field(default=0, init=False)

    def __len__(self) -> int:
        return self._count

    def __contains__(self, ordinal: int) -> bool:
        at = bisect_right(self._starts, ordinal) - 1
        return at >= 0 and ordinal <= self._ends[at]

    def add(self, ordinal: int) -> bool:
        """Take one ordinal. Gives `False` if it was taken. Raises `ValueError` if it is outside the set."""
        if not 0 <= ordinal < self.size:
            raise ValueError("bit does not belong to the sequence")
        starts, ends = self._starts, self._ends
        at = bisect_right(starts, ordinal)
        if at and ordinal <= ends[at - 1]:
            return False
        joins_left = at > 0 and ends[at - 1] == ordinal - 1
        joins_right = at < len(starts) and starts[at] == ordinal + 1
        if joins_left and joins_right:
            ends[at - 1] = ends[at]
            del starts[at], ends[at]
        elif joins_left:
            ends[at - 1] = ordinal
        elif joins_right:
            starts[at] = ordinal
        else:
            starts.insert(at, ordinal)
            ends.insert(at, ordinal)
        self._count += 1
        return True

    def discard(self, ordinal: int) -> bool:
        """Give one ordinal back. Gives `False` if it was not taken."""
        starts, ends = self._starts, self._ends
        at = bisect_right(starts, ordinal) - 1
        if at < 0 or ordinal > ends[at]:
            return False
        start, end = starts[at], ends[at]
        if start == end:
            del starts[at], ends[at]
        elif ordinal == start:
            starts[at] = ordinal + 1
        elif ordinal == end:
            ends[at] = ordinal - 1
        else:
            ends[at] = ordinal - 1
            starts.insert(at + 1, ordinal + 1)
            ends.insert(at + 1, end)
        self._count -= 1
        return True

    def first_free(self, low: int, high: int) -> int | None:
        """Give the lowest ordinal of `low`..`high` (inclusive) that is not taken, or `None`."""
        at = bisect_right(self._starts, low) - 1
        free = self._ends[at] + 1 if at >= 0 and low <= self._ends[at] else low
        return free if free <= high else None

    def count_between(self, low: int, high: int) -> int:
        """Tell how many of `low`..`high` (inclusive) are taken."""
        total = 0
        for at in range(bisect_left(self._ends, low), len(self._starts)):
            if self._starts[at] > high:
                break
            total += min(high, self._ends[at]) - max(low, self._starts[at]) + 1
        return total

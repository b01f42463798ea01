"""A sparse set of the numbers 0..size-1: the allocated addresses of a subnet (moby `internal/addrset`, `bitmap`).

An address is represented by its ordinal, its distance from the subnet's first address. Ordinals are stored as runs,
so that memory grows with the number of allocated addresses and not with the size of a /8 or an IPv6 /64.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from attrs import define, field


@define
class AddressSet:
    """A set of allocated ordinals, each less than `size`."""

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
        """Add an ordinal. Return `False` if it was present already. Raises `ValueError` if it is out of range."""
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
        """Remove an ordinal. Return `False` if it was not present."""
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
        """Return the lowest ordinal in `low`..`high` (inclusive) that is not in the set, or `None` if all are."""
        at = bisect_right(self._starts, low) - 1
        free = self._ends[at] + 1 if at >= 0 and low <= self._ends[at] else low
        return free if free <= high else None

    def count_between(self, low: int, high: int) -> int:
        """Return how many of the ordinals `low`..`high` (inclusive) are in the set."""
        total = 0
        for at in range(bisect_left(self._ends, low), len(self._starts)):
            if self._starts[at] > high:
                break
            total += min(high, self._ends[at]) - max(low, self._starts[at]) + 1
        return total

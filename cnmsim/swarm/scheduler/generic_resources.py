"""User-defined resources of nodes: so many of a kind, or particular ones (moby/swarmkit `api/genericresource`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

#: `("apple", 3)` is three apples, `("gpu", "uuid-1")` one particular gpu.
Generic: TypeAlias = tuple[str, int | str]


class GenericResources:
    """What is left of a node's."""

    def __init__(self, resources: Iterable[Generic]) -> None:
        self._counts: dict[str, int] = {}
        self._names: dict[str, list[str]] = {}
        for kind, value in resources:
            if isinstance(value, int):
                self._counts[kind] = self._counts.get(kind, 0) + value
            else:
                self._names.setdefault(kind, []).append(value)

    def has(self, required: Iterable[Generic]) -> bool:
        """Tell whether all that is wanted is left; named ones are only asked for by number."""
        for kind, count in required:
            left = len(self._names[kind]) if kind in self._names else self._counts.get(kind, 0)
            if not isinstance(count, int) or count > left:
                return False
        return True

    def claim(self, required: Iterable[Generic]) -> tuple[Generic, ...]:
        """Take what is wanted, and give what it came to be."""
        claimed: list[Generic] = []
        for kind, count in required:
            assert isinstance(count, int)
            if kind in self._names:
                names = self._names[kind]
                claimed.extend((kind, name) for name in names[:count])
                del names[:count]
            else:
                self._counts[kind] = self._counts.get(kind, 0) - count
                claimed.append((kind, count))
        return tuple(claimed)

    def reclaim(self, claimed: Iterable[Generic]) -> None:
        """Take back what was given."""
        for kind, value in claimed:
            if isinstance(value, int):
                self._counts[kind] = self._counts.get(kind, 0) + value
            else:
                self._names.setdefault(kind, []).append(value)

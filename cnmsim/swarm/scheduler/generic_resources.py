"""User-defined resources of nodes, counted or named (moby/swarmkit `api/genericresource`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

#: A counted resource such as `("apple", 3)`, or a named one such as `("gpu", "uuid-1")`.
Generic: TypeAlias = tuple[str, int | str]


class GenericResources:
    """The available generic resources of a node."""

    def __init__(self, resources: Iterable[Generic]) -> None:
        self._counts: dict[str, int] = {}
        self._names: dict[str, list[str]] = {}
        self.add(resources)

    def has(self, required: Iterable[Generic]) -> bool:
        """Return True if the required amounts are available.

        Named resources, too, are required by number: `("gpu", 2)` means any two that are available.
        """
        for kind, count in required:
            left = len(self._names[kind]) if kind in self._names else self._counts.get(kind, 0)
            if not isinstance(count, int) or count > left:
                return False
        return True

    def claim(self, required: Iterable[Generic]) -> tuple[Generic, ...]:
        """Remove the required amounts from the available resources.

        Return what was removed, named resources by their names.
        """
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

    def remove(self, claimed: Iterable[Generic]) -> None:
        """Remove resources that `claim` returned. A named resource that is not available is ignored."""
        for kind, value in claimed:
            if isinstance(value, int):
                self._counts[kind] = self._counts.get(kind, 0) - value
            elif value in self._names.get(kind, ()):
                self._names[kind].remove(value)

    def add(self, resources: Iterable[Generic]) -> None:
        """Add to the available resources, for example those that `claim` removed."""
        for kind, value in resources:
            if isinstance(value, int):
                self._counts[kind] = self._counts.get(kind, 0) + value
            else:
                self._names.setdefault(kind, []).append(value)

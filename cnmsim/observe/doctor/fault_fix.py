"""Fixes of the doctor's faults: changes that were tried, after which the doctor finds the fault no more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from attrs import define, field, frozen

from cnmsim.observe.doctor.fault import Fault
from cnmsim.observe.fixes.changes import Change
from cnmsim.observe.fixes.fix import TriedChange

#: The type of a function that returns the faults of a lab.
Examine = Callable[[Any], "tuple[Fault, ...]"]
#: Faults by kind and place; the text of a fault may change with its cause.
_Counts = Counter[tuple[str, str]]


def _counts(faults: Iterable[Fault]) -> _Counts:
    return Counter((fault.kind, fault.place) for fault in faults)


@frozen(repr=False)
class FaultFix(TriedChange):
    """A change to the lab after which the doctor no longer finds a fault, and finds no new warning or error.

    `fault` is the (kind, place) of the fault.
    """

    fault: tuple[str, str]
    _before: _Counts = field(repr=False, eq=False)
    _examine: Examine = field(repr=False, eq=False)

    def solves(self, lab: Any) -> bool:
        """Return True if the doctor finds the fault in `lab` no more, and no new warning or error."""
        faults = self._examine(lab)
        if _counts(faults)[self.fault] >= self._before[self.fault]:
            return False
        return _counts(fault for fault in faults if fault.is_serious) <= self._before


@define(eq=False)
class FaultFixSearch:
    """A search for the fix of a fault. `before` are the faults of `lab`, as `examine` found them.

    `names` maps the engine's names to the names in the Compose file.
    """

    lab: Any
    fault: Fault
    before: _Counts
    examine: Examine
    names: Mapping[str, str]
    _result: list[FaultFix | None] = field(factory=list, init=False)

    @property
    def first(self) -> FaultFix | None:
        """The first change that works; `None` if none of the fault's changes does."""
        if not self._result:
            candidates = map(self._fix, (change for change in self.fault.changes if change.is_applicable))
            # An edit was tried in a lab read from the edited file.
            self._result.append(next((fix for fix in candidates if fix.edits or fix.works()), None))
        return self._result[0]

    def _fix(self, change: Change) -> FaultFix:
        key = (self.fault.kind, self.fault.place)
        return FaultFix(change, self.lab, key, self.before, self.examine, names=self.names)

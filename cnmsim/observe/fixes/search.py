"""The search for the fixes of a failed probe, and the description of a probe that can be repeated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from cnmsim.errors import CnmsimError, Unavailable
from cnmsim.observe.trace.probe import DEFAULT_TIMEOUT_S
from cnmsim.observe.trace.target import Target

if TYPE_CHECKING:
    from cnmsim.observe.directory import Directory
    from cnmsim.observe.explain import Explanation
    from cnmsim.observe.fixes.fix import Fix
    from cnmsim.observe.trace.trace import Trace

#: The search for fixes ends when this many are found.
ENOUGH = 2
#: The number of pairs of changes that are tried if no single change helps.
_MOST_PAIRS = 6
#: The number of changes that are tried after one that leads to another failure.
_MOST_SECOND = 3


@frozen
class Question:
    """The description of a probe: whether `source` reaches `destination` by `service` (`tcp/80` or `icmp`).

    Source and destination are names, so that the same probe can be run in any fork of the lab. If `is_place`, the
    destination is the label of a location (`node1:web`), and the probe goes to the location's address without a name
    lookup. `family` and `timeout_s` are passed to the probe.
    """

    source: str
    destination: str
    service: str
    is_place: bool = False
    family: int = 0
    timeout_s: float = DEFAULT_TIMEOUT_S


@frozen
class FailedProbe:
    """A probe that failed: its question, target and trace (`walk`). `directory` has the lab's locations."""

    question: Question
    target: Target
    walk: Trace
    directory: Directory


#: The type of a function that runs the probe of a question in a lab.
Ask = Callable[[Any, Question], "Explanation"]


@define(eq=False)
class FixSearch:
    """A search for the fixes of a failed probe.

    Each candidate is tried on a fork of its own, and only when `first` or `fixes` needs it. `ask` runs the probe of a
    question in a lab. `names` maps the engine's names to the names in the Compose file.
    """

    lab: Any
    failed: FailedProbe
    ask: Ask
    names: Mapping[str, str]
    _found: list[Fix] = field(factory=list, init=False)
    _rest: Iterator[Fix] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._rest = self._working()

    @property
    def first(self) -> Fix | None:
        """The best fix; `None` if neither a candidate nor a pair of them makes the probe succeed."""
        return next(iter(self._take(1)), None)

    @property
    def fixes(self) -> tuple[Fix, ...]:
        """The first `ENOUGH` fixes, the best first.

        If the lab cannot be forked, they are candidates that were not tried.
        """
        return tuple(self._take(ENOUGH))

    def _take(self, count: int) -> list[Fix]:
        self._found += islice(self._rest, max(0, count - len(self._found)))
        return self._found[:count]

    def _working(self) -> Iterator[Fix]:
        # Most probes succeed and need no fix, so the modules of fixes are imported only for a search.
        from cnmsim.observe.fixes.fix import Fix, fork_of
        from cnmsim.observe.fixes.fix_candidates import fix_candidates

        try:
            spare = fork_of(self.lab)
        except Unavailable:
            spare = None
        can_try = spare is not None
        tried: set[object] = set()
        halves: list[tuple[Fix, Any, FailedProbe]] = []
        found = False
        for candidate in fix_candidates(self.failed):
            fix = Fix(candidate.change, self.lab, candidate.question, self.ask, was_tried=can_try, names=self.names)
            key = (fix.commands or fix.change, fix.question)
            if key in tried:
                continue
            tried.add(key)
            if not can_try or self._works(fix, spare, halves):
                halves.clear()
                found = True
                yield fix
            spare = None
        if not found:
            yield from islice(self._pairs(halves), 1)

    def _works(self, fix: Fix, fork: Any, halves: list[tuple[Fix, Any, FailedProbe]]) -> bool:
        """Return True if a change helps on `fork`, or on a new fork if that is `None`.

        If the probe then fails for another reason, append the change, the changed fork and the probe to `halves`.
        """
        try:
            changed = fix.apply_to(fork)
            explanation = fix.ask(changed)
        except (CnmsimError, OSError):
            return False
        if explanation.reachable:
            return True
        finding, search = self.failed.walk.finding, explanation.trace.fix_search
        if finding is None or search is None or explanation.finding.cause_text == finding.cause_text:
            return False
        halves.append((fix, changed, search.failed))
        return False

    def _pairs(self, halves: list[tuple[Fix, Any, FailedProbe]]) -> Iterator[Fix]:
        """Yield the fixes that consist of two changes: one that leads to another failure, and one that mends that."""
        from cnmsim.observe.fixes.changes import AskOther, Steps, steps_of
        from cnmsim.observe.fixes.fix import Fix
        from cnmsim.observe.fixes.fix_candidates import fix_candidates

        pairs = (
            (first, changed, candidate)
            for first, changed, failed in halves
            for candidate in islice(fix_candidates(failed), _MOST_SECOND)
        )
        for first, changed, candidate in islice(pairs, _MOST_PAIRS):
            if Fix(candidate.change, changed, candidate.question, self.ask, names=self.names).works():
                steps = (*steps_of(first.change), *steps_of(candidate.change))
                asking = [step for step in steps if isinstance(step, AskOther)]
                doing = [step for step in steps if not isinstance(step, AskOther)]
                change = Steps((*doing, *asking[-1:]))
                yield Fix(change, self.lab, candidate.question, self.ask, names=self.names)

"""The search for fixes of a failed probe: each candidate is applied to a fork, and the probe is sent again there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field, frozen

from cnmsim.errors import CnmsimError, Unavailable
from cnmsim.observe.trace.probe import DEFAULT_TIMEOUT_S
from cnmsim.observe.trace.target import Target

if TYPE_CHECKING:
    from cnmsim.observe.directory import Directory
    from cnmsim.observe.explain import Explanation
    from cnmsim.observe.fixes.changes import Change
    from cnmsim.observe.fixes.fix import Fix
    from cnmsim.observe.fixes.fix_candidates import FixCandidate
    from cnmsim.observe.trace.trace import Trace

#: The search for fixes ends when this many are found.
ENOUGH = 2
#: The number of changes that are tried after others, if no single change helps.
_MOST_TRIED = 12
#: The number of changes that are tried after one that leads to another failure.
_MOST_SECOND = 3
#: The number of changes of which a fix consists at most.
_MOST_CHANGES = 3


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


@frozen
class PartialFix:
    """Changes after which a probe fails for another reason than before.

    `fix` has all of them, `lab` is a fork to which they were applied, `failed` the probe in that fork. `causes`
    are the reasons for which the probe failed, first that of the lab without the changes.
    """

    fix: Fix
    lab: Any
    failed: FailedProbe
    causes: tuple[str, ...]

    @property
    def text(self) -> str:
        """The changes and the reason for which the probe still fails, as a sentence."""
        return f"{self.fix.text}; after that: {self.failed.walk.verdict.value}: {self.causes[-1]}"


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
    #: Changes after which the probe still fails, but for another reason; those with the fewest changes come first.
    partial_fixes: list[PartialFix] = field(factory=list, init=False)
    _found: list[Fix] = field(factory=list, init=False)
    _rest: Iterator[Fix] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._rest = self._working()

    @property
    def first(self) -> Fix | None:
        """The best fix; `None` if no candidate and no series of them makes the probe succeed."""
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
        from cnmsim.observe.fixes.fix import fork_of
        from cnmsim.observe.fixes.fix_candidates import fix_candidates

        tried: set[object] = set()
        found = False
        finding = self.failed.walk.finding
        causes = (finding.cause_text,) if finding is not None else ()
        for candidate in fix_candidates(self.failed):
            fix = self._fix((), candidate)
            key = (fix.commands or fix.change, fix.question)
            if key in tried:
                continue
            tried.add(key)
            try:
                spare = fork_of(self.lab)
            except Unavailable:
                fix, spare = evolve(fix, was_tried=False), None
            if spare is None or self._works(fix, spare, fix, causes):
                found = True
                yield fix
        if not found:
            yield from islice(self._series(), 1)

    def _fix(self, earlier: tuple[Change, ...], candidate: FixCandidate) -> Fix:
        """Return the fix of the changes `earlier` and that of a candidate. The probe is changed once, at the end."""
        from cnmsim.observe.fixes.changes import AskOther, Steps, steps_of
        from cnmsim.observe.fixes.fix import Fix

        steps = (*earlier, *steps_of(candidate.change))
        asking = [step for step in steps if isinstance(step, AskOther)][-1:]
        doing = [step for step in steps if not isinstance(step, AskOther)]
        # The place whose address the failed probe used, and the same place by its name, are one question.
        asked = evolve(self.failed.question, is_place=candidate.question.is_place)
        if doing and candidate.question == asked:
            asking = []
        changes = (*doing, *asking)
        change = changes[0] if len(changes) == 1 else Steps(changes)
        return Fix(change, self.lab, candidate.question, self.ask, names=self.names)

    def _works(self, step: Fix, fork: Any, whole: Fix, causes: tuple[str, ...]) -> bool:
        """Apply `step` to `fork`, and return True if the probe then succeeds.

        If it fails for a reason that is none of `causes`, append a partial fix, whose changes are those of `whole`.
        """
        try:
            changed = step.apply_to(fork)
            explanation = step.ask(changed)
        except (CnmsimError, OSError):
            return False
        if explanation.reachable:
            return True
        cause, search = explanation.finding.cause_text, explanation.trace.fix_search
        if search is not None and causes and cause not in causes:
            self.partial_fixes.append(PartialFix(whole, changed, search.failed, (*causes, cause)))
        return False

    def _series(self) -> Iterator[Fix]:
        """Yield fixes of several changes: each change solves the problem for which the probe fails after the others.

        The changes before the last one come from `partial_fixes`.
        """
        from cnmsim.observe.fixes.changes import steps_of
        from cnmsim.observe.fixes.fix import fork_of
        from cnmsim.observe.fixes.fix_candidates import fix_candidates

        left = _MOST_TRIED
        for part in self.partial_fixes:  # grows while it is read
            if len(part.causes) > _MOST_CHANGES:
                return
            for candidate in islice(fix_candidates(part.failed), _MOST_SECOND):
                if not left:
                    return
                left -= 1
                step, whole = self._fix((), candidate), self._fix(steps_of(part.fix.change), candidate)
                if self._works(step, fork_of(part.lab), whole, part.causes):
                    # The last change may do alone what an earlier one began.
                    yield step if step.works() else whole

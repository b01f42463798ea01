"""The search for the fixes of a failed probe, and the description of a probe that can be repeated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from cnmsim.errors import Unavailable
from cnmsim.observe.trace.probe import DEFAULT_TIMEOUT_S
from cnmsim.observe.trace.target import Target

if TYPE_CHECKING:
    from cnmsim.observe.directory import Directory
    from cnmsim.observe.explain import Explanation
    from cnmsim.observe.fixes.fix import Fix
    from cnmsim.observe.trace.trace import Trace

#: The search for fixes ends when this many are found.
ENOUGH = 2


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
        """The best fix; `None` if no candidate makes the probe succeed."""
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
        for candidate in fix_candidates(self.failed):
            fix = Fix(candidate.change, self.lab, candidate.question, self.ask, was_tried=can_try, names=self.names)
            key = (fix.commands or fix.change, fix.question)
            if key in tried:
                continue
            tried.add(key)
            works_here = not can_try or fix.works(spare)
            spare = None
            if works_here:
                yield fix

"""Fixes: what makes a question that was answered with no be answered with yes, seen to do so on a copy of the lab.

A fix is a list of changes by name, so it can be made in the lab or in a copy of it; nothing is offered that was not tried.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

from cnmsim.errors import CnmsimError, Unavailable
from cnmsim.observe.fixes.changes import Change
from cnmsim.observe.fixes.fix_candidates import FixCandidate

if TYPE_CHECKING:
    from cnmsim.observe.explain import Explanation

#: How many fixes that work are looked for.
ENOUGH = 2


@frozen
class Question:
    """A question by names, so that it can be asked in any copy of a lab."""

    source: str
    destination: str
    service: str


@frozen
class Fix:
    """One thing to do: `text` says it in words, `changes` are what is typed, `question` is what to ask afterwards.

    Without changes the fix is another question: another name, address or port. `was_tried` tells whether it was seen to work;
    what is untried is advice, for labs that cannot be copied.
    """

    text: str
    changes: tuple[Change, ...]
    question: Question
    _lab: Any = field(repr=False, eq=False)
    was_tried: bool = True

    @property
    def commands(self) -> tuple[str, ...]:
        """What is typed, each with the host it is typed on."""
        return tuple(str(change) for change in self.changes)

    def apply(self, lab: Any = None) -> Explanation:
        """Make the changes in a copy of the lab (or in `lab`), ask again, and give the new explanation.

        Raises what a change is refused with, and `Unavailable` where the lab cannot be copied.
        """
        from cnmsim.observe.explain import explain

        there = copy_of(self._lab) if lab is None else lab
        for change in self.changes:
            change.do(there)
        settle = getattr(there, "settle", None)
        if settle is not None:
            settle()
        return explain(there, self.question.source, self.question.destination, self.question.service)

    def to_json(self) -> dict[str, Any]:
        """Give it as plain values."""
        asked = {
            "source": self.question.source,
            "destination": self.question.destination,
            "service": self.question.service,
        }
        return {"text": self.text, "commands": list(self.commands), "question": asked, "was_tried": self.was_tried}

    def __str__(self) -> str:
        asked = [] if self.changes else [f"  ask {self.question.destination} {self.question.service}"]
        return "\n".join([self.text, *asked, *(f"  {command}" for command in self.commands)])


def copy_of(lab: Any) -> Any:
    """Copy a lab. Raises `Unavailable` for a lab that has no way to be copied."""
    fork = getattr(lab, "fork", None)
    if fork is None:
        raise Unavailable("this lab cannot be copied: give apply() the lab to change")
    return fork()


def fixes_of(
    lab: Any, question: Question, candidates: Iterable[FixCandidate], *, enough: int = ENOUGH
) -> tuple[Fix, ...]:
    """Give the candidates that are seen to work, each tried on a copy of the lab of its own.

    Of a lab that cannot be copied, the candidates are given untried.
    """
    spare = _copy_if_possible(lab)
    can_try = spare is not None
    found: list[Fix] = []
    tried: set[object] = set()
    for remedy in candidates:
        fix = evolve(fix_of(lab, question, remedy), was_tried=can_try)
        key = (fix.commands, fix.question)
        if key in tried:
            continue
        tried.add(key)
        if not can_try or works(fix, spare):
            found.append(fix)
        spare = None
        if len(found) == enough:
            break
    return tuple(found)


def _copy_if_possible(lab: Any) -> Any:
    try:
        return copy_of(lab)
    except Unavailable:
        return None


def fix_of(lab: Any, question: Question, remedy: FixCandidate) -> Fix:
    """Make a fix of a candidate, not tried yet."""
    asked = Question(question.source, remedy.destination or question.destination, remedy.service or question.service)
    return Fix(remedy.text, remedy.changes, asked, lab)


def works(fix: Fix, there: Any = None) -> bool:
    """Tell whether a fix makes the answer yes, in the copy `there` or in one of its own. A change that is refused is no fix."""
    try:
        return fix.apply(copy_of(fix._lab) if there is None else there).reachable
    except (CnmsimError, OSError, TimeoutError):
        return False

"""Fixes: changes after which a failed probe succeeds, as was seen on a fork of the lab."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from cnmsim.errors import CnmsimError, Unavailable
from cnmsim.observe.diagnosis.sentences import sentence
from cnmsim.observe.fixes.apply import apply_change
from cnmsim.observe.fixes.changes import AskOther, Change, steps_of
from cnmsim.observe.fixes.commands import commands_of
from cnmsim.observe.fixes.fix_candidates import FixCandidate, Question

if TYPE_CHECKING:
    from cnmsim.observe.explain import Explanation

#: The search ends after so many fixes that work.
ENOUGH = 2


@frozen
class Fix:
    """A change to the lab, and the question to ask after it.

    A change that only asks another name, address or port needs no command. `was_tried` is False for labs that cannot
    be forked: such a fix is advice.
    """

    change: Change
    question: Question
    _lab: Any = field(repr=False, eq=False)
    #: `explain`, handed in by it: an explanation has fixes, and a fix returns an explanation.
    _explain: Callable[[Any, str, str, str], Explanation] = field(repr=False, eq=False)
    was_tried: bool = True

    @property
    def text(self) -> str:
        """The fix in words."""
        return sentence(self.change)

    @property
    def changes(self) -> tuple[Change, ...]:
        """The single changes, without the question to ask after them."""
        return tuple(step for step in steps_of(self.change) if not isinstance(step, AskOther))

    @property
    def commands(self) -> tuple[str, ...]:
        """The command lines, each with the host on which it is typed: `node1$ docker start web`."""
        return tuple(str(command) for command in commands_of(self.change))

    def apply(self, lab: Any = None) -> Explanation:
        """Apply the changes to a fork of the lab (or to `lab`), ask again, and return the new explanation.

        Raises what a change is refused with, and `Unavailable` for a lab that cannot be forked.
        """
        changed = fork_of(self._lab) if lab is None else lab
        apply_change(self.change, changed)
        settle = getattr(changed, "settle", None)
        if settle is not None:
            settle()
        return self._explain(changed, self.question.source, self.question.destination, self.question.service)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        question = {
            "source": self.question.source,
            "destination": self.question.destination,
            "service": self.question.service,
        }
        return {"text": self.text, "commands": list(self.commands), "question": question, "was_tried": self.was_tried}

    def __str__(self) -> str:
        question = [] if self.changes else [f"  ask {self.question.destination} {self.question.service}"]
        return "\n".join([self.text, *question, *(f"  {command}" for command in self.commands)])


def fork_of(lab: Any) -> Any:
    """Return a fork of a lab. Raises `Unavailable` for a lab that cannot be forked."""
    fork = getattr(lab, "fork", None)
    if fork is None:
        raise Unavailable("this lab cannot be copied: give apply() the lab to change")
    return fork()


def fixes_of(
    lab: Any,
    candidates: Iterable[FixCandidate],
    explain: Callable[[Any, str, str, str], Explanation],
    *,
    enough: int = ENOUGH,
) -> tuple[Fix, ...]:
    """Return the first `enough` candidates that work, each tried on a fork of its own.

    Of a lab that cannot be forked, the first candidates are returned untried.
    """
    try:
        spare = fork_of(lab)
    except Unavailable:
        spare = None
    can_try = spare is not None
    fixes: list[Fix] = []
    tried: set[object] = set()
    for candidate in candidates:
        fix = Fix(candidate.change, candidate.question, lab, explain, was_tried=can_try)
        key = (fix.commands, fix.question)
        if key in tried:
            continue
        tried.add(key)
        if not can_try or works(fix, spare):
            fixes.append(fix)
        spare = None
        if len(fixes) == enough:
            break
    return tuple(fixes)


def works(fix: Fix, fork: Any = None) -> bool:
    """Return True if a probe succeeds after the fix, in `fork` or a new one. A refused change does not work."""
    try:
        return fix.apply(fork_of(fix._lab) if fork is None else fork).reachable
    except (CnmsimError, OSError, TimeoutError):
        return False

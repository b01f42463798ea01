"""Fixes: changes to a lab after which a failed probe succeeds. Each is first tried on a fork of the lab."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from cnmsim.errors import CnmsimError, InvalidParameter, Unavailable
from cnmsim.observe.diagnosis.compose_sentences import change_sentence
from cnmsim.observe.display import Displayable
from cnmsim.observe.fixes.apply import apply_change
from cnmsim.observe.fixes.changes import AskOther, Change, steps_of
from cnmsim.observe.fixes.commands import commands_of
from cnmsim.observe.fixes.file_edit import FileEdit
from cnmsim.observe.fixes.fix_candidates import FixCandidate, Question

if TYPE_CHECKING:
    from cnmsim.observe.explain import Explanation

#: The search for fixes ends when this many are found.
ENOUGH = 2


@frozen
class Fix(Displayable):
    """A change to the lab, with the probe that should succeed after it.

    `question` describes that probe by names: source, destination and service. If the fix is only to use another name,
    address or port, there is nothing to change and `commands` is empty. `was_tried` is False if the lab cannot be
    forked: such a fix is only advice.
    """

    change: Change
    question: Question
    _lab: Any = field(repr=False, eq=False)
    #: `explain`, handed in by it: an explanation has fixes, and a fix returns an explanation.
    _explain: Callable[[Any, str, str, str], Explanation] = field(repr=False, eq=False)
    was_tried: bool = True
    #: The names in the Compose file by those of the engine.
    _names: Mapping[str, str] = field(factory=dict, repr=False, eq=False)
    _edits: list[tuple[FileEdit, ...]] = field(factory=list, repr=False, eq=False, init=False)

    @property
    def text(self) -> str:
        """The fix as a sentence."""
        return change_sentence(self.change, self._names)

    @property
    def changes(self) -> tuple[Change, ...]:
        """The individual changes to the lab, without any step that only changes what the probe asks for."""
        return tuple(step for step in steps_of(self.change) if not isinstance(step, AskOther))

    @property
    def commands(self) -> tuple[str, ...]:
        """The command lines, each with the host on which it is typed: `node1$ docker start web`."""
        return tuple(str(command) for command in commands_of(self.change))

    @property
    def edits(self) -> tuple[FileEdit, ...]:
        """The fix as edits of the Compose or lab file that the lab was read from, one for each file.

        Empty if the lab was not read from a file, or the file cannot express the fix. On the first access the edited
        files are read and the question is asked in that lab; edits that do not help are left out.
        """
        render = getattr(self._lab, "edits_of", None)
        if not self._edits:
            self._edits.append(() if render is None else tuple(render(self)))
        return self._edits[0]

    def write(self) -> None:
        """Write the edits to the files.

        Raises `InvalidParameter` if there are none, `FileError` if a file has changed since it was read, and
        `OSError` if it cannot be written.
        """
        if not self.edits:
            raise InvalidParameter("the fix is no edit of a file: use apply() or the commands")
        for edit in self.edits:
            edit.write()

    def apply(self, lab: Any = None) -> Explanation:
        """Apply the changes, run the probe again, and return the new explanation.

        The changes are applied to a fork of the lab, or to `lab` itself if it is given. Raises `Unavailable` if the
        lab cannot be forked, and any error with which an engine or command refuses a change.
        """
        changed = fork_of(self._lab) if lab is None else lab
        apply_change(self.change, changed)
        settle = getattr(changed, "settle", None)
        if settle is not None:
            settle()
        return self._explain(changed, self.question.source, self.question.destination, self.question.service)

    def to_json(self) -> dict[str, Any]:
        """Return the fix as plain values: `text`, `commands`, `edits`, `question` and `was_tried`."""
        question = {
            "source": self.question.source,
            "destination": self.question.destination,
            "service": self.question.service,
        }
        return {
            "text": self.text, "commands": list(self.commands), "edits": [edit.to_json() for edit in self.edits],
            "question": question, "was_tried": self.was_tried,
        }  # fmt: skip

    def __repr__(self) -> str:
        return f"<Fix: {self.text}>"

    def __str__(self) -> str:
        question = [] if self.changes else [f"  ask {self.question.destination} {self.question.service}"]
        shown = [str(edit) for edit in self.edits] or [f"  {command}" for command in self.commands]
        return "\n".join([self.text, *question, *shown])


def fork_of(lab: Any) -> Any:
    """Return a fork of a lab. Raises `Unavailable` if the lab cannot be forked."""
    fork = getattr(lab, "fork", None)
    if fork is None:
        raise Unavailable("this lab cannot be copied: give apply() the lab to change")
    return fork()


def fixes_of(
    lab: Any,
    candidates: Iterable[FixCandidate],
    explain: Callable[[Any, str, str, str], Explanation],
    names: Mapping[str, str],
    *,
    enough: int = ENOUGH,
) -> tuple[Fix, ...]:
    """Return the first `enough` candidates that work. Each is tried on a fork of its own.

    If the lab cannot be forked, the first `enough` candidates are returned untried. `explain` runs the probe again.
    `names` are the names in the Compose file by those of the engine.
    """
    try:
        spare = fork_of(lab)
    except Unavailable:
        spare = None
    can_try = spare is not None
    fixes: list[Fix] = []
    tried: set[object] = set()
    for candidate in candidates:
        fix = Fix(candidate.change, candidate.question, lab, explain, can_try, names)
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
    """Return True if the probe succeeds after the fix is applied to `fork`, or to a new fork if that is `None`.

    A change that is refused counts as not working.
    """
    try:
        return fix.apply(fork_of(fix._lab) if fork is None else fork).reachable
    except (CnmsimError, OSError, TimeoutError):
        return False

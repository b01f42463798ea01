"""Fixes: changes to a lab after which a failed probe succeeds. Each is first tried on a fork of the lab."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from cnmsim.errors import CnmsimError, InvalidParameter, Unavailable
from cnmsim.kernel.address import join_host_port
from cnmsim.observe.diagnosis.compose_sentences import change_sentence
from cnmsim.observe.diagnosis.file_names import in_file_names
from cnmsim.observe.display import Displayable
from cnmsim.observe.fixes.apply import apply_change, await_nodes, unheard_nodes
from cnmsim.observe.fixes.changes import AskOther, Change, steps_of
from cnmsim.observe.fixes.commands import commands_of
from cnmsim.observe.fixes.file_edit import FileEdit
from cnmsim.observe.fixes.search import Ask, Question

if TYPE_CHECKING:
    from cnmsim.observe.explain import Explanation

#: The maximum number of changed lines of a file that the outline of a fix shows.
_LINES = 8


@frozen
class TriedChange(Displayable, ABC):
    """A change to the lab that was tried on a fork of it. The derived classes state what the change is for.

    `was_tried` is False if the lab cannot be forked: the change is then only advice.
    """

    change: Change
    _lab: Any = field(repr=False, eq=False)
    was_tried: bool = field(default=True, kw_only=True)
    #: Maps the engine's names to the names in the Compose file.
    _names: Mapping[str, str] = field(factory=dict, repr=False, eq=False, kw_only=True)
    _edits: list[tuple[FileEdit, ...]] = field(factory=list, repr=False, eq=False, init=False)

    @property
    def asked(self) -> str:
        """The name that the failed probe looked up; "" if the change is not for a probe."""
        return ""

    @abstractmethod
    def solves(self, lab: Any) -> bool:
        """Return True if `lab` does not have the problem that the change is meant to solve.

        The change is not applied here. Raises the errors of a probe.
        """

    @property
    def text(self) -> str:
        """The change as a sentence."""
        return change_sentence(self.change, self._names)

    @property
    def changes(self) -> tuple[Change, ...]:
        """The single changes to the lab, without steps that only change the probe (`AskOther`)."""
        return tuple(step for step in steps_of(self.change) if not isinstance(step, AskOther))

    @property
    def commands(self) -> tuple[str, ...]:
        """The command lines of the change, each after the host on which to type it: `node1$ docker start web`."""
        return tuple(str(command) for command in commands_of(self.change))

    @property
    def edits(self) -> tuple[FileEdit, ...]:
        """The change as edits of the Compose or lab file that the lab was read from, one for each file.

        There are none if the lab was not read from a file, or if the change cannot be made in the file. On the first
        access the edits are tried: a lab is built from the edited files and examined. If they do not help, there are
        none either.
        """
        render = getattr(self._lab, "edits_of", None)
        if not self._edits:
            self._edits.append(() if render is None else tuple(render(self)))
        return self._edits[0]

    def write(self) -> None:
        """Write the edits (`edits`) to the files.

        Raises `InvalidParameter` if there are no edits, `FileError` if a file has changed since it was read, and
        `OSError` if it cannot be written.
        """
        if not self.edits:
            raise InvalidParameter("the fix is no edit of a file: use apply() or the commands")
        for edit in self.edits:
            edit.write()

    def apply_to(self, lab: Any = None) -> Any:
        """Apply the changes to `lab`, or to a fork of the change's own lab, and return the changed lab."""
        changed = fork_of(self._lab) if lab is None else lab
        can_settle = hasattr(changed, "settle")
        unheard = unheard_nodes(self.change, changed) if can_settle else frozenset()
        apply_change(self.change, changed)
        if can_settle:
            changed.settle()
            await_nodes(unheard, changed)
        return changed

    def works(self, fork: Any = None) -> bool:
        """Return True if the change helps once it is applied to `fork` (if `None`, to a new fork).

        Return False if it does not help or is refused.
        """
        try:
            return self.solves(self.apply_to(fork))
        except (CnmsimError, OSError, TimeoutError):
            return False

    def to_json(self) -> dict[str, Any]:
        """Return the change as plain values: `text`, `commands`, `edits` and `was_tried`."""
        return {
            "text": self.text, "commands": list(self.commands), "edits": [edit.to_json() for edit in self.edits],
            "was_tried": self.was_tried,
        }  # fmt: skip

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.text}>"

    @property
    def outline(self) -> str:
        """The change in a few lines: its sentence with the place in the file, then the changed lines of the file.

        `str(fix)` has the whole diff.
        """
        edits = self.edits
        places = ", ".join(f"{edit.path}:{edit.line}" for edit in edits)
        changed = [line for edit in edits for line in edit.changed_lines]
        left_out = len(changed) - _LINES
        if left_out > 1:
            changed[_LINES:] = [f"… {left_out} more lines"]
        return "\n".join([f"{self.text} ({places})" if places else self.text, *changed])

    def __str__(self) -> str:
        shown = [str(edit) for edit in self.edits] or [f"  {command}" for command in self.commands]
        return "\n".join([self.text, *shown])


@frozen(repr=False)
class Fix(TriedChange):
    """A change to the lab, with the probe that should succeed after it.

    `question` describes that probe by names: source, destination and service. If the fix is only to probe another
    name, address or port, there is nothing to change and `commands` is empty.
    """

    question: Question
    #: Runs the probe of a question in a lab. It is passed in to avoid a cycle of imports with `explain`.
    _ask: Ask = field(repr=False, eq=False)

    @property
    def asked(self) -> str:
        """The name that the failed probe looked up."""
        return self.question.destination

    def apply(self, lab: Any = None) -> Explanation:
        """Apply the changes, run the probe again, and return the new explanation.

        The changes are applied to a fork of the lab, or to `lab` itself if it is given. Raises `Unavailable` if the
        lab cannot be forked, and any error with which an engine or command refuses a change.
        """
        return self.ask(self.apply_to(lab))

    def ask(self, lab: Any) -> Explanation:
        """Run the probe of the fix in `lab` without applying the fix, and return the explanation."""
        return self._ask(lab, self.question)

    def solves(self, lab: Any) -> bool:
        """Return True if the probe succeeds in `lab`."""
        return self.ask(lab).reachable

    def to_json(self) -> dict[str, Any]:
        """Return the fix as plain values: `text`, `commands`, `edits`, `question` and `was_tried`."""
        question = {
            "source": in_file_names(self.question.source, self._names),
            "destination": in_file_names(self.question.destination, self._names),
            "service": self.question.service,
        }
        return super().to_json() | {"question": question}

    @property
    def _probe(self) -> str:
        """The new probe as text: `connect to db:5432`, `send to dns:53/udp`, `ping db`."""
        host, (protocol, _, port) = self.question.destination, self.question.service.partition("/")
        if not port:
            return f"ping {host}"
        place = join_host_port(host, int(port))
        return f"connect to {place}" if protocol == "tcp" else f"send to {place}/{protocol}"

    def __str__(self) -> str:
        question = [] if self.changes else [f"  {self._probe}"]
        first, *rest = super().__str__().split("\n")
        return "\n".join([first, *question, *rest])


def fork_of(lab: Any) -> Any:
    """Return a fork of a lab. Raises `Unavailable` if the lab cannot be forked."""
    fork = getattr(lab, "fork", None)
    if fork is None:
        raise Unavailable("this lab cannot be copied: give apply() the lab to change")
    return fork()

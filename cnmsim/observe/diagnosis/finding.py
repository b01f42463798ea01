"""The finding of a diagnosis: one verdict, one cause, and the changes that may help."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from attrs import field, frozen

from cnmsim.observe.diagnosis.causes.base import Assumption, Cause, Remark
from cnmsim.observe.diagnosis.file_names import in_file_names, renamed
from cnmsim.observe.diagnosis.sentences import sentence
from cnmsim.observe.diagnosis.verdict import Verdict
from cnmsim.observe.trace.hops import Hop

if TYPE_CHECKING:
    from cnmsim.observe.fixes.changes import Change


@frozen
class Finding:
    """The result of a diagnosis: a verdict and the one cause that decided it.

    `changes` are alternatives that may help, the best first. `remarks` are further facts. `hop` is the hop that
    decided the outcome, `None` if there is none. `assumptions` are what the verdict takes for granted besides the
    simulation. `names` maps the engine's names to the names in the Compose file, which are used in sentences.
    `str(finding)` renders everything but the changes: a trace renders the changes itself once it has tried them.
    """

    verdict: Verdict
    cause: Cause
    changes: tuple[Change, ...] = ()
    remarks: tuple[Remark, ...] = ()
    hop: Hop | None = None
    assumptions: tuple[Assumption, ...] = ()
    names: Mapping[str, str] = field(factory=dict, repr=False, eq=False)

    @property
    def cause_text(self) -> str:
        """The cause as a sentence."""
        return sentence(renamed(self.cause, self.names))

    @property
    def advice(self) -> str:
        """The first few of `changes` as a sentence, "" if there are none. Advice has not been tried."""
        return self._advice(self.changes)

    @property
    def tasks(self) -> str:
        """Those of the suggested changes that only a person can make, as a sentence; "" if there are none."""
        return self._advice(change for change in self.changes if not change.is_applicable)

    def _advice(self, changes: Iterable[Change]) -> str:
        suggested = tuple(changes)
        if not suggested:
            return ""
        from cnmsim.observe.diagnosis.compose_sentences import advice

        return advice(suggested, self.names)

    @property
    def remark_texts(self) -> tuple[str, ...]:
        """The remarks as sentences."""
        return tuple(in_file_names(sentence(renamed(remark, self.names)), self.names) for remark in self.remarks)

    @property
    def assumption_texts(self) -> tuple[str, ...]:
        """The assumptions as sentences."""
        return tuple(sentence(renamed(assumption, self.names)) for assumption in self.assumptions)

    def __str__(self) -> str:
        lines = [f"{self.verdict.value}: {self.cause_text}"]
        lines += [f"assumes: {text}" for text in self.assumption_texts]
        return "\n".join([*lines, *(f"note: {remark}" for remark in self.remark_texts)])

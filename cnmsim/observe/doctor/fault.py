"""Latent faults of a lab, each with its severity and the place where it was found."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from cnmsim.observe.display import Displayable, wrapped
from cnmsim.observe.fixes.changes import Change

if TYPE_CHECKING:
    from cnmsim.observe.doctor.fault_fix import FaultFix, FaultFixSearch


class Severity(IntEnum):
    """The severity of a fault.

    A *note* only informs, a *warning* may cause failures later, an *error* causes them now.
    """

    NOTE = 0
    WARNING = 1
    ERROR = 2


@frozen
class Fault:
    """One fault: severity, kind (a stable identifier such as `port-blocked`), place, message and advice.

    `advice` is a sentence on what may help; it was not tried. `source` is the line of the Compose, stack or lab file
    that causes the fault (`compose.yml:12`), "" if no file does. `changes` are candidates for a fix, the best first.
    """

    severity: Severity
    kind: str
    place: str
    text: str
    advice: str
    source: str = ""
    changes: tuple[Change, ...] = field(default=(), repr=False)
    _search: FaultFixSearch | None = field(default=None, eq=False, repr=False)

    @property
    def fix(self) -> FaultFix | None:
        """The first of `changes` that removes the fault and causes no other; `None` if none of them does.

        On the first access the changes are tried, each on a lab read from the edited file or on a fork of the lab.
        """
        return None if self._search is None else self._search.first

    @property
    def is_serious(self) -> bool:
        """Whether the fault is an error or a warning."""
        return self.severity is not Severity.NOTE

    @property
    def help(self) -> tuple[str, str]:
        """The pair (label, text) to print: the fix with the lines of the file that it changes, or else the advice."""
        fix = self.fix
        return ("fix", fix.outline) if fix is not None else ("advice (not tried)", self.advice)

    def heading(self, width: int = 0) -> list[str]:
        """Return the fault without its help as lines of text, wrapped to `width` columns unless that is 0."""
        source = f" ({self.source})" if self.source else ""
        head = f"{self.severity.name.lower()} [{self.kind}] {self.place}{source}: {self.text}"
        return wrapped(head, width) if width else [head]

    def lines(self, width: int = 0) -> list[str]:
        """Return the fault as lines of text, wrapped to `width` columns unless that is 0."""
        label, text = self.help
        first, *changed = text.splitlines()
        helping = f"{label}: {first}"
        helped = wrapped(helping, width, "  ") if width else [f"  {helping}"]
        return [*self.heading(width), *helped, *(f"    {line}" for line in changed)]

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def to_json(self) -> dict[str, Any]:
        """Return the fault as a JSON-compatible dict. `fix` is `None` if no fix that was tried works."""
        return {
            "severity": self.severity.name.lower(), "kind": self.kind, "place": self.place, "text": self.text,
            "advice": self.advice, "fix": None if self.fix is None else self.fix.to_json(), "source": self.source,
        }  # fmt: skip


@frozen
class Checkup(Displayable):
    """The result of a checkup: `faults`, the most severe first.

    In a boolean context it is True if it contains neither an error nor a warning.
    """

    faults: tuple[Fault, ...] = ()

    def __bool__(self) -> bool:
        return not any(fault.is_serious for fault in self.faults)

    def __len__(self) -> int:
        return len(self.faults)

    def of(self, kind: str) -> tuple[Fault, ...]:
        """Return the faults whose `kind` is the given one, such as `port-blocked`."""
        return tuple(fault for fault in self.faults if fault.kind == kind)

    def text(self, width: int = 0) -> str:
        """Return the faults as text, wrapped to `width` columns unless that is 0."""
        return "\n".join(line for fault in self.faults for line in fault.lines(width)) or "nothing found"

    def __str__(self) -> str:
        return self.text()

    def to_json(self) -> list[dict[str, Any]]:
        """Return the checkup as JSON-compatible values."""
        return [fault.to_json() for fault in self.faults]

"""Latent faults of a lab, with severity and place."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from attrs import frozen

from cnmsim.observe.display import Displayable


class Severity(IntEnum):
    """The severity of a fault: a *note* informs, a *warning* may cause failures later, an *error* causes them now."""

    NOTE = 0
    WARNING = 1
    ERROR = 2


@frozen
class Fault:
    """One fault: its kind (a stable identifier), its place, a message, and a fix."""

    severity: Severity
    kind: str
    place: str
    text: str
    fix: str

    def __str__(self) -> str:
        return f"{self.severity.name.lower()} [{self.kind}] {self.place}: {self.text}\n  fix: {self.fix}"

    def to_json(self) -> dict[str, str]:
        """Return the fault as plain values."""
        return {
            "severity": self.severity.name.lower(), "kind": self.kind, "place": self.place,
            "text": self.text, "fix": self.fix,
        }  # fmt: skip


@frozen
class Checkup(Displayable):
    """The result of a checkup: `faults`, the worst first. True if there is neither an error nor a warning."""

    faults: tuple[Fault, ...] = ()

    def __bool__(self) -> bool:
        return all(fault.severity is Severity.NOTE for fault in self.faults)

    def __len__(self) -> int:
        return len(self.faults)

    def of(self, kind: str) -> tuple[Fault, ...]:
        """Return the faults of one kind."""
        return tuple(fault for fault in self.faults if fault.kind == kind)

    def __str__(self) -> str:
        return "\n".join(map(str, self.faults)) or "nothing found"

    def to_json(self) -> list[dict[str, Any]]:
        """Return the checkup as plain values."""
        return [fault.to_json() for fault in self.faults]

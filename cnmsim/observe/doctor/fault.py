"""Latent faults: what is wrong with a lab though nobody has suffered from it yet, with severity and place."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from attrs import frozen

from cnmsim.observe.display import Displayable


class Severity(IntEnum):
    """How bad it is: a *note* is good to know, a *warning* will hurt some day, an *error* hurts whoever comes that way."""

    NOTE = 0
    WARNING = 1
    ERROR = 2


@frozen
class Fault:
    """One fault: its kind (a short word that stays the same), where it is, what it is, and what to do."""

    severity: Severity
    kind: str
    place: str
    text: str
    fix: str

    def __str__(self) -> str:
        return f"{self.severity.name.lower()} [{self.kind}] {self.place}: {self.text}\n  fix: {self.fix}"

    def to_json(self) -> dict[str, str]:
        """Give it as plain values."""
        return {
            "severity": self.severity.name.lower(), "kind": self.kind, "place": self.place, "text": self.text, "fix": self.fix,
        }  # fmt: skip


@frozen
class Checkup(Displayable):
    """What the doctor found: `faults`, the worst first. It is true if there is neither error nor warning."""

    faults: tuple[Fault, ...] = ()

    def __bool__(self) -> bool:
        return all(fault.severity is Severity.NOTE for fault in self.faults)

    def __len__(self) -> int:
        return len(self.faults)

    def of(self, kind: str) -> tuple[Fault, ...]:
        """Give the faults of one kind."""
        return tuple(fault for fault in self.faults if fault.kind == kind)

    def __str__(self) -> str:
        return "\n".join(map(str, self.faults)) or "nothing found"

    def to_json(self) -> list[dict[str, Any]]:
        """Give everything as plain values."""
        return [fault.to_json() for fault in self.faults]

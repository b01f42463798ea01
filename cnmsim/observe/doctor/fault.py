"""Latent faults of a lab, each with its severity and the place where it was found."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from attrs import frozen

from cnmsim.observe.display import Displayable


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

    `fix` is the advice as a sentence; it was not tried. `source` is the line of the Compose file that is wrong
    (`compose.yml:12`), "" if the fault is not in such a file.
    """

    severity: Severity
    kind: str
    place: str
    text: str
    fix: str
    source: str = ""

    def __str__(self) -> str:
        place = f"{self.place} ({self.source})" if self.source else self.place
        return f"{self.severity.name.lower()} [{self.kind}] {place}: {self.text}\n  advice: {self.fix}"

    def to_json(self) -> dict[str, str]:
        """Return the fault as a JSON-compatible dict."""
        return {
            "severity": self.severity.name.lower(), "kind": self.kind, "place": self.place,
            "text": self.text, "fix": self.fix, "source": self.source,
        }  # fmt: skip


@frozen
class Checkup(Displayable):
    """The result of a checkup: `faults`, the most severe first.

    In a boolean context it is True if it contains neither an error nor a warning.
    """

    faults: tuple[Fault, ...] = ()

    def __bool__(self) -> bool:
        return all(fault.severity is Severity.NOTE for fault in self.faults)

    def __len__(self) -> int:
        return len(self.faults)

    def of(self, kind: str) -> tuple[Fault, ...]:
        """Return the faults whose `kind` is the given one, such as `port-blocked`."""
        return tuple(fault for fault in self.faults if fault.kind == kind)

    def __str__(self) -> str:
        return "\n".join(map(str, self.faults)) or "nothing found"

    def to_json(self) -> list[dict[str, Any]]:
        """Return the checkup as JSON-compatible values."""
        return [fault.to_json() for fault in self.faults]

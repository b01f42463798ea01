"""What a command in a container leaves: its output and its exit status."""

from __future__ import annotations

from typing import Any, NamedTuple

from attrs import frozen


class ExecResult(NamedTuple):
    """The result of `exec_run`: the command's exit status and its output, which can be unpacked as a pair."""

    exit_code: int | None
    output: Any


@frozen
class CommandOutput:
    """The output of a command as the text that a terminal would show, and the command's exit status."""

    text: str
    exit_code: int

    @property
    def output(self) -> str:
        """The same as `text`, under the name that it has in the result of a host's `exec`."""
        return self.text

    @property
    def status(self) -> int:
        """The same as `exit_code`, under the name that it has in the result of a host's `exec`."""
        return self.exit_code

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text.rstrip("\n")

    def __contains__(self, part: str) -> bool:
        return part in self.text

    def __bool__(self) -> bool:
        return self.exit_code == 0

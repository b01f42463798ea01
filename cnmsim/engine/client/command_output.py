"""The output and the exit status of a command that was run in a container."""

from __future__ import annotations

from typing import Any, NamedTuple

from attrs import frozen


class ExecResult(NamedTuple):
    """The result of `exec_run`, the pair (exit status, output).

    The output is bytes; with `demux` it is the pair (stdout, stderr), with `stream` an iterator.
    """

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

"""One exec of a container: the record that `docker exec inspect` prints.

Source: moby `daemon/container/exec.go`, `api/types/container/exec.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define, field

from cnmsim.engine.containers.streams import StandardStreams
from cnmsim.kernel.process import SIGKILL, Process

if TYPE_CHECKING:
    from cnmsim.engine.containers.container import Container


@define(eq=False)
class Exec:
    """One exec of a container. It can be started once.

    `has_run` is True once it was started. `exit_code` and `ended_ns`, the virtual time, are set when it has ended.
    """

    id: str
    container: Container
    command: list[str]
    config: dict[str, Any]
    streams: StandardStreams
    process: Process | None = None
    exit_code: int | None = None
    has_run: bool = field(default=False, init=False)
    ended_ns: int | None = field(default=None, init=False)

    def container_ended(self) -> None:
        """Kill the exec's processes, because the container's first process has ended."""
        if self.process is not None:
            for child in tuple(self.process.children):
                child.kill(SIGKILL)
            self.process.kill(SIGKILL)

    @property
    def is_running(self) -> bool:
        """Whether the exec's process is running."""
        return self.process is not None and self.process.is_running

    def view(self) -> dict[str, Any]:
        """Return the exec as `GET /exec/{id}/json` prints it."""
        process_config: dict[str, Any] = {
            "tty": self.config["Tty"],
            "entrypoint": self.command[0],
            "arguments": self.command[1:],
            "privileged": self.config["Privileged"],
        }
        if self.config["User"]:
            process_config["user"] = self.config["User"]
        return {
            "ID": self.id,
            "Running": self.is_running,
            "ExitCode": self.exit_code,
            "ProcessConfig": process_config,
            "OpenStdin": self.config["AttachStdin"],
            "OpenStderr": self.config["AttachStderr"],
            "OpenStdout": self.config["AttachStdout"],
            "CanRemove": False,
            "ContainerID": self.container.id,
            "DetachKeys": "",
            "Pid": self.process.pid if self.process is not None else 0,
        }

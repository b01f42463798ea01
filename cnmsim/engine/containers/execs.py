"""`docker exec`: further processes in a running container.

Source: moby `daemon/exec.go`, `api/types/container/exec.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define, field

from cnmsim.engine.containers.container import Container
from cnmsim.engine.containers.exec_user import find_user, with_capabilities
from cnmsim.engine.containers.executables import (
    CommandNotExecutableError,
    CommandNotFoundError,
    check_directory,
    find_program,
    in_directory,
    runtime_text,
)
from cnmsim.engine.containers.names import hex_id
from cnmsim.engine.containers.state import ContainerState
from cnmsim.engine.containers.streams import StandardStreams
from cnmsim.errors import Conflict, InvalidParameter, NotFound, SystemFault
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.process import SIGKILL, Process

if TYPE_CHECKING:
    from cnmsim.engine.engine import Engine

_REMEMBERED_S = 300
#: Execs from one sweep of those that ended to the next.
_SWEEP = 64
#: The exit code of what could not be started.
_NOT_STARTED = 126


@define(eq=False)
class Exec:
    """One exec of a container: asked for, then perhaps started, then ended with `exit_code`."""

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
        """End with the container's first process."""
        if self.process is not None:
            for child in tuple(self.process.children):
                child.kill(SIGKILL)
            self.process.kill(SIGKILL)

    @property
    def is_running(self) -> bool:
        """Whether its process runs."""
        return self.process is not None and self.process.is_running

    def view(self) -> dict[str, Any]:
        """Give it as the API prints it."""
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


def create_exec(engine: Engine, container: Container, config: dict[str, Any]) -> Exec:
    """Prepare an exec of `config`, an exec's create body as read. Raises `Conflict` or `InvalidParameter`."""
    if not config["Cmd"]:
        raise InvalidParameter("No exec command specified")
    check_active(container)
    _forget_ended(engine)
    streams = StandardStreams(engine.clock, has_stdin=config["AttachStdin"], is_terminal=config["Tty"])
    execution = Exec(hex_id(engine.random), container, list(config["Cmd"]), config, streams)
    container.execs[execution.id] = execution
    engine.execs[execution.id] = execution
    _log(engine, execution, f"exec_create: {_words(execution)}")
    return execution


def _forget_ended(engine: Engine) -> None:
    """Forget the execs that ended a while ago (moby `execCommandGC`), above all those of health checks."""
    if len(engine.execs) % _SWEEP:
        return
    limit_ns = engine.clock.now_ns - _REMEMBERED_S * NS_PER_S
    for each in tuple(engine.execs.values()):
        if each.ended_ns is not None and each.ended_ns <= limit_ns:
            del engine.execs[each.id]


def check_active(container: Container) -> None:
    """Refuse a container that does not run, or is paused or restarting. Raises `Conflict`."""
    container.require_running()
    if container.state is ContainerState.PAUSED:
        raise Conflict(f"Container {container.name} is paused, unpause the container before exec")
    container.require_not_restarting(f"Container {container.id}")


def find_exec(engine: Engine, identity: str) -> Exec:
    """Give an exec by its id. Raises `NotFound`."""
    found = engine.execs.get(identity)
    if found is None:
        raise NotFound(f"No such exec instance: {identity}")
    return found


def start_exec(engine: Engine, execution: Exec) -> None:
    """Run an exec; its output goes to whoever listens to its streams.

    Raises `Conflict` if it ran before or its container does not run, `InvalidParameter` for a command and `SystemFault`
    for a user that does not exist; the exec then has an exit code.
    """
    container = execution.container
    if execution.has_run:
        raise Conflict(f"Error: Exec command {execution.id} has already run")
    check_active(container)
    execution.has_run = True
    _log(engine, execution, f"exec_start: {_words(execution)}")
    config = execution.config
    try:
        user = find_user(config["User"] or container.config["User"], container.files)
        credentials = with_capabilities(user, container.host_config, is_privileged=config["Privileged"])
    except SystemFault:
        _refused(engine, execution, _NOT_STARTED)
        raise
    own = [*(container.config["Env"] or ()), *(config["Env"] or ())]
    env = engine.lifecycle.environment(container, own, credentials, has_terminal=config["Tty"])
    env = in_directory(env, config["WorkingDir"])
    try:
        if config["WorkingDir"] != container.config["WorkingDir"]:
            check_directory(config["WorkingDir"], container.files)
        program, argv = find_program(execution.command, env, container.files, engine.programs)
    except (CommandNotFoundError, CommandNotExecutableError) as cause:
        profile = engine.profile
        is_missing = isinstance(cause, CommandNotFoundError)
        _refused(engine, execution, profile.exec_not_found_status if is_missing else _NOT_STARTED)
        raise InvalidParameter(
            "OCI runtime exec failed: exec failed: unable to start container process: "
            f"{runtime_text(cause, profile.runtime_error_suffix)}"
        ) from None
    first = container.process
    assert first is not None
    streams = execution.streams
    process = engine.machine.spawn(
        program,
        argv,
        namespace=first.namespace,
        files=container.files,
        hostname=container.hostname,
        env=env,
        credentials=credentials,
        stdin=streams.stdin,
        stdout=streams.stdout,
        stderr=streams.stderr,
        programs=engine.programs,
        on_exit=lambda process: _ended(engine, execution, process),
    )
    execution.process = process
    streams.on_interrupt = process.interrupt


def _refused(engine: Engine, execution: Exec, exit_code: int) -> None:
    _over(engine, execution, exit_code)
    execution.streams.finish(exit_code)


def _over(engine: Engine, execution: Exec, exit_code: int | None) -> None:
    execution.exit_code = exit_code
    execution.ended_ns = engine.clock.now_ns
    execution.container.execs.pop(execution.id, None)


def _ended(engine: Engine, execution: Exec, process: Process) -> None:
    _over(engine, execution, process.exit_status)
    _log(engine, execution, "exec_die", {"exitCode": str(process.exit_status)})
    execution.streams.finish(process.exit_status or 0)


def _words(execution: Exec) -> str:
    # Docker joins command and arguments with one blank, even if there are none.
    return f"{execution.command[0]} {' '.join(execution.command[1:])}"


def _log(engine: Engine, execution: Exec, action: str, extra: dict[str, str] | None = None) -> None:
    engine.log_container(execution.container, action, {"execID": execution.id, **(extra or {})})

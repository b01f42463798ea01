"""Create and start execs (`docker exec`): further processes in a running container.

Source: moby `daemon/exec.go`, `api/types/container/exec.go`.
"""

from __future__ import annotations

from typing import Any

from cnmsim.engine.containers.container import Container
from cnmsim.engine.containers.detach_keys import parse_detach_keys
from cnmsim.engine.containers.environment import process_environment
from cnmsim.engine.containers.exec import Exec
from cnmsim.engine.containers.exec_user import find_user, with_capabilities, with_groups
from cnmsim.engine.containers.executables import (
    CommandNotExecutableError,
    CommandNotFoundError,
    check_directory,
    in_directory,
    runtime_text,
)
from cnmsim.engine.containers.host_resources import resource_limits
from cnmsim.engine.containers.processes import spawn_process
from cnmsim.engine.containers.state import ContainerState
from cnmsim.engine.containers.streams import StandardStreams
from cnmsim.engine.context import EngineContext
from cnmsim.engine.networks.legacy_links import check_links
from cnmsim.engine.standins.standin import choose_exec_program
from cnmsim.errors import Conflict, InvalidParameter, NotFound, SystemFault
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.credentials import Credentials
from cnmsim.kernel.process import Process
from cnmsim.libnetwork.profile import Profile
from cnmsim.stringid import hex_id

_REMEMBERED_S = 300
#: Ended execs are dropped whenever this many more have been created.
_SWEEP = 64
#: Exit code of an exec that could not be started.
_NOT_STARTED = 126


def create_exec(context: EngineContext, container: Container, config: dict[str, Any]) -> Exec:
    """Create an exec from `config`, the decoded body of `POST /containers/{id}/exec`.

    Raises `InvalidParameter` if the body contains no command or, from 28 on, an unknown user; `Conflict` if the
    container is not running normally (see `check_active`); and `SystemFault` for unknown detach keys, or if a
    container that it links to does not run.
    """
    if not config["Cmd"]:
        raise InvalidParameter("No exec command specified")
    check_active(container)
    if config["User"] and context.profile.exec_user_is_checked_at_create:
        try:
            _user_of(context.profile, container, config)
        except SystemFault as error:
            raise InvalidParameter(error.message) from None
    try:
        parse_detach_keys(config["DetachKeys"])
    except ValueError:
        raise SystemFault(f"Invalid escape keys ({config['DetachKeys']}) provided") from None
    check_links(context.containers, container)
    _forget_ended(context)
    streams = StandardStreams(context.clock, has_stdin=config["AttachStdin"], is_terminal=config["Tty"])
    execution = Exec(hex_id(context.random), container, list(config["Cmd"]), config, streams)
    container.execs[execution.id] = execution
    context.execs[execution.id] = execution
    _log(context, execution, f"exec_create: {_words(execution)}")
    return execution


def _forget_ended(context: EngineContext) -> None:
    """Drop the execs that ended more than five minutes ago (moby `execCommandGC`), most of them health checks."""
    if len(context.execs) % _SWEEP:
        return
    limit_ns = context.clock.now_ns - _REMEMBERED_S * NS_PER_S
    for execution in tuple(context.execs.values()):
        if execution.ended_ns is not None and execution.ended_ns <= limit_ns:
            del context.execs[execution.id]


def check_active(container: Container) -> None:
    """Raise `Conflict` unless the container runs and is neither paused nor waiting to be restarted."""
    container.require_running()
    if container.state is ContainerState.PAUSED:
        raise Conflict(f"Container {container.name} is paused, unpause the container before exec")
    container.require_not_restarting(f"Container {container.id}")


def _user_of(profile: Profile, container: Container, config: dict[str, Any]) -> Credentials:
    user = find_user(config["User"] or container.config["User"], container.files)
    return with_groups(profile, user, container.host_config["GroupAdd"] or (), container.files)


def find_exec(context: EngineContext, identity: str) -> Exec:
    """Return the exec with this id.

    Raises `NotFound` if there is none, or if it was dropped some time after its end.
    """
    execution = context.execs.get(identity)
    if execution is None:
        raise NotFound(f"No such exec instance: {identity}")
    return execution


def start_exec(context: EngineContext, execution: Exec) -> None:
    """Start an exec. Its output goes to the listeners of its streams.

    Raises `Conflict` if it was started before or its container does not run, `InvalidParameter` for a command that
    cannot be executed, and `SystemFault` for an unknown user; in the latter two cases the exec gets an exit code.
    """
    container = execution.container
    if execution.has_run:
        raise Conflict(f"Error: Exec command {execution.id} has already run")
    check_active(container)
    execution.has_run = True
    _log(context, execution, f"exec_start: {_words(execution)}")
    config = execution.config
    try:
        user = _user_of(context.profile, container, config)
        credentials = with_capabilities(user, container.host_config, is_privileged=config["Privileged"])
    except SystemFault:
        _refused(context, execution, _NOT_STARTED)
        raise
    own = [*(container.config["Env"] or ()), *(config["Env"] or ())]
    env = process_environment(context, container, own, credentials, has_terminal=config["Tty"])
    env = in_directory(env, config["WorkingDir"])
    try:
        if config["WorkingDir"] != container.config["WorkingDir"]:
            check_directory(config["WorkingDir"], container.files)
        program, argv = choose_exec_program(context, container, execution.command, env)
    except (CommandNotFoundError, CommandNotExecutableError) as cause:
        profile = context.profile
        is_missing = isinstance(cause, CommandNotFoundError)
        _refused(context, execution, profile.exec_not_found_status if is_missing else _NOT_STARTED)
        text = runtime_text(cause, profile.runtime_error_suffix)
        raise InvalidParameter(
            f"OCI runtime exec failed: exec failed: unable to start container process: {text}"
        ) from None
    first = container.process
    assert first is not None
    execution.process = spawn_process(
        context,
        container,
        program,
        argv,
        namespace=first.namespace,
        env=env,
        credentials=credentials,
        streams=execution.streams,
        on_exit=lambda process: _ended(context, execution, process),
        pid_namespace=first.pid_namespace,
    )
    execution.process.rlimits = resource_limits(container)


def _refused(context: EngineContext, execution: Exec, exit_code: int) -> None:
    _over(context, execution, exit_code)
    execution.streams.finish(exit_code)


def _over(context: EngineContext, execution: Exec, exit_code: int | None) -> None:
    execution.exit_code = exit_code
    execution.ended_ns = context.clock.now_ns
    execution.container.execs.pop(execution.id, None)


def _ended(context: EngineContext, execution: Exec, process: Process) -> None:
    _over(context, execution, process.exit_status)
    _log(context, execution, "exec_die", {"exitCode": str(process.exit_status)})
    execution.streams.finish(process.exit_status or 0)


def _words(execution: Exec) -> str:
    # Docker joins command and arguments with one blank, also if there are no arguments.
    return f"{execution.command[0]} {' '.join(execution.command[1:])}"


def _log(context: EngineContext, execution: Exec, action: str, extra: dict[str, str] | None = None) -> None:
    context.log_container(execution.container, action, {"execID": execution.id, **(extra or {})})

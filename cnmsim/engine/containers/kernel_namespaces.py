"""The PID, IPC and UTS namespaces of containers: `--pid`, `--ipc` and `--uts`.

Source: moby `daemon/{container_operations_unix,oci_linux}.go`, `api/types/container/hostconfig_unix.go`. IPC objects
are not simulated, only the checks that an engine makes.
"""

from __future__ import annotations

from typing import Any

from cnmsim.engine.containers.container import Container
from cnmsim.engine.context import EngineContext
from cnmsim.errors import InvalidParameter, SystemFault
from cnmsim.kernel.pid_namespace import PidNamespace

_IPC_MODES = ("", "none", "host", "private", "shareable")
_JOIN = "container:"


def check_modes(host_config: dict[str, Any]) -> None:
    """Validate the PID, IPC and UTS modes of a HostConfig, such as `host`.

    Raises `InvalidParameter` for an unknown mode.
    """
    for key, title, modes in (
        ("IpcMode", "IPC", _IPC_MODES), ("PidMode", "PID", ("", "host")), ("UTSMode", "UTS", ("", "host")),
    ):  # fmt: skip
        mode = host_config[key]
        can_join = key != "UTSMode" and mode.startswith(_JOIN) and len(mode) > len(_JOIN)
        if mode not in modes and not can_join:
            raise InvalidParameter(f"invalid {title} mode: {mode}")


def resolve_joined(context: EngineContext, host_config: dict[str, Any]) -> None:
    """Replace container names in `--pid container:NAME` and `--ipc container:NAME` by ids, in place.

    Raises `InvalidParameter` if there is no such container.
    """
    for key in ("PidMode", "IpcMode"):
        mode = host_config[key]
        if mode.startswith(_JOIN):
            name = mode.removeprefix(_JOIN)
            container = context.containers.find(name)
            if container is None:
                raise InvalidParameter(f"No such container: {name}")
            host_config[key] = f"{_JOIN}{container.id}"


def check_ipc(context: EngineContext, container: Container) -> None:
    """Check that a container can join the IPC namespace of the other container that `--ipc container:NAME` names.

    Raises `SystemFault` if the other container does not run, or if its IPC mode is not `shareable` or `host`. Any
    other IPC mode passes the check.
    """
    mode = container.host_config["IpcMode"]
    if mode.startswith(_JOIN):
        prefix = "failed to join IPC namespace"
        donor = _running(context, mode.removeprefix(_JOIN), prefix)
        if donor.host_config["IpcMode"] not in ("shareable", "host"):
            hint = "hint: use IpcMode:shareable for the donor container"
            raise SystemFault(f"{prefix}: container {donor.id}: non-shareable IPC ({hint})")


def joined_pid_namespace(context: EngineContext, container: Container) -> PidNamespace | None:
    """Return the PID namespace of another container that a container joins; `None` if it gets its own.

    Raises `SystemFault` if the other container does not run.
    """
    mode = container.host_config["PidMode"]
    if mode == "host":
        return context.machine.pids
    if not mode.startswith(_JOIN):
        return None
    donor = _running(context, mode.removeprefix(_JOIN), "failed to join PID namespace")
    assert donor.process is not None, "a running container has a process"
    return donor.process.pid_namespace


def _running(context: EngineContext, identity: str, prefix: str) -> Container:
    container = context.containers.find(identity)
    if container is None:
        raise SystemFault(f"{prefix}: No such container: {identity}")
    if container.process is None:
        raise SystemFault(f"{prefix}: container {container.id} is not running")
    return container

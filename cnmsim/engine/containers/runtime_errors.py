"""The checks that runc makes at the start of a container: commands, sysctls and devices.

If one fails, the text of the error is the daemon's, which contains runc's. Source: moby `daemon/start.go`,
`libcontainerd/remote/client.go` (v26.1.5), runc `libcontainer/container_linux.go`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from cnmsim.engine.containers.container import Container
from cnmsim.engine.containers.executables import CommandNotExecutableError, CommandNotFoundError, runtime_text
from cnmsim.engine.containers.host_resources import wrong_limit
from cnmsim.engine.containers.resources import wrong_cpu_weight
from cnmsim.engine.context import EngineContext
from cnmsim.engine.standins.standin import choose_program
from cnmsim.errors import EngineError, InvalidParameter, SystemFault
from cnmsim.kernel.process import Program
from cnmsim.libnetwork.profile import Profile
from cnmsim.libnetwork.sandbox import Sandbox

#: Exit codes of containers that could not be started.
_NOT_EXECUTABLE, _NOT_FOUND, UNKNOWN = 126, 127, 128
_FAILED = (
    "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: "
)
_START = f"{_FAILED}unable to start container process: "
IN_INIT = f"{_START}error during container init: "
#: Prefixes of the kernel's errors about sysctls.
_OF_SYSCTLS = ("open /proc/sys/", "write /proc/sys/")
_OF_A_DEVICE = re.compile(r"net\.ipv[46]\.(?:conf|neigh)\.([^.]+)\.")
_SEPARATE_KERNEL_SYSCTLS = ("fs.mqueue.", "kernel.msg", "kernel.sem", "kernel.shm", "net.")


class StartError(Exception):
    """A failed start of a container: `error` is the error for the client, `exit_code` the container's exit code."""

    def __init__(self, error: EngineError, exit_code: int) -> None:
        super().__init__(error.message)
        self.error, self.exit_code = error, exit_code


def as_runtime_error(profile: Profile, error: EngineError) -> EngineError:
    """Convert an error about a sysctl to the error that runc reports for it. Return other errors unchanged."""
    if not error.message.startswith(_OF_SYSCTLS):
        return error
    return SystemFault(f"{IN_INIT}{error.message}{profile.runtime_error_suffix}")


def set_key(profile: Profile, sandbox: Sandbox) -> None:
    """Set up the interfaces of a sandbox in its container's network namespace.

    If that fails, raises an `EngineError` with the text that the daemon reports then.
    """
    try:
        sandbox.set_key()
    except EngineError as error:
        if error.message.startswith(_OF_SYSCTLS):
            raise as_runtime_error(profile, error) from None
        # In 26.1 the interfaces are set up by a prestart hook of the task, and runc reports its error.
        raise SystemFault(
            f"{IN_INIT}error running hook #0: error running hook: exit status 1, stdout: , stderr: {error.message}"
            f"{profile.runtime_error_suffix}"
        ) from None


def require_devices(profile: Profile, container: Container, sandbox: Sandbox | None) -> None:
    """Check that the interface in the name of each of the container's sysctls exists in its `sandbox`.

    This is called once all interfaces are set up. Raises `SystemFault`, with the text of runc, if one is missing.
    """
    if sandbox is None or sandbox.osl is None:
        return
    for name in container.host_config.get("Sysctls") or {}:
        match = _OF_A_DEVICE.match(name)
        if match and match[1] not in {"all", "default", *sandbox.osl.namespace.devices}:
            missing = SystemFault(f"open /proc/sys/{name.replace('.', '/')}: no such file or directory")
            raise as_runtime_error(profile, missing)


def check_sysctls(profile: Profile, container: Container) -> None:
    """Check that a container may set its sysctls.

    Raises `StartError` for a sysctl that has no separate value in a container's namespaces, such as `vm.swappiness`.
    """
    for name in container.host_config.get("Sysctls") or {}:
        if not name.startswith(_SEPARATE_KERNEL_SYSCTLS):
            cause = f'sysctl "{name}" is not in a separate kernel namespace'
        elif name.startswith("net.") and container.is_host_network:
            cause = f'sysctl "{name}" not allowed in host network namespace'
        else:
            continue
        raise StartError(SystemFault(f"{_FAILED}{cause}{profile.runtime_error_suffix}").about(name), UNKNOWN)


def check_limits(profile: Profile, container: Container) -> None:
    """Check the CPU shares and resource limits as runc does. Raises `StartError` if one cannot be set."""
    weight, limit = wrong_cpu_weight(container), wrong_limit(container)
    if not weight and not limit:
        return
    cause = f"{IN_INIT}error setting cgroup config for procHooks process: {weight}" if weight else _FAILED + limit
    raise StartError(SystemFault(f"{cause}{profile.runtime_error_suffix}"), UNKNOWN)


def find_command(
    context: EngineContext, container: Container, argv: list[str], env: Mapping[str, str]
) -> tuple[Program, list[str]]:
    """Return the program that a container's command line `argv` runs, and its arguments.

    Raises `StartError` if the program does not exist or cannot be executed.
    """
    try:
        return choose_program(context, container, argv, env)
    except (CommandNotFoundError, CommandNotExecutableError) as cause:
        profile = context.profile
        detail = f"{profile.runtime_error_detail}{runtime_text(cause, profile.runtime_error_suffix)}"
        code = _NOT_FOUND if isinstance(cause, CommandNotFoundError) else _NOT_EXECUTABLE
        raise StartError(InvalidParameter(_START + detail), code) from None

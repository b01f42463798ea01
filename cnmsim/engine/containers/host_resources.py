"""Devices of the host (`--device`) and resource limits (`--ulimit`) of containers: check and apply them at a start.

Source: moby `oci/devices_linux.go` (v26.1.5), runc `libcontainer/{specconv,init_linux}.go`.
"""

from __future__ import annotations

import posixpath

from cnmsim.engine.containers.container import Container
from cnmsim.errors import SystemFault
from cnmsim.kernel.inode import Directory, Inode
from cnmsim.kernel.machine import Machine

#: The resources of setrlimit(2) in the order of their numbers.
_RESOURCES = (
    "CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE", "MEMLOCK", "AS", "LOCKS", "SIGPENDING",
    "MSGQUEUE", "NICE", "RTPRIO", "RTTIME",
)  # fmt: skip


def resource_limits(container: Container) -> dict[str, tuple[int, int]]:
    """Return a container's resource limits as {name: (soft limit, hard limit)}, such as NOFILE.

    -1 means unlimited.
    """
    limits = container.host_config["Ulimits"] or ()
    return {limit["Name"].upper(): (limit["Soft"], limit["Hard"]) for limit in limits}


def wrong_limit(container: Container) -> str:
    """Return runc's error text for the first resource limit that cannot be set, or "" if all can."""
    for name, (soft, hard) in resource_limits(container).items():
        if name not in _RESOURCES:
            return f"wrong rlimit value: RLIMIT_{name}"
        if hard >= 0 and (soft > hard or soft < 0):
            return (
                "unable to start container process: error during container init: error setting rlimits for ready"
                f" process: error setting rlimit type {_RESOURCES.index(name)}: invalid argument"
            )
    return ""


def _host_devices(container: Container, machine: Machine) -> list[tuple[str, Inode]]:
    """Return the host's devices that `--device` passes to a container, with their paths in the container.

    A directory passes all devices in it. Raises `SystemFault` for a path that does not exist.
    """
    found: list[tuple[str, Inode]] = []
    for mapping in container.host_config["Devices"] or ():
        path, target = mapping["PathOnHost"], mapping["PathInContainer"] or mapping["PathOnHost"]
        try:
            inode = machine.files.inode(path)
        except OSError as error:
            raise SystemFault(
                f'error gathering device information while adding custom device "{path}": '
                f"{(error.strerror or '').lower()}"
            ) from None
        if not isinstance(inode, Directory):
            found.append((target, inode))
            continue
        found += [
            (posixpath.join(target, name), machine.files.inode(posixpath.join(path, name)))
            for name in machine.files.listdir(path)
            if not isinstance(machine.files.inode(posixpath.join(path, name)), Directory)
        ]
    return found


def check_devices(container: Container, machine: Machine) -> None:
    """Check that the paths of `--device` exist on the host. Raises `SystemFault` if one does not."""
    _host_devices(container, machine)


def add_devices(container: Container, machine: Machine) -> None:
    """Add the host's devices that `--device` names to a container's files."""
    for path, inode in _host_devices(container, machine):
        container.files.add(path, inode)

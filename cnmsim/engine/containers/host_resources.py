"""Devices of the host and limits of setrlimit(2) in containers: what a start checks, and what it applies.

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
    """Return the soft and hard limits of a container by the name of the resource; -1 is none."""
    limits = container.host_config["Ulimits"] or ()
    return {limit["Name"].upper(): (limit["Soft"], limit["Hard"]) for limit in limits}


def wrong_limit(container: Container) -> str:
    """Return runc's error about a limit that cannot be set, or ""."""
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
    """Return the devices of the host that a container gets, with their paths in it. Raises `SystemFault`."""
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
    """Check that the devices of `--device` exist on the host. Raises `SystemFault`."""
    _host_devices(container, machine)


def add_devices(container: Container, machine: Machine) -> None:
    """Add the devices of `--device` to a container's /dev."""
    for path, inode in _host_devices(container, machine):
        container.files.add(path, inode)

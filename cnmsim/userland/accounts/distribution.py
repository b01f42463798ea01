"""Programs of one name that differ between distributions: passwd, adduser, addgroup, deluser, delgroup."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process


def is_debian(process: Process, *identifiers: str) -> bool:
    """Return True if /etc/os-release has one of these values of ID, by default Debian's or Ubuntu's."""
    files = process.files
    text = files.read("/etc/os-release").decode() if files.exists("/etc/os-release") else ""
    return any(f"\nID={identifier}\n" in f"\n{text}" for identifier in identifiers or ("debian", "ubuntu"))


async def _run(process: Process, name: str, debian_module: str) -> int:
    module = debian_module if is_debian(process) else "busybox"
    status: int = await getattr(import_module(f"cnmsim.userland.accounts.{module}"), name)(process)
    return status


async def passwd(process: Process) -> int:
    """Run the passwd of the process's distribution: that of Debian, or busybox's."""
    return await _run(process, "passwd", "shadow")


async def adduser(process: Process) -> int:
    """Run the adduser of the process's distribution: that of Debian, or busybox's."""
    return await _run(process, "adduser", "adduser")


async def addgroup(process: Process) -> int:
    """Run the addgroup of the process's distribution: that of Debian, or busybox's."""
    return await _run(process, "addgroup", "adduser")


async def deluser(process: Process) -> int:
    """Run the deluser of the process's distribution: that of Debian, or busybox's."""
    return await _run(process, "deluser", "adduser")


async def delgroup(process: Process) -> int:
    """Run the delgroup of the process's distribution: that of Debian, or busybox's."""
    return await _run(process, "delgroup", "adduser")

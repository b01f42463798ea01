"""Programs that have one name and differ between distributions: passwd, and the messages of su."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process


def is_debian(process: Process) -> bool:
    """Return True if /etc/os-release is that of Debian or Ubuntu."""
    files = process.files
    text = files.read("/etc/os-release").decode() if files.exists("/etc/os-release") else ""
    return "ID=debian\n" in text or "ID=ubuntu\n" in text


async def passwd(process: Process) -> int:
    """Run the passwd of the process's distribution: that of Debian, or busybox's."""
    if is_debian(process):
        from cnmsim.userland.accounts import shadow

        return await shadow.passwd(process)
    from cnmsim.userland.accounts import busybox

    return await busybox.passwd(process)

"""The mount table of a file system, as /proc/mounts, mount(8) and df(1) show it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.kernel.inode import LayeredDirectory

if TYPE_CHECKING:
    from cnmsim.kernel.files import FileSystem

_PROC = "rw,nosuid,nodev,noexec,relatime"


def mount_lines(files: FileSystem) -> list[tuple[str, str, str, str]]:
    """Return (device, mount point, type, options) of every mounted file system, the root first."""
    is_container = isinstance(files.root, LayeredDirectory)
    root = ("overlay", "/", "overlay") if is_container else ("/dev/vda1", "/", "ext4")
    mode = "ro" if files.is_read_only else "rw"
    lines = [(*root, f"{mode},relatime"), ("proc", "/proc", "proc", _PROC), _dev()]
    lines.append(("devpts", "/dev/pts", "devpts", "rw,nosuid,noexec,relatime,gid=5,mode=620,ptmxmode=666"))
    lines.append(("sysfs", "/sys", "sysfs", f"{'ro' if is_container else 'rw'},nosuid,nodev,noexec,relatime"))
    for mount in files.mounts():
        if mount.path.startswith(("/proc", "/sys", "/dev")) and mount.device != "shm":
            continue
        options = f"{'ro' if mount.is_read_only else 'rw'},relatime"
        if mount.kind == "tmpfs":
            size = f",size={mount.limit >> 10}k" if mount.limit else ""
            lines.append(
                (
                    "shm" if mount.device == "shm" else "tmpfs",
                    mount.path,
                    "tmpfs",
                    mount.options or f"{options}{size}",
                )
            )
        else:
            lines.append(("/dev/vda1", mount.path, "ext4", options))
    return lines


def _dev() -> tuple[str, str, str, str]:
    return "tmpfs", "/dev", "tmpfs", "rw,nosuid,size=65536k,mode=755"


def proc_mounts(files: FileSystem) -> str:
    """Return the text of /proc/mounts."""
    return "".join(f"{' '.join(line)} 0 0\n" for line in mount_lines(files))

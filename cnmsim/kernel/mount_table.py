"""The mount table of a file system, as /proc/mounts, mount(8) and df(1) show it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.kernel.inode import LayeredDirectory

if TYPE_CHECKING:
    from cnmsim.kernel.files import FileSystem
    from cnmsim.kernel.namei import Mount

Line = tuple[str, str, str, str]
_VIRTUAL = "nosuid,nodev,noexec,relatime"
_DEV = "rw,nosuid,size=65536k,mode=755"
#: Files of the engine, which runc mounts after the user's.
_ENGINE_FILES = ("/etc/resolv.conf", "/etc/hostname", "/etc/hosts")
#: What runc protects in a container that is not privileged: read-only paths, and masked ones (moby
#: `oci/defaults.go`).
_PROTECTED: tuple[Line, ...] = (
    *(("proc", f"/proc/{name}", "proc", f"ro,{_VIRTUAL}") for name in ("bus", "fs", "irq", "sys", "sysrq-trigger")),
    ("tmpfs", "/proc/acpi", "tmpfs", "ro,relatime"),
    *(("tmpfs", f"/proc/{name}", "tmpfs", _DEV) for name in ("kcore", "keys", "timer_list")),
    ("tmpfs", "/sys/firmware", "tmpfs", "ro,relatime"),
)


def mount_lines(files: FileSystem) -> list[Line]:
    """Return (device, mount point, type, options) of every mounted file system, the root first."""
    is_container = isinstance(files.root, LayeredDirectory)
    mounts = {mount.path: mount for mount in files.mounts()}
    # An engine mounts /proc/sys read-only unless the container is privileged.
    is_protected = is_container and "/proc/sys" in mounts and mounts["/proc/sys"].is_read_only
    root = ("overlay", "/", "overlay") if is_container else ("/dev/vda1", "/", "ext4")
    lines = [
        (*root, f"{'ro' if files.is_read_only else 'rw'},relatime"),
        ("proc", "/proc", "proc", f"rw,{_VIRTUAL}"),
        ("tmpfs", "/dev", "tmpfs", _DEV),
        ("devpts", "/dev/pts", "devpts", "rw,nosuid,noexec,relatime,gid=5,mode=620,ptmxmode=666"),
        ("sysfs", "/sys", "sysfs", f"{'ro' if is_protected else 'rw'},{_VIRTUAL}"),
    ]
    if "/sys/fs/cgroup" in mounts:
        lines.append(_line(mounts["/sys/fs/cgroup"]))
    lines.append(("mqueue", "/dev/mqueue", "mqueue", f"rw,{_VIRTUAL}"))
    lines += [_line(mount) for mount in mounts.values() if mount.device == "shm"]
    others = [
        mount
        for mount in mounts.values()
        if not mount.path.startswith(("/proc", "/sys", "/dev")) and mount.device != "shm"
    ]
    last = {path: place for place, path in enumerate(_ENGINE_FILES, 1)}
    lines += [_line(mount) for mount in sorted(others, key=lambda mount: last.get(mount.path, 0))]
    return [*lines, *(_PROTECTED if is_protected else ())]


def _line(mount: Mount) -> Line:
    access = "ro" if mount.is_read_only else "rw"
    options = mount.options or "relatime"
    if not options.startswith(("ro", "rw")):
        options = f"{access},{options}"
    if mount.kind == "tmpfs":
        size = f",size={mount.limit >> 10}k" if mount.limit and not mount.options else ""
        return "shm" if mount.device == "shm" else "tmpfs", mount.path, "tmpfs", f"{options}{size}"
    if mount.device == "cgroup":
        return "cgroup", mount.path, mount.kind, options
    return "/dev/vda1", mount.path, "ext4", f"{access},relatime"


def proc_mounts(files: FileSystem) -> str:
    """Return the text of /proc/mounts."""
    return "".join(f"{' '.join(line)} 0 0\n" for line in mount_lines(files))

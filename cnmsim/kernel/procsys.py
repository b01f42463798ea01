"""/proc/sys/net: the sysctls of a network namespace as files.

Which namespace /proc shows depends on the reading process.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from cnmsim.kernel import procnet
from cnmsim.kernel.inode import Directory, File

if TYPE_CHECKING:
    from cnmsim.kernel.files import FileSystem
    from cnmsim.kernel.namespace import NetworkNamespace

ROOT = "/proc/sys"


class SysctlFile(File):
    """One sysctl as a file. Reading returns the value and a newline; writing sets the value."""

    def __init__(self, namespace: NetworkNamespace, key: str, *, is_read_only: bool = False) -> None:
        self._namespace = namespace
        self._key = key
        self._is_read_only = is_read_only
        self.mode, self.uid, self.gid, self.mtime_ns = 0o644, 0, 0, 0

    @property
    def content(self) -> bytes:
        """The current value."""
        return f"{self._namespace.sysctl_get(self._key)}\n".encode()

    @content.setter
    def content(self, written: bytes) -> None:
        # Opening for writing truncates without setting anything; of several written lines the last one counts.
        if self._is_read_only:
            raise OSError(errno.EROFS, "Read-only file system")
        lines = written.decode(errors="replace").split("\n")
        value = next((line.strip() for line in reversed(lines) if line.strip()), "")
        if value and value != self._namespace.sysctl_get(self._key):
            self._namespace.sysctl_set(self._key, value)


@frozen
class ProcSys:
    """The /proc/sys tree of a namespace, as a function from paths to files (see `FileSystem.mount`)."""

    namespace: NetworkNamespace
    is_read_only: bool

    def __call__(self, path: str) -> File | None:
        """Return the file of the sysctl at `path`, relative to /proc/sys, or `None` if there is none."""
        # A dot in the path is part of a device's name; the key has a dot in place of both dot and slash.
        key = path.replace("/", ".")
        try:
            self.namespace.sysctl_get(key)
        except OSError:
            return None
        return SysctlFile(self.namespace, key, is_read_only=self.is_read_only)


def mount(files: FileSystem, namespace: NetworkNamespace, *, is_read_only: bool = False) -> None:
    """Mount the sysctls of `namespace` at /proc/sys and its tables at /proc/net.

    `is_read_only` is for a container without privileges, where /proc/sys is read-only.
    """
    if not any(mount.path == "/proc" for mount in files.mounts()):
        files.mount("/proc", Directory(0o555), device="proc", kind="proc", options="nosuid,nodev,noexec,relatime")
    files.mount(ROOT, ProcSys(namespace, is_read_only), is_read_only=is_read_only, device="proc", kind="proc")
    procnet.mount(files, namespace)


def view_for_namespace(files: FileSystem, namespace: NetworkNamespace) -> FileSystem:
    """Return the view of `files` for a process in the network namespace `namespace`.

    In the view /proc/sys and /proc/net show `namespace`. If they already do so in `files`, return `files` itself.
    """
    mounted = files.mounted(ROOT)
    if not isinstance(mounted, ProcSys) or mounted.namespace is namespace:
        return files
    own = evolve(mounted, namespace=namespace)
    return files.with_mounts({ROOT: own, procnet.ROOT: procnet.ProcNet(namespace)})


def write(files: FileSystem, namespace: NetworkNamespace, key: str, value: str) -> None:
    """Set a sysctl of `namespace`, with the restrictions of a process that sees the mounts of `files`.

    Raises `OSError`: ENOENT for an unknown key, EROFS if /proc/sys is mounted read-only, EINVAL for a bad value.
    """
    namespace.sysctl_get(key)
    mounted = files.mounted(ROOT)
    if isinstance(mounted, ProcSys) and mounted.is_read_only:
        raise OSError(errno.EROFS, "Read-only file system")
    namespace.sysctl_set(key, value)

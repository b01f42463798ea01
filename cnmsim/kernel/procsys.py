"""/proc/sys/net: the sysctls of a network namespace as files; and what of /proc is that of the reader's namespace."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from cnmsim.kernel import procnet
from cnmsim.kernel.files import File

if TYPE_CHECKING:
    from cnmsim.kernel.files import FileSystem
    from cnmsim.kernel.namespace import NetworkNamespace

ROOT = "/proc/sys"


class SysctlFile(File):
    """One sysctl as a file: its content is the value and a newline, writing sets the value."""

    def __init__(self, namespace: NetworkNamespace, key: str, *, is_read_only: bool = False) -> None:
        self._namespace = namespace
        self._key = key
        self._is_read_only = is_read_only
        self.mode = 0o644

    @property
    def content(self) -> bytes:
        """The value as it is now."""
        return f"{self._namespace.sysctl_get(self._key)}\n".encode()

    @content.setter
    def content(self, written: bytes) -> None:
        # Opening for writing truncates and sets nothing; of several lines written the last one counts.
        if self._is_read_only:
            raise OSError(errno.EROFS, "Read-only file system")
        lines = written.decode(errors="replace").split("\n")
        value = next((line.strip() for line in reversed(lines) if line.strip()), "")
        if value and value != self._namespace.sysctl_get(self._key):
            self._namespace.sysctl_set(self._key, value)


@frozen
class ProcSys:
    """The sysctls of a namespace as a tree of files."""

    namespace: NetworkNamespace
    is_read_only: bool

    def __call__(self, path: str) -> File | None:
        """Give the file of a sysctl, if there is such a one."""
        # A dot in a path belongs to a device's name, and the sysctl has a dot in either place.
        key = path.replace("/", ".")
        try:
            self.namespace.sysctl_get(key)
        except OSError:
            return None
        return SysctlFile(self.namespace, key, is_read_only=self.is_read_only)


def mount(files: FileSystem, namespace: NetworkNamespace, *, is_read_only: bool = False) -> None:
    """Let `files` show the sysctls of `namespace` below /proc/sys, read-only as in a container without privileges.

    Its tables are below /proc/net.
    """
    files.mount(ROOT, ProcSys(namespace, is_read_only))
    procnet.mount(files, namespace)


def view_for_namespace(files: FileSystem, namespace: NetworkNamespace) -> FileSystem:
    """Give what a process finds in `files` that has view_for_namespace `namespace`: /proc is about where the reader is."""
    mounted = files.mounted(ROOT)
    if not isinstance(mounted, ProcSys) or mounted.namespace is namespace:
        return files
    own = evolve(mounted, namespace=namespace)
    return files.with_mounts({ROOT: own, procnet.ROOT: procnet.ProcNet(namespace)})


def write(files: FileSystem, namespace: NetworkNamespace, key: str, value: str) -> None:
    """Set a sysctl as a program does that has these files mounted and is in this namespace (which nsenter may choose).

    Raises `OSError`: ENOENT for a key nobody knows, EROFS where /proc/sys is mounted read-only, EINVAL for a bad value.
    """
    namespace.sysctl_get(key)
    mounted = files.mounted(ROOT)
    if isinstance(mounted, ProcSys) and mounted.is_read_only:
        raise OSError(errno.EROFS, "Read-only file system")
    namespace.sysctl_set(key, value)

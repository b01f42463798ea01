"""Files and pipes of the simulated userland.

A `FileSystem` is a tree of paths. A `File` can be bound into several trees, as Docker bind-mounts a sandbox's
/etc/hosts into its containers. A `Pipe` carries the input and output of programs.
"""

from __future__ import annotations

import errno
import posixpath
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

from attrs import define, field

from cnmsim.kernel.clock import Clock
from cnmsim.kernel.task import Signal


@define(eq=False)
class File:
    """A regular file: content, permission bits and owner."""

    content: bytes = b""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0


_FIRST_DIRECTORIES = frozenset({"/", "/etc", "/tmp"})  # noqa: S108
_MAX_SHARED_DIRECTORIES = 64


@lru_cache(maxsize=1024)
def _intern(directories: frozenset[str]) -> frozenset[str]:
    """Return one shared instance of equal directory sets."""
    return directories


def _resolve(path: str) -> str:
    # normpath keeps two leading slashes, whose meaning POSIX leaves to the implementation.
    return posixpath.normpath("/" + path.lstrip("/"))


@define(eq=False)
class FileSystem:
    """A tree of files. Relative paths start at the root; the parents of a new file are created with it."""

    _files: dict[str, File] = field(factory=dict, init=False)
    _directories: frozenset[str] | set[str] = field(default=_FIRST_DIRECTORIES, init=False)
    _mounts: dict[str, Callable[[str], File | None]] = field(factory=dict, init=False)
    #: Returns the paths of empty files that exist as long as something else does, such as a pinned namespace.
    _handles: Callable[[], Iterable[str]] = field(default=tuple, init=False)

    def file(self, path: str) -> File:
        """Return the file at `path`. Raises `FileNotFoundError`, `IsADirectoryError` or `NotADirectoryError`."""
        path = _resolve(path)
        file = self._find(path)
        if file is not None:
            return file
        if self.is_dir(path):
            raise IsADirectoryError(errno.EISDIR, "Is a directory", path)
        if self._has_file_parent(path):
            raise NotADirectoryError(errno.ENOTDIR, "Not a directory", path)
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)

    def read(self, path: str) -> bytes:
        """Return the content of a file. Raises as `file` does."""
        return self.file(path).content

    def write(self, path: str, content: bytes) -> None:
        """Replace the content of a file, or create it.

        Raises `IsADirectoryError`, `NotADirectoryError`, `FileNotFoundError` for a new file below a mount point, and
        any `OSError` of a mounted file.
        """
        self._open_for_writing(path).content = content

    def append(self, path: str, content: bytes) -> None:
        """Append to a file, or create it. Raises as `write` does."""
        self._open_for_writing(path).content += content

    def bind(self, path: str, file: File) -> None:
        """Bind a file, possibly shared with other trees, to `path`, replacing a file there.

        Raises `IsADirectoryError` or `NotADirectoryError`.
        """
        path = _resolve(path)
        if path in self._directories:
            raise IsADirectoryError(errno.EISDIR, "Is a directory", path)
        if self._has_file_parent(path):
            raise NotADirectoryError(errno.ENOTDIR, "Not a directory", path)
        self.mkdir(posixpath.dirname(path))
        self._files[path] = file

    def mount(self, path: str, find: Callable[[str], File | None]) -> None:
        """Mount virtual files at `path`: `find` returns the file for a path below it, or `None`.

        A previous mount is replaced.
        """
        self._mounts[_resolve(path)] = find

    def show_handles(self, handles: Callable[[], Iterable[str]]) -> None:
        """Show an empty, undeletable file at every path that `handles` returns at the time of the lookup."""
        self._handles = handles

    def mounted(self, path: str) -> Callable[[str], File | None] | None:
        """Return the `find` function mounted at `path`, or `None`."""
        return self._mounts.get(_resolve(path))

    def _is_mounted(self, path: str) -> bool:
        return any(path.startswith(f"{at}/") for at in self._mounts)

    def _find(self, path: str) -> File | None:
        file = self._files.get(path)
        if file is None:
            for at, find in self._mounts.items():
                if path.startswith(f"{at}/"):
                    return find(path[len(at) + 1 :])
            if path in self._handles():
                return File(b"", 0o444)
        return file

    def exists(self, path: str) -> bool:
        """Return True if a file or directory exists at `path`."""
        path = _resolve(path)
        return self._find(path) is not None or self.is_dir(path)

    def is_dir(self, path: str) -> bool:
        """Return True if `path` is a directory."""
        path = _resolve(path)
        return path in self._directories or any(handle.startswith(f"{path}/") for handle in self._handles())

    def mkdir(self, path: str) -> None:
        """Create a directory and its parents, if missing. Raises `FileExistsError` on a file's path."""
        path = _resolve(path)
        if path in self._files:
            raise FileExistsError(errno.EEXIST, "File exists", path)
        if self._is_mounted(path):
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        if self._has_file_parent(path):
            raise NotADirectoryError(errno.ENOTDIR, "Not a directory", path)
        missing = set()
        while path not in self._directories:
            missing.add(path)
            path = posixpath.dirname(path)
        self._change(missing, set())

    def _change(self, added: set[str], removed: set[str]) -> None:
        # Most trees have few directories, and the containers of one image have the same, so small sets are shared.
        if isinstance(self._directories, frozenset):
            changed = (self._directories | added) - removed
            self._directories = _intern(changed) if len(changed) <= _MAX_SHARED_DIRECTORIES else set(changed)
        else:
            self._directories |= added
            self._directories -= removed

    def remove(self, path: str) -> None:
        """Remove a file or an empty directory.

        Raises `FileNotFoundError`, `PermissionError` for a mounted file, or `OSError` (ENOTEMPTY).
        """
        path = _resolve(path)
        if path not in self._directories:
            self.file(path)
            if path not in self._files:
                raise PermissionError(errno.EACCES, "Permission denied", path)
            del self._files[path]
            return
        if self.listdir(path):
            raise OSError(errno.ENOTEMPTY, "Directory not empty", path)
        self._change(set(), {path})

    def listdir(self, path: str) -> list[str]:
        """Return the sorted names in a directory. Raises `FileNotFoundError` or `NotADirectoryError`."""
        path = _resolve(path)
        if not self.is_dir(path):
            self.file(path)
            raise NotADirectoryError(errno.ENOTDIR, "Not a directory", path)
        below = path.rstrip("/") + "/"
        entries = (*self._files, *self._directories, *self._handles())
        return sorted({entry[len(below) :].partition("/")[0] for entry in entries if entry.startswith(below)} - {""})

    def _open_for_writing(self, path: str) -> File:
        path = _resolve(path)
        file = self._find(path)
        if file is None:
            if self._is_mounted(path):
                raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
            file = File()
            self.bind(path, file)
        return file

    def _has_file_parent(self, path: str) -> bool:
        parent = posixpath.dirname(path)
        while parent != "/":
            if parent in self._files:
                return True
            parent = posixpath.dirname(parent)
        return False

    def with_mounts(self, mounts: Mapping[str, Callable[[str], File | None]]) -> FileSystem:
        """Return a view of the tree with other mounts, as a process in another namespace sees it."""
        return _RemountedView(self, {_resolve(path): find for path, find in mounts.items()})


class _RemountedView(FileSystem):
    """A view of another tree's files and directories with its own mounts."""

    def __init__(self, tree: FileSystem, mounts: dict[str, Callable[[str], File | None]]) -> None:
        self._tree = tree
        self._mounts = {**tree._mounts, **mounts}

    @property
    def _files(self) -> dict[str, File]:  # type: ignore[override]
        return self._tree._files

    @property
    def _directories(self) -> frozenset[str] | set[str]:  # type: ignore[override]
        return self._tree._directories

    @property
    def _handles(self) -> Callable[[], Iterable[str]]:  # type: ignore[override]
        return self._tree._handles

    def _change(self, added: set[str], removed: set[str]) -> None:
        self._tree._change(added, removed)


class Pipe:
    """A stream of bytes from writers to readers. The callbacks in `on_data` receive every write at once."""

    __slots__ = ("_buffer", "_changed", "_waiting", "is_closed", "is_reader_closed", "on_data")

    def __init__(self, clock: Clock) -> None:
        self._buffer = bytearray()
        self._changed = Signal(clock)
        self._waiting = 0
        self.is_closed = False
        self.is_reader_closed = False
        self.on_data: list[Callable[[bytes], None]] = []

    def write(self, data: bytes) -> None:
        """Append `data`. Raises `BrokenPipeError` if either end is closed."""
        if self.is_closed or self.is_reader_closed:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")
        if not data:
            return
        self._buffer += data
        for callback in tuple(self.on_data):
            callback(data)
        self._changed.notify()

    async def read(self, n: int = 65536, timeout_s: float | None = None) -> bytes:
        """Wait for data and return up to `n` bytes; b"" at the end.

        Raises `TimeoutError` after `timeout_s` seconds.
        """
        self._waiting += 1
        try:
            await self._changed.wait_until(lambda: bool(self._buffer) or self.is_closed, timeout_s)
        finally:
            self._waiting -= 1
        data = bytes(self._buffer[:n])
        del self._buffer[:n]
        return data

    @property
    def is_awaited(self) -> bool:
        """Whether a reader is waiting for data."""
        return self._waiting > 0 and not self._buffer and not self.is_closed

    def getvalue(self) -> bytes:
        """Return all unread data without consuming it."""
        return bytes(self._buffer)

    def close(self) -> None:
        """Close the write end: readers get the remaining data, then b""."""
        self.is_closed = True
        self._changed.notify()

    def close_reader(self) -> None:
        """Close the read end: further writes raise `BrokenPipeError`."""
        self.is_reader_closed = True

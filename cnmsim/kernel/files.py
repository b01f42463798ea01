"""Files and pipes of the simulated userland.

A `FileSystem` is a tree of paths; a `File` can be bound into several of them, as Docker binds /etc/hosts of a
sandbox into its containers. A `Pipe` carries what programs read and print.
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
    """A regular file: its content, permission bits, and whose it is."""

    content: bytes = b""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0


_FIRST_DIRECTORIES = frozenset({"/", "/etc", "/tmp"})  # noqa: S108
_FEW_DIRECTORIES = 64


@lru_cache(maxsize=1024)
def _shared(directories: frozenset[str]) -> frozenset[str]:
    """Give a set that equals `directories`: the same one each time."""
    return directories


def _resolve(path: str) -> str:
    # normpath keeps two leading slashes, which POSIX leaves to the system.
    return posixpath.normpath("/" + path.lstrip("/"))


@define(eq=False)
class FileSystem:
    """A tree of files. Relative paths start at the root; parents of a new file are made with it."""

    _files: dict[str, File] = field(factory=dict, init=False)
    _directories: frozenset[str] | set[str] = field(default=_FIRST_DIRECTORIES, init=False)
    _mounts: dict[str, Callable[[str], File | None]] = field(factory=dict, init=False)
    #: Gives the paths of empty files that come and go with something else, such as what holds a namespace open.
    _handles: Callable[[], Iterable[str]] = field(default=tuple, init=False)

    def file(self, path: str) -> File:
        """Give the file at `path`. Raises `FileNotFoundError`, `IsADirectoryError` or `NotADirectoryError`."""
        path = _resolve(path)
        found = self._find(path)
        if found is not None:
            return found
        if self.is_dir(path):
            raise IsADirectoryError(errno.EISDIR, "Is a directory", path)
        if self._file_above(path):
            raise NotADirectoryError(errno.ENOTDIR, "Not a directory", path)
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)

    def read(self, path: str) -> bytes:
        """Give a file's content. Raises as `file` does."""
        return self.file(path).content

    def write(self, path: str, content: bytes) -> None:
        """Replace a file's content, or make the file.

        Raises `IsADirectoryError`, `NotADirectoryError`, and what a mounted file refuses (`OSError`); nobody makes files
        below what is mounted (`FileNotFoundError`).
        """
        self._open_for_writing(path).content = content

    def append(self, path: str, content: bytes) -> None:
        """Add to the end of a file, or make it. Raises as `write` does."""
        self._open_for_writing(path).content += content

    def bind(self, path: str, file: File) -> None:
        """Put a file, which may be in other trees too, at `path`, in place of a file there.

        Raises `IsADirectoryError` or `NotADirectoryError`.
        """
        path = _resolve(path)
        if path in self._directories:
            raise IsADirectoryError(errno.EISDIR, "Is a directory", path)
        if self._file_above(path):
            raise NotADirectoryError(errno.ENOTDIR, "Not a directory", path)
        self.mkdir(posixpath.dirname(path))
        self._files[path] = file

    def mount(self, path: str, find: Callable[[str], File | None]) -> None:
        """Put files below `path` that `find` gives by their way from there, in place of what was mounted there."""
        self._mounts[_resolve(path)] = find

    def hold(self, handles: Callable[[], Iterable[str]]) -> None:
        """Show an empty file at every path that `handles` gives whenever somebody looks; nobody can remove it."""
        self._handles = handles

    def mounted(self, path: str) -> Callable[[str], File | None] | None:
        """Give what was mounted at `path`, if anything was."""
        return self._mounts.get(_resolve(path))

    def _is_mounted(self, path: str) -> bool:
        return any(path.startswith(f"{at}/") for at in self._mounts)

    def _find(self, path: str) -> File | None:
        found = self._files.get(path)
        if found is None:
            for at, find in self._mounts.items():
                if path.startswith(f"{at}/"):
                    return find(path[len(at) + 1 :])
            if path in self._handles():
                return File(b"", 0o444)
        return found

    def exists(self, path: str) -> bool:
        """Tell whether a file or directory is there."""
        path = _resolve(path)
        return self._find(path) is not None or self.is_dir(path)

    def is_dir(self, path: str) -> bool:
        """Tell whether a directory is there."""
        path = _resolve(path)
        return path in self._directories or any(handle.startswith(f"{path}/") for handle in self._handles())

    def mkdir(self, path: str) -> None:
        """Make a directory and its parents; one that is there stays. Raises `FileExistsError` on a file's path."""
        path = _resolve(path)
        if path in self._files:
            raise FileExistsError(errno.EEXIST, "File exists", path)
        if self._is_mounted(path):
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        if self._file_above(path):
            raise NotADirectoryError(errno.ENOTDIR, "Not a directory", path)
        made = set()
        while path not in self._directories:
            made.add(path)
            path = posixpath.dirname(path)
        self._change(made, set())

    def _change(self, made: set[str], gone: set[str]) -> None:
        # Most trees have few directories, and the containers of one image the same.
        if isinstance(self._directories, frozenset):
            changed = (self._directories | made) - gone
            self._directories = _shared(changed) if len(changed) <= _FEW_DIRECTORIES else set(changed)
        else:
            self._directories |= made
            self._directories -= gone

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
        """Give the sorted names in a directory. Raises `FileNotFoundError` or `NotADirectoryError`."""
        path = _resolve(path)
        if not self.is_dir(path):
            self.file(path)
            raise NotADirectoryError(errno.ENOTDIR, "Not a directory", path)
        below = path.rstrip("/") + "/"
        entries = (*self._files, *self._directories, *self._handles())
        return sorted({entry[len(below) :].partition("/")[0] for entry in entries if entry.startswith(below)} - {""})

    def _open_for_writing(self, path: str) -> File:
        path = _resolve(path)
        found = self._find(path)
        if found is None:
            if self._is_mounted(path):
                raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
            found = File()
            self.bind(path, found)
        return found

    def _file_above(self, path: str) -> bool:
        parent = posixpath.dirname(path)
        while parent != "/":
            if parent in self._files:
                return True
            parent = posixpath.dirname(parent)
        return False

    def with_mounts(self, mounts: Mapping[str, Callable[[str], File | None]]) -> FileSystem:
        """Give the same tree with other things mounted, as a process sees it that is in another namespace."""
        return _RemountedView(self, {_resolve(path): find for path, find in mounts.items()})


class _RemountedView(FileSystem):
    """A tree whose files and directories are another's; its mounts are its own."""

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

    def _change(self, made: set[str], gone: set[str]) -> None:
        self._tree._change(made, gone)


class Pipe:
    """A stream of bytes from writers to readers. `on_data` holds callbacks that see every write as it happens."""

    __slots__ = ("_buffer", "_changed", "_waiting", "is_closed", "is_reader_closed", "on_data")

    def __init__(self, clock: Clock) -> None:
        self._buffer = bytearray()
        self._changed = Signal(clock)
        self._waiting = 0
        self.is_closed = False
        self.is_reader_closed = False
        self.on_data: list[Callable[[bytes], None]] = []

    def write(self, data: bytes) -> None:
        """Append `data`. Raises `BrokenPipeError` once either end is closed."""
        if self.is_closed or self.is_reader_closed:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")
        if not data:
            return
        self._buffer += data
        for callback in tuple(self.on_data):
            callback(data)
        self._changed.notify()

    async def read(self, n: int = 65536, timeout_s: float | None = None) -> bytes:
        """Take up to `n` bytes, waiting for the first; b"" at the end. Raises `TimeoutError`."""
        self._waiting += 1
        try:
            await self._changed.wait_until(lambda: bool(self._buffer) or self.is_closed, timeout_s)
        finally:
            self._waiting -= 1
        taken = bytes(self._buffer[:n])
        del self._buffer[:n]
        return taken

    @property
    def is_awaited(self) -> bool:
        """Whether a reader waits and there is nothing to read."""
        return self._waiting > 0 and not self._buffer and not self.is_closed

    def getvalue(self) -> bytes:
        """Give all that is unread, and leave it there."""
        return bytes(self._buffer)

    def close(self) -> None:
        """End the stream: readers get what is left, then b""."""
        self.is_closed = True
        self._changed.notify()

    def close_reader(self) -> None:
        """Say that nobody reads any more: further writes raise `BrokenPipeError`."""
        self.is_reader_closed = True

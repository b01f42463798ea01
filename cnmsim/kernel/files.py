"""Files and pipes of the simulated userland.

A `FileSystem` is what the processes of one mount namespace see: a tree of inodes, with other trees, files and virtual
files mounted in it (mount_namespaces(7)). A `Pipe` carries the input and output of programs.
"""

from __future__ import annotations

import errno
import posixpath
from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, evolve, field

from cnmsim.kernel.clock import Clock
from cnmsim.kernel.inode import (
    Directory,
    File,
    GeneratedFile,
    Inode,
    LayeredDirectory,
    SocketFile,
    Symlink,
    copy_inode,
)
from cnmsim.kernel.namei import Find, Handles, Mount, MountedTree, Place, canonical, error_at
from cnmsim.kernel.task import Signal

__all__ = ["Directory", "File", "FileSystem", "GeneratedFile", "Mount", "Pipe", "Symlink"]


#: The unit in which a tmpfs allocates memory.
_PAGE = 4096


@define(eq=False)
class FileSystem(MountedTree):
    """The files that the processes of one mount namespace see. Relative paths start at the root."""

    #: Called after a file in a tmpfs was written, because its content counts as memory.
    on_tmpfs_growth: Callable[[], None] | None = field(default=None, init=False, repr=False)

    @property
    def base(self) -> FileSystem:
        """The file system itself. For a view such as `ProcessFiles`, the file system that the view shows."""
        return self

    # --- changes

    def write(self, path: str, content: bytes) -> None:
        """Replace the content of a file, or create the file.

        Raises `FileNotFoundError` for a missing directory, `IsADirectoryError`, `NotADirectoryError`, `OSError`
        (EROFS, ENOSPC), and any `OSError` that a virtual file raises. With ENOSPC the file has as much of the content
        as fits.
        """
        self._store(path, content, appends=False)

    def append(self, path: str, content: bytes) -> None:
        """Append to a file, or create it. Raises as `write` does."""
        self._store(path, content, appends=True)

    def _store(self, path: str, content: bytes, *, appends: bool) -> None:
        place = self._place(path)
        file, mount = place.inode, place.mount
        if isinstance(file, Directory) or (file is None and self._is_virtual(place)):
            raise error_at(errno.EISDIR, path)
        if isinstance(file, SocketFile):
            raise error_at(errno.ENXIO, path)
        if file is None and place.parent is None:
            raise error_at(errno.ENOENT, path)
        self._require_writable(place, path)
        is_full = False
        if mount is not None and mount.limit and isinstance(mount.root, Directory):
            others = (inode for _, inode in mount.root.walk() if isinstance(inode, File) and inode is not file)
            room = mount.limit - sum(-(-inode.size // _PAGE) * _PAGE for inode in others)
            room -= file.size if isinstance(file, File) and appends else 0
            is_full = len(content) > room
            content = content[: max(room, 0)]
        if file is None:
            assert place.parent is not None
            file = File()
            place.parent.set(place.name, file)
            self._touch(place.parent)
        elif place.parent is not None and place.path not in self._mounts:
            file = place.parent.writable(place.name)
        assert isinstance(file, File)
        if appends:
            file.content += content
        else:
            file.content = content
        file.mtime_ns = self.now_ns
        if mount is not None and mount.kind == "tmpfs" and self.on_tmpfs_growth is not None:
            self.on_tmpfs_growth()
        if is_full:
            raise error_at(errno.ENOSPC, path)

    def tmpfs_size(self) -> int:
        """Return the total size of the files in all tmpfs mounts, in bytes."""
        roots = [mount.root for mount in self._mounts.values() if mount.kind == "tmpfs"]
        trees = [root for root in roots if isinstance(root, Directory)]
        return sum(inode.size for root in trees for _, inode in root.walk() if type(inode) is File)

    @property
    def now_ns(self) -> int:
        """The present time of day, in nanoseconds since 1970, which becomes the modification time of changed files.

        It is 0 if the file system has no clock.
        """
        return 0 if self.clock is None else self.clock.unix_ns

    def _touch(self, directory: Directory) -> None:
        directory.mtime_ns = self.now_ns

    def _require_writable(self, place: Place, path: str) -> None:
        is_read_only = self.is_read_only if place.mount is None else place.mount.is_read_only
        if is_read_only:
            raise error_at(errno.EROFS, path)

    def put(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Set the content and mode of a file and create missing directories. Raises as `makedirs` and `write` do."""
        self.makedirs(posixpath.dirname(canonical(path)))
        self.write(path, content)
        self.change(path, mode=mode)

    def add(self, path: str, inode: Inode) -> None:
        """Add an inode at `path`, replacing one there that is not a directory. Missing directories are created.

        Raises `IsADirectoryError`, `NotADirectoryError` or `OSError` (EROFS, EBUSY).
        """
        place = self._entry(path, makes_parents=True)
        if isinstance(place.inode, Directory):
            raise error_at(errno.EISDIR, path)
        assert place.parent is not None
        place.parent.set(place.name, inode)
        self._touch(place.parent)

    def _entry(self, path: str, *, makes_parents: bool = False) -> Place:
        """Resolve `path`, whose last component is to be added or removed. A symbolic link there is not followed.

        If `makes_parents` is True, missing parent directories are created. Raises `OSError` if an entry cannot be
        added or removed there, e.g. EBUSY for a mount point.
        """
        parent = posixpath.dirname(canonical(path))
        if makes_parents:
            self.makedirs(parent)
        place = self._place(canonical(path), follows=False)
        if place.path in self._mounts:
            raise error_at(errno.EBUSY, path)
        if place.parent is None:
            raise error_at(errno.ENOENT if place.inode is None else errno.EPERM, path)
        self._require_writable(place, path)
        return place

    def mkdir(self, path: str, mode: int = 0o755) -> None:
        """Create a directory with the permission bits `mode`.

        Raises `FileExistsError`, `FileNotFoundError`, `NotADirectoryError` or `OSError` (EROFS).
        """
        place = self._place(path)
        if place.inode is not None or self._is_virtual(place):
            raise error_at(errno.EEXIST, path)
        if place.parent is None:
            raise error_at(errno.ENOENT, path)
        self._require_writable(place, path)
        place.parent.set(place.name, Directory(mode, mtime_ns=self.now_ns))
        self._touch(place.parent)

    def makedirs(self, path: str, mode: int = 0o755) -> None:
        """Create a directory and its missing parents with the permission bits `mode`. Do nothing if it exists.

        Raises as `mkdir` does.
        """
        path = canonical(path)
        self._keep_handle_directory(path)
        if self.is_dir(path):
            return
        parent = posixpath.dirname(path)
        if not self.exists(parent):
            self.makedirs(parent)
        self.mkdir(path, mode)

    def _keep_handle_directory(self, path: str) -> None:
        """Create `path` and its parents as real directories if only pinned namespaces below make them visible.

        The empty files of `Handles` (pinned namespaces) make their parent directories visible. Other files can be
        created only in real directories.
        """
        missing: list[str] = []
        while path != "/" and self._handle(path) and self._place(path).parent is None:
            missing.append(path)
            path = posixpath.dirname(path)
        for directory in reversed(missing):
            parent = self._place(posixpath.dirname(directory)).inode
            if isinstance(parent, Directory) and parent.get(posixpath.basename(directory)) is None:
                parent.set(posixpath.basename(directory), Directory(mtime_ns=self.now_ns))

    def remove(self, path: str) -> None:
        """Remove a file, a link or an empty directory.

        Raises `FileNotFoundError`, `PermissionError` for a virtual file, or `OSError` (ENOTEMPTY, EBUSY, EROFS).
        """
        place = self._existing(path, follows=False)
        if place.path in self._mounts or place.path == "/":
            raise error_at(errno.EBUSY, path)
        if place.parent is None:
            raise error_at(errno.EACCES, path)
        if isinstance(place.inode, Directory) and self.listdir(place.path):
            raise error_at(errno.ENOTEMPTY, path)
        self._require_writable(place, path)
        place.parent.discard(place.name)
        self._touch(place.parent)

    def remove_tree(self, path: str) -> None:
        """Remove a path and everything below it, except what is mounted there. Raises as `remove` does."""
        inode = self.inode(path, follows=False)
        if isinstance(inode, Directory):
            for name in self.listdir(path):
                self.remove_tree(posixpath.join(path, name))
        self.remove(path)

    def rename(self, source: str, target: str) -> None:
        """Move a file or directory to `target`, replacing a file or an empty directory there (rename(2)).

        Raises `FileNotFoundError`, `IsADirectoryError`, `NotADirectoryError`, or `OSError` (EXDEV between mounts,
        EBUSY, EINVAL, ENOTEMPTY, EROFS).
        """
        old, new = self._entry(source), self._entry(target)
        if old.inode is None:
            raise error_at(errno.ENOENT, source)
        if old.mount is not new.mount:
            raise error_at(errno.EXDEV, source)
        if new.path.startswith(f"{old.path}/"):
            raise error_at(errno.EINVAL, source)
        if old.path == new.path:
            return
        if isinstance(new.inode, Directory) != isinstance(old.inode, Directory) and new.inode is not None:
            raise error_at(errno.EISDIR if isinstance(new.inode, Directory) else errno.ENOTDIR, target)
        if isinstance(new.inode, Directory) and new.inode.names():
            raise error_at(errno.ENOTEMPTY, target)
        assert old.parent is not None and new.parent is not None
        # An overlay copies a directory of a lower layer, as rename(2) of such a directory fails there (EXDEV).
        moved = old.inode.copy() if isinstance(old.inode, LayeredDirectory) else old.parent.writable(old.name)
        assert moved is not None
        old.parent.discard(old.name)
        new.parent.set(new.name, moved)
        self._touch(old.parent)
        self._touch(new.parent)

    def link(self, source: str, target: str) -> None:
        """Create `target`, a hard link to the file `source`.

        Raises `FileNotFoundError`, `FileExistsError`, `PermissionError` for a directory, or `OSError` (EXDEV, EROFS).
        """
        old, new = self._entry(source), self._entry(target)
        if old.inode is None:
            raise error_at(errno.ENOENT, source)
        if isinstance(old.inode, Directory):
            raise error_at(errno.EPERM, source)
        if new.inode is not None:
            raise error_at(errno.EEXIST, target)
        if old.mount is not new.mount:
            raise error_at(errno.EXDEV, target)
        assert old.parent is not None and new.parent is not None
        inode = old.parent.writable(old.name)
        assert inode is not None
        new.parent.set(new.name, inode)
        self._touch(new.parent)

    def symlink(self, target: str, path: str) -> None:
        """Create a symbolic link at `path` that contains the path `target`, which need not exist.

        Raises `FileExistsError`, `FileNotFoundError`, `OSError` (EROFS).
        """
        place = self._entry(path)
        if place.inode is not None:
            raise error_at(errno.EEXIST, path)
        assert place.parent is not None
        place.parent.set(place.name, Symlink(target, mtime_ns=self.now_ns))
        self._touch(place.parent)

    def readlink(self, path: str) -> str:
        """Return the target of a symbolic link.

        Raises `FileNotFoundError`, or `OSError` (EINVAL) if `path` is not a link.
        """
        inode = self.inode(path, follows=False)
        if not isinstance(inode, Symlink):
            raise error_at(errno.EINVAL, path)
        return inode.target

    def change(
        self,
        path: str,
        *,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
        mtime_ns: int | None = None,
        follows: bool = True,
    ) -> None:
        """Change attributes of an inode (chmod(2), chown(2), utimensat(2)); `None` leaves an attribute unchanged.

        Without `follows` a symbolic link itself is changed, not its target. Raises `FileNotFoundError`,
        `PermissionError` for a virtual file, or `OSError` (EROFS).
        """
        place = self._existing(path, follows=follows)
        self._require_writable(place, path)
        inode = place.inode
        if inode is None or (place.parent is None and place.path not in self._mounts and place.path != "/"):
            raise error_at(errno.EPERM, path)
        if place.parent is not None and place.path not in self._mounts:
            inode = place.parent.writable(place.name)
        assert inode is not None
        inode.mode = inode.mode if mode is None else mode
        inode.uid = inode.uid if uid is None else uid
        inode.gid = inode.gid if gid is None else gid
        inode.mtime_ns = inode.mtime_ns if mtime_ns is None else mtime_ns

    def copy_in(self, source: Inode, path: str) -> None:
        """Add a copy of `source`, with everything in it, at `path`. Raises as `add` does."""
        self.add(path, copy_inode(source))

    # --- mounts

    def mount(self, path: str, root: Inode | Find, **options: Any) -> None:
        """Mount `root` at `path`, where it hides what was there. `options` are fields of `Mount`.

        `root` is a directory, a file, or a function that returns the virtual file at a path, such as those of /proc.
        A missing mount point is created. Raises as `makedirs` does, and `NotADirectoryError` for a directory over a
        file, or `IsADirectoryError` for a file over a directory.
        """
        path = self._make_mount_point(path, root)
        self._mounts[path] = Mount(path, root, **options)

    def _make_mount_point(self, path: str, root: Inode | Find) -> str:
        is_file = not callable(root) and not isinstance(root, Directory)
        if self._is_below_virtual(canonical(path)):
            return canonical(path)
        try:
            place = self._existing(path)
        except OSError:
            is_read_only, self.is_read_only = self.is_read_only, False
            try:
                if is_file:
                    self.put(path, b"")
                else:
                    self.makedirs(path)
            finally:
                self.is_read_only = is_read_only
            place = self._existing(path)
        is_directory = place.inode is None or isinstance(place.inode, Directory)
        if is_file and is_directory:
            raise error_at(errno.EISDIR, path)
        if not is_file and not is_directory:
            raise error_at(errno.ENOTDIR, path)
        return place.path

    def _is_below_virtual(self, path: str) -> bool:
        """Return True if `path` is below a mount of virtual files, in which no mount point can be created."""
        return any(callable(mount.root) and path.startswith(f"{mount.path}/") for mount in self._mounts.values())

    def unmount(self, path: str) -> None:
        """Remove a mount and those below it. Raises `OSError` (EINVAL) if nothing is mounted there."""
        path = canonical(path)
        if path not in self._mounts:
            raise error_at(errno.EINVAL, path)
        for at in [at for at in self._mounts if at == path or at.startswith(f"{path}/")]:
            del self._mounts[at]

    def bind_mount(
        self, path: str, source: FileSystem, source_path: str, *, is_read_only: bool = False, **options: Any
    ) -> None:
        """Mount the file or directory `source_path` of the file system `source` at `path` (mount --rbind).

        The mounts below `source_path` are included. With `is_read_only` none of them can be written to. `options` are
        fields of `Mount`. Raises as `inode` does for the source and as `mount` does for the mount point.
        """
        place = source._existing(source_path)
        inode = place.inode
        if inode is None:
            assert place.mount is not None
            mount = place.mount
            self.mount(path, mount.root, is_read_only=is_read_only, device=mount.device, kind=mount.kind)
            return
        readonly = is_read_only or (place.mount.is_read_only if place.mount else source.is_read_only)
        if place.mount is not None:
            options |= {"limit": place.mount.limit, "device": place.mount.device, "kind": place.mount.kind}
        self.mount(path, inode, is_read_only=readonly, **options)
        at = self.realpath(path)
        below = place.path.rstrip("/") + "/"
        for mount in source.mounts():
            if mount.path.startswith(below):
                inner = posixpath.join(at, mount.path[len(below) :])
                self._mounts[inner] = evolve(mount, path=inner, is_read_only=mount.is_read_only or is_read_only)

    def show_handles(self, handles: Handles) -> None:
        """Show an empty file that cannot be deleted at the path of each pinned namespace in `handles`."""
        self._handles = handles

    def with_mounts(self, mounts: Mapping[str, Find]) -> FileSystem:
        """Return a view of this file system with other virtual files mounted, for a process in another namespace.

        `mounts` maps each mount point to the function that finds the virtual files there.
        """
        view = FileSystem(self.root, self.clock, self.is_read_only)
        view._mounts = {**self._mounts}
        view._handles = self._handles
        for at, find in mounts.items():
            path = canonical(at)
            view._mounts[path] = evolve(view._mounts[path], root=find) if path in view._mounts else Mount(path, find)
        return view


class Pipe:
    """A stream of bytes from writers to readers.

    `on_data` is a list of callbacks. Each is called with the data of every write at once; the readers receive the
    same data.
    """

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
        """Wait for data and return at most `n` bytes; b"" if the pipe is closed and empty.

        Raises `TimeoutError` after `timeout_s` seconds of virtual time; `None` means no limit.
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

    @property
    def size(self) -> int:
        """The number of unread bytes."""
        return len(self._buffer)

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
        self._changed.notify()

    async def reader_closed(self) -> None:
        """Wait until the read end is closed."""
        await self._changed.wait_until(lambda: self.is_reader_closed)

"""The file system as one process sees it: permission bits, owners and the umask (path_resolution(7), inode(7))."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from cnmsim.kernel.files import FileSystem
from cnmsim.kernel.inode import Directory, File, Inode, Symlink
from cnmsim.kernel.namei import Place, error_at

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process

READ, WRITE, EXECUTE = 4, 2, 1
_STICKY = 0o1000


class ProcessFiles(FileSystem):
    """A view of a file system with the permissions of a process. New files get its user, group and umask.

    `base` is the file system that the view shows. In addition to the errors of `FileSystem`, the methods raise
    `PermissionError` if the process lacks a permission.
    """

    def __init__(self, base: FileSystem, process: Process) -> None:
        super().__init__(base.root, base.clock, base.is_read_only)
        self._mounts, self._handles = base._mounts, base._handles
        self.on_tmpfs_growth = base.on_tmpfs_growth
        self._base, self._process = base.base, process

    @property
    def base(self) -> FileSystem:
        """The file system that this view shows."""
        return self._base

    def allows(self, inode: Inode, wanted: int) -> bool:
        """Return True if the process has every access in `wanted` to an inode.

        `wanted` is `READ`, `WRITE` or `EXECUTE`, or several of them combined by `|`.
        """
        user = self._process.credentials
        if user.has("DAC_OVERRIDE"):
            return isinstance(inode, Directory) or not wanted & EXECUTE or bool(inode.mode & 0o111)
        shift = 6 if user.uid == inode.uid else 3 if inode.gid in (user.gid, *user.groups) else 0
        return inode.mode >> shift & wanted == wanted

    def _require(self, inode: Inode | None, wanted: int, path: str) -> None:
        if inode is not None and not self.allows(inode, wanted):
            raise error_at(errno.EACCES, path)

    def _step(self, here: Place, name: str, path: str) -> Place:
        if isinstance(here.inode, Directory):
            self._require(here.inode, EXECUTE, path)
        return super()._step(here, name, path)

    def file(self, path: str) -> File:
        """Return the file at `path` for reading.

        Raises `PermissionError` (EACCES) or an error of `FileSystem.file`.
        """
        file = super().file(path)
        self._require(file, READ, path)
        return file

    def listdir(self, path: str) -> list[str]:
        """Return the sorted names in a directory.

        Raises `PermissionError` (EACCES) or an error of `FileSystem.listdir`.
        """
        self._require(self._existing(path).inode, READ, path)
        return super().listdir(path)

    def _store(self, path: str, content: bytes, *, appends: bool) -> None:
        place = self._place(path)
        if place.inode is None and place.parent is not None:
            self._require_writable(place, path)
            self._require(place.parent, WRITE, path)
            super()._store(path, content, appends=appends)
            self._own(path, 0o666)
            return
        if isinstance(place.inode, File):
            self._require(place.inode, WRITE, path)
        super()._store(path, content, appends=appends)

    def _own(self, path: str, mode: int | None) -> None:
        """Set the owner of the new file `path` to the process's user and group, and set its mode.

        The mode is `mode` without the bits of the umask. If `mode` is `None`, the mode is not changed.
        """
        user = self._process.credentials
        mode = None if mode is None else mode & ~self._process.umask
        super().change(path, uid=user.uid, gid=user.gid, mode=mode, follows=False)

    def mkdir(self, path: str, mode: int = 0o777) -> None:
        """Create a directory with `mode`, without the bits of the umask.

        Raises `PermissionError` (EACCES) or an error of `FileSystem.mkdir`.
        """
        place = self._place(path)
        if place.inode is None and place.parent is not None:
            self._require_writable(place, path)
            self._require(place.parent, WRITE, path)
        super().mkdir(path, mode)
        self._own(path, mode)

    def makedirs(self, path: str, mode: int = 0o777) -> None:
        """Create a directory and its missing parents with `mode`, without the bits of the umask.

        Raises as `mkdir` does.
        """
        super().makedirs(path, mode)

    def _entry(self, path: str, *, makes_parents: bool = False) -> Place:
        place = super()._entry(path, makes_parents=makes_parents)
        assert place.parent is not None, "an entry is in a directory"
        self._require(place.parent, WRITE, path)
        self._require_unprotected(place, path)
        return place

    def _require_unprotected(self, place: Place, path: str) -> None:
        """Raise `PermissionError` (EPERM) if the process may not remove a file in a sticky directory such as /tmp.

        It may if it owns the file or the directory, or has CAP_FOWNER. `place` is the resolved path, `path` its text
        for the message.
        """
        user, parent, inode = self._process.credentials, place.parent, place.inode
        if parent is None or inode is None or not parent.mode & _STICKY or user.has("FOWNER"):
            return
        if user.uid not in (inode.uid, parent.uid):
            raise error_at(errno.EPERM, path)

    def remove(self, path: str) -> None:
        """Remove a file, a link or an empty directory.

        Raises `PermissionError` (EACCES, EPERM) or an error of `FileSystem.remove`.
        """
        place = self._existing(path, follows=False)
        if place.parent is not None and place.path not in self._mounts:
            self._require(place.parent, WRITE, path)
            self._require_unprotected(place, path)
        super().remove(path)

    def symlink(self, target: str, path: str) -> None:
        """Create a symbolic link to `target` at `path`.

        Raises `PermissionError` (EACCES) or an error of `FileSystem.symlink`.
        """
        super().symlink(target, path)
        self._own(path, None)

    def add(self, path: str, inode: Inode) -> None:
        """Add an inode at `path`. If the process is not root's, the inode gets the process's user and group.

        Raises `PermissionError` (EACCES) or an error of `FileSystem.add`.
        """
        super().add(path, inode)
        if not isinstance(inode, Symlink) or inode.uid == 0:
            user = self._process.credentials
            inode.uid, inode.gid = (user.uid, user.gid) if user.uid else (inode.uid, inode.gid)

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
        """Change attributes of an inode. The parameters are those of `FileSystem.change`.

        Raises `PermissionError` (EPERM) for another user's file, or an error of `FileSystem.change`.
        """
        inode, user = self.inode(path, follows=follows), self._process.credentials
        is_owner = user.uid == inode.uid or user.has("FOWNER")
        own_group = gid is None or gid == inode.gid or (is_owner and gid in (user.gid, *user.groups))
        changes_owner = (uid is not None and uid != inode.uid) or not own_group
        if (mode is not None and not is_owner) or (changes_owner and not user.has("CHOWN")):
            raise error_at(errno.EPERM, path)
        if mtime_ns is not None and not is_owner and not self.allows(inode, WRITE):
            raise error_at(errno.EACCES, path)
        super().change(path, mode=mode, uid=uid, gid=gid, mtime_ns=mtime_ns, follows=follows)


def allows(process: Process, path: str, wanted: int) -> bool:
    """Return True if the process has every access in `wanted` to `path` (access(2)).

    `wanted` is `READ`, `WRITE` or `EXECUTE`, or several of them combined by `|`. Raises `OSError` if the path cannot
    be resolved.
    """
    files = process.files
    return not isinstance(files, ProcessFiles) or files.allows(files.inode(path), wanted)


def executable(process: Process, path: str) -> bool:
    """Return True if `path` is a file that the process may execute. Raises `OSError` if it cannot be resolved."""
    return not isinstance(process.files.inode(path), Directory) and allows(process, path, EXECUTE)

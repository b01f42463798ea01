"""Path resolution in a tree of inodes with mounts (path_resolution(7), Linux `fs/namei.c`)."""

from __future__ import annotations

import errno
import posixpath
from collections.abc import Callable, Collection, Iterator

from attrs import define, field, frozen

from cnmsim.kernel.clock import Clock
from cnmsim.kernel.errno_text import message
from cnmsim.kernel.inode import Directory, File, Inode, Symlink

#: Returns the virtual file at a path relative to the mount point, or `None`.
Find = Callable[[str], "File | None"]
_MAX_SYMLINKS = 40  # MAXSYMLINKS of Linux


def error_at(number: int, path: str) -> OSError:
    """Return the error with glibc's text for `number`, about `path`."""
    return OSError(number, message(number), path)


@frozen(eq=False)
class Mount:
    """An entry of a mount table. `root` is the mounted tree or single file, or a function that returns virtual files.

    `device`, `kind` (the file system type) and `options` are the columns of /proc/mounts. `limit` is the size of a
    tmpfs in bytes, 0 for no limit.
    """

    path: str
    root: Inode | Find
    is_read_only: bool = False
    device: str = "none"
    kind: str = "bind"
    options: str = ""
    limit: int = 0


@define(eq=False)
class Place:
    """The result of resolving a path.

    `path` is the canonical path. `inode` is `None` if nothing exists there, or only virtual files. `mount` is the
    mount that contains the path, `None` for the root file system. `parent` is the directory that contains, or would
    contain, the entry `name`; `None` at the root and for virtual files.
    """

    path: str
    inode: Inode | None
    mount: Mount | None
    parent: Directory | None
    name: str


def canonical(path: str) -> str:
    """Return the absolute path without `.`, `..` and repeated slashes. A relative path starts at the root."""
    # normpath keeps two leading slashes, whose meaning POSIX leaves to the implementation.
    return posixpath.normpath("/" + path.lstrip("/"))


@frozen
class Handles:
    """The empty files at which namespaces are pinned, e.g. below /run/docker/netns.

    They exist as long as the namespaces. `paths` returns the present paths of the files. `directories` contains every
    directory that contains such a file or did so earlier, with all its parents. A path in none of these directories
    needs no call of `paths`.
    """

    paths: Callable[[], Collection[str]]
    directories: Collection[str]

    def includes(self, path: str) -> bool:
        """Return True if `path` is one of the files, or a directory that contains one."""
        if path not in self.directories and posixpath.dirname(path) not in self.directories:
            return False
        return any(handle == path or handle.startswith(f"{path}/") for handle in self.paths())


@define(eq=False)
class MountedTree:
    """A tree of inodes with the mounts in it, for reading. Relative paths start at the root.

    `clock` is the source of the modification times of new and changed files.
    """

    root: Directory = field(factory=lambda: Directory(entries={"etc": Directory(), "tmp": Directory(0o1777)}))
    clock: Clock | None = None
    is_read_only: bool = False
    #: Mounts by canonical path, in the order in which they were made.
    _mounts: dict[str, Mount] = field(factory=dict, init=False)
    _handles: Handles | None = field(default=None, init=False)

    # --- resolution of paths (path_resolution(7))

    def _place(self, path: str, *, follows: bool = True) -> Place:
        """Resolve a path. Its last component need not exist; `inode` in the result is then `None`.

        Without `follows` a symbolic link at the end of the path is not followed. Raises `FileNotFoundError`,
        `NotADirectoryError`, or `OSError` (ELOOP).
        """
        waiting = [part for part in reversed(path.split("/")) if part not in ("", ".")]
        trail = [self._top()]
        links = 0
        while waiting:
            name = waiting.pop()
            if name == "..":
                if len(trail) > 1:
                    trail.pop()
                continue
            here = trail[-1]
            if callable(here.mount.root if here.mount else None) and here.inode is None:
                return self._virtual(here, name, waiting)
            place = self._step(here, name, path)
            if isinstance(place.inode, Symlink) and (waiting or follows):
                links += 1
                if links > _MAX_SYMLINKS:
                    raise error_at(errno.ELOOP, path)
                target = place.inode.target
                waiting += [part for part in reversed(target.split("/")) if part not in ("", ".")]
                if target.startswith("/"):
                    trail = [self._top()]
                continue
            if place.inode is None and not self._is_virtual(place) and waiting:
                if ".." not in waiting and self._handle(posixpath.join(place.path, *reversed(waiting))):
                    return self._handle_place(posixpath.join(place.path, *reversed(waiting)))
                raise error_at(errno.ENOENT, path)
            trail.append(place)
        return trail[-1]

    def _top(self) -> Place:
        mount = self._mounts.get("/")
        inode = mount.root if mount is not None and isinstance(mount.root, Directory) else self.root
        return Place("/", inode, mount, None, "")

    def _step(self, here: Place, name: str, path: str) -> Place:
        """Resolve the entry `name` in the directory `here`. Return the resolved path.

        `path` is the whole path, for error messages. Raises `OSError` (ENOTDIR, ENOENT) if `here` is not a directory.
        """
        at = f"{here.path}/{name}" if here.path != "/" else f"/{name}"
        directory = here.inode
        if not isinstance(directory, Directory):
            raise error_at(errno.ENOTDIR if directory is not None else errno.ENOENT, path)
        mount = self._mounts.get(at)
        if mount is not None:
            root = mount.root
            return Place(at, None if callable(root) else root, mount, directory, name)
        inode = directory.get(name)
        if inode is None and self._handle(at):
            return self._handle_place(at)
        return Place(at, inode, here.mount, directory, name)

    def _virtual(self, here: Place, name: str, waiting: list[str]) -> Place:
        """Resolve the rest of a path that has reached `here`, a directory inside a mount of virtual files.

        The rest is `name`, followed by the components in `waiting`, which are in reverse order.
        """
        assert here.mount is not None
        rest = [name, *reversed(waiting)]
        for at in range(1, len(rest) + 1):
            over = self._mounts.get(posixpath.join(here.path, *rest[:at]))
            if over is not None and not callable(over.root):
                return Place(over.path, over.root, over, None, name)
        find = here.mount.root
        assert callable(find)
        inside = posixpath.normpath("/".join([here.path[len(here.mount.path) + 1 :], *rest])).lstrip("/")
        return Place(posixpath.join(here.mount.path, inside), find(inside), here.mount, None, rest[-1])

    def _is_virtual(self, place: Place) -> bool:
        """Return True if `place` is a mount point of virtual files. Such a path has no inode."""
        return place.mount is not None and place.path == place.mount.path and callable(place.mount.root)

    def _handle(self, path: str) -> bool:
        """Return True if `path` is one of the files in `Handles`, or a directory that contains one."""
        return self._handles is not None and self._handles.includes(path)

    def _handle_place(self, path: str) -> Place:
        assert self._handles is not None
        is_file = path in self._handles.paths()
        return Place(path, File(b"", 0o444) if is_file else Directory(), None, None, posixpath.basename(path))

    def _existing(self, path: str, *, follows: bool = True) -> Place:
        place = self._place(path, follows=follows)
        if place.inode is None and not self._is_virtual(place):
            raise error_at(errno.ENOENT, path)
        return place

    # --- reading

    def inode(self, path: str, *, follows: bool = True) -> Inode:
        """Return the inode at `path`, which callers must not change. Without `follows` a link is not followed.

        Raises `FileNotFoundError`, `NotADirectoryError`, or `OSError` (ELOOP).
        """
        inode = self._existing(path, follows=follows).inode
        return Directory(0o555) if inode is None else inode

    def file(self, path: str) -> File:
        """Return the file at `path` for reading.

        Raises as `inode` does, `IsADirectoryError`, or `OSError` (ENXIO) for a socket.
        """
        inode = self.inode(path)
        if isinstance(inode, Directory):
            raise error_at(errno.EISDIR, path)
        if not isinstance(inode, File):
            raise error_at(errno.ENXIO, path)
        return inode

    def read(self, path: str) -> bytes:
        """Return the content of a file. Raises as `file` does."""
        return self.file(path).content

    def exists(self, path: str) -> bool:
        """Return True if `path` exists. A symbolic link is followed."""
        try:
            self._existing(path)
        except OSError:
            return False
        return True

    def is_dir(self, path: str) -> bool:
        """Return True if `path` is a directory or a link to one."""
        try:
            return isinstance(self.inode(path), Directory)
        except OSError:
            return False

    def realpath(self, path: str) -> str:
        """Return the canonical path, without links. Raises as `inode` does."""
        return self._existing(path).path

    def listdir(self, path: str) -> list[str]:
        """Return the sorted names in a directory. Raises `FileNotFoundError` or `NotADirectoryError`."""
        place = self._existing(path)
        inode = place.inode
        if inode is not None and not isinstance(inode, Directory):
            raise error_at(errno.ENOTDIR, path)
        names = set(() if inode is None else inode.names())
        below = place.path.rstrip("/") + "/"
        paths = [*self._mounts, *(self._handles.paths() if self._handles is not None else ())]
        names |= {entry[len(below) :].partition("/")[0] for entry in paths if entry.startswith(below)}
        return sorted(names - {""})

    # --- the mount table

    def mounts(self) -> Iterator[Mount]:
        """Yield the mounts in the order in which they were made."""
        yield from tuple(self._mounts.values())

    def mounted(self, path: str) -> Find | None:
        """Return the function that returns the virtual files mounted at `path`; `None` if none are mounted there."""
        mount = self._mounts.get(canonical(path))
        return mount.root if mount is not None and callable(mount.root) else None

"""The folder of a served lab's sockets: only its owner can open it, and one server uses it at a time.

Files in it are opened relative to the descriptor of the opened folder, and no symbolic link is followed. A file at
the path of a socket or of the file `ready` is replaced only if an earlier server left it there.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from cnmsim.errors import Conflict, Forbidden
from cnmsim.lab.naming import CONTROL_SOCKET, INNER_CONTROL_SOCKET, READY, RESERVED_NAMES

SOCKET = "docker.sock"
_MODE = 0o700
_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: Length of the longest path of a Unix socket (Linux `sockaddr_un`), without the final null byte.
_LONGEST_PATH = 107
_LONGEST_READY = 1 << 20


class SocketFolder:
    """The folder at `path`, which contains a folder for each of `hosts`, from `open` to `close`."""

    def __init__(self, path: Path, hosts: Iterable[str]) -> None:
        self.path = path
        self._hosts = tuple(hosts)
        self._descriptor = -1
        self._made: list[tuple[Path, tuple[int, int]]] = []

    def socket_path(self, host: str) -> Path:
        """Return the path of a Docker host's socket."""
        return self.path / host / SOCKET

    def open(self) -> None:
        """Create the folder and the folders of the hosts in it, lock it, and remove what a killed server left behind.

        Raises `Forbidden` for a symbolic link, for a folder or file of another user or program, and for a folder that
        other users can open; `Conflict` if another server uses the folder; and `OSError` if the folder cannot be
        created. Nothing is changed then.
        """
        paths = [self.path / INNER_CONTROL_SOCKET, *map(self.socket_path, self._hosts)]
        longest = max(paths, key=lambda path: len(os.fsencode(path)))
        if len(os.fsencode(longest)) > _LONGEST_PATH:
            raise Forbidden(
                f"{longest}: the path of a Unix socket has {_LONGEST_PATH} bytes at most; choose a shorter folder"
            )
        if not os.path.lexists(self.path):
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            except FileExistsError:
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(self.path)) from None
            self.path.mkdir(_MODE)
        self._descriptor = _open_own_folder(self.path)
        self._lock()
        stale = self._stale()
        self._protect()
        for name in self._hosts:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, _MODE, dir_fd=self._descriptor)
        for path in stale:
            path.unlink()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(
                f"{self.path}: another server uses this folder; end it, or choose another folder"
            ) from None

    def _stale(self) -> list[Path]:
        """Return the paths of the sockets and of the file `ready` that an earlier server left behind.

        Raises `Forbidden` if something else is at one of these paths.
        """
        stale = []
        for name in self._hosts:
            try:
                folder = _open_own_folder(self.path / name, name, self._descriptor)
            except FileNotFoundError:
                continue
            try:
                if _is_stale_socket(self.path / name / SOCKET, SOCKET, folder):
                    stale.append(self.socket_path(name))
            finally:
                os.close(folder)
        stale += [
            self.path / name
            for name in (CONTROL_SOCKET, INNER_CONTROL_SOCKET)
            if _is_stale_socket(self.path / name, name, self._descriptor)
        ]
        if self._is_ready_left():
            stale.append(self.path / READY)
        return stale

    def _is_ready_left(self) -> bool:
        path = self.path / READY
        status = _own_status(path, READY, self._descriptor)
        if status is None:
            return False
        content = b""
        if stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and status.st_size <= _LONGEST_READY:
            descriptor = os.open(READY, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._descriptor)
            with os.fdopen(descriptor, "rb") as file:
                content = file.read()
        # A lab without Docker hosts writes an empty line.
        if not content or any(line and not line.endswith(b"/docker.sock") for line in content.splitlines()):
            raise _foreign(path)
        return True

    def _protect(self) -> None:
        """Remove other users' permissions on the folder.

        Raises `Forbidden` if other users have permissions and the folder contains files that are not a server's.
        """
        mode = stat.S_IMODE(os.fstat(self._descriptor).st_mode)
        if not mode & 0o077:
            return
        others = set(os.listdir(self._descriptor))  # noqa: PTH208 - of the opened folder, whatever its path is now
        others -= RESERVED_NAMES | set(self._hosts)
        if others:
            raise Forbidden(
                f"{self.path}: other users can open this folder (mode {mode:04o}), and it holds other files, such as"
                f" {min(others)!r}; run `chmod 700` on it, or choose another folder"
            )
        os.fchmod(self._descriptor, _MODE)

    def write_ready(self) -> None:
        """Create the file `ready`, which lists the sockets."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(READY, flags, 0o600, dir_fd=self._descriptor), "w", encoding="utf-8") as file:
            file.write("\n".join(str(self.socket_path(name)) for name in self._hosts) + "\n")
        self.note_made(self.path / READY)

    def note_made(self, path: Path) -> None:
        """Record that this server has created the socket or file `path`; `close` later removes it."""
        status = path.lstat()
        self._made.append((path, (status.st_dev, status.st_ino)))

    def close(self) -> None:
        """Remove the files that this server created, unless a program has replaced them, and unlock the folder."""
        for path, identity in reversed(self._made):
            with contextlib.suppress(FileNotFoundError):
                status = path.lstat()
                if (status.st_dev, status.st_ino) == identity:
                    path.unlink()
        self._made.clear()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _open_own_folder(path: Path, name: str | None = None, within: int | None = None) -> int:
    """Open a folder of this user, and return its file descriptor. With `within`, open `name` in that opened folder.

    `path` is the path that errors name. Raises `Forbidden` for a symbolic link, another kind of file or another
    user's folder.
    """
    try:
        descriptor = os.open(path if name is None else name, _OPEN_FOLDER, dir_fd=within)
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        kind = "is a link, which could lead anywhere" if path.is_symlink() else "is no folder"
        raise Forbidden(f"{path}: {kind}; choose a folder of your own for the sockets") from None
    status = os.fstat(descriptor)
    if status.st_uid == os.geteuid():
        return descriptor
    os.close(descriptor)
    raise Forbidden(
        f"{path}: belongs to the user {status.st_uid}; choose a folder of your own, such as one in $XDG_RUNTIME_DIR"
    )


def _own_status(path: Path, name: str, folder: int) -> os.stat_result | None:
    """Return the status of the file `name` in an opened `folder`, `None` if there is no such file.

    `path` is the path that errors name. Raises `Forbidden` if the file belongs to another user.
    """
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if status.st_uid != os.geteuid():
        raise _foreign(path)
    return status


def _is_stale_socket(path: Path, name: str, folder: int) -> bool:
    status = _own_status(path, name, folder)
    if status is None:
        return False
    if not stat.S_ISSOCK(status.st_mode):
        raise _foreign(path)
    return True


def _foreign(path: Path) -> Forbidden:
    return Forbidden(f"{path}: is in the way, and no server of cnmsim made it; move it, or choose another folder")

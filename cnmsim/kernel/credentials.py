"""Users and groups of processes (credentials(7)), and their names (passwd(5), group(5))."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from functools import lru_cache

from attrs import frozen

from cnmsim.digits import is_number
from cnmsim.kernel.capabilities import ALL, mask
from cnmsim.kernel.files import FileSystem


@frozen
class Credentials:
    """The numeric user, group and supplementary groups of a process, and its capabilities.

    `capabilities` are the effective ones, `bounding` is the bounding set; both are bit masks as `capabilities.mask`
    returns them.
    """

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = (0,)
    capabilities: int = ALL
    bounding: int = ALL

    def has(self, name: str) -> bool:
        """Return True if the process has the capability `name`, such as `NET_RAW`."""
        return bool(self.capabilities & mask((name,)))

    def require(self, name: str) -> None:
        """Raise `PermissionError` (EPERM) unless the process has the capability `name`, such as `NET_RAW`."""
        if not self.has(name):
            raise PermissionError(errno.EPERM, "Operation not permitted")


ROOT = Credentials()


@frozen
class User:
    """A line of /etc/passwd."""

    name: str
    uid: int
    gid: int
    home: str = ""
    shell: str = ""


@frozen
class Group:
    """A line of /etc/group; `members` are user names."""

    name: str
    gid: int
    members: tuple[str, ...] = ()


def users(files: FileSystem) -> tuple[User, ...]:
    """Return the users of /etc/passwd; malformed lines are skipped."""
    return _parse_users(_content(files, "/etc/passwd"))


def groups(files: FileSystem) -> tuple[Group, ...]:
    """Return the groups of /etc/group; malformed lines are skipped."""
    return _parse_groups(_content(files, "/etc/group"))


def _content(files: FileSystem, path: str) -> bytes:
    try:
        return files.read(path)
    except OSError:
        return b""


# All containers of an image have the same file until one of them changes it.
@lru_cache(maxsize=32)
def _parse_users(content: bytes) -> tuple[User, ...]:
    found = []
    for name, _, uid, gid, *rest in _lines(content, 4):
        if is_number(uid) and is_number(gid):
            _comment, home, shell, *_ = (*rest, "", "", "")
            found.append(User(name, int(uid), int(gid), home, shell))
    return tuple(found)


@lru_cache(maxsize=32)
def _parse_groups(content: bytes) -> tuple[Group, ...]:
    return tuple(
        Group(name, int(gid), tuple(filter(None, rest[0].split(","))) if rest else ())
        for name, _, gid, *rest in _lines(content, 3)
        if is_number(gid)
    )


def _lines(content: bytes, at_least: int) -> Iterator[list[str]]:
    lines = (line.split(":") for line in content.decode(errors="replace").splitlines())
    return (fields for fields in lines if len(fields) >= at_least)

"""Functions that the file applets share: inodes, file types, modes, owners, and a loop over operands."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from cnmsim.kernel.devices import Device
from cnmsim.kernel.errno_text import strerror
from cnmsim.kernel.inode import Directory, Inode, SocketFile, Symlink
from cnmsim.userland.busybox.applet import complain
from cnmsim.userland.busybox.system import group_names, user_names
from cnmsim.userland.invocation import absolute_path

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process

_BITS = {"u": 6, "g": 3, "o": 0}


def inode_of(process: Process, path: str, *, follows: bool = True) -> Inode:
    """Return the inode at `path`, a path as the user typed it.

    Without `follows` a symbolic link is not followed. Raises `OSError` if there is no such file.
    """
    return process.files.inode(absolute_path(process, path), follows=follows)


def type_letter(inode: Inode) -> str:
    """Return the letter for an inode's type that `ls -l` prints first, e.g. `d` for a directory."""
    if isinstance(inode, Directory):
        return "d"
    if isinstance(inode, Symlink):
        return "l"
    if isinstance(inode, SocketFile):
        return "s"
    return "c" if isinstance(inode, Device) else "-"


def type_name(inode: Inode) -> str:
    """Return the name of an inode's type as stat prints it, e.g. `regular file`."""
    names = {
        "d": "directory", "l": "symbolic link", "s": "socket", "c": "character special file",
        "-": "regular file" if inode.size else "regular empty file",
    }  # fmt: skip
    return names[type_letter(inode)]


def mode_text(inode: Inode) -> str:
    """Return the type and permission bits as `ls -l` prints them, e.g. `-rw-r--r--`."""
    mode = inode.mode
    bits = [letter if mode >> (8 - at) & 1 else "-" for at, letter in enumerate("rwxrwxrwx")]
    for at, bit, letter in ((2, 0o4000, "s"), (5, 0o2000, "s"), (8, 0o1000, "t")):
        if mode & bit:
            bits[at] = letter if bits[at] == "x" else letter.upper()
    return type_letter(inode) + "".join(bits)


def link_count(inode: Inode) -> int:
    """Return an inode's number of hard links: for a directory 2 plus its number of subdirectories, else 1."""
    if isinstance(inode, Directory):
        return 2 + sum(isinstance(inode.get(name), Directory) for name in inode.names())
    return 1


def owner_names(process: Process, inode: Inode) -> tuple[str, str]:
    """Return the names of an inode's owner and group, or their numbers if they have no name."""
    user = user_names(process).get(inode.uid, "root" if not inode.uid else str(inode.uid))
    group = group_names(process).get(inode.gid, "root" if not inode.gid else str(inode.gid))
    return user, group


def parse_mode(text: str, mode: int, *, is_directory: bool = False, umask: int = 0o022) -> int | None:
    """Apply chmod's argument `text` to `mode` and return the new mode. Return `None` if the text is invalid.

    The text is a number such as `755`, or changes such as `u+x` or `go=r,+X`. `X` sets execute permission if
    `is_directory` is set, or if `mode` already has execute permission for some user class. `umask` limits changes
    that name no user class, such as `+w`.
    """
    if re.fullmatch(r"[0-7]{1,4}", text):
        return int(text, 8)
    for clause in text.split(","):
        match = re.fullmatch(r"([ugoa]*)((?:[-+=][rwxXstugo]*)+)", clause)
        if match is None:
            return None
        who = match[1].replace("a", "ugo") or "ugo"
        for operator, permissions in re.findall(r"([-+=])([rwxXstugo]*)", match[2]):
            bits = _clause_bits(who, permissions, mode, is_directory=is_directory)
            if not match[1]:
                bits &= ~umask
            covered = sum(7 << _BITS[letter] for letter in set(who))
            mode = mode | bits if operator == "+" else mode & ~bits if operator == "-" else mode & ~covered | bits
    return mode


def _clause_bits(who: str, permissions: str, mode: int, *, is_directory: bool) -> int:
    value, special = 0, 0
    for letter in permissions:
        if letter in "rwx":
            value |= {"r": 4, "w": 2, "x": 1}[letter]
        elif letter == "X":
            value |= int(is_directory or bool(mode & 0o111))
        elif letter == "t":
            special |= 0o1000
        elif letter == "s":
            special |= (0o4000 if "u" in who else 0) | (0o2000 if "g" in who else 0)
        else:
            value |= mode >> _BITS[letter] & 7
    return special | sum(value << _BITS[letter] for letter in set(who))


def for_each_operand(
    process: Process, operands: list[str], action: Callable[[str], None], message: str = "{}: {}"
) -> int:
    """Call `action` with each operand. Return exit status 1 if any call raised `OSError`, else 0.

    On such an error, print `message`, whose two `{}` are replaced by the operand and the reason, and continue.
    """
    status = 0
    for operand in operands:
        try:
            action(operand)
        except OSError as error:
            status = complain(process, message.format(operand, strerror(error)))
    return status


def walk(process: Process, path: str, *, follows: bool = False) -> Iterator[tuple[str, Inode]]:
    """Yield (path, inode) for `path` and everything below it, a directory before its content.

    The paths begin with `path` as the user typed it. If `path` itself is a symbolic link, it is followed only with
    `follows`; links below it are never followed. Raises `OSError` if a file cannot be accessed.
    """
    inode = inode_of(process, path, follows=follows)
    yield path, inode
    if isinstance(inode, Directory):
        for name in process.files.listdir(absolute_path(process, path)):
            yield from walk(process, posixpath.join(path, name))

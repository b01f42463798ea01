"""Applets that work on paths: test, pwd, basename, dirname."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from typing import TYPE_CHECKING

from cnmsim.gostrconv import atoi
from cnmsim.kernel.inode import Inode
from cnmsim.kernel.permissions import EXECUTE, READ, WRITE, ProcessFiles
from cnmsim.userland.busybox.applet import complain, read_options, show_usage
from cnmsim.userland.busybox.inodes import type_letter
from cnmsim.userland.invocation import absolute_path, invoked_name

if TYPE_CHECKING:
    from cnmsim.kernel.files import FileSystem
    from cnmsim.kernel.process import Process

#: A function that maps a path as typed to the file system that contains it and the absolute path.
Locate = Callable[[str], "tuple[FileSystem, str]"]


class _TestError(Exception):
    pass


def evaluate_test(arguments: list[str], locate: Locate) -> tuple[int, str]:
    """Evaluate `test ARGUMENT…`. Return the exit status and an error text.

    The error text is "" unless the status is 2 (invalid expression). `locate` maps a path in the arguments to its
    file system and absolute path.
    """
    try:
        value, rest = _or(arguments, locate)
        if rest:
            raise _TestError(f"{rest[0]}: unknown operand")
    except _TestError as error:
        return 2, str(error)
    return int(not value), ""


def _or(words: list[str], locate: Locate) -> tuple[bool, list[str]]:
    value, rest = _and(words, locate)
    while rest[:1] == ["-o"]:
        other, rest = _and(rest[1:], locate)
        value = value or other
    return value, rest


def _and(words: list[str], locate: Locate) -> tuple[bool, list[str]]:
    value, rest = _primary(words, locate)
    while rest[:1] == ["-a"]:
        other, rest = _primary(rest[1:], locate)
        value = value and other
    return value, rest


_STRINGS: dict[str, Callable[[str, str], bool]] = {
    "=": lambda a, b: a == b, "==": lambda a, b: a == b, "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b, ">": lambda a, b: a > b,
}  # fmt: skip
_NUMBERS: dict[str, Callable[[int, int], bool]] = {
    "-eq": lambda a, b: a == b, "-ne": lambda a, b: a != b, "-lt": lambda a, b: a < b,
    "-le": lambda a, b: a <= b, "-gt": lambda a, b: a > b, "-ge": lambda a, b: a >= b,
}  # fmt: skip


def _primary(words: list[str], locate: Locate) -> tuple[bool, list[str]]:
    if not words:
        return False, []
    if len(words) >= 3 and words[1] in _STRINGS:
        return _STRINGS[words[1]](words[0], words[2]), words[3:]
    if len(words) >= 3 and words[1] in _NUMBERS:
        return _NUMBERS[words[1]](_integer(words[0]), _integer(words[2])), words[3:]
    if len(words) >= 3 and words[1] in ("-nt", "-ot", "-ef"):
        return _compare_files(words[1], words[0], words[2], locate), words[3:]
    if len(words) == 2 and (words[1] in _STRINGS or words[1] in _NUMBERS):
        raise _TestError(f"{words[1]}: argument expected")
    if words[0] == "!" and len(words) > 1:
        value, rest = _primary(words[1:], locate)
        return not value, rest
    if words[0] == "(":
        value, rest = _or(words[1:], locate)
        if rest[:1] != [")"]:
            raise _TestError("closing paren expected")
        return value, rest[1:]
    if len(words) >= 2 and words[0] in ("-n", "-z"):
        return bool(words[1]) == (words[0] == "-n"), words[2:]
    if len(words) >= 2 and len(words[0]) == 2 and words[0][0] == "-" and words[0][1] in "edfsrwxLhptSbcugkOG":
        return _file_test(words[0][1], words[1], locate), words[2:]
    return bool(words[0]), words[1:]


def _integer(text: str) -> int:
    try:
        return atoi(text.strip())
    except ValueError:
        raise _TestError(f"{text}: bad number") from None


def _file_test(letter: str, path: str, locate: Locate) -> bool:
    if letter == "t":
        return False
    files, absolute = locate(path)
    try:
        inode = files.inode(absolute, follows=letter not in "Lh")
    except OSError:
        return False
    if letter in _TYPES:
        return type_letter(inode) == _TYPES[letter]
    if letter == "s":
        return inode.size > 0
    if letter in _MODES:
        return bool(inode.mode & _MODES[letter])
    return not isinstance(files, ProcessFiles) or files.allows(inode, _WAYS.get(letter, 0))


_TYPES = {"d": "d", "f": "-", "L": "l", "h": "l", "p": "p", "S": "s", "c": "c", "b": "b"}
_WAYS = {"r": READ, "w": WRITE, "x": EXECUTE}
_MODES = {"u": 0o4000, "g": 0o2000, "k": 0o1000}


def _compare_files(operator: str, left: str, right: str, locate: Locate) -> bool:
    inodes: list[Inode | None] = []
    for path in (left, right):
        files, absolute = locate(path)
        try:
            inodes.append(files.inode(absolute))
        except OSError:
            inodes.append(None)
    first, second = inodes
    if operator == "-ef":
        return first is not None and first is second
    if first is None or second is None:
        return (first is not None) if operator == "-nt" else second is not None
    return first.mtime_ns > second.mtime_ns if operator == "-nt" else first.mtime_ns < second.mtime_ns


async def test(process: Process) -> int:
    """Run `test EXPRESSION` or `[ EXPRESSION ]`."""
    arguments = process.argv[1:]
    if invoked_name(process) == "[":
        if arguments[-1:] != ["]"]:
            complain(process, "missing ]")
            return 2
        arguments = arguments[:-1]
    status, message = evaluate_test(arguments, lambda path: (process.files, absolute_path(process, path)))
    if message:
        complain(process, message)
    return status


async def pwd(process: Process) -> int:
    """Run `pwd`: print the working directory."""
    process.write(f"{process.env.get('PWD', '/')}\n")
    return 0


async def basename(process: Process) -> int:
    """Run `basename PATH [SUFFIX]`, `basename -a PATH…` or `basename -s SUFFIX PATH…`."""
    synopsis = "FILE [SUFFIX] | -a FILE... | -s SUFFIX FILE..."
    options = read_options(process, "as:", synopsis, stop_at_operand=True)
    names, suffix = list(options.operands), options.get("s") or ""
    if not {"a", "s"} & set(options.values):
        if len(names) not in (1, 2):
            return show_usage(process, synopsis)
        suffix = names.pop() if len(names) == 2 else ""
    for path in names:
        name = posixpath.basename(path.rstrip("/")) or "/"
        process.write(f"{name.removesuffix(suffix) if name != suffix else name}\n")
    return 0


async def dirname(process: Process) -> int:
    """Run `dirname PATH`: print the path without its last component."""
    if len(process.argv) != 2:
        return show_usage(process, "FILENAME")
    process.write(
        f"{posixpath.dirname(process.argv[1].rstrip('/')) or ('/' if process.argv[1][:1] == '/' else '.')}\n"
    )
    return 0

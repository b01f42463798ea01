"""Applets for files: ls, mkdir, rm, rmdir, touch, test, pwd, basename, dirname."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from cnmsim.kernel.errno_text import strerror
from cnmsim.userland.busybox.applet import complain, read_options, show_usage
from cnmsim.userland.busybox.system import group_names, user_names
from cnmsim.userland.invocation import absolute_path, invoked_name
from cnmsim.userland.libc.getopt import Options

if TYPE_CHECKING:
    from cnmsim.kernel.files import FileSystem
    from cnmsim.kernel.process import Process

#: A function that maps a path as typed to the file system that contains it and the absolute path.
Locate = Callable[[str], "tuple[FileSystem, str]"]


#: The user and group name of id 0 if /etc/passwd or /etc/group does not list it.
_ROOT = {"0": "root"}


class _TestError(Exception):
    pass


def evaluate_test(arguments: list[str], locate: Locate) -> tuple[int, str]:
    """Evaluate `test ARGUMENT…`.

    Return the exit status and an error text, which is "" unless the status is 2 (invalid).
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
    if len(words) >= 2 and len(words[0]) == 2 and words[0][0] == "-" and words[0][1] in "edfsrwxLhpt":
        return _file_test(words[0][1], words[1], locate), words[2:]
    return bool(words[0]), words[1:]


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise _TestError(f"{text}: bad number") from None


def _file_test(letter: str, path: str, locate: Locate) -> bool:
    if letter == "t":
        return False
    files, absolute = locate(path)
    if letter in "Lhp" or not files.exists(absolute):
        return False
    if letter == "d":
        return files.is_dir(absolute)
    if letter == "f":
        return not files.is_dir(absolute)
    if files.is_dir(absolute):
        return True
    if letter == "s":
        return bool(files.read(absolute))
    return letter != "x" or bool(files.file(absolute).mode & 0o111)


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


async def ls(process: Process) -> int:
    """Run `ls [-1aldn] [FILE]…`."""
    options = read_options(process, "1alnAdFh", "[-1AaCxdlFLHhRk] [FILE]...")
    if options is None:
        return 1
    status = 0
    files: list[str] = []
    folders: list[str] = []
    for operand in options.operands or ["."]:
        absolute = absolute_path(process, operand)
        if not process.files.exists(absolute):
            status = complain(process, f"{operand}: No such file or directory")
        elif process.files.is_dir(absolute) and "d" not in options:
            folders.append(operand)
        else:
            files.append(operand)
    for operand in files:
        process.write(_entry(process, absolute_path(process, operand), operand, options))
    for number, operand in enumerate(folders):
        if len(options.operands) > 1:
            process.write(f"{'' if not number and not files else chr(10)}{operand}:\n")
        absolute = absolute_path(process, operand)
        names = process.files.listdir(absolute)
        names = [name for name in names if name[0] != "." or "a" in options or "A" in options]
        if "l" in options or "n" in options:
            process.write(f"total {4 * len(names)}\n")
        for name in names:
            process.write(_entry(process, posixpath.join(absolute, name), name, options))
    return status


def _entry(process: Process, absolute: str, name: str, options: Options) -> str:
    is_folder = process.files.is_dir(absolute)
    name = f"{name}/" if is_folder and "F" in options else name
    if "l" not in options and "n" not in options:
        return f"{name}\n"
    file = process.files.inode(absolute)
    owner, group = str(file.uid), str(file.gid)
    if "n" not in options:
        owner = user_names(process).get(file.uid, _ROOT.get(owner, owner))
        group = group_names(process).get(file.gid, _ROOT.get(group, group))
    size = 4096 if is_folder else len(process.files.read(absolute))
    bits = "".join(letter if file.mode >> (8 - at) & 1 else "-" for at, letter in enumerate("rwxrwxrwx"))
    if file.mode & 0o1000:
        bits = bits[:-1] + ("t" if file.mode & 1 else "T")
    links = 2 if is_folder else 1
    return (
        f"{'d' if is_folder else '-'}{bits} {links:4d} {owner:<8} {group:<8} {_size_text(size, options):>9} Jan  1 "
        f"00:00 {name}\n"
    )


def _size_text(size: int, options: Options) -> str:
    if "h" not in options or size < 1024:
        return str(size)
    value, unit = size / 1024, "K"
    for larger in "MG":
        value, unit = (value / 1024, larger) if value >= 1024 else (value, unit)
    return f"{value:.1f}{unit}"


def _for_each_operand(process: Process, operands: list[str], action: Callable[[str], None], message: str) -> int:
    """Call `action` with the absolute path of each operand. Return the exit status.

    If `action` raises `OSError`, print `message`, a format string for the operand and the reason, and continue.
    """
    status = 0
    for operand in operands:
        try:
            action(absolute_path(process, operand))
        except OSError as error:
            status = complain(process, message.format(operand, strerror(error)))
    return status


async def mkdir(process: Process) -> int:
    """Run `mkdir [-p] FOLDER…`."""
    synopsis = "[-m MODE] [-p] DIRECTORY..."
    options = read_options(process, "p", synopsis, needs_operand=True)
    if options is None:
        return 1
    files, makes_parents = process.files, "p" in options

    def make(absolute: str) -> None:
        if files.exists(absolute) and not (makes_parents and files.is_dir(absolute)):
            raise FileExistsError
        if not makes_parents and not files.is_dir(posixpath.dirname(absolute)):
            raise FileNotFoundError
        (files.makedirs if makes_parents else files.mkdir)(absolute)

    return _for_each_operand(process, options.operands, make, "can't create directory '{}': {}")


async def rm(process: Process) -> int:
    """Run `rm [-rf] FILE…`."""
    options = read_options(process, "rRfi", "[-irf] FILE...")
    if options is None:
        return 1
    if not options.operands and "f" not in options:
        return show_usage(process, "[-irf] FILE...")
    status = 0
    for operand in options.operands:
        absolute = absolute_path(process, operand)
        try:
            if process.files.is_dir(absolute):
                if "r" not in options and "R" not in options:
                    status = complain(process, f"'{operand}' is a directory")
                    continue
                _remove_tree(process.files, absolute)
            else:
                process.files.remove(absolute)
        except OSError as error:
            if "f" not in options or not isinstance(error, FileNotFoundError):
                status = complain(process, f"can't remove '{operand}': {strerror(error)}")
    return status


def _remove_tree(files: FileSystem, absolute: str) -> None:
    for name in files.listdir(absolute):
        inner = posixpath.join(absolute, name)
        if files.is_dir(inner):
            _remove_tree(files, inner)
        else:
            files.remove(inner)
    if absolute != "/":
        files.remove(absolute)


async def rmdir(process: Process) -> int:
    """Run `rmdir FOLDER…`."""
    if len(process.argv) < 2:
        return show_usage(process, "[-p] DIRECTORY...")
    files = process.files

    def remove(absolute: str) -> None:
        if files.exists(absolute) and not files.is_dir(absolute):
            raise NotADirectoryError
        files.remove(absolute)

    return _for_each_operand(process, process.argv[1:], remove, "'{}': {}")


async def touch(process: Process) -> int:
    """Run `touch FILE…`."""
    synopsis = "[-cham] [-d DATE] [-t DATE] [-r FILE] FILE..."
    options = read_options(process, "cahm", synopsis, needs_operand=True)
    if options is None:
        return 1
    files, makes_files = process.files, "c" not in options

    def touch_one(absolute: str) -> None:
        with suppress(IsADirectoryError):
            if files.exists(absolute):
                files.append(absolute, b"")
            elif makes_files:
                files.write(absolute, b"")

    return _for_each_operand(process, options.operands, touch_one, "{}: {}")


async def pwd(process: Process) -> int:
    """Run `pwd`."""
    process.write(f"{process.env.get('PWD', '/')}\n")
    return 0


async def basename(process: Process) -> int:
    """Run `basename PATH [SUFFIX]`."""
    if len(process.argv) not in (2, 3):
        return show_usage(process, "FILE [SUFFIX] | -a FILE... | -s SUFFIX FILE...")
    name = posixpath.basename(process.argv[1].rstrip("/")) or "/"
    if len(process.argv) == 3 and name != process.argv[2]:
        name = name.removesuffix(process.argv[2])
    process.write(f"{name}\n")
    return 0


async def dirname(process: Process) -> int:
    """Run `dirname PATH`."""
    if len(process.argv) != 2:
        return show_usage(process, "FILENAME")
    process.write(
        f"{posixpath.dirname(process.argv[1].rstrip('/')) or ('/' if process.argv[1][:1] == '/' else '.')}\n"
    )
    return 0

"""The find and xargs applets."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import define, field

from cnmsim.digits import is_number
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.errno_text import strerror
from cnmsim.kernel.inode import Directory, Inode
from cnmsim.userland.busybox.applet import complain, show_usage, usage_errors
from cnmsim.userland.busybox.inodes import inode_of, owner_names, type_letter
from cnmsim.userland.invocation import absolute_path, find_program, read_all
from cnmsim.userland.libc.getopt import getopt

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process

_FIND = "[-HL] [PATH]... [OPTIONS] [ACTIONS]"
_UNITS = {"": 512, "b": 512, "c": 1, "k": 1024, "w": 2, "M": 1 << 20}


class _FindError(Exception):
    pass


@define
class _Entry:
    path: str
    inode: Inode
    is_pruned: bool = False


#: A test or action. It returns whether the expression continues.
_Test = Callable[[_Entry], "bool"]


@define
class _Expression:
    """A find expression: the parser of its `words`, and the options found while parsing.

    `collected` holds the commands of `-exec … +` with the paths to append to them. `acts` is True if the expression
    contains an action such as -print.
    """

    process: Process
    words: list[str]
    at: int = 0
    acts: bool = False
    min_depth: int = 0
    max_depth: int = 10**9
    is_depth_first: bool = False
    collected: list[tuple[list[str], list[str]]] = field(factory=list)

    def alternatives(self) -> list[list[tuple[bool, object]]]:
        """Parse `A B -o C …`, up to the end or a closing parenthesis.

        Return one list of pairs (is negated, test) for each alternative of `-o`. An alternative is true if all its
        tests are.
        """
        found: list[list[tuple[bool, object]]] = [[]]
        while self.at < len(self.words) and self.words[self.at] != ")":
            word = self.words[self.at]
            self.at += 1
            if word in ("-o", "-or"):
                found.append([])
            elif word in ("-a", "-and"):
                continue
            else:
                is_negated = False
                while word in ("!", "-not"):
                    is_negated = not is_negated
                    word = self._next(word)
                found[-1].append((is_negated, self._primary(word)))
        return found

    def _next(self, option: str) -> str:
        if self.at >= len(self.words):
            raise _FindError(f"{option} requires an argument")
        self.at += 1
        return self.words[self.at - 1]

    def _primary(self, word: str) -> object:
        if word == "(":
            inner = self.alternatives()
            self.at += 1
            return inner
        if word in ("-exec", "-ok"):
            return self._exec()
        simple = self._simple(word)
        if simple is not None:
            return simple
        makers: dict[str, Callable[[str], _Test]] = {
            "-name": self._name, "-iname": self._iname, "-path": self._path, "-wholename": self._path,
            "-type": self._type, "-size": self._size, "-perm": self._perm,
            "-mtime": lambda text: self._age(text, 86400),
            "-mmin": lambda text: self._age(text, 60), "-newer": self._newer, "-maxdepth": self._maxdepth,
            "-mindepth": self._mindepth, "-user": self._user, "-group": self._group, "-regex": self._regex,
        }  # fmt: skip
        if word not in makers:
            raise _FindError(f"unrecognized: {word}")
        return makers[word](self._next(word))

    def _simple(self, word: str) -> _Test | None:
        process = self.process
        if word in ("-print", "-print0"):
            self.acts = True
            end = "\n" if word == "-print" else "\0"
            return _printer(process, end)
        if word == "-prune":

            def prune(entry: _Entry) -> bool:
                entry.is_pruned = True
                return True

            return prune
        if word == "-empty":
            return lambda entry: (
                not entry.inode.names() if isinstance(entry.inode, Directory) else not entry.inode.size
            )
        if word == "-true":
            return lambda _: True
        if word in ("-depth", "-xdev", "-follow", "-noleaf"):
            self.is_depth_first = self.is_depth_first or word == "-depth"
            return lambda _: True
        return None

    def _name(self, text: str) -> _Test:
        return lambda entry: fnmatch.fnmatchcase(posixpath.basename(entry.path.rstrip("/")) or "/", text)

    def _iname(self, text: str) -> _Test:
        return lambda entry: fnmatch.fnmatchcase(posixpath.basename(entry.path).lower(), text.lower())

    def _path(self, text: str) -> _Test:
        return lambda entry: fnmatch.fnmatchcase(entry.path, text)

    def _regex(self, text: str) -> _Test:
        return lambda entry: re.fullmatch(text, entry.path) is not None

    def _type(self, text: str) -> _Test:
        return lambda entry: type_letter(entry.inode).replace("-", "f") in text

    def _size(self, text: str) -> _Test:
        match = re.fullmatch(r"([-+]?)([0-9]+)([bckwM]?)", text)
        if match is None:
            raise _FindError(f"invalid number '{text}'")
        unit, number = _UNITS[match[3]], int(match[2])
        return lambda entry: _compare(match[1], -(-entry.inode.size // unit), number)

    def _perm(self, text: str) -> _Test:
        digits = text.lstrip("-/+")
        if not re.fullmatch(r"[0-7]+", digits):
            raise _FindError(f"invalid mode '{text}'")
        mode = int(digits, 8)
        if text[0] == "-":
            return lambda entry: entry.inode.mode & mode == mode
        if text[0] in "/+":
            return lambda entry: bool(entry.inode.mode & mode) or not mode
        return lambda entry: entry.inode.mode == mode

    def _age(self, text: str, unit_s: int) -> _Test:
        match = re.fullmatch(r"([-+]?)([0-9]+)", text)
        if match is None:
            raise _FindError(f"invalid number '{text}'")
        number, now_ns = int(match[2]), self.process.files.now_ns
        return lambda entry: _compare(match[1], (now_ns - entry.inode.mtime_ns) // (unit_s * NS_PER_S), number)

    def _newer(self, text: str) -> _Test:
        limit_ns = inode_of(self.process, text).mtime_ns
        return lambda entry: entry.inode.mtime_ns > limit_ns

    def _maxdepth(self, text: str) -> _Test:
        self.max_depth = _depth(text)
        return lambda _: True

    def _mindepth(self, text: str) -> _Test:
        self.min_depth = _depth(text)
        return lambda _: True

    def _user(self, text: str) -> _Test:
        return lambda entry: text in (owner_names(self.process, entry.inode)[0], str(entry.inode.uid))

    def _group(self, text: str) -> _Test:
        return lambda entry: text in (owner_names(self.process, entry.inode)[1], str(entry.inode.gid))

    def _exec(self) -> object:
        argv: list[str] = []
        self.acts = True
        while True:
            word = self._next("-exec")
            if word == ";":
                return argv
            if word == "+" and argv[-1:] == ["{}"]:
                self.collected.append((argv[:-1], []))
                return _collector(self.collected[-1][1])
            argv.append(word)


def _printer(process: Process, end: str) -> _Test:
    def show(entry: _Entry) -> bool:
        process.write(f"{entry.path}{end}")
        return True

    return show


def _collector(paths: list[str]) -> _Test:
    def collect(entry: _Entry) -> bool:
        paths.append(entry.path)
        return True

    return collect


def _compare(sign: str, value: int, number: int) -> bool:
    return value < number if sign == "-" else value > number if sign == "+" else value == number


async def find(process: Process) -> int:
    """Run `find [PATH]… [TEST]… [ACTION]…`."""
    arguments = [word for word in process.argv[1:] if word not in ("-H", "-L")]
    at = next((n for n, word in enumerate(arguments) if word[:1] in "-(!" and word), len(arguments))
    expression = _Expression(process, arguments[at:])
    try:
        tests = expression.alternatives()
    except _FindError as error:
        return show_usage(process, _FIND, str(error))
    except OSError as error:
        return complain(process, f"{error.filename}: {strerror(error)}")
    status = 0
    for path in arguments[:at] or ["."]:
        try:
            inode = inode_of(process, path, follows=False)
        except OSError as error:
            status = complain(process, f"{path}: {strerror(error)}")
            continue
        status |= await _visit(process, expression, tests, _Entry(path, inode), 0)
    for argv, paths in expression.collected:
        if paths:
            status |= await _run(process, [*argv, *paths])
    return status


async def _visit(
    process: Process, expression: _Expression, tests: list[list[tuple[bool, object]]], entry: _Entry, depth: int
) -> int:
    """Apply the parsed expression `tests` to the path `entry` and to everything below it. Return the exit status.

    `depth` is 0 for a path of the command line, and 1 more for each level of directories below it.
    """
    status = 0
    if not expression.is_depth_first and depth >= expression.min_depth:
        await _apply(process, expression, tests, entry)
    if isinstance(entry.inode, Directory) and depth < expression.max_depth and not entry.is_pruned:
        try:
            names = process.files.listdir(absolute_path(process, entry.path))
        except OSError as error:
            names, status = [], complain(process, f"{entry.path}: {strerror(error)}")
        for name in names:
            path = posixpath.join(entry.path, name)
            inner = _Entry(path, inode_of(process, path, follows=False))
            status |= await _visit(process, expression, tests, inner, depth + 1)
    if expression.is_depth_first and depth >= expression.min_depth:
        await _apply(process, expression, tests, entry)
    return status


async def _apply(
    process: Process, expression: _Expression, tests: list[list[tuple[bool, object]]], entry: _Entry
) -> None:
    if await _holds(process, tests, entry) and not expression.acts:
        process.write(f"{entry.path}\n")


async def _holds(process: Process, tests: list[list[tuple[bool, object]]], entry: _Entry) -> bool:
    for conjunction in tests:
        is_true = True
        for is_negated, test in conjunction:
            if callable(test):
                value = bool(test(entry))
            elif test and isinstance(test, list) and isinstance(test[0], str):
                value = await _run(process, [word.replace("{}", entry.path) for word in test]) == 0
            else:
                assert isinstance(test, list)
                value = await _holds(process, test, entry)
            is_true = value != is_negated
            if not is_true:
                break
        if is_true:
            return True
    return False


async def _run(process: Process, argv: list[str]) -> int:
    program = find_program(process, argv[0])
    if program is None:
        complain(process, f"{argv[0]}: No such file or directory")
        return 127
    return await process.start(program, argv).exited


_XARGS = "[-prxt] [-I REPLSTR] [-n N] [-s N] [-E STR|-e[STR]] [-P N] [-a FILE] [PROG ARGS]"


async def xargs(process: Process) -> int:
    """Run `xargs [-0prt] [-I TEXT] [-n N] [-L N] [-P N] [-a FILE] [PROGRAM ARGUMENT…]`."""
    with usage_errors(process, _XARGS):
        options = getopt(process.argv[1:], "0prtxI:i:n:L:l:s:E:e:P:a:d:", stop_at_operand=True)
        count = options.number("n", 0)
        lines = options.number("L", 0)
    argv = options.operands or ["echo"]
    if "a" in options:
        data = process.files.read(absolute_path(process, options.get("a") or ""))
    else:
        data = await read_all(process.stdin)
    text = data.decode(errors="surrogateescape")
    marker = options.get("I")
    if "0" in options:
        items = [item for item in text.split("\0") if item]
    elif marker is not None or lines:
        items = [" ".join(_items(line)) if lines else line.strip() for line in text.splitlines() if line.strip()]
    else:
        items = _items(text)
    if marker is not None:
        commands = [[word.replace(marker, item) for word in argv] for item in items]
    elif items:
        step = count or lines or len(items)
        chunks = [items[at : at + step] for at in range(0, len(items), step)]
        commands = [[*argv, *(" ".join(chunk).split() if lines else chunk)] for chunk in chunks]
    else:
        commands = [] if "r" in options else [argv]
    status = 0
    for command in commands:
        if "t" in options:
            process.error(f"{' '.join(command)}\n")
        program = find_program(process, command[0])
        if program is None:
            complain(process, f"{command[0]}: No such file or directory")
            return 127
        ended = await process.start(program, command).exited
        if ended == 255:
            complain(process, f"{command[0]}: exited with status 255; aborting")
            return 124
        status = 123 if ended else status
    return status


def _items(text: str) -> list[str]:
    """Split text into words at blanks and newlines that are not quoted or escaped with a backslash."""
    quoted = re.compile(r"\"([^\"]*)\"|'([^']*)'|\\(.)", re.DOTALL)
    words = re.findall(r"(?:\"[^\"\n]*\"|'[^'\n]*'|\\.|[^\s\"'\\])+", text, re.DOTALL)
    return [quoted.sub(lambda part: "".join(filter(None, part.groups())), word) for word in words]


def _depth(text: str) -> int:
    if not is_number(text):
        raise _FindError(f"invalid number '{text}'")
    return int(text)

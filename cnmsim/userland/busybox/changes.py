"""Applets that change files: mkdir, rmdir, rm, unlink, touch, mktemp, truncate, ln, chmod, chown, chgrp."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from cnmsim.digits import is_number
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.credentials import groups, users
from cnmsim.kernel.errno_text import strerror
from cnmsim.kernel.inode import Directory
from cnmsim.kernel.permissions import EXECUTE, READ, allows
from cnmsim.userland.busybox.applet import complain, read_options, show_usage
from cnmsim.userland.busybox.inodes import for_each_operand, inode_of, parse_mode, walk
from cnmsim.userland.busybox.system import parse_date
from cnmsim.userland.invocation import absolute_path, invoked_name
from cnmsim.userland.libc.getopt import Options, UsageError

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process


async def mkdir(process: Process) -> int:
    """Run `mkdir [-pv] [-m MODE] DIRECTORY…`."""
    options = read_options(process, "pvm:", "[-m MODE] [-p] DIRECTORY...", needs_operand=True)
    text = options.get("m")
    mode = 0o777 if text is None else parse_mode(text, 0o777, is_directory=True)
    if mode is None:
        return complain(process, f"invalid mode '{text}'")

    def make(operand: str) -> None:
        path = absolute_path(process, operand)
        if "p" not in options:
            process.files.mkdir(path, mode)
        elif process.files.exists(path) and not process.files.is_dir(path):
            raise FileExistsError
        else:
            process.files.makedirs(path)
        if text is not None:
            process.files.change(path, mode=mode)
        if "v" in options:
            process.write(f"created directory: '{operand}'\n")

    return for_each_operand(process, options.operands, make, "can't create directory '{}': {}")


async def rmdir(process: Process) -> int:
    """Run `rmdir [-p] DIRECTORY…`."""
    options = read_options(process, "p", "[-p] DIRECTORY...", needs_operand=True)

    def remove(operand: str) -> None:
        while operand:
            if not isinstance(inode_of(process, operand, follows=False), Directory):
                raise NotADirectoryError
            process.files.remove(absolute_path(process, operand))
            operand = posixpath.dirname(operand) if "p" in options else ""

    return for_each_operand(process, options.operands, remove, "'{}': {}")


async def rm(process: Process) -> int:
    """Run `rm [-rfiv] FILE…`. With -i, each removal must be confirmed on standard input."""
    options = read_options(process, "rRfiv", "[-irf] FILE...")
    if not options.operands and "f" not in options:
        return show_usage(process, "[-irf] FILE...")
    status = 0
    for operand in options.operands:
        if posixpath.basename(operand.rstrip("/")) in (".", ".."):
            status = complain(process, "can't remove '.' or '..'")
            continue
        path = absolute_path(process, operand)
        try:
            inode = inode_of(process, operand, follows=False)
            if isinstance(inode, Directory) and not {"r", "R"} & set(options.values):
                status = complain(process, f"'{operand}' is a directory")
                continue
            if "i" in options and "f" not in options:
                process.error(f"rm: remove '{operand}'? ")
                if not (await process.stdin.read(2)).lower().startswith(b"y"):
                    continue
            if isinstance(inode, Directory) and not allows(process, path, READ | EXECUTE):
                status = 1  # busybox says nothing about a directory that it cannot open
                continue
            process.files.remove_tree(path)
            if "v" in options:
                process.write(f"removed {'directory: ' if isinstance(inode, Directory) else ''}'{operand}'\n")
        except OSError as error:
            if "f" not in options or not isinstance(error, FileNotFoundError):
                status = complain(process, f"can't remove '{operand}': {strerror(error)}")
    return status


async def unlink(process: Process) -> int:
    """Run `unlink FILE`."""
    options = read_options(process, "", "FILE", needs_operand=True)
    try:
        if isinstance(inode_of(process, options.operands[0], follows=False), Directory):
            raise IsADirectoryError
        process.files.remove(absolute_path(process, options.operands[0]))
    except OSError as error:
        return complain(process, f"can't remove file '{options.operands[0]}': {strerror(error)}")
    return 0


async def touch(process: Process) -> int:
    """Run `touch [-c] [-d DATE | -t DATE | -r FILE] FILE…`."""
    synopsis = "[-cham] [-d DATE] [-t DATE] [-r FILE] FILE..."
    options = read_options(process, "cahmd:t:r:", synopsis, needs_operand=True)
    files = process.files
    mtime_ns = files.now_ns
    text = options.get("d") or options.get("t")
    if text is not None:
        seconds = parse_date(text, process.clock.unix_s, _touch_form(text) if "t" in options else None)
        if seconds is None:
            return complain(process, f"invalid date '{text}'")
        mtime_ns = seconds * NS_PER_S
    elif "r" in options:
        try:
            mtime_ns = inode_of(process, options.get("r") or "").mtime_ns
        except OSError as error:
            return complain(process, f"{options.get('r')}: {strerror(error)}")

    def touch_one(operand: str) -> None:
        path = absolute_path(process, operand)
        if not files.exists(path):
            if "c" in options:
                return
            files.write(path, b"")
        if not callable(files.mounted(path)):
            files.change(path, mtime_ns=mtime_ns)

    return for_each_operand(process, options.operands, touch_one)


def _touch_form(text: str) -> str:
    """Return the strptime(3) format of `text`, a date in the form `[[CC]YY]MMDDhhmm[.ss]`."""
    seconds = ".%S" if "." in text else ""
    year = {12: "%Y", 10: "%y"}.get(len(text.partition(".")[0]), "")
    return f"{year}%m%d%H%M{seconds}"


async def mktemp(process: Process) -> int:
    """Run `mktemp [-dqtu] [-p DIRECTORY] [TEMPLATE]`."""
    options = read_options(process, "dqtup:", "[-dt] [-p DIR] [TEMPLATE]")
    template = options.operands[0] if options.operands else ""
    if not template or "t" in options or "p" in options:
        folder = options.get("p") or process.env.get("TMPDIR", "/tmp")  # noqa: S108
        template = posixpath.join(folder, template or "tmp.XXXXXX")
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    if not template.endswith("XXXXXX"):
        return complain(process, ": Invalid argument")
    random = process.machine.random
    name = template[:-6] + "".join(random.choice(letters) for _ in range(6))
    path = absolute_path(process, name)
    try:
        if "u" not in options:
            if "d" in options:
                process.files.mkdir(path, 0o700)
            else:
                process.files.write(path, b"")
                process.files.change(path, mode=0o600)
    except OSError as error:
        return 1 if "q" in options else complain(process, f": {strerror(error)}")
    process.write(f"{name}\n")
    return 0


async def truncate(process: Process) -> int:
    """Run `truncate [-c] -s SIZE FILE…`."""
    synopsis = "[-c] -s SIZE FILE..."
    options = read_options(process, "cs:", synopsis, needs_operand=True)
    text = options.get("s")
    if text is None:
        return show_usage(process, synopsis)
    match = re.fullmatch(r"([0-9]+)([kKMG]?)", text)
    if match is None:
        return complain(process, f"invalid number '{text}'")
    size = int(match[1]) << {"": 0, "k": 10, "K": 10, "M": 20, "G": 30}[match[2]]

    def change(operand: str) -> None:
        path = absolute_path(process, operand)
        if not process.files.exists(path) and "c" in options:
            return
        content = process.files.read(path) if process.files.exists(path) else b""
        process.files.write(path, content[:size].ljust(size, b"\0"))

    return for_each_operand(process, options.operands, change, "{}: open: {}")


async def ln(process: Process) -> int:
    """Run `ln [-sfnT] TARGET… LINK|DIRECTORY`."""
    synopsis = "[-sfnbtv] [-S SUF] TARGET... LINK|DIR"
    options = read_options(process, "sfnbTvS:", synopsis, needs_operand=True)
    *targets, last = options.operands
    if not targets:
        targets, last = [last], posixpath.basename(last)
    files, status = process.files, 0
    try:
        is_link = files.readlink(absolute_path(process, last)) is not None
    except OSError:
        is_link = False
    is_folder = files.is_dir(absolute_path(process, last)) and not ("T" in options or ("n" in options and is_link))
    for target in targets:
        link = posixpath.join(last, posixpath.basename(target.rstrip("/"))) if is_folder else last
        path = absolute_path(process, link)
        try:
            if "s" not in options:
                inode_of(process, target)
        except OSError as error:
            status = complain(process, f"{target}: {strerror(error)}")
            continue
        try:
            if (
                "f" in options
                and _lexists(process, path)
                and not isinstance(files.inode(path, follows=False), Directory)
            ):
                files.remove(path)
            if "s" in options:
                files.symlink(target, path)
            else:
                files.link(absolute_path(process, target), path)
            if "v" in options:
                process.write(f"'{link}' -> '{target}'\n")
        except OSError as error:
            status = complain(process, f"{link}: {strerror(error)}")
    return status


def _lexists(process: Process, path: str) -> bool:
    try:
        process.files.inode(path, follows=False)
    except OSError:
        return False
    return True


async def chmod(process: Process) -> int:
    """Run `chmod [-Rcvf] MODE[,MODE]… FILE…`."""
    synopsis = "[-Rcvf] MODE[,MODE]... FILE..."
    arguments = process.argv[1:]
    # A mode such as -x is not an option.
    at = next((n for n, word in enumerate(arguments) if not re.fullmatch(r"-[Rcvf]+|--", word)), len(arguments))
    options = read_options(process, "Rcvf", synopsis, arguments=arguments[:at])
    operands = arguments[at:]
    if len(operands) < 2:
        return show_usage(process, synopsis)
    if parse_mode(operands[0], 0) is None:
        return complain(process, f"invalid mode '{operands[0]}'")

    def change(operand: str) -> None:
        for path, inode in walk(process, operand, follows=True) if "R" in options else [_single(process, operand)]:
            mode = parse_mode(operands[0], inode.mode, is_directory=isinstance(inode, Directory))
            process.files.change(absolute_path(process, path), mode=mode)
            if "v" in options:
                process.write(f"mode of '{path}' changed to {mode:04o}\n")

    return for_each_operand(process, operands[1:], change)


def _single(process: Process, operand: str) -> tuple[str, Directory]:
    return operand, inode_of(process, operand)  # type: ignore[return-value]


async def chown(process: Process) -> int:
    """Run `chown [-Rhcvf] USER[:[GROUP]] FILE…`."""
    return await _change_owner(process, "[-RhLHPcvf]... USER[:[GRP]] FILE...")


async def chgrp(process: Process) -> int:
    """Run `chgrp [-Rhcvf] GROUP FILE…`."""
    return await _change_owner(process, "[-RhLHPcvf]... GROUP FILE...")


async def _change_owner(process: Process, synopsis: str) -> int:
    options = read_options(process, "RhLHPcvf", synopsis, needs_operand=True)
    if len(options.operands) < 2:
        return show_usage(process, synopsis)
    uid, gid = _owner(process, options.operands[0])

    def change(operand: str) -> None:
        entries = walk(process, operand) if "R" in options else [_single(process, operand)]
        for path, _ in entries:
            follows = not _is_link_itself(options)
            process.files.change(absolute_path(process, path), uid=uid, gid=gid, follows=follows)

    return for_each_operand(process, options.operands[1:], change)


def _is_link_itself(options: Options) -> bool:
    return "h" in options or "R" in options


def _owner(process: Process, text: str) -> tuple[int | None, int | None]:
    """Parse the owner argument: `USER[:GROUP]` or, for chgrp, `GROUP`. Return the user id and the group id.

    An id is `None` if it is not to be changed. Raises `UsageError` for an unknown name.
    """
    user, colon, group = ("", ":", text) if invoked_name(process) == "chgrp" else text.partition(":")
    uid = gid = None
    if user:
        known = next((entry for entry in users(process.files) if entry.name == user), None)
        if known is None and not is_number(user) and user != "root":
            raise UsageError(f"unknown user {user}")
        uid = known.uid if known is not None else int(user) if is_number(user) else 0
        if colon and not group and known is not None:
            gid = known.gid
    if group:
        numbers = {entry.name: entry.gid for entry in groups(process.files)}
        if group not in numbers and not is_number(group) and group != "root":
            raise UsageError(f"unknown group {group}")
        gid = numbers[group] if group in numbers else int(group) if is_number(group) else 0
    return uid, gid

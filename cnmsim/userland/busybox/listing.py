"""Applets that show files: ls, stat, readlink, realpath, du, df, mount."""

from __future__ import annotations

import posixpath
import re
import time
from typing import TYPE_CHECKING

from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.devices import Device
from cnmsim.kernel.errno_text import strerror
from cnmsim.kernel.inode import Directory, File, Inode, Symlink
from cnmsim.kernel.mount_table import mount_lines
from cnmsim.kernel.procfs import MEMORY_KIB
from cnmsim.userland.busybox.applet import complain, read_options, usage_errors
from cnmsim.userland.busybox.inodes import (
    inode_of,
    link_count,
    mode_text,
    owner_names,
    type_letter,
    type_name,
    walk,
)
from cnmsim.userland.invocation import absolute_path
from cnmsim.userland.libc.getopt import Options, getopt

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process

_BLOCK = 4096
_HALF_YEAR_S = 15778476
_LS = "[-1AaCxdlFLHhRk] [FILE]..."


async def ls(process: Process) -> int:
    """Run `ls [-1AaCdFhiLlnpQRrSst] [FILE]…`."""
    options = read_options(
        process, "1AaCdFghHiLlnopQRrSstuXx", _LS, long={"full-time": "full-time", "color=": "color"}
    )
    if {"l", "n", "g", "o", "full-time"} & set(options.values):
        options.values.setdefault("l", [""])
    status = 0
    files: list[tuple[str, Inode]] = []
    folders: list[str] = []
    for operand in options.operands or ["."]:
        try:
            inode = inode_of(process, operand, follows="l" not in options or operand.endswith("/"))
        except FileNotFoundError as error:
            try:
                inode = inode_of(process, operand, follows=False)
            except OSError:
                status = complain(process, f"{operand}: {strerror(error)}")
                continue
        except OSError as error:
            status = complain(process, f"{operand}: {strerror(error)}")
            continue
        if operand.endswith("/") and not isinstance(inode, Directory):
            status = complain(process, f"{operand}: Not a directory")
        elif isinstance(inode, Directory) and "d" not in options:
            folders.append(operand)
        else:
            files.append((operand, inode))
    files = _sorted(files, options)
    process.write("".join(_entry(process, name, inode, options) for name, inode in files))
    has_title = len(options.operands) > 1 or "R" in options
    for number, operand in enumerate(sorted(folders)):
        is_first = not number and not files
        status |= _list_folder(process, operand, options, has_title=has_title, is_first=is_first)
    return status


def _list_folder(process: Process, operand: str, options: Options, *, has_title: bool, is_first: bool) -> int:
    """Print the entries of the directory `operand`, with -R also those below it. Return the exit status.

    `has_title` prints the directory's name first, preceded by an empty line unless `is_first` is set.
    """
    if has_title:
        process.write(f"{'' if is_first else chr(10)}{operand}:\n")
    try:
        names = process.files.listdir(absolute_path(process, operand))
    except OSError as error:
        return complain(process, f"can't open '{operand}': {strerror(error)}")
    status = 0
    entries = [
        (name, inode_of(process, posixpath.join(operand, name), follows="L" in options))
        for name in names
        if name[0] != "." or "a" in options or "A" in options
    ]
    entries = _sorted(entries, options)
    if "a" in options:
        dots = [(name, inode_of(process, posixpath.join(operand, name))) for name in (".", "..")]
        entries = [*entries, *reversed(dots)] if "r" in options else [*dots, *entries]
    if "l" in options or "s" in options:
        process.write(f"total {sum(_blocks(inode) for _, inode in entries) // 2}\n")
    for name, inode in entries:
        process.write(_entry(process, name, inode, options))
    if "R" in options:
        for name, inode in entries:
            if isinstance(inode, Directory) and name not in (".", ".."):
                inner = posixpath.join(operand, name)
                status |= _list_folder(process, inner, options, has_title=True, is_first=False)
    return status


def _sorted(entries: list[tuple[str, Inode]], options: Options) -> list[tuple[str, Inode]]:
    if "S" in options:
        entries = sorted(entries, key=lambda entry: (-entry[1].size, entry[0]))
    elif "t" in options:
        entries = sorted(entries, key=lambda entry: (-entry[1].mtime_ns, entry[0]))
    else:
        entries = sorted(entries, key=lambda entry: entry[0])
    return entries[::-1] if "r" in options else entries


def _blocks(inode: Inode) -> int:
    """Return the disk space that an inode occupies, in blocks of 512 bytes."""
    if isinstance(inode, (Symlink, Device)):
        return 0
    return -(-inode.size // _BLOCK) * 8


def _entry(process: Process, name: str, inode: Inode, options: Options) -> str:
    text = f'"{name}"' if "Q" in options else name
    if ("F" in options or "p" in options) and isinstance(inode, Directory):
        text += "/"
    elif "F" in options:
        text += {"l": "@", "s": "="}.get(type_letter(inode), "*" if inode.mode & 0o111 else "")
    head = f"{id(inode) % 10**8:7d} " if "i" in options else ""
    head += f"{_blocks(inode) // 2:4d} " if "s" in options else ""
    if "l" not in options:
        return f"{head}{text}\n"
    owner, group = (str(inode.uid), str(inode.gid)) if "n" in options else owner_names(process, inode)
    owners = f"{'' if 'g' in options else f'{owner[:8]:<8} '}{'' if 'o' in options else f'{group[:8]:<8} '}"
    size = f"{inode.major:4d}, {inode.minor:3d}" if isinstance(inode, Device) else _size_text(inode.size, options)
    if isinstance(inode, Symlink):
        text += f" -> {inode.target}"
    when = _time_text(process, inode, is_full="full-time" in options)
    return f"{head}{mode_text(inode)} {link_count(inode):4d} {owners}{size:>9} {when} {text}\n"


def _time_text(process: Process, inode: Inode, *, is_full: bool) -> str:
    seconds = inode.mtime_ns // NS_PER_S
    parts = time.gmtime(seconds)
    if is_full:
        return time.strftime("%Y-%m-%d %H:%M:%S +0000", parts)
    is_recent = -900 <= process.clock.unix_s - seconds <= _HALF_YEAR_S
    return time.strftime(f"%b {parts.tm_mday:2d} {'%H:%M' if is_recent else ' %Y'}", parts)


def _size_text(size: int, options: Options) -> str:
    return human_size(size) if "h" in options else str(size)


def human_size(size: int) -> str:
    """Format a number of bytes as busybox does with -h, e.g. `1.5K`."""
    if size < 1024:
        return str(size)
    value = float(size)
    units = iter("KMGTP")
    unit = "B"
    while value >= 1023.95 and (larger := next(units, "")):
        value, unit = value / 1024, larger
    return f"{value:.1f}{unit}"


async def stat(process: Process) -> int:
    """Run `stat [-Lft] [-c FORMAT] FILE…`."""
    synopsis = "[-ltf] [-c FMT] FILE..."
    options = read_options(process, "Lltfc:", synopsis, needs_operand=True)
    status = 0
    for operand in options.operands:
        try:
            inode = inode_of(process, operand, follows="L" in options)
        except OSError as error:
            status = complain(process, f"can't stat '{operand}': {strerror(error)}")
            continue
        form = options.get("c")
        if form is None:
            form = _FS_STAT if "f" in options else _TERSE if "t" in options else _LONG
            if type_letter(inode) == "l" and form == _LONG:
                form = form.replace("%n", "%N", 1)
        fields = _fs_fields(operand) if "f" in options else _fields(process, operand, inode)
        process.write(f"{_fill(form, fields)}\n")
    return status


_LONG = (
    "  File: %n\n  Size: %-10s\tBlocks: %-10b IO Block: %-6o %F\nDevice: %Dh/%dd\tInode: %-10i  Links: %h\n"
    "Access: (%04a/%A)  Uid: (%5u/%8U)   Gid: (%5g/%8G)\nAccess: %x\nModify: %y\nChange: %z"
)
_TERSE = "%n %s %b %f %u %g %D %i %h %t %T %X %Y %Z %o"
_FS_STAT = (
    '  File: "%n"\n    ID: %-8i Namelen: %-7l Type: %T\nBlock size: %-10s\n'
    "Blocks: Total: %-10b Free: %-10f Available: %a\nInodes: Total: %-10c Free: %d"
)


def _fields(process: Process, operand: str, inode: Inode) -> dict[str, str]:
    owner, group = owner_names(process, inode)
    seconds, rest = divmod(inode.mtime_ns, NS_PER_S)
    when = f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(seconds))}.{rest:09d} +0000"
    kind = {"d": 0o040000, "l": 0o120000, "s": 0o140000, "c": 0o020000}.get(type_letter(inode), 0o100000)
    major, minor = (inode.major, inode.minor) if isinstance(inode, Device) else (0, 0)
    return {
        "n": operand, "N": f"'{operand}' -> '{inode.target}'" if isinstance(inode, Symlink) else f"'{operand}'",
        "s": str(inode.size), "b": str(_blocks(inode)), "B": "512", "o": str(_BLOCK), "F": type_name(inode),
        "a": f"{inode.mode:o}", "A": mode_text(inode), "u": str(inode.uid), "U": owner, "g": str(inode.gid),
        "G": group, "h": str(link_count(inode)), "i": str(id(inode) % 10**8), "f": f"{kind | inode.mode:x}",
        "d": "65024", "D": "fe00", "t": f"{major:x}", "T": f"{minor:x}", "x": when, "y": when, "z": when,
        "X": str(seconds), "Y": str(seconds), "Z": str(seconds), "m": "/",
    }  # fmt: skip


def _fs_fields(operand: str) -> dict[str, str]:
    return {
        "n": operand, "i": "0", "l": "255", "T": "overlayfs", "s": str(_BLOCK), "S": str(_BLOCK),
        "b": str(_DISK_KIB // 4), "f": str(_DISK_KIB // 4), "a": str(_DISK_KIB // 4), "c": "1310720", "d": "1310720",
    }  # fmt: skip


def _fill(form: str, fields: dict[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        if match[2] == "%":
            return "%"
        text = fields.get(match[2], "?")
        flags = match[1]
        if flags.startswith("0"):
            return text.zfill(int(flags))
        width = int(flags.lstrip("-") or 0)
        return text.ljust(width) if flags.startswith("-") else text.rjust(width)

    return re.sub(r"%(-?[0-9]*)([A-Za-z%])", value, form)


async def readlink(process: Process) -> int:
    """Run `readlink [-fnv] FILE…`: print the target of symbolic links, with -f the canonical path."""
    options = read_options(process, "fnvmeqs", "[-fnv] FILE", needs_operand=True)
    status = 0
    for operand in options.operands:
        try:
            path = absolute_path(process, operand)
            text = _canonical(process, path) if "f" in options else process.files.readlink(path)
        except OSError as error:
            status = complain(process, f"{operand}: {strerror(error)}") if "v" in options else 1
            continue
        process.write(f"{text}{'' if 'n' in options else chr(10)}")
    return status


def _canonical(process: Process, path: str) -> str:
    """Return `path` with all symbolic links resolved. Its last component need not exist."""
    try:
        return process.files.realpath(path)
    except FileNotFoundError:
        parent = process.files.realpath(posixpath.dirname(path))
        return posixpath.join(parent, posixpath.basename(path))


async def realpath(process: Process) -> int:
    """Run `realpath FILE…`: print the absolute paths without symbolic links."""
    options = read_options(process, "", "FILE...", needs_operand=True)
    status = 0
    for operand in options.operands:
        try:
            process.write(f"{process.files.realpath(absolute_path(process, operand))}\n")
        except OSError as error:
            status = complain(process, f"{operand}: {strerror(error)}")
    return status


async def du(process: Process) -> int:
    """Run `du [-abhkms] [-d DEPTH] [FILE]…`: print the size of files and directories."""
    with usage_errors(process, "[-aHLdclsxhmkb] [FILE]..."):
        options = getopt(process.argv[1:], "abcd:hHkLlmsx")
        depth = options.number("d", 0 if "s" in options else 10**6)
    status = 0
    for operand in options.operands or ["."]:
        try:
            entries = list(walk(process, operand))
        except OSError as error:
            status = complain(process, f"{operand}: {strerror(error)}")
            continue
        total = 0
        for path, inode in reversed(entries):
            below = [other for name, other in entries if name == path or name.startswith(f"{path}/")]
            octets = sum(other.size if "b" in options else _blocks(other) * 512 for other in below)
            level = 0 if path == operand else path[len(operand) :].strip("/").count("/") + 1
            total = octets
            is_shown = isinstance(inode, Directory) or "a" in options or path == operand
            if is_shown and level <= depth:
                process.write(f"{_du_size(octets, options)}\t{path}\n")
        if "c" in options:
            process.write(f"{_du_size(total, options)}\ttotal\n")
    return status


def _du_size(octets: int, options: Options) -> str:
    if "b" in options:
        return str(octets)
    if "h" in options:
        return human_size(octets)
    return str(-(-octets // (1 << 20 if "m" in options else 1024)))


#: The size of a machine's disk, in KiB.
_DISK_KIB = 64 << 20


async def df(process: Process) -> int:
    """Run `df [-PkmhTai] [FILE]…`: print the size of the mounted file systems, and how much of them is used."""
    options = read_options(process, "PkmhTait:B:", "[-PkmhTai] [-B SIZE] [-t TYPE] [FILESYSTEM]...")
    lines = [line for line in mount_lines(process.files) if line[2] in ("overlay", "ext4", "tmpfs") or "a" in options]
    status = 0
    if options.operands:
        chosen: list[tuple[str, str, str, str]] = []
        for operand in options.operands:
            try:
                path = process.files.realpath(absolute_path(process, operand))
            except OSError as error:
                status = complain(process, f"{operand}: can't find mount point: {strerror(error)}")
                continue
            fitting = [line for line in lines if line[1] == "/" or f"{path}/".startswith(f"{line[1]}/")]
            chosen += fitting[-1:]
        lines = chosen
    title = "Size" if "h" in options else "1M-blocks" if "m" in options else "1K-blocks"
    if "P" in options and "h" not in options:
        title = "1048576-blocks" if "m" in options else "1024-blocks"
    kind_title = f"{'Type':<11}" if "T" in options else ""
    percent = "Capacity" if "P" in options else "Use%"
    if lines or not options.operands:
        process.write(f"{'Filesystem':<21}{kind_title}{title:>9}      Used Available {percent} Mounted on\n")
    for device, path, kind, mount_options in lines:
        used_kib = _used_kib(process, path, is_tmpfs=kind == "tmpfs")
        total_kib = _tmpfs_kib(process, path, mount_options) if kind == "tmpfs" else _DISK_KIB
        numbers = (total_kib, used_kib, total_kib - used_kib)
        sizes = [human_size(n * 1024) if "h" in options else str(n >> 10 if "m" in options else n) for n in numbers]
        share = -(-100 * used_kib // total_kib) if total_kib else 0
        name = f"{device:<20}" if len(device) <= 20 else f"{device}\n{'':20}"
        kind_text = f" {kind:<10}"[:11] if "T" in options else ""
        process.write(f"{name}{kind_text} {sizes[0]:>9} {sizes[1]:>9} {sizes[2]:>9} {share:3d}% {path}\n")
    return status


def _used_kib(process: Process, path: str, *, is_tmpfs: bool) -> int:
    try:
        inode = process.files.inode(path)
    except FileNotFoundError:
        return 0  # a masked path
    if not isinstance(inode, Directory):
        return 0
    # The directories, links and devices of a tmpfs take no blocks.
    return sum(_blocks(entry) for _, entry in inode.walk() if isinstance(entry, File) or not is_tmpfs) // 2


def _tmpfs_kib(process: Process, path: str, options: str) -> int:
    limit = next((mount.limit for mount in process.files.mounts() if mount.path == path), 0)
    stated = re.search("size=([0-9]+)k", options)
    return limit >> 10 if limit else int(stated[1]) if stated else MEMORY_KIB // 2


async def mount(process: Process) -> int:
    """Run `mount`: list the mounted file systems.

    With arguments it fails: mounting requires CAP_SYS_ADMIN, and is not simulated for a process that has it.
    """
    if len(process.argv) == 1:
        lines = (
            f"{device} on {path} type {kind} ({text})\n" for device, path, kind, text in mount_lines(process.files)
        )
        process.write("".join(lines))
        return 0
    target = process.argv[-1]
    if not process.credentials.has("SYS_ADMIN"):
        complain(process, "permission denied (are you root?)")
        return 1
    return complain(process, f"mounting {' on '.join(process.argv[-2:])} failed: not simulated") if target else 1

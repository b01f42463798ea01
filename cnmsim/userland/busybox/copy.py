"""Applets that copy or move files: cp, mv, install, dd."""

from __future__ import annotations

import errno
import posixpath
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from cnmsim.kernel.devices import Device
from cnmsim.kernel.errno_text import errno_of, strerror
from cnmsim.kernel.inode import Directory, File, Inode, Symlink
from cnmsim.userland.busybox.applet import complain, read_options, show_usage
from cnmsim.userland.busybox.inodes import inode_of, parse_mode
from cnmsim.userland.invocation import absolute_path, read_all
from cnmsim.userland.libc.getopt import Options, UsageError

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process

_CP = "[-arPLHpfinlsTu] SOURCE DEST\n   or: cp [-arPLHpfinlsu] SOURCE... { -t DIRECTORY | DIRECTORY }"
_MV = "[-finT] SOURCE DEST\n   or: mv [-fin] SOURCE... { -t DIRECTORY | DIRECTORY }"
_EXDEV = 18


async def cp(process: Process) -> int:
    """Run `cp [-adfilLnpPrRsTuv] SOURCE… TARGET`."""
    return _each_source(process, "aRrPLHpdfinlsTuvt:", _CP, _copy)


async def mv(process: Process) -> int:
    """Run `mv [-finTv] SOURCE… TARGET`."""
    return _each_source(process, "finTvt:", _MV, _move)


def _each_source(
    process: Process, short: str, synopsis: str, action: Callable[[Process, Options, str, str], int]
) -> int:
    options = read_options(process, short, synopsis)
    sources = list(options.operands)
    target = options.get("t")
    if target is None:
        if len(sources) < 2:
            return show_usage(process, synopsis)
        target = sources.pop()
    is_folder = process.files.is_dir(absolute_path(process, target)) and "T" not in options
    needs_folder = len(sources) > 1 or "t" in options
    status = 0
    for source in sources:
        place = target
        if is_folder or needs_folder:
            place = posixpath.join(target, posixpath.basename(source.rstrip("/")))
        status |= action(process, options, source, place)
    return status


def _copy(process: Process, options: Options, source: str, target: str) -> int:
    is_recursive = bool({"a", "r", "R"} & set(options.values))
    keeps_links = bool({"a", "d", "P"} & set(options.values)) or (is_recursive and "L" not in options)
    try:
        inode = inode_of(process, source, follows=not keeps_links)
    except OSError as error:
        return complain(process, f"can't stat '{source}': {strerror(error)}")
    if isinstance(inode, Directory) and not is_recursive:
        return complain(process, f"omitting directory '{source}'")
    files = process.files
    path = absolute_path(process, target)
    if files.exists(path) and files.realpath(path) == _real(process, source):
        return complain(process, f"'{source}' and '{target}' are the same file")
    if isinstance(inode, Directory):
        return _copy_tree(process, options, source, target)
    present = files.inode(path) if files.exists(path) else None
    if present is not None and ("n" in options or ("u" in options and present.mtime_ns >= inode.mtime_ns)):
        return 0
    try:
        if "s" in options:
            files.symlink(source, path)
        elif "l" in options:
            files.link(absolute_path(process, source), path)
        else:
            _copy_file(process, inode, path, keeps_attributes=bool({"a", "p"} & set(options.values)))
    except OSError as error:
        what = "write error" if error.errno == errno.ENOSPC else f"can't create '{target}'"
        return complain(process, f"{what}: {strerror(error)}")
    if "v" in options:
        process.write(f"'{source}' -> '{target}'\n")
    return 0


def _real(process: Process, path: str) -> str:
    try:
        return process.files.realpath(absolute_path(process, path))
    except OSError:
        return ""


def _copy_file(process: Process, inode: Inode, path: str, *, keeps_attributes: bool) -> None:
    files = process.files
    if isinstance(inode, Symlink):
        files.symlink(inode.target, path)
        return
    if not isinstance(inode, File):
        raise OSError(22, "Invalid argument")
    is_new = not files.exists(path)
    files.write(path, inode.content)
    if is_new:
        files.change(path, mode=inode.mode)
    if keeps_attributes:
        uid, gid = (inode.uid, inode.gid) if process.credentials.has("CHOWN") else (None, None)
        files.change(path, mode=inode.mode, uid=uid, gid=gid, mtime_ns=inode.mtime_ns)


def _copy_tree(process: Process, options: Options, source: str, target: str) -> int:
    files = process.files
    origin, path = absolute_path(process, source), absolute_path(process, target)
    if path.startswith(f"{origin}/"):
        if not files.is_dir(path):
            files.mkdir(path)
        complain(process, f"recursion detected, omitting directory '{target}'")
        return 0
    status = 0
    try:
        if not files.is_dir(path):
            files.mkdir(path, files.inode(origin).mode)
    except OSError as error:
        return complain(process, f"can't create directory '{target}': {strerror(error)}")
    for name in files.listdir(origin):
        status |= _copy(process, options, posixpath.join(source, name), posixpath.join(target, name))
    return status


def _move(process: Process, options: Options, source: str, target: str) -> int:
    files = process.files
    origin, path = absolute_path(process, source), absolute_path(process, target)
    if "n" in options and files.exists(path):
        return 0
    try:
        inode = files.inode(origin, follows=False)
        try:
            files.rename(origin, path)
        except OSError as error:
            if errno_of(error) != _EXDEV:
                raise
            files.copy_in(inode, path)
            files.remove_tree(origin)
    except OSError as error:
        return complain(process, f"can't rename '{source}': {strerror(error)}")
    if "v" in options:
        process.write(f"'{source}' -> '{target}'\n")
    return 0


async def install(process: Process) -> int:
    """Run `install [-dDp] [-m MODE] SOURCE TARGET`, or `install -d DIRECTORY…`."""
    synopsis = "[-cdDsp] [-o USER] [-g GRP] [-m MODE] [-t DIR] [SOURCE]... DEST"
    options = read_options(process, "cdDspm:o:g:t:", synopsis, needs_operand=True)
    mode = parse_mode(options.get("m") or "755", 0)
    if mode is None:
        return complain(process, f"invalid mode '{options.get('m')}'")
    files, status = process.files, 0
    if "d" in options:
        for operand in options.operands:
            files.makedirs(absolute_path(process, operand), mode)
        return 0
    *sources, target = [*options.operands, *options.every("t")]
    for source in sources:
        path = absolute_path(process, target)
        if files.is_dir(path):
            path = posixpath.join(path, posixpath.basename(source))
        try:
            content = files.read(absolute_path(process, source))
        except OSError as error:
            status = complain(process, f"can't stat '{source}': {strerror(error)}")
            continue
        if "D" in options:
            files.makedirs(posixpath.dirname(path))
        try:
            files.write(path, content)
            files.change(path, mode=mode)
        except OSError as error:
            status = complain(process, f"can't create '{target}': {strerror(error)}")
    return status


_UNITS = {"": 1, "c": 1, "w": 2, "b": 512, "k": 1024, "K": 1024, "kB": 1000, "M": 1 << 20, "MB": 10**6, "G": 1 << 30}


def _number(text: str) -> int:
    match = re.fullmatch(r"([0-9]+)([a-zA-Z]*)", text)
    if match is None or match[2] not in _UNITS:
        raise UsageError(f"invalid number '{text}'")
    return int(match[1]) * _UNITS[match[2]]


async def dd(process: Process) -> int:
    """Run `dd [if=FILE] [of=FILE] [bs=N] [ibs=N] [obs=N] [count=N] [skip=N] [seek=N] [conv=notrunc,…]`."""
    values: dict[str, str] = {}
    for word in process.argv[1:]:
        name, equals, value = word.partition("=")
        if not equals or name not in ("if", "of", "bs", "ibs", "obs", "count", "skip", "seek", "conv", "status"):
            return show_usage(process, "[if=FILE] [of=FILE] [ibs=N obs=N/bs=N] [count=N] [skip=N] [seek=N]")
        values[name] = value
    size = _number(values.get("bs") or values.get("ibs") or "512")
    count = _number(values["count"]) if "count" in values else None
    skip, seek = _number(values.get("skip", "0")), _number(values.get("seek", "0"))
    if not size:
        return complain(process, "invalid number '0'")
    limit = None if count is None else (skip + count) * size
    process.allocate(size)  # the buffer
    if not process.is_running:
        return 0
    try:
        data = await _input(process, values.get("if"), limit)
    except OSError as error:
        return complain(process, f"can't open '{values.get('if')}': {strerror(error)}")
    data = data[skip * size : limit]
    if values.get("of"):
        path = absolute_path(process, values["of"])
        try:
            before = process.files.read(path) if process.files.exists(path) and (seek or "notrunc" in values) else b""
            kept = before[: seek * size].ljust(seek * size, b"\0")
            tail = before[seek * size + len(data) :] if "notrunc" in values.get("conv", "") else b""
            process.files.write(path, kept + data + tail)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                return complain(process, f"can't open '{values['of']}': {strerror(error)}")
            complain(process, f"error writing '{values['of']}': {strerror(error)}")
            written = (process.files.file(path).size - len(kept)) // size if process.files.exists(path) else 0
            process.error(f"{written + 1}+0 records in\n{written}+0 records out\n")
            return 1
    else:
        process.write(data)
    whole, part = divmod(len(data), size)
    if values.get("status") != "none":
        process.error(f"{whole}+{int(part > 0)} records in\n{whole}+{int(part > 0)} records out\n")
        if values.get("status") != "noxfer":
            process.error(f"{len(data)} bytes{_human(len(data))} copied, 0.000000 seconds, 0B/s\n")
    return 0


def _human(size: int) -> str:
    return (
        f" ({size / 1024:.1f}KB)"
        if 1024 <= size < 1 << 20
        else f" ({size / (1 << 20):.1f}MB)"
        if size >= 1 << 20
        else ""
    )


async def _input(process: Process, name: str | None, limit: int | None) -> bytes:
    if name is None or name == "/dev/stdin":
        return await read_all(process.stdin)
    file = process.files.file(absolute_path(process, name))
    return file.read(limit) if isinstance(file, Device) and limit is not None else file.content

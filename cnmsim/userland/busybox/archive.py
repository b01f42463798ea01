"""Applets that archive or compress files: tar, gzip, gunzip and zcat."""

from __future__ import annotations

import errno
import gzip as gzip_format
import io
import posixpath
import tarfile
import time
import zlib
from typing import TYPE_CHECKING

from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.errno_text import strerror
from cnmsim.kernel.inode import Directory, File, Inode, Symlink
from cnmsim.userland.busybox.applet import complain, read_options, show_usage, usage_errors
from cnmsim.userland.busybox.inodes import mode_text, owner_names, walk
from cnmsim.userland.invocation import absolute_path, invoked_name, read_all
from cnmsim.userland.libc.getopt import Options, getopt

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process

_TAR = "c|x|t [-ZzJjahmvokO] [-f TARFILE] [-C DIR] [-T FILE] [-X FILE] [LONGOPT]... [FILE]..."
_LONG = {
    "strip-components=": "strip", "exclude=": "exclude", "create": "c", "extract": "x", "list": "t", "file=": "f",
    "directory=": "C", "gzip": "z", "verbose": "v", "no-same-owner": "o", "to-stdout": "O", "same-permissions": "p",
    "overwrite": "overwrite", "numeric-owner": "n",
}  # fmt: skip


async def tar(process: Process) -> int:
    """Run `tar c|x|t [-zvOkmop] [-f FILE] [-C DIRECTORY] [--strip-components N] [--exclude PATTERN] [FILE]…`."""
    arguments = process.argv[1:]
    if arguments and not arguments[0].startswith("-"):
        arguments = [f"-{arguments[0]}", *arguments[1:]]
    with usage_errors(process, _TAR):
        options = getopt(arguments, "cxtzZjJahmvokOpf:C:T:X:n", _LONG)
        strip = options.number("strip", 0)
    action = next((letter for letter in "cxt" if letter in options), "")
    if not action:
        return show_usage(process, _TAR)
    if {"j", "J", "Z"} & set(options.values):
        return complain(process, "bzip2, xz and compress are not simulated: use gzip")
    name = options.get("f", "-") or "-"
    if action == "c":
        return _create(process, options, name)
    try:
        data = await read_all(process.stdin) if name == "-" else process.files.read(absolute_path(process, name))
    except OSError as error:
        return complain(process, f"can't open '{name}': {strerror(error)}")
    try:
        with tarfile.open(fileobj=io.BytesIO(_plain(data))) as archive:
            return _extract(process, options, archive, strip)
    except (tarfile.TarError, EOFError, zlib.error):
        return complain(process, "invalid tar magic" if data else "short read")


def _plain(data: bytes) -> bytes:
    return gzip_format.decompress(data) if data.startswith(b"\x1f\x8b") else data


def _create(process: Process, options: Options, name: str) -> int:
    folder = options.get("C")
    if not options.operands:
        return complain(process, "empty archive")
    output, status = io.BytesIO(), 0
    with tarfile.open(fileobj=output, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for operand in options.operands:
            place = posixpath.join(folder, operand) if folder else operand
            try:
                entries = list(walk(process, place))
            except OSError as error:
                status = complain(process, f"{operand}: {strerror(error)}")
                continue
            for path, inode in entries:
                shown = operand + path[len(place) :]
                if absolute_path(process, path) == absolute_path(process, name) and name != "-":
                    continue
                info = _info(process, shown.lstrip("/"), inode)
                if "v" in options:
                    (process.error if name == "-" else process.write)(f"{info.name}{'/' if info.isdir() else ''}\n")
                archive.addfile(info, io.BytesIO(inode.content) if isinstance(inode, File) else None)
    data = output.getvalue()
    data = gzip_format.compress(data, mtime=0) if "z" in options or ("a" in options and "z" in name) else data
    if name == "-":
        process.write(data)
        return status
    try:
        process.files.write(absolute_path(process, name), data)
    except OSError as error:
        what = "write error" if error.errno == errno.ENOSPC else f"can't open '{name}'"
        return complain(process, f"{what}: {strerror(error)}")
    return complain(process, "error exit delayed from previous errors") if status else 0


def _info(process: Process, name: str, inode: Inode) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mode, info.uid, info.gid = inode.mode, inode.uid, inode.gid
    info.mtime = inode.mtime_ns // NS_PER_S
    info.uname, info.gname = owner_names(process, inode)
    if isinstance(inode, Directory):
        info.type = tarfile.DIRTYPE
    elif isinstance(inode, Symlink):
        info.type, info.linkname = tarfile.SYMTYPE, inode.target
    else:
        info.size = inode.size
    return info


def _extract(process: Process, options: Options, archive: tarfile.TarFile, strip: int) -> int:
    import fnmatch

    files, status = process.files, 0
    folder = options.get("C") or "."
    if not files.is_dir(absolute_path(process, folder)):
        return complain(process, f"can't change directory to '{folder}': No such file or directory")
    wanted = {operand.strip("/"): False for operand in options.operands}
    for info in archive:
        name = info.name
        matches = [one for one in wanted if name == one or name.startswith(f"{one}/")]
        if (wanted and not matches) or any(fnmatch.fnmatch(name, text) for text in options.every("exclude")):
            continue
        for one in matches:
            wanted[one] = True
        shown = f"{name}/" if info.isdir() else name
        if "t" in options:
            process.write(f"{_long_line(info, shown) if 'v' in options else shown}\n")
            continue
        content = archive.extractfile(info) if info.isreg() else None
        data = content.read() if content is not None else b""
        if "v" in options:
            (process.error if "O" in options else process.write)(f"{shown}\n")
        if "O" in options:
            process.write(data)
            continue
        target = "/".join(name.lstrip("/").split("/")[strip:])
        if not target:
            continue
        path = absolute_path(process, posixpath.join(folder, target))
        try:
            if info.isdir():
                files.makedirs(path)
            elif info.issym():
                files.add(path, Symlink(info.linkname))
            else:
                files.put(path, data)
            keeps_owner = not process.credentials.uid and "o" not in options
            uid, gid = (info.uid, info.gid) if keeps_owner else (None, None)
            if not info.issym():
                mtime_ns = int(info.mtime) * NS_PER_S
                files.change(path, mode=info.mode & 0o7777, mtime_ns=mtime_ns, uid=uid, gid=gid)
        except OSError as error:
            status = complain(process, f"can't open '{target}': {strerror(error)}")
    for one, was_found in wanted.items():
        if not was_found:
            status = complain(process, f"{one}: not found in archive")
    return status


def _long_line(info: tarfile.TarInfo, shown: str) -> str:
    inode: Inode = Directory(info.mode) if info.isdir() else File(mode=info.mode)
    if info.issym():
        inode, shown = Symlink(info.linkname), f"{shown} -> {info.linkname}"
    owner = f"{info.uname or info.uid}/{info.gname or info.gid}"
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(info.mtime))
    return f"{mode_text(inode)} {owner} {info.size:9d} {when} {shown}"


async def gzip(process: Process) -> int:
    """Run `gzip`, `gunzip` or `zcat [-cdfkt123456789] [FILE]…`."""
    name = invoked_name(process)
    options = read_options(process, "cdfkt123456789vn", "[-cfkdt123456789] [FILE]...")
    unpacks = name != "gzip" or bool({"d", "t"} & set(options.values))
    to_stdout = name == "zcat" or "c" in options
    status = 0
    for operand in options.operands or ["-"]:
        path = absolute_path(process, operand)
        try:
            data = await read_all(process.stdin) if operand == "-" else process.files.read(path)
        except OSError as error:
            status = complain(process, f"{operand}: {strerror(error)}")
            continue
        if unpacks and not data.startswith(b"\x1f\x8b"):
            status = complain(process, "no gzip/bzip2/xz magic" if name == "zcat" else "invalid magic")
            continue
        try:
            result = gzip_format.decompress(data) if unpacks else gzip_format.compress(data, mtime=0)
        except (OSError, EOFError, zlib.error):
            status = complain(process, "corrupted data")
            continue
        if "t" in options:
            continue
        if to_stdout or operand == "-":
            process.write(result)
            continue
        if unpacks and not operand.endswith((".gz", ".tgz")):
            status = complain(process, f"{operand}: unknown suffix - ignored")
            continue
        target = path.removesuffix(".gz").replace(".tgz", ".tar") if unpacks else f"{path}.gz"
        if process.files.exists(target) and "f" not in options:
            status = complain(process, f"can't open '{target}': File exists")
            continue
        process.files.write(target, result)
        if "k" not in options:
            process.files.remove(path)
    return status

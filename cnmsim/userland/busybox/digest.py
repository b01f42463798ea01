"""Applets that encode data or compute checksums: md5sum, sha1sum, sha256sum, sha512sum, base64, cksum, crc32."""

from __future__ import annotations

import base64 as base64_codec
import binascii
import hashlib
import re
import zlib
from typing import TYPE_CHECKING

from cnmsim.kernel.errno_text import strerror
from cnmsim.userland.busybox.applet import complain, read_options, usage_errors
from cnmsim.userland.busybox.text_input import read_inputs
from cnmsim.userland.invocation import absolute_path, invoked_name

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process


async def sums(process: Process) -> int:
    """Run `md5sum`, `sha1sum`, `sha256sum` or `sha512sum [-c[sw]] [FILE]…`."""
    options = read_options(process, "cswb", "[-c[sw]] [FILE]...")
    algorithm = invoked_name(process).removesuffix("sum")
    if "c" in options:
        return await _check(process, options.operands, algorithm, is_silent="s" in options)
    inputs, status = await read_inputs(process, options.operands, "can't open '{}': {}")
    for source in inputs:
        process.write(f"{_digest(algorithm, source.data)}  {source.name}\n")
    return status


def _digest(algorithm: str, data: bytes) -> str:
    return hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()


async def _check(process: Process, operands: list[str], algorithm: str, *, is_silent: bool) -> int:
    inputs, status = await read_inputs(process, operands, "can't open '{}': {}")
    failed = checked = 0
    for source in inputs:
        for line in source.data.decode(errors="surrogateescape").splitlines():
            match = re.match(r"(\S+) [ *]?(.*)", line)
            if match is None:
                continue
            checked += 1
            try:
                is_right = (
                    _digest(algorithm, process.files.read(absolute_path(process, match[2].strip()))) == match[1]
                )
            except OSError as error:
                complain(process, f"can't open '{match[2].strip()}': {strerror(error)}")
                is_right = False
            failed += not is_right
            if not is_silent:
                process.write(f"{match[2].strip()}: {'OK' if is_right else 'FAILED'}\n")
    if failed and not is_silent:
        complain(process, f"WARNING: {failed} of {checked} computed checksums did NOT match")
    return 1 if failed else status


async def base64(process: Process) -> int:
    """Run `base64 [-d] [-w COLUMNS] [FILE]`."""
    options = read_options(process, "diw:", "[-d] [-w COL] [FILE]")
    with usage_errors(process, "[-d] [-w COL] [FILE]"):
        width = options.number("w", 76)
    inputs, status = await read_inputs(process, options.operands[:1])
    for source in inputs:
        if "d" in options:
            try:
                letters = b"".join(re.findall(rb"[A-Za-z0-9+/=]+", source.data))
                process.write(base64_codec.b64decode(letters, validate=True))
            except binascii.Error:
                return complain(process, "truncated input")
            continue
        text = base64_codec.b64encode(source.data).decode()
        lines = [text[at : at + width] for at in range(0, len(text), width)] if width else [text]
        process.write("".join(f"{line}\n" for line in lines) if width else text)
    return status


async def crc32(process: Process) -> int:
    """Run `crc32 [FILE]…`."""
    inputs, status = await read_inputs(process, process.argv[1:], "can't open '{}': {}")
    for source in inputs:
        process.write(f"{zlib.crc32(source.data):08x}{f' {source.name}' if source.name != '-' else ''}\n")
    return status

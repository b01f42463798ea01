"""The sysctl command: reads and writes the namespace's network settings. Hosts have procps', containers busybox's."""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING

from cnmsim.kernel import procsys
from cnmsim.kernel.errno_text import errno_of, strerror
from cnmsim.userland.busybox.applet import complain, read_options
from cnmsim.userland.libc.getopt import Options, getopt

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process


def _key(text: str) -> str:
    """Convert a key to the form with dots, e.g. `net/ipv4/conf/eth0.5/mtu` to `net.ipv4.conf.eth0/5.mtu`.

    In the form with slashes, a dot is part of a name; in the form with dots it is written as a slash.
    """
    if "/" in text and ("." not in text or text.index("/") < text.index(".")):
        return text.replace(".", "\0").replace("/", ".").replace("\0", "/")
    return text


async def main(process: Process) -> int:
    """Run `sysctl [-nqew] KEY… | KEY=VALUE… | -a`."""
    options = getopt(
        process.argv[1:], "nqewar:A", {"write": "w", "all": "a", "values": "n", "quiet": "q", "ignore": "e"}
    )
    namespace = process.namespace
    if "a" in options or "A" in options or ("r" in options and not options.operands):
        pattern = options.get("r") or ""
        for key, value in namespace.sysctl_items():
            if re.search(pattern, key):
                process.write(_line(key, value, is_bare="n" in options))
        return 0
    if not options.operands:
        process.error("Usage:\n sysctl [options] [variable[=value] ...]\n")
        return 1
    status = 0
    for operand in options.operands:
        key, equals, value = operand.partition("=")
        key = _key(key.strip())
        try:
            if equals:
                procsys.write(process.files, namespace, key, value.strip())
                if "q" not in options:
                    process.write(_line(key, namespace.sysctl_get(key), is_bare="n" in options))
            elif "w" in options:
                process.error(f'sysctl: "{operand}" must be of the form name=value\n')
                status = 1
            else:
                process.write(_line(key, namespace.sysctl_get(key), is_bare="n" in options))
        except OSError as error:
            if "e" in options and errno_of(error) == errno.ENOENT:
                continue
            status = status | 1 if equals or "w" in options else status + 1
            path = "/proc/sys/" + key.replace(".", "\0").replace("/", ".").replace("\0", "/")
            if errno_of(error) == errno.ENOENT:
                process.error(f"sysctl: cannot stat {path}: No such file or directory\n")
            elif errno_of(error) == errno.EROFS:
                process.error(f'sysctl: permission denied on key "{key}"\n')
            else:
                process.error(f'sysctl: setting key "{key}": Invalid argument\n')
    return status


def _line(key: str, value: str, *, is_bare: bool) -> str:
    return f"{value}\n" if is_bare else f"{key} = {value}\n"


async def busybox(process: Process) -> int:
    """Run busybox `sysctl [-enqw] [KEY[=VALUE]]… | -a`."""
    options = read_options(process, "neAaqw", "[-enq] { -a | -p [FILE]... | [-w] [KEY[=VALUE]]... }")
    if "a" in options or "A" in options:
        for key, value in process.namespace.sysctl_items():
            process.write(_line(key, value, is_bare="n" in options))
        return 0
    status = 0
    for operand in options.operands:
        try:
            _show_or_set(process, operand, options)
        except OSError as error:
            key = operand.partition("=")[0].replace("/", ".")
            status = 1
            if errno_of(error) == errno.ENOENT:
                if "e" not in options:
                    complain(process, f"error: '{key}' is an unknown key")
            elif errno_of(error) == errno.EROFS:
                complain(process, f"error setting key '{key}': {strerror(error)}")
            else:  # the file was opened but the value was refused: busybox exits at once (xwrite)
                return complain(process, f"write error: {strerror(error)}")
        except ValueError as error:
            status = complain(process, f"error: {error}")
    return status


def _show_or_set(process: Process, operand: str, options: Options) -> None:
    """Show or set one key. `operand` is `KEY` or `KEY=VALUE`.

    Raises `OSError` if reading or writing the file in /proc/sys would fail, and `ValueError` for a malformed operand.
    """
    name, equals, value = operand.partition("=")
    key = name.replace("/", ".")
    if "w" in options and not equals:
        raise ValueError(f"'{key}' must be of the form name=value")
    if not equals:
        process.write(_line(key, process.namespace.sysctl_get(key), is_bare="n" in options))
        return
    if not name:
        raise ValueError(f"malformed setting '{operand}'")
    # An empty value changes nothing, but opening the file for writing can still fail.
    procsys.write(process.files, process.namespace, key, value.strip() or process.namespace.sysctl_get(key))
    if "q" not in options:
        process.write(_line(key, value, is_bare="n" in options))

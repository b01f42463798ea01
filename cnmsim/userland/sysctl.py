"""sysctl (procps): reads and writes the network keys of the namespace."""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING

from cnmsim.userland.errno_text import errno_of
from cnmsim.userland.options import UsageError, getopt

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process


def _key(text: str) -> str:
    """Give a key with dots, as `net/ipv4/conf/eth0.5/forwarding` may be written with slashes."""
    if "/" in text and ("." not in text or text.index("/") < text.index(".")):
        return text.replace(".", "\0").replace("/", ".").replace("\0", "/")
    return text


async def main(process: Process) -> int:
    """Run `sysctl [-nqew] KEY… | KEY=VALUE… | -a`."""
    try:
        options = getopt(
            process.argv[1:], "nqewaNr:pA", {"write": "w", "all": "a", "values": "n", "quiet": "q", "ignore": "e"}
        )
    except UsageError as error:
        process.error(f"sysctl: {error}\n")
        return 1
    namespace = process.namespace
    if "a" in options:
        pattern = options.get("r") or ""
        for key, value in namespace.sysctl.items():
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
                namespace.sysctl_set(key, value.strip())
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
            status = 1
            path = "/proc/sys/" + key.replace(".", "\0").replace("/", ".").replace("\0", "/")
            if errno_of(error) == errno.ENOENT:
                process.error(f"sysctl: cannot stat {path}: No such file or directory\n")
            else:
                process.error(f'sysctl: setting key "{key}": Invalid argument\n')
    return status


def _line(key: str, value: str, *, is_bare: bool) -> str:
    return f"{value}\n" if is_bare else f"{key} = {value}\n"

"""nsenter: runs a program in the network namespace at a path, or in that of another process."""

from __future__ import annotations

import re
from itertools import takewhile
from typing import TYPE_CHECKING

from cnmsim.digits import is_number
from cnmsim.kernel import procsys
from cnmsim.userland.invocation import find_program
from cnmsim.userland.libc.getopt import UsageError, getopt

if TYPE_CHECKING:
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.process import Process


def _spellings(path: str) -> tuple[str, ...]:
    return path, path.replace("/run/", "/var/run/", 1), path.replace("/var/run/", "/run/", 1)


def _at(process: Process, path: str) -> NetworkNamespace | None:
    known = process.machine.namespaces
    match = re.fullmatch(r"/proc/([0-9]+|self)/ns/net", path)
    if match is not None:
        number = process.local_pid if match[1] == "self" else int(match[1])
        target = process.pid_namespace.processes.get(number)
        return None if target is None else target.namespace
    return next((known[spelling] for spelling in _spellings(path) if spelling in known), None)


def _no_namespace(process: Process, path: str) -> str:
    """Return nsenter's error text for a path at which there is no namespace to enter."""
    if any(process.machine.is_unpinned(spelling) for spelling in _spellings(path)):
        return "nsenter: reassociate to namespace 'ns/net' failed: Invalid argument\n"
    return f"nsenter: cannot open {path}: No such file or directory\n"


def _with_long_net(arguments: list[str]) -> list[str]:
    """Rewrite nsenter's own option `-nPATH` as `--net=PATH`.

    The arguments from the program's name on are unchanged.
    """
    own = list(takewhile(lambda argument: argument.startswith("-") and argument != "--", arguments))
    return [f"--net={word[2:]}" if word.startswith("-n") and word != "-n" else word for word in own] + arguments[
        len(own) :
    ]


async def main(process: Process) -> int:
    """Run `nsenter --net=PATH|-t PID -n PROGRAM ARGUMENT…`."""
    long = {"net=": "net", "net": "n", "target=": "t", "all": "a", "mount": "m", "uts": "u", "ipc": "i", "pid": "p"}
    try:
        options = getopt(_with_long_net(process.argv[1:]), "nt:amuipUCTFr", long, stop_at_operand=True)
    except UsageError as error:
        process.error(f"nsenter: {error}\nTry 'nsenter --help' for more information.\n")
        return 1
    namespace, hostname, files = process.namespace, process.hostname, process.files
    path = options.get("net")
    if path is not None:
        named = _at(process, path)
        if named is None:
            process.error(_no_namespace(process, path))
            return 1
        namespace = named
    elif "t" in options:
        text = options.get("t") or ""
        target = process.machine.processes.get(int(text)) if is_number(text) else None
        if target is None:
            process.error(f"nsenter: cannot open /proc/{text}/ns/net: No such file or directory\n")
            return 1
        if "n" in options or "a" in options:
            namespace = target.namespace
        if "u" in options or "a" in options:
            hostname = target.hostname
        if "m" in options or "a" in options:
            files = target.files
    argv = options.operands or ["sh"]
    program = find_program(process, argv[0])
    if program is None:
        process.error(f"nsenter: failed to execute {argv[0]}: No such file or directory\n")
        return 127
    files = procsys.view_for_namespace(files, namespace)
    return await process.start(program, argv, namespace=namespace, hostname=hostname, files=files).exited

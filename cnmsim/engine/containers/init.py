"""`docker run --init`: docker-init (tini), the first process of a container that forwards signals to the command."""

from __future__ import annotations

from collections.abc import Callable

from cnmsim.kernel.process import SIGCHLD, SIGKILL, SIGSTOP, Process, Program

_PATH = "/sbin/docker-init"
# Signals that tini does not forward: its own child's death, and those that cannot be caught (tini src/tini.c).
_OWN = (SIGCHLD, SIGKILL, SIGSTOP)
_SIGNALS = 64


def with_init(program: Program, argv: list[str]) -> tuple[Program, list[str]]:
    """Return docker-init as a program that starts `program`, and its command line, which ends with `argv`."""

    async def docker_init(process: Process) -> int:
        child = process.start(program, argv)
        for number in range(1, _SIGNALS + 1):
            if number not in _OWN:
                process.handlers[number] = _forward(child, number)
        return await child.exited

    return docker_init, [_PATH, "--", *argv]


def _forward(child: Process, number: int) -> Callable[[], None]:
    return lambda: child.kill(number)

"""Builtins for background jobs, signals and traps."""

# ruff: noqa: ARG001

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from cnmsim.digits import is_number
from cnmsim.userland.libc.signals import signal_list, signal_name, signal_number, take_signal
from cnmsim.userland.sh.interpreter import Builtin, Shell
from cnmsim.userland.sh.state import Streams

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process


async def _wait(shell: Shell, words: list[str], streams: Streams) -> int:
    status = 0
    is_selective = len(words) > 1
    missing = set(words[1:])
    remaining: list[Process] = []
    for number, child in enumerate(tuple(shell.background), 1):
        own_names = {str(child.local_pid), f"%{number}"}
        if is_selective and not own_names & set(words[1:]):
            remaining.append(child)
            continue
        await _until_signal(shell, child)
        if child.exit_status is None:
            return 128 + shell.pending_signals[0]
        if is_selective:
            status = child.exit_status
            shell.report_signal(child, streams)
        missing -= own_names
    shell.background = remaining
    for name in sorted(missing):
        if name.startswith("%"):
            shell.complain(streams, f"wait: {name}: no such job")
        status = 2 if name.startswith("%") else 127
    return status


async def _until_signal(shell: Shell, child: Process) -> None:
    """Wait until `child` has ended, or a signal for which there is a trap has arrived."""

    def wake(_: object) -> None:
        shell.signalled.notify()

    child.exited.add_done_callback(wake)
    await shell.signalled.wait_until(lambda: child.exit_status is not None or bool(shell.pending_signals))


def _complain_plainly(shell: Shell, streams: Streams, name: str, message: str) -> None:
    """Print the error of a builtin that ash shares with an applet, such as kill.

    In ash the error then has neither the builtin's name nor a line number.
    """
    if shell.is_bash:
        shell.complain(streams, f"{name}: {message}")
    else:
        shell.put(streams.stderr, f"sh: {message}\n")


async def _kill(shell: Shell, words: list[str], streams: Streams) -> int:
    arguments = words[1:]
    signal: int | None = 15
    if arguments[:1] == ["-l"]:
        shell.put(streams.stdout, signal_list(arguments[1:]))
        return 0
    if arguments[:1] and arguments[0].startswith("-") and len(arguments[0]) > 1:
        text, signal = take_signal(arguments)
        if signal is None:
            bad = f"{text}: invalid signal specification" if shell.is_bash else f"bad signal name '{text}'"
            _complain_plainly(shell, streams, "kill", bad)
            return 1
    if not arguments:
        _complain_plainly(shell, streams, "kill", "you need to specify whom to kill")
        return 1
    status = 0
    for text in arguments:
        target = _job(shell, text)
        if target is None:
            is_number = re.fullmatch(r"-?[0-9]+|%.*", text) is not None
            bad = f"{text}: arguments must be process or job IDs" if shell.is_bash else f"invalid number '{text}'"
            reason = f"can't kill pid {text}: No such process" if is_number else bad
            if is_number:
                shell.complain(streams, reason)
            else:
                _complain_plainly(shell, streams, "kill", reason)
            status = 1
        elif not shell.process.may_signal(target):
            shell.complain(streams, f"can't kill pid {text}: Operation not permitted")
            status = 1
        elif signal:
            target.kill(signal, shell.process)
    return status


def _job(shell: Shell, text: str) -> Process | None:
    if text.startswith("%") and is_number(text[1:]):
        number = int(text[1:])
        return shell.background[number - 1] if 0 < number <= len(shell.background) else None
    if not is_number(text):
        return None
    return shell.process.pid_namespace.processes.get(int(text))


async def _trap(shell: Shell, words: list[str], streams: Streams) -> int:
    arguments = words[2:] if words[1:2] == ["--"] else words[1:]
    if not arguments or arguments[0] == "-p":
        chosen = {signal_number(name) for name in arguments[1:]}
        for number, command in sorted(shell.traps.items()):
            if not chosen or number in chosen:
                quote = "'\\''" if shell.is_bash else "'\"'\"'"
                quoted = command.replace("'", quote)
                prefix = "SIG" if shell.is_bash and number else ""
                shell.put(streams.stdout, f"trap -- '{quoted}' {prefix}{_signal_name(number)}\n")
        return 0
    is_reset = len(arguments) == 1 or arguments[0] == "-" or is_number(arguments[0])
    names = arguments[arguments[0] == "-" or not is_reset :]
    status = 0
    process = shell.process
    for name in names:
        if shell.is_bash and name.upper() in ("ERR", "DEBUG", "RETURN"):
            if name.upper() == "ERR":
                shell.err_trap = "" if is_reset else arguments[0]
            continue
        signal = 0 if name.upper() == "EXIT" else signal_number(name)
        if signal is None:
            shell.complain(streams, f"trap: {name}: invalid signal specification")
            status = 1
            continue
        process.ignored_signals -= {signal}
        process.handlers.pop(signal, None)
        shell.traps.pop(signal, None)
        if is_reset:
            continue
        shell.traps[signal] = arguments[0]
        if not signal:
            continue
        if arguments[0]:
            process.handlers[signal] = partial(shell.take_signal, signal)
        else:
            process.ignored_signals |= {signal}
    return status


def _signal_name(number: int) -> str:
    return "EXIT" if not number else signal_name(number)


async def _jobs(shell: Shell, words: list[str], streams: Streams) -> int:
    for number, child in enumerate(shell.background, 1):
        if child.is_running:
            shell.put(streams.stdout, f"[{number}]+  Running                    {' '.join(child.argv)}\n")
    return 0


#: name → builtin.
JOB_BUILTINS: dict[str, Builtin] = {"wait": _wait, "kill": _kill, "trap": _trap, "jobs": _jobs}

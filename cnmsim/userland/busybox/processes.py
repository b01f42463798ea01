"""Applets for processes: sleep, usleep, timeout, env, printenv, ps, kill, killall, busybox, true, false."""

from __future__ import annotations

from cnmsim.kernel.process import Process
from cnmsim.kernel.task import wait_for
from cnmsim.userland.busybox.applet import BANNER, complain, show_usage
from cnmsim.userland.busybox.system import user_names
from cnmsim.userland.invocation import find_program
from cnmsim.userland.libc.getopt import UsageError, getopt

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

SIGNALS = {
    "HUP": 1, "INT": 2, "QUIT": 3, "KILL": 9, "USR1": 10, "USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15, "CHLD": 17,
    "CONT": 18, "STOP": 19, "WINCH": 28,
}  # fmt: skip


def signal_number(text: str) -> int | None:
    """Return the number of a signal given as `9`, `KILL` or `SIGKILL`, or `None` if there is no such signal."""
    if text.isdigit():
        return int(text)
    return SIGNALS.get(text.upper().removeprefix("SIG"))


def take_signal(arguments: list[str]) -> tuple[str, int | None]:
    """Remove `-SIGNAL` or `-s SIGNAL` from the front of kill's arguments.

    Return the signal as it was typed, and its number (`None` if there is no such signal).
    """
    text = arguments.pop(0)[1:]
    if text == "s" and arguments:
        text = arguments.pop(0)
    return text, signal_number(text)


def duration(text: str) -> float:
    """Parse `2`, `1.5m`, `1d` or `infinity` as seconds. Raises `UsageError` for anything else."""
    if text in ("inf", "infinity"):
        return 100 * 365 * 86400.0
    number, unit = (text[:-1], text[-1]) if text[-1:] in _UNITS else (text, "s")
    try:
        value = float(number)
    except ValueError:
        raise UsageError(f"invalid number '{text}'") from None
    if not 0 <= value < 1e12:
        raise UsageError(f"invalid number '{text}'")
    return value * _UNITS[unit]


async def true(_: Process) -> int:
    """Run `true`."""
    return 0


async def false(_: Process) -> int:
    """Run `false`."""
    return 1


async def sleep(process: Process) -> int:
    """Run `sleep DURATION…`."""
    if len(process.argv) < 2:
        return show_usage(process, "[N]...")
    try:
        await process.sleep(sum(map(duration, process.argv[1:])))
    except UsageError as error:
        return complain(process, str(error))
    return 0


async def usleep(process: Process) -> int:
    """Run `usleep MICROSECONDS`."""
    if len(process.argv) < 2:
        return show_usage(process, "N")
    text = process.argv[1]
    if not text.isdigit():
        return complain(process, f"invalid number '{text}'")
    await process.sleep(int(text) / 1e6)
    return 0


async def env(process: Process) -> int:
    """Run `env [-i] [NAME=VALUE]… [PROGRAM ARGUMENT…]`."""
    arguments = process.argv[1:]
    environment = dict(process.env)
    if arguments[:1] in (["-i"], ["-"]):
        environment.clear()
        arguments = arguments[1:]
    while arguments and "=" in arguments[0]:
        name, _, value = arguments.pop(0).partition("=")
        environment[name] = value
    if not arguments:
        process.write("".join(f"{name}={value}\n" for name, value in environment.items()))
        return 0
    return await run_program(process, arguments, env=environment)


async def run_program(process: Process, argv: list[str], *, env: dict[str, str] | None = None) -> int:
    """Run the program `argv[0]` and return its exit status, or 127 if there is no such program.

    `env` replaces the environment, which is otherwise inherited.
    """
    program = find_program(process, argv[0])
    if program is None:
        complain(process, f"can't execute '{argv[0]}': No such file or directory")
        return 127
    return await process.start(program, argv, env=process.env if env is None else env).exited


async def printenv(process: Process) -> int:
    """Run `printenv [NAME]…`."""
    names = process.argv[1:]
    if not names:
        process.write("".join(f"{name}={value}\n" for name, value in process.env.items()))
        return 0
    values = [process.env[name] for name in names if name in process.env]
    process.write("".join(f"{value}\n" for value in values))
    return int(len(values) < len(names))


def _visible(process: Process) -> list[Process]:
    """Return the processes that this process can see.

    Those in the same container or host, which share its file system.
    """
    return [other for other in process.machine.processes.values() if other.files is process.files]


async def ps(process: Process) -> int:
    """Run `ps`: list the processes of the same container or host."""
    process.write("PID   USER     TIME  COMMAND\n")
    names = user_names(process)
    for number, other in enumerate(_visible(process), 1):
        pid, uid = 1 if number == 1 and other.is_init else other.pid, other.credentials.uid
        process.write(f"{pid:5d} {names.get(uid, str(uid))[:8]:8}  0:00 {' '.join(other.argv)}\n")
    return 0


async def kill(process: Process) -> int:
    """Run `kill [-SIGNAL] PID…`."""
    arguments = process.argv[1:]
    signal: int | None = 15
    if arguments and arguments[0].startswith("-"):
        text, signal = take_signal(arguments)
        if signal is None:
            return complain(process, f"bad signal name '{text}'")
    if not arguments:
        return complain(process, "you need to specify whom to kill")
    status = 0
    visible = {str(other.pid): other for other in _visible(process)}
    first = _visible(process)[:1]
    if first and first[0].is_init:
        visible["1"] = first[0]
    for text in arguments:
        target = visible.get(text)
        if target is None:
            status = complain(process, f"can't kill pid {text}: No such process")
        elif signal:
            target.kill(signal)
    return status


async def killall(process: Process) -> int:
    """Run `killall [-SIGNAL] NAME…`."""
    arguments = process.argv[1:]
    signal: int | None = 15
    if arguments and arguments[0].startswith("-"):
        _, signal = take_signal(arguments)
    status = 0
    for name in arguments:
        targets = [other for other in _visible(process) if other.name == name and other is not process]
        if not targets:
            status = complain(process, f"{name}: no process killed")
        for target in targets:
            target.kill(signal or 15)
    return status


async def timeout(process: Process) -> int:
    """Run `timeout [-s SIGNAL] [-k SECONDS] SECONDS PROGRAM ARGUMENT…`.

    The exit status is 143 after a timeout, as in busybox. With `-k`, a program that does not end after the signal is
    killed.
    """
    try:
        options = getopt(process.argv[1:], "s:k:", stop_at_operand=True)
        if len(options.operands) < 2:
            return show_usage(process, "[-s SIG] [-k KILL_SECS] SECS PROG ARGS")
        seconds, kill_after_s = duration(options.operands[0]), duration(options.get("k") or "0")
    except UsageError as error:
        return show_usage(process, "[-s SIG] [-k KILL_SECS] SECS PROG ARGS", str(error))
    argv = options.operands[1:]
    program = find_program(process, argv[0])
    if program is None:
        complain(process, f"can't execute '{argv[0]}': No such file or directory")
        return 127
    child = process.start(program, argv)
    try:
        return await wait_for(process.clock, child.exited, seconds)
    except TimeoutError:
        child.kill(signal_number(options.get("s") or "TERM") or 15)
    if kill_after_s:
        try:
            return await wait_for(process.clock, child.exited, kill_after_s)
        except TimeoutError:
            child.kill(9)
            return 137
    return 143


async def busybox(process: Process) -> int:
    """Run `busybox [APPLET ARGUMENT…]`."""
    applets = sorted(process.programs)
    if len(process.argv) == 1 or process.argv[1] == "--help":
        process.write(f"{BANNER}\n\nCurrently defined functions:\n\t{', '.join(applets)}\n")
        return 0
    if process.argv[1] == "--list":
        process.write("".join(f"{applet}\n" for applet in applets))
        return 0
    program = process.programs.get(process.argv[1])
    if program is None:
        process.error(f"{process.argv[1]}: applet not found\n")
        return 127
    return await process.start(program, process.argv[1:]).exited

"""Applets that wait, exit or run another program: sleep, timeout, env, nohup, setsid, nice, time, watch, busybox."""

from __future__ import annotations

import re
from math import inf

from cnmsim.digits import is_number
from cnmsim.kernel.process import SIGHUP, SIGKILL, Process
from cnmsim.userland import APPLICATION_PROGRAMS
from cnmsim.userland.busybox.applet import BANNER, complain, read_options, show_usage, usage_errors
from cnmsim.userland.busybox.system import format_date
from cnmsim.userland.invocation import find_program
from cnmsim.userland.libc.getopt import UsageError, getopt
from cnmsim.userland.libc.signals import signal_number

# `yes` writes this many lines at once, and then waits, so that virtual time passes.
_YES_LINES, _YES_PAUSE_NS = 512, 100_000
_SCREEN_COLUMNS = 80
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
#: Programs of containers that are not applets of busybox.
_NO_APPLETS = frozenset(
    ("apk", "apt", "apt-get", "bash", "curl", "dig", "getent", "iperf3", "openssl", "service", "tcpdump")
)
_DECIMAL = re.compile(r"[0-9]+\.?[0-9]*|\.[0-9]+")


def duration(text: str) -> float:
    """Parse a duration such as `2`, `1.5m`, `1d` or `infinity`. Return seconds.

    Raises `UsageError` for an invalid duration.
    """
    if text in ("inf", "infinity"):
        return inf
    number, unit = (text[:-1], text[-1]) if text[-1:] in _UNITS else (text, "s")
    if not _DECIMAL.fullmatch(number) or not (value := float(number)) < 1e12:
        raise UsageError(f"invalid number '{text}'")
    return value * _UNITS[unit]


async def true(_: Process) -> int:
    """Return exit status 0, as the program `true` does."""
    return 0


async def false(_: Process) -> int:
    """Return exit status 1, as the program `false` does."""
    return 1


async def sleep(process: Process) -> int:
    """Run `sleep DURATION…`."""
    if len(process.argv) < 2:
        return show_usage(process, "[N]...")
    await process.sleep(sum(map(duration, process.argv[1:])))
    return 0


async def usleep(process: Process) -> int:
    """Run `usleep MICROSECONDS`."""
    if len(process.argv) < 2:
        return show_usage(process, "N")
    text = process.argv[1]
    if not is_number(text):
        return complain(process, f"invalid number '{text}'")
    await process.sleep(int(text) / 1e6)
    return 0


async def env(process: Process) -> int:
    """Run `env [-i] [-0] [-u NAME]… [NAME=VALUE]… [PROGRAM ARGUMENT…]`.

    The program runs in the changed environment. Without a program, the environment is printed.
    """
    synopsis = "[-iu0] [-] [-u NAME]... [NAME=VALUE]... [PROG ARGS]"
    options = read_options(process, "iu:0", synopsis, long=("ignore-environment", "unset="), stop_at_operand=True)
    arguments = list(options.operands)
    environment = dict(process.env)
    if "i" in options or "ignore-environment" in options or arguments[:1] == ["-"]:
        environment.clear()
        arguments = arguments[arguments[:1] == ["-"] :]
    for name in (*options.every("u"), *options.every("unset")):
        environment.pop(name, None)
    while arguments and "=" in arguments[0]:
        name, _, value = arguments.pop(0).partition("=")
        environment[name] = value
    if not arguments:
        end = "\0" if "0" in options else "\n"
        process.write("".join(f"{name}={value}{end}" for name, value in environment.items()))
        return 0
    return await run_program(process, arguments, env=environment)


async def run_program(process: Process, argv: list[str], *, env: dict[str, str] | None = None) -> int:
    """Execute the program `argv[0]` in this process. Return its exit status, or 127 if there is no such program.

    `env` is the program's environment; `None` keeps that of the process.
    """
    program = find_program(process, argv[0])
    if program is None:
        complain(process, f"can't execute '{argv[0]}': No such file or directory")
        return 127
    streams = (process.stdin, process.stdout, process.stderr)
    return await process.exec(program, argv, dict(process.env if env is None else env), streams)


async def printenv(process: Process) -> int:
    """Run `printenv [NAME]…`: print the values of the named environment variables, or all variables."""
    names = process.argv[1:]
    if not names:
        process.write("".join(f"{name}={value}\n" for name, value in process.env.items()))
        return 0
    values = [process.env[name] for name in names if name in process.env]
    process.write("".join(f"{value}\n" for value in values))
    return int(len(values) < len(names))


async def timeout(process: Process) -> int:
    """Run `timeout [-s SIGNAL] [-k KILL_SECONDS] SECONDS PROGRAM ARGUMENT…`.

    The program runs in timeout's own process. If it still runs after SECONDS, it gets the signal. With -k it gets
    SIGKILL if it still runs KILL_SECONDS later.
    """
    synopsis = "[-s SIG] [-k KILL_SECS] SECS PROG ARGS"
    options = getopt(process.argv[1:], "s:k:", stop_at_operand=True)
    if len(options.operands) < 2:
        return show_usage(process, synopsis)
    signal = signal_number(options.get("s") or "TERM")
    if signal is None:
        return complain(process, f"unknown signal '{options.get('s')}'")
    seconds, kill_after_s = duration(options.operands[0]), duration(options.get("k") or "0")

    async def end() -> None:
        await process.sleep(seconds)
        process.kill(signal, process)
        if kill_after_s:
            await process.sleep(kill_after_s)
            process.kill(SIGKILL, process)

    process.task(end())
    return await run_program(process, options.operands[1:])


async def nohup(process: Process) -> int:
    """Run `nohup PROGRAM ARGUMENT…`: run a program that ignores SIGHUP."""
    if len(process.argv) < 2:
        return show_usage(process, "PROG ARGS")
    process.ignored_signals |= {SIGHUP}
    return await run_program(process, process.argv[1:])


async def setsid(process: Process) -> int:
    """Run `setsid [-c] PROGRAM ARGUMENT…`: run a program. No new session is created."""
    return await _run_after_options(process, "c", "[-c] PROG ARGS")


async def nice(process: Process) -> int:
    """Run `nice [-n N] [PROGRAM ARGUMENT…]`: run a program. N has no effect: all programs have the same priority."""
    if len(process.argv) == 1:
        process.write("0\n")
        return 0
    return await _run_after_options(process, "n:", "[-n ADJUST] [PROG ARGS]")


async def _run_after_options(process: Process, short: str, synopsis: str) -> int:
    options = read_options(process, short, synopsis, stop_at_operand=True, needs_operand=True)
    return await run_program(process, options.operands)


async def time_(process: Process) -> int:
    """Run `time [-v] PROGRAM ARGUMENT…`: run a program, then print how long it ran."""
    options = read_options(process, "vpao:f:", "[-vpa] [-o FILE] PROG ARGS", stop_at_operand=True, needs_operand=True)
    program = find_program(process, options.operands[0])
    if program is None:
        return complain(process, f"can't execute '{options.operands[0]}': No such file or directory") + 126
    begun_ns = process.clock.now_ns
    status = await process.start(program, options.operands).exited
    centiseconds = (process.clock.now_ns - begun_ns) // 10_000_000
    minutes, rest = divmod(centiseconds, 6000)
    process.error(f"real\t{minutes}m {rest // 100}.{rest % 100:02d}s\nuser\t0m 0.00s\nsys\t0m 0.00s\n")
    return status


async def yes(process: Process) -> int:
    """Run `yes [TEXT]…` until its output is closed."""
    block = f"{' '.join(process.argv[1:]) or 'y'}\n" * _YES_LINES
    while True:
        process.write(block)
        await process.compute(_YES_PAUSE_NS)


async def watch(process: Process) -> int:
    """Run `watch [-n SECONDS] [-t] PROGRAM ARGUMENT…`.

    The program is run every few seconds on a cleared screen, until watch is killed.
    """
    synopsis = "[-n SEC] [-t] PROG ARGS"
    with usage_errors(process, synopsis):
        options = getopt(process.argv[1:], "n:t", stop_at_operand=True)
        interval_s = options.seconds("n", 2)
    if not options.operands:
        return show_usage(process, synopsis)
    line = " ".join(options.operands)
    title = f"Every {interval_s:.1f}s: {line}"
    while True:
        process.write("\033[H\033[J")
        if "t" not in options:
            date = format_date(process, "%Y-%m-%d %H:%M:%S")
            process.write(f"{title}{date:>{max(1, _SCREEN_COLUMNS - len(title))}}\n\n")
        shell = find_program(process, "sh")
        if shell is not None:
            await process.start(shell, ["sh", "-c", line]).exited
        await process.sleep(interval_s or 0.1)


async def busybox(process: Process) -> int:
    """Run `busybox [APPLET ARGUMENT…]`: run an applet by its name."""
    applets = sorted(process.programs.keys() - APPLICATION_PROGRAMS.keys() - _NO_APPLETS)
    if len(process.argv) == 1 or process.argv[1] == "--help":
        process.write(f"{BANNER}\n\nCurrently defined functions:\n\t{', '.join(applets)}\n")
        return 0
    if process.argv[1] == "--list":
        process.write("".join(f"{applet}\n" for applet in applets))
        return 0
    program = process.programs.get(process.argv[1])
    if program is None or process.argv[1] not in applets:
        process.error(f"{process.argv[1]}: applet not found\n")
        return 127
    return await process.exec(
        program, process.argv[1:], dict(process.env), (process.stdin, process.stdout, process.stderr)
    )

"""Applets that list processes or send them signals: ps, top, kill, killall, pgrep, pkill, pidof."""

from __future__ import annotations

import re
from collections.abc import Callable

from cnmsim.digits import is_number
from cnmsim.kernel.process import Process
from cnmsim.kernel.process_listing import command_line, elapsed, rss_kib, state, vsz_kib
from cnmsim.kernel.procfs import MEMORY_KIB
from cnmsim.userland.busybox.applet import complain, read_options, show_usage, usage_errors
from cnmsim.userland.busybox.system import group_names, user_names
from cnmsim.userland.libc.getopt import getopt
from cnmsim.userland.libc.signals import signal_list, signal_number, take_signal


def visible(process: Process) -> list[tuple[int, Process]]:
    """Return (process id, process) for every process in the PID namespace of `process`, in ascending order."""
    return sorted(process.pid_namespace.processes.items())


def _parent_id(process: Process) -> int:
    return process.pid_namespace.id_of(process.parent)


def _user(process: Process) -> str:
    uid = process.credentials.uid
    return user_names(process).get(uid, "root" if not uid else str(uid))


def _group(process: Process) -> str:
    gid = process.credentials.gid
    return group_names(process).get(gid, "root" if not gid else str(gid))


def _session(process: Process) -> str:
    while process.creator is not None and process.creator.pid_namespace is process.pid_namespace:
        process = process.creator
    return str(process.local_pid)


#: Title, width and value of the columns of `ps -o`. A negative width aligns to the left.
_COLUMNS: dict[str, tuple[str, int, Callable[[Process], str]]] = {
    "user": ("USER", -8, lambda process: _user(process)[:8]), "group": ("GROUP", -8, lambda p: _group(p)[:8]),
    "comm": ("COMMAND", -16, lambda process: process.name[:15]), "args": ("COMMAND", 0, command_line),
    "pid": ("PID", 5, lambda process: str(process.local_pid)),
    "ppid": ("PPID", 5, lambda process: str(_parent_id(process))), "pgid": ("PGID", 5, _session),
    "etime": ("ELAPSED", 7, elapsed), "nice": ("NI", 5, lambda _: "0"), "rgroup": ("RGROUP", -8, _group),
    "ruser": ("RUSER", -8, _user), "time": ("TIME", 5, lambda _: "0:00"), "tty": ("TT", -6, lambda _: "?"),
    "vsz": ("VSZ", 4, lambda process: str(vsz_kib(process))), "sid": ("SID", 5, _session),
    "stat": ("STAT", -4, state), "rss": ("RSS", 4, lambda process: str(rss_kib(process))),
}  # fmt: skip
_DEFAULT = ("pid", "user", "time", "args")


async def ps(process: Process) -> int:
    """Run `ps [-o COLUMN[=TITLE],…]`: list the processes of the container or host on which ps runs."""
    options = read_options(process, "o:aAdefFlTwxu", "[-o COL1,COL2=HEADER] [-T]")
    chosen: list[tuple[str, int, Callable[[Process], str]]] = []
    for name, equals, title in (
        word.partition("=") for names in options.every("o") for word in names.replace(" ", ",").split(",") if word
    ):
        column = _COLUMNS.get(name)
        if column is None:
            known = ",".join(_COLUMNS)
            return complain(process, f"bad -o argument '{name}', supported arguments: {known}")
        chosen.append((title if equals else column[0], column[1], column[2]))
    columns = chosen or [_COLUMNS[name] for name in _DEFAULT]
    if any(title for title, _, _ in columns):
        process.write(_row([(title, -abs(width)) for title, width, _ in columns]))
    for _, other in visible(process):
        process.write(_row([(value(other), width) for _, width, value in columns]))
    return 0


def _row(cells: list[tuple[str, int]]) -> str:
    padded = [f"{text:<{-width}}" if width < 0 else f"{text:>{width}}" for text, width in cells[:-1]]
    text, width = cells[-1]
    return " ".join([*padded, f"{text:>{width}}" if width > 0 else text]) + "\n"


async def top(process: Process) -> int:
    """Run `top [-b] [-n COUNT] [-d SECONDS]`: list the processes every few seconds."""
    synopsis = "[-bmH] [-n COUNT] [-d SECONDS]"
    with usage_errors(process, synopsis):
        options = getopt(process.argv[1:], "bmHn:d:")
        count, delay_s = options.number("n", 0), options.seconds("d", 5)
    shown = 0
    while True:
        if "b" not in options:
            process.write("\033[H\033[J")
        process.write(_top_page(process))
        shown += 1
        if shown == count:
            return 0
        await process.sleep(delay_s)


def _top_page(process: Process) -> str:
    others = visible(process)
    lines = [
        f"Mem: 0K used, {MEMORY_KIB}K free, 0K shrd, 0K buff, 0K cached",
        "CPU:   0% usr   0% sys   0% nic 100% idle   0% io   0% irq   0% sirq",
        f"Load average: 0.00 0.00 0.00 1/{len(process.machine.processes)} {others[-1][0]}",
        "  PID  PPID USER     STAT   VSZ %VSZ %CPU COMMAND",
    ]
    for number, other in others:
        letter = "R" if other is process else state(other)
        lines.append(
            f"{number:5d} {_parent_id(other):5d} {_user(other)[:8]:<8} {letter:<4} {vsz_kib(other):5d}   0%   0% "
            f"{command_line(other)}"
        )
    return "".join(f"{line}\n" for line in [*lines, ""])


async def kill(process: Process) -> int:
    """Run `kill [-SIGNAL] PID…`: send a signal. `kill -l [SIGNAL]…` prints signal names and numbers."""
    arguments = process.argv[1:]
    signal: int | None = 15
    if arguments[:1] == ["-l"]:
        process.write(signal_list(arguments[1:]))
        return 0
    if arguments and arguments[0].startswith("-") and len(arguments[0]) > 1:
        text, signal = take_signal(arguments)
        if signal is None:
            return complain(process, f"bad signal name '{text}'")
    if not arguments:
        return complain(process, "you need to specify whom to kill")
    status = 0
    for text in arguments:
        if not is_number(text.removeprefix("-")):
            status = complain(process, f"invalid number '{text}'")
            continue
        targets = _targets(process, int(text))
        if not targets:
            status = complain(process, f"can't kill pid {text}: No such process")
        for target in targets:
            if not process.may_signal(target):
                status = complain(process, f"can't kill pid {text}: Operation not permitted")
            elif signal:
                target.kill(signal, process)
    return status


def _targets(process: Process, number: int) -> list[Process]:
    """Return the processes to which kill(2) sends a signal for the process id `number`; [] if there is none.

    -1 means all processes but the caller and the init process.
    """
    if number == -1:
        return [other for _, other in visible(process) if other is not process and not other.is_init]
    target = process.pid_namespace.processes.get(abs(number))
    return [target] if target is not None else []


async def killall(process: Process) -> int:
    """Run `killall [-lq] [-SIGNAL] NAME…`: send a signal to all processes with these names."""
    arguments = process.argv[1:]
    signal: int | None = 15
    is_quiet = arguments[:1] == ["-q"]
    arguments = arguments[is_quiet:]
    if arguments[:1] == ["-l"]:
        process.write(signal_list(arguments[1:]))
        return 0
    if arguments and arguments[0].startswith("-"):
        text, signal = take_signal(arguments)
        if signal is None:
            return complain(process, f"bad signal name '{text}'")
    if not arguments:
        return complain(process, "you need to specify whom to kill")
    status = 0
    for name in arguments:
        targets = [other for _, other in visible(process) if other.name == name and other is not process]
        if not targets:
            status = 1
            if not is_quiet:
                complain(process, f"{name}: no process killed")
        for target in targets:
            target.kill(signal if signal is not None else 15, process)
    return status


async def pidof(process: Process) -> int:
    """Run `pidof [-s] [-o PID]… NAME…`: print the ids of the programs with these names, the newest first."""
    options = read_options(process, "so:", "[-s] [-o PID] [NAME]...")
    omitted = {str(process.local_pid) if text == "%PPID" else text for text in options.every("o")}
    numbers = [
        str(number)
        for name in options.operands
        for number, other in reversed(visible(process))
        if other.name == name.rpartition("/")[2] and str(number) not in omitted
    ]
    numbers = numbers[:1] if "s" in options else numbers
    if numbers:
        process.write(f"{' '.join(numbers)}\n")
    return int(not numbers)


async def pgrep(process: Process) -> int:
    """Run `pgrep [-flnovx] [-P PPID] PATTERN`: print the ids of the processes whose name matches."""
    return await _select_by_pattern(process, "[-flnovx] [-s SID|-P PPID|PATTERN]", is_kill=False)


async def pkill(process: Process) -> int:
    """Run `pkill [-SIGNAL] [-fnovx] [-P PPID] PATTERN`: send a signal to the processes whose name matches."""
    return await _select_by_pattern(process, "[-l|-SIGNAL] [-xfvnoe] [-s SID|-P PPID|PATTERN]", is_kill=True)


async def _select_by_pattern(process: Process, synopsis: str, *, is_kill: bool) -> int:
    arguments = process.argv[1:]
    signal: int | None = 15
    if is_kill:
        named = next((word for word in arguments if re.fullmatch(r"-(SIG)?[A-Z][A-Z0-9]+|-[0-9]+", word)), None)
        if named is not None:
            arguments.remove(named)
            signal = signal_number(named[1:])
            if signal is None:
                return complain(process, f"bad signal name '{named[1:]}'")
    options = read_options(process, "flnovxeas:P:", synopsis, arguments=arguments)
    if not options.operands and not {"s", "P"} & set(options.values):
        return show_usage(process, synopsis)
    try:
        pattern = re.compile(options.operands[0] if options.operands else "")
    except re.error:
        return complain(process, f"bad regex '{options.operands[0]}': Invalid regexp")
    matches: list[tuple[int, Process]] = []
    for number, other in visible(process):
        text = command_line(other) if "f" in options else other.name[:15]
        is_match = (pattern.fullmatch(text) if "x" in options else pattern.search(text)) is not None
        is_match = is_match and ("P" not in options or str(_parent_id(other)) == options.get("P"))
        is_match = is_match and ("s" not in options or _session(other) == options.get("s"))
        if other is not process and is_match != ("v" in options):
            matches.append((number, other))
    if "n" in options or "o" in options:
        matches = matches[-1:] if "n" in options else matches[:1]
    for number, other in matches:
        if is_kill:
            other.kill(signal or 0, process)
        elif "a" in options or "l" in options:
            process.write(f"{number} {command_line(other) if 'a' in options or 'f' in options else other.name}\n")
        else:
            process.write(f"{number}\n")
    return int(not matches)

"""systemd's systemctl: controls the services of a host."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cnmsim.kernel.clock import NS_PER_S
from cnmsim.userland.libc.getopt import getopt

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process
    from cnmsim.kernel.unit import Unit

_UNKNOWN = 4
_RECENT = 10


async def main(process: Process) -> int:
    """Run `systemctl restart|reload-or-restart|status|is-active|is-enabled|daemon-reload [UNIT…]`.

    `start` and `stop` are not simulated. To stop an engine, use `Host.power_off`.
    """
    options = getopt(process.argv[1:], "ln:q", {"no-pager": "P", "full": "l", "lines=": "n", "quiet": "q"})
    if not options.operands:
        process.error("systemctl: a verb is required: restart, status, is-active, is-enabled or daemon-reload\n")
        return 1
    verb, *names = options.operands
    if verb == "daemon-reload":
        return 0
    if verb not in {"restart", "reload-or-restart", "status", "is-active", "is-enabled"}:
        known = verb in {"start", "stop", "reload", "enable", "disable"}
        process.error(f"systemctl: {verb} is not simulated\n" if known else f"Unknown command verb '{verb}'.\n")
        return 1
    if not names:
        process.error("Too few arguments.\n")
        return 1
    return max([await _run(process, verb, name if "." in name else f"{name}.service") for name in names])


async def _run(process: Process, verb: str, name: str) -> int:
    unit = process.machine.units.get(name)
    if verb.startswith("is-"):
        texts = {"is-active": ("active", "inactive"), "is-enabled": ("enabled", "not-found")}
        process.write(f"{texts[verb][unit is None]}\n")
        return 0 if unit is not None else _UNKNOWN
    if unit is None:
        if verb == "status":
            process.error(f"Unit {name} could not be found.\n")
            return _UNKNOWN
        process.error(f"Failed to {verb} {name}: Unit {name} not found.\n")
        return 5
    if verb == "status":
        process.write(_status(process, unit))
        return 0
    try:
        await unit.restart()
    except OSError:
        process.error(
            f"Job for {name} failed because the control process exited with error code.\n"
            f'See "systemctl status {name}" and "journalctl -xeu {name}" for details.\n'
        )
        return 1
    return 0


def _status(process: Process, unit: Unit) -> str:
    clock = process.clock
    since = datetime.fromtimestamp(clock.epoch_s + unit.started_ns // NS_PER_S, UTC)
    pid, age = unit.main_pid(), _age(clock.now_ns - unit.started_ns)
    program = unit.command.partition(" ")[0].rpartition("/")[2]
    lines = [
        f"● {unit.name} - {unit.description}",
        f"     Loaded: loaded (/usr/lib/systemd/system/{unit.name}; enabled; preset: enabled)",
        f"     Active: active (running) since {since:%a %Y-%m-%d %H:%M:%S} UTC; {age} ago",
        f"   Main PID: {pid} ({program})",
        f"     CGroup: /system.slice/{unit.name}",
        f"             └─{pid} {unit.command}",
        "",
    ]
    recent = [entry for entry in process.machine.journal.entries if entry.unit == unit.name][-_RECENT:]
    for entry in recent:
        moment = datetime.fromtimestamp(entry.time_ns // NS_PER_S, UTC)
        lines.append(
            f"{moment:%b %d %H:%M:%S} {process.machine.name} {entry.identifier}[{entry.pid}]: {entry.message}"
        )
    return "\n".join(lines) + "\n"


def _age(length_ns: int) -> str:
    seconds = length_ns // NS_PER_S
    parts = [(seconds // 86400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "min"), (seconds % 60, "s")]
    shown = [f"{number}{unit}" for number, unit in parts if number]
    return " ".join(shown[:2]) or "0s"

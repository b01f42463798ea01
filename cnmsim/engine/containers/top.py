"""`docker top` and `docker stats`: the processes of a container, and the counters of its interfaces.

Source: moby `daemon/{top_unix,stats_unix}.go`. Memory, CPU and disk are not simulated: their counters are zero.
"""

from __future__ import annotations

from typing import Any

from cnmsim.engine.containers.container import Container
from cnmsim.engine.containers.processes import processes_of
from cnmsim.engine.context import EngineContext
from cnmsim.engine.wire.timestamps import rfc3339, unix_ns
from cnmsim.errors import SystemFault
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.process import Process

_FULL = ("uid", "pid", "ppid", "c", "stime", "tty", "time", "cmd")
_USERS = ("user", "pid", "pcpu", "pmem", "vsz", "rss", "tty", "stat", "start", "time", "args")
# Titles of the columns of ps(1), by their names in -o.
_TITLES = {
    "uid": "UID", "user": "USER", "pid": "PID", "ppid": "PPID", "c": "C", "pcpu": "%CPU", "pmem": "%MEM",
    "vsz": "VSZ", "rss": "RSS", "stime": "STIME", "start": "START", "tty": "TTY", "tt": "TT", "stat": "STAT",
    "s": "S",
    "time": "TIME", "etime": "ELAPSED", "cmd": "CMD", "args": "COMMAND", "command": "COMMAND", "comm": "COMMAND",
}  # fmt: skip


def process_table(container: Container, arguments: str) -> dict[str, Any]:
    """Return the process list as `ps` prints it: in the format of `-ef` or `aux`, or with the columns of `-o`.

    Raises `Conflict` if the container does not run, `SystemFault` for an unknown column or if the process id is not
    among the columns.
    """
    container.require_running()
    columns = _columns(arguments)
    if "pid" not in columns:
        raise SystemFault("Couldn't find PID field in ps output")
    began = rfc3339(container.started_ns)[11:16]
    rows = [[_value(process, column, began) for column in columns] for process in processes_of(container)]
    return {"Processes": rows, "Titles": [_TITLES[column] for column in columns]}


def _columns(arguments: str) -> tuple[str, ...]:
    words = arguments.split()
    for number, word in enumerate(words):
        if word.startswith("-o"):
            names = word[2:] or "".join(words[number + 1 : number + 2])
            columns = tuple(name.partition("=")[0].lower() for name in names.split(",") if name)
            unknown = next((name for name in columns if name not in _TITLES), None)
            if unknown is not None:
                raise SystemFault(f'ps: error: unknown user-defined format specifier "{unknown}"')
            return columns
    return _USERS if "u" in arguments else _FULL


def _value(process: Process, column: str, began: str) -> str:
    user = str(process.credentials.uid or "root")
    fixed = {
        "uid": user, "user": user, "c": "0", "pcpu": "0.0", "pmem": "0.0", "vsz": "1624", "rss": "4",
        "stime": began, "start": began, "tty": "?", "tt": "?", "stat": "Ss", "s": "S", "time": "00:00:00",
        "etime": "00:00",
    }  # fmt: skip
    if column in fixed:
        return fixed[column]
    if column == "pid":
        return str(process.pid)
    if column == "ppid":
        return str(process.parent.pid if process.parent is not None else 1)
    return process.name if column == "comm" else " ".join(process.argv)


def statistics(context: EngineContext, container: Container) -> dict[str, Any]:
    """Return one set of statistics, in the API's format, as `docker stats` uses it."""
    now_ns = unix_ns(context.clock)
    idle = {
        "cpu_usage": {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0},
        "system_cpu_usage": context.clock.now_ns,
        "online_cpus": 4,
        "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
    }
    view: dict[str, Any] = {
        "read": rfc3339(now_ns),
        "preread": rfc3339(now_ns - NS_PER_S),
        "pids_stats": {"current": len(processes_of(container))},
        "blkio_stats": {},
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": idle,
        "precpu_stats": idle,
        "memory_stats": {"usage": 0, "stats": {}, "limit": 8 << 30},
        "name": f"/{container.name}",
        "id": container.id,
    }
    process = container.process
    if process is not None and not container.is_host_network:
        view["networks"] = {
            device.name: {
                "rx_bytes": device.rx_bytes,
                "rx_packets": device.rx_packets,
                "rx_errors": 0,
                "rx_dropped": 0,
                "tx_bytes": device.tx_bytes,
                "tx_packets": device.tx_packets,
                "tx_errors": 0,
                "tx_dropped": device.tx_dropped,
            }
            for device in process.namespace.devices.values()
            if device.kind != "loopback"
        }
    return view

"""`docker top` and `docker stats`: the processes of a container, and what its interfaces have carried.

Source: moby `daemon/{top_unix,stats_unix}.go`. Memory, processor and disk are not simulated and read as nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cnmsim.engine.container import Container
from cnmsim.engine.lifecycle import processes_of
from cnmsim.engine.timestamps import rfc3339, unix_ns
from cnmsim.errors import Conflict
from cnmsim.kernel.clock import NS
from cnmsim.kernel.process import Process

if TYPE_CHECKING:
    from cnmsim.engine.engine import Engine

_FULL = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
_USERS = ["USER", "PID", "%CPU", "%MEM", "VSZ", "RSS", "TTY", "STAT", "START", "TIME", "COMMAND"]


def process_table(container: Container, arguments: str) -> dict[str, Any]:
    """Give the processes as `ps` lists them, in the form of `ps -ef` or `ps aux`. Raises `Conflict`."""
    if not container.is_running:
        raise Conflict(f"container {container.id} is not running")
    has_users = "u" in arguments
    began = rfc3339(container.started_ns)[11:16]
    rows = [_row(process, began, has_users=has_users) for process in processes_of(container)]
    return {"Processes": rows, "Titles": list(_USERS if has_users else _FULL)}


def _row(process: Process, began: str, *, has_users: bool) -> list[str]:
    pid, command = str(process.pid), " ".join(process.argv)
    parent = str(process.parent.pid if process.parent is not None else 1)
    if has_users:
        return ["root", pid, "0.0", "0.0", "1624", "4", "?", "Ss", began, "0:00", command]
    return ["root", pid, parent, "0", began, "?", "00:00:00", command]


def statistics(engine: Engine, container: Container) -> dict[str, Any]:
    """Give one reading of `docker stats`."""
    now_ns = unix_ns(engine.clock)
    idle = {
        "cpu_usage": {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0},
        "system_cpu_usage": engine.clock.now_ns,
        "online_cpus": 4,
        "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
    }
    view: dict[str, Any] = {
        "read": rfc3339(now_ns),
        "preread": rfc3339(now_ns - NS),
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

"""`docker top` and `docker stats`: the processes of a container, and the counters of its interfaces.

Source: moby `daemon/{top_unix,stats_unix}.go`. Memory, CPU and disk are not simulated: their counters are zero.
"""

from __future__ import annotations

from typing import Any

from cnmsim.engine.containers.container import Container
from cnmsim.engine.containers.processes import processes_of
from cnmsim.engine.containers.resources import CPUS, memory_limit
from cnmsim.engine.context import EngineContext
from cnmsim.engine.wire.timestamps import rfc3339, unix_ns
from cnmsim.errors import SystemFault
from cnmsim.kernel import process_listing
from cnmsim.kernel.clock import NS_PER_S


def process_table(container: Container, arguments: str) -> dict[str, Any]:
    """Return the process list as `ps` prints it: in the format of `-ef` or `aux`, or with the columns of `-o`.

    Raises `Conflict` if the container does not run, `SystemFault` for an unknown column or if the process id is not
    among the columns.
    """
    container.require_running()
    try:
        columns, _ = process_listing.select(arguments.split() or ["-ef"])
    except process_listing.UnknownColumnError as error:
        raise SystemFault(f"ps: {error}") from None
    titles = [column.title for column in columns]
    if "PID" not in titles:
        raise SystemFault("Couldn't find PID field in ps output")
    rows = [[column.value(process) for column in columns] for process in processes_of(container)]
    return {"Processes": rows, "Titles": titles}


def _pids(container: Container) -> dict[str, int]:
    if not container.is_running:
        return {}
    # Without a limit the engine reports the largest value of the counter.
    limit = container.host_config["PidsLimit"] or (1 << 64) - 1
    return {"current": len(processes_of(container)), "limit": limit}


def statistics(context: EngineContext, container: Container) -> dict[str, Any]:
    """Return one set of statistics, in the API's format, as `docker stats` uses it.

    A container that does not run has none.
    """
    now_ns = unix_ns(context.clock)
    idle = {
        "cpu_usage": {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0},
        "system_cpu_usage": context.clock.now_ns,
        "online_cpus": CPUS,
        "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
    }
    view: dict[str, Any] = {
        "read": rfc3339(now_ns),
        "preread": rfc3339(now_ns - NS_PER_S),
        "pids_stats": _pids(container),
        "blkio_stats": {},
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": idle,
        "precpu_stats": idle,
        "memory_stats": {"usage": 0, "stats": {}, "limit": memory_limit(container)} if container.is_running else {},
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

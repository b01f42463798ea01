"""`docker top` and `docker stats`: the processes of a container, and the counters of its interfaces.

Source: moby `daemon/{top_unix,stats_unix}.go`. Processor time and memory are figures of the simulation
(`cnmsim.kernel.cgroup`); disk accesses are not counted.
"""

from __future__ import annotations

from typing import Any

from cnmsim.engine.containers.container import Container
from cnmsim.engine.containers.processes import processes_of
from cnmsim.engine.containers.resources import CPUS, cpu_usage_ns, memory_counters, memory_limit, split_cpu
from cnmsim.engine.context import EngineContext
from cnmsim.errors import SystemFault
from cnmsim.gojson.fields import ZERO_TIME, rfc3339
from cnmsim.kernel import process_listing
from cnmsim.kernel.clock import NS_PER_S

_NO_CPU: dict[str, Any] = {
    "cpu_usage": {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0},
    "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
}
_NO_BLKIO: dict[str, None] = dict.fromkeys((
    "io_service_bytes_recursive", "io_serviced_recursive", "io_queue_recursive", "io_service_time_recursive",
    "io_wait_time_recursive", "io_merged_recursive", "io_time_recursive", "sectors_recursive",
))  # fmt: skip
#: Counters of memory.stat (control groups, version 2).
_MEMORY_STATS = (
    "active_anon", "active_file", "anon", "anon_thp", "file", "file_dirty", "file_mapped", "file_writeback",
    "inactive_anon", "inactive_file", "kernel_stack", "pgactivate", "pgdeactivate", "pgfault", "pglazyfree",
    "pglazyfreed", "pgmajfault", "pgrefill", "pgscan", "pgsteal", "shmem", "slab", "slab_reclaimable",
    "slab_unreclaimable", "sock", "thp_collapse_alloc", "thp_fault_alloc", "unevictable", "workingset_activate",
    "workingset_nodereclaim", "workingset_refault",
)  # fmt: skip


def process_table(container: Container, arguments: str) -> dict[str, Any]:
    """Return the process list of a container, as `ps` with the options `arguments` prints it.

    The options can be `-ef`, `aux`, or `-o` with a list of columns; "" means `-ef`. Raises `Conflict` if the
    container does not run, and `SystemFault` for an unknown column or a list without the column of the process id.
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
    # Without a limit the engine reports the largest value of the counter.
    limit = container.host_config["PidsLimit"] or (1 << 64) - 1
    return {"current": len(container.cgroup.processes), "limit": limit}


def _cpu(context: EngineContext, container: Container, before_ns: int) -> dict[str, Any]:
    """Return the API's `cpu_stats` of a container as of `before_ns` nanoseconds ago; 0 means now."""
    used = cpu_usage_ns(container, before_ns)
    user, kernel = split_cpu(used)
    group = container.cgroup
    return {
        "cpu_usage": {"total_usage": used, "usage_in_kernelmode": kernel, "usage_in_usermode": user},
        "system_cpu_usage": max(0, context.clock.now_ns - before_ns) * CPUS,
        "online_cpus": CPUS,
        "throttling_data": {
            "periods": group.periods, "throttled_periods": group.throttled_periods,
            "throttled_time": group.throttled_ns,
        },
    }  # fmt: skip


def statistics(context: EngineContext, container: Container, *, has_previous: bool = True) -> dict[str, Any]:
    """Return one set of statistics of a container, in the format of `GET /containers/{id}/stats`.

    `has_previous` adds the counters of one second ago, from which a client computes rates; without it they are empty.
    All counters are empty for a container that does not run.
    """
    if not container.is_running:
        return {
            "read": ZERO_TIME, "preread": ZERO_TIME, "pids_stats": {}, "blkio_stats": _NO_BLKIO, "num_procs": 0,
            "storage_stats": {}, "cpu_stats": _NO_CPU, "precpu_stats": _NO_CPU, "memory_stats": {},
            "name": f"/{container.name}", "id": container.id,
        }  # fmt: skip
    now_ns = context.clock.unix_ns
    memory = {
        "usage": container.cgroup.memory,
        "stats": {**dict.fromkeys(_MEMORY_STATS, 0), **memory_counters(container)},
        "limit": memory_limit(container),
    }
    view: dict[str, Any] = {
        "read": rfc3339(now_ns),
        "preread": rfc3339(now_ns - NS_PER_S) if has_previous else ZERO_TIME,
        "pids_stats": _pids(container),
        "blkio_stats": _NO_BLKIO,
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": _cpu(context, container, 0),
        "precpu_stats": _cpu(context, container, NS_PER_S) if has_previous else _NO_CPU,
        "memory_stats": memory,
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

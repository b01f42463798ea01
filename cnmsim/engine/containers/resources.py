"""Limits of a container: validation, derived values, and the files of its control group.

Source: moby `daemon/daemon_unix.go` (`verifyPlatformContainerResources`, `adaptContainerSettings`),
`daemon/container/container_unix.go`, Linux `Documentation/admin-guide/cgroup-v2.rst`.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import partial
from typing import Any

from cnmsim.digits import is_number
from cnmsim.engine.containers.container import Container
from cnmsim.engine.containers.processes import processes_of
from cnmsim.errors import InvalidParameter, SystemFault
from cnmsim.gostrconv import parse_bool, quote
from cnmsim.kernel.cgroup import PACKET_NS, ControlGroup
from cnmsim.kernel.inode import Directory, GeneratedDirectory, GeneratedFile, Inode
from cnmsim.kernel.machine import Machine
from cnmsim.libnetwork.profile import Profile

#: The processors and the memory in bytes of every simulated Docker host.
CPUS = 4
MEMORY = 8 << 30
_LEAST_MEMORY = 6 << 20
#: The largest number in a list of CPUs or memory nodes (moby `pkg/sysinfo/sysinfo.go`, isCpusetListAvailable).
_LARGEST_INDEX = 8192
_NANO = 1_000_000_000
_DEFAULT_PERIOD_US = 100_000
_UNCONFINED = ("label", "apparmor", "seccomp", "no-new-privileges")
_NO_LIMIT_TEXT = (
    "OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out"
    " of resources."
)


def check_resources(profile: Profile, values: dict[str, Any], *, is_update: bool = False) -> list[str]:
    """Validate the resource limits of a HostConfig, or of an update if `is_update`. Return the texts of warnings.

    Raises `InvalidParameter` for a limit that is out of range, or that conflicts with another.
    """
    warnings = _check_memory(values, is_update=is_update)
    if values["NanoCpus"] > 0:
        for key, title in (("CpuPeriod", "CPU Period"), ("CpuQuota", "CPU Quota")):
            if values[key] > 0:
                raise InvalidParameter(f"Conflicting options: Nano CPUs and {title} cannot both be set")
    if not 0 <= values["NanoCpus"] <= CPUS * _NANO:
        raise InvalidParameter(profile.cpu_range_text.format(count=CPUS))
    if values["CpuPeriod"] and not 1000 <= values["CpuPeriod"] <= 1_000_000:
        raise InvalidParameter("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
    if 0 < values["CpuQuota"] < 1000:
        raise InvalidParameter("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    if values.get("CpuPercent"):
        warnings.append("linux does not support CPU percent. Percent discarded.")
        values["CpuPercent"] = 0
    _check_set(values["CpusetCpus"], "cpuset cpus", "CPUs", CPUS)
    _check_set(values["CpusetMems"], "cpuset mems", "memory nodes", 1)
    if values["BlkioWeight"] and not 10 <= values["BlkioWeight"] <= 1000:
        raise InvalidParameter("Range of blkio weight is from 10 to 1000")
    if values["IOMaximumBandwidth"] or values["IOMaximumIOps"]:
        raise InvalidParameter("Invalid QoS settings: linux does not support Maximum IO Bandwidth or Maximum IO IOps")
    return warnings


def _check_memory(values: dict[str, Any], *, is_update: bool) -> list[str]:
    memory, swap, reservation = values["Memory"], values["MemorySwap"], values["MemoryReservation"]
    if memory and memory < _LEAST_MEMORY:
        raise InvalidParameter("Minimum memory limit allowed is 6MB")
    if memory > 0 and 0 < swap < memory:
        raise InvalidParameter("Minimum memoryswap limit should be larger than memory limit, see usage")
    if not memory and swap > 0 and not is_update:
        raise InvalidParameter("You should always set the Memory limit when using Memoryswap limit, see usage")
    swappiness = values.get("MemorySwappiness")
    if swappiness is not None and swappiness != -1 and not 0 <= swappiness <= 100:
        raise InvalidParameter(f"Invalid value: {swappiness}, valid memory swappiness range is 0-100")
    if 0 < reservation < _LEAST_MEMORY:
        raise InvalidParameter("Minimum memory reservation allowed is 6MB")
    if memory > 0 and reservation > memory:
        raise InvalidParameter("Minimum memory limit can not be less than memory reservation limit, see usage")
    return [_NO_LIMIT_TEXT] if values.get("OomKillDisable") and not memory else []


def _check_set(text: str, name: str, title: str, count: int) -> None:
    """Check a list of CPUs or memory nodes such as `0-2,4`: each number must be less than `count`.

    `name` and `title` describe the option and its objects in the error text, such as "cpuset cpus" and "CPUs". Raises
    `InvalidParameter` if the list is malformed or contains a larger number.
    """
    requested: set[int] = set()
    for part in text.split(",") if text else ():
        first, _, last = part.partition("-")
        if not is_number(first) or not is_number(last or first) or int(last or first) < int(first):
            raise InvalidParameter(f"Invalid value {text} for {name}: invalid format: {text}")
        if int(last or first) > _LARGEST_INDEX:
            raise InvalidParameter(
                f"Invalid value {text} for {name}: value of out range, maximum is {_LARGEST_INDEX}"
            )
        requested |= set(range(int(first), int(last or first) + 1))
    if requested and max(requested) >= count:
        available = f"0-{count - 1}" if count > 1 else "0"
        raise InvalidParameter(f"Requested {title} are not available - requested {text}, available: {available}")


def check_platform(profile: Profile, host_config: dict[str, Any]) -> None:
    """Check that a HostConfig requests nothing that only other platforms or kernels have, nor negative CPU shares.

    Raises an `EngineError` if it does. Source: moby `runconfig/hostconfig_unix.go`.
    """
    fault = _platform_fault(profile, host_config)
    if fault:
        raise (InvalidParameter if profile.decode_errors_are_invalid else SystemFault)(fault)


def _platform_fault(profile: Profile, host_config: dict[str, Any]) -> str:
    isolation, shares = host_config["Isolation"], host_config["CpuShares"]
    if isolation.lower() not in {"", "default"}:
        return profile.isolation_text.format(value=isolation, quoted=quote(isolation))
    for key, what in (("IOMaximumBandwidth", "bandwidth"), ("IOMaximumIOps", "IOPs")):
        if host_config[key]:
            return profile.qos_text.format(what=what)
    if host_config["CpuRealtimePeriod"] or host_config["CpuRealtimeRuntime"]:
        return profile.realtime_text
    if shares < 0 and profile.checks_cpu_shares:
        return f"invalid CPU shares ({shares}): value must be a positive integer"
    return ""


def check_isolation(host_config: dict[str, Any]) -> None:
    """Validate security options, cgroup namespace and runtime of a HostConfig.

    Raises `InvalidParameter` for a value that an engine on Linux does not accept.
    """
    runtime = host_config.get("Runtime") or "runc"
    if host_config["CgroupnsMode"] not in {"", "private", "host"}:
        raise InvalidParameter(f"invalid cgroup namespace mode: {host_config['CgroupnsMode']}")
    for option in host_config["SecurityOpt"] or ():
        _check_security(option)
    if runtime != "runc" and not runtime.startswith("io.containerd."):
        raise InvalidParameter(f"unknown or invalid runtime name: {runtime}")


def _check_security(option: str) -> None:
    if option in {"no-new-privileges", "disable"}:
        return
    separator = "=" if "=" in option else ":"
    name, found, value = option.partition(separator)
    if not found:
        raise InvalidParameter(f'invalid --security-opt 1: "{option}"')
    is_valid = name in _UNCONFINED
    if name == "no-new-privileges":
        try:
            parse_bool(value)
        except ValueError:
            is_valid = False
    if not is_valid:
        raise InvalidParameter(f'invalid --security-opt 2: "{option}"')


def derive_limits(host_config: dict[str, Any]) -> None:
    """Fill in limits of a HostConfig that depend on others, in place.

    If only memory is limited, the limit of memory and swap together (MemorySwap) becomes twice that of memory. A
    PidsLimit of 0 or less and a MemorySwappiness of -1 become `None`, which means "unlimited".
    """
    if host_config["Memory"] > 0 and not host_config["MemorySwap"]:
        host_config["MemorySwap"] = 2 * host_config["Memory"]
    if host_config["PidsLimit"] is not None and host_config["PidsLimit"] <= 0:
        host_config["PidsLimit"] = None
    if host_config.get("MemorySwappiness") == -1:
        host_config["MemorySwappiness"] = None


def memory_limit(container: Container) -> int:
    """Return how many bytes of memory a container may use: its own limit, else the memory of its host."""
    return int(container.host_config["Memory"]) or MEMORY


def _or_max(limit: int | None) -> str:
    return str(limit) if limit and limit > 0 else "max"


def _cpu_max(host_config: dict[str, Any]) -> str:
    period = host_config["CpuPeriod"] or _DEFAULT_PERIOD_US
    if host_config["NanoCpus"]:
        return f"{host_config['NanoCpus'] * _DEFAULT_PERIOD_US // _NANO} {_DEFAULT_PERIOD_US}"
    return f"{_or_max(host_config['CpuQuota'])} {period}"


def _cpu_weight(host_config: dict[str, Any]) -> str:
    shares = host_config["CpuShares"]  # an unsigned number of 64 bits for runc (ConvertCPUSharesToCgroupV2Value)
    return str(1 + (shares - 2) * 9999 % 2**64 // 262142) if shares else "100"


def _swap_max(host_config: dict[str, Any]) -> str:
    swap, memory = host_config["MemorySwap"], host_config["Memory"]
    return str(swap - memory) if swap > 0 and memory else "max"


def wrong_cpu_weight(container: Container) -> str:
    """Return runc's error text if the kernel refuses the weight that follows from the CPU shares, or "" if not."""
    weight = _cpu_weight(container.host_config)
    if 1 <= int(weight) <= 10_000:
        return ""
    path = f"/sys/fs/cgroup/docker/{container.id}/cpu.weight"
    return f'failed to write "{weight}": write {path}: numerical result out of range'


_FILES: dict[str, Callable[[dict[str, Any]], str]] = {
    "cgroup.controllers": lambda _: "cpuset cpu io memory hugetlb pids rdma misc",
    "cgroup.type": lambda _: "domain",
    "cpu.max": _cpu_max,
    "cpu.weight": _cpu_weight,
    "cpuset.cpus": lambda host: str(host["CpusetCpus"]),
    "cpuset.cpus.effective": lambda host: str(host["CpusetCpus"]) or f"0-{CPUS - 1}",
    "cpuset.mems": lambda host: str(host["CpusetMems"]),
    "cpuset.mems.effective": lambda host: str(host["CpusetMems"]) or "0",
    "memory.low": lambda host: str(host["MemoryReservation"]),
    "memory.max": lambda host: _or_max(host["Memory"]),
    "memory.swap.max": _swap_max,
    "pids.max": lambda host: _or_max(host["PidsLimit"]),
}


def start_control_group(container: Container, machine: Machine) -> None:
    """Put a container that starts into a new control group with the container's limits."""
    container.cgroup = group = ControlGroup(container.clock, files=container.files)
    apply_limits(container)
    container.files.on_tmpfs_growth = lambda: group.check_memory(machine.memory_bytes)


def apply_limits(container: Container) -> None:
    """Set the limits of a container's control group to those in its configuration."""
    host, group = container.host_config, container.cgroup
    group.pids_limit = host["PidsLimit"] or 0
    group.memory_limit = max(0, host["Memory"]) if not host.get("OomKillDisable") else 0
    quota, _, period = _cpu_max(host).partition(" ")
    group.cpu_limit = 0.0 if quota == "max" else int(quota) / int(period)


def network_packets(container: Container) -> int:
    """Return the number of packets that the devices of a container's network namespace have sent and received.

    It is 0 for a container that does not run or uses the host's namespace.
    """
    process = container.process
    if process is None or container.is_host_network:
        return 0
    return sum(device.rx_packets + device.tx_packets for device in process.namespace.devices.values())


def cpu_usage_ns(container: Container, before_ns: int = 0) -> int:
    """Return the processor time that a container has used until now, or until `before_ns` nanoseconds ago."""
    group = container.cgroup
    used = group.cpu_ns_at(container.clock.now_ns - before_ns) if before_ns else group.cpu_ns
    return used + network_packets(container) * PACKET_NS


def split_cpu(used: int) -> tuple[int, int]:
    """Divide the processor time `used` into the parts of programs and of the kernel.

    Return both, in the same unit.
    """
    return used - used // 4, used // 4


def memory_counters(container: Container) -> dict[str, int]:
    """Return the counters of a container's memory.stat file that are not 0, by name."""
    anonymous, shared = container.cgroup.anonymous, container.cgroup.shared
    faults = (anonymous + shared) >> 12
    return {
        "anon": anonymous, "inactive_anon": anonymous + shared, "file": shared, "shmem": shared, "pgfault": faults,
        "kernel_stack": len(container.cgroup.processes) << 14,
    }  # fmt: skip


def _cpu_stat(container: Container) -> str:
    used_us, group = cpu_usage_ns(container) // 1000, container.cgroup
    user, system = split_cpu(used_us)
    text = f"usage_usec {used_us}\nuser_usec {user}\nsystem_usec {system}"
    throttled = f"nr_throttled {group.throttled_periods}\nthrottled_usec {group.throttled_ns // 1000}"
    return f"{text}\nnr_periods {group.periods}\n{throttled}\nnr_bursts 0\nburst_usec 0"


def _memory_events(container: Container) -> str:
    kills = container.cgroup.oom_kills
    return f"low 0\nhigh 0\nmax {kills}\noom {kills}\noom_kill {kills}\noom_group_kill 0"


_USAGE_FILES: dict[str, Callable[[Container], str]] = {
    "cgroup.procs": lambda container: "\n".join(str(process.local_pid) for process in processes_of(container)),
    "cpu.stat": _cpu_stat,
    "memory.current": lambda container: str(container.cgroup.memory),
    "memory.events": _memory_events,
    "memory.peak": lambda container: str(container.cgroup.memory_peak),
    "memory.stat": lambda container: "\n".join(
        f"{name} {value}" for name, value in memory_counters(container).items()
    ),
    "memory.swap.current": lambda _: "0",
    "pids.current": lambda container: str(len(container.cgroup.processes)),
    "pids.events": lambda container: f"max {container.cgroup.pids_refused}",
    "pids.peak": lambda container: str(container.cgroup.pids_peak),
}


def control_group(container: Container) -> Directory:
    """Return the directory /sys/fs/cgroup of a container, with the files of control groups version 2."""
    return GeneratedDirectory(partial(_control_files, container), errno.EACCES)


def _control_files(container: Container) -> dict[str, Callable[[], Inode]]:
    def generated(read: Callable[[], str]) -> Callable[[], Inode]:
        return lambda: GeneratedFile(lambda: f"{read()}\n")

    settings = {name: generated(partial(value, container.host_config)) for name, value in _FILES.items()}
    return {**settings, **{name: generated(partial(usage, container)) for name, usage in _USAGE_FILES.items()}}

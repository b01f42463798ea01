"""`docker update`: change limits and the restart policy of a container.

Source: moby `daemon/update.go`, `daemon/container/container_unix.go` `UpdateContainer` (docker-v29.7.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnmsim.engine.containers.container import Container
from cnmsim.engine.containers.resources import apply_limits, check_resources, wrong_cpu_weight
from cnmsim.engine.containers.validate import check_restart_policy
from cnmsim.errors import Conflict, SystemFault
from cnmsim.libnetwork.profile import Profile

_LIMITS = (
    "BlkioWeight", "CpuShares", "NanoCpus", "CpuPeriod", "CpuQuota", "CpusetCpus", "CpusetMems", "Memory",
    "MemorySwap",
    "MemoryReservation", "CpuRealtimePeriod", "CpuRealtimeRuntime",
)  # fmt: skip
#: Conflicting options: the field to update, the field that is set, and the daemon's names for them.
_CONFLICTS = (
    ("NanoCpus", "CpuPeriod", "Nano CPUs", "CPU Period"),
    ("NanoCpus", "CpuQuota", "Nano CPUs", "CPU Quota"),
    ("CpuPeriod", "NanoCpus", "CPU Period", "NanoCPUs"),
    ("CpuQuota", "NanoCpus", "CPU Quota", "NanoCPUs"),
)


def check_update(profile: Profile, changes: Mapping[str, Any]) -> list[str]:
    """Check the decoded body of an update. Return the texts of warnings.

    Raises `InvalidParameter` for an invalid restart policy or limit.
    """
    policy = changes["RestartPolicy"]
    if policy["Name"]:
        check_restart_policy(policy)
    return check_resources(profile, dict(changes), is_update=True)


def update_container(profile: Profile, container: Container, changes: Mapping[str, Any]) -> None:
    """Change a container's settings according to a checked body. Fields that are empty in the body stay unchanged.

    Raises `Conflict` for an option that the container does not allow, `SystemFault` for CPU shares that the kernel
    refuses for a running container; nothing is changed then.
    """
    policy = changes["RestartPolicy"]
    host = dict(container.host_config)
    cause = _conflict(host, changes)
    if cause:
        raise Conflict(f"Cannot update container {container.id}: {cause}")
    host.update((name, changes[name]) for name in _LIMITS if changes[name])
    if changes["PidsLimit"] is not None:
        host["PidsLimit"] = changes["PidsLimit"] if changes["PidsLimit"] > 0 else None
    before, container.host_config = container.host_config, host
    cause = wrong_cpu_weight(container) if container.is_running else ""
    if cause:
        container.host_config = before
        cause = f"runc did not terminate successfully: exit status 1: {cause}\n{profile.runtime_error_suffix}"
        raise SystemFault(f"Cannot update container {container.id}: {cause}")
    if policy["Name"]:
        host["RestartPolicy"] = policy
        container.restarts.policy = policy["Name"]
        container.restarts.maximum_retries = policy["MaximumRetryCount"]
    apply_limits(container)


def _conflict(host: Mapping[str, Any], changes: Mapping[str, Any]) -> str:
    for new, present, wanted_name, present_name in _CONFLICTS:
        if changes[new] > 0 and host[present] > 0:
            return f"Conflicting options: {wanted_name} cannot be updated as {present_name} has already been set"
    if changes["Memory"] and changes["Memory"] > host["MemorySwap"] and not changes["MemorySwap"]:
        return (
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time"
        )
    if changes["RestartPolicy"]["Name"] not in {"", "no"} and host["AutoRemove"]:
        return "Restart policy cannot be updated because AutoRemove is enabled for the container"
    return ""

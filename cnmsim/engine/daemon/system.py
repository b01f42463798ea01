"""Views of the daemon as a whole: `docker version`, `docker info`, `docker system df`.

Source: moby `daemon/{info,info_unix,disk_usage}.go`, `daemon/server/router/system/system_routes.go`.
"""

from __future__ import annotations

from typing import Any

from cnmsim.engine.containers.resources import CPUS, MEMORY
from cnmsim.engine.containers.state import ContainerState
from cnmsim.engine.containers.summary import container_summary
from cnmsim.engine.context import EngineContext
from cnmsim.engine.logdrivers.options import DRIVERS
from cnmsim.engine.wire.api_version import ApiVersion
from cnmsim.gojson.fields import rfc3339
from cnmsim.kernel.procfs import KERNEL_RELEASE

_CONTAINERD, _RUNC, _INIT = "v2.1.4", "v1.3.1-0-ge6457afc", "de40ad0"


_VERSION_FIELDS = (
    "ApiVersion", "MinAPIVersion", "GitCommit", "GoVersion", "Os", "Arch", "KernelVersion", "BuildTime",
)  # fmt: skip


def version_view(context: EngineContext) -> dict[str, Any]:
    """Return the body of the response to `GET /version`."""
    profile = context.profile
    details = {
        "ApiVersion": profile.api_version,
        "Arch": "amd64",
        "BuildTime": profile.build_time,
        "Experimental": str(context.config.experimental).lower(),
        "GitCommit": profile.git_commit,
        "GoVersion": profile.go_version,
        "KernelVersion": KERNEL_RELEASE,
        "MinAPIVersion": profile.min_api_version,
        "Os": "linux",
    }
    return {
        "Platform": {"Name": "Docker Engine - Community"},
        "Components": [
            {"Name": "Engine", "Version": profile.version, "Details": details},
            {"Name": "containerd", "Version": _CONTAINERD, "Details": {"GitCommit": _CONTAINERD}},
            {"Name": "runc", "Version": _RUNC.partition("-")[0][1:], "Details": {"GitCommit": _RUNC}},
            {"Name": "docker-init", "Version": "0.19.0", "Details": {"GitCommit": _INIT}},
        ],
        "Version": profile.version,
        **{name: details[name] for name in _VERSION_FIELDS},
    }


#: The `Swarm` part of `GET /info` outside of a swarm.
NO_SWARM: dict[str, Any] = {
    "NodeID": "",
    "NodeAddr": "",
    "LocalNodeState": "inactive",
    "ControlAvailable": False,
    "Error": "",
    "RemoteManagers": None,
}


def info_view(context: EngineContext, swarm: dict[str, Any], api: ApiVersion) -> dict[str, Any]:
    """Return the body of the response to `GET /info`. `swarm` is the value of its `Swarm` field."""
    profile = context.profile
    states = [container.state for container in context.containers]
    is_old = not (profile.info_names_firewall and api.at_least("1.50"))
    paused = states.count(ContainerState.PAUSED)
    running = sum(container.is_running for container in context.containers) - paused
    bridged = dict.fromkeys(("BridgeNfIptables", "BridgeNfIp6tables"), not profile.info_names_firewall)
    expected = not (profile.info_names_firewall and api.at_least("1.49"))
    view: dict[str, Any] = {
        "ID": context.id,
        "Containers": len(states),
        "ContainersRunning": running,
        "ContainersPaused": paused,
        "ContainersStopped": len(states) - running - paused,
        "Images": len(context.images),
        "Driver": "overlay2",
        "DriverStatus": [["Backing Filesystem", "extfs"], ["Supports d_type", "true"], ["Using metacopy", "false"]],
        "Plugins": {
            "Volume": ["local"],
            "Network": _network_drivers(context),
            "Authorization": None,
            "Log": list(DRIVERS),
        },
        "MemoryLimit": True,
        "SwapLimit": True,
        "CpuCfsPeriod": True,
        "CpuCfsQuota": True,
        "CPUShares": True,
        "CPUSet": True,
        "PidsLimit": True,
        "IPv4Forwarding": context.forwards_ipv4,
        **(bridged if is_old else {}),
        "Debug": context.config.debug,
        "NFd": 24,
        "OomKillDisable": False,
        "NGoroutines": 42,
        "SystemTime": rfc3339(context.clock.unix_ns),
        "LoggingDriver": context.config.log_driver,
        "CgroupDriver": "systemd",
        "CgroupVersion": "2",
        "NEventsListener": 0,
        "KernelVersion": KERNEL_RELEASE,
        "OperatingSystem": "Debian GNU/Linux 13 (trixie)",
        "OSVersion": "13",
        "OSType": "linux",
        "Architecture": "x86_64",
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": {
            "InsecureRegistryCIDRs": ["::1/128", "127.0.0.0/8"],
            "IndexConfigs": {"docker.io": {"Name": "docker.io", "Mirrors": [], "Secure": True, "Official": True}},
            "Mirrors": None,
        },
        "NCPU": CPUS,
        "MemTotal": MEMORY,
        "GenericResources": None,
        "DockerRootDir": "/var/lib/docker",
        "HttpProxy": "",
        "HttpsProxy": "",
        "NoProxy": "",
        "Name": context.machine.name,
        "Labels": list(context.config.labels),
        "ExperimentalBuild": context.config.experimental,
        "ServerVersion": profile.version,
        "Runtimes": {"io.containerd.runc.v2": {"path": "runc"}, "runc": {"path": "runc"}},
        "DefaultRuntime": "runc",
        "Swarm": swarm,
        "LiveRestoreEnabled": context.config.live_restore,
        "Isolation": "",
        "InitBinary": "docker-init",
        "ContainerdCommit": _commit(_CONTAINERD, expected),
        "RuncCommit": _commit(_RUNC, expected),
        "InitCommit": _commit(_INIT, expected),
        "SecurityOptions": ["name=apparmor", "name=seccomp,profile=builtin", "name=cgroupns"],
    }
    pools = [{"Base": pool.base, "Size": pool.size} for pool in context.config.default_address_pools]
    if pools:
        view["DefaultAddressPools"] = pools
    if profile.info_names_firewall and api.at_least("1.49"):
        view["FirewallBackend"] = _firewall_view(context)
    view["CDISpecDirs"] = ["/etc/cdi", "/var/run/cdi"]
    if api.at_least("1.46"):
        namespaces = {"Containers": "moby", "Plugins": "plugins.moby"}
        view["Containerd"] = {"Address": "/run/containerd/containerd.sock", "Namespaces": namespaces}
    view["Warnings"] = None if context.forwards_ipv4 else ["WARNING: IPv4 forwarding is disabled"]
    return view


def _network_drivers(context: EngineContext) -> list[str]:
    """Return the names of the built-in network drivers and of the drivers of existing networks, sorted."""
    in_use = {network.driver_name for network in context.controller.networks}
    return sorted({"bridge", "host", "ipvlan", "macvlan", "null", "overlay"} | in_use)


def _firewall_view(context: EngineContext) -> dict[str, Any]:
    profile, config = context.profile, context.config
    view: dict[str, Any] = {
        "Driver": "nftables" if config.uses_nftables(profile.has_firewall_backend) else "iptables"
    }
    if profile.firewall_info_has_proxy and config.userland_proxy:
        view["Info"] = [["EnableUserlandProxy", "true"], ["UserlandProxyPath", "/usr/bin/docker-proxy"]]
    return view


def _commit(identity: str, has_expected: bool) -> dict[str, str]:
    return {"ID": identity, **({"Expected": identity} if has_expected else {})}


def disk_usage_view(context: EngineContext, api: ApiVersion) -> dict[str, Any]:
    """Return the body of the response to `GET /system/df`."""
    users = [container.image.id for container in context.containers]
    images = [
        context.images.summary(image, containers=users.count(image.id), shared_size=0)
        for image in context.images.list()
    ]
    volumes = [
        {**volume.view(), "UsageData": {"RefCount": len(volume.users), "Size": context.volumes.size(volume)}}
        for volume in context.volumes.list()
    ]
    return {
        "LayersSize": sum(image["Size"] for image in images),
        "Images": images,
        "Containers": [
            container_summary(context, container, api, size=True) for container in context.containers.newest_first()
        ],
        "Volumes": volumes,
        "BuildCache": [],
    }

"""The bodies clients send, as tables: what `POST /containers/create` and its kin consist of, field by field.

Source: moby `api/types/container/{config,hostconfig,create_request,exec_create_request}.go`,
`api/types/network/{endpoint,network_types,ipam}.go` (v26.1.5 to docker-v29.7.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnmsim.engine.decode import (
    B,
    Field,
    I,
    L,
    Place,
    S,
    Struct,
    anything,
    list_of,
    map_of,
    string_map,
    whole,
    words,
)
from cnmsim.engine.profile import Profile

_PORT_BINDING = Struct((S("HostIp"), S("HostPort")))
_RESTART_POLICY = Struct((S("Name"), I("MaximumRetryCount")))
_HEALTH = Struct(
    (
        L("Test", omit=True),
        I("Interval", omit=True),
        I("Timeout", omit=True),
        I("StartPeriod", omit=True),
        I("StartInterval", omit=True),
        I("Retries", omit=True),
    )
)
_LOG_CONFIG = Struct((S("Type"), Field("Config", string_map, dict)))

HOST_CONFIG = Struct(
    (
        L("Binds"),
        S("ContainerIDFile"),
        Field("LogConfig", _LOG_CONFIG, lambda: {"Type": "", "Config": {}}),
        S("NetworkMode"),
        L("PortBindings", map_of(list_of(_PORT_BINDING, "[]PortBinding"), "map[Port][]PortBinding")),
        Field("RestartPolicy", _RESTART_POLICY, lambda: {"Name": "", "MaximumRetryCount": 0}),
        B("AutoRemove"),
        S("VolumeDriver"),
        L("VolumesFrom"),
        Field("ConsoleSize", list_of(whole, "[2]uint"), lambda: [0, 0]),
        L("Annotations", string_map, omit=True),
        L("CapAdd", words),
        L("CapDrop", words),
        S("CgroupnsMode"),
        L("Dns"),
        L("DnsOptions"),
        L("DnsSearch"),
        L("ExtraHosts"),
        L("GroupAdd"),
        S("IpcMode"),
        S("Cgroup"),
        L("Links"),
        I("OomScoreAdj"),
        S("PidMode"),
        B("Privileged"),
        B("PublishAllPorts"),
        B("ReadonlyRootfs"),
        L("SecurityOpt"),
        L("StorageOpt", string_map, omit=True),
        L("Tmpfs", string_map, omit=True),
        S("UTSMode"),
        S("UsernsMode"),
        I("ShmSize"),
        L("Sysctls", string_map, omit=True),
        S("Runtime", omit=True),
        S("Isolation"),
        I("CpuShares"),
        I("Memory"),
        I("NanoCpus"),
        S("CgroupParent"),
        I("BlkioWeight"),
        L("BlkioWeightDevice", list_of(anything)),
        L("BlkioDeviceReadBps", list_of(anything)),
        L("BlkioDeviceWriteBps", list_of(anything)),
        L("BlkioDeviceReadIOps", list_of(anything)),
        L("BlkioDeviceWriteIOps", list_of(anything)),
        I("CpuPeriod"),
        I("CpuQuota"),
        I("CpuRealtimePeriod"),
        I("CpuRealtimeRuntime"),
        S("CpusetCpus"),
        S("CpusetMems"),
        L("Devices", list_of(anything)),
        L("DeviceCgroupRules"),
        L("DeviceRequests", list_of(anything)),
        I("KernelMemory", omit=True),
        I("KernelMemoryTCP", omit=True),
        I("MemoryReservation"),
        I("MemorySwap"),
        L("MemorySwappiness", whole),
        L("OomKillDisable", anything),
        L("PidsLimit", whole),
        L("Ulimits", list_of(anything)),
        I("CpuCount"),
        I("CpuPercent"),
        I("IOMaximumIOps"),
        I("IOMaximumBandwidth"),
        L("Mounts", list_of(anything), omit=True),
        L("MaskedPaths"),
        L("ReadonlyPaths"),
        L("Init", anything, omit=True),
    )
)

ENDPOINT_SETTINGS = Struct(
    (
        L(
            "IPAMConfig",
            Struct((S("IPv4Address", omit=True), S("IPv6Address", omit=True), L("LinkLocalIPs", omit=True))),
        ),
        L("Links"),
        L("Aliases"),
        S("MacAddress"),
        L("DriverOpts", string_map),
        I("GwPriority"),
        S("NetworkID"),
        S("EndpointID"),
    )
)
_NETWORKING_CONFIG = Struct(
    (L("EndpointsConfig", map_of(ENDPOINT_SETTINGS, "map[string]*network.EndpointSettings")),)
)

_IPAM_CONFIG = Struct((S("Subnet"), S("IPRange"), S("Gateway"), Field("AuxiliaryAddresses", string_map, dict)))
_IPAM = Struct(
    (S("Driver"), L("Options", string_map), Field("Config", list_of(_IPAM_CONFIG, "[]network.IPAMConfig"), list))
)

NETWORK_CREATE = Struct(
    (
        S("Name"),
        S("Driver"),
        S("Scope"),
        L("EnableIPv4", anything),
        L("EnableIPv6", anything),
        L("IPAM", _IPAM),
        B("Internal"),
        B("Attachable"),
        B("Ingress"),
        B("ConfigOnly"),
        L("ConfigFrom", Struct((S("Network"),))),
        Field("Options", string_map, dict),
        Field("Labels", string_map, dict),
    )
)
NETWORK_CONNECT = Struct((S("Container"), L("EndpointConfig", ENDPOINT_SETTINGS)))
NETWORK_DISCONNECT = Struct((S("Container"), B("Force")))

EXEC_CREATE = Struct(
    (
        S("User"),
        B("Privileged"),
        B("Tty"),
        L("ConsoleSize", anything),
        B("AttachStdin"),
        B("AttachStderr"),
        B("AttachStdout"),
        S("DetachKeys"),
        L("Env"),
        S("WorkingDir"),
        Field("Cmd", words, list),
    )
)
EXEC_START = Struct((B("Detach"), B("Tty"), L("ConsoleSize", anything)))
CONTAINER_UPDATE = Struct((L("RestartPolicy", _RESTART_POLICY), L("PidsLimit", whole)))
VOLUME_CREATE = Struct(
    (S("Name"), S("Driver"), L("DriverOpts", string_map), L("Labels", string_map), L("ClusterVolumeSpec", anything))
)


def container_config(profile: Profile) -> Struct:
    """Give the struct of a container's Config."""
    return Struct(
        (
            S("Hostname"),
            S("Domainname"),
            S("User"),
            B("AttachStdin"),
            B("AttachStdout"),
            B("AttachStderr"),
            L("ExposedPorts", map_of(anything), omit=True),
            B("Tty"),
            B("OpenStdin"),
            B("StdinOnce"),
            L("Env"),
            L("Cmd", words),
            L("Healthcheck", _HEALTH, omit=True),
            B("ArgsEscaped", omit=True),
            S("Image"),
            L("Volumes", map_of(anything)),
            S("WorkingDir"),
            L("Entrypoint", words),
            B("NetworkDisabled", omit=True),
            S("MacAddress", omit=True),
            L("OnBuild", omit=profile.inspect_is_slim),
            L("Labels", string_map),
            S("StopSignal", omit=True),
            L("StopTimeout", whole),
            L("Shell", words, omit=True),
        )
    )


def read_container_create(profile: Profile, body: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """Read the body of a container's creation into Config, HostConfig and EndpointsConfig.

    Config is `None` for an empty body. Raises `InvalidParameter`.
    """
    place = Place(profile.create_body_struct)
    keys = {key.lower() for key in body}
    config_struct = container_config(profile)
    has_config = bool(keys & {one.name.lower() for one in config_struct.fields})
    config = config_struct(body, place.below("Config")) if has_config else None
    if config is not None and config["StopTimeout"] is None:
        del config["StopTimeout"]
    given = {key.lower(): value for key, value in body.items()}
    host_config = HOST_CONFIG(given.get("hostconfig") or {}, place.below("HostConfig"))
    networking = _NETWORKING_CONFIG(given.get("networkingconfig") or {}, place.below("NetworkingConfig"))
    return config, host_config, networking["EndpointsConfig"] or {}


def read(struct: Struct, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Read a body that is one struct called `name` in Go. Raises `InvalidParameter`."""
    return struct(body, Place(name))


__all__ = [
    "CONTAINER_UPDATE",
    "ENDPOINT_SETTINGS",
    "EXEC_CREATE",
    "EXEC_START",
    "HOST_CONFIG",
    "NETWORK_CONNECT",
    "NETWORK_CREATE",
    "NETWORK_DISCONNECT",
    "VOLUME_CREATE",
    "container_config",
    "read",
    "read_container_create",
]

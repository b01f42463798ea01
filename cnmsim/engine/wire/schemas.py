"""Schemas of request bodies: the Go structs that `POST /containers/create` and other operations are decoded into.

Those of the swarm operations are in `swarm_schemas`. Source: moby
`api/types/container/{config,hostconfig,create_request,exec_create_request}.go`, `api/types/mount/mount.go`,
`api/types/network/{endpoint,network_types,ipam}.go` (v26.1.5 to docker-v29.7.2).
"""

from __future__ import annotations

from functools import cache
from typing import Any

from attrs import evolve

from cnmsim.errors import InvalidParameter
from cnmsim.gojson.scanner import GoJsonError
from cnmsim.gojson.unmarshal import (
    ANYTHING,
    BOOL,
    INT,
    INT64,
    NOTHING,
    STRING_MAP,
    STRINGS,
    WORDS,
    B,
    Field,
    I,
    L,
    Place,
    S,
    Struct,
    V,
    convert,
    embedded,
    integer,
    list_of,
    map_of,
    pair_of,
)
from cnmsim.libnetwork.profile import Profile

_PORT_BINDING = Struct("nat.PortBinding", (S("HostIp"), S("HostPort")))
_RESTART_POLICY = Struct(
    "container.RestartPolicy", (S("Name", "container.RestartPolicyMode"), I("MaximumRetryCount", "int"))
)
HEALTH = Struct(
    "v1.HealthcheckConfig",
    (
        L("Test", omit=True),
        I("Interval", "time.Duration", omit=True),
        I("Timeout", "time.Duration", omit=True),
        I("StartPeriod", "time.Duration", omit=True),
        I("StartInterval", "time.Duration", omit=True),
        I("Retries", "int", omit=True),
    ),
)
_LOG_CONFIG = Struct("container.LogConfig", (S("Type"), Field("Config", STRING_MAP, dict)))
ULIMIT = Struct("units.Ulimit", (S("Name"), I("Hard"), I("Soft")))
_WEIGHT_DEVICE = Struct("blkiodev.WeightDevice", (S("Path"), I("Weight", "uint16")))
_THROTTLE_DEVICE = Struct("blkiodev.ThrottleDevice", (S("Path"), I("Rate", "uint64")))
_DEVICE = Struct("container.DeviceMapping", (S("PathOnHost"), S("PathInContainer"), S("CgroupPermissions")))
_DEVICE_REQUEST = Struct(
    "container.DeviceRequest",
    (
        S("Driver"),
        I("Count", "int"),
        L("DeviceIDs"),
        L("Capabilities", list_of(STRINGS)),
        L("Options", STRING_MAP),
    ),
)
_BIND_OPTIONS = Struct(
    "mount.BindOptions",
    (
        S("Propagation", "mount.Propagation", omit=True),
        B("NonRecursive", omit=True),
        B("CreateMountpoint", omit=True),
        B("ReadOnlyNonRecursive", omit=True),
        B("ReadOnlyForceRecursive", omit=True),
    ),
)
_MOUNT_DRIVER = Struct("mount.Driver", (S("Name", omit=True), L("Options", STRING_MAP, omit=True)))
_VOLUME_OPTIONS = Struct(
    "mount.VolumeOptions",
    (
        B("NoCopy", omit=True),
        L("Labels", STRING_MAP, omit=True),
        S("Subpath", omit=True),
        L("DriverConfig", _MOUNT_DRIVER, omit=True),
    ),
)
_TMPFS_OPTIONS = Struct(
    "mount.TmpfsOptions",
    (I("SizeBytes", omit=True), I("Mode", "fs.FileMode", omit=True), L("Options", list_of(STRINGS), omit=True)),
)
MOUNT = Struct(
    "mount.Mount",
    (
        S("Type", "mount.Type", omit=True),
        S("Source", omit=True),
        S("Target", omit=True),
        B("ReadOnly", omit=True),
        S("Consistency", "mount.Consistency", omit=True),
        L("BindOptions", _BIND_OPTIONS, omit=True),
        L("VolumeOptions", _VOLUME_OPTIONS, omit=True),
        L("ImageOptions", Struct("mount.ImageOptions", (S("Subpath", omit=True),)), omit=True),
        L("TmpfsOptions", _TMPFS_OPTIONS, omit=True),
        L("ClusterOptions", Struct("mount.ClusterOptions", ()), omit=True),
    ),
)

_RESOURCES = embedded(
    "Resources",
    I("CpuShares"),
    I("Memory"),
    I("NanoCpus"),
    S("CgroupParent"),
    I("BlkioWeight", "uint16"),
    L("BlkioWeightDevice", list_of(_WEIGHT_DEVICE, "[]*blkiodev.WeightDevice")),
    L("BlkioDeviceReadBps", list_of(_THROTTLE_DEVICE, "[]*blkiodev.ThrottleDevice")),
    L("BlkioDeviceWriteBps", list_of(_THROTTLE_DEVICE, "[]*blkiodev.ThrottleDevice")),
    L("BlkioDeviceReadIOps", list_of(_THROTTLE_DEVICE, "[]*blkiodev.ThrottleDevice")),
    L("BlkioDeviceWriteIOps", list_of(_THROTTLE_DEVICE, "[]*blkiodev.ThrottleDevice")),
    I("CpuPeriod"),
    I("CpuQuota"),
    I("CpuRealtimePeriod"),
    I("CpuRealtimeRuntime"),
    S("CpusetCpus"),
    S("CpusetMems"),
    L("Devices", list_of(_DEVICE)),
    L("DeviceCgroupRules"),
    L("DeviceRequests", list_of(_DEVICE_REQUEST)),
    I("KernelMemory", omit=True),
    I("KernelMemoryTCP", omit=True),
    I("MemoryReservation"),
    I("MemorySwap"),
    L("MemorySwappiness", INT64),
    L("OomKillDisable", BOOL),
    L("PidsLimit", INT64),
    L("Ulimits", list_of(ULIMIT, "[]*units.Ulimit")),
    I("CpuCount"),
    I("CpuPercent"),
    I("IOMaximumIOps", "uint64"),
    I("IOMaximumBandwidth", "uint64"),
)

HOST_CONFIG = Struct(
    "container.HostConfig",
    (
        L("Binds"),
        S("ContainerIDFile"),
        V("LogConfig", _LOG_CONFIG),
        S("NetworkMode", "container.NetworkMode"),
        L("PortBindings", map_of(list_of(_PORT_BINDING), "nat.PortMap")),
        V("RestartPolicy", _RESTART_POLICY),
        B("AutoRemove"),
        S("VolumeDriver"),
        L("VolumesFrom"),
        V("ConsoleSize", pair_of(integer("uint"))),
        L("Annotations", STRING_MAP, omit=True),
        L("CapAdd", WORDS),
        L("CapDrop", WORDS),
        S("CgroupnsMode", "container.CgroupnsMode"),
        L("Dns"),
        L("DnsOptions"),
        L("DnsSearch"),
        L("ExtraHosts"),
        L("GroupAdd"),
        S("IpcMode", "container.IpcMode"),
        S("Cgroup", "container.CgroupSpec"),
        L("Links"),
        I("OomScoreAdj", "int"),
        S("PidMode", "container.PidMode"),
        B("Privileged"),
        B("PublishAllPorts"),
        B("ReadonlyRootfs"),
        L("SecurityOpt"),
        L("StorageOpt", STRING_MAP, omit=True),
        L("Tmpfs", STRING_MAP, omit=True),
        S("UTSMode", "container.UTSMode"),
        S("UsernsMode", "container.UsernsMode"),
        I("ShmSize"),
        L("Sysctls", STRING_MAP, omit=True),
        S("Runtime", omit=True),
        S("Isolation", "container.Isolation"),
        *_RESOURCES,
        L("Mounts", list_of(MOUNT), omit=True),
        L("MaskedPaths"),
        L("ReadonlyPaths"),
        L("Init", BOOL, omit=True),
    ),
)

_ENDPOINT_IPAM = Struct(
    "network.EndpointIPAMConfig",
    (S("IPv4Address", omit=True), S("IPv6Address", omit=True), L("LinkLocalIPs", omit=True)),
)
ENDPOINT_SETTINGS = Struct(
    "network.EndpointSettings",
    (
        L("IPAMConfig", _ENDPOINT_IPAM),
        L("Links"),
        L("Aliases"),
        S("MacAddress"),
        L("DriverOpts", STRING_MAP),
        I("GwPriority", "int"),
        S("NetworkID"),
        S("EndpointID"),
    ),
)
_NETWORKING_CONFIG = Struct(
    "network.NetworkingConfig",
    (L("EndpointsConfig", map_of(ENDPOINT_SETTINGS, "map[string]*network.EndpointSettings")),),
)

_IPAM_CONFIG = Struct(
    "network.IPAMConfig", (S("Subnet"), S("IPRange"), S("Gateway"), Field("AuxiliaryAddresses", STRING_MAP, dict))
)
_IPAM = Struct("network.IPAM", (S("Driver"), L("Options", STRING_MAP), Field("Config", list_of(_IPAM_CONFIG), list)))
_NETWORK_OPTIONS = (
    B("CheckDuplicate"),
    S("Driver"),
    S("Scope"),
    L("EnableIPv4", BOOL),
    L("EnableIPv6", BOOL),
    L("IPAM", _IPAM),
    B("Internal"),
    B("Attachable"),
    B("Ingress"),
    B("ConfigOnly"),
    L("ConfigFrom", Struct("network.ConfigReference", (S("Network"),))),
    L("Options", STRING_MAP),
    L("Labels", STRING_MAP),
)
_NETWORK_CONNECT = Struct("ConnectRequest", (S("Container"), L("EndpointConfig", ENDPOINT_SETTINGS)))
_NETWORK_DISCONNECT = Struct("DisconnectRequest", (S("Container"), B("Force")))

_EXEC_CREATE = Struct(
    "ExecCreateRequest",
    (
        S("User"),
        B("Privileged"),
        B("Tty"),
        L("ConsoleSize", pair_of(integer("uint"))),
        B("AttachStdin"),
        B("AttachStderr"),
        B("AttachStdout"),
        S("DetachKeys"),
        L("Env"),
        S("WorkingDir"),
        Field("Cmd", STRINGS, list),
    ),
)
_EXEC_START = Struct("ExecStartRequest", (B("Detach"), B("Tty"), L("ConsoleSize", pair_of(integer("uint")))))
CONTAINER_UPDATE = Struct("container.UpdateConfig", (*_RESOURCES, V("RestartPolicy", _RESTART_POLICY)))
_CLUSTER_VOLUME = Struct("volume.ClusterVolumeSpec", (L("AccessMode", ANYTHING), S("Group")))
VOLUME_CREATE = Struct(
    "volume.CreateOptions",
    (
        S("Name"),
        S("Driver"),
        L("DriverOpts", STRING_MAP),
        L("Labels", STRING_MAP),
        L("ClusterVolumeSpec", _CLUSTER_VOLUME),
    ),
)


@cache
def container_config(*, is_slim: bool) -> tuple[Field, ...]:
    """Return the fields of a container's Config."""
    return embedded(
        "Config",
        S("Hostname"),
        S("Domainname"),
        S("User"),
        B("AttachStdin"),
        B("AttachStdout"),
        B("AttachStderr"),
        L("ExposedPorts", map_of(NOTHING, "nat.PortSet"), omit=True),
        B("Tty"),
        B("OpenStdin"),
        B("StdinOnce"),
        L("Env"),
        L("Cmd", WORDS),
        L("Healthcheck", HEALTH, omit=True),
        B("ArgsEscaped", omit=True),
        S("Image"),
        L("Volumes", map_of(NOTHING)),
        S("WorkingDir"),
        L("Entrypoint", WORDS),
        B("NetworkDisabled", omit=True),
        S("MacAddress", omit=True),
        L("OnBuild", omit=is_slim),
        L("Labels", STRING_MAP),
        S("StopSignal", omit=True),
        L("StopTimeout", INT, omit=True),
        L("Shell", WORDS, omit=True),
    )


@cache
def _container_create(name: str, *, is_slim: bool) -> Struct:
    others = (V("HostConfig", HOST_CONFIG), V("NetworkingConfig", _NETWORKING_CONFIG))
    return Struct(name, (*container_config(is_slim=is_slim), *others))


def read_container_create(profile: Profile, body: Any) -> tuple[Any, Any, Any]:
    """Decode the body of `POST /containers/create`. Return Config, HostConfig and EndpointsConfig.

    Config is `None` for a body without any of its fields. Raises `InvalidParameter`.
    """
    is_slim = profile.inspect_is_slim
    fields = read(_container_create(profile.body_structs.container_create, is_slim=is_slim), body)
    host_config, networking = fields.pop("HostConfig"), fields.pop("NetworkingConfig")
    given = {str(key).lower() for key in body or ()}
    has_config = any(one.name.lower() in given for one in container_config(is_slim=is_slim))
    return fields if has_config else None, host_config, networking["EndpointsConfig"] or {}


def read_network_create(profile: Profile, body: Any) -> dict[str, Any]:
    """Decode the body of `POST /networks/create`. Raises `InvalidParameter`."""
    inner = profile.body_structs.network_create_embeds
    options = embedded(inner, *_NETWORK_OPTIONS) if inner else _NETWORK_OPTIONS
    return read(Struct(profile.body_structs.network_create, (*options, S("Name"))), body)


def read_network_connect(profile: Profile, body: Any) -> dict[str, Any]:
    """Decode the body of `POST /networks/{id}/connect`. Raises `InvalidParameter`."""
    return read(evolve(_NETWORK_CONNECT, name=profile.body_structs.network_connect), body)


def read_network_disconnect(profile: Profile, body: Any) -> dict[str, Any]:
    """Decode the body of `POST /networks/{id}/disconnect`. Raises `InvalidParameter`."""
    return read(evolve(_NETWORK_DISCONNECT, name=profile.body_structs.network_disconnect), body)


def read_exec_create(profile: Profile, body: Any) -> dict[str, Any]:
    """Decode the body of `POST /containers/{id}/exec`. Raises `InvalidParameter`."""
    return read(evolve(_EXEC_CREATE, name=profile.body_structs.exec_create), body)


def read_exec_start(profile: Profile, body: Any) -> dict[str, Any]:
    """Decode the body of `POST /exec/{id}/start`. Raises `InvalidParameter`."""
    return read(evolve(_EXEC_START, name=profile.body_structs.exec_start), body)


def read(struct: Struct, body: Any) -> dict[str, Any]:
    """Decode a request's JSON body as `struct`. Raises `InvalidParameter`."""
    try:
        fields: dict[str, Any] = convert(struct, body, Place())
    except GoJsonError as error:
        raise InvalidParameter(f"invalid JSON: {error}") from None
    return fields

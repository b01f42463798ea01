"""Schemas of request bodies: the Go structs that `POST /containers/create` and other operations are decoded into.

Those of the swarm operations are in `swarm_schemas`. Source: moby
`api/types/container/{config,hostconfig,create_request,exec_create_request}.go`, `api/types/mount/mount.go`,
`api/types/network/{endpoint,network_types,ipam,port,hwaddr}.go` (v26.1.5 to docker-v29.7.2).
"""

from __future__ import annotations

from functools import cache
from typing import Any

from attrs import evolve

from cnmsim.digits import is_number
from cnmsim.errors import InvalidParameter
from cnmsim.gojson.scanner import GoJsonError
from cnmsim.gojson.unmarshal import (
    BOOL,
    INT,
    INT64,
    NOTHING,
    STRING,
    STRING_MAP,
    STRINGS,
    WORDS,
    Bool,
    Field,
    Int,
    Nullable,
    Place,
    Str,
    Struct,
    Type,
    Value,
    convert,
    either,
    embedded,
    ignored_if_typed,
    integer,
    list_of,
    map_of,
    pair_of,
    parsed_text,
)
from cnmsim.gonetip import addr_error, prefix_error
from cnmsim.kernel.address import parse_mac
from cnmsim.libnetwork.profile import Profile


def _port_error(text: str) -> str:
    """Return the error of moby's `network.ParsePort(text)`, "" if `text` is a valid port, such as `80/tcp`."""
    number = text.partition("/")[0]
    if not number:
        cause = "value is empty"
    elif not is_number(number):
        cause = "invalid syntax"
    else:
        cause = "" if int(number[-6:]) <= 65535 and not number[:-6].strip("0") else "value out of range"
    return cause and f"invalid port '{number}': {cause}"


def _mac_error(text: str) -> str:
    """Return the error of Go's `net.ParseMAC(text)`, "" if `text` is a valid MAC address."""
    try:
        parse_mac(text)
    except ValueError:
        return f"address {text}: invalid MAC address"
    return ""


_ADDR, _PORT = parsed_text("netip.Addr", addr_error), parsed_text("network.Port", _port_error)
#: Addresses, prefixes and MAC addresses: texts, or parsed by the API's decoder in releases with typed fields.
ADDRESS = either(STRING, _ADDR)
ADDRESSES = either(STRINGS, list_of(_ADDR))
PREFIX = either(STRING, parsed_text("netip.Prefix", prefix_error))
PREFIXES = either(STRINGS, list_of(parsed_text("netip.Prefix", prefix_error)))
_MAC_ADDRESS = either(STRING, parsed_text("network.HardwareAddr", _mac_error))
_WORDS = either(WORDS, STRINGS)
#: The deprecated address of a container. Releases with typed fields decode it apart, and ignore errors.
_LEGACY_MAC_ADDRESS = Type(
    "string", lambda value, _: value if isinstance(value, str) and not _mac_error(value) else "", str
)

_BINDING_FIELDS = (Value("HostIp", ADDRESS), Str("HostPort"))
_PORT_MAP = either(
    map_of(list_of(Struct("nat.PortBinding", _BINDING_FIELDS)), "nat.PortMap"),
    map_of(list_of(Struct("network.PortBinding", _BINDING_FIELDS)), key=_PORT),
)
_PORT_SET = either(map_of(NOTHING, "nat.PortSet"), map_of(NOTHING, key=_PORT))
_RESTART_POLICY = Struct(
    "container.RestartPolicy", (Str("Name", "container.RestartPolicyMode"), Int("MaximumRetryCount", "int"))
)
HEALTH = Struct(
    "v1.HealthcheckConfig",
    (
        Nullable("Test", omit=True),
        Int("Interval", "time.Duration", omit=True),
        Int("Timeout", "time.Duration", omit=True),
        Int("StartPeriod", "time.Duration", omit=True),
        Int("StartInterval", "time.Duration", omit=True),
        Int("Retries", "int", omit=True),
    ),
)
_LOG_CONFIG = Struct("container.LogConfig", (Str("Type"), Field("Config", STRING_MAP, dict)))
ULIMIT = Struct("units.Ulimit", (Str("Name"), Int("Hard"), Int("Soft")))
_WEIGHT_DEVICE = Struct("blkiodev.WeightDevice", (Str("Path"), Int("Weight", "uint16")))
_THROTTLE_DEVICE = Struct("blkiodev.ThrottleDevice", (Str("Path"), Int("Rate", "uint64")))
_DEVICE = Struct("container.DeviceMapping", (Str("PathOnHost"), Str("PathInContainer"), Str("CgroupPermissions")))
_DEVICE_REQUEST = Struct(
    "container.DeviceRequest",
    (
        Str("Driver"),
        Int("Count", "int"),
        Nullable("DeviceIDs"),
        Nullable("Capabilities", list_of(STRINGS)),
        Nullable("Options", STRING_MAP),
    ),
)
_BIND_OPTIONS = Struct(
    "mount.BindOptions",
    (
        Str("Propagation", "mount.Propagation", omit=True),
        Bool("NonRecursive", omit=True),
        Bool("CreateMountpoint", omit=True),
        Bool("ReadOnlyNonRecursive", omit=True),
        Bool("ReadOnlyForceRecursive", omit=True),
    ),
)
_MOUNT_DRIVER = Struct("mount.Driver", (Str("Name", omit=True), Nullable("Options", STRING_MAP, omit=True)))
_VOLUME_OPTIONS = Struct(
    "mount.VolumeOptions",
    (
        Bool("NoCopy", omit=True),
        Nullable("Labels", STRING_MAP, omit=True),
        Str("Subpath", omit=True),
        Nullable("DriverConfig", _MOUNT_DRIVER, omit=True),
    ),
)
_TMPFS_OPTIONS = Struct(
    "mount.TmpfsOptions",
    (
        Int("SizeBytes", omit=True),
        Int("Mode", "fs.FileMode", omit=True),
        Nullable("Options", list_of(STRINGS), omit=True),
    ),
)
MOUNT = Struct(
    "mount.Mount",
    (
        Str("Type", "mount.Type", omit=True),
        Str("Source", omit=True),
        Str("Target", omit=True),
        Bool("ReadOnly", omit=True),
        Str("Consistency", "mount.Consistency", omit=True),
        Nullable("BindOptions", _BIND_OPTIONS, omit=True),
        Nullable("VolumeOptions", _VOLUME_OPTIONS, omit=True),
        Nullable("ImageOptions", Struct("mount.ImageOptions", (Str("Subpath", omit=True),)), omit=True),
        Nullable("TmpfsOptions", _TMPFS_OPTIONS, omit=True),
        Nullable("ClusterOptions", Struct("mount.ClusterOptions", ()), omit=True),
    ),
)

_RESOURCES = embedded(
    "Resources",
    Int("CpuShares"),
    Int("Memory"),
    Int("NanoCpus"),
    Str("CgroupParent"),
    Int("BlkioWeight", "uint16"),
    Nullable("BlkioWeightDevice", list_of(_WEIGHT_DEVICE, "[]*blkiodev.WeightDevice")),
    Nullable("BlkioDeviceReadBps", list_of(_THROTTLE_DEVICE, "[]*blkiodev.ThrottleDevice")),
    Nullable("BlkioDeviceWriteBps", list_of(_THROTTLE_DEVICE, "[]*blkiodev.ThrottleDevice")),
    Nullable("BlkioDeviceReadIOps", list_of(_THROTTLE_DEVICE, "[]*blkiodev.ThrottleDevice")),
    Nullable("BlkioDeviceWriteIOps", list_of(_THROTTLE_DEVICE, "[]*blkiodev.ThrottleDevice")),
    Int("CpuPeriod"),
    Int("CpuQuota"),
    Int("CpuRealtimePeriod"),
    Int("CpuRealtimeRuntime"),
    Str("CpusetCpus"),
    Str("CpusetMems"),
    Nullable("Devices", list_of(_DEVICE)),
    Nullable("DeviceCgroupRules"),
    Nullable("DeviceRequests", list_of(_DEVICE_REQUEST)),
    Field("KernelMemory", ignored_if_typed(INT64), int, omit_empty=True),
    Field("KernelMemoryTCP", ignored_if_typed(INT64), int, omit_empty=True),
    Int("MemoryReservation"),
    Int("MemorySwap"),
    Nullable("MemorySwappiness", INT64),
    Nullable("OomKillDisable", BOOL),
    Nullable("PidsLimit", INT64),
    Nullable("Ulimits", list_of(ULIMIT, "[]*units.Ulimit")),
    Int("CpuCount"),
    Int("CpuPercent"),
    Int("IOMaximumIOps", "uint64"),
    Int("IOMaximumBandwidth", "uint64"),
)

HOST_CONFIG = Struct(
    "container.HostConfig",
    (
        Nullable("Binds"),
        Str("ContainerIDFile"),
        Value("LogConfig", _LOG_CONFIG),
        Str("NetworkMode", "container.NetworkMode"),
        Nullable("PortBindings", _PORT_MAP),
        Value("RestartPolicy", _RESTART_POLICY),
        Bool("AutoRemove"),
        Str("VolumeDriver"),
        Nullable("VolumesFrom"),
        Value("ConsoleSize", pair_of(integer("uint"))),
        Nullable("Annotations", STRING_MAP, omit=True),
        Nullable("CapAdd", _WORDS),
        Nullable("CapDrop", _WORDS),
        Str("CgroupnsMode", "container.CgroupnsMode"),
        Nullable("Dns", ADDRESSES),
        Nullable("DnsOptions"),
        Nullable("DnsSearch"),
        Nullable("ExtraHosts"),
        Nullable("GroupAdd"),
        Str("IpcMode", "container.IpcMode"),
        Str("Cgroup", "container.CgroupSpec"),
        Nullable("Links"),
        Int("OomScoreAdj", "int"),
        Str("PidMode", "container.PidMode"),
        Bool("Privileged"),
        Bool("PublishAllPorts"),
        Bool("ReadonlyRootfs"),
        Nullable("SecurityOpt"),
        Nullable("StorageOpt", STRING_MAP, omit=True),
        Nullable("Tmpfs", STRING_MAP, omit=True),
        Str("UTSMode", "container.UTSMode"),
        Str("UsernsMode", "container.UsernsMode"),
        Int("ShmSize"),
        Nullable("Sysctls", STRING_MAP, omit=True),
        Str("Runtime", omit=True),
        Str("Isolation", "container.Isolation"),
        *_RESOURCES,
        Nullable("Mounts", list_of(MOUNT), omit=True),
        Nullable("MaskedPaths"),
        Nullable("ReadonlyPaths"),
        Nullable("Init", BOOL, omit=True),
    ),
)

_ENDPOINT_IPAM = Struct(
    "network.EndpointIPAMConfig",
    (
        Value("IPv4Address", ADDRESS, omit=True),
        Value("IPv6Address", ADDRESS, omit=True),
        Nullable("LinkLocalIPs", ADDRESSES, omit=True),
    ),
)
ENDPOINT_SETTINGS = Struct(
    "network.EndpointSettings",
    (
        Nullable("IPAMConfig", _ENDPOINT_IPAM),
        Nullable("Links"),
        Nullable("Aliases"),
        Value("MacAddress", _MAC_ADDRESS),
        Nullable("DriverOpts", STRING_MAP),
        Int("GwPriority", "int"),
        Str("NetworkID"),
        Str("EndpointID"),
        Value("Gateway", ADDRESS),
        Value("IPAddress", ADDRESS),
        Int("IPPrefixLen", "int"),
        Value("IPv6Gateway", ADDRESS),
        Value("GlobalIPv6Address", ADDRESS),
        Int("GlobalIPv6PrefixLen", "int"),
        Nullable("DNSNames"),
    ),
)
_ENDPOINT_POINTER = Type("network.EndpointSettings", ENDPOINT_SETTINGS.read, lambda: None)
_NETWORKING_CONFIG = Struct(
    "network.NetworkingConfig",
    (Nullable("EndpointsConfig", map_of(_ENDPOINT_POINTER, "map[string]*network.EndpointSettings")),),
)


_IPAM_CONFIG = Struct(
    "network.IPAMConfig",
    (
        Value("Subnet", PREFIX),
        Value("IPRange", PREFIX),
        Value("Gateway", ADDRESS),
        Field("AuxiliaryAddresses", either(STRING_MAP, map_of(_ADDR)), dict),
    ),
)
_IPAM = Struct(
    "network.IPAM", (Str("Driver"), Nullable("Options", STRING_MAP), Field("Config", list_of(_IPAM_CONFIG), list))
)
_NETWORK_OPTIONS = (
    Value("CheckDuplicate", ignored_if_typed(BOOL)),
    Str("Driver"),
    Str("Scope"),
    Nullable("EnableIPv4", BOOL),
    Nullable("EnableIPv6", BOOL),
    Nullable("IPAM", _IPAM),
    Bool("Internal"),
    Bool("Attachable"),
    Bool("Ingress"),
    Bool("ConfigOnly"),
    Nullable("ConfigFrom", Struct("network.ConfigReference", (Str("Network"),))),
    Nullable("Options", STRING_MAP),
    Nullable("Labels", STRING_MAP),
)
_NETWORK_CONNECT = Struct("ConnectRequest", (Str("Container"), Nullable("EndpointConfig", ENDPOINT_SETTINGS)))
_NETWORK_DISCONNECT = Struct("DisconnectRequest", (Str("Container"), Bool("Force")))

_EXEC_CREATE = Struct(
    "ExecCreateRequest",
    (
        Str("User"),
        Bool("Privileged"),
        Bool("Tty"),
        Nullable("ConsoleSize", pair_of(integer("uint"))),
        Bool("AttachStdin"),
        Bool("AttachStderr"),
        Bool("AttachStdout"),
        Str("DetachKeys"),
        Nullable("Env"),
        Str("WorkingDir"),
        Field("Cmd", STRINGS, list),
    ),
)
_EXEC_START = Struct(
    "ExecStartRequest", (Bool("Detach"), Bool("Tty"), Nullable("ConsoleSize", pair_of(integer("uint"))))
)
CONTAINER_UPDATE = Struct("container.UpdateConfig", (*_RESOURCES, Value("RestartPolicy", _RESTART_POLICY)))
_TOPOLOGIES = list_of(Struct("volume.Topology", (Nullable("Segments", STRING_MAP),)))
_ACCESS_MODE = Struct(
    "volume.AccessMode",
    (
        Str("Scope", "volume.Scope"),
        Str("Sharing", "volume.SharingMode"),
        Nullable("MountVolume", Struct("volume.TypeMount", (Str("FsType"), Nullable("MountFlags")))),
        Nullable("BlockVolume", Struct("volume.TypeBlock", ())),
    ),
)
_CLUSTER_VOLUME = Struct(
    "volume.ClusterVolumeSpec",
    (
        Str("Group"),
        Nullable("AccessMode", _ACCESS_MODE),
        Nullable(
            "AccessibilityRequirements",
            Struct(
                "volume.TopologyRequirement", (Nullable("Requisite", _TOPOLOGIES), Nullable("Preferred", _TOPOLOGIES))
            ),
        ),
        Nullable("CapacityRange", Struct("volume.CapacityRange", (Int("RequiredBytes"), Int("LimitBytes")))),
        Nullable("Secrets", list_of(Struct("volume.Secret", (Str("Key"), Str("Secret"))))),
        Str("Availability", "volume.Availability"),
    ),
)
_VOLUME_CREATE = Struct(
    "volume.CreateOptions",
    (
        Str("Name"),
        Str("Driver"),
        Nullable("DriverOpts", STRING_MAP),
        Nullable("Labels", STRING_MAP),
        Nullable("ClusterVolumeSpec", _CLUSTER_VOLUME),
    ),
)


@cache
def container_config(*, is_slim: bool) -> tuple[Field, ...]:
    """Return the schema of a container's Config.

    `is_slim` selects that of later releases, which omits an empty OnBuild.
    """
    return embedded(
        "Config",
        Str("Hostname"),
        Str("Domainname"),
        Str("User"),
        Bool("AttachStdin"),
        Bool("AttachStdout"),
        Bool("AttachStderr"),
        Nullable("ExposedPorts", _PORT_SET, omit=True),
        Bool("Tty"),
        Bool("OpenStdin"),
        Bool("StdinOnce"),
        Nullable("Env"),
        Nullable("Cmd", _WORDS),
        Nullable("Healthcheck", HEALTH, omit=True),
        Bool("ArgsEscaped", omit=True),
        Str("Image"),
        Nullable("Volumes", map_of(NOTHING)),
        Str("WorkingDir"),
        Nullable("Entrypoint", _WORDS),
        Bool("NetworkDisabled", omit=True),
        Value("MacAddress", either(STRING, _LEGACY_MAC_ADDRESS), omit=True),
        Nullable("OnBuild", omit=is_slim),
        Nullable("Labels", STRING_MAP),
        Str("StopSignal", omit=True),
        Nullable("StopTimeout", INT, omit=True),
        Nullable("Shell", _WORDS, omit=True),
    )


@cache
def _container_create(name: str, *, is_slim: bool) -> Struct:
    others = (Value("HostConfig", HOST_CONFIG), Value("NetworkingConfig", _NETWORKING_CONFIG))
    return Struct(name, (*container_config(is_slim=is_slim), *others))


def read_container_create(profile: Profile, body: Any) -> tuple[Any, Any, Any]:
    """Decode the body of `POST /containers/create`. Return Config, HostConfig and EndpointsConfig.

    Config is `None` if the body has none of its fields. Raises `InvalidParameter` for an invalid body.
    """
    is_slim = profile.inspect_is_slim
    fields = read(_container_create(profile.body_structs.container_create, is_slim=is_slim), body, profile)
    host_config, networking = fields.pop("HostConfig"), fields.pop("NetworkingConfig")
    given = {str(key).lower() for key in body or ()}
    has_config = any(one.name.lower() in given for one in container_config(is_slim=is_slim))
    return fields if has_config else None, host_config, networking["EndpointsConfig"] or {}


def read_network_create(profile: Profile, body: Any) -> dict[str, Any]:
    """Decode the body of `POST /networks/create` as the release `profile` does.

    Raises `InvalidParameter` for an invalid body.
    """
    inner = profile.body_structs.network_create_embeds
    options: tuple[Field, ...] = _NETWORK_OPTIONS
    if not profile.inspect_shows_enable_ipv4:
        options = tuple(each for each in options if each.name != "EnableIPv4")
    if inner:
        options = embedded(inner, *options)
    return {
        "EnableIPv4": None,
        **read(Struct(profile.body_structs.network_create, (*options, Str("Name"))), body, profile),
    }


_BODIES = {
    "network_connect": _NETWORK_CONNECT,
    "network_disconnect": _NETWORK_DISCONNECT,
    "exec_create": _EXEC_CREATE,
    "exec_start": _EXEC_START,
    "volume_create": _VOLUME_CREATE,
}


def read_body(kind: str, profile: Profile, body: Any) -> dict[str, Any]:
    """Decode the body of a request as the release `profile` does; `kind` is one of `_BODIES`, e.g. "exec_create".

    Raises `InvalidParameter` for an invalid body.
    """
    return read(evolve(_BODIES[kind], name=getattr(profile.body_structs, kind)), body, profile)


def read(struct: Struct, body: Any, profile: Profile | None = None) -> dict[str, Any]:
    """Decode a parsed JSON body according to the schema `struct`, as the release `profile` does.

    Without `profile` addresses and ports are decoded as plain texts. Raises `InvalidParameter`.
    """
    is_typed = profile is not None and profile.ipam_config_is_typed
    try:
        fields: dict[str, Any] = convert(struct, body, Place(is_typed=is_typed))
    except GoJsonError as error:
        raise InvalidParameter(f"invalid JSON: {error}") from None
    return fields

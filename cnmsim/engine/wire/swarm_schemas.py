"""Schemas of request bodies of the swarm operations: specs of clusters, nodes, services, secrets and configs.

Source: moby `api/types/swarm/{common,config,container,network,node,secret,service,swarm,task}.go` (v26.1.5 to
docker-v29.7.2).
"""

from __future__ import annotations

from typing import Any

from cnmsim.engine.wire.schemas import ADDRESSES, HEALTH, MOUNT, PREFIXES, ULIMIT, read
from cnmsim.gojson.unmarshal import (
    BOOL,
    BYTES,
    FLOAT32,
    INT64,
    STRING,
    STRING_MAP,
    Bool,
    Int,
    Nullable,
    Str,
    Struct,
    Type,
    Value,
    either,
    embedded,
    integer,
    list_of,
    string,
)
from cnmsim.libnetwork.profile import Profile

_DURATION, _UINT64 = integer("time.Duration"), integer("uint64")
_ANNOTATIONS = embedded("Annotations", Str("Name"), Nullable("Labels", STRING_MAP))
_DRIVER = Struct("swarm.Driver", (Str("Name"), Nullable("Options", STRING_MAP)))

# ---- the cluster and its nodes

_EXTERNAL_CA = Struct(
    "swarm.ExternalCA",
    (
        Str("Protocol", "swarm.ExternalCAProtocol"),
        Str("URL"),
        Nullable("Options", STRING_MAP, omit=True),
        Str("CACert"),
    ),
)
_RAFT = Struct(
    "swarm.RaftConfig",
    (
        Int("SnapshotInterval", "uint64"),
        Nullable("KeepOldSnapshots", _UINT64),
        Int("LogEntriesForSlowFollowers", "uint64"),
        Int("ElectionTick", "int"),
        Int("HeartbeatTick", "int"),
    ),
)
_CA = Struct(
    "swarm.CAConfig",
    (
        Int("NodeCertExpiry", "time.Duration"),
        Nullable("ExternalCAs", list_of(_EXTERNAL_CA, "[]*swarm.ExternalCA")),
        Str("SigningCACert"),
        Str("SigningCAKey"),
        Int("ForceRotate", "uint64"),
    ),
)
CLUSTER_SPEC = Struct(
    "swarm.Spec",
    (
        *_ANNOTATIONS,
        Value("Orchestration", Struct("swarm.OrchestrationConfig", (Nullable("TaskHistoryRetentionLimit", INT64),))),
        Value("Raft", _RAFT),
        Value("Dispatcher", Struct("swarm.DispatcherConfig", (Int("HeartbeatPeriod", "time.Duration"),))),
        Value("CAConfig", _CA),
        Value("TaskDefaults", Struct("swarm.TaskDefaults", (Nullable("LogDriver", _DRIVER),))),
        Value("EncryptionConfig", Struct("swarm.EncryptionConfig", (Bool("AutoLockManagers"),))),
    ),
)
_ADDRESSES = (
    Str("ListenAddr"),
    Str("AdvertiseAddr"),
    Str("DataPathAddr"),
    Str("Availability", "swarm.NodeAvailability"),
)
SWARM_INIT = Struct(
    "swarm.InitRequest",
    (
        *_ADDRESSES,
        Int("DataPathPort", "uint32"),
        Bool("ForceNewCluster"),
        Value("Spec", CLUSTER_SPEC),
        Bool("AutoLockManagers"),
        Nullable("DefaultAddrPool", PREFIXES),
        Int("SubnetSize", "uint32"),
    ),
)
SWARM_JOIN = Struct("swarm.JoinRequest", (*_ADDRESSES, Nullable("RemoteAddrs"), Str("JoinToken")))
SWARM_UNLOCK = Struct("swarm.UnlockRequest", (Str("UnlockKey"),))
NODE_SPEC = Struct(
    "swarm.NodeSpec", (*_ANNOTATIONS, Str("Role", "swarm.NodeRole"), Str("Availability", "swarm.NodeAvailability"))
)

# ---- secrets and configs

SECRET_SPEC = Struct(
    "swarm.SecretSpec",
    (*_ANNOTATIONS, Value("Data", BYTES), Nullable("Driver", _DRIVER), Nullable("Templating", _DRIVER)),
)
CONFIG_SPEC = Struct("swarm.ConfigSpec", (*_ANNOTATIONS, Value("Data", BYTES), Nullable("Templating", _DRIVER)))

# ---- services


def _file(name: str) -> Struct:
    return Struct(name, (Str("Name"), Str("UID"), Str("GID"), Int("Mode", "fs.FileMode")))


_SECRET_REFERENCE = Struct(
    "swarm.SecretReference",
    (Nullable("File", _file("swarm.SecretReferenceFileTarget")), Str("SecretID"), Str("SecretName")),
)
_CONFIG_REFERENCE = Struct(
    "swarm.ConfigReference",
    (
        Nullable("File", _file("swarm.ConfigReferenceFileTarget")),
        Nullable("Runtime", Struct("swarm.ConfigReferenceRuntimeTarget", ())),
        Str("ConfigID"),
        Str("ConfigName"),
    ),
)
_PRIVILEGES = Struct(
    "swarm.Privileges",
    (
        Nullable("CredentialSpec", Struct("swarm.CredentialSpec", (Str("Config"), Str("File"), Str("Registry")))),
        Nullable(
            "SELinuxContext",
            Struct("swarm.SELinuxContext", (Bool("Disable"), Str("User"), Str("Role"), Str("Type"), Str("Level"))),
        ),
        Nullable(
            "Seccomp",
            Struct(
                "swarm.SeccompOpts", (Str("Mode", "swarm.SeccompMode", omit=True), Value("Profile", BYTES, omit=True))
            ),
        ),
        Nullable("AppArmor", Struct("swarm.AppArmorOpts", (Str("Mode", "swarm.AppArmorMode", omit=True),))),
        Bool("NoNewPrivileges"),
    ),
)
_CONTAINER_SPEC = Struct(
    "swarm.ContainerSpec",
    (
        Str("Image"),
        Nullable("Labels", STRING_MAP),
        Nullable("Command"),
        Nullable("Args"),
        Str("Hostname"),
        Nullable("Env"),
        Str("Dir"),
        Str("User"),
        Nullable("Groups"),
        Nullable("Privileges", _PRIVILEGES),
        Nullable("Init", BOOL),
        Str("StopSignal"),
        Bool("TTY"),
        Bool("OpenStdin"),
        Bool("ReadOnly"),
        Nullable("Mounts", list_of(MOUNT)),
        Nullable("StopGracePeriod", _DURATION),
        Nullable("Healthcheck", HEALTH),
        Nullable("Hosts"),
        Nullable(
            "DNSConfig",
            Struct("swarm.DNSConfig", (Nullable("Nameservers", ADDRESSES), Nullable("Search"), Nullable("Options"))),
        ),
        Nullable("Secrets", list_of(_SECRET_REFERENCE, "[]*swarm.SecretReference")),
        Nullable("Configs", list_of(_CONFIG_REFERENCE, "[]*swarm.ConfigReference")),
        Str("Isolation", "container.Isolation"),
        Nullable("Sysctls", STRING_MAP),
        Nullable("CapabilityAdd"),
        Nullable("CapabilityDrop"),
        Nullable("Ulimits", list_of(ULIMIT, "[]*units.Ulimit")),
        Int("OomScoreAdj"),
    ),
)
_GENERIC_RESOURCE = Struct(
    "swarm.GenericResource",
    (
        Nullable("NamedResourceSpec", Struct("swarm.NamedGenericResource", (Str("Kind"), Str("Value")))),
        Nullable("DiscreteResourceSpec", Struct("swarm.DiscreteGenericResource", (Str("Kind"), Int("Value")))),
    ),
)
_RESOURCES = Struct(
    "swarm.ResourceRequirements",
    (
        Nullable("Limits", Struct("swarm.Limit", (Int("NanoCPUs"), Int("MemoryBytes"), Int("Pids")))),
        Nullable(
            "Reservations",
            Struct(
                "swarm.Resources",
                (Int("NanoCPUs"), Int("MemoryBytes"), Nullable("GenericResources", list_of(_GENERIC_RESOURCE))),
            ),
        ),
        Nullable("SwapBytes", INT64),
        Nullable("MemorySwappiness", INT64),
    ),
)
_PLACEMENT = Struct(
    "swarm.Placement",
    (
        Nullable("Constraints"),
        Nullable(
            "Preferences",
            list_of(
                Struct(
                    "swarm.PlacementPreference",
                    (Nullable("Spread", Struct("swarm.SpreadOver", (Str("SpreadDescriptor"),))),),
                )
            ),
        ),
        Int("MaxReplicas", "uint64"),
        Nullable("Platforms", list_of(Struct("swarm.Platform", (Str("Architecture"), Str("OS"))))),
    ),
)
_RESTART_POLICY = Struct(
    "swarm.RestartPolicy",
    (
        Str("Condition", "swarm.RestartPolicyCondition"),
        Nullable("Delay", _DURATION),
        Nullable("MaxAttempts", _UINT64),
        Nullable("Window", _DURATION),
    ),
)
_NETWORKS = list_of(
    Struct("swarm.NetworkAttachmentConfig", (Str("Target"), Nullable("Aliases"), Nullable("DriverOpts", STRING_MAP)))
)


def _plugin_spec(name: str, privilege_name: str) -> Struct:
    privilege = Struct(privilege_name, (Str("name"), Str("description"), Nullable("value")))
    privileges = Nullable("privileges", list_of(privilege, f"[]*{privilege_name}"))
    return Struct(name, (Str("name"), Str("remote"), privileges, Bool("disabled"), Nullable("env")))


_PLUGIN_SPEC = either(
    Type("runtime.PluginSpec", _plugin_spec("runtime.PluginSpec", "runtime.PluginPrivilege").read, lambda: None),
    Type("swarm.RuntimeSpec", _plugin_spec("swarm.RuntimeSpec", "swarm.RuntimePrivilege").read, lambda: None),
)
_TASK_SPEC = Struct(
    "swarm.TaskSpec",
    (
        Nullable("ContainerSpec", _CONTAINER_SPEC),
        Nullable("PluginSpec", _PLUGIN_SPEC),
        Nullable("NetworkAttachmentSpec", Struct("swarm.NetworkAttachmentSpec", (Str("ContainerID"),))),
        Nullable("Resources", _RESOURCES),
        Nullable("RestartPolicy", _RESTART_POLICY),
        Nullable("Placement", _PLACEMENT),
        Nullable("Networks", _NETWORKS),
        Nullable("LogDriver", _DRIVER),
        Int("ForceUpdate", "uint64"),
        Str("Runtime", "swarm.RuntimeType"),
    ),
)
_JOB = Struct("swarm.ReplicatedJob", (Nullable("MaxConcurrent", _UINT64), Nullable("TotalCompletions", _UINT64)))
_MODE = Struct(
    "swarm.ServiceMode",
    (
        Nullable("Replicated", Struct("swarm.ReplicatedService", (Nullable("Replicas", _UINT64),))),
        Nullable("Global", Struct("swarm.GlobalService", ())),
        Nullable("ReplicatedJob", _JOB),
        Nullable("GlobalJob", Struct("swarm.GlobalJob", ())),
    ),
)
_UPDATE = Struct(
    "swarm.UpdateConfig",
    (
        Int("Parallelism", "uint64"),
        Int("Delay", "time.Duration"),
        Value("FailureAction", either(STRING, string("swarm.FailureAction"))),
        Int("Monitor", "time.Duration"),
        Value("MaxFailureRatio", FLOAT32),
        Value("Order", either(STRING, string("swarm.UpdateOrder"))),
    ),
)
_PORT = Struct(
    "swarm.PortConfig",
    (
        Str("Name"),
        Value("Protocol", either(string("swarm.PortConfigProtocol"), string("network.IPProtocol"))),
        Int("TargetPort", "uint32"),
        Int("PublishedPort", "uint32"),
        Str("PublishMode", "swarm.PortConfigPublishMode"),
    ),
)
SERVICE_SPEC = Struct(
    "swarm.ServiceSpec",
    (
        *_ANNOTATIONS,
        Value("TaskTemplate", _TASK_SPEC),
        Value("Mode", _MODE),
        Nullable("UpdateConfig", _UPDATE),
        Nullable("RollbackConfig", _UPDATE),
        Nullable("Networks", _NETWORKS),
        Nullable(
            "EndpointSpec",
            Struct("swarm.EndpointSpec", (Str("Mode", "swarm.ResolutionMode"), Nullable("Ports", list_of(_PORT)))),
        ),
    ),
)

#: A service as releases decode it that accept the deprecated networks apart from the rest of the spec.
_SERVICE_WITH_LEGACY = Struct(
    "swarm.serviceWithLegacy",
    (
        *embedded("ServiceSpec", *(one for one in SERVICE_SPEC.fields if one.name != "Networks")),
        Nullable("Networks", _NETWORKS),
    ),
)


def read_service(profile: Profile, body: Any) -> dict[str, Any]:
    """Decode the body of a service's creation or update as the release `profile` does. Raises `InvalidParameter`."""
    fields = read(_SERVICE_WITH_LEGACY if profile.ipam_config_is_typed else SERVICE_SPEC, body, profile)
    resources = fields["TaskTemplate"]["Resources"]
    if resources is not None and not profile.services_limit_swap:
        resources.update(SwapBytes=None, MemorySwappiness=None)
    return fields

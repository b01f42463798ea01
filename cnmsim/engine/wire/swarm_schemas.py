"""Schemas of request bodies of the swarm operations: specs of clusters, nodes, services, secrets and configs.

Source: moby `api/types/swarm/{common,config,container,network,node,secret,service,swarm,task}.go` (v26.1.5 to
docker-v29.7.2).
"""

from __future__ import annotations

from cnmsim.engine.wire.schemas import HEALTH, MOUNT, ULIMIT
from cnmsim.gojson.unmarshal import (
    ANYTHING,
    BOOL,
    BYTES,
    FLOAT32,
    INT64,
    STRING_MAP,
    B,
    I,
    L,
    S,
    Struct,
    V,
    embedded,
    integer,
    list_of,
)

_DURATION, _UINT64 = integer("time.Duration"), integer("uint64")
_ANNOTATIONS = embedded("Annotations", S("Name"), L("Labels", STRING_MAP))
_DRIVER = Struct("swarm.Driver", (S("Name"), L("Options", STRING_MAP)))

# ---- the cluster and its nodes

_EXTERNAL_CA = Struct(
    "swarm.ExternalCA",
    (S("Protocol", "swarm.ExternalCAProtocol"), S("URL"), L("Options", STRING_MAP, omit=True), S("CACert")),
)
_RAFT = Struct(
    "swarm.RaftConfig",
    (
        I("SnapshotInterval", "uint64"),
        L("KeepOldSnapshots", _UINT64),
        I("LogEntriesForSlowFollowers", "uint64"),
        I("ElectionTick", "int"),
        I("HeartbeatTick", "int"),
    ),
)
_CA = Struct(
    "swarm.CAConfig",
    (
        I("NodeCertExpiry", "time.Duration"),
        L("ExternalCAs", list_of(_EXTERNAL_CA, "[]*swarm.ExternalCA")),
        S("SigningCACert"),
        S("SigningCAKey"),
        I("ForceRotate", "uint64"),
    ),
)
CLUSTER_SPEC = Struct(
    "swarm.Spec",
    (
        *_ANNOTATIONS,
        V("Orchestration", Struct("swarm.OrchestrationConfig", (L("TaskHistoryRetentionLimit", INT64),))),
        V("Raft", _RAFT),
        V("Dispatcher", Struct("swarm.DispatcherConfig", (I("HeartbeatPeriod", "time.Duration"),))),
        V("CAConfig", _CA),
        V("TaskDefaults", Struct("swarm.TaskDefaults", (L("LogDriver", _DRIVER),))),
        V("EncryptionConfig", Struct("swarm.EncryptionConfig", (B("AutoLockManagers"),))),
    ),
)
_ADDRESSES = (S("ListenAddr"), S("AdvertiseAddr"), S("DataPathAddr"), S("Availability", "swarm.NodeAvailability"))
SWARM_INIT = Struct(
    "swarm.InitRequest",
    (
        *_ADDRESSES,
        I("DataPathPort", "uint32"),
        B("ForceNewCluster"),
        V("Spec", CLUSTER_SPEC),
        B("AutoLockManagers"),
        L("DefaultAddrPool"),
        I("SubnetSize", "uint32"),
    ),
)
SWARM_JOIN = Struct("swarm.JoinRequest", (*_ADDRESSES, L("RemoteAddrs"), S("JoinToken")))
SWARM_UNLOCK = Struct("swarm.UnlockRequest", (S("UnlockKey"),))
NODE_SPEC = Struct(
    "swarm.NodeSpec", (*_ANNOTATIONS, S("Role", "swarm.NodeRole"), S("Availability", "swarm.NodeAvailability"))
)

# ---- secrets and configs

SECRET_SPEC = Struct(
    "swarm.SecretSpec", (*_ANNOTATIONS, V("Data", BYTES), L("Driver", _DRIVER), L("Templating", _DRIVER))
)
CONFIG_SPEC = Struct("swarm.ConfigSpec", (*_ANNOTATIONS, V("Data", BYTES), L("Templating", _DRIVER)))

# ---- services


def _file(name: str) -> Struct:
    return Struct(name, (S("Name"), S("UID"), S("GID"), I("Mode", "fs.FileMode")))


_SECRET_REFERENCE = Struct(
    "swarm.SecretReference",
    (L("File", _file("swarm.SecretReferenceFileTarget")), S("SecretID"), S("SecretName")),
)
_CONFIG_REFERENCE = Struct(
    "swarm.ConfigReference",
    (
        L("File", _file("swarm.ConfigReferenceFileTarget")),
        L("Runtime", Struct("swarm.ConfigReferenceRuntimeTarget", ())),
        S("ConfigID"),
        S("ConfigName"),
    ),
)
_PRIVILEGES = Struct(
    "swarm.Privileges",
    (
        L("CredentialSpec", Struct("swarm.CredentialSpec", (S("Config"), S("File"), S("Registry")))),
        L(
            "SELinuxContext",
            Struct("swarm.SELinuxContext", (B("Disable"), S("User"), S("Role"), S("Type"), S("Level"))),
        ),
        L(
            "Seccomp",
            Struct("swarm.SeccompOpts", (S("Mode", "swarm.SeccompMode", omit=True), V("Profile", BYTES, omit=True))),
        ),
        L("AppArmor", Struct("swarm.AppArmorOpts", (S("Mode", "swarm.AppArmorMode", omit=True),))),
        B("NoNewPrivileges"),
    ),
)
_CONTAINER_SPEC = Struct(
    "swarm.ContainerSpec",
    (
        S("Image"),
        L("Labels", STRING_MAP),
        L("Command"),
        L("Args"),
        S("Hostname"),
        L("Env"),
        S("Dir"),
        S("User"),
        L("Groups"),
        L("Privileges", _PRIVILEGES),
        L("Init", BOOL),
        S("StopSignal"),
        B("TTY"),
        B("OpenStdin"),
        B("ReadOnly"),
        L("Mounts", list_of(MOUNT)),
        L("StopGracePeriod", _DURATION),
        L("Healthcheck", HEALTH),
        L("Hosts"),
        L("DNSConfig", Struct("swarm.DNSConfig", (L("Nameservers"), L("Search"), L("Options")))),
        L("Secrets", list_of(_SECRET_REFERENCE, "[]*swarm.SecretReference")),
        L("Configs", list_of(_CONFIG_REFERENCE, "[]*swarm.ConfigReference")),
        S("Isolation", "container.Isolation"),
        L("Sysctls", STRING_MAP),
        L("CapabilityAdd"),
        L("CapabilityDrop"),
        L("Ulimits", list_of(ULIMIT, "[]*units.Ulimit")),
        I("OomScoreAdj"),
    ),
)
_GENERIC_RESOURCE = Struct(
    "swarm.GenericResource",
    (
        L("NamedResourceSpec", Struct("swarm.NamedGenericResource", (S("Kind"), S("Value")))),
        L("DiscreteResourceSpec", Struct("swarm.DiscreteGenericResource", (S("Kind"), I("Value")))),
    ),
)
_RESOURCES = Struct(
    "swarm.ResourceRequirements",
    (
        L("Limits", Struct("swarm.Limit", (I("NanoCPUs"), I("MemoryBytes"), I("Pids")))),
        L(
            "Reservations",
            Struct(
                "swarm.Resources",
                (I("NanoCPUs"), I("MemoryBytes"), L("GenericResources", list_of(_GENERIC_RESOURCE))),
            ),
        ),
        L("SwapBytes", INT64),
        L("MemorySwappiness", INT64),
    ),
)
_PLACEMENT = Struct(
    "swarm.Placement",
    (
        L("Constraints"),
        L(
            "Preferences",
            list_of(
                Struct(
                    "swarm.PlacementPreference",
                    (L("Spread", Struct("swarm.SpreadOver", (S("SpreadDescriptor"),))),),
                )
            ),
        ),
        I("MaxReplicas", "uint64"),
        L("Platforms", list_of(Struct("swarm.Platform", (S("Architecture"), S("OS"))))),
    ),
)
_RESTART_POLICY = Struct(
    "swarm.RestartPolicy",
    (
        S("Condition", "swarm.RestartPolicyCondition"),
        L("Delay", _DURATION),
        L("MaxAttempts", _UINT64),
        L("Window", _DURATION),
    ),
)
_NETWORKS = list_of(Struct("swarm.NetworkAttachmentConfig", (S("Target"), L("Aliases"), L("DriverOpts", STRING_MAP))))
_TASK_SPEC = Struct(
    "swarm.TaskSpec",
    (
        L("ContainerSpec", _CONTAINER_SPEC),
        L("PluginSpec", Struct("runtime.PluginSpec", (L("privileges", ANYTHING),))),
        L("NetworkAttachmentSpec", Struct("swarm.NetworkAttachmentSpec", (S("ContainerID"),))),
        L("Resources", _RESOURCES),
        L("RestartPolicy", _RESTART_POLICY),
        L("Placement", _PLACEMENT),
        L("Networks", _NETWORKS),
        L("LogDriver", _DRIVER),
        I("ForceUpdate", "uint64"),
        S("Runtime", "swarm.RuntimeType"),
    ),
)
_JOB = Struct("swarm.ReplicatedJob", (L("MaxConcurrent", _UINT64), L("TotalCompletions", _UINT64)))
_MODE = Struct(
    "swarm.ServiceMode",
    (
        L("Replicated", Struct("swarm.ReplicatedService", (L("Replicas", _UINT64),))),
        L("Global", Struct("swarm.GlobalService", ())),
        L("ReplicatedJob", _JOB),
        L("GlobalJob", Struct("swarm.GlobalJob", ())),
    ),
)
_UPDATE = Struct(
    "swarm.UpdateConfig",
    (
        I("Parallelism", "uint64"),
        I("Delay", "time.Duration"),
        S("FailureAction"),
        I("Monitor", "time.Duration"),
        V("MaxFailureRatio", FLOAT32),
        S("Order"),
    ),
)
_PORT = Struct(
    "swarm.PortConfig",
    (
        S("Name"),
        S("Protocol", "swarm.PortConfigProtocol"),
        I("TargetPort", "uint32"),
        I("PublishedPort", "uint32"),
        S("PublishMode", "swarm.PortConfigPublishMode"),
    ),
)
SERVICE_SPEC = Struct(
    "swarm.ServiceSpec",
    (
        *_ANNOTATIONS,
        V("TaskTemplate", _TASK_SPEC),
        V("Mode", _MODE),
        L("UpdateConfig", _UPDATE),
        L("RollbackConfig", _UPDATE),
        L("Networks", _NETWORKS),
        L(
            "EndpointSpec",
            Struct("swarm.EndpointSpec", (S("Mode", "swarm.ResolutionMode"), L("Ports", list_of(_PORT)))),
        ),
    ),
)

"""Objects as the Engine API prints and reads them."""

import json

import pytest
from attrs import evolve
from support.swarm_fakes import FakeCluster

from cnmsim.engine.wire import schemas as bodies
from cnmsim.engine.wire import swarm_schemas as swarmbodies
from cnmsim.errors import InvalidParameter
from cnmsim.gojson.fields import rfc3339
from cnmsim.libnetwork.profile import PROFILES
from cnmsim.swarm.controlapi.service_spec import _check_mode
from cnmsim.swarm.convert.cluster import cluster_spec_from_api, swarm_to_api
from cnmsim.swarm.convert.container import _config
from cnmsim.swarm.convert.network import network_resource, network_spec_from_api
from cnmsim.swarm.convert.node import node_spec_from_api, node_to_api
from cnmsim.swarm.convert.secret import config_spec_from_api, secret_spec_from_api, secret_to_api
from cnmsim.swarm.convert.service import service_spec_from_api, service_spec_to_api, service_to_api
from cnmsim.swarm.convert.task import task_to_api
from cnmsim.swarm.convert.task_spec import task_spec_to_api
from cnmsim.swarm.errors import RpcInvalidArgument
from cnmsim.swarm.objects import (
    Annotations,
    AttachmentSpec,
    Cluster,
    ConfigSpec,
    ContainerSpec,
    ContainerStatus,
    Global,
    GlobalJob,
    Replicated,
    ReplicatedJob,
    ResourceRequirements,
    Resources,
    Secret,
    SecretSpec,
    Task,
    TaskSpec,
    TaskState,
    TaskStatus,
)
from cnmsim.swarm.objects.defaults import interpolate


def read_service_spec(body, name=""):
    return service_spec_from_api(bodies.read(swarmbodies.SERVICE_SPEC, body), name)


def read_node_spec(body):
    return node_spec_from_api(bodies.read(swarmbodies.NODE_SPEC, body))


def read_secret_spec(body):
    return secret_spec_from_api(bodies.read(swarmbodies.SECRET_SPEC, body))


def read_config_spec(body):
    return config_spec_from_api(bodies.read(swarmbodies.CONFIG_SPEC, body))


def read_cluster_spec(body, *base):
    return cluster_spec_from_api(bodies.read(swarmbodies.CLUSTER_SPEC, body), *base)


def read_network_spec(body):
    return network_spec_from_api(bodies.read_network_create(PROFILES["29.7.2"], body))


#: What `docker service create --name web --publish 8080:80 --replicas 2 --network … nginx` sends.
SENT = {
    "Name": "web",
    "Labels": {},
    "TaskTemplate": {
        "ContainerSpec": {
            "Image": "nginx:latest",
            "Env": ["A=1"],
            "DNSConfig": {},
            "Secrets": [
                {
                    "File": {"Name": "key", "UID": "0", "GID": "0", "Mode": 292},
                    "SecretID": "secretid",
                    "SecretName": "key",
                }
            ],
            "Mounts": [{"Type": "volume", "Source": "data", "Target": "/data"}],
        },
        "Resources": {"Limits": {"Pids": 5}, "Reservations": {"MemoryBytes": 4194304}},
        "RestartPolicy": {"Condition": "on-failure", "Delay": 1000000000},
        "Placement": {
            "Constraints": ["node.role==worker"],
            "Preferences": [{"Spread": {"SpreadDescriptor": "node.labels.zone"}}],
            "MaxReplicas": 2,
        },
        "Networks": [{"Target": "netid", "Aliases": ["front"]}],
        "ForceUpdate": 0,
    },
    "Mode": {"Replicated": {"Replicas": 2}},
    "UpdateConfig": {"Parallelism": 2, "MaxFailureRatio": 0.25, "Order": "start-first", "FailureAction": "rollback"},
    "EndpointSpec": {
        "Mode": "vip",
        "Ports": [{"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8080, "PublishMode": "ingress"}],
    },
}


def test_a_spec_is_printed_as_it_was_sent_in_the_order_of_the_engine():
    printed = service_spec_to_api(read_service_spec(SENT))
    expected = {
        "Name": "web",
        "Labels": {},
        "TaskTemplate": {
            "ContainerSpec": {
                "Image": "nginx:latest",
                "Env": ["A=1"],
                "Mounts": [{"Type": "volume", "Source": "data", "Target": "/data"}],
                "DNSConfig": {},
                "Secrets": SENT["TaskTemplate"]["ContainerSpec"]["Secrets"],
                "Isolation": "default",
            },
            "Resources": {"Limits": {"Pids": 5}, "Reservations": {"MemoryBytes": 4194304}},
            "RestartPolicy": {"Condition": "on-failure", "Delay": 1000000000, "MaxAttempts": 0},
            "Placement": SENT["TaskTemplate"]["Placement"],
            "Networks": [{"Target": "netid", "Aliases": ["front"]}],
            "ForceUpdate": 0,
            "Runtime": "container",
        },
        "Mode": {"Replicated": {"Replicas": 2}},
        "UpdateConfig": {
            "Parallelism": 2,
            "FailureAction": "rollback",
            "MaxFailureRatio": 0.25,
            "Order": "start-first",
        },
        "EndpointSpec": SENT["EndpointSpec"],
    }
    assert json.dumps(printed) == json.dumps(expected)


def test_what_is_printed_is_read_as_the_same_spec():
    spec = read_service_spec(SENT)
    assert read_service_spec(service_spec_to_api(spec)) == spec
    full = interpolate(spec)
    assert read_service_spec(service_spec_to_api(full)) == full


def test_defaults_are_filled_in_where_asked_for():
    spec = interpolate(read_service_spec({"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "nginx"}}}))
    printed = service_spec_to_api(spec)
    update = {
        "Parallelism": 1,
        "FailureAction": "pause",
        "Monitor": 5000000000,
        "MaxFailureRatio": 0,
        "Order": "stop-first",
    }
    assert printed["UpdateConfig"] == printed["RollbackConfig"] == update
    assert printed["TaskTemplate"]["ContainerSpec"]["StopGracePeriod"] == 10_000_000_000
    assert printed["TaskTemplate"]["RestartPolicy"] == {"Condition": "any", "Delay": 5_000_000_000, "MaxAttempts": 0}
    assert printed["TaskTemplate"]["Resources"] == printed["TaskTemplate"]["Placement"] == {}


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ({}, Replicated(1)),
        ({"Replicated": {}}, Replicated(1)),
        ({"Replicated": {"Replicas": 0}}, Replicated(0)),
        ({"Global": {}}, Global()),
        ({"GlobalJob": {}}, GlobalJob()),
        ({"ReplicatedJob": {"MaxConcurrent": 3}}, ReplicatedJob(3, 3)),
        ({"ReplicatedJob": {"TotalCompletions": 5}}, ReplicatedJob(1, 5)),
    ],
)
def test_modes(mode, expected):
    assert read_service_spec({**SENT, "Mode": mode}).mode == expected


def changed(**template):
    return {**SENT, "TaskTemplate": {**SENT["TaskTemplate"], **template}}


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        ({**SENT, "Mode": {"Global": {}, "Replicated": {}}}, "must specify only one service mode"),
        ({**SENT, "EndpointSpec": {"Mode": "roundrobin"}}, 'invalid resolution mode: "roundrobin"'),
        ({**SENT, "UpdateConfig": {"FailureAction": "stop"}}, "unrecognized update failure action stop"),
        ({**SENT, "UpdateConfig": {"Order": "last"}}, "unrecognized update order last"),
        (changed(RestartPolicy={"Condition": "often"}), 'invalid RestartCondition: "often"'),
        (changed(Runtime="wasm"), "unsupported runtime"),
        (changed(ContainerSpec=None), "mismatched Runtime and *Spec fields"),
        (changed(ContainerSpec={"Mounts": [{"Type": "nfs"}]}), 'invalid MountType: "nfs"'),
        (changed(ContainerSpec={"Configs": [{"ConfigID": "x"}]}),
         "invalid Config: either File or Runtime should be set"),
        (changed(Resources={"SwapBytes": 1}), "memory swap provided, but no memory-limit was set"),
    ],
)  # fmt: skip
def test_specs_that_cannot_be_read(sent, text):
    with pytest.raises(InvalidParameter) as refusal:
        read_service_spec(sent)
    assert refusal.value.message == text


def test_node_specs():
    spec = read_node_spec({"Role": "Manager", "Availability": "drain", "Labels": {"a": "b"}})
    assert (spec.desired_role.value, spec.availability.value, spec.annotations.labels) == (
        "manager",
        "drain",
        {"a": "b"},
    )
    with pytest.raises(InvalidParameter, match=r'^invalid Role: "boss"$'):
        read_node_spec({"Role": "boss", "Availability": "active"})
    with pytest.raises(InvalidParameter, match=r'^invalid Availability: "asleep"$'):
        read_node_spec({"Role": "worker", "Availability": "asleep"})


def test_a_cluster_in_full():
    cluster = FakeCluster()
    cluster.add_nodes(1, labels={"zone": "east"})
    cluster.run(1)
    network = cluster.manager.control.create_network(
        read_network_spec({"Name": "net", "Driver": "overlay", "Attachable": True, "Labels": {"a": "b"}})
    )
    cluster.run(0)
    template = {"ContainerSpec": {"Image": "nginx"}, "Networks": [{"Target": network.id}]}
    made = cluster.manager.control.create_service(read_service_spec({**SENT, "TaskTemplate": template}))
    cluster.run(2)
    service = service_to_api(cluster.store.services.get(made.id))
    assert list(service) == ["ID", "Version", "CreatedAt", "UpdatedAt", "Spec", "Endpoint"]
    assert service["CreatedAt"].startswith("2026-01-01T00:00:01")
    ingress = cluster.manager.control.find_network("ingress")
    assert service["Endpoint"] == {
        "Spec": SENT["EndpointSpec"],
        "Ports": SENT["EndpointSpec"]["Ports"],
        "VirtualIPs": [
            {"NetworkID": ingress.id, "Addr": "10.0.0.3/24"},
            {"NetworkID": network.id, "Addr": "10.0.1.2/24"},
        ],
    }
    task = task_to_api(cluster.tasks(made.id)[0])
    assert list(task) == [
        "ID", "Version", "CreatedAt", "UpdatedAt", "Labels", "Spec", "ServiceID", "Slot", "NodeID", "Status",
        "DesiredState", "NetworksAttachments", "Volumes",
    ]  # fmt: skip
    assert (task["DesiredState"], task["Status"]["State"], task["Status"]["PortStatus"]) == ("running", "running", {})
    attached = task["NetworksAttachments"][1]
    assert attached["Addresses"] == ["10.0.1.3/24"]
    assert attached["Network"]["IPAMOptions"] == {
        "Driver": {"Name": "default"},
        "Configs": [{"Subnet": "10.0.1.0/24", "Gateway": "10.0.1.1"}],
    }
    assert attached["Network"]["Spec"] == {
        "Name": "net",
        "Labels": {"a": "b"},
        "DriverConfiguration": {"Name": "overlay"},
        "Attachable": True,
        "Scope": "swarm",
    }
    node = node_to_api(cluster.manager.control.list_nodes()[0])
    assert node["Spec"] == {"Labels": {"zone": "east"}, "Role": "manager", "Availability": "active"}
    assert node["Status"] == {"State": "ready", "Addr": "192.0.2.1"}
    assert node["Description"]["Engine"]["Plugins"][0] == {"Type": "Network", "Name": "bridge"}
    resource = network_resource(cluster.manager.control.get_network(network.id))
    assert resource["Options"] == {"com.docker.network.driver.overlay.vxlanid_list": "4097"}
    assert resource["IPAM"] == {
        "Driver": "default",
        "Options": None,
        "Config": [{"Subnet": "10.0.1.0/24", "Gateway": "10.0.1.1"}],
    }
    swarm = swarm_to_api(cluster.manager.control.get_cluster())
    assert swarm["Spec"]["Orchestration"] == {"TaskHistoryRetentionLimit": 5}
    assert swarm["Spec"]["CAConfig"] == {"NodeCertExpiry": 7776000000000000}
    assert swarm["JoinTokens"] == {"Worker": "worker", "Manager": "manager"}
    assert (swarm["DefaultAddrPool"], swarm["SubnetSize"], swarm["DataPathPort"]) == (["10.0.0.0/8"], 24, 4789)
    assert json.dumps([service, task, node, resource, swarm])


def test_secrets_and_configs_hold_bytes():
    spec = read_secret_spec({"Name": "key", "Data": "aHVzaA=="})
    assert spec == SecretSpec(Annotations("key"), b"hush")
    assert secret_to_api(Secret("id", spec))["Spec"] == {"Name": "key", "Labels": {}, "Data": "aHVzaA=="}
    assert read_config_spec({"Name": "c", "Data": ""}) == ConfigSpec(Annotations("c"))
    with pytest.raises(InvalidParameter, match="illegal base64 data at input byte 1"):
        read_secret_spec({"Name": "key", "Data": "a!"})


def test_settings_that_are_not_given_are_as_in_what_they_are_merged_with():
    base = evolve(Cluster("id").spec, task_history_retention_limit=9)
    changed = read_cluster_spec({"Dispatcher": {"HeartbeatPeriod": 7}}, base)
    assert (changed.task_history_retention_limit, changed.heartbeat_period_ns) == (9, 7)
    assert read_cluster_spec({"Orchestration": {"TaskHistoryRetentionLimit": 0}}, base) == evolve(
        base, task_history_retention_limit=0
    )


def test_an_update_of_the_settings_has_to_name_them_all():
    changed = read_cluster_spec({"Dispatcher": {"HeartbeatPeriod": 7}})
    assert (changed.annotations.name, changed.heartbeat_period_ns) == ("default", 7)
    assert (changed.task_history_retention_limit, changed.snapshot_interval, changed.node_cert_expiry_ns) == (0, 0, 0)


def test_moments_are_printed_as_go_prints_them():
    assert rfc3339(0) == "1970-01-01T00:00:00Z"
    assert rfc3339(1_767_225_600_120_000_000) == "2026-01-01T00:00:00.12Z"
    assert TaskState.RUNNING == 512


@pytest.mark.parametrize(
    ("spec", "resources"),
    [
        (TaskSpec(), None),
        (TaskSpec(attachment=AttachmentSpec("c1")), None),
        (TaskSpec(ContainerSpec()), None),
        (TaskSpec(ContainerSpec(pids_limit=7)), {"Limits": {"Pids": 7}}),
        (TaskSpec(resources=ResourceRequirements()), {}),
        (TaskSpec(ContainerSpec(pids_limit=7), resources=ResourceRequirements()), {"Limits": {"Pids": 7}}),
        (TaskSpec(resources=ResourceRequirements(limits=Resources())), {"Limits": {}}),
        (
            TaskSpec(ContainerSpec(pids_limit=7), resources=ResourceRequirements(limits=Resources(10, 20))),
            {"Limits": {"NanoCPUs": 10, "MemoryBytes": 20, "Pids": 7}},
        ),
        (
            TaskSpec(resources=ResourceRequirements(None, Resources(10, 20), 30, 0)),
            {"Reservations": {"NanoCPUs": 10, "MemoryBytes": 20}, "SwapBytes": 30, "MemorySwappiness": 0},
        ),
    ],
)
def test_the_resources_of_a_task_are_printed_as_far_as_they_are_set(
    spec: TaskSpec, resources: dict[str, object] | None
) -> None:
    assert task_spec_to_api(spec).get("Resources") == resources


def test_a_task_nothing_happened_to_is_printed_with_its_zeros() -> None:
    # moby api/types/swarm: ContainerStatus{PID, ExitCode} have no omitempty, Slot and NodeID have.
    printed = task_to_api(Task("t", status=TaskStatus(container=ContainerStatus("c1"))))
    assert printed["Status"] == {
        "Timestamp": "1970-01-01T00:00:00Z",
        "State": "new",
        "ContainerStatus": {"ContainerID": "c1", "PID": 0, "ExitCode": 0},
        "PortStatus": {},
    }
    assert printed["DesiredState"] == "new"
    assert not {"Slot", "NodeID", "ServiceID", "JobIteration"} & set(printed)
    job = task_to_api(Task("t", job_iteration=0, slot=1))
    assert (job["JobIteration"], job["Slot"]) == ({}, 1)


@pytest.mark.parametrize(
    ("mode", "text"),
    [
        (Replicated(0), ""), (Replicated((1 << 63) - 1), ""), (ReplicatedJob(0, 0), ""),
        (ReplicatedJob((1 << 63) - 1, (1 << 63) - 1), ""), (Global(), ""), (GlobalJob(), ""),
        (Replicated(-1), "Number of replicas must be non-negative"),
        (Replicated(1 << 63), "Number of replicas must be non-negative"),
        (ReplicatedJob(-1, 0), "Maximum concurrent jobs must not be negative"),
        (ReplicatedJob(1 << 63, 0), "Maximum concurrent jobs must not be negative"),
        (ReplicatedJob(0, -1), "Total completed jobs must not be negative"),
        (ReplicatedJob(0, 1 << 63), "Total completed jobs must not be negative"),
    ],
)  # fmt: skip
def test_numbers_of_a_mode_are_not_negative_as_go_reads_them(mode, text):
    if not text:
        _check_mode(mode)
        return
    with pytest.raises(RpcInvalidArgument, match=text):
        _check_mode(mode)


FILE = {"Name": "f", "UID": "0", "GID": "0", "Mode": 0o444}


@pytest.mark.parametrize(
    ("file", "runtime", "text"),
    [
        (FILE, None, ""), (None, {}, ""), (None, None, "invalid Config: either File or Runtime should be set"),
        (FILE, {}, "invalid Config: cannot specify both File and Runtime"),
    ],
)  # fmt: skip
def test_a_config_is_a_file_or_for_the_runtime(file, runtime, text):
    reference = {"ConfigID": "c", "ConfigName": "n", "File": file, "Runtime": runtime}
    if not text:
        assert (_config(reference).runtime, _config(reference).file is None) == (file is None, file is None)
        return
    with pytest.raises(InvalidParameter, match=f"^{text}$"):
        _config(reference)

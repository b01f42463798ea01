"""Values of a swarm are written as plain data and read again as what they were, and nothing else is read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import asdict
from hypothesis import given
from hypothesis import strategies as st

from cnmsim.swarm.ca.certificates import Certificate
from cnmsim.swarm.objects import (
    ContainerSpec,
    EndpointSpec,
    Global,
    IpamConfig,
    NetworkSpec,
    NodeDescription,
    NodeStatus,
    Placement,
    PortConfig,
    Replicated,
    ReplicatedJob,
    ResourceRequirements,
    Resources,
    RootCa,
    SecretSpec,
    ServiceSpec,
    TaskSpec,
    TaskState,
    TaskStatus,
    UpdateConfig,
)
from cnmsim.swarm.persistence.serialization import MalformedData, from_plain, to_plain

KINDS = (
    Certificate, EndpointSpec, NetworkSpec, NodeDescription, NodeStatus, Placement, ReplicatedJob,
    ResourceRequirements, RootCa,
    SecretSpec, TaskStatus, UpdateConfig,
)  # fmt: skip


@given(st.sampled_from(KINDS).flatmap(lambda kind: st.tuples(st.just(kind), st.from_type(kind))))
def test_what_is_written_is_read_again(pair: tuple[type, Any]) -> None:
    kind, value = pair
    data = json.loads(json.dumps(to_plain(kind, value), allow_nan=True))
    try:
        assert from_plain(kind, data) == value
    except MalformedData as error:
        assert "expected a number" in str(error), "infinite numbers alone are not read"


def test_a_service_keeps_what_one_of_several_classes_it_has() -> None:
    for mode in (Replicated(3), Global(), ReplicatedJob(1, 2)):
        container = ContainerSpec("nginx", mounts=({"Type": "tmpfs", "Options": [["x"]]},), init=False)
        task = TaskSpec(container, resources=ResourceRequirements(Resources(generic=(("gpu", 2), ("gpu", "one")))))
        spec = ServiceSpec(task=task, mode=mode, endpoint=EndpointSpec(ports=(PortConfig(published_port=8080),)))
        again = from_plain(ServiceSpec, json.loads(json.dumps(to_plain(ServiceSpec, spec))))
        assert asdict(again) == asdict(spec)
        assert type(again.mode) is type(mode)


@pytest.mark.parametrize(
    ("kind", "data", "message"),
    [
        (Replicated, {"replicas": "3"}, r": expected int, not str"),
        (Replicated, {"replicas": True}, r"spec\.replicas: expected int, not bool"),
        (Replicated, {"replica": 3}, r"spec: extra fields found \(replica\)"),
        (Replicated, [], r"spec: expected dict, not list"),
        (ServiceSpec, {"mode": {"Global": {}, "Replicated": {}}}, r"spec\.mode: expected one of Replicated, Global"),
        (ServiceSpec, {"mode": {"Local": {}}}, r"spec\.mode: expected one of"),
        (SecretSpec, {"data": "eA"}, r"spec\.data: expected base64"),
        (TaskState, 7, r"spec: 7 is not a TaskState"),
        (TaskState, 512.0, r"spec: 512\.0 is not a TaskState"),
        (UpdateConfig, {"max_failure_ratio": "1"}, r"spec\.max_failure_ratio: expected a number"),
        (Resources, {"generic": [["gpu"]]}, r"spec\.generic\[0\]: Not enough values"),
        (Resources, {"generic": [["gpu", 1, 2]]}, r"spec\.generic\[0\]: Too many values"),
        (Resources, {"generic": "gpu"}, r"spec\.generic: expected list, not str"),
        (Resources, {"generic": [["gpu", True]]}, r"spec\.generic\[0\]\[1\]: expected int or str"),
        (IpamConfig, {"reserved": ["x"]}, r"spec\.reserved: expected dict, not list"),
        (IpamConfig, {"reserved": {"x": 1}}, r"spec\.reserved\['x'\]: expected str, not int"),
        (NetworkSpec, {"internal": 1}, r"spec\.internal: expected bool, not int"),
        (Resources, {"generic": [["gpu", 1.5]]}, r"spec\.generic\[0\]\[1\]: expected int or str"),
        (Certificate, {"node_id": "x"}, r"spec\.role: required field missing"),
    ],
)
def test_nothing_else_is_read(kind: Any, data: Any, message: str) -> None:
    with pytest.raises(MalformedData, match=message):
        from_plain(kind, data, "spec")

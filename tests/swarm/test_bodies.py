"""Bodies of the swarm's part of the API with anything in them: they are taken or refused in the engine's words."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnmsim import Lab
from cnmsim.errors import CnmsimError

SERVICE: dict[str, Any] = {
    "Name": "w",
    "Labels": {"a": "b"},
    "TaskTemplate": {
        "ContainerSpec": {
            "Image": "nginx",
            "Env": ["A=1"],
            "Args": ["x"],
            "Mounts": [{"Type": "tmpfs", "Target": "/a"}],
            "Secrets": [
                {"File": {"Name": "x", "UID": "0", "GID": "0", "Mode": 1}, "SecretID": "a", "SecretName": "b"}
            ],
            "Hosts": ["1.2.3.4 a"],
            "Healthcheck": {"Test": ["CMD", "x"], "Interval": 1000000},
            "DNSConfig": {"Nameservers": ["1.1.1.1"]},
        },
        "Resources": {"Limits": {"NanoCPUs": 1, "MemoryBytes": 1}, "Reservations": {"NanoCPUs": 1}},
        "RestartPolicy": {"Condition": "any", "Delay": 1, "MaxAttempts": 1},
        "Placement": {"Constraints": ["node.role==worker"], "Preferences": [{"Spread": {"SpreadDescriptor": "a"}}]},
        "Networks": [{"Target": "n", "Aliases": ["b"]}],
        "ForceUpdate": 1,
    },
    "Mode": {"Replicated": {"Replicas": 1}},
    "UpdateConfig": {"Parallelism": 1, "FailureAction": "pause", "Order": "stop-first", "MaxFailureRatio": 0.1},
    "EndpointSpec": {"Mode": "vip", "Ports": [{"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 80}]},
}
SECRET = {"Name": "s", "Labels": {"a": "b"}, "Data": "eA==", "Templating": {"Name": "golang"}}
SWARM = {
    "Name": "default",
    "Orchestration": {"TaskHistoryRetentionLimit": 5},
    "Raft": {"SnapshotInterval": 1, "ElectionTick": 3},
    "Dispatcher": {"HeartbeatPeriod": 5000000000},
    "CAConfig": {"NodeCertExpiry": 7776000000000000},
}
NETWORK = {
    "Name": "o",
    "Driver": "overlay",
    "Attachable": True,
    "IPAM": {"Driver": "default", "Config": [{"Subnet": "10.9.0.0/24", "Gateway": "10.9.0.1"}]},
    "Options": {"a": "b"},
    "Labels": {"a": "b"},
}
INIT = {"ListenAddr": "0.0.0.0:2377", "DefaultAddrPool": ["10.0.0.0/8"], "SubnetSize": 24, "Spec": SWARM}
NODE = {"Name": "", "Labels": {"a": "b"}, "Role": "manager", "Availability": "active"}
BODIES = {"services": SERVICE, "secrets": SECRET, "configs": SECRET, "networks": NETWORK, "node": NODE,
          "swarm": SWARM, "init": INIT}  # fmt: skip

WRONG = st.sampled_from(
    [None, True, -1, 0, 2**70, 1.5, "x", "", [], {}, [1], {"a": 1}, [None], {"Name": 5}, "\0", "é" * 300, [[]],
     float("inf")]
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every value inside a body."""
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(each for key, inner in below for each in places(inner, (*path, key)))]


@st.composite
def changed_bodies(draw: st.DrawFn) -> tuple[str, Any]:
    """A body of some operation, with up to three values in it replaced by wrong ones."""
    kind = draw(st.sampled_from(sorted(BODIES)))
    body = copy.deepcopy(BODIES[kind])
    for path in draw(st.lists(st.sampled_from(places(BODIES[kind])[1:]), min_size=1, max_size=3)):
        inner: Any = body
        try:
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = draw(WRONG)
        except (TypeError, KeyError, IndexError):
            continue  # what was there is replaced already
    return kind, body


@pytest.fixture(scope="module")
def engine() -> Any:
    lab = Lab()
    engine = lab.add_host("node1", "10.9.0.1/24", docker=True).docker
    engine.swarm.init()
    return engine


@settings(max_examples=150)
@given(change=changed_bodies())
def test_a_body_is_taken_or_refused_and_nothing_breaks(engine: Any, change: tuple[str, Any]) -> None:
    kind, body = change
    rest = engine.rest
    before = {each.name for each in engine.services.list()}
    try:
        if kind == "node":
            version = engine.nodes.list()[0].version
            engine.complete(rest.nodes.update("self", body, {"version": str(version)}))
        elif kind == "swarm":
            engine.complete(rest.swarm.update(body, {"version": str(engine.swarm.version)}))
        elif kind == "init":
            engine.complete(rest.swarm.init(body))
        elif kind == "networks":
            engine.complete(rest.networks.create(body))
        else:
            engine.complete(getattr(rest, kind).create(body))
    except CnmsimError as error:
        assert error.message
        if kind == "services":
            assert {each.name for each in engine.services.list()} == before
    engine.clock.run_for(1)
    for service in engine.services.list():
        assert service.attrs["ID"]
        service.remove()
    for collection in (engine.secrets, engine.configs):
        for each in collection.list():
            each.remove()
    engine.clock.run_for(1)
    for network in engine.networks.list():
        if network.attrs["Scope"] == "swarm" and network.name != "ingress":
            network.remove()
    engine.nodes.list()[0].update(Role="manager", Availability="active", Labels={}, Name="")

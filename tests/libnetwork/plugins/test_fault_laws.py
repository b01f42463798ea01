"""Whatever a plugin answers, and whenever it goes: a call succeeds, or it fails and the engine is as it was."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from support.plugin_stage import Stage

from cnmsim.errors import EngineError
from cnmsim.testing.plugin import Fault
from cnmsim.testing.snapshot import Snapshot

METHODS = [
    "IpamDriver.GetDefaultAddressSpaces",
    "IpamDriver.RequestPool",
    "IpamDriver.RequestAddress",
    "IpamDriver.ReleaseAddress",
    "IpamDriver.ReleasePool",
    "NetworkDriver.CreateNetwork",
    "NetworkDriver.CreateEndpoint",
    "NetworkDriver.EndpointOperInfo",
    "NetworkDriver.Join",
    "NetworkDriver.ProgramExternalConnectivity",
    "NetworkDriver.RevokeExternalConnectivity",
    "NetworkDriver.Leave",
    "NetworkDriver.DeleteEndpoint",
    "NetworkDriver.DeleteNetwork",
]
texts = st.sampled_from(["", "x", "10.0.0.1", "10.66.0.9/24", "10.66.0.0/24", "eth", "fd00::1", "02:00:00:00:00:05"])
fields = st.sampled_from(
    ["Err", "Error", "Gateway", "GatewayIPv6", "Pool", "PoolID", "Address", "Interface", "InterfaceName",
     "StaticRoutes", "DisableGatewayService", "MacAddress", "SrcName", "DstPrefix", "Destination", "NextHop",
     "RouteType"]
)  # fmt: skip
values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | texts,
    lambda each: st.lists(each, max_size=2) | st.dictionaries(fields, each, max_size=3),
    max_leaves=5,
)
bodies = st.one_of(
    values.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(fields, values, max_size=4).map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=12),
)
faults = st.builds(
    Fault,
    body=bodies,
    status=st.sampled_from([200, 200, 200, 404, 500]),
    hang_up=st.sampled_from([False, False, False, True]),
    does_work=st.booleans(),
)
steps = st.lists(
    st.tuples(
        st.sampled_from(["network", "run", "connect", "disconnect", "restart", "remove", "remove-network"]),
        st.dictionaries(st.sampled_from(METHODS), faults, max_size=2),
    ),
    min_size=2,
    max_size=8,
)


def of_engine(changes: list[str]) -> list[str]:
    """Leave out what the plugin itself makes and leaves, and docker_gwbridge, which stays once it was wanted."""
    own = (" tn", " tf", " tp-", "tp-", "docker_gwbridge", "gateway_")
    is_bridge_of_gateway = ("172.18.", "172.19.", "172.20.")
    return [each for each in changes if not any(part in each for part in own + is_bridge_of_gateway)]


def act(stage: Stage, action: str) -> None:
    engine: Any = stage.engine
    if action == "network":
        stage.network()
    elif action == "run":
        present = engine.containers.list(all=True, filters={"name": "c1"})
        try:
            stage.run()
        except EngineError:
            # A container that did not start stays, as with Docker.
            for container in engine.containers.list(all=True, filters={"name": "c1"}):
                if not present:
                    container.remove(force=True)
            raise
    elif action == "connect":
        engine.networks.get("f").connect("base")
    elif action == "disconnect":
        engine.networks.get("f").disconnect("base")
    elif action == "restart":
        engine.containers.get("c1").restart(timeout=0)
    elif action == "remove":
        engine.containers.get("c1").remove(force=True)
    else:
        engine.networks.get("f").remove()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(release=st.sampled_from(["26.1.5", "28.5.2", "29.7.2"]), steps=steps)
def test_a_call_that_fails_changes_nothing_whatever_the_plugin_says(
    release: str, steps: list[tuple[str, dict[str, Fault]]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(release, Path(folder))
        with stage.plugin:
            stage.engine.containers.run("alpine", "sleep 1d", name="base", detach=True)
            stage.lab.settle()
            start = Snapshot.of(stage.host)
            stage.network()
            for action, wrong in steps:
                stage.plugin.replies = dict(wrong)
                before = Snapshot.of(stage.host)
                try:
                    act(stage, action)
                    event(f"{action} succeeds")
                except EngineError as error:
                    event(f"{action} fails")
                    assert error.message
                    stage.lab.settle()
                    if action not in {"restart", "connect"}:
                        assert of_engine(before.difference(Snapshot.of(stage.host))) == [], action
            stage.plugin.replies = {}
            for container in stage.engine.containers.list(all=True):
                if container.name == "c1":
                    container.remove(force=True)
            for network in stage.engine.networks.list():
                if network.name == "f":
                    network.disconnect("base") if network.attrs["Containers"] else None
                    network.remove()
            stage.lab.settle()
            left = of_engine(start.difference(Snapshot.of(stage.host)))
            if release == "26.1.5":
                # It takes lines of other networks out of the hosts file at a disconnect.
                left = [each for each in left if " files: " not in each]
            if stage.engine.profile.failed_connect_keeps_settings:
                left = [each for each in left if " containers: " not in each]
            assert left == []

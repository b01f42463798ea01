"""Plugins that refuse, answer nonsense, are slow or die: the engine's own words for it, and nothing half made.

The texts are those of a real 26.1.5 that was given the same answers, where releases differ those of the source.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from support.plugin_stage import Stage

from cnmsim.errors import EngineError
from cnmsim.libnetwork.plugins import PluginPolicy
from cnmsim.testing.plugin import Fault
from cnmsim.testing.snapshot import Snapshot


def body(content: str, **options: Any) -> Fault:
    return Fault(content.encode(), **options)


def said(answer: dict[str, Any], **options: Any) -> Fault:
    return body(json.dumps(answer), does_work=True, **options)


def refusal(stage: Stage, call: Any) -> str:
    """Have something fail, and give its text. The host must be as it was before."""
    before = Snapshot.of(stage.host)
    with pytest.raises(EngineError) as caught:
        call()
    stage.lab.settle()
    # A container that did not start stays, as with Docker.
    for container in stage.engine.containers.list(all=True):
        container.remove(force=True)
    assert before.difference(Snapshot.of(stage.host)) == []
    return caught.value.message


CREATE_NETWORK = [
    (body('{"Err": "no more networks"}'), "remote: no more networks"),
    (body('{"Err":"boom"}', status=500), "NetworkDriver.CreateNetwork: boom"),
    (body("plain text\n", status=500), "NetworkDriver.CreateNetwork: plain text\n"),
    (body("gone", status=404), "NetworkDriver.CreateNetwork: gone"),
    (body(""), "EOF"),
    (body(" \n"), "EOF"),
    (body("x"), "invalid character 'x' looking for beginning of value"),
    (body('{"Err":'), "unexpected EOF"),
    (body('{"Err": "a'), "unexpected EOF"),
    (body("[1]"), "json: cannot unmarshal array into Go value of type api.CreateNetworkResponse"),
    (body('"text"'), "json: cannot unmarshal string into Go value of type api.CreateNetworkResponse"),
    (
        body('{"Err": 5}'),
        "json: cannot unmarshal number into Go struct field CreateNetworkResponse.Response.Err of type string",
    ),
    (body("{} {", length=300), None),
    (body("null"), None),
    (body("{} trailing"), None),
    (body('{"err": "lower"}'), "remote: lower"),
    (body("<html>"), "invalid character '<' looking for beginning of value"),
    (body('{"a" 1}'), "invalid character '1' after object key"),
    (body('{"a": 1 "b"}'), "invalid character '\"' after object key:value pair"),
    (body('{"a": [1 2]}'), "invalid character '2' after array element"),
    (body("{a: 1}"), "invalid character 'a' looking for beginning of object key string"),
    (body('{"a": trux}'), "invalid character 'x' in literal true (expecting 'e')"),
    (body('{"a": "\n"}'), "invalid character '\\n' in string literal"),
    (body('{"a": NaN}'), "invalid character 'N' looking for beginning of value"),
    (Fault(b"\xff\xfe"), "invalid character 'ÿ' looking for beginning of value"),
    (body("ÿ"), "invalid character 'Ã' looking for beginning of value"),  # encoding/json names the byte
]


@pytest.mark.parametrize(("fault", "text"), CREATE_NETWORK, ids=lambda value: None)
def test_a_network_that_the_plugin_does_not_make(stage: Stage, fault: Fault, text: str | None) -> None:
    stage.plugin.replies["NetworkDriver.CreateNetwork"] = fault
    if text is None:
        stage.network("x").remove()  # type: ignore[attr-defined]
    else:
        assert refusal(stage, lambda: stage.network("x")) == text
    assert stage.time.slept == []


PRESENT = "endpoint interface IP present (10.78.0.2/24). Cannot be modified with"
CREATE_ENDPOINT = [
    ({"Err": "no endpoint"}, "remote: no endpoint", None),
    ({"Interface": {"MacAddress": "zz"}}, "address zz: invalid MAC address", "rolled back"),
    (
        {"Interface": {"Address": "10.78.0.9/24"}},
        f"driver modified interface address: {PRESENT} (10.78.0.9/24).; rolled back",
        None,
    ),
    ({"Interface": {"Address": "10.78.0.9"}}, "invalid CIDR address: 10.78.0.9", "rolled back"),
    (
        {"Interface": {"AddressIPv6": "10.7.0.9/24"}},
        f"driver modified interface address: {PRESENT} (10.7.0.9/24).; rolled back",
        None,
    ),
    (
        {"Interface": {"MacAddress": 5}},
        "json: cannot unmarshal number into Go struct field EndpointInterface.Interface.MacAddress of type string",
        None,
    ),
    (
        {"Interface": []},
        (
            "json: cannot unmarshal array into Go struct field CreateEndpointResponse.Interface of type "
            "api.EndpointInterface"
        ),
        None,
    ),
]


@pytest.mark.parametrize(("answer", "cause", "later"), CREATE_ENDPOINT, ids=lambda value: None)
def test_an_endpoint_that_cannot_be_used(stage: Stage, answer: dict[str, Any], cause: str, later: str | None) -> None:
    stage.network()
    stage.plugin.replies["NetworkDriver.CreateEndpoint"] = body(json.dumps(answer))
    stage.plugin.replies["NetworkDriver.DeleteEndpoint"] = {}
    text = refusal(stage, stage.run)
    is_old = stage.engine.profile.version == "26.1.5"
    wanted = cause if later is None or is_old else f"{cause}; {later}"
    prefix = stage.engine.profile.start_error_prefix
    assert text == f"{prefix}failed to create endpoint c1 on network f: {wanted}"
    undone = "rolled back" in wanted
    assert ("NetworkDriver.DeleteEndpoint" in stage.plugin.methods()) == undone


def test_a_mac_address_that_was_asked_for_is_not_the_plugins_to_change(stage: Stage) -> None:
    stage.network()
    stage.plugin.replies["NetworkDriver.CreateEndpoint"] = body('{"Interface": {"MacAddress": "02:00:00:00:00:01"}}')
    stage.plugin.replies["NetworkDriver.DeleteEndpoint"] = {"Err": "stuck"}
    text = refusal(stage, lambda: stage.run(mac_address="02:00:00:00:00:02"))
    modified = (
        "driver modified interface MAC address: endpoint interface MAC address present (02:00:00:00:00:02). "
        "Cannot be modified with 02:00:00:00:00:01."
    )
    wanted = f"{modified}; failed to roll back: remote: stuck"
    if stage.engine.profile.version != "26.1.5":
        wanted = f"remote: stuck; failed to roll back: {modified}"
    assert text.endswith(wanted)


JOIN = [
    ({"Err": "no join"}, "remote: no join", False),
    ({"Gateway": "nonsense"}, 'unable to parse Gateway "nonsense"', True),
    ({"GatewayIPv6": "nonsense"}, 'unable to parse GatewayIPv6 "nonsense"', True),
    ({"StaticRoutes": [{"Destination": "10.5.0.0", "NextHop": "10.78.0.1"}]}, "invalid CIDR address: 10.5.0.0", True),
    ({"StaticRoutes": [{"Destination": "10.5.0.0/16", "NextHop": "x"}]}, "failed to parse nexthop IP x", True),
    (
        {"StaticRoutes": "x"},
        "json: cannot unmarshal string into Go struct field JoinResponse.StaticRoutes of type []api.StaticRoute",
        False,
    ),
    (
        {"StaticRoutes": [{"RouteType": "0"}]},
        "json: cannot unmarshal string into Go struct field StaticRoute.StaticRoutes.RouteType of type int",
        False,
    ),
    (
        {"DisableGatewayService": "yes"},
        "json: cannot unmarshal string into Go struct field JoinResponse.DisableGatewayService of type bool",
        False,
    ),
    (
        {"InterfaceName": {"SrcName": 5}},
        "json: cannot unmarshal number into Go struct field InterfaceName.InterfaceName.SrcName of type string",
        False,
    ),
]


@pytest.mark.parametrize(("answer", "cause", "is_undone"), JOIN, ids=lambda value: None)
def test_a_join_that_cannot_be_used(stage: Stage, answer: dict[str, Any], cause: str, is_undone: bool) -> None:
    stage.network()
    stage.plugin.replies["NetworkDriver.Join"] = said(answer)
    text = refusal(stage, stage.run)
    is_undone = is_undone and stage.engine.profile.version != "26.1.5"
    assert text == stage.engine.profile.start_error_prefix + cause + ("; rolled back" if is_undone else "")
    # 29.7.2 leaves whatever it failed to join, besides.
    leaves = is_undone + (stage.engine.profile.version == "29.7.2")
    assert stage.plugin.methods().count("NetworkDriver.Leave") == leaves
    assert "NetworkDriver.DeleteEndpoint" in stage.plugin.methods()


def test_a_device_that_the_plugin_did_not_make(stage: Stage) -> None:
    stage.network()
    names = {"SrcName": "nodev0", "DstPrefix": "eth"}
    stage.plugin.replies["NetworkDriver.Join"] = {"InterfaceName": names, "Gateway": "10.78.0.1"}
    text = refusal(stage, stage.run)
    cause = 'failed to add interface nodev0 to sandbox: failed to get link by name "nodev0": Link not found'
    if stage.engine.profile.version == "26.1.5":
        assert text == (
            "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create "
            "failed: unable to start container process: error during container init: error running hook #0: error "
            f"running hook: exit status 1, stdout: , stderr: {cause}: unknown"
        )
    else:
        assert text == stage.engine.profile.start_error_prefix + cause


@pytest.mark.parametrize("fault", [body('{"Err": "no ports"}'), body("x", status=500)])
def test_ports_that_the_plugin_does_not_publish(stage: Stage, fault: Fault) -> None:
    stage.network()
    stage.plugin.replies["NetworkDriver.ProgramExternalConnectivity"] = fault
    text = refusal(stage, stage.run)
    cause = "remote: no ports" if fault.status == 200 else "NetworkDriver.ProgramExternalConnectivity: x"
    pattern = rf"driver failed programming external connectivity on endpoint c1 \([0-9a-f]{{64}}\): {cause}"
    assert re.search(pattern + "$", text)


def test_a_plugin_need_not_know_of_ports(stage: Stage) -> None:
    stage.network()
    for method in ("ProgramExternalConnectivity", "RevokeExternalConnectivity"):
        stage.plugin.replies[f"NetworkDriver.{method}"] = body("what?", status=404)
    container: Any = stage.run()
    container.remove(force=True)
    assert "NetworkDriver.RevokeExternalConnectivity" in stage.plugin.methods()


def test_what_a_plugin_has_against_an_end_is_only_logged(stage: Stage) -> None:
    before = Snapshot.of(stage.host)
    network: Any = stage.network()
    container: Any = stage.run()
    for method in ("Leave", "DeleteEndpoint", "RevokeExternalConnectivity", "DeleteNetwork"):
        stage.plugin.replies[f"NetworkDriver.{method}"] = said({"Err": f"no {method}"})
    for method in ("ReleaseAddress", "ReleasePool"):
        stage.plugin.replies[f"IpamDriver.{method}"] = said({"Error": f"no {method}"})
    container.remove(force=True)
    network.remove()
    stage.lab.settle()
    assert before.difference(Snapshot.of(stage.host)) == []
    log = "\n".join(stage.engine.controller.log)
    for method in ("Leave", "DeleteEndpoint", "RevokeExternalConnectivity", "DeleteNetwork", "ReleaseAddress"):
        assert f"remote: no {method}" in log


def test_a_plugin_that_does_not_tell_what_it_did(stage: Stage) -> None:
    stage.network()
    stage.plugin.replies["NetworkDriver.EndpointOperInfo"] = {"Err": "no info"}
    if stage.engine.profile.version == "26.1.5":
        assert refusal(stage, stage.run) == "Updating join info failed: remote: no info"
    else:
        container: Any = stage.run()
        assert container.status == "running"


REQUEST_POOL = [
    ({"Error": "empty"}, "remote: empty", None),
    (
        {"PoolID": "a", "Pool": "10.66.0.0"},
        "invalid CIDR address: 10.66.0.0",
        "netip.ParsePrefix(\"10.66.0.0\"): no '/'",
    ),
    ({"PoolID": "a"}, "invalid CIDR address: ", "netip.ParsePrefix(\"\"): no '/'"),
]


@pytest.mark.parametrize(("answer", "old", "new"), REQUEST_POOL, ids=lambda value: None)
def test_a_pool_that_cannot_be_had(stage: Stage, answer: dict[str, Any], old: str, new: str | None) -> None:
    stage.plugin.replies["IpamDriver.RequestPool"] = answer
    is_old = stage.engine.profile.version == "26.1.5"
    assert refusal(stage, stage.network) == (old if is_old or new is None else new)


REQUEST_ADDRESS = [
    (body('{"Error": "none left"}'), "remote: none left"),
    (body("{}"), "no address returned"),
    (body('{"Address": "10.78.0.4"}'), "invalid CIDR address: 10.78.0.4"),
    (body("nope", status=404), "IpamDriver.RequestAddress: nope"),
]


@pytest.mark.parametrize(("fault", "cause"), REQUEST_ADDRESS, ids=lambda value: None)
def test_an_address_that_cannot_be_had(stage: Stage, fault: Fault, cause: str) -> None:
    stage.network()
    stage.plugin.replies["IpamDriver.RequestAddress"] = fault
    assert refusal(stage, lambda: stage.network("p")) == f"failed to allocate gateway (): {cause}"
    assert refusal(stage, stage.run) == stage.engine.profile.start_error_prefix + cause


def test_address_spaces_that_cannot_be_had(stage: Stage) -> None:
    stage.plugin.replies["IpamDriver.GetDefaultAddressSpaces"] = {"Error": "nospace"}
    assert refusal(stage, stage.network) == "failed to get default address space: remote: nospace"


def test_a_gateway_that_cannot_be_read(stage: Stage) -> None:
    data = {"com.docker.network.gateway": "10.88.0.9"}
    stage.plugin.replies["IpamDriver.RequestPool"] = {"PoolID": "10.88.0.0/24", "Pool": "10.88.0.0/24", "Data": data}
    assert refusal(stage, stage.network) == (
        "failed to parse gateway address (10.88.0.9) returned by ipam driver: invalid CIDR address: 10.88.0.9"
    )


def test_a_plugin_that_offers_what_overlaps_the_host_for_ever(stage: Stage) -> None:
    stage.plugin.replies["IpamDriver.RequestPool"] = {"PoolID": "a", "Pool": "10.0.0.0/24"}
    text = refusal(stage, stage.network)
    assert text.startswith("remote: test returns the pool 10.0.0.0/24 repeatedly")
    assert stage.plugin.methods().count("IpamDriver.ReleasePool") == 1


# --- time and death


def test_a_plugin_that_hangs_up_is_tried_five_times_and_the_later_tries_say_nothing(stage: Stage) -> None:
    stage.plugin.replies["NetworkDriver.CreateNetwork"] = Fault(hang_up=True)
    text = refusal(stage, lambda: stage.network("x"))
    assert text == 'Post "http://plugin.moby.localhost/NetworkDriver.CreateNetwork": EOF'
    assert stage.time.slept == [1, 2, 4, 8]
    tries = [call.body is None for call in stage.plugin.calls if call.method == "NetworkDriver.CreateNetwork"]
    assert tries == [False, True, True, True, True]


def test_a_plugin_that_has_died_is_looked_for_again_with_the_same_words(stage: Stage) -> None:
    network: Any = stage.network()
    stage.plugin.stop()
    text = refusal(stage, lambda: stage.engine.networks.create("x", driver="test"))
    assert text == (
        'Post "http://plugin.moby.localhost/NetworkDriver.CreateNetwork": '
        f"dial unix {stage.plugin.path}: connect: connection refused"
    )
    assert stage.time.slept == [1, 2, 4, 8]
    stage.plugin.start()
    network.remove()


def test_a_plugin_that_comes_back_while_it_is_tried_is_asked_what_it_was_to_be_asked(stage: Stage) -> None:
    stage.network()
    stage.plugin.stop()
    stage.time.sleep = lambda seconds: (
        stage.time.slept.append(seconds),
        stage.plugin.start() if len(stage.time.slept) == 2 else None,
    )  # type: ignore[method-assign,assignment]
    network: Any = stage.engine.networks.create("x", driver="test")
    assert stage.time.slept == [1, 2]
    assert stage.plugin.calls[-1].body == {**(stage.plugin.calls[-1].body or {}), "NetworkID": network.id}


def test_a_slow_plugin_is_waited_for_and_a_hanging_one_is_given_up(stage: Stage) -> None:
    stage.plugin.replies["NetworkDriver.CreateNetwork"] = Fault(delay_s=0.3, does_work=True)
    now = stage.lab.now
    network: Any = stage.engine.networks.create("x", driver="test")
    network.remove()
    assert stage.lab.now == now
    stage.plugin.replies["NetworkDriver.CreateNetwork"] = Fault(delay_s=0.5)
    driver: Any = stage.engine.controller.drivers.get("test")
    driver.client.policy = PluginPolicy(timeout_s=0.1, give_up_s=0)
    text = refusal(stage, lambda: stage.engine.networks.create("y", driver="test"))
    assert text.endswith("context deadline exceeded (Client.Timeout exceeded while awaiting headers)")


def test_an_answer_larger_than_is_read(stage: Stage) -> None:
    stage.network()
    driver: Any = stage.engine.controller.drivers.get("test")
    driver.client.policy = PluginPolicy(reply_limit=100_000)
    stage.plugin.replies["NetworkDriver.CreateNetwork"] = body('{"Err": "' + "x" * 200_000)
    text = refusal(stage, lambda: stage.engine.networks.create("x", driver="test"))
    assert text == "NetworkDriver.CreateNetwork: the response exceeds 100000 bytes"
    stage.plugin.replies["NetworkDriver.CreateNetwork"] = body("{}" + " " * 200_000)
    assert stage.engine.networks.create("x", driver="test").name == "x"


def test_a_body_that_ends_early_is_read_as_far_as_it_goes(stage: Stage) -> None:
    stage.network()
    stage.plugin.replies["NetworkDriver.CreateNetwork"] = body('{"Err": ', length=500)
    assert refusal(stage, lambda: stage.engine.networks.create("x", driver="test")) == "unexpected EOF"


# --- not found, not of the kind, of no capability


def test_a_plugin_that_is_nowhere_is_looked_for_five_times(stage: Stage) -> None:
    text = refusal(stage, lambda: stage.engine.networks.create("x", driver="nosuch"))
    assert text == 'plugin "nosuch" not found'
    assert stage.time.slept == [1, 2, 4, 8]
    text = refusal(stage, lambda: stage.engine.networks.create("x", ipam={"Driver": "nosuch"}))
    assert text == 'plugin "nosuch" not found'


def test_without_folders_nothing_is_looked_for(stage: Stage) -> None:
    stage.engine.controller.plugins.folders = ()
    text = refusal(stage, lambda: stage.engine.networks.create("x", driver="test"))
    assert text == 'plugin "test" not found'
    assert stage.time.slept == [] and stage.plugin.calls == []


def test_a_plugin_of_another_kind(stage: Stage) -> None:
    stage.plugin.implements = ("IpamDriver",)
    assert refusal(stage, stage.network) == (
        "legacy plugin: Plugin does not implement the requested driver: "
        'plugin="test", requested implementation="NetworkDriver"'
    )
    assert stage.engine.networks.create("x", driver="bridge", ipam={"Driver": "test"}).name == "x"


@pytest.mark.parametrize(
    "capability", [{"Scope": "wide"}, {}, {"Scope": "local", "ConnectivityScope": "x"}, {"Err": "busy"}]
)
def test_a_plugin_that_does_not_say_what_it_can_do_is_no_driver(stage: Stage, capability: dict[str, str]) -> None:
    stage.plugin.capabilities = capability
    assert refusal(stage, stage.network) == "could not resolve driver test in registry"
    cause = "remote: busy" if "Err" in capability else "invalid capability: expecting 'local' or 'global', got "
    assert f"error getting capability for test due to {cause}" in "\n".join(stage.engine.controller.log)
    # It is activated and not asked again.
    refusal(stage, stage.network)
    assert stage.plugin.methods().count("NetworkDriver.GetCapabilities") == 1


def test_a_plugin_that_cannot_be_activated_is_tried_anew_the_next_time(stage: Stage) -> None:
    stage.plugin.replies["Plugin.Activate"] = body("not now", status=503)
    assert refusal(stage, stage.network) == "legacy plugin: Plugin.Activate: not now"
    del stage.plugin.replies["Plugin.Activate"]
    assert stage.network().name == "f"  # type: ignore[attr-defined]

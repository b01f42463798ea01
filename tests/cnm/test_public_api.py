"""The container network model as its user sees it: objects in one line, readable values, refusals as sentences."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest

import cnmsim
from cnmsim import Controller, Lab, cnm
from cnmsim.errors import Conflict, EngineError, Forbidden, InvalidParameter, NotFound, Unavailable
from cnmsim.kernel.process import Process
from cnmsim.libnetwork import controller as libnetwork
from cnmsim.libnetwork.profile import PROFILES

RELEASES = tuple(PROFILES)


def joined(
    controller: Controller, network: cnm.Network, name: str, **settings: object
) -> tuple[cnm.Sandbox, cnm.Endpoint]:
    sandbox = controller.new_sandbox(name)
    endpoint = network.create_endpoint(name, aliases=[name], **settings)
    endpoint.join(sandbox)
    return sandbox, endpoint


def test_the_package_adds_names_and_no_classes() -> None:
    assert cnmsim.Controller is cnm.Controller is libnetwork.Controller
    assert all(getattr(cnm, name).__module__.startswith("cnmsim.") for name in cnm.__all__)
    assert not any(getattr(cnm, name).__module__ == "cnmsim.cnm" for name in cnm.__all__)


@pytest.mark.parametrize("release", RELEASES)
def test_libnetworks_readme_line_by_line(release: str) -> None:
    controller = Controller(profile=release)
    network = controller.new_network("network1", "bridge")
    endpoint = network.create_endpoint("Endpoint1")
    sandbox = controller.new_sandbox("container1", hostname="test", domainname="docker.io")
    endpoint.join(sandbox)
    assert endpoint.driver_info()["mac"] == endpoint.mac
    assert endpoint.info.mac_address == endpoint.mac_address
    assert sandbox.key.startswith("/var/run/docker/netns/")
    assert f"{endpoint.info.address.ip}\ttest.docker.io test" in sandbox.exec("cat /etc/hosts").output  # type: ignore[union-attr]
    endpoint.leave()
    endpoint.delete()
    sandbox.delete()
    network.delete()
    assert not controller.networks and not controller.sandboxes


def test_an_engines_objects_are_the_models() -> None:
    lab = Lab()
    node = lab.add_host("node1", "10.0.0.15/24", docker=True)
    node.docker.networks.create("blue", subnet="172.30.0.0/24")
    container = node.docker.containers.run("alpine", "sleep 1d", name="c1", network="blue", detach=True)
    blue = node.docker.networks.get("blue").cnm
    assert lab.controller("node1") is node.controller is node.docker.controller
    assert blue is node.controller.network_by_name("blue")
    assert repr(container.sandbox) == "<Sandbox c1 eth0 172.30.0.2/24>"
    assert lab.sandbox("c1") is container.sandbox
    assert [str(e) for e in node.controller.events][-1].endswith("endpoint join c1 (network=blue, sandbox=c1)")


def test_values_are_readable() -> None:
    controller = Controller()
    blue = controller.new_network("blue", subnet="172.18.0.0/16", gateway="172.18.0.254")
    sandbox, endpoint = joined(controller, blue, "c1", address="172.18.0.9", mac="02:42:ac:12:00:09")
    assert [repr(item) for item in (controller, blue, endpoint, sandbox)] == [
        "<Controller 29.7.2 on node1: 1 networks, 1 sandboxes>",
        "<Network blue bridge 172.18.0.0/16>",
        "<Endpoint c1 on blue 172.18.0.9/16>",
        "<Sandbox c1 eth0 172.18.0.9/16>",
    ]
    assert endpoint.address == IPv4Interface("172.18.0.9/16")
    assert endpoint.mac_address == "02:42:ac:12:00:09"
    assert blue.subnets == [IPv4Network("172.18.0.0/16")]
    assert blue.gateways == [IPv4Address("172.18.0.254")]
    info = endpoint.info
    assert (info.gateway, info.interface, info.sandbox, info.dns_names) == (
        IPv4Address("172.18.0.254"),
        "eth0",
        "c1",
        ("c1",),
    )
    for thing in (controller, blue, endpoint, sandbox):
        card = thing._repr_html_()
        assert card is not None and "172.18.0" in card


def test_both_families_options_and_published_ports() -> None:
    lab = Lab()
    controller = lab.controller(
        config={"default-network-opts": {"bridge": {"com.docker.network.driver.mtu": "1400"}}}
    )
    client = lab.add_host("client", "10.0.0.50/24")
    blue = controller.new_network("blue", subnet=["172.18.0.0/16", "fd00:1::/64"], labels={"tier": 1})
    web = controller.new_sandbox(
        "web",
        hostname="www",
        dns=["10.0.0.2"],
        extra_hosts=["db:10.0.0.9"],
        sysctls={"net.ipv4.ip_forward": 0},
        port_bindings=["8080:80/tcp"],
    )
    endpoint = blue.create_endpoint("web", aliases=["web"])
    endpoint.join(web)
    web.start("httpd -f -p 80 -h /")
    assert blue.labels == {"tier": "1"}
    assert str(endpoint.address6) == "fd00:1::2/64"
    assert web.interfaces[1].mtu == 1400
    assert web.exec("cat /proc/sys/net/ipv4/ip_forward").output == "0\n"
    assert "10.0.0.9\tdb" in web.exec("cat /etc/hosts").output
    assert web.exec("hostname").output == "www\n"
    assert endpoint.info.port_map[0] == "0.0.0.0:8080:172.18.0.2:80/tcp"
    assert lab.trace(client, "node1:8080").is_reachable


def test_a_sandbox_is_a_place_to_run_programs() -> None:
    controller = Controller()
    blue = controller.new_network("blue", subnet="172.18.0.0/16")
    a, _first = joined(controller, blue, "a")
    b, _second = joined(controller, blue, "b")

    async def serve(process: Process) -> int:
        socket = process.udp()
        socket.bind(("0.0.0.0", 7))
        data, client = await socket.recvfrom()
        socket.sendto(data.upper(), client)
        return 0

    b.place.spawn(["echo"], program=serve)

    async def ask(process: Process) -> bytes:
        socket = process.udp()
        socket.sendto(b"hello", ("172.18.0.3", 7))
        return (await socket.recvfrom())[0]

    assert a.run(ask) == b"HELLO"
    assert a.exec("ping -c 1 b").succeeded
    assert a.exec(["frob"]).status == 127
    assert a.exec("sleep 9", timeout_s=1).status == 124
    assert [item.name for item in a.interfaces] == ["lo", "eth0"]
    assert a.interfaces[1].network == "blue"
    assert [str(item) for item in a.interfaces] == [
        "lo 127.0.0.1/8 ::1/128",
        "eth0 172.18.0.2/16 on blue",
    ]
    assert a.exec("cat /etc/hostname").output == "a\n"
    assert next(str(route) for route in a.routes) == "default via 172.18.0.1 dev eth0"
    assert any(line.startswith("iptables -t nat -A DOCKER_OUTPUT") for line in a.rules)

    async def fails(process: Process) -> None:
        raise ConnectionRefusedError("nobody")

    with pytest.raises(ConnectionRefusedError):
        a.run(fails)

    async def waits(process: Process) -> None:
        await process.sleep(10)

    with pytest.raises(TimeoutError, match="waits in sandbox a was killed"):
        a.run(waits, timeout_s=1)


def test_a_deleted_sandbox_ends_its_programs_and_runs_no_more() -> None:
    controller = Controller()
    sandbox, _ = joined(controller, controller.new_network("blue"), "a")
    process = sandbox.start("sleep 1d")
    sandbox.delete()
    assert not process.is_running
    with pytest.raises(Unavailable, match="sandbox a was deleted"):
        sandbox.exec("true")


def test_a_sandbox_with_an_external_key_has_a_namespace_later() -> None:
    controller = Controller()
    blue = controller.new_network("blue", subnet="172.18.0.0/16")
    sandbox = controller.new_sandbox("a", use_external_key=True)
    blue.create_endpoint("a").join(sandbox)
    with pytest.raises(Unavailable, match=r"no network namespace yet: call set_key\(\)"):
        sandbox.exec("true")
    sandbox.set_key()
    assert sandbox.exec("ping -c 1 172.18.0.1").succeeded


def test_a_sandbox_in_host_mode_is_the_host() -> None:
    controller = Controller()
    network = controller.new_network("host", "host")
    sandbox = controller.new_sandbox("agent", use_host_namespace=True)
    network.create_endpoint("agent").join(sandbox)
    assert sandbox.exec("hostname").output == "node1\n"
    assert "10.0.0.15/24" in sandbox.exec("ip addr show eth0").output
    sandbox.delete()
    assert controller.machine.root.devices["eth0"].is_up


def test_the_gateway_has_the_highest_priority() -> None:
    controller = Controller()
    networks = [
        controller.new_network(name, subnet=f"172.{number}.0.0/16") for number, name in enumerate("ab", start=20)
    ]
    sandbox = controller.new_sandbox("c")
    for network, priority in zip(networks, (0, 5), strict=True):
        network.create_endpoint("c").join(sandbox, gw_priority=priority)
    assert next(route.gateway for route in sandbox.routes) == IPv4Address("172.21.0.1")
    assert [endpoint.network.name for endpoint in sandbox.endpoints] == ["b", "a"]
    sandbox.endpoints[0].leave()
    assert next(route.gateway for route in sandbox.routes) == IPv4Address("172.20.0.1")


def test_refresh_joins_again_with_new_options() -> None:
    controller = Controller()
    sandbox, endpoint = joined(controller, controller.new_network("blue", subnet="172.18.0.0/16"), "a")
    process = sandbox.start("sleep 1d")
    sandbox.refresh(extra_hosts={"db": "10.0.0.9"})
    assert endpoint.sandbox is sandbox and process.is_running
    assert "10.0.0.9\tdb" in sandbox.exec("cat /etc/hosts").output
    assert sandbox.exec("ping -c 1 172.18.0.1").succeeded
    with pytest.raises(InvalidParameter, match="did you mean dns_search"):
        sandbox.refresh(dns_seach=["x"])


def test_walkers_stop_when_told_to_and_events_are_listed() -> None:
    controller = Controller()
    heard: list[str] = []
    unsubscribe = controller.events.subscribe(lambda event: heard.append(f"{event.kind} {event.action} {event.name}"))
    blue, red = controller.new_network("blue"), controller.new_network("red")
    sandbox, endpoint = joined(controller, blue, "a")
    sandbox.delete()
    unsubscribe()
    blue.delete()
    seen: list[cnm.Network] = []
    controller.new_network("green")
    controller.walk_networks(lambda network: seen.append(network) or network is red)
    assert seen == [red]
    assert heard == [
        "network create blue", "network create red", "sandbox create a", "endpoint create a", "endpoint join a",
        "endpoint leave a", "endpoint delete a", "sandbox delete a",
    ]  # fmt: skip
    assert [event.name for event in controller.events if event.kind == "network"] == ["blue", "red", "blue", "green"]
    assert endpoint.is_deleted


def _prepared() -> dict[str, object]:
    controller = Controller()
    blue = controller.new_network("blue", subnet="172.18.0.0/16")
    a, first = joined(controller, blue, "a")
    other = controller.new_sandbox("other")
    gone = controller.new_sandbox("gone")
    left = blue.create_endpoint("left")
    gone.delete()
    old = blue.create_endpoint("old")
    old.delete()
    red = controller.new_network("red", subnet="172.19.0.0/16")
    red.delete()
    foreign = Controller().new_sandbox("foreign")
    return {
        "controller": controller, "blue": blue, "a": a, "first": first, "other": other, "gone": gone, "left": left,
        "old": old, "red": red, "foreign": foreign,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda p: p["controller"].new_network("blue"), Conflict, "network with name blue already exists"),
        (lambda p: p["controller"].new_network(" "), InvalidParameter, "invalid name: name is empty"),
        (lambda p: p["controller"].new_network(7), InvalidParameter, "new_network needs a name"),
        (lambda p: p["controller"].new_network("x", "frob"), NotFound, 'plugin "frob" not found'),
        (lambda p: p["controller"].new_network("x", "overlay"), Forbidden, "This node is not a swarm manager"),
        (lambda p: p["controller"].new_network("x", subnt="1"), InvalidParameter, "did you mean subnet"),
        (lambda p: p["controller"].new_network("x", subnet="1"), EngineError, "invalid address pool"),
        (lambda p: p["controller"].new_network("x", driver_opts=[1]), InvalidParameter, "driver_opts: a mapping"),
        (lambda p: p["controller"].new_network("x", subnet="172.18.5.0/24"), Forbidden, "overlap"),
        (lambda p: p["controller"].network_by_name("x"), NotFound, "network x not found"),
        (lambda p: p["controller"].new_sandbox(""), InvalidParameter, "invalid container ID"),
        (lambda p: p["controller"].new_sandbox("a"), Forbidden, "container a is already present in sandbox"),
        (lambda p: p["controller"].new_sandbox("q", port_bindings=["99999:80"]), InvalidParameter, "invalid port"),
        (lambda p: p["controller"].new_sandbox("q", port_bindings="80"), InvalidParameter, "a list is needed"),
        (lambda p: p["controller"].new_sandbox("q", sysctls={"net.ipv4.frob": 1}), EngineError, "no such file"),
        (lambda p: p["blue"].create_endpoint(None), InvalidParameter, "create_endpoint needs a name"),
        (lambda p: p["blue"].create_endpoint("a"), Forbidden, "endpoint with name a already exists in network blue"),
        (lambda p: p["blue"].create_endpoint("x", address="10.9.9.9"), InvalidParameter, "It does not belong to any"),
        (lambda p: p["blue"].create_endpoint("x", address="10.9"), InvalidParameter, "invalid IP address: 10.9"),
        (lambda p: p["blue"].create_endpoint("x", mac="02:42"), InvalidParameter, "invalid MAC address: 02:42"),
        (lambda p: p["blue"].create_endpoint("x", address="172.18.0.2"), EngineError, "already in use"),
        (lambda p: p["blue"].delete(), Forbidden, "network blue has active endpoints"),
        (lambda p: p["first"].join(p["other"]), Forbidden, "another container is attached to the same network"),
        (lambda p: p["left"].join("a"), InvalidParameter, "invalid Sandbox passed to endpoint join: a"),
        (lambda p: p["left"].join(p["gone"]), InvalidParameter, "invalid Sandbox passed to endpoint join"),
        (lambda p: p["left"].join(p["foreign"]), InvalidParameter, "invalid Sandbox passed to endpoint join"),
        (lambda p: p["left"].join(p["a"]), EngineError, "it conflicts with existing route"),
        (lambda p: p["left"].leave(), Forbidden, "cannot leave endpoint with no attached sandbox"),
        (lambda p: p["first"].leave(p["other"]), Forbidden, "unexpected sandbox ID in leave request"),
        (lambda p: p["first"].leave(5), InvalidParameter, "invalid Sandbox passed to endpoint leave: 5"),
        (lambda p: p["first"].delete(), Forbidden, "endpoint with name a id .* has active containers"),
        (lambda p: p["old"].join(p["other"]), EngineError, "failed to get endpoint from store during join"),
        (lambda p: p["old"].leave(), EngineError, "failed to get endpoint from store during leave"),
        (lambda p: p["old"].delete(), EngineError, "failed to get endpoint from store during Delete"),
        (lambda p: p["red"].create_endpoint("x"), NotFound, "network .* not found"),
        (lambda p: p["red"].delete(), NotFound, "unknown network red id"),
        (lambda p: p["gone"].delete(), Forbidden, "another sandbox delete in progress"),
        (lambda p: p["gone"].refresh(), Forbidden, "another sandbox delete in progress"),
    ],
)  # fmt: skip
def test_a_refused_call_says_why_and_changes_nothing(
    call: Callable[[dict[str, object]], object], kind: type[EngineError], text: str
) -> None:
    prepared = _prepared()
    controller, a = prepared["controller"], prepared["a"]
    assert isinstance(controller, Controller) and isinstance(a, cnm.Sandbox)

    def state() -> tuple[object, ...]:
        root = controller.machine.root
        return (
            [repr(network) for network in controller.networks],
            [[repr(endpoint) for endpoint in network.endpoints.values()] for network in controller.networks],
            [repr(sandbox) for sandbox in controller.sandboxes],
            sorted((device.index, device.name, device.is_up) for device in root.devices.values()),
            root.netfilter.iptables(4).save(),
            [str(route) for route in a.routes],
        )

    before = state()
    with pytest.raises(kind, match=text):
        call(prepared)
    assert state() == before


def test_swapped_arguments_and_names_of_sandboxes_are_recognised() -> None:
    lab = Lab()
    controller = lab.controller()
    with pytest.raises(NotFound, match='plugin "blue" not found') as raised:
        controller.new_network("bridge", "blue")
    assert raised.value.__notes__ == ["new_network takes the name first: new_network('blue', 'bridge')"]
    controller.new_sandbox("c1")
    with pytest.raises(NotFound, match=r"no host and no container is named 'c1'; lab.sandbox\('c1'\) is a sandbox"):
        lab["c1"]

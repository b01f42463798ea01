"""The conformance tests for network drivers: test classes from which authors of drivers derive their own.

They need pytest.

    from cnmsim.testing.drivers import DriverConformance

    class TestSwitchDriver(DriverConformance):
        driver = "switch"
        factory = SwitchDriver  # omitted for a driver of an installed package

This runs each test with every supported release. `docs/drivers.md` documents the contract that the tests check.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from attrs import frozen

from cnmsim.errors import EngineError, Forbidden
from cnmsim.kernel.address import format_ip, format_mac, parse_ip, parse_mac
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.lab import Host, Lab
from cnmsim.libnetwork.driver import Capability, Driver, EndpointInterface, NetworkRequest, SandboxContext
from cnmsim.libnetwork.drivers.registry import DriverFactory
from cnmsim.libnetwork.endpoint import Endpoint
from cnmsim.libnetwork.network import Network
from cnmsim.libnetwork.options import EndpointOptions, IpamConfig, NetworkOptions
from cnmsim.libnetwork.profile import PROFILES
from cnmsim.testing.snapshot import Snapshot

_MAC = "02:00:00:00:00:99"
_UNKNOWN = "0" * 64


@frozen
class _HostState:
    """The state of a host: its `Snapshot`, and `hidden`, the devices in namespaces that only the driver refers to."""

    snapshot: Snapshot
    hidden: Counter[str]

    @classmethod
    def of(cls, host: Host) -> _HostState:
        """Record the present state of `host`."""
        machine = host.machine
        gc.collect()  # as in Linux, a namespace disappears with its last reference
        known = {id(namespace) for namespace in (machine.root, *machine.namespaces.values())}
        hidden = (
            f"{namespace.name}: {device.name} {device.kind}"
            for namespace in gc.get_objects()
            if isinstance(namespace, NetworkNamespace) and namespace.machine is machine and id(namespace) not in known
            for device in namespace.devices.values()
            if device is not namespace.loopback
        )
        return cls(Snapshot.of(host), Counter(hidden))

    def difference(self, later: _HostState) -> list[str]:
        """Return what differs in `later`: `- …` for a missing line, `+ …` for a new one; [] if nothing does."""
        lost, won = self.hidden - later.hidden, later.hidden - self.hidden
        changes = self.snapshot.difference(later.snapshot)
        changes += [f"- device in a namespace of the driver's: {line}" for line in sorted(lost.elements())]
        return changes + [f"+ device in a namespace of the driver's: {line}" for line in sorted(won.elements())]


class _Bench:
    """The base of the test classes below: fixtures, and a lab with a Docker host and a second host."""

    #: The driver's name, as in `docker network create -d NAME`.
    driver: ClassVar[str] = ""
    #: The driver's class or factory, called with a `DriverHost`. `None` for a driver that is registered in another
    #: way.
    factory: ClassVar[DriverFactory | None] = None

    @pytest.fixture(params=list(PROFILES))
    def release(self, request: pytest.FixtureRequest) -> str:
        """Return a supported release. Each test runs once with every release."""
        return str(request.param)

    @pytest.fixture
    def lab(self, release: str) -> Iterator[Lab]:
        """Yield the lab. Override this fixture if the driver needs more; the lab must have a Docker host `node1`."""
        lab = Lab(engine=release)
        lab.add_host("node1", "10.0.0.15/24", docker=True)
        lab.add_host("beside", "10.0.0.50/24", web=True)
        factory = type(self).factory
        if factory is not None:
            lab.controller("node1").register_driver(self.driver, factory)
        yield lab

    def engine_of(self, lab: Lab) -> Any:
        """Return the engine of `node1`."""
        return lab.host("node1").docker

    def driver_of(self, lab: Lab) -> Driver:
        """Return the driver under test."""
        driver: Driver = self.engine_of(lab).controller.drivers.get(self.driver)
        return driver

    def run(self, lab: Lab, name: str, network: str, image: str = "alpine", **options: Any) -> Any:
        """Run a container in the background on a network and return it. Its program does not end by itself.

        `options` are those of docker-py's `containers.run`.
        """
        command = "sleep 1d" if image == "alpine" else None
        container = self.engine_of(lab).containers.run(
            image, command, name=name, network=network, detach=True, **options
        )
        lab.settle()
        return container


class DriverConformance(_Bench):
    """The tests for a driver that can create networks.

    A subclass sets `driver` and, where the defaults do not apply, the attributes below.
    """

    #: The driver options (`-o`) with which every network is created.
    options: ClassVar[dict[str, str]] = {}
    #: The subnet of the network in most tests.
    subnet: ClassVar[str] = "10.91.0.0/24"
    #: Driver options that the driver must refuse, or `None` if it accepts all options.
    refused_options: ClassVar[dict[str, str] | None] = None
    #: Whether the user may choose the MAC address of an endpoint.
    takes_mac: ClassVar[bool] = True
    #: Whether the driver supports IPv6 addresses.
    takes_ipv6: ClassVar[bool] = True
    #: Whether a host can have several networks of the driver at the same time.
    takes_several: ClassVar[bool] = True
    #: Whether two containers on the same network reach each other.
    connects: ClassVar[bool] = True
    #: The prefix of the interface names in a container, such as `eth`.
    interface_prefix: ClassVar[str] = "eth"

    def network(self, lab: Lab, name: str = "net-a", subnet: str = "", **options: Any) -> Any:
        """Create a network of the driver by the engine and return it. `options` are those of docker-py."""
        ipam = {"Config": [{"Subnet": subnet or self.subnet}]}
        return self.engine_of(lab).networks.create(
            name, driver=self.driver, options=dict(self.options), ipam=ipam, **options
        )

    def test_it_keeps_to_the_protocol(self, lab: Lab) -> None:
        """The driver has all methods of the contract, the right name, and valid scopes (`local` or `global`)."""
        driver = self.driver_of(lab)
        assert isinstance(driver, Driver), "a method or attribute of cnmsim.libnetwork.driver.Driver is missing"
        assert driver.name == self.driver
        assert isinstance(driver.capability, Capability)
        assert {driver.capability.data_scope, driver.capability.connectivity_scope} <= {"local", "global"}

    def test_a_network_leaves_nothing(self, lab: Lab) -> None:
        """Creating and removing a network leaves the host unchanged."""
        # Objects that a driver creates once for all its networks may remain.
        self.network(lab).remove()
        before = _HostState.of(lab.host("node1"))
        network = self.network(lab)
        assert network.attrs["Driver"] == self.driver
        network.remove()
        lab.settle()
        assert before.difference(_HostState.of(lab.host("node1"))) == []

    def test_a_container_leaves_nothing(self, lab: Lab) -> None:
        """Running, stopping and removing a container leaves the host unchanged."""
        self.network(lab)
        self.run(lab, "first", "net-a").remove(force=True)
        before = _HostState.of(lab.host("node1"))
        container = self.run(lab, "c1", "net-a")
        container.stop()
        container.start()
        container.remove(force=True)
        lab.settle()
        assert before.difference(_HostState.of(lab.host("node1"))) == []

    def test_connect_and_disconnect_leave_nothing(self, lab: Lab) -> None:
        """Connecting and disconnecting a running container, three times in a row, leaves the host unchanged."""
        network = self.network(lab)
        container = self.run(lab, "c1", "bridge")
        host = lab.host("node1")
        network.connect("c1")
        network.disconnect("c1")
        lab.settle()
        before, devices = _HostState.of(host), _device_names(container)
        for _ in range(3):
            network.connect("c1")
            assert len(_device_names(container)) > len(devices)
            network.disconnect("c1")
            lab.settle()
        assert before.difference(_HostState.of(host)) == []
        assert _device_names(container) == devices

    def test_the_interface_has_the_addresses_of_the_endpoint(self, lab: Lab) -> None:
        """The interface in the container has the addresses that `docker inspect` shows."""
        self.network(lab)
        container = self.run(lab, "c1", "net-a")
        settings = container.attrs["NetworkSettings"]["Networks"]["net-a"]
        shown = container.exec("ip addr").output
        assert f"inet {settings['IPAddress']}/{settings['IPPrefixLen']}" in shown
        if settings["MacAddress"]:
            assert settings["MacAddress"] in shown
        assert any(name.startswith(self.interface_prefix) for name in _device_names(container))

    def test_what_is_asked_for_is_kept(self, lab: Lab) -> None:
        """The driver keeps the addresses that were requested for an endpoint, and chooses only missing ones."""
        network = self._libnetwork(lab)
        mac = parse_mac(_MAC) if self.takes_mac else None
        requested = parse_ip(self.subnet.partition("/")[0])[:3] + b"\x42"
        endpoint = network.create_endpoint("wanted", options=EndpointOptions(ipv4=requested, mac=mac))
        assert endpoint.ipv4 is not None and format_ip(endpoint.ipv4[0]) == format_ip(requested)
        if mac is not None:
            assert endpoint.mac is not None and format_mac(endpoint.mac) == _MAC
        others = [network.create_endpoint(name) for name in ("other", "third")]
        if self.takes_mac:
            macs = [created.mac for created in (endpoint, *others)]
            assert None not in macs and len(set(macs)) == len(macs), (
                "two endpoints have one MAC address, or one has none"
            )
        for created in (endpoint, *others):
            created.delete()
        network.delete()

    def test_an_endpoint_may_be_deleted_before_it_joins(self, lab: Lab) -> None:
        """Deleting endpoints that never joined leaves nothing behind."""
        network = self._libnetwork(lab)
        network.create_endpoint("first").delete()
        before = _HostState.of(lab.host("node1"))
        network.create_endpoint("second").delete()
        lab.settle()
        assert before.difference(_HostState.of(lab.host("node1"))) == []
        network.delete()

    def test_an_endpoint_may_leave_and_join_again(self, lab: Lab) -> None:
        """An endpoint that has left its sandbox can join it again. After its deletion nothing remains."""
        network = self._libnetwork(lab)

        def join_twice() -> None:
            sandbox = self.engine_of(lab).controller.new_sandbox("c" * 64)
            sandbox.set_key()  # 26.1.5 attaches an endpoint that has joined before only at this call
            endpoint = network.create_endpoint("ep")
            for _ in range(2):
                endpoint.join(sandbox)
                lab.settle()
                endpoint.leave()
            endpoint.delete()
            sandbox.delete()
            lab.settle()

        join_twice()
        before = _HostState.of(lab.host("node1"))
        join_twice()
        assert before.difference(_HostState.of(lab.host("node1"))) == []
        network.delete()

    def test_operational_info(self, lab: Lab) -> None:
        """`operational_info` returns without error for an endpoint before and after it has joined a sandbox."""
        network = self._libnetwork(lab)
        endpoint: Endpoint = network.create_endpoint("ep")
        assert isinstance(endpoint.driver_info(), dict)
        sandbox = self.engine_of(lab).controller.new_sandbox("c" * 64)
        endpoint.join(sandbox)
        assert isinstance(endpoint.driver_info(), dict)
        sandbox.delete()
        network.delete()

    def test_containers_reach_each_other_by_name(self, lab: Lab) -> None:
        """Two containers on the same network reach each other by name, by HTTP and by ping."""
        if not self.connects:
            pytest.skip(f"the networks of {self.driver} connect nothing")
        self.network(lab)
        self.run(lab, "web", "net-a", "nginx")
        client = self.run(lab, "client", "net-a")
        assert "Welcome to nginx!" in client.exec("wget -qO- -T 3 http://web/").output
        assert client.exec("ping -c 1 -W 2 web").exit_code == 0

    def test_containers_reach_each_other_by_ipv6(self, lab: Lab) -> None:
        """Interfaces on an IPv6 network have IPv6 addresses in its subnet, and packets between them arrive."""
        if not (self.connects and self.takes_ipv6):
            pytest.skip(f"the networks of {self.driver} connect nothing by IPv6")
        ipam = {"Config": [{"Subnet": self.subnet}, {"Subnet": "fd00:91::/64"}]}
        self.engine_of(lab).networks.create(
            "net-6", driver=self.driver, options=dict(self.options), ipam=ipam, enable_ipv6=True
        )
        web, client = self.run(lab, "web", "net-6", "nginx"), self.run(lab, "client", "net-6")
        settings = web.attrs["NetworkSettings"]["Networks"]["net-6"]
        address = settings["GlobalIPv6Address"]
        assert f"inet6 {address}/{settings['GlobalIPv6PrefixLen']}" in web.exec("ip -6 addr").output
        assert client.exec(f"ping -6 -c 1 -W 2 {address}").exit_code == 0

    def test_one_network_does_not_end_with_another(self, lab: Lab) -> None:
        """Changing or removing one network does not affect the containers of another."""
        if not (self.connects and self.takes_several):
            pytest.skip(f"a host has one network of {self.driver} at a time")
        self.network(lab)
        self.run(lab, "web", "net-a", "nginx")
        client = self.run(lab, "client", "net-a")
        assert client.exec("ping -c 1 -W 2 web").exit_code == 0
        other = self.network(lab, "net-b", "10.92.0.0/24")
        self.run(lab, "guest", "net-b").remove(force=True)
        other.remove()
        lab.settle()
        assert client.exec("ping -c 1 -W 2 web").exit_code == 0
        assert "Welcome to nginx!" in client.exec("wget -qO- -T 3 http://web/").output

    def test_an_internal_network_leads_nowhere(self, lab: Lab) -> None:
        """A container on an internal network reaches nothing outside it."""
        self.network(lab, internal=True)
        client = self.run(lab, "client", "net-a")
        assert client.exec("wget -qO- -T 2 http://10.0.0.50/").exit_code != 0

    def test_a_refused_network_changes_nothing(self, lab: Lab) -> None:
        """A network that the driver refuses raises an `EngineError` and changes nothing."""
        if self.refused_options is None:
            pytest.skip(f"{self.driver} refuses no options")
        before = _HostState.of(lab.host("node1"))
        ipam = {"Config": [{"Subnet": self.subnet}]}
        with pytest.raises(EngineError):
            self.engine_of(lab).networks.create(
                "wrong", driver=self.driver, options={**self.options, **self.refused_options}, ipam=ipam
            )
        lab.settle()
        assert before.difference(_HostState.of(lab.host("node1"))) == []

    def test_a_start_that_fails_leaves_nothing(self, lab: Lab) -> None:
        """A failed start leaves nothing behind.

        The start fails because the endpoint's address is already in use in the sandbox.
        """
        network = self._libnetwork(lab)
        sandbox = self.engine_of(lab).controller.new_sandbox("c" * 64)
        network.create_endpoint("first").join(sandbox)
        lab.settle()
        before = _HostState.of(lab.host("node1"))
        second = network.create_endpoint("second")
        # Two interfaces in one subnet: the route of the second one conflicts with the route of the first.
        with pytest.raises(EngineError, match="conflicts with existing route"):
            second.join(sandbox)
        assert second.sandbox is None
        second.delete()
        lab.settle()
        left = before.difference(_HostState.of(lab.host("node1")))
        if self.engine_of(lab).profile.failed_join_keeps_interface:
            left = [line for line in left if not line[2:].startswith("files: ")]  # the line stays in /etc/hosts
        assert left == []
        sandbox.delete()
        network.delete()

    def test_what_it_does_not_know_is_an_engine_error_or_nothing(self, lab: Lab) -> None:
        """Calls with unknown ids succeed or raise an `EngineError`. In both cases the host stays unchanged."""
        driver = self.driver_of(lab)
        context = SandboxContext("s", "/var/run/docker/netns/s")
        calls: list[Any] = [
            lambda: driver.delete_network(_UNKNOWN),
            lambda: driver.create_endpoint(_UNKNOWN, _UNKNOWN, EndpointInterface(), EndpointOptions()),
            lambda: driver.delete_endpoint(_UNKNOWN, _UNKNOWN),
            lambda: driver.join(_UNKNOWN, _UNKNOWN, context, _join_info()),
            lambda: driver.leave(_UNKNOWN, _UNKNOWN),
        ]
        before = _HostState.of(lab.host("node1"))
        for call in calls:
            try:
                call()
            except EngineError as error:
                assert error.message
        assert before.difference(_HostState.of(lab.host("node1"))) == []

    def test_two_labs_alike_behave_alike(self, lab: Lab, release: str) -> None:
        """With the same seed of the machine's random generator, the driver assigns the same MAC and IP addresses.

        A driver that uses another source of random numbers fails this test.
        """
        del release
        network = self._libnetwork(lab)
        twice = []
        for _ in range(2):
            lab.host("node1").machine.random.seed(7)
            endpoint = network.create_endpoint("ep")
            twice.append((endpoint.mac, endpoint.ipv4))
            endpoint.delete()
        assert twice[0] == twice[1]
        network.delete()

    def _libnetwork(self, lab: Lab) -> Network:
        """Create a network by calling libnetwork directly, without the engine, and return it."""
        options = NetworkOptions(driver_opts=dict(self.options), ipam_config=[IpamConfig(self.subnet)])
        network: Network = self.engine_of(lab).controller.new_network("net-a", self.driver, options=options)
        return network


class SpecialDriverConformance(_Bench):
    """The tests for a driver that has a single, predefined network, as `host` and `null` have."""

    #: The name of the predefined network.
    network_name: ClassVar[str] = ""

    def test_it_keeps_to_the_protocol(self, lab: Lab) -> None:
        """The driver has every method of the contract, and declares that its networks need no addresses."""
        driver = self.driver_of(lab)
        assert isinstance(driver, Driver)
        assert driver.name == self.driver
        assert self.engine_of(lab).controller.find_network(self.network_name).is_special

    def test_there_is_one_network_and_it_stays(self, lab: Lab) -> None:
        """The driver refuses to create a second network and to remove the predefined one."""
        driver = self.driver_of(lab)
        with pytest.raises(Forbidden):
            driver.create_network(NetworkRequest("1" * 64, "second", {}, [], []))
        with pytest.raises(Forbidden):
            driver.delete_network(_UNKNOWN)
        with pytest.raises(Forbidden):
            self.engine_of(lab).networks.get(self.network_name).remove()

    def test_a_container_leaves_nothing(self, lab: Lab) -> None:
        """Running, stopping and removing a container leaves the host unchanged."""
        self.run(lab, "first", self.network_name).remove(force=True)
        before = _HostState.of(lab.host("node1"))
        container = self.run(lab, "c1", self.network_name)
        settings = container.attrs["NetworkSettings"]["Networks"][self.network_name]
        assert (settings["IPAddress"], settings["MacAddress"]) == ("", "")
        container.remove(force=True)
        lab.settle()
        assert before.difference(_HostState.of(lab.host("node1"))) == []


def _device_names(container: Any) -> list[str]:
    return [line.split(":")[1].strip() for line in container.exec("ip -o link").output.splitlines()]


def _join_info() -> Any:
    from cnmsim.libnetwork.driver import JoinInfo

    return JoinInfo()

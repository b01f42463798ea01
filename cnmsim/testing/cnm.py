"""Hypothesis strategies and a state machine for the container network model. Needs Hypothesis.

The strategies draw libnetwork's objects, each on a controller of a lab of its own. `CnmMachine` creates, joins,
leaves and deletes such objects in any order. It checks the rules of the model after every step, and in the end that
no objects remain. Use it in a test by

    TestModel = CnmMachine.TestCase
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.strategies import SearchStrategy

from cnmsim.cnm import Controller, Endpoint, Network, Sandbox
from cnmsim.errors import EngineError, NotFound
from cnmsim.lab import Lab
from cnmsim.testing.snapshot import Snapshot
from cnmsim.testing.strategies import releases, subnets

_NETWORKS = ("blue", "green", "red")
_SANDBOXES = ("a", "b", "c")
_ENDPOINTS = ("one", "two", "three")
_SUBNETS = {name: f"172.2{number}.0.0/24" for number, name in enumerate(_NETWORKS)}


@st.composite
def _controllers(draw: st.DrawFn) -> Controller:
    return Lab(draw(releases())).controller()


@st.composite
def networks(
    draw: st.DrawFn, *, drivers: Sequence[str] = ("bridge",), allow_internal: bool = True, allow_ipv6: bool = True
) -> Network:
    """Return a strategy for networks, each on a controller of its own.

    `drivers` are the drivers to draw from. Without `allow_internal` or `allow_ipv6`, no network is internal or has
    IPv6.
    """
    controller = draw(_controllers())
    pools = [draw(subnets())]
    if allow_ipv6 and draw(st.booleans()):
        pools.append(draw(subnets(family=6)))
    return controller.new_network(
        draw(st.sampled_from(_NETWORKS)),
        draw(st.sampled_from(list(drivers))),
        subnet=pools,
        internal=allow_internal and draw(st.booleans()),
    )


@st.composite
def endpoints(draw: st.DrawFn, *, joined: bool | None = None) -> Endpoint:
    """Return a strategy for endpoints.

    With `joined` True every endpoint has joined a sandbox, with False no endpoint has; with `None` either is drawn.
    """
    network = draw(networks())
    endpoint = network.create_endpoint(draw(st.sampled_from(_ENDPOINTS)), aliases=draw(_aliases()))
    if draw(st.booleans()) if joined is None else joined:
        endpoint.join(network.controller.new_sandbox(draw(st.sampled_from(_SANDBOXES))))
    return endpoint


def _aliases() -> SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(("web", "db", "cache")), unique=True, max_size=2)


@st.composite
def sandboxes(draw: st.DrawFn, *, min_networks: int = 0, max_networks: int = 3) -> Sandbox:
    """Return a strategy for sandboxes with endpoints on `min_networks` to `max_networks` (at most 3) networks."""
    controller = draw(_controllers())
    names = draw(st.lists(st.sampled_from(_NETWORKS), unique=True, min_size=min_networks, max_size=max_networks))
    sandbox = controller.new_sandbox(draw(st.sampled_from(_SANDBOXES)))
    for name in names:
        network = controller.new_network(name, subnet=_SUBNETS[name], internal=draw(st.booleans()))
        network.create_endpoint(sandbox.name, aliases=draw(_aliases())).join(sandbox)
    return sandbox


class CnmMachine(RuleBasedStateMachine):
    """A state machine of networks, endpoints and sandboxes on one controller, which checks the rules of the model.

    A subclass may set `drivers`, and override `prepare` to register a driver of its own.
    """

    #: The drivers of the networks that are created.
    drivers: ClassVar[Sequence[str]] = ("bridge",)

    lab: Lab
    controller: Controller
    baseline: Snapshot

    def prepare(self, controller: Controller) -> None:
        """Register a driver with the controller, or configure it. Called before the first step of a test run."""

    @initialize(release=releases())
    def begin(self, release: str) -> None:
        """Create the controller of `release`, and a first network, which is deleted again.

        The first network creates firewall chains that remain; later networks must leave nothing behind.
        """
        self.lab = Lab(release)
        self.lab.clock.run_ready()
        self.controller = self.lab.controller()
        self.prepare(self.controller)
        for driver in self.drivers:
            self.controller.new_network("first", driver, subnet="172.29.0.0/24").delete()
        self.baseline = self._snapshot()

    def _snapshot(self) -> Snapshot:
        return Snapshot.of(self.lab.host("node1"))

    def _attempt(self, call: Callable[[], object], *, may: bool) -> bool:
        """Make a call that must succeed if `may` is True, and must be refused if it is False.

        Return True if it succeeded. A refused call must not have changed anything.
        """
        before = self._snapshot()
        try:
            call()
        except EngineError as error:
            changes = before.difference(self._snapshot())
            assert not changes, f"{error.message}: the refused call changed {changes}"
            assert not may, f"refused: {error.message}"
            return False
        assert may, "a call succeeded that the model refuses"
        return True

    # --- rules

    @rule(name=st.sampled_from(_NETWORKS), data=st.data(), internal=st.booleans())
    def new_network(self, name: str, data: st.DataObject, internal: bool) -> None:
        """Call `Controller.new_network`, which must be refused exactly if the name is in use."""
        driver = data.draw(st.sampled_from(list(self.drivers)))
        is_free = all(network.name != name for network in self.controller.networks)
        self._attempt(
            lambda: self.controller.new_network(name, driver, subnet=_SUBNETS[name], internal=internal), may=is_free
        )

    @precondition(lambda self: self.controller.networks)
    @rule(data=st.data())
    def delete_network(self, data: st.DataObject) -> None:
        """Call `Network.delete`, which must be refused exactly if the network has endpoints."""
        network = data.draw(st.sampled_from(self.controller.networks))
        self._attempt(network.delete, may=not network.endpoints)

    @rule(name=st.sampled_from(_SANDBOXES))
    def new_sandbox(self, name: str) -> None:
        """Call `Controller.new_sandbox`, which must be refused exactly if the container `name` has a sandbox."""
        is_free = all(sandbox.container_id != name for sandbox in self.controller.sandboxes)
        self._attempt(lambda: self.controller.new_sandbox(name), may=is_free)

    @precondition(lambda self: self.controller.sandboxes)
    @rule(data=st.data())
    def delete_sandbox(self, data: st.DataObject) -> None:
        """Call `Sandbox.delete`, which must also delete the endpoints in the sandbox."""
        sandbox = data.draw(st.sampled_from(self.controller.sandboxes))
        gone = list(sandbox.endpoints)
        self._attempt(sandbox.delete, may=True)
        assert all(endpoint.is_deleted for endpoint in gone)
        self._attempt(sandbox.delete, may=False)

    @precondition(lambda self: self._own_networks())
    @rule(name=st.sampled_from(_ENDPOINTS), data=st.data(), number=st.sampled_from([0, 0, 1, 2, 9]))
    def create_endpoint(self, name: str, data: st.DataObject, number: int) -> None:
        """Call `Network.create_endpoint`, which must be refused if the name or the requested address is in use.

        `number` is the position of the requested address in the subnet, 0 for none.
        """
        network = data.draw(st.sampled_from(self._own_networks()))
        address = str(network.subnets[0][number]) if number else ""
        settings: dict[str, Any] = {"address": address} if address else {}
        taken = {str(endpoint.address.ip) for endpoint in network.endpoints.values() if endpoint.address}
        taken |= {str(gateway) for gateway in network.gateways}
        is_free = network.endpoint_by_name(name) is None and address not in taken
        self._attempt(lambda: network.create_endpoint(name, **settings), may=is_free)

    @precondition(lambda self: self._endpoints())
    @rule(data=st.data(), force=st.booleans())
    def delete_endpoint(self, data: st.DataObject, force: bool) -> None:
        """Call `Endpoint.delete`, which must be refused if the endpoint has joined a sandbox, unless with `force`."""
        endpoint = data.draw(st.sampled_from(self._endpoints()))
        self._attempt(lambda: endpoint.delete(force=force), may=force or endpoint.sandbox is None)

    @precondition(lambda self: self._endpoints() and self.controller.sandboxes)
    @rule(data=st.data())
    def join(self, data: st.DataObject) -> None:
        """Call `Endpoint.join`, which must be refused if the endpoint has joined a sandbox already.

        It must also be refused if the sandbox has another endpoint on the same network.
        """
        endpoint = data.draw(st.sampled_from(self._endpoints()))
        sandbox = data.draw(st.sampled_from(self.controller.sandboxes))
        is_on_it = any(other.network is endpoint.network for other in sandbox.endpoints)
        self._attempt(lambda: endpoint.join(sandbox), may=endpoint.sandbox is None and not is_on_it)

    @precondition(lambda self: self._endpoints() and self.controller.sandboxes)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        """Call `Endpoint.leave`, which must be refused exactly if the endpoint is not in that sandbox."""
        endpoint = data.draw(st.sampled_from(self._endpoints()))
        sandbox = data.draw(st.sampled_from(self.controller.sandboxes))
        self._attempt(lambda: endpoint.leave(sandbox), may=endpoint.sandbox is sandbox)

    @precondition(lambda self: len(self.controller.sandboxes) > 1)
    @rule(data=st.data())
    def ping(self, data: st.DataObject) -> None:
        """Ping from one sandbox the addresses of another on their common networks. Each must answer."""
        source, target = data.draw(st.permutations(self.controller.sandboxes))[:2]
        own = {endpoint.network for endpoint in source.endpoints}
        for endpoint in target.endpoints:
            if endpoint.network in own and endpoint.address is not None:
                done = source.exec(["ping", "-c", "1", "-W", "1", str(endpoint.address.ip)])
                assert done.succeeded, f"{source} does not reach {endpoint}: {done.output}"

    @precondition(lambda self: any(len(sandbox.endpoints) > 1 for sandbox in self.controller.sandboxes))
    @rule(data=st.data())
    def keep_apart(self, data: st.DataObject) -> None:
        """Check that a sandbox on two networks with forwarding turned off passes no packet from one to the other."""
        several = [sandbox for sandbox in self.controller.sandboxes if len(sandbox.endpoints) > 1]
        sandbox = data.draw(st.sampled_from(several))
        near, far = data.draw(st.permutations(sandbox.endpoints))[:2]
        if near.address is None or far.address is None:
            return
        sandbox.exec("sysctl -w net.ipv4.ip_forward=0")
        other = self.controller.new_sandbox("stranger")
        try:
            near.network.create_endpoint("stranger").join(other)
            other.exec(f"ip route replace {far.address.network} via {near.address.ip}")
            unused = far.address.network[200]
            with self.lab.capture(far) as capture:
                done = other.exec(["ping", "-c", "1", "-W", "1", str(unused)])
            assert not done.succeeded
            assert not len(capture), f"{sandbox} forwards from {near} to {far}: {capture}"
        finally:
            other.delete()

    # --- laws

    def _own_networks(self) -> list[Network]:
        return [network for network in self.controller.networks if network.name in _NETWORKS]

    def _endpoints(self) -> list[Endpoint]:
        return [endpoint for network in self._own_networks() for endpoint in network.endpoints.values()]

    @invariant()
    def an_endpoint_is_on_one_network_and_in_at_most_one_sandbox(self) -> None:
        """Check that networks, endpoints and sandboxes refer to each other consistently."""
        for network in self.controller.networks:
            for endpoint in network.endpoints.values():
                holders = [sandbox for sandbox in self.controller.sandboxes if endpoint in sandbox.endpoints]
                assert endpoint.network is network
                assert holders == ([] if endpoint.sandbox is None else [endpoint.sandbox])
        for sandbox in self.controller.sandboxes:
            assert all(endpoint.sandbox is sandbox and not endpoint.is_deleted for endpoint in sandbox.endpoints)
            assert len({endpoint.network.id for endpoint in sandbox.endpoints}) == len(sandbox.endpoints)

    @invariant()
    def no_address_is_assigned_twice(self) -> None:
        """Check that the addresses of a network's gateways and endpoints are unique, and in its subnets."""
        for network in self.controller.networks:
            gateways = [str(gateway) for gateway in network.gateways]
            own = [endpoint.address for endpoint in network.endpoints.values() if endpoint.address is not None]
            addresses = gateways + [str(address.ip) for address in own]
            assert len(set(addresses)) == len(addresses), f"{network}: {addresses}"
            assert all(address.network in network.subnets for address in own)

    @invariant()
    def an_interface_stands_for_each_joined_endpoint(self) -> None:
        """Check that a sandbox has one interface for each of its endpoints, with the endpoint's address."""
        for sandbox in self.controller.sandboxes:
            shown = {item.endpoint: item for item in sandbox.interfaces if item.name != "lo"}
            assert set(shown) == {endpoint.name for endpoint in sandbox.endpoints}
            for endpoint in sandbox.endpoints:
                assert endpoint.address is None or endpoint.address in shown[endpoint.name].addresses

    def teardown(self) -> None:
        """Delete everything, and check that nothing is left."""
        if not hasattr(self, "controller"):
            return
        for sandbox in self.controller.sandboxes:
            sandbox.delete()
        for network in self.controller.networks:
            for endpoint in list(network.endpoints.values()):
                endpoint.delete()
            network.delete()
        left = self.baseline.difference(self._snapshot())
        assert not left, f"deleting everything left {left}"
        assert not self.controller.networks and not self.controller.sandboxes
        try:
            self.controller.network_by_name("blue")
        except NotFound:
            return
        raise AssertionError("a deleted network is found")

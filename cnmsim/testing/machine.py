"""A Hypothesis state machine: networks and containers on one Docker host, from their creation to their removal.

The rules of the machine are docker commands. A model of the expected state (names, states, and the networks of each
container) predicts their results. After every step the host's invariants are checked. A command that the engine
refuses must leave the host unchanged. At the end of a run everything is deleted, and nothing may remain. Use it in a
test by

    TestDockerHost = DockerHostMachine.TestCase
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attrs import define, field
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cnmsim.errors import EngineError
from cnmsim.kernel.address import format_ip, from_int, join_host_port
from cnmsim.lab import Lab
from cnmsim.libnetwork.profile import DEFAULT_VERSION
from cnmsim.observe.diagnosis.verdict import Verdict
from cnmsim.testing.invariants import check_host
from cnmsim.testing.prove import has_come_to, resolve
from cnmsim.testing.snapshot import Snapshot
from cnmsim.testing.strategies import (
    CLIENT,
    NODE,
    ContainerSpec,
    NetworkSpec,
    container_specs,
    networks,
    published_ports,
    releases,
)

if TYPE_CHECKING:
    from cnmsim.engine.client.containers import Container
    from cnmsim.engine.engine import Engine
    from cnmsim.observe.trace.trace import Trace

DEFAULT_NETWORK = "bridge"
_HOST_ADDRESS = "10.0.0.15"
_NETWORKS = ("front", "back", "data")
_CONTAINERS = ("web", "db", "cache")
_SERVED = "80/tcp"
_PORTS = st.sampled_from([8080, 8081, 80, 9999])


@define
class ContainerModel:
    """The expected state of a container: its name, whether it runs, its networks, and its requested ports.

    `ports` maps container ports such as `80/tcp` to host ports (`None`: chosen by the engine). `only_noted` are
    networks that a running container failed to join, but that its settings contain: it joins them at its next start.
    """

    name: str
    networks: set[str]
    is_running: bool = False
    ports: dict[str, int | None] = field(factory=dict)
    only_noted: set[str] = field(factory=set)

    @property
    def joined(self) -> set[str]:
        """The networks on which the container has an interface now."""
        return self.networks - self.only_noted if self.is_running else set()

    def started(self) -> None:
        """Record that the container was started, and so has joined all its networks."""
        if not self.is_running:
            self.only_noted.clear()
        self.is_running = True


def _known(kind: str) -> st.SearchStrategy[str]:
    """Return a strategy for the names of networks or containers that exist when the rule runs.

    `kind` is the attribute of the state machine that contains them, such as `containers`.
    """
    return st.runner().flatmap(lambda machine: st.sampled_from(sorted(getattr(machine, kind))))


class DockerHostMachine(RuleBasedStateMachine):
    """One Docker host of any supported release, a client host, and docker commands in any order.

    `fresh` is the state of the host before the first command.
    """

    lab: Lab
    engine: Engine
    fresh: Snapshot

    def __init__(self) -> None:
        super().__init__()
        #: The existing networks: maps each name to whether the network is internal.
        self.networks: dict[str, bool] = {}
        self.containers: dict[str, ContainerModel] = {}

    @initialize(
        release=releases(),
        has_proxy=st.booleans(),
        has_nftables=st.booleans(),
        initial=st.lists(networks(names=_NETWORKS), max_size=3),
        run=st.lists(container_specs(names=_CONTAINERS, networks=_NETWORKS), max_size=4),
    )
    def begin(
        self, release: str, has_proxy: bool, has_nftables: bool, initial: list[NetworkSpec], run: list[ContainerSpec]
    ) -> None:
        """Create the host with the networks `initial` and the containers `run`.

        `has_proxy` turns the userland proxy on. `has_nftables` selects the firewall backend nftables; it is ignored
        for releases other than 29.7.2, which do not support it.
        """
        self.lab = Lab(release)
        options: dict[str, Any] = {"userland-proxy": has_proxy}
        has_nftables = has_nftables and release == DEFAULT_VERSION
        if has_nftables:
            options["firewall-backend"] = "nftables"
        node = self.lab.add_host(NODE, f"{_HOST_ADDRESS}/24", docker=options, router=has_nftables)
        self.lab.add_host(CLIENT, "10.0.0.50/24")
        self.engine = node.docker
        self.networks = {DEFAULT_NETWORK: False}
        self.fresh = self.snapshot()
        for network in initial:
            self.create_network(network)
        for container in run:
            if container.name not in self.containers:
                self.create_container(container, starts=True)
                for name in container.networks[1:]:
                    self.connect(container.name, name)

    # ---- docker commands

    @rule(spec=networks(names=_NETWORKS))
    def create_network(self, spec: NetworkSpec) -> None:
        """Run `docker network create`."""
        if self.attempt(lambda: spec.create(self.engine)):
            assert spec.name not in self.networks, f"there are two networks {spec.name}"
            self.networks[spec.name] = spec.internal

    @rule(name=st.sampled_from([*_NETWORKS, DEFAULT_NETWORK]))
    @precondition(lambda self: len(self.networks) > 1)
    def remove_network(self, name: str) -> None:
        """Run `docker network rm`."""
        is_used = any(name in container.joined for container in self.containers.values())
        if self.attempt(lambda: self.engine.networks.get(name).remove()):
            assert name != DEFAULT_NETWORK, "a predefined network was removed"
            assert not is_used, f"network {name} was removed under a running container"
            del self.networks[name]
        else:
            is_free = name in self.networks and name != DEFAULT_NETWORK and not is_used
            assert not is_free, f"network {name} could not be removed"

    @rule(spec=container_specs(names=_CONTAINERS, networks=_NETWORKS, max_networks=1), starts=st.booleans())
    def create_container(self, spec: ContainerSpec, starts: bool) -> None:
        """Run `docker create`, and with `starts` also `docker start`."""
        network = (*spec.networks, DEFAULT_NETWORK)[0]

        def create() -> None:
            self.engine.containers.create(spec.image, name=spec.name, network=network, ports=spec.ports)

        if not self.attempt(create):
            assert spec.name in self.containers, f"container {spec.name} could not be created"
            return
        assert spec.name not in self.containers, f"there are two containers {spec.name}"
        self.containers[spec.name] = ContainerModel(spec.name, {network}, ports=spec.ports)
        if starts:
            self.start(spec.name)

    @rule(name=_known("containers"))
    @precondition(lambda self: self.containers)
    def start(self, name: str) -> None:
        """Run `docker start`."""
        model = self.containers[name]
        keeps = self.engine.profile.failed_connect_keeps_settings
        if not self.attempt(self.container(name).start, ignoring="" if keeps else "containers"):
            # A start that fails in networking takes the network off the container, from 29 on.
            model.networks &= set(self.container(name).record.networks)
        else:
            missing = model.networks - set(self.networks)
            assert model.is_running or not missing, f"{name} was started on networks that are gone: {missing}"
            model.started()

    @rule(name=_known("containers"))
    @precondition(lambda self: self.containers)
    def stop(self, name: str) -> None:
        """Run `docker stop`."""
        assert self.attempt(self.container(name).stop), f"{name} could not be stopped"
        self.containers[name].is_running = False

    @rule(name=_known("containers"))
    @precondition(lambda self: self.containers)
    def restart(self, name: str) -> None:
        """Run `docker restart`. If it fails, the container is stopped."""
        model = self.containers[name]
        try:
            self.container(name).restart()
            model.only_noted.clear()
            model.is_running = True
        except EngineError:
            model.is_running = False

    @rule(name=_known("containers"), force=st.booleans())
    @precondition(lambda self: self.containers)
    def remove(self, name: str, force: bool) -> None:
        """Run `docker rm`."""
        is_running = self.containers[name].is_running
        if self.attempt(lambda: self.container(name).remove(force=force)):
            assert force or not is_running, f"{name} was removed while it ran"
            del self.containers[name]
        else:
            assert is_running, f"{name} could not be removed"
            assert not force, f"{name} could not be removed by force"

    @rule(old=_known("containers"), new=st.sampled_from([*_CONTAINERS, "api"]))
    @precondition(lambda self: self.containers)
    def rename(self, old: str, new: str) -> None:
        """Run `docker rename`."""
        if self.attempt(lambda: self.container(old).rename(new)):
            assert new not in self.containers, f"there are two containers {new}"
            model = self.containers.pop(old)
            model.name = new
            self.containers[new] = model
        else:
            assert new in self.containers, f"{old} could not be renamed to {new}"

    @rule(
        name=_known("containers"),
        network=st.sampled_from([*_NETWORKS, DEFAULT_NETWORK]),
        number=st.sampled_from([0, 0, 1, 2, 3, 300]),
    )
    @precondition(lambda self: self.containers)
    def connect(self, name: str, network: str, number: int = 0) -> None:
        """Run `docker network connect`.

        If `number` is not 0, the option `--ip` requests an address (see `address_of`).
        """
        requested = self.address_of(network, number) if number else None
        model = self.containers[name]
        taken = any(set(self.publishers(port)) - {name} for port in model.ports.values() if port)
        if taken and self.engine.profile.failed_join_keeps_interface:
            return  # 26.1 and 28.5 leave the interface of a join that failed on a port, which no invariant expects
        keeps = self.engine.profile.failed_connect_keeps_settings
        if self.attempt(
            lambda: self.engine.networks.get(network).connect(self.container(name), ipv4_address=requested),
            ignoring="containers" if keeps else "",
        ):
            assert network in self.networks, f"{name} was connected to {network}, which is not there"
            model.networks.add(network)
            model.only_noted.discard(network)
        elif keeps and network in set(self.container(name).record.networks) - model.networks:
            # Older daemons add the network to the container's settings before they connect it, and keep it there on
            # failure.
            model.networks.add(network)
            model.only_noted.add(network)

    @rule(name=_known("containers"), network=st.sampled_from([*_NETWORKS, DEFAULT_NETWORK]), force=st.booleans())
    @precondition(lambda self: self.containers)
    def disconnect(self, name: str, network: str, force: bool) -> None:
        """Run `docker network disconnect`."""
        model = self.containers[name]
        if self.attempt(lambda: self.engine.networks.get(network).disconnect(self.container(name), force=force)):
            assert network in model.networks, f"{name} was disconnected from {network}, which it was not on"
            model.networks.discard(network)

    @rule(name=_known("containers"), ports=published_ports(min_size=1))
    @precondition(lambda self: self.containers)
    def publish(self, name: str, ports: dict[str, int | None]) -> None:
        """Recreate a container with different published ports, as Compose does."""
        model = self.containers[name]
        kept = sorted(model.networks & set(self.networks))
        self.remove(name, force=True)
        spec = ContainerSpec(name, tuple(kept[:1]), ports)
        self.create_container(spec, starts=True)
        for network in kept[1:]:
            self.connect(name, network)

    @rule(seconds=st.sampled_from([1, 60, 400]))
    def wait(self, seconds: int) -> None:
        """Advance the virtual time."""
        self.lab.run(seconds)

    # ---- checks by packets

    @rule(data=st.data())
    @precondition(lambda self: self.running())
    def a_name_resolves_iff_there_is_a_common_network_with_names(self, data: st.DataObject) -> None:
        """From one container, resolve the names of all containers: only those on a common network must resolve.

        The default bridge does not count, as it has no names.
        """
        asker = self.containers[data.draw(st.sampled_from(self.running()), label="asker")]
        for target in self.containers.values():
            shared = (asker.joined & target.joined) - {DEFAULT_NETWORK}
            # The resolver takes the answer from the first network, in its own order, that has the name.
            expected = [self.container(target.name).ip(network) for network in shared]
            resolved = resolve(self.lab, self.container(asker.name), target.name)
            assert len(resolved) == min(1, len(expected)), (
                f"{asker.name} resolves {target.name} to {resolved}, not {expected}"
            )
            assert set(resolved) <= set(expected), (
                f"{asker.name} resolves {target.name} to {resolved}, not {expected}"
            )

    @rule(data=st.data())
    @precondition(lambda self: len(self.running()) > 1)
    def packets_pass_iff_there_is_a_common_network(self, data: st.DataObject) -> None:
        """Send packets from one container to every address of another.

        The packets must arrive if the two containers have a common network, and only then.
        """
        first, second = data.draw(st.permutations(self.running()), label="from, to")[:2]
        source, target = self.containers[first], self.containers[second]
        space = self.container(second).namespace
        addresses = [
            (network, address)
            for network in sorted(target.joined)
            for family in (4, 6)
            if (address := self.container(second).ip(network, family=family))
        ]
        for network, address in addresses:
            destination = join_host_port(address, 80)
            walk = self.lab.trace(self.container(first), destination, protocol="tcp", timeout_s=2)
            if network in source.joined:
                assert walk.verdict is Verdict.ANSWERED, f"{first} does not reach {second} on {network}:\n{walk}"
            elif not source.joined & target.joined:
                assert not has_come_to(walk, space), f"a packet of {first} came to {second} on {network}:\n{walk}"

    @rule(port=_PORTS)
    @precondition(lambda self: self.running())
    def a_host_port_leads_to_who_publishes_it_and_nowhere_else(self, port: int) -> None:
        """Connect from the client to a port of the host: only a container that publishes it may be reached."""
        publishers = self.publishers(port)
        assert len(publishers) <= 1, f"port {port} is published by {sorted(publishers)}"
        walk = self.lab.trace(CLIENT, f"{_HOST_ADDRESS}:{port}", protocol="tcp", timeout_s=2)
        came_to = self.reached_by(walk)
        assert came_to == set(publishers), f"port {port} leads to {came_to}, not {set(publishers)}:\n{walk}"
        served = _SERVED in publishers.values()
        assert (walk.verdict is Verdict.ANSWERED) == served, f"port {port}: {walk}"

    @rule(data=st.data(), port=_PORTS)
    @precondition(lambda self: len(self.running()) > 1)
    def containers_reach_others_through_the_host_by_published_ports_only(
        self, data: st.DataObject, port: int
    ) -> None:
        """Connect from a container to a port of the host.

        No other container may be reached except the one that publishes the port.
        """
        source = data.draw(st.sampled_from(self.running()), label="from")
        walk = self.lab.trace(self.container(source), f"{_HOST_ADDRESS}:{port}", protocol="tcp", timeout_s=2)
        others = self.reached_by(walk) - {source}
        assert others <= set(self.publishers(port)), f"port {port} of the host leads {source} to {others}:\n{walk}"

    # ---- invariants

    @invariant()
    def the_books_are_right(self) -> None:
        """Check the host's invariants (`check_host`)."""
        check_host(self.lab.host(NODE))

    @invariant()
    def the_engine_tells_what_was_done(self) -> None:
        """Check that the engine's lists of networks and containers agree with the model."""
        assert {network.name for network in self.engine.networks.list()} == {*self.networks, "host", "none"}
        listed = {container.name: container for container in self.engine.containers.list(all=True)}
        assert set(listed) == set(self.containers)
        for name, model in self.containers.items():
            container = listed[name]
            assert (container.status == "running") == model.is_running, f"{name} is {container.status}"
            listed_networks = set(container.attrs["NetworkSettings"]["Networks"])
            assert listed_networks == model.networks, f"{name} is on {listed_networks}, not {model.networks}"

    @invariant()
    def ports_are_published_as_asked(self) -> None:
        """Check that a container publishes exactly the requested ports.

        If it is stopped, or if all its networks are internal, it must publish none.
        """
        for name, model in self.containers.items():
            bound = {port: bindings for port, bindings in self.container(name).ports.items() if bindings}
            leads_out = any(not self.networks.get(network, True) for network in model.joined)
            expected = model.ports if leads_out else {}
            assert set(bound) == set(expected), f"{name} publishes {bound}, was asked for {expected}"
            for port, bindings in bound.items():
                numbers = {int(binding["HostPort"]) for binding in bindings}
                assert model.ports[port] is None or numbers == {model.ports[port]}, f"{name}: {port} is at {numbers}"

    def teardown(self) -> None:
        """Delete everything, and check that nothing is left."""
        if not hasattr(self, "fresh"):
            return
        for name in list(self.containers):
            self.container(name).remove(force=True)
        for name in set(self.networks) - {DEFAULT_NETWORK}:
            self.engine.networks.get(name).remove()
        self.lab.run(1)
        left = self.fresh.difference(self.snapshot())
        assert not left, "left behind:\n" + "\n".join(left)

    # ---- helpers

    def attempt(self, operation: Callable[[], Any], *, ignoring: str = "") -> bool:
        """Run an operation and return True if it succeeds, False if the engine refuses it.

        A refused operation must not have changed anything. `ignoring` is a field of `Snapshot` that is not compared,
        because this release changes it even if it refuses the operation.
        """
        before = self.snapshot()
        try:
            operation()
        except EngineError as refusal:
            self.lab.clock.run_ready()
            changes = [line for line in before.difference(self.snapshot()) if line[2:].partition(":")[0] != ignoring]
            assert not changes, f"refused with {refusal.message!r}, yet it changed:\n" + "\n".join(changes)
            return False
        self.lab.clock.run_ready()
        return True

    def snapshot(self) -> Snapshot:
        """Return the host's present state."""
        return Snapshot.of(self.lab.host(NODE))

    def container(self, name: str) -> Container:
        """Return the container with this name from the engine."""
        return self.engine.containers.get(name)

    def address_of(self, network: str, number: int) -> str:
        """Return the address at position `number` of a network's first subnet.

        Return 192.0.2.1 if the network does not exist.
        """
        if network not in self.networks:
            return "192.0.2.1"
        pool = self.engine.controller.find_network(network).ipam_pools(4)[0].pool
        return format_ip(from_int(pool.first_int + number, 4))

    def publishers(self, port: int) -> dict[str, str]:
        """Return the running containers that publish a TCP port as the host port `port`.

        The result maps the name of each container to the published container port, such as `80/tcp`.
        """
        return {
            name: container_port
            for name in self.running()
            for container_port, bound in self.container(name).ports.items()
            for binding in bound or ()
            if binding["HostPort"] == str(port) and container_port.endswith("/tcp")
        }

    def reached_by(self, walk: Trace) -> set[str]:
        """Return the names of the running containers at which a packet of the trace `walk` arrived."""
        return {name for name in self.running() if has_come_to(walk, self.container(name).namespace)}

    def running(self) -> list[str]:
        """Return the names of the running containers."""
        return sorted(name for name, model in self.containers.items() if model.is_running)

"""A Hypothesis state machine: a swarm whose nodes, networks and services change at random.

Nodes join, leave, fail and are disconnected; networks and services are created, updated and removed. The lab has one
manager and two or three workers, on two segments with a router between them. The rules of the machine are docker
commands and faults of the links. Whenever the swarm is at rest with all links up, all nodes must agree, names and
ports must lead to the running tasks, and no frame may have left its network. At the end every resource must have been
released. Use it in a test by

    TestSwarm = SwarmMachine.TestCase
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cnmsim.errors import EngineError
from cnmsim.lab import Lab
from cnmsim.lab.state.statefile import restore_state, save_state
from cnmsim.swarm.objects import TaskState
from cnmsim.testing.strategies import releases
from cnmsim.testing.swarm_invariants import Isolation, check_swarm, running, store_of_swarm

if TYPE_CHECKING:
    from cnmsim.engine.engine import Engine
    from cnmsim.swarm.objects import Service

MANAGER = "node1"
CLIENT = "client"
_WORKERS = {"node2": "10.1.0.12", "node3": "10.2.0.13", "node4": "10.2.0.14"}
_ADDRESSES = {MANAGER: "10.1.0.11", **_WORKERS}
_NETWORKS = ("red", "blue")
_SERVICES = ("web", "api", "jobs")
_PORTS = st.sampled_from([None, None, 8080, 8081])
#: The seconds within which a swarm has reacted to all faults: heartbeats, suspicion timeouts, restart delays.
_REST_S = 30.0


class SwarmMachine(RuleBasedStateMachine):
    """A swarm of any supported release on simulated links, with docker commands and faults in any order."""

    lab: Lab
    engine: Engine
    isolation: Isolation

    def __init__(self) -> None:
        super().__init__()
        self.members: list[str] = [MANAGER]
        self.networks: list[str] = []
        self.services: list[str] = []
        self.probes: dict[str, str] = {}

    @initialize(release=releases(), workers=st.integers(1, 2))
    def begin(self, release: str, workers: int) -> None:
        """Start the machines and initialise the swarm."""
        self._use(_machines(release))
        self.engine.swarm.init(advertise_addr=_ADDRESSES[MANAGER])
        for name in list(_WORKERS)[:workers]:
            self.join(name)
        self.lab.settle()

    def _use(self, lab: Lab) -> None:
        self.lab = lab
        self.engine = self.docker(MANAGER)
        self.isolation = Isolation(lab)

    def docker(self, host: str) -> Engine:
        """Return the engine of a host."""
        return self.lab.host(host).docker

    # ---- nodes

    @rule(name=st.sampled_from(sorted(_WORKERS)))
    @precondition(lambda self: not self.lab.faults)
    def join(self, name: str) -> None:
        """Run `docker swarm join` on a machine that is in no swarm."""
        if name not in self.members:
            self.docker(name).swarm.join(self.engine.swarm.tokens.worker, f"{_ADDRESSES[MANAGER]}:2377")
            self.members.append(name)

    @rule(name=st.sampled_from(sorted(_WORKERS)))
    @precondition(lambda self: not self.lab.faults)
    def leave(self, name: str) -> None:
        """Run `docker swarm leave` on a worker, and remove its node once it is down."""
        if name not in self.members or not self.lab.host(name).is_on:
            return
        gone = self.docker(name).swarm.node_id
        self.docker(name).swarm.leave()
        self.members.remove(name)
        self.lab.run(1)
        self.engine.nodes.get(gone).remove(force=True)

    # The containers that send the probes run on the manager, and a paused node accepts no containers.
    @rule(name=st.sampled_from(sorted(_WORKERS)), availability=st.sampled_from(["active", "pause", "drain"]))
    def set_availability(self, name: str, availability: str) -> None:
        """Run `docker node update --availability AVAILABILITY` for the node `name`."""
        if name in self.members:
            self.engine.nodes.get(name).update(Availability=availability)

    # ---- faults

    @rule(name=st.sampled_from(sorted(_ADDRESSES)))
    def cut(self, name: str) -> None:
        """Disconnect a machine's cable."""
        self.lab.cut(name)

    @rule(alone=st.sets(st.sampled_from(sorted(_ADDRESSES)), min_size=1, max_size=2))
    def partition(self, alone: set[str]) -> None:
        """Cut the connections between the machines in `alone` and all others."""
        self.lab.partition(sorted(alone), sorted(set(_ADDRESSES) - alone))

    @rule(sender=st.sampled_from(sorted(_ADDRESSES)), receiver=st.sampled_from(sorted(_ADDRESSES)))
    def lose(self, sender: str, receiver: str) -> None:
        """Drop all frames from the machine `sender` to `receiver`. Frames in the other direction arrive."""
        if sender != receiver:
            self.lab.lose(sender, receiver)

    @rule(name=st.sampled_from(sorted(_WORKERS)))
    def lose_power(self, name: str) -> None:
        """Power off a worker."""
        if name in self.members:
            self.lab.host(name).power_off()

    @rule(name=st.sampled_from(sorted(_WORKERS)))
    def regain_power(self, name: str) -> None:
        """Power on a worker."""
        self.lab.host(name).power_on()

    @rule()
    def serve_again(self) -> None:
        """Save the lab to a file, and continue with a lab restored from the file, with all links and machines up."""
        lab = _machines(self.engine.profile.version)
        with TemporaryDirectory() as folder:
            path = Path(folder) / "state"
            save_state(self.lab, path)
            restore_state(lab, path)
        self._use(lab)

    @rule(name=st.sampled_from(sorted(_ADDRESSES)))
    def heal(self, name: str) -> None:
        """Remove the faults of a machine's links."""
        self.lab.heal(name)

    @rule(seconds=st.sampled_from([0.1, 1, 4, 10, 25]))
    def wait(self, seconds: float) -> None:
        """Advance the virtual time."""
        self.lab.run(seconds)

    # ---- networks and services

    @rule(name=st.sampled_from(_NETWORKS), encrypted=st.booleans())
    def create_network(self, name: str, encrypted: bool) -> None:
        """Run `docker network create -d overlay --attachable`, with `--opt encrypted` if `encrypted` is set."""
        if name not in self.networks:
            options = {"encrypted": ""} if encrypted else {}
            self.engine.networks.create(name, driver="overlay", attachable=True, options=options)
            self.networks.append(name)

    @rule(
        name=st.sampled_from(_SERVICES),
        networks=st.sets(st.sampled_from(_NETWORKS), max_size=2),
        replicas=st.integers(0, 4),
        is_global=st.booleans(),
        port=_PORTS,
        is_shared=st.booleans(),
    )
    def create_service(
        self, name: str, networks: set[str], replicas: int, is_global: bool, port: int | None, is_shared: bool
    ) -> None:
        """Run `docker service create` with these properties; `port` is the published port, `None` for none.

        With `is_shared` a service without a published port has a virtual IP, otherwise DNS round robin. If the engine
        refuses the service, check that it had a reason.
        """
        joined = sorted(networks & set(self.networks))
        options: dict[str, Any] = {"mode": "global"} if is_global else {"replicas": replicas}
        if port is not None:
            options["ports"] = {port: 80}
        elif not is_shared:
            options["endpoint_mode"] = "dnsrr"
        try:
            self.engine.services.create("nginx", name=name, networks=joined, **options)
        except EngineError as refusal:
            is_taken = port is not None and f"port '{port}' is already in use" in refusal.message
            assert name in self.services or is_taken, refusal.message
            return
        assert name not in self.services, f"there are two services {name}"
        self.services.append(name)

    @rule(name=st.sampled_from(_SERVICES), replicas=st.integers(0, 5))
    def scale(self, name: str, replicas: int) -> None:
        """Run `docker service scale`."""
        service = self.engine.services.get(name) if name in self.services else None
        if service is not None and "Replicated" in service.attrs["Spec"]["Mode"]:
            service.scale(replicas)

    @rule(name=st.sampled_from(_SERVICES), networks=st.sets(st.sampled_from(_NETWORKS), max_size=2))
    def update(self, name: str, networks: set[str]) -> None:
        """Run `docker service update --force`, with different networks."""
        if name in self.services:
            service = self.engine.services.get(name)
            service.update(networks=sorted(networks & set(self.networks)))
            service.force_update()

    @rule(name=st.sampled_from(_SERVICES))
    def remove_service(self, name: str) -> None:
        """Run `docker service rm`."""
        if name in self.services:
            self.engine.services.get(name).remove()
            self.services.remove(name)

    # ---- checks

    @invariant()
    def nothing_leaks(self) -> None:
        """Check that no frame has left its network."""
        if hasattr(self, "isolation"):
            self.isolation.look()
            self.isolation.check()

    @rule()
    def come_to_rest(self) -> None:
        """Repair all links, wait, and check that the swarm has reached its desired state.

        Paused nodes are activated first, because an update of a task on a paused node never ends.
        """
        self.lab.heal()
        for name in self.members:
            self.lab.host(name).power_on()
        self.lab.run(_REST_S)
        for node in self.engine.nodes.list():
            if node.attrs["Spec"]["Availability"] == "pause":
                node.update(Availability="active")
        self.lab.run(_REST_S)
        self._try_again()
        self.lab.settle()
        self.isolation.look()
        states = {node.hostname: node.status for node in self.engine.nodes.list()}
        assert states == dict.fromkeys(self.members, "ready"), f"nodes are {states}, members {self.members}"
        check_swarm(self.lab)
        self.names_lead_to_tasks()
        self.ports_lead_to_tasks()
        self.isolation.check()

    def _try_again(self) -> None:
        """Run `docker service update --force` for services with pending tasks that the scheduler has given up.

        The scheduler gives up a task if no node was suitable for it and the service was changed afterwards (e.g.
        scaled). Source: swarmkit `manager/scheduler/scheduler.go`, noSuitableNode.
        """
        store = store_of_swarm(self.lab)
        for service in list(store.services):
            if any(
                task.state is TaskState.PENDING
                and not task.node_id
                and (task.spec_version or 0) < (service.spec_version or 0)
                for task in store.tasks.by_service(service.id)
            ):
                self.engine.services.get(service.name).force_update()

    def names_lead_to_tasks(self) -> None:
        """Connect to each service by its name from a container on its network.

        One of the service's running tasks must answer; if no task is running, nothing may answer.
        """
        store = store_of_swarm(self.lab)
        for service in store.services:
            for network in self.networks:
                known = store.networks.by_name(network)
                attached = {attachment.target for attachment in service.networks}
                if known is None or known.id not in attached:
                    continue
                self._probe_on(network)
                self.isolation.look()
                self._ask(service, f"probe-{network}", service.name, 2)

    def ports_lead_to_tasks(self) -> None:
        """Connect to each published port at every node.

        A running task of the service must answer; if no task is running, nothing may answer.
        """
        for service in store_of_swarm(self.lab).services:
            for port in service.endpoint.ports if service.endpoint is not None else ():
                for name in self.members:
                    self._ask(service, CLIENT, f"{_ADDRESSES[name]}:{port.published_port}", 1)

    def _probe_on(self, network: str) -> None:
        if network not in self.probes:
            # The container that sends the probes must be restarted after a power failure.
            always = {"Name": "always", "MaximumRetryCount": 0}
            self.engine.containers.run(
                "busybox", "sleep 10d", name=f"probe-{network}", network=network, restart_policy=always, detach=True
            )
            self.probes[network] = f"probe-{network}"
            self.lab.settle()

    def _ask(self, service: Service, source: str, goal: str, times: int) -> None:
        tasks = {task.name for task in running(store_of_swarm(self.lab), service)}
        for _ in range(times):
            walk = self.lab.trace(source, goal if ":" in goal else f"{goal}:80")
            assert walk.is_reachable == bool(tasks), f"{source} asks {goal}, tasks {sorted(tasks)}: {walk.finding}"
            hop = walk.finding.hop if walk.finding is not None else None
            if tasks:
                assert hop is not None
                assert hop.place in tasks, f"{source} asks {goal} and {hop.place} answers, none of {sorted(tasks)}"

    def teardown(self) -> None:
        """Remove everything, and check that nothing is left."""
        if not hasattr(self, "isolation"):
            return
        self.come_to_rest()
        for name in list(self.services):
            self.remove_service(name)
        for probe in self.probes.values():
            self.engine.containers.get(probe).remove(force=True)
        self.lab.run(5)
        self.lab.settle()
        for name in self.networks:
            self.engine.networks.get(name).remove()
        self.lab.run(5)
        self.lab.settle()
        self.nothing_is_left()

    def nothing_is_left(self) -> None:
        """Check that only the ingress network is left on every node and in the managers' store."""
        store = store_of_swarm(self.lab)
        assert not list(store.services)
        assert not list(store.tasks), [task.name for task in store.tasks]
        manager_node = self.engine.cluster.manager_node
        assert manager_node is not None
        allocator = manager_node.manager.allocator
        assert allocator is not None
        ingress = [network.id for network in store.networks if network.is_ingress]
        assert allocator.networks.addresses_in_use(ingress[0]) == len(self.members), "a load balancer's for each node"
        assert len(allocator.networks.vnis) == 1, "VNIs are held that no network has"
        for name in _ADDRESSES:
            _check_bare(self.docker(name), is_member=name in self.members)


def _machines(release: str) -> Lab:
    lab = Lab(release)
    lab.add_router("router", "10.1.0.1/24", "10.2.0.1/24")
    for name, address in _ADDRESSES.items():
        gateway = address.rpartition(".")[0] + ".1"
        lab.add_host(name, f"{address}/24", gateway=gateway, docker=True)
    lab.add_host(CLIENT, "10.2.0.100/24", gateway="10.2.0.1")
    return lab


def _check_bare(engine: Engine, *, is_member: bool) -> None:
    host = engine.machine.name
    overlays = [network.name for network in engine.controller.networks if network.driver_name == "overlay"]
    assert overlays == (["ingress"] if is_member else []), f"{host} has {overlays}"
    spaces = sorted(space.name for space in engine.machine.namespaces.values())
    expected = [f"{host}: overlay ingress", "ingress-sbox"] if is_member else []
    assert set(spaces) <= {*expected}, f"{host} has the namespaces {spaces}"
    containers = [container.name for container in engine.containers.list(all=True)]
    assert not containers, f"{host} has {containers}"
    agent = engine.controller.agent
    assert (agent is not None) == is_member
    for network in agent.db.networks if agent is not None else ():
        for table in ("endpoint_table", "overlay_peer_table"):
            known = agent.db.entries(table, network) if agent is not None else {}
            balancers = len(known) if table == "overlay_peer_table" else 0
            assert len(known) == balancers, f"{host} knows {known} of {table}"
    assert not engine.controller.discovery.services, f"{host} balances {engine.controller.discovery.services}"
    rules = [
        f"{table.name} {chain.name} {entry.rule}"
        for table in engine.machine.root.netfilter.iptables(4).tables.values()
        for chain in table.chains.values()
        for entry in chain.rules
        if chain.name == "DOCKER-INGRESS" and "--dport" in str(entry.rule)
    ]
    assert not rules, f"{host} still publishes: {rules}"

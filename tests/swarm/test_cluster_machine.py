"""Whatever is asked of a cluster and whatever befalls its nodes: the laws it keeps, and its state in the end."""

from __future__ import annotations

import hypothesis.strategies as st
from attrs import evolve
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.swarm_fakes import FakeCluster

from cnmsim.swarm.errors import SwarmError
from cnmsim.swarm.objects import (
    Availability,
    Global,
    NodeState,
    PortConfig,
    Replicated,
    RestartPolicy,
    Task,
    TaskState,
    UpdateConfig,
    UpdateOrder,
    UpdateState,
)
from cnmsim.swarm.orchestrator.tasks import is_dirty
from cnmsim.swarm.store import EventKind

_UNDER_WAY = {UpdateState.UPDATING, UpdateState.ROLLBACK_STARTED}
_S = 1_000_000_000


class ClusterMachine(RuleBasedStateMachine):
    """Services come, change and go; nodes fall silent, come back, are drained; the leader changes."""

    @initialize(version=st.sampled_from(["26.1.5", "28.5.2", "29.7.2"]), nodes=st.integers(1, 4))
    def begin(self, version, nodes):
        self.cluster = FakeCluster(version=version)
        self.cluster.store.watch(self.on_tasks, Task)
        self.cluster.add_nodes(nodes)
        self.cluster.run(1)
        self.networks = [self.cluster.network("one"), self.cluster.network("two")]
        self.services = []
        self.count = 0

    def on_tasks(self, events):
        for event in events:
            if event.kind is EventKind.UPDATE:
                assert event.object.state >= event.old.state
                assert event.object.desired_state >= event.old.desired_state

    def pick(self, which):
        return self.services[which % len(self.services)]

    def agent(self, which):
        agents = list(self.cluster.agents.values())
        return agents[which % len(agents)]

    # ---- services

    @rule(
        replicas=st.integers(0, 5),
        is_global=st.booleans(),
        networks=st.integers(0, 2),
        port=st.sampled_from([None, 0, 8080, 8081, 30000, 30001]),
        order=st.sampled_from(UpdateOrder),
        parallelism=st.integers(0, 3),
    )
    def create(self, replicas, is_global, networks, port, order, parallelism):
        self.count += 1
        try:
            made = self.cluster.service(
                f"service{self.count}",
                mode=Global() if is_global else Replicated(replicas),
                networks=tuple(self.networks[:networks]),
                ports=() if port is None else (PortConfig("", "tcp", 80, port),),
                update=UpdateConfig(parallelism=parallelism, order=order, max_failure_ratio=1.0),
                task={"restart": RestartPolicy(delay_ns=_S)},
            )
        except SwarmError as error:
            assert "is already in use by service" in error.desc
            return
        self.services.append(made.id)

    @precondition(lambda self: self.services)
    @rule(which=st.integers(0, 9), replicas=st.integers(0, 6))
    def scale(self, which, replicas):
        service = self.cluster.store.services.get(self.pick(which))
        if isinstance(service.spec.mode, Replicated):
            self.cluster.scale(service.id, replicas)

    @precondition(lambda self: self.services)
    @rule(which=st.integers(0, 9), networks=st.integers(0, 2))
    def update(self, which, networks):
        from cnmsim.swarm.objects import NetworkAttachmentConfig

        service = self.cluster.store.services.get(self.pick(which))
        attachments = tuple(NetworkAttachmentConfig(network.id) for network in self.networks[:networks])
        task = evolve(service.spec.task, force_update=service.spec.task.force_update + 1, networks=attachments)
        self.cluster.update(service.id, task=task)

    @precondition(lambda self: self.services)
    @rule(which=st.integers(0, 9))
    def roll_back(self, which):
        service = self.cluster.store.services.get(self.pick(which))
        if service.previous_spec is not None:
            control = self.cluster.manager.control
            control.update_service(service.id, service.meta.version, service.spec, rollback=True)

    @precondition(lambda self: self.services)
    @rule(which=st.integers(0, 9))
    def remove(self, which):
        service_id = self.pick(which)
        self.services.remove(service_id)
        self.cluster.manager.control.remove_service(service_id)

    @rule(which=st.integers(0, 30))
    def fail_a_task(self, which):
        running = [task for task in self.cluster.store.tasks if task.state is TaskState.RUNNING]
        if running:
            task = running[which % len(running)]
            for agent in self.cluster.agents.values():
                if agent.node_id == task.node_id:
                    agent.report([(task.id, TaskState.FAILED)])

    # ---- nodes

    @precondition(lambda self: len(self.cluster.agents) < 6)
    @rule()
    def join(self):
        self.cluster.add_nodes(1)

    @rule(which=st.integers(0, 9))
    def silence(self, which):
        agent = self.agent(which)
        if agent.is_up:
            agent.down()

    @rule(which=st.integers(0, 9))
    def come_back(self, which):
        agent = self.agent(which)
        if not agent.is_up and agent.node_id in self.cluster.store.nodes:
            agent.up()

    @rule(which=st.integers(0, 9), availability=st.sampled_from(Availability))
    def avail(self, which, availability):
        agent = self.agent(which)
        if agent.node_id in self.cluster.store.nodes:
            self.cluster.set_node(agent, availability=availability)

    @rule(which=st.integers(1, 9))
    def remove_node(self, which):
        agent = self.agent(which)
        node = self.cluster.store.nodes.get(agent.node_id)
        if node is not None and node.status.state is NodeState.DOWN and agent.node_id != self.agent(0).node_id:
            self.cluster.manager.control.remove_node(agent.node_id)

    @rule()
    def change_leader(self):
        self.cluster.manager.become_follower()
        self.cluster.manager.become_leader()

    @rule(seconds=st.sampled_from([0.01, 0.06, 0.11, 0.3, 1.0, 6.0, 20.0]))
    def wait(self, seconds):
        self.cluster.run(seconds)

    # ---- laws

    @invariant()
    def no_address_is_given_twice(self):
        seen = set()

        def take(network_id, address):
            assert (network_id, address) not in seen, f"{address} is given twice"
            seen.add((network_id, address))

        store = self.cluster.store
        for network in store.networks:
            for config in network.ipam.configs:
                take(network.id, f"{config.gateway}/{config.subnet.partition('/')[2]}")
        for service in store.services:
            for vip in service.endpoint.virtual_ips if service.endpoint else ():
                take(vip.network_id, vip.addr)
        for holder in (*[task for task in store.tasks if task.state <= TaskState.RUNNING], *store.nodes):
            for attachment in holder.networks if isinstance(holder, Task) else holder.attachments:
                for address in attachment.addresses:
                    take(attachment.network.id, address)

    @invariant()
    def no_port_is_published_twice(self):
        ports = [
            (port.protocol, port.published_port)
            for service in self.cluster.store.services
            if service.endpoint
            for port in service.endpoint.ports
        ]
        assert len(ports) == len(set(ports))

    def teardown(self):
        if hasattr(self, "cluster"):
            self.settle()
            self.give_everything_back()

    def settle(self):
        """All that was asked for is done, where there are nodes for it."""
        self.cluster.run(400)
        store = self.cluster.store
        eligible = [
            node
            for node in store.nodes
            if node.status.state is NodeState.READY and node.spec.availability is Availability.ACTIVE
        ]
        for service_id in self.services:
            service = store.services.get(service_id)
            wanted = [task for task in store.tasks.by_service(service_id) if task.desired_state <= TaskState.RUNNING]
            if isinstance(service.spec.mode, Global):
                # On a paused node what there is stays as it is.
                wanted = [task for task in wanted if task.node_id in {node.id for node in eligible}]
            running = [task for task in wanted if task.state is TaskState.RUNNING]
            if service_id in self.cluster.manager.allocator.failures:
                continue  # its port was asked for at the instant at which another service was given it
            status = service.update_status
            if status is not None and status.state in _UNDER_WAY:
                # An update does not end while it waits for a task that no node can take.
                self.check_while_updating(service, eligible, wanted)
                continue
            assert not any(is_dirty(service, task, store.nodes.get(task.node_id)) for task in running)
            if isinstance(service.spec.mode, Global):
                assert {node.id for node in eligible} <= {task.node_id for task in running}
                assert len({task.node_id for task in wanted}) == len(wanted)
            else:
                assert len({task.slot for task in wanted}) == len(wanted) == service.spec.mode.replicas
                # The scheduler forgets a pending task once the service has a newer spec, as the real one does.
                pending = [task for task in wanted if task.state is TaskState.PENDING]
                forgotten = pending if service.previous_spec is not None else []
                assert not eligible or len(running) + len(forgotten) == service.spec.mode.replicas

    def check_while_updating(self, service, eligible, wanted):
        if isinstance(service.spec.mode, Global):
            assert {node.id for node in eligible} <= {task.node_id for task in wanted}
        else:
            assert len({task.slot for task in wanted}) == service.spec.mode.replicas

    def give_everything_back(self):
        cluster = self.cluster
        for service_id in self.services:
            cluster.manager.control.remove_service(service_id)
        for agent in cluster.agents.values():
            if not agent.is_up and agent.node_id in cluster.store.nodes:
                agent.up()
        cluster.run(60)
        allocator = cluster.manager.allocator
        assert len(cluster.store.tasks) == 0
        assert allocator.ports.in_use == 0
        assert [allocator.networks.addresses_in_use(network.id) for network in self.networks] == [0, 0]
        ingress = cluster.manager.control.find_network("ingress")
        assert allocator.networks.addresses_in_use(ingress.id) == len(cluster.store.nodes)
        assert all(not agent.tasks for agent in cluster.agents.values() if agent.node_id in cluster.store.nodes)


TestCluster = ClusterMachine.TestCase
TestCluster.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)

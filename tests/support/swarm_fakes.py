"""A cluster without hosts: a manager, and agents that use its dispatcher but run no containers."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from attrs import define, evolve, field

from cnmsim.kernel.clock import Clock, Timer
from cnmsim.libnetwork.profile import profile
from cnmsim.swarm.dispatcher import AssignmentsMessage, Dispatcher, SessionMessage
from cnmsim.swarm.errors import SwarmError
from cnmsim.swarm.identity import new_id
from cnmsim.swarm.manager.manager import Manager
from cnmsim.swarm.objects import (
    Annotations,
    Cluster,
    ContainerSpec,
    Driver,
    EndpointSpec,
    EngineDescription,
    IpamConfig,
    IpamOptions,
    Network,
    NetworkAttachmentConfig,
    NetworkSpec,
    Node,
    NodeDescription,
    NodeRole,
    NodeSpec,
    NodeState,
    Placement,
    Platform,
    PortConfig,
    Replicated,
    Resources,
    RootCa,
    Service,
    ServiceSpec,
    Task,
    TaskSpec,
    TaskState,
    TaskStatus,
)
from cnmsim.swarm.store import Store

_PLUGINS = (
    ("Network", "bridge"),
    ("Network", "host"),
    ("Network", "overlay"),
    ("Volume", "local"),
    ("Log", "json-file"),
)


@define(eq=False)
class FakeAgent:
    """An agent whose tasks reach their desired state `latency_s` after it receives them.

    `outcome(task)` returns the final state of a task whose desired state is RUNNING; the default is RUNNING.
    """

    clock: Clock
    dispatcher: Callable[[], Dispatcher]
    node_id: str
    description: NodeDescription
    address: str
    latency_s: float = 0.0
    outcome: Callable[[Task], TaskState] = field(default=lambda task: TaskState.RUNNING)
    tasks: dict[str, Task] = field(factory=dict)
    dependencies: dict[str, object] = field(factory=dict)
    states: dict[str, TaskState] = field(factory=dict)
    sessions: list[SessionMessage] = field(factory=list)
    messages: list[AssignmentsMessage] = field(factory=list)
    is_up: bool = False
    _session_id: str = ""
    _timer: Timer | None = None

    def up(self) -> None:
        """Register with the dispatcher and receive assignments."""
        self.is_up = True
        self._register()

    def down(self) -> None:
        """Stop sending, as if the cable were pulled. The tasks go on."""
        self.is_up = False
        if self._timer is not None:
            self._timer.cancel()
        self.dispatcher().close_streams(self.node_id, self._session_id)

    def _register(self) -> None:
        if not self.is_up:
            return
        dispatcher = self.dispatcher()
        try:
            self._session_id = dispatcher.register(self.node_id, self.description, self.address)
        except SwarmError:
            self._again()
            return
        session_id = self._session_id
        dispatcher.open_session(self.node_id, session_id, self.sessions.append, lambda _: self._lost(session_id))
        dispatcher.open_assignments(self.node_id, session_id, self._assigned)
        self._beat()

    def _lost(self, session_id: str) -> None:
        if self.is_up and session_id == self._session_id:
            self._again()

    def _again(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.clock.call_later(1.0, self._register)

    def _beat(self) -> None:
        try:
            period = self.dispatcher().heartbeat(self.node_id, self._session_id)
        except SwarmError:
            self._again()
            return
        self._timer = self.clock.call_later(period, self._beat)

    def _assigned(self, message: AssignmentsMessage) -> None:
        self.messages.append(message)
        if message.kind == "complete":
            self.tasks.clear()
            self.dependencies.clear()
        for action, each in message.changes:
            known = self.tasks if isinstance(each, Task) else self.dependencies
            if action == "update":
                known[each.id] = each
            else:
                known.pop(each.id, None)
                self.states.pop(each.id, None)
        if message.kind == "complete":
            # Report what the manager missed while there was no session.
            self._report_all()
        wanted = [(task.id, state) for task in self.tasks.values() if (state := self._wanted(task)) is not None]
        if wanted:
            self.clock.call_later(self.latency_s, self.report, wanted)

    def _wanted(self, task: Task) -> TaskState | None:
        state = self.states.get(task.id, TaskState.ASSIGNED)
        if state > TaskState.RUNNING:
            return None
        if task.desired_state > TaskState.COMPLETE:
            return TaskState.SHUTDOWN
        if task.desired_state >= TaskState.RUNNING:
            return None if state is TaskState.RUNNING else self.outcome(task)
        return TaskState.READY if state < TaskState.READY else None

    def report(self, states: list[tuple[str, TaskState]]) -> None:
        """Report that tasks have reached states."""
        now = self.clock.unix_ns
        news = [
            (task_id, state)
            for task_id, state in states
            if task_id in self.tasks and state > self.states.get(task_id, TaskState.ASSIGNED)
        ]
        self.states.update(news)
        if self.is_up and news:
            updates = [(task_id, TaskStatus(state, now, state.name.lower())) for task_id, state in news]
            try:
                self.dispatcher().update_task_status(self.node_id, self._session_id, updates)
            except SwarmError:
                self.clock.call_later(1.0, self._report_all)

    def _report_all(self) -> None:
        states, self.states = self.states, {}
        self.report(list(states.items()))


@define(eq=False)
class FakeCluster:
    """A store with a cluster object and an ingress network, one leading manager, and agents."""

    clock: Clock = field(factory=Clock)
    version: str = "29.7.2"
    has_ingress: bool = True
    pools: tuple[str, ...] | None = None
    subnet_size: int = 0
    store: Store = field(init=False)
    random: Random = field(init=False)
    manager: Manager = field(init=False)
    agents: dict[str, FakeAgent] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.random = self.clock.stream("fake-cluster")
        self.store = Store(self.clock)
        self.manager = Manager(self.clock, self.clock.stream("manager"), self.store, profile(self.version))
        cluster = Cluster(
            new_id(self.random),
            root_ca=RootCa(digest="ab" * 32, worker_token="worker", manager_token="manager"),
            default_address_pool=self.pools,
            subnet_size=self.subnet_size,
        )
        ingress = NetworkSpec(Annotations("ingress"), Driver("overlay"), ingress=True)
        self.store.update(lambda tx: tx.create(cluster))
        if self.has_ingress:
            self.store.update(lambda tx: tx.create(Network(new_id(self.random), ingress)))
        self.manager.become_leader()

    def add_nodes(
        self,
        count: int,
        *,
        labels: dict[str, str] | None = None,
        resources: Resources | None = None,
        **options: object,
    ) -> list[FakeAgent]:
        """Add nodes: node1, node2 and so on, at 192.0.2.1 and up. The very first is a manager."""
        return [self._add_node(labels or {}, resources or Resources(), options) for _ in range(count)]

    def _add_node(self, labels: dict[str, str], resources: Resources, options: dict[str, object]) -> FakeAgent:
        number = len(self.agents) + 1
        role = NodeRole.MANAGER if number == 1 else NodeRole.WORKER
        spec = NodeSpec(Annotations(labels=labels), desired_role=role)
        node = self.store.update(lambda tx: tx.create(Node(new_id(self.random), spec, role=role)))
        description = NodeDescription(
            f"node{number}", Platform("x86_64", "linux"), resources, EngineDescription(self.version, {}, _PLUGINS)
        )
        address = f"192.0.{2 + number // 250}.{number % 250}"
        agent = FakeAgent(self.clock, lambda: self.manager.dispatcher, node.id, description, address, **options)
        self.agents[description.hostname] = agent
        agent.up()
        return agent

    def run(self, seconds: float) -> None:
        """Advance the clock."""
        self.clock.run_for(seconds)

    def network(self, name: str, subnet: str = "", **options: object) -> Network:
        """Create an overlay network and wait until it is allocated."""
        ipam = IpamOptions(Driver("default"), (IpamConfig(subnet),)) if subnet else None
        spec = NetworkSpec(Annotations(name), Driver("overlay"), ipam=ipam, **options)
        made = self.manager.control.create_network(spec)
        self.run(0.0)
        return self.manager.control.get_network(made.id)

    def service(self, name: str, replicas: int = 1, **options: object) -> Service:
        """Create a replicated service. Options are those of `service_spec`."""
        return self.manager.control.create_service(service_spec(name, replicas, **options))

    def update(self, service_id: str, **changes: object) -> Service:
        """Change fields of a service's spec."""
        current = self.manager.control.get_service(service_id)
        return self.manager.control.update_service(service_id, current.meta.version, evolve(current.spec, **changes))

    def scale(self, service_id: str, replicas: int) -> None:
        """Change the number of a service's replicas."""
        self.update(service_id, mode=Replicated(replicas))

    def set_node(self, agent: FakeAgent, **changes: object) -> None:
        """Change fields of a node's spec."""
        node = self.manager.control.get_node(agent.node_id)
        self.manager.control.update_node(agent.node_id, node.meta.version, evolve(node.spec, **changes))

    def tasks(self, service_id: str, state: TaskState = TaskState.RUNNING) -> list[Task]:
        """Return the tasks of a service that are in a state and are to run."""
        return [
            task
            for task in self.store.tasks.by_service(service_id)
            if task.state is state and task.desired_state <= TaskState.COMPLETE
        ]

    def placed(self, service_id: str) -> dict[str, int]:
        """Return the number of a service's running tasks by host name, sorted."""
        counts: dict[str, int] = {}
        for task in self.tasks(service_id):
            node = self.store.nodes.get(task.node_id)
            assert node is not None
            counts[node.hostname] = counts.get(node.hostname, 0) + 1
        return dict(sorted(counts.items()))

    def node_state(self, agent: FakeAgent) -> NodeState:
        """Return a node's state as the dispatcher sees it."""
        node = self.store.nodes.get(agent.node_id)
        assert node is not None
        return node.status.state


def service_spec(
    name: str,
    replicas: int = 1,
    *,
    mode: object = None,
    networks: tuple[Network, ...] = (),
    ports: tuple[PortConfig, ...] = (),
    placement: Placement | None = None,
    container: ContainerSpec | None = None,
    task: dict[str, object] | None = None,
    endpoint: EndpointSpec | None = None,
    **options: object,
) -> ServiceSpec:
    """Return a spec as the command line sends it."""
    task_spec = TaskSpec(
        container=container or ContainerSpec("alpine:latest", args=("sleep", "1d")),
        placement=placement,
        networks=tuple(NetworkAttachmentConfig(network.id) for network in networks),
        **(task or {}),
    )
    return ServiceSpec(
        Annotations(name),
        task_spec,
        mode or Replicated(replicas),
        endpoint=endpoint or EndpointSpec(ports=ports),
        **options,
    )

"""The leader's loops over a store: what each changes when it starts, and after which changes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from attrs import define, evolve, field

from cnmsim.errors import EngineError
from cnmsim.kernel.clock import Clock
from cnmsim.swarm.manager.rolemanager import RoleManager
from cnmsim.swarm.objects import (
    Annotations,
    Availability,
    Cluster,
    Global,
    JobStatus,
    Meta,
    Node,
    NodeDescription,
    NodeRole,
    NodeSpec,
    NodeState,
    NodeStatus,
    Placement,
    Platform,
    Replicated,
    ReplicatedJob,
    ResourceRequirements,
    Resources,
    RestartCondition,
    RestartPolicy,
    Service,
    ServiceSpec,
    Task,
    TaskSpec,
    TaskState,
    TaskStatus,
)
from cnmsim.swarm.orchestrator.global_ import GlobalOrchestrator
from cnmsim.swarm.orchestrator.jobs import JobsOrchestrator
from cnmsim.swarm.orchestrator.restart import RestartSupervisor
from cnmsim.swarm.orchestrator.task_reaper import TaskReaper
from cnmsim.swarm.scheduler.scheduler import Scheduler
from cnmsim.swarm.store import Store

NEW, PENDING, ASSIGNED, RUNNING = TaskState.NEW, TaskState.PENDING, TaskState.ASSIGNED, TaskState.RUNNING
COMPLETE, SHUTDOWN, FAILED = TaskState.COMPLETE, TaskState.SHUTDOWN, TaskState.FAILED
ORPHANED, REMOVE = TaskState.ORPHANED, TaskState.REMOVE
GIB = 1 << 30


def store_with(*objects: Any, history: int = 5) -> Store:
    store = Store(Clock())
    cluster = Cluster("c")
    cluster = evolve(cluster, spec=evolve(cluster.spec, task_history_retention_limit=history))
    store.update(lambda tx: [tx.create(item) for item in (cluster, *objects)])
    return store


def task(task_id: str, state: TaskState, desired: TaskState = RUNNING, **options: Any) -> Task:
    return Task(
        task_id, status=TaskStatus(state, timestamp_ns=options.pop("at", 0)), desired_state=desired, **options
    )


def replace(store: Store, *tasks: Task) -> None:
    current = [evolve(item, meta=store.tasks.get(item.id).meta) for item in tasks]  # type: ignore[union-attr]
    store.update(lambda tx: [tx.replace(item) for item in current])


def ids(store: Store) -> list[str]:
    return sorted(item.id for item in store.tasks)


# ---- the task reaper: manager/orchestrator/taskreaper/task_reaper.go

#: Actual state, desired state, service, and whether the task is deleted whatever the history limit.
REAPED = [
    (ORPHANED, RUNNING, "", True), (ORPHANED, RUNNING, "s", False), (RUNNING, RUNNING, "", False),
    (FAILED, SHUTDOWN, "", False), (COMPLETE, SHUTDOWN, "s", False), (NEW, REMOVE, "s", True),
    (PENDING, REMOVE, "s", True), (ASSIGNED, REMOVE, "s", False), (RUNNING, REMOVE, "s", False),
    (COMPLETE, REMOVE, "s", True), (ORPHANED, REMOVE, "s", True), (PENDING, SHUTDOWN, "s", False),
]  # fmt: skip


@pytest.mark.parametrize(("state", "desired", "service", "is_deleted"), REAPED)
def test_a_new_leader_deletes_what_the_former_left(
    state: TaskState, desired: TaskState, service: str, is_deleted: bool
) -> None:
    store = store_with(task("t", state, desired, service_id=service))
    TaskReaper(store).start()
    assert ids(store) == ([] if is_deleted else ["t"])


@pytest.mark.parametrize(("state", "desired", "service", "is_deleted"), REAPED)
def test_a_task_that_has_to_go_is_deleted_a_quarter_of_a_second_after_its_change(
    state: TaskState, desired: TaskState, service: str, is_deleted: bool
) -> None:
    store = store_with(task("t", RUNNING, service_id=service))
    reaper = TaskReaper(store)
    reaper.start()
    replace(store, task("t", state, desired, service_id=service))
    store.clock.run_for(0.249)
    assert ids(store) == ["t"]
    store.clock.run_for(0.002)
    assert ids(store) == ([] if is_deleted else ["t"])
    reaper.stop()


@pytest.mark.parametrize(("count", "is_deleted"), [(1000, False), (1001, True)])
def test_more_than_a_thousand_changes_do_not_wait(count: int, is_deleted: bool) -> None:
    store = store_with(*(task(f"t{number}", RUNNING) for number in range(count)))
    TaskReaper(store).start()
    replace(store, *(task(f"t{number}", ORPHANED) for number in range(count)))
    store.clock.run_ready()
    assert (not ids(store)) == is_deleted


def slot_of(mode: object) -> dict[str, Any]:
    return {"slot": 1} if isinstance(mode, Replicated) else {"node_id": "n"}


@pytest.mark.parametrize("mode", [Replicated(), Global()])
@pytest.mark.parametrize(
    ("limit", "max_attempts", "kept"),
    [
        (-1, 0, ["t1", "t2", "t3", "t4"]), (0, 0, ["t4"]), (1, 0, ["t4"]), (2, 0, ["t3", "t4"]),
        (3, 0, ["t2", "t3", "t4"]), (4, 0, ["t1", "t2", "t3", "t4"]), (1, 1, ["t3", "t4"]),
        (5, 2, ["t2", "t3", "t4"]), (-1, 2, ["t2", "t3", "t4"]),
    ],
)  # fmt: skip
def test_the_oldest_tasks_beyond_the_limit_are_deleted(
    mode: object, limit: int, max_attempts: int, kept: list[str]
) -> None:
    # A negative limit keeps all; MaxAttempts keeps one more than that number of tasks, whatever the limit.
    spec = ServiceSpec(task=TaskSpec(restart=RestartPolicy(max_attempts=max_attempts)), mode=mode)
    place = {"service_id": "s", **slot_of(mode)}
    old = [task(f"t{number}", FAILED, SHUTDOWN, at=number, **place) for number in (3, 1, 2)]
    elsewhere = task("x", FAILED, SHUTDOWN, service_id="s", slot=2, node_id="m")
    store = store_with(Service("s", spec), *old, elsewhere, history=limit)
    TaskReaper(store).start()
    store.update(lambda tx: tx.create(task("t4", RUNNING, at=4, **place)))
    store.clock.run_for(1)
    assert ids(store) == [*kept, "x"]


@pytest.mark.parametrize(
    ("state", "desired", "is_deleted"),
    [
        (NEW, SHUTDOWN, True), (PENDING, SHUTDOWN, True), (PENDING, RUNNING, False), (ASSIGNED, SHUTDOWN, False),
        (RUNNING, SHUTDOWN, False), (COMPLETE, RUNNING, True),
    ],
)  # fmt: skip
def test_only_tasks_that_ended_or_will_never_run_are_history(
    state: TaskState, desired: TaskState, is_deleted: bool
) -> None:
    place = {"service_id": "s", "slot": 1}
    store = store_with(Service("s", ServiceSpec(mode=Replicated())), task("t1", state, desired, **place), history=1)
    TaskReaper(store).start()
    store.update(lambda tx: tx.create(task("t2", RUNNING, at=2, **place)))
    store.clock.run_for(1)
    assert ids(store) == (["t2"] if is_deleted else ["t1", "t2"])


def test_a_slot_with_two_running_tasks_is_checked_again_at_the_next_change() -> None:
    place = {"service_id": "s", "slot": 1}
    store = store_with(Service("s", ServiceSpec(mode=Replicated())), task("t1", RUNNING, **place), history=1)
    TaskReaper(store).start()
    store.update(lambda tx: tx.create(task("t2", RUNNING, at=2, **place)))
    store.clock.run_for(1)
    assert ids(store) == ["t1", "t2"]
    replace(store, task("t1", SHUTDOWN, SHUTDOWN, at=3, **place))
    store.clock.run_for(1)
    assert ids(store) == ["t2"]


def test_a_slot_with_one_running_task_is_not_checked_again_without_a_new_task() -> None:
    place = {"service_id": "s", "slot": 1}
    store = store_with(Service("s", ServiceSpec(mode=Replicated())), history=0)
    TaskReaper(store).start()
    store.update(lambda tx: tx.create(task("t1", RUNNING, **place)))
    store.clock.run_for(1)
    replace(store, task("t1", FAILED, SHUTDOWN, **place))
    store.clock.run_for(1)
    assert ids(store) == ["t1"]


# ---- the role manager: manager/role_manager.go


@define
class FakeRaft:
    """The Raft member "n1" of a group, as far as the role manager uses it."""

    members: list[str]
    is_leading: bool = True
    transfers: int = 0
    removed: list[str] = field(factory=list)
    refuses: bool = False
    member: Any = field(factory=lambda: SimpleNamespace(node_id="n1"))

    @property
    def membership(self) -> Any:
        return SimpleNamespace(members=[SimpleNamespace(node_id=name) for name in self.members])

    def transfer_leadership(self) -> None:
        self.transfers += 1

    def remove(self, node_id: str) -> None:
        if self.refuses:
            raise EngineError("it would lose the quorum")
        self.removed.append(node_id)
        if node_id in self.members:
            self.members.remove(node_id)


def node(node_id: str, role: NodeRole, desired: NodeRole | None = None) -> Node:
    return Node(node_id, NodeSpec(desired_role=desired or role), role=role)


MANAGER, WORKER = NodeRole.MANAGER, NodeRole.WORKER


def managed(raft: FakeRaft, *nodes: Node) -> Store:
    store = store_with(*nodes)
    RoleManager(store, raft, raft.remove).start()  # type: ignore[arg-type]
    return store


def roles(store: Store) -> dict[str, NodeRole]:
    return {item.id: item.role for item in store.nodes}


def test_members_that_are_no_managers_any_more_are_removed_from_raft() -> None:
    raft = FakeRaft(["n1", "n2", "n3", "n4"])
    managed(raft, node("n1", MANAGER), node("n2", MANAGER), node("n3", WORKER))
    assert raft.removed == ["n3", "n4"]  # n4 is no node of the cluster


def test_only_the_leader_changes_roles() -> None:
    raft = FakeRaft(["n1", "n9"], is_leading=False)
    store = managed(raft, node("n1", MANAGER), node("n2", WORKER, MANAGER))
    assert (raft.removed, roles(store)["n2"]) == ([], WORKER)


def test_a_worker_is_promoted_at_once() -> None:
    raft = FakeRaft(["n1"])
    store = managed(raft, node("n1", MANAGER), node("n2", WORKER))
    known = store.nodes.get("n2")
    assert known is not None
    store.update(lambda tx: tx.replace(evolve(known, spec=NodeSpec(desired_role=MANAGER))))
    store.clock.run_ready()
    assert roles(store) == {"n1": MANAGER, "n2": MANAGER}
    assert raft.removed == []


def test_a_manager_is_demoted_when_raft_lets_it_go_and_tried_again_every_5_s() -> None:
    raft = FakeRaft(["n1", "n2"], refuses=True)
    store = managed(raft, node("n1", MANAGER), node("n2", MANAGER, WORKER))
    assert roles(store)["n2"] is MANAGER
    raft.refuses = False
    store.clock.run_for(4.9)
    assert roles(store)["n2"] is MANAGER
    store.clock.run_for(0.2)
    assert roles(store)["n2"] is WORKER
    assert raft.removed == ["n2"]


def test_a_leader_that_is_demoted_hands_over_the_lead_and_stays_a_manager() -> None:
    raft = FakeRaft(["n1", "n2"])
    store = managed(raft, node("n1", MANAGER, WORKER), node("n2", MANAGER))
    assert (raft.transfers, raft.removed, roles(store)["n1"]) == (1, [], MANAGER)
    alone = FakeRaft(["n1"])
    managed(alone, node("n1", MANAGER, WORKER))
    assert (alone.transfers, alone.removed) == (0, ["n1"])


# ---- the global orchestrator: manager/orchestrator/global/global.go


def test_a_new_leader_gives_every_eligible_node_its_global_tasks() -> None:
    def on(node_id: str, state: NodeState, availability: Availability = Availability.ACTIVE, **labels: str) -> Node:
        spec = NodeSpec(Annotations(labels=labels), availability=availability)
        return Node(node_id, spec, status=NodeStatus(state))

    placement = Placement(("node.labels.zone == east",))
    store = store_with(
        on("ready", NodeState.READY), on("unknown", NodeState.UNKNOWN), on("down", NodeState.DOWN),
        on("drained", NodeState.READY, Availability.DRAIN), on("paused", NodeState.READY, Availability.PAUSE),
        on("east", NodeState.READY, zone="east"),
        Service("all", ServiceSpec(Annotations("all"), mode=Global())),
        Service("east", ServiceSpec(Annotations("east"), TaskSpec(placement=placement), Global())),
        Service("other", ServiceSpec(Annotations("other"), mode=Replicated())),
    )  # fmt: skip
    numbers = iter(range(100))
    GlobalOrchestrator(store, lambda: f"t{next(numbers)}").start()
    assert sorted((item.service_id, item.node_id) for item in store.tasks) == [
        ("all", "east"), ("all", "ready"), ("all", "unknown"), ("east", "east"),
    ]  # fmt: skip


# ---- jobs: manager/orchestrator/jobs/replicated/reconciler.go


def test_a_job_removes_what_still_runs_of_a_former_iteration_and_completes_the_present_one() -> None:
    def of(task_id: str, iteration: int, slot: int, state: TaskState, desired: TaskState = COMPLETE) -> Task:
        return task(task_id, state, desired, service_id="job", slot=slot, job_iteration=iteration)

    spec = ServiceSpec(Annotations("job"), mode=ReplicatedJob(max_concurrent=3, total_completions=5))
    store = store_with(
        Service("job", spec, job_status=JobStatus(job_iteration=1)),
        of("running before", 0, 0, RUNNING), of("ended before", 0, 1, COMPLETE), of("going", 0, 2, RUNNING, REMOVE),
        of("complete", 1, 0, COMPLETE), of("running", 1, 1, RUNNING),
    )  # fmt: skip
    numbers = iter(range(100))
    JobsOrchestrator(store, lambda: f"new {next(numbers)}").start()
    assert {item.id: item.desired_state for item in store.tasks if not item.id.startswith("new")} == {
        "running before": REMOVE, "ended before": COMPLETE, "going": REMOVE, "complete": COMPLETE,
        "running": COMPLETE,
    }  # fmt: skip
    # Three at a time, five in all: one is done and one runs, so two more begin in the lowest free slots.
    new = [item for item in store.tasks if item.id.startswith("new")]
    assert [(item.slot, item.job_iteration, item.desired_state) for item in new] == [
        (2, 1, COMPLETE),
        (3, 1, COMPLETE),
    ]


# ---- restarts: manager/orchestrator/restart/restart.go shouldRestart

S = 1_000_000_000


@pytest.mark.parametrize(
    ("policy", "state", "restarts_ns", "is_restarted"),
    [
        (RestartPolicy(), FAILED, [], True), (RestartPolicy(), COMPLETE, [], True),
        (RestartPolicy(RestartCondition.NONE), FAILED, [], False),
        (RestartPolicy(RestartCondition.ON_FAILURE), FAILED, [], True),
        (RestartPolicy(RestartCondition.ON_FAILURE), COMPLETE, [], False),
        (RestartPolicy(max_attempts=2), FAILED, [], True), (RestartPolicy(max_attempts=2), FAILED, [1], True),
        (RestartPolicy(max_attempts=2), FAILED, [1, 2], False),
        (RestartPolicy(max_attempts=2, window_ns=10 * S), FAILED, [95 * S], True),
        (RestartPolicy(max_attempts=2, window_ns=10 * S), FAILED, [91 * S, 95 * S], False),
        (RestartPolicy(max_attempts=2, window_ns=10 * S), FAILED, [90 * S, 95 * S], True),
        (RestartPolicy(max_attempts=2, window_ns=10 * S), FAILED, [95 * S, 100 * S], True),
    ],
)  # fmt: skip
def test_a_policy_decides_from_the_restarts_before_the_end_of_a_task(
    policy: RestartPolicy, state: TaskState, restarts_ns: list[int], is_restarted: bool
) -> None:
    service = Service("s", ServiceSpec(Annotations("s"), mode=Replicated()))
    supervisor = RestartSupervisor(store_with(service), str)
    place: dict[str, Any] = {"service_id": "s", "slot": 1, "spec": TaskSpec(restart=policy)}
    for created_ns in restarts_ns:
        supervisor.record_restart(task("r", RUNNING, meta=Meta(created_ns=created_ns), **place))
    assert supervisor.should_restart(task("t", state, at=100 * S, **place), service) == is_restarted


def test_restarts_that_were_counted_without_a_window_do_not_count_in_one() -> None:
    service = Service("s", ServiceSpec(Annotations("s"), mode=Replicated()))
    supervisor = RestartSupervisor(store_with(service), str)
    before, after = (TaskSpec(restart=RestartPolicy(max_attempts=1, window_ns=window)) for window in (None, S))
    supervisor.record_restart(task("r", RUNNING, service_id="s", slot=1, spec=before))
    assert not supervisor.should_restart(task("t", FAILED, service_id="s", slot=1, spec=before), service)
    assert supervisor.should_restart(task("t", FAILED, service_id="s", slot=1, spec=after), service)


# ---- the scheduler: manager/scheduler/scheduler.go


def host(node_id: str) -> Node:
    description = NodeDescription(node_id, Platform("x86_64", "linux"), Resources(memory_bytes=GIB))
    return Node(node_id, NodeSpec(), description=description, status=NodeStatus(NodeState.READY))


LARGE = TaskSpec(resources=ResourceRequirements(reservations=Resources(memory_bytes=GIB)))


def test_a_task_that_loses_its_node_frees_what_it_reserved_there() -> None:
    store = store_with(
        host("n1"), Service("s"), task("t1", RUNNING, spec=LARGE, service_id="s", slot=1, node_id="n1")
    )
    scheduler = Scheduler(store)
    scheduler.start()
    replace(store, task("t1", PENDING, spec=LARGE, service_id="s", slot=1))
    store.clock.run_for(1)
    assigned = store.tasks.get("t1")
    assert assigned is not None
    assert (assigned.state, assigned.node_id, assigned.status.err) == (ASSIGNED, "n1", "")
    scheduler.stop()


@pytest.mark.parametrize(
    ("task_version", "service_version", "desired", "state", "error"),
    [
        (3, 4, SHUTDOWN, SHUTDOWN, ""), (3, 4, RUNNING, PENDING, ""), (4, 4, SHUTDOWN, PENDING, "no suitable node"),
        (None, 4, SHUTDOWN, PENDING, "no suitable node"), (3, None, SHUTDOWN, PENDING, "no suitable node"),
        (4, 4, RUNNING, PENDING, "no suitable node"),
    ],
)  # fmt: skip
def test_a_task_of_an_older_spec_that_no_node_suits_is_shut_down_once_it_is_to_end(
    task_version: int | None, service_version: int | None, desired: TaskState, state: TaskState, error: str
) -> None:
    # scheduler.noSuitableNode: only a task of the service's current version keeps waiting.
    waiting = task("t", PENDING, service_id="s", slot=1, spec=LARGE, spec_version=task_version)
    store = store_with(Service("s", spec_version=service_version), waiting)
    scheduler = Scheduler(store)
    scheduler.start()
    store.clock.run_for(1)
    replace(store, evolve(waiting, desired_state=desired, status=store.tasks.get("t").status))  # type: ignore[union-attr]
    store.update(lambda tx: tx.create(Node("n1", status=NodeStatus(NodeState.DOWN))))
    store.clock.run_for(1)
    found = store.tasks.get("t")
    assert found is not None
    assert (found.state, found.status.err.partition(" (")[0]) == (state, error)
    scheduler.stop()

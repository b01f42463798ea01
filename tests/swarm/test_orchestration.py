"""Services come to what their specs say: scaling, restarts, updates, jobs, lost nodes, history."""

import pytest
from attrs import evolve
from support.swarm_fakes import FakeCluster

from cnmsim.swarm.objects import (
    Availability,
    FailureAction,
    Global,
    GlobalJob,
    NodeState,
    Placement,
    Replicated,
    ReplicatedJob,
    RestartCondition,
    RestartPolicy,
    TaskState,
    UpdateConfig,
    UpdateOrder,
    UpdateState,
)

S = 1_000_000_000


@pytest.fixture
def cluster():
    made = FakeCluster()
    made.add_nodes(3)
    made.run(1)
    return made


def respec(cluster, service, **options):
    """Update a service so that all its tasks are out of date."""
    task = cluster.store.services.get(service.id).spec.task
    return cluster.update(service.id, task=evolve(task, force_update=task.force_update + 1), **options)


def slots(cluster, service):
    return sorted(task.slot for task in cluster.tasks(service.id))


def end(cluster, task, state=TaskState.FAILED):
    agent = next(each for each in cluster.agents.values() if each.node_id == task.node_id)
    agent.report([(task.id, state)])


def status(cluster, service):
    return cluster.store.services.get(service.id).update_status


def watch_running(cluster, service, seconds, step=0.05):
    """Advance the clock. Return the fewest and the most tasks that ran at a time."""
    counts = set()
    for _ in range(round(seconds / step)):
        cluster.run(step)
        counts.add(len([t for t in cluster.store.tasks.by_service(service.id) if t.state is TaskState.RUNNING]))
    return min(counts), max(counts)


def test_scaling_up_fills_the_lowest_slots_and_down_levels_the_nodes(cluster):
    web = cluster.service("web", 4)
    cluster.run(2)
    assert slots(cluster, web) == [1, 2, 3, 4]
    assert sorted(cluster.placed(web.id).values()) == [1, 1, 2]
    cluster.scale(web.id, 3)
    cluster.run(2)
    assert sorted(cluster.placed(web.id).values()) == [1, 1, 1]
    cluster.scale(web.id, 5)
    cluster.run(2)
    assert slots(cluster, web) == [1, 2, 3, 4, 5]
    cluster.scale(web.id, 0)
    cluster.run(2)
    assert cluster.store.tasks.by_service(web.id) == []


def test_a_task_that_ends_is_replaced_after_the_restart_delay(cluster):
    web = cluster.service("web", 1)
    cluster.run(2)
    first = cluster.tasks(web.id)[0]
    end(cluster, first, TaskState.COMPLETE)
    cluster.run(1)
    assert [task.state for task in cluster.store.tasks.by_service(web.id)] == [TaskState.COMPLETE, TaskState.READY]
    cluster.run(4)
    assert cluster.tasks(web.id) == []
    cluster.run(1)
    assert slots(cluster, web) == [1]


@pytest.mark.parametrize(
    ("condition", "state", "replaced"),
    [
        (RestartCondition.NONE, TaskState.FAILED, False),
        (RestartCondition.ON_FAILURE, TaskState.FAILED, True),
        (RestartCondition.ON_FAILURE, TaskState.COMPLETE, False),
        (RestartCondition.ANY, TaskState.COMPLETE, True),
    ],
)
def test_restart_conditions(cluster, condition, state, replaced):
    web = cluster.service("web", 1, task={"restart": RestartPolicy(condition, delay_ns=0)})
    cluster.run(2)
    end(cluster, cluster.tasks(web.id)[0], state)
    cluster.run(5)
    assert len(cluster.tasks(web.id)) == replaced


def test_restarts_are_limited_for_each_slot(cluster):
    for agent in cluster.agents.values():
        agent.outcome = lambda task: TaskState.FAILED
    web = cluster.service("web", 2, task={"restart": RestartPolicy(delay_ns=S, max_attempts=2)})
    cluster.run(60)
    tasks = cluster.store.tasks.by_service(web.id)
    assert [len([task for task in tasks if task.slot == slot]) for slot in (1, 2)] == [3, 3]
    assert all(task.desired_state is TaskState.SHUTDOWN for task in tasks)


def test_restarts_long_ago_do_not_count_with_a_window(cluster):
    policy = RestartPolicy(delay_ns=0, max_attempts=1, window_ns=20 * S)
    web = cluster.service("web", 1, task={"restart": policy})
    cluster.run(2)
    for _ in range(2):
        end(cluster, cluster.tasks(web.id)[0])
        cluster.run(30)
    assert len(cluster.tasks(web.id)) == 1
    end(cluster, cluster.tasks(web.id)[0])
    cluster.run(2)
    end(cluster, cluster.tasks(web.id)[0])
    cluster.run(10)
    assert cluster.tasks(web.id) == []


def test_history_keeps_the_last_tasks_of_a_slot(cluster):
    web = cluster.service("web", 1, task={"restart": RestartPolicy(delay_ns=0)})
    cluster.run(2)
    for _ in range(8):
        end(cluster, cluster.tasks(web.id)[0])
        cluster.run(2)
    assert len(cluster.store.tasks.by_service(web.id)) == 5


# ---- updates


def test_an_update_replaces_tasks_one_by_one_and_then_watches(cluster):
    web = cluster.service("web", 3)
    cluster.run(2)
    old = {task.id for task in cluster.tasks(web.id)}
    respec(cluster, web)
    assert watch_running(cluster, web, 3) == (2, 3)
    assert status(cluster, web).state is UpdateState.UPDATING
    assert status(cluster, web).message == "update in progress"
    assert not old & {task.id for task in cluster.tasks(web.id)}
    cluster.run(6)
    assert (status(cluster, web).state, status(cluster, web).message) == (UpdateState.COMPLETED, "update completed")
    assert status(cluster, web).completed_ns > status(cluster, web).started_ns
    assert slots(cluster, web) == [1, 2, 3]


def test_parallelism_and_delay(cluster):
    web = cluster.service("web", 4, update=UpdateConfig(parallelism=2, delay_ns=10 * S))
    cluster.run(2)
    old = {task.id for task in cluster.tasks(web.id)}
    respec(cluster, web)
    cluster.run(5)
    assert len(old & {task.id for task in cluster.tasks(web.id)}) == 2
    cluster.run(10)
    assert len(old & {task.id for task in cluster.tasks(web.id)}) == 0
    assert watch_running(cluster, web, 1) == (4, 4)


def test_start_first_never_has_fewer(cluster):
    web = cluster.service("web", 2, update=UpdateConfig(parallelism=1, order=UpdateOrder.START_FIRST))
    cluster.run(2)
    respec(cluster, web)
    assert watch_running(cluster, web, 4) == (2, 3)
    cluster.run(6)
    assert status(cluster, web).state is UpdateState.COMPLETED
    assert len(cluster.tasks(web.id)) == 2


def fail_updated(cluster):
    for agent in cluster.agents.values():
        agent.outcome = lambda task: TaskState.FAILED if task.spec.force_update else TaskState.RUNNING


def test_a_failing_update_pauses(cluster):
    web = cluster.service("web", 3, update=UpdateConfig(parallelism=1))
    cluster.run(2)
    fail_updated(cluster)
    respec(cluster, web)
    cluster.run(30)
    paused = status(cluster, web)
    assert paused.state is UpdateState.PAUSED
    assert paused.message.startswith("update paused due to failure or early termination of task ")
    assert len([task for task in cluster.tasks(web.id) if not task.spec.force_update]) == 2


def test_a_failing_update_rolls_back(cluster):
    web = cluster.service("web", 3, update=UpdateConfig(parallelism=1, failure_action=FailureAction.ROLLBACK))
    cluster.run(2)
    fail_updated(cluster)
    respec(cluster, web)
    cluster.run(40)
    assert status(cluster, web).state is UpdateState.ROLLBACK_COMPLETED
    assert status(cluster, web).message == "rollback completed"
    service = cluster.store.services.get(web.id)
    assert (service.spec.task.force_update, service.previous_spec) == (0, None)
    assert len(cluster.tasks(web.id)) == 3


@pytest.mark.parametrize(
    ("action", "state", "message"),
    [
        (FailureAction.PAUSE, UpdateState.ROLLBACK_PAUSED, "update paused due to failure"),
        (FailureAction.CONTINUE, UpdateState.ROLLBACK_COMPLETED, "rollback completed"),
        # Nothing rolls a rollback back: it is paused, and then completes as if it were an update.
        (FailureAction.ROLLBACK, UpdateState.COMPLETED, "update completed"),
    ],
)
def test_a_rollback_that_fails_as_well_ends_as_its_config_says(cluster, action, state, message):
    config = UpdateConfig(parallelism=1, failure_action=FailureAction.ROLLBACK)
    web = cluster.service("web", 2, update=config, rollback=UpdateConfig(parallelism=1, failure_action=action))
    cluster.run(2)
    for agent in cluster.agents.values():
        agent.outcome = lambda _: TaskState.FAILED
    respec(cluster, web)
    cluster.run(90)
    assert status(cluster, web).state is state
    assert status(cluster, web).message.startswith(message)


def test_failures_up_to_the_ratio_are_borne(cluster):
    config = UpdateConfig(parallelism=1, max_failure_ratio=0.5)
    web = cluster.service("web", 3, update=config, task={"restart": RestartPolicy(delay_ns=0)})
    cluster.run(2)
    failed = []

    def once(task):
        if task.spec.force_update and not failed:
            failed.append(task.id)
            return TaskState.FAILED
        return TaskState.RUNNING

    for agent in cluster.agents.values():
        agent.outcome = once
    respec(cluster, web)
    cluster.run(40)
    assert (status(cluster, web).state, len(failed)) == (UpdateState.COMPLETED, 1)
    assert len(cluster.tasks(web.id)) == 3


def test_a_new_update_takes_the_place_of_one_under_way(cluster):
    web = cluster.service("web", 3, update=UpdateConfig(parallelism=1, delay_ns=60 * S))
    cluster.run(2)
    respec(cluster, web)
    cluster.run(5)
    respec(cluster, web, update=UpdateConfig())
    cluster.run(20)
    assert {task.spec.force_update for task in cluster.tasks(web.id)} == {2}
    assert status(cluster, web).state is UpdateState.COMPLETED


def test_a_rollback_by_hand_brings_the_old_tasks_back(cluster):
    web = cluster.service("web", 2)
    cluster.run(2)
    respec(cluster, web)
    cluster.run(15)
    now = cluster.store.services.get(web.id)
    cluster.manager.control.update_service(web.id, now.meta.version, now.spec, rollback=True)
    cluster.run(15)
    assert status(cluster, web).state is UpdateState.ROLLBACK_COMPLETED
    assert {task.spec.force_update for task in cluster.tasks(web.id)} == {0}


def test_labels_and_constraints_that_still_hold_touch_no_task(cluster):
    web = cluster.service("web", 2)
    cluster.run(2)
    before = {task.id for task in cluster.tasks(web.id)}
    spec = cluster.store.services.get(web.id).spec
    cluster.update(web.id, annotations=evolve(spec.annotations, labels={"tier": "front"}))
    placement = Placement(("node.platform.os==linux",))
    cluster.update(web.id, task=evolve(spec.task, placement=placement))
    cluster.run(10)
    assert {task.id for task in cluster.tasks(web.id)} == before


def test_an_update_is_gone_on_with_by_a_new_leader(cluster):
    web = cluster.service("web", 3, update=UpdateConfig(parallelism=1, delay_ns=5 * S))
    cluster.run(2)
    respec(cluster, web)
    cluster.run(2)
    cluster.manager.become_follower()
    cluster.run(3)
    cluster.manager.become_leader()
    cluster.run(60)
    assert status(cluster, web).state is UpdateState.COMPLETED
    assert {task.spec.force_update for task in cluster.tasks(web.id)} == {1}


# ---- global services


def test_a_global_service_follows_nodes(cluster):
    agents = list(cluster.agents.values())
    each = cluster.service("each", mode=Global())
    cluster.run(2)
    assert cluster.placed(each.id) == {"node1": 1, "node2": 1, "node3": 1}
    cluster.set_node(agents[1], availability=Availability.DRAIN)
    cluster.set_node(agents[2], availability=Availability.PAUSE)
    cluster.add_nodes(1)
    cluster.run(3)
    assert cluster.placed(each.id) == {"node1": 1, "node3": 1, "node4": 1}
    cluster.set_node(agents[1], availability=Availability.ACTIVE)
    cluster.run(3)
    assert cluster.placed(each.id) == {"node1": 1, "node2": 1, "node3": 1, "node4": 1}


def test_a_global_service_keeps_to_its_constraints(cluster):
    agents = list(cluster.agents.values())
    each = cluster.service("each", mode=Global(), placement=Placement(("node.labels.zone==east",)))
    cluster.run(2)
    assert cluster.placed(each.id) == {}
    for agent in agents[:2]:
        cluster.set_node(
            agent,
            annotations=evolve(cluster.store.nodes.get(agent.node_id).spec.annotations, labels={"zone": "east"}),
        )
    cluster.run(2)
    assert cluster.placed(each.id) == {"node1": 1, "node2": 1}
    cluster.set_node(
        agents[0], annotations=evolve(cluster.store.nodes.get(agents[0].node_id).spec.annotations, labels={})
    )
    cluster.run(10)
    assert cluster.placed(each.id) == {"node2": 1}


def test_an_updated_global_service_rolls_over_the_nodes(cluster):
    each = cluster.service("each", mode=Global())
    cluster.run(2)
    respec(cluster, each)
    assert watch_running(cluster, each, 3) == (2, 3)
    cluster.run(6)
    assert status(cluster, each).state is UpdateState.COMPLETED
    assert {task.spec.force_update for task in cluster.tasks(each.id)} == {1}


@pytest.mark.parametrize("end", [TaskState.FAILED, TaskState.COMPLETE])
def test_an_ended_global_task_is_replaced_on_its_node(cluster, end):
    each = cluster.service("each", mode=Global(), task={"restart": RestartPolicy(delay_ns=0)})
    cluster.run(3)
    ended = cluster.tasks(each.id)[0]
    agent = next(agent for agent in cluster.agents.values() if agent.node_id == ended.node_id)
    agent.report([(ended.id, end)])
    cluster.run(3)
    running = cluster.tasks(each.id)
    assert ended.id not in {task.id for task in running}
    assert sorted(task.node_id for task in running) == sorted(agent.node_id for agent in cluster.agents.values())


# ---- jobs


def test_a_job_completes_as_often_as_asked(cluster):
    for agent in cluster.agents.values():
        agent.outcome = lambda task: TaskState.COMPLETE
        agent.latency_s = 1.0
    job = cluster.service("job", mode=ReplicatedJob(max_concurrent=2, total_completions=5))
    cluster.run(1.9)
    assert len([t for t in cluster.store.tasks.by_service(job.id) if t.state is not TaskState.COMPLETE]) == 2
    cluster.run(30)
    done = [task for task in cluster.store.tasks.by_service(job.id) if task.state is TaskState.COMPLETE]
    assert sorted(task.slot for task in done) == [0, 1, 2, 3, 4]
    assert cluster.manager.control.service_statuses([job.id])[0].completed == 5


def test_a_job_runs_again_when_updated(cluster):
    for agent in cluster.agents.values():
        agent.outcome = lambda task: TaskState.COMPLETE
    job = cluster.service("job", mode=ReplicatedJob(2, 2))
    cluster.run(5)
    respec(cluster, job)
    cluster.run(5)
    assert cluster.store.services.get(job.id).job_status.job_iteration == 1
    again = [task for task in cluster.store.tasks.by_service(job.id) if task.job_iteration == 1]
    assert [task.state for task in again] == [TaskState.COMPLETE, TaskState.COMPLETE]


def test_failed_tasks_of_a_job_are_run_again(cluster):
    ends = iter([TaskState.FAILED, TaskState.COMPLETE])
    for agent in cluster.agents.values():
        agent.outcome = lambda task: next(ends)
    job = cluster.service("job", mode=ReplicatedJob(), task={"restart": RestartPolicy(delay_ns=0)})
    cluster.run(10)
    states = [task.state for task in cluster.store.tasks.by_service(job.id)]
    assert states == [TaskState.FAILED, TaskState.COMPLETE]


def test_a_task_that_is_run_again_belongs_to_the_present_iteration(cluster):
    ends = iter([TaskState.COMPLETE, TaskState.FAILED, TaskState.COMPLETE])
    for agent in cluster.agents.values():
        agent.outcome = lambda task: next(ends)
    job = cluster.service("job", mode=ReplicatedJob(), task={"restart": RestartPolicy(delay_ns=0)})
    cluster.run(10)
    respec(cluster, job)
    cluster.run(10)
    tasks = cluster.store.tasks.by_service(job.id)
    assert sorted((task.job_iteration, task.state) for task in tasks) == [
        (0, TaskState.COMPLETE), (1, TaskState.COMPLETE), (1, TaskState.FAILED),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("mode", "slots"), [(ReplicatedJob(2, 2), {0: 3, 1: 3}), (GlobalJob(), {0: 3 * 3})], ids=["replicated", "global"]
)
def test_restarts_of_a_jobs_tasks_are_limited(cluster, mode, slots):
    for agent in cluster.agents.values():
        agent.outcome = lambda task: TaskState.FAILED
    job = cluster.service("job", mode=mode, task={"restart": RestartPolicy(delay_ns=S, max_attempts=2)})
    cluster.run(60)
    tasks = cluster.store.tasks.by_service(job.id)
    assert {slot: len([task for task in tasks if task.slot == slot]) for slot in slots} == slots
    assert all(task.desired_state is TaskState.SHUTDOWN for task in tasks)


def test_a_global_job_runs_once_on_each_node(cluster):
    for agent in cluster.agents.values():
        agent.outcome = lambda task: TaskState.COMPLETE
    job = cluster.service("job", mode=GlobalJob())
    cluster.run(5)
    tasks = cluster.store.tasks.by_service(job.id)
    assert [task.state for task in tasks] == [TaskState.COMPLETE] * 3
    assert len({task.node_id for task in tasks}) == 3
    cluster.manager.control.remove_service(job.id)
    cluster.run(3)
    assert len(cluster.store.tasks) == 0


# ---- nodes that go


def test_a_lost_node_is_down_after_three_heartbeats_and_its_tasks_start_elsewhere(cluster):
    web = cluster.service("web", 3)
    cluster.run(2)
    lost = cluster.agents["node2"]
    lost.down()
    cluster.run(7)
    assert cluster.node_state(lost) is NodeState.READY
    cluster.run(10)
    assert cluster.node_state(lost) is NodeState.DOWN
    assert cluster.store.nodes.get(lost.node_id).status.message == "heartbeat failure"
    cluster.run(6)
    assert cluster.placed(web.id) == {"node1": 2, "node3": 1} or cluster.placed(web.id) == {"node1": 1, "node3": 2}
    ghost = next(task for task in cluster.store.tasks.by_node(lost.node_id))
    assert (ghost.state, ghost.desired_state) == (TaskState.RUNNING, TaskState.SHUTDOWN)
    lost.up()
    cluster.run(3)
    assert cluster.node_state(lost) is NodeState.READY
    assert cluster.store.tasks.get(ghost.id).state is TaskState.SHUTDOWN
    assert "node2" not in cluster.placed(web.id)


def test_tasks_of_a_node_lost_for_a_day_are_orphaned(cluster):
    web = cluster.service("web", 3)
    cluster.run(2)
    lost = cluster.agents["node3"]
    lost.down()
    cluster.run(24 * 3600)
    task = cluster.store.tasks.by_node(lost.node_id)[0]
    assert task.state is TaskState.RUNNING
    cluster.run(30)
    assert cluster.store.tasks.get(task.id).state is TaskState.ORPHANED
    assert len(cluster.tasks(web.id)) == 3


def test_a_drained_node_is_left_without_delay(cluster):
    web = cluster.service("web", 3)
    cluster.run(2)
    cluster.set_node(cluster.agents["node1"], availability=Availability.DRAIN)
    cluster.run(2)
    assert "node1" not in cluster.placed(web.id)
    assert sum(cluster.placed(web.id).values()) == 3


def test_removing_a_service_removes_its_tasks(cluster):
    web = cluster.service("web", 3)
    cluster.run(2)
    cluster.manager.control.remove_service(web.id)
    cluster.run(2)
    assert len(cluster.store.tasks) == 0
    assert all(not agent.tasks for agent in cluster.agents.values())


def test_a_task_whose_node_no_longer_fits_moves(cluster):
    agent = cluster.agents["node2"]
    annotations = cluster.store.nodes.get(agent.node_id).spec.annotations
    cluster.set_node(agent, annotations=evolve(annotations, labels={"disk": "ssd"}))
    web = cluster.service("web", 1, placement=Placement(("node.labels.disk==ssd",)))
    cluster.run(2)
    assert cluster.placed(web.id) == {"node2": 1}
    cluster.set_node(agent, annotations=annotations)
    cluster.run(10)
    first, second = cluster.store.tasks.by_service(web.id)
    assert first.status.err == "assigned node no longer meets constraints"
    assert second.status.err == "no suitable node (scheduling constraints not satisfied on 3 nodes)"
    cluster.set_node(cluster.agents["node3"], annotations=evolve(annotations, labels={"disk": "ssd"}))
    cluster.run(3)
    assert cluster.placed(web.id) == {"node3": 1}


def test_scaling_while_tasks_cannot_be_placed(cluster):
    web = cluster.service("web", 3, placement=Placement(("node.labels.none==x",)))
    cluster.run(2)
    assert {task.state for task in cluster.store.tasks.by_service(web.id)} == {TaskState.PENDING}
    cluster.scale(web.id, 1)
    cluster.run(2)
    assert len(cluster.store.tasks.by_service(web.id)) == 1
    assert cluster.store.services.get(web.id).spec.mode == Replicated(1)

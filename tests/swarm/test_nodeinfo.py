"""What the scheduler counts on a node: tasks, resources, ports and failures.

Facts from moby/swarmkit `manager/scheduler/nodeinfo.go`, `nodeinfo_test.go` and `nodeset.go`.
"""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from cnmsim.kernel.clock import NS_PER_S
from cnmsim.swarm.objects import (
    Endpoint,
    EndpointSpec,
    Node,
    NodeDescription,
    PortConfig,
    PublishMode,
    ResourceRequirements,
    Resources,
    Task,
    TaskSpec,
    TaskState,
)
from cnmsim.swarm.scheduler.nodeinfo import NodeInfo

COLOURS = (("orange", "blue"), ("orange", "red"), ("orange", "green"))
RESOURCES = Resources(100_000, 1_000_000, (*COLOURS, ("apple", 6)))
RESERVED = Resources(5000, 7000, (("apple", 2), ("orange", 1)))


def node(resources: Resources = RESOURCES) -> Node:
    return Node("n", description=NodeDescription(resources=resources))


def task(task_id: str, service_id: str = "s", reserved: Resources | None = None, **options: Any) -> Task:
    spec = TaskSpec(resources=ResourceRequirements(reservations=reserved))
    return Task(task_id, spec=spec, service_id=service_id, **options)


def available(info: NodeInfo) -> tuple[int, int, int, int]:
    """Return what is available: CPU, memory, apples and oranges."""
    apples, oranges = (
        max(count for count in range(10) if info.generic.has([(kind, count)])) for kind in ("apple", "orange")
    )
    return info.cpus, info.memory, apples, oranges


def test_a_task_takes_its_reservations_once_and_gives_them_back_once() -> None:
    # TestAddTask, TestRemoveTask
    info, one = NodeInfo(node()), task("one", reserved=RESERVED)
    assert not info.remove(one)
    assert available(info) == (100_000, 1_000_000, 6, 3)
    for _ in range(2):
        info.add(one)
        assert available(info) == (95_000, 993_000, 4, 2)
    assert info.assigned_generic("one") == (("apple", 2), ("orange", "blue"))
    assert not info.remove(task("other", reserved=RESERVED))
    assert info.assigned_generic("other") == ()
    assert info.remove(one)
    assert not info.remove(one)
    assert available(info) == (100_000, 1_000_000, 6, 3)


def test_a_named_resource_that_came_back_is_the_last_to_go_again() -> None:
    info = NodeInfo(node())
    for number in range(4):
        one = task(f"t{number}", reserved=Resources(generic=(("orange", 1),)))
        info.add(one)
        assert info.assigned_generic(one.id) == (COLOURS[number % 3],)
        info.remove(one)


def test_a_changed_node_keeps_what_its_tasks_reserved() -> None:
    info = NodeInfo(node(), [task("one", reserved=RESERVED), task("two")])
    info.set_node(node(Resources(50_000, 60_000, (*COLOURS, ("apple", 3)))))
    assert available(info) == (45_000, 53_000, 1, 2)


def test_a_changed_node_does_not_give_a_tasks_resource_to_another() -> None:
    # manager/scheduler/scheduler.go, createOrUpdateNode: what each task was assigned is consumed, not claimed anew.
    info = NodeInfo(node())
    one, two, three = (task(f"t{number}", reserved=Resources(generic=(("orange", 1),))) for number in range(3))
    info.add(one)
    info.add(two)
    info.remove(one)
    info.set_node(node())
    info.add(three)
    assert (info.assigned_generic(two.id), info.assigned_generic(three.id)) == ((COLOURS[1],), (COLOURS[0],))
    info.set_node(node(Resources(generic=COLOURS[2:])))
    assert available(info)[3] == 1, "a resource that the node no longer has is not taken from the others"


def test_a_task_counts_while_it_is_to_run_or_to_complete() -> None:
    info = NodeInfo(node())
    one = task("one", desired_state=TaskState.RUNNING)
    counts = []
    for desired in (TaskState.RUNNING, TaskState.COMPLETE, TaskState.SHUTDOWN, TaskState.REMOVE, TaskState.READY):
        info.add(evolve(one, desired_state=desired))
        counts.append((info.active_count, info.active_by_service["s"]))
    assert counts == [(1, 1), (1, 1), (0, 0), (0, 0), (1, 1)]
    info.remove(one)
    assert (info.active_count, info.active_by_service["s"]) == (0, 0)
    stopped = task("stopped", desired_state=TaskState.SHUTDOWN)
    info.add(stopped)
    info.remove(stopped)
    assert (info.active_count, info.active_by_service["s"]) == (0, 0)


def test_host_ports_are_held_as_long_as_the_task_is_there() -> None:
    ports = (
        PortConfig("", "tcp", 80, 8080, PublishMode.HOST), PortConfig("", "udp", 80, 0, PublishMode.HOST),
        PortConfig("", "tcp", 81, 8081), PortConfig("", "udp", 53, 53, PublishMode.HOST),
    )  # fmt: skip
    one = task("one", endpoint=Endpoint(EndpointSpec(), ports))
    info = NodeInfo(node(), [one, task("two", endpoint=Endpoint(EndpointSpec()))])
    assert info.ports == {("tcp", 8080), ("udp", 53)}
    info.remove(one)
    assert info.ports == set()


#: Failures of the service's tasks, active tasks of the service, and of others, for two nodes: the first is better.
BETTER = [
    ((0, 0, 0), (0, 1, 0)), ((0, 0, 9), (0, 1, 0)), ((0, 2, 0), (0, 2, 1)), ((4, 0, 0), (0, 1, 0)),
    ((0, 9, 9), (5, 0, 0)), ((4, 9, 9), (5, 0, 0)), ((5, 9, 9), (6, 0, 0)), ((5, 0, 1), (5, 1, 0)),
]  # fmt: skip


@pytest.mark.parametrize(("better", "worse"), BETTER)
def test_failures_count_from_five_on_then_tasks_of_the_service_then_all(
    better: tuple[int, int, int], worse: tuple[int, int, int]
) -> None:
    ranks = []
    for failures, own, others in (better, worse):
        info = NodeInfo(node())
        for number in range(own):
            info.add(task(f"own{number}"))
        for number in range(others):
            info.add(task(f"other{number}", "another"))
        for _ in range(failures):
            info.record_failure(task("failed"), 0)
        ranks.append(info.rank(task("new"), 0))
    assert ranks[0] < ranks[1]


def test_a_node_that_lost_its_tasks_is_as_good_as_one_that_never_had_any() -> None:
    used, fresh = NodeInfo(node()), NodeInfo(node())
    used.add(task("one"))
    used.remove(task("one"))
    assert used.rank(task("new"), 0) == fresh.rank(task("new"), 0)


def test_failures_are_counted_by_service_and_spec_version_for_five_minutes() -> None:
    info, minute = NodeInfo(node()), 60 * NS_PER_S
    for at in (0, minute, 2 * minute):
        info.record_failure(task("failed", spec_version=7), at)
    counts = [info.count_recent_failures(task("new", spec_version=7), at * minute) for at in (2, 5, 6, 7, 8)]
    assert counts == [3, 3, 2, 1, 0]
    assert info.count_recent_failures(task("new", spec_version=8), 0) == 0
    assert info.count_recent_failures(task("new", "another", spec_version=7), 0) == 0
    info.record_failure(task("failed", spec_version=7), 7 * minute)
    assert info.count_recent_failures(task("new", spec_version=7), 7 * minute) == 1


STEPS = st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.sampled_from("ab")), max_size=30)


@given(STEPS)
def test_a_node_without_tasks_has_everything(steps: list[tuple[bool, int, str]]) -> None:
    info = NodeInfo(node())
    for is_added, number, service_id in steps:
        one = task(f"{service_id}{number}", service_id, Resources(number, number, (("apple", number % 2),)))
        if is_added:
            info.add(one)
        else:
            was_there = one.id in info.tasks
            assert info.remove(one) is was_there
        assert info.active_count == len(info.tasks) == sum(info.active_by_service.values())
    for one in list(info.tasks.values()):
        info.remove(one)
    assert available(info) == (100_000, 1_000_000, 6, 3)

"""What is gone is forgotten: nothing grows with the number of containers there have been."""

import gc
import weakref

import pytest

from cnmsim import Lab, NotFound
from cnmsim.kernel.clock import Clock


@pytest.fixture
def lab():
    lab = Lab()
    lab.add_host("node1", "10.0.0.15/24", docker=True)
    return lab


@pytest.fixture
def rest(lab):
    return lab.host("node1").docker.rest


def run_exec(lab, rest, container):
    id_ = rest.execs.create(container, {"Cmd": ["true"]})["Id"]
    rest.execs.start(id_, {"Detach": True})
    lab.clock.run_ready()
    return id_


def start(lab, rest):
    id_ = rest.containers.create({"Image": "alpine", "Cmd": ["sleep", "1d"]})["Id"]
    lab.host("node1").docker.complete(rest.containers.start(id_))
    lab.clock.run_ready()
    return id_


def test_the_execs_of_a_removed_container_are_gone_with_it(lab, rest):
    container = start(lab, rest)
    ended = run_exec(lab, rest, container)
    rest.containers.remove(container, {"force": "1"})
    with pytest.raises(NotFound, match="No such exec instance"):
        rest.execs.inspect(ended)


def test_a_removed_container_leaves_no_object_behind(lab, rest):
    engine = lab.host("node1").docker
    container = start(lab, rest)
    run_exec(lab, rest, container)
    seen = weakref.WeakSet([engine.store.get(container).files, engine.controller.sandboxes[0]])
    rest.containers.remove(container, {"force": "1"})
    lab.clock.run_ready()
    gc.collect()
    assert len(seen) == 0


def test_an_exec_that_ended_can_be_inspected_for_five_minutes(lab, rest):
    container = start(lab, rest)
    first = run_exec(lab, rest, container)
    lab.run(299)
    for _ in range(200):
        run_exec(lab, rest, container)
    assert rest.execs.inspect(first)["ExitCode"] == 0
    lab.run(301)
    for _ in range(200):
        run_exec(lab, rest, container)
    with pytest.raises(NotFound):
        rest.execs.inspect(first)
    assert len(lab.host("node1").docker.execs) <= 264


def test_work_that_was_taken_back_does_not_pile_up_while_time_stands_still():
    clock = Clock()
    kept = clock.call_later(2, list)
    for _ in range(20_000):
        clock.call_later(1, list).cancel()
    assert sum(map(len, clock._later.values())) < 5_000
    assert kept.is_pending
    clock.run(3)
    assert not kept.is_pending

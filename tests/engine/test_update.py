"""`docker update`: what it sets stays, what it refuses changes nothing."""

import copy

import pytest
from support.engine_lab import VERSIONS, new_engine

from cnmsim.errors import Conflict, InvalidParameter

MEMORY, SWAP = 64 << 20, 128 << 20


@pytest.fixture
def engine():
    engine = new_engine(VERSIONS[0])
    engine.containers.run("alpine", "sleep 1d", name="c1", detach=True)
    return engine


def host_config(engine):
    return engine.rest.containers.inspect("c1")["HostConfig"]


def test_limits_and_the_restart_policy_are_set_and_the_rest_stays(engine):
    before = host_config(engine)
    asked = {
        "NanoCpus": 10**9, "CpuShares": 5, "CpusetCpus": "0-1", "Memory": MEMORY, "MemorySwap": SWAP, "PidsLimit": 7,
        "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 2},
    }  # fmt: skip
    assert engine.rest.containers.update("c1", asked) == {"Warnings": None}
    assert host_config(engine) == {**before, **asked}
    assert engine.rest.containers.update("c1", {}) == {"Warnings": None}
    assert host_config(engine) == {**before, **asked}
    assert [each.action for each in engine.event_log.past][-2:] == ["update", "update"]


@pytest.mark.parametrize(
    ("first", "then", "text"),
    [
        ({}, {"Memory": MEMORY}, ("Memory limit should be smaller than already set memoryswap limit, update the "
                                 "memoryswap at the same time")),
        ({"CpuPeriod": 1000}, {"NanoCpus": 1},
         "Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set"),
        ({"CpuQuota": 1000}, {"NanoCpus": 1},
         "Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set"),
        ({"NanoCpus": 10**9}, {"CpuQuota": 1000},
         "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set"),
        ({"NanoCpus": 10**9}, {"CpuPeriod": 1000},
         "Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set"),
    ],
)  # fmt: skip
def test_limits_that_conflict_are_refused(engine, first, then, text):
    engine.rest.containers.update("c1", first)
    before = copy.deepcopy(host_config(engine))
    with pytest.raises(Conflict) as caught:
        engine.rest.containers.update("c1", {"CpuShares": 9, "RestartPolicy": {"Name": "always"}, **then})
    assert caught.value.message == f"Cannot update container {engine.containers.get('c1').id}: {text}"
    assert host_config(engine) == before


def test_a_restart_policy_needs_a_container_that_stays(engine):
    engine.containers.run("alpine", "sleep 1d", name="gone", detach=True, auto_remove=True)
    with pytest.raises(Conflict, match="cannot be updated because AutoRemove is enabled"):
        engine.rest.containers.update("gone", {"RestartPolicy": {"Name": "always"}})
    engine.rest.containers.update("gone", {"RestartPolicy": {"Name": "no"}})
    with pytest.raises(InvalidParameter, match="unknown policy 'bogus'"):
        engine.rest.containers.update("c1", {"RestartPolicy": {"Name": "bogus"}})


def test_top_is_an_event(engine):
    engine.rest.containers.top("c1")
    assert engine.event_log.past[-1].action == "top"


def test_an_exec_begins_in_a_directory_that_is_there(engine):
    def run(directory):
        made = engine.rest.execs.create("c1", {"Cmd": ["true"], "WorkingDir": directory, "AttachStdout": True})
        said = []
        execution = engine.rest.execs.start(made["Id"], {}, lambda _stream, data: said.append(data))
        engine.clock.run_for(1)
        return b"".join(said).decode().strip(), execution.exit_code

    assert run("/var") == ("", 0)
    text, code = run("/nosuch")
    assert text == (
        "OCI runtime exec failed: exec failed: unable to start container process: "
        'chdir to cwd ("/nosuch") set in config.json failed: no such file or directory: unknown'
    )
    assert code == 126


def test_a_filter_that_events_do_not_have_changes_nothing(engine):
    every = engine.rest.system.events({"since": "0", "until": "9999999999"}).past
    some = engine.rest.system.events({"since": "0", "until": "9999999999", "filters": '{"bogus": ["1"]}'}).past
    assert some == every != []

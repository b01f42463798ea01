"""`docker update`: what it sets stays, what it refuses changes nothing."""

import copy

import pytest
from support.engine_lab import VERSIONS, new_engine

from cnmsim.engine.wire.swarm_schemas import read_service
from cnmsim.errors import Conflict, EngineError, InvalidParameter, SystemFault
from cnmsim.libnetwork.profile import profile

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


@pytest.mark.parametrize(("shares", "weight"), [(-5, 70369281052672), (1, 70369281052672), (300000, 11443)])
def test_cpu_shares_that_the_kernel_refuses_change_nothing(engine, shares, weight):
    before, identity = copy.deepcopy(host_config(engine)), engine.containers.get("c1").id
    path = f"/sys/fs/cgroup/docker/{identity}/cpu.weight"
    cause = f'failed to write "{weight}": write {path}: numerical result out of range'
    with pytest.raises(SystemFault) as caught:
        engine.rest.containers.update("c1", {"CpuShares": shares, "RestartPolicy": {"Name": "always"}})
    assert caught.value.message == (
        f"Cannot update container {identity}: runc did not terminate successfully: exit status 1: {cause}\n: unknown"
    )
    assert host_config(engine) == before
    with pytest.raises(EngineError) as caught:
        engine.containers.run("alpine", "sleep 1d", cpu_shares=300000)
    assert 'error setting cgroup config for procHooks process: failed to write "11443"' in caught.value.message


@pytest.mark.parametrize(
    ("version", "text"),
    [("26.1.5", "shares: invalid argument"), ("28.5.2", "invalid CPU shares (-5): value must be a positive integer")],
)
def test_negative_cpu_shares_of_a_stopped_container_fail_at_its_start(version, text):
    engine = new_engine(version)
    engine.containers.create("alpine", "sleep 1d", name="c1")
    engine.rest.containers.update("c1", {"CpuShares": -5})
    assert host_config(engine)["CpuShares"] == -5
    with pytest.raises(EngineError) as caught:
        engine.containers.get("c1").start()
    assert caught.value.message == text


@pytest.mark.parametrize(
    ("version", "text"),
    [("26.1.5", "invalid transport protocol: 0"), ("28.5.2", "unknown protocol"), ("29.7.2", "unknown protocol")],
)
@pytest.mark.parametrize(
    "published", [{"PublishAllPorts": True}, {"PortBindings": {"80/foo": [{"HostPort": "8080"}]}}]
)
def test_a_port_of_an_unknown_protocol_cannot_be_published(version, text, published):
    engine = new_engine(version)
    body = {"Image": "alpine", "Cmd": ["sleep", "1d"], "ExposedPorts": {"80/foo": {}}, "HostConfig": published}
    identity = engine.rest.containers.create(body)["Id"]
    with pytest.raises(EngineError) as caught:
        engine.containers.get(identity).start()
    assert caught.value.message.endswith(f": {text}")


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


@pytest.mark.parametrize(
    ("version", "text"),
    [
        ("28.5.2", "all predefined address pools have been fully subnetted"),
        ("29.7.2", "invalid address pool"),
    ],
)
def test_a_network_of_global_scope_has_no_default_ipv6_pool(version, text):
    engine = new_engine(version)
    with pytest.raises(InvalidParameter, match=text):
        engine.complete(engine.rest.networks.create({"Name": "g1", "Scope": "global", "EnableIPv6": True}))
    assert engine.complete(engine.rest.networks.create({"Name": "g2", "Scope": "global"}))["Id"]


@pytest.mark.parametrize(("version", "swap"), [("26.1.5", None), ("28.5.2", None), ("29.7.2", 32 << 20)])
def test_the_swap_of_a_service_is_ignored_before_29(version, swap):
    sent = {"Limits": {"MemoryBytes": MEMORY}, "SwapBytes": 32 << 20, "MemorySwappiness": 50}
    body = {"Name": "s", "TaskTemplate": {"ContainerSpec": {"Image": "alpine"}, "Resources": sent}}
    resources = read_service(profile(version), body)["TaskTemplate"]["Resources"]
    assert (resources["SwapBytes"], resources["MemorySwappiness"]) == (swap, swap and 50)

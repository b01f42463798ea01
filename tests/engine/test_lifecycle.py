"""The life of containers: signals, timeouts, restarts, pauses, removal, and the laws that hold over all of it."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule
from support.engine_lab import new_engine

from cnmsim.engine.client.containers import ContainerError
from cnmsim.engine.containers.restart_policy import RestartManager
from cnmsim.engine.containers.state import RUNNING_STATES, TRANSITIONS, Change, ContainerState, after
from cnmsim.errors import Conflict, EngineError, NotFound, SystemFault


def run(engine, command="sleep 1d", **options):
    return engine.containers.run("alpine", command, detach=True, **options)


def actions(engine):
    return [event.action for event in engine.event_log.past if event.type == "container"]


def test_first_process_ignores_sigterm_and_is_killed_after_the_timeout():
    engine = new_engine()
    container = run(engine)
    container.stop(timeout=2)
    assert (container.status, container.record.exit_code, engine.clock.now) == ("exited", 137, 2.0)
    assert actions(engine) == ["create", "start", "kill", "kill", "die", "stop"]


def test_stop_waits_ten_seconds_unless_told_otherwise():
    engine = new_engine()
    run(engine, name="patient").stop()
    assert engine.clock.now == 10.0
    run(engine, name="hasty", stop_timeout=1).stop()
    assert engine.clock.now == 11.0


def test_starting_twice_and_stopping_twice_tell_that_nothing_was_to_be_done():
    engine = new_engine()
    container = run(engine)
    assert engine.complete(engine.rest.containers.start(container.id)) is False
    container.stop(timeout=0)
    assert engine.complete(engine.rest.containers.stop(container.id)) is False


def test_container_ends_with_its_first_process():
    engine = new_engine()
    container = run(engine, "fail 3")
    assert container.wait() == {"StatusCode": 3}
    assert (container.status, container.logs()) == ("exited", b"out\nerr\n")
    assert container.logs(stdout=False) == b"err\n"


def test_foreground_run_gives_what_was_printed():
    engine = new_engine()
    assert engine.containers.run("alpine", "echo hello", remove=True) == b"hello\n"
    assert engine.containers.list(all=True) == []


def test_foreground_run_that_fails_raises_with_the_status_and_stderr():
    engine = new_engine()
    with pytest.raises(ContainerError) as caught:
        engine.containers.run("alpine", "fail 3")
    assert (caught.value.exit_status, caught.value.stderr) == (3, b"err\n")


def test_container_to_be_removed_is_gone_once_it_ends():
    engine = new_engine()
    container = run(engine, "sleep 5", remove=True)
    gone = engine.rest.containers.wait(container.id, {"condition": "removed"})
    assert engine.complete(gone) == {"StatusCode": 0}
    assert engine.clock.now == 5.0
    with pytest.raises(NotFound):
        _ = container.status


def test_restart_policy_pauses_twice_as_long_each_time():
    engine = new_engine()
    container = run(engine, "fail 1", restart_policy={"Name": "always"})
    starts = []
    end = engine.event_log.subscribe(lambda e: starts.append(engine.clock.now) if e.action == "start" else None)
    engine.clock.run_for(3.2)
    end()
    assert starts == pytest.approx([0.1, 0.3, 0.7, 1.5, 3.1])
    assert container.record.restart_count == 6


def test_on_failure_gives_up_after_the_last_retry():
    engine = new_engine()
    container = run(engine, "fail 3", restart_policy={"Name": "on-failure", "MaximumRetryCount": 2})
    assert container.wait() == {"StatusCode": 3}
    engine.clock.run_for(2)
    assert (container.status, container.attrs["RestartCount"]) == ("exited", 2)
    assert container.logs(stderr=False) == b"out\n" * 3


def test_wait_returns_at_each_exit_though_the_container_is_restarted():
    engine = new_engine()
    container = run(engine, "sleep 2", restart_policy={"Name": "always"})
    for exits in (1, 2):
        assert container.wait() == {"StatusCode": 0}
        assert container.record.restart_count == exits
        engine.clock.run_for(1)


def test_container_that_waits_for_its_restart_counts_as_running_and_can_be_stopped():
    engine = new_engine()
    container = run(engine, "fail 1", restart_policy={"Name": "always"})
    engine.clock.run_ready()
    state = container.attrs["State"]
    assert (state["Status"], state["Running"], state["Restarting"], state["Pid"]) == ("restarting", True, True, 0)
    container.stop()
    assert container.status == "exited"
    engine.clock.run_for(60)
    assert container.status == "exited"


@pytest.mark.parametrize(
    ("policy", "exit_code", "was_stopped", "restarts"),
    [
        ("no", 1, False, False),
        ("always", 0, False, True),
        ("always", 0, True, False),
        ("unless-stopped", 1, False, True),
        ("unless-stopped", 1, True, False),
        ("on-failure", 0, False, False),
        ("on-failure", 1, False, True),
    ],
)
def test_policy_decides_whether_to_restart(policy, exit_code, was_stopped, restarts):
    pause = RestartManager(policy).pause_before_restart(exit_code, 0.0, was_stopped=was_stopped)
    assert (pause is not None) == restarts


def test_pause_starts_again_after_ten_calm_seconds_and_never_exceeds_a_minute():
    manager = RestartManager("always")
    pauses = [manager.pause_before_restart(1, 0.0, was_stopped=False) for _ in range(12)]
    assert pauses[:3] == [0.1, 0.2, 0.4]
    assert pauses[-1] == 60.0
    assert manager.pause_before_restart(1, 10.0, was_stopped=False) == 0.1


def test_paused_container_stands_still():
    engine = new_engine()
    container = run(engine, "sleep 5")
    engine.clock.run_for(1)
    container.pause()
    engine.clock.run_for(60)
    assert container.status == "paused"
    with pytest.raises(Conflict, match="is paused, unpause the container before exec"):
        container.exec("echo x")
    container.unpause()
    assert container.wait() == {"StatusCode": 0}


def test_kill_ends_a_paused_container():
    engine = new_engine()
    container = run(engine)
    container.pause()
    container.kill()
    assert (container.status, container.record.exit_code) == ("exited", 137)


def test_restart_keeps_the_container_and_gives_it_a_new_sandbox():
    engine = new_engine()
    container = run(engine)
    before = container.record.sandbox_id
    container.restart(timeout=0)
    assert container.status == "running"
    assert container.record.sandbox_id != before
    assert container.record.restart_count == 0


def test_exec_dies_with_the_container():
    engine = new_engine()
    container = run(engine)
    identity = engine.rest.execs.create(container.id, {"Cmd": ["sleep", "1d"], "AttachStdout": True})["Id"]
    execution = engine.rest.execs.start(identity, {})
    container.kill()
    assert execution.exit_code == 137
    assert [p for p in engine.machine.processes.values() if p.argv[0] == "sleep"] == []


def test_exec_cannot_run_twice():
    engine = new_engine()
    container = run(engine)
    identity = engine.rest.execs.create(container.id, {"Cmd": ["echo", "hi"], "AttachStdout": True})["Id"]
    engine.complete(engine.rest.execs.start(identity, {}).streams.ended)
    printed = []
    engine.rest.execs.start(identity, {}, lambda stream, data: printed.append(data))
    assert printed == [f"Error: Exec command {identity} has already run\r\n".encode()]


@pytest.mark.parametrize(("version", "status"), [("26.1.5", 126), ("28.5.2", 127), ("29.7.2", 127)])
def test_exec_of_an_unknown_command_prints_the_runtimes_error(version, status):
    engine = new_engine(version)
    result = run(engine).exec_run("nosuch")
    assert result.exit_code == status
    assert result.output.startswith(
        b'OCI runtime exec failed: exec failed: unable to start container process: exec: "nosuch": executable file '
        b"not"
        b" found in $PATH"
    )


def test_namespace_outlives_its_container_while_another_lives_in_it():
    engine = new_engine()
    web = run(engine, name="web")
    side = run(engine, network_mode="container:web")
    web.stop(timeout=0)
    assert side.status == "running"
    assert list(side.namespace.devices) == ["lo"]
    namespace = side.namespace
    side.kill()
    assert not namespace.loopback.is_up


def test_removal_needs_a_stopped_container_or_force():
    engine = new_engine()
    container = run(engine, name="web")
    with pytest.raises(Conflict):
        container.remove()
    container.remove(force=True)
    assert actions(engine)[-3:] == ["kill", "die", "destroy"]


def test_removal_takes_anonymous_volumes_only_if_asked():
    engine = new_engine()
    for name, takes in (("keeps", False), ("takes", True)):
        container = engine.containers.create("redis", name=name, volumes={"named": {"bind": "/named"}})
        container.remove(v=takes)
        assert len(engine.volumes.list()) == 2
    assert engine.volumes.get("named")


def test_health_check_makes_a_container_healthy_then_unhealthy():
    engine = new_engine()
    second = 1_000_000_000
    check = {"test": ["CMD", "cat", "/tmp/ok"], "interval": second, "retries": 2}
    container = run(engine, healthcheck=check)
    engine.clock.run_for(0.5)
    assert container.health == "starting"
    container.exec("touch /tmp/ok")
    engine.clock.run_for(1)
    assert container.health == "healthy"
    container.record.files.remove("/tmp/ok")
    engine.clock.run_for(1)
    assert container.health == "healthy"
    engine.clock.run_for(1)
    assert container.health == "unhealthy"
    assert container.attrs["State"]["Health"]["FailingStreak"] == 2
    assert "health_status: unhealthy" in actions(engine)


@pytest.mark.parametrize("state", list(ContainerState))
@pytest.mark.parametrize("change", list(Change))
def test_every_step_of_a_life_is_in_the_table_or_refused(state, change):
    if (state, change) in TRANSITIONS:
        assert after(state, change) in ContainerState
    else:
        with pytest.raises(SystemFault):
            after(state, change)


class Lives(RuleBasedStateMachine):
    """Containers led through their lives at random; whatever an engine refuses, the laws below hold."""

    names = Bundle("names")

    def __init__(self):
        super().__init__()
        self.engine = new_engine()
        self.engine.networks.create("net", subnet="10.9.0.0/29")
        self.count = 0

    @rule(
        target=names,
        network=st.sampled_from(["bridge", "net", "none", "host"]),
        policy=st.sampled_from(["no", "always", "on-failure"]),
        command=st.sampled_from(["sleep 1d", "sleep 3", "fail 1", "true", "nosuchcmd"]),
        port=st.sampled_from([None, 8080, 8081]),
    )
    def create(self, network, policy, command, port):
        self.count += 1
        ports = {"80/tcp": port} if port else None
        return self.engine.containers.create(
            "alpine", command, name=f"c{self.count}", network=network, restart_policy=policy, ports=ports
        ).name

    @rule(name=names, action=st.sampled_from(["start", "kill", "pause", "unpause", "remove"]))
    def act(self, name, action):
        def act_on(term):
            getattr(self.engine.containers.get(term), action)()

        self._try(lambda: act_on(name))

    @rule(name=names, timeout=st.integers(0, 2))
    def stop(self, name, timeout):
        self._try(lambda: self.engine.containers.get(name).stop(timeout=timeout))

    @rule(name=names, network=st.sampled_from(["bridge", "net"]), connects=st.booleans())
    def connect(self, name, network, connects):
        found = self.engine.networks.get(network)
        self._try(lambda: found.connect(name) if connects else found.disconnect(name))

    @rule(name=names)
    def remove_by_force(self, name):
        self._try(lambda: self.engine.containers.get(name).remove(force=True))

    @rule(seconds=st.sampled_from([0.0, 0.15, 4.0]))
    def pass_time(self, seconds):
        self.engine.clock.run_for(seconds)

    def _try(self, action):
        try:
            action()
        except EngineError as error:
            assert error.message

    @invariant()
    def only_containers_with_a_process_have_a_sandbox(self):
        alive = {each.id for each in self.engine.store if each.process is not None}
        assert {sandbox.container_id for sandbox in self.engine.controller.sandboxes} == alive

    @invariant()
    def states_agree_with_processes(self):
        for container in self.engine.store:
            has_process = container.process is not None
            assert has_process == (container.state in {ContainerState.RUNNING, ContainerState.PAUSED})
            assert container.is_running == (container.state in RUNNING_STATES)
            assert has_process or container.ports == {}

    @invariant()
    def no_two_endpoints_share_an_address(self):
        for network in self.engine.controller.networks:
            addresses = [endpoint.ipv4 for endpoint in network.endpoints.values() if endpoint.ipv4]
            assert len(addresses) == len(set(addresses))

    def teardown(self):
        self.engine.clock.run_ready()
        for container in self.engine.store:
            self.engine.lifecycle.remove(container, force=True)
        self.engine.networks.get("net").remove()
        root = self.engine.machine.root
        assert [name for name in root.devices if name.startswith("veth")] == []
        assert [p for p in self.engine.machine.processes.values() if p.name != "dockerd"] == []
        assert self.engine.controller.sandboxes == []


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)

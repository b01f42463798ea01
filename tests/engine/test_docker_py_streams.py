"""The calls of docker-py that return streams, in plain Python: time passes while they are read."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from cnmsim import Lab
from cnmsim.errors import Conflict, InvalidParameter


@pytest.fixture
def engine():
    return Lab().add_host("node1", "10.0.0.15/24", docker=True).docker


def run(engine, command, **options):
    return engine.containers.run("alpine", ["sh", "-c", command], name="c1", detach=True, **options)


def test_a_log_is_followed_line_by_line_until_the_container_stops(engine):
    container = run(engine, "for n in 1 2 3; do echo $n; sleep 5; done; echo end >&2")
    begun, times, lines = engine.clock.now, [], []
    for line in container.logs(stream=True):
        lines.append(line)
        times.append(round(engine.clock.now - begun))
    assert lines == [b"1\n", b"2\n", b"3\n", b"end\n"]
    assert times == [0, 5, 10, 15]
    assert container.status == "exited"


def test_a_stream_of_the_log_so_far_does_not_wait(engine):
    container = run(engine, "echo 1; sleep 5; echo 2")
    assert list(container.logs(stream=True, follow=False)) == [b"1\n"]
    assert container.status == "running"
    assert container.logs(follow=True) == b"1\n2\n"
    assert container.logs() == b"1\n2\n"


def test_a_closed_stream_leaves_nothing_behind(engine):
    container = run(engine, "while true; do echo x; sleep 1; done")
    lines = container.logs(stream=True)
    assert [next(lines), next(lines)] == [b"x\n", b"x\n"]
    lines.close()
    lines.close()
    assert list(lines) == []
    assert container.record.log._followers == []
    assert container.record._when_stopped == []


def test_the_output_of_a_command_is_read_while_it_runs(engine):
    container = run(engine, "sleep 1d")
    answer = container.exec_run(["sh", "-c", "echo a; sleep 3; echo b >&2"], stream=True)
    assert answer.exit_code is None
    begun = engine.clock.now
    assert next(answer.output) == b"a\n"
    assert engine.clock.now - begun < 1
    assert list(answer.output) == [b"b\n"]
    assert engine.clock.now - begun >= 3
    parts = container.exec_run(["sh", "-c", "echo a; echo b >&2"], stream=True, demux=True).output
    assert list(parts) == [(b"a\n", None), (None, b"b\n")]
    assert list(container.exec_run("cat", stream=True, stdin=b"typed").output) == [b"typed"]


def test_a_stream_of_a_container_that_does_not_run_is_refused_as_a_call_is(engine):
    container = engine.containers.create("alpine", "true", name="c1")
    with pytest.raises(Conflict):
        container.exec_run("true", stream=True)


def test_statistics_come_every_second_until_the_container_stops(engine):
    container = run(engine, "sleep 2.5")
    assert container.stats()["name"] == "/c1"
    sets = list(container.stats(decode=True))
    assert [each["read"][:19] for each in sets] == sorted({each["read"][:19] for each in sets})
    assert len(sets) == 3
    assert next(iter(container.stats(stream=True))).startswith(b"{")


def test_events_are_those_of_the_filters_until_the_time(engine):
    now = datetime.fromtimestamp(engine.clock.epoch_s + engine.clock.now, UTC)
    container = run(engine, "sleep 3")
    filters = {"type": "container", "container": container.id}
    found = list(engine.events(since=now, until=now + timedelta(seconds=10), filters=filters, decode=True))
    assert [event["Action"] for event in found] == ["create", "start", "die"]
    assert engine.clock.now >= 10
    later = engine.events(filters={"event": "stop"})
    container.start()
    container.stop()
    assert json.loads(next(later))["Action"] == "stop"
    assert list(later) == []


def test_a_program_that_uses_docker_py_works_in_the_lab(monkeypatch):
    docker = pytest.importorskip("docker")
    lab = Lab()
    lab.add_host("node1", "10.0.0.15/24", docker=True)
    monkeypatch.setattr("docker.from_env", lab.from_env)
    client = docker.from_env(timeout=5)
    assert client.containers.run("alpine", "echo hello") == b"hello\n"
    client.close()
    lab.add_host("node2", "10.0.0.16/24", docker=True)
    with pytest.raises(InvalidParameter, match="the lab has 2 Docker hosts"):
        lab.from_env()

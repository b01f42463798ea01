"""The Engine API at /var/run/docker.sock, for programs of the host and of containers that mount it."""

from __future__ import annotations

import json

import pytest

from cnmsim import Lab

_MOUNT = ["/var/run/docker.sock:/var/run/docker.sock"]


@pytest.fixture
def lab():
    lab = Lab()
    lab.add_host("node1", "10.0.0.15/24", docker=True)
    return lab


def curl(container, path, *options):
    result = container.exec(["curl", "-s", "--unix-socket", "/var/run/docker.sock", *options, f"http://d{path}"])
    assert result.exit_code == 0, result.output
    return result.output


def test_a_host_reaches_its_engine(lab):
    answer = lab.host("node1").exec("curl -s --unix-socket /var/run/docker.sock http://d/_ping").output
    assert answer == "OK"


def test_a_container_with_the_socket_has_all_power_over_its_host(lab):
    engine = lab.host("node1").docker
    manager = engine.containers.run("alpine", "sleep 1d", name="manager", volumes=_MOUNT, detach=True)
    assert [each["Names"] for each in json.loads(curl(manager, "/v1.44/containers/json"))] == [["/manager"]]
    body = json.dumps({"Image": "alpine", "Cmd": ["echo", "made inside"]})
    made = json.loads(
        curl(manager, "/containers/create?name=made", "-H", "Content-Type: application/json", "-d", body)
    )
    assert engine.containers.get("made").id == made["Id"]
    assert curl(manager, "/containers/made/start", "-X", "POST") == ""
    assert json.loads(curl(manager, "/containers/made/wait", "-X", "POST"))["StatusCode"] == 0
    assert curl(manager, "/containers/made/logs?stdout=1").endswith("made inside\n")
    assert json.loads(curl(manager, "/containers/nosuch/json"))["message"] == "No such container: nosuch"


def socket_request(path, *options):
    return ["curl", "-s", "-N", "--unix-socket", "/var/run/docker.sock", *options, f"http://d{path}"]


def watcher(engine, *command):
    return engine.containers.run("alpine", list(command), volumes=_MOUNT, detach=True)


def test_events_and_followed_logs_arrive_as_they_happen(lab):
    engine = lab.host("node1").docker
    web = engine.containers.run(
        "alpine", ["sh", "-c", "echo one; sleep 2; echo two; sleep 1d"], name="web", detach=True
    )
    events = watcher(engine, *socket_request("/events?filters=%7B%22container%22%3A%5B%22web%22%5D%7D"))
    logs = watcher(engine, *socket_request("/containers/web/logs?follow=1&stdout=1"))
    lab.run(1)
    assert (logs.logs(), events.logs()) == (b"\x01\0\0\0\0\0\0\x04one\n", b"")
    lab.run(2)
    assert logs.logs().endswith(b"two\n")
    assert logs.status == "running"
    web.stop(timeout=1)
    lab.run(1)
    names = [json.loads(line)["Action"] for line in events.logs().splitlines()]
    assert names == ["kill", "kill", "die", "stop"]  # SIGTERM, which a shell as process 1 ignores, and SIGKILL
    logs.reload()
    events.reload()
    assert (logs.status, events.status) == ("exited", "running")


def test_statistics_come_once_a_second_until_the_client_leaves(lab):
    engine = lab.host("node1").docker
    engine.containers.run("alpine", "sleep 1d", name="web", detach=True)
    stats = watcher(engine, *socket_request("/containers/web/stats", "-m", "3.5"))
    lab.run(5)
    stats.reload()
    assert (stats.status, stats.attrs["State"]["ExitCode"]) == ("exited", 28)
    assert [json.loads(line)["name"] for line in stats.logs().splitlines()] == ["/web"] * 4


def test_a_client_that_ends_leaves_nothing_behind(lab):
    engine = lab.host("node1").docker
    events = watcher(engine, *socket_request("/events"))
    lab.run(1)
    assert len(engine.event_log._listeners) == 1
    events.kill()
    lab.run(1)
    assert not engine.event_log._listeners


def test_exec_and_attach_hijack_the_connection(lab):
    engine = lab.host("node1").docker
    engine.containers.run("alpine", ["sh", "-c", "while sleep 1; do echo tick; done"], name="web", detach=True)
    manager = engine.containers.run("alpine", "sleep 1d", volumes=_MOUNT, detach=True)
    kind = ("-H", "Content-Type: application/json", "-d")
    body = json.dumps({"Cmd": ["echo", "made inside"], "AttachStdout": True})
    made = json.loads(curl(manager, "/containers/web/exec", *kind, body))
    assert manager.exec(socket_request(f"/exec/{made['Id']}/start", *kind, "{}")).output.endswith("\x0cmade inside\n")
    attached = watcher(engine, *socket_request("/containers/web/attach?stream=1&stdout=1", "-X", "POST"))
    lab.run(3.5)
    assert attached.logs().count(b"tick\n") == 3


def test_nothing_listens_where_no_engine_is(lab):
    lab.add_host("client", "10.0.0.50/24")
    result = lab.host("client").exec("curl -s -S --unix-socket /var/run/docker.sock http://d/_ping")
    assert (result.status, "Could not connect to server" in result.output) == (7, True)

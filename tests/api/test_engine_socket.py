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


def test_answers_that_last_say_that_they_are_not_simulated(lab):
    manager = lab.host("node1").docker.containers.run("alpine", "sleep 1d", volumes=_MOUNT, detach=True)
    for path in ("/events", "/containers/x/stats", "/containers/x/logs?follow=1"):
        assert "not simulated on a socket inside the lab" in json.loads(curl(manager, path))["message"]


def test_nothing_listens_where_no_engine_is(lab):
    lab.add_host("client", "10.0.0.50/24")
    result = lab.host("client").exec("curl -s -S --unix-socket /var/run/docker.sock http://d/_ping")
    assert (result.status, "Could not connect to server" in result.output) == (7, True)

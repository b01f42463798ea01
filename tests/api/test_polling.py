"""Under a fast clock, time passes for a client that asks the same again and again, and for no other reason."""

import shutil
import subprocess
import time

import pytest
from support.api_client import Api, everything, new_lab
from support.patience import PATIENCE_S


@pytest.fixture
def served():
    lab = new_lab()
    with lab.serve() as sockets:
        yield Api(sockets["node1"]), lambda: sockets.call(lambda: lab.now)


def test_questions_asked_once_take_no_time(served):
    api, now = served
    api.container("one")
    began = now()
    for path in ("/containers/json", "/containers/one/json", "/containers/one/logs?stdout=1", "/networks", "/info"):
        api.call("GET", path)
    for _ in range(2):
        api.call("GET", "/images/json")
    assert now() == began


def test_a_service_converges_for_who_polls_it_as_the_docker_command_does(served):
    api, now = served
    api.call("POST", "/swarm/init", {"ListenAddr": "0.0.0.0:2377"})
    template = {"ContainerSpec": {"Image": "alpine", "Command": ["sleep", "1d"]}}
    _, made = api.call("POST", "/services/create", {"Name": "web", "TaskTemplate": template})
    began, states = now(), []
    for _ in range(20):
        api.call("GET", f"/services/{made['ID']}")
        states = [task["Status"]["State"] for task in api.call("GET", "/tasks")[1]]
        api.call("GET", "/nodes")
    assert states == ["running"]
    assert 5 < now() - began < 15


def test_a_poller_sees_the_log_grow(served):
    api, _ = served
    api.container("one", ["sh", "-c", "sleep 3; echo ready; sleep 1d"])
    for _ in range(10):
        if b"ready" in api.call("GET", "/containers/one/logs?stdout=1")[1]:
            break
        api.call("GET", "/containers/one/json")
    assert b"ready" in api.call("GET", "/containers/one/logs?stdout=1")[1]


def test_trying_a_command_again_and_again_lets_a_service_come_up(served):
    api, _ = served
    api.container("one", ["sh", "-c", "sleep 2; httpd -f -p 80"])
    for _ in range(8):
        made = api.call("POST", "/containers/one/exec", {"Cmd": ["nc", "-z", "127.0.0.1", "80"]})[1]["Id"]
        api.call("POST", f"/exec/{made}/start", {"Detach": True})
        status = api.call("GET", f"/exec/{made}/json")[1]["ExitCode"]
        if status == 0:
            break
    assert status == 0


def test_a_change_in_between_makes_it_a_new_question(served):
    api, now = served
    began = now()
    for name in ("a", "b", "c"):
        api.call("GET", "/containers/json?all=1")
        api.call("POST", f"/containers/create?name={name}", {"Image": "alpine"})
    assert now() == began


@pytest.mark.parametrize(
    "targets",
    [
        ["GET /events"],
        ["GET /containers/one/logs?follow=1&stdout=1"],
        ["POST /containers/one/attach?stream=1&stdout=1"],
        # What `docker attach` sends, in the order that does not depend on how soon the second one arrives.
        ["POST /containers/one/attach?stream=1&stdout=1&logs=1", "POST /containers/one/wait?condition="],
    ],
)
def test_an_idle_stream_pulls_no_time_ahead(served, targets):
    api, now = served
    api.container("one", ["sh", "-c", "echo said; sleep 1d"])
    socks = [api.raw(f"{target} HTTP/1.1\r\nHost: d\r\n\r\n".encode()) for target in targets]
    for sock in socks:
        sock.recv(1)
    real, began = time.monotonic(), now()
    time.sleep(1)
    assert now() - began < time.monotonic() - real + 1
    for sock in socks:
        sock.close()


def test_a_log_that_is_followed_is_told_at_the_pace_of_real_time(served):
    api, _ = served
    api.container("one", ["sh", "-c", "echo said; sleep 0.7; echo done"])
    began = time.monotonic()
    sock = api.raw(b"GET /containers/one/logs?follow=1&stdout=1 HTTP/1.0\r\nHost: d\r\n\r\n")
    assert b"done" in everything(sock)
    assert time.monotonic() - began > 0.6


def test_waiting_for_the_end_takes_no_real_time(served):
    api, _ = served
    api.container("one", ["sleep", "1d"])
    assert api.call("POST", "/containers/one/wait")[1] == {"StatusCode": 0}


@pytest.mark.skipif(shutil.which("docker") is None, reason="no docker command here")
@pytest.mark.parametrize(
    ("words", "output"),
    [
        (["run", "--rm", "alpine", "sh", "-c", "sleep 40000; echo done"], "done\n"),
        (["run", "-i", "--rm", "alpine", "sh", "-c", "cat; sleep 40000; echo done"], "typed\ndone\n"),
        (["exec", "one", "sh", "-c", "sleep 40000; echo done"], "done\n"),
    ],
)
def test_a_program_in_the_foreground_takes_no_real_time(served, words, output):
    api, _ = served
    api.container("one", ["sleep", "1d"])
    done = subprocess.run(
        ["docker", "-H", f"unix://{api.path}", *words],
        capture_output=True, text=True, timeout=PATIENCE_S, input="typed\n", check=False,
    )  # fmt: skip
    assert done.stdout == output, done.stderr


def test_docker_py_in_the_foreground_takes_no_real_time(served):
    docker = pytest.importorskip("docker", reason="docker-py is not installed")
    api, _ = served
    client = docker.DockerClient(base_url=f"unix://{api.path}")
    assert client.containers.run("alpine", "sh -c 'sleep 40000; echo done'", remove=True) == b"done\n"
    client.close()

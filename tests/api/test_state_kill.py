"""What a server answered with success is there after it was killed at any moment, after a full disk, and no more."""

import http.client
import json
import random
import resource
import signal
import threading

import pytest
from support.api_client import Api
from support.patience import PATIENCE_S
from support.serve_forks import ServeForks

LAB = "hosts:\n  node1: {addresses: [10.0.0.15/24], docker: true}\n"
KILLS = 100
CLIENTS = 3
#: Objects that each client keeps at most.
MOST = 6


class Client:
    """Changes objects of its own at random, and records what the server acknowledged.

    `there` are the objects that exist, by kind and name, with what is compared; `maybe` those of which nobody can
    say: the server was killed before it answered.
    """

    def __init__(self, number, seed):
        self.number = number
        self.random = random.Random(f"{seed}/{number}")
        self.count = 0
        self.there = {}
        self.gone = set()
        self.maybe = None

    def work(self, api, acknowledge):
        """Change something, until the server is gone."""
        while True:
            key, change, call = self._draw()
            self.maybe = key
            try:
                status, answer = api.call(*call)
            except (OSError, http.client.HTTPException, json.JSONDecodeError):
                return
            assert status < 400, (call, answer)
            change()
            self.maybe = None
            acknowledge()

    def _draw(self):
        """Draw a change: what it concerns, what it does to the record, and the request."""
        names = sorted(self.there)
        key = self.random.choice(names) if names else None
        if key is None or (len(names) < MOST and self.random.random() < 0.5):
            return self._create()
        kind, name = key
        if kind == "containers" and self.random.random() < 0.5:
            self.count += 1
            new = ("containers", f"c{self.number}-{self.count}")

            def rename():
                self.there[new] = self.there.pop(key)
                self.gone.add(key)

            self.maybe_new = new
            return key, rename, ("POST", f"/containers/{name}/rename?name={new[1]}")

        def remove():
            del self.there[key]
            self.gone.add(key)

        return key, remove, ("DELETE", f"/{kind}/{name}")

    def _create(self):
        self.count += 1
        kind = self.random.choice(["containers", "networks", "volumes"])
        name, label = f"{kind[0]}{self.number}-{self.count}", str(self.random.random())
        body = {"Labels": {"label": label}}
        if kind == "containers":
            request = ("POST", f"/containers/create?name={name}", {**body, "Image": "alpine", "Cmd": ["true"]})
        else:
            request = ("POST", f"/{kind}/create", {**body, "Name": name})
        return (kind, name), lambda: self.there.update({(kind, name): label}), request

    def check(self, seen):
        """Compare the record with what a new server lists, and resolve what nobody could say."""
        unsure = {self.maybe, getattr(self, "maybe_new", None)} if self.maybe else set()
        for key, label in self.there.items():
            assert seen.get(key) == label or key in unsure, f"{key} is missing"
        for key in seen:
            assert key not in self.gone or key in unsure, f"{key} has come back"
        mine = {key for key in seen if key[1][1:].startswith(f"{self.number}-")}
        assert mine - set(self.there) <= unsure
        self.there = {key: seen[key] for key in mine}
        self.gone -= mine
        self.maybe = self.maybe_new = None


def listed(api):
    """Give the label of every object that a server lists, by kind and name."""
    seen = {}
    for each in api.call("GET", "/containers/json?all=1")[1]:
        seen["containers", each["Names"][0][1:]] = each["Labels"]["label"]
    for each in api.call("GET", "/networks")[1]:
        if each["Name"] not in ("bridge", "host", "none"):
            seen["networks", each["Name"]] = each["Labels"]["label"]
    for each in api.call("GET", "/volumes")[1]["Volumes"]:
        seen["volumes", each["Name"]] = each["Labels"]["label"]
    return seen


def test_nothing_acknowledged_is_lost_or_comes_back_over_100_kills(tmp_path):
    draw = random.Random(20260101)
    clients = [Client(number, draw.random()) for number in range(CLIENTS)]
    acknowledged = 0
    with ServeForks(tmp_path, LAB) as server:
        for _ in range(KILLS):
            api = Api(server.start() / "node1/docker.sock")
            seen = listed(api)
            for client in clients:
                client.check(seen)
            left, enough = draw.randrange(1, 20), threading.Event()
            lock = threading.Lock()

            def acknowledge(lock=lock, enough=enough):
                nonlocal left, acknowledged
                with lock:
                    acknowledged += 1
                    left -= 1
                    if left <= 0:
                        enough.set()

            threads = [threading.Thread(target=client.work, args=(api, acknowledge)) for client in clients]
            for thread in threads:
                thread.start()
            assert enough.wait(PATIENCE_S)
            assert server.kill() == -signal.SIGKILL
            for thread in threads:
                thread.join()
    assert acknowledged > KILLS


def test_a_full_disk_fails_the_request_and_the_lab_lives(tmp_path):
    with ServeForks(tmp_path, LAB) as server:
        api = Api(server.start() / "node1/docker.sock")
        assert api.call("POST", "/volumes/create", {"Name": "before"})[0] == 201
        size = (tmp_path / "state-wal").stat().st_size
        limits = resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        for name, target, body in (
            ("containers", "/containers/create?name=lost", {"Image": "alpine"}),
            ("networks", "/networks/create", {"Name": "lost"}),
            ("volumes", "/volumes/create", {"Name": "lost"}),
        ):
            status, answer = api.call("POST", target, body)
            assert status == 500, name
            assert answer["message"].startswith("write state: "), answer
            assert api.call("GET", f"/{name}/lost{'/json' if name == 'containers' else ''}")[0] == 404
        assert api.call("DELETE", "/volumes/before")[0] == 500
        assert api.call("GET", "/volumes/before")[0] == 200
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, limits)
        assert api.call("POST", "/volumes/create", {"Name": "after"})[0] == 201
        assert server.kill() == -signal.SIGKILL
        api = Api(server.start() / "node1/docker.sock")
        assert {each["Name"] for each in api.call("GET", "/volumes")[1]["Volumes"]} == {"before", "after"}
        assert api.call("GET", "/containers/json?all=1")[1] == []
        assert server.kill(signal.SIGTERM) == 0
        assert not (tmp_path / "state-wal").exists()


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_containers_networks_files_logs_and_swarm_are_there_after(tmp_path, ending):
    with ServeForks(tmp_path, LAB, "--clock", "paused") as server:
        api = Api(server.start() / "node1/docker.sock")
        assert api.call("POST", "/swarm/init", {"ListenAddr": "0.0.0.0:2377", "AdvertiseAddr": "10.0.0.15"})[0] == 200
        assert api.call("POST", "/secrets/create", {"Name": "s", "Data": "eA=="})[0] == 201
        spec = {"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "nginx"}}}
        assert api.call("POST", "/services/create", spec)[0] == 201
        assert api.call("POST", "/networks/create", {"Name": "net"})[0] == 201
        api.container("up", Labels={"a": "b"}, HostConfig={"Binds": ["data:/d"]})
        assert api.call("POST", "/networks/net/connect", {"Container": "up"})[0] == 200
        assert api.call("POST", "/containers/up/update", {"RestartPolicy": {"Name": "always"}})[0] == 200
        api.container("done", command=("sh", "-c", "echo said; echo own > /etc/own; exit 3"))
        assert api.call("POST", "/containers/done/wait")[1]["StatusCode"] == 3
        api.container("stopped")
        assert api.call("POST", "/containers/stopped/stop?t=0")[0] == 204
        command = {"Cmd": ["sh", "-c", "echo more > /etc/more; echo kept > /d/f"], "AttachStdout": True}
        exec_id = api.call("POST", "/containers/up/exec", command)[1]["Id"]
        api.call("POST", f"/exec/{exec_id}/start", {})
        assert api.call("GET", f"/exec/{exec_id}/json")[1]["ExitCode"] == 0
        server.kill(ending)
        api = Api(server.start() / "node1/docker.sock")
        up, stopped = (api.call("GET", f"/containers/{name}/json")[1] for name in ("up", "stopped"))
        assert set(up["NetworkSettings"]["Networks"]) == {"bridge", "net"}
        assert up["HostConfig"]["RestartPolicy"]["Name"] == "always"
        assert (up["State"]["Status"], stopped["State"]["Status"]) == ("running", "exited")
        assert b"said\n" in api.call("GET", "/containers/done/logs?stdout=1")[1]
        assert b"own\n" in api.call("GET", "/containers/done/archive?path=/etc/own")[1]
        assert b"kept\n" in api.call("GET", "/containers/up/archive?path=/d/f")[1]
        assert b"more\n" in api.call("GET", "/containers/up/archive?path=/etc/more")[1]
        assert [each["Spec"]["Name"] for each in api.call("GET", "/services")[1]] == ["web"]
        assert [each["Spec"]["Name"] for each in api.call("GET", "/secrets")[1]] == ["s"]


def test_a_second_server_of_the_state_file_is_refused(tmp_path):
    with ServeForks(tmp_path, LAB) as server, ServeForks(tmp_path, LAB, directory="other") as second:
        server.start()
        with pytest.raises(AssertionError, match="the server ended with 2"):
            second.start()

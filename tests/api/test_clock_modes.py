"""How time passes in a served lab: in step with real time, so and in jumps, or only in jumps."""

import time
from contextlib import contextmanager

import pytest
from support.api_client import Api, UnixHTTP, new_lab
from support.patience import eventually

from cnmsim.api import client_time
from cnmsim.api.client_time import ClientTime
from cnmsim.kernel.clock import Clock

MODES = ("real", "fast", "paused")


@contextmanager
def served(clock):
    lab = new_lab()
    with lab.serve(clock=clock) as sockets:
        yield lab, sockets, Api(sockets["node1"])


@pytest.mark.parametrize("clock", ["real", "fast"])
def test_time_keeps_step_with_real_time_without_any_client(clock):
    before = time.monotonic()
    with served(clock) as (lab, sockets, _):
        began = sockets.call(lambda: lab.now)
        eventually(lambda: sockets.call(lambda: lab.now) > began + 0.2)
        # The lab may be late on a busy machine, but is never ahead. It begins at the fraction of the second.
        assert sockets.call(lambda: lab.now) <= time.monotonic() - before + 1
        assert sockets.call(lambda: lab.clock.wall_s) <= time.time() + 0.01


def test_a_container_ends_and_a_service_converges_while_the_script_sleeps():
    with served("real") as (lab, sockets, api):
        api.container("short", ["sleep", "0.2"])
        assert api.call("POST", "/swarm/init", {"ListenAddr": "0.0.0.0:2377"})[0] == 200
        spec = {"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "nginx"}}}
        assert api.call("POST", "/services/create", {**spec, "Mode": {"Replicated": {"Replicas": 2}}})[0] == 201
        docker = lab.host("node1").docker
        store = docker.store
        eventually(lambda: sockets.call(lambda: sum(each.is_running and each.is_managed for each in store)) == 2)
        eventually(lambda: not sockets.call(lambda: store.get("short").is_running))
        assert api.call("GET", "/containers/short/json")[1]["State"]["Status"] == "exited"


@pytest.mark.parametrize("clock", ["fast", "paused"])
def test_time_jumps_for_a_client_that_waits(clock):
    before = time.monotonic()
    with served(clock) as (_, _, api):
        api.container("long", ["sleep", "1d"])
        assert api.call("POST", "/containers/long/wait")[1]["StatusCode"] == 0
    assert time.monotonic() - before < 3600


def test_time_does_not_jump_past_the_nanoseconds_of_gos_clients():
    with served("fast") as (lab, sockets, api):
        api.container("millennia", ["sleep", str(10**11)])
        api.container("day", ["sleep", "1d"])
        waiting = api.raw(b"POST /containers/millennia/wait HTTP/1.1\r\nHost: docker\r\n\r\n")
        assert api.call("POST", "/containers/day/wait")[1]["StatusCode"] == 0
        for _ in range(20):
            assert api.call("GET", "/_ping")[0] == 200
        assert sockets.call(lambda: lab.now) < 10**6
        waiting.close()


def test_paused_time_stands_still_for_requests_that_wait_for_nothing():
    with served("paused") as (lab, sockets, api):
        began = sockets.call(lambda: lab.now)
        for _ in range(3):
            api.call("GET", "/version")
        assert sockets.call(lambda: lab.now) == began


@pytest.mark.parametrize("clock", MODES)
def test_since_and_until_of_a_clients_clock_select_what_happened_then(clock):
    with served(clock) as (lab, sockets, api):

        def now():
            sockets.call(lab.run, 0.01)  # what happens at one instant cannot be told apart
            text = f"{time.time():.6f}"
            sockets.call(lab.run, 0.01)
            return text

        before = now()
        api.container("one", ["sh", "-c", "echo one; sleep 2; echo two"])
        eventually(lambda: b"one" in api.call("GET", "/containers/one/logs?stdout=1")[1])
        between = now()
        assert api.call("POST", "/containers/one/wait")[1]["StatusCode"] == 0
        after = now()

        def logs(since):
            text = api.call("GET", f"/containers/one/logs?stdout=1&since={since}")[1]
            return [word for word in (b"one", b"two") if word in text]

        def events(since, until):
            connection = UnixHTTP(api.path)
            connection.request("GET", f"/events?since={since}&until={until}")
            text = connection.getresponse().read()
            connection.close()
            return [word for word in (b'"create"', b'"start"', b'"die"') if word in text]

        assert [logs(before), logs(between), logs(after)] == [[b"one", b"two"], [b"two"], []]
        assert events(before, after) == [b'"create"', b'"start"', b'"die"']
        assert events(before, between) == [b'"create"', b'"start"']
        assert events(between, after) == [b'"die"']
        assert events(after, now()) == []


def test_a_time_of_the_clients_is_the_labs_time_at_that_moment(monkeypatch):
    clock, real = Clock(), [10**18]
    monkeypatch.setattr(client_time.time, "time_ns", lambda: real[0])
    clock.epoch_s = 10**9
    times = ClientTime(clock)

    def let_pass(real_s, lab_s):
        times.note()
        real[0] += real_s * 10**9
        clock.now_ns += lab_s * 10**9
        times.note()

    start = real[0]
    for real_s, lab_s in ((5, 5), (5, 5), (1, 101), (60, 0), (30, 0), (4, 2)):
        let_pass(real_s, lab_s)
    assert len(times._readings) == 5, "readings on one line are kept once"
    expected = {0: 0, 5: 5, 10: 10, 11: 111, 50: 111, 101: 111, 103: 112, 105: 113, 115: 123}
    assert {after: times.to_lab(start + after * 10**9) - start for after in expected} == {
        after: lab * 10**9 for after, lab in expected.items()
    }
    assert times.to_lab(start - 10**9) == start - 10**9
    lab_ns = start + 113 * 10**9
    assert times.convert({"since": "0", "until": "", "tail": "1"}) == {"since": "0", "until": "", "tail": "1"}
    assert times.convert({"since": str(lab_ns // 10**9)})["since"] == str(lab_ns // 10**9), (
        "read from the lab's output"
    )
    assert times.convert({"until": str(real[0] // 10**9)}) == {"until": f"{lab_ns // 10**9}.000000000"}

"""`cnmsim explain` and `capture`: of a file, and of a lab that is being served."""

import json
import signal
import subprocess
import sys
import time

import pytest
from support.api_client import new_lab
from support.patience import PATIENCE_S, eventually

LAB = """
hosts:
  node1: {addresses: [10.0.0.15/24], docker: true}
  client: {addresses: [10.0.0.50/24]}
"""


def command(*words):
    return [sys.executable, "-m", "cnmsim", *map(str, words)]


def cnmsim(*words, **options):
    options = {"text": True, **options}
    return subprocess.run(command(*words), capture_output=True, timeout=PATIENCE_S, check=False, **options)


@pytest.fixture(scope="module")
def served():
    lab = new_lab()
    with lab.serve() as sockets:
        docker = lab.host("node1").docker
        sockets.call(lambda: docker.containers.run("nginx", name="web", ports={"80/tcp": 8080}, detach=True))
        sockets.call(lab.run, 0.2)
        yield lab, sockets


def test_explain_of_a_served_lab_tells_what_decides_as_it_is_now(served):
    lab, sockets = served
    yes = cnmsim("explain", "--dir", sockets.directory, "client", "node1:8080")
    assert yes.returncode == 0
    assert yes.stdout.startswith("yes, answered: client → node1:8080 (tcp)\ncause: ")
    sockets.call(lab.host("node1").iptables, "-I DOCKER-USER -j DROP")
    no = cnmsim("explain", "--dir", sockets.directory, "client", "node1:8080", "--json")
    sockets.call(lab.host("node1").iptables, "-D DOCKER-USER -j DROP")
    assert no.returncode == 1
    found = json.loads(no.stdout)
    assert (found["verdict"], found["reachable"]) == ("timeout", False)
    assert "DOCKER-USER" in found["decided_by"]


def test_explain_of_a_file_gives_the_same_answer(tmp_path):
    (tmp_path / "lab.yml").write_text(LAB)
    done = cnmsim("explain", tmp_path / "lab.yml", "client", "node1:9")
    assert done.returncode == 1
    assert done.stdout.startswith("no, refused: client → node1:9 (tcp)\n")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["explain", "nobody", "node1:80"], "nobody"),
        (["explain", "client", "node1:0"], "port"),
        (["capture", "node1:nosuch0"], "no device fits node1:nosuch0"),
        (["trace", "client", "node1:8080/xyz"], "xyz"),
    ],
)
def test_what_is_wrong_is_said_with_status_2(served, words, text):
    done = cnmsim(words[0], "--dir", served[1].directory, *words[1:])
    assert done.returncode == 2
    assert text in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("verb", ["explain", "trace"])
def test_where_no_lab_is_served_it_says_so(tmp_path, verb):
    done = cnmsim(verb, "--dir", tmp_path, "a", "b")
    assert done.returncode == 2
    assert "no lab is served here" in done.stderr


class Capturing:
    """A capture under way: it captures from the moment the block begins."""

    def __init__(self, sockets, *words):
        self.process = subprocess.Popen(
            command("capture", "--dir", sockets.directory, *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def __enter__(self):
        self.first = self.process.stderr.readline().decode()
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def end(self):
        out, err = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, out, err.decode()


def ping(served, count=1):
    lab, sockets = served
    done = sockets.call(lab.host("client").ping, "10.0.0.15", count=count)
    assert done.succeeded


def test_frames_are_shown_while_they_pass_and_counted(served):
    with Capturing(served[1], "node1:eth0", "--count", "4") as live:
        assert live.first == "capturing at node1:eth0\n"
        ping(served, count=9)
        status, out, err = live.end()
    lines = out.decode().splitlines()
    assert (status, len(lines)) == (0, 4)
    assert err == "4 frames captured\n"
    assert any("node1:eth0 In  IP 10.0.0.50 > 10.0.0.15: ICMP echo request" in line for line in lines)


def test_a_file_holds_every_device_and_the_labs_own_time(served, tmp_path):
    from scapy.utils import PcapNgReader

    target = tmp_path / "out.pcapng"
    with Capturing(served[1], "node1:eth0", "web:eth0", "-w", target) as live:
        assert served[1].call(served[0].host("client").curl, "http://10.0.0.15:8080/").succeeded
        live.process.send_signal(signal.SIGINT)
        status, out, err = live.end()
    assert (status, out) == (0, b"")
    with PcapNgReader(str(target)) as reader:
        frames = list(reader)
    assert err == f"{len(frames)} frames captured\n"
    assert {frame.sniffed_on for frame in frames} == {"node1:eth0", "web:eth0"}
    assert abs(float(frames[0].time) - time.time()) < 600


def test_a_capture_ends_with_its_time_and_can_be_piped(served):
    with Capturing(served[1], "client:eth0", "--duration", "0.3", "-w", "-") as live:
        status, out, _ = live.end()
    assert status == 0
    assert out.startswith(b"\x0a\x0d\x0d\x0a")


def test_devices_that_come_up_later_are_captured_at(served):
    lab, sockets = served
    with Capturing(sockets, "*:eth0", "--count", "2") as live:
        docker = lab.host("node1").docker
        late = sockets.call(lambda: docker.containers.run("alpine", ["sleep", "1d"], name="late", detach=True))
        time.sleep(0.3)
        sockets.call(late.exec_run, ["ping", "-c", "3", "172.17.0.1"])
        _, out, _ = live.end()
        sockets.call(lambda: late.remove(force=True))
    assert "late:eth0" in out.decode()


def test_a_client_that_vanishes_leaves_no_tap(served):
    lab, sockets = served
    device = lab.host("client").interfaces[0]
    before = len(device.taps)
    with Capturing(sockets, "client:eth0"):
        assert len(device.taps) == before + 1
    eventually(lambda: len(device.taps) == before)


def test_after_a_trace_time_goes_on_at_its_pace():
    lab = new_lab()
    with lab.serve(clock="real") as sockets:
        host = lab.host("client")
        sockets.call(lab.run, 86400)
        done = cnmsim("sh", "--dir", sockets.directory, "client", "--", "sleep", "0.5", stdin=subprocess.DEVNULL)
        assert done.returncode == 0
        assert host.machine.clock.now >= 86400.5

"""`ss` over the same sockets here and in the Linux kernel: states, filters, timers, columns."""

import json
import os
import re
import shlex
import subprocess
import sys
import textwrap

import pytest
from support.program_host import World

from cnmsim.kernel.task import run_until
from cnmsim.userland import HOST_PROGRAMS
from cnmsim.userland.ss.command import span_text

NAMESPACE = f"ss{os.getpid() % 100000}"
#: Opens the sockets in the real kernel. `Opened` opens the same here.
OPEN = textwrap.dedent("""
    import json, socket, subprocess, sys
    def dial(own, port):
        found = socket.socket()
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(("127.0.0.1", own))
        found.connect(("127.0.0.1", port))
        return found
    plain = socket.create_server(("127.0.0.1", 8080))
    dual = socket.create_server(("::", 9090), family=socket.AF_INET6, dualstack_ipv6=True)
    kept, short_idle, gone = dial(3001, 8080), dial(3002, 9090), dial(3003, 8080)
    ends = [plain.accept()[0], dual.accept()[0], plain.accept()[0]]
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    short_idle.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    short_idle.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 50)
    ends[0].sendall(b"seven b")
    gone.close()
    ends[2].close()
    names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    names.bind(("0.0.0.0", 53))
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.bind(("127.0.0.1", 3004))
    client.connect(("127.0.0.1", 53))
    results = []
    for line in json.load(sys.stdin):
        done = subprocess.run(line, shell=True, capture_output=True, text=True)
        results.append((done.returncode, done.stdout, done.stderr))
    print(json.dumps(results))
""")
LINES = (
    "-tn", "-tan", "-tln", "-tuln", "-tuan", "-ta", "-tano", "-tno state established", "-tanH", "-tanQ", "-4 -tan",
    "-6 -tan", "-f inet6 -tan", "-uan", "-un", "-wan", "-xan", "-A tcp -n", "-A udp,tcp -an", "-tn state time-wait",
    "-tan state listening", "-tn state established state time-wait", "-tn state bucket", "-tn state synchronized",
    "-tn state all", "-tn exclude established", "-tan exclude listening", "-un state connected",
    "-un state unconnected", "-tn dport = :9090", "-tan sport = :http-alt",
    "-tan '( dport = :8080 or sport = :8080 )'", "-tan 'sport = :8080 || sport = :9090'", "-tn dport eq 8080",
    "-tn dport 8080", "-tn 'dport > :8100'", "-tn sport le :8080", "-tn 'dport != :8080'", "-tn '! dport = :8080'",
    "-tn not dport = :8080 and src 127.0.0.1", "-tn dport = :8080 src 127.0.0.1",
    "-tan 'sport = :8080 and not state listening'", "-tn dst 127.0.0.1", "-tan dst 127.0.0.0/8",
    "-tan src 127.0.0.1:8080", "-tan src '*:9090'", "-tan dst :8080", "-tn dst 127/8", "-tn dst 10.0.0.0/8",
    "-tn dst '[::1]'", "-tan src 127.0.0.1 and dst 127.0.0.1 and not sport = :8080", "-tn dport foo", "-tn nonsense",
    "-tn dst 300.1.1.1", "-tn dst 1.2.3.0/33", "-tn dst ::1", "-tn dport = :8080-9000", "-tn state foo", "-f foo",
)  # fmt: skip
BAD_GRAMMAR = ("-tn '( dport = :8080'", "-tn dst 127.0.0.1 and", "-tn 'dport = :80 )'", "-tn dport")


def of_linux(lines, columns=None):
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
    try:
        subprocess.run(["ip", "-n", NAMESPACE, "link", "set", "lo", "up"], check=True)
        answers = json.dumps([f"ss {line}" for line in lines])
        words = ["ip", "netns", "exec", NAMESPACE, sys.executable, "-S", "-E", "-c", OPEN]
        env = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
        if columns is not None:
            env["COLUMNS"] = columns
        done = subprocess.run(words, input=answers, env=env, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)
    finally:
        subprocess.run(["ip", "netns", "del", NAMESPACE], check=True)


class Opened:
    """The sockets of `OPEN` in a simulated world."""

    def __init__(self):
        self.world = World()
        machine, self.clock = self.world.one, self.world.clock
        self.process = process = machine.spawn(_sleep, ["sleep"])
        plain, dual = process.tcp(4), process.tcp(6)
        for server, address in ((plain, ("127.0.0.1", 8080)), (dual, ("::", 9090))):
            server.bind(address)
            server.listen(128)
        kept, short_idle, gone = self.dial(3001, 8080), self.dial(3002, 9090), self.dial(3003, 8080)
        ends = [run_until(self.clock, server.accept()) for server in (plain, dual, plain)]
        kept.set_keepalive()
        short_idle.set_keepalive(idle_s=50)
        ends[0].send(b"seven b")
        gone.close()
        self.clock.run_for(0.01)
        ends[2].close()
        names, client = process.udp(4), process.udp(4)
        names.bind(("0.0.0.0", 53))
        client.bind(("127.0.0.1", 3004))
        client.connect(("127.0.0.1", 53))
        self.clock.run_for(0.2)
        self.kept = [plain, dual, kept, short_idle, names, client, *ends]

    def dial(self, own, port):
        connection = self.process.tcp(4)
        connection.bind(("127.0.0.1", own))
        run_until(self.clock, connection.connect(("127.0.0.1", port)))
        return connection

    def ss(self, line, columns=None):
        env = None if columns is None else {"COLUMNS": columns}
        result = self.world.argv(["ss", *shlex.split(line)], programs=HOST_PROGRAMS, env=env)
        return [result.status, result.out, result.err]


async def _sleep(process):
    await process.sleep(1e9)
    return 0


def alike(result):
    """Remove what differs between kernels: the order of lines, and the remaining time of timers."""
    status, out, err = result
    lines = [re.sub(r"\d+sec,", "Nsec,", line) for line in out.splitlines()]
    return status, sorted(lines), err.splitlines()


@pytest.mark.root("ss", trial="ip link set lo up")
def test_what_ss_of_linux_says():
    ours = Opened()
    for line, result in zip(LINES, of_linux(LINES), strict=True):
        expected, simulated = alike(result), alike(ours.ss(line))
        if "invalid family" in result[2]:
            # The simulated usage is shorter.
            expected, simulated = (*expected[:2], expected[2][:1]), (*simulated[:2], simulated[2][:1])
        assert simulated == expected, line


@pytest.mark.root("ss", trial="ip link set lo up")
@pytest.mark.parametrize("columns", ["200", "100", "80", "61", "33", "7", "0", "x"])
def test_columns_are_as_wide_as_the_screen_lets_them(columns):
    lines = ("-tn", "-tuan", "-tn state established", "-tanoH", "-xan")
    ours = Opened()
    for line, expected in zip(lines, of_linux(lines, columns), strict=True):
        assert alike(ours.ss(line, columns)) == alike(expected), line


@pytest.mark.root("ss", trial="ip link set lo up")
def test_words_that_make_no_expression():
    ours = Opened()
    for line, (status, out, err) in zip(BAD_GRAMMAR, of_linux(BAD_GRAMMAR), strict=True):
        result = ours.ss(line)
        assert (result[0], result[1], result[2].splitlines()[0]) == (status, out, err.splitlines()[0]), line


def test_timers_of_a_lost_segment_and_of_the_end():
    ours = Opened()
    kept, end = ours.kept[2], ours.kept[6]
    assert "timer:(keepalive,119min,0)" in ours.ss("-tno sport = :3001")[1]
    assert "timer:(timewait,59sec,0)" in ours.ss("-tao sport = :3003")[1]
    run_until(ours.clock, kept.recv())
    ours.world.one.root.loopback.set_down()
    end.send(b"lost")
    ours.clock.run_for(0.7)
    output = re.search(r"timer:\(on,(.*),(\d)\)", ours.ss("-tno sport = :8080")[1])
    # The segment is sent again after 0.2 and 0.6 s, and 0.8 s later once more.
    assert output is not None
    assert output[2] == "2"
    assert 650 <= int(output[1].removesuffix("ms")) <= 750


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (7199000, "119min"),
        (61500, "1min1sec"),
        (600000, "10min"),
        (12345, "12sec"),
        (5300, "5.300ms"),
        (200, "200ms"),
        (0, ""),
    ],
)
def test_spans(milliseconds, text):
    assert span_text(milliseconds) == text


def test_summary_counts_what_there_is():
    out = Opened().ss("-s")[1]
    assert out.splitlines()[1] == "TCP:   7 (estab 4, closed 1, orphaned 0, timewait 1)"
    assert out.splitlines()[5:8] == [
        "UDP\t  2         2         0        ",
        "TCP\t  6         4         2        ",
        "INET\t  8         6         2        ",
    ]

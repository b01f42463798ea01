"""conntrack(8) over the same flows here and in the Linux kernel: lists, counts, changes, deletions, events.

What conntrack of Linux prints is recorded; where root has it, it runs, too. `CONNTRACK_RECORD=1` as root records
again.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from support.program_host import World

from cnmsim.kernel.task import run_until
from cnmsim.userland import HOST_PROGRAMS

NAMESPACE = f"ct{os.getpid() % 100000}"
RULES = (
    "iptables -A INPUT -m conntrack --ctstate NEW -j ACCEPT",
    "ip6tables -A INPUT -m conntrack --ctstate NEW -j ACCEPT",
    "iptables -t nat -A OUTPUT -p tcp --dport 81 -j REDIRECT --to-ports 8080",
    "iptables -t nat -A POSTROUTING -p udp -d 127.0.0.3 -j SNAT --to-source 127.0.0.9",
)
#: Opens the flows in the real kernel. `Flows` opens the same here.
OPEN = textwrap.dedent("""
    import json, signal, socket, subprocess, sys, time
    lines, listener = json.load(sys.stdin)
    heard = subprocess.Popen(listener, shell=True, stdout=subprocess.PIPE, text=True)
    time.sleep(0.3)
    def dial(own, port):
        found = socket.socket()
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(("127.0.0.1", own))
        found.connect(("127.0.0.1", port))
        return found
    server = socket.create_server(("127.0.0.1", 8080))
    kept, turned = dial(3001, 8080), dial(3002, 81)
    ends = [server.accept()[0], server.accept()[0]]
    def datagram(family, own, to):
        found = socket.socket(family, socket.SOCK_DGRAM)
        found.bind(own)
        found.sendto(b"x", to)
        return found
    silent = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    silent[0].bind(("127.0.0.2", 53))
    silent[1].bind(("127.0.0.3", 53))
    six = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    six.bind(("::1", 53))
    requester = datagram(socket.AF_INET, ("127.0.0.1", 4000), ("127.0.0.2", 53))
    silent[0].sendto(b"y", silent[0].recvfrom(9)[1])
    masked = datagram(socket.AF_INET, ("127.0.0.1", 4001), ("127.0.0.3", 53))
    over6 = datagram(socket.AF_INET6, ("::1", 4002), ("::1", 53))
    turned.close()
    ends[1].close()
    results = []
    for line in lines:
        done = subprocess.run(line, shell=True, capture_output=True, text=True)
        results.append((done.returncode, done.stdout, done.stderr))
    time.sleep(0.2)
    subprocess.run(["conntrack", "-L"], capture_output=True)
    heard.send_signal(signal.SIGTERM)
    print(json.dumps([results, heard.communicate()[0]]))
""")
LINES = (
    "-L", "-L conntrack", "-L -f ipv4", "-L -f ipv6 -o extended", "-L -o ext,id", "-L -o foo", "-L -o save",
    "-L -o xml", "-L -o xml,id -p tcp", "-L -o save,id", "-L -p tcp", "-L -p 17", "-L -p TCP --dport 8080",
    "-L -p tcp --dport 81", "-L -p tcp --reply-port-src 8080", "-L -p udp --sport 4000 -o extended",
    "-L -p udp --dport domain", "-L --dport 80", "-L -p udp --state NONE", "-L -p tcp --state ESTABLISHED",
    "-L -p tcp --state TIME_WAIT", "-L -p tcp --state established", "-L -p foo", "-L -p 300", "-L -n",
    "-L -n 127.0.0.9", "-L -n 127.0.0.1", "-L -g", "-L -j", "-L -j 127.0.0.9", "-L --src-nat 127.0.0.9", "-L -n -g",
    "-L -u ASSURED", "-L -u UNREPLIED", "-L -u SEEN_REPLY,ASSURED", "-L -u FOO", "-L -u UNSET", "-L -u SRC_NAT",
    "-L -m 0", "-L -m 0x1", "-L --mark 1/1", "-L -s 127.0.0.1 -d 127.0.0.3", "-L -d 127.0.0.0/30", "-L -s foo",
    "-L -s ::1", "-L -s 1.2.3.4/40", "-L -s ::1 -d 127.0.0.1", "-L -f ipv4 -s ::1", "-L -q 127.0.0.9",
    "-L -r 127.0.0.3", "-L -f foo", "-L -d 127.0.0.2 --mask-dst 255.255.255.254", "-L --mask-src 255.0.0.0",
    "-L -t 5", "-L -e NEW", "-L -b 9", "-L -i 1", "-L -x", "-L --list", "-L -s", "-L --dst", "-L foo", "-L -C",
    "-L -L", "-L expect", "-L dying", "-C", "-C -p tcp", "-C expect", "-F -p tcp", "-S -p tcp", "-S -o id", "-E -z",
    "-E -u ASSURED", "-E -e FOO", "-V", "-G -p udp", "-G -s 127.0.0.1",
    "-G -p udp -s 127.0.0.1 -d 127.0.0.2 --sport 4000 --dport 53",
    "-G -p udp -s 127.0.0.1 -d 127.0.0.2 --sport 4000 --dport 54", "-U -p udp -m 5", "-L -m 5", "-L -m 5/4",
    "-L -m 4/4 -p udp", "-U -p udp -m 0x10/0xf0", "-U -p udp", "-U -p tcp --sport 3001 -t 500",
    "-D -p udp --sport 4000 -o id", "-D -p udp --sport 4000", "-D -s 1.2.3.4", "-D -e NEW", "-D -n 127.0.0.9",
    "-D -f ipv6", "-L", "-D -p tcp --dport 9 -z", "-F", "-L",
)  # fmt: skip


NEEDS_KERNEL = pytest.mark.root("iptables", "conntrack", trial=f"ip link set lo up; {RULES[0]}; conntrack -L")
#: For each listener the exit status, output and errors of the commands, and the listener's output.
RECORDING = Path(__file__).parent / "recorded" / "conntrack-1.4.8.json"


@pytest.fixture(params=["recorded", pytest.param("linux", marks=NEEDS_KERNEL)])
def of_linux(request):
    """Return a function that runs commands of conntrack beside a listener of its events."""
    recording = json.loads(RECORDING.read_text())
    if request.param == "recorded":
        return lambda _lines, listener: recording[listener]

    def run(lines, listener):
        answers = in_namespace(lines, listener)
        if "CONNTRACK_RECORD" in os.environ:
            RECORDING.write_text(json.dumps({**recording, listener: answers}, indent=0) + "\n")
        return answers

    return run


def in_namespace(lines, listener):
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
    inside = ["ip", "netns", "exec", NAMESPACE]
    try:
        for rule in ("ip link set lo up", *RULES):
            subprocess.run([*inside, *rule.split()], check=True)
        answers = json.dumps([[f"conntrack {line}" for line in lines], f"exec conntrack {listener}"])
        words = [*inside, sys.executable, "-S", "-E", "-c", OPEN]
        done = subprocess.run(words, input=answers, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)
    finally:
        subprocess.run(["ip", "netns", "del", NAMESPACE], check=True)


class Flows:
    """The flows of `OPEN` in a simulated world."""

    def __init__(self, listener="-E -e DESTROY"):
        self.world = World()
        self.clock = self.world.clock
        for rule in RULES:
            assert self.world.host(rule).status == 0
        self.heard = self.world.start(self.world.one, f"conntrack {listener}", HOST_PROGRAMS)
        self.process = process = self.world.one.spawn(_sleep, ["sleep"])
        server = process.tcp(4)
        server.bind(("127.0.0.1", 8080))
        server.listen(128)
        kept, turned = self.dial(3001, 8080), self.dial(3002, 81)
        ends = [run_until(self.clock, server.accept()) for _ in range(2)]
        first, second, six = (
            self.datagram(*end) for end in ((4, "127.0.0.2", 53), (4, "127.0.0.3", 53), (6, "::1", 53))
        )
        requester, masked = self.datagram(4, "127.0.0.1", 4000), self.datagram(4, "127.0.0.1", 4001)
        over6 = self.datagram(6, "::1", 4002)
        requester.sendto(b"x", ("127.0.0.2", 53))
        self.clock.run_for(0.001)
        first.sendto(b"y", run_until(self.clock, first.recvfrom())[1])
        masked.sendto(b"x", ("127.0.0.3", 53))
        over6.sendto(b"x", ("::1", 53))
        turned.close()
        ends[1].close()
        self.clock.run_for(0.2)
        self.kept = [server, kept, turned, first, second, six, requester, masked, over6, *ends]

    def dial(self, own, port):
        connection = self.process.tcp(4)
        connection.bind(("127.0.0.1", own))
        run_until(self.clock, connection.connect(("127.0.0.1", port)))
        return connection

    def datagram(self, family, address, port):
        datagram_socket = self.process.udp(family)
        datagram_socket.bind((address, port))
        return datagram_socket

    def conntrack(self, line):
        result = self.world.argv(["conntrack", *shlex.split(line)], programs=HOST_PROGRAMS)
        return [result.status, result.out, result.err]


async def _sleep(process):
    await process.sleep(1e9)
    return 0


def folded(text):
    """Remove what differs between kernels: remaining times, numbers of entries, the process that deleted one."""
    text = re.sub(r" \[USERSPACE\].*", "", text)
    text = re.sub(r"^((?:\[\d+\.\d+\]\t)?.*?(?:tcp|udp|icmp\w*) +\d+) \d+ ", r"\1 N ", text, flags=re.MULTILINE)
    text = re.sub(r"<timeout>\d+<|-t \d+ ", "N ", text)
    return sorted(re.sub(r"(id=|<id>)\d+", r"\1N", text).splitlines())


def test_what_conntrack_of_linux_says(of_linux):
    ours = Flows()
    real, _ = of_linux(LINES, "-E -e DESTROY")
    for line, (status, out, err) in zip(LINES, real, strict=True):
        simulated = ours.conntrack(line)
        assert (simulated[0], folded(simulated[1]), simulated[2]) == (status, folded(out), err), line


@pytest.mark.parametrize(
    "listener",
    [
        "-E",
        "-E -e NEW,DESTROY -o extended,id",
        "-E -p udp -o xml",
        "-E -o save -f ipv4",
        "-E -e UPDATE -p tcp --dport 81",
    ],
)
def test_events_of_linux(of_linux, listener):
    ours = Flows(listener)
    lines = ("-U -p udp --sport 4000 -m 5", "-D -p udp", "-F")
    _, real = of_linux(lines, listener)
    for line in lines:
        ours.conntrack(line)
    ours.heard.kill(15)
    assert folded(ours.heard.stdout.getvalue().decode()) == folded(real)


def test_an_entry_whose_time_is_over_is_told_of():
    ours = Flows("-E -e DESTROY -p udp -o timestamp")
    ours.clock.run_for(32)
    lines = ours.heard.stdout.getvalue().decode().splitlines()
    assert [line.partition("\t")[2] for line in lines][:1] == [
        (
            "[DESTROY] udp      17 src=127.0.0.1 dst=127.0.0.2 sport=4000 dport=53 "
            "src=127.0.0.2 dst=127.0.0.1 sport=53 dport=4000"
        )
    ]
    assert len(lines) == 3
    assert all(re.match(r"\[\d+\.\d{6}\]\t", line) for line in lines)


def test_a_listener_that_is_killed_hears_no_more():
    ours = Flows()
    table = ours.world.one.root.netfilter.conntrack
    assert len(table.listeners) == 1
    ours.heard.kill(9)
    ours.conntrack("-F")
    assert table.listeners == []


def test_statistics_count_what_fits_nothing():
    ours = Flows()
    before = ours.conntrack("-S")[1]
    assert " invalid=0 " in before
    table = ours.world.one.root
    table.sysctl_set("net.netfilter.nf_conntrack_max", "1")
    ours.datagram(4, "127.0.0.1", 4010).sendto(b"x", ("127.0.0.2", 53))
    ours.clock.run_for(0.1)
    assert " early_drop=1 " in ours.conntrack("-S")[1]

"""Files written by the simulated tcpdump, read by it and by the real one: lines, dumps, times, counts."""

import re
import shlex
import shutil
import subprocess

import pytest
from support.program_host import World

from cnmsim.userland import HOST_PROGRAMS

LINES = (
    "-n", "-nt", "-ntt", "-nttt", "-ntttt", "-nttttt", "-n -x", "-n -xx", "-n -X", "-n -XX", "-n -A", "-n -AA",
    "-n -X -s 40",
    "-q -n", "-q -n -e", "-n -e", "-S -n", "-n -#", "-n --number -t", "-n --count", "-n --count tcp", "-n -c 3",
    "-n -v", "-n -vv",
    "-n -v -e arp", "-n --nano", "-n -l -U -p -K arp", "-n -t 'tcp[tcpflags] & (tcp-syn|tcp-fin) != 0'",
    "-n -t icmp or arp",
    "-n -t port 53",  "-n -c x", "-n -s x", "-n inbound", "-n -T foo",
)  # fmt: skip
ANY = ("-n", "-n -e", "-n -q -e", "-n -e -xx -c 2", "-n -t tcp", "-n -x icmp")


def recorded(line):
    """Return a world in which `two` has captured to /cap.pcap."""
    world = World()
    world.serve_names({"www.example.com": ["A 10.0.0.2"]})
    world.start(world.two, "httpd -f -p 80 -h /www")
    dump = world.start(world.two, line, HOST_PROGRAMS)
    for command in (
        "ping -c 2 10.0.0.2", "ping6 -c 1 fd00::2", "nslookup -type=a www.example.com", "wget -qO- http://10.0.0.2/",
        "nc 10.0.0.2 9",
    ):  # fmt: skip
        world.run(command)
    dump.kill(2)
    return world


def of_both(world, tmp_path, lines):
    path = tmp_path / "cap.pcap"
    path.write_bytes(world.two.files.read("/cap.pcap"))
    world.two.files.put(str(path), path.read_bytes())
    for line in lines:
        argv = ["tcpdump", "-r", str(path), *shlex.split(line)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        simulated = world.argv(argv, machine=world.two, programs=HOST_PROGRAMS)
        err = simulated.err.splitlines()[:1], done.stderr.splitlines()[:1]
        yield (
            line,
            (simulated.status, simulated.out.splitlines(), err[0]),
            (done.returncode, done.stdout.splitlines(), err[1]),
        )


@pytest.mark.skipif(shutil.which("tcpdump") is None, reason="needs tcpdump")
def test_what_the_real_tcpdump_says_of_a_file(tmp_path):
    for line, simulated, real in of_both(recorded("tcpdump -i eth0 -w /cap.pcap"), tmp_path, LINES):
        assert simulated == real, line


@pytest.mark.skipif(shutil.which("tcpdump") is None, reason="needs tcpdump")
def test_what_the_real_tcpdump_says_of_all_devices(tmp_path):
    for line, simulated, real in of_both(recorded("tcpdump -i any -w /cap.pcap"), tmp_path, ANY):
        # The real tcpdump prints the device names of the machine on which the file is read.
        real_lines, simulated_lines = (
            [re.sub(r"(^| )\w+ +(In|Out|B|M) ", r"\1DEV \2 ", text) for text in lines]
            for lines in (real[1], simulated[1])
        )
        assert (simulated[0], simulated_lines) == (real[0], real_lines), line


@pytest.mark.parametrize(
    ("option", "sides"),
    [("-Q in", {"10.0.0.1"}), ("-Q out", {"10.0.0.2"}), ("--direction=inout", {"10.0.0.1", "10.0.0.2"})],
)
def test_one_direction(option, sides):
    world = World()
    dump = world.start(world.two, f"tcpdump -n -t {option} -i eth0 icmp", HOST_PROGRAMS)
    world.run("ping -c 1 10.0.0.2")
    dump.kill(2)
    lines = dump.stdout.getvalue().decode().strip().splitlines()
    assert {line.split()[1] for line in lines} == sides


def test_devices_are_listed_with_their_state():
    world = World()
    lines = world.host("tcpdump -D").out.splitlines()
    assert lines == [
        "1.eth0 [Up, Running, Connected]",
        "2.any (Pseudo-device that captures on all interfaces) [Up, Running]",
        "3.lo [Up, Running, Loopback]",
    ]


@pytest.mark.parametrize(
    ("line", "expected_text"),
    [
        ("-C 1 -w /x", "tcpdump: invalid option -- 'C'"),
        ("-G 10 -w /x", "tcpdump: invalid option -- 'G'"),
        ("-d icmp", "tcpdump: invalid option -- 'd'"),
        ("-r /nofile", "tcpdump: /nofile: No such file or directory"),
        ("-F /nofile", "tcpdump: can't open /nofile: No such file or directory"),
        ("-Q foo", "tcpdump: unknown capture direction 'foo'"),
        ("-y FOO", "tcpdump: invalid data link type FOO"),
    ],
)
def test_what_is_not_done_is_refused(line, expected_text):
    result = World().host(f"tcpdump -i eth0 {line}")
    assert result.status == 1
    assert result.err.splitlines()[0] == expected_text

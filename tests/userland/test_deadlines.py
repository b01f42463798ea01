"""Every program that waits ends exactly at its deadline, at whatever virtual time it starts.

Start times are odd numbers of nanoseconds. In seconds few of them are exact floating-point numbers, and a loop that
computes with such seconds can miss its deadline or wait 0 s for ever.
"""

import random

import pytest
from support.program_host import World

from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.files import Pipe
from cnmsim.userland import CONTAINER_PROGRAMS, HOST_PROGRAMS

#: (flavour, command, seconds until it ends). 10.0.0.77 does not exist. Packets to 10.0.0.9 are lost; it is also the
#: name server. There is no DHCP server.
WAITING = [
    ("container", "ping -w 5 10.0.0.9", 5),
    ("container", "ping -c 1 -W 3 10.0.0.9", 3),
    ("container", "ping -i 0.3 -c 4 -W 2 10.0.0.9", 0.9 + 2),
    ("container", "ping -i 0.7 -w 3 10.0.0.9", 3),
    ("host", "ping -w 5 10.0.0.9", 5),
    ("host", "ping -w 2.3 -i 0.7 10.0.0.9", 2.3),
    ("host", "ping -c 3 -i 0.1 -W 1.7 10.0.0.9", 0.2 + 1.7),
    ("container", "arping -w 3 10.0.0.77", 3),
    ("container", "arping -c 2 10.0.0.77", 2),
    ("container", "arping -U -w 2.5 10.0.0.1", 3),
    ("container", "traceroute -n -m 2 -q 2 -w 1 10.0.0.9", 4),
    ("container", "traceroute -n -I -m 1 -q 1 -w 1.1 10.0.0.9", 1.1),
    ("container", "nslookup name.test 10.0.0.9", 5),
    ("container", "nslookup -timeout=4 -retry=3 name.test 10.0.0.9", 4),
    ("host", "nslookup name.test 10.0.0.9", 15),
    ("host", "nslookup -timeout=1 -retry=2 name.test 10.0.0.9", 2),
    ("host", "host name.test 10.0.0.9", 10),
    ("host", "host -W 1 -R 2 name.test 10.0.0.9", 3),
    ("host", "dig @10.0.0.9 +time=1 +tries=3 name.test", 3),
    ("host", "dig @10.0.0.9 +tcp +time=2 +tries=1 name.test", 2),
    ("container", "getent hosts name.test", 4),
    ("container", "wget -T 7 http://10.0.0.9/", 7),
    ("host", "curl -s -m 3 http://10.0.0.9/", 3),
    ("host", "curl -s --connect-timeout 2.1 http://10.0.0.9/", 2.1),
    ("container", "nc -w 2 10.0.0.9 80", 2),
    ("container", "nc -z -w 1 10.0.0.9 80-82", 3),
    ("container", "nc -u -w 2 10.0.0.9 80", 2),
    ("container", "nc -l -p 99 -w 3", 3),
    ("container", "nc -l -u -p 99 -w 3", 3),
    ("container", "udhcpc -n -t 2 -T 1.5 -i eth0", 3),
    ("container", "sleep 1.1", 1.1),
    ("container", "timeout 2.3 sleep 100", 2.3),
    ("container", "read -t 1.7 line", 1.7),
    ("container", "timeout -s WINCH -k 1.3 2 sleep 100", 3.3),
]  # fmt: skip


def world_without_answers() -> World:
    """A world in which `one` has a permanent neighbour entry for its name server 10.0.0.9, which does not exist."""
    world = World()
    world.one.files.write("/etc/resolv.conf", b"nameserver 10.0.0.9\noptions timeout:2 attempts:2\n")
    world.host("ip neigh add 10.0.0.9 lladdr 02:00:00:00:00:09 dev eth0")
    return world


def advance(clock, duration_ns):
    """Let an exact number of nanoseconds pass."""
    until_ns = clock.now_ns + duration_ns
    clock.call_at_ns(until_ns, lambda: None)
    while clock.now_ns < until_ns:
        clock.step()


@pytest.mark.parametrize("flavour,command,seconds", WAITING)
def test_waiting_program_ends_at_its_deadline(flavour, command, seconds):
    programs = HOST_PROGRAMS if flavour == "host" else CONTAINER_PROGRAMS
    argv = ["sh", "-c", command] if command.startswith("read") else command.split()
    draw = random.Random(command)
    world = world_without_answers()
    clock = world.clock
    for _ in range(200):
        advance(clock, draw.randrange(1, 10 ** draw.randint(7, 13)))
        started_ns = clock.now_ns
        process = world.one.spawn(programs[argv[0]], argv, programs=programs, stdin=Pipe(clock))
        ended_ns = []
        process.exited.add_done_callback(lambda _, ended_ns=ended_ns: ended_ns.append(clock.now_ns))
        for _ in range(500):
            if ended_ns:
                break
            clock.step()
        assert ended_ns, f"started at {started_ns} ns, and still running at {clock.now_ns} ns"
        assert ended_ns[0] - started_ns == round(seconds * NS_PER_S), f"started at {started_ns} ns"


def test_seconds_of_the_day_do_not_round_up():
    world = World()
    advance(world.clock, 12_999_999_999 - world.clock.now_ns)
    assert world.run("date +%s.%N").out == "1767225612.999999999\n"

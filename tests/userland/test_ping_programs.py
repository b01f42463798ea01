"""ping, ping6, traceroute, arping: busybox in containers, iputils on hosts."""

import pytest
from support.program_host import World

from cnmsim.userland.ping.iputils import round_trip
from cnmsim.userland.ping.session import milliseconds


def test_busybox_ping_counts_from_zero():
    result = World().run("ping -c 2 10.0.0.2")
    assert result.status == 0
    assert result.out == (
        "PING 10.0.0.2 (10.0.0.2): 56 data bytes\n"
        "64 bytes from 10.0.0.2: seq=0 ttl=64 time=0.400 ms\n"
        "64 bytes from 10.0.0.2: seq=1 ttl=64 time=0.200 ms\n"
        "\n--- 10.0.0.2 ping statistics ---\n"
        "2 packets transmitted, 2 packets received, 0% packet loss\n"
        "round-trip min/avg/max = 0.200/0.300/0.400 ms\n"
    )


def test_iputils_ping_counts_from_one():
    result = World().host("ping -c 1 -W 2 10.0.0.2")
    assert result.out == (
        "PING 10.0.0.2 (10.0.0.2) 56(84) bytes of data.\n"
        "64 bytes from 10.0.0.2: icmp_seq=1 ttl=64 time=0.400 ms\n"
        "\n--- 10.0.0.2 ping statistics ---\n"
        "1 packets transmitted, 1 received, 0% packet loss, time 0ms\n"
        "rtt min/avg/max/mdev = 0.400/0.400/0.400/0.000 ms\n"
    )


def test_busybox_ping_without_answer_waits_and_says_nothing_more():
    world = World()
    result = world.run("ping -c 1 -W 1 10.0.0.9")
    assert (result.status, result.err) == (1, "")
    assert result.out.endswith("1 packets transmitted, 0 packets received, 100% packet loss\n")
    assert world.clock.now == pytest.approx(1)


FAILURES = [
    ("run", "ping -c 1 8.8.8.8", 1, "ping: sendto: Network is unreachable\n"),
    ("run", "ping6 -c 1 2001:db8::1", 1, "ping6: sendto: Network is unreachable\n"),
    ("run", "ping nope", 1, "ping: bad address 'nope'\n"),
    ("run", "ping6 10.0.0.2", 1, "ping6: bad address '10.0.0.2'\n"),
    ("run", "ping -c x 10.0.0.2", 1, "ping: invalid number 'x'\n"),
    ("run", "traceroute nope", 1, "traceroute: bad address 'nope'\n"),
    ("host", "ping -c 1 8.8.8.8", 2, "ping: connect: Network is unreachable\n"),
    ("host", "ping nope", 2, "ping: nope: Name or service not known\n"),
    ("host", "ping", 2, "ping: usage error: Destination address required\n"),
    ("host", "ping -c x 1.1.1.1", 2, "ping: invalid argument: 'x'\n"),
]


@pytest.mark.parametrize("kind,line,status,err", FAILURES, ids=[f"{case[0]} {case[1]}" for case in FAILURES])
def test_failure_is_told_in_the_programs_words(kind, line, status, err):
    world = World()
    world.serve_names({})
    result = getattr(world, kind)(line)
    assert (result.status, result.err) == (status, err)


def test_name_with_both_families_is_pinged_by_ipv6():
    result = World().run("ping -c 1 two")
    assert result.out.startswith("PING two (fd00::2): 56 data bytes\n64 bytes from fd00::2: seq=0 ttl=64 time=")


def test_interrupt_prints_the_statistics():
    world = World()
    process = world.start(world.one, "ping 10.0.0.2")
    world.clock.run_for(2.5)
    process.kill(2)
    assert process.exit_status == 0
    assert b"3 packets transmitted, 3 packets received" in process.stdout.getvalue()


def test_traceroute_shows_three_times_for_the_only_hop():
    assert World().run("traceroute -n 10.0.0.2").out == (
        "traceroute to 10.0.0.2 (10.0.0.2), 30 hops max, 46 byte packets\n 1  10.0.0.2  0.400 ms  0.200 ms  0.200 "
        "ms\n"
    )


def test_traceroute_shows_a_star_for_silence():
    world = World()
    assert world.run("traceroute -m 2 -q 1 -w 1 10.0.0.77").out.endswith("\n 1  *\n 2  *\n")


def test_arping_tells_who_answers():
    result = World().run("arping -c 1 -I eth0 10.0.0.2")
    assert "Unicast reply from 10.0.0.2 [02:00:00:00:00:02]" in result.out
    assert result.status == 0


def test_times_have_the_digits_each_flavour_gives():
    assert milliseconds(1_234_567) == "1.234"
    assert [round_trip(ns) for ns in (60_000, 1_234_567, 12_345_678, 123_456_789)] == ["0.060", "1.23", "12.3", "123"]

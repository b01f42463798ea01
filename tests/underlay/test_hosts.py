"""Plain hosts and routers on segments: packets between them, and their services."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import dns.message
import pytest

from cnmsim.kernel.address import parse_ip
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.process import Process
from cnmsim.underlay import HostSpec, PlainHost, Segment


def host(segment: Segment | list[Segment], name: str, *addresses: str, **options: Any) -> PlainHost:
    segments = segment if isinstance(segment, list) else [segment]
    made = PlainHost(HostSpec(name, addresses, **options), segments[0].clock)
    for interface, lan in zip(made.interfaces, segments, strict=True):
        lan.attach(interface)
    made.bring_up()
    return made


def run(on: PlainHost, program: Callable[[Process], Coroutine[Any, Any, Any]]) -> Any:
    answers: list[Any] = []

    async def main(process: Process) -> int:
        answers.append(await program(process))
        return 0

    process = on.machine.spawn(main, ["test"])
    on.machine.clock.run_for(10, stop=lambda: not process.is_running)
    return answers[0]


def ping(on: PlainHost, address: str) -> float | None:
    async def program(process: Process) -> float | None:
        socket = process.icmp(6 if ":" in address else 4)
        before = process.clock.now
        socket.send_echo(address, 1, 1, b"x")
        try:
            await socket.recv(1)
        except TimeoutError:
            return None
        return round(process.clock.now - before, 6)

    return run(on, program)  # type: ignore[no-any-return]


def test_two_hosts_of_a_segment_reach_each_other() -> None:
    lan = Segment("lan", Clock())
    a, _ = host(lan, "a", "10.0.0.1/24"), host(lan, "b", "10.0.0.2/24")
    assert ping(a, "10.0.0.2") == 0.0004  # address resolution first: two crossings each
    assert ping(a, "10.0.0.2") == 0.0002


def test_the_latency_of_a_segment_is_what_a_ping_takes() -> None:
    lan = Segment("lan", Clock(), latency_s=0.01)
    a, _ = host(lan, "a", "10.0.0.1/24"), host(lan, "b", "10.0.0.2/24")
    ping(a, "10.0.0.2")
    assert ping(a, "10.0.0.2") == 0.02


@pytest.mark.parametrize(
    ("near", "far"), [("10.0.0.{}/24", "10.1.0.{}/24"), ("2001:db8:1::{}/64", "2001:db8:2::{}/64")]
)
def test_a_router_forwards_between_its_segments_and_a_plain_host_does_not(near: str, far: str) -> None:
    for forwards, answered in ((True, True), (False, False)):
        clock = Clock()
        left, right = Segment("left", clock), Segment("right", clock)
        middle = [text.format(1) for text in (near, far)]
        host([left, right], "router", *middle, forwards=forwards)
        a = host(left, "a", near.format(5), gateways=middle[0].partition("/")[0])
        host(right, "b", far.format(5), gateways=middle[1].partition("/")[0])
        assert (ping(a, far.format(5).partition("/")[0]) is not None) is answered


def test_port_security_keeps_a_second_mac_of_a_host_off_the_segment() -> None:
    lan = Segment("lan", Clock(), refuse_unknown_macs=True)
    a, b = host(lan, "a", "10.0.0.1/24"), host(lan, "b", "10.0.0.2/24")
    assert ping(a, "10.0.0.2") is not None
    b.interfaces[0].set_mac(b"\x02\x42\x0a\x00\x00\x02")
    a.machine.clock.run_for(120)
    assert ping(a, "10.0.0.2") is None


def test_the_name_server_answers_over_udp_and_tcp() -> None:
    lan = Segment("lan", Clock())
    a = host(lan, "a", "10.0.0.1/24", nameserver="10.0.0.2")
    host(lan, "b", "10.0.0.2/24", zone={"www.example.com": "203.0.113.10"})
    query = dns.message.make_query("www.example.com", "A").to_wire()

    async def ask(process: Process) -> tuple[bytes, bytes]:
        socket = process.udp()
        socket.sendto(query, ("10.0.0.2", 53))
        datagram, _ = await socket.recvfrom(1)
        stream = process.tcp()
        await stream.connect(("10.0.0.2", 53))
        stream.send(len(query).to_bytes(2) + query[:5])
        await process.sleep(0.1)
        stream.send(query[5:])
        return datagram, (await stream.recv())[2:]

    for wire in run(a, ask):
        assert str(dns.message.from_wire(wire).answer[0][0]) == "203.0.113.10"


def test_resolv_conf_names_the_name_server() -> None:
    lan = Segment("lan", Clock())
    assert host(lan, "a", "10.0.0.1/24", nameserver="10.0.0.9").machine.files.read("/etc/resolv.conf") == (
        b"nameserver 10.0.0.9\n"
    )
    assert host(lan, "b", "10.0.0.2/24").machine.files.read("/etc/resolv.conf") == b""


def test_macs_are_unicast_locally_administered_and_follow_the_seed() -> None:
    def macs(seed: int) -> list[bytes]:
        lan = Segment("lan", Clock(seed))
        return [host(lan, f"h{n}", f"10.0.0.{n + 1}/24").interfaces[0].mac for n in range(20)]

    assert all(mac[0] & 3 == 2 for mac in macs(1))
    assert len(set(macs(1))) == 20
    assert macs(1) == macs(1) != macs(2)


def test_the_default_route_goes_to_the_gateway() -> None:
    a = host(Segment("lan", Clock()), "a", "10.0.0.5/24", "2001:db8::5/64", gateways=["10.0.0.1", "2001:db8::1"])
    decision = a.machine.root.route_output(parse_ip("203.0.113.10"))
    assert (decision.gateway, decision.src) == (parse_ip("10.0.0.1"), parse_ip("10.0.0.5"))
    assert a.machine.root.route_output(parse_ip("2001:db8:9::1")).gateway == parse_ip("2001:db8::1")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gateways": "10.9.0.1"}, "gateway 10.9.0.1 is on none of the subnets of a"),
        ({"gateways": "10.0.0.5"}, "gateway 10.0.0.5 is on none of the subnets of a"),
        ({"nameserver": "x"}, "invalid IP address: x"),
        ({"mtu": 20}, "mtu must be between 68 and 65535"),
    ],
)
def test_an_impossible_host_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HostSpec("a", ["10.0.0.5/24"], **options)

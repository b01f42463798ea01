"""The IP layer end to end: delivery, forwarding, errors, fragments, both families."""

import pytest
from support.wiring import Net

from cnmsim.kernel.address import Prefix, parse_ip
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.events import DropReason, Step
from cnmsim.kernel.fibrules import FibRule
from cnmsim.kernel.fragment import fragment
from cnmsim.kernel.packet import build_ip
from cnmsim.kernel.pathmtu import PathMtu
from cnmsim.kernel.route import Route
from cnmsim.kernel.skbuff import Packet
from cnmsim.kernel.transport import icmp_message


@pytest.fixture
def net():
    return Net()


@pytest.mark.parametrize(
    ("to", "answer"),
    [("10.1.0.3", "ICMP echo reply 10.1.0.3 > 10.1.0.2"), ("fd01::3", "ICMPv6 echo reply fd01::3 > fd01::2")],
)
def test_neighbours_on_a_bridge_answer(net, to, answer):
    c2, _ = net.container(2), net.container(3)
    assert net.ping(c2, to) == [answer]
    assert not net.witness.drops


@pytest.mark.parametrize("to", ["10.1.0.3", "fd01::3"])
def test_a_large_packet_travels_in_fragments_and_arrives_whole(net, to):
    c2, _ = net.container(2), net.container(3)
    assert len(net.ping(c2, to, size=4000)) == 1
    assert Step.FRAGMENTED in net.witness.steps("c2")
    assert Step.REASSEMBLED in net.witness.steps("c3")


def test_what_must_not_be_fragmented_is_refused_at_the_sender(net):
    c2, _ = net.container(2), net.container(3)
    with pytest.raises(OSError, match="Message too long"):
        net.ping(c2, "10.1.0.3", size=4000, may_fragment=False)


def test_missing_fragments_are_given_up_after_thirty_seconds(net):
    c2, c3 = net.container(2), net.container(3)
    net.ping(c2, "10.1.0.3")
    mine, theirs = c2.devices["eth0"], c3.devices["eth0"]
    src, dst = parse_ip("10.1.0.2"), parse_ip("10.1.0.3")
    whole = build_ip(1, src, dst, icmp_message(8, 0, b"\0\1\0\1", bytes(4000)), identification=7, dont_fragment=False)
    first, _, last = fragment(Packet(whole), 1500, 0)
    back = []
    mine.taps = (lambda _t, way, frame: back.append(Packet(frame[14:]).summary()) if way == "in" else None,)
    net.clock.context = net.witness
    for piece in (first, last):
        mine.transmit(theirs.mac + mine.mac + b"\x08\x00" + piece)
    net.clock.context = None
    net.clock.run_for(29)
    assert not back
    net.clock.run_for(2)
    assert back == ["ICMP reassembly time exceeded 10.1.0.3 > 10.1.0.2"]
    assert ("c3", DropReason.REASSEMBLY_TIMEOUT) in net.witness.drops


@pytest.mark.parametrize(("to", "error"), [("10.1.0.99", "error 3/1 info 0"), ("fd01::99", "error 1/3 info 0")])
def test_an_address_nobody_has_ends_as_unreachable(net, to, error):
    c2 = net.container(2)
    assert net.ping(c2, to) == [error]
    assert ("c2", DropReason.NEIGHBOUR_FAILED) in net.witness.drops


def test_a_host_that_does_not_forward_stays_silent(net):
    c2 = net.container(2)
    net.neighbour_host("far", "10.2.0.2/24", "10.2.0.1", "10.2.0.1/24")
    assert net.ping(c2, "10.2.0.2") == []
    assert ("host", DropReason.FORWARDING_DISABLED) in net.witness.drops


@pytest.mark.parametrize(
    ("address", "gateway", "host", "to"),
    [("10.2.0.2/24", "10.2.0.1", "10.2.0.1/24", "10.2.0.2"), ("fd02::2/64", "fd02::1", "fd02::1/64", "fd02::2")],
)
def test_a_forwarding_host_routes_and_counts_down_the_ttl(net, address, gateway, host, to):
    c2 = net.container(2)
    net.neighbour_host("far", address, gateway, host)
    net.host.sysctl_set("net.ipv4.ip_forward", "1")
    net.host.sysctl_set("net.ipv6.conf.all.forwarding", "1")
    assert len(net.ping(c2, to)) == 1
    net.witness.events.clear()
    error = net.ping(c2, to, ttl=1)
    assert error == ["error 11/0 info 0" if "." in to else "error 3/0 info 0"]
    assert ("host", DropReason.TTL_EXCEEDED) in net.witness.drops


def test_no_route_on_the_way_is_a_network_unreachable(net):
    c2 = net.container(2)
    net.host.sysctl_set("net.ipv4.ip_forward", "1")
    assert net.ping(c2, "192.0.2.1") == ["error 3/0 info 0"]
    assert ("host", DropReason.NO_ROUTE) in net.witness.drops


@pytest.mark.parametrize(
    ("kind", "answers", "reason"),
    [
        ("unreachable", ["error 3/1 info 0"], DropReason.UNREACHABLE_ROUTE),
        ("prohibit", ["error 3/13 info 0"], DropReason.PROHIBIT_ROUTE),
        ("blackhole", [], DropReason.BLACKHOLE_ROUTE),
    ],
)
def test_routes_that_refuse_say_so_or_stay_silent(net, kind, answers, reason):
    c2 = net.container(2)
    net.host.sysctl_set("net.ipv4.ip_forward", "1")
    net.host.add_route(Route(Prefix.parse("192.0.2.0/24"), kind=kind))
    assert net.ping(c2, "192.0.2.1") == answers
    assert ("host", reason) in net.witness.drops


def test_a_smaller_mtu_on_the_way_is_reported_and_learnt(net):
    c2 = net.container(2)
    net.neighbour_host("far", "10.2.0.2/24", "10.2.0.1", "10.2.0.1/24")
    net.host.sysctl_set("net.ipv4.ip_forward", "1")
    net.host.devices["to-far"].set_mtu(1400)
    assert net.ping(c2, "10.2.0.2", size=1450, may_fragment=False) == ["error 3/4 info 1400"]
    assert c2.mtu_of(parse_ip("10.2.0.2")) == 1400
    net.clock.run_for(601)
    assert c2.mtu_of(parse_ip("10.2.0.2")) == 1500


def test_the_longest_prefix_wins_then_the_metric(net):
    host = net.host
    host.add_route(Route(Prefix.parse("0.0.0.0/0"), gateway=parse_ip("10.1.0.9")))
    host.add_route(Route(Prefix.parse("192.0.2.0/24"), gateway=parse_ip("10.1.0.8"), metric=10))
    host.add_route(Route(Prefix.parse("192.0.2.0/24"), gateway=parse_ip("10.1.0.7"), metric=5))
    assert host.route_output(parse_ip("192.0.2.1")).gateway == parse_ip("10.1.0.7")
    assert host.route_output(parse_ip("192.0.3.1")).gateway == parse_ip("10.1.0.9")


def test_without_a_route_the_sender_is_told_at_once(net):
    lonely = net.namespace("lonely")
    with pytest.raises(OSError, match="Network is unreachable"):
        lonely.route_output(parse_ip("10.0.0.1"))


def test_routes_go_with_their_device(net):
    c2 = net.container(2)
    c2.devices["eth0"].set_down()
    assert len(c2.routes4) == 0
    with pytest.raises(OSError, match="Network is unreachable"):
        c2.route_output(parse_ip("10.1.0.3"))


def test_a_loopback_destination_on_a_wire_is_a_martian(net):
    c2 = net.container(2)
    net.ping(c2, "10.1.0.1")
    mac = net.bridge.mac
    frame = (
        mac
        + c2.devices["eth0"].mac
        + b"\x08\x00"
        + build_ip(1, parse_ip("10.1.0.2"), parse_ip("127.0.0.1"), icmp_message(8, 0))
    )
    net.clock.context = net.witness
    c2.devices["eth0"].transmit(frame)
    net.clock.context = None
    net.clock.run_for(1)
    assert ("host", DropReason.MARTIAN) in net.witness.drops


def test_strict_reverse_path_filtering_drops_what_came_the_wrong_way(net):
    c2 = net.container(2)
    net.host.sysctl_set("net.ipv4.conf.all.rp_filter", "1")
    c2.add_address(c2.devices["eth0"], "172.30.0.2/32")
    net.clock.context = net.witness
    decision = c2.route_output(parse_ip("10.1.0.1"), parse_ip("172.30.0.2"))
    c2.send(1, decision, parse_ip("10.1.0.1"), icmp_message(8, 0))
    net.clock.context = None
    net.clock.run_for(1)
    assert ("host", DropReason.REVERSE_PATH) in net.witness.drops


def test_two_runs_are_identical():
    def run():
        net = Net(seed=3)
        frames = []
        c2, _ = net.container(2), net.container(3)
        for device in net.bridge.ports:
            device.taps = (lambda t, way, frame: frames.append((t, way, frame)),)
        net.ping(c2, "10.1.0.3", size=3000)
        return frames

    first = run()
    assert first
    assert first == run()


@pytest.mark.parametrize(
    ("to", "error"),
    [("10.1.0.3", (3, 2, bytes(4))), ("fd01::3", (4, 1, (6).to_bytes(4)))],  # RFC 792; RFC 4443 §3.4
)
def test_a_protocol_that_nobody_handles_is_reported(net, to, error):
    c2, _ = net.container(2), net.container(3)
    back = []
    c2.devices["eth0"].taps = (lambda _t, way, frame: back.append(frame) if way == "in" else None,)
    c2.send(200, c2.route_output(parse_ip(to)), parse_ip(to), b"?")
    net.clock.run_for(2)
    packets = [Packet(frame[14:]) for frame in back if frame[12:14] != b"\x08\x06"]
    errors = [packet.payload for packet in packets if packet.icmp_type not in {135, 136}]
    assert [(message[0], message[1], message[4:8]) for message in errors] == [error]


def test_a_raw_packet_is_routed_by_its_source_if_the_source_is_the_hosts_own(net):
    host = net.host
    host.add_route(Route(Prefix.parse("192.0.2.0/24"), kind="unreachable"))
    rules = host.fib_rules(4)
    rules.add(FibRule(10, 100, source=Prefix.parse("10.1.0.1/32")))
    rules.table(100).add(Route(Prefix.parse("192.0.2.0/24"), gateway=parse_ip("10.1.0.9"), device=net.bridge))
    packets = [Packet(build_ip(200, parse_ip(src), parse_ip("192.0.2.1"), b"?")) for src in ("10.1.0.1", "10.9.9.9")]
    host.ip.send_raw(packets[0])
    assert packets[0].nexthop == parse_ip("10.1.0.9")
    with pytest.raises(OSError, match="No route to host"):
        host.ip.send_raw(packets[1])


def test_an_expired_path_mtu_makes_what_was_routed_by_it_be_routed_again():
    clock, changes = Clock(), []
    path_mtu = PathMtu(clock, lambda: changes.append(clock.now_ns))
    path_mtu.learn(parse_ip("10.0.0.9"), 1400)
    path_mtu.learn(parse_ip("10.0.0.9"), 1400)
    assert len(changes) == 1
    clock.run_for(599.999)
    assert (path_mtu.to(parse_ip("10.0.0.9")), len(changes)) == (1400, 1)
    clock.run_for(0.001)
    assert (path_mtu.to(parse_ip("10.0.0.9")), len(changes)) == (65535, 2)
    assert (path_mtu.to(parse_ip("10.0.0.9")), len(changes)) == (65535, 2)


def test_an_icmp_error_that_quotes_no_packet_is_dropped(net):
    c2, c3 = net.container(2), net.container(3)
    net.ping(c2, "10.1.0.3")
    net.clock.context = net.witness
    decision = c3.route_output(parse_ip("10.1.0.2"))
    c3.send(1, decision, parse_ip("10.1.0.2"), icmp_message(3, 1, b"\0\0\0\0", b"\x45\0\0"))
    net.clock.context = None
    net.clock.run_for(1)
    assert net.witness.drops == [("c2", DropReason.MALFORMED)]

"""Packets that a user sends with scapy: how they go in, what happens to them, and what comes back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.config import conf
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6ND_NS, ICMPv6NDOptSrcLLAddr, IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from cnmsim import InvalidParameter, Lab, NotFound, Unavailable
from cnmsim.kernel.events import DropReason, Step
from cnmsim.observe.diagnosis.verdict import Verdict


def built() -> Lab:
    """A Docker host with two networks, and a plain host beside it."""
    lab = Lab()
    host = lab.add_host("node1", "10.0.0.15/24", "fd00::15/64", docker=True)
    lab.add_host("pc", "10.0.0.50/24", "fd00::50/64")
    assert host.docker is not None
    for name, subnet in (("a", "172.30.0.0/24"), ("b", "172.31.0.0/24")):
        ipam = {"Config": [{"Subnet": subnet}]}
        host.docker.networks.create(name, ipam=ipam)
    host.docker.containers.run("nginx", name="web", network="a", detach=True)
    host.docker.containers.run("alpine", "sleep inf", name="c1", network="a", detach=True)
    host.docker.containers.run("alpine", "sleep inf", name="c2", network="b", detach=True)
    lab.settle()
    return lab


WEB, C1 = "172.30.0.2", "172.30.0.3"


@pytest.fixture(scope="module")
def lab() -> Lab:
    return built()


class _NoRoutes:
    """A routing table of the real machine that must not be read."""

    def route(self, *_: object, **__: object) -> None:
        raise AssertionError("the real machine's routes were read")

    def __getattr__(self, name: str) -> None:
        raise AssertionError(f"the real machine's routes were read ({name})")


@pytest.fixture
def no_real_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(conf, "route", _NoRoutes())
    monkeypatch.setattr(conf, "route6", _NoRoutes())
    yield


def test_an_echo_request_is_answered(lab: Lab) -> None:
    walk = lab["c1"].send(IP(dst=WEB) / ICMP())
    assert walk
    assert walk.verdict is Verdict.ANSWERED
    assert walk.sent.src == C1
    assert walk.answer is not None
    assert (walk.answer[IP].src, walk.answer[ICMP].type) == (WEB, 0)
    assert walk.answer.sniffed_on == "c1:eth0"
    assert walk.answer.time >= lab.clock.epoch_s
    assert walk.own_hops[0].step is Step.SENT
    assert "ANSWERED" in str(walk)


def test_a_syn_is_answered_and_the_kernel_resets_what_it_did_not_open(lab: Lab) -> None:
    walk = lab["c1"].send(IP(dst=WEB) / TCP(sport=4000, dport=80))
    assert walk.answer.sprintf("%TCP.flags%") == "SA"
    assert any(hop.packet == "TCP RST" and hop.place == "c1" for hop in walk.hops)


def test_a_closed_port_refuses_and_the_finding_names_the_open_one(lab: Lab) -> None:
    walk = lab["c1"].send(IP(dst=WEB) / TCP(dport=81))
    assert (walk.verdict, walk.reason) == (Verdict.REFUSED, DropReason.PORT_CLOSED)
    assert walk.finding is not None
    assert walk.finding.advice == "use port 80"


def test_another_network_drops_the_packet_by_its_rule(lab: Lab) -> None:
    walk = lab["c2"].send(IP(dst=WEB) / TCP(dport=80))
    assert not walk
    assert walk.verdict is Verdict.TIMEOUT
    assert walk.reason is DropReason.NETFILTER_DROP
    assert walk.drop is not None
    assert "-j DROP" in walk.drop.decision
    assert walk.answer is None


def test_a_raw_socket_passes_output(lab: Lab) -> None:
    host = lab.host("pc")
    host.exec("iptables -A OUTPUT -p udp --dport 7 -j DROP")
    walk = host.send(IP(dst="10.0.0.15") / UDP(dport=7))
    assert (walk.error, walk.reason) == ("Operation not permitted", DropReason.NETFILTER_DROP)
    assert walk.verdict is Verdict.UNREACHABLE
    framed = host.send(Ether() / IP(dst="10.0.0.15") / UDP(dport=7))
    assert framed.verdict is Verdict.REFUSED, "a packet socket bypasses OUTPUT"
    host.exec("iptables -F OUTPUT")


def test_a_forged_source_goes_out_as_written(lab: Lab) -> None:
    walk = lab["pc"].send(IP(src="10.0.0.99", dst="10.0.0.15") / ICMP(), timeout_s=0.5)
    assert walk.own_hops[-1].place == "node1"
    assert walk.sent.src == "10.0.0.99"
    assert walk.answer is None


def test_without_a_route_the_kernel_of_the_sender_refuses(lab: Lab) -> None:
    walk = lab["pc"].send(IP(dst="203.0.113.1") / ICMP())
    assert (walk.error, walk.verdict) == ("Network is unreachable", Verdict.UNREACHABLE)


def test_a_packet_larger_than_the_mtu_is_refused_by_both_kinds_of_socket(lab: Lab) -> None:
    packet = IP(dst="10.0.0.15") / UDP() / Raw(bytes(3000))
    for sent in (packet, Ether() / packet):
        walk = lab["pc"].send(sent)
        assert (walk.error, walk.reason) == ("Message too long", DropReason.MTU_EXCEEDED)


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (IP(dst="10.0.0.15", chksum=1) / UDP(), DropReason.MALFORMED),
        (IP(dst="10.0.0.15") / UDP(chksum=1), DropReason.CHECKSUM),
        (IP(dst="10.0.0.15") / TCP(chksum=1), DropReason.CHECKSUM),
        (IP(dst="10.0.0.15") / ICMP(chksum=1), DropReason.CHECKSUM),
        (IP(dst="10.0.0.15", len=4000) / UDP(), DropReason.MALFORMED),
        (IP(dst="10.0.0.15", version=5) / UDP(), DropReason.MALFORMED),
        (Ether(type=0x1234) / Raw(bytes(50)), DropReason.NO_PROTOCOL),
        (Ether() / Dot1Q(vlan=7) / IP(dst="10.0.0.15") / ICMP(), DropReason.NO_VLAN),
    ],
)  # fmt: skip
def test_a_malformed_packet_travels_as_written_and_is_dropped_by_the_receiver(
    lab: Lab, packet: Packet, reason: DropReason
) -> None:
    walk = lab["pc"].send(packet)
    assert walk.drop is not None
    assert (walk.drop.place, walk.reason) == ("node1", reason)


@pytest.mark.usefixtures("no_real_machine")
def test_empty_fields_are_those_of_the_place_never_of_the_real_machine(lab: Lab) -> None:
    pc = lab.host("pc")
    mac = lab.device("pc:eth0").mac
    arp = pc.send(Ether() / ARP(pdst="10.0.0.15")).sent
    assert (arp[Ether].src, arp[ARP].hwsrc, arp[ARP].psrc, arp[Ether].dst) == (
        mac,
        mac,
        "10.0.0.50",
        "ff:ff:ff:ff:ff:ff",
    )
    frame = pc.send(Ether() / IP(dst="10.0.0.15") / ICMP()).sent
    assert (frame[Ether].dst, frame[IP].src) == (lab.device("node1:eth0").mac, "10.0.0.50")
    tunnel = pc.send(
        IP(dst="10.0.0.15") / UDP(dport=4789) / VXLAN(vni=7) / Ether() / IP(dst="10.0.0.15") / ICMP()
    ).sent
    assert tunnel[VXLAN].payload.src == mac
    assert tunnel[ICMP].underlayer.src == "10.0.0.50"
    six = pc.send(IPv6(dst="fd00::15") / ICMPv6EchoRequest())
    assert (six.sent.src, six.verdict) == ("fd00::50", Verdict.ANSWERED)
    solicitation = IPv6(dst="ff02::1:ff00:15") / ICMPv6ND_NS(tgt="fd00::15") / ICMPv6NDOptSrcLLAddr()
    assert pc.send(Ether() / solicitation).sent[ICMPv6NDOptSrcLLAddr].lladdr == mac
    assert pc.send(Ether() / IP(dst="224.0.0.9") / UDP()).sent.dst == "01:00:5e:00:00:09"
    assert pc.send(Ether() / IP(dst="10.0.0.255") / ICMP()).sent.dst == "ff:ff:ff:ff:ff:ff"
    assert pc.send(IP(dst="127.0.0.1") / ICMP()).answer is not None


def test_the_callers_packet_is_unchanged(lab: Lab) -> None:
    packet = IP(dst=WEB) / ICMP()
    lab["c1"].send(packet)
    assert "src" not in packet.fields


def test_an_inbound_packet_enters_as_from_the_wire(lab: Lab) -> None:
    device = lab.device("node1:eth0")
    walk = device.send(IP(src="10.0.0.50", dst="10.0.0.15") / ICMP(), inbound=True)
    assert walk.own_hops[0].step is Step.RECEIVED
    assert walk.sent[Ether].src == lab.device("pc:eth0").mac
    assert walk.answer[IP].dst == "10.0.0.50"
    foreign = device.send(
        Ether(dst="02:00:00:00:00:77") / IP(src="10.0.0.50", dst="10.0.0.15") / ICMP(), inbound=True
    )
    assert [hop.reason for hop in foreign.hops][-1] is DropReason.NOT_FOR_US
    martian = device.send(IP(src="10.0.0.15", dst="10.0.0.15") / ICMP(), inbound=True)
    assert martian.reason is DropReason.MARTIAN


def test_lists_sets_and_generators_are_sent_one_after_the_other(lab: Lab) -> None:
    began_s = lab.now
    packets = (IP(dst=WEB) / ICMP(seq=number) for number in range(3))
    walks = lab["c1"].send(packets, interval_s=0.5)
    assert [walk.answer[ICMP].seq for walk in walks] == [0, 1, 2]
    assert [round(walk.start_ns / 1e9 - began_s, 3) for walk in walks] == [0.0, 0.5, 1.0]
    assert len(lab["c1"].send(IP(dst=WEB) / UDP(dport=[1, 2, 3, 4]))) == 4
    endless = iter(lambda: IP(dst=WEB) / ICMP(), None)
    assert len(lab["c1"].send(endless, count=5)) == 5


def test_ask_returns_the_answer_or_none(lab: Lab) -> None:
    assert lab["c1"].ask(IP(dst=WEB) / ICMP())[IP].src == WEB
    began_s = lab.now
    assert lab["c2"].ask(IP(dst=WEB) / ICMP(), timeout_s=0.25) is None
    assert lab.now - began_s == pytest.approx(0.25)
    assert lab["pc"].ask(IP(dst="10.0.0.15", ttl=1) / ICMP()).type == 0
    answered, none = lab["pc"].ask([Ether() / ARP(pdst="10.0.0.15"), Ether() / ARP(pdst="10.0.0.16")], timeout_s=0.5)
    assert (answered[ARP].psrc, none) == ("10.0.0.15", None)


def test_a_router_answers_an_expired_packet() -> None:
    lab = Lab()
    lab.add_host("left", "10.1.0.2/24", gateway="10.1.0.1")
    lab.add_router("router", "10.1.0.1/24", "10.2.0.1/24")
    lab.add_host("right", "10.2.0.2/24", gateway="10.2.0.1")
    answer = lab["left"].ask(IP(dst="10.2.0.2", ttl=1) / ICMP())
    assert (answer[IP].src, answer[ICMP].type) == ("10.1.0.1", 11)
    walk = lab["left"].send(IP(dst="10.2.0.2", ttl=1) / ICMP())
    assert (walk.verdict, walk.reason) == (Verdict.UNREACHABLE, DropReason.TTL_EXCEEDED)


def test_fragments_are_reassembled_by_the_receiver(lab: Lab) -> None:
    from scapy.layers.inet import fragment

    pieces = fragment(IP(src="10.0.0.50", dst="10.0.0.15", id=77) / ICMP() / Raw(bytes(2000)), fragsize=800)
    walks = lab["pc"].send(pieces)
    assert any(hop.step is Step.REASSEMBLED for walk in walks for hop in walk.hops)


def test_a_send_to_a_host_without_power_is_refused() -> None:
    lab = Lab()
    lab.add_host("a", "10.0.0.1/24")
    lab.host("a").power_off()
    with pytest.raises(Unavailable, match="a has no power"):
        lab["a"].send(IP(dst="10.0.0.2") / ICMP())


@pytest.mark.parametrize(
    ("packet", "text"),
    [
        ("ping", "a packet is a scapy packet"),
        (5, "not int"),
        (None, "not NoneType"),
        (TCP(), "begins with IP, IPv6 or Ether, not TCP"),
        (ARP(), r"write Ether\(\)/ARP"),
        (IP(dst="10.0.0.15") / Raw(bytes(70_000)), "bytes; an IP packet has at most 65,535"),
        (bytes(70_000), "70,000 bytes"),
        (IP(dst="10.0.0.15", ttl=999), "scapy cannot build Ether: .*ttl"),
        ([IP(dst="10.0.0.15") / ICMP(), "x"], "not str"),
    ],
    ids=["text", "number", "none", "tcp", "arp", "too long", "too long a frame", "ttl", "list"],
)  # fmt: skip
def test_what_is_not_a_packet_is_refused_with_a_sentence_before_anything_is_sent(
    lab: Lab, packet: object, text: str
) -> None:
    device = lab.host("pc").interfaces[0]
    sent = device.tx_packets
    with pytest.raises(InvalidParameter, match=text):
        lab.device("pc:eth0").send(packet)
    assert device.tx_packets == sent
    assert not device.taps


def test_unknown_places_and_devices_are_refused_with_a_suggestion(lab: Lab) -> None:
    from cnmsim.observe.packets.sender import send

    with pytest.raises(NotFound, match="did you mean eth0"):
        lab.device("node1:eth9")
    with pytest.raises(NotFound, match="did you mean node1"):
        lab.device("node2:eth0")
    with pytest.raises(NotFound, match="such as node1:eth0"):
        lab.device("node1")
    with pytest.raises(InvalidParameter, match="several devices: choose one by device"):
        lab["node1"].send(Ether(type=0x1234))
    with pytest.raises(InvalidParameter, match="a packet from the wire needs a source"):
        lab["pc"].send(IP(dst="10.0.0.50") / ICMP(), inbound=True)
    with pytest.raises(InvalidParameter, match="from a host, a container, a sandbox or a device"):
        send("node1", IP())
    with pytest.raises(InvalidParameter, match="limit them by count"):
        lab.device("pc:lo").send((b"" for _ in range(10**6)), timeout_s=0)


@settings(max_examples=60, deadline=None)
@given(frame=st.binary(max_size=120), inbound=st.booleans(), has_macs=st.booleans())
def test_any_bytes_may_be_sent_and_the_first_hop_has_them(frame: bytes, inbound: bool, has_macs: bool) -> None:
    small = Lab()
    small.add_host("a", "10.0.0.1/24")
    small.add_host("b", "10.0.0.2/24")
    if has_macs:
        macs = [small.host(name).interfaces[0].mac for name in ("a", "b")]
        frame = macs[0] + macs[1] + frame if inbound else macs[1] + macs[0] + frame
    walk = small["a"].send(frame, inbound=inbound)
    assert walk.events[0].data == frame
    assert walk.verdict in Verdict
    assert str(walk)
    assert walk.to_json()["verdict"] == walk.verdict.value


def test_every_hop_has_its_packet_outside_and_inside_of_a_tunnel() -> None:
    lab = Lab()
    for number in (1, 2):
        lab.add_host(f"n{number}", f"10.0.0.{number}/24")
        lab[f"n{number}"].exec(
            f"ip link add vx type vxlan id 7 dstport 4789 remote 10.0.0.{3 - number} local 10.0.0.{number};"
            f"ip addr add 10.7.0.{number}/24 dev vx; ip link set vx up"
        )
    walk = lab["n1"].send(IP(dst="10.7.0.2") / ICMP() / Raw(b"deep"))
    assert walk.answer is not None
    tunnelled = next(
        number
        for number, hop in enumerate(walk.hops)
        if walk.packet(number).haslayer(VXLAN) and not hop.layer4.is_link
    )
    outer, inner = walk.packet(tunnelled), walk.packet(tunnelled, inner=True)
    assert (outer[IP].dst, outer[VXLAN].vni) == ("10.0.0.2", 7)
    assert (inner[IP].dst, bytes(inner[Raw])[:4]) == ("10.7.0.2", b"deep")
    assert bytes(walk.packet(walk.hops[0])) == walk.data
    with pytest.raises(InvalidParameter, match="no such hop"):
        walk.packet(10_000)


def test_a_sandbox_without_an_engine_is_a_place_too() -> None:
    lab = Lab()
    controller = lab.controller()
    network = controller.new_network("blue", "bridge")
    sandboxes = []
    for name in ("s1", "s2"):
        sandbox = controller.new_sandbox(name)
        network.create_endpoint(name).join(sandbox)
        sandboxes.append(sandbox)
    address = str(sandboxes[1].endpoints[0].address.ip)
    walk = sandboxes[0].send(IP(dst=address) / ICMP())
    assert walk.answer[IP].src == address
    assert sandboxes[0].ask(IP(dst=address) / ICMP())[IP].src == address

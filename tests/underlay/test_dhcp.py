"""DHCP: messages as busybox 1.37 wrote them, leases that last and end, addresses that others have.

`recorded/udhcp.pcap` is what busybox's udhcpc and udhcpd said to each other in namespaces of Linux: range 10.0.0.100
and 10.0.0.101, server 10.0.0.1, a lease of one hour; the client then asked for 10.0.0.101 again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import scapy.layers.dhcp
import scapy.layers.inet
import scapy.utils
from hypothesis import given
from hypothesis import strategies as st

from cnmsim import Lab
from cnmsim.errors import InvalidParameter
from cnmsim.lab import Host
from cnmsim.underlay.dhcpmessage import DhcpMessage, MessageType, Option, broadcast_frame
from cnmsim.underlay.dhcpserver import DhcpRange

RECORDED = [
    packet
    for packet in scapy.utils.rdpcap(str(Path(__file__).parent / "recorded" / "udhcp.pcap"))
    if packet.haslayer(scapy.layers.inet.UDP)
]


def payload(packet: Any) -> bytes:
    return bytes(packet[scapy.layers.inet.UDP].payload)


@pytest.mark.parametrize("packet", RECORDED, ids=lambda packet: packet.summary().split(" / ")[-1])
def test_what_busybox_wrote_is_read_and_written_again_byte_for_byte(packet: Any) -> None:
    message = DhcpMessage.parse(payload(packet))
    assert message.to_wire() == payload(packet)
    frame = broadcast_frame(
        message, bytes.fromhex(packet.src.replace(":", "")), bytes(map(int, packet["IP"].src.split("."))),
        from_server=packet["UDP"].sport == 67,
    )  # fmt: skip
    assert frame == bytes(packet)


@given(
    st.sampled_from(MessageType),
    st.binary(min_size=4, max_size=4),
    st.binary(min_size=6, max_size=6),
    st.dictionaries(st.integers(1, 254), st.binary(max_size=255), max_size=8),
    st.binary(min_size=4, max_size=4),
)
def test_messages_are_read_as_they_were_written(
    kind: MessageType, xid: bytes, mac: bytes, options: dict[int, bytes], address: bytes
) -> None:
    message = DhcpMessage(1, xid, mac, {int(Option.MESSAGE_TYPE): bytes((kind,))} | options, yours=address)
    assert DhcpMessage.parse(message.to_wire()) == message
    read = scapy.layers.dhcp.BOOTP(message.to_wire())
    assert (read.chaddr[:6], read.yiaddr) == (mac, ".".join(map(str, address)))


@given(st.binary(max_size=400))
def test_what_is_no_message_is_refused(wire: bytes) -> None:
    with pytest.raises(ValueError, match="DHCP"):
        DhcpMessage.parse(wire)


def test_the_place_in_the_range_is_the_one_that_udhcpd_chose() -> None:
    mac = bytes.fromhex(RECORDED[0].src.replace(":", ""))
    assert next(DhcpRange.of("10.0.0.100-10.0.0.101").from_hash_of(mac)) == bytes((10, 0, 0, 101))


@given(st.integers(0, 600), st.binary(min_size=6, max_size=6))
def test_every_address_of_a_range_has_its_turn_but_the_ends_of_networks(count: int, mac: bytes) -> None:
    first = int.from_bytes(bytes((10, 0, 0, 7)))
    found = list(DhcpRange(first.to_bytes(4), (first + count).to_bytes(4)).from_hash_of(mac))
    assert len(found) == len(set(found))
    assert {int.from_bytes(each) for each in found} == {
        n for n in range(first, first + count + 1) if n & 0xFF not in (0, 0xFF)
    }


@pytest.mark.parametrize("text", ["10.0.0.9", "10.0.0.9-10.0.0.8", "fd00::1-fd00::2", "10.1.0.5-10.1.0.9", "a-b"])
def test_impossible_ranges_are_refused(text: str) -> None:
    lab = Lab()
    with pytest.raises(InvalidParameter, match="host gw"):
        lab.add_router("gw", "10.0.0.1/24", dhcp=text)
    assert "gw" not in lab.hosts


# --- server and client --------------------------------------------------------------------------------------------


def office(served: str = "10.0.0.100-10.0.0.101") -> Lab:
    lab = Lab()
    lab.add_router("gw", "10.0.0.1/24", "192.0.2.1/24", dhcp=served, nameserver="10.0.0.1")
    lab.add_host("www", "192.0.2.9/24", gateway="192.0.2.1", web=True)
    return lab


def laptop(lab: Lab, name: str = "laptop", last: int = 250) -> Host:
    host = lab.add_host(name, f"10.0.0.{last}/24")
    assert host.exec("ip addr flush dev eth0").succeeded
    return host


def address_of(host: Host) -> str:
    shown = host.exec("ip -4 -o addr show dev eth0").output.split()
    return shown[3] if shown else ""


def test_a_machine_without_an_address_gets_one_a_route_and_a_name_server() -> None:
    lab = office()
    host = laptop(lab)
    assert not host.ping("10.0.0.1").succeeded
    done = host.exec("udhcpc -i eth0 -n -q")
    assert done.succeeded
    address = address_of(host)
    assert done.output.splitlines() == [
        "udhcpc: started, v1.37.0",
        "udhcpc: broadcasting discover",
        f"udhcpc: broadcasting select for {address[:-3]}, server 10.0.0.1",
        f"udhcpc: lease of {address[:-3]} obtained from 10.0.0.1, lease time 864000",
    ]
    assert address in ("10.0.0.100/24", "10.0.0.101/24")
    assert host.exec("ip route").output.splitlines() == [
        "default via 10.0.0.1 dev eth0 ",
        f"10.0.0.0/24 dev eth0 proto kernel scope link src {address[:-3]} ",
    ]
    assert host.exec("cat /etc/resolv.conf").output == "nameserver 10.0.0.1\n"
    assert host.curl("http://192.0.2.9/").output == "hello from the web server\n"


def test_what_the_client_says_is_what_busybox_says() -> None:
    lab = office()
    host = laptop(lab)
    said: list[DhcpMessage] = []
    segment = lab.segments["10.0.0.0/24"]
    segment.taps += (
        lambda _time, _way, frame: said.append(DhcpMessage.parse(frame[42:])) if frame[34:36] == b"\0\x44" else None,
    )
    host.exec("udhcpc -i eth0 -n -q")
    recorded = [DhcpMessage.parse(payload(packet)) for packet in RECORDED[:4:2]]
    assert [message.type for message in said] == [message.type for message in recorded]
    for ours, theirs in zip(said, recorded, strict=True):
        assert list(ours.options) == list(theirs.options)
        for option in (Option.PARAMETERS, Option.LARGEST_MESSAGE, Option.VENDOR_CLASS):
            assert ours.options[option] == theirs.options[option]


def test_a_machine_gets_its_address_again_and_two_machines_get_two() -> None:
    lab = office()
    one, two = laptop(lab), laptop(lab, "tablet", 251)
    for host in (one, two, one):
        assert host.exec("udhcpc -i eth0 -n -q").succeeded
    first = address_of(one)
    assert one.exec("udhcpc -i eth0 -n -q").succeeded
    assert address_of(one) == first
    assert {first, address_of(two)} == {"10.0.0.100/24", "10.0.0.101/24"}
    third = laptop(lab, "phone", 252)
    done = third.exec("udhcpc -i eth0 -n -q -t 2 -T 1")
    assert (done.succeeded, done.output.splitlines()[-1]) == (False, "udhcpc: no lease, failing")
    assert "udhcpd: no free IP addresses. OFFER abandoned\n" in "".join(
        process.stderr.getvalue().decode() for process in lab.host("gw").machine.processes.values()
    )


def test_an_address_that_somebody_has_is_not_lent() -> None:
    lab = office()
    lab.add_host("printer", "10.0.0.100/24")
    host = laptop(lab)
    assert host.exec("udhcpc -i eth0 -n -q").succeeded
    assert address_of(host) == "10.0.0.101/24"
    assert lab.events == []


def test_a_client_that_asks_first_declines_what_somebody_has() -> None:
    lab = office("10.0.0.100-10.0.0.101")
    host = laptop(lab)
    taken: list[str] = []

    def come() -> None:
        """Take the address that is about to be offered, after the server asked for it and before the client does."""
        lease = DhcpRange.of("10.0.0.100-10.0.0.101").from_hash_of(host.interfaces[0].mac)
        taken.append(".".join(map(str, next(lease))))
        lab.add_host("printer", f"{taken[0]}/24")

    lab.clock.call_later(1, come)
    done = host.exec("udhcpc -i eth0 -n -q -a -t 1 -T 5")
    assert done.output.splitlines()[-2:] == [
        "udhcpc: offered address is in use (got ARP reply), declining",
        "udhcpc: no lease, failing",
    ]
    assert lab.events == []
    assert host.exec("udhcpc -i eth0 -n -q -a -t 1 -T 5").succeeded
    assert address_of(host)[:-3] not in taken


def test_a_lease_is_renewed_for_as_long_as_the_client_runs() -> None:
    lab = office()
    host = laptop(lab)
    assert host.exec("udhcpc -i eth0").succeeded
    address = address_of(host)
    assert "udhcpc -i eth0" in host.exec("ps -ef").output
    lab.run(3 * 864_000)
    assert address_of(host) == address
    other = laptop(lab, "tablet", 251)
    assert other.exec("udhcpc -i eth0 -n -q").succeeded
    assert address_of(other) != address


def test_a_lease_nobody_renews_is_lent_to_the_next() -> None:
    lab = office("10.0.0.100-10.0.0.100")
    host = laptop(lab)
    assert host.exec("udhcpc -i eth0 -n -q").succeeded
    host.exec("ip addr flush dev eth0")
    other = laptop(lab, "tablet", 251)
    assert not other.exec("udhcpc -i eth0 -n -q -t 1").succeeded
    lab.run(864_001)
    assert other.exec("udhcpc -i eth0 -n -q").succeeded
    assert address_of(other) == "10.0.0.100/24"


def test_an_interface_that_is_not_there_and_a_container_that_may_not() -> None:
    lab = office()
    lab.add_host("node1", "10.0.0.15/24", docker=True)
    docker = lab.host("node1").docker
    assert lab.host("node1").exec("udhcpc -i eth9 -n -q").output == ("udhcpc: SIOCGIFINDEX: No such device\n")
    container = docker.containers.run("alpine", "sleep 1d", name="c1", detach=True)
    before = container.exec("ip addr; ip route").output
    refused = container.exec("udhcpc -n -q")
    assert refused.exit_code == 1
    assert refused.output == "udhcpc: started, v1.37.0\nudhcpc: SIOCSIFADDR: Operation not permitted\n"
    assert container.exec("ip addr; ip route").output == before


def test_what_docker_gives_out_and_what_is_lent_meet_and_everybody_is_told() -> None:
    lab = office("10.0.0.64-10.0.0.66")
    docker = lab.add_host("node1", "10.0.0.15/24", docker=True).docker
    pool = {"Subnet": "10.0.0.0/24", "IPRange": "10.0.0.64/28", "Gateway": "10.0.0.1"}
    docker.networks.create("lan", driver="macvlan", options={"parent": "eth0"}, ipam={"Config": [pool]})
    for name in ("web1", "web2"):
        docker.containers.run("nginx", name=name, network="lan", detach=True)
    host = laptop(lab)
    assert host.exec("udhcpc -i eth0 -n -q").succeeded
    assert address_of(host) == "10.0.0.66/24"  # the server asked by ARP, and two containers answered
    assert lab.doctor().of("dhcp-overlap")
    assert lab.events == []
    docker.containers.run("nginx", name="web3", network="lan", detach=True)  # Docker asks nobody
    lab.settle(5)
    assert {event.place for event in lab.events} == {"laptop", "web3"}
    fault = lab.doctor().of("duplicate-address")[0]
    assert "laptop" in str(fault)
    assert "node1:web3" in str(fault)
    assert "both claim 10.0.0.66" in str(lab.explain("gw", "10.0.0.66", "tcp/80"))

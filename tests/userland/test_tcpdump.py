"""tcpdump's lines and filters."""

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN
from support.program_host import World

from cnmsim.kernel.address import parse_ip
from cnmsim.kernel.packet import build_ip
from cnmsim.kernel.transport import udp_message
from cnmsim.userland import HOST_PROGRAMS
from cnmsim.userland.tcpdump.filter import compile_filter
from cnmsim.userland.tcpdump.primitives import CapturedFrame, FilterError
from cnmsim.userland.tcpdump.printer import Printer


def captured(line, *commands):
    world = World()
    world.serve_names({"www.example.com": ["A 10.0.0.2"]})
    world.start(world.two, "httpd -f -p 80 -h /www")
    dump = world.start(world.two, line, HOST_PROGRAMS)
    for command in commands:
        world.run(command)
    dump.kill(2)
    return dump.stdout.getvalue().decode().strip().splitlines(), dump.stderr.getvalue().decode()


@pytest.mark.parametrize("signal", [2, 15])
@pytest.mark.parametrize(("line", "expected_text"), [("tcpdump -i eth0", b"\n"), ("tcpdump -i eth0 -w /tmp/x", b"")])
def test_what_is_interrupted_ends_its_line(line, expected_text, signal):
    world = World()
    dump = world.start(world.two, line, HOST_PROGRAMS)
    dump.kill(signal)
    assert dump.stdout.getvalue() == expected_text
    assert dump.stderr.getvalue().decode().splitlines()[-3:] == [
        "0 packets captured", "0 packets received by filter", "0 packets dropped by kernel",
    ]  # fmt: skip
    assert b"\n\n" not in dump.stderr.getvalue()


def test_ping_is_two_arp_and_two_icmp_lines():
    lines, err = captured("tcpdump -t -nn -i eth0", "ping -c 1 10.0.0.2")
    assert lines[:2] == [
        "ARP, Request who-has 10.0.0.2 tell 10.0.0.1, length 28",
        "ARP, Reply 10.0.0.2 is-at 02:00:00:00:00:02, length 28",
    ]
    assert [line.partition(", id")[0] for line in lines[2:]] == [
        "IP 10.0.0.1 > 10.0.0.2: ICMP echo request",
        "IP 10.0.0.2 > 10.0.0.1: ICMP echo reply",
    ]
    assert "4 packets captured\n" in err


def test_tcp_sequence_numbers_are_relative_after_the_handshake():
    lines, _ = captured("tcpdump -t -nn -i eth0 tcp port 80", "wget -qO- http://10.0.0.2/")
    assert ": Flags [S], seq " in lines[0]
    assert ": Flags [S.], seq " in lines[1]
    assert ", ack 1, win " in lines[2]
    assert ": Flags [P.], seq 1:" in lines[3]
    assert lines[3].endswith(": HTTP: GET / HTTP/1.1")


def test_questions_and_answers_are_spelt_out():
    lines, _ = captured("tcpdump -t -nn -i eth0 udp and port 53", "nslookup -type=a www.example.com")
    assert lines[0].endswith("+ A? www.example.com. (33)")
    assert lines[1].endswith("* 1/0/0 A 10.0.0.2 (49)")


def test_link_header_and_count():
    lines, err = captured("tcpdump -e -t -nn -c 1 -i eth0 icmp6", "ping6 -c 1 fd00::2")
    assert lines == [
        (
            "02:00:00:00:00:01 > 33:33:ff:00:00:02, ethertype IPv6 (0x86dd), length 86: "
            "fd00::1 > ff02::1:ff00:2: ICMP6, neighbor solicitation, who has fd00::2, length 32"
        )
    ]
    assert "1 packet captured\n" in err


def test_unknown_device_and_bad_filter_are_refused():
    world = World()
    assert world.host("tcpdump -i nope").err == "tcpdump: nope: No such device exists\n(No such device exists)\n"
    assert world.host("tcpdump host").err == "tcpdump: can't parse filter expression: syntax error\n"


def test_capture_file_has_one_record_a_frame():
    world = World()
    dump = world.start(world.two, "tcpdump -c 2 -w /cap.pcap -i eth0 arp", HOST_PROGRAMS)
    world.run("ping -c 1 10.0.0.2")
    assert dump.exit_status == 0
    assert len(world.two.files.read("/cap.pcap")) == 24 + 2 * (16 + 42)


A, B = parse_ip("10.0.0.1"), parse_ip("10.0.0.2")
FRAME = bytes.fromhex("0200000000020200000000010800") + build_ip(17, A, B, udp_message(A, B, 50000, 53, b"hello"))


@pytest.mark.parametrize(
    "expression,is_through",
    [
        ("", True), ("udp", True), ("tcp", False), ("udp port 53", True), ("src port 53", False),
        ("dst port 53", True),
        ("host 10.0.0.1", True), ("src host 10.0.0.2", False), ("net 10.0.0.0/8 and not tcp", True),
        ("not udp or (ip and dst host 10.0.0.2)", True), ("arp or icmp", False), ("portrange 50-60", True),
        ("ether src 02:00:00:00:00:01", True), ("!(udp)", False),
    ],
)  # fmt: skip
def test_filter_chooses(expression, is_through):
    assert compile_filter(expression)(CapturedFrame.of(FRAME)) is is_through


@pytest.mark.parametrize("expression", ["host", "port x", "udp and", "(udp", "host nowhere", "udp tcp"])
def test_filter_that_makes_no_sense_is_refused(expression):
    with pytest.raises(FilterError):
        compile_filter(expression)


def tagged(expression):
    """Return the capture at a trunk of one ping on VLAN 10 and one without a tag."""
    world = World()
    for machine, number in ((world.one, 1), (world.two, 2)):
        for line in (
            "ip link add link eth0 name eth0.10 type vlan id 10",
            "ip link set eth0.10 up",
            f"ip addr add 10.10.0.{number}/24 dev eth0.10",
        ):
            process = world.start(machine, line, HOST_PROGRAMS)
            world.clock.run_ready()
            assert process.exit_status == 0
    dump = world.start(world.two, f"tcpdump -t -nn -e -i eth0 {expression}", HOST_PROGRAMS)
    for address in ("10.10.0.2", "10.0.0.2"):
        world.run(f"ping -c 1 {address}")
    dump.kill(2)
    return dump.stdout.getvalue().decode().strip().splitlines()


def test_tags_are_shown_and_what_is_behind_them():
    lines = tagged("vlan 10")
    head = (
        "02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff, ethertype 802.1Q (0x8100), length 46: vlan 10, p 0, ethertype ARP "
        "(0x0806)"
    )
    assert lines[0] == f"{head}, Request who-has 10.10.0.2 tell 10.10.0.1, length 28"
    assert "vlan 10, p 0, ethertype IPv4 (0x0800), 10.10.0.1 > 10.10.0.2: ICMP echo request" in lines[2]
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("expression", "count"),
    [("vlan", 4), ("vlan 20", 0), ("not vlan", 4), ("vlan 10 and icmp", 2), ("arp host 10.10.0.2", 2)],
)
def test_filters_know_vlans(expression, count):
    assert len(tagged(expression)) == count


def test_what_datagrams_hold_can_be_said():
    lines, _ = captured("tcpdump -t -nn -T domain -c 1 -i eth0 udp", "dig -p 7777 @10.0.0.2 +tries=1 x")
    assert lines[0].startswith("IP 10.0.0.1.")
    assert " > 10.0.0.2.7777: " in lines[0]
    assert "A? x." in lines[0]
    world = World()
    assert world.host("tcpdump -T foo -i eth0").err == "tcpdump: unknown packet type 'foo'\n"


def test_sequence_numbers_inside_tunnels_are_relative_too():
    printer = Printer(is_numeric=True)
    ours, theirs = Ether() / IP(src="10.1.0.2", dst="10.1.0.3"), Ether() / IP(src="10.1.0.3", dst="10.1.0.2")
    outer = (
        Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
        / IP(src="1.1.1.1", dst="2.2.2.2")
        / UDP(sport=5, dport=4789)
    )
    talk = [
        ours / TCP(sport=4000, dport=80, flags="S", seq=1000),
        theirs / TCP(sport=80, dport=4000, flags="SA", seq=5000, ack=1001),
        ours / TCP(sport=4000, dport=80, flags="A", seq=1001, ack=5001),
        ours / TCP(sport=4000, dport=80, flags="PA", seq=1001, ack=5001) / b"hello",
    ]
    lines = [printer.line(bytes(outer / VXLAN(vni=7) / line)).splitlines()[1] for line in talk]
    assert "seq 1000," in lines[0]
    assert "ack 1," in lines[2]
    assert "seq 1:6, ack 1," in lines[3]

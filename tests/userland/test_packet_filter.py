"""Filter expressions over the same frames here and in libpcap: which frames they accept, and which expressions are
refused.
"""

import shutil
import subprocess

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6ND_NS, IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.utils import rdpcap, wrpcap

from cnmsim.userland.tcpdump.filter import compile_filter
from cnmsim.userland.tcpdump.primitives import CapturedFrame, FilterError

ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
ONE, TWO = IP(src="10.0.0.1", dst="10.0.0.2"), IPv6(src="fd00::1", dst="fd00::2")
REQUEST = b"GET / HTTP/1.1\r\n"
FRAMES = [bytes(ETHER / packet) for packet in (
    *(ONE / TCP(sport=4000, dport=80, flags=flags) / (REQUEST if flags == "PA" else b"")
      for flags in ("S", "A", "PA", "FA", "R")),
    IP(src="10.0.0.2", dst="10.0.0.1") / TCP(sport=443, dport=4001, flags="SA"),
    *(IP(src="172.18.0.2", dst="10.0.0.53") / UDP(sport=5000, dport=53) / bytes(size) for size in (3, 300)),
    IP(src="172.18.0.2", dst="224.0.0.1") / UDP(sport=68, dport=67) / b"xx",
    *(ONE / ICMP(type=kind, code=code) for kind, code in ((8, 0), (0, 0), (3, 4), (11, 0))),
    TWO / TCP(sport=4000, dport=80, flags="S"), IPv6(src="fd00::1", dst="ff02::1") / ICMPv6ND_NS(tgt="fd00::2"),
    TWO / UDP(sport=53, dport=4001) / b"1", TWO / ICMPv6EchoRequest(),
    IP(src="10.0.0.1", dst="10.0.0.2", flags="MF") / UDP(sport=53, dport=53) / bytes(32),
    IP(src="10.0.0.1", dst="10.0.0.2", frag=5, proto=17) / bytes(32),
    IP(src="10.0.0.1", dst="10.0.0.2", proto=50) / bytes(32),
)]  # fmt: skip
FRAMES.append(
    bytes(Ether(src="02:00:00:00:00:01", dst="ff:ff:ff:ff:ff:ff") / ARP(op=1, psrc="10.0.0.1", pdst="10.0.0.2"))
)
EXPRESSIONS = r"""
tcp
udp
icmp
icmp6
arp
ip
ip6
esp
host 10.0.0.1
src host 10.0.0.1
dst 10.0.0.2
src 10.0.0.1 or dst 10.0.0.53
src or dst host 10.0.0.1
src and dst host 10.0.0.1
host fd00::2
net 10.0.0.0/24
net 172.18
net 172.18.0.0
net 10
src net 172.18.0.0/16
net 172.18.0.0 mask 255.255.0.0
net 10.0.0.1/24
net fd00::/64
10.0.0.1
10.0.0.1 or 172.18.0.2
port 80
port 80 or 443
port 80 or port 53 and udp
tcp port 80 or 443
tcp dst port 80
src port 53
dst port domain
udp port 53 or 67
port http
port foo
port 70000
portrange 50-100
portrange 100-50
tcp portrange 80-443
udp portrange 53-67
dst port (80 or 443)
host (10.0.0.1 or 172.18.0.2)
port 80-90
tcp[tcpflags] & tcp-syn != 0
tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn
tcp[tcpflags]&(tcp-syn|tcp-fin)!=0
tcp[tcpflags] == tcp-syn
tcp[13] = 2
tcp[13] & 4 != 0
(tcp[13] & 2) != 0
(tcp[tcpflags] & (tcp-syn|tcp-ack)) = (tcp-syn|tcp-ack)
not tcp[13] & 2 != 0
tcp[100] = 0
not tcp[100] = 0
ip[8] = 64
ip[0] & 0xf = 5
ip[6:2] & 0x1fff != 0
ip[6:2] & 0x3fff != 0
ip[2:2] > 100
ip6[6] = 58
ip6[40] = 135
icmp[icmptype] = icmp-echo
icmp[icmptype] == icmp-echo or icmp[icmptype] == icmp-echoreply
icmp[icmptype] != icmp-echo and icmp[icmptype] != icmp-echoreply
icmp[0] = 3 and icmp[1] = 4
icmp6[icmp6type] = icmp6-neighborsolicit
icmp6[0] = 128
icmp6 and ip6[40] = 128
udp[4:2] > 50
tcp[((tcp[12:1] & 0xf0) >> 2):4] = 0x47455420
tcp[(tcp[12] >> 4) * 4 : 4] = 0x47455420
ether[0] & 1 = 0
ether[0] & 1 != 0 and not arp
ether[12:2] = 0x0806
len > 100
len <= 60
greater 100
less 60
len - 14 > 40
ether host 02:00:00:00:00:01
ether src 02:00:00:00:00:01
ether dst ff:ff:ff:ff:ff:ff
ether broadcast
broadcast
multicast
ether multicast
ip multicast
ip6 multicast
ip broadcast
ip6 broadcast
ether proto 0x0806
ether proto \arp
ether proto 2054
ip proto 17
ip proto \tcp
ip6 proto 17
ip proto tcp
proto 17
proto \udp
ip host 10.0.0.1
ip6 host fd00::1
arp host 10.0.0.1
ip6 host 10.0.0.1
ip src 10.0.0.1
ip and not tcp
not port 22
not host 10.0.0.1 and not arp
!tcp
! ( tcp or udp )
tcp or udp and port 53
tcp and port 80 or udp
tcp && port 80 || arp
(tcp or udp) and port 53
not tcp and udp
tcp host 10.0.0.1
udp net 10
icmp port 80
foo
host
host foo
port
tcp tcp
and tcp
tcp and
(tcp
tcp)
tcp[13
tcp[13] =
tcp[foo] = 1
ether foo
ether host foo
vlan
vlan 10
vlan 5000
inbound
gateway 10.0.0.1
less foo
ether port 80
host 10.0.0.1 and (port 80 or icmp)
src host 10.0.0.1 and dst port 80
tcp src port 4000 and dst port 80
src 10.0.0.0/8
tcp[2:2] = 80
udp[0:2] = 53
ip[16:4] = 0x0a000002
ip[12] = 172
tcp[0:3] = 1
ip[9] == 6
ip[0] + 1 = 0x46
ip[0] * 2 = 138
ip[0] / 5 = 13
ip[0] % 2 = 1
1 = 1
len = 54
ip6 and tcp port 80
ip6 and udp
sctp
igmp
ah
host 10.0.0.1 and 10.0.0.2
host 10.0.0.1 and port 80 or 443
icmp or arp or (udp and port 53)
not (src 10.0.0.1 and tcp)
net 10.0.0.0/33
port 80 and
tcp port domain
port ssh or https
icmp[icmptype]=8
tcp[tcpflags] & tcp-push != 0
tcp[tcpflags] & tcp-rst !=0
""".strip().splitlines()


@pytest.mark.skipif(shutil.which("tcpdump") is None, reason="needs tcpdump")
def test_what_libpcap_lets_through(tmp_path):
    source, target = str(tmp_path / "all.pcap"), str(tmp_path / "some.pcap")
    wrpcap(source, [Ether(frame) for frame in FRAMES])
    for expression in EXPRESSIONS:
        done = subprocess.run(
            ["tcpdump", "-r", source, "-w", target, expression], capture_output=True, text=True, check=False
        )
        try:
            test = compile_filter(expression, is_live=False)
        except FilterError as fault:
            assert done.stderr.splitlines()[-1] == f"tcpdump: {fault}", expression
            continue
        assert done.returncode == 0, (expression, done.stderr)
        expected = [bytes(packet) for packet in rdpcap(target)]
        assert [frame for frame in FRAMES if test(CapturedFrame.of(frame))] == expected, expression


@pytest.mark.parametrize(
    ("expression", "expected"), [("inbound", [True, False]), ("outbound and tcp", [False, True])]
)
def test_directions_of_what_is_captured(expression, expected):
    test = compile_filter(expression)
    assert [test(CapturedFrame.of(FRAMES[0], direction)) for direction in ("in", "out")] == expected


def test_broadcasts_are_those_of_the_link_s_network():
    frame = bytes(ETHER / IP(src="10.0.0.1", dst="10.0.0.255") / UDP(sport=1, dport=2))
    assert compile_filter("ip broadcast", host_bits=0xFF)(CapturedFrame.of(frame))
    assert not compile_filter("ip broadcast", host_bits=0xFFFF)(CapturedFrame.of(frame))

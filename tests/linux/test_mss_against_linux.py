"""The target TCPMSS of the Linux kernel, and the simulated one: the same segments leave."""

import subprocess
import sys

import pytest
from support.nat_lab import NatLab, tcp

from cnmsim.kernel.packet import TCP_ACK, TCP_SYN

pytestmark = pytest.mark.root(
    "iptables", "ip6tables", trial="iptables -t mangle -A OUTPUT -p tcp -j TCPMSS --set-mss 9"
)

MSS_1460, MSS_500 = b"\x02\x04\x05\xb4", b"\x02\x04\x01\xf4"
SEGMENTS = {
    "a larger MSS": (TCP_SYN, MSS_1460, b""),
    "a smaller MSS": (TCP_SYN, MSS_500, b""),
    # At an odd offset Linux writes a wrong checksum, unless the checksum is left to the device.
    "an MSS after no-operations": (TCP_SYN, b"\x01\x01" + MSS_1460 + b"\x01\x01", b""),
    "an MSS after the end of options": (TCP_SYN, b"\0\0" + MSS_1460 + b"\0\0", b""),
    "an option of length 0": (TCP_SYN, b"\x05\0" + MSS_1460 + b"\x01\x01", b""),
    "no MSS": (TCP_SYN, b"", b""),
    "other options": (TCP_SYN, b"\x03\x03\x07\x01", b""),
    "no MSS and data": (TCP_SYN, b"", b"data"),
    "a full header": (TCP_SYN, b"\x01" * 40, b""),
    "no SYN": (TCP_ACK, b"", b""),
    "no SYN and data": (TCP_ACK, b"", b"data"),
}
ADDRESSES = {4: (("10.0.0.2", 4000), ("192.168.0.2", 80)), 6: (("fd00::2", 4000), ("fd01::2", 80))}
_SETUP = """
ip link add eth0 type veth peer name vb; ip link set eth0 up; ip link set vb up
ip addr add 10.0.0.2/8 dev eth0; ip addr add fd00::2/7 dev eth0 nodad; ip route add 192.168.0.2 dev eth0
ip neigh add 192.168.0.2 lladdr 02:00:00:00:00:01 dev eth0; ip neigh add fd01::2 lladdr 02:00:00:00:00:01 dev eth0
"""
_AGENT = """
import socket, sys
capture = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
capture.bind(("vb", 0))
for line in sys.stdin:
    data = bytes.fromhex(line)
    family = data[0] >> 4
    sender = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
    sender.sendto(data, (socket.inet_ntop(sender.family, data[16:20] if family == 4 else data[24:40]), 0))
    capture.settimeout(5)
    while True:
        frame = capture.recv(4096)
        body = frame[34:] if frame[12:14] == b"\\x08\\0" else frame[54:]
        if frame[12:14] in (b"\\x08\\0", b"\\x86\\xdd") and body[:2] == (4000).to_bytes(2):
            print(body.hex())
            break
"""


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("target", ["--set-mss 1000", "--set-mss 1300", "--clamp-mss-to-pmtu"])
def test_the_same_segments_leave(family: int, target: str) -> None:
    lab = NatLab()
    lab.netfilter.iptables(family).execute(f"-t mangle -A FORWARD -p tcp -j TCPMSS {target}".split())
    packets = [
        tcp(*ADDRESSES[family][0], *ADDRESSES[family][1], flags, options=options, payload=payload)
        for flags, options, payload in SEGMENTS.values()
    ]
    program = "iptables" if family == 4 else "ip6tables"
    setup = f'{_SETUP}{program} -t mangle -A OUTPUT -p tcp -j TCPMSS {target}; exec "$@"'
    done = subprocess.run(
        ["unshare", "-n", "sh", "-ec", setup, "sh", sys.executable, "-c", _AGENT],
        input="\n".join(packet.hex() for packet in packets), capture_output=True, text=True, check=True,
    )  # fmt: skip
    ours = [lab.forward(packet).payload.hex() for packet in packets]
    assert dict(zip(SEGMENTS, ours, strict=True)) == dict(zip(SEGMENTS, done.stdout.split(), strict=True))

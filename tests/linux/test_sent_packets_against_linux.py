"""Raw and packet sockets of the Linux kernel, and the packets that a place of a lab sends: the same errors."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from cnmsim import Lab

pytestmark = pytest.mark.root("iptables")

TO_PEER = {"src": "10.9.0.1", "dst": "10.9.0.2"}
#: Packets through a raw socket: what is sent, by name.
RAW = {
    "to the peer": IP(**TO_PEER) / UDP(dport=9),
    "without a route": IP(src="10.9.0.1", dst="203.0.113.1") / UDP(dport=9),
    "with a forged source": IP(src="10.9.0.77", dst="10.9.0.2") / UDP(dport=9),
    "larger than the MTU": IP(**TO_PEER) / UDP(dport=9) / Raw(bytes(3000)),
    "dropped in OUTPUT": IP(**TO_PEER) / UDP(dport=7),
}
#: Frames through a packet socket.
FRAMES = {
    "a short frame": b"abc",
    "a frame that fits": bytes(12) + b"\x08\x00" + bytes(1500),
    "a frame that is too long": bytes(12) + b"\x08\x00" + bytes(1501),
    "a VLAN frame that fits": bytes(12) + b"\x81\x00" + bytes(1504),
    "a VLAN frame that is too long": bytes(12) + b"\x81\x00" + bytes(1505),
    "a frame dropped in OUTPUT": bytes(
        Ether(dst="02:00:00:00:00:01", src="02:00:00:00:00:02") / RAW["dropped in OUTPUT"]
    ),
}
_AGENT = """
import errno, socket, sys
kind, data = sys.argv[1], bytes.fromhex(sys.stdin.read())
if kind == "raw":
    sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    send = lambda: sender.sendto(data, (socket.inet_ntoa(data[16:20]), 0))
else:
    sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sender.bind(("eth0", 0))
    send = lambda: sender.send(data)
try:
    send()
except OSError as error:
    print(errno.errorcode[error.errno])
"""
_SETUP = (
    "ip link set lo up; ip link add eth0 type veth peer name vb; ip link set eth0 up; ip link set vb up;"
    "ip addr add 10.9.0.1/24 dev eth0; iptables -A OUTPUT -p udp --dport 7 -j DROP"
)


def linux_error(kind: str, data: bytes) -> str:
    """The name of the error that the kernel of this machine returns, "" for none."""
    command = ["unshare", "-n", "sh", "-ec", f'{_SETUP}; exec "$@"', "sh", sys.executable, "-c", _AGENT, kind]
    done = subprocess.run(command, input=data.hex(), capture_output=True, text=True, check=True)
    return done.stdout.strip()


def our_error(packet: object) -> str:
    lab = Lab()
    lab.add_host("a", "10.9.0.1/24")
    lab.add_host("b", "10.9.0.2/24")
    lab["a"].exec("iptables -A OUTPUT -p udp --dport 7 -j DROP")
    text = lab["a"].send(packet).error
    return next((errno.errorcode[number] for number in errno.errorcode if os.strerror(number) == text), "")


@pytest.mark.parametrize("name", RAW)
def test_a_raw_socket_returns_the_errors_of_linux(name: str) -> None:
    assert our_error(RAW[name]) == linux_error("raw", bytes(RAW[name]))


@pytest.mark.parametrize("name", FRAMES)
def test_a_packet_socket_returns_the_errors_of_linux(name: str) -> None:
    assert our_error(FRAMES[name]) == linux_error("packet", FRAMES[name])

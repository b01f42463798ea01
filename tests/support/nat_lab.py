"""A client, a router with netfilter and a server, wired with veths; and packets walked through hooks by hand."""

from cnmsim.kernel.address import Prefix, parse_ip
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.device import Veth
from cnmsim.kernel.events import Step
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.kernel.netfilter import Hook
from cnmsim.kernel.packet import build_ip
from cnmsim.kernel.route import Route
from cnmsim.kernel.skbuff import Packet
from cnmsim.kernel.transport import TcpSegment, icmp_message, udp_message


class Witness:
    def __init__(self):
        self.events = []

    def report(self, event):
        self.events.append(event)

    def of(self, step):
        return [event for event in self.events if event.step is step]

    @property
    def drops(self):
        return [(event.place, event.reason, event.decision) for event in self.of(Step.DROPPED)]


class NatLab:
    """client 10.0.0.2 — 10.0.0.1 in0 router out0 192.168.0.1 — server 192.168.0.2; the server has no way back."""

    def __init__(self, seed=0):
        self.clock = Clock(seed)
        self.witness = Witness()
        self.client, self.router, self.server = (self._namespace(name) for name in ("client", "router", "server"))
        self.in0 = self._cable(self.client, "eth0", "10.0.0.2/24", "in0", "10.0.0.1/24", 1)
        self.out0 = self._cable(self.server, "eth0", "192.168.0.2/24", "out0", "192.168.0.1/24", 2)
        self.client.add_route(Route(Prefix.parse("0.0.0.0/0"), gateway=parse_ip("10.0.0.1")))
        for device, address in (("in0", "fd00::1/64"), ("out0", "fd01::1/64")):
            self.router.add_address(self.router.devices[device], address)
        self.client.add_address(self.client.devices["eth0"], "fd00::2/64")
        self.server.add_address(self.server.devices["eth0"], "fd01::2/64")
        self.client.add_route(Route(Prefix.parse("::/0"), gateway=parse_ip("fd00::1")))
        self.router.sysctl_set("net.ipv4.ip_forward", "1")
        self.router.sysctl_set("net.ipv6.conf.all.forwarding", "1")
        self.netfilter = self.router.netfilter
        self.tables = self.netfilter.iptables(4)

    def _namespace(self, name):
        namespace = NetworkNamespace(name, self.clock)
        namespace.loopback.set_up()
        return namespace

    def _cable(self, namespace, name, address, router_name, router_address, number):
        a, b = Veth.pair(
            self.clock, name, router_name, bytes((2, 0, 0, 1, 0, number)), bytes((2, 0, 0, 2, 0, number))
        )
        namespace.add_device(a)
        self.router.add_device(b)
        a.set_up()
        b.set_up()
        namespace.add_address(a, address)
        self.router.add_address(b, router_address)
        return b

    def iptables(self, *lines, namespace=None):
        tables = (namespace or self.router).netfilter.iptables(4)
        for line in lines:
            tables.execute(line.split())

    # --- by hand: what the router does to one packet -------------------------------------------------------------

    def forward(self, data, indev=None):
        """Take a packet's bytes through PREROUTING, routing, FORWARD and POSTROUTING; give what leaves, or None."""
        packet = Packet(data, indev or self.in0)
        if not self.netfilter.run(Hook.PREROUTING, packet):
            return None
        route = self.router.routes(packet.family).lookup(packet.dst)
        packet.outdev = route.device
        packet.nexthop = route.gateway or packet.dst
        if not (self.netfilter.run(Hook.FORWARD, packet) and self.netfilter.run(Hook.POSTROUTING, packet)):
            return None
        return packet

    def back(self, data):
        return self.forward(data, self.out0)


def udp(src, sport, dst, dport, payload=b"hello"):
    src, dst = parse_ip(src), parse_ip(dst)
    return build_ip(17, src, dst, udp_message(src, dst, sport, dport, payload))


def tcp(src, sport, dst, dport, flags, seq=1000, ack=0, payload=b"", options=b""):
    src, dst = parse_ip(src), parse_ip(dst)
    return build_ip(6, src, dst, TcpSegment(sport, dport, seq, ack, flags, 64240, options, payload).to_wire(src, dst))


def echo(src, dst, identifier, kind=8):
    return build_ip(
        1, parse_ip(src), parse_ip(dst), icmp_message(kind, 0, identifier.to_bytes(2) + b"\0\1", b"x" * 8)
    )

"""Small networks for the kernel's tests: a host with a bridge and containers on it, an observer, a ping."""

from cnmsim.kernel.address import Prefix, parse_ip, parse_mac
from cnmsim.kernel.bridge import Bridge
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.device import Veth
from cnmsim.kernel.events import DropReason, Event, Step
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.kernel.route import Route
from cnmsim.kernel.skbuff import Packet
from cnmsim.kernel.transport import icmp_message, icmpv6_message


class Witness:
    """Notes everything that happens, and what arrives where."""

    def __init__(self):
        self.events: list[Event] = []

    def report(self, event):
        self.events.append(event)

    @property
    def drops(self) -> list[tuple[str, DropReason | None]]:
        return [(event.place, event.reason) for event in self.events if event.step is Step.DROPPED]

    def steps(self, place) -> list[Step]:
        return [event.step for event in self.events if event.place == place]

    def texts(self, step) -> list[str]:
        return [event.what for event in self.events if event.step is step]


class Net:
    """One host with the bridge br0 (10.1.0.1/24, fd01::1/64) and whatever is plugged into it."""

    def __init__(self, seed=0):
        self.clock = Clock(seed)
        self.witness = Witness()
        self.host = self.namespace("host")
        self.bridge = Bridge("br0", parse_mac("02:00:00:00:00:01"), self.clock)
        self.host.add_device(self.bridge)
        self.bridge.set_up()
        self.host.add_address(self.bridge, "10.1.0.1/24")
        self.host.add_address(self.bridge, "fd01::1/64")
        self._cables = 0

    def namespace(self, name) -> NetworkNamespace:
        namespace = NetworkNamespace(name, self.clock)
        namespace.loopback.set_up()
        return namespace

    def cable(self, one, other, name_one, name_other) -> tuple[Veth, Veth]:
        self._cables += 1
        a, b = Veth.pair(
            self.clock,
            name_one,
            name_other,
            bytes((2, 0, 0, 1, 0, self._cables)),
            bytes((2, 0, 0, 2, 0, self._cables)),
        )
        one.add_device(a)
        other.add_device(b)
        a.set_up()
        b.set_up()
        return a, b

    def container(self, number) -> NetworkNamespace:
        """Add a namespace with 10.1.0.N and fd01::N behind the bridge, default routes by the host."""
        namespace = self.namespace(f"c{number}")
        port, eth0 = self.cable(self.host, namespace, f"veth{number}", "eth0")
        self.bridge.add_port(port)
        namespace.add_address(eth0, f"10.1.0.{number}/24")
        namespace.add_address(eth0, f"fd01::{number:x}/64")
        namespace.add_route(Route(Prefix.parse("0.0.0.0/0"), gateway=parse_ip("10.1.0.1")))
        namespace.add_route(Route(Prefix.parse("::/0"), gateway=parse_ip("fd01::1")))
        return namespace

    def neighbour_host(self, name, address, gateway, host_address) -> NetworkNamespace:
        """Add a machine on a cable to the host."""
        namespace = self.namespace(name)
        out, eth0 = self.cable(self.host, namespace, f"to-{name}", "eth0")
        self.host.add_address(out, host_address)
        namespace.add_address(eth0, address)
        family = "::/0" if ":" in address else "0.0.0.0/0"
        namespace.add_route(Route(Prefix.parse(family), gateway=parse_ip(gateway)))
        return namespace

    def ping(self, namespace, to, *, size=56, ttl=64, seconds=8.0, may_fragment=True) -> list[str]:
        """Send one echo request and tell what came back to the sender's stack, as summaries."""
        answers = []
        heard = _Ears(namespace, answers)
        namespace.sockets = heard
        self.clock.context = self.witness
        try:
            dst = parse_ip(to)
            decision = namespace.route_output(dst)
            if len(dst) == 4:
                protocol, message = 1, icmp_message(8, 0, b"\0\1\0\1", bytes(size))
            else:
                protocol, message = 58, icmpv6_message(decision.src, dst, 128, 0, b"\0\1\0\1", bytes(size))
            namespace.send(protocol, decision, dst, message, ttl=ttl, may_fragment=may_fragment)
        finally:
            self.clock.context = None
        self.clock.run_for(seconds)
        namespace.sockets = heard.real
        return answers


class _Ears:
    """Stands in front of a namespace's sockets and notes what ICMP brings."""

    def __init__(self, namespace, answers):
        self.real = namespace.sockets
        self._answers = answers

    def deliver(self, packet: Packet):
        self._answers.append(packet.summary())
        return True

    def deliver_icmp_error(self, error):
        self._answers.append(f"error {error.icmp_type}/{error.code} info {error.info}")

    def __getattr__(self, name):
        return getattr(self.real, name)

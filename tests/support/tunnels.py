"""Two hosts on a router, an overlay namespace on each, a container behind each: what the tests of tunnels share."""

from support.wiring import Witness

from cnmsim.kernel.address import Prefix, parse_ip, parse_mac
from cnmsim.kernel.bridge import Bridge
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.device import Veth
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.kernel.route import Route
from cnmsim.kernel.sockets import UdpSocket
from cnmsim.kernel.vxlan import Vxlan, VxlanConfig
from cnmsim.kernel.xfrm import Mark, Selector, Template, XfrmPolicy, XfrmState, xfrm_of

KEY = bytes(range(16)) + bytes.fromhex("00001000")
MARK = 0xD0C4E3
MARKED = Mark(MARK, 0xFFFFFFFF)


class Tunnels:
    """hosts a (10.1.0.2, fd01::2) and b (10.2.0.2, fd02::2) with a router between; `vtep` gives their addresses."""

    def __init__(self, seed=0, mtu=1500, family=4):
        self.clock = Clock(seed)
        self.family = family
        self.witness = Witness()
        self._cables = 0
        self.router = self.namespace("router")
        self.router.sysctl_set("net.ipv4.ip_forward", "1")
        self.router.sysctl_set("net.ipv6.conf.all.forwarding", "1")
        self.hosts = {}
        for number, name in enumerate("ab", 1):
            host = self.hosts[name] = self.namespace(name)
            here, there = self.cable(host, self.router, "eth0", f"to-{name}")
            for device in (here, there):
                device.set_mtu(mtu)
            host.add_address(here, f"10.{number}.0.2/24")
            host.add_address(here, f"fd0{number}::2/64")
            self.router.add_address(there, f"10.{number}.0.1/24")
            self.router.add_address(there, f"fd0{number}::1/64")
            host.add_route(Route(Prefix.parse("0.0.0.0/0"), gateway=parse_ip(f"10.{number}.0.1")))
            host.add_route(Route(Prefix.parse("::/0"), gateway=parse_ip(f"fd0{number}::1")))
        self.overlays = {}

    def vtep(self, name):
        number = "ab".index(name) + 1
        return parse_ip(f"10.{number}.0.2" if self.family == 4 else f"fd0{number}::2")

    def namespace(self, name):
        namespace = NetworkNamespace(name, self.clock)
        namespace.loopback.set_up()
        return namespace

    def cable(self, one, other, name_one, name_other):
        self._cables += 1
        macs = (bytes((2, 0, 0, end, 0, self._cables)) for end in (1, 2))
        a, b = Veth.pair(self.clock, name_one, name_other, *macs)
        one.add_device(a)
        other.add_device(b)
        a.set_up()
        b.set_up()
        return a, b

    def overlay(self, host, vni, *, mtu=1450, subnet=1, **options):
        """Make an overlay namespace on a host: br0 with vxlan0, as a swarm node has one per network."""
        namespace = self.namespace(f"{host}-ov{vni}")
        bridge = Bridge("br0", parse_mac(f"02:00:00:b0:0{'ab'.index(host)}:{vni % 256:02x}"), self.clock)
        namespace.add_device(bridge)
        namespace.add_address(bridge, f"10.0.{subnet}.1/24")
        mac = parse_mac(f"02:00:00:a0:0{'ab'.index(host)}:{vni % 256:02x}")
        options = {"proxy": True, "l2miss": True, "l3miss": True, "family": self.family} | options
        vxlan = Vxlan.create(self.hosts[host], f"vx{vni}", mac, VxlanConfig(vni, **options))
        self.hosts[host].move_device(vxlan, namespace, "vxlan0")
        vxlan.set_mtu(mtu)
        bridge.add_port(vxlan)
        bridge.set_up()
        vxlan.set_up()
        self.overlays[host, vni] = namespace
        return vxlan

    def container(self, host, vni, number, *, mtu=1450, subnet=1):
        """Attach a container with 10.0.SUBNET.NUMBER and fd0f::NUMBER."""
        overlay = self.overlays[host, vni]
        container = self.namespace(f"c{number}")
        port, eth0 = self.cable(overlay, container, f"veth{number}", "eth0")
        for device in (port, eth0):
            device.set_mtu(mtu)
        eth0.set_mac(bytes((2, 0x42, 10, 0, subnet, number)))
        overlay.devices["br0"].add_port(port)
        container.add_address(eth0, f"10.0.{subnet}.{number}/24")
        container.add_address(eth0, f"fd0f::{number:x}/64")
        return container

    def peer(self, host, vni, number, vtep, *, subnet=1):
        """Let a host know of a container behind a VTEP, as the overlay driver programs it."""
        overlay = self.overlays[host, vni]
        vxlan = overlay.devices["vxlan0"]
        mac = bytes((2, 0x42, 10, 0, subnet, number))
        overlay.neighbours.set_permanent(vxlan, parse_ip(f"10.0.{subnet}.{number}"), mac)
        overlay.neighbours.set_permanent(vxlan, parse_ip(f"fd0f::{number:x}"), mac)
        vxlan.fdb.add(mac, vtep)

    def pair(self, vni=42, **options):
        """Make one network over both hosts with container 2 on a and 3 on b, each knowing of the other."""
        for host in "ab":
            self.overlay(host, vni, **options)
        first, second = self.container("a", vni, 2), self.container("b", vni, 3)
        self.peer("a", vni, 3, self.vtep("b"))
        self.peer("b", vni, 2, self.vtep("a"))
        return first, second

    def tap(self, device):
        """Collect the frames a device sends and receives."""
        frames = []
        device.taps += (lambda _time, _way, frame: frames.append(frame),)
        return frames

    def wire(self, host="a"):
        """Collect the frames on a host's cable."""
        return self.tap(self.hosts[host].devices["eth0"])

    def send(self, sender, receiver, to, data=b"hello", *, seconds=4.0, traced=True, port=5000, dont_fragment=None):
        """Send a datagram and give what arrived, once time has passed."""
        listening, sending = UdpSocket(receiver, 6 if ":" in to else 4), UdpSocket(sender, 6 if ":" in to else 4)
        listening.bind(("::" if ":" in to else "0.0.0.0", port))
        sending.dont_fragment = dont_fragment
        self.clock.context = self.witness if traced else None
        try:
            sending.sendto(data, (to, port))
        finally:
            self.clock.context = None
        self.clock.run_for(seconds)
        got = []
        while listening.pending:
            got.append(listening.recvfrom_nowait()[0])
        listening.close()
        sending.close()
        return got


def state(src, dst, spi, **options):
    return XfrmState(src, dst, spi, **{"key": KEY, "reqid": MARK, "replay_window": 32} | options)


def policy(src, dst, spi, *, direction="out", mark=MARKED, **options):
    selector = Selector(Prefix(src, len(src) * 8), Prefix(dst, len(dst) * 8), 17, dport=4789)
    return XfrmPolicy(direction, selector, (Template(src, dst, spi, MARK),), mark, **options)


def encrypt(net, **options):
    """Encrypt VXLAN between the hosts as the overlay driver does for a whole host: by a mark that OUTPUT sets."""
    for here, there, spi, back in (("a", "b", 0x1000, 0x2000), ("b", "a", 0x2000, 0x1000)):
        host, src, dst = net.hosts[here], net.vtep(here), net.vtep(there)
        xfrm = xfrm_of(host)
        xfrm.add_state(state(src, dst, spi, **options))
        xfrm.add_state(state(dst, src, back, **options))
        xfrm.add_policy(policy(src, dst, spi))
        rule = f"-p udp --dport 4789 -j MARK --set-mark {MARK}"
        host.netfilter.iptables(net.family).append("mangle", "OUTPUT", rule)

"""A Docker host built by hand: the bridges, addresses and rules an engine would install, and no engine.

So verdicts are tested against the kernel alone: what the tests say does not depend on what an engine decides.
"""

from __future__ import annotations

from collections.abc import Mapping

from cnmsim.kernel.address import Prefix, format_ip, parse_ip
from cnmsim.kernel.bridge import Bridge
from cnmsim.kernel.device import Veth
from cnmsim.kernel.files import FileSystem
from cnmsim.kernel.process import Process
from cnmsim.kernel.route import Route
from cnmsim.lab import Lab
from cnmsim.observe.directory import Directory
from cnmsim.observe.location import Attachment, Location, Published
from cnmsim.observe.trace.target import Target
from cnmsim.observe.trace.trace import Trace
from cnmsim.observe.trace.tracer import address_towards, parse_destination, run_probe


class House:
    """`client` and `node1` on one LAN, a router with `server` behind it; containers are added to node1."""

    def __init__(self, *, nameserver: str = "") -> None:
        self.lab = Lab(nameserver=nameserver or None)
        self.node = self.lab.add_host("node1", "10.0.0.15/24", gateway="10.0.0.1")
        self.lab.add_host("client", "10.0.0.50/24", gateway="10.0.0.1")
        self.lab.add_router("router", "10.0.0.1/24", "203.0.113.1/24")
        self.lab.add_host(
            "server", "203.0.113.10/24", gateway="203.0.113.1", names={"www.example.com": "203.0.113.10"}
        )
        self.root = self.node.machine.root
        self.root.sysctl_set("net.ipv4.ip_forward", "1")
        self.networks: dict[str, tuple[Bridge, str, bool]] = {}
        self.containers: list[Location] = []

    def iptables(self, *commands: str) -> None:
        for command in commands:
            self.root.netfilter.iptables(4).execute(command.split())

    def network(self, name: str, subnet: str, *, internal: bool = False) -> Bridge:
        clock, number = self.lab.clock, len(self.networks)
        bridge = Bridge("docker0" if name == "bridge" else f"br-{name}", bytes((2, 0x42, 0, 0, 0, number)), clock)
        self.root.add_device(bridge)
        prefix = Prefix.parse(subnet)
        gateway = f"{format_ip(prefix.network)[:-1]}1"
        self.root.add_address(bridge, f"{gateway}/{prefix.length}")
        bridge.set_up()
        self.networks[name] = (bridge, subnet, internal)
        return bridge

    def container(
        self, name: str, *addresses: tuple[str, str], listens: Mapping[str, list[int]] | None = None,
        published: tuple[Published, ...] = (), resolv_conf: str = "",
    ) -> Location:  # fmt: skip
        machine, clock = self.node.machine, self.lab.clock
        space = machine.new_namespace(name)
        space.loopback.set_up()
        attachments = []
        for number, (network, address) in enumerate(addresses):
            bridge, subnet, internal = self.networks[network]
            mac = bytes((2, 0x42, *parse_ip(address)))
            host_end, end = Veth.pair(clock, f"veth{name}{number}", f"eth{number}", bytes((6, *mac[1:])), mac)
            self.root.add_device(host_end)
            host_end.set_up()
            bridge.add_port(host_end)
            space.add_device(end)
            end.set_up()
            space.add_address(end, f"{address}/{subnet.partition('/')[2]}")
            if not internal and number == 0:
                gateway = self.root.devices[bridge.name].addresses[0].address
                space.add_route(Route(Prefix.parse("0.0.0.0/0"), end, gateway))
            driver_name = bridge.name
            attachments.append(
                Attachment(
                    network, "bridge", internal, (parse_ip(address),), {}, (Prefix.parse(subnet),), driver_name
                )
            )
        files = FileSystem()
        files.write("/etc/hosts", b"127.0.0.1\tlocalhost\n")
        files.write("/etc/resolv.conf", resolv_conf.encode())
        location = Location(
            name,
            "node1",
            machine,
            space,
            files,
            is_container=True,
            attachments=tuple(attachments),
            published=published,
        )
        self.containers.append(location)
        for host, ports in (listens or {}).items():
            for port in ports:
                self.listen(location, host, port)
        return location

    def listen(self, location: Location, host: str, port: int) -> None:
        async def serve(process: Process) -> int:
            socket = process.tcp(4)
            socket.bind((host, port))
            socket.listen()
            while True:
                await socket.accept()

        location.spawn(serve, ["httpd"])
        self.lab.clock.run_ready()

    @property
    def directory(self) -> Directory:
        hosts = Directory.of(self.lab.hosts.values()).locations
        return Directory((*hosts, *self.containers))

    def ask(self, source: str, destination: str, protocol: str | None = None, *, by_address: bool = False) -> Trace:
        directory = self.directory
        asker = directory.find(source)
        target, address = parse_destination(directory, asker, destination, protocol)
        if by_address:
            address = address_towards(asker, directory.find(Target.parse(destination).host))
        return run_probe(directory, asker, target, address=address)


def docker_rules(bridge: str, *, address: str = "", host_port: int = 0, port: int = 80) -> list[str]:
    """Return the rules that engine 29 installs for a bridge network (and a published port), as far as tests need
    them."""
    rules = [
        f"-t filter -A DOCKER ! -i {bridge} -o {bridge} -j DROP",
        f"-t filter -A DOCKER-CT -o {bridge} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        f"-t filter -A DOCKER-BRIDGE -o {bridge} -j DOCKER",
        f"-t filter -A DOCKER-FORWARD -i {bridge} -j ACCEPT",
    ]
    if address:
        rules += [
            f"-t raw -A PREROUTING -d {address}/32 ! -i {bridge} -j DROP",
            (
                f"-t nat -A DOCKER ! -i {bridge} -p tcp -m tcp --dport {host_port} -j DNAT --to-destination "
                f"{address}:{port}"
            ),
            f"-t filter -I DOCKER -d {address}/32 ! -i {bridge} -o {bridge} -p tcp -m tcp --dport {port} -j ACCEPT",
        ]
    return rules


CHAINS = [
    "-t filter -N DOCKER", "-t filter -N DOCKER-BRIDGE", "-t filter -N DOCKER-CT", "-t filter -N DOCKER-FORWARD",
    "-t filter -N DOCKER-INTERNAL", "-t filter -N DOCKER-USER", "-t filter -A FORWARD -j DOCKER-USER",
    "-t filter -A FORWARD -j DOCKER-FORWARD", "-t filter -A DOCKER-FORWARD -j DOCKER-CT",
    "-t filter -A DOCKER-FORWARD -j DOCKER-INTERNAL", "-t filter -A DOCKER-FORWARD -j DOCKER-BRIDGE",
    "-t nat -N DOCKER", "-t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
    "-t nat -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER", "-t filter -P FORWARD DROP",
]  # fmt: skip

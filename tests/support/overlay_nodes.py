"""Docker hosts of one swarm, without its managers: agents that gossip, networks and services put in by hand."""

from __future__ import annotations

from typing import Any

from cnmsim.kernel.address import format_ip, parse_ip
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.device import Nic
from cnmsim.kernel.machine import Machine
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.kernel.process import Process, Program
from cnmsim.kernel.vxlan import Vxlan
from cnmsim.libnetwork.agent import GOSSIP, IPSEC, AgentConfig, EncryptionKey
from cnmsim.libnetwork.config import DaemonConfig
from cnmsim.libnetwork.controller import Controller
from cnmsim.libnetwork.endpoint import Endpoint
from cnmsim.libnetwork.network import Network
from cnmsim.libnetwork.networkdb.convergence import converge
from cnmsim.libnetwork.options import EndpointOptions, IpamConfig, NetworkOptions, SandboxOptions, ServiceBinding
from cnmsim.libnetwork.profile import PROFILES
from cnmsim.libnetwork.sandbox import Sandbox
from cnmsim.underlay.segment import Segment

VERSIONS = tuple(PROFILES)
VXLAN_IDS = "com.docker.network.driver.overlay.vxlanid_list"


def keys(first: int = 1) -> list[EncryptionKey]:
    return [
        EncryptionKey(subsystem, 0, bytes([time % 256]) * 16, time)
        for subsystem in (GOSSIP, IPSEC)
        for time in range(first, first + 3)
    ]


class Node:
    def __init__(self, swarm: Swarm, number: int, version: str) -> None:
        self.swarm = swarm
        self.number = number
        self.address = f"10.100.0.{number + 1}"
        self.machine = Machine(f"node{number}", swarm.clock)
        root = self.machine.root
        root.loopback.set_up()
        self.nic = Nic("eth0", bytes([2, 0, 0, 0, 0, number + 1]), swarm.clock)
        root.add_device(self.nic)
        root.add_address(self.nic, f"{self.address}/24")
        self.nic.set_up()
        swarm.segment.attach(self.nic)
        self.controller = Controller(self.machine, PROFILES[version], DaemonConfig())
        self.controller.start()
        self.sandboxes: dict[str, Sandbox] = {}

    def start_agent(self, remotes: list[str], **options: Any) -> None:
        address = parse_ip(self.address)
        config = AgentConfig(
            address, address, keys=keys(), remotes=[parse_ip(remote) for remote in remotes], **options
        )
        self.controller.agent_start(config)

    def network(self, name: str, lb: str = "", **options: Any) -> Network:
        identity, pools, vnis, given = self.swarm.networks[name]
        asked = {**given, **options}
        driver_opts = {VXLAN_IDS: vnis, **asked.pop("driver_opts", {})}
        return self.controller.new_network(
            name, "overlay", id=identity, is_dynamic=True,
            options=NetworkOptions(
                scope="swarm", driver_opts=driver_opts, load_balancer_ip=parse_ip(lb) if lb else None,
                ipam_config=[IpamConfig(pool, gateway=gateway) for pool, gateway in pools], **asked,
            ),
        )  # fmt: skip

    def run(self, name: str, *attachments: str, service: ServiceBinding | None = None, **options: Any) -> Endpoint:
        """Start a container; attachments are `network=address`."""
        identity = name.encode().hex().ljust(64, "0")
        asked = SandboxOptions(name=name, hostname=name, **options)
        sandbox = self.controller.new_sandbox(identity, options=asked)
        self.sandboxes[name] = sandbox
        for attachment in attachments:
            self.connect(name, attachment, service=service)
        sandbox.enable_service()
        self.swarm.clock.run_ready()
        return sandbox.endpoints[0]

    def connect(
        self, name: str, attachment: str, *, service: ServiceBinding | None = None, **options: Any
    ) -> Endpoint:
        network, _, address = attachment.partition("=")
        asked = EndpointOptions(
            ipv4=parse_ip(address) if address else None, dns_names=[name], service=service, **options
        )
        endpoint = self.controller.find_network(network).create_endpoint(name, options=asked)
        endpoint.join(self.sandboxes[name])
        return endpoint

    def remove(self, name: str) -> None:
        self.sandboxes.pop(name).delete()

    def namespace(self, name: str) -> NetworkNamespace:
        found = self.sandboxes[name].namespace
        assert found is not None
        return found

    def overlay(self, name: str, epoch: int = 1) -> NetworkNamespace:
        identity = self.swarm.networks[name][0]
        return self.machine.namespaces[f"/var/run/docker/netns/{epoch}-{identity[:10]}"]

    def peers(self, name: str) -> dict[str, str]:
        """What the kernel has of peers: `{address: VTEP}`."""
        found: dict[str, str] = {}
        for device in self.overlay(name).devices.values():
            if isinstance(device, Vxlan):
                for entry in self.overlay(name).neighbours.entries():
                    if entry.device is device and entry.mac is not None:
                        known = device.fdb.peek(entry.mac)
                        found[format_ip(entry.address)] = format_ip(known.remotes[0]) if known is not None else ""
        return found

    def names(self, sandbox: str, name: str) -> set[str] | None:
        found = self.sandboxes[sandbox].resolve_name(name, 4)
        return None if found is None else {format_ip(address) for address in found}


class Swarm:
    def __init__(self, count: int, version: str = "29.7.2", *, seed: int = 0) -> None:
        self.clock = Clock(seed)
        self.segment = Segment("lan", self.clock)
        self.networks: dict[str, tuple[str, list[tuple[str, str]], str, dict[str, Any]]] = {}
        self.nodes = [Node(self, number, version) for number in range(count)]
        for node in self.nodes:
            node.start_agent([self.nodes[0].address] if node.number else [])
        self.settle()

    def define(self, name: str, *pools: str, vnis: str = "", **options: Any) -> None:
        """A network of the swarm, as its manager has allocated it; a pool is `10.0.1.0/24`, its gateway `.1`."""
        number = len(self.networks) + 1
        chosen = list(pools) or [f"10.0.{number}.0/24"]
        with_gateways = [(pool, pool.rpartition(".")[0] + ".1") for pool in chosen]
        identity = f"net{number}".ljust(25, "x")
        listed = vnis or ",".join(str(4096 + number * 10 + count) for count in range(len(chosen)))
        self.networks[name] = (identity, with_gateways, listed, options)

    def settle(self, limit_s: float = 120) -> float:
        took = converge(self.clock, limit_s)
        self.clock.run_ready()
        return took

    def iptables(self, number: int, arguments: str) -> None:
        self.nodes[number].machine.root.netfilter.iptables(4).execute(arguments.split())


def ping(source: NetworkNamespace, address: str, *, timeout_s: float = 2, size: int = 56) -> bool:
    """Whether an echo request of `size` bytes is answered."""
    outcome: list[bool] = []

    async def program(process: Process) -> int:
        socket = process.icmp(4)
        try:
            socket.send_echo(address, 7, 1, bytes(size))
            packet = await socket.recv(timeout_s)
            outcome.append(packet.data[(packet.data[0] & 15) * 4] == 0)
        except OSError:
            outcome.append(False)
        return 0

    assert source.machine is not None
    source.machine.spawn(program, ["ping"], namespace=source)
    source.clock.run_for(timeout_s + 1, stop=lambda: bool(outcome))
    return outcome == [True]


def serve(namespace: NetworkNamespace, port: int, *, udp: bool = False) -> None:
    """A server that tells its clients their own addresses."""

    async def over_tcp(process: Process) -> int:
        listener = process.tcp(4)
        listener.bind(("0.0.0.0", port))
        listener.listen()
        while True:
            client = await listener.accept()
            client.send(f"{namespace.name} {format_ip(client.getpeername()[0])}".encode())
            client.close()

    async def over_udp(process: Process) -> int:
        socket = process.udp(4)
        socket.bind(("0.0.0.0", port))
        while True:
            _, client = await socket.recvfrom()
            socket.sendto(f"{namespace.name} {format_ip(client[0])}".encode(), client)

    program: Program = over_udp if udp else over_tcp
    assert namespace.machine is not None
    namespace.machine.spawn(program, ["server"], namespace=namespace)
    namespace.clock.run_ready()


def ask(source: NetworkNamespace, address: str, port: int) -> str:
    """What a TCP server says (who it is, and whom it takes the client for), or how the attempt failed."""
    outcome: list[str] = []

    async def client(process: Process) -> int:
        stream = process.tcp(4)
        try:
            await stream.connect((address, port), timeout=5)
            outcome.append((await stream.recv(timeout=2)).decode())
        except TimeoutError:
            outcome.append("timeout")
        except ConnectionRefusedError:
            outcome.append("refused")
        except OSError:
            outcome.append("unreachable")
        return 0

    assert source.machine is not None
    source.machine.spawn(client, ["client"], namespace=source)
    source.clock.run_for(9, stop=lambda: bool(outcome))
    return outcome[0]

"""The routing mesh's plumbing on one node: rules as recorded from engines, and what they do to connections."""

import json
from pathlib import Path

import pytest
from support.docker_host import VERSIONS, DockerHost

from cnmsim.errors import SystemFault
from cnmsim.kernel.address import Prefix, format_ip, parse_ip
from cnmsim.kernel.bridge import Bridge
from cnmsim.kernel.device import Veth
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.kernel.route import Route
from cnmsim.kernel.sockets import TcpSocket
from cnmsim.kernel.task import Task, run_until
from cnmsim.libnetwork.gateway import gateway_network
from cnmsim.libnetwork.ingress import CHAIN, Ingress, add_redirect_rules
from cnmsim.libnetwork.loadbalancer import (
    LoadBalancer,
    LoadBalancerSandbox,
    add_virtual_ip,
)
from cnmsim.libnetwork.options import PortConfig

RECORDED = Path(__file__).parents[1] / "conformance" / "recorded"
GATEWAY = parse_ip("172.18.0.2")
WEB = PortConfig("", "tcp", 80, 8080)
VIP = parse_ip("10.0.0.4")


def recorded(version, command):
    """What iptables-save printed on an engine: after the service came, and after its port was taken back."""
    steps = json.loads((RECORDED / version / "ingress-plumbing.json").read_text())
    steps = steps["steps"] if isinstance(steps, dict) else steps
    return [
        step["out"].replace("[n:n]", "[0:0]")
        for step in steps
        if step["command"].endswith(command) and step["host"] == "node2"
    ]


class Node(DockerHost):
    """A Docker host with ingress_sbox, tasks on the ingress network and a client outside."""

    def __init__(self, version="29.7.2", tasks=2, **options):
        super().__init__(version)
        self.host = self.machine.root
        gateway_network(self.controller)
        self.cables = 0
        self.client = self.namespace("client")
        self.cable(self.host, "ens4", "192.168.5.1/24", self.client, "192.168.5.2/24")
        self.client.add_route(Route(Prefix.parse("0.0.0.0/0"), gateway=parse_ip("192.168.5.1")))
        self.wire = self.namespace("wire")
        self.switch = Bridge("br0", b"\x02\0\0\0\1\1", self.clock)
        self.wire.add_device(self.switch)
        self.switch.set_up()
        self.sbox = self.namespace("ingress_sbox")
        self.sbox.sysctl_set("net.ipv4.ip_forward", "1")
        self.plug(self.sbox, "10.0.0.2/24")
        port = self.cable(self.host, "vethgw", "", self.sbox, "172.18.0.2/16", "eth1")
        self.host.devices["docker_gwbridge"].add_port(port)
        self.sbox.add_route(Route(Prefix.parse("0.0.0.0/0"), gateway=parse_ip("172.18.0.1")))
        self.warnings = []
        self.ingress = Ingress(self.host, self.profile, warn=self.warnings.append)
        self.balancer = LoadBalancerSandbox(
            self.sbox, "eth0", (parse_ip("10.0.0.2"), 24), self.profile,
            ingress=self.ingress, gateway_address=GATEWAY, **options,
        )  # fmt: skip
        self.tasks = [self.task(number) for number in range(5, 5 + tasks)]

    def namespace(self, name):
        made = NetworkNamespace(name, self.clock)
        made.loopback.set_up()
        return made

    def cable(self, one, name, address, other, other_address, other_name="eth0"):
        self.cables += 1
        a, b = Veth.pair(
            self.clock, name, other_name, bytes((2, 0, 0, 3, 0, self.cables)), bytes((2, 0, 0, 4, 0, self.cables))
        )
        one.add_device(a)
        other.add_device(b)
        a.set_up()
        b.set_up()
        for namespace, device, text in ((one, a, address), (other, b, other_address)):
            if text:
                namespace.add_address(device, text)
        return a

    def plug(self, namespace, address):
        self.switch.add_port(self.cable(self.wire, f"p{self.cables}", "", namespace, address))

    def task(self, number):
        made = self.namespace(f"task{number}")
        self.plug(made, f"10.0.0.{number}/24")
        for port in (80, 81):
            listener = TcpSocket(made)
            listener.bind(("0.0.0.0", port))
            listener.listen()
            Task(self.clock, self.greet(listener, number))
        self.clock.run_ready()
        return made

    async def greet(self, listener, number):
        while True:
            accepted = await listener.accept()
            accepted.send(f"{number} saw {format_ip(accepted.getpeername()[0])}".encode())

    def serve(self, port=WEB, mark=256, vip=VIP, count=None):
        service = LoadBalancer(vip, mark, (port,))
        for number, task in enumerate(self.tasks[:count], 5):
            self.balancer.add_backend(service, parse_ip(f"10.0.0.{number}"))
            add_redirect_rules(task, parse_ip(f"10.0.0.{number}"), (port,))
        return service

    def get(self, source, address="192.168.5.1", port=8080):
        socket = TcpSocket(source)
        try:
            run_until(self.clock, socket.connect((address, port), timeout=3))
            return run_until(self.clock, socket.recv(timeout=3)).decode()
        except TimeoutError:
            return "timeout"
        except ConnectionRefusedError:
            return "refused"

    def table(self, name, namespace=None):
        return (namespace or self.host).netfilter.iptables(4).save(name)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("table", ["nat", "filter"])
def test_the_hosts_rules_are_those_of_an_engine(version, table):
    node = Node(version)
    service = node.serve()
    wanted = recorded(version, f"iptables-save -t {table}")
    assert node.saved("iptables", table).splitlines() == wanted[0].splitlines()
    for number in (5, 6):
        node.balancer.remove_backend(service, parse_ip(f"10.0.0.{number}"), is_last=number == 6)
    if table == "nat":
        assert node.saved("iptables", table).splitlines() == wanted[1].splitlines()
    assert node.host.sysctl_get("net.ipv4.conf.docker_gwbridge.route_localnet") == "1"


@pytest.mark.parametrize("version", VERSIONS)
def test_the_sandboxs_marks_are_those_of_an_engine(version):
    node = Node(version)
    service = node.serve()
    with_marks, without = recorded(version, "iptables-save -t mangle")
    printed = node.table("mangle", node.sbox).replace("[0:0]", "[n:n]")
    assert printed.splitlines() == with_marks.replace("[0:0]", "[n:n]").splitlines()
    assert "-A POSTROUTING -d 10.0.0.0/24 -m ipvs --ipvs -j SNAT --to-source 10.0.0.2" in node.table("nat", node.sbox)
    for number in (5, 6):
        node.balancer.remove_backend(service, parse_ip(f"10.0.0.{number}"), is_last=number == 6)
    assert node.table("mangle", node.sbox).splitlines() == without.splitlines()


def test_a_client_outside_is_balanced_and_hidden():
    node = Node()
    node.serve()
    assert [node.get(node.client) for _ in range(4)] == ["6 saw 10.0.0.2", "5 saw 10.0.0.2"] * 2


def test_the_host_reaches_its_own_ports_by_any_address():
    node = Node()
    node.serve()
    assert node.get(node.host) == "6 saw 10.0.0.2"
    assert node.get(node.host, "127.0.0.1") == "5 saw 10.0.0.2"


def test_a_service_goes_as_its_tasks_go():
    node = Node()
    service = node.serve()
    first, second = parse_ip("10.0.0.5"), parse_ip("10.0.0.6")
    node.balancer.disable_backend(service, first)
    assert {node.get(node.client) for _ in range(3)} == {"6 saw 10.0.0.2"}
    node.balancer.disable_backend(service, second)
    assert node.get(node.client) == "refused"
    node.balancer.remove_backend(service, first, is_last=False)
    node.balancer.remove_backend(service, second, is_last=True)
    assert node.get(node.client) == "refused"
    assert not node.sbox.has_address(VIP)
    assert node.sbox.ipvs.is_idle
    assert node.ingress.ports == ()


def test_tasks_serve_nothing_else_on_their_ingress_address():
    node = Node()
    node.serve()
    peer = node.namespace("peer")
    node.plug(peer, "10.0.0.99/24")
    assert node.get(peer, "10.0.0.5", 8080) == "5 saw 10.0.0.99"
    assert node.get(peer, "10.0.0.5", 80) == "5 saw 10.0.0.99"
    assert node.get(peer, "10.0.0.5", 81) == "timeout"
    assert node.get(node.tasks[0], "10.0.0.6", 80) == "timeout"  # nor do they begin anything from there


def test_a_port_is_programmed_once_and_goes_with_its_last_service():
    node = Node()
    first = node.serve()
    second = node.serve(mark=257, vip=parse_ip("10.0.0.40"))
    assert node.table("nat").count("--dport 8080") == 1
    for service, stays in ((first, 1), (second, 0)):
        for number in (5, 6):
            node.balancer.remove_backend(service, parse_ip(f"10.0.0.{number}"), is_last=number == 6)
        assert node.table("nat").count("--dport 8080") == stays
        assert node.table("filter").count(" 8080 ") == 2 * stays


def test_a_published_port_is_kept_from_others():
    node = Node()
    node.serve()
    other = TcpSocket(node.host)
    with pytest.raises(OSError, match="Address already in use"):
        other.bind(("0.0.0.0", 8080))


def test_a_port_that_is_taken_is_warned_of_and_served_all_the_same():
    node = Node()
    taken = TcpSocket(node.host)
    taken.bind(("0.0.0.0", 8080))
    taken.listen()
    node.serve()
    assert node.warnings == [
        "failed to create proxy for port 8080/tcp: listen tcp :8080: bind: address already in use"
    ]
    assert node.get(node.client) == "6 saw 10.0.0.2"


def test_rules_of_an_earlier_life_are_flushed():
    node = Node()
    tables = node.host.netfilter.iptables(4)
    tables.new_chain("nat", CHAIN)
    tables.append("nat", CHAIN, "-p tcp --dport 1 -j DNAT --to-destination 172.18.0.2:1")
    node.serve()
    assert "--dport 1 " not in node.table("nat")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_stale_alias_stops_older_engines(version):
    node = Node(version)
    node.sbox.add_address(node.sbox.devices["eth0"], "10.0.0.4/32")
    if node.profile.tolerates_stale_vip:
        node.serve()
        assert node.get(node.client) == "6 saw 10.0.0.2"
        return
    with pytest.raises(SystemFault, match=r"Failed add IP alias 10.0.0.4 to .* file exists"):
        node.serve()
    assert node.sbox.ipvs.is_idle
    assert node.table("mangle", node.sbox).count("-A ") == 0


def test_without_a_way_to_the_sandbox_nothing_is_programmed():
    node = Node()
    node.host.devices["docker_gwbridge"].set_down()
    with pytest.raises(SystemFault, match="failed to find gateway bridge interface name"):
        node.serve()
    assert not node.sbox.has_address(VIP)
    assert node.sbox.ipvs.is_idle
    assert node.ingress.ports == ()


def test_a_service_on_a_network_of_the_users():
    """No ports: every port of the virtual address is balanced, and a ping is answered by the sandbox itself."""
    node = Node()
    node.balancer = LoadBalancerSandbox(node.sbox, "eth0", (parse_ip("10.0.0.2"), 24), node.profile)
    service = LoadBalancer(VIP, 260)
    for number in (5, 6):
        node.balancer.add_backend(service, parse_ip(f"10.0.0.{number}"))
    client = node.tasks[0]
    assert [node.get(client, "10.0.0.4", port) for port in (80, 81, 80)] == [
        "6 saw 10.0.0.2", "5 saw 10.0.0.2", "6 saw 10.0.0.2",
    ]  # fmt: skip
    assert "PREROUTING -p" not in node.table("mangle", node.sbox)
    assert not node.host.netfilter.iptables(4).has_chain("nat", CHAIN)


def test_direct_server_return():
    node = Node()
    node.balancer = LoadBalancerSandbox(node.sbox, "eth0", (parse_ip("10.0.0.2"), 24), node.profile, is_dsr=True)
    service = LoadBalancer(VIP, 260)
    for number, task in enumerate(node.tasks, 5):
        node.balancer.add_backend(service, parse_ip(f"10.0.0.{number}"))
        add_virtual_ip(task, "eth0", VIP)
    client = node.namespace("c")
    node.plug(client, "10.0.0.99/24")
    assert [node.get(client, "10.0.0.4", 80) for _ in range(3)] == [
        "6 saw 10.0.0.99", "5 saw 10.0.0.99", "6 saw 10.0.0.99",
    ]  # fmt: skip
    assert "SNAT" not in node.table("nat", node.sbox)

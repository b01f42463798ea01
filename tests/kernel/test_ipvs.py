"""IPVS on a host between a client and its containers."""

import errno

import pytest
from support.wiring import Net

from cnmsim.kernel.address import format_ip, parse_ip
from cnmsim.kernel.events import DropReason, Step
from cnmsim.kernel.ipvs import IpvsState, Method
from cnmsim.kernel.skbuff import Packet
from cnmsim.kernel.sockets import TcpSocket, UdpSocket
from cnmsim.kernel.sockets.errors import QueuedError
from cnmsim.kernel.task import Task, run_until

VIP = "10.1.9.9"


class Balancer(Net):
    """The host balances 10.1.9.9 over containers 10.1.0.2 and up; the client is 192.168.5.2 behind it."""

    def __init__(self, count=3):
        super().__init__()
        self.host.sysctl_set("net.ipv4.ip_forward", "1")
        self.client = self.neighbour_host("client", "192.168.5.2/24", "192.168.5.1", "192.168.5.1/24")
        self.host.add_address(self.bridge, f"{VIP}/32")
        self.servers = {f"10.1.0.{n}": self.container(n) for n in range(2, 2 + count)}
        for address, namespace in self.servers.items():
            udp, tcp = UdpSocket(namespace), TcpSocket(namespace)
            udp.bind(("0.0.0.0", 53))
            tcp.bind(("0.0.0.0", 80))
            tcp.listen()
            Task(self.clock, self._answer(udp, address))
            Task(self.clock, self._greet(tcp, address))
        self.clock.run_ready()
        self.ipvs = self.host.ipvs

    async def _answer(self, udp, address):
        while True:
            _, peer = await udp.recvfrom()
            udp.sendto(f"{address} {format_ip(peer[0])}".encode(), peer)

    async def _greet(self, tcp, address):
        while True:
            accepted = await tcp.accept()
            accepted.send(address.encode())

    def service(self, protocol="udp", port=53, scheduler="rr", method="masq"):
        service = self.ipvs.add_service(protocol=protocol, address=VIP, port=port, scheduler=scheduler)
        for address in self.servers:
            self.ipvs.add_destination(service, address, port=port, method=method)
        return service

    def udp_socket(self):
        socket = UdpSocket(self.client)
        socket.connect((VIP, 53))
        return socket

    def ask(self, socket, watched=False):
        """Send one datagram. Return the address of the server that answered and the client address that it saw."""
        self.clock.context = self.witness if watched else None
        socket.send(b"?")
        self.clock.context = None
        return run_until(self.clock, socket.recvfrom(timeout=2))[0].decode()

    def connect(self):
        socket = TcpSocket(self.client)
        run_until(self.clock, socket.connect((VIP, 80), timeout=2))
        return socket, run_until(self.clock, socket.recv(timeout=2)).decode()

    @property
    def states(self):
        return [connection.state for connection in self.ipvs.connections.entries()]


@pytest.fixture
def lab():
    return Balancer()


def test_a_namespace_without_services_pays_nothing(lab):
    assert not lab.host.netfilter.is_active
    service = lab.service()
    assert lab.host.netfilter.is_active
    lab.ipvs.remove_service(service)
    assert lab.ipvs.is_idle
    assert not lab.host.netfilter.is_active


def test_every_namespace_has_the_sysctls_of_ipvs(lab):
    for namespace in (lab.host, lab.client):
        assert namespace.sysctl_get("net.ipv4.vs.conn_reuse_mode") == "1"
        assert namespace.sysctl_get("net.ipv4.vs.conntrack") == "0"


def test_a_trace_tells_which_service_chose_which_destination(lab):
    lab.service()
    lab.ask(lab.udp_socket(), watched=True)
    notes = [event for event in lab.witness.events if event.step is Step.NOTE and event.place == "host"]
    assert [(note.what, note.decision) for note in notes] == [
        ("IPVS chooses 10.1.0.4:53", "UDP 10.1.9.9:53 rr -> 10.1.0.4:53 Masq weight 1")
    ]
    written = [event for event in lab.witness.events if event.step is Step.TRANSLATED]
    assert [event.what for event in written] == [
        "destination translated by IPVS, UDP 10.1.9.9:53 rr",
        "source translated by IPVS, UDP 10.1.9.9:53 rr",
    ]
    assert written[0].decision.endswith(" > 10.1.0.4:53")
    assert "→ UDP 10.1.9.9:53 > 192.168.5.2:" in written[1].decision


def test_a_trace_tells_why_a_client_is_refused(lab):
    service = lab.service()
    for address in lab.servers:
        lab.ipvs.update_destination(service, address, port=53, weight=0)
    socket = lab.udp_socket()
    socket.recverr = True
    with pytest.raises(QueuedError) as refusal:
        lab.ask(socket, watched=True)
    assert (refusal.value.info.icmp_type, refusal.value.info.code) == (3, 3)
    assert format_ip(refusal.value.info.reporter) == VIP
    assert ("host", DropReason.NO_DESTINATION) in lab.witness.drops
    assert "IPVS has no destination to choose: all 3 have weight 0" in lab.witness.texts(Step.DROPPED)


def test_timeouts_follow_the_tcp_states(lab):
    lab.service("tcp", 80)
    socket, _ = lab.connect()
    (connection,) = lab.ipvs.connections.entries()
    assert (connection.state, connection.destination.active) == (IpvsState.ESTABLISHED, 1)
    assert 895 <= lab.ipvs.remaining_s(connection) <= 900
    socket.close()
    lab.clock.run_for(1)
    assert lab.states == [IpvsState.CLOSE_WAIT]  # the server never closes
    assert connection.destination.inactive == 1
    lab.clock.run_for(60)
    assert lab.states == []
    assert (connection.destination.active, connection.destination.inactive) == (0, 0)


def test_idle_udp_is_forgotten_after_five_minutes(lab):
    lab.service()
    socket = lab.udp_socket()
    first = lab.ask(socket)
    lab.clock.run_for(299)
    assert lab.ask(socket) == first
    lab.clock.run_for(301)
    assert lab.ask(socket) != first


def test_set_timeouts(lab):
    lab.service()
    lab.ipvs.set_timeouts(0, 0, 10)
    assert lab.ipvs.timeouts == (900, 120, 10)
    lab.ask(lab.udp_socket())
    lab.clock.run_for(11)
    assert lab.states == []


def test_only_conntrack_mode_leaves_entries_in_conntrack(lab):
    lab.host.netfilter.set_always_tracking()
    lab.service()
    lab.ask(lab.udp_socket())
    assert lab.host.netfilter.conntrack.entries() == []
    lab.host.sysctl_set("net.ipv4.vs.conntrack", "1")
    lab.ask(lab.udp_socket())
    (tracked,) = lab.host.netfilter.conntrack.entries()
    assert format_ip(tracked.original[2]) == VIP
    assert format_ip(tracked.reply[1]) in lab.servers
    assert tracked.seen_reply


def test_conntrack_forgets_with_ipvs(lab):
    lab.host.netfilter.set_always_tracking()
    lab.host.sysctl_set("net.ipv4.vs.conntrack", "1")
    lab.host.sysctl_set("net.ipv4.vs.expire_nodest_conn", "1")
    service = lab.service("tcp", 80)
    lab.connect()
    lab.ipvs.remove_service(service)
    assert lab.host.netfilter.conntrack.count == 0


def test_backup_only_balances_nothing(lab):
    lab.service()
    lab.host.sysctl_set("net.ipv4.vs.backup_only", "1")
    with pytest.raises(OSError) as refusal:
        lab.ask(lab.udp_socket())
    assert refusal.value.errno == errno.ECONNREFUSED


def test_what_does_not_fit_the_way_to_the_server_is_answered(lab):
    service = lab.service()
    for address in list(lab.servers)[1:]:
        lab.ipvs.remove_destination(service, address, port=53)
    lab.bridge.set_mtu(1000)
    socket = lab.udp_socket()
    socket.dont_fragment = True
    socket.recverr = True
    socket.send(bytes(1200))
    with pytest.raises(QueuedError) as refusal:
        run_until(lab.clock, socket.recvfrom(timeout=2))
    assert (refusal.value.info.icmp_type, refusal.value.info.code, refusal.value.info.info) == (3, 4, 1000)


def test_fragments_of_a_request_and_of_its_answer_are_balanced(lab):
    lab.service()
    socket = lab.udp_socket()
    socket.dont_fragment = False
    socket.send(bytes(4000))
    answer, _ = run_until(lab.clock, socket.recvfrom(timeout=2))
    assert answer.decode().startswith("10.1.0.4 ")


def test_an_icmp_error_of_the_server_comes_from_the_virtual_address(lab):
    service = lab.ipvs.add_service(protocol="udp", address=VIP, port=53)
    lab.ipvs.add_destination(service, "10.1.0.2", port=9)
    socket = lab.udp_socket()
    socket.recverr = True
    with pytest.raises(QueuedError) as refusal:
        lab.ask(socket)
    info = refusal.value.info
    assert (info.icmp_type, info.code, format_ip(info.reporter)) == (3, 3, VIP)
    assert (format_ip(info.dst), info.dport) == (VIP, 53)


def test_a_tunnel_carries_the_packet_as_it_was(lab):
    service = lab.service(method="tunnel")
    arrived = []
    for namespace in lab.servers.values():
        namespace.register_protocol(4, arrived.append)
    lab.udp_socket().send(b"?")
    lab.clock.run_for(1)
    (outer,) = arrived
    assert (format_ip(outer.src), format_ip(outer.dst)) == ("10.1.0.1", "10.1.0.4")
    inner = Packet(outer.payload)
    assert (format_ip(inner.src), format_ip(inner.dst), inner.dport) == ("192.168.5.2", VIP, 53)
    assert service.destinations[0].method is Method.TUNNELING


def test_direct_routing_leaves_the_packet_alone(lab):
    lab.service("tcp", 80, method="dr")
    for namespace in lab.servers.values():
        namespace.add_address(namespace.loopback, f"{VIP}/32")
        namespace.sysctl_set("net.ipv4.conf.all.arp_ignore", "1")
        namespace.sysctl_set("net.ipv4.conf.all.arp_announce", "2")
    lab.client = lab.container(50)  # the replies bypass the load balancer
    assert [lab.connect()[1] for _ in range(3)] == ["10.1.0.4", "10.1.0.3", "10.1.0.2"]
    assert not any(connection.sees_replies for connection in lab.ipvs.connections.entries())


def test_a_destination_on_the_balancer_itself(lab):
    udp = UdpSocket(lab.host)
    udp.bind(("0.0.0.0", 5300))
    Task(lab.clock, lab._answer(udp, "host"))
    service = lab.ipvs.add_service(protocol="udp", address=VIP, port=53)
    lab.ipvs.add_destination(service, "192.168.5.1", port=5300)
    assert lab.ask(lab.udp_socket()) == "host 192.168.5.2"


def test_a_ping_to_the_virtual_address_stays_here(lab):
    service = lab.ipvs.add_service(fwmark=1)
    lab.host.netfilter.iptables(4).execute(
        ["-t", "mangle", "-A", "INPUT", "-d", VIP, "-j", "MARK", "--set-mark", "1"]
    )
    assert lab.ping(lab.client, VIP) == [f"ICMP echo reply {VIP} > 192.168.5.2"]
    assert service.counters.in_packets == 0


def test_marks_come_before_addresses(lab):
    lab.service()
    marked = lab.ipvs.add_service(fwmark=7)
    lab.ipvs.add_destination(marked, "10.1.0.2")
    lab.host.netfilter.iptables(4).execute(
        ["-t", "mangle", "-A", "PREROUTING", "-p", "udp", "-j", "MARK", "--set-mark", "7"]
    )
    assert [lab.ask(lab.udp_socket()).split()[0] for _ in range(3)] == ["10.1.0.2"] * 3


REFUSALS = {
    "a second service": (lambda ipvs, s: ipvs.add_service(protocol="udp", address=VIP, port=53), errno.EEXIST),
    "an unknown scheduler": (lambda ipvs, s: ipvs.add_service(fwmark=3, scheduler="best"), errno.ENOENT),
    "port 0": (lambda ipvs, s: ipvs.add_service(protocol="udp", address=VIP), errno.EINVAL),
    "another protocol": (
        lambda ipvs, s: ipvs.add_service(protocol="icmp", address=VIP, port=1),
        errno.EPROTONOSUPPORT,
    ),
    "no address": (lambda ipvs, s: ipvs.add_service(protocol="udp", address="here", port=1), errno.EAFNOSUPPORT),
    "a service that is not here": (lambda ipvs, s: ipvs.find_service(fwmark=9), errno.ESRCH),
    "a second destination": (lambda ipvs, s: ipvs.add_destination(s, "10.1.0.2", port=53), errno.EEXIST),
    "another family": (lambda ipvs, s: ipvs.add_destination(s, "fd00::1"), errno.EINVAL),
    "a weight below zero": (lambda ipvs, s: ipvs.add_destination(s, "10.1.0.99", weight=-1), errno.ERANGE),
    "no such destination": (lambda ipvs, s: ipvs.update_destination(s, "10.1.0.99"), errno.ENOENT),
    "nothing to remove": (lambda ipvs, s: ipvs.remove_destination(s, "10.1.0.99"), errno.ENOENT),
    "another scheduler, unknown": (lambda ipvs, s: ipvs.edit_service(s, scheduler="best"), errno.ENOENT),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refused_and_nothing_changed(lab, name):
    service = lab.service()
    call, number = REFUSALS[name]
    before = lab.ipvs.generation
    with pytest.raises(OSError) as refusal:
        call(lab.ipvs, service)
    assert refusal.value.errno == number
    assert lab.ipvs.generation == before
    assert lab.ipvs.services == [service]
    assert len(service.destinations) == 3


def test_the_address_of_a_destination_may_be_in_use_twice(lab):
    """Two services, one client port, one destination: the reply goes to the newer connection, as in Linux."""
    lab.service()
    other = lab.ipvs.add_service(protocol="udp", address="10.1.0.1", port=53)
    lab.ipvs.add_destination(other, "10.1.0.4", port=53)
    socket = UdpSocket(lab.client)
    socket.bind(("0.0.0.0", 7000))
    for address in (VIP, "10.1.0.1"):
        socket.sendto(b"?", (address, 53))
        _, peer = run_until(lab.clock, socket.recvfrom(timeout=2))
        assert peer == (parse_ip(address), 53)
    assert len(lab.ipvs.connections) == 2


def test_a_tunnel_to_a_real_server_leaves_room_for_its_header(lab):
    lab.service(method="tunnel")
    arrived = []
    for namespace in lab.servers.values():
        namespace.register_protocol(4, lambda packet: arrived.append(len(packet.data)))
    for size, fits in ((1480 - 28, True), (1481 - 28, False)):
        arrived.clear()
        lab.clock.context = lab.witness
        lab.udp_socket().send(bytes(size))
        lab.clock.run_for(1)
        lab.clock.context = None
        assert (arrived == [1500]) is fits
        assert (("host", DropReason.FRAGMENTATION_NEEDED) in lab.witness.drops) is not fits


def test_a_packet_whose_ttl_ends_at_the_balancer_is_answered_and_goes_nowhere(lab):
    lab.service(method="dr")
    socket = lab.udp_socket()
    socket.recverr, socket.ttl = True, 1
    with pytest.raises(QueuedError) as error:
        lab.ask(socket, watched=True)
    assert (error.value.info.icmp_type, error.value.info.code) == (11, 0)
    assert ("host", DropReason.TTL_EXCEEDED) in lab.witness.drops


def test_a_destination_comes_back_only_while_its_connections_last(lab):
    service = lab.service()
    lab.ask(lab.udp_socket())
    (connection,) = lab.ipvs.connections.entries()
    removed, address = connection.destination, format_ip(connection.real)
    lab.ipvs.remove_destination(service, address, port=53)
    lab.ipvs.add_destination(service, address, port=53)
    assert any(each is removed for each in service.destinations)
    lab.ipvs.remove_destination(service, address, port=53)
    lab.clock.run_for(400)  # the connection of UDP ends after 300 s
    lab.ipvs.add_destination(service, address, port=53)
    assert not any(each is removed for each in service.destinations)

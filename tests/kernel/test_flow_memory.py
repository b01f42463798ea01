"""Which flows a namespace caches: only those that last."""

from cnmsim import Lab
from cnmsim.kernel.address import parse_ip
from cnmsim.kernel.netfilter.extension import Extension
from cnmsim.kernel.netfilter.hooks import ChainType, Dependency, Hook, Registration
from cnmsim.kernel.netfilter.matches.kind import MatchKind
from cnmsim.kernel.netfilter.nftables.datatypes import INTEGER
from cnmsim.kernel.netfilter.nftables.keys import Key
from cnmsim.kernel.netfilter.nftables.statements import Statement
from cnmsim.kernel.skbuff import Packet
from cnmsim.kernel.sockets import TcpSocket, UdpSocket

SERVER = parse_ip("10.0.1.2"), 7000


def lab_with_a_router():
    lab = Lab()
    lab.add_router("router", "10.0.0.1/24", "10.0.1.1/24")
    client = lab.add_host("client", "10.0.0.2/24", gateway="10.0.0.1").namespace
    server = lab.add_host("server", "10.0.1.2/24", gateway="10.0.1.1").namespace
    return lab, client, server


def test_a_connection_is_remembered_from_its_sixth_packet_on():
    lab, client, server = lab_with_a_router()
    listener = TcpSocket(server)
    listener.bind((bytes(4), 7000))
    listener.listen()
    socket = TcpSocket(client)
    socket.start_connect(SERVER)
    lab.run(1)  # SYN, ACK
    router = lab.host("router").namespace.flows
    remembered = []
    for _ in range(5):
        socket.send(b"x")
        lab.run(1)
        remembered.append(len(router.received))
    assert remembered == [0, 0, 0, 1, 2]  # then the answers, of which the first is the SYN/ACK


def test_packets_of_a_remembered_flow_keep_their_connection_as_linux_does():
    # The timeouts are tcp_timeouts in nf_conntrack_proto_tcp.c and udp_timeouts in nf_conntrack_proto_udp.c. A data
    # segment in either direction begins the five days of an established connection again, whatever its age.
    lab, client, server = lab_with_a_router()
    router = lab.host("router")
    router.exec("iptables -A FORWARD -m conntrack --ctstate NEW,ESTABLISHED -j ACCEPT")
    listener = TcpSocket(server)
    listener.bind((bytes(4), 7000))
    listener.listen()
    socket = TcpSocket(client)
    socket.start_connect(SERVER)
    lab.run(0.1)

    def entry():
        return router.exec("conntrack -L -p tcp").output.split()[2:4]

    for pause_s in [0.05] * 8 + [10.0] * 8:
        socket.send(b"x")
        lab.run(0.01)
        assert entry() == ["431999", "ESTABLISHED"]
        lab.run(pause_s)
    assert router.namespace.flows.received
    socket.close()
    lab.run(0.01)
    assert entry() == ["59", "CLOSE_WAIT"]


def test_datagrams_of_a_remembered_flow_have_half_a_minute_and_as_a_stream_two():
    lab, client, server = lab_with_a_router()
    router = lab.host("router")
    router.exec("iptables -A FORWARD -m conntrack --ctstate NEW,ESTABLISHED -j ACCEPT")
    echo = UdpSocket(server)
    echo.bind((bytes(4), 7000))
    socket = UdpSocket(client)
    timeouts = []
    for _ in range(8):
        socket.sendto(b"x", SERVER)
        lab.run(0.01)
        echo.sendto(b"y", (parse_ip("10.0.0.2"), socket.getsockname()[1]))
        lab.run(0.01)
        timeouts.append(int(router.exec("conntrack -L -p udp").output.split()[2]))
        lab.run(0.46)
    assert router.namespace.flows.received
    assert timeouts == [29] * 5 + [119] * 3  # a stream is older than two seconds


def test_datagrams_are_remembered_from_the_second_on():
    lab, client, server = lab_with_a_router()
    UdpSocket(server).bind((bytes(4), 7000))
    socket = UdpSocket(client)
    router = lab.host("router").namespace.flows
    remembered = []
    for _ in range(3):
        socket.sendto(b"x", SERVER)
        lab.run(1)
        remembered.append(len(router.received))
    assert remembered == [0, 1, 1]


def test_a_match_or_a_hook_step_that_declares_nothing_is_never_cached():
    def pass_all(packet: Packet) -> bool:
        del packet
        return True

    assert MatchKind("m", (), lambda *_: pass_all, lambda *_: "").dependency(Extension("m")) is Dependency.ANYTHING
    assert Registration(Hook.INPUT, 0, 1, ChainType.FILTER, pass_all).depends is Dependency.ANYTHING
    assert not Key("field", INTEGER, lambda _: lambda _: 1).is_flow_constant
    assert not Statement.is_cacheable


def test_the_checksum_of_a_remembered_datagram_is_right_for_every_length():
    lab, client, server = lab_with_a_router()
    receiver, socket = UdpSocket(server), UdpSocket(client)
    receiver.bind((bytes(4), 7000))
    contents = [bytes(range(1, length + 1)) for length in (4, 4, 4, 1, 2, 3, 7, 8, 0, 255)]
    received = []
    for content in contents:  # a datagram with a wrong checksum is dropped (RFC 768)
        socket.sendto(content, SERVER)
        lab.run(0.1)
        received.append(receiver.recvfrom_nowait()[0] if receiver.pending else None)
    assert client.flows.received or lab.host("router").namespace.flows.received
    assert received == contents

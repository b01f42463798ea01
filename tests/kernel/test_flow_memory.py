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

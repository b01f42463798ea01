"""The embedded name server."""

from functools import cache
from random import Random

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnmsim.kernel.address import Address, format_ip, parse_ip
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.device import Veth
from cnmsim.kernel.events import Event, Step
from cnmsim.kernel.machine import Machine
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.kernel.task import run_until, sleep
from cnmsim.libnetwork.dnsmessage import (
    Query,
    Rejection,
    address_record,
    answer,
    pointer_record,
    rcode_of,
    read_query,
    reversed_address,
)
from cnmsim.libnetwork.resolvconf import Nameserver, Upstream
from cnmsim.libnetwork.resolver import Resolver


def query(name: str, kind: str = "A", **options: object) -> bytes:
    return dns.message.make_query(name, kind, id=4711, **options).to_wire()  # type: ignore[arg-type]


def read(wire: bytes | None) -> dns.message.Message:
    assert wire is not None
    return dns.message.from_wire(wire)


def addresses(message: dns.message.Message) -> list[str]:
    return [item.to_text() for rrset in message.answer for item in rrset]


# ---- messages


def test_an_answer_is_the_servers_own_but_not_authoritative() -> None:
    question = read_query(query("DB1."))
    assert isinstance(question, Query)
    message = read(answer(question, [address_record(parse_ip("172.18.0.2"))], limit=512))
    assert message.flags == dns.flags.QR | dns.flags.RD | dns.flags.RA
    assert [rrset.to_text() for rrset in message.answer] == ["DB1. 600 IN A 172.18.0.2"]
    assert message.id == 4711
    assert message.edns == -1


def test_an_answer_is_not_compressed_as_long_as_it_fits() -> None:
    question = read_query(query("db1"))
    assert isinstance(question, Query)
    wire = answer(question, [address_record(parse_ip("172.18.0.2"))], limit=512)
    assert wire[12:].count(b"\x03db1\x00") == 2


@pytest.mark.parametrize(
    ("limit", "count", "truncated"), [(1000, 50, False), (827, 50, False), (826, 49, True), (512, 30, True)]
)
def test_what_does_not_fit_is_cut_from_the_end_and_marked(limit: int, count: int, truncated: bool) -> None:
    question = read_query(query("many.app1"))
    assert isinstance(question, Query)
    records = [address_record(parse_ip(f"10.0.0.{n}")) for n in range(50)]
    wire = answer(question, records, limit=limit)
    assert len(wire) <= limit
    message = read(wire)
    assert len(addresses(message)) == count
    assert bool(message.flags & dns.flags.TC) == truncated


@pytest.mark.parametrize(
    ("options", "is_tcp", "limit"),
    [
        ({}, False, 512),
        ({"use_edns": 0, "payload": 1232}, False, 1232),
        ({"use_edns": 0, "payload": 100}, False, 512),
        ({}, True, 65535),
    ],
)
def test_the_client_says_how_long_an_answer_may_be(options: dict[str, int], is_tcp: bool, limit: int) -> None:
    question = read_query(query("db", **options))
    assert isinstance(question, Query)
    assert question.limit(is_tcp=is_tcp) == limit


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("2.0.18.172.in-addr.arpa.", "172.18.0.2"),
        ("1." + "0." * 30 + "f.ip6.arpa.", "f000::1"),
        ("2.0.18.172.IN-ADDR.ARPA.", None),
        ("0.18.172.in-addr.arpa.", None),
        ("300.0.18.172.in-addr.arpa.", None),
        ("db1.", None),
    ],
)
def test_a_reversed_name_stands_for_an_address(name: str, address: str | None) -> None:
    found = reversed_address(name)
    assert (found and format_ip(found)) == address


@given(st.binary(min_size=16, max_size=16))
def test_every_ipv6_address_has_a_reversed_name(address: bytes) -> None:
    name = ".".join(reversed(address.hex())) + ".ip6.arpa."
    assert reversed_address(name) == address


@pytest.mark.parametrize(
    ("wire", "response"),
    [
        (b"\x12\x34\x01\x00", None),
        (b"\x12\x34\x81\x00" + bytes(8), None),
        (b"\x12\x34\x01\x00" + bytes(8), b"\x12\x34\x81\x01" + bytes(8)),
        (b"\x12\x34\x29\x00" + b"\x00\x01" + bytes(6), b"\x12\x34\xa9\x04" + bytes(8)),
        (b"\x12\x34\x01\x00\x00\x01" + bytes(6) + b"\x05cut", b"\x12\x34\x81\x01" + bytes(8)),
    ],
)
def test_what_is_no_query_is_dropped_or_refused_from_its_header(wire: bytes, response: bytes | None) -> None:
    assert read_query(wire) == Rejection(response)


def with_records(answers: int, authorities: int, additionals: int) -> bytes:
    """A query for `db.` with so many A records in its other sections, all of them readable."""
    record = b"\x02db\x00" + address_record(parse_ip("10.0.0.1"))
    counts = b"".join(count.to_bytes(2) for count in (1, answers, authorities, additionals))
    question = b"\x02db\x00" + bytes((0, 1, 0, 1))
    return b"\x12\x34\x01\x00" + counts + question + record * (answers + authorities + additionals)


@pytest.mark.parametrize("counts", [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 2), (1, 1, 2)])
def test_a_query_may_have_an_answer_an_authority_and_two_additional_records(counts: tuple[int, int, int]) -> None:
    # miekg/dns acceptfunc.go: NOTIFY has a SOA in the answer section, IXFR one in the authority section, and EDNS
    # and TSIG are additional records.
    query = read_query(with_records(*counts))
    assert isinstance(query, Query)
    assert (query.name, query.kind, query.question_class) == ("db.", 1, 1)


def test_bytes_after_a_message_are_ignored() -> None:
    # miekg/dns Msg.Unpack: "extra bytes in dns packet" are no error.
    assert read_query(query("db") + b"junk") == read_query(query("db"))
    assert rcode_of(b"\x12\x34\x81\x83\x00\x01" + bytes(6) + b"\x02db\x00\x00\x01\x00\x01junk") == 3


@pytest.mark.parametrize(
    ("flags", "rcode"), [(b"\x81\x80", 0), (b"\x81\x82", 2), (b"\x81\x85", 5), (b"\x01\x00", None)]
)
def test_the_response_code_of_an_answer_and_none_of_a_query(flags: bytes, rcode: int | None) -> None:
    assert rcode_of(b"\x12\x34" + flags + b"\x00\x01" + bytes(6) + b"\x02db\x00\x00\x01\x00\x01") == rcode
    assert rcode_of(b"\x12\x34" + flags + b"\x00\x01") is None


@pytest.mark.parametrize("counts", [(2, 0, 0), (0, 2, 0), (0, 0, 3)])
def test_a_query_with_more_records_is_refused(counts: tuple[int, int, int]) -> None:
    assert read_query(with_records(*counts)) == Rejection(b"\x12\x34\x81\x01" + bytes(8))


@pytest.mark.parametrize(
    ("opcode", "is_query"), [(0, True), (1, False), (2, False), (3, False), (4, True), (5, False)]
)
def test_only_queries_and_notifications_are_read(opcode: int, is_query: bool) -> None:
    wire = bytearray(query("db"))
    wire[2] = wire[2] & ~0x78 | opcode << 3
    assert isinstance(read_query(bytes(wire)), Query) == is_query


def test_an_answer_keeps_the_queries_wish_for_recursion_and_for_no_checks_and_claims_no_more() -> None:
    wire = bytearray(query("db"))
    wire[2:4] = b"\x07\x7f"  # AA, TC, RD; Z, AD, CD and a code
    question = read_query(bytes(wire))
    assert isinstance(question, Query)
    assert answer(question, limit=512)[2:4] == b"\x81\x90"  # QR, RD; RA, CD
    assert answer(question, limit=512, rcode=2)[2:4] == b"\x81\x12"  # without RA


@given(st.one_of(st.binary(max_size=80), st.binary(max_size=60).map(lambda tail: query("db.app")[:12] + tail)))
def test_any_bytes_are_a_query_or_refused(wire: bytes) -> None:
    found = read_query(wire)
    assert isinstance(found, Query | Rejection)
    if isinstance(found, Query):
        read(answer(found, [address_record(bytes(4))], limit=512))


@given(st.integers(0, 500), st.integers(0, 255))
def test_a_query_with_one_byte_changed_is_a_query_or_refused(position: int, value: int) -> None:
    wire = bytearray(query("a.db.app", "AAAA", use_edns=0, payload=1232))
    wire[position % len(wire)] = value
    assert isinstance(read_query(bytes(wire)), Query | Rejection)


def test_a_name_that_cannot_be_pointed_at_is_an_error() -> None:
    with pytest.raises(ValueError, match="invalid domain name"):
        pointer_record("a..b")


# ---- the server


class Names:
    """The names of two containers on a network called `app`, and the way out."""

    def __init__(self) -> None:
        self.known = {"db1": ["172.18.0.2"], "db": ["172.18.0.2", "172.18.0.3", "172.18.0.3"]}
        self.has_external_access = True

    def resolve_name(self, name: str, family: int) -> list[Address] | None:
        found = self.known.get(name.removesuffix(".").removesuffix(".app").lower())
        if found is None:
            return None
        return [parse_ip(each) for each in found if family == 4]

    def resolve_address(self, address: Address) -> str | None:
        return "db1.app" if address == parse_ip("172.18.0.2") else None


class Trace:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def report(self, event: Event) -> None:
        self.events.append(event)

    @property
    def notes(self) -> list[tuple[str, str]]:
        return [(event.what, event.decision) for event in self.events if event.step is Step.NOTE]


class Bench:
    """A container without networks, its resolver, and servers on loopback addresses of either namespace."""

    def __init__(self, *upstreams: Upstream, ndots_set: bool = False) -> None:
        self.clock = Clock()
        self.machine = Machine("node1", self.clock)
        self.machine.root.loopback.set_up()
        self.namespace = self.machine.new_namespace("web")
        self.namespace.loopback.set_up()
        self.names = Names()
        self.resolver = Resolver(
            self.namespace, self.machine.root, self.names, upstreams, Random(1), ndots_set=ndots_set
        )
        self.resolver.start()

    def serve(
        self, namespace: NetworkNamespace, address: str, rcode: int | None, record: str = "", family: int = 4
    ) -> None:
        """Answer every question with a response code and an address; `None`: say nothing."""

        def respond(wire: bytes) -> bytes:
            question = dns.message.from_wire(wire)
            response = dns.message.make_response(question)
            response.set_rcode(dns.rcode.Rcode(rcode or 0))
            if record:
                response.answer.append(dns.rrset.from_text(question.question[0].name, 5, "IN", "A", record))
            return response.to_wire()

        async def main(process: object) -> int:
            socket = process.udp(family)  # type: ignore[attr-defined]
            socket.bind((address, 53))
            listener = process.tcp(family)  # type: ignore[attr-defined]
            listener.bind((address, 53))
            listener.listen()
            process.task(over_tcp(listener))  # type: ignore[attr-defined]
            while True:
                wire, client = await socket.recvfrom()
                if rcode is not None:
                    socket.sendto(respond(wire), client)

        async def over_tcp(listener: object) -> None:
            while True:
                client = await listener.accept()  # type: ignore[attr-defined]
                data = await client.recv()
                response = respond(data[2:])
                client.send(len(response).to_bytes(2) + response)

        self.machine.spawn(main, ["server"], namespace=namespace)

    def ask(self, name: str, kind: str = "A", **options: object) -> dns.message.Message:
        return read(self.exchange(query(name, kind, **options)))

    def exchange(self, wire: bytes, timeout_s: float = 20) -> bytes:
        async def main() -> bytes:
            from cnmsim.kernel.sockets.udp import UdpSocket

            socket = UdpSocket(self.namespace)
            socket.connect(("127.0.0.11", 53))
            socket.send(wire)
            response, peer = await socket.recvfrom(timeout_s)
            assert peer == (parse_ip("127.0.0.11"), 53)
            socket.close()
            return response

        return run_until(self.clock, main(), timeout_s + 1)

    def ask_over_tcp(self, *wires: bytes) -> list[dns.message.Message]:
        async def main() -> list[dns.message.Message]:
            from cnmsim.kernel.sockets.tcp import TcpSocket

            socket = TcpSocket(self.namespace)
            await socket.connect(("127.0.0.11", 53))
            for wire in wires:
                socket.send(len(wire).to_bytes(2) + wire)
            received, messages = b"", []
            while len(messages) < len(wires):
                received += await socket.recv(timeout=20)
                while len(received) >= 2 and len(received) >= (end := 2 + int.from_bytes(received[:2])):
                    messages.append(read(received[2:end]))
                    received = received[end:]
            socket.close()
            return messages

        return run_until(self.clock, main(), 30)


def container(address: str) -> Upstream:
    return Upstream(Nameserver(parse_ip(address)), from_host=False)


def host(address: str) -> Upstream:
    return Upstream(Nameserver(parse_ip(address)), from_host=True)


def test_the_rules_lead_port_53_to_the_resolvers_sockets() -> None:
    bench = Bench()
    udp, tcp = bench.resolver.ports
    assert udp != 53
    assert tcp != 53
    rules = bench.namespace.netfilter.iptables(4).save("nat").splitlines()
    assert [rule for rule in rules if rule.startswith("-A")] == [
        "-A OUTPUT -d 127.0.0.11/32 -j DOCKER_OUTPUT",
        "-A POSTROUTING -d 127.0.0.11/32 -j DOCKER_POSTROUTING",
        f"-A DOCKER_OUTPUT -d 127.0.0.11/32 -p tcp -m tcp --dport 53 -j DNAT --to-destination 127.0.0.11:{tcp}",
        f"-A DOCKER_OUTPUT -d 127.0.0.11/32 -p udp -m udp --dport 53 -j DNAT --to-destination 127.0.0.11:{udp}",
        f"-A DOCKER_POSTROUTING -s 127.0.0.11/32 -p tcp -m tcp --sport {tcp} -j SNAT --to-source :53",
        f"-A DOCKER_POSTROUTING -s 127.0.0.11/32 -p udp -m udp --sport {udp} -j SNAT --to-source :53",
    ]


def test_a_restarted_resolver_replaces_its_rules() -> None:
    bench = Bench()
    bench.resolver.stop()
    bench.resolver.start()
    assert len([rule for rule in bench.namespace.netfilter.iptables(4).save("nat").splitlines() if "-A" in rule]) == 6
    assert addresses(bench.ask("db1")) == ["172.18.0.2"]


def test_a_known_name_is_answered() -> None:
    assert addresses(Bench().ask("db1.app")) == ["172.18.0.2"]


def test_several_addresses_come_shuffled_and_without_repetition() -> None:
    bench = Bench()
    orders = {tuple(addresses(bench.ask("db"))) for _ in range(20)}
    assert orders == {("172.18.0.2", "172.18.0.3"), ("172.18.0.3", "172.18.0.2")}


def test_a_known_name_without_address_of_the_family_is_an_empty_answer() -> None:
    response = Bench().ask("db1", "AAAA")
    assert (response.rcode(), response.answer) == (dns.rcode.NOERROR, [])


def test_mx_of_a_known_name_is_an_empty_answer() -> None:
    response = Bench().ask("db1", "MX")
    assert (response.rcode(), response.answer) == (dns.rcode.NOERROR, [])


def test_the_name_of_an_address_is_answered() -> None:
    assert addresses(Bench().ask("2.0.18.172.in-addr.arpa", "PTR")) == ["db1.app."]


@pytest.mark.parametrize("kind", ["TXT", "SRV", "NS", "SOA", "ANY", "HTTPS"])
def test_other_types_of_known_names_are_forwarded(kind: str) -> None:
    bench = Bench(container("127.0.0.53"))
    bench.serve(bench.namespace, "127.0.0.53", dns.rcode.NXDOMAIN)
    assert bench.ask("db1", kind).rcode() == dns.rcode.NXDOMAIN


def test_without_upstream_an_unknown_name_fails() -> None:
    assert Bench().ask("www.example.com").rcode() == dns.rcode.SERVFAIL


@pytest.mark.parametrize("kind", ["A", "AAAA"])
def test_a_single_label_is_not_forwarded_where_ndots_is_set(kind: str) -> None:
    bench = Bench(ndots_set=True)
    assert bench.ask("www", kind).rcode() == dns.rcode.NOERROR
    assert bench.ask("www", "TXT").rcode() == dns.rcode.SERVFAIL
    assert bench.ask("www.example.com", kind).rcode() == dns.rcode.SERVFAIL


@pytest.mark.parametrize("from_host", [True, False])
def test_a_question_is_forwarded_from_the_upstreams_namespace(from_host: bool) -> None:
    bench = Bench(Upstream(Nameserver(parse_ip("127.0.0.53")), from_host))
    bench.serve(bench.machine.root, "127.0.0.53", 0, "203.0.113.1")
    bench.serve(bench.namespace, "127.0.0.53", 0, "203.0.113.2")
    assert addresses(bench.ask("www.example.com")) == ["203.0.113.1" if from_host else "203.0.113.2"]


@pytest.mark.parametrize("rcode", [dns.rcode.SERVFAIL, dns.rcode.REFUSED])
def test_a_failing_server_makes_room_for_the_next(rcode: int) -> None:
    bench = Bench(host("127.0.0.53"), host("127.0.0.54"))
    bench.serve(bench.machine.root, "127.0.0.53", rcode)
    bench.serve(bench.machine.root, "127.0.0.54", 0, "203.0.113.1")
    assert addresses(bench.ask("www.example.com")) == ["203.0.113.1"]


def test_that_a_name_does_not_exist_is_final() -> None:
    bench = Bench(host("127.0.0.53"), host("127.0.0.54"))
    bench.serve(bench.machine.root, "127.0.0.53", dns.rcode.NXDOMAIN)
    bench.serve(bench.machine.root, "127.0.0.54", 0, "203.0.113.1")
    assert bench.ask("www.example.com").rcode() == dns.rcode.NXDOMAIN


def test_a_silent_server_is_given_up_after_4_seconds() -> None:
    bench = Bench(host("127.0.0.53"), host("127.0.0.54"))
    bench.serve(bench.machine.root, "127.0.0.53", None)
    bench.serve(bench.machine.root, "127.0.0.54", 0, "203.0.113.1")
    assert addresses(bench.ask("www.example.com")) == ["203.0.113.1"]
    assert 4.0 <= bench.clock.now < 4.1


def test_only_the_first_three_servers_are_asked() -> None:
    bench = Bench(*(host(f"127.0.0.{n}") for n in (50, 51, 52, 53)))
    bench.serve(bench.machine.root, "127.0.0.53", 0, "203.0.113.1")
    assert bench.ask("www.example.com").rcode() == dns.rcode.SERVFAIL


def test_a_server_that_cannot_be_reached_is_given_up_at_once() -> None:
    bench = Bench(container("203.0.113.10"))
    assert bench.ask("www.example.com").rcode() == dns.rcode.SERVFAIL
    assert bench.clock.now < 0.1


def test_its_own_address_is_no_upstream() -> None:
    bench = Bench(container("127.0.0.11"))
    assert bench.ask("www.example.com").rcode() == dns.rcode.SERVFAIL


def test_without_a_way_out_only_servers_of_the_containers_side_are_asked() -> None:
    bench = Bench(host("127.0.0.53"), container("127.0.0.54"))
    bench.serve(bench.machine.root, "127.0.0.53", 0, "203.0.113.1")
    bench.serve(bench.namespace, "127.0.0.54", 0, "203.0.113.2")
    bench.names.has_external_access = False
    assert addresses(bench.ask("www.example.com")) == ["203.0.113.2"]


@pytest.mark.parametrize("zone", ["eth0", "eth1"])
@pytest.mark.parametrize("is_tcp", [False, True])
def test_a_link_local_server_is_asked_on_the_link_of_its_zone(zone: str, is_tcp: bool) -> None:
    server = Nameserver(parse_ip("fe80::53"), zone)
    bench = Bench(Upstream(server, from_host=True))
    for number in range(2):
        router = bench.machine.new_namespace(f"router{number}")
        mac = bytes((2, 0, 0, 0, 0, number))
        near, far = Veth.pair(bench.clock, f"eth{number}", "eth0", mac, bytes((2, 0, 0, 0, 1, number)))
        bench.machine.root.add_device(near)
        router.add_device(far)
        near.set_up()
        far.set_up()
        router.add_address(far, "fe80::53/64", nodad=True)
        bench.serve(router, "fe80::53", 0, f"203.0.113.{number}", family=6)
    bench.clock.run(5)  # duplicate address detection
    found = bench.ask_over_tcp(query("www.example.com"))[0] if is_tcp else bench.ask("www.example.com")
    assert addresses(found) == [f"203.0.113.{zone[-1]}"]


def test_it_answers_over_tcp_and_forwards_over_tcp() -> None:
    bench = Bench(host("127.0.0.53"))
    bench.serve(bench.machine.root, "127.0.0.53", 0, "203.0.113.1")
    messages = bench.ask_over_tcp(query("db1"), query("www.example.com"))
    assert [addresses(message) for message in messages] == [["172.18.0.2"], ["203.0.113.1"]]


def test_a_long_answer_is_cut_over_udp_and_whole_over_tcp() -> None:
    bench = Bench()
    bench.names.known["many"] = [f"10.0.{n}.1" for n in range(60)]
    cut = bench.ask("many")
    assert cut.flags & dns.flags.TC
    assert len(addresses(cut)) == 30
    assert len(addresses(bench.ask("many", use_edns=0, payload=4096))) == 60
    assert len(addresses(bench.ask_over_tcp(query("many"))[0])) == 60


def test_the_trace_tells_who_was_asked_from_where_and_what_it_said() -> None:
    bench = Bench(host("127.0.0.53"))
    bench.serve(bench.machine.root, "127.0.0.53", dns.rcode.NXDOMAIN)
    bench.clock.run(0.001)
    trace = Trace()
    bench.clock.context = trace
    bench.ask("www.example.com")
    assert [what for what, _ in trace.notes] == [
        "resolver: A www.example.com., upstream 127.0.0.53: query forwarded",
        "resolver: A www.example.com., upstream 127.0.0.53: answered NXDOMAIN",
    ]
    assert trace.notes[0][1] == "upstream 127.0.0.53, queried from the host's namespace node1"


def test_a_stopped_resolver_leaves_the_port_closed() -> None:
    bench = Bench()
    bench.resolver.stop()
    assert not bench.resolver.is_running
    with pytest.raises(OSError, match="refused"):
        bench.ask("db1")


def test_the_resolver_ends_quietly_with_its_namespace() -> None:
    bench = Bench()
    bench.namespace.destroy()
    run_until(bench.clock, sleep(bench.clock, 1))


@cache
def shared() -> Bench:
    return Bench()


@given(st.binary(max_size=60))
def test_no_bytes_sent_to_it_stop_it(wire: bytes) -> None:
    bench = shared()
    run_until(bench.clock, bench.resolver.respond(wire), 20)
    run_until(bench.clock, bench.resolver.respond(wire, is_tcp=True), 20)
    assert addresses(bench.ask("db1")) == ["172.18.0.2"]

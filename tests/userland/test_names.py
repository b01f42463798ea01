"""The stub resolver and the programs that query name servers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.program_host import World

from cnmsim.kernel.address import parse_ip
from cnmsim.userland.libc.resolver import ResolverConfig, lookup_hosts, reverse_name

NAMES = {
    "www.example.com": ["A 203.0.113.10"],
    "six.example.com": ["A 10.0.0.7", "AAAA fd00::7"],
    "2.0.0.10.in-addr.arpa": ["PTR two.example.com."],
    "t.example.com": ["TXT hello", "MX 10 mail.example.com."],
}


@pytest.fixture
def world():
    world = World()
    world.serve_names(NAMES)
    return world


def test_busybox_nslookup_prints_an_answer_a_family(world):
    result = world.run("nslookup www.example.com")
    assert result.out == (
        "Server:\t\t10.0.0.2\nAddress:\t10.0.0.2:53\n\n"
        "Name:\twww.example.com\nAddress: 203.0.113.10\n\nNon-authoritative answer:\n\n"
    )
    assert result.status == 0


def test_busybox_nslookup_says_nxdomain_for_each_query(world):
    result = world.run("nslookup nope")
    assert result.out.count("** server can't find nope: NXDOMAIN\n\n") == 2
    assert result.status == 1


def test_busybox_nslookup_reads_types_and_addresses(world):
    assert world.run("nslookup 10.0.0.2").out.endswith("2.0.0.10.in-addr.arpa\tname = two.example.com\n\n")
    assert world.run("nslookup -type=txt t.example.com").out.endswith('t.example.com\ttext = "hello"\n\n')
    assert world.run("nslookup -type=mx t.example.com").out.endswith("mail exchanger = 10 mail.example.com\n\n")
    assert world.run("nslookup -type=zzz x").err == 'nslookup: invalid query type "zzz"\n'


def test_busybox_nslookup_gives_up_after_five_seconds(world):
    before = world.clock.now
    result = world.run("nslookup x 10.0.0.77")
    assert result.out == ";; connection timed out; no servers could be reached\n\n"
    assert world.clock.now - before == pytest.approx(5, abs=0.1)


def test_dig_prints_the_sections(world):
    out = world.host("dig www.example.com").out
    assert out.startswith(
        "\n; <<>> DiG 9.20.30-1~deb13u1-Debian <<>> www.example.com\n;; global options: +cmd\n;; Got answer:\n"
    )
    assert ";; flags: qr aa rd ra; QUERY: 1, ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 1\n" in out
    assert ";; QUESTION SECTION:\n;www.example.com.\t\tIN\tA\n\n" in out
    assert ";; ANSWER SECTION:\nwww.example.com.\t0\tIN\tA\t203.0.113.10\n\n" in out
    assert ";; SERVER: 10.0.0.2#53(10.0.0.2) (UDP)\n" in out


def test_busybox_nslookup_takes_an_address_for_a_name_if_a_type_is_given(world):
    assert "** server can't find 10.0.0.2: NXDOMAIN\n" in world.run("nslookup -type=ptr 10.0.0.2").out


def test_dig_prints_the_question_alone_without_a_title(world):
    assert world.host("dig +noall +question +answer www.example.com").out == (
        ";www.example.com.\t\tIN\tA\nwww.example.com.\t0\tIN\tA\t203.0.113.10\n"
    )


def test_dig_short_and_reverse(world):
    assert world.host("dig +short six.example.com AAAA").out == "fd00::7\n"
    assert world.host("dig -x 10.0.0.2 +short").out == "two.example.com.\n"


def test_dig_says_when_the_port_is_closed(world):
    result = world.host("dig +tries=1 +time=2 @10.0.0.2 -p 5353 www.example.com")
    assert result.status == 9
    assert result.out == (
        ";; communications error to 10.0.0.2#5353: connection refused\n"
        "\n; <<>> DiG 9.20.30-1~deb13u1-Debian <<>> +tries=1 +time=2 @10.0.0.2 -p 5353 www.example.com\n"
        "; (1 server found)\n;; global options: +cmd\n;; no servers could be reached\n"
    )


def test_bind_nslookup_and_host(world):
    assert world.host("nslookup www.example.com").out.endswith("Name:\twww.example.com\nAddress: 203.0.113.10\n\n")
    assert world.host("nslookup nope").out.endswith("** server can't find nope: NXDOMAIN\n\n")
    assert world.host("host www.example.com").out == "www.example.com has address 203.0.113.10\n"


def test_getent_prefers_the_hosts_file(world):
    assert world.run("getent hosts two").out == "fd00::2         two\n"
    assert world.run("getent ahostsv4 www.example.com").out.startswith("203.0.113.10    STREAM www.example.com\n")
    assert world.run("getent hosts nope").status == 2


def test_short_name_is_searched_for(world):
    world.one.files.write("/etc/resolv.conf", b"nameserver 10.0.0.2\nsearch lab example.com\n")
    assert world.run("getent hosts www").out == "203.0.113.10    www\n"


def test_dead_name_server_costs_its_timeout(world):
    world.one.files.write(
        "/etc/resolv.conf", b"nameserver 10.0.0.77\nnameserver 10.0.0.2\noptions timeout:1 attempts:1\n"
    )
    before = world.clock.now
    assert world.run("getent ahosts www.example.com").status == 0
    assert 1 <= world.clock.now - before < 1.1


def test_resolv_conf_is_read_as_glibc_reads_it():
    config = ResolverConfig.parse(
        "# x\nnameserver 127.0.0.11\nsearch example.com lab\noptions timeout:1 attempts:7 ndots:0 edns0\n"
    )
    assert config == ResolverConfig(("127.0.0.11",), ("example.com", "lab"), 0, 1, 5)
    assert config.candidates("db") == ["db.", "db.example.com.", "db.lab."]
    assert ResolverConfig(search=("lab",)).candidates("a.b") == ["a.b.", "a.b.lab."]
    assert ResolverConfig(search=("lab",)).candidates("a") == ["a.lab.", "a."]
    assert ResolverConfig.parse("").servers == ("127.0.0.1",)
    assert ResolverConfig.parse("nameserver junk").servers == ("127.0.0.1",)
    two = ResolverConfig(search=("corp", "lan"))
    assert two.candidates("db") == ["db.corp.", "db.lan.", "db."]
    assert two.candidates("db.x") == ["db.x.", "db.x.corp.", "db.x.lan."]
    assert two.candidates("db.") == ["db."]


def test_hosts_file_is_read_by_any_case_and_family():
    text = "10.0.0.1 Web web.lab # x\nfd00::1 web\nbad web\n"
    assert lookup_hosts(text, "WEB") == [parse_ip("10.0.0.1"), parse_ip("fd00::1")]
    assert lookup_hosts(text, "web", 6) == [parse_ip("fd00::1")]


@given(st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16))
def test_reverse_name_holds_every_bit_of_the_address(address):
    import dns.reversename

    from cnmsim.kernel.address import format_ip

    assert (
        dns.reversename.from_address(format_ip(address)).to_text() == reverse_name(address) + "."
        or b"\xff\xff" in address
    )


def test_dig_asks_from_an_address_and_port_of_its_own(world):
    out = world.host("dig -b 10.0.0.1#4001 @10.0.0.2 +short www.example.com").out
    assert out == "203.0.113.10\n"
    assert world.host("dig -b 10.0.0.77 @10.0.0.2 +tries=1 x").out == (
        ";; UDP setup with 10.0.0.2#53(10.0.0.2) for x failed: address not available.\n;; no servers could be "
        "reached\n"
    )
    assert world.host("dig -b 10.0.0 @10.0.0.2 x").err == "dig: invalid address 10.0.0\n"


def test_dig_over_tcp_is_refused_where_nobody_listens(world):
    refused = world.host("dig +tcp +tries=1 @10.0.0.2 -p 5353 x")
    assert refused.status == 9
    assert refused.out == (
        ";; Connection to 10.0.0.2#5353(10.0.0.2) for x failed: connection refused.\n;; no servers could be reached\n"
    )


def test_host_queries_the_type_it_is_given(world):
    result = world.host("host -t a -W 2 www.example.com 10.0.0.2")
    assert (result.status, result.out) == (0, "www.example.com has address 203.0.113.10\n")


@pytest.mark.parametrize(
    ("answers", "lines", "status"),
    [
        (lambda query: b"noise", [";; connection timed out; no servers could be reached"], 1),
        (lambda query: b"\xff\xff" + query[2:], [";; connection timed out; no servers could be reached"], 1),
        (lambda query: query if b"\0\x01\0\x01" in query[-4:] else None,
         ["Non-authoritative answer:", "*** Can't find x.test: No answer"], 0),
    ],
)  # fmt: skip
def test_busybox_nslookup_prints_the_server_as_soon_as_it_sends_anything(answers, lines, status):
    world = World()

    async def server(process):
        socket = process.udp(4)
        socket.bind(("0.0.0.0", 53))
        while True:
            query, peer = await socket.recvfrom()
            if (answer := answers(query)) is not None:
                socket.sendto(answer, peer)

    world.two.spawn(server, ["server"])
    result = world.run("nslookup x.test")
    head = "Server:\t\t10.0.0.2\nAddress:\t10.0.0.2:53\n\n"  # as busybox 1.37 does, compared with such a server
    assert (result.out, result.status) == (head + "".join(f"{line}\n\n" for line in lines), status)

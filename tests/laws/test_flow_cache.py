"""Laws of the flow cache: with it and without it the same packets leave, and the same is counted and remembered."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnmsim import Lab
from cnmsim.kernel.address import Prefix, format_ip, parse_ip
from cnmsim.kernel.checksum import checksum
from cnmsim.kernel.device import Veth
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.kernel.netfilter.errors import IptablesError
from cnmsim.kernel.netfilter.nftables import NfTables, NftError
from cnmsim.kernel.netfilter.nftables.list_options import ListOptions
from cnmsim.kernel.offload import flow_cache
from cnmsim.kernel.packet import TCP_ACK, TCP_FIN, TCP_PSH, TCP_RST, TCP_SYN
from cnmsim.kernel.route import Route
from cnmsim.kernel.sockets import TcpSocket, UdpSocket
from cnmsim.kernel.transport import TcpSegment, udp_message

RUN = settings(max_examples=100, suppress_health_check=list(HealthCheck))

WHO = ("web", "db", "outside", "node1")


@pytest.fixture(autouse=True, scope="module")
def _a_flow_is_remembered_from_its_second_packet_on() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flow_cache, "ADMITTED_AFTER", dict.fromkeys(flow_cache.ADMITTED_AFTER, 1))
        yield


TESTS = (
    "-p udp", "-p udp", "-p tcp", "-p udp -m udp --dport 5000", "-m conntrack --ctstate ESTABLISHED", "-i br-app",
    "-m conntrack --ctstate NEW", "-o eth0", "-m mark --mark 0x7", "-m length --length 200:400", "-m ttl --ttl-lt 63",
    "-p tcp -m tcp --tcp-flags ACK ACK", "-m connmark --mark 0x5", "-m limit --limit 3/sec --limit-burst 2",
    "-m statistic --mode random --probability 0.4", "-m statistic --mode nth --every 3 --packet 0",
    "-m addrtype --dst-type LOCAL",
    "-m conntrack --ctstatus ASSURED", "-m conntrack --ctexpire 0:100", "-s 10.0.0.99",
    "-m pkttype --pkt-type unicast",
)  # fmt: skip
DECISIONS = ("ACCEPT", "DROP", "RETURN", "EXTRA", "REJECT", "LOG --log-prefix seen")
ACTIONS = (
    "MARK --set-xmark 0x7/0xffffffff", "CONNMARK --set-xmark 0x5/0xffffffff", "CONNMARK --save-mark",
    "CONNMARK --restore-mark",
    "TTL --ttl-dec 1", "TTL --ttl-set 64",
)  # fmt: skip


@st.composite
def filter_rules(draw: st.DrawFn) -> str:
    chain = draw(st.sampled_from(["FORWARD", "INPUT", "OUTPUT", "EXTRA", "DOCKER-USER"]))
    verb, test, decision = (draw(st.sampled_from(words)) for words in (["-A", "-I"], TESTS, DECISIONS))
    return f"-t filter {verb} {chain} {test} -j {decision}"


@st.composite
def mangle_rules(draw: st.DrawFn) -> str:
    chain = draw(st.sampled_from(["PREROUTING", "FORWARD", "POSTROUTING", "OUTPUT"]))
    return f"-t mangle -A {chain} {draw(st.sampled_from(TESTS))} -j {draw(st.sampled_from(ACTIONS))}"


NAT_RULES = (
    "-t nat -I POSTROUTING -p udp -o eth0 -j SNAT --to-source 10.0.0.15:3000-3004",
    "-t nat -I PREROUTING -p udp -m udp --dport 5000 -j DNAT --to-destination 10.0.0.99:5001",
    "-t nat -I OUTPUT -p udp -m udp --dport 5000 -j DNAT --to-destination 10.0.0.99:5001",
    "-t nat -F POSTROUTING", "-t nat -A POSTROUTING -j MASQUERADE",
    "-t raw -A PREROUTING -p udp -m udp --dport 5000 -j NOTRACK", "-t raw -F PREROUTING",
)  # fmt: skip
POLICIES = (
    "-t filter -F FORWARD",
    "-t filter -P FORWARD ACCEPT",
    "-t filter -P FORWARD DROP",
    "-t filter -Z",
    "-t mangle -F",
)
RULES = st.one_of(
    filter_rules(), mangle_rules(), mangle_rules(), st.sampled_from(NAT_RULES), st.sampled_from(POLICIES)
)
CONVERSATIONS = st.tuples(
    st.sampled_from(["udp", "udp", "udp", "tcp", "segments", "marked"]),
    st.sampled_from([
        ("web", "outside"), ("web", "outside"), ("outside", "published"), ("web", "published"), ("node1", "outside"),
        ("web", "db"),
        ("node1", "web"), ("web", "nobody"), ("web", "closed"), ("web", "outside6"), ("outside", "published6"),
        ("node1", "outside6"),
        ("web", "db6"), ("web", "nobody6"),
    ]),
    st.sampled_from([1, 100, 301, 1000, 1472, 1473]),
    st.sampled_from([True, True, False]),
)  # fmt: skip
ALTERATIONS = (
    "fragment", "first fragment", "checksum", "no checksum", "station", "padded", "ttl", "tos", "options", "no df",
    "protocol",
    "short", "length", "type",
)  # fmt: skip
CHANGES = st.one_of(
    st.tuples(st.just("iptables"), st.just("node1"), RULES),
    st.tuples(st.just("iptables"), st.sampled_from(["web", "outside", "node1"]), RULES),
    st.tuples(st.just("ip6tables"), st.sampled_from(["web", "node1"]), RULES),
    st.tuples(st.just("ttl"), st.sampled_from(WHO), st.sampled_from([1, 2, 3, 64])),
    st.tuples(st.just("wait"), st.sampled_from([0.5, 2.5, 8.0, 12.0, 31.0, 125.0])),
    st.tuples(st.just("sysctl"), st.sampled_from([
        ("net.ipv4.ip_forward", "0"), ("net.ipv4.ip_forward", "1"), ("net.ipv4.ip_forward", "1"),
        ("net.ipv4.conf.all.rp_filter", "1"),
        ("net.netfilter.nf_conntrack_udp_timeout", "7"), ("net.bridge.bridge-nf-call-iptables", "1"),
        ("net.bridge.bridge-nf-call-iptables", "0"),
    ])),
    st.tuples(st.just("mtu"), st.sampled_from([1500, 1400, 600])),
    st.tuples(st.just("route"), st.sampled_from(["unreachable", "gone", "gone"])),
    st.tuples(st.just("link"), st.booleans()),
    st.tuples(st.just("neighbour"), st.booleans()),
    st.tuples(st.just("conntrack")),
    st.tuples(st.just("alter"), st.sampled_from(WHO), st.sampled_from(ALTERATIONS)),
)  # fmt: skip


#: A table for each station, with chains on every hook, that rules are put into and taken from.
NFT_TABLE = (
    "table inet t { set ports { type inet_service; elements = { 53 }; }; map verdicts { type ifname : verdict; }; "
    "chain extra { }; "
    "chain raw { type filter hook prerouting priority raw; }; chain forward { type filter hook forward priority 5; "
    "}; "
    "chain input { type filter hook input priority filter; }; chain output { type route hook output priority "
    "mangle; }; "
    "chain pre { type nat hook prerouting priority dstnat; }; chain post { type nat hook postrouting priority "
    "srcnat; }; }"
)
NFT_MATCHES = (
    "", "meta l4proto udp", "udp dport 5000", "tcp dport { 80, 7000 }", "ct state established",
    "ct state { new, related }",
    "iifname br-app", "oifname vmap @verdicts", "udp dport @ports", "ip saddr 10.0.0.0/24", "meta mark 7",
    "meta length 200-400",
    "ip ttl < 63", "tcp flags ack", "ct mark 5", "limit rate 3/second burst 2 packets", "fib daddr type local",
    "ct status assured",
    "ct direction reply", "@nh,16,16 329", "ct original proto-dst 8080", "meta nfproto ipv6",
    "ip saddr . udp dport vmap { 10.0.0.99 . 5000 : jump extra }",
)  # fmt: skip
NFT_ENDS = (
    "counter", "counter", "drop", "accept", "jump extra", "reject", "meta mark set 7", "ct mark set 5",
    'log prefix "seen"', "return",
    "notrack",
)  # fmt: skip


@st.composite
def nft_commands(draw: st.DrawFn) -> str:
    kind = draw(st.integers(0, 9))
    chain = draw(st.sampled_from(["raw", "forward", "forward", "input", "output", "extra"]))
    if kind == 0:
        return draw(
            st.sampled_from([
                "add element inet t ports { 5000 }", "delete element inet t ports { 5000 }", "flush set inet t ports",
                'add element inet t verdicts { "eth0" : jump extra }', 'delete element inet t verdicts { "eth0" }',
            ])
        )  # fmt: skip
    if kind == 1:
        return f"flush chain inet t {chain}"
    if kind == 2:
        return draw(
            st.sampled_from([
                "add rule inet t post oifname eth0 counter masquerade", "flush chain inet t post",
                "add rule inet t pre udp dport 5000 counter dnat ip to 10.0.0.99:5001", "flush chain inet t pre",
            ])
        )  # fmt: skip
    if kind == 3:
        return f"add chain inet t forward {{ policy {draw(st.sampled_from(['accept', 'drop']))}; }}"
    verb = draw(st.sampled_from(["add", "insert"]))
    return f"{verb} rule inet t {chain} {draw(st.sampled_from(NFT_MATCHES))} {draw(st.sampled_from(NFT_ENDS))}"


NFT_CHANGES = st.tuples(st.just("nft"), st.sampled_from(["node1", "node1", "web", "outside"]), nft_commands())


@st.composite
def scripts(draw: st.DrawFn, changes: st.SearchStrategy[Any] = CHANGES) -> list[tuple[Any, ...]]:
    """Some rules; then a few conversations that go on, with something changing between their rounds."""
    script: list[tuple[Any, ...]] = [
        (
            draw(st.sampled_from(["iptables", "iptables", "ip6tables"])),
            draw(st.sampled_from(["node1", "node1", "node1", "web"])),
            rule,
        )
        for rule in draw(st.lists(RULES, max_size=4))
    ]
    if draw(st.booleans()):
        script.append(("sysctl", ("net.netfilter.nf_conntrack_udp_timeout", "7")))
    conversations = draw(st.lists(CONVERSATIONS, min_size=1, max_size=3))
    rounds = st.lists(st.tuples(st.one_of(st.none(), st.none(), changes), st.integers(1, 4)), min_size=3, max_size=10)
    for change, times in draw(rounds):
        script += [change] if change is not None else []
        script += [("exchange", *conversation, times) for conversation in conversations]
    return script


def is_ours(frame: bytes) -> bool:
    """Whether it is TCP or UDP."""
    return (frame[12:14] == b"\x08\x00" and frame[23] in {6, 17}) or (
        frame[12:14] == b"\x86\xdd" and frame[20] in {6, 17}
    )


def altered(frame: bytes, how: str) -> bytes:
    """Make a frame of the same flow that is not like the others."""
    if how == "type":
        return frame[:13] + b"\xff" + frame[14:]
    if frame[12:14] == b"\x86\xdd":
        return altered6(frame, how)
    head, rest = bytearray(frame[14:34]), frame[34:]
    if how == "station":
        return b"\2\0\0\0\x0e\x0e" + frame[6:]
    if how == "padded":
        return frame + bytes(18)
    if how == "short":
        rest = rest[:6]
    if how == "no checksum" and head[9] == 17:
        return frame[:40] + b"\0\0" + frame[42:]
    if how == "options":
        head[0], rest = 0x46, b"\1\1\1\0" + rest
    if how in {"fragment", "first fragment"}:
        head[6:8] = b"\0\x10" if how == "fragment" else b"\x20\0"
    if how == "no df":
        head[6:8] = b"\0\0"
    if how == "ttl":
        head[8] = 1
    if how == "tos":
        head[1] = 0x10
    if how == "protocol":
        head[9] ^= 6 ^ 17
    head[2:4] = (len(head) + len(rest) + (how == "length") * 4).to_bytes(2)
    head[10:12] = b"\0\0"
    head[10:12] = checksum(bytes(head) + (rest[:4] if how == "options" else b"")).to_bytes(2)
    if how == "checksum":
        head[10] ^= 0x40
    return frame[:14] + bytes(head) + rest


def altered6(frame: bytes, how: str) -> bytes:
    head, rest = bytearray(frame[14:54]), frame[54:]
    if how == "station":
        return b"\2\0\0\0\x0e\x0e" + frame[6:]
    if how == "padded":
        return frame + bytes(18)
    if how == "short":
        rest = rest[:6]
    if how == "no checksum" and head[6] == 17:
        return frame[:60] + b"\0\0" + frame[62:]
    if how in {"options", "fragment", "first fragment"}:
        offset = {"fragment": 16, "first fragment": 1}.get(how, 0)
        rest = (
            bytes((head[6], 0)) + (b"\1\4\0\0\0\0" if how == "options" else offset.to_bytes(2) + b"\0\0\0\7") + rest
        )
        head[6] = 60 if how == "options" else 44
    if how == "ttl":
        head[7] = 1
    if how == "tos":
        head[0:2] = b"\x6a\xb0"
    if how == "protocol":
        head[6] ^= 6 ^ 17
    if how == "no df":
        head[0] = 0x40
    head[4:6] = (len(rest) + (how == "length") * 4).to_bytes(2)
    return frame[:14] + bytes(head) + rest


class World:
    """A Docker host with two containers and a published port, and a machine beside it; it notes every frame."""

    def __init__(self, *, is_cached: bool, uses_nftables: bool = False) -> None:
        lab = self.lab = Lab()
        options = {"firewall-backend": "nftables"} if uses_nftables else True
        node = lab.add_host("node1", "10.0.0.15/24", "fd0a::15/64", docker=options, router=uses_nftables)
        outside = lab.add_host("outside", "10.0.0.99/24", "fd0a::99/64")
        node.docker.networks.create("app", enable_ipv6=True, options={"com.docker.network.bridge.name": "br-app"})
        for name, ports in (("web", {"80/udp": 8080}), ("db", {})):
            node.docker.containers.run("alpine", "sleep infinity", name=name, network="app", ports=ports, detach=True)
        self.spaces: dict[str, NetworkNamespace] = {
            "web": lab.container("web").namespace, "db": lab.container("db").namespace, "outside": outside.namespace,
            "node1": node.namespace,
        }  # fmt: skip
        for name in ("node1", "web", "outside"):
            NfTables.of(self.spaces[name].netfilter).execute(NFT_TABLE)
            for family in (4, 6):
                self.tables(name, family).new_chain("filter", "EXTRA")
        self.frames: list[tuple[int, str, str, str, bytes]] = []
        for name, space in self.spaces.items():
            if not is_cached:
                space.flows.disable()
            for device in space.devices.values():
                device.taps = (self._note(name, device.name),)
        self.addresses = {
            "outside": ("10.0.0.99", 5000), "web": (self.ip("web"), 80), "db": (self.ip("db"), 5000),
            "published": ("10.0.0.15", 8080), "closed": ("10.0.0.99", 9), "nobody": ("10.0.0.77", 5000),
            "outside6": ("fd0a::99", 5000), "db6": (self.ip("db", 6), 5000), "published6": ("fd0a::15", 8080),
            "nobody6": ("fd0a::77", 5000),
        }  # fmt: skip
        self.talkers: dict[str, UdpSocket] = {}
        for name, port in (("web", 80), ("db", 5000), ("outside", 5000), ("node1", 6000)):
            self.talkers[name] = UdpSocket(self.spaces[name], 6)
            self.talkers[name].bind(("::", port))
        self.server = TcpSocket(outside.namespace, 6)
        self.server.bind(("::", 7000))
        self.server.listen()
        self.heard: list[object] = []
        self.last: dict[str, bytes] = {}
        self.clients: dict[tuple[str, str], TcpSocket] = {}
        self.served: list[TcpSocket] = []
        self.segments = 0

    def _note(self, place: str, device: str) -> Callable[[int, str, bytes], None]:
        def note(time_ns: int, way: str, frame: bytes) -> None:
            self.frames.append((time_ns, place, device, way, frame))
            if device == "eth0" and way == "out" and is_ours(frame):
                self.last[place] = frame

        return note

    def tables(self, name: str, family: int = 4) -> Any:
        return self.spaces[name].netfilter.iptables(family)

    def ip(self, name: str, family: int = 4) -> str:
        return next(
            str(each).partition("/")[0] for each in self.spaces[name].devices["eth0"].addresses if each.family == 4
        )

    # --- what a script can do --------------------------------------------------------------------------------------

    def exchange(self, kind: str, ends: tuple[str, str], size: int, is_answered: bool, times: int) -> None:
        """Let a conversation go on: a few messages, and answers to them."""
        who, to = ends
        for number in range(times):
            try:
                getattr(self, f"_{kind}")(who, to, size if number % 3 != 1 else 120)
            except OSError as error:
                self.heard.append((who, type(error).__name__, errno.errorcode.get(error.errno or 0)))
            self.lab.clock.run_for(0.01)
            if is_answered:
                for name in WHO:
                    try:
                        self.answer(name)
                    except OSError as error:
                        self.heard.append((name, errno.errorcode[error.errno or 0]))
                self.lab.clock.run_for(0.01)

    def _udp(self, who: str, to: str, size: int) -> None:
        self.talkers[who].sendto(b"x" * size, self.addresses[to])

    def _marked(self, who: str, to: str, size: int) -> None:
        """Send datagrams of one flow with a mark and without."""
        self.segments += 1
        space, (address, port) = self.spaces[who], self.addresses[to]
        dst = parse_ip(address)
        decision = space.route_output(dst)
        message = udp_message(decision.src, dst, 4500, port, b"m" * size)
        space.send(17, decision, dst, message, mark=7 * (self.segments % 3 == 0))

    def _segments(self, who: str, to: str, size: int) -> None:
        """Send bare segments, each time the next of a life; the other end knows no such connection."""
        flags = (TCP_SYN, TCP_ACK, TCP_ACK, TCP_ACK | TCP_PSH, TCP_FIN | TCP_ACK, TCP_ACK, TCP_RST, TCP_SYN | TCP_FIN)
        self.segments += 1
        space, (address, port) = self.spaces[who], self.addresses[to]
        decision = space.route_output(parse_ip(address))
        segment = TcpSegment(
            4000, port, self.segments, 1, flags[self.segments % 8], 65535, payload=b"z" * (size % 1000)
        )
        space.send(6, decision, parse_ip(address), segment.to_wire(decision.src, parse_ip(address)))

    def _tcp(self, who: str, to: str, size: int) -> None:
        address = "fd0a::99" if to.endswith("6") else "10.0.0.99"
        client = self.clients.get((who, address))
        if client is None:
            client = self.clients[who, address] = TcpSocket(self.spaces[who], 6)
            client.start_connect((address, 7000))
            self.lab.clock.run_for(0.02)
        try:
            client.send(b"d" * size)
            self.lab.clock.run_for(0.02)
            self.heard.append((who, len(client.recv_nowait())))
        except BlockingIOError:
            pass
        except OSError:
            client.close()
            del self.clients[who, address]
            raise

    def answer(self, who: str) -> None:
        talker = self.talkers[who]
        while talker.pending:
            data, (peer, port) = talker.recvfrom_nowait()
            self.heard.append((who, len(data), peer, port))
            if not data.startswith(b"y"):
                talker.sendto(b"y" + data[:200], (format_ip(peer), port))
        if who == "outside":
            self._serve()

    def _serve(self) -> None:
        try:
            while True:
                self.served.append(self.server.accept_nowait())
        except BlockingIOError:
            pass
        for one in list(self.served):
            try:
                data = one.recv_nowait()
                self.heard.append(("server", len(data)))
                one.send(data) if data else one.close()
            except BlockingIOError:
                continue
            except OSError:
                self.served.remove(one)
                one.close()

    def alter(self, who: str, how: str) -> None:
        """Put the last frame a station sent on its wire again, altered."""
        frame = self.last.get(who)
        if frame is None or len(frame) < 42:
            return
        eth0 = self.spaces[who].devices["eth0"]
        eth0.transmit(altered(frame, how))

    def ttl(self, who: str, value: int) -> None:
        self.talkers[who].ttl = value

    def wait(self, seconds: float) -> None:
        self.lab.clock.run_for(seconds)

    def iptables(self, who: str, line: str) -> None:
        try:
            self.tables(who).execute(line.split())
        except IptablesError as error:
            self.heard.append(str(error))

    def nft(self, who: str, line: str) -> None:
        try:
            NfTables.of(self.spaces[who].netfilter).execute(line)
        except NftError as error:
            self.heard.append(str(error))

    def ip6tables(self, who: str, line: str) -> None:
        try:
            self.tables(who, 6).execute(line.split())
        except IptablesError as error:
            self.heard.append(str(error))

    def sysctl(self, change: tuple[str, str]) -> None:
        self.spaces["node1"].sysctl_set(*change)

    def mtu(self, value: int) -> None:
        self.spaces["node1"].devices["eth0"].set_mtu(value)

    def route(self, kind: str) -> None:
        space = self.spaces["node1"]
        prefix = Prefix.parse("10.0.0.99/32")
        for old in [each for each in space.routes4.routes if each.prefix == prefix]:
            space.remove_route(old)
        if kind != "gone":
            space.add_route(Route(prefix, None, kind=kind))

    def link(self, is_up: bool) -> None:
        port = next(each for each in self.spaces["node1"].devices.values() if isinstance(each, Veth))
        port.set_up() if is_up else port.set_down()

    def neighbour(self, is_fixed: bool) -> None:
        space = self.spaces["node1"]
        eth0, other = space.devices["eth0"], parse_ip("10.0.0.99")
        if is_fixed:
            space.neighbours.set_permanent(eth0, other, b"\2\0\0\0\0\x77")
        elif space.neighbours.known_mac(eth0, other) is not None:
            space.neighbours.remove(eth0, other)

    def conntrack(self) -> None:
        self.spaces["node1"].netfilter.conntrack.flush()

    # --- what can be seen ------------------------------------------------------------------------------------------

    def do(self, step: tuple[Any, ...]) -> None:
        getattr(self, step[0])(*step[1:])
        self.lab.clock.run_for(0.01)

    def state(self) -> dict[str, object]:
        seen: dict[str, object] = {"heard": self.heard, "now": self.lab.clock.now_ns}
        for name, space in self.spaces.items():
            netfilter = space.netfilter
            seen[name] = [
                *(netfilter.iptables(family).save(counters=True).splitlines() for family in (4, 6)),
                *(netfilter.conntrack.listing(family).splitlines() for family in (4, 6)),
                NfTables.of(netfilter).execute("list ruleset", options=ListOptions(show_handles=True)).splitlines(),
                netfilter.log,
                [str(entry) for entry in space.neighbours.entries()],
                [
                    (
                        each.name,
                        each.rx_packets,
                        each.rx_bytes,
                        each.rx_dropped,
                        each.tx_packets,
                        each.tx_bytes,
                        each.tx_dropped,
                    )
                    for each in space.devices.values()
                ],
            ]
        return seen


def played(
    script: list[tuple[Any, ...]], *, is_cached: bool, uses_nftables: bool = False
) -> tuple[World, list[dict[str, object]]]:
    world = World(is_cached=is_cached, uses_nftables=uses_nftables)
    states = []
    for step in script:
        world.do(step)
        if step[0] != "wait":  # listing connections takes those away that expired meanwhile
            states.append(world.state())
    world.wait(20.0)
    states.append(world.state())
    return world, states


@RUN
@given(scripts())
def test_cached_walk_equals_the_full_walk(script: list[tuple[Any, ...]]) -> None:
    cached, states = played(script, is_cached=True)
    full, full_states = played(script, is_cached=False)
    assert not any(space.flows.received or space.flows.sent for space in full.spaces.values())
    assert states == full_states
    assert cached.frames == full.frames


@RUN
@given(scripts(st.one_of(NFT_CHANGES, CHANGES)))
def test_cached_walk_equals_the_full_walk_through_nftables(script: list[tuple[Any, ...]]) -> None:
    cached, states = played(script, is_cached=True, uses_nftables=True)
    full, full_states = played(script, is_cached=False, uses_nftables=True)
    assert states == full_states
    assert cached.frames == full.frames


@pytest.mark.parametrize("match", NFT_MATCHES)
def test_what_a_rule_of_nftables_looks_at_is_looked_at_in_every_packet(match: str) -> None:
    talks = [
        (kind, ends)
        for kind in ("udp", "tcp", "marked", "segments")
        for ends in (("web", "outside"), ("node1", "outside"))
    ]
    script: list[tuple[Any, ...]] = [
        ("nft", "node1", 'add element inet t verdicts { "eth0" : jump extra }'),
        *(("nft", "node1", f"add rule inet t {chain} {match} counter") for chain in ("forward", "input", "extra")),
        *(("exchange", kind, ends, 301, True, 6) for kind, ends in talks),
        ("ttl", "web", 9),
        *(("exchange", kind, ends, 301, True, 6) for kind, ends in talks),
    ]
    cached, states = played(script, is_cached=True, uses_nftables=True)
    full, full_states = played(script, is_cached=False, uses_nftables=True)
    assert states == full_states
    assert cached.frames == full.frames


def test_flows_through_dockers_nftables_are_cached_and_counted() -> None:
    cached, states = played(
        [("exchange", "udp", ("web", "outside"), 300, True, 5)], is_cached=True, uses_nftables=True
    )
    assert cached.spaces["node1"].flows.received
    assert any("counter packets 4 bytes" in line for line in states[0]["node1"][4])  # type: ignore[index]


@pytest.mark.parametrize("kind", ["udp", "tcp"])
@pytest.mark.parametrize("who", ["web", "outside"])
@pytest.mark.parametrize("to", ["outside", "outside6"])
@pytest.mark.parametrize("how", ALTERATIONS)
def test_what_is_unlike_the_flow_takes_the_full_walk(kind: str, who: str, to: str, how: str) -> None:
    talk = ("exchange", kind, ("web", to), 300, True, 5)
    cached, states = played([talk, ("alter", who, how), talk], is_cached=True)
    full, full_states = played([talk, ("alter", who, how), talk], is_cached=False)
    assert cached.spaces["node1"].flows.received
    assert states == full_states
    assert cached.frames == full.frames


CUTS: dict[str, list[tuple[Any, ...]]] = {
    "the connection expires": [("wait", 8.0)],
    "the connection lasts": [("wait", 2.5)],
    "the neighbour gets stale": [("wait", 31.0)],
    "the connection is deleted": [("conntrack",)],
    "the link goes": [("link", False), ("link", True)],
    "the route goes": [("route", "unreachable")],
    "a rule counts": [("iptables", "node1", "-t mangle -A FORWARD -p udp")],
    "a rule drops": [("iptables", "node1", "-t filter -I FORWARD -p udp -j DROP")],
    "a rule acts": [("iptables", "node1", "-t mangle -A PREROUTING -p udp -j TTL --ttl-dec 1")],
    "forwarding of IPv6 ends": [("sysctl", ("net.ipv6.conf.all.forwarding", "0"))],
    "a rule reads the length": [("iptables", "node1", "-t filter -I FORWARD -m length --length 200:400 -j DROP")],
    "counters are zeroed": [("iptables", "node1", "-t filter -Z")],
    "forwarding ends": [("sysctl", ("net.ipv4.ip_forward", "0"))],
    "the MTU shrinks": [("mtu", 600)],
    "the TTL runs out": [("ttl", "web", 2), ("ttl", "outside", 1)],
}


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("to", ["outside", "outside6"])
@pytest.mark.parametrize("size", [300, 1000])
def test_flow_that_is_cut_goes_on_as_without_the_cache(cut: str, to: str, size: int) -> None:
    talk = ("exchange", "udp", ("web", to), size, True, 5)
    short = ("sysctl", ("net.netfilter.nf_conntrack_udp_timeout", "7"))
    cuts = [("ip6tables", *step[1:]) if step[0] == "iptables" and to == "outside6" else step for step in CUTS[cut]]
    script = [short, talk, *cuts, talk, ("wait", 3.0), talk]
    script = [
        (*step[:2], step[2].replace("TTL --ttl", "HL --hl")) if step[0] == "ip6tables" else step for step in script
    ]
    cached, states = played(script, is_cached=True)
    full, full_states = played(script, is_cached=False)
    assert states == full_states
    assert cached.frames == full.frames


def test_translated_udp_checksum_that_comes_to_zero_is_sent_as_all_ones() -> None:
    """RFC 768: all zeros would say that the sender made no checksum."""
    world = World(is_cached=True)
    talk = ("exchange", "udp", ("web", "outside"), 300, True, 4)
    world.do(talk)
    talker, to = world.talkers["web"], world.addresses["outside"]
    port = next(
        int.from_bytes(frame[34:36])
        for _, place, _, way, frame in world.frames
        if (place, way) == ("outside", "in") and frame[23] == 17
    )
    # The wanted payload makes the sum over pseudo header, header and payload all ones.
    bare = udp_message(parse_ip("10.0.0.15"), parse_ip("10.0.0.99"), port, to[1], b"\0\0")
    payload = int.from_bytes(bare[6:8]).to_bytes(2)
    talker.sendto(payload, to)
    world.wait(0.01)
    frame = [each for _, place, _, way, each in world.frames if (place, way) == ("outside", "in")][-1]
    assert (frame[26:30], frame[40:]) == (parse_ip("10.0.0.15"), b"\xff\xff" + payload)
    assert world.talkers["outside"].pending == 1


@pytest.mark.parametrize("way", [("web", "outside"), ("outside", "published"), ("node1", "outside")])
def test_a_receiver_sees_the_senders_address_and_port_in_every_datagram(way: tuple[str, str]) -> None:
    who, to = way
    senders = []
    for is_cached in (True, False):
        world = World(is_cached=is_cached)
        receiver = world.talkers["web" if to == "published" else to]
        for number in range(6):
            world.talkers[who].sendto(bytes([number]), world.addresses[to])
            world.wait(0.01)
        senders.append([receiver.recvfrom_nowait() for _ in range(6)])
    assert senders[0] == senders[1]
    assert [data for data, _ in senders[0]] == [bytes([number]) for number in range(6)]
    assert len({sender for _, sender in senders[0]}) == 1

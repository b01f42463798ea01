"""What holds for IPVS whatever services do: balance, constancy, answers from the virtual address, nothing left
behind."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from support.wiring import Net

from cnmsim.kernel.address import format_ip, parse_ip
from cnmsim.kernel.sockets import UdpSocket
from cnmsim.kernel.task import Task, run_until

VIP = "10.1.9.9"
ADDRESSES = tuple(f"10.1.0.{number}" for number in range(2, 7))


class Balanced(Net):
    """A client behind the host, whose fwmark service 256 balances 10.1.9.9 as a service network's does."""

    def __init__(self, count, *, tracks, scheduler):
        super().__init__()
        self.host.sysctl_set("net.ipv4.ip_forward", "1")
        self.client = self.neighbour_host("client", "192.168.5.2/24", "192.168.5.1", "192.168.5.1/24")
        self.host.add_address(self.bridge, f"{VIP}/32")
        for address in ADDRESSES[:count]:
            socket = UdpSocket(self.container(int(address.rpartition(".")[2])))
            socket.bind(("0.0.0.0", 9))
            Task(self.clock, self._answer(socket, address))
        self.clock.run_ready()
        self.ipvs = self.host.ipvs
        tables = self.host.netfilter.iptables(4)
        tables.execute(["-t", "mangle", "-A", "INPUT", "-d", VIP, "-j", "MARK", "--set-mark", "256"])
        if tracks:
            self.host.sysctl_set("net.ipv4.vs.conntrack", "1")
            tables.execute(
                [
                    "-t",
                    "nat",
                    "-A",
                    "POSTROUTING",
                    "-m",
                    "ipvs",
                    "--ipvs",
                    "-d",
                    "10.1.0.0/24",
                    "-j",
                    "SNAT",
                    "--to-source",
                    "10.1.0.1",
                ]
            )
        self.host.sysctl_set("net.ipv4.vs.expire_nodest_conn", "1")
        self.service = self.ipvs.add_service(fwmark=256, scheduler=scheduler)
        self.source = "10.1.0.1" if tracks else "192.168.5.2"

    async def _answer(self, socket, address):
        while True:
            _, peer = await socket.recvfrom()
            socket.sendto(f"{address} {format_ip(peer[0])}".encode(), peer)

    def flow(self):
        socket = UdpSocket(self.client)
        socket.bind(("0.0.0.0", 0))
        return socket

    def ask(self, socket):
        """Return the server that answers, `None` if the client is refused; the virtual address answers."""
        try:
            socket.connect((VIP, 9))
            socket.send(b"?")
            data, peer = run_until(self.clock, socket.recvfrom(timeout=2))
        except ConnectionRefusedError:
            return None
        assert peer == (parse_ip(VIP), 9)
        server, seen = data.decode().split()
        assert seen == self.source
        return server


@given(
    count=st.integers(1, 5),
    flows=st.integers(1, 17),
    tracks=st.booleans(),
    scheduler=st.sampled_from(["rr", "wrr", "lc", "wlc"]),
)
@settings(max_examples=40)
def test_new_flows_are_balanced_within_one(count, flows, tracks, scheduler):
    net = Balanced(count, tracks=tracks, scheduler=scheduler)
    for address in ADDRESSES[:count]:
        net.ipvs.add_destination(net.service, address)
    served = Counter(dict.fromkeys(ADDRESSES[:count], 0))
    served.update(net.ask(net.flow()) for _ in range(flows))
    assert set(served) == set(ADDRESSES[:count])
    assert max(served.values()) - min(served.values()) <= 1
    assert [connection.real_port for connection in net.ipvs.connections.entries()] == [9] * flows


_CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(0, 5)),
        st.tuples(st.just("weight"), st.sampled_from(ADDRESSES), st.integers(0, 3)),
        st.tuples(st.just("add"), st.sampled_from(ADDRESSES)),
        st.tuples(st.just("remove"), st.sampled_from(ADDRESSES)),
        st.tuples(st.just("wait"), st.sampled_from([1, 150, 400])),
    ),
    min_size=1,
    max_size=40,
)


@given(changes=_CHANGES, tracks=st.booleans(), scheduler=st.sampled_from(["rr", "wrr", "lc", "wlc"]))
@settings(max_examples=60)
def test_a_flow_keeps_its_server_as_long_as_it_can(changes, tracks, scheduler):
    net = Balanced(5, tracks=tracks, scheduler=scheduler)
    flows = [net.flow() for _ in range(6)]
    known: dict[int, tuple[str, int]] = {}  # flow: server, when it was last heard
    for change in changes:
        weights = {format_ip(d.address): d.weight for d in net.service.destinations}
        if change[0] == "ask":
            flow = change[1]
            server, heard_ns = known.pop(flow, (None, 0))
            lives = server in weights and net.clock.now_ns - heard_ns < 300 * 10**9
            got = net.ask(flows[flow])
            if lives:
                assert got == server
            elif any(weights.values()):
                assert weights[got] > 0
            else:
                assert got is None
            if got is not None:
                known[flow] = (got, net.clock.now_ns)
        elif change[0] == "weight" and change[1] in weights:
            net.ipvs.update_destination(net.service, change[1], weight=change[2])
        elif change[0] == "add" and change[1] not in weights:
            net.ipvs.add_destination(net.service, change[1])
        elif change[0] == "remove" and change[1] in weights:
            net.ipvs.remove_destination(net.service, change[1])
            known = {flow: held for flow, held in known.items() if held[0] != change[1]}
        elif change[0] == "wait":
            net.clock.run_for(change[1])
        for destination in net.service.destinations:
            mine = [c for c in net.ipvs.connections.entries() if c.destination is destination]
            assert (destination.active, destination.inactive) == (0, len(mine))
    net.ipvs.remove_service(net.service)
    assert net.ipvs.is_idle
    assert net.host.netfilter.ipvs is None
    if tracks:
        assert not [entry for entry in net.host.netfilter.conntrack.entries() if format_ip(entry.original[2]) == VIP]

"""Tables that share their entries: each is a dict of lists of its own, and what nobody has is kept for nobody."""

import gc

from hypothesis import given
from hypothesis import strategies as st

from cnmsim import Lab
from cnmsim.kernel.address import parse_ip, parse_mac
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.interning import InternedMultiMap, InternPool, intern_pool
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.kernel.vxlan import Vxlan, VxlanConfig
from cnmsim.libnetwork.name_records import NameRecords

KEYS, VALUES = "abc", range(7)
WORK = st.lists(
    st.tuples(
        st.integers(0, 2), st.sampled_from(["add", "add", "add", "add_key", "set", "discard", "pop", "clear"]),
        st.sampled_from(KEYS), st.sampled_from(VALUES),
    )
)  # fmt: skip


class Model(dict):
    """What a table is to be: values by key, a key's place that of its first value."""

    def do(self, what, key, value):
        values = self.setdefault(key, [])
        if what == "add" and value not in values:
            values.append(value)
        elif what == "add_key":
            values[:] = values or [value]
        elif what == "set":
            values[:] = [value]
        elif what == "discard" and value in values:
            values.remove(value)
        elif what == "pop":
            values.clear()
        elif what == "clear":
            self.clear()
        if not self.get(key, True):
            del self[key]


@given(WORK)
def test_every_table_is_a_dict_of_lists_whatever_the_others_have(work):
    shared = InternPool()
    tables, models = [InternedMultiMap(shared) for _ in range(3)], [Model() for _ in range(3)]
    for number, what, key, value in work:
        table, model = tables[number], models[number]
        if what == "pop":
            while table.pop(key):
                pass
        elif what == "clear":
            table.clear()
        else:
            getattr(table, what)(key, value)
        model.do(what, key, value)
        for each, expected in zip(tables, models, strict=True):
            assert each.items() == [(name, one) for name, values in expected.items() for one in values]
            assert each.keys() == list(expected)
            assert [each.all(name) for name in KEYS] == [expected.get(name, []) for name in KEYS]
            assert (len(each), bool(each)) == (len(expected), bool(expected))
    for table in tables:
        table.clear()
    assert set(shared.entries) <= {None}
    assert not any(shared.numbers_of(name) for name in KEYS)


def test_a_table_with_a_long_history_keeps_its_order():
    table = InternedMultiMap()
    for number in range(70_000):
        table.add(number % 5, number)
        table.discard((number + 3) % 5, number - 2)
    table.add("late", 0)
    assert table.items() == [(69_998 % 5, 69_998), (69_999 % 5, 69_999), ("late", 0)]


def test_entries_of_a_name_are_one_object_as_long_as_a_table_has_them():
    clock = Clock()
    table = InternedMultiMap(intern_pool(clock, "names", "n1"))
    assert intern_pool(clock, "names", "n1") is intern_pool(clock, "names", "n1")
    assert intern_pool(clock, "names", "n1") is not intern_pool(clock, "names", "n2")
    assert intern_pool(clock, "names", "n1") is not intern_pool(Clock(), "names", "n1")
    del table
    gc.collect()
    assert not clock.registry["intern pools"]


def test_records_of_one_network_on_two_nodes_take_no_room_twice_and_stay_apart():
    clock = Clock()
    one, two = NameRecords.of_network(clock, "n"), NameRecords.of_network(clock, "n")
    for number in range(50):
        one.add(f"web.{number}", parse_ip(f"10.0.1.{number}"), f"id{number}", reverse=True)
    for number in reversed(range(50)):
        two.add(f"web.{number}", parse_ip(f"10.0.1.{number}"), f"id{number}", reverse=True)
        two.add("web", parse_ip(f"10.0.1.{number}"), "service")
    assert len(intern_pool(clock, "names", "n").entries) == 100
    assert one.names() == [f"web.{number}" for number in range(50)]
    assert two.lookup("WEB") == [parse_ip(f"10.0.1.{number}") for number in reversed(range(50))]
    assert one.lookup("web") is None
    two.clear()
    assert one.reverse(parse_ip("10.0.1.7")) == "web.7"


def test_a_forked_lab_has_entries_of_its_own():
    lab = Lab()
    for name in ("node1", "node2"):
        lab.add_host(name, f"10.0.0.{name[-1]}/24", docker=True)
    first = lab.host("node1")
    token = first.docker.swarm.init(advertise_addr="10.0.0.1").tokens.worker
    lab.host("node2").docker.swarm.join(token, "10.0.0.1:2377")
    first.docker.networks.create("net", driver="overlay")
    service = first.docker.services.create("nginx", name="web", replicas=4, networks=["net"])
    lab.settle()

    def names(of):
        return [
            sorted(network.records.names())
            for name in ("node1", "node2")
            for network in of.host(name).docker.controller.networks
            if network.name == "net"
        ]

    copy, before = lab.fork(), names(lab)
    assert names(copy) == before
    service.scale(1)
    lab.settle()
    assert names(copy) == before
    assert len(names(lab)[0]) < len(before[0])


class Tunnel:
    """A VXLAN device in a namespace of its own."""

    def __init__(self, clock):
        self.namespace = NetworkNamespace("n", clock)
        self.device = Vxlan.create(self.namespace, "vxlan0", parse_mac("02:00:00:00:00:01"), VxlanConfig(4097))


def test_permanent_entries_stand_in_the_order_they_came_in_with_the_others_looked_at_or_not():
    clock = Clock()
    tunnels = [Tunnel(clock), Tunnel(clock)]
    hosts = range(10, 16)
    for tunnel, order in zip(tunnels, (hosts, reversed(hosts)), strict=True):
        for host in order:
            mac = parse_mac(f"02:42:0a:00:01:{host:02x}")
            tunnel.namespace.neighbours.set_permanent(tunnel.device, parse_ip(f"10.0.1.{host}"), mac)
            if host == 12:
                tunnel.namespace.neighbours.set_permanent(tunnel.namespace.loopback, parse_ip("10.9.9.9"), mac)
            tunnel.device.fdb.add(mac, parse_ip(f"172.16.0.{host}"), state="static" if host == 13 else "permanent")
    one, two = tunnels
    listed = [str(entry) for entry in one.namespace.neighbours.entries()]
    assert [line.split()[0] for line in listed] == [
        "10.0.1.10", "10.0.1.11", "10.0.1.12", "10.9.9.9", "10.0.1.13", "10.0.1.14", "10.0.1.15",
    ]  # fmt: skip
    assert listed[0] == "10.0.1.10 dev vxlan0 lladdr 02:42:0a:00:01:0a PERMANENT"
    forwarding = [str(entry) for entry in two.device.fdb]
    assert forwarding[0] == "02:42:0a:00:01:0f dst 172.16.0.15 self permanent"
    assert [line.split()[2] for line in forwarding] == [f"172.16.0.{host}" for host in reversed(hosts)]

    assert one.namespace.neighbours.known_mac(one.device, parse_ip("10.0.1.11")) == parse_mac("02:42:0a:00:01:0b")
    assert two.device.fdb.find(parse_mac("02:42:0a:00:01:0c")) is not None
    assert [str(entry) for entry in one.namespace.neighbours.entries()] == listed
    assert [str(entry) for entry in two.device.fdb] == forwarding

    one.namespace.neighbours.remove(one.device, parse_ip("10.0.1.11"))
    one.device.fdb.remove(parse_mac("02:42:0a:00:01:0a"), parse_ip("172.16.0.10"))
    assert len(one.namespace.neighbours.entries()) == len(two.namespace.neighbours.entries()) - 1
    assert [str(entry) for entry in two.device.fdb] == forwarding
    one.namespace.remove_device(one.device)
    assert [str(entry) for entry in one.namespace.neighbours.entries()] == [
        "10.9.9.9 dev lo lladdr 02:42:0a:00:01:0c PERMANENT"
    ]
    two.namespace.remove_device(two.device)
    gc.collect()
    assert all(not any(shared.entries) for shared in clock.registry["intern pools"].values())

"""The test bench itself: bad bounds are refused, examples shrink to the smallest, and its checks can fail."""

from __future__ import annotations

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from scapy.layers.inet import IP, TCP, UDP

from cnmsim import Lab
from cnmsim.kernel.address import Prefix
from cnmsim.kernel.skbuff import Packet
from cnmsim.testing.assertions import assert_reachable
from cnmsim.testing.invariants import check_host
from cnmsim.testing.prove import assert_isolated, resolve
from cnmsim.testing.snapshot import Snapshot
from cnmsim.testing.strategies import (
    NODE,
    ContainerSpec,
    LabSpec,
    NetworkSpec,
    addresses,
    container_specs,
    frames,
    lab_specs,
    labs,
    malformed_frames,
    networks,
    packets,
    published_ports,
    subnets,
)

SHOP = LabSpec(
    "29.7.2",
    (NetworkSpec("front"), NetworkSpec("back", internal=True)),
    (ContainerSpec("web", ("front", "back"), {"80/tcp": 8080}), ContainerSpec("db", ("back",)),
     ContainerSpec("ad", ("front",))),
)  # fmt: skip


@pytest.fixture
def shop() -> Lab:
    return SHOP.build()


@pytest.mark.parametrize(
    "make",
    [
        lambda: subnets(family=5),
        lambda: subnets(min_length=24, max_length=20),
        lambda: subnets(min_length=3),
        lambda: subnets(max_length=33),
        lambda: networks(names=[]),
        lambda: published_ports(min_size=2, max_size=1),
        lambda: published_ports(max_size=9),
        lambda: published_ports(host_ports=[]),
        lambda: container_specs(names=[]),
        lambda: container_specs(max_networks=1),
        lambda: lab_specs(min_containers=-1),
        lambda: lab_specs(min_networks=2, max_networks=1),
        lambda: lab_specs(max_containers=1.5),
        lambda: lab_specs(engines=["1.2.3"]),
        lambda: labs(engines=[]),
        lambda: addresses(family=0),
        lambda: packets(family=7),
        lambda: packets(sources=addresses()),
        lambda: packets(max_payload=70000),
    ],
)
def test_impossible_bounds_are_refused_at_once(make):
    with pytest.raises(InvalidArgument):
        make()


def test_labs_shrink_to_one_container_on_the_default_bridge():
    smallest = find(lab_specs(), lambda spec: bool(spec.containers), settings=settings(database=None))
    assert smallest == LabSpec("29.7.2", (), (ContainerSpec("box0"),), userland_proxy=False)


def test_a_lab_with_a_published_port_shrinks_to_nothing_but_that():
    smallest = find(
        lab_specs(), lambda spec: any(each.ports for each in spec.containers), settings=settings(database=None)
    )
    assert smallest.networks == ()
    assert [len(each.ports) for each in smallest.containers] == [1]


@given(spec=lab_specs())
@settings(max_examples=20, deadline=None)
def test_a_spec_is_printed_as_it_is_typed(spec):
    assert eval(repr(spec)) == spec


@given(text=st.one_of(subnets(), subnets(min_length=24, max_length=24), subnets(family=6)))
def test_subnets_are_networks_clear_of_the_hosts(text):
    assert not Prefix.parse(text).overlaps(Prefix.parse("10.0.0.0/24"))


@given(data=packets())
def test_packets_are_well_formed(data):
    assert Packet(data).data == data
    if data[0] >> 4 == 4:
        fresh = IP(data)
        for layer in (IP, TCP, UDP):
            if fresh.haslayer(layer):
                del fresh[layer].chksum
        assert bytes(fresh)[:20] == data[:20]


@given(frame=frames(), fuzzed=malformed_frames())
def test_frames_have_a_header_and_malformed_ones_need_not(frame, fuzzed):
    assert len(frame) >= 14
    assert isinstance(fuzzed, bytes)


@given(lab=labs(max_networks=1, max_containers=1))
@settings(max_examples=5, deadline=None)
def test_labs_come_up_with_their_books_right(lab):
    check_host(lab.host(NODE))


def test_proofs_hold_in_a_shop_with_an_internal_network(shop):
    assert_isolated(shop, ["ad"], ["db"])
    assert_isolated(shop, ["client"], ["db"])
    for name in ("db", "ad"):
        assert_reachable(shop, "web", f"{name}:80")
    assert resolve(shop, "web", "db") == [shop.container("db").ip("back")]
    assert resolve(shop, "ad", "db") == []


def test_a_proof_that_fails_shows_the_walk(shop):
    with pytest.raises(AssertionError, match=r"web is not isolated from db by icmp:(.|\n)*ANSWERED"):
        assert_isolated(shop, ["web"], ["db"])
    with pytest.raises(AssertionError, match=r"ad does not reach db:80(.|\n)*NAME NOT FOUND"):
        assert_reachable(shop, "ad", "db:80")


def test_a_snapshot_tells_what_came_and_what_went(shop):
    before = Snapshot.of(shop.host(NODE))
    assert before.difference(Snapshot.of(shop.host(NODE))) == []
    shop.container("db").remove(force=True)
    changes = before.difference(Snapshot.of(shop.host(NODE)))
    assert "- containers: db running on back" in changes
    assert not [line for line in changes if line.startswith("+ ") and "addresses" not in line]


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("iptables -A DOCKER -i br-gone -j ACCEPT", "bridge of this rule is gone"),
        ("iptables -A DOCKER -d 172.18.0.99/32 -j ACCEPT", "endpoint of this rule is gone"),
        ("iptables -t nat -A POSTROUTING -s 10.99.0.0/16 -j MASQUERADE", "network of this rule is gone"),
        ("ip link add br-stray type bridge", "bridges"),
        ("ip link set docker0 down; ip link add stray type veth peer name other", "cables"),
    ],
)
def test_books_that_are_wrong_are_noticed(shop, command, complaint):
    assert shop.host(NODE).exec(command).succeeded
    with pytest.raises(AssertionError, match=complaint):
        check_host(shop.host(NODE))

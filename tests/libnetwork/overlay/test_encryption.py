"""Encrypted overlay networks: what is on the wire, and what becomes of it while keys change."""

from __future__ import annotations

from typing import Any

import pytest
from support.overlay_nodes import VERSIONS, Swarm, keys, ping

from cnmsim.errors import InvalidParameter, SystemFault
from cnmsim.kernel.address import format_ip, parse_ip
from cnmsim.kernel.xfrm import xfrm_of
from cnmsim.libnetwork.agent import GOSSIP, IPSEC, EncryptionKey, check_keys, keys_of
from cnmsim.libnetwork.drivers.overlay.encryption import MARK, Key, build_spi
from cnmsim.libnetwork.options import IpamConfig, NetworkOptions


def _pair(version: str = "29.7.2", *, encrypted: bool = True) -> Swarm:
    swarm = Swarm(2, version)
    swarm.define("net", driver_opts={"encrypted": ""} if encrypted else {})
    swarm.define("plain", "10.0.7.0/24")
    for number, node in enumerate(swarm.nodes):
        node.network("net", lb=f"10.0.1.{2 + number}")
        node.run(f"c{number}", f"net=10.0.1.{4 + number}")
    swarm.settle()
    return swarm


def _protocols(swarm: Swarm) -> list[int]:
    """The IP protocols of what crosses the wire from now on, gossip apart."""
    seen: list[int] = []

    def tap(_time: int, direction: str, frame: bytes) -> None:
        is_gossip = frame[36:38] == (7946).to_bytes(2) or frame[23] == 6
        if direction == "in" and frame[12:14] == b"\x08\0" and not is_gossip:
            seen.append(frame[23])

    swarm.segment.taps = (tap,)
    return seen


def test_spis_are_those_of_the_engine() -> None:
    one, two = parse_ip("192.0.2.1"), parse_ip("192.0.2.2")
    assert build_spi(one, two, 1000) == 0xF2CB24D3
    assert build_spi(two, one, 1000) == 0xDF692DF7


@pytest.mark.parametrize("version", VERSIONS)
def test_what_crosses_the_wire_is_esp(version: str) -> None:
    swarm = _pair(version)
    seen = _protocols(swarm)
    assert ping(swarm.nodes[0].namespace("c0"), "10.0.1.5")
    assert seen == [50, 50]
    assert swarm.nodes[0].namespace("c0").devices["eth0"].mtu == 1424


def test_other_networks_between_the_same_nodes_stay_in_clear() -> None:
    swarm = _pair()
    for number, node in enumerate(swarm.nodes):
        node.network("plain", lb=f"10.0.7.{2 + number}")
        node.run(f"d{number}", f"plain=10.0.7.{4 + number}")
    swarm.settle()
    seen = _protocols(swarm)
    assert ping(swarm.nodes[0].namespace("d0"), "10.0.7.5")
    assert seen == [17, 17]


@pytest.mark.parametrize("version", VERSIONS)
def test_states_policies_and_rules(version: str) -> None:
    swarm = _pair(version)
    root = swarm.nodes[0].machine.root
    xfrm = xfrm_of(root)
    ways = sorted((format_ip(state.src), format_ip(state.dst)) for state in xfrm.states)
    assert ways == [("10.100.0.1", "10.100.0.2")] + [("10.100.0.2", "10.100.0.1")] * 3
    assert {state.reqid for state in xfrm.states} == {MARK}
    [policy] = xfrm.policies
    # The middle one of the three keys is the one to encrypt with.
    assert policy.templates[0].spi == build_spi(b"\x0a\x64\0\1", b"\x0a\x64\0\2", 2)
    assert (policy.direction, policy.selector.dport) == ("out", 4789)
    saved = root.netfilter.iptables(4).save("mangle")
    assert '-m bpf --bytecode "7,32 0 0 4294963252,' in saved
    assert f"-j MARK --set-xmark {MARK:#x}/0xffffffff" in saved
    assert "-m policy --dir in --pol none" in root.netfilter.iptables(4).save("filter")


def test_clear_packets_of_an_encrypted_network_are_dropped() -> None:
    swarm = _pair()
    # A sender that lost its policies marks its packets, and sends them in clear.
    xfrm_of(swarm.nodes[0].machine.root).flush_policies()
    seen = _protocols(swarm)
    assert not ping(swarm.nodes[0].namespace("c0"), "10.0.1.5")
    assert seen == [17]


def test_esp_blocked_by_a_firewall_stops_encrypted_networks_alone() -> None:
    swarm = _pair()
    swarm.iptables(1, "-I INPUT -p esp -j DROP")
    assert not ping(swarm.nodes[0].namespace("c0"), "10.0.1.5")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_rotation_loses_nothing_whoever_is_first(version: str) -> None:
    swarm = _pair(version)
    a, b = swarm.nodes
    source = a.namespace("c0")
    for first in range(2, 7):
        a.controller.set_keys(keys(first))
        assert ping(source, "10.0.1.5")
        b.controller.set_keys(keys(first))
        assert ping(source, "10.0.1.5")
        xfrm = xfrm_of(a.machine.root)
        assert len(xfrm.states) == 4
        assert xfrm.policies[0].templates[0].spi == build_spi(b"\x0a\x64\0\1", b"\x0a\x64\0\2", first + 1)
    swarm.settle()


def test_a_node_that_missed_rotations_starts_over_with_the_keys_it_gets() -> None:
    swarm = _pair("28.5.2")
    a, b = swarm.nodes
    b.controller.set_keys(keys(2))
    b.controller.set_keys(keys(3))
    b.controller.set_keys(keys(4))
    a.controller.set_keys(keys(4))
    assert any("resetting datapath keys" in line for line in a.controller.log)
    assert xfrm_of(a.machine.root).states == []
    # Up to 28.5 the next join brings the states back.
    a.run("again", "net=10.0.1.20")
    assert len(xfrm_of(a.machine.root).states) == 4
    assert ping(a.namespace("c0"), "10.0.1.5")


def test_states_go_with_the_last_peer_in_newer_engines() -> None:
    swarm = _pair("29.7.2")
    a, b = swarm.nodes
    b.remove("c1")
    b.controller.find_network("net").delete()
    swarm.settle()
    assert xfrm_of(a.machine.root).states == []
    assert xfrm_of(a.machine.root).policies == []
    swarm = _pair("28.5.2")
    a, b = swarm.nodes
    b.remove("c1")
    b.controller.find_network("net").delete()
    swarm.settle()
    assert len(xfrm_of(a.machine.root).states) == 4


def test_states_stay_if_the_network_is_gone_here_when_the_peers_deletion_arrives() -> None:
    swarm = _pair("29.7.2")
    for number, node in enumerate(swarm.nodes):
        node.remove(f"c{number}")
        node.controller.find_network("net").delete()
    swarm.settle()
    for node in swarm.nodes:
        assert len(xfrm_of(node.machine.root).states) == 4
        assert len(xfrm_of(node.machine.root).policies) == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_states_and_policies_that_went_come_back_with_the_next_endpoint_heard_of(version: str) -> None:
    swarm = _pair(version)
    xfrm = xfrm_of(swarm.nodes[0].machine.root)
    states, policies = {state.identity for state in xfrm.states}, [str(policy) for policy in xfrm.policies]
    gone = xfrm.states[0]
    for number, take_away in enumerate(
        [lambda: xfrm.remove_state(gone.dst, gone.spi), xfrm.flush_states, xfrm.flush_policies]
    ):
        take_away()
        assert ({state.identity for state in xfrm.states}, [str(each) for each in xfrm.policies]) != (
            states,
            policies,
        )
        swarm.nodes[1].run(f"more{number}", f"net=10.0.1.{8 + number}")
        swarm.settle()
        assert {state.identity for state in xfrm.states} == states
        assert [str(policy) for policy in xfrm.policies] == policies


def test_rules_go_with_the_network() -> None:
    swarm = _pair()
    a = swarm.nodes[0]
    a.remove("c0")
    a.controller.find_network("net").delete()
    tables = a.machine.root.netfilter.iptables(4)
    assert "bpf" not in tables.save("mangle") + tables.save("filter")


def test_without_keys_nobody_joins() -> None:
    swarm = Swarm(1)
    swarm.define("net", driver_opts={"encrypted": "false"})
    node = swarm.nodes[0]
    node.controller.agent.keys.clear()  # type: ignore[union-attr]
    node.controller.drivers.get("overlay").keys_set([])  # type: ignore[attr-defined]
    with pytest.raises(SystemFault, match="cannot join secure network: encryption keys not present"):
        node.network("net", lb="10.0.1.2")


@pytest.mark.parametrize(("wrong", "text"), [
    (keys()[:5], "incorrect number of keys for subsystem networking:ipsec"),
    ([*keys(), keys()[0].__class__("networking:other", 0, b"", 1)], "key received for unrecognized subsystem"),
])  # fmt: skip
def test_sets_of_keys_that_are_refused(wrong: list[object], text: str) -> None:
    controller = Swarm(1).nodes[0].controller
    with pytest.raises(SystemFault, match=text):
        controller.set_keys(wrong)  # type: ignore[arg-type]


def test_a_leftover_rule_does_not_cut_a_plain_network_off() -> None:
    swarm = Swarm(2)
    swarm.define("net", driver_opts={"encrypted": ""}, vnis="6000")
    for number, node in enumerate(swarm.nodes):
        network = node.network("net", lb=f"10.0.1.{2 + number}")
        node.controller.drivers.get("overlay").encryption.program_rules(6001)  # type: ignore[attr-defined]
        asked = NetworkOptions(
            scope="swarm", driver_opts={"com.docker.network.driver.overlay.vxlanid_list": "6001"},
            ipam_config=[IpamConfig("10.0.9.0/24")], load_balancer_ip=parse_ip(f"10.0.9.{2 + number}"),
        )  # fmt: skip
        node.controller.new_network("clear", "overlay", id="clear".ljust(25, "x"), is_dynamic=True, options=asked)
        assert network.name == "net"
    swarm.settle()
    assert "6001" not in swarm.nodes[0].machine.root.netfilter.iptables(4).save("filter")


@pytest.mark.parametrize(("vtep", "family"), [("192.0.2.1", 4), ("2001:db8::1", 6)])
def test_rules_are_installed_for_the_family_of_the_tunnel_endpoint(vtep: str, family: int) -> None:
    node = Swarm(1).nodes[0]
    encryption = node.controller.drivers.get("overlay").encryption  # type: ignore[attr-defined]
    encryption.vtep = parse_ip(vtep)
    encryption.program_rules(6001)
    saved = {each: node.machine.root.netfilter.iptables(each).save("mangle") for each in (4, 6)}
    assert {each for each, text in saved.items() if "0xd0c4e3" in text} == {family}


def key(subsystem: str, time: int) -> EncryptionKey:
    return EncryptionKey(subsystem, 0, bytes([time]) * 16, time)


def test_the_second_oldest_key_of_a_subsystem_is_its_primary_key() -> None:
    # moby libnetwork/agent.go getKeys: sorted by Lamport time, then the first two are swapped.
    keys = [key(GOSSIP, 7), key(IPSEC, 4), key(GOSSIP, 5), key(IPSEC, 6), key(GOSSIP, 6), key(IPSEC, 5)]
    assert [(item.subsystem, item.lamport_time) for item in keys_of(keys, GOSSIP)] == [
        (GOSSIP, 6), (GOSSIP, 5), (GOSSIP, 7),
    ]  # fmt: skip
    assert [item.lamport_time for item in keys_of(keys, IPSEC)] == [5, 4, 6]
    assert keys_of(keys[:1], GOSSIP) == keys[:1]
    assert keys_of([], IPSEC) == []


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ([key(GOSSIP, number) for number in range(3)], ""),
        ([key(IPSEC, number) for number in range(2)], f"incorrect number of keys for subsystem {IPSEC}"),
        ([key(GOSSIP, number) for number in range(4)], f"incorrect number of keys for subsystem {GOSSIP}"),
        ([key("other", 1)], "key received for unrecognized subsystem"),
        ([], ""),
    ],
)
def test_a_subsystem_has_three_keys_or_none(keys: list[EncryptionKey], text: str) -> None:
    if not text:
        check_keys(keys)
        return
    with pytest.raises(SystemFault) as caught:
        check_keys(keys)
    assert caught.value.message == text


def driver_with_keys() -> tuple[Any, list[Key]]:
    swarm = Swarm(1, "29.7.2")
    encryption: Any = swarm.nodes[0].controller.drivers.get("overlay").encryption  # type: ignore[union-attr]
    three = [Key(bytes([number]) * 16, number) for number in (1, 2, 3)]
    encryption.set_keys(three)
    return encryption, three


@pytest.mark.parametrize(
    ("primary", "pruned", "order"),
    [
        # moby updateKeys: the new key is appended, the primary key swapped with the first, then one is removed.
        (0, 0, [1, 2, 3, 4]), (2, 0, [2, 1, 3, 4]), (2, 1, [2, 3, 4]), (0, 3, [1, 2, 4]),
        (3, 1, [3, 2, 4]),
    ],
)  # fmt: skip
def test_a_rotation_adds_a_key_uses_another_and_drops_one(primary: int, pruned: int, order: list[int]) -> None:
    encryption, _ = driver_with_keys()
    by_tag = {0: None, **{number: Key(bytes([number]) * 16, number) for number in range(1, 5)}}
    encryption.update_keys(by_tag[4], by_tag[primary], by_tag[pruned])
    assert [item.tag for item in encryption.keys] == order


@pytest.mark.parametrize(
    ("new", "primary", "pruned", "text"),
    [
        (0, 2, 2, "attempting to both make a key (index 1) primary and delete it"),
        (0, 1, 1, "attempting to both make a key (index 0) primary and delete it"),
        (
            0, 9, 1,
            "cannot find proper key indices while processing key update:(newIdx,priIdx,delIdx):(-1, -1, 0)",
        ),
        (
            4, 2, 9,
            "cannot find proper key indices while processing key update:(newIdx,priIdx,delIdx):(3, 1, -1)",
        ),
    ],
)  # fmt: skip
def test_a_rotation_that_cannot_be_is_refused(new: int, primary: int, pruned: int, text: str) -> None:
    encryption, three = driver_with_keys()
    keys_by_tag = [Key(bytes([number]) * 16, number) if number else None for number in (new, primary, pruned)]
    with pytest.raises(InvalidParameter) as caught:
        encryption.update_keys(*keys_by_tag)
    assert caught.value.message == text
    assert encryption.keys[:3] == three

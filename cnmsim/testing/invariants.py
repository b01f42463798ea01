"""Invariants of a Docker host: each address, port, rule, device and bridge entry has exactly one owner.

Each `check_` function raises an `AssertionError` whose message names the object that has no owner or two owners.
`check_host` runs all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from cnmsim.kernel.address import Address, Prefix, format_ip, format_mac
from cnmsim.kernel.bridge import Bridge
from cnmsim.kernel.netfilter.nftables import NfTables

if TYPE_CHECKING:
    from cnmsim.engine.engine import Engine
    from cnmsim.kernel.machine import Machine
    from cnmsim.kernel.netfilter.rule import HostMatch, Rule
    from cnmsim.lab import Host
    from cnmsim.libnetwork.endpoint import Endpoint

_BRIDGE_DRIVER = "bridge"


def check_host(host: Host) -> None:
    """Check all invariants of one host. Raises `AssertionError` if one is violated."""
    check_bridges(host.machine)
    if not host.has_docker:
        return
    check_addresses(host.docker)
    check_sandboxes(host.docker)
    check_devices(host.docker)
    check_ports(host.docker)
    check_rules(host.docker)


def check_addresses(engine: Engine) -> None:
    """Check that each endpoint's address is unique, is in a pool of its network, and is not that of the gateway."""
    owners: dict[Address, str] = {}
    for endpoint in _endpoints(engine):
        network = endpoint.network
        for address in _addresses(endpoint):
            who = f"{endpoint.name} on {network.name}"
            text = format_ip(address)
            pools = network.ipam_pools(6 if len(address) == 16 else 4)
            assert any(address in info.pool for info in pools), f"{who}: {text} is in no pool of the network"
            assert address not in owners, f"{text} is the address of {owners[address]} and of {who}"
            assert all(address != info.gateway for info in pools), f"{who}: {text} is the gateway's"
            owners[address] = who


def check_sandboxes(engine: Engine) -> None:
    """Check that a sandbox has an interface for each of its endpoints on bridge networks, and no others.

    Each interface must have the addresses of its endpoint.
    """
    for sandbox in engine.controller.sandboxes:
        space = sandbox.namespace
        if space is None or sandbox.options.use_host_namespace:
            continue
        joined = [endpoint for endpoint in sandbox.endpoints if endpoint.network.driver_name == _BRIDGE_DRIVER]
        expected = {"lo", *(endpoint.interface_name for endpoint in joined)}
        assert set(space.devices) == expected, f"{space.name} has {sorted(space.devices)}, not {sorted(expected)}"
        for endpoint in joined:
            held = {
                address.address
                for address in space.devices[endpoint.interface_name].addresses
                if address.scope != "link"
            }
            assert held == set(_addresses(endpoint)), f"{space.name}:{endpoint.interface_name} has other addresses"


def check_devices(engine: Engine) -> None:
    """Check that there is one bridge for each network and one veth for each joined endpoint, and no other ones."""
    root = engine.machine.root
    bridges = {device.name for device in root.devices.values() if device.kind == "bridge"}
    networks = [network for network in engine.controller.networks if network.driver_name == _BRIDGE_DRIVER]
    assert bridges == set(_bridge_names(engine)), (
        f"bridges {sorted(bridges)} of networks {sorted(_bridge_names(engine))}"
    )
    cables = [device for device in root.devices.values() if device.kind == "veth"]
    endpoints = (endpoint for network in networks for endpoint in network.endpoints.values())
    joined = [endpoint for endpoint in endpoints if endpoint.sandbox is not None]
    assert len(cables) == len(joined), f"{len(cables)} cables for {len(joined)} joined endpoints"
    for cable in cables:
        assert cable.master is not None, f"{cable.name} is the port of no bridge"


def check_bridges(machine: Machine) -> None:
    """Check the ports and FDB entries of each bridge.

    Each port must be a device of the host, and each FDB entry must refer to a port or to the bridge itself.
    """
    root = machine.root
    for bridge in root.devices.values():
        if not isinstance(bridge, Bridge):
            continue
        for device in bridge.ports:
            assert root.devices.get(device.name) is device, f"{bridge.name}: port {device.name} is no device"
            assert device.master is bridge, f"{bridge.name}: {device.name} has another master"
        own = {bridge.mac, *(device.mac for device in bridge.ports)}
        for mac, entry in bridge.fdb.items():
            if entry.port is None:
                assert mac in own, f"{bridge.name}: {format_mac(mac)} is its own of no port"
            else:
                assert entry.port.device in bridge.ports, f"{bridge.name}: {format_mac(mac)} is behind no port"


def check_ports(engine: Engine) -> None:
    """Check that the allocated host ports are exactly those that existing endpoints publish."""
    held = {
        (protocol, port)
        for (protocol, _), table in engine.controller.allocator._tables.items()
        for port in table.used
    }
    published = {
        (binding.protocol, binding.host_port)
        for endpoint in _endpoints(engine)
        for binding in endpoint.port_map
        if binding.host_port
    }
    assert held == published, f"held ports {sorted(held)}, published ports {sorted(published)}"


def check_rules(engine: Engine) -> None:
    """Check that rules refer only to existing bridges, subnets of networks, and addresses and ports of endpoints."""
    machine = engine.machine
    bridges = set(_bridge_names(engine))
    endpoints = {address for endpoint in _endpoints(engine) for address in _addresses(endpoint)}
    pools = {info.pool for network in engine.controller.networks for info in network.ipam_info}
    ports = {binding.host_port for endpoint in _endpoints(engine) for binding in endpoint.port_map}
    for family in (4, 6):
        for iptables in machine.root.netfilter.iptables(family).tables.values():
            for chain in iptables.chains.values():
                for entry in chain.rules:
                    text = f"{iptables.name}: -A {chain.name} {entry.rule}"
                    _check_rule(entry.rule, text, bridges, endpoints, pools)
                    if iptables.name == "nat" and " -j DNAT " in text:
                        _check_translation(text, endpoints, ports)
    for table in NfTables.of(machine.root.netfilter).tables.values():
        for nft_rule in table.rules():
            _check_nft_rule(nft_rule.text(), bridges, endpoints, pools, ports)
        for nft_set in table.sets.values():
            for element in nft_set.elements.texts():
                name = element.partition('"')[2].partition('"')[0]
                assert name in bridges, f"the bridge of this element of {nft_set.name} is gone: {element}"


def _check_nft_rule(
    text: str, bridges: set[str], endpoints: set[Address], pools: set[Prefix], ports: set[int]
) -> None:
    for names in re.findall(r"[io]ifname (?:!= )?(\{[^}]*\}|\S+)", text):
        for name in re.findall(r'"([^"]+)"', names):
            assert name in {*bridges, "lo", "docker_gwbridge"}, f"the bridge of this rule is gone: {text}"
    own = {format_ip(address) for address in endpoints}
    for value in re.findall(r"ip6? [sd]addr (?:!= )?(\S+)", text):
        if "/" in value:
            is_no_network = value.startswith(("127.", "fe80:"))
            assert is_no_network or value in {str(pool) for pool in pools}, (
                f"the network of this rule is gone: {text}"
            )
    translated = re.search(r"tcp dport (\d+) .*dnat to \[?([^\] ]+?)\]?:\d+ ", text)
    if translated is not None:
        assert translated[2] in own, f"the endpoint of this rule is gone: {text}"
        assert int(translated[1]) in ports, f"nobody publishes the port of this rule: {text}"


def _check_rule(rule: Rule, text: str, bridges: set[str], endpoints: set[Address], pools: set[Prefix]) -> None:
    for interface in (rule.in_interface, rule.out_interface):
        if interface is not None and interface.name not in {"lo", "docker_gwbridge"}:
            assert interface.name in bridges, f"the bridge of this rule is gone: {text}"
    for match in (rule.source, rule.destination):
        if match is None or _is_of_the_host(match):
            continue
        length = match.mask.bit_count()
        if length == len(match.address) * 8:
            assert match.address in endpoints, f"the endpoint of this rule is gone: {text}"
        else:
            assert Prefix(match.address, length) in pools, f"the network of this rule is gone: {text}"


def _is_of_the_host(match: HostMatch) -> bool:
    """Return True if the address in a rule is a loopback or link-local address, which belongs to no network."""
    return match.address[0] == 127 or match.address[:2] == b"\xfe\x80" or match.address == b"\0" * 15 + b"\1"


def _check_translation(text: str, endpoints: set[Address], ports: set[int]) -> None:
    words = text.split()
    target = words[words.index("--to-destination") + 1]
    address = target.rpartition(":")[0].strip("[]")
    assert address in {format_ip(endpoint) for endpoint in endpoints}, f"the endpoint of this rule is gone: {text}"
    assert int(words[words.index("--dport") + 1]) in ports, f"nobody publishes the port of this rule: {text}"


def _endpoints(engine: Engine) -> Iterator[Endpoint]:
    for network in engine.controller.networks:
        yield from network.endpoints.values()


def _addresses(endpoint: Endpoint) -> list[Address]:
    return [assigned[0] for assigned in (endpoint.ipv4, endpoint.ipv6) if assigned is not None]


def _bridge_names(engine: Engine) -> list[str]:
    label = "com.docker.network.bridge.name"
    return [
        network.driver_opts.get(label) or f"br-{network.id[:12]}"
        for network in engine.controller.networks
        if network.driver_name == _BRIDGE_DRIVER and not network.config_only
    ]

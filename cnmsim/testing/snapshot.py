"""The state of a host as a comparable value, to check that an operation changes nothing or leaves nothing behind.

State that Linux and Docker keep on purpose, or that changes with time, is left out: counters, conntrack entries,
neighbours, learnt MAC addresses, link-local addresses (a bridge keeps its own once it had a carrier), ephemeral-port
cursors, and the policies of built-in chains (the first IPv6 network sets one permanently). The embedded resolver, its
rules and resolv.conf are left out too: a sandbox keeps them once a network has needed them, even if the sandbox
failed to join that network (moby `Sandbox.populateNetworkResources`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from attrs import fields, frozen

from cnmsim.kernel.address import format_ip, format_mac
from cnmsim.kernel.bridge import Bridge

if TYPE_CHECKING:
    from cnmsim.engine.engine import Engine
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.lab import Host

_Lines = tuple[str, ...]
_RESOLVER = "127.0.0.11"
_RESOLVER_CHAINS = frozenset({"DOCKER_OUTPUT", "DOCKER_POSTROUTING"})


@frozen
class Snapshot:
    """The state of one host. Each field is one kind of object, as a sorted tuple of lines.

    `rules` are sorted too, because a rule that was deleted and added again has another position in its chain.
    `addresses` are those allocated by IPAM, `ports` those of the port allocator, `names` the DNS records of networks,
    `files` the hosts files.
    """

    devices: _Lines
    routes: _Lines
    rules: _Lines
    sysctls: _Lines
    sockets: _Lines
    processes: _Lines
    namespaces: _Lines
    bridge_ports: _Lines
    addresses: _Lines = ()
    ports: _Lines = ()
    networks: _Lines = ()
    endpoints: _Lines = ()
    names: _Lines = ()
    sandboxes: _Lines = ()
    files: _Lines = ()
    containers: _Lines = ()

    @classmethod
    def of(cls, host: Host) -> Snapshot:
        """Record the present state of `host`."""
        machine = host.machine
        inside = [machine.root, *machine.namespaces.values()]
        kernel = {
            "devices": [line for space in inside for line in _devices(space)],
            "routes": [line for space in inside for line in _routes(space)],
            "rules": [line for space in inside for line in _rules(space)],
            "sysctls": [f"ip_forward {machine.root.sysctl_get('net.ipv4.ip_forward')}"],
            "sockets": [line for space in inside for line in _sockets(space)],
            "processes": [" ".join(process.argv) for process in machine.processes.values()],
            "namespaces": list(machine.namespaces),
            "bridge_ports": list(_bridge_ports(machine.root)),
        }
        docker = _docker(host.docker) if host.has_docker else {}
        return cls(**{name: tuple(sorted(lines)) for name, lines in (kernel | docker).items()})

    def difference(self, later: Snapshot) -> list[str]:
        """Return the lines missing from `later` or new in it, such as `+ rules: LINE`; [] if both are equal."""
        changes: list[str] = []
        for attribute in fields(Snapshot):
            before, after = getattr(self, attribute.name), getattr(later, attribute.name)
            changes += [f"- {attribute.name}: {line}" for line in _without(before, after)]
            changes += [f"+ {attribute.name}: {line}" for line in _without(after, before)]
        return changes


def _without(lines: _Lines, others: _Lines) -> list[str]:
    left = list(others)
    missing = []
    for line in lines:
        if line in left:
            left.remove(line)
        else:
            missing.append(line)
    return missing


def _devices(space: NetworkNamespace) -> Iterator[str]:
    for device in space.devices.values():
        addresses = ", ".join(str(address) for address in device.addresses if address.scope != "link")
        state = "up" if device.is_up else "down"
        # A bridge without a configured MAC address takes the lowest MAC of its ports, and loses it with its last
        # port.
        is_taken = isinstance(device, Bridge) and not device.has_fixed_mac
        mac = "of its ports" if is_taken else format_mac(device.mac)
        yield f"{space.name}: {device.name} {device.kind} {state} {mac} mtu {device.mtu} [{addresses}]"


def _routes(space: NetworkNamespace) -> Iterator[str]:
    for table in (space.routes4, space.routes6):
        for route in table.routes:
            if not str(route).startswith("fe80:"):
                yield f"{space.name}: {route}"


def _rules(space: NetworkNamespace) -> Iterator[str]:
    for family in (4, 6):
        for table in space.netfilter.iptables(family).tables.values():
            for chain in table.chains.values():
                where = f"{space.name}: ipv{family} {table.name}"
                if chain.policy is None and chain.name not in _RESOLVER_CHAINS:
                    yield f"{where} :{chain.name}"
                for entry in chain.rules:
                    if _RESOLVER not in str(entry.rule):
                        yield f"{where} -A {chain.name} {entry.rule}"
    for line in space.netfilter.rules_outside_iptables_nft().splitlines():
        if _RESOLVER not in line and "docker-dns" not in line:
            yield f"{space.name}: {line.strip()}"


def _sockets(space: NetworkNamespace) -> Iterator[str]:
    for info in space.sockets.listeners():
        if format_ip(info.local) != _RESOLVER:
            yield f"{space.name}: {info.protocol} {format_ip(info.local)}:{info.local_port} {info.program}"


def _bridge_ports(space: NetworkNamespace) -> Iterator[str]:
    for device in space.devices.values():
        if device.master is not None:
            yield f"{device.name} of {device.master.name}"


def _docker(engine: Engine) -> dict[str, list[str]]:
    controller = engine.controller
    return {
        "addresses": list(_addresses(engine)),
        "ports": list(_ports(engine)),
        "networks": [f"{network.name} {network.id[:12]} {network.driver_name}" for network in controller.networks],
        "endpoints": [
            f"{endpoint.name} on {network.name}{'' if endpoint.sandbox is None else ' joined'}"
            for network in controller.networks
            for endpoint in network.endpoints.values()
        ],
        "names": [f"{name} on {network.name}" for network in controller.networks for name in network.records.names()],
        "sandboxes": [sandbox.container_id[:12] for sandbox in controller.sandboxes],
        "files": [f"{sandbox.container_id[:12]} {sandbox.hosts_file.content!r}" for sandbox in controller.sandboxes],
        "containers": [
            f"{container.name} {container.status} on {', '.join(sorted(container.record.networks))}"
            for container in engine.containers.list(all=True)
        ],
    }


def _addresses(engine: Engine) -> Iterator[str]:
    for ipam in engine.controller.ipams.values():
        for space in getattr(ipam, "_spaces", {}).values():
            for prefix, subnet in space.subnets.items():
                allocated = subnet.allocated
                runs = ",".join(
                    f"{first}-{last}" for first, last in zip(allocated._starts, allocated._ends, strict=True)
                )
                yield f"{space.name} {prefix} {runs} of ranges {sorted(map(str, subnet.ranges))}"


def _ports(engine: Engine) -> Iterator[str]:
    for (protocol, address), table in engine.controller.allocator._tables.items():
        for port in table.used:
            yield f"{format_ip(address)}:{port}/{protocol}"

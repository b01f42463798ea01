"""Faults of swarms: too few managers to survive the loss of one, and closed ports between nodes.

Sources of the numbers: moby/swarmkit `manager/state/raft` (a majority of managers must agree); Docker's documentation
of the swarm ports.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import permutations

from cnmsim.kernel.address import Prefix
from cnmsim.observe.diagnosis.sentences import sentence
from cnmsim.observe.diagnosis.stale_vxlan import stale_vxlan_devices
from cnmsim.observe.diagnosis.swarm_ports import (
    GOSSIP_PORT,
    MANAGER_PORT,
    gossip_filtered,
    opening_changes,
    port_drop,
)
from cnmsim.observe.doctor.fault import Fault, Severity
from cnmsim.observe.doctor.lab_snapshot import LabSnapshot
from cnmsim.observe.fixes.changes import (
    Change,
    DeleteLink,
    DeleteRule,
    NetworkSetting,
    RecreateNetwork,
    RejoinSwarm,
    ScaleService,
    SetNodeRole,
    Steps,
)
from cnmsim.observe.location import Location
from cnmsim.observe.swarm_view import SwarmView, needs_unlock
from cnmsim.observe.trace.hops import Hop
from cnmsim.swarm.objects import NodeRole, Replicated

#: Up to this number of nodes, every pair is probed. In larger swarms each node probes only the next and the previous
#: one.
ALL_PAIRS = 6
#: The smallest number of managers with which one may fail.
_SURVIVE_ONE = 3
_AGAINST_ESP = re.compile(r"-A .*-p (esp|50)\b.* -j (DROP|REJECT)")


def quorum(snapshot: LabSnapshot) -> Iterator[Fault]:
    """Find swarms that lose their quorum if one manager fails."""
    for swarm in snapshot.directory.swarms:
        nodes = list(swarm.store.nodes)
        managers = [node.hostname for node in nodes if node.role is NodeRole.MANAGER]
        workers = [node.hostname for node in nodes if node.role is NodeRole.WORKER]
        place = f"swarm of {', '.join(sorted(managers))}"
        if len(managers) == 1 and len(nodes) > 1:
            yield Fault(
                Severity.WARNING, "quorum", place,
                f"{managers[0]} is the only manager of {len(nodes)} nodes: "
                "without it no task is replaced and nothing can be changed",
                "docker node promote two more nodes, so that one may fail" if len(nodes) >= _SURVIVE_ONE
                else "add a third node and make all three managers: of two managers none may fail",
                snapshot.lab_source("swarm", "managers"), tuple(_promote(managers[0], workers[:2])),
            )  # fmt: skip
        elif len(managers) % 2 == 0 and managers:
            spare = (len(managers) - 1) // 2
            yield Fault(
                Severity.WARNING, "quorum", place,
                f"{len(managers)} managers survive the loss of {spare}, as {len(managers) - 1} would: "
                "the last one adds nothing but a way to lose the majority",
                "docker node promote one more node, or demote one" if len(nodes) > len(managers)
                else "docker node demote one, or add a node as a manager",
                snapshot.lab_source("swarm", "managers"),
                (*_promote(managers[0], workers[:1]), SetNodeRole(managers[0], managers[-1], False)),
            )  # fmt: skip


def _promote(manager: str, nodes: Sequence[str]) -> Iterator[Change]:
    """Yield the change that promotes all `nodes`, if there are any."""
    if nodes:
        yield Steps(tuple(SetNodeRole(manager, node, True) for node in nodes))


def halted(snapshot: LabSnapshot) -> Iterator[Fault]:
    """Find swarm members that are powered on but do not take part in the swarm."""
    for swarm in snapshot.directory.swarms:
        for host, why in swarm.halted.items():
            yield Fault(
                Severity.ERROR,
                "swarm-halted",
                host,
                f"it takes no part in the swarm: {why}",
                sentence(RejoinSwarm(host, needs_unlock(why))),
                snapshot.host_source(host),
            )


def single_points(snapshot: LabSnapshot) -> Iterator[Fault]:
    """Find services that publish a port but have only one replica, so that the loss of one node interrupts them."""
    for swarm in snapshot.directory.swarms:
        if len(swarm.members) < 2:
            continue
        for service in swarm.store.services:
            mode = service.spec.mode
            if (
                isinstance(mode, Replicated)
                and mode.replicas == 1
                and service.endpoint is not None
                and service.endpoint.ports
            ):
                yield Fault(
                    Severity.NOTE, "single-point", f"service {service.name}",
                    "it publishes a port and has one replica: "
                    "the service is down from the loss of its node until the task is replaced",
                    f"docker service scale {service.name}=2",
                    snapshot.service_source(swarm, service.name, ("deploy", "replicas"), ("deploy",)),
                    (ScaleService(swarm.members[0], service.name, 2),),
                )  # fmt: skip


def overlay_subnets(snapshot: LabSnapshot) -> Iterator[Fault]:
    """Find overlay networks whose subnet overlaps the subnet of one of a node's own interfaces."""
    for swarm in snapshot.directory.swarms:
        members = [host for host in snapshot.hosts if host.name in swarm.members]
        for network in swarm.store.networks:
            for config in network.ipam.configs if network.ipam is not None else ():
                yield from _same_as_host(snapshot, network.name, config.subnet, members)


def _same_as_host(snapshot: LabSnapshot, network: str, subnet: str, members: list[Location]) -> Iterator[Fault]:
    if not subnet:
        return
    prefix = Prefix.parse(subnet)
    clashes = [
        (host, f"{own.prefix} of {host.name} {device.name}")
        for host in members
        for device in host.namespace.devices.values()
        if device.name not in snapshot.own_devices(host) and device.kind != "loopback"
        for own in device.addresses
        if own.family == prefix.family and own.prefix.overlaps(prefix)
    ]
    if clashes:
        host = clashes[0][0]
        yield Fault(
            Severity.ERROR, "overlay-on-host-subnet", f"network {network}",
            f"its subnet {subnet} overlaps {', '.join(text for _, text in clashes)}: "
            "its containers treat the nodes, and every other machine there, as neighbours on the network",
            "make it with another --subnet, or init the swarm with --default-addr-pool",
            _network_source(snapshot, host, network),
            (RecreateNetwork(host.name, network, NetworkSetting.SUBNET),),
        )  # fmt: skip


def _network_source(snapshot: LabSnapshot, host: Location, network: str) -> str:
    paths = ("ipam", "config"), ("ipam",)
    return "" if snapshot.places is None else str(snapshot.places.network(host.name, network, *paths))


def stray_tunnels(snapshot: LabSnapshot) -> Iterator[Fault]:
    """Find stale VXLAN devices on nodes: they prevent the creation of an overlay network there."""
    for stale in stale_vxlan_devices(snapshot.directory.locations, snapshot.directory.swarms):
        yield Fault(
            Severity.ERROR, "vni-taken", stale.host,
            f"{sentence(stale)}: no container there can join {stale.network} "
            "(error creating vxlan interface: file exists)",
            sentence(DeleteLink(stale.host, stale.device)),
            snapshot.host_source(stale.host, stale.device), (DeleteLink(stale.host, stale.device),),
        )  # fmt: skip


# ---- ports between nodes


def node_ports(snapshot: LabSnapshot) -> Iterator[Fault]:
    """Send real packets between swarm nodes, and yield each swarm port that a packet filter closes.

    If an overlay network is encrypted, rules that drop ESP are yielded too.
    """
    for swarm in snapshot.directory.swarms:
        hosts = {host.name: host for host in snapshot.hosts if host.name in swarm.members}
        managers = [node.hostname for node in swarm.store.nodes if node.role is NodeRole.MANAGER]
        needed = [("tcp", GOSSIP_PORT), ("udp", GOSSIP_PORT), ("udp", swarm.data_path_port)]
        uses = {
            swarm.data_path_port: "the tunnels of overlay networks",
            GOSSIP_PORT: "gossip",
            MANAGER_PORT: "the managers",
        }
        losses: dict[tuple[str, str, int], tuple[str, str, Hop]] = {}
        for one, two in _pairs(swarm):
            if one not in hosts or two not in hosts:
                continue
            for protocol, port in [*needed, *([("tcp", MANAGER_PORT)] if two in managers else [])]:
                loss = port_drop(snapshot.directory, swarm, one, two, protocol, port)
                if loss is not None:
                    losses.setdefault((loss.where, protocol, port), (one, two, loss))
        for (_, protocol, port), (one, two, loss) in losses.items():
            changes = opening_changes(snapshot.directory, loss, protocol, port)
            if port == GOSSIP_PORT:
                filtered = gossip_filtered(snapshot.directory, swarm, one, two)
                changes = (*changes, *(() if filtered is None else filtered.changes))
            yield Fault(
                Severity.ERROR, "port-blocked", f"{one} to {two}",
                f"{protocol.upper()} port {port} ({uses[port]}) is closed on {loss.place}"
                + (f" by {loss.decision}" if loss.decision else ""),
                f"open {port}/{protocol} between all nodes",
                snapshot.host_source(loss.place, f"--dport {port}", str(port), "iptables", "nft"),
                changes,
            )  # fmt: skip
        drivers = [network.spec.driver for network in swarm.store.networks]
        if any(driver is not None and "encrypted" in (driver.options or {}) for driver in drivers):
            yield from _esp(snapshot)


def _pairs(swarm: SwarmView) -> list[tuple[str, str]]:
    names = list(swarm.members)
    if len(names) <= ALL_PAIRS:
        return list(permutations(names, 2))
    ring = list(zip(names, names[1:] + names[:1], strict=True))
    return ring + [(two, one) for one, two in ring]


def _esp(snapshot: LabSnapshot) -> Iterator[Fault]:
    """Find rules that drop ESP.

    The rules are read, not probed, because no program in a lab can send ESP.
    """
    for host in snapshot.hosts:
        for line in host.namespace.netfilter.iptables(4).save("filter").splitlines():
            if _AGAINST_ESP.match(line):
                yield Fault(
                    Severity.ERROR, "port-blocked", host.name,
                    "ESP (IP protocol 50), which encrypted overlay networks use in place of a port, "
                    f"is closed by {line}",
                    "let IP protocol 50 pass between all nodes: it has no port, so a list of ports does not open it",
                    snapshot.host_source(host.name, "esp", "-p 50"),
                    (DeleteRule(host.name, "iptables", "filter", line),),
                )  # fmt: skip

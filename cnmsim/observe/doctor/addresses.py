"""Address conflicts and exhaustion: overlapping subnets, pools that are nearly used up, duplicate MACs and names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import islice

from cnmsim.kernel.address import Prefix, format_ip, format_mac
from cnmsim.observe.doctor.fault import Fault, Severity
from cnmsim.observe.doctor.lab_snapshot import LabSnapshot, Net
from cnmsim.observe.fixes.changes import ContainerOption, NetworkSetting, RecreateContainer, RecreateNetwork
from cnmsim.observe.location import Location

#: Hosts that have fewer free default address pools than this are reported.
FEW_POOLS = 4
#: Networks are reported as nearly full if at least this share of their addresses is in use.
NEARLY_FULL = 0.9
#: The paths of keys, in a network of a Compose or stack file, to the line of its subnet.
_SUBNET = (("ipam", "config"), ("ipam",))


def _size(prefix: Prefix) -> int:
    return len(prefix.network)


def _clash(one: Prefix, two: Prefix) -> bool:
    return _size(one) == _size(two) and one.overlaps(two)


def overlaps(snapshot: LabSnapshot) -> Iterator[Fault]:
    """Yield networks whose subnet overlaps another route of the host (LAN, VPN) or contains another machine."""
    for net in snapshot.networks:
        if net.driver in {"macvlan", "ipvlan"}:
            continue
        routed = list(_routes_over(snapshot, net))
        if net.driver != "overlay":
            yield from routed
        if not routed and net.bridge:
            yield from _hidden(snapshot, net)


def _routes_over(snapshot: LabSnapshot, net: Net) -> Iterator[Fault]:
    ours = snapshot.own_devices(net.host)
    for route in (*net.host.namespace.routes(4).routes, *net.host.namespace.routes(6).routes):
        device = route.device.name if route.device is not None else "nothing"
        if route.prefix.length == 0 or device in ours or device == "lo":
            continue
        for subnet in net.subnets:
            if _clash(subnet, route.prefix):
                yield Fault(
                    Severity.ERROR, "subnet-overlap", net.place,
                    f"its subnet {subnet} overlaps {route.prefix}, which {net.host.name} reaches by {device}: "
                    "the longer prefix wins, and hosts behind the other cannot be reached",
                    "create the network with another --subnet, or set other default-address-pools in daemon.json",
                    snapshot.network_source(net, *_SUBNET), (_other_subnet(net),),
                )  # fmt: skip


def _other_subnet(net: Net) -> RecreateNetwork:
    return RecreateNetwork(net.host.name, net.name, NetworkSetting.SUBNET)


def _hidden(snapshot: LabSnapshot, net: Net) -> Iterator[Fault]:
    for host in snapshot.hosts:
        if host is net.host or snapshot.has_default_topology:
            continue
        own = snapshot.own_devices(host)
        for device in host.namespace.devices.values():
            if device.kind == "loopback" or device.name in own:
                continue
            for address in device.addresses:
                if address.scope == "global" and any(address.address in subnet for subnet in net.subnets):
                    yield Fault(
                        Severity.WARNING, "subnet-overlap", net.place,
                        f"its subnet {net.subnets[0]} contains {format_ip(address.address)} of {host.name}: "
                        f"{net.host.name} sends packets for that machine into the network",
                        "create the network with another --subnet, or set other default-address-pools in daemon.json",
                        snapshot.network_source(net, *_SUBNET), (_other_subnet(net),),
                    )  # fmt: skip


def pools(snapshot: LabSnapshot) -> Iterator[Fault]:
    """Yield hosts that have few default address pools left, and networks that have few addresses left."""
    for host in snapshot.docker_hosts:
        free = free_pools(snapshot, host)
        if free < FEW_POOLS:
            yield Fault(
                Severity.WARNING, "pools-nearly-used-up", host.name,
                f"{free or 'no'} subnet{'s are' if free != 1 else ' is'} left in the default address pools: without "
                "one, docker network create fails unless it has --subnet",
                "docker network prune, or set default-address-pools with more and smaller networks in daemon.json",
                snapshot.host_source(host.name, path=("docker", "default-address-pools")),
            )  # fmt: skip
    for net in snapshot.networks:
        for info in net.record.ipam_info:
            if _size(info.pool) != 4 or net.record.ipam is None:
                continue
            part = info.ip_range or info.pool
            total = 2 ** (32 - part.length) - (0 if info.ip_range else 2)
            used = _taken(net, info.pool, part)
            if total > 0 and used >= NEARLY_FULL * total:
                yield Fault(
                    Severity.WARNING, "network-nearly-full", net.place,
                    f"{used} of the {total} addresses of {part} are in use",
                    "create the network with a larger --subnet",
                    snapshot.network_source(net, *_SUBNET), (_other_subnet(net),),
                )  # fmt: skip


def free_pools(snapshot: LabSnapshot, host: Location) -> int:
    """Count the networks that the host's IPAM could still create without a given subnet, up to `FEW_POOLS`.

    A default IPv4 pool is free if it overlaps no Docker network and no route of the host.
    """
    used = [subnet for net in snapshot.networks if net.host is host for subnet in net.subnets]
    used += [route.prefix for route in host.namespace.routes(4).routes if route.prefix.length]
    blocks = snapshot.engines[host.name].controller.ipams["default"].default_pools(4)
    candidates = (block.subnet(index) for block in blocks for index in range(block.count))
    free = (candidate for candidate in candidates if not any(_clash(candidate, other) for other in used))
    return sum(1 for _ in islice(free, FEW_POOLS))


def _taken(net: Net, pool: Prefix, part: Prefix) -> int:
    """Count the addresses of `part` that are in use on the network `net`, including gateways.

    `pool` is the whole subnet, and `part` the range of --ip-range in it or, without that option, `pool` itself.
    """
    used = [endpoint.ipv4[0] for endpoint in net.record.endpoints.values() if endpoint.ipv4 is not None]
    used += [info.gateway for info in net.record.ipam_info if info.pool == pool and info.gateway is not None]
    return sum(address in part for address in used)


def macs(snapshot: LabSnapshot) -> Iterator[Fault]:
    """Find MAC addresses that two containers use on one network of a host, or on one link between hosts."""
    owners: dict[tuple[str, str, bytes], list[Location]] = defaultdict(list)
    spaces: set[int] = set()
    for location in snapshot.containers():
        if id(location.namespace) in spaces:
            continue  # it shares the namespace, and so the interface, of another container
        spaces.add(id(location.namespace))
        for item in location.attachments:
            # A bridge is local to its host. Networks on a parent interface or in a tunnel share a link with other
            # hosts.
            where = location.host if item.driver == "bridge" else ""
            for device in location.namespace.devices.values():
                if any(own.address in item.addresses for own in device.addresses) and device.kind != "ipvlan":
                    owners[where, item.network, device.mac].append(location)
    for (where, network, mac), locations in owners.items():
        if len(locations) > 1:
            listed = " and ".join(location.name for location in locations)
            last = locations[-1]
            yield Fault(
                Severity.ERROR, "duplicate-mac", f"{where}: network {network}" if where else f"network {network}",
                f"{listed} have the MAC {format_mac(mac)}: frames for one are delivered to the one that sent last",
                "remove mac_address, or set a different one on each container",
                snapshot.source(last, ("mac_address",), ("networks", network, "mac_address")),
                (RecreateContainer(last.host, last.name, ContainerOption.NO_MAC),),
            )  # fmt: skip


def names(snapshot: LabSnapshot) -> Iterator[Fault]:
    """Find names that containers of different services have on the same network."""
    owners: dict[tuple[str, str, str], dict[str, Location]] = defaultdict(dict)
    for location in snapshot.containers():
        if location.task:
            continue
        for item in location.attachments:
            if item.is_default:
                continue
            where = "" if item.driver == "overlay" else location.host
            for name in {location.name, *_aliases(snapshot, location, item.network)}:
                owners[where, item.network, name][f"{location.project}/{location.service or location.name}"] = (
                    location
                )
    for (where, network, name), containers in owners.items():
        if len(containers) > 1:
            listed = " and ".join(sorted(location.name for location in containers.values()))
            last = list(containers.values())[-1]
            yield Fault(
                Severity.WARNING, "name-clash", f"{where}: network {network}" if where else f"network {network}",
                f"{listed} both answer to the name {name}: "
                "which of them a client connects to changes from one lookup to the next",
                "set a different alias on each, or use a separate network for each project",
                snapshot.source(last, ("networks", network, "aliases", name), ("container_name",), ("hostname",)),
            )  # fmt: skip


def _aliases(snapshot: LabSnapshot, location: Location, network: str) -> list[str]:
    if location.is_sandbox:
        return list(location.aliases)
    record = snapshot.engines[location.host].store.find(location.id)
    settings = record.networks.get(network) if record is not None else None
    return [alias for alias in (settings.aliases or ()) if alias != location.id[:12]] if settings is not None else []

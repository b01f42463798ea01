"""Stations that no table tells apart: the classes behind `lab.reachability`.

Two containers are in one class if what they are attached to, their own tables, and every rule, route and sysctl of their host that
could decide on their packets are the same but for their own names and addresses. Two pairs of containers have one *form* if
this holds for the pairs: the rules of the networks of the one and of the other, in the order they are walked in, read alike once
bridges, subnets and addresses are named by the part they play. Pairs of one form get one answer, and one real probe gives it.

What cannot be read off so (a rule that counts, limits, or asks a set; a gateway that is another container; an address that two
have; networks other than bridges) puts a station in a class of its own. Connections that exist already are not looked at.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from cnmsim.kernel.address import format_ip, format_mac
from cnmsim.kernel.bridge import Bridge
from cnmsim.observe.location import Directory, Location
from cnmsim.observe.reachability.host_tables import (
    Chain,
    HostTables,
    chain_lines,
    duplicates,
    permanent_neighbours,
    read_host,
    renamed,
)

if TYPE_CHECKING:
    from cnmsim.kernel.device import Device
    from cnmsim.kernel.namespace import NetworkNamespace

_RESOLVER = "127.0.0.11"
#: A container's device, the other end of its cable, and the bridge that is in.
_Port = tuple["Device", "Device", Bridge]


@frozen(eq=False)
class Group:
    """Stations that nothing tells apart. `shape` is what they are once their own names are taken away, `None` if they stand alone."""

    number: int
    host: str
    members: tuple[Location, ...]
    nets: tuple[str, ...] = ()
    shape: tuple[Any, ...] | None = None
    entries: Mapping[Chain, tuple[int, ...]] = field(factory=dict)


class EquivalenceClasses:
    """The classes of stations for packets to one port: `groups`, and `form` of two stations."""

    def __init__(self, directory: Directory, locations: Sequence[Location], protocol: str, port: int) -> None:
        self._protocol, self._port = protocol, port
        self._duplicates = duplicates(directory)
        machines = {location.host: location.machine for location in directory.locations}
        addresses: dict[str, set[bytes]] = defaultdict(set)
        for location in directory.locations:
            if location.is_container:
                addresses[location.host].update(location.addresses)
        everyone = list(machines.values())
        self._host_tables: dict[str, HostTables] = {
            host: read_host(machine, everyone, frozenset(addresses[host]), protocol, port)
            for host, machine in machines.items()
        }
        self._fixed = {host: permanent_neighbours(machine.root) for host, machine in machines.items()}
        self._group_of: dict[int, Group] = {}
        self._forms: dict[tuple[int, int], Any] = {}
        self.groups: list[Group] = []
        found: dict[Any, list[Location]] = {}
        shapes: dict[Any, tuple[Any, ...] | None] = {}
        for location in locations:
            key, shape = self._key(location)
            found.setdefault(key, []).append(location)
            shapes[key] = shape
        for key, members in found.items():
            self._add(key, shapes[key], members)

    def _add(self, key: Any, shape: tuple[Any, ...] | None, members: list[Location]) -> None:
        nets: tuple[str, ...] = key[2] if shape is not None else ()
        places: dict[Chain, list[int]] = defaultdict(list)
        if shape is not None:
            tables = self._host_tables[members[0].host]
            own = [entry for address in members[0].addresses for entry in tables.exact.get(address, ())]
            for chain, at, _ in [*own, *(entry for net in nets for entry in tables.nets[net].entries)]:
                places[chain].append(at)
        sorted_places = {chain: tuple(sorted(at)) for chain, at in places.items()}
        group = Group(len(self.groups), members[0].host, tuple(members), nets, shape, sorted_places)
        self.groups.append(group)
        for location in members:
            self._group_of[id(location)] = group

    def group(self, location: Location) -> Group:
        """Give the group of a station."""
        return self._group_of[id(location)]

    def signature(self, source: Location, target: Location) -> Any:
        """Give what a probe from `source` to `target` depends on, as a value: equal forms, equal answers."""
        first, second = self.group(source), self.group(target)
        key = (first.number, second.number)
        made = self._forms.get(key)
        if made is None:
            made = self._forms[key] = self._form(first, second)
        return ("itself", made) if source is target else made

    def _form(self, first: Group, second: Group) -> Any:
        if second.shape is None or (first.shape is None and first.members[0].is_container):
            return ("pair", first.number, second.number)
        if first.shape is None:
            return ("from", first.number, second.host, second.shape)
        if first.host != second.host:
            return ("pair", first.number, second.number)
        shared = tuple(first.nets.index(net) if net in first.nets else -1 for net in second.nets)
        order = tuple(
            (chain, _order(places, second.entries[chain]))
            for chain, places in first.entries.items()
            if chain in second.entries
        )
        return ("forms", first.host, first.shape, second.shape, shared, order)

    # ---- stations

    def _key(self, location: Location) -> tuple[Any, tuple[Any, ...] | None]:
        """Give what tells a station apart, and its shape: the same without its own names."""
        tables = self._host_tables[location.host]
        ports = _bridge_ports(location) if location.is_container else None
        if not ports or tables.is_opaque or not self._is_plain(location, tables, ports):
            return ("alone", id(location)), None
        nets = tuple(bridge.name for _, _, bridge in ports)
        own = _own_names(tables, ports)
        space = location.namespace
        exact = [entry for address in location.addresses for entry in tables.exact.get(address, ())]
        common = (
            tuple(
                (
                    device.name,
                    device.mtu,
                    peer.mtu,
                    device.is_up,
                    peer.is_up,
                    _flags(peer, bridge),
                    len(device.addresses),
                )
                for device, peer, bridge in ports
            ),
            tuple(renamed(str(route), own) for table in (space.routes4, space.routes6) for route in table.routes),
            tuple(renamed(line, own) for line in chain_lines(space) if _RESOLVER not in line),
            tuple(space.sysctl.items()),
            tuple((renamed(address, own), *rest) for address, *rest in _heard(location, self._protocol, self._port)),
            tuple(
                (nets.index(each.bridge) if each.bridge in nets else -1, len(each.addresses))
                for each in location.attachments
            ),
            tuple(tuple(each for each in tables.prefixes if address in each) for address in location.addresses),
            location.is_paused,
        )
        shape = (
            common,
            tuple(self._net_shape(tables, net, number) for number, net in enumerate(nets)),
            tuple((chain, renamed(text, own)) for chain, _, text in exact),
        )
        key = (location.host, common, nets, tuple((chain, at, renamed(text, own)) for chain, at, text in exact))
        return key, shape

    def _is_plain(self, location: Location, tables: HostTables, ports: list[_Port]) -> bool:
        """Tell whether a container's packets go by bridges of its host and by nothing else."""
        root, space = location.machine.root, location.namespace
        addresses = set(location.addresses)
        if addresses & (tables.alone | self._fixed[location.host] | self._duplicates) or permanent_neighbours(space):
            return False
        if space.rules4 is not None or space.rules6 is not None:
            return False
        gateways: set[bytes] = set()
        for device, _, bridge in ports:
            learnt = bridge.fdb.get(device.mac)
            if bridge.namespace is not root or device.mac in self._duplicates or (learnt and learnt.is_permanent):
                return False
            gateways |= {each.address for each in bridge.addresses}
            if not all(_leads_to(root, each.address, bridge) for each in device.addresses if each.scope != "link"):
                return False
        routes = [*space.routes4.routes, *space.routes6.routes]
        return all(route.gateway is None or route.gateway in gateways for route in routes)

    def _net_shape(self, tables: HostTables, name: str, number: int) -> tuple[Any, ...]:
        net = tables.nets[name]
        own = {name: f"<bridge {number}>"} | {
            str(each): f"<subnet {number} of {each.length}>" for each in net.subnets
        }
        entries = tuple(
            (chain, sum(1 for generic in net.gaps[chain] if generic < at), renamed(text, own))
            for chain, at, text in net.entries
        )
        return (net.attributes, entries, name if net.is_special else "")


def _order(first: tuple[int, ...], second: tuple[int, ...]) -> Any:
    """Give how two sorted runs of places lie to each other."""
    if first[-1] < second[0]:
        return "<"
    if first[0] > second[-1]:
        return ">"
    merged = sorted({*first, *second})
    return tuple((at in first, at in second) for at in merged)


def _own_names(tables: HostTables, ports: list[_Port]) -> dict[str, str]:
    """Give the part that each name and address of a container and its networks plays, by its text."""
    own: dict[str, str] = {}
    for number, (device, _, bridge) in enumerate(ports):
        own[bridge.name] = f"<bridge {number}>"
        own[format_mac(device.mac)] = f"<mac {number}>"
        own |= {str(prefix): f"<subnet {number} of {prefix.length}>" for prefix in tables.nets[bridge.name].subnets}
        own |= {format_ip(each.address): f"<gateway {number}>" for each in bridge.addresses}
        own |= {format_ip(each.address): f"<own {number} of {each.prefixlen}>" for each in device.addresses}
    return own


def _bridge_ports(location: Location) -> list[_Port] | None:
    """Give a container's devices with the cable's other end and the bridge it is in; `None` if it has another kind."""
    found = []
    for device in location.namespace.devices.values():
        if device.kind == "loopback":
            continue
        peer = getattr(device, "peer", None)
        if device.kind != "veth" or peer is None or not isinstance(peer.master, Bridge):
            return None
        found.append((device, peer, peer.master))
    return found


def _flags(port: Device, bridge: Bridge) -> tuple[bool, ...]:
    entry = bridge.ports[port]
    return (entry.hairpin, entry.learning, entry.flood)


def _leads_to(root: NetworkNamespace, address: bytes, bridge: Bridge) -> bool:
    route = root.find_route(address)
    return route is not None and route.device is bridge and route.gateway is None


def _heard(location: Location, protocol: str, port: int) -> list[tuple[str, str, tuple[str, ...]]]:
    """List the sockets for a port: address, and the words of the program that serves it."""
    return [
        (format_ip(each.local), each.program, tuple(getattr(location.machine.processes.get(each.pid), "argv", ())))
        for each in location.namespace.sockets.listeners()
        if (each.protocol, each.local_port) == (protocol, port)
    ]

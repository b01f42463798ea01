"""Equivalence classes of locations, which let `lab.reachability` derive many results from one probe.

Two containers are in one class if they differ only in their names and addresses: their network attachments, the
tables in their own network namespaces, and all rules, routes and sysctls of their host that can affect their packets
are the same. Two pairs (source, target) have the same *signature* if the rules of their networks, in traversal order,
are equal once bridge names, subnets and addresses are replaced by placeholders: `<bridge 0>` is the bridge of a
container's first network, `<own 0 of 16>` its address there, with prefix length 16. One real probe gives the result
for all pairs with the same signature.

A location forms a class by itself if it cannot be compared so: its tables contain a rule whose result depends on
earlier packets or on a set (such as `limit`); its gateway is another container; its address is a duplicate; or its
network is not a bridge. Existing connections are ignored.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from cnmsim.kernel.address import format_ip, format_mac
from cnmsim.kernel.bridge import Bridge
from cnmsim.observe.directory import Directory
from cnmsim.observe.location import Location
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
#: A container's device, that device's veth peer, and the bridge to which the peer is attached.
_Port = tuple["Device", "Device", Bridge]


@frozen(eq=False)
class Group:
    """A class of equivalent locations, `members`, on the host `host`.

    `nets` are the bridges of the members' networks. `entries` are, for each chain, the positions of the rules that
    concern the members. `shape` is the configuration that all members have, with placeholders for the names and
    addresses in which they differ; it is `None` for a location that forms a class by itself.
    """

    number: int
    host: str
    members: tuple[Location, ...]
    nets: tuple[str, ...] = ()
    shape: tuple[Any, ...] | None = None
    entries: Mapping[Chain, tuple[int, ...]] = field(factory=dict)


class EquivalenceClasses:
    """The equivalence classes of locations, for packets to one port of one protocol.

    `groups` lists the classes. `signature` returns the key of a pair; pairs with the same key share a probe's result.
    """

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
        members_by_key: dict[Any, list[Location]] = {}
        shapes: dict[Any, tuple[Any, ...] | None] = {}
        for location in locations:
            key, shape = self._key(location)
            members_by_key.setdefault(key, []).append(location)
            shapes[key] = shape
        for key, members in members_by_key.items():
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
        """Return the class to which a location belongs."""
        return self._group_of[id(location)]

    def signature(self, source: Location, target: Location) -> Any:
        """Return the signature of the pair (`source`, `target`), a hashable key.

        For pairs with equal signatures a probe has the same result.
        """
        first, second = self.group(source), self.group(target)
        key = (first.number, second.number)
        signature = self._forms.get(key)
        if signature is None:
            signature = self._forms[key] = self._form(first, second)
        return ("itself", signature) if source.namespace is target.namespace else signature

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

    # ---- locations

    def _key(self, location: Location) -> tuple[Any, tuple[Any, ...] | None]:
        """Return the key of a location's class, and its shape (see `Group.shape`).

        The key also contains the names of the location's bridges and the positions of its rules; the shape does not.
        The shape is `None` if the location forms a class by itself.
        """
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
            tuple(
                (renamed(address, own), *rest) for address, *rest in _listeners(location, self._protocol, self._port)
            ),
            tuple(
                (nets.index(attachment.bridge) if attachment.bridge in nets else -1, len(attachment.addresses))
                for attachment in location.attachments
            ),
            tuple(tuple(prefix for prefix in tables.prefixes if address in prefix) for address in location.addresses),
            location.is_paused,
            location.is_open_to(self._protocol, self._port),
        )
        shape = (
            common,
            tuple(self._net_shape(tables, net, number) for number, net in enumerate(nets)),
            tuple((chain, renamed(text, own)) for chain, _, text in exact),
        )
        key = (location.host, common, nets, tuple((chain, at, renamed(text, own)) for chain, at, text in exact))
        return key, shape

    def _is_plain(self, location: Location, tables: HostTables, ports: list[_Port]) -> bool:
        """Return True if a container's packets pass through nothing but bridges of its host.

        Return False for a container with a duplicate address, permanent neighbour entries, policy routing, or a
        gateway that is not one of the bridges. `ports` are its devices, `tables` the rules of its host.
        """
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
            gateways |= {address.address for address in bridge.addresses}
            if not all(
                _leads_to(root, address.address, bridge) for address in device.addresses if address.scope != "link"
            ):
                return False
        routes = [*space.routes4.routes, *space.routes6.routes]
        return all(route.gateway is None or route.gateway in gateways for route in routes)

    def _net_shape(self, tables: HostTables, name: str, number: int) -> tuple[Any, ...]:
        net = tables.nets[name]
        own = {name: f"<bridge {number}>"} | {
            str(subnet): f"<subnet {number} of {subnet.length}>" for subnet in net.subnets
        }
        entries = tuple(
            (chain, sum(1 for generic in net.gaps[chain] if generic < at), renamed(text, own))
            for chain, at, text in net.entries
        )
        return (net.attributes, entries, name if net.is_special else "")


def _order(first: tuple[int, ...], second: tuple[int, ...]) -> Any:
    """Describe the order of two sorted sequences of rule positions in one chain, as a comparable value.

    It is "<" if all of `first` come before all of `second`, ">" if all come after. Otherwise it says, for each
    position, whether it is in `first` and whether it is in `second`.
    """
    if first[-1] < second[0]:
        return "<"
    if first[0] > second[-1]:
        return ">"
    merged = sorted({*first, *second})
    return tuple((at in first, at in second) for at in merged)


def _own_names(tables: HostTables, ports: list[_Port]) -> dict[str, str]:
    """Return a mapping from a container's names and addresses to placeholders like `<bridge 0>`.

    The names are those of the bridges in `ports`; the addresses are the container's own IP and MAC addresses, and the
    subnets and gateways of its networks. If two containers differ only in these, their rules are equal after
    `renamed` has replaced them by the placeholders.
    """
    own: dict[str, str] = {}
    for number, (device, _, bridge) in enumerate(ports):
        own[bridge.name] = f"<bridge {number}>"
        own[format_mac(device.mac)] = f"<mac {number}>"
        own |= {str(prefix): f"<subnet {number} of {prefix.length}>" for prefix in tables.nets[bridge.name].subnets}
        own |= {format_ip(address.address): f"<gateway {number}>" for address in bridge.addresses}
        own |= {format_ip(address.address): f"<own {number} of {address.prefixlen}>" for address in device.addresses}
    return own


def _bridge_ports(location: Location) -> list[_Port] | None:
    """Return a container's devices, each as (device, veth peer, bridge).

    Return `None` if a device other than loopback is not a veth whose peer is on a bridge.
    """
    ports = []
    for device in location.namespace.devices.values():
        if device.kind == "loopback":
            continue
        peer = getattr(device, "peer", None)
        if device.kind != "veth" or peer is None or not isinstance(peer.master, Bridge):
            return None
        ports.append((device, peer, peer.master))
    return ports


def _flags(port: Device, bridge: Bridge) -> tuple[bool, ...]:
    entry = bridge.ports[port]
    return (entry.hairpin, entry.learning, entry.flood)


def _leads_to(root: NetworkNamespace, address: bytes, bridge: Bridge) -> bool:
    route = root.find_route(address)
    return route is not None and route.device is bridge and route.gateway is None


def _listeners(location: Location, protocol: str, port: int) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return the sockets that listen on a port: local address, program name, and the program's command line."""
    return [
        (
            format_ip(socket.local),
            socket.program,
            tuple(getattr(location.machine.processes.get(socket.pid), "argv", ())),
        )
        for socket in location.namespace.sockets.listeners()
        if (socket.protocol, socket.local_port) == (protocol, port)
    ]

"""Broadcast domains of a plan, and the addresses of interfaces that have none."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from attrs import define, field

from cnmsim.errors import InvalidParameter
from cnmsim.lab.graphs.plan import Cable, Plan, Port, SwitchPlan
from cnmsim.underlay.interface import read_address
from cnmsim.underlay.vlans import DEFAULT_VLAN

Network = IPv4Network | IPv6Network

#: The prefix lengths of the subnets of a switch, of a link between two hosts, and of IPv6. A subnet is larger if it
#: has too many interfaces for this length, and smaller if the pool is smaller.
_SWITCH_LENGTH, _LINK_LENGTH, _IPV6_LENGTH = 24, 30, 64


@define(eq=False)
class Domain:
    """A broadcast domain: the ports that reach each other without a router, and their subnets.

    `places` are the (switch, VLAN) pairs of the domain; empty for a link between two hosts. `pool` is the address
    range of the domain's switch, from which a missing subnet is allocated; `None` if the switch has none.
    """

    ports: list[Port] = field(factory=list)
    places: list[tuple[SwitchPlan, int]] = field(factory=list)
    subnets: list[Network] = field(factory=list)
    pool: str | None = None

    @property
    def name(self) -> str:
        """A description for error messages, such as `switch s1`."""
        if self.places:
            return f"switch {self.places[0][0].name}"
        return f"the link {' - '.join(port.host.name for port in self.ports)}"


def domains_of(plan: Plan) -> list[Domain]:
    """Return the broadcast domains of a plan that have a host's port: those of switches first, then other links."""
    import networkx as nx

    graph: nx.Graph[tuple[str, int]] = nx.Graph()
    has_vlans = _switches_with_vlans(plan)
    for switch in plan.switches.values():
        vlans = [vlan for vlan in switch.subnets if vlan] or [DEFAULT_VLAN]
        graph.add_nodes_from((switch.name, vlan if switch.name in has_vlans else 0) for vlan in vlans)
    for cable in plan.cables:
        for end in cable.ends:
            if isinstance(end, SwitchPlan):
                graph.add_node((end.name, port_vlan(cable, end, has_vlans)))
    vlans = sorted({vlan for _, vlan in graph})
    for cable in plan.cables:
        left, right = cable.ends
        if isinstance(left, SwitchPlan) and isinstance(right, SwitchPlan):
            for vlan in vlans:
                if carries(cable, vlan) and (left.name, vlan) in graph and (right.name, vlan) in graph:
                    graph.add_edge((left.name, vlan), (right.name, vlan))
    domains: list[Domain] = []
    by_place: dict[tuple[str, int], Domain] = {}
    for component in nx.connected_components(graph):
        places = sorted(component)
        domain = Domain([], [(plan.switches[name], vlan) for name, vlan in places])
        by_place |= dict.fromkeys(places, domain)
        domains.append(domain)
    for cable in plan.cables:
        left, right = cable.ends
        if isinstance(left, Port) and isinstance(right, Port):
            domains.append(Domain([left, right]))
            if cable.subnet:
                domains[-1].subnets.append(_network(cable.subnet))
        for port, end in ((left, right), (right, left)):
            if isinstance(port, Port) and isinstance(end, SwitchPlan):
                domain = by_place[end.name, port_vlan(cable, end, has_vlans)]
                domain.ports.append(port)
                if cable.subnet:
                    domain.subnets.append(_network(cable.subnet))
    return [domain for domain in domains if domain.ports]


def _switches_with_vlans(plan: Plan) -> frozenset[str]:
    """Return the names of the switches that separate VLANs.

    These are the switches with a VLAN configuration, and all switches that are connected to such a switch.
    """
    import networkx as nx

    graph: nx.Graph[str] = nx.Graph()
    graph.add_nodes_from(plan.switches)
    configured = {name for name, switch in plan.switches.items() if any(switch.subnets)}
    for cable in plan.cables:
        names = [end.name for end in cable.ends if isinstance(end, SwitchPlan)]
        if len(names) == 2:
            graph.add_edge(*names)
        if {"access", "trunk", "native"} & cable.options.keys():
            configured.update(names)
    return frozenset(name for part in nx.connected_components(graph) if part & configured for name in part)


def port_vlan(cable: Cable, switch: SwitchPlan, has_vlans: frozenset[str]) -> int:
    """Return the VLAN of untagged frames at the port of `switch` into which `cable` is plugged.

    `has_vlans` are the names of the switches that separate VLANs. Return 0 if the switch is not among them, and -1 if
    the port has no untagged VLAN.
    """
    if switch.name not in has_vlans:
        return 0
    native = cable.options.get("access", cable.options.get("native", DEFAULT_VLAN))
    return int(native) if native is not None else -1


def carries(cable: Cable, vlan: int) -> bool:
    """Return True if a cable between two switches carries a VLAN."""
    if "access" in cable.options:
        return vlan in {0, cable.options["access"]}
    trunk = cable.options.get("trunk", "all")
    return trunk == "all" or vlan in {0, cable.options.get("native", DEFAULT_VLAN), *trunk}


def assign_addresses(domains: list[Domain], pools: list[str]) -> None:
    """Allocate a subnet for each domain that has none, and an address for each interface that has none.

    A domain gets a subnet from the pool of its switch or, if the switch has no pool, one subnet from each of `pools`.
    Raises `InvalidParameter` if a pool or a subnet is full.
    """
    allocators = {text: _Allocator(text) for text in dict.fromkeys(pools)}
    for domain in domains:
        for port in domain.ports:
            domain.subnets += [ip_network(str(address.prefix)) for address in port.addresses]
        for switch, vlan in domain.places:
            domain.subnets += [_network(text) for text in switch.subnets.get(vlan, ())]
            domain.pool = domain.pool or switch.pool
        domain.subnets = list(dict.fromkeys(domain.subnets))
    used = [subnet for domain in domains for subnet in domain.subnets]
    for domain in domains:
        if all(port.addresses for port in domain.ports):
            continue
        if not domain.subnets:
            for text in [domain.pool] if domain.pool else pools:
                allocator = allocators.setdefault(text, _Allocator(text))
                subnet = allocator.draw(domain, used)
                used.append(subnet)
                domain.subnets.append(subnet)
        chosen = {subnet.version: subnet for subnet in reversed(domain.subnets)}
        for _, subnet in sorted(chosen.items()):
            _assign(domain, subnet)


def _assign(domain: Domain, subnet: Network) -> None:
    """Assign addresses of a subnet to the interfaces of a broadcast domain; routers get the first ones.

    Interfaces with an address of the same IP version are skipped, and for IPv4 those with an IPv6 address, unless the
    domain has a pool of its own. Raises `InvalidParameter` if the subnet is full.
    """
    taken = {address.address for port in domain.ports for address in port.addresses}
    hosts: Iterator[Any] = iter(subnet.hosts())
    for port in sorted(domain.ports, key=lambda port: not port.host.forwards):
        if any(address.family == subnet.version for address in port.addresses):
            continue
        if port.addresses and subnet.version == 4 and not domain.pool:
            continue
        free = next((host for host in hosts if host.packed not in taken), None)
        if free is None:
            raise InvalidParameter(f"{domain.name}: {subnet} has no address left for {port.host.name}")
        taken.add(free.packed)
        port.addresses.append(read_address(f"{free}/{subnet.prefixlen}"))


@define
class _Allocator:
    """Allocates subnets one after the other from the pool `text`, such as `10.0.0.0/8`."""

    text: str
    _cursor: int = -1

    def draw(self, domain: Domain, used: list[Network]) -> Network:
        pool = _network(self.text)
        bits = pool.max_prefixlen
        wanted = _IPV6_LENGTH if pool.version == 6 else _LINK_LENGTH if not domain.places else _SWITCH_LENGTH
        needed = bits - (len(domain.ports) + 1).bit_length()  # the network and the broadcast address count too
        length = max(min(wanted, needed), pool.prefixlen)
        if length > needed:
            raise InvalidParameter(f"{domain.name}: the pool {pool} is too small for {len(domain.ports)} interfaces")
        size = 1 << (bits - length)
        start = max(self._cursor, int(pool.network_address))
        at = -(-start // size) * size
        while at + size <= int(pool.broadcast_address) + 1:
            subnet = ip_network((at, length))
            clash = next((other for other in used if other.version == pool.version and other.overlaps(subnet)), None)
            if clash is None:
                self._cursor = at + size
                return subnet
            at = -(-max(at + size, int(clash.broadcast_address) + 1) // size) * size
        raise InvalidParameter(f"{domain.name}: the pool {pool} has no room for another /{length}")


def _network(text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise InvalidParameter(f"{text!r} is not a subnet: {error}") from None

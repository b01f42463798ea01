"""Conversion of a networkx graph to the plan of a lab: hosts with interfaces, switches, and cables.

Missing addresses and routes stay empty here; `addressing` and `routing` fill them in.
"""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import define, field

from cnmsim.digits import is_number
from cnmsim.errors import InvalidParameter
from cnmsim.lab.naming import is_subnet, require_name
from cnmsim.underlay.interface import InterfaceSpec, group_addresses

if TYPE_CHECKING:
    import networkx as nx

    from cnmsim.kernel.device import InterfaceAddress

SWITCH_KINDS = frozenset({"segment", "switch", "hub"})
HOST_KINDS = frozenset({"host", "router", "docker"})
_HOST_OPTIONS = ("gateway", "routes", "nameserver", "names", "web", "mtu", "dhcp", "docker", "engine", "router")
_HOST_ATTRIBUTES = frozenset({*_HOST_OPTIONS, "kind", "addresses", "interfaces", "pool"})
_SWITCH_OPTIONS = ("latency_s", "bandwidth_bps", "loss", "mtu", "is_hub", "refuse_unknown_macs")
_SWITCH_ATTRIBUTES = frozenset({*_SWITCH_OPTIONS, "kind", "subnet", "subnets", "pool"})
_PORT_OPTIONS = (
    "latency_s", "bandwidth_bps", "loss", "access", "trunk", "native", "refuse_unknown_macs", "hairpin",
)  # fmt: skip
_TRUNK_OPTIONS = ("latency_s", "bandwidth_bps", "loss", "trunk", "native", "access")
_LINK_OPTIONS = ("latency_s", "bandwidth_bps", "loss", "mtu")
_CABLE_ATTRIBUTES = frozenset({*_PORT_OPTIONS, "mtu", "device", "devices", "address", "addresses", "subnet", "kind"})
#: Attributes of other libraries whose names resemble those defined here.
_FOREIGN = frozenset({"name", "pos", "label", "weight", "capacity", "color", "colour", "size", "length", "layer"})


@define(eq=False)
class HostPlan:
    """A host of the plan.

    `options` are those of `Lab.add_host`; `ports` are its interfaces in the order `eth0`, `eth1`, …. `forwards` is
    True for a router or a Docker host, `has_routes` if the graph specifies a gateway or routes.
    """

    name: str
    forwards: bool
    options: dict[str, Any]
    ports: list[Port] = field(factory=list)
    has_routes: bool = False


@define(eq=False)
class SwitchPlan:
    """A switch of the plan.

    `options` are those of `Segment`; `subnets` maps VLANs to subnets, with the key 0 for no VLAN. A missing subnet is
    allocated from the address range `pool`; `None` means the pool of the whole plan.
    """

    name: str
    options: dict[str, Any]
    subnets: dict[int, list[str]]
    pool: str | None = None


@define(eq=False)
class Port:
    """An interface of a host. `cable` is the cable plugged into it, or `None`."""

    host: HostPlan
    addresses: list[InterfaceAddress]
    cable: Cable | None = None

    @property
    def device(self) -> str:
        """The name of the interface."""
        return f"eth{self.host.ports.index(self)}"


@define(eq=False)
class Cable:
    """A cable between two ends, each a host's port or a switch.

    `options` are those of `Lab.link`, `weight` is its length for the computation of routes. `subnet` is the subnet
    that the graph specifies for its two ends, `None` if it specifies none.
    """

    ends: tuple[Port | SwitchPlan, Port | SwitchPlan]
    options: dict[str, Any]
    weight: float = 1.0
    subnet: str | None = None


@define(eq=False)
class Plan:
    """The hosts, switches and cables of a lab."""

    hosts: dict[str, HostPlan] = field(factory=dict)
    switches: dict[str, SwitchPlan] = field(factory=dict)
    cables: list[Cable] = field(factory=list)


def read_plan(graph: nx.Graph[Any], weight: str) -> Plan:
    """Return the plan that a graph describes. `weight` is the edge attribute with the weight of a cable.

    Raises `InvalidParameter` if the graph does not describe a lab.
    """
    _require_graph(graph)
    plan = Plan()
    names = _names(graph)
    for node, data in graph.nodes(data=True):
        kind = _kind(graph, node, names[node])
        where = f"node {names[node]}"
        if kind in SWITCH_KINDS:
            _check_attributes(where, data, _SWITCH_ATTRIBUTES)
            plan.switches[names[node]] = _switch(names[node], kind, data)
        else:
            _check_attributes(where, data, _HOST_ATTRIBUTES)
            plan.hosts[names[node]] = _host(names[node], kind, data)
    _refuse_loops(graph, names, plan)
    ports: dict[str, dict[str, Port]] = {name: _own_ports(host, graph, names) for name, host in plan.hosts.items()}
    for left, right, data in graph.edges(data=True):
        _add_cable(plan, ports, names[left], names[right], data, weight)
    for name, host in plan.hosts.items():
        _order_ports(host, ports[name])
    return plan


def _require_graph(graph: Any) -> None:
    import networkx as nx

    if not isinstance(graph, nx.Graph):
        raise InvalidParameter(f"a topology is a networkx graph, not {type(graph).__name__}")
    if graph.is_directed() or graph.is_multigraph():
        raise InvalidParameter(
            f"a topology is an undirected graph without parallel edges, not a {type(graph).__name__}: "
            "convert it by nx.Graph(graph)"
        )
    for node, kind in graph.nodes(data="kind"):
        if kind in {"network", "container", "sandbox"}:
            raise InvalidParameter(
                f"node {node} is a {kind} of an engine, which a topology does not build: "
                "export the lab by to_networkx(docker=False)"
            )
    loop = next(iter(nx.selfloop_edges(graph)), None)
    if loop is not None:
        raise InvalidParameter(f"node {loop[0]} has a cable to itself")


def _names(graph: nx.Graph[Any]) -> dict[Hashable, str]:
    """Return the name of each node: a string as it is, 5 as `n5`, the tuple (1, 2) as `n1-2`.

    Raises `InvalidParameter` for an invalid name, or if two nodes get the same name.
    """
    names: dict[Hashable, str] = {}
    for node in graph:
        name = (
            node if isinstance(node, str) else f"n{'-'.join(map(str, node if isinstance(node, tuple) else [node]))}"
        )
        if not is_subnet(name):
            require_name(name)
        if name in names.values():
            raise InvalidParameter(f"two nodes are named {name}")
        names[node] = name
    return names


def _kind(graph: nx.Graph[Any], node: Hashable, name: str) -> str:
    data = graph.nodes[node]
    kind = data.get("kind")
    if kind is None:
        if data.get("docker"):
            return "docker"
        is_router = data.get("router", graph.degree(node) > 1)
        return "router" if is_router else "host"
    if kind not in SWITCH_KINDS | HOST_KINDS:
        known = sorted(SWITCH_KINDS | HOST_KINDS)
        close = difflib.get_close_matches(str(kind), known, 1)
        raise InvalidParameter(
            f"node {name}: no kind {kind!r}" + (f", did you mean {close[0]}?" if close else f"; {', '.join(known)}")
        )
    return str(kind)


def _check_attributes(where: str, data: Mapping[str, Any], known: Iterable[str]) -> None:
    """Raise `InvalidParameter` for an attribute whose name is similar to one of `known`: it is probably misspelt.

    Any other attribute is ignored, as it may belong to another library. `where` names the node or edge in the error.
    """
    for name in data:
        if name in known or name in _FOREIGN or not isinstance(name, str):
            continue
        close = difflib.get_close_matches(name, known, 1, 0.75)
        if close:
            raise InvalidParameter(f"{where}: no attribute {name!r}, did you mean {close[0]}?")


def _host(name: str, kind: str, data: Mapping[str, Any]) -> HostPlan:
    options = {key: data[key] for key in _HOST_OPTIONS if key in data}
    if kind == "docker":
        options.setdefault("docker", True)
    forwards = bool(options.pop("router", kind == "router"))
    has_routes = "gateway" in options or "routes" in options
    return HostPlan(name, forwards or bool(options.get("docker")), {**options, "router": forwards}, [], has_routes)


def _switch(name: str, kind: str, data: Mapping[str, Any]) -> SwitchPlan:
    options = {key: data[key] for key in _SWITCH_OPTIONS if data.get(key) is not None}
    if kind == "hub":
        options["is_hub"] = True
    given = data.get("subnets", data.get("subnet"))
    if given is None and is_subnet(name):
        given = [name]
    by_vlan = given if isinstance(given, Mapping) else {0: given or []}
    subnets = {int(vlan): [texts] if isinstance(texts, str) else list(texts) for vlan, texts in by_vlan.items()}
    return SwitchPlan(name, options, subnets, data.get("pool"))


def _refuse_loops(graph: nx.Graph[Any], names: Mapping[Hashable, str], plan: Plan) -> None:
    import networkx as nx

    switches = graph.subgraph([node for node in graph if names[node] in plan.switches])
    try:
        cycle = nx.find_cycle(switches)
    except nx.NetworkXNoCycle:
        return
    path = " - ".join(names[node] for node, _ in cycle)
    raise InvalidParameter(
        f"the switches {path} - {names[cycle[0][0]]} form a loop, and spanning tree is not modelled: "
        "remove a cable, or make one of them a router"
    )


# ---- ports and cables


def _own_ports(host: HostPlan, graph: nx.Graph[Any], names: Mapping[Hashable, str]) -> dict[str, Port]:
    """Return the ports that a host's node describes, by the name of the device.

    The ports come from the node's attribute `interfaces` or, without it, from `addresses`. As `addresses` names no
    devices, the keys are then placeholders such as `?0`. Raises `InvalidParameter` for an invalid attribute.
    """
    node = next(node for node, name in names.items() if name == host.name)
    interfaces = graph.nodes[node].get("interfaces") or {}
    if not isinstance(interfaces, Mapping):
        raise InvalidParameter(f"node {host.name}: interfaces maps devices to addresses, not {interfaces!r}")
    ports = {device: Port(host, _addresses(host.name, texts)) for device, texts in interfaces.items()}
    if not interfaces:
        # Addresses without a device: one port for each subnet, in order; `_port_for` chooses the cable for each.
        spare = group_addresses(_texts(graph.nodes[node].get("addresses"))) if _valid(host, graph, node) else []
        for number, group in enumerate(spare):
            ports[f"?{number}"] = Port(host, list(group.addresses))
    return ports


def _valid(host: HostPlan, graph: nx.Graph[Any], node: Hashable) -> bool:
    try:
        group_addresses(_texts(graph.nodes[node].get("addresses")))
    except (ValueError, TypeError) as error:
        raise InvalidParameter(f"node {host.name}: {error}") from None
    return True


def _texts(value: Any) -> list[str]:
    return [] if value is None else [value] if isinstance(value, str) else list(value)


def _addresses(where: str, value: Any) -> list[InterfaceAddress]:
    from cnmsim.underlay.interface import read_address

    try:
        return [read_address(text) for text in _texts(value)]
    except (ValueError, TypeError) as error:
        raise InvalidParameter(f"node {where}: {error}") from None


def _add_cable(
    plan: Plan, ports: dict[str, dict[str, Port]], left: str, right: str, data: Mapping[str, Any], weight: str
) -> None:
    where = f"edge {left}, {right}"
    _check_attributes(where, data, _CABLE_ATTRIBUTES | {weight})
    is_switch = [name in plan.switches for name in (left, right)]
    known = _TRUNK_OPTIONS if all(is_switch) else _PORT_OPTIONS if any(is_switch) else _LINK_OPTIONS
    options = {key: data[key] for key in known if data.get(key) is not None or (key == "native" and key in data)}
    misplaced = [key for key in {*_PORT_OPTIONS, *_LINK_OPTIONS} - {*known} if data.get(key) is not None]
    if misplaced:
        kind = "two switches" if all(is_switch) else "a host and a switch" if any(is_switch) else "two hosts"
        raise InvalidParameter(f"{where}: {misplaced[0]} is no option of a cable between {kind}")
    cost = data.get(weight, 1)
    if isinstance(cost, bool) or not isinstance(cost, int | float) or not cost >= 0:
        raise InvalidParameter(f"{where}: {weight} is a number, 0 or more, not {cost!r}")
    ends = [
        plan.switches[name] if name in plan.switches else _port_for(plan, ports[name], name, other, data)
        for name, other in ((left, right), (right, left))
    ]
    cable = Cable((ends[0], ends[1]), options, float(cost), data.get("subnet"))
    for end in ends:
        if isinstance(end, Port):
            end.cable = cable
    plan.cables.append(cable)


def _port_for(plan: Plan, own: dict[str, Port], name: str, other: str, data: Mapping[str, Any]) -> Port:
    """Return the port of the host `name` into which an edge to the node `other` is plugged.

    `data` are the attributes of the edge; they may name the device and give its addresses. `own` are the ports of the
    host by device; a port that is missing there is added. Raises `InvalidParameter` if the port has a cable already.
    """
    is_link = other not in plan.switches
    device = _of_end(data.get("devices"), name) if is_link else data.get("device")
    if device is not None:
        port = own.setdefault(device, Port(plan.hosts[name], []))
        if port.cable is not None:
            raise InvalidParameter(f"node {name}: two cables are plugged into {device}")
    else:
        port = _spare_port(plan, own, other) or own.setdefault(f"+{len(own)}", Port(plan.hosts[name], []))
    given = data.get("addresses", data.get("address"))
    if given is not None:
        port.addresses = _addresses(name, _of_end(given, name) if is_link else given)
    return port


def _spare_port(plan: Plan, own: dict[str, Port], other: str) -> Port | None:
    """Return a port from `own` that has addresses but no device name and no cable yet.

    A port with an address in a subnet of the switch `other` is preferred, else the first such port is returned.
    Return `None` if there is none.
    """
    spare = [port for device, port in own.items() if device.startswith("?") and port.cable is None]
    subnets = (
        [text for texts in plan.switches[other].subnets.values() for text in texts] if other in plan.switches else []
    )
    for port in spare:
        if any(str(address.prefix) in subnets for address in port.addresses):
            return port
    return next(iter(spare), None)


def _of_end(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None


def _order_ports(host: HostPlan, own: dict[str, Port]) -> None:
    """Append the ports `own` to the host's ports in order: `eth2` is number 2; ports without a name get free numbers.

    Raises `InvalidParameter` if a device has another name than `eth0`, `eth1` and so on, or if a number is missing.
    """
    fixed: dict[int, Port] = {}
    for device, port in own.items():
        if device[0] in "?+":
            continue
        if not (device.startswith("eth") and is_number(device[3:])):
            raise InvalidParameter(f"node {host.name}: an interface is named eth0, eth1 and so on, not {device!r}")
        fixed[int(device[3:])] = port
    loose = iter([port for device, port in own.items() if device[0] in "?+"])
    for number in range(len(own)):
        found = fixed.pop(number, None) or next(loose, None)
        if found is None:
            raise InvalidParameter(f"node {host.name}: eth{number} is missing, and there is eth{min(fixed)}")
        host.ports.append(found)


def spec_of(port: Port) -> InterfaceSpec:
    """Return the specification of a port's interface."""
    return InterfaceSpec(tuple(port.addresses))

"""Build a lab from a networkx graph."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cnmsim.errors import InvalidParameter
from cnmsim.kernel.address import Prefix
from cnmsim.lab.graphs.addressing import assign_addresses, domains_of
from cnmsim.lab.graphs.plan import HostPlan, Port, SwitchPlan, read_plan, spec_of
from cnmsim.lab.graphs.routing import assign_routes
from cnmsim.lab.hosts import HostOptions, build_host

if TYPE_CHECKING:
    import networkx as nx

    from cnmsim.lab.lab import Lab

#: The pool of subnets unless the graph or the caller names one. Docker's default pools do not overlap it.
DEFAULT_POOL = "10.0.0.0/8"


def build(lab: Lab, graph: nx.Graph[Any], pool: str | Iterable[str] | None, weight: str) -> None:
    """Add the hosts, switches and cables of a graph to the empty lab `lab`.

    `pool` and `weight` are described at `Lab.from_networkx`.
    """
    plan = read_plan(graph, weight)
    given = pool if pool is not None else graph.graph.get("pool", DEFAULT_POOL)
    domains = domains_of(plan)
    assign_addresses(domains, [given] if isinstance(given, str) else list(given))
    assign_routes(plan, domains)
    for switch in plan.switches.values():
        vlans = {vlan: texts for vlan, texts in switch.subnets.items() if vlan}
        lab.add_segment(switch.name, *switch.subnets.get(0, ()), vlans=vlans or None, **switch.options)
    for domain in domains:
        for place, _ in domain.places[:1]:
            for subnet in domain.subnets:
                lab._cabling.assign_subnet(Prefix.parse(str(subnet)), place.name)
    for host in plan.hosts.values():
        _add_host(lab, host)
    for cable in plan.cables:
        left, right = (_end_name(end) for end in cable.ends)
        lab.link(left, right, **cable.options)


def _add_host(lab: Lab, host: HostPlan) -> None:
    if not any(port.addresses for port in host.ports):
        raise InvalidParameter(f"node {host.name} has no cable and no address: connect it, or set addresses")
    build_host(lab, host.name, [spec_of(port) for port in host.ports], HostOptions(**host.options), is_plugged=False)


def _end_name(end: Port | SwitchPlan) -> str:
    return end.name if isinstance(end, SwitchPlan) else f"{end.host.name}:{end.device}"

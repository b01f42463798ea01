"""HTML cards of the container network model's objects, which notebooks show."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from cnmsim.libnetwork.controller import Controller
from cnmsim.libnetwork.endpoint import Endpoint
from cnmsim.libnetwork.network import Network
from cnmsim.libnetwork.sandbox import Sandbox
from cnmsim.observe.views.markup import card, facts, heading, note, table


def controller_card(controller: Controller) -> str:
    """Return the HTML card of a controller: its networks and its sandboxes."""
    networks = [
        (network.name, network.driver_name, network.scope, _joined(network.subnets), str(len(network.endpoints)))
        for network in controller.networks
    ]
    sandboxes = [
        (sandbox.name, "\n".join(f"{endpoint.network.name} {_addresses(endpoint)}" for endpoint in sandbox.endpoints))
        for sandbox in controller.sandboxes
    ]
    return card(
        controller.machine.name,
        f"controller, {controller.profile.version}",
        heading("networks"),
        table(("name", "driver", "scope", "subnets", "endpoints"), networks, numbers=(4,))
        if networks
        else note("none"),
        heading("sandboxes"),
        table(("name", "endpoints"), sandboxes, rigid=(0,)) if sandboxes else note("none"),
    )


def network_card(network: Network) -> str:
    """Return the HTML card of a network: its pools, options and endpoints."""
    endpoints = [
        (endpoint.name, "" if endpoint.sandbox is None else endpoint.sandbox.name, _addresses(endpoint),
         endpoint.mac_address or "")
        for endpoint in network.endpoints.values()
    ]  # fmt: skip
    pairs = [
        ("driver", f"{network.driver_name} ({network.scope})"),
        ("subnets", _joined(network.subnets)),
        ("gateway", _joined(network.gateways)),
        ("internal", "yes: no way out, no default route" if network.internal else ""),
        *network.driver_opts.items(),
    ]
    grid = table(("endpoint", "sandbox", "addresses", "MAC"), endpoints) if endpoints else note("no endpoints")
    return card(network.name, f"network {network.id[:12]}", facts(pairs), grid)


def endpoint_card(endpoint: Endpoint) -> str:
    """Return the HTML card of an endpoint: the fields of its `info`."""
    info = endpoint.info
    pairs = [
        ("network", info.network),
        ("sandbox", f"{info.sandbox}, interface {info.interface}" if info.sandbox else "joined to none"),
        ("addresses", _addresses(endpoint)),
        ("MAC", info.mac_address or ""),
        ("gateway", _joined(gateway for gateway in (info.gateway, info.gateway6) if gateway is not None)),
        ("names", ", ".join(info.dns_names)),
        ("ports", ", ".join(info.port_map)),
        ("routes", ", ".join(info.static_routes)),
    ]
    return card(endpoint.name, f"endpoint {endpoint.id[:12]}", facts(pairs))


def sandbox_card(sandbox: Sandbox) -> str:
    """Return the HTML card of a sandbox: its interfaces and routes."""
    title = f"sandbox {sandbox.id[:12]}"
    if sandbox.namespace is None:
        text = "deleted" if sandbox.is_deleting else "no network namespace yet"
        return card(sandbox.name, title, note(text))
    rows = [
        (item.name, _joined(item.addresses), item.mac_address, str(item.mtu), item.network)
        for item in sandbox.interfaces
    ]
    return card(
        sandbox.name,
        title,
        table(("device", "addresses", "MAC", "mtu", "network"), rows, numbers=(3,), rigid=(0,)),
        heading("routes"),
        table(("",), [(str(route),) for route in sandbox.routes]),
    )


def _addresses(endpoint: Endpoint) -> str:
    return _joined(address for address in (endpoint.address, endpoint.address6) if address is not None)


def _joined(values: Iterable[object]) -> str:
    return ", ".join(map(str, values))


CNM_CARDS: dict[type[Any], Callable[[Any], str]] = {
    Controller: controller_card,
    Network: network_card,
    Endpoint: endpoint_card,
    Sandbox: sandbox_card,
}

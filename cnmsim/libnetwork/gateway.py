"""The gateway endpoints of a sandbox: their choice, their default routes and published ports, and docker_gwbridge.

A container may be connected to several networks. One of them provides the IPv4 default route, and one the IPv6
default route. If none does (overlay and internal networks have no route to the outside), the sandbox is attached to
docker_gwbridge, the gateway network: a bridge network on each host that exists only to give such containers a default
route and published ports. Source: moby `daemon/libnetwork/{sandbox,default_gateway}.go` (docker-v29.7.2),
`libnetwork/` of v26.1.5 and v28.5.2.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from cnmsim.errors import EngineError, SystemFault
from cnmsim.libnetwork.driver import JoinInfo, publisher
from cnmsim.libnetwork.drivers.bridge import labels
from cnmsim.libnetwork.options import EndpointOptions, NetworkOptions
from cnmsim.libnetwork.profile import Profile

if TYPE_CHECKING:
    from cnmsim.libnetwork.controller import Controller
    from cnmsim.libnetwork.endpoint import Endpoint
    from cnmsim.libnetwork.network import Network
    from cnmsim.libnetwork.sandbox import Sandbox

GATEWAY_NETWORK = "docker_gwbridge"


def has_default_route(info: JoinInfo, family: int) -> bool:
    """Return True if a driver's join provided a gateway or a default route for address family 4 or 6."""
    if family == 6:
        if info.gateway6 is not None or info.force_gateway6:
            return True
    elif info.gateway4 is not None or info.force_gateway4:
        return True
    return any(route.prefix.family == family and not route.prefix.length for route in info.static_routes)


def order_key(endpoint: Endpoint, profile: Profile) -> tuple[int, bool, bool, int, str]:
    """Return the sort key of a sandbox's endpoint. The endpoint with the lowest key is preferred as the gateway.

    In this order, an endpoint is preferred if it has a higher priority, is not on docker_gwbridge, is not on an
    internal network, has more gateways (by the rule of the release `profile`), or its network's name comes first.
    """
    network = endpoint.network
    return (
        -endpoint.priority,
        network.name == GATEWAY_NETWORK,
        network.internal,
        -_score(endpoint.join_info, profile),
        network.name,
    )


def _score(info: JoinInfo, profile: Profile) -> int:
    if profile.gateway_score_by_family:
        return has_default_route(info, 4) + has_default_route(info, 6)
    return (info.gateway4 is not None) + 2 * (info.gateway6 is not None)


def gateway_endpoints(endpoints: Iterable[Endpoint], profile: Profile) -> tuple[Endpoint | None, Endpoint | None]:
    """Return the endpoints that provide a sandbox's IPv4 and IPv6 default route, each `None` if there is none.

    `endpoints` must be sorted by `order_key`. `profile` selects the release's rule of choice.
    """
    eligible = [endpoint for endpoint in endpoints if not endpoint.network.is_special]
    if profile.gateway_choice == "single":
        only = next((e for e in eligible if e.join_info.gateway4 is not None), None)
        return only, only if only is not None and only.join_info.gateway6 is not None else None
    first4 = next((e for e in eligible if has_default_route(e.join_info, 4)), None)
    first6 = next((e for e in eligible if has_default_route(e.join_info, 6)), None)
    if profile.gateway_choice == "dual-stack-first":
        dual = next(
            (e for e in eligible if has_default_route(e.join_info, 4) and has_default_route(e.join_info, 6)), None
        )
        if dual is not None:
            return dual, dual
    return first4, first6


def needs_gateway_network(endpoints: Iterable[Endpoint], profile: Profile) -> bool:
    """Return True if a sandbox with these endpoints is to be attached to docker_gwbridge in the release `profile`.

    The result is True if no endpoint provides a default route and at least one may need a route to the outside.
    """
    needs = False
    for endpoint in endpoints:
        network, info = endpoint.network, endpoint.join_info
        if network.is_special or network.internal or network.name == GATEWAY_NETWORK:
            continue
        if info.disable_gateway_service:
            continue
        if has_default_route(info, 4) or (profile.gwbridge_accepts_ipv6_gateway and has_default_route(info, 6)):
            return False
        needs = True
    return needs


def set_default_gateways(sandbox: Sandbox) -> None:
    """Set the default routes of the sandbox's namespace, which lead through its gateway endpoints.

    Raises `SystemFault` with libnetwork's message if the kernel refuses one; the previous ones are removed even then.
    """
    if sandbox.osl is None or sandbox.osl.is_host:
        return
    for family in (4, 6):
        sandbox.osl.set_gateway(family, None, None)
    for family, endpoint in zip((4, 6), sandbox.gateway_endpoints, strict=True):
        if endpoint is None:
            continue
        info = endpoint.join_info
        gateway = info.gateway6 if family == 6 else info.gateway4
        has_route = gateway is not None or any(
            route.prefix.family == family and not route.prefix.length for route in info.static_routes
        )
        sandbox.osl.set_gateway(family, gateway, endpoint.id if has_route else None)


def program_ports(sandbox: Sandbox) -> None:
    """Publish the sandbox's ports on its gateway endpoints, after unpublishing them on its other endpoints.

    Raises `SystemFault` with libnetwork's message if a driver fails.
    """
    first4, first6 = sandbox.gateway_endpoints
    gateway4 = first4.id if first4 is not None else ""
    gateway6 = first6.id if first6 is not None else ""
    context = sandbox.context()
    for endpoint in sorted(sandbox.endpoints, key=lambda joined: joined in {first4, first6}):
        driver = publisher(endpoint.network.driver)
        if driver is None:
            continue
        try:
            driver.program_external_connectivity(
                endpoint.network.id, endpoint.id, context, gateway4=gateway4, gateway6=gateway6
            )
        except EngineError as error:
            raise SystemFault(
                f"driver failed programming external connectivity on endpoint {endpoint.name} "
                f"({endpoint.id}): {error.message}"
            ) from error


def gateway_network(controller: Controller) -> Network:
    """Return docker_gwbridge, creating it on first use."""
    for network in controller.networks:
        if network.name == GATEWAY_NETWORK:
            return network
    options = NetworkOptions(
        driver_opts={
            labels.BRIDGE_NAME: GATEWAY_NETWORK, labels.ENABLE_ICC: "false", labels.ENABLE_IP_MASQUERADE: "true",
        }
    )  # fmt: skip
    return controller.new_network(GATEWAY_NETWORK, "bridge", options=options)


def _gateway_network_endpoint(sandbox: Sandbox) -> Endpoint | None:
    return next((e for e in sandbox.endpoints if e.network.name == GATEWAY_NETWORK), None)


def attach_gateway_network(sandbox: Sandbox) -> None:
    """Join the sandbox to docker_gwbridge, unless it is joined already.

    Raises `SystemFault` with libnetwork's message if the endpoint cannot be created or joined.
    """
    if _gateway_network_endpoint(sandbox) is not None:
        return
    container_id = sandbox.container_id
    identity = container_id if len(container_id) <= 12 else sandbox.id[:12]
    network, step = gateway_network(sandbox.controller), "create"
    try:
        options = EndpointOptions(disable_resolution=True)
        endpoint = network.create_endpoint(f"gateway_{identity}", options=options)
        with ExitStack() as undo:
            undo.callback(endpoint.delete)
            step = "join"
            endpoint.join(sandbox)
            undo.pop_all()
    except EngineError as error:
        raise SystemFault(
            f"container {container_id}: endpoint {step} on GW Network failed: {error.message}"
        ) from error


def detach_gateway_network(sandbox: Sandbox) -> None:
    """Remove the sandbox from docker_gwbridge."""
    endpoint = _gateway_network_endpoint(sandbox)
    if endpoint is not None:
        endpoint.leave()
        endpoint.delete()

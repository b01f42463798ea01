"""The load-balancer sandbox of a swarm network on one node, created and deleted with the network.

It holds the IPVS services for the network's virtual addresses. The load-balancer sandbox of the ingress network is
`ingress_sbox`: it also receives packets to published ports, and is the only one that is attached to docker_gwbridge.
Source: moby `daemon/libnetwork/network.go` (createLoadBalancerSandbox, deleteLoadBalancerSandbox), docker-v29.7.2.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from cnmsim.libnetwork.gateway import GATEWAY_NETWORK
from cnmsim.libnetwork.loadbalancer import LoadBalancerSandbox
from cnmsim.libnetwork.options import EndpointOptions, SandboxOptions

if TYPE_CHECKING:
    from cnmsim.libnetwork.network import Network

INGRESS_ID = "ingress_sbox"
#: A network whose driver options contain this key, with any value, has direct server return: tasks reply to clients
#: directly.
DSR_OPTION = "dsr"


def sandbox_name(network: Network) -> str:
    """Return the name of the network's load-balancer sandbox: `lb-` and the network's name, or `ingress-sbox`."""
    return f"{network.name}-sbox" if network.ingress else f"lb-{network.name}"


def sandbox_id(network_id: str, *, is_ingress: bool) -> str:
    """Return the id of a network's load-balancer sandbox. `is_ingress` is True for the ingress network."""
    return INGRESS_ID if is_ingress else f"lb_{network_id}"


def create(network: Network) -> None:
    """Create the network's load-balancer sandbox and join it to the network.

    Raises an `EngineError` if a step fails; the previous steps are then undone.
    """
    controller = network.controller
    name = sandbox_name(network)
    with ExitStack() as undo:
        options = SandboxOptions(name=name, load_balancer_of=network.id, is_ingress=network.ingress)
        identity = sandbox_id(network.id, is_ingress=network.ingress)
        sandbox = controller.new_sandbox(name, options=options, id=identity)
        undo.callback(sandbox.delete)
        endpoint_options = EndpointOptions(ipv4=network.options.load_balancer_ip, is_load_balancer=True)
        endpoint = network.create_endpoint(f"{network.name}-endpoint", options=endpoint_options)
        undo.callback(endpoint.delete, force=True)
        endpoint.join(sandbox)
        sandbox.enable_service()
        undo.pop_all()
    assert sandbox.namespace is not None
    assert endpoint.ipv4 is not None
    gateway_address = next(
        (joined.ipv4 for joined in sandbox.endpoints if joined.network.name == GATEWAY_NETWORK), None
    )
    network.balancer = LoadBalancerSandbox(
        sandbox.namespace,
        endpoint.interface_name,
        endpoint.ipv4,
        controller.profile,
        is_dsr=DSR_OPTION in network.driver_opts,
        ingress=controller.ingress if network.ingress else None,
        gateway_address=gateway_address[0] if gateway_address is not None else None,
        network=network,
    )


def delete(network: Network) -> None:
    """Delete the network's load-balancer sandbox, and its endpoint on the network."""
    network.balancer = None
    endpoint = next(
        (candidate for candidate in network.endpoints.values() if candidate.options.is_load_balancer), None
    )
    sandbox = endpoint.sandbox if endpoint is not None else None
    if sandbox is not None:
        sandbox.disable_service()
    if endpoint is not None:
        endpoint.delete(force=True)
    if sandbox is not None:
        sandbox.delete()

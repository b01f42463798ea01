"""The lines that `--add-host` adds to /etc/hosts, `host-gateway` among them.

Source: moby `daemon/container_operations_unix.go`, buildSandboxOptions (v26.1.5, v28.5.2, docker-v29.7.2).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cnmsim.engine.context import EngineContext
from cnmsim.errors import SystemFault
from cnmsim.kernel.address import format_ip
from cnmsim.libnetwork.options import NIL_ADDRESS

if TYPE_CHECKING:
    from cnmsim.libnetwork.network import Network


def extra_hosts(context: EngineContext, entries: Iterable[str], bridge: Network | None) -> list[tuple[str, str]]:
    """Convert entries of `--add-host`, `name:address`, to (name, address) pairs.

    The address `host-gateway` is replaced by the gateway of `bridge`, the default network. Raises `SystemFault` if
    there is no such gateway.
    """
    return [pair for entry in entries for pair in _of_entry(context, entry, bridge)]


def _of_entry(context: EngineContext, entry: str, bridge: Network | None) -> list[tuple[str, str]]:
    name, _, address = entry.partition(":")
    if address != "host-gateway":
        return [(name, address.strip("[]"))]
    gateways = _host_gateways(context, bridge)
    if not gateways and context.config.bridge == "none" and not context.profile.host_gateway_both_families:
        return [(name, NIL_ADDRESS)]
    if not gateways:
        raise SystemFault("unable to derive the IP value for host-gateway")
    return [(name, gateway) for gateway in gateways]


def _host_gateways(context: EngineContext, bridge: Network | None) -> list[str]:
    if context.config.host_gateway_ip:
        return [address.strip() for address in context.config.host_gateway_ip.split(",")]
    if bridge is None:
        return []
    gateways = [format_ip(pool.gateway) for pool in bridge.ipam_info if pool.gateway is not None]
    return gateways if context.profile.host_gateway_both_families else gateways[:1]

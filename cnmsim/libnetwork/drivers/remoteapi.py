"""The request and response bodies of `NetworkDriver` calls.

Source: moby `daemon/libnetwork/drivers/remote/api/api.go`, `driverapi/ipamdata.go` (docker-v29.7.2).
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from cnmsim.digits import is_number
from cnmsim.gojson.unmarshal import (
    ANYTHING,
    Bool,
    Field,
    Int,
    Nullable,
    Str,
    Struct,
    embedded,
    list_of,
    map_of,
)
from cnmsim.kernel.address import Address, Mac, Prefix, format_ip, parse_ip, parse_mac
from cnmsim.libnetwork.driver import IpamInfo, JoinInfo, StaticRoute
from cnmsim.libnetwork.options import EndpointOptions, PortBinding, TransportPort

_PORT_MAP, _EXPOSED_PORTS = "com.docker.network.portmap", "com.docker.network.endpoint.exposedports"
_MAC_ADDRESS = "com.docker.network.endpoint.macaddress"
_PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "sctp": 132}
_CONNECTED = 1

_INTERFACE = Struct(
    "api.EndpointInterface", (Str("Address", omit=True), Str("AddressIPv6", omit=True), Str("MacAddress", omit=True))
)
_NAMES = Struct(
    "api.InterfaceName", (Str("SrcName", omit=True), Str("DstName", omit=True), Str("DstPrefix", omit=True))
)
_ROUTE = Struct(
    "api.StaticRoute", (Str("Destination", omit=True), Int("RouteType", "int", omit=True), Str("NextHop", omit=True))
)


def _response(name: str, *fields: Field) -> Struct:
    return Struct(f"api.{name}", (*fields, *embedded("Response", Str("Err", omit=True))))


ANSWERS = {
    "GetCapabilities": _response(
        "GetCapabilityResponse",
        Str("Scope", omit=True),
        Str("ConnectivityScope", omit=True),
        Bool("GwAllocChecker", omit=True),
    ),
    "GwAllocCheck": _response("GwAllocCheckerResponse", Bool("SkipIPv4", omit=True), Bool("SkipIPv6", omit=True)),
    "CreateNetwork": _response("CreateNetworkResponse"),
    "DeleteNetwork": _response("DeleteNetworkResponse"),
    "CreateEndpoint": _response("CreateEndpointResponse", Nullable("Interface", _INTERFACE, omit=True)),
    "DeleteEndpoint": _response("DeleteEndpointResponse"),
    "EndpointOperInfo": _response("EndpointInfoResponse", Nullable("Value", map_of(ANYTHING), omit=True)),
    "Join": _response(
        "JoinResponse",
        Nullable("InterfaceName", _NAMES, omit=True),
        Str("Gateway", omit=True),
        Str("GatewayIPv6", omit=True),
        Nullable("StaticRoutes", list_of(_ROUTE), omit=True),
        Bool("DisableGatewayService", omit=True),
    ),
    "Leave": _response("LeaveResponse"),
    "ProgramExternalConnectivity": _response("ProgramExternalConnectivityResponse"),
    "RevokeExternalConnectivity": _response("RevokeExternalConnectivityResponse"),
    "DiscoverNew": _response("DiscoveryResponse"),
    "DiscoverDelete": _response("DiscoveryResponse"),
}


def ipam_data(infos: Sequence[IpamInfo]) -> list[dict[str, Any]]:
    """Encode a network's pools for a plugin request."""
    entries = []
    for info in infos:
        length = info.pool.length
        entry: dict[str, Any] = {"AddressSpace": info.space}
        if info.aux_addresses:
            entry["AuxAddresses"] = {
                key: f"{format_ip(address)}/{length}" for key, address in sorted(info.aux_addresses.items())
            }
        if info.gateway is not None:
            entry["Gateway"] = info.gateway_interface
        entry["Pool"] = str(info.pool)
        entries.append(entry)
    return entries


def ports(exposed: Sequence[TransportPort], bindings: Sequence[PortBinding]) -> dict[str, Any]:
    """Encode exposed and published ports as options of a plugin request."""
    return {
        _EXPOSED_PORTS: [{"Proto": _PROTOCOLS.get(port.protocol, 0), "Port": port.port} for port in exposed],
        _PORT_MAP: [
            {
                "Proto": _PROTOCOLS.get(port.protocol, 0),
                "IP": "",
                "Port": port.container_port,
                "HostIP": format_ip(port.host_ip) if port.host_ip is not None else "",
                "HostPort": port.host_port,
                "HostPortEnd": port.last_host_port,
            }
            for port in bindings
        ],
    }


def endpoint_options(options: EndpointOptions) -> dict[str, Any]:
    """Encode an endpoint's options for a plugin request."""
    response = {} if options.omits_ports else ports(options.exposed_ports, options.port_bindings)
    mac = {_MAC_ADDRESS: b64encode(options.mac).decode()} if options.mac is not None else {}
    return dict(sorted({**options.driver_opts, **response, **mac}.items()))


def with_length(assigned: tuple[Address, int] | None) -> str:
    """Format an address with its prefix length, e.g. `10.0.0.1/24`; "" for `None`."""
    return f"{format_ip(assigned[0])}/{assigned[1]}" if assigned is not None else ""


def read_join(response: dict[str, Any], info: JoinInfo) -> None:
    """Decode a plugin's response to a join, and store its values in `info`.

    Raises `ValueError` with the engine's message if a value in the response is invalid.
    """
    names = response.get("InterfaceName") or {}
    info.source_name = names.get("SrcName", "")
    info.destination_prefix = names.get("DstPrefix", "")
    for key, family in (("Gateway", 4), ("GatewayIPv6", 6)):
        text = response.get(key)
        if not text:
            continue
        gateway = _parse_ip(text)
        if gateway is None:
            raise ValueError(f'unable to parse {key} "{text}"')
        if (6 if len(gateway) == 16 else 4) != family:
            raise ValueError(
                f"failed to set gateway while updating gateway: route for the gateway {text} could not be found: "
                "network is unreachable"
            )
        setattr(info, f"gateway{family}", gateway)
    info.static_routes = [_read_route(route) for route in response.get("StaticRoutes", ())]
    info.disable_gateway_service = response.get("DisableGatewayService", False)


def _read_route(response: dict[str, Any]) -> StaticRoute:
    destination = response.get("Destination", "")
    cidr = parse_cidr(destination) if destination else None
    text = response.get("NextHop", "")
    next_hop = _parse_ip(text) if text else None
    if text and next_hop is None:
        raise ValueError(f"failed to parse nexthop IP {text}")
    if cidr is None:
        cidr = (bytes(len(next_hop or bytes(4))), 0)
    if response.get("RouteType", 0) == _CONNECTED:
        next_hop = None
    return StaticRoute(Prefix.of(*cidr), next_hop)


def _parse_ip(text: str) -> Address | None:
    with suppress(ValueError):
        return parse_ip(text)
    return None


def parse_cidr(text: str) -> tuple[Address, int]:
    """Parse an address with prefix length, e.g. `10.0.0.1/24`.

    Raises `ValueError` with Go's message for any other text.
    """
    address, slash, length = text.partition("/")
    parsed = _parse_ip(address)
    fits = slash and is_number(length) and parsed and int(length) <= len(parsed) * 8
    if not fits:
        raise ValueError(f"invalid CIDR address: {text}")
    assert parsed is not None
    return parsed, int(length)


def parse_mac_address(text: str) -> Mac:
    """Parse a MAC address. Raises `ValueError` with Go's message for any other text."""
    try:
        return parse_mac(text)
    except ValueError:
        raise ValueError(f"address {text}: invalid MAC address") from None

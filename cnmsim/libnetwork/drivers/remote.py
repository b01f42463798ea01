"""The remote driver: a network driver in a plugin process.

Source: moby `daemon/libnetwork/drivers/remote/driver.go` and `api/api.go` (docker-v29.7.2),
`libnetwork/drivers/remote` (v26.1.5, v28.5.2), and the calls that plugins received from a 26.1.5. The calls
`AllocateNetwork` and `FreeNetwork` are missing: a swarm sends them to managed plugins only, which are not simulated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from attrs import define, field

from cnmsim.errors import EngineError, SystemFault
from cnmsim.kernel.address import Address, Mac, format_ip, format_mac
from cnmsim.libnetwork.driver import (
    GLOBAL_SCOPE,
    LOCAL_SCOPE,
    Capability,
    EndpointInterface,
    JoinInfo,
    NetworkRequest,
    SandboxContext,
)
from cnmsim.libnetwork.drivers.remoteapi import (
    ANSWERS,
    endpoint_options,
    ipam_data,
    parse_cidr,
    parse_mac_address,
    ports,
    read_join,
    with_length,
)
from cnmsim.libnetwork.options import EndpointOptions
from cnmsim.libnetwork.plugins.client import PluginClient, PluginFault
from cnmsim.libnetwork.profile import Profile

_GENERIC = "com.docker.network.generic"
_ENABLE_IPV4, _ENABLE_IPV6 = "com.docker.network.enable_ipv4", "com.docker.network.enable_ipv6"
_INTERNAL = "com.docker.network.internal"
_NO_PROXY_6_TO_4 = "com.docker.network.driver.private.no_proxy_6to4"
_NODE_DISCOVERY = 1


@define
class _JoinedEndpoint:
    """The state of a joined endpoint.

    `options` are the sandbox's ports as sent to the plugin. `is_internal` is True if the network is internal.
    `has_default_route` is a pair (IPv4, IPv6): True if the plugin was notified that the endpoint is the sandbox's
    gateway for that family.
    """

    options: dict[str, Any]
    is_internal: bool
    has_default_route: tuple[bool, bool] = (False, False)


@define(eq=False)
class RemoteDriver:
    """A driver whose calls are sent to a plugin. Created by `connect`.

    A call raises `SystemFault` if the plugin does not respond, or if the response is an error or invalid.
    `checks_gateways` is True if the plugin decides whether a network needs a gateway address (`GwAllocChecker`).
    `_internal` are the ids of internal networks.
    """

    name: str
    client: PluginClient
    profile: Profile
    capability: Capability
    checks_gateways: bool = False
    _internal: set[str] = field(factory=set, init=False)
    _joined: dict[str, _JoinedEndpoint] = field(factory=dict, init=False)

    @classmethod
    def connect(cls, name: str, client: PluginClient, profile: Profile) -> RemoteDriver:
        """Request the capabilities of the plugin `name`, and return its driver.

        Raises `SystemFault` if the plugin returns no capabilities, or invalid ones.
        """
        response = _call(client, "GetCapabilities", None)
        scope, connectivity = response.get("Scope", ""), response.get("ConnectivityScope", "")
        if scope not in {LOCAL_SCOPE, GLOBAL_SCOPE} or connectivity not in {"", LOCAL_SCOPE, GLOBAL_SCOPE}:
            raise SystemFault(f"invalid capability: expecting 'local' or 'global', got {scope}")
        return cls(
            name, client, profile, Capability(scope, connectivity or scope), response.get("GwAllocChecker", False)
        )

    @property
    def leaves_failed_join(self) -> bool:
        """Whether `leave` is called after a join to which the plugin responded with an error (since 29)."""
        return self.profile.failed_join_is_left

    def _call(self, method: str, **argument: Any) -> dict[str, Any]:
        return _call(self.client, method, argument)

    # --- networks

    def skip_gateway_allocation(self, request: NetworkRequest) -> tuple[bool, bool]:
        """Return a pair of flags (IPv4, IPv6). True: allocate a gateway address only if the user requested one.

        The plugin is called for the flags if its capabilities say that it decides about gateway addresses.
        """
        if not self.checks_gateways:
            return False, False
        response = self._call("GwAllocCheck", Options=self._network_options(request))
        return response.get("SkipIPv4", False), response.get("SkipIPv6", False)

    def create_network(self, request: NetworkRequest) -> None:
        """Call the plugin to create a network."""
        self._call(
            "CreateNetwork",
            NetworkID=request.id,
            Options=self._network_options(request),
            IPv4Data=ipam_data(request.ipv4),
            IPv6Data=ipam_data(request.ipv6),
        )
        if request.internal:
            self._internal.add(request.id)

    def _network_options(self, request: NetworkRequest) -> dict[str, Any]:
        return {
            **({_ENABLE_IPV4: request.enable_ipv4} if self.profile.can_disable_ipv4 else {}),
            _ENABLE_IPV6: request.enable_ipv6,
            _GENERIC: dict(sorted(request.options.items())),
            **({_INTERNAL: True} if request.internal else {}),
        }

    def delete_network(self, network_id: str) -> None:
        """Call the plugin to delete a network."""
        self._internal.discard(network_id)
        self._call("DeleteNetwork", NetworkID=network_id)

    # --- endpoints

    def create_endpoint(
        self, network_id: str, endpoint_id: str, interface: EndpointInterface, options: EndpointOptions
    ) -> None:
        """Call the plugin to create an endpoint.

        The plugin may assign the MAC address and the IP addresses that `interface` lacks.
        """
        response = self._call(
            "CreateEndpoint",
            NetworkID=network_id,
            EndpointID=endpoint_id,
            Interface={
                "Address": with_length(interface.ipv4),
                "AddressIPv6": with_length(interface.ipv6),
                "MacAddress": format_mac(interface.mac) if interface.mac is not None else "",
            },
            Options=endpoint_options(options),
        )
        before = interface.mac, interface.ipv4, interface.ipv6
        try:
            mac, addresses = self._parse_interface(network_id, endpoint_id, response.get("Interface"))
            _apply_interface(interface, mac, addresses)
        except _Modified as error:
            interface.mac, interface.ipv4, interface.ipv6 = before
            self._roll_back(str(error), "DeleteEndpoint", network_id, endpoint_id)

    def _parse_interface(
        self, network_id: str, endpoint_id: str, response: dict[str, str] | None
    ) -> tuple[Mac | None, list[tuple[Address, int]]]:
        response = response or {}
        try:
            addresses = [parse_cidr(text) for key in ("Address", "AddressIPv6") if (text := response.get(key))]
            mac = response.get("MacAddress")
            return parse_mac_address(mac) if mac else None, addresses
        except ValueError as error:
            if self.profile.plugin_answers_are_rolled_back:
                self._roll_back(str(error), "DeleteEndpoint", network_id, endpoint_id)
            raise SystemFault(str(error)) from None

    def _roll_back(self, text: str, method: str, network_id: str, endpoint_id: str) -> NoReturn:
        try:
            self._call(method, NetworkID=network_id, EndpointID=endpoint_id)
        except EngineError as error:
            if self.profile.plugin_answers_are_rolled_back:
                raise SystemFault(f"{error.message}; failed to roll back: {text}") from None
            raise SystemFault(f"{text}; failed to roll back: {error.message}") from None
        raise SystemFault(f"{text}; rolled back")

    def delete_endpoint(self, network_id: str, endpoint_id: str) -> None:
        """Call the plugin to delete an endpoint."""
        self._call("DeleteEndpoint", NetworkID=network_id, EndpointID=endpoint_id)

    def operational_info(self, network_id: str, endpoint_id: str) -> dict[str, Any]:
        """Return the dict `{"value": data}` with the plugin's data about an endpoint.

        The engine does not interpret the data.
        """
        response = self._call("EndpointOperInfo", NetworkID=network_id, EndpointID=endpoint_id)
        return {"value": response.get("Value", {})}

    # --- joining and leaving

    def join(self, network_id: str, endpoint_id: str, sandbox: SandboxContext, info: JoinInfo) -> None:
        """Call the plugin to join an endpoint.

        Store in `info` what the plugin returns: the device on the host, the gateways and the routes.
        """
        options = ports(sandbox.exposed_ports, sandbox.port_bindings)
        response = self._call(
            "Join", NetworkID=network_id, EndpointID=endpoint_id, SandboxKey=sandbox.key, Options=options
        )
        try:
            read_join(response, info)
        except ValueError as error:
            if self.profile.plugin_answers_are_rolled_back:
                self._roll_back(str(error), "Leave", network_id, endpoint_id)
            raise SystemFault(str(error)) from None
        self._joined[endpoint_id] = _JoinedEndpoint(options, network_id in self._internal)

    def leave(self, network_id: str, endpoint_id: str) -> None:
        """Call the plugin to detach an endpoint."""
        self._joined.pop(endpoint_id, None)
        self._call("Leave", NetworkID=network_id, EndpointID=endpoint_id)

    # --- published ports

    def program_external_connectivity(
        self, network_id: str, endpoint_id: str, sandbox: SandboxContext, *, gateway4: str, gateway6: str
    ) -> None:
        """Notify the plugin if the endpoint has become a gateway of its sandbox, or is no longer one.

        `gateway4` and `gateway6` are the ids of the sandbox's IPv4 and IPv6 gateway endpoints, "" for none. Raises
        `SystemFault` if the endpoint is not joined.
        """
        del sandbox
        joined = self._joined.get(endpoint_id)
        if joined is None:
            raise SystemFault(f"remote network driver: endpoint {endpoint_id} not found")
        has_default_route = gateway4 == endpoint_id, gateway6 == endpoint_id
        if not self.profile.plugin_publishes_by_family:
            has_default_route = any(has_default_route), any(has_default_route)
        if has_default_route == joined.has_default_route:
            return
        if not any(has_default_route):
            self.revoke_external_connectivity(network_id, endpoint_id)
            return
        joined.has_default_route = has_default_route
        if joined.is_internal and not self.profile.plugin_publishes_by_family:
            return
        options = joined.options
        is_other_for_ipv6 = bool(gateway6) and gateway6 != endpoint_id
        if self.profile.plugin_always_gets_proxy_option:
            other = bool(gateway4 and gateway6) and gateway4 != gateway6
            options = dict(sorted({**options, _NO_PROXY_6_TO_4: other}.items()))
        elif self.profile.plugin_publishes_by_family and is_other_for_ipv6:
            options = dict(sorted({**options, _NO_PROXY_6_TO_4: True}.items()))
        self._call_optional(
            "ProgramExternalConnectivity", NetworkID=network_id, EndpointID=endpoint_id, Options=options
        )

    def revoke_external_connectivity(self, network_id: str, endpoint_id: str) -> None:
        """Notify the plugin that the endpoint is no longer a gateway, if it was notified that it is one."""
        joined = self._joined.get(endpoint_id)
        if joined is None or not any(joined.has_default_route):
            return
        joined.has_default_route = (False, False)
        self._call_optional("RevokeExternalConnectivity", NetworkID=network_id, EndpointID=endpoint_id)

    def _call_optional(self, method: str, **argument: Any) -> None:
        try:
            self._call(method, **argument)
        except PluginFault as fault:
            if not fault.is_not_implemented:
                raise

    # --- nodes of a cluster

    def node_joined(self, address: Address, *, is_self: bool) -> None:
        """Notify the plugin that a node joined the cluster, if the plugin's networks connect several hosts.

        Errors are only logged.
        """
        self._discover("DiscoverNew", address, is_self=is_self)

    def node_left(self, address: Address) -> None:
        """Notify the plugin that a node left the cluster, if the plugin's networks connect several hosts.

        Errors are only logged.
        """
        self._discover("DiscoverDelete", address, is_self=False)

    def _discover(self, method: str, address: Address, *, is_self: bool) -> None:
        if self.capability.connectivity_scope != GLOBAL_SCOPE:
            return
        text = format_ip(address)
        data = {"Address": text, "BindAddress": text if is_self else "", "Self": is_self}
        # Failures are only logged.
        try:
            self._call(method, DiscoveryType=_NODE_DISCOVERY, DiscoveryData=data)
        except EngineError as error:
            self.client.log.append(f"discovery notification error: {error.message}")


class _Modified(ValueError):
    """Error: the plugin returned a different address from the one that the engine has assigned already."""


def _call(client: PluginClient, method: str, argument: Any) -> dict[str, Any]:
    response = client.call(f"NetworkDriver.{method}", argument, ANSWERS[method])
    if response.get("Err"):
        raise SystemFault(f"remote: {response['Err']}")
    return response


def _apply_interface(interface: EndpointInterface, mac: Mac | None, addresses: Sequence[tuple[Address, int]]) -> None:
    if mac is not None:
        if interface.mac is not None:
            present = format_mac(interface.mac)
            raise _Modified(
                f"driver modified interface MAC address: endpoint interface MAC address present ({present}). "
                f"Cannot be modified with {format_mac(mac)}."
            )
        interface.mac = mac
    for assigned in addresses:
        attribute = "ipv4" if len(assigned[0]) == 4 else "ipv6"
        present = with_length(getattr(interface, attribute))
        if present:
            raise _Modified(
                f"driver modified interface address: endpoint interface IP present ({present}). "
                f"Cannot be modified with ({with_length(assigned)})."
            )
        setattr(interface, attribute, assigned)

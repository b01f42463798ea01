"""The remote IPAM driver: pools and addresses are allocated by a plugin process.

Source: moby `daemon/libnetwork/ipams/remote/{remote.go,api/api.go}` (docker-v29.7.2), `libnetwork/ipams/remote` and
`libnetwork/network.go` (v26.1.5), and the calls that plugins received from a 26.1.5.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from attrs import define, field

from cnmsim.digits import is_number
from cnmsim.errors import EngineError, NotFound, SystemFault, Unavailable
from cnmsim.gojson.unmarshal import STRING_MAP, Bool, Field, Nullable, Str, Struct, embedded
from cnmsim.gonetip import prefix_error
from cnmsim.kernel.address import Address, Prefix, format_ip, parse_ip
from cnmsim.libnetwork.ipam.allocator import Pool, PoolRequest
from cnmsim.libnetwork.plugins.client import PluginClient
from cnmsim.libnetwork.profile import Profile


def _response(name: str, *fields: Field) -> Struct:
    return Struct(f"api.{name}", (*fields, *embedded("Response", Str("Error", omit=True))))


_ANSWERS = {
    "GetCapabilities": _response(
        "GetCapabilityResponse", Bool("RequiresMACAddress", omit=True), Bool("RequiresRequestReplay", omit=True)
    ),
    "GetDefaultAddressSpaces": _response(
        "GetAddressSpacesResponse",
        Str("LocalDefaultAddressSpace", omit=True),
        Str("GlobalDefaultAddressSpace", omit=True),
    ),
    "RequestPool": _response(
        "RequestPoolResponse",
        Str("PoolID", omit=True),
        Str("Pool", omit=True),
        Nullable("Data", STRING_MAP, omit=True),
    ),
    "ReleasePool": _response("ReleasePoolResponse"),
    "RequestAddress": _response(
        "RequestAddressResponse", Str("Address", omit=True), Nullable("Data", STRING_MAP, omit=True)
    ),
    "ReleaseAddress": _response("ReleaseAddressResponse"),
}


@define(eq=False)
class RemoteIpam:
    """An IPAM driver backed by a plugin, created by `connect`.

    `requires_mac`: the plugin needs an endpoint's MAC address with each address request. `requires_replay`: the
    plugin needs all requests again after a restart of the daemon.
    """

    name: str
    client: PluginClient
    profile: Profile
    requires_mac: bool = False
    requires_replay: bool = False
    #: While a network is restored: its pools, by id. Otherwise `None`.
    _restored: dict[str, Prefix] | None = field(default=None, init=False)

    @contextmanager
    def restoring(self, pools: Mapping[str, Prefix]) -> Iterator[None]:
        """Context manager for restoring a network at the daemon's start.

        `pools` maps the ids of its pools to their prefixes. Inside the block, requests for these pools and their
        addresses are answered without calling the plugin. If the plugin requires a replay, it is called, but its
        errors are only logged (moby `reservePools`).
        """
        self._restored = dict(pools)
        try:
            yield
        finally:
            self._restored = None

    @classmethod
    def connect(cls, name: str, client: PluginClient, profile: Profile) -> RemoteIpam:
        """Request the capabilities of the plugin `name`, and return its driver.

        If that call fails, the driver has no capability.
        """
        try:
            response = _call(client, "GetCapabilities", None)
        except EngineError as error:
            client.log.append(f"remote ipam driver {name} does not support capabilities: {error.message}")
            return cls(name, client, profile)
        return cls(
            name,
            client,
            profile,
            response.get("RequiresMACAddress", False),
            response.get("RequiresRequestReplay", False),
        )

    def default_spaces(self) -> tuple[str, str]:
        """Return the names of two address spaces of the plugin: for local networks, and for global networks.

        Raises `NotFound` if the plugin does not return them.
        """
        try:
            return self._ask_spaces()
        except EngineError as error:
            raise NotFound(f"failed to get default address space: {error.message}") from None

    def _ask_spaces(self) -> tuple[str, str]:
        response = _call(self.client, "GetDefaultAddressSpaces", None)
        return response.get("LocalDefaultAddressSpace", ""), response.get("GlobalDefaultAddressSpace", "")

    def request_pool(self, request: PoolRequest) -> Pool:
        """Request a pool from the plugin.

        If the plugin chooses a pool that overlaps an excluded prefix, the request is repeated until the plugin
        returns another one; the rejected pools are released only afterwards, so that the plugin does not return them
        again. Raises `SystemFault` if the plugin returns a rejected pool again.
        """
        restored = self._restored or {}
        known = next((restored_id for restored_id, prefix in restored.items() if str(prefix) == request.pool), None)
        if known is not None:
            if self.requires_replay:
                try:
                    return self._request(request)
                except EngineError as error:
                    self.client.log.append(f"Failed to allocate ipam pool(s): {error.message}")
            return Pool(known, restored[known])
        # The result does not matter: the caller excludes nothing for a network of global scope.
        is_global = self.profile.remote_ipam_looks_up_spaces and self._ask_spaces()[1] == request.space
        held: list[str] = []
        try:
            while True:
                allocated = self._request(request)
                if (
                    request.pool
                    or is_global
                    or not allocated.prefix.length
                    or not any(allocated.prefix.overlaps(prefix) for prefix in request.exclude)
                ):
                    return allocated
                if allocated.id in held:
                    # A real engine repeats the request without limit.
                    raise SystemFault(
                        f"remote: {self.name} returns the pool {allocated.prefix} repeatedly, "
                        "which overlaps a network of the host"
                    )
                held.append(allocated.id)
        finally:
            for pool_id in held:
                try:
                    self.release_pool(pool_id)
                except EngineError:
                    self.client.log.append("Failed to release overlapping pool")

    def _request(self, request: PoolRequest) -> Pool:
        response = _call(
            self.client,
            "RequestPool",
            {
                "AddressSpace": request.space,
                "Pool": request.pool,
                "SubPool": request.sub_pool,
                "Options": dict(sorted(request.options.items())),
                "V6": request.v6,
            },
        )
        text = response.get("Pool", "")
        prefix = _parse_prefix(text)
        if prefix is None:
            raise SystemFault(self.profile.remote_pool_text.format(pool=text, fault=prefix_error(text)))
        return Pool(response.get("PoolID", ""), prefix, data=response.get("Data", {}))

    def release_pool(self, pool_id: str) -> None:
        """Release a pool."""
        _call(self.client, "ReleasePool", {"PoolID": pool_id})

    def request_address(
        self, pool_id: str, address: Address | None = None, *, options: Mapping[str, str] | None = None
    ) -> tuple[Address, int]:
        """Request `address` from the plugin, or any address if it is `None`. Return it with its prefix length.

        `options` are sent with the request.
        """
        restored = (self._restored or {}).get(pool_id)
        if restored is not None and address is not None:
            if self.requires_replay:
                try:
                    return self._request_address(pool_id, address, options)
                except EngineError as error:
                    self.client.log.append(f"Failed to reserve {format_ip(address)}: {error.message}")
            return address, restored.length
        return self._request_address(pool_id, address, options)

    def _request_address(
        self, pool_id: str, address: Address | None, options: Mapping[str, str] | None
    ) -> tuple[Address, int]:
        response = _call(
            self.client,
            "RequestAddress",
            {
                "PoolID": pool_id,
                "Address": format_ip(address) if address is not None else "",
                "Options": dict(sorted(options.items())) if options is not None else None,
            },
        )
        text = response.get("Address", "")
        if not text:
            raise Unavailable("no address returned")
        assigned = parse_cidr(text)
        if assigned is None:
            raise SystemFault(f"invalid CIDR address: {text}")
        return assigned

    def release_address(self, pool_id: str, address: Address) -> None:
        """Release an address."""
        _call(self.client, "ReleaseAddress", {"PoolID": pool_id, "Address": format_ip(address)})


def _call(client: PluginClient, method: str, argument: Any) -> dict[str, Any]:
    response = client.call(f"IpamDriver.{method}", argument, _ANSWERS[method])
    if response.get("Error"):
        raise SystemFault(f"remote: {response['Error']}")
    return response


def parse_cidr(text: str) -> tuple[Address, int] | None:
    """Parse an address with its prefix length, e.g. `10.0.0.1/24`. Return `None` for any other text."""
    address, slash, length = text.partition("/")
    try:
        parsed = parse_ip(address)
    except ValueError:
        return None
    if not slash or not is_number(length) or int(length) > len(parsed) * 8:
        return None
    return parsed, int(length)


def _parse_prefix(text: str) -> Prefix | None:
    cidr = parse_cidr(text)
    return None if cidr is None else Prefix.of(*cidr)

"""Keyword arguments of `new_network`, `create_endpoint` and `new_sandbox`. Each sets one field of the call's options.

They correspond to libnetwork's option functions: `NetworkOptionEnableIPv6(true)` is `enable_ipv6=True`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import evolve, fields

from cnmsim.errors import InvalidParameter
from cnmsim.libnetwork.options import EndpointOptions, IpamConfig, NetworkOptions, SandboxOptions
from cnmsim.libnetwork.readable import to_address

#: The settings of `new_network` that describe its pools.
_POOL = ("subnet", "gateway", "ip_range", "aux_addresses")
_Options = TypeVar("_Options", NetworkOptions, EndpointOptions, SandboxOptions)


def network_options(options: NetworkOptions | None, settings: Mapping[str, Any]) -> NetworkOptions:
    """Return a copy of `options` with `settings` applied; `None` stands for the default options.

    `subnet`, `gateway`, `ip_range` and `aux_addresses` together set the field `ipam_config`. Raises
    `InvalidParameter` for a value that cannot be converted, and for an unknown name; the message then suggests the
    most similar valid name, or lists all.
    """
    options = options or NetworkOptions()
    if not settings:
        return options
    given = dict(settings)
    pool: dict[str, Any] = {key: given.pop(key) for key in _POOL if key in given}
    if pool:
        if "ipam_config" in given:
            raise InvalidParameter(f"new_network: {', '.join(pool)} and ipam_config exclude each other")
        given["ipam_config"] = _pools(pool)
    # An IPv6 subnet requires IPv6, so it is enabled.
    if any(":" in config.subnet for config in given.get("ipam_config", ())):
        given.setdefault("enable_ipv6", True)
    return _applied("new_network", options, given, _POOL)


def endpoint_options(options: EndpointOptions | None, settings: Mapping[str, Any]) -> EndpointOptions:
    """Return a copy of `options` with `settings` applied; `None` stands for the default options.

    The setting `address` sets the field `ipv4` or `ipv6`. Raises `InvalidParameter` for a name that is no field, and
    for a value that is invalid.
    """
    options = options or EndpointOptions()
    if not settings:
        return options
    given = dict(settings)
    if "address" in given:
        try:
            address = to_address(given.pop("address"))
        except ValueError as error:
            raise InvalidParameter(f"create_endpoint: address: {error}") from None
        given.setdefault("ipv6" if len(address) == 16 else "ipv4", address)
    return _applied("create_endpoint", options, given, ("address",))


def sandbox_options(options: SandboxOptions | None, settings: Mapping[str, Any]) -> SandboxOptions:
    """Return a copy of `options` with `settings` applied; `None` stands for the default options.

    Raises `InvalidParameter` as `network_options` does.
    """
    options = options or SandboxOptions()
    return _applied("new_sandbox", options, settings, ()) if settings else options


def _pools(pool: Mapping[str, Any]) -> list[IpamConfig]:
    subnets = pool.get("subnet") or ""
    first, *others = [subnets] if not isinstance(subnets, list | tuple) else subnets or [""]
    details = {key: str(pool[key]) for key in ("gateway", "ip_range") if pool.get(key)}
    auxiliary = {str(name): str(address) for name, address in dict(pool.get("aux_addresses") or {}).items()}
    return [
        IpamConfig(str(first), aux_addresses=auxiliary, **details),
        *(IpamConfig(str(subnet)) for subnet in others),
    ]


def _applied(call: str, options: _Options, settings: Mapping[str, Any], more: tuple[str, ...]) -> _Options:
    known: list[str] = [field.name for field in fields(type(options))]
    for name in settings:
        if name not in known:
            close = difflib.get_close_matches(name, [*known, *more], 1)
            meant = f", did you mean {close[0]}?" if close else f"; there are {', '.join([*more, *known])}"
            raise InvalidParameter(f"{call} has no option {name!r}{meant}")
    changed = options
    for name, value in settings.items():
        try:
            changed = evolve(changed, **{name: value})
        except (ValueError, TypeError, AttributeError) as error:
            raise InvalidParameter(f"{call}: {name}: {error}") from None
    return changed

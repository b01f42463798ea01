"""Validation of requested endpoint settings: static addresses, aliases, MAC address, per-interface sysctls.

Source: moby `daemon/container_operations.go`, `api/types/network/endpoint.go` (v26.1.5, v28.5.2),
`daemon/container_operations.go` (docker-v29.7.2).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from attrs import field, frozen

from cnmsim.errors import InvalidParameter
from cnmsim.kernel.address import Address, Prefix, parse_ip
from cnmsim.libnetwork.multierror import join_errors
from cnmsim.libnetwork.profile import Profile

_PREDEFINED_MODES = frozenset({"", "default", "bridge", "host", "none"})
_INTERFACE_SYSCTL = re.compile(r"net\.(ipv4|ipv6|mpls)\.[^.=]+\.IFNAME\.[^=]+=.*")


@frozen
class RequestedAddresses:
    """The settings that a user requested for an endpoint, as text, to be validated."""

    ipv4: str = ""
    ipv6: str = ""
    link_local: Sequence[str] = field(default=(), converter=tuple[str, ...])
    aliases: Sequence[str] = field(default=(), converter=tuple[str, ...])


@frozen
class NetworkSubnets:
    """The IPv4 and IPv6 subnets of a network: those that the user `configured`, and those that IPAM `allocated`."""

    configured: Sequence[Prefix] = ()
    allocated: Sequence[Prefix] = ()


def is_user_defined(network_mode: str) -> bool:
    """Return True if `network_mode`, the value of a container's `--network`, names a user-defined network."""
    return network_mode not in _PREDEFINED_MODES and not network_mode.startswith("container:")


def validate_endpoint_settings(
    profile: Profile, network: str, settings: RequestedAddresses, subnets: NetworkSubnets | None = None
) -> None:
    """Validate endpoint settings against the network named `network`, by the rules of the release `profile`.

    `subnets` is `None` for a network that does not exist yet. Raises `InvalidParameter` with all errors that were
    found.
    """
    errors, refused = [], ""
    if not is_user_defined(network):
        if settings.ipv4 or settings.ipv6:
            errors.append(profile.static_ip_on_predefined_text)
        if settings.aliases:
            errors.append(profile.alias_on_predefined_text)
    errors += _address_faults(settings)
    if subnets is not None:
        for text, family in ((settings.ipv4, 4), (settings.ipv6, 6)):
            if text and (fault := _subnet_fault(profile, text, family, subnets)):
                errors.append(fault)
                refused = refused or text
    if errors:
        raise InvalidParameter(f"invalid endpoint settings:\n{join_errors(errors)}").about(refused)


def _parse(text: str) -> Address | None:
    try:
        address = parse_ip(text)
    except ValueError:
        return None
    return address if any(address) else None


def _address_faults(settings: RequestedAddresses) -> list[str]:
    faults = []
    for text, size, name in ((settings.ipv4, 4, "IPv4"), (settings.ipv6, 16, "IPv6")):
        address = _parse(text)
        if text and (address is None or len(address) != size):
            faults.append(f"invalid {name} address: {text}")
    faults += [f"invalid link-local IP address: {text}" for text in settings.link_local if _parse(text) is None]
    return faults


def _subnet_fault(profile: Profile, text: str, family: int, subnets: NetworkSubnets) -> str:
    known = subnets.allocated if profile.static_ip_on_automatic_subnet else subnets.configured
    candidates = [subnet for subnet in known if subnet.family == family]
    address = _parse(text)
    if address is not None and any(address in subnet for subnet in candidates):
        return ""
    if not candidates and not profile.static_ip_on_automatic_subnet:
        return profile.static_ip_on_automatic_text
    return profile.static_ip_outside_text.format(ip=text)


def validate_interface_sysctls(option: str) -> None:
    """Validate the endpoint option `com.docker.network.endpoint.sysctls`, whose entries are separated by commas.

    Raises `InvalidParameter` for entries that are not sysctls of an interface.
    """
    faults = [
        f"unrecognised network interface sysctl '{entry}'; represent 'net.X.Y.ethN.Z=V' as"
        " 'net.X.Y.IFNAME.Z=V', 'X' must be 'ipv4', 'ipv6' or 'mpls'"
        for entry in option.split(",")
        if not _INTERFACE_SYSCTL.fullmatch(entry)
    ]
    if faults:
        raise InvalidParameter(f"invalid endpoint settings:\n{join_errors(faults)}")

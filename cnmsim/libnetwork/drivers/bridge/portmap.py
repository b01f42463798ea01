"""Conversion of requested port bindings to one binding per host address, grouped in the engine's order.

Source: 26.1.5 `libnetwork/drivers/bridge/port_mapping_linux.go` and `libnetwork/portmapper/`; docker-v29.7.2
`daemon/libnetwork/drivers/bridge/port_mapping_linux.go` and `portmappers/{nat,routed}/`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from attrs import evolve, field, frozen

from cnmsim.kernel.address import IPV4_ANY, IPV6_ANY, Address
from cnmsim.libnetwork.drivers.bridge.labels import BridgeOptions
from cnmsim.libnetwork.options import PortBinding
from cnmsim.libnetwork.profile import Profile

_PROTOCOL_ORDER = {"tcp": 0, "udp": 1, "sctp": 2}


@frozen
class MappingKinds:
    """The kinds of port mapping that an endpoint has to provide, which depend on its role in the sandbox.

    `ipv4`, `ipv6`: the endpoint is the sandbox's gateway for that family. `proxy6to4`: it is the only gateway, so the
    host's IPv6 address may be proxied to the container's IPv4 address. `routed`: the endpoint opens the ports of
    families in gateway mode `routed`, whether or not it is a gateway.
    """

    ipv4: bool = False
    ipv6: bool = False
    proxy6to4: bool = False
    routed: bool = False


@frozen
class EndpointAddresses:
    """The container's addresses, and whether the host has a userland proxy and IPv6."""

    ipv4: Address | None
    ipv6: Address | None
    has_proxy: bool
    host_has_ipv6: bool


@frozen
class Candidate:
    """One binding on one host address, before its host port is allocated.

    `kind` is the `MappingKinds` attribute to which the candidate belongs, e.g. "ipv4". `is_routed` means that the
    port is opened without NAT, in gateway mode `routed`.
    """

    binding: PortBinding
    is_routed: bool = False
    kind: str = field(default="ipv4")


def expand(
    binding: PortBinding, options: BridgeOptions, addresses: EndpointAddresses, mapping_kinds: MappingKinds
) -> list[Candidate]:
    """Convert one requested binding to candidates: at most one on an IPv4 and one on an IPv6 host address.

    `mapping_kinds` are the kinds of mapping to return; `addresses` are the container's addresses.
    """
    candidates = [
        _expand_ipv4(binding, options, addresses, mapping_kinds),
        _expand_ipv6(binding, options, addresses, mapping_kinds),
    ]
    return [candidate for candidate in candidates if candidate is not None]


def _expand_ipv4(
    binding: PortBinding, options: BridgeOptions, addresses: EndpointAddresses, mapping_kinds: MappingKinds
) -> Candidate | None:
    if addresses.ipv4 is None:
        return None
    if options.mode4.translates:
        host = binding.host_ip or options.binding_address
        if not mapping_kinds.ipv4 or len(host) != 4:
            return None
        return Candidate(evolve(binding, host_ip=host, container_ip=addresses.ipv4))
    is_opened = mapping_kinds.ipv4 or mapping_kinds.routed
    if not is_opened or (binding.host_ip is not None and len(binding.host_ip) != 4):
        return None
    return Candidate(_without_host(binding, IPV4_ANY, addresses.ipv4), is_routed=True, kind="routed")


def _expand_ipv6(
    binding: PortBinding, options: BridgeOptions, addresses: EndpointAddresses, mapping_kinds: MappingKinds
) -> Candidate | None:
    host = binding.host_ip
    if host is not None and len(host) != 16:
        return None
    if not options.mode6.translates and addresses.ipv6 is not None:
        is_opened = mapping_kinds.ipv6 or mapping_kinds.routed
        return Candidate(_without_host(binding, IPV6_ANY, addresses.ipv6), True, "routed") if is_opened else None
    if host is None:
        if not addresses.host_has_ipv6 or (len(options.binding_address) == 4 and any(options.binding_address)):
            return None
        host = options.binding_address if len(options.binding_address) == 16 else IPV6_ANY
    if addresses.ipv6 is not None:
        return (
            Candidate(evolve(binding, host_ip=host, container_ip=addresses.ipv6), kind="ipv6")
            if mapping_kinds.ipv6
            else None
        )
    if (
        not mapping_kinds.proxy6to4
        or not addresses.has_proxy
        or addresses.ipv4 is None
        or not options.mode6.translates
    ):
        return None
    return Candidate(evolve(binding, host_ip=host, container_ip=addresses.ipv4), kind="proxy6to4")


def _without_host(binding: PortBinding, host: Address, container: Address) -> PortBinding:
    return evolve(binding, host_ip=host, host_port=0, host_port_end=0, container_ip=container)


def in_groups(
    profile: Profile,
    bindings: Sequence[PortBinding],
    options: BridgeOptions,
    addresses: EndpointAddresses,
    mapping_kinds: MappingKinds,
) -> list[list[Candidate]]:
    """Convert requested bindings to candidates, and return these in groups, in the engine's order of mapping.

    All candidates of a group are to get the same host port. `mapping_kinds` are the kinds of mapping to return.
    `profile` selects the release's order and grouping.
    """
    if not profile.ports_are_grouped:
        ordered = sorted(bindings, key=_descending_key)
        return [[candidate] for b in ordered for candidate in expand(b, options, addresses, mapping_kinds)]
    candidates = [candidate for b in bindings for candidate in expand(b, options, addresses, mapping_kinds)]
    candidates.sort(key=_ascending_key)
    return [list(group) for _, group in groupby(candidates, key=_group_key)]


def _descending_key(binding: PortBinding) -> tuple[int, int, bool]:
    return (-binding.host_port, -binding.container_port, binding.protocol != "tcp")


def _group_key(candidate: Candidate) -> tuple[bool, int, int, int, int]:
    binding = candidate.binding
    return (
        candidate.is_routed,
        binding.container_port,
        _PROTOCOL_ORDER.get(binding.protocol, 9),
        binding.host_port,
        binding.last_host_port,
    )


def _ascending_key(candidate: Candidate) -> tuple[object, ...]:
    binding = candidate.binding
    is_exact = binding.host_port != 0 and binding.last_host_port == binding.host_port
    host = binding.host_ip or b""
    container = binding.container_ip or b""
    routed, port, protocol, start, end = _group_key(candidate)
    return (routed, not is_exact, port, protocol, start, end, len(host), host, len(container), container)


def host_addresses(group: Iterable[Candidate]) -> list[Address]:
    """Return the host addresses on which a group's host port has to be allocated."""
    return [candidate.binding.host_ip for candidate in group if candidate.binding.host_ip is not None]

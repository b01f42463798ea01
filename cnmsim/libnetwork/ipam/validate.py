"""Validation of a network's IPAM configuration, before anything is allocated.

Source: moby `api/types/network/ipam.go` (v26.1.5, v28.5.2), `daemon/network.go` (docker-v29.7.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attrs import frozen

from cnmsim.digits import is_number
from cnmsim.errors import InvalidParameter
from cnmsim.gonetip import addr_error, prefix_error
from cnmsim.kernel.address import Address, Prefix, format_ip, parse_ip
from cnmsim.libnetwork.multierror import join_errors
from cnmsim.libnetwork.options import IpamConfig
from cnmsim.libnetwork.profile import Profile


@frozen
class _Block:
    """An address block as the user wrote it: host bits may be set, e.g. `10.0.0.5/24`."""

    address: Address
    length: int

    @classmethod
    def parse(cls, text: str) -> _Block | None:
        address_text, slash, length = text.partition("/")
        if not slash or not is_number(length) or (length[0] == "0" and length != "0"):
            return None
        try:
            address = parse_ip(address_text)
        except ValueError:
            return None
        return cls(address, int(length)) if int(length) <= len(address) * 8 else None

    def __str__(self) -> str:
        return f"{format_ip(self.address)}/{self.length}"

    @property
    def masked(self) -> Prefix:
        return Prefix.of(self.address, self.length)

    @property
    def family(self) -> str:
        return "IPv6" if len(self.address) == 16 else "IPv4"

    @property
    def has_host_bits(self) -> bool:
        return self.masked.network != self.address


def validate_ipam_config(profile: Profile, configs: Iterable[IpamConfig], *, enable_ipv6: bool = False) -> None:
    """Validate subnets, ip-ranges, gateways and auxiliary addresses against each other.

    `profile` selects the release's checks. IPv6 entries are ignored if `enable_ipv6` is False. Raises
    `InvalidParameter` with all errors that were found.
    """
    faults = [fault for config in configs for fault in _faults(profile, config, enable_ipv6)]
    if faults:
        text = join_errors([text for _, text in faults])
        raise InvalidParameter(f"invalid network config:\n{text}").about(faults[0][0])


def used_ipam_config(profile: Profile, configs: Iterable[IpamConfig], *, enable_ipv6: bool) -> list[IpamConfig]:
    """Return the entries of `configs` that `network inspect` shows.

    29 omits the IPv6 entries if `enable_ipv6` is False; earlier releases show all entries.
    """
    return [
        config for config in configs if enable_ipv6 or profile.echoes_unused_ipv6_config or ":" not in config.subnet
    ]


def _faults(profile: Profile, config: IpamConfig, enable_ipv6: bool) -> Iterator[tuple[str, str]]:
    """Yield each invalid value of `config` with the text of its error."""
    if profile.ipam_config_is_typed:
        _refuse_undecodable(config)
        if not config.subnet:
            yield from _faults_without_subnet(config)
            return
    subnet = _Block.parse(config.subnet)
    if subnet is None:
        yield config.subnet, f"invalid subnet {config.subnet}: invalid CIDR block notation"
        return
    if subnet.family == "IPv6" and not enable_ipv6:
        return
    if subnet.has_host_bits:
        yield config.subnet, f"invalid subnet {subnet}: it should be {subnet.masked}"
    yield from ((config.ip_range, text) for text in _ip_range_faults(config.ip_range, subnet))
    if fault := _address_fault(config.gateway, subnet):
        yield config.gateway, f"invalid gateway {config.gateway}: {fault}"
    for name, address in config.aux_addresses.items():
        if fault := _address_fault(address, subnet):
            yield address, f"invalid auxiliary address {name}: {fault}"


def _faults_without_subnet(config: IpamConfig) -> Iterator[tuple[str, str]]:
    """Yield the invalid values of an entry without subnet, as in moby, where a missing subnet counts as IPv4."""
    outside = "parent subnet invalid Prefix doesn't contain"
    if config.ip_range:
        ip_range = _Block.parse(config.ip_range)
        assert ip_range is not None, "it was decoded"
        if ip_range.family == "IPv6":
            yield config.ip_range, f"invalid ip-range {ip_range}: parent subnet is an IPv4 block"
        else:
            if ip_range.has_host_bits:
                yield config.ip_range, f"invalid ip-range {ip_range}: it should be {ip_range.masked}"
            yield config.ip_range, f"invalid ip-range {ip_range}: {outside} ip-range"
    named = [(config.gateway, f"gateway {config.gateway}")]
    named += [(address, f"auxiliary address {name}") for name, address in config.aux_addresses.items()]
    for address, title in named:
        if address:
            fault = "parent subnet is an IPv4 block" if ":" in address else f"{outside} this address"
            yield address, f"invalid {title}: {fault}"


def _refuse_undecodable(config: IpamConfig) -> None:
    """Raise `InvalidParameter` if a text in `config` is not an address or a prefix (29).

    The message is that of a JSON decoding error, because the API's fields have types there.
    """
    for text in (config.subnet, config.ip_range):
        if text and (fault := prefix_error(text)):
            raise InvalidParameter(f"invalid JSON: {fault}").about(text)
    for text in (config.gateway, *config.aux_addresses.values()):
        if text and (fault := addr_error(text)):
            raise InvalidParameter(f"invalid JSON: {fault}").about(text)


def _ip_range_faults(text: str, subnet: _Block) -> Iterator[str]:
    if not text:
        return
    ip_range = _Block.parse(text)
    if ip_range is None:
        yield f"invalid ip-range {text}: invalid CIDR block notation"
        return
    if ip_range.family != subnet.family:
        yield f"invalid ip-range {text}: parent subnet is an {subnet.family} block"
        return
    if ip_range.length < subnet.length:
        yield f"invalid ip-range {text}: CIDR block is bigger than its parent subnet {subnet}"
    if ip_range.has_host_bits:
        yield f"invalid ip-range {ip_range}: it should be {ip_range.masked}"
    if not subnet.masked.overlaps(ip_range.masked):
        yield f"invalid ip-range {text}: parent subnet {subnet} doesn't contain ip-range"


def _address_fault(text: str, subnet: _Block) -> str:
    if not text:
        return ""
    try:
        address = parse_ip(text)
    except ValueError:
        return "invalid address"
    if len(address) != len(subnet.address):
        return f"parent subnet is an {subnet.family} block"
    if address not in subnet.masked:
        return f"parent subnet {subnet} doesn't contain this address"
    return ""

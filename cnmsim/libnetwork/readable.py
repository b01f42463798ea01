"""Conversion between the values that users pass or get and the bytes that the simulated kernel uses.

Options accept addresses, MAC addresses and ports as text; results are `ipaddress` values. Every function here raises
`ValueError` or `TypeError` with a full sentence for a value that it cannot convert.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address, ip_interface

from cnmsim.kernel.address import Address, Mac, format_ip, parse_ip, parse_mac

IpAddress = IPv4Address | IPv6Address
IpInterface = IPv4Interface | IPv6Interface
#: An address as a user may write it.
AddressLike = Address | str | IPv4Address | IPv6Address


def to_address(value: AddressLike) -> Address:
    """Convert `"172.18.0.2"`, an `ipaddress` value or 4 or 16 bytes to an address."""
    if isinstance(value, bytes) and len(value) in {4, 16}:
        return value
    if isinstance(value, IPv4Address | IPv6Address) and not isinstance(value, IPv4Interface | IPv6Interface):
        return value.packed
    if isinstance(value, str):
        return parse_ip(value)
    raise ValueError(f"invalid IP address: {value!r}")


def to_optional_address(value: AddressLike | None) -> Address | None:
    """Convert a value as `to_address` does; return `None` for `None`."""
    return None if value is None else to_address(value)


def to_addresses(values: Iterable[AddressLike]) -> list[Address]:
    """Convert each of several addresses."""
    if isinstance(values, str | bytes):
        raise TypeError(f"a list of addresses is needed, not {values!r}")
    return [to_address(value) for value in values]


def to_optional_mac(value: Mac | str | None) -> Mac | None:
    """Convert `"02:42:ac:12:00:02"` or 6 bytes to a MAC address; `None` stays `None`."""
    if value is None or (isinstance(value, bytes) and len(value) == 6):
        return value
    if isinstance(value, str):
        return parse_mac(value)
    raise ValueError(f"invalid MAC address: {value!r}")


def to_texts(values: Iterable[str]) -> list[str]:
    """Convert an iterable of texts to a list.

    A single text raises `TypeError`, because it would become a list of its letters.
    """
    if isinstance(values, str):
        raise TypeError(f"a list is needed: [{values!r}]")
    texts = list(values)
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f"{text!r} is not a text")
    return texts


def to_text_map(values: Mapping[str, object]) -> dict[str, str]:
    """Convert the values of a mapping, such as driver options, to text.

    `True` becomes `true`, and 1400 becomes `1400`.
    """
    if not isinstance(values, Mapping):
        raise TypeError(f"a mapping is needed, such as {{'name': 'value'}}, not {values!r}")
    return {str(key): str(value).lower() if isinstance(value, bool) else str(value) for key, value in values.items()}


def address_of(address: Address | None) -> IpAddress | None:
    """Return an address as an `ipaddress` value; `None` for `None`."""
    return None if address is None else ip_address(format_ip(address))


def interface_of(assigned: tuple[Address, int] | None) -> IpInterface | None:
    """Return an address and its prefix length as an `ipaddress` value, e.g. `IPv4Interface('172.18.0.2/16')`.

    Return `None` for `None`.
    """
    return None if assigned is None else ip_interface(f"{format_ip(assigned[0])}/{assigned[1]}")

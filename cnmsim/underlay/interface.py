"""The Ethernet interfaces of a lab's hosts, and the assignment of addresses to them."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from cnmsim.kernel.address import Mac, format_ip, parse_interface
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.device import InterfaceAddress, Nic
from cnmsim.underlay.segment import Segment


class HostInterface(Nic):
    """An interface of a host, such as `eth0`, whose cable leads to a switch port.

    `ip link` shows it like one end of a veth pair, such as `eth0@if2`. `port` is the number of the switch port, 0
    without a cable.
    """

    __slots__ = ("port",)

    def __init__(self, name: str, mac: Mac, clock: Clock, mtu: int = 1500) -> None:
        super().__init__(name, mac, clock, mtu)
        self.port = 0

    @property
    def peer_index(self) -> int | None:
        """The interface index of the switch port, `None` without a cable.

        It is `port` plus 2, because the indices 1 and 2 belong to the switch's own devices.
        """
        return self.port + 2 if self.port else None

    def plug(self, link: Any) -> None:
        """Connect the interface to `link`, or disconnect it if `link` is `None`."""
        self.port = len(link.stations) if isinstance(link, Segment) else 0
        super().plug(link)


@frozen
class InterfaceSpec:
    """The addresses of one interface of a host."""

    addresses: tuple[InterfaceAddress, ...]

    @property
    def subnets(self) -> tuple[str, ...]:
        """The subnets of the interface, such as `10.0.0.0/24`, each once."""
        return tuple(dict.fromkeys(str(address.prefix) for address in self.addresses))


def read_address(text: str) -> InterfaceAddress:
    """Parse an interface address such as `10.0.0.15/24`.

    Raises `ValueError` for an address that a host cannot have, `TypeError` if it is not a string.
    """
    if not isinstance(text, str):
        raise TypeError(f"invalid interface address: {text!r}")
    if "/" not in text:
        raise ValueError(f"{text}: the prefix length is missing, as in {text}/24")
    value, length = parse_interface(text)
    address = InterfaceAddress(value, length)
    bits = len(value) * 8
    prefix = address.prefix
    if value[0] == 0xFF or (len(value) == 4 and (value[0] in {0, 127} or value[0] >= 224)):
        raise ValueError(f"{text} is not a valid host address")
    if len(value) == 16 and not any(value[:15]):  # :: and ::1
        raise ValueError(f"{text} is not a valid host address")
    if length == 0:
        raise ValueError(f"{text}: a subnet of length 0 contains every address")
    if length < bits - 1 and prefix.network == value:
        raise ValueError(f"{text} is the address of the subnet itself")
    if len(value) == 4 and length < bits - 1 and prefix.broadcast == value:
        raise ValueError(f"{text} is the broadcast address of {prefix}")
    return address


def group_addresses(texts: tuple[str, ...] | list[str]) -> list[InterfaceSpec]:
    """Distribute a host's addresses over its interfaces. Return the interfaces in order, starting with `eth0`.

    An address in a new subnet creates an interface. An address in a subnet of an existing interface is added to that
    interface. An IPv6 address is added to the interface of the preceding IPv4 address. Raises `ValueError` for an
    invalid or repeated address.
    """
    groups: list[list[InterfaceAddress]] = []
    seen: set[bytes] = set()
    for text in texts:
        address = read_address(text)
        if address.address in seen:
            raise ValueError(f"{format_ip(address.address)} is given twice")
        seen.add(address.address)
        home = next((group for group in groups if any(_share(address, other) for other in group)), None)
        if home is None and groups and address.family == 6 and not any(own.family == 6 for own in groups[-1]):
            home = groups[-1]
        if home is None:
            home = []
            groups.append(home)
        home.append(address)
    return [InterfaceSpec(tuple(group)) for group in groups]


def _share(one: InterfaceAddress, other: InterfaceAddress) -> bool:
    return one.prefix == other.prefix

"""What both flavours of `ip` show alike: the order of lines, addresses link by link."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from cnmsim.kernel.address import format_mac
from cnmsim.kernel.device import Device, InterfaceAddress
from cnmsim.userland.ip.changes import IpChanges
from cnmsim.userland.ip.selection import parse_selection, select_addresses, select_links

if TYPE_CHECKING:
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.process import Process
    from cnmsim.userland.ip.arguments import Words

_LIFETIME = "       valid_lft forever preferred_lft forever"


class IpProgram(ABC):
    """`ip` in a namespace, for both families or one (4 or 6). A flavour writes the lines of links and addresses."""

    #: How strictly words that match_keyword are read: `address` as iproute2 does, "" as busybox does.
    select_as = ""

    def __init__(self, process: Process, namespace: NetworkNamespace, family: int, *, is_oneline: bool) -> None:
        self.process = process
        self.namespace = namespace
        self.family = family
        self.is_oneline = is_oneline
        self.changes = IpChanges(process, namespace, family)

    @abstractmethod
    def head_lines(self, device: Device, *, is_alone: bool) -> list[str]:
        """Write the lines of a link whose addresses follow; `is_alone`: the only one asked for."""

    @abstractmethod
    def address_line(self, device: Device, item: InterfaceAddress) -> str:
        """Write an address, without its lifetime."""

    def hardware_line(self, device: Device) -> str:
        """Write a link's kind and hardware address."""
        kind = "loopback" if device.kind == "loopback" else "ether"
        broadcast = "00:00:00:00:00:00" if kind == "loopback" else "ff:ff:ff:ff:ff:ff"
        return f"    link/{kind} {format_mac(device.mac)} brd {broadcast}"

    def print_lines(self, *lines: str) -> None:
        """Print the lines of one object, as one line if that is asked for."""
        self.process.write(("\\" if self.is_oneline else "\n").join(lines) + "\n")

    def addresses(self, words: Words) -> None:
        """`addr show`."""
        chosen = parse_selection(words, self.family, self.select_as)
        if chosen.to is not None:
            self.family = chosen.to.family
        has_filter = bool(self.family or chosen.scope or chosen.label or chosen.flags - {"up", "down", "nomaster"})
        for device in select_links(self.namespace, chosen):
            addresses = select_addresses(device, self.family, chosen)
            if chosen.label:
                for item in addresses:
                    self.print_lines(self.address_line(device, item), _LIFETIME)
            elif addresses or not has_filter or not (self.family or device.addresses):
                self.show_addresses(device, addresses, is_alone=bool(chosen.device or chosen.rest))

    def show_addresses(self, device: Device, addresses: list[InterfaceAddress], *, is_alone: bool) -> None:
        """Print a link with its addresses."""
        if self.is_oneline:
            for item in addresses:
                self.print_lines(f"{device.index}: {device.name}{self.address_line(device, item)}", _LIFETIME)
            return
        for line in self.head_lines(device, is_alone=is_alone):
            self.print_lines(line)
        for item in addresses:
            self.print_lines(self.address_line(device, item), _LIFETIME)

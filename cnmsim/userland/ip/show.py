"""The part of `ip address show` that iproute2 and busybox have in common."""

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
    """`ip` in one namespace: the output that iproute2 and busybox have in common. `family` is 4, 6, or 0 for both."""

    #: The object to pass to `parse_selection`: `address` for iproute2, "" for busybox, which accepts all keywords.
    select_as = ""

    def __init__(self, process: Process, namespace: NetworkNamespace, family: int, *, is_oneline: bool) -> None:
        self.process = process
        self.namespace = namespace
        self.family = family
        self.is_oneline = is_oneline
        self.changes = IpChanges(process, namespace, family)

    @abstractmethod
    def head_lines(self, device: Device, *, is_alone: bool) -> list[str]:
        """Return the lines that `ip addr` prints before a link's addresses.

        `is_alone` is True if the command line names this link; otherwise `ip -6 addr` of iproute2 prints fewer
        fields.
        """

    @abstractmethod
    def address_line(self, device: Device, item: InterfaceAddress) -> str:
        """Return the line for an address, without its lifetime, which is printed on the next line."""

    def hardware_line(self, device: Device) -> str:
        """Return the line with a link's type and hardware address."""
        kind = "loopback" if device.kind == "loopback" else "ether"
        broadcast = "00:00:00:00:00:00" if kind == "loopback" else "ff:ff:ff:ff:ff:ff"
        return f"    link/{kind} {format_mac(device.mac)} brd {broadcast}"

    def print_lines(self, *lines: str) -> None:
        r"""Print the lines of one object, joined into one line by `\` if -o was given."""
        self.process.write(("\\" if self.is_oneline else "\n").join(lines) + "\n")

    def addresses(self, words: Words) -> None:
        """Run `addr show`."""
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
        """Print a link and those of its addresses that are in `addresses`.

        `is_alone` is as in `head_lines`.
        """
        if self.is_oneline:
            for item in addresses:
                self.print_lines(f"{device.index}: {device.name}{self.address_line(device, item)}", _LIFETIME)
            return
        for line in self.head_lines(device, is_alone=is_alone):
            self.print_lines(line)
        for item in addresses:
            self.print_lines(self.address_line(device, item), _LIFETIME)

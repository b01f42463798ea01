"""The arguments of `ip` and `bridge`: the words of a command line, and parsers of prefixes, addresses and numbers.

Each parser raises `IpCommandError` with iproute2's error text for an invalid argument.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from attrs import define

from cnmsim.digits import is_number
from cnmsim.kernel.address import Address, Mac, Prefix, parse_interface, parse_ip, parse_mac
from cnmsim.kernel.device import Device

if TYPE_CHECKING:
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.process import Process

_NAMESPACE_FOLDERS = ("/var/run/netns/", "/run/netns/", "/var/run/docker/netns/")


class IpCommandError(Exception):
    """The command line is invalid.

    `status` is the exit status; `is_usage` makes the program print its usage as well.
    """

    def __init__(self, message: str, status: int = 1, *, is_usage: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.is_usage = is_usage


class NoDeviceError(Exception):
    """The command line names a device that does not exist.

    `is_change` is True for a command that changes something; `ip` prints another error text for it.
    """

    def __init__(self, name: str, *, is_change: bool) -> None:
        super().__init__(name)
        self.name = name
        self.is_change = is_change


@define
class Words:
    """The words of a command line that are still to be parsed."""

    rest: list[str]

    def __bool__(self) -> bool:
        return bool(self.rest)

    @property
    def first(self) -> str:
        """The next word, or "" if none is left."""
        return self.rest[0] if self.rest else ""

    def take(self) -> str:
        """Remove the next word and return it. Raises `IpCommandError` if none is left."""
        if not self.rest:
            raise IpCommandError('Command line is not complete. Try option "help"', 255, is_usage=True)
        return self.rest.pop(0)

    def match_keyword(self, names: Iterable[str]) -> str | None:
        """Return the first of `names` that the next word equals or, failing that, abbreviates.

        Return `None` if there is none. The word is not removed.
        """
        word = self.first
        if not word:
            return None
        return next((name for name in names if name == word), None) or next(
            (name for name in names if name.startswith(word)), None
        )


def find_device(namespace: NetworkNamespace, name: str, *, is_change: bool = True) -> Device:
    """Return the device called `name`. Raises `NoDeviceError` if there is none.

    `is_change` is True if the caller's command changes something, which affects the error text.
    """
    device = namespace.devices.get(name)
    if device is None:
        raise NoDeviceError(name, is_change=is_change)
    return device


def parse_prefix_argument(text: str, family: int) -> Prefix:
    """Parse a prefix such as `10.0.0.0/8`. Raises `IpCommandError` for an invalid prefix.

    `default`, `any` and `all` mean the prefix of length 0 of the address family `family`.
    """
    if text in ("default", "any", "all", "0/0", "::/0"):
        return Prefix(bytes(16 if family == 6 or text == "::/0" else 4), 0)
    try:
        head, slash, length = text.partition("/")
        if "." in head and ":" not in head and head.count(".") < 3:
            head = ".".join([*head.split("."), "0", "0", "0"][:4])
        return Prefix.parse(head + slash + length, strict=False)
    except ValueError:
        kind = "inet6" if family == 6 else "inet"
        raise IpCommandError(
            f'any valid prefix is expected rather than "{text}".'
            if family != 4
            else f'{kind} prefix is expected rather than "{text}".'
        ) from None


def parse_ip_argument(text: str) -> Address:
    """Parse an IP address. Raises `IpCommandError` for an invalid address."""
    try:
        return parse_ip(text)
    except ValueError:
        raise IpCommandError(f'inet address is expected rather than "{text}".') from None


def parse_interface_argument(text: str) -> tuple[Address, int]:
    """Parse an address such as `10.0.0.1/24`. Return the address and its prefix length.

    Without a prefix length in `text` it is 32 for IPv4 and 128 for IPv6. Raises `IpCommandError` if the text is
    invalid.
    """
    try:
        return parse_interface(text)
    except ValueError:
        raise IpCommandError(f'any valid prefix is expected rather than "{text}".') from None


def parse_integer_argument(text: str) -> int:
    """Parse an unsigned decimal number. Raises `IpCommandError` for an invalid number."""
    if not is_number(text):
        raise IpCommandError(f'argument "{text}" is wrong: Invalid value', 255)
    return int(text)


def parse_mac_argument(text: str) -> Mac:
    """Parse a MAC address. Raises `IpCommandError` for an invalid address."""
    try:
        return parse_mac(":".join(part.rjust(2, "0") for part in text.split(":")))
    except ValueError:
        raise IpCommandError(f'"{text}" is invalid lladdr.', 255) from None


def find_namespace(process: Process, name: str) -> NetworkNamespace:
    """Return the network namespace with this path, or with this name in the folders of `ip netns` and Docker.

    `1` and the machine's name stand for the machine's own namespace. Raises `IpCommandError` if there is no such
    namespace.
    """
    known = process.machine.namespaces
    if name in ("1", str(process.machine.name)):
        return process.machine.root
    for path in (name, *(folder + name for folder in _NAMESPACE_FOLDERS)):
        if path in known:
            return known[path]
    raise IpCommandError(
        f'Invalid "netns" value "{name}"'
        if "/" in name
        else f'Cannot open network namespace "{name}": No such file or directory',
        255,
    )


def wrong_argument(text: str, reason: str) -> IpCommandError:
    """Return iproute2's error for an invalid argument (`invarg`): `Error: argument "TEXT" is wrong: REASON`."""
    return IpCommandError(f'Error: argument "{text}" is wrong: {reason}', 255)

"""The hostname command: busybox's version for containers, Debian's for hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.kernel.address import Address, format_ip, is_link_local, is_loopback
from cnmsim.userland.busybox.applet import complain, read_options
from cnmsim.userland.libc.getopt import Options, getopt
from cnmsim.userland.libc.resolver import ResolveError, Resolver

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process


_USAGE = """[-sidf] [HOSTNAME | -F FILE]

Show or set hostname or DNS domain name

\t-s\tShort
\t-i\tAddresses for the hostname
\t-d\tDNS domain name
\t-f\tFully qualified domain name
\t-F FILE\tUse FILE's content as hostname"""


async def busybox(process: Process) -> int:
    """Run busybox `hostname [-sidf] [HOSTNAME | -F FILE]`. With -i, -d and -f the resolver is queried."""
    options = read_options(process, "sfidF:", _USAGE)
    resolver = Resolver(process)
    try:
        if "i" in options and not {"d", "f", "s"} & options.values.keys():
            return _print_addresses(process, (await resolver.host_entry(process.hostname))[1])
        if "d" in options or "f" in options:
            return _print_long(process, options, (await resolver.host_entry(process.hostname))[0])
    except ResolveError as error:
        reason = "Host name lookup failure" if error.is_temporary else "Unknown host"
        return complain(process, f"{process.hostname}: {reason}")
    return _show(process, options, "sethostname: Operation not permitted")


async def debian(process: Process) -> int:
    """Run Debian's `hostname [-sfdiIA] [HOSTNAME | -F FILE]`."""
    long = {
        "short": "s", "fqdn": "f", "long": "f", "domain": "d", "ip-address": "i", "all-ip-addresses": "I",
        "file=": "F",
    }  # fmt: skip
    options = getopt(process.argv[1:], "sfdiIAF:", {**long, "all-fqdns": "A"})
    resolver = Resolver(process)
    try:
        if "I" in options:
            process.write("".join(f"{format_ip(address)} " for address in _own_addresses(process)) + "\n")
            return 0
        if "A" in options:
            names = [await resolver.reverse_lookup(address) for address in _own_addresses(process)]
            process.write("".join(f"{name} " for name in names if name) + "\n")
            return 0
        if "i" in options:
            return _print_addresses(process, await resolver.addresses(process.hostname))
        if "d" in options or "f" in options:
            return _print_long(process, options, (await resolver.host_entry(process.hostname))[0])
    except ResolveError as error:
        return complain(process, str(error))
    return _show(process, options, "you must be root to change the host name")


def _own_addresses(process: Process) -> list[Address]:
    return [
        item.address
        for device in process.namespace.devices.values()
        for item in device.addresses
        if not is_loopback(item.address) and not is_link_local(item.address)
    ]


def _print_addresses(process: Process, addresses: list[Address]) -> int:
    process.write(" ".join(map(format_ip, addresses)) + "\n")
    return 0


def _print_long(process: Process, options: Options, name: str) -> int:
    domain = name.partition(".")[2]
    if "f" in options or domain:
        process.write(f"{name if 'f' in options else domain}\n")
    return 0


def _show(process: Process, options: Options, refusal: str) -> int:
    if "F" in options or options.operands:
        # Host names are set by the lab. A real container may not change its host name, either.
        return complain(process, refusal)
    process.write(f"{process.hostname.partition('.')[0] if 's' in options else process.hostname}\n")
    return 0

"""getent for the databases `hosts`, `ahosts`, `ahostsv4`, `ahostsv6`, `passwd`, `group` and `shadow`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.digits import is_number
from cnmsim.kernel.address import format_ip, parse_ip
from cnmsim.userland.libc.resolver import ResolveError, Resolver

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process


async def main(process: Process) -> int:
    """Run `getent DATABASE NAME…`. Return exit status 2 if a name is not found."""
    words = process.argv[1:]
    if not words:
        process.error(
            "getent: wrong number of arguments\nTry `getent --help' or `getent --usage' for more information.\n"
        )
        return 1
    database, names = words[0], words[1:]
    if database in ("passwd", "group", "shadow"):
        return _entries(process, database, names)
    if database not in ("hosts", "ahosts", "ahostsv4", "ahostsv6"):
        process.error(f"Unknown database: {database}\n")
        return 1
    resolver = Resolver(process)
    status = 0
    for name in names:
        try:
            addresses = await resolver.addresses(name, {"ahostsv4": 4, "ahostsv6": 6}.get(database, 0))
        except ResolveError:
            status = 2
            continue
        if database == "hosts":
            shown = name
            try:
                canonical_name = await resolver.reverse_lookup(parse_ip(name))
            except ValueError:
                # `hosts` prints only one address family: IPv6 if there are IPv6 addresses, else IPv4.
                addresses = [address for address in addresses if len(address) == 16] or addresses
            else:
                if canonical_name is None:
                    status = 2
                    continue
                shown = canonical_name
            process.write("".join(f"{format_ip(address):<15} {shown}\n" for address in addresses))
            continue
        for number, address in enumerate(addresses):
            for kind in ("STREAM", "DGRAM", "RAW"):
                tail = f" {name}" if not number and kind == "STREAM" else ""
                process.write(f"{format_ip(address):<15} {kind:<6}{tail}\n")
    return status


def _entries(process: Process, database: str, names: list[str]) -> int:
    """Print the lines of /etc/passwd, /etc/group or /etc/shadow for `names`, or all lines if `names` is empty.

    An item of `names` may also be a user or group id. Return exit status 2 if one is not found, else 0.
    """
    path = f"/etc/{database}"
    text = process.files.read(path).decode(errors="replace") if process.files.exists(path) else ""
    lines = [line for line in text.splitlines() if line]
    if not names:
        process.write("".join(f"{line}\n" for line in lines))
        return 0
    status = 0
    for name in names:
        field = 2 if is_number(name) and database != "shadow" else 0
        line = next((line for line in lines if line.split(":")[field : field + 1] == [name]), None)
        if line is None:
            status = 2
        else:
            process.write(f"{line}\n")
    return status

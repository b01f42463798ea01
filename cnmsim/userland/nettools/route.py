"""route of busybox and of net-tools: prints the IPv4 routing table, and adds and deletes routes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.kernel.address import Prefix, format_ip, from_int
from cnmsim.kernel.errno_text import strerror
from cnmsim.userland.busybox.applet import complain, show_usage
from cnmsim.userland.ip.arguments import IpCommandError, NoDeviceError, Words
from cnmsim.userland.ip.changes import IpChanges

if TYPE_CHECKING:
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.process import Process

_SYNOPSIS = "[{add|del|delete}]"


def netmask(prefix: Prefix) -> str:
    """Return the netmask of an IPv4 prefix, e.g. `255.255.0.0`."""
    bits = 32
    return format_ip(from_int((0xFFFFFFFF << (bits - prefix.length)) & 0xFFFFFFFF, 4))


def routing_table(
    namespace: NetworkNamespace, *, is_numeric: bool, shows_metric: bool, is_nettools: bool = False
) -> str:
    """Return the IPv4 routing table with its two lines of heading.

    `is_numeric` prints `0.0.0.0` instead of `default` and `*`. `shows_metric` prints the columns Metric, Ref and Use,
    as `route` and `netstat -re` do, instead of MSS, Window and irtt. `is_nettools` prints the format of net-tools
    instead of busybox's.
    """
    columns = "Flags Metric Ref    Use" if shows_metric else "Flags   MSS Window  irtt"
    lines = ["Kernel IP routing table\n", f"Destination     Gateway         Genmask         {columns} Iface\n"]
    for route in namespace.routes4.routes:
        is_default = not route.prefix.length
        target = format_ip(route.prefix.network) if is_numeric or not is_default else "default"
        gateway = format_ip(route.gateway) if route.gateway is not None else "0.0.0.0" if is_numeric else "*"  # noqa: S104
        is_refused = route.kind not in ("unicast", "blackhole")
        flags = "!" if is_refused else "U"
        flags += ("G" if route.gateway is not None else "") + ("H" if route.prefix.length == 32 else "")
        name = route.device.name if route.device is not None else "*"
        shows_dashes = is_nettools and is_refused
        if shows_dashes:
            gateway, name = "-", "-"
        start = f"{target:<15} {gateway:<15} {netmask(route.prefix):<15} "
        nothing = "-" if shows_dashes else "0"
        if shows_metric:
            lines.append(f"{start}{flags:<5} {route.metric:<6} {nothing:<2} {0:>7} {name}\n")
        else:
            lines.append(f"{start}{flags:<6}{nothing:>5} {nothing:<5} {nothing:>6} {name}\n")
    return "".join(lines)


async def main(process: Process) -> int:
    """Run `route [-n]` or `route add|del [-net|-host] TARGET [netmask M] [gw G] [metric N] [dev D]`."""
    arguments = process.argv[1:]
    options = [argument for argument in arguments if argument.startswith("-") and argument not in ("-net", "-host")]
    words = [argument for argument in arguments if argument not in options]
    if not words:
        if any(option not in ("-n", "-e", "-ne", "-en", "-4") for option in options):
            return show_usage(process, _SYNOPSIS)
        letters = "".join(options)
        process.write(routing_table(process.namespace, is_numeric="n" in letters, shows_metric="e" not in letters))
        return 0
    if words[0] not in ("add", "del", "delete") or len(words) < 2:
        return show_usage(process, _SYNOPSIS)
    try:
        changes = IpChanges(process, process.namespace, 4)
        route_words = Words(_translate(words[1:]))
        (changes.route_add if words[0] == "add" else changes.route_delete)(route_words)
    except (IpCommandError, ValueError) as error:
        return complain(process, str(error))
    except NoDeviceError:
        return complain(process, "SIOCADDRT: No such device")
    except OSError as error:
        return complain(process, f"{'SIOCADDRT' if words[0] == 'add' else 'SIOCDELRT'}: {strerror(error)}")
    return 0


def _translate(words: list[str]) -> list[str]:
    """Translate the arguments of `route add` or `route del` to those of `ip route add`, e.g. `gw` to `via`."""
    is_host = "-host" in words
    rest = [word for word in words if word not in ("-net", "-host")]
    target, rest = rest[0], rest[1:]
    arguments: list[str] = []
    while rest:
        word = rest.pop(0)
        if word in ("gw", "netmask", "metric", "dev") and rest:
            value = rest.pop(0)
            if word == "netmask":
                target = f"{target}/{int.from_bytes(bytes(map(int, value.split('.')))).bit_count()}"
            else:
                arguments += [{"gw": "via"}.get(word, word), value]
        else:
            arguments += ["dev", word]
    return [f"{target}/32" if is_host and "/" not in target else target, *arguments]

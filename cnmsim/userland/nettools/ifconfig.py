"""busybox ifconfig: shows devices and their counters; sets addresses, netmask, hardware address, MTU, up and down."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from cnmsim.kernel.address import format_ip, format_mac, parse_ip, parse_mac
from cnmsim.kernel.errno_text import strerror
from cnmsim.userland.busybox.applet import complain, show_usage
from cnmsim.userland.nettools.route import netmask

if TYPE_CHECKING:
    from cnmsim.kernel.device import Device
    from cnmsim.kernel.process import Process

_SCOPES = {"host": "Host", "link": "Link", "global": "Global"}


async def main(process: Process) -> int:
    """Run `ifconfig [-a] [DEVICE [ADDRESS[/LENGTH]] [netmask M] [mtu N] [up|down]]`."""
    arguments = [argument for argument in process.argv[1:] if argument != "-a"]
    devices = process.namespace.devices
    if not arguments:
        shows_all = "-a" in process.argv
        for name in sorted(devices):
            if devices[name].is_up or shows_all:
                process.write(_text(devices[name]))
        return 0
    name, *words = arguments
    if name.startswith("-"):
        return show_usage(process, "[-a] [IFACE] [ADDRESS]", f"invalid option -- '{name[1:2]}'")
    device = devices.get(name)
    if device is None:
        return complain(
            process,
            f"{name}: error fetching interface information: Device not found"
            if not words
            else "SIOCGIFFLAGS: No such device",
        )
    if not words:
        process.write(_text(device))
        return 0
    try:
        process.credentials.require("NET_ADMIN")
        return _configure(process, device, words)
    except OSError as error:
        ioctl = {"up": "SIOCSIFFLAGS", "down": "SIOCSIFFLAGS", "mtu": "SIOCSIFMTU"}.get(words[0], "SIOCSIFADDR")
        return complain(process, f"{ioctl}: {strerror(error)}")
    except (ValueError, IndexError):
        return complain(process, f"bad address '{words[0]}'")


def _configure(process: Process, device: Device, words: list[str]) -> int:
    address, length = "", ""
    rest = list(words)
    goes_up: bool | None = None
    while rest:
        word = rest.pop(0)
        if word in ("up", "down"):
            goes_up = word == "up"
        elif word == "mtu":
            device.set_mtu(int(rest.pop(0)))
        elif word == "netmask":
            length = str(int.from_bytes(parse_ip(rest.pop(0))).bit_count())
        elif word == "hw" and rest[:1] == ["ether"]:
            device.set_mac(parse_mac(rest[1]))
            rest = rest[2:]
        elif word in ("broadcast", "hw", "metric", "pointopoint", "txqueuelen"):
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        else:
            address, _, prefix_length = word.partition("/")
            length = prefix_length or length
    if address:
        parse_ip(address)
        for item in [item for item in device.addresses if item.family == 4]:
            process.namespace.remove_address(device, str(item))
        process.namespace.add_address(device, f"{address}/{length or 24}")
        goes_up = True if goes_up is None else goes_up
    if goes_up is not None:
        (device.set_up if goes_up else device.set_down)()
    return 0


def _size_text(count: int) -> str:
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def _text(device: Device) -> str:
    is_loopback = device.kind == "loopback"
    kind = "Local Loopback  " if is_loopback else f"Ethernet  HWaddr {format_mac(device.mac).upper()}  "
    lines = [f"{device.name:<10}Link encap:{kind}"]
    for item in device.addresses:
        if item.family == 4:
            broadcast = "" if is_loopback else f"Bcast:{format_ip(item.broadcast) if item.broadcast else '0.0.0.0'}  "  # noqa: S104
            lines.append(f"          inet addr:{format_ip(item.address)}  {broadcast}Mask:{netmask(item.prefix)}")
            break
    lines += [
        f"          inet6 addr: {item} Scope:{_SCOPES.get(item.scope, item.scope)}"
        for item in device.addresses
        if item.family == 6
    ]
    flags = ["UP"] if device.is_up else []
    flags += ["LOOPBACK"] if is_loopback else ["BROADCAST"]
    flags += ["RUNNING"] if device.has_carrier else []
    flags += [] if is_loopback else ["MULTICAST"]
    lines += [
        f"          {' '.join(flags)}  MTU:{device.mtu}  Metric:1",
        f"          RX packets:{device.rx_packets} errors:0 dropped:{device.rx_dropped} overruns:0 frame:0",
        f"          TX packets:{device.tx_packets} errors:0 dropped:{device.tx_dropped} overruns:0 carrier:0",
        f"          collisions:0 txqueuelen:{device.txqueuelen} ",
        (
            f"          RX bytes:{device.rx_bytes} ({_size_text(device.rx_bytes)})  TX bytes:{device.tx_bytes} "
            f"({_size_text(device.tx_bytes)})"
        ),
    ]
    return "\n".join(lines) + "\n\n"

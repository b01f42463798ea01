"""arp: shows and changes the IPv4 neighbour table, in the formats of busybox and of net-tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.kernel.address import format_ip, format_mac, parse_ip, parse_mac
from cnmsim.kernel.errno_text import strerror
from cnmsim.userland.busybox.applet import complain, read_options
from cnmsim.userland.libc.getopt import Options, UsageError, getopt

if TYPE_CHECKING:
    from cnmsim.kernel.neighbour import Neighbour
    from cnmsim.kernel.process import Process

_SYNOPSIS = "[-vn]\t[-H HWTYPE] [-i IF] -a [HOSTNAME]"


def _entries(process: Process, options: Options) -> list[Neighbour]:
    host = options.operands[0] if options.operands else options.get("host")
    device = options.get("i")
    return [
        entry
        for entry in process.namespace.neighbours.entries()
        if len(entry.address) == 4
        and (not host or format_ip(entry.address) == host)
        and (not device or entry.device.name == device)
    ]


def _mac_text(entry: Neighbour) -> str:
    return f"{format_mac(entry.mac)} [ether]" if entry.mac is not None else "<incomplete>"


def _change(process: Process, options: Options) -> int:
    name = options.get("i")
    try:
        address = parse_ip(options.operands[0])
        device = process.namespace.devices[name] if name else process.namespace.route_output(address).outdev
        process.credentials.require("NET_ADMIN")
        if "d" in options:
            process.namespace.neighbours.remove(device, address)
        else:
            process.namespace.neighbours.set_permanent(device, address, parse_mac(options.operands[1]))
    except (ValueError, IndexError):
        return complain(process, "need hardware address" if "s" in options else "need host name")
    except KeyError:
        return complain(process, f"{name}: No such device")
    except OSError as error:
        return complain(process, f"SIOCDARP(dontpub): {strerror(error)}" if "d" in options else strerror(error))
    return 0


async def busybox(process: Process) -> int:
    """Run busybox `arp [-an] [-i IF] [-d|-s] [HOST [MAC]]`."""
    options = read_options(process, "andsvH:A:i:", _SYNOPSIS)
    if {"d", "s"} & set(options.values):
        return _change(process, options)
    for entry in _entries(process, options):
        mark = " PERM" if entry.state.value == "PERMANENT" else ""
        process.write(f"? ({format_ip(entry.address)}) at {_mac_text(entry)} {mark} on {entry.device.name}\n")
    return 0


async def nettools(process: Process) -> int:
    """Run net-tools `arp [-an] [-i IF] [-d|-s] [HOST [MAC]]`."""
    try:
        options = getopt(process.argv[1:], "andsveH:i:")
    except UsageError as error:
        process.error(
            f"arp: {error}\nUsage:\n  arp [-vn]  [<HW>] [-i <if>] [-a] [<hostname>]             <-Display ARP cache\n"
        )
        return 255
    if {"d", "s"} & set(options.values):
        return _change(process, options)
    entries = _entries(process, options)
    if "a" in options:
        for entry in entries:
            process.write(f"? ({format_ip(entry.address)}) at {_mac_text(entry)} on {entry.device.name}\n")
        return 0
    if options.operands and not entries:
        process.write(f"{options.operands[0]} ({options.operands[0]}) -- no entry\n")
        return 1
    if entries:
        process.write("Address                  HWtype  HWaddress           Flags Mask            Iface\n")
    for entry in entries:
        address = format_ip(entry.address)
        if entry.mac is None:
            process.write(f"{address:<24} {'':<7} {'(incomplete)':<19} {'':<5} {'':<15} {entry.device.name}\n")
            continue
        flags = "CM" if entry.state.value == "PERMANENT" else "C"
        process.write(f"{address:<24} ether   {format_mac(entry.mac):<19} {flags:<5} {'':<15} {entry.device.name}\n")
    return 0

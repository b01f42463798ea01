"""netstat of busybox and of net-tools: sockets (-t, -u, -l, -a, -n, -p), devices (-i) and the routing table (-r)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.kernel.address import Address, format_ip
from cnmsim.userland.busybox.applet import read_options
from cnmsim.userland.busybox.system import user_names
from cnmsim.userland.libc.getopt import Options, UsageError, getopt
from cnmsim.userland.nettools.route import routing_table

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process
    from cnmsim.kernel.sockets.table import SocketInfo

_STATES = {
    "ESTAB": "ESTABLISHED", "SYN-SENT": "SYN_SENT", "SYN-RECV": "SYN_RECV", "FIN-WAIT-1": "FIN_WAIT1",
    "FIN-WAIT-2": "FIN_WAIT2", "TIME-WAIT": "TIME_WAIT", "CLOSE-WAIT": "CLOSE_WAIT", "LAST-ACK": "LAST_ACK",
    "LISTEN": "LISTEN", "CLOSING": "CLOSING", "UNCONN": "", "CLOSED": "CLOSE",
}  # fmt: skip


def _text(address: Address | None, port: int, family: int) -> str:
    number = str(port) if port else "*"
    if address is None or not any(address):
        return f"{'::' if family == 6 else '0.0.0.0'}:{number}"  # noqa: S104
    if family == 6 and len(address) == 4:
        return f"::ffff:{format_ip(address)}:{number}"
    return f"{format_ip(address)}:{number}"


async def main(process: Process) -> int:
    """Run busybox `netstat [-ral] [-tuwx] [-enW]`."""
    options = read_options(process, "laentuwxrW", "[-ral] [-tuwx] [-en]")
    return _show(process, options, is_nettools=False)


async def nettools(process: Process) -> int:
    """Run net-tools `netstat [-tulanpr]`."""
    long = {
        "tcp": "t", "udp": "u", "listening": "l", "all": "a", "numeric": "n", "program": "p", "route": "r",
        "extend": "e", "interfaces": "i", "programs": "p", "raw": "w", "unix": "x", "wide": "W",
    }  # fmt: skip
    try:
        options = getopt(process.argv[1:], "tulanpwxrW46ei", long)
    except UsageError as error:
        process.error(
            f"netstat: {error}\nusage: netstat [-vWeenNcCF] [<Af>] -r         netstat {{-V|--version|-h|--help}}\n"
        )
        return 4
    return _show(process, options, is_nettools=True)


_INTERFACES = "Iface             MTU    RX-OK RX-ERR RX-DRP RX-OVR    TX-OK TX-ERR TX-DRP TX-OVR Flg\n"


def _interfaces(process: Process, *, shows_all: bool) -> int:
    """Print net-tools' table of devices: those that are up, or all with `shows_all` (-a). Return the exit status."""
    process.write(f"Kernel Interface table\n{_INTERFACES}")
    for name, device in sorted(process.namespace.devices.items()):
        if not (device.is_up or shows_all):
            continue
        is_loopback = device.kind == "loopback"
        flags = "L" if is_loopback else "BM"
        flags += ("O" if device.no_arp else "") + ("P" if device.is_promiscuous else "")
        flags += ("R" if device.is_up and device.has_carrier else "") + ("U" if device.is_up else "")
        process.write(
            f"{name:<16}{device.mtu:>5} {device.rx_packets:>8} {0:>6} {device.rx_dropped:>6} {0:<6} "
            f"{device.tx_packets:>8} {0:>6} {device.tx_dropped:>6} {0:>6} {flags}\n"
        )
    return 0


def _show(process: Process, options: Options, *, is_nettools: bool) -> int:
    if "i" in options:
        if "e" in options:
            process.error("netstat: -i with -e is not supported\n")
            return 4
        return _interfaces(process, shows_all="a" in options)
    if "r" in options:
        process.write(
            routing_table(
                process.namespace,
                is_numeric="n" in options,
                shows_metric="e" in options,
                is_nettools=is_nettools,
            )
        )
        return 0
    kind = "servers and established" if "a" in options else "only servers" if "l" in options else "w/o servers"
    if "x" in options and not {"t", "u", "w"} & set(options.values):
        process.write(f"Active UNIX domain sockets ({kind})\n")
        process.write("Proto RefCnt Flags       Type       State         I-Node   Path\n")
        return 0
    process.write(f"Active Internet connections ({kind})\n")
    width = 11 if is_nettools else 12
    heading = "Proto Recv-Q Send-Q Local Address           Foreign Address         " + "State".ljust(width)
    heading += " User       Inode     " if is_nettools and "e" in options else ""
    process.write(heading + (f"{' ' if is_nettools else ''}PID/Program name    " if "p" in options else "") + "\n")
    table = process.namespace.sockets
    chosen: list[SocketInfo] = table.listeners() if {"l", "a"} & set(options.values) else []
    chosen = chosen + (table.connections() if "l" not in options else [])
    both = not {"t", "u", "w", "x"} & set(options.values)
    families = (4, 6) if not {"4", "6"} & set(options.values) else tuple(n for n in (4, 6) if str(n) in options)
    for protocol, letter in (("tcp", "t"), ("udp", "u")):
        if not both and letter not in options:
            continue
        for family in families:
            for info in chosen:
                if info.protocol == protocol and info.family == family:
                    process.write(
                        _line(
                            info,
                            width,
                            is_nettools=is_nettools,
                            has_owner="p" in options,
                            user=_user(process, info, options) if is_nettools else "",
                        )
                    )
    return 0


def _line(info: SocketInfo, width: int, *, is_nettools: bool, has_owner: bool, user: str) -> str:
    name = f"{info.protocol}6" if is_nettools and info.family == 6 else info.protocol
    send = 0 if info.state == "LISTEN" else info.send_queue
    local = _text(info.local, info.local_port, info.family)
    remote = _text(info.remote, info.remote_port, info.family)
    owner = (f"{info.pid}/{info.program}" if info.pid else "-").ljust(20) if has_owner else ""
    state = _STATES.get(info.state, info.state).ljust(width)
    # Simulated sockets have no inodes, so the column shows 0, as /proc/net/tcp does.
    extended = f" {user:<10} {0:<10}" if user else ""
    return (
        f"{name:<5} {info.recv_queue:>6} {send:>6} {local:<23} {remote:<23} "
        f"{state}{extended}{' ' if is_nettools and has_owner else ''}{owner}\n"
    )


def _user(process: Process, info: SocketInfo, options: Options) -> str:
    """Return the owner column of a socket: the user name with -e, the user id with -e and -n, and "" without -e."""
    if "e" not in options:
        return ""
    owner = process.machine.processes.get(info.pid)
    uid = owner.credentials.uid if owner is not None else 0
    if "n" in options:
        return str(uid)
    return user_names(process).get(uid, "root" if not uid else str(uid))

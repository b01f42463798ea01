"""iproute2 `ss`: TCP and UDP sockets of the namespace, numeric; columns as wide as what stands in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.kernel.address import Address, format_ip
from cnmsim.userland.options import UsageError, getopt

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process
    from cnmsim.kernel.sockets.table import SocketInfo


def address_text(address: Address | None, port: int, family: int, *, is_dual: bool) -> tuple[str, str]:
    """Give address and port as ss writes them: `*` for a wildcard of both families."""
    number = str(port) if port else "*"
    if address is None or not any(address):
        return ("*" if is_dual else "[::]" if family == 6 else "0.0.0.0"), number  # noqa: S104
    if family == 6:
        text = format_ip(address if len(address) == 16 else bytes(10) + b"\xff\xff" + address)
        return f"[{text}]", number
    return format_ip(address), number


async def main(process: Process) -> int:
    """Run `ss [-tuanlpH46s]`."""
    long = {
        "tcp": "t", "udp": "u", "all": "a", "numeric": "n", "listening": "l", "processes": "p", "no-header": "H",
        "ipv4": "4", "ipv6": "6", "summary": "s",
    }  # fmt: skip
    try:
        options = getopt(process.argv[1:], "tuanlpH46seimoxwrEOf:", long)
    except UsageError as error:
        process.error(f"ss: {error}\nUsage: ss [ OPTIONS ]\n       ss [ OPTIONS ] [ FILTER ]\n")
        return 255
    table = process.namespace.sockets
    listeners, connections = table.listeners(), table.connections()
    if "s" in options:
        established = sum(info.protocol == "tcp" and info.state == "ESTAB" for info in connections)
        process.write(
            f"Total: {len(listeners) + len(connections)}\nTCP:   {len(connections)} (estab {established})\n"
        )
        return 0
    protocols = [name for name, letter in (("udp", "u"), ("tcp", "t")) if letter in options] or ["udp", "tcp"]
    chosen = listeners if "l" in options else connections + (listeners if "a" in options else [])
    if "l" not in options and "a" in options:
        chosen = listeners + connections
    if "a" not in options and "l" not in options:
        chosen = [info for info in chosen if info.state != "TIME-WAIT"]
    families = {letter for letter in "46" if letter in options}
    rows: list[list[str]] = []
    for name in protocols:
        for info in chosen:
            if info.protocol != name or (families and str(info.family) not in families):
                continue
            rows.append(_row(info, has_process="p" in options))
    has_kind = len(protocols) > 1
    process.write(_layout(rows, has_kind=has_kind, has_process="p" in options, has_header="H" not in options))
    return 0


def _row(info: SocketInfo, *, has_process: bool) -> list[str]:
    local = address_text(info.local, info.local_port, info.family, is_dual=info.is_dual)
    remote = address_text(info.remote, info.remote_port, info.family, is_dual=info.is_dual)
    owner = f'users:(("{info.program}",pid={info.pid},fd=3))' if has_process and info.pid else ""
    return [info.protocol, info.state, str(info.recv_queue), str(info.send_queue), *local, *remote, owner]


def _layout(rows: list[list[str]], *, has_kind: bool, has_process: bool, has_header: bool) -> str:
    header = ["Netid", "State", "Recv-Q", "Send-Q", "Local Address", "Port", "Peer Address", "Port", "Process"]
    lines = ([header] if has_header else []) + rows
    widths = [max((len(line[column]) for line in lines), default=0) for column in range(9)]
    text = ""
    for line in lines:
        kind, state, recv, send, local, local_port, remote, remote_port, owner = (
            cell.ljust(width) for cell, width in zip(line, widths, strict=True)
        )
        local, remote = line[4].rjust(widths[4]), line[6].rjust(widths[6])
        shown = [kind] if has_kind else []
        shown += [state, recv, send, f"{local}:{local_port}", f"{remote}:{remote_port}"]
        text += (
            " ".join(shown) + (owner if has_process and line is header else f" {owner}" if has_process else "") + "\n"
        )
    return text

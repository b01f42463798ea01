"""ipvsadm: lists the virtual services of a namespace, in either form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.userland.options import UsageError, getopt

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process


async def main(process: Process) -> int:
    """Run `ipvsadm -Ln` or `ipvsadm -Sn`."""
    try:
        options = getopt(
            process.argv[1:], "LlSnc", {"list": "L", "save": "S", "numeric": "n", "stats": "stats", "rate": "rate"}
        )
    except UsageError as error:
        process.error(f"ipvsadm: {error}\n")
        return 1
    table = getattr(process.namespace, "ipvs", None)
    if "S" in options:
        process.write("" if table is None else table.save())
        return 0
    process.write(
        "IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port Scheduler Flags\n  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n"
    )
    process.write("" if table is None else table.listing())
    return 0

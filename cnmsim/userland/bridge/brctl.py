"""The brctl command of bridge-utils. Only `brctl show` is simulated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.kernel.bridge import Bridge

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process


async def brctl(process: Process) -> int:
    """Run `brctl show [BRIDGE]`."""
    words = process.argv[1:]
    if not words or words[0] not in ("show", "showmacs", "addbr", "delbr", "addif", "delif"):
        process.error("Usage: brctl [commands]\n")
        return 1
    if words[0] != "show":
        process.error(f"brctl: {words[0]}: use ip link and bridge\n")
        return 1
    process.write("bridge name\tbridge id\t\tSTP enabled\tinterfaces\n")
    for device in process.namespace.devices.values():
        if not isinstance(device, Bridge) or (len(words) > 1 and device.name not in words[1:]):
            continue
        ports = [port.name for port in device.ports] or [""]
        process.write(f"{device.name}\t\t8000.{device.mac.hex()}\tno\t\t{ports[0]}\n")
        process.write("".join(f"\t\t\t\t\t\t\t{port}\n" for port in ports[1:]))
    return 0

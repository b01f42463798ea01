"""iproute2's `bridge` command: its options and objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.userland.bridge.fdb import show_or_change
from cnmsim.userland.bridge.link import show_or_set
from cnmsim.userland.ip.arguments import IpCommandError, NoDeviceError, Words

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process

_OBJECTS = ("link", "fdb", "vlan", "mdb")
#: Options that are refused because their output (`json`, `human`, `pretty`) is not implemented.
_OPTIONS = ("details", "statistics", "stats", "oneline", "timestamp", "color", "compressvlans", "Version")


async def main(process: Process) -> int:
    """Run `bridge link [show] [dev DEV]`, `bridge fdb [show] [br BRIDGE] [dev DEV]`, `bridge fdb add|del …`."""
    words = Words(process.argv[1:])
    options: set[str] = set()
    while words.first.startswith("-"):
        word = words.take()
        option = word.lstrip("-")
        known = next((name for name in _OPTIONS if option and name.startswith(option)), None)
        if known is None:
            process.error(f'Option "{word}" is unknown, try "bridge help".\n')
            return 255
        options.add(known)
    if "Version" in options:
        process.write("bridge utility, 6.15.0\n")
        return 0
    name = words.match_keyword(_OBJECTS)
    if name is None:
        if words:
            process.error(f'Object "{words.first}" is unknown, try "bridge help".\n')
        else:
            process.error("Usage: bridge [ OPTIONS ] OBJECT { COMMAND | help }\n")
        return 255
    words.take()
    try:
        if name == "link":
            return show_or_set(process, words, has_details="details" in options)
        if name == "fdb":
            return show_or_change(process, words, options)
    except NoDeviceError as error:
        process.error(f'Cannot find device "{error.name}"\n')
        return 255 if not error.is_change else 1
    except IpCommandError as error:
        process.error(f"{error}\n")
        return error.status
    verb = words.take() if words else "show"
    if verb not in ("show", "list", "lst"):
        process.error("RTNETLINK answers: Operation not supported\n")
        return 255
    if name == "vlan":
        process.write("port              vlan-id  \n")
    return 0

"""`ip link add … type dummy|vlan|macvlan|ipvlan`, and `ip link set … type …` for them."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

from cnmsim.digits import is_number
from cnmsim.kernel.device import Device
from cnmsim.kernel.dummy import Dummy
from cnmsim.kernel.ipvlan import Ipvlan, IpvlanFlag, IpvlanMode
from cnmsim.kernel.macvlan import Macvlan, MacvlanMode
from cnmsim.kernel.upper_devices import UpperDevice
from cnmsim.kernel.vlan import Vlan
from cnmsim.userland.ip.arguments import IpCommandError, wrong_argument

if TYPE_CHECKING:
    from cnmsim.userland.ip.arguments import Words
    from cnmsim.userland.ip.link_request import LinkRequest

_LARGEST_TAG = 65535
_IPVLAN_USAGE = (
    "Usage: ... ipvlan [ mode MODE ] [ FLAGS ]\n\nMODE: l3 | l3s | l2\nFLAGS: bridge | private | vepa\n"
    "(first values are the defaults if nothing is specified)."
)


def _place(request: LinkRequest, device: UpperDevice) -> Device:
    try:
        request.namespace.add_device(device)
    except OSError:
        device.detach()
        raise
    return device


def _lower(request: LinkRequest) -> Device:
    if request.lower is None:
        raise OSError(22, "Invalid argument")
    return request.lower


def _require_free(request: LinkRequest, name: str) -> None:
    if name in request.namespace.devices:
        raise FileExistsError(17, "File exists")


def dummy(request: LinkRequest) -> Device:
    """Create a device of `type dummy`."""
    device = Dummy(request.name_or("dummy"), request.mac, request.process.clock)
    request.namespace.add_device(device)
    return device


def vlan(request: LinkRequest) -> Device:
    """Create a device of `type vlan id N`. Raises `IpCommandError` if the request is invalid or refused."""
    vid: int | None = None
    while request.words:
        word = request.words.take()
        if word == "id":
            text = request.words.take()
            if not is_number(text) or int(text) > _LARGEST_TAG:
                raise wrong_argument(text, "id is invalid")
            vid = int(text)
        elif word in ("protocol", "proto", "reorder_hdr", "gvrp", "mvrp", "loose_binding", "bridge_binding"):
            request.words.take()
        else:
            raise IpCommandError(f'vlan: unknown command "{word}"?', 255)
    if request.lower is None:
        raise IpCommandError("Error: 8021q: link not specified.", 2)
    if vid is None:
        raise IpCommandError("Error: 8021q: VLAN properties not specified.", 2)
    name = request.name_or(f"{request.lower.name}.")
    _require_free(request, name)
    try:
        device = Vlan(name, request.lower, vid, request.mac if request.has_mac else None)
    except FileExistsError:
        raise IpCommandError("Error: 8021q: VLAN device already exists.", 2) from None
    except OSError as error:
        is_id = error.errno == errno.ERANGE
        text = "Invalid VLAN id" if is_id else "VLANs not supported on device"
        raise IpCommandError(f"Error: 8021q: {text}.", 2) from None
    return _place(request, device)


def macvlan(request: LinkRequest) -> Device:
    """Create a device of `type macvlan [mode private|vepa|bridge|passthru]`.

    Raises `IpCommandError` for an invalid request, `OSError` if the kernel refuses.
    """
    mode = MacvlanMode.VEPA
    while request.words:
        word = request.words.take()
        if word == "mode":
            mode = _macvlan_mode(request.words.take())
        elif word == "bcqueuelen":
            request.words.take()
        elif word != "nopromisc":
            raise IpCommandError(f'macvlan: unknown option "{word}"?', 255)
    lower = _lower(request)
    name = request.name_or("macvlan")
    _require_free(request, name)
    return _place(request, Macvlan(name, request.mac, lower, mode))


def _macvlan_mode(text: str) -> MacvlanMode:
    if text == "source":  # source mode is not modelled
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")
    try:
        return MacvlanMode(text)
    except ValueError:
        choice = '"private", "vepa", "bridge", "passthru" or "source"'
        raise IpCommandError(f'Error: argument of "mode" must be {choice}, not "{text}"', 255) from None


def ipvlan(request: LinkRequest) -> Device:
    """Create a device of `type ipvlan [mode l2|l3|l3s] [bridge|private|vepa]`.

    Raises `IpCommandError` for an invalid request, `OSError` if the kernel refuses.
    """
    mode, flag = IpvlanMode.L3, IpvlanFlag.BRIDGE
    while request.words:
        word = request.words.take()
        if word == "mode":
            mode = _ipvlan_mode(request.words.take())
        else:
            flag = _ipvlan_flag(word)
    lower = _lower(request)
    name = request.name_or("ipvlan")
    _require_free(request, name)
    return _place(request, Ipvlan(name, lower, mode, flag))


def _ipvlan_mode(text: str) -> IpvlanMode:
    try:
        return IpvlanMode(text)
    except ValueError:
        raise IpCommandError('Error: argument of "mode" must be either "l2", "l3" or "l3s"', 255) from None


def _ipvlan_flag(text: str) -> IpvlanFlag:
    try:
        return IpvlanFlag(text)
    except ValueError:
        raise IpCommandError(f'ipvlan: unknown option "{text}"?\n{_IPVLAN_USAGE}', 255) from None


def change(device: Device, kind: str, words: Words) -> None:
    """Change a device as `ip link set DEV type KIND WORD…` does. `words` are the words after the kind.

    Raises `OSError(EOPNOTSUPP)` if the device is of another kind, `IpCommandError` for an unknown option.
    """
    if kind != device.kind:
        raise OSError(95, "Operation not supported")
    while words:
        word = words.take()
        if word == "mode" and isinstance(device, Macvlan):
            device.set_mode(_macvlan_mode(words.take()))
        elif word == "mode" and isinstance(device, Ipvlan):
            device.port.set_mode(_ipvlan_mode(words.take()))
        elif isinstance(device, Ipvlan):
            device.port.flag = _ipvlan_flag(word)
        else:
            raise IpCommandError(f'{kind}: unknown option "{word}"?', 255)


CHILD_KINDS: dict[str, Callable[[LinkRequest], Device]] = {
    "dummy": dummy, "ipvlan": ipvlan, "macvlan": macvlan, "vlan": vlan,
}  # fmt: skip

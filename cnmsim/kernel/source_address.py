"""Source address selection: inet_select_addr for IPv4, RFC 6724 §5 for IPv6."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cnmsim.kernel.address import Address, is_link_local, to_int

if TYPE_CHECKING:
    from cnmsim.kernel.device import Device


def select_source(
    dst: Address, outdev: Device, devices: Iterable[Device], final: Address | None = None
) -> Address | None:
    """Return the source address for packets to the next hop `dst` out of `outdev`.

    Return `None` if no device has a suitable address. `devices` are all devices of the namespace; `final` is the
    packet's destination if `dst` is a gateway.
    """
    if len(dst) == 16:
        return _select6(final or dst, outdev, devices)
    own = [a for a in outdev.addresses if a.family == 4]
    for address in own:
        if dst in address.prefix and address.scope != "host":
            return address.address
    for address in own:
        if address.scope != "host":
            return address.address
    for device in devices:
        for address in device.addresses:
            if address.family == 4 and address.scope == "global":
                return address.address
    return None


def first_link_local_device(devices: Iterable[Device]) -> Device | None:
    """Return the first device with an IPv6 link-local address, or `None` if there is none.

    Packets to link-local destinations without a zone leave by this device.
    """
    for device in devices:
        if any(a.scope == "link" and a.family == 6 for a in device.addresses):
            return device
    return None


def _select6(dst: Address, outdev: Device, devices: Iterable[Device]) -> Address | None:
    own = [a for a in outdev.addresses if a.family == 6]
    if is_link_local(dst) or (dst[0] == 0xFF and dst[1] & 0xF == 2):
        candidates = [a for a in own if a.scope == "link"] or own
    else:
        candidates = (
            [a for a in own if a.scope == "global"]
            or [a for device in devices for a in device.addresses if a.family == 6 and a.scope == "global"]
            or own
        )
    if not candidates:
        return None
    return max(candidates, key=lambda a: -(to_int(a.address) ^ to_int(dst)).bit_length()).address

"""The kinds of links that `ip link add … type KIND` makes; other strata add theirs to `LINK_KINDS`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import frozen

from cnmsim.kernel.bridge import Bridge
from cnmsim.kernel.device import Device, Veth
from cnmsim.userland.ip.arguments import read_integer, read_mac
from cnmsim.userland.ip.child_links import CHILD_KINDS
from cnmsim.userland.ip.vxlan import make_vxlan

if TYPE_CHECKING:
    from cnmsim.userland.ip.arguments import Words
    from cnmsim.userland.ip.changes import IpChanges


@frozen
class LinkRequest:
    """What stands before `type KIND`, the device it shall stand on (`link DEV`), and the words behind.

    `mac` is the address to take; `has_mac` tells whether it was asked for.
    """

    name: str
    mac: bytes
    lower: Device | None
    words: Words
    has_mac: bool = False


def _veth(changes: IpChanges, request: LinkRequest) -> Device:
    peer_name = ""
    peer_namespace = changes.namespace
    peer_mac: bytes | None = None
    peer_mtu = 0
    words = request.words
    while words:
        word = words.take()
        if word in ("peer", "name"):
            continue
        if word == "netns":
            peer_namespace = changes.find_namespace(words.take())
        elif word == "address":
            peer_mac = read_mac(words.take())
        elif word == "mtu":
            peer_mtu = read_integer(words.take())
        else:
            peer_name = word
    name = request.name or changes.new_name("veth")
    one, two = Veth.pair(
        changes.process.clock, name, peer_name or "veth0", request.mac, peer_mac or changes.new_mac()
    )
    for taken_in, taken in ((changes.namespace, name), (peer_namespace, peer_name)):
        if taken in taken_in.devices:
            raise FileExistsError(17, "File exists")
    # The kernel makes the peer first, so it has the lower index.
    peer_namespace.add_device(two, peer_name or changes.new_name("veth"))
    changes.namespace.add_device(one)
    if peer_mtu:
        two.set_mtu(peer_mtu)
    return one


def _bridge(changes: IpChanges, request: LinkRequest) -> Device:
    name = request.name or changes.new_name("bridge")
    bridge = Bridge(name, request.mac, changes.process.clock, has_fixed_mac=request.has_mac)
    changes.namespace.add_device(bridge)
    return bridge


#: kind → what makes one and puts it into the namespace; it may raise `OSError` or `IpFault`.
LINK_KINDS: dict[str, Callable[[IpChanges, LinkRequest], Device]] = {
    "bridge": _bridge,
    "veth": _veth,
    "vxlan": make_vxlan,
    **CHILD_KINDS,
}

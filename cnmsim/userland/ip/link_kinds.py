"""The kinds of links that `ip link add … type KIND` can create."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cnmsim.kernel.bridge import Bridge
from cnmsim.kernel.device import Device, Veth
from cnmsim.userland.ip.arguments import find_namespace, parse_integer_argument, parse_mac_argument
from cnmsim.userland.ip.child_links import CHILD_KINDS
from cnmsim.userland.ip.link_request import new_mac, new_name
from cnmsim.userland.ip.vxlan import make_vxlan

if TYPE_CHECKING:
    from cnmsim.userland.ip.link_request import LinkRequest


def _veth(request: LinkRequest) -> Device:
    peer_name = ""
    peer_namespace = request.namespace
    peer_mac: bytes | None = None
    peer_mtu = 0
    words = request.words
    while words:
        word = words.take()
        if word in ("peer", "name"):
            continue
        if word == "netns":
            peer_namespace = find_namespace(request.process, words.take())
        elif word == "address":
            peer_mac = parse_mac_argument(words.take())
        elif word == "mtu":
            peer_mtu = parse_integer_argument(words.take())
        else:
            peer_name = word
    name = request.name_or("veth")
    one, two = Veth.pair(
        request.process.clock, name, peer_name or "veth0", request.mac, peer_mac or new_mac(request.process)
    )
    for namespace, taken_name in ((request.namespace, name), (peer_namespace, peer_name)):
        if taken_name in namespace.devices:
            raise FileExistsError(17, "File exists")
    # The kernel registers the peer first, so it has the lower index.
    peer_namespace.add_device(two, peer_name or new_name(request.namespace, "veth"))
    request.namespace.add_device(one)
    if peer_mtu:
        two.set_mtu(peer_mtu)
    return one


def _bridge(request: LinkRequest) -> Device:
    bridge = Bridge(request.name_or("bridge"), request.mac, request.process.clock, has_fixed_mac=request.has_mac)
    request.namespace.add_device(bridge)
    return bridge


#: Kind → function that creates the device and adds it to the namespace. Raises `OSError` or `IpCommandError`.
LINK_KINDS: dict[str, Callable[[LinkRequest], Device]] = {
    "bridge": _bridge,
    "veth": _veth,
    "vxlan": make_vxlan,
    **CHILD_KINDS,
}

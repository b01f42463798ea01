"""ARP: resolution of IPv4 addresses on the link (RFC 826; Linux: net/ipv4/arp.c), and the arp_* sysctls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.kernel.address import MAC_BROADCAST, MAC_ZERO, Address, Mac, format_ip, format_mac
from cnmsim.kernel.events import DropReason, Step
from cnmsim.kernel.link_events import report_duplicate_address
from cnmsim.kernel.packet import MalformedPacketError
from cnmsim.kernel.transport import ARP_REPLY, ARP_REQUEST, ArpMessage

if TYPE_CHECKING:
    from cnmsim.kernel.device import Device
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.neighbour import Neighbour

_TYPE = b"\x08\x06"
#: The unit of the sysctl `locktime`: USER_HZ, a hundredth of a second.
_NS_PER_TICK = 10_000_000


def send_request(device: Device, target: Address, src: Address | None, to: Mac | None) -> None:
    """Send an ARP request for the MAC of `target`: to the MAC `to`, or as a broadcast if `to` is `None`.

    `src` is the sender address in the request; `None` sends 0.0.0.0.
    """
    message = ArpMessage(ARP_REQUEST, device.mac, src or bytes(4), MAC_ZERO, target)
    device.transmit((to or MAC_BROADCAST) + device.mac + _TYPE + message.to_wire())


def announce(device: Device, address: Address) -> None:
    """Broadcast a gratuitous ARP request for an address (RFC 5227 §2.3)."""
    message = ArpMessage(ARP_REQUEST, device.mac, address, MAC_ZERO, address)
    device.transmit(MAC_BROADCAST + device.mac + _TYPE + message.to_wire())


def must_not_announce(namespace: NetworkNamespace, hint: Address, target: Address, device: Device) -> bool:
    """Return True if the sysctl arp_announce forbids `hint` as the sender address of an ARP request for `target`.

    Mode 0 permits every address. Mode 1 permits `hint` only if `device` has it in a subnet that also contains
    `target`. Mode 2 always forbids it. The result for an IPv6 `target` is False.
    """
    if len(target) != 4:
        return False
    mode = _mode(namespace, "arp_announce", device)
    if mode != 1:
        return mode == 2
    return not any(item.address == hint and target in item.prefix for item in device.addresses)


def receive(namespace: NetworkNamespace, frame: bytes, device: Device) -> None:
    """Process a received ARP frame (arp_process)."""
    table = namespace.neighbours
    try:
        message = ArpMessage.parse(frame[14:])
    except MalformedPacketError as error:
        device.drop(frame, DropReason.MALFORMED, str(error))
        return
    if device.no_arp:
        device.drop(frame, DropReason.LAYER_3_ONLY, "the device takes no part in ARP")
        return
    sender, mac = message.sender_ip, message.sender_mac
    if namespace.has_address(sender) and not any(own.mac == mac for own in namespace.devices.values()):
        report_duplicate_address(device, sender, device.mac, mac, frame)  # RFC 5227 §2.4
    if message.operation == ARP_REQUEST and _should_answer(namespace, message.target_ip, sender, device):
        if any(sender):
            table.update_stale(table.get_or_create(device, sender), mac)
        reply = ArpMessage(ARP_REPLY, device.mac, message.target_ip, mac, sender)
        if namespace.clock.context is not None:
            namespace.report(
                Step.NEIGHBOUR,
                f"{format_ip(message.target_ip)} is at {format_mac(device.mac)}",
                frame,
                device=device.name,
                is_frame=True,
            )
        device.transmit(mac + device.mac + _TYPE + reply.to_wire())
        return
    known = namespace.neighbours.get(device, sender)
    if known is None or known.is_permanent or _is_duplicate(known, message, device, frame):
        return
    if message.operation == ARP_REPLY and frame[:6] == device.mac:
        table.update_reachable(known, mac)
    else:
        table.update_stale(known, mac)


def _is_duplicate(known: Neighbour, message: ArpMessage, device: Device, frame: bytes) -> bool:
    """Return True if an ARP message must be ignored, as its sender address was claimed by another MAC just before.

    `known` is the entry of that address. As in Linux (arp_process), the first of two claims within the time of the
    sysctl `locktime` counts, unless the second is a gratuitous ARP. Every such conflict is logged. The sender address
    of a request that is answered always counts, so it is not checked here.
    """
    if known.mac in (None, message.sender_mac):
        return False
    is_announcement = message.sender_ip == message.target_ip  # the address may have moved
    if is_announcement or device.clock.now_ns - known.updated_ns > known.parameter("locktime") * _NS_PER_TICK:
        return False
    assert known.mac is not None
    report_duplicate_address(device, message.sender_ip, known.mac, message.sender_mac, frame)
    return True


def _should_answer(namespace: NetworkNamespace, target: Address, sender: Address, device: Device) -> bool:
    if namespace.is_local(target):
        return target[0] != 127 and not _is_ignored(namespace, target, sender, device)
    if namespace.sysctl.device(4, device.name, "proxy_arp") == "1" and namespace.forwards4:
        route = namespace.find_route(target, src=sender, indev=device)
        return route is not None and route.device not in (None, device) and sender != target
    return False


def _is_ignored(namespace: NetworkNamespace, target: Address, sender: Address, device: Device) -> bool:
    """Return True if the sysctl arp_ignore forbids a reply to a request for `target` that `device` received.

    Mode 0 always permits a reply. Mode 1 permits it only if `target` is an address of `device`. Mode 2 also requires
    that `sender` is in the subnet of that address. Mode 8 never permits it.
    """
    mode = _mode(namespace, "arp_ignore", device)
    if not mode:
        return False
    if mode >= 8:
        return True
    own = [item for item in device.addresses if item.address == target]
    return not own or (mode == 2 and not any(sender in item.prefix for item in own))


def _mode(namespace: NetworkNamespace, name: str, device: Device) -> int:
    return max(
        int(namespace.sysctl_get(f"net.ipv4.conf.all.{name}")), int(namespace.sysctl.device(4, device.name, name))
    )

"""Diagnose the link layer: parent and child interfaces, VLANs, port security, duplicate addresses."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from cnmsim.kernel.address import format_ip
from cnmsim.kernel.device import Device, Nic
from cnmsim.kernel.events import DropReason, NextHop
from cnmsim.kernel.ipvlan import Ipvlan
from cnmsim.kernel.macvlan import Macvlan, MacvlanMode
from cnmsim.kernel.upper_devices import UpperDevice
from cnmsim.kernel.vlan import Vlan
from cnmsim.observe.diagnosis.causes.links import (
    DifferentVlans,
    FrameLost,
    IpvlanRouteMissing,
    IpvlanWithoutArp,
    ModeIsolates,
    ParentAndChild,
    PortSecurity,
    SiblingsIsolated,
    VlanMissing,
)
from cnmsim.observe.diagnosis.diagnosis import Diagnosis, diagnosis
from cnmsim.observe.diagnosis.diagnosis_context import DiagnosisContext
from cnmsim.observe.fixes.changes import (
    AddRoute,
    AddShimDevice,
    AskOther,
    Change,
    Manual,
    NetworkSetting,
    RecreateNetwork,
    RepairLinks,
    Steps,
)
from cnmsim.observe.fixes.tasks import Task
from cnmsim.observe.location import Location
from cnmsim.observe.trace.hops import Hop
from cnmsim.underlay.segment import Segment
from cnmsim.underlay.trunk import reachable

_BROKEN = frozenset({DropReason.LINK_LOSS, DropReason.NO_CARRIER, DropReason.LINK_DOWN})
#: The number of addresses, at the end of a subnet, among which a free one is looked for.
_SEARCHED = 100


@frozen
class _SwitchPort:
    """Where a device is connected: the switch, and the VLAN of the device's frames there (0: none)."""

    switch: Segment
    vlan: int


def unanswered(context: DiagnosisContext, hop: Hop) -> Diagnosis | None:
    """Diagnose a next hop that did not answer ARP or neighbour discovery; `None` if the link is not the cause."""
    by_reason = {each.reason: each for each in reversed(context.drops)}
    if DropReason.PORT_SECURITY in by_reason:
        return port_security(context, by_reason[DropReason.PORT_SECURITY])
    if DropReason.NO_VLAN in by_reason:
        return no_vlan(context, by_reason[DropReason.NO_VLAN])
    broken = next((each for each in context.drops if each.reason in _BROKEN and each is not hop), None)
    if broken is not None:
        why = broken.decision or (broken.reason.value if broken.reason else broken.what)
        return diagnosis(FrameLost(broken.packet, broken.where, why), RepairLinks())
    asker = context.location_at(hop.place)
    if not isinstance(hop.detail, NextHop) or asker is None:
        return None
    address = hop.detail.address
    device = asker.namespace.devices.get(hop.device)
    target = context.directory.owner(address)
    other = target.device_with(address) if target is not None else None
    if device is None or target is None or other is None:
        return None
    return (
        _parent_and_child(context, asker, device, target, other)
        or _siblings(asker, device, target, other)
        or _ipvlan_without_arp(asker, target, other)
        or _different_vlans(asker, device, target, other)
    )


def _lower_devices(device: Device) -> Iterator[Device]:
    """Yield `device`, then the device below it, and so on: e.g. a VLAN device and the interface that it is on."""
    yield device
    while isinstance(device, UpperDevice):
        device = device.lower
        yield device


def _child(device: Device) -> Macvlan | Ipvlan | None:
    return device if isinstance(device, Macvlan | Ipvlan) else None


def _parent_and_child(
    context: DiagnosisContext, asker: Location, device: Device, target: Location, other: Device
) -> Diagnosis | None:
    """Diagnose a host and a container whose devices are parent and child (macvlan or ipvlan); `None` for others.

    Frames that the child sends leave by the parent's cable and are never delivered to the parent. `device` is a
    device of `asker`, and `other` one of `target`; either may be the child.
    """
    for child, parent in ((_child(other), device), (_child(device), other)):
        if child is None or child.lower is not parent:
            continue
        host, guest = (asker, target) if child is other else (target, asker)
        cause = ParentAndChild(guest.name, child.kind, host.name, parent.name)
        elsewhere = Manual(Task.ASK_FROM_ELSEWHERE)
        if child.mode is MacvlanMode.PASSTHRU:
            return diagnosis(cause, elsewhere)
        return diagnosis(cause, _shim(context, host, guest, parent, child), elsewhere)
    return None


def _shim(
    context: DiagnosisContext, host: Location, guest: Location, parent: Device, child: Macvlan | Ipvlan
) -> Change:
    guest_address = next((format_ip(each) for each in guest.addresses if len(each) == 4), "")
    free = _free_address(context, guest) if guest_address else ""
    shim = AddShimDevice(host.name, parent.name, child.kind, child.mode.value, free, guest_address)
    # The host can probe the container's own address. The container must probe the address of the host's new device.
    return Steps((shim, AskOther(guest_address if host is context.source else free)))


def _free_address(context: DiagnosisContext, guest: Location) -> str:
    subnet = next((each for item in guest.attachments for each in item.subnets if len(each.network) == 4), None)
    if subnet is None:
        return ""
    used = {address for location in context.directory.locations for address in location.addresses}
    last = int.from_bytes(subnet.network) + 2 ** (32 - subnet.length) - 2
    numbers = range(last, last - _SEARCHED, -1)
    return next((format_ip(each.to_bytes(4)) for each in numbers if each.to_bytes(4) not in used), "")


def _siblings(asker: Location, device: Device, target: Location, other: Device) -> Diagnosis | None:
    one, two = _child(device), _child(other)
    if one is None or two is None or one.lower is not two.lower:
        return None
    mode = one.mode.value if isinstance(one, Macvlan) else one.port.flag.value
    if mode in {MacvlanMode.BRIDGE.value, MacvlanMode.PASSTHRU.value}:
        return None
    cause = SiblingsIsolated(asker.name, target.name, one.lower.name, one.kind, mode)
    return diagnosis(cause, _bridge_mode(asker, "macvlan_mode" if isinstance(one, Macvlan) else "ipvlan_flag"))


def _bridge_mode(location: Location | None, option: str) -> Change:
    kinds = {"macvlan", "ipvlan"}
    attachments = location.attachments if location is not None else ()
    network = next((item.network for item in attachments if item.driver in kinds), "")
    host = location.host if location is not None else ""
    return RecreateNetwork(host, network, NetworkSetting.OPTION, f"{option}=bridge")


def _ipvlan_without_arp(asker: Location, target: Location, other: Device) -> Diagnosis | None:
    if not isinstance(other, Ipvlan) or not other.no_arp:
        return None
    subnet = next(str(own.prefix) for own in other.addresses if own.family == 4)
    cause = IpvlanWithoutArp(target.name, other.mode.value, target.host)
    return diagnosis(cause, AddRoute(asker.name, subnet, _address_of(other.lower)))


def _address_of(device: Device) -> str:
    return next((format_ip(own.address) for own in device.addresses if own.family == 4), device.name)


def _different_vlans(asker: Location, device: Device, target: Location, other: Device) -> Diagnosis | None:
    one, two = _switch_port(device), _switch_port(other)
    if one is None or two is None or two.switch not in reachable(one.switch) or one.vlan == two.vlan:
        return None
    cause = DifferentVlans(asker.name, device.name, one.vlan, target.name, other.name, two.vlan)
    return diagnosis(cause, Manual(Task.USE_SAME_VLAN))


def _switch_port(device: Device) -> _SwitchPort | None:
    tag = 0
    for each in _lower_devices(device):
        if isinstance(each, Vlan):
            tag = each.vid
        if isinstance(each, Nic) and isinstance(each.link, Segment):
            switch = each.link
            native = switch.vlans_of(each).native or 0 if switch.has_vlans else 0
            return _SwitchPort(switch, tag or native)
    return None


def route_to_child_missing(context: DiagnosisContext, hop: Hop) -> Diagnosis | None:
    """Diagnose a router that has no route to the subnet of a routed ipvlan network; otherwise return `None`."""
    address, is_reply = hop.destination, context.is_reply(hop)
    here = context.location_at(hop.place)
    if here is not None and address in here.addresses:  # the request arrived here, so the dropped packet is its reply
        address, is_reply = hop.source, True
    target = context.directory.owner(address) if address is not None else None
    device = target.device_with(address) if target is not None and address is not None else None
    if target is None or not isinstance(device, Ipvlan) or not device.no_arp:
        return None
    subnet = str(next(own.prefix for own in device.addresses if own.address == address))
    cause = IpvlanRouteMissing(hop.place, subnet, device.mode.value, target.host, is_reply=is_reply)
    return diagnosis(cause, AddRoute(hop.place, subnet, _address_of(device.lower)))


def port_security(context: DiagnosisContext, hop: Hop) -> Diagnosis:
    """Diagnose a frame that a switch port dropped because of its source MAC address."""
    sender = context.location_at(context.sender(hop))
    name = sender.name if sender is not None else context.sender(hop)
    cause = PortSecurity(hop.device, hop.place, name, hop.decision or hop.what)
    return diagnosis(cause, Manual(Task.USE_IPVLAN), Manual(Task.ALLOW_MAC, name))


def no_vlan(context: DiagnosisContext, hop: Hop) -> Diagnosis:
    """Diagnose a frame that was dropped because the switch port or machine does not have its VLAN."""
    if context.location_at(hop.place) is not None:
        return diagnosis(VlanMissing(hop.where, hop.what), Manual(Task.ADD_VLAN))
    return diagnosis(VlanMissing(hop.place, hop.decision or hop.what), Manual(Task.ALLOW_VLAN))


def mode_isolates(context: DiagnosisContext, hop: Hop) -> Diagnosis:
    """Diagnose a frame between two children of one interface, dropped because the device's mode forbids it."""
    sender = context.location_at(context.sender(hop))
    return diagnosis(ModeIsolates(hop.where, hop.what), _bridge_mode(sender, "ipvlan_flag"))

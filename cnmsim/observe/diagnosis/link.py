"""Why a machine on the wire is not reached: stations on one interface, VLANs, port security, clashing addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import frozen

from cnmsim.kernel.address import Address, Mac, Prefix, format_ip, format_mac, parse_ip
from cnmsim.kernel.device import Device, Nic
from cnmsim.kernel.events import DropReason, Step
from cnmsim.kernel.ipvlan import Ipvlan, IpvlanFlag
from cnmsim.kernel.link_events import LinkEventKind
from cnmsim.kernel.macvlan import Macvlan, MacvlanMode
from cnmsim.kernel.upper_devices import UpperDevice
from cnmsim.kernel.vlan import Vlan
from cnmsim.observe.diagnosis.diagnosis_context import DiagnosisContext, address_at, source_of
from cnmsim.observe.location import Location
from cnmsim.observe.trace.hops import Hop
from cnmsim.underlay.segment import Segment
from cnmsim.underlay.trunk import reachable

_ARTICLES = {"ipvlan": "an", "macvlan": "a"}
_BROKEN = frozenset({DropReason.LINK_LOSS, DropReason.NO_CARRIER, DropReason.LINK_DOWN})
_SILENT = re.compile(r"nobody on \S+ answers for (\S+)")


@frozen
class _Socket:
    """Where a device's frames are on the wire: the switch its cable is in, and the VLAN they are in there (0: none)."""

    switch: Segment
    vlan: int


def unanswered(context: DiagnosisContext, loss: Hop) -> tuple[str, str] | None:
    """Say why nobody answered for a next hop, where the wire is the reason; `None` if it is not."""
    refused = next((hop for hop in context.losses if hop.reason is DropReason.PORT_SECURITY), None)
    if refused is not None:
        return port_security(context, refused)
    barred = next((hop for hop in context.losses if hop.reason is DropReason.NO_VLAN), None)
    if barred is not None:
        return no_vlan(context, barred)
    broken = next((hop for hop in context.losses if hop.reason in _BROKEN and hop is not loss), None)
    if broken is not None:
        return broken_wire(broken)
    found = _SILENT.search(loss.what)
    asker = context.location(loss.place)
    if found is None or asker is None:
        return None
    device = asker.namespace.devices.get(loss.device)
    target = context.directory.owner(parse_ip(found.group(1)))
    other = _device_with(target, parse_ip(found.group(1))) if target is not None else None
    if device is None or target is None or other is None:
        return None
    return (
        _parent_and_child(asker, device, target, other)
        or _kept_apart(asker, device, target, other)
        or _routed_child(asker, target, other)
        or _other_vlan(asker, device, target, other)
    )


def broken_wire(loss: Hop) -> tuple[str, str]:
    """Explain a question for a neighbour, or its answer, that the wire lost."""
    why = loss.decision or (loss.reason.value if loss.reason else loss.what)
    return f"{loss.packet} is lost at {loss.where}: {why}", "mend the wiring there (lab.heal())"


def _device_with(location: Location, address: Address) -> Device | None:
    for device in location.namespace.devices.values():
        if any(own.address == address for own in device.addresses):
            return device
    return None


def _lowers(device: Device) -> Iterator[Device]:
    """Give the device and what it stands on, down to the interface with the cable."""
    yield device
    while isinstance(device, UpperDevice):
        device = device.lower
        yield device


def _child(device: Device) -> Macvlan | Ipvlan | None:
    return device if isinstance(device, Macvlan | Ipvlan) else None


def _parent_and_child(asker: Location, device: Device, target: Location, other: Device) -> tuple[str, str] | None:
    """Explain a host and a child of its own interface: what the child sends leaves by the wire, and does not come back."""
    for child, parent in ((_child(other), device), (_child(device), other)):
        if child is None or child.lower is not parent:
            continue
        host, guest = (asker, target) if child is other else (target, asker)
        cause = (
            f"{guest.name} is {_ARTICLES[child.kind]} {child.kind} child of {host.name}'s {parent.name}, and a parent and its children never "
            "hear each other: what either sends leaves by the wire"
        )
        if child.mode is MacvlanMode.PASSTHRU:
            return cause, "ask from another machine"
        return cause, (
            f"give {host.name} a child of its own (ip link add link {parent.name} name shim0 type {child.kind} mode "
            f"{child.mode.value}) with an address and a route to {guest.name}, or ask from another machine"
        )
    return None


def _kept_apart(asker: Location, device: Device, target: Location, other: Device) -> tuple[str, str] | None:
    one, two = _child(device), _child(other)
    if one is None or two is None or one.lower is not two.lower:
        return None
    word = one.mode.value if isinstance(one, Macvlan) else one.port.flag.value
    if word in {MacvlanMode.BRIDGE.value, MacvlanMode.PASSTHRU.value}:
        return None
    how = (
        "keeps its containers apart"
        if word == MacvlanMode.PRIVATE.value
        else "leaves it to the switch to send frames back, and this one does not"
    )
    kind = "macvlan_mode" if isinstance(one, Macvlan) else "ipvlan_flag"
    return (
        f"{asker.name} and {target.name} are both on {one.lower.name}, and {one.kind} mode {word} {how}",
        f"make the network with -o {kind}=bridge",
    )


def _routed_child(asker: Location, target: Location, other: Device) -> tuple[str, str] | None:
    if not isinstance(other, Ipvlan) or not other.no_arp:
        return None
    subnet = next(str(own.prefix) for own in other.addresses if own.family == 4)
    return (
        f"{target.name} is on ipvlan in mode {other.mode.value}, which answers no ARP: its host {target.host} routes for it",
        f"add a route on {asker.name}: ip route add {subnet} via {_address_of(other.lower)}",
    )


def _address_of(device: Device) -> str:
    return next((format_ip(own.address) for own in device.addresses if own.family == 4), device.name)


def _other_vlan(asker: Location, device: Device, target: Location, other: Device) -> tuple[str, str] | None:
    one, two = _socket(device), _socket(other)
    if one is None or two is None or two.switch not in reachable(one.switch) or one.vlan == two.vlan:
        return None
    cause = (
        f"{asker.name}'s {device.name} is in {_vlan_text(one)}, {target.name}'s {other.name} in {_vlan_text(two)}: "
        "they are different networks on one wire"
    )
    return (
        cause,
        "put both into one VLAN, or reach one from the other by a router",
    )


def _vlan_text(socket: _Socket) -> str:
    return f"VLAN {socket.vlan}" if socket.vlan else "no VLAN (untagged)"


def _socket(device: Device) -> _Socket | None:
    tag = 0
    for each in _lowers(device):
        if isinstance(each, Vlan):
            tag = each.vid
        if isinstance(each, Nic) and isinstance(each.link, Segment):
            switch = each.link
            native = switch.vlans_of(each).native or 0 if switch.has_vlans else 0
            return _Socket(switch, tag or native)
    return None


def no_way_to_child(context: DiagnosisContext, loss: Hop) -> tuple[str, str] | None:
    """Say that a router does not know the subnet of a routed ipvlan network; `None` if it is no such case."""
    address = address_at(loss)
    here = context.location(loss.place)
    is_reply = context.is_reply(loss)
    if here is not None and address in here.addresses:  # it arrived, and is lost on for its answer
        address, is_reply = parse_ip(source_of(loss)), True
    target = context.directory.owner(address) if address is not None else None
    device = _device_with(target, address) if target is not None and address is not None else None
    if target is None or not isinstance(device, Ipvlan) or not device.no_arp or address is None:
        return None
    subnet: Prefix = next(own.prefix for own in device.addresses if own.address == address)
    subject = "the answer is lost: " if is_reply else ""
    return (
        f"{subject}{loss.place} does not know the way to {subnet}, an ipvlan network in mode {device.mode.value} of {target.host}",
        f"add a route on {loss.place}: ip route add {subnet} via {_address_of(device.lower)}",
    )


def port_security(context: DiagnosisContext, loss: Hop) -> tuple[str, str]:
    """Explain a frame that a port refused for its sender's MAC."""
    sender = context.location(context.sender(loss))
    who = sender.name if sender is not None else context.sender(loss)
    cause = (
        f"the port of {loss.device} on {loss.place} refuses frames from {who}: {loss.decision or loss.what}, as public "
        "clouds and hypervisors do"
    )
    return (
        cause,
        f"use ipvlan, whose containers share the MAC of their host, or let that port accept the MAC of {who}",
    )


def no_vlan(context: DiagnosisContext, loss: Hop) -> tuple[str, str]:
    """Explain a frame of a VLAN that a port or a machine does not have."""
    if context.location(loss.place) is not None:
        return f"lost on {loss.where}: {loss.what}", "make an interface for that VLAN there, or use another parent"
    return (
        f"lost at {loss.place}: {loss.decision or loss.what}",
        "let that port carry the VLAN, or use another parent",
    )


def kept_apart(context: DiagnosisContext, loss: Hop) -> tuple[str, str]:
    """Explain a frame to a sibling that the mode forbids."""
    del context
    return f"dropped on {loss.where}: {loss.what}", f"make the network with -o ipvlan_flag={IpvlanFlag.BRIDGE.value}"


def clashes(context: DiagnosisContext) -> list[str]:
    """Tell of addresses that two stations claim: those seen on the way, and what was noticed of the one asked for."""
    found: dict[Address, tuple[Mac, Mac]] = {}
    for machine in {location.machine.name: location.machine for location in context.directory.locations}.values():
        for notice in machine.link_events.events:
            if notice.kind is LinkEventKind.DUPLICATE_ADDRESS and _concerns(context, notice.address):
                found.setdefault(notice.address, notice.macs)
    return [_clash_text(context, address, macs) for address, macs in found.items()]


def _concerns(context: DiagnosisContext, address: Address) -> bool:
    if address == context.outcome.address:
        return True
    text = f"duplicate address {format_ip(address)}:"
    return any(hop.step is Step.NOTE and hop.what.startswith(text) for hop in context.hops)


def _clash_text(context: DiagnosisContext, address: Address, macs: tuple[Mac, Mac]) -> str:
    one, two = sorted(_who(context, mac, address) for mac in macs)
    return (
        f"two stations claim {format_ip(address)}: {one} and {two}; which of them is reached is chance: keep the network's "
        "--ip-range clear of what a DHCP server or an operator gives out"
    )


def _who(context: DiagnosisContext, mac: Mac, address: Address) -> str:
    for location in context.directory.locations:
        device = _device_with(location, address)
        if device is not None and device.mac == mac:
            return f"{location.label} ({format_mac(mac)})"
    return format_mac(mac)

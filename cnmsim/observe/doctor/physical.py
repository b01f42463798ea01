"""Address conflicts on physical links: Docker assigns an address without checking whether another machine uses it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from attrs import frozen

from cnmsim.kernel.address import Address, Mac, Prefix, format_ip, format_mac
from cnmsim.kernel.device import Device, Nic
from cnmsim.kernel.link_events import LinkEventKind
from cnmsim.kernel.vlan import Vlan
from cnmsim.observe.doctor.fault import Fault, Severity
from cnmsim.observe.doctor.lab_snapshot import LabSnapshot, Net
from cnmsim.observe.location import Location
from cnmsim.underlay.dhcpserver import DhcpRange
from cnmsim.underlay.segment import Segment
from cnmsim.underlay.trunk import reachable

#: The paths of keys, in a network of a Compose file, to the line of the addresses that it assigns.
_RANGE = (("ipam", "config"), ("ipam",))
_ADVICE = "set an --ip-range from which nothing else assigns addresses, and exclude addresses in use by --aux-address"


@frozen
class _Wire:
    """A broadcast domain of the wiring: the names of its segments, and its VLAN (0 if the segments have no VLANs)."""

    segments: frozenset[str]
    vlan: int


@frozen
class _Lent:
    """The addresses that a macvlan or ipvlan network assigns on the broadcast domain `wire`.

    These are all addresses in `part` except those in `reserved`.
    """

    net: Net
    wire: _Wire
    part: Prefix
    reserved: frozenset[Address]


def _wire_of(device: Device | None) -> _Wire | None:
    tag = 0
    if isinstance(device, Vlan):
        tag, device = device.vid, device.lower
    segment = device.link if isinstance(device, Nic) else None
    if not isinstance(segment, Segment) or not isinstance(device, Nic):
        return None
    native = segment.vlans_of(device).native if segment.has_vlans else 0
    if not tag and native is None:
        return None
    return _Wire(frozenset(member.name for member in reachable(segment)), tag or native or 0)


def _lent(snapshot: LabSnapshot) -> Iterator[_Lent]:
    for net in snapshot.networks:
        is_on_wire = net.driver == "macvlan" or (
            net.driver == "ipvlan" and net.options.get("ipvlan_mode", "l2") in ("", "l2")
        )
        wire = _wire_of(net.host.namespace.devices.get(net.options.get("parent", ""))) if is_on_wire else None
        for info in net.record.ipam_info if wire is not None else ():
            if wire is not None and info.pool.family == 4:
                reserved = {*info.aux_addresses.values(), *([info.gateway] if info.gateway is not None else [])}
                yield _Lent(net, wire, info.ip_range or info.pool, frozenset(reserved))


def ranges(snapshot: LabSnapshot) -> Iterator[Fault]:
    """Find networks whose addresses overlap a DHCP range, a machine's address, or another host's network."""
    lent = list(_lent(snapshot))
    for assigned in lent:
        yield from _dhcp(snapshot, assigned)
        yield from _machines(snapshot, assigned)
    for one, other in combinations(lent, 2):
        if one.wire == other.wire and one.part.overlaps(other.part):
            yield Fault(
                Severity.WARNING, "range-overlap", one.net.place,
                f"it allocates addresses from {one.part}, and {other.net.place} from {other.part} on the same link: "
                "two containers may receive the same address",
                "set a separate --ip-range on each of the two networks",
                snapshot.network_source(other.net, *_RANGE),
            )  # fmt: skip


def _dhcp(snapshot: LabSnapshot, lent: _Lent) -> Iterator[Fault]:
    for host in snapshot.lab.hosts.values():
        served: DhcpRange | None = host.plain.spec.dhcp if hasattr(host, "plain") else None
        if served is None or not _overlaps(served, lent.part):
            continue
        subnets = (device for device in host.namespace.devices.values() if _holds(device, served.first))
        if any(_wire_of(device) == lent.wire for device in subnets):
            yield Fault(
                Severity.WARNING, "dhcp-overlap", lent.net.place,
                f"it allocates addresses from {lent.part}, and {host.name} assigns {served} by DHCP on the same "
                "link: a container and a machine may receive the same address",
                _ADVICE,
                snapshot.network_source(lent.net, *_RANGE),
            )  # fmt: skip


def _overlaps(served: DhcpRange, part: Prefix) -> bool:
    return served.first <= part.broadcast and part.network <= served.last


def _holds(device: Device, address: Address) -> bool:
    return any(address in own.prefix for own in device.addresses)


def _machines(snapshot: LabSnapshot, lent: _Lent) -> Iterator[Fault]:
    if snapshot.has_default_topology:
        return  # cnmsim chose the addresses of the machines
    conflicts = [
        f"{format_ip(own.address)} of {host.name}"
        for host in snapshot.hosts
        for device in host.namespace.devices.values()
        for own in device.addresses
        if own.address in lent.part and own.address not in lent.reserved and _wire_of(device) == lent.wire
    ]
    if conflicts:
        yield Fault(
            Severity.WARNING, "address-in-range", lent.net.place,
            f"it allocates addresses from {lent.part}, which contains {', '.join(conflicts)}: "
            "a container may receive the same address",
            _ADVICE,
            snapshot.network_source(lent.net, *_RANGE),
        )  # fmt: skip


def duplicates(snapshot: LabSnapshot) -> Iterator[Fault]:
    """Find addresses that two machines or containers use at the same time, according to the lab's event log.

    An address in the log is ignored if one of the two no longer has it.
    """
    seen: set[tuple[Address, frozenset[Mac]]] = set()
    for host in snapshot.hosts:
        for notice in host.machine.link_events.events:
            key = notice.address, frozenset(notice.macs)
            owners = [owner for mac in sorted(key[1]) if (owner := _owner(snapshot, notice.address, mac)) is not None]
            if notice.kind is not LinkEventKind.DUPLICATE_ADDRESS or key in seen or len(owners) < len(key[1]):
                continue
            seen.add(key)
            one, two = sorted(f"{owner.label} ({format_mac(mac)})" for owner, mac in owners)
            places = (snapshot.source(owner, *_addresses(owner)) for owner, _ in owners)
            yield Fault(
                Severity.ERROR, "duplicate-address", one,
                f"it and {two} both have {format_ip(notice.address)}: which of them receives a packet depends on the "
                "sender's ARP cache",
                "assign another address to one of them, and exclude from --ip-range what a DHCP server or an "
                "operator assigns",
                next((place for place in places if place), ""),
            )  # fmt: skip


def _addresses(owner: Location) -> list[tuple[str, ...]]:
    return [("networks", item.network, "ipv4_address") for item in owner.attachments]


def _owner(snapshot: LabSnapshot, address: Address, mac: Mac) -> tuple[Location, Mac] | None:
    def has(location: Location) -> bool:
        devices = location.namespace.devices.values()
        return any(
            device.mac == mac and any(own.address == address for own in device.addresses) for device in devices
        )

    owners = (location for location in snapshot.directory.locations if has(location))
    return next(((owner, mac) for owner in owners), None)

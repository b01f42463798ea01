"""Neighbours: which MAC address answers for an address on the link, by ARP (RFC 826) and ND (RFC 4861).

States and times are Linux's (net/core/neighbour.c): an entry is REACHABLE for 30 s after it was confirmed, then
STALE; a STALE one is used at once and checked after 5 s; three unanswered questions, a second apart, make it FAILED.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from attrs import define

from cnmsim.kernel.address import (
    MAC_BROADCAST,
    MAC_ZERO,
    Address,
    Mac,
    format_ip,
    format_mac,
    multicast_mac,
    solicited_node,
)
from cnmsim.kernel.clock import NS, Timer
from cnmsim.kernel.events import DropReason, Step
from cnmsim.kernel.netfilter.hooks import Hook
from cnmsim.kernel.notices import duplicate_address
from cnmsim.kernel.packet import CtState, MalformedPacketError, Packet, build_ip
from cnmsim.kernel.sharedentries import EntryTable, SharedEntries
from cnmsim.kernel.transport import ARP_REPLY, ARP_REQUEST, ArpMessage, icmpv6_message

if TYPE_CHECKING:
    from cnmsim.kernel.device import Device
    from cnmsim.kernel.events import Observer
    from cnmsim.kernel.namespace import NetworkNamespace

_REACHABLE_NS = 30 * NS
_DELAY_S = 5.0
_LOCKTIME_NS = 1 * NS
_RETRANS_S = 1.0
_PROBES = 3
_QUEUE = 100
_ARP = b"\x08\x06"
_IPV6 = b"\x86\xdd"
NEIGHBOUR_SOLICITATION, NEIGHBOUR_ADVERTISEMENT = 135, 136
_ALL_NODES = b"\xff\x02" + bytes(13) + b"\x01"


class NeighbourState(Enum):
    """NUD states, as `ip neigh` prints them."""

    INCOMPLETE = "INCOMPLETE"
    REACHABLE = "REACHABLE"
    STALE = "STALE"
    DELAY = "DELAY"
    PROBE = "PROBE"
    FAILED = "FAILED"
    PERMANENT = "PERMANENT"


_REACHABLE = NeighbourState.REACHABLE
_USED_AS_IT_IS = (NeighbourState.DELAY, NeighbourState.PROBE, NeighbourState.PERMANENT)


@define(eq=False)
class Neighbour:
    """One entry: `mac` is `None` until the first answer; `queue` holds packets that wait for it.

    `order` tells which of a namespace came before.
    """

    device: Device
    address: Address
    mac: Mac | None = None
    _state: NeighbourState = NeighbourState.INCOMPLETE
    confirmed_ns: int = 0
    updated_ns: int = 0
    probes: int = 0
    timer: Timer | None = None
    queue: tuple[tuple[Packet, Observer | None], ...] = ()
    order: int = 0

    @property
    def state(self) -> NeighbourState:
        """The state at this moment of virtual time."""
        if self._state is NeighbourState.REACHABLE and self.device.clock.now_ns - self.confirmed_ns > _REACHABLE_NS:
            self._state = NeighbourState.STALE
        return self._state

    def ready_mac(self, now_ns: int) -> Mac | None:
        """Give the MAC if it can be sent to at that time with nothing else to do; never that of an entry that was deleted."""
        state = self._state
        if state is _REACHABLE:
            return self.mac if now_ns - self.confirmed_ns <= _REACHABLE_NS else None
        return self.mac if state in _USED_AS_IT_IS else None

    def __str__(self) -> str:
        """Write the entry as `ip neigh` does."""
        lladdr = f" lladdr {format_mac(self.mac)}" if self.mac is not None else ""
        return f"{format_ip(self.address)} dev {self.device.name}{lladdr} {self.state.value}"


class NeighbourTable:
    """The neighbour entries of one namespace, both families.

    Permanent ones behind devices that many nodes have alike are among `fixed` until they are looked at.
    """

    __slots__ = ("_entries", "_fixed", "_last", "_namespace")

    def __init__(self, namespace: NetworkNamespace) -> None:
        self._namespace = namespace
        self._entries: dict[tuple[Device, Address], Neighbour] = {}
        self._fixed: dict[Device, EntryTable[Address, Mac]] | None = None  # few namespaces have any
        self._last = 0

    def entries(self) -> list[Neighbour]:
        """All entries, oldest first."""
        entries = list(self._entries.values())
        for device, fixed in (self._fixed or {}).items():
            entries += [_permanent(device, address, mac, order) for order, address, mac in fixed.stamped()]
        return sorted(entries, key=lambda entry: entry.order)

    def get(self, device: Device, address: Address) -> Neighbour | None:
        """Give the entry of an address behind a device, if there is one."""
        entry = self._entries.get((device, address))
        return self._take_up(device, address) if entry is None and self._fixed is not None else entry

    def _take_up(self, device: Device, address: Address) -> Neighbour | None:
        """Make an entry of its own of one that was only noted."""
        fixed = self._fixed.get(device) if self._fixed is not None else None
        found = fixed.pop(address) if fixed is not None else None
        if found is None:
            return None
        order, mac = found
        entry = self._entries[device, address] = _permanent(device, address, mac, order)
        return entry

    def _made(self, device: Device, address: Address) -> Neighbour:
        """Give the entry of an address behind a device, made if there is none."""
        entry = self.get(device, address)
        if entry is None:
            self._last += 1
            entry = self._entries[device, address] = Neighbour(device, address, order=self._last)
        return entry

    def has(self, device: Device, address: Address) -> bool:
        """Tell whether there is an entry of an address behind a device."""
        if (device, address) in self._entries:
            return True
        fixed = self._fixed.get(device) if self._fixed is not None else None
        return fixed is not None and address in fixed

    def known_mac(self, device: Device, address: Address) -> Mac | None:
        """Give the MAC known for an address, without asking for it."""
        entry = self.get(device, address)
        return entry.mac if entry is not None else None

    def set_permanent(self, device: Device, address: Address, mac: Mac) -> None:
        """Put a fixed entry, as `ip neigh add … nud permanent`."""
        shared = device.shared_neighbours() if (device, address) not in self._entries else None
        if shared is not None:
            self._note(device, address, mac, shared)
            return
        entry = self._made(device, address)
        self._stop(entry)
        entry._state = NeighbourState.PERMANENT
        entry.mac = mac
        self._flush_queue(entry)

    def _note(self, device: Device, address: Address, mac: Mac, shared: SharedEntries[Address, Mac]) -> None:
        if self._fixed is None:
            self._fixed = {}
        fixed = self._fixed.get(device)
        if fixed is None:
            fixed = self._fixed[device] = EntryTable(shared)
        self._last += 1
        fixed.set(address, mac, self._last)

    def remove(self, device: Device, address: Address) -> None:
        """Delete an entry. Raises `OSError(ENOENT)` if there is none."""
        if self.get(device, address) is None:
            raise OSError(2, "No such file or directory")
        self._delete((device, address))

    def _delete(self, key: tuple[Device, Address]) -> None:
        entry = self._entries.pop(key)
        entry._state = NeighbourState.FAILED
        self._stop(entry)

    def remove_device(self, device: Device) -> None:
        """Forget every neighbour behind a device."""
        for key in [key for key in self._entries if key[0] is device]:
            self._delete(key)
        fixed = self._fixed.pop(device, None) if self._fixed is not None else None
        if fixed is not None:
            fixed.clear()

    def confirm(self, device: Device, address: Address) -> None:
        """Note that a neighbour was heard from by an upper layer (Linux: dst_confirm)."""
        entry = self._entries.get((device, address))
        if entry is not None and entry.mac is not None and entry._state is not NeighbourState.PERMANENT:
            self._confirmed(entry, entry.mac)

    def output(self, packet: Packet) -> None:
        """Send a packet to its next hop, when that one's MAC is known."""
        device = packet.outdev
        nexthop = packet.nexthop or packet.dst
        assert device is not None
        entry = self.get(device, nexthop)
        if entry is not None and entry.mac is not None:
            state = entry._state
            if state is NeighbourState.REACHABLE and device.clock.now_ns - entry.confirmed_ns > _REACHABLE_NS:
                state = entry._state = NeighbourState.STALE
            if state is NeighbourState.STALE:
                self._delay(entry)
            if state is not NeighbourState.FAILED:
                ethertype = b"\x08\x00" if packet.family == 4 else _IPV6
                device.transmit(entry.mac + device.mac + ethertype + packet.data)
                return
        self._resolve(device, nexthop, packet)

    def _resolve(self, device: Device, nexthop: Address, packet: Packet) -> None:
        namespace = self._namespace
        if device.no_arp:  # such neighbours have the device's own address (arp_constructor)
            ethertype = b"\x08\x00" if packet.family == 4 else _IPV6
            device.transmit(device.mac + device.mac + ethertype + packet.data)
            return
        entry = self.get(device, nexthop)
        if entry is None or entry._state is NeighbourState.FAILED:
            entry = self._made(device, nexthop)
            entry._state = NeighbourState.INCOMPLETE
            entry.mac = None
            entry.probes = 0
        if len(entry.queue) >= _QUEUE:
            namespace.drop(packet, DropReason.NEIGHBOUR_QUEUE_FULL, device=device.name)
            return
        if namespace.clock.context is not None:
            question = "who has" if len(nexthop) == 4 else "solicits"
            namespace.report(
                Step.NEIGHBOUR, f"{question} {format_ip(nexthop)}?", packet, device=device.name, decision=str(entry)
            )
        entry.queue += ((packet, namespace.clock.context),)
        if entry.timer is None:
            self._probe(entry, packet.src)

    def _probe(self, entry: Neighbour, hint: Address | None = None) -> None:
        entry.timer = None
        limit = _PROBES
        if entry.probes >= limit:
            self._failed(entry)
            return
        entry.probes += 1
        unicast = entry.mac if entry._state is NeighbourState.PROBE else None
        self._ask(entry, hint, unicast)
        entry.timer = self._namespace.clock.call_later(_RETRANS_S, self._probe, entry, hint)

    def _ask(self, entry: Neighbour, hint: Address | None, unicast: Mac | None) -> None:
        device, target = entry.device, entry.address
        namespace = self._namespace
        if hint is not None and (not namespace.has_address(hint) or self._must_not_announce(hint, target, device)):
            hint = None
        src = namespace.select_source(target, device) if hint is None else hint
        if len(target) == 4:
            message = ArpMessage(ARP_REQUEST, device.mac, src or bytes(4), MAC_ZERO, target)
            device.transmit((unicast or MAC_BROADCAST) + device.mac + _ARP + message.to_wire())
            return
        src = src or bytes(16)
        group = target if unicast else solicited_node(target)
        option = b"\x01\x01" + device.mac if any(src) else b""
        body = icmpv6_message(src, group, NEIGHBOUR_SOLICITATION, 0, bytes(4), target + option)
        self._send_nd(device, unicast or multicast_mac(group), src, group, body)

    def _must_not_announce(self, hint: Address, target: Address, device: Device) -> bool:
        """Tell whether arp_announce forbids asking in the name of `hint`: 1, unless it shares the target's subnet; 2."""
        if len(target) != 4:
            return False
        mode = self._arp_mode("arp_announce", device)
        if mode != 1:
            return mode == 2
        return not any(item.address == hint and target in item.prefix for item in device.addresses)

    def _send_nd(self, device: Device, to_mac: Mac, src: Address, dst: Address, message: bytes) -> None:
        """Send a neighbour message, past the packet filter like every packet of ours (ndisc_send_skb)."""
        data = build_ip(58, src, dst, message, ttl=255)
        netfilter = self._namespace.netfilter
        if netfilter.is_active:
            packet = Packet.outgoing(data, 58, src, dst, 255)
            packet.outdev, packet.nexthop, packet.ct_state = device, dst, CtState.UNTRACKED
            if not (netfilter.run(Hook.OUTPUT, packet) and netfilter.run(Hook.POSTROUTING, packet)):
                return
        device.transmit(to_mac + device.mac + _IPV6 + data)

    def announce(self, device: Device, address: Address) -> None:
        """Tell all on the link, unasked, who has `address` (RFC 5227 §2.3, RFC 4861 §7.2.6)."""
        if len(address) == 4:
            message = ArpMessage(ARP_REQUEST, device.mac, address, MAC_ZERO, address)
            device.transmit(MAC_BROADCAST + device.mac + _ARP + message.to_wire())
            return
        flags, option = b"\x20\0\0\0", b"\x02\x01" + device.mac
        body = icmpv6_message(address, _ALL_NODES, NEIGHBOUR_ADVERTISEMENT, 0, flags, address + option)
        ethernet = multicast_mac(_ALL_NODES) + device.mac + _IPV6
        device.transmit(ethernet + build_ip(58, address, _ALL_NODES, body, ttl=255))

    def _failed(self, entry: Neighbour) -> None:
        entry._state = NeighbourState.FAILED
        waiting, entry.queue = entry.queue, ()
        namespace = self._namespace
        clock = namespace.clock
        before = clock.context
        for packet, context in waiting:
            clock.context = context
            namespace.drop(
                packet,
                DropReason.NEIGHBOUR_FAILED,
                f"nobody on {entry.device.name} answers for {format_ip(entry.address)}",
                device=entry.device.name,
                decision=str(entry),
            )
            namespace.host_unreachable(packet)
        clock.context = before

    def _delay(self, entry: Neighbour) -> None:
        entry._state = NeighbourState.DELAY
        if entry.timer is None:
            entry.timer = self._namespace.clock.call_later(_DELAY_S, self._delay_over, entry)

    def _delay_over(self, entry: Neighbour) -> None:
        entry.timer = None
        if entry._state is NeighbourState.DELAY:
            entry._state = NeighbourState.PROBE
            entry.probes = 0
            self._probe(entry)

    def _confirmed(self, entry: Neighbour, mac: Mac) -> None:
        self._stop(entry)
        if entry.mac != mac:
            entry.updated_ns = self._namespace.clock.now_ns
        entry.mac = mac
        entry._state = NeighbourState.REACHABLE
        entry.confirmed_ns = self._namespace.clock.now_ns
        self._flush_queue(entry)

    def _learnt(self, entry: Neighbour, mac: Mac) -> None:
        """Note a MAC from a question, not an answer: usable, but STALE (RFC 4861 §7.2.3)."""
        if entry._state is NeighbourState.PERMANENT:
            return
        if entry.mac != mac or entry.state in (NeighbourState.INCOMPLETE, NeighbourState.FAILED):
            self._stop(entry)
            entry.mac = mac
            entry.updated_ns = self._namespace.clock.now_ns
            entry._state = NeighbourState.STALE
            self._flush_queue(entry)

    def _stop(self, entry: Neighbour) -> None:
        if entry.timer is not None:
            entry.timer.cancel()
            entry.timer = None

    def _flush_queue(self, entry: Neighbour) -> None:
        waiting, entry.queue = entry.queue, ()
        clock = self._namespace.clock
        before = clock.context
        for packet, context in waiting:
            clock.context = context
            self.output(packet)
        clock.context = before

    def arp_input(self, frame: bytes, device: Device) -> None:
        """Take an ARP frame (Linux: arp_process)."""
        namespace = self._namespace
        try:
            message = ArpMessage.parse(frame[14:])
        except MalformedPacketError as error:
            device.drop(frame, DropReason.MALFORMED, str(error))
            return
        if device.no_arp:
            device.drop(frame, DropReason.LAYER_3_ONLY, "the device takes no part in ARP")
            return
        sender, mac = message.sender_ip, message.sender_mac
        if self._is_claimed(sender, mac, device, frame):
            return
        if message.operation == ARP_REQUEST and self._answers_arp(message.target_ip, sender, device):
            if any(sender):
                self._learnt(self._made(device, sender), mac)
            reply = ArpMessage(ARP_REPLY, device.mac, message.target_ip, mac, sender)
            if namespace.clock.context is not None:
                namespace.report(
                    Step.NEIGHBOUR,
                    f"{format_ip(message.target_ip)} is at {format_mac(device.mac)}",
                    frame,
                    device=device.name,
                    is_frame=True,
                )
            device.transmit(mac + device.mac + _ARP + reply.to_wire())
            return
        known = self.get(device, sender)
        if known is None or known._state is NeighbourState.PERMANENT:
            return
        if message.operation == ARP_REPLY and frame[:6] == device.mac:
            self._confirmed(known, mac)
        else:
            self._learnt(known, mac)

    def _is_claimed(self, sender: Address, mac: Mac, device: Device, frame: bytes) -> bool:
        """Take note of a second station with an address: our own, or one that was answered for just now.

        `True` if the message is to be ignored: Linux holds on to the first of two answers for a second (arp_process,
        locktime), unless the other announces itself.
        """
        namespace = self._namespace
        if namespace.has_address(sender):  # RFC 5227 §2.4
            if not any(own.mac == mac for own in namespace.devices.values()):
                duplicate_address(device, sender, device.mac, mac, frame)
            return False
        known = self.get(device, sender)
        if known is None or known.mac in (None, mac) or known._state is NeighbourState.PERMANENT:
            return False
        is_announcement = frame[28:32] == frame[38:42]  # it may well be the address's next owner
        if is_announcement or namespace.clock.now_ns - known.updated_ns > _LOCKTIME_NS:
            return False
        assert known.mac is not None
        duplicate_address(device, sender, known.mac, mac, frame)
        return True

    def _answers_arp(self, target: Address, sender: Address, device: Device) -> bool:
        namespace = self._namespace
        if namespace.is_local(target):
            return target[0] != 127 and not self._ignores_arp(target, sender, device)
        if namespace.sysctl_device(device, 4, "proxy_arp") == "1" and namespace.forwards4:
            route = namespace.find_route(target, src=sender, indev=device)
            return route is not None and route.device not in (None, device) and sender != target
        return False

    def _ignores_arp(self, target: Address, sender: Address, device: Device) -> bool:
        """Tell whether arp_ignore forbids the answer: 1, unless the device has the address; 2, and the sender's subnet."""
        mode = self._arp_mode("arp_ignore", device)
        if not mode:
            return False
        if mode >= 8:
            return True
        own = [item for item in device.addresses if item.address == target]
        return not own or (mode == 2 and not any(sender in item.prefix for item in own))

    def _arp_mode(self, name: str, device: Device) -> int:
        namespace = self._namespace
        return max(
            int(namespace.sysctl_get(f"net.ipv4.conf.all.{name}")), int(namespace.sysctl_device(device, 4, name))
        )

    def solicited(self, packet: Packet, device: Device) -> None:
        """Take a neighbour solicitation (RFC 4861 §7.2.3)."""
        namespace = self._namespace
        message = packet.payload
        if len(message) < 24 or packet.ttl != 255:
            namespace.drop(packet, DropReason.MALFORMED, "neighbour solicitation", device=device.name)
            return
        target = message[8:24]
        if not any(item.address == target for item in device.addresses):
            return
        mac = _link_layer_option(message[24:], 1)
        src = packet.src
        if mac is not None and any(src):
            self._learnt(self._made(device, src), mac)
        dst = src if any(src) else _ALL_NODES
        flags = b"\x60\0\0\0" if any(src) else b"\x20\0\0\0"
        body = icmpv6_message(target, dst, NEIGHBOUR_ADVERTISEMENT, 0, flags, target + b"\x02\x01" + device.mac)
        if namespace.clock.context is not None:
            what = f"{format_ip(target)} is at {format_mac(device.mac)}"
            namespace.report(Step.NEIGHBOUR, what, packet, device=device.name)
        to_mac = mac or (multicast_mac(dst) if dst[0] == 0xFF else self.known_mac(device, dst) or MAC_BROADCAST)
        self._send_nd(device, to_mac, target, dst, body)

    def advertised(self, packet: Packet, device: Device) -> None:
        """Take a neighbour advertisement (RFC 4861 §7.2.5)."""
        message = packet.payload
        if len(message) < 24 or packet.ttl != 255:
            self._namespace.drop(packet, DropReason.MALFORMED, "neighbour advertisement", device=device.name)
            return
        claimed = _link_layer_option(message[24:], 2)
        if claimed is not None and self._namespace.has_address(message[8:24]):
            if not any(own.mac == claimed for own in self._namespace.devices.values()):
                head = device.mac + claimed + _IPV6
                duplicate_address(device, message[8:24], device.mac, claimed, head + packet.data)
            return
        entry = self.get(device, message[8:24])
        if entry is None or entry._state is NeighbourState.PERMANENT:
            return
        mac = _link_layer_option(message[24:], 2) or entry.mac
        if mac is None:
            return
        if message[4] & 0x40:
            self._confirmed(entry, mac)
        else:
            self._learnt(entry, mac)


def _permanent(device: Device, address: Address, mac: Mac, order: int) -> Neighbour:
    return Neighbour(device, address, mac, NeighbourState.PERMANENT, order=order)


def _link_layer_option(options: bytes, wanted: int) -> Mac | None:
    at = 0
    while at + 8 <= len(options):
        kind, size = options[at], options[at + 1] * 8
        if not size:
            return None
        if kind == wanted:
            return options[at + 2 : at + 8]
        at += size
    return None

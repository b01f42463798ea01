"""Neighbours: which MAC address answers for an address on the link, as `arp` (RFC 826) and `ndisc` (RFC 4861) found out.

States and times are Linux's (net/core/neighbour.c): an entry is REACHABLE for 30 s after it was confirmed, then
STALE; a STALE one is used at once and checked after 5 s, unless TCP made progress by way of it meanwhile; three unanswered
questions, a second of the timer wheel apart, make it FAILED.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from attrs import define

from cnmsim.kernel import arp, ndisc
from cnmsim.kernel.address import Address, Mac, format_ip, format_mac
from cnmsim.kernel.clock import NS_PER_S, Timer
from cnmsim.kernel.events import DropReason, NextHop, Step
from cnmsim.kernel.interning import InternedMultiMap
from cnmsim.kernel.skbuff import Packet

if TYPE_CHECKING:
    from cnmsim.kernel.device import Device
    from cnmsim.kernel.events import Observer
    from cnmsim.kernel.namespace import NetworkNamespace

_REACHABLE_NS = 30 * NS_PER_S
_DELAY_S = 5.0
_DELAY_NS = 5 * NS_PER_S
#: A second as neighbours' timers count it: the timer wheel (kernel/time/timer.c) rounds up, to 1.024 s from one expiry to the
#: next both at HZ 250 and at HZ 1000. Three of them thus end after what others time for the same three seconds.
_RETRANS_S = 1.024
_PROBES = 3
_QUEUE = 100
_IPV6 = b"\x86\xdd"


class NeighbourState(Enum):
    """NUD states, as `ip neigh` prints them."""

    INCOMPLETE = "INCOMPLETE"
    REACHABLE = "REACHABLE"
    STALE = "STALE"
    DELAY = "DELAY"
    PROBE = "PROBE"
    FAILED = "FAILED"
    PERMANENT = "PERMANENT"


#: Python looks a member of an enumeration up ten times as slowly as a name of its own module.
_INCOMPLETE, _REACHABLE, _STALE, _DELAY, _PROBE, _FAILED, _PERMANENT = NeighbourState
_USED_AS_IT_IS = (_DELAY, _PROBE, _PERMANENT)


@define(eq=False)
class Neighbour:
    """One entry: `mac` is `None` until the first answer; `queue` holds packets that wait for it.

    `order` tells which of a namespace came before.
    """

    device: Device
    address: Address
    mac: Mac | None = None
    _state: NeighbourState = _INCOMPLETE
    confirmed_ns: int = 0
    updated_ns: int = 0
    probes: int = 0
    timer: Timer | None = None
    queue: tuple[tuple[Packet, Observer | None], ...] = ()
    order: int = 0

    @property
    def state(self) -> NeighbourState:
        """The state at this moment of virtual time."""
        if self._state is _REACHABLE and self.device.clock.now_ns - self.confirmed_ns > _REACHABLE_NS:
            self._state = _STALE
        return self._state

    def usable_mac(self, now_ns: int) -> Mac | None:
        """Give the MAC if it can be sent to at that time with nothing else to do; never that of an entry that was deleted."""
        state = self._state
        if state is _REACHABLE:
            return self.mac if now_ns - self.confirmed_ns <= _REACHABLE_NS else None
        return self.mac if state in _USED_AS_IT_IS else None

    def confirm(self, now_ns: int) -> None:
        """Note that an upper layer gets through by way of it at that time (Linux: sock_confirm_neigh); its state waits for its timer."""
        if self._state is _REACHABLE and now_ns - self.confirmed_ns > _REACHABLE_NS:
            self._state = _STALE
        self.confirmed_ns = now_ns

    @property
    def is_permanent(self) -> bool:
        """Whether it was put there by hand, and nothing that comes in changes it."""
        return self._state is _PERMANENT

    def __str__(self) -> str:
        """Write the entry as `ip neigh` does."""
        lladdr = f" lladdr {format_mac(self.mac)}" if self.mac is not None else ""
        return f"{format_ip(self.address)} dev {self.device.name}{lladdr} {self.state.value}"


class NeighbourTable:
    """The neighbour entries of one namespace, both families.

    Permanent ones behind devices that many nodes have alike are among `fixed` until they are looked at. `pending_confirm` tells that
    the packet that goes out next shows, by what it answers, that its next hop gets packets through (Linux: dst_pending_confirm).
    """

    __slots__ = ("_entries", "_fixed", "_last", "_namespace", "pending_confirm")

    def __init__(self, namespace: NetworkNamespace) -> None:
        self._namespace = namespace
        self._entries: dict[tuple[Device, Address], Neighbour] = {}
        self._fixed: dict[Device, InternedMultiMap[Address, Mac]] | None = None  # few namespaces have any
        self._last = 0
        self.pending_confirm = False

    def entries(self) -> list[Neighbour]:
        """All entries, oldest first."""
        entries = list(self._entries.values())
        for device, fixed in (self._fixed or {}).items():
            entries += [_permanent(device, address, mac, order) for order, address, mac in fixed.ordered()]
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

    def get_or_create(self, device: Device, address: Address) -> Neighbour:
        """Give the entry of an address behind a device, made if there is none."""
        entry = self.get(device, address)
        if entry is None:
            self._last += 1
            entry = self._entries[device, address] = Neighbour(device, address, order=self._last)
        return entry

    def known_mac(self, device: Device, address: Address) -> Mac | None:
        """Give the MAC known for an address, without asking for it."""
        entry = self.get(device, address)
        return entry.mac if entry is not None else None

    def add_permanent(self, device: Device, address: Address, mac: Mac) -> bool:
        """Put a fixed entry, as `ip neigh add … nud permanent`; `False` if there is an entry, whatever its state."""
        if (device, address) in self._entries:
            return False
        fixed = self._fixed_of(device)
        if fixed is None:
            self.set_permanent(device, address, mac)
        elif fixed.add_key(address, mac, self._last + 1):
            self._last += 1
        else:
            return False
        return True

    def set_permanent(self, device: Device, address: Address, mac: Mac) -> None:
        """Put a fixed entry, as `ip neigh replace … nud permanent`."""
        fixed = self._fixed_of(device) if (device, address) not in self._entries else None
        if fixed is not None:
            self._last += 1
            fixed.set(address, mac, self._last)
            return
        entry = self.get_or_create(device, address)
        self._stop(entry)
        entry._state = _PERMANENT
        entry.mac = mac
        self._flush_queue(entry)

    def _fixed_of(self, device: Device) -> InternedMultiMap[Address, Mac] | None:
        """Give where a device's permanent entries are noted, if they are."""
        fixed = self._fixed.get(device) if self._fixed is not None else None
        if fixed is None and (shared := device.shared_neighbours()) is not None:
            if self._fixed is None:
                self._fixed = {}
            fixed = self._fixed[device] = InternedMultiMap(shared)
        return fixed

    def remove(self, device: Device, address: Address) -> None:
        """Delete an entry. Raises `OSError(ENOENT)` if there is none."""
        if self.get(device, address) is None:
            raise OSError(2, "No such file or directory")
        self._delete((device, address))

    def _delete(self, key: tuple[Device, Address]) -> None:
        entry = self._entries.pop(key)
        entry._state = _FAILED
        self._stop(entry)

    def remove_device(self, device: Device) -> None:
        """Forget every neighbour behind a device."""
        for key in [key for key in self._entries if key[0] is device]:
            self._delete(key)
        fixed = self._fixed.pop(device, None) if self._fixed is not None else None
        if fixed is not None:
            fixed.clear()

    def output(self, packet: Packet) -> None:
        """Send a packet to its next hop, when that one's MAC is known."""
        device = packet.outdev
        nexthop = packet.nexthop or packet.dst
        assert device is not None
        entry = self.get(device, nexthop)
        if self.pending_confirm:
            self.pending_confirm = False
            if entry is not None:
                entry.confirm(device.clock.now_ns)
        if entry is not None and entry.mac is not None:
            state = entry._state
            if state is _REACHABLE and device.clock.now_ns - entry.confirmed_ns > _REACHABLE_NS:
                state = entry._state = _STALE
            if state is _STALE:
                self._delay(entry)
            if state is not _FAILED:
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
        if entry is None or entry._state is _FAILED:
            entry = self.get_or_create(device, nexthop)
            entry._state = _INCOMPLETE
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
        unicast = entry.mac if entry._state is _PROBE else None
        self._ask(entry, hint, unicast)
        entry.timer = self._namespace.clock.call_later(_RETRANS_S, self._probe, entry, hint)

    def _ask(self, entry: Neighbour, hint: Address | None, unicast: Mac | None) -> None:
        device, target = entry.device, entry.address
        namespace = self._namespace
        if hint is not None and (
            not namespace.has_address(hint) or arp.must_not_announce(namespace, hint, target, device)
        ):
            hint = None
        src = namespace.select_source(target, device) if hint is None else hint
        if len(target) == 4:
            arp.ask(device, target, src, unicast)
        else:
            ndisc.solicit(namespace, device, target, src, unicast)

    def announce(self, device: Device, address: Address) -> None:
        """Tell all on the link, unasked, who has `address` (RFC 5227 §2.3, RFC 4861 §7.2.6)."""
        (arp.announce if len(address) == 4 else ndisc.announce)(device, address)

    def _failed(self, entry: Neighbour) -> None:
        entry._state = _FAILED
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
                detail=NextHop(entry.address),
            )
            namespace.send_host_unreachable(packet)
        clock.context = before

    def _delay(self, entry: Neighbour) -> None:
        entry._state = _DELAY
        if entry.timer is None:
            entry.timer = self._namespace.clock.call_later(_DELAY_S, self._delay_over, entry)

    def _delay_over(self, entry: Neighbour) -> None:
        entry.timer = None
        if entry._state is not _DELAY:
            return
        if self._namespace.clock.now_ns - entry.confirmed_ns <= _DELAY_NS:
            entry._state = _REACHABLE
            return
        entry._state = _PROBE
        entry.probes = 0
        self._probe(entry)

    def update_reachable(self, entry: Neighbour, mac: Mac) -> None:
        """Note a MAC from an answer."""
        self._stop(entry)
        if entry.mac != mac:
            entry.updated_ns = self._namespace.clock.now_ns
        entry.mac = mac
        entry._state = _REACHABLE
        entry.confirmed_ns = self._namespace.clock.now_ns
        self._flush_queue(entry)

    def update_stale(self, entry: Neighbour, mac: Mac) -> None:
        """Note a MAC from a question, not an answer: usable, but STALE (RFC 4861 §7.2.3)."""
        if entry._state is _PERMANENT:
            return
        if entry.mac != mac or entry.state in (_INCOMPLETE, _FAILED):
            self._stop(entry)
            entry.mac = mac
            entry.updated_ns = self._namespace.clock.now_ns
            entry._state = _STALE
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


def _permanent(device: Device, address: Address, mac: Mac, order: int) -> Neighbour:
    return Neighbour(device, address, mac, _PERMANENT, order=order)

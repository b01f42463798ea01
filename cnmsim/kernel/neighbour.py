"""The neighbour table: the MAC address of each address on the link (Linux: net/core/neighbour.c).

`arp` (RFC 826) and `ndisc` (RFC 4861) resolve addresses. States and times are Linux's: an entry is REACHABLE for
base_reachable_time_ms after it was confirmed, then STALE. A STALE entry is used at once and probed after 5 s, unless
TCP confirms it meanwhile. Three unanswered probes make it FAILED.

Linux draws the reachable time between half and one and a half times base_reachable_time_ms; here it is that value
itself.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum
from typing import TYPE_CHECKING

from attrs import define

from cnmsim.kernel import arp, ndisc
from cnmsim.kernel.address import Address, Mac, format_ip, format_mac
from cnmsim.kernel.clock import NS_PER_S, Timer
from cnmsim.kernel.events import DropReason, NextHop, Step
from cnmsim.kernel.packet import ADDRESS_UNREACHABLE
from cnmsim.kernel.skbuff import Packet

if TYPE_CHECKING:
    from cnmsim.kernel.device import Device
    from cnmsim.kernel.events import Observer
    from cnmsim.kernel.namespace import NetworkNamespace

_NS_PER_MS = 1_000_000
#: The factor by which neighbour timers run longer than requested: the timer wheel (kernel/time/timer.c) rounds 1 s up
#: to 1.024 s, at HZ 250 and at HZ 1000.
_TIMER_WHEEL_FACTOR = 1.024
#: The maximum number of packets that wait for one resolution; Linux limits their bytes instead (unres_qlen_bytes).
_MAX_QUEUE = 100
_ETHERTYPE_IPV4, _ETHERTYPE_IPV6 = b"\x08\x00", b"\x86\xdd"


class NeighbourState(Enum):
    """NUD states, as `ip neigh` prints them."""

    INCOMPLETE = "INCOMPLETE"
    REACHABLE = "REACHABLE"
    STALE = "STALE"
    DELAY = "DELAY"
    PROBE = "PROBE"
    FAILED = "FAILED"
    PERMANENT = "PERMANENT"


#: In Python, looking up an enumeration member takes ten times as long as a module-level name.
_INCOMPLETE, _REACHABLE, _STALE, _DELAY, _PROBE, _FAILED, _PERMANENT = NeighbourState
#: States in which sending neither changes the state nor starts a timer.
_USABLE_AS_IS = (_DELAY, _PROBE, _PERMANENT)


@define(eq=False)
class Neighbour:
    """One entry (Linux: struct neighbour).

    `mac` is `None` until it is resolved; `queue` holds the packets that wait for it. A REACHABLE entry stays so until
    `reachable_until_ns`. `order` is its position when the table is listed.
    """

    device: Device
    address: Address
    mac: Mac | None = None
    _state: NeighbourState = _INCOMPLETE
    confirmed_ns: int = 0
    reachable_until_ns: int = 0
    updated_ns: int = 0
    probes: int = 0
    timer: Timer | None = None
    queue: tuple[tuple[Packet, Observer | None], ...] = ()
    order: int = 0

    @property
    def state(self) -> NeighbourState:
        """The state at this moment of virtual time."""
        if self._state is _REACHABLE and self.device.clock.now_ns > self.reachable_until_ns:
            self._expire_reachable()
        return self._state

    def _expire_reachable(self) -> None:
        """Make a REACHABLE entry STALE when its time has expired.

        If the entry was confirmed since, extend its time instead.
        """
        self.reachable_until_ns = self.confirmed_ns + self.parameter("base_reachable_time_ms") * _NS_PER_MS
        if self.device.clock.now_ns > self.reachable_until_ns:
            self._state = _STALE

    def usable_mac(self, now_ns: int) -> Mac | None:
        """Return the MAC if a frame can be sent to it without a probe or a change of state.

        Otherwise, and for a deleted entry, return `None`.
        """
        state = self._state
        if state is _REACHABLE:
            return self.mac if now_ns <= self.reachable_until_ns else None
        return self.mac if state in _USABLE_AS_IS else None

    def confirm(self, now_ns: int) -> None:
        """Record that the neighbour is reachable at `now_ns`, because TCP received an acknowledgement through it.

        The state changes only later: when the REACHABLE time or the DELAY of the entry ends. Source: neigh_confirm.
        """
        if self._state is _REACHABLE and now_ns > self.reachable_until_ns:
            self._expire_reachable()
        self.confirmed_ns = now_ns

    def parameter(self, name: str) -> int:
        """Return a neighbour sysctl of this entry's device and family (Linux: neigh->parms)."""
        namespace = self.device.namespace
        assert namespace is not None
        family = "ipv4" if len(self.address) == 4 else "ipv6"
        return int(namespace.sysctl_get(f"net.{family}.neigh.{self.device.name}.{name}"))

    @property
    def is_permanent(self) -> bool:
        """Whether the entry was configured, so that received messages do not change it."""
        return self._state is _PERMANENT

    def __str__(self) -> str:
        """Format the entry as `ip neigh` does."""
        lladdr = f" lladdr {format_mac(self.mac)}" if self.mac is not None else ""
        return f"{format_ip(self.address)} dev {self.device.name}{lladdr} {self.state.value}"


class NeighbourTable:
    """The neighbour entries of one namespace, for both families.

    An overlay node has a permanent entry for each endpoint of a network, but sends to few of them. To save memory,
    the permanent entries of a device that has `interned_neighbours` are stored in that map, whose pool nodes share.
    An entry is moved into this table when it is first looked up.

    TCP sets `pending_confirm` before it sends a segment, if new data has been acknowledged since the previous segment
    was sent. The entry of the segment's next hop is then confirmed (Linux: dst_pending_confirm).
    """

    __slots__ = ("_entries", "_last_order", "_namespace", "pending_confirm")

    def __init__(self, namespace: NetworkNamespace) -> None:
        self._namespace = namespace
        self._entries: dict[tuple[Device, Address], Neighbour] = {}
        self._last_order = 0
        self.pending_confirm = False

    def entries(self) -> list[Neighbour]:
        """Return all entries, oldest first."""
        entries = list(self._entries.values())
        for device in self._namespace.devices.values():
            interned = device.interned_neighbours
            if interned is not None:
                entries += [_permanent(device, address, mac, order) for order, address, mac in interned.ordered()]
        return sorted(entries, key=lambda entry: entry.order)

    def get(self, device: Device, address: Address) -> Neighbour | None:
        """Return the entry of an address on a device, or `None` if there is none."""
        entry = self._entries.get((device, address))
        if entry is None and device.interned_neighbours is not None:
            popped = device.interned_neighbours.pop(address)
            if popped is not None:
                order, mac = popped
                entry = self._entries[device, address] = _permanent(device, address, mac, order)
        return entry

    def get_or_create(self, device: Device, address: Address) -> Neighbour:
        """Return the entry of an address on a device, creating an INCOMPLETE one if there is none (neigh_create)."""
        entry = self.get(device, address)
        if entry is None:
            self._last_order += 1
            entry = self._entries[device, address] = Neighbour(device, address, order=self._last_order)
        return entry

    def known_mac(self, device: Device, address: Address) -> Mac | None:
        """Return the MAC address that the table has for an address on a device, or `None` if it has none.

        No request is sent.
        """
        entry = self.get(device, address)
        return entry.mac if entry is not None else None

    def add_permanent(self, device: Device, address: Address, mac: Mac) -> bool:
        """Add an entry that maps `address` to `mac`, as `ip neigh add … nud permanent` does.

        Return `False`, without a change, if an entry in any state exists.
        """
        if (device, address) in self._entries:
            return False
        interned = device.interned_neighbours
        if interned is None:
            self.set_permanent(device, address, mac)
        elif interned.add_key(address, mac, self._last_order + 1):
            self._last_order += 1
        else:
            return False
        return True

    def set_permanent(self, device: Device, address: Address, mac: Mac) -> None:
        """Add or replace the entry of `address`, as `ip neigh replace … nud permanent` does."""
        interned = device.interned_neighbours
        if interned is not None and (device, address) not in self._entries:
            self._last_order += 1
            interned.set(address, mac, self._last_order)
            return
        entry = self.get_or_create(device, address)
        self._cancel_timer(entry)
        entry._state = _PERMANENT
        entry.mac = mac
        self._send_queued(entry)

    def remove(self, device: Device, address: Address) -> None:
        """Delete the entry of an address on a device. Raises `OSError(ENOENT)` if there is none."""
        if self.get(device, address) is None:
            raise OSError(2, "No such file or directory")
        self._delete((device, address))

    def _delete(self, key: tuple[Device, Address]) -> None:
        entry = self._entries.pop(key)
        entry._state = _FAILED
        self._cancel_timer(entry)

    def remove_device(self, device: Device) -> None:
        """Delete every entry on a device (neigh_ifdown)."""
        for key in [key for key in self._entries if key[0] is device]:
            self._delete(key)
        if device.interned_neighbours is not None:
            device.interned_neighbours.clear()

    def remove_ipv6(self, devices: Collection[Device]) -> None:
        """Delete the IPv6 entries on devices whose IPv6 was switched off (rt6_disable_ip calls neigh_ifdown)."""
        for key in [key for key in self._entries if len(key[1]) == 16 and key[0] in devices]:
            self._delete(key)

    def output(self, packet: Packet) -> None:
        """Send a packet to its next hop; if the MAC is unknown, resolve it first (neigh_output)."""
        device = packet.outdev
        nexthop = packet.nexthop or packet.dst
        assert device is not None
        entry = self.get(device, nexthop)
        if self.pending_confirm:
            self.pending_confirm = False
            if entry is not None:
                entry.confirm(device.clock.now_ns)
        if entry is not None and entry.mac is not None:
            state = entry.state
            if state is _STALE:
                self._enter_delay(entry)
            if state is not _FAILED:
                ethertype = _ETHERTYPE_IPV4 if packet.family == 4 else _ETHERTYPE_IPV6
                device.transmit(entry.mac + device.mac + ethertype + packet.data)
                return
        self._resolve(device, nexthop, packet)

    def _resolve(self, device: Device, nexthop: Address, packet: Packet) -> None:
        namespace = self._namespace
        if device.no_arp:  # the neighbour gets the device's own address (arp_constructor)
            ethertype = _ETHERTYPE_IPV4 if packet.family == 4 else _ETHERTYPE_IPV6
            device.transmit(device.mac + device.mac + ethertype + packet.data)
            return
        entry = self.get(device, nexthop)
        if entry is None or entry._state is _FAILED:
            entry = self.get_or_create(device, nexthop)
            entry._state = _INCOMPLETE
            entry.mac = None
            entry.probes = 0
        if len(entry.queue) >= _MAX_QUEUE:
            namespace.drop(packet, DropReason.NEIGHBOUR_QUEUE_FULL, device=device.name)
            return
        if namespace.clock.context is not None:
            verb = "who has" if len(nexthop) == 4 else "solicits"
            namespace.report(
                Step.NEIGHBOUR, f"{verb} {format_ip(nexthop)}?", packet, device=device.name, decision=str(entry)
            )
        entry.queue += ((packet, namespace.clock.context),)
        if entry.timer is None:
            self._probe(entry, packet.src)

    def resolve(self, device: Device, address: Address) -> Neighbour:
        """Return the entry of an address, and send a request if its MAC is unknown.

        The answer sets the MAC. After the last request without an answer the entry is FAILED.
        """
        entry = self.get_or_create(device, address)
        if entry._state is _FAILED or (entry.mac is None and entry.timer is None):
            entry._state, entry.mac, entry.probes = _INCOMPLETE, None, 0
            self._probe(entry)
        return entry

    def _probe(self, entry: Neighbour, hint: Address | None = None) -> None:
        """Send a request for the MAC of an entry, and schedule the next request.

        `hint` is the preferred source address. The entry fails after ucast_solicit unicast or mcast_solicit multicast
        requests without an answer (neigh_max_probes).
        """
        entry.timer = None
        is_unicast = entry._state is _PROBE
        if entry.probes >= entry.parameter("ucast_solicit" if is_unicast else "mcast_solicit"):
            self._fail(entry)
            return
        entry.probes += 1
        self._solicit(entry, hint, entry.mac if is_unicast else None)
        delay_s = entry.parameter("retrans_time_ms") / 1000 * _TIMER_WHEEL_FACTOR
        entry.timer = self._namespace.clock.call_later(delay_s, self._probe, entry, hint)

    def _solicit(self, entry: Neighbour, hint: Address | None, to: Mac | None) -> None:
        """Send a request for the MAC address of the entry.

        It is sent to the MAC `to` or, if that is `None`, as a multicast or broadcast. The source address is `hint` if
        it is an address of this namespace and the sysctl arp_announce permits it.
        """
        device, target = entry.device, entry.address
        namespace = self._namespace
        if hint is not None and (
            not namespace.has_address(hint) or arp.must_not_announce(namespace, hint, target, device)
        ):
            hint = None
        src = namespace.select_source(target, device) if hint is None else hint
        if len(target) == 4:
            arp.send_request(device, target, src, to)
        else:
            ndisc.send_solicitation(namespace, device, target, src, to)

    def announce(self, device: Device, address: Address) -> None:
        """Send a gratuitous ARP request (RFC 5227 §2.3) or an unsolicited advertisement (RFC 4861 §7.2.6)."""
        (arp.announce if len(address) == 4 else ndisc.announce)(device, address)

    def _fail(self, entry: Neighbour) -> None:
        entry._state = _FAILED
        queue, entry.queue = entry.queue, ()
        namespace = self._namespace
        clock = namespace.clock
        context_before = clock.context
        for packet, context in queue:
            clock.context = context
            namespace.drop(
                packet,
                DropReason.NEIGHBOUR_FAILED,
                f"no host on {entry.device.name} answers for {format_ip(entry.address)}",
                device=entry.device.name,
                decision=str(entry),
                detail=NextHop(entry.address),
            )
            namespace.send_icmp_error(packet, *ADDRESS_UNREACHABLE[packet.family])
        clock.context = context_before

    def _enter_delay(self, entry: Neighbour) -> None:
        entry._state = _DELAY
        if entry.timer is None:
            delay_s = entry.parameter("delay_first_probe_time")
            entry.timer = self._namespace.clock.call_later(delay_s, self._end_delay, entry)

    def _end_delay(self, entry: Neighbour) -> None:
        """Return the entry to REACHABLE if it was confirmed during the delay, otherwise start to probe it."""
        entry.timer = None
        if entry._state is not _DELAY:
            return
        if self._namespace.clock.now_ns - entry.confirmed_ns <= entry.parameter("delay_first_probe_time") * NS_PER_S:
            self._set_reachable(entry)
            return
        entry._state = _PROBE
        entry.probes = 0
        self._probe(entry)

    def _set_reachable(self, entry: Neighbour) -> None:
        entry._state = _REACHABLE
        entry.reachable_until_ns = entry.confirmed_ns + entry.parameter("base_reachable_time_ms") * _NS_PER_MS

    def update_reachable(self, entry: Neighbour, mac: Mac) -> None:
        """Store the MAC from an answer to our own request, and make the entry REACHABLE.

        Linux: neigh_update with NUD_REACHABLE.
        """
        self._cancel_timer(entry)
        if entry.mac != mac:
            entry.updated_ns = self._namespace.clock.now_ns
        entry.mac = mac
        entry.confirmed_ns = self._namespace.clock.now_ns
        self._set_reachable(entry)
        self._send_queued(entry)

    def update_stale(self, entry: Neighbour, mac: Mac) -> None:
        """Store the MAC of a neighbour that has sent a request.

        If the entry had no MAC address or a different one, it becomes STALE: usable, but to be verified.

        Source: RFC 4861 §7.2.3; neigh_update with NUD_STALE.
        """
        if entry._state is _PERMANENT:
            return
        if entry.mac != mac or entry.state in (_INCOMPLETE, _FAILED):
            self._cancel_timer(entry)
            entry.mac = mac
            entry.updated_ns = self._namespace.clock.now_ns
            entry._state = _STALE
            self._send_queued(entry)

    def _cancel_timer(self, entry: Neighbour) -> None:
        if entry.timer is not None:
            entry.timer.cancel()
            entry.timer = None

    def _send_queued(self, entry: Neighbour) -> None:
        queue, entry.queue = entry.queue, ()
        clock = self._namespace.clock
        context_before = clock.context
        for packet, context in queue:
            clock.context = context
            self.output(packet)
        clock.context = context_before


def _permanent(device: Device, address: Address, mac: Mac, order: int) -> Neighbour:
    return Neighbour(device, address, mac, _PERMANENT, order=order)

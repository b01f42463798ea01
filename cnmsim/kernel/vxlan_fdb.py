"""The forwarding database of a VXLAN device: the tunnel endpoint (VTEP) of each MAC address.

Source: drivers/net/vxlan/vxlan_core.c of Linux 6.1 (vxlan_fdb_update, vxlan_fdb_delete, vxlan_snoop, vxlan_cleanup).
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Literal

from attrs import define

from cnmsim.kernel.address import MAC_ZERO, Address, Mac, format_ip, format_mac
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.interning import InternedMultiMap, InternPool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cnmsim.kernel.clock import Clock

PERMANENT = "permanent"
#: The seconds after its last use at which a learned entry expires (FDB_AGE_DEFAULT).
DEFAULT_AGEING_S = 300.0
#: The modes of `add`: fail if the entry exists, replace it, or append a VTEP to it.
FdbMode = Literal["exclusive", "replace", "append"]


@define(eq=False)
class VxlanEntry:
    """A MAC address and its VTEPs.

    Only the default entry, 00:00:00:00:00:00, and multicast addresses may have several VTEPs.

    `state` is the text that `bridge fdb` prints: `permanent`, `static`, or "" for a learned entry, which expires.
    `order` is the entry's position when the table is listed. `used_ns` is the virtual time of its last use.
    """

    mac: Mac
    remotes: list[Address]
    state: str
    used_ns: int
    order: int = 0

    def __str__(self) -> str:
        """Format the entry as `bridge fdb` does."""
        tail = f" {self.state}" if self.state else " "
        return "\n".join(f"{format_mac(self.mac)} dst {format_ip(one)} self{tail}" for one in self.remotes)


def _permanent(mac: Mac, vtep: Address, order: int) -> VxlanEntry:
    return VxlanEntry(mac, [vtep], PERMANENT, 0, order)


def _may_have_many(mac: Mac) -> bool:
    return bool(mac[0] & 1) or mac == MAC_ZERO


class VxlanFdb:
    """The forwarding database of one device. The VTEPs of all entries have the address family `family` (4 or 6).

    A learned entry expires `ageing_s` seconds after its last use. A node has a permanent entry for each endpoint of a
    network, but sends to few of them. To save memory, permanent unicast entries are stored in `pool`, which all nodes
    share, and are moved into this table when they are first looked up.
    """

    __slots__ = ("_clock", "_entries", "_interned", "_last_order", "_vtep_length", "ageing_s", "family")

    def __init__(
        self,
        clock: Clock,
        family: int = 4,
        pool: InternPool[Mac, Address] | None = None,
        *,
        ageing_s: float = DEFAULT_AGEING_S,
    ) -> None:
        self._clock = clock
        self.family = family
        self._vtep_length = 16 if family == 6 else 4
        self._entries: dict[Mac, VxlanEntry] = {}
        self._interned: InternedMultiMap[Mac, Address] = InternedMultiMap(pool)
        self._last_order = 0
        self.ageing_s = ageing_s

    def __iter__(self) -> Iterator[VxlanEntry]:
        """Iterate over the entries that have not expired, oldest first."""
        entries = [entry for entry in self._entries.values() if not self._has_aged_out(entry)]
        entries += [_permanent(mac, vtep, order) for order, mac, vtep in self._interned.ordered()]
        return iter(sorted(entries, key=lambda entry: entry.order))

    def _has_aged_out(self, entry: VxlanEntry) -> bool:
        return not entry.state and self._clock.now_ns - entry.used_ns >= self.ageing_s * NS_PER_S

    def find(self, mac: Mac) -> VxlanEntry | None:
        """Return the entry of a MAC address, or `None` if there is none.

        The lookup counts as a use and restarts the entry's ageing.
        """
        entry = self._entries.get(mac) or self._materialise(mac)
        if entry is None:
            return None
        if not entry.state:
            if self._has_aged_out(entry):
                del self._entries[mac]
                return None
            entry.used_ns = self._clock.now_ns
        return entry

    def peek(self, mac: Mac) -> VxlanEntry | None:
        """Return the entry of a MAC address, or `None` if there is none, without restarting the entry's ageing."""
        entry = self._entries.get(mac) or self._materialise(mac)
        return None if entry is None or self._has_aged_out(entry) else entry

    def _materialise(self, mac: Mac) -> VxlanEntry | None:
        """Move the entry of a MAC address from the shared pool into this table, and return it.

        Return `None` if the pool has no entry of this device for the address.
        """
        popped = self._interned.pop(mac)
        if popped is None:
            return None
        order, vtep = popped
        entry = self._entries[mac] = _permanent(mac, vtep, order)
        return entry

    def _put(self, mac: Mac, vtep: Address, state: str) -> None:
        old = self._entries.get(mac)  # an expired entry keeps its position
        self._last_order += 1
        order = self._last_order if old is None else old.order
        self._entries[mac] = VxlanEntry(mac, [vtep], state, self._clock.now_ns, order)

    def add(self, mac: Mac, vtep: Address, *, mode: FdbMode = "exclusive", state: str = PERMANENT) -> None:
        """Map a MAC address to a VTEP. `state` is as in `VxlanEntry`.

        If there is an entry, `mode` decides: `exclusive` raises EEXIST (also for a learned entry), `replace` replaces
        its VTEPs, and `append` adds one to an entry that may have several. Raises `OSError`: EEXIST, EOPNOTSUPP for
        `replace` of a multicast or the default entry, EAFNOSUPPORT for a VTEP of the other family.
        """
        if len(vtep) != self._vtep_length:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        if _may_have_many(mac):
            if mode == "replace":
                raise OSError(errno.EOPNOTSUPP, "Cannot replace non-unicast fdb entries")
        elif (
            state == PERMANENT
            and mac not in self._entries
            and self._interned.add_key(mac, vtep, self._last_order + 1)
        ):
            self._last_order += 1
            return
        entry = self.peek(mac)
        if entry is None:
            self._put(mac, vtep, state)
            return
        if mode == "exclusive":
            raise OSError(errno.EEXIST, "File exists")
        entry.state, entry.used_ns = state, self._clock.now_ns
        if mode == "replace":
            entry.remotes = [vtep]
        elif _may_have_many(mac) and vtep not in entry.remotes:
            entry.remotes.append(vtep)

    def remove(self, mac: Mac, vtep: Address | None = None) -> None:
        """Delete an entry, or only the VTEP `vtep` from it. Raises `OSError(ENOENT)` if the entry does not exist.

        As in Linux, nothing happens if the entry does not have that VTEP.
        """
        entry = self.peek(mac)
        if entry is None:
            raise OSError(errno.ENOENT, "No such file or directory")
        if vtep in entry.remotes and len(entry.remotes) > 1:
            entry.remotes.remove(vtep)
        elif vtep is None or vtep in entry.remotes:
            del self._entries[mac]

    def clear(self) -> None:
        """Delete all entries, because the device is being removed."""
        self._entries.clear()
        self._interned.clear()

    def flush_learned(self) -> None:
        """Delete the learned entries, because the device went down (vxlan_flush)."""
        self._entries = {mac: entry for mac, entry in self._entries.items() if entry.state}

    def learn(self, mac: Mac, vtep: Address) -> bool:
        """Store the VTEP from which a frame with the source address `mac` was received (vxlan_snoop).

        Return True if it was stored or known. Return `False` if a permanent or static entry maps the address to
        another VTEP.
        """
        entry = self.find(mac)
        if entry is None:
            self._put(mac, vtep, "")
        elif entry.remotes[0] != vtep:
            if entry.state:
                return False
            entry.remotes[0] = vtep
        return True

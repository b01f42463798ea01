"""The forwarding table of a VXLAN device: behind which tunnel endpoint (VTEP) a MAC address is.

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
#: How an entry is put: only if there is none, instead of what is there, or beside it.
FdbMode = Literal["exclusive", "replace", "append"]


@define(eq=False)
class VxlanEntry:
    """A MAC address and its VTEPs (several only for the default entry, 00:00:00:00:00:00, and groups).

    `state` is as `bridge fdb` prints it: `permanent` or `static` for entries that stay, "" for one that ages. `order` tells
    which came before.
    """

    mac: Mac
    remotes: list[Address]
    state: str
    used_ns: int
    order: int = 0

    @property
    def is_fixed(self) -> bool:
        """Whether it neither ages nor moves."""
        return bool(self.state)

    def __str__(self) -> str:
        """Write the entry as `bridge fdb` does."""
        tail = f" {self.state}" if self.state else " "
        return "\n".join(f"{format_mac(self.mac)} dst {format_ip(one)} self{tail}" for one in self.remotes)


def _permanent(mac: Mac, vtep: Address, order: int) -> VxlanEntry:
    return VxlanEntry(mac, [vtep], PERMANENT, 0, order)


def _may_have_many(mac: Mac) -> bool:
    return bool(mac[0] & 1) or mac == MAC_ZERO


class VxlanFdb:
    """The table of one device, whose VTEPs are all of one `family` (4 or 6).

    `ageing_s` is how long a learnt entry outlives its last use, in seconds. Permanent entries are among `fixed` until they are
    looked at: a node has one for each endpoint of a network, and sends to few of them.
    """

    __slots__ = ("_clock", "_entries", "_fixed", "_last", "_length", "ageing_s", "family")

    def __init__(self, clock: Clock, family: int = 4, fixed: InternPool[Mac, Address] | None = None) -> None:
        self._clock = clock
        self.family = family
        self._length = 16 if family == 6 else 4
        self._entries: dict[Mac, VxlanEntry] = {}
        self._fixed: InternedMultiMap[Mac, Address] = InternedMultiMap(fixed)
        self._last = 0
        self.ageing_s = 300.0

    def __iter__(self) -> Iterator[VxlanEntry]:
        """Go through the entries that have not aged, oldest first."""
        entries = [entry for entry in self._entries.values() if not self._is_over(entry)]
        entries += [_permanent(mac, vtep, order) for order, mac, vtep in self._fixed.ordered()]
        return iter(sorted(entries, key=lambda entry: entry.order))

    def _is_over(self, entry: VxlanEntry) -> bool:
        return not entry.state and self._clock.now_ns - entry.used_ns >= self.ageing_s * NS_PER_S

    def find(self, mac: Mac) -> VxlanEntry | None:
        """Give the entry of a MAC address and note that it was used."""
        entry = self._entries.get(mac) or self._take_up(mac)
        if entry is None:
            return None
        if not entry.state:
            if self._is_over(entry):
                del self._entries[mac]
                return None
            entry.used_ns = self._clock.now_ns
        return entry

    def peek(self, mac: Mac) -> VxlanEntry | None:
        """Give the entry of a MAC address without using it."""
        entry = self._entries.get(mac) or self._take_up(mac)
        return None if entry is None or self._is_over(entry) else entry

    def _take_up(self, mac: Mac) -> VxlanEntry | None:
        """Make an entry of its own of one that was only noted."""
        found = self._fixed.pop(mac)
        if found is None:
            return None
        order, vtep = found
        entry = self._entries[mac] = _permanent(mac, vtep, order)
        return entry

    def _put(self, mac: Mac, vtep: Address, state: str) -> None:
        before = self._entries.get(mac)  # one that has aged
        self._last += 1
        order = self._last if before is None else before.order
        self._entries[mac] = VxlanEntry(mac, [vtep], state, self._clock.now_ns, order)

    def add(self, mac: Mac, vtep: Address, *, mode: FdbMode = "exclusive", state: str = PERMANENT) -> None:
        """Put a MAC address behind a VTEP.

        Raises `OSError`: EEXIST if `mode` is `exclusive` and there is an entry (a learnt one counts), EOPNOTSUPP for
        `replace` of a group's or the default entry, EAFNOSUPPORT for a VTEP of the other family.
        """
        if len(vtep) != self._length:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        if _may_have_many(mac):
            if mode == "replace":
                raise OSError(errno.EOPNOTSUPP, "Cannot replace non-unicast fdb entries")
        elif state == PERMANENT and mac not in self._entries and self._fixed.add_key(mac, vtep, self._last + 1):
            self._last += 1
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
        """Delete an entry, or one VTEP of several. Raises `OSError(ENOENT)` if there is none.

        As in Linux it is no error that the entry has another VTEP: nothing happens then.
        """
        entry = self.peek(mac)
        if entry is None:
            raise OSError(errno.ENOENT, "No such file or directory")
        if vtep in entry.remotes and len(entry.remotes) > 1:
            entry.remotes.remove(vtep)
        elif vtep is None or vtep in entry.remotes:
            del self._entries[mac]

    def clear(self) -> None:
        """Forget everything: the device is removed."""
        self._entries.clear()
        self._fixed.clear()

    def flush_learnt(self) -> None:
        """Forget what does not stay: the device went down."""
        self._entries = {mac: entry for mac, entry in self._entries.items() if entry.state}

    def learn(self, mac: Mac, vtep: Address) -> bool:
        """Note behind which VTEP a source MAC was seen; `False` if a fixed entry says another one (vxlan_snoop)."""
        entry = self.find(mac)
        if entry is None:
            self._put(mac, vtep, "")
        elif entry.remotes[0] != vtep:
            if entry.state:
                return False
            entry.remotes[0] = vtep
        return True

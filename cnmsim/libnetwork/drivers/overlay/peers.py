"""The peer database of an overlay network, and the neighbour and FDB entries that it programs, by release.

Two peers can have the same address for a while: a container has moved, and the deletion of the old record arrives
after the creation of the new one. Only one of them is programmed; the other one is when that one is deleted. Source:
moby `drivers/overlay/peerdb.go` (v28.5.2, docker-v29.7.2), `osl/neigh_linux.go`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import ClassVar, Protocol

from attrs import define, field

from cnmsim.errors import SystemFault
from cnmsim.kernel.address import Address, Mac
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.interning import InternedMultiMap, intern_pool
from cnmsim.kernel.vxlan import Vxlan
from cnmsim.libnetwork.drivers.overlay.peer_record import Peer


class Tunnels(Protocol):
    """The network that a peer database belongs to."""

    def tunnel_to(self, address: Address, length: int) -> Vxlan | None:
        """Return the VXLAN device of an address's subnet, created on demand, or `None` while there is no namespace.

        Raises `SystemFault` if no subnet contains the address, or if the devices cannot be created.
        """

    def existing_tunnel(self, address: Address, length: int) -> Vxlan | None:
        """Return the VXLAN device of an address's subnet, or `None`."""

    def secure(self, vtep: Address) -> None:
        """Set up encryption towards a VTEP, if the network is encrypted."""

    def release(self, vtep: Address) -> None:
        """Release the encryption state of one peer behind a VTEP."""


@define(eq=False)
class PeerDatabase(ABC):
    """The peers of one network. `_programmed` are the pairs of VTEP (or address) and MAC that are in the kernel."""

    tunnels: Tunnels
    log: Callable[[str], None]
    _peers: InternedMultiMap[Hashable, Peer] = field(factory=InternedMultiMap)
    _programmed: InternedMultiMap[Address, Mac] = field(factory=InternedMultiMap)

    POOLS: ClassVar[tuple[str, str]]
    INIT_FAILURE: ClassVar[str]

    @classmethod
    def of_network(cls, clock: Clock, network_id: str, tunnels: Tunnels, log: Callable[[str], None]) -> PeerDatabase:
        """Create the peers of a network. Nodes of one lab share the entries that they have in common."""
        peers, programmed = cls.POOLS
        return cls(
            tunnels,
            log,
            InternedMultiMap(intern_pool(clock, peers, network_id)),
            InternedMultiMap(intern_pool(clock, programmed, network_id)),
        )

    @abstractmethod
    def add(self, peer: Peer) -> None:
        """Add a peer, and program it."""

    @abstractmethod
    def delete(self, peer: Peer) -> None:
        """Delete a peer, and program another one with its address if there is one."""

    @abstractmethod
    def _program(self, peer: Peer) -> None:
        """Write the kernel's entries of a peer."""

    def _try(self, work: Callable[[Peer], None], peer: Peer, failure: str) -> None:
        try:
            work(peer)
        except (SystemFault, OSError) as error:
            self.log(f"{failure}: {error}")

    def program_all(self) -> None:
        """Program the first peer of each key: the namespace is new."""
        first_peers: dict[Hashable, Peer] = {}
        for key, peer in self._peers.items():
            first_peers.setdefault(key, peer)
        for peer in first_peers.values():
            self._try(self._program, peer, self.INIT_FAILURE)

    def reset_kernel_state(self) -> None:
        """Forget what was programmed: it went with the namespace."""
        self._programmed.clear()

    def vteps(self) -> list[Address]:
        """Return the VTEPs of all peers, without duplicates."""
        return list(dict.fromkeys(peer.vtep for _, peer in self._peers.items() if peer.vtep is not None))

    def clear(self) -> None:
        """Forget everything: the network is deleted."""
        self._peers.clear()
        self.reset_kernel_state()


@define(eq=False)
class PeersByPair(PeerDatabase):
    """Peers by address and MAC, with a record of the entries that were written (26.1, 28.5)."""

    POOLS: ClassVar[tuple[str, str]] = "peers by pair", "written peers"
    INIT_FAILURE: ClassVar[str] = "Peer operation failed"

    def add(self, peer: Peer) -> None:
        """Add a peer, and program it unless one with the same address and MAC is."""
        self._peers.add((peer.address, peer.mac), peer)
        self._try(self._program, peer, "Peer operation failed")

    def _program(self, peer: Peer) -> None:
        if peer.vtep is None:
            return
        tunnel = self.tunnels.tunnel_to(peer.address, peer.length)
        if tunnel is None:
            return
        assert tunnel.namespace is not None
        self.tunnels.secure(peer.vtep)
        if not self._programmed.add(peer.address, peer.mac):
            return
        tunnel.namespace.neighbours.set_permanent(tunnel, peer.address, peer.mac)
        if self._programmed.has(peer.vtep, peer.mac):
            raise SystemFault(f"could not add fdb entry for eid:{peer.endpoint_id} into the sandbox")
        tunnel.fdb.add(peer.mac, peer.vtep, mode="replace")
        self._programmed.add(peer.vtep, peer.mac)

    def delete(self, peer: Peer) -> None:
        """Delete a peer. The neighbour entry is removed by its address alone, even if another peer wrote it last."""
        self._peers.discard((peer.address, peer.mac), peer)
        self._try(self._withdraw, peer, "Peer operation failed")

    def _withdraw(self, peer: Peer) -> None:
        if peer.vtep is not None:
            tunnel = self.tunnels.existing_tunnel(peer.address, peer.length)
            if tunnel is None or not self._programmed.discard(peer.vtep, peer.mac):
                return
            assert tunnel.namespace is not None
            with suppress(FileNotFoundError):
                tunnel.fdb.remove(peer.mac, peer.vtep)
            if tunnel.master is not None:
                tunnel.master.fdb.pop(peer.mac, None)
            if self._programmed.discard(peer.address, peer.mac):
                with suppress(FileNotFoundError):
                    tunnel.namespace.neighbours.remove(tunnel, peer.address)
        if (peer.address, peer.mac) in self._peers:
            self._program(next(other for _, other in self._peers.items() if other.address == peer.address))


@define(eq=False)
class PeersByAddress(PeerDatabase):
    """Peers by address. Entries are written only where the kernel has none, and FDB entries are counted (29.x).

    `_programmed` holds the pairs of VTEP and MAC with a count of one, as nearly all have; `_counts` the other counts
    but zero.
    """

    POOLS: ClassVar[tuple[str, str]] = "peers by address", "counted peers"
    INIT_FAILURE: ClassVar[str] = "failed to initialize network peer database"
    _counts: dict[tuple[Address, Mac], int] = field(factory=dict, init=False)

    def add(self, peer: Peer) -> None:
        """Add a peer, and program it unless another one has its address."""
        self._peers.add((peer.address, peer.length), peer)
        try:
            self._program(peer)
        except FileExistsError as error:
            if len(self._peers.all((peer.address, peer.length))) <= 1:
                self.log(f"overlay: failed to add peer entry: {error.strerror}")
        except SystemFault as error:
            self.log(f"overlay: failed to add peer entry: {error.message}")

    def _program(self, peer: Peer) -> None:
        """Write the neighbour entry, then the FDB entry. Raises `FileExistsError` if the kernel has one already."""
        if peer.vtep is None:
            return
        tunnel = self.tunnels.tunnel_to(peer.address, peer.length)
        if tunnel is None:
            return
        assert tunnel.namespace is not None
        self.tunnels.secure(peer.vtep)
        if not tunnel.namespace.neighbours.add_permanent(tunnel, peer.address, peer.mac):
            raise FileExistsError(17, "could not add neighbor entry into the sandbox")
        if self._count(peer.vtep, peer.mac, 1) == 1:
            tunnel.fdb.add(peer.mac, peer.vtep)

    def _count(self, vtep: Address, mac: Mac, change: int) -> int:
        if change == 1 and not self._counts and self._programmed.add(vtep, mac):
            return 1
        # Deleting a peer that was never programmed counts down too: below zero, as in the driver.
        count = 1 if self._programmed.discard(vtep, mac) else self._counts.pop((vtep, mac), 0)
        count += change
        if count == 1:
            self._programmed.add(vtep, mac)
        elif count:
            self._counts[vtep, mac] = count
        return count

    def delete(self, peer: Peer) -> None:
        """Delete a peer, and program another one that has its address."""
        key = peer.address, peer.length
        self._peers.discard(key, peer)
        left = self._peers.first(key)
        try:
            self._withdraw(peer)
        except FileNotFoundError as error:
            if left is not None:
                # The other one is the one that is programmed.
                return
            self.log(f"Peer delete operation failed: {error.strerror}")
        if left is not None:
            self._try(self._program, left, "peer delete operation failed")

    def _withdraw(self, peer: Peer) -> None:
        """Remove a peer's entries from the kernel. Raises `FileNotFoundError` for one that is missing."""
        tunnel = self.tunnels.existing_tunnel(peer.address, peer.length)
        if tunnel is None or peer.vtep is None:
            return
        assert tunnel.namespace is not None
        self.tunnels.release(peer.vtep)
        if self._count(peer.vtep, peer.mac, -1) == 0:
            tunnel.fdb.remove(peer.mac, peer.vtep)
            if tunnel.master is not None:
                tunnel.master.fdb.pop(peer.mac, None)
        tunnel.namespace.neighbours.remove(tunnel, peer.address)

    def reset_kernel_state(self) -> None:
        """Start the counts anew: what they count went with the namespace."""
        super().reset_kernel_state()
        self._counts.clear()

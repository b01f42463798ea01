"""The peer database of an overlay network, and the neighbour and FDB entries that it writes to the kernel.

When a container has moved, two peers have the same address for a while: the deletion of the old record may arrive
after the creation of the new one. The kernel has entries for only one of the two; when that peer is deleted, entries
for the other one are written. The details depend on the release. Source: moby `drivers/overlay/peerdb.go` (v28.5.2,
docker-v29.7.2), `osl/neigh_linux.go`.
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
    """The functions of an overlay network that its peer database calls."""

    def tunnel_to(self, address: Address, length: int) -> Vxlan | None:
        """Return the VXLAN device of the subnet that contains `address`, creating it if missing.

        `length` is the prefix length of the subnet. Return `None` if the network has no namespace.

        Raises `SystemFault` if no subnet contains the address, or if the devices cannot be created.
        """

    def existing_tunnel(self, address: Address, length: int) -> Vxlan | None:
        """Return the VXLAN device of the subnet that contains `address`, or `None` if it does not exist."""

    def secure(self, vtep: Address) -> None:
        """If the network is encrypted, set up IPsec with another node, whose tunnel endpoint is `vtep`."""

    def release(self, vtep: Address) -> None:
        """Release one peer's use of the IPsec states with the node whose tunnel endpoint is `vtep`."""


@define(eq=False)
class PeerDatabase(ABC):
    """The peers of one network that one node knows: endpoints on this node and on others.

    `_programmed` records which entries are in the kernel: FDB entries as pairs of VTEP (tunnel endpoint) and MAC
    address; in 26.1 and 28.5 also neighbour entries, as pairs of address and MAC address. `POOLS` are the names of
    the pools in which all nodes of a lab share equal peers and equal pairs. `INIT_FAILURE` begins the log line for a
    failure of `program_all`.
    """

    tunnels: Tunnels
    log: Callable[[str], None]
    _peers: InternedMultiMap[Hashable, Peer] = field(factory=InternedMultiMap)
    _programmed: InternedMultiMap[Address, Mac] = field(factory=InternedMultiMap)

    POOLS: ClassVar[tuple[str, str]]
    INIT_FAILURE: ClassVar[str]

    @classmethod
    def of_network(cls, clock: Clock, network_id: str, tunnels: Tunnels, log: Callable[[str], None]) -> PeerDatabase:
        """Create one node's peer database for a network. `log` is called with each log line of the daemon.

        To save memory, all nodes of a lab share one copy of identical entries.
        """
        peers, programmed = cls.POOLS
        return cls(
            tunnels,
            log,
            InternedMultiMap(intern_pool(clock, peers, network_id)),
            InternedMultiMap(intern_pool(clock, programmed, network_id)),
        )

    @abstractmethod
    def add(self, peer: Peer) -> None:
        """Add a peer, and write its neighbour and FDB entries to the kernel."""

    @abstractmethod
    def delete(self, peer: Peer) -> None:
        """Delete a peer, and remove its neighbour and FDB entries from the kernel.

        If another peer has the same key, write that peer's entries instead. The subclasses define the key.
        """

    @abstractmethod
    def _program(self, peer: Peer) -> None:
        """Write a peer's neighbour and FDB entries to the kernel."""

    def _secured_tunnel(self, peer: Peer) -> Vxlan | None:
        """Return the VXLAN device to a peer, with IPsec set up if the network is encrypted.

        Return `None` for a peer on this node, or if the network has no namespace.
        """
        tunnel = self.tunnels.tunnel_to(peer.address, peer.length) if peer.vtep is not None else None
        if tunnel is not None and peer.vtep is not None:
            self.tunnels.secure(peer.vtep)
        return tunnel

    def _try(self, work: Callable[[Peer], None], peer: Peer, failure: str) -> None:
        try:
            work(peer)
        except (SystemFault, OSError) as error:
            self.log(f"{failure}: {error}")

    def program_all(self) -> None:
        """Write the entries of all peers to the kernel, because the network's namespace is new.

        Of several peers with the same key only the first one is written. The subclasses define the key.
        """
        first_peers: dict[Hashable, Peer] = {}
        for key, peer in self._peers.items():
            first_peers.setdefault(key, peer)
        for peer in first_peers.values():
            self._try(self._program, peer, self.INIT_FAILURE)

    def reset_kernel_state(self) -> None:
        """Forget which entries are in the kernel, because the namespace was deleted."""
        self._programmed.clear()

    def vteps(self) -> list[Address]:
        """Return the tunnel endpoints (VTEPs) of all peers on other nodes, without duplicates."""
        return list(dict.fromkeys(peer.vtep for _, peer in self._peers.items() if peer.vtep is not None))

    def clear(self) -> None:
        """Remove all peers, because the network is deleted."""
        self._peers.clear()
        self.reset_kernel_state()


@define(eq=False)
class PeersByPair(PeerDatabase):
    """A peer database whose key is the pair of address and MAC address (26.1, 28.5)."""

    POOLS: ClassVar[tuple[str, str]] = "peers by pair", "written peers"
    INIT_FAILURE: ClassVar[str] = "Peer operation failed"

    def add(self, peer: Peer) -> None:
        """Add a peer.

        Its entries are written to the kernel, unless those of a peer with the same address and MAC address are there.
        """
        self._peers.add((peer.address, peer.mac), peer)
        self._try(self._program, peer, "Peer operation failed")

    def _program(self, peer: Peer) -> None:
        if (tunnel := self._secured_tunnel(peer)) is None:
            return
        assert tunnel.namespace is not None
        assert peer.vtep is not None
        if not self._programmed.add(peer.address, peer.mac):
            return
        tunnel.namespace.neighbours.set_permanent(tunnel, peer.address, peer.mac)
        if self._programmed.has(peer.vtep, peer.mac):
            raise SystemFault(f"could not add fdb entry for eid:{peer.endpoint_id} into the sandbox")
        tunnel.fdb.add(peer.mac, peer.vtep, mode="replace")
        self._programmed.add(peer.vtep, peer.mac)

    def delete(self, peer: Peer) -> None:
        """Delete a peer, and remove its FDB entry and the neighbour entry of its address from the kernel.

        The neighbour entry is removed even if another peer with this address, but a different MAC address, has
        replaced it.
        """
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
    """A peer database whose key is the address with its prefix length (29.x).

    A peer's entries are written only if the kernel has no neighbour entry for its address. Each FDB entry has a use
    count, as several peers can have the same MAC address and VTEP.

    `_programmed` holds the pairs of VTEP and MAC address whose use count is 1, as nearly all are. `_counts` holds all
    other counts except 0.
    """

    POOLS: ClassVar[tuple[str, str]] = "peers by address", "counted peers"
    INIT_FAILURE: ClassVar[str] = "failed to initialize network peer database"
    _counts: dict[tuple[Address, Mac], int] = field(factory=dict, init=False)

    def add(self, peer: Peer) -> None:
        """Add a peer.

        Its entries are written to the kernel, unless those of another peer with the same address are there.
        """
        self._peers.add((peer.address, peer.length), peer)
        try:
            self._program(peer)
        except FileExistsError as error:
            if len(self._peers.all((peer.address, peer.length))) <= 1:
                self.log(f"overlay: failed to add peer entry: {error.strerror}")
        except SystemFault as error:
            self.log(f"overlay: failed to add peer entry: {error.message}")

    def _program(self, peer: Peer) -> None:
        """Write the neighbour entry, then the FDB entry.

        Raises `FileExistsError` if the kernel has a neighbour entry already.
        """
        if (tunnel := self._secured_tunnel(peer)) is None:
            return
        assert tunnel.namespace is not None
        assert peer.vtep is not None
        if not tunnel.namespace.neighbours.add_permanent(tunnel, peer.address, peer.mac):
            raise FileExistsError(17, "could not add neighbor entry into the sandbox")
        if self._count(peer.vtep, peer.mac, 1) == 1:
            tunnel.fdb.add(peer.mac, peer.vtep)

    def _count(self, vtep: Address, mac: Mac, change: int) -> int:
        if change == 1 and not self._counts and self._programmed.add(vtep, mac):
            return 1
        # The deletion of a peer that was never written also decrements: the count becomes negative, as in the driver.
        count = 1 if self._programmed.discard(vtep, mac) else self._counts.pop((vtep, mac), 0)
        count += change
        if count == 1:
            self._programmed.add(vtep, mac)
        elif count:
            self._counts[vtep, mac] = count
        return count

    def delete(self, peer: Peer) -> None:
        """Delete a peer. If another peer has the same address, write that peer's entries to the kernel instead."""
        key = peer.address, peer.length
        self._peers.discard(key, peer)
        left = self._peers.first(key)
        try:
            self._withdraw(peer)
        except FileNotFoundError as error:
            if left is not None:
                # The remaining peer is the one in the kernel.
                return
            self.log(f"Peer delete operation failed: {error.strerror}")
        if left is not None:
            self._try(self._program, left, "peer delete operation failed")

    def _withdraw(self, peer: Peer) -> None:
        """Remove a peer's neighbour entry from the kernel, and its FDB entry if no other peer uses that.

        Raises `FileNotFoundError` if the kernel lacks one of the entries.
        """
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
        """Forget which entries are in the kernel, and their use counts, because the namespace was deleted."""
        super().reset_kernel_state()
        self._counts.clear()

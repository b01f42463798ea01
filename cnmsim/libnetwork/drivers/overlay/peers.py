"""Which peers a network has behind its tunnels, and what of that is in the kernel, by release.

Two peers may have one address for a while: a container has moved, and the news of its two ends cross. Then one of them is
programmed, and the other when that one goes. Source: moby `drivers/overlay/peerdb.go` (v28.5.2, docker-v29.7.2),
`osl/neigh_linux.go`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Protocol

from attrs import define, field

from cnmsim.errors import SystemFault
from cnmsim.kernel.address import Address, Mac
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.interning import InternedMultiMap, entries_of
from cnmsim.kernel.vxlan import Vxlan
from cnmsim.libnetwork.drivers.overlay.peer_record import Peer


class Tunnels(Protocol):
    """The network the peers are of."""

    def tunnel_to(self, address: Address, length: int) -> Vxlan | None:
        """Give the VXLAN device of an address's subnet, made if need be; `None` while there is no namespace.

        Raises `SystemFault` if the address is of none of the subnets, or its devices cannot be made.
        """

    def existing_tunnel(self, address: Address, length: int) -> Vxlan | None:
        """Give the VXLAN device of an address's subnet if there is one."""

    def secure(self, vtep: Address) -> None:
        """Begin to encrypt what goes to a VTEP, if the network is encrypted."""

    def release(self, vtep: Address) -> None:
        """Take note that a peer behind that VTEP is gone."""


class PeerDatabase(Protocol):
    """The peers of one network."""

    def add(self, peer: Peer) -> None:
        """Take a peer in, and program it."""

    def delete(self, peer: Peer) -> None:
        """Forget a peer, and program another in its place if there is one."""

    def program_all(self) -> None:
        """Program all peers: the namespace is new."""

    def reset_kernel_state(self) -> None:
        """Take note that the namespace is gone, and all that was programmed with it."""

    def vteps(self) -> list[Address]:
        """Give the tunnel endpoints that peers are behind, each once."""

    def clear(self) -> None:
        """Forget everything: the network is deleted."""


@define(eq=False)
class PeersByPair:
    """Peers by address and MAC, with a record of what was written to the kernel (26.1, 28.5)."""

    tunnels: Tunnels
    log: Callable[[str], None]
    _peers: InternedMultiMap[tuple[Address, Mac], Peer] = field(factory=InternedMultiMap)
    _programmed: InternedMultiMap[Address, Mac] = field(factory=InternedMultiMap)

    @classmethod
    def of_network(cls, clock: Clock, network_id: str, tunnels: Tunnels, log: Callable[[str], None]) -> PeersByPair:
        """Make the peers of a network that other nodes of the lab have as well."""
        peers = InternedMultiMap[tuple[Address, Mac], Peer](entries_of(clock, "peers by pair", network_id))
        return cls(tunnels, log, peers, InternedMultiMap(entries_of(clock, "written peers", network_id)))

    def add(self, peer: Peer) -> None:
        """Take a peer in, and program it unless one with the same address and MAC is."""
        self._peers.add((peer.address, peer.mac), peer)
        self._try(self._program, peer)

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
        """Forget a peer. The neighbour goes by its address alone, even if another peer wrote it last."""
        self._peers.discard((peer.address, peer.mac), peer)
        self._try(self._withdraw, peer)

    def _withdraw(self, peer: Peer) -> None:
        if peer.vtep is not None:
            tunnel = self.tunnels.existing_tunnel(peer.address, peer.length)
            if tunnel is None or not self._programmed.discard(peer.vtep, peer.mac):
                return
            assert tunnel.namespace is not None
            _delete_quietly(lambda: tunnel.fdb.remove(peer.mac, peer.vtep))
            if tunnel.master is not None:
                tunnel.master.fdb.pop(peer.mac, None)
            if self._programmed.discard(peer.address, peer.mac):
                namespace = tunnel.namespace
                _delete_quietly(lambda: namespace.neighbours.remove(tunnel, peer.address))
        if (peer.address, peer.mac) in self._peers:
            self._program(next(other for (address, _), other in self._peers.items() if address == peer.address))

    def _try(self, work: Callable[[Peer], None], peer: Peer) -> None:
        try:
            work(peer)
        except (SystemFault, OSError) as error:
            self.log(f"Peer operation failed: {error}")

    def program_all(self) -> None:
        """Program one peer of each address and MAC."""
        for peer in _first_of_each(self._peers.items()):
            self._try(self._program, peer)

    def reset_kernel_state(self) -> None:
        """Start the record of what was written anew."""
        self._programmed.clear()

    def vteps(self) -> list[Address]:
        """Give the tunnel endpoints that peers are behind, each once."""
        return _vteps(self._peers.items())

    def clear(self) -> None:
        """Forget everything: the network is deleted."""
        self._peers.clear()
        self._programmed.clear()


@define(eq=False)
class PeersByAddress:
    """Peers by address; entries are written only where the kernel has none, and FDB entries are counted (29.x)."""

    tunnels: Tunnels
    log: Callable[[str], None]
    _peers: InternedMultiMap[tuple[Address, int], Peer] = field(factory=InternedMultiMap)
    #: The pairs of tunnel endpoint and MAC that count one, as nearly all do; the count of the others but zero.
    _single: InternedMultiMap[Address, Mac] = field(factory=InternedMultiMap)
    _counts: dict[tuple[Address, Mac], int] = field(factory=dict, init=False)

    @classmethod
    def of_network(
        cls, clock: Clock, network_id: str, tunnels: Tunnels, log: Callable[[str], None]
    ) -> PeersByAddress:
        """Make the peers of a network that other nodes of the lab have as well."""
        peers = InternedMultiMap[tuple[Address, int], Peer](entries_of(clock, "peers by address", network_id))
        return cls(tunnels, log, peers, InternedMultiMap(entries_of(clock, "counted peers", network_id)))

    def add(self, peer: Peer) -> None:
        """Take a peer in, and program it unless another has its address."""
        self._peers.add((peer.address, peer.length), peer)
        try:
            self._program(peer)
        except FileExistsError as error:
            if len(self._peers.all((peer.address, peer.length))) <= 1:
                self.log(f"overlay: failed to add peer entry: {error.strerror}")
        except SystemFault as error:
            self.log(f"overlay: failed to add peer entry: {error.message}")

    def _program(self, peer: Peer) -> None:
        """Write the neighbour, then the FDB entry. Raises `FileExistsError` if the kernel has one already."""
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
        if change == 1 and not self._counts and self._single.add(vtep, mac):
            return 1
        # A peer that was never programmed counts down all the same when it goes: below zero, as in the driver.
        count = 1 if self._single.discard(vtep, mac) else self._counts.pop((vtep, mac), 0)
        count += change
        if count == 1:
            self._single.add(vtep, mac)
        elif count:
            self._counts[vtep, mac] = count
        return count

    def delete(self, peer: Peer) -> None:
        """Forget a peer, and program another that has its address."""
        key = peer.address, peer.length
        self._peers.discard(key, peer)
        left = self._peers.first(key)
        try:
            self._withdraw(peer)
        except FileNotFoundError as error:
            if left is not None:
                # It was the other one that is programmed.
                return
            self.log(f"Peer delete operation failed: {error.strerror}")
        if left is not None:
            try:
                self._program(left)
            except (FileExistsError, SystemFault) as error:
                self.log(f"peer delete operation failed: {error}")

    def _withdraw(self, peer: Peer) -> None:
        """Take a peer out of the kernel. Raises `FileNotFoundError` for what is not there."""
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

    def program_all(self) -> None:
        """Program one peer of each address."""
        for peer in _first_of_each(self._peers.items()):
            try:
                self._program(peer)
            except (FileExistsError, SystemFault) as error:
                self.log(f"failed to initialize network peer database: {error}")

    def reset_kernel_state(self) -> None:
        """Start the counts anew."""
        self._single.clear()
        self._counts.clear()

    def vteps(self) -> list[Address]:
        """Give the tunnel endpoints that peers are behind, each once."""
        return _vteps(self._peers.items())

    def clear(self) -> None:
        """Forget everything: the network is deleted."""
        self._peers.clear()
        self.reset_kernel_state()


def _first_of_each(peers: Iterable[tuple[Hashable, Peer]]) -> list[Peer]:
    """Give the first peer of each key."""
    first_peers: dict[Hashable, Peer] = {}
    for key, peer in peers:
        first_peers.setdefault(key, peer)
    return list(first_peers.values())


def _vteps(peers: Iterable[tuple[Hashable, Peer]]) -> list[Address]:
    return list(dict.fromkeys(peer.vtep for _, peer in peers if peer.vtep is not None))


def _delete_quietly(delete: Callable[[], None]) -> None:
    """Delete an entry of the kernel that may have gone by itself."""
    try:
        delete()
    except FileNotFoundError:
        return

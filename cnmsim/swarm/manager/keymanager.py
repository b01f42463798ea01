"""Encryption keys of a cluster: three for gossip and three for IPsec.

Every twelve hours the oldest gossip key and the oldest IPsec key are replaced.

Source: moby/swarmkit `manager/keymanager/keymanager.go`.
"""

from __future__ import annotations

from random import Random

from attrs import evolve

from cnmsim.swarm.objects import EncryptionKey
from cnmsim.swarm.store import Store
from cnmsim.swarm.store.loop import StoreLoop

GOSSIP = "networking:gossip"
IPSEC = "networking:ipsec"
_KEY_BYTES = 16
_RING_SIZE = 3
_ROTATION_S = 12 * 3600.0


class KeyManager(StoreLoop):
    """Creates and rotates the cluster's keys. The keys are in the store, so that a new leader continues with them."""

    def __init__(self, store: Store, random: Random) -> None:
        super().__init__(store)
        self._random = random

    def start(self) -> None:
        """Create the first keys if there are none, and start the rotation timer."""
        if not self._store.cluster.network_bootstrap_keys:
            lamport = self._random.getrandbits(16)
            keys: list[EncryptionKey] = []
            for subsystem in (GOSSIP, IPSEC):
                for _ in range(_RING_SIZE):
                    lamport += 1
                    keys.append(self._make(subsystem, lamport))
            self._write(keys, lamport)
        self._timer = self._store.call_later(_ROTATION_S, self._tick)

    def _tick(self) -> None:
        self._timer = self._store.call_later(_ROTATION_S, self._tick)
        self.rotate()

    def rotate(self) -> None:
        """Replace the oldest gossip key and the oldest IPsec key."""
        cluster = self._store.cluster
        lamport = cluster.encryption_key_lamport_clock
        keys: list[EncryptionKey] = []
        for subsystem in dict.fromkeys(key.subsystem for key in cluster.network_bootstrap_keys):
            ring = [key for key in cluster.network_bootstrap_keys if key.subsystem == subsystem]
            if len(ring) == _RING_SIZE:
                ring.remove(min(ring, key=lambda key: key.lamport_time))
            lamport += 1
            keys.extend((*ring, self._make(subsystem, lamport)))
        self._write(keys, lamport)

    def _make(self, subsystem: str, lamport: int) -> EncryptionKey:
        return EncryptionKey(subsystem, self._random.randbytes(_KEY_BYTES), lamport)

    def _write(self, keys: list[EncryptionKey], lamport: int) -> None:
        cluster = evolve(
            self._store.cluster, network_bootstrap_keys=tuple(keys), encryption_key_lamport_clock=lamport
        )
        self._store.update(lambda tx: tx.replace(cluster))

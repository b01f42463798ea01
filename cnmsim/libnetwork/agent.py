"""The agent: a daemon's part in the control plane of a swarm's networks.

It owns this node's NetworkDB, tells the drivers of keys and nodes, and carries table entries of endpoints to and fro.
Source: moby `daemon/libnetwork/agent.go` (docker-v29.7.2), `libnetwork/agent.go` (v26.1.5, v28.5.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from cnmsim.errors import SystemFault
from cnmsim.kernel.address import Address

if TYPE_CHECKING:
    from cnmsim.libnetwork.controller import Controller

GOSSIP = "networking:gossip"
IPSEC = "networking:ipsec"
#: How many keys of each subsystem there are at any time (moby `keyringSize`).
KEYS_PER_SUBSYSTEM = 3
GOSSIP_PORT = 7946
VXLAN_PORT = 4789


@frozen
class EncryptionKey:
    """A key the swarm's manager gave out. `algorithm` 0 is AES-128-GCM; the younger a key, the higher `lamport_time`."""

    subsystem: str
    algorithm: int
    key: bytes = field(repr=False)
    lamport_time: int


@frozen
class AgentConfig:
    """What the agent of one node is started with.

    `bind_addr` is the address gossip listens on (all zeros: any), `advertise_addr` the one others reach it by,
    `data_path_addr` the one of its VXLAN tunnels (`None`: the advertised one). `remotes` are the addresses of managers.
    """

    bind_addr: Address
    advertise_addr: Address
    data_path_addr: Address | None = None
    data_path_port: int = VXLAN_PORT
    node_id: str = ""
    keys: Sequence[EncryptionKey] = ()
    remotes: Sequence[Address] = ()

    @property
    def tunnel_addr(self) -> Address:
        """The address its tunnels end at."""
        return self.data_path_addr or self.advertise_addr


@frozen
class PeerInfo:
    """A node that has a network too: its name in the gossip cluster and its address."""

    name: str
    ip: Address


@define(eq=False)
class Agent:
    """The agent of one controller, made by `Controller.agent_start`."""

    controller: Controller = field(repr=False)
    config: AgentConfig
    keys: list[EncryptionKey] = field(factory=list, repr=False)

    def join(self, remotes: Sequence[Address]) -> None:
        """Join the gossip cluster of `remotes`."""

    def stop(self) -> None:
        """Leave the gossip cluster."""


def check_keys(keys: Sequence[EncryptionKey]) -> None:
    """Refuse a set of keys that is not complete. Raises `SystemFault` in the engine's words."""
    counts: dict[str, int] = {}
    for key in keys:
        if key.subsystem not in {GOSSIP, IPSEC}:
            raise SystemFault("key received for unrecognized subsystem")
        counts[key.subsystem] = counts.get(key.subsystem, 0) + 1
    for subsystem, count in counts.items():
        if count != KEYS_PER_SUBSYSTEM:
            raise SystemFault(f"incorrect number of keys for subsystem {subsystem}")


def keys_of(keys: Sequence[EncryptionKey], subsystem: str) -> list[EncryptionKey]:
    """Give the keys of a subsystem, the primary one first (moby `getKeys`)."""
    found = sorted((key for key in keys if key.subsystem == subsystem), key=lambda key: key.lamport_time)
    if len(found) > 1:
        found[0], found[1] = found[1], found[0]
    return found

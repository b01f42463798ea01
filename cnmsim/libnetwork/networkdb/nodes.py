"""The nodes of the cluster of databases: those that are active, failed (unreachable) or departed (left).

Source: moby `libnetwork/networkdb/nodemgmt.go` (docker-v29.7.2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from attrs import define, field

from cnmsim.kernel.address import Address
from cnmsim.kernel.clock import NS_PER_S, Clock
from cnmsim.libnetwork.networkdb.messages import Member

#: For how many seconds a node that failed or left is remembered. During that time, connecting to a failed one is
#: retried.
NODE_REAP_S = 24 * 3600.0


@define(eq=False)
class Nodes:
    """The nodes of the cluster that one node knows, as three dicts by name: `active`, `failed` and `departed`.

    `own` is this node's own name, address and port. `on_gone` is called with the name of each node that failed or
    left. `ltimes` contains the Lamport time of the last event about each node, by name.
    """

    clock: Clock
    own: tuple[str, Address, int]
    on_gone: Callable[[str], None]
    active: dict[str, Member] = field(factory=dict, init=False)
    failed: dict[str, Member] = field(factory=dict, init=False)
    departed: dict[str, Member] = field(factory=dict, init=False)
    ltimes: dict[str, int] = field(factory=dict, init=False)
    _gone_ns: dict[str, int] = field(factory=dict, init=False)
    _addresses: set[Address] = field(factory=set, init=False)

    def find(self, name: str) -> Member | None:
        """Return the node with this name in any state, or `None` if it is unknown."""
        return self.active.get(name) or self.failed.get(name) or self.departed.get(name)

    def handle_join(self, member: Member) -> None:
        """Handle a node that joined.

        A known node with another name but the same address and port was an earlier run of the same daemon: mark that
        node as departed.
        """
        if self.find(member.name) is not None:
            self.activate(member.name)
            return
        name, *place = self.own
        if member.name != name and [member.address, member.port] == place:
            # An earlier run of this node's own daemon, which the others still list.
            self.departed[member.name] = member
            return
        if member.address in self._addresses:
            self._retire_earlier(member)
        self._addresses.add(member.address)
        self.active[member.name] = member

    def _retire_earlier(self, member: Member) -> None:
        for nodes in (self.active, self.failed):
            for name, other in nodes.items():
                if other.socket_address == member.socket_address and name != member.name:
                    self.retire(name)
                    return

    def activate(self, name: str) -> bool:
        """Move a node to `active`. Return `False` if it is there already, or unknown."""
        return self._move(name, self.active)

    def fail(self, name: str) -> bool:
        """Move a node to `failed`. Return `False` if it is there already, or unknown."""
        return self._move(name, self.failed)

    def retire(self, name: str) -> bool:
        """Move a node to `departed`. Return `False` if it is there already, or unknown."""
        return self._move(name, self.departed)

    def _move(self, name: str, target: dict[str, Member]) -> bool:
        if name in target:
            return False
        for nodes in (self.active, self.failed, self.departed):
            member = nodes.pop(name, None)
            if member is not None:
                break
        else:
            return False
        target[name] = member
        if target is self.active:
            self._gone_ns.pop(name, None)
            return True
        self._gone_ns.setdefault(name, self.clock.now_ns)
        self.on_gone(name)
        return True

    def reap(self) -> None:
        """Remove the nodes that failed or left more than a day ago."""
        horizon_ns = self.clock.now_ns - round(NODE_REAP_S * NS_PER_S)
        for name, gone_ns in list(self._gone_ns.items()):
            if gone_ns < horizon_ns:
                del self._gone_ns[name]
                self.failed.pop(name, None)
                self.departed.pop(name, None)
                self.ltimes.pop(name, None)


def random_nodes(random: Random, names: Sequence[str], count: int) -> list[str]:
    """Return up to `count` random elements of `names`, in random order."""
    size = len(names)
    if size <= 3 * count:
        return random.sample(names, min(count, size))
    chosen: list[str] = []
    while len(chosen) < count:
        name = names[int(random.random() * size)]
        if name not in chosen:
            chosen.append(name)
    return chosen

"""Hosts on one Ethernet segment, each with a database, and the few words in which these tests speak of them."""

from __future__ import annotations

from cnmsim.kernel.address import parse_ip
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.device import Nic
from cnmsim.kernel.machine import Machine
from cnmsim.kernel.process import Process
from cnmsim.libnetwork.networkdb.context import NetworkDBConfig
from cnmsim.libnetwork.networkdb.convergence import converge
from cnmsim.libnetwork.networkdb.networkdb import NetworkDB
from cnmsim.libnetwork.networkdb.tables import WatchEvent
from cnmsim.libnetwork.profile import PROFILES
from cnmsim.underlay.segment import Segment

KEY = b"k" * 16


async def _dockerd(process: Process) -> int:
    await process.exited
    return 0


class Cluster:
    def __init__(self, count: int, version: str = "29.7.2", *, seed: int = 0, join: bool = True) -> None:
        self.clock = Clock(seed)
        self.version = version
        self.segment = Segment("lan", self.clock)
        self.machines: list[Machine] = []
        self.dbs: list[NetworkDB] = []
        self.seen: list[list[WatchEvent]] = []
        for number in range(count):
            self.machines.append(self._machine(number))
            self.start(number)
        if join:
            for number in range(1, count):
                self.join(number)
            self.settle()

    def _machine(self, number: int) -> Machine:
        machine = Machine(f"node{number}", self.clock)
        machine.root.loopback.set_up()
        nic = Nic("eth0", bytes([2, 0, 0, 0, number >> 8, number & 255]), self.clock)
        machine.root.add_device(nic)
        machine.root.add_address(nic, f"{self.address(number)}/16")
        nic.set_up()
        self.segment.attach(nic)
        return machine

    @staticmethod
    def address(number: int) -> str:
        return f"10.0.{number // 250}.{number % 250 + 1}"

    def start(self, number: int, name: str = "", keys: list[bytes] | None = None) -> NetworkDB:
        machine = self.machines[number]
        process = machine.spawn(_dockerd, ["/usr/bin/dockerd"])
        config = NetworkDBConfig(
            name or f"{number:012x}", bytes(4), parse_ip(self.address(number)), PROFILES[self.version],
            keys=[KEY] if keys is None else keys,
        )  # fmt: skip
        db = NetworkDB(process, self.clock.stream(f"gossip/{number}/{name}"), config)
        if number < len(self.dbs):
            self.dbs[number] = db
            self.seen[number] = []
        else:
            self.dbs.append(db)
            self.seen.append([])
        db.watch("t", "", self.seen[number].append)
        return db

    def join(self, number: int, other: int = 0) -> None:
        self.dbs[number].join([parse_ip(self.address(other))])

    def attach(self, network: str, *numbers: int) -> None:
        for number in numbers or range(len(self.dbs)):
            self.dbs[number].join_network(network)
        self.settle()

    def settle(self, limit_s: float = 120) -> float:
        """Let time pass until all agree; the seconds that took."""
        return converge(self.clock, limit_s)

    def run(self, seconds: float) -> None:
        self.clock.run_for(seconds)

    def iptables(self, number: int, arguments: str) -> None:
        self.machines[number].root.netfilter.iptables(4).execute(arguments.split())

    def values(self, number: int, network: str = "n1") -> dict[str, object]:
        return self.dbs[number].entries("t", network)

    def active(self, number: int) -> set[str]:
        return {self.dbs[number].nodes.active[name].name[-1] for name in self.dbs[number].nodes.active}

    def crash(self, number: int) -> None:
        self.dbs[number].process.kill()

    def unplug(self, number: int) -> None:
        nic = self.machines[number].root.devices["eth0"]
        assert isinstance(nic, Nic)
        self.segment.detach(nic)

    def plug(self, number: int) -> None:
        nic = self.machines[number].root.devices["eth0"]
        assert isinstance(nic, Nic)
        self.segment.attach(nic)

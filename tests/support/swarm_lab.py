"""A swarm on real wires, for tests of what befalls it."""

from __future__ import annotations

from collections.abc import Callable

from cnmsim import Lab
from cnmsim.engine.engine import Engine


class Swarm:
    """Nodes of a swarm on one segment; `web` runs three tasks behind port 8080."""

    def __init__(self, count: int = 3, managers: int = 1) -> None:
        self.lab = Lab()
        for number in range(1, count + 1):
            self.lab.add_host(f"node{number}", f"10.9.0.{number}/24", docker=True)
        self.lab.add_host("client", "10.9.0.100/24")
        one = self.engine(1)
        one.swarm.init(advertise_addr="10.9.0.1")
        tokens = one.swarm.tokens
        for number in range(2, count + 1):
            token = tokens.manager if number <= managers else tokens.worker
            self.engine(number).swarm.join(token, "10.9.0.1:2377")
        one.networks.create("net", driver="overlay", attachable=True)
        self.web = one.services.create("nginx", name="web", replicas=count, networks=["net"], ports={8080: 80})
        self.lab.settle()
        one.containers.run("busybox", "sleep 1d", name="c1", network="net", detach=True)
        self.lab.settle()

    def engine(self, number: int) -> Engine:
        return self.lab.hosts[f"node{number}"].docker

    def after(self, holds: Callable[[], bool], limit_s: float = 90.0) -> float:
        """Let time pass until `holds()`, and say how long that took."""
        begun = self.lab.now
        while not holds():
            assert self.lab.now - begun < limit_s, "it never came"
            self.lab.run(0.1)
        return self.lab.now - begun

    def status(self, name: str) -> str:
        return next(node.status for node in self.engine(1).nodes.list() if node.hostname == name)

    def running(self) -> list[str]:
        names = {node.id: node.hostname for node in self.engine(1).nodes.list()}
        return sorted(
            names[task["NodeID"]]
            for task in self.web.tasks({"desired-state": "running"})
            if task["Status"]["State"] == "running"
        )

    def backends(self) -> int:
        answer = self.engine(1).containers.get("c1").exec_run(["nslookup", "tasks.web"])
        return answer.output.decode().count("Address") - 1

"""A lab with one Docker host, and a plugin in this program that makes its devices on that host."""

from __future__ import annotations

from pathlib import Path

from cnmsim import Lab
from cnmsim.engine.engine import Engine
from cnmsim.libnetwork.plugins import PluginPolicy
from cnmsim.testing.plugin import PluginServer


class PatientTime:
    """Time that passes only while somebody sleeps; `slept` lists for how long."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now(self) -> float:
        return sum(self.slept)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


class Stage:
    """What a test has: the lab, its engine, the plugin, and the time that the engine waits on."""

    def __init__(self, release: str, folder: Path) -> None:
        self.time = PatientTime()
        self.lab = Lab(engine=release, plugin_dirs=[folder], plugin_policy=PluginPolicy(time=self.time, timeout_s=5))
        self.host = self.lab.add_host("node1", "10.0.0.15/24", docker=True)
        engine = self.host.docker
        self.engine: Engine = engine
        self.plugin = PluginServer(folder, self.host, self.lab)

    def network(self, name: str = "f", **options: object) -> object:
        return self.engine.networks.create(name, driver="test", ipam={"Driver": "test"}, **options)

    def run(self, name: str = "c1", network: str = "f", **options: object) -> object:
        return self.engine.containers.run("alpine", "sleep 1d", name=name, network=network, detach=True, **options)

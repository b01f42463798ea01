"""A machine with an engine and a handful of programs, for the tests of the engine."""

from __future__ import annotations

from typing import Any

from cnmsim.engine.engine import Engine
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.machine import Machine
from cnmsim.kernel.process import Process
from cnmsim.libnetwork.config import DaemonConfig

VERSIONS = ("26.1.5", "28.5.2", "29.7.2")


async def _sleep(process: Process) -> int:
    length = process.argv[1] if len(process.argv) > 1 else "1d"
    await process.sleep(86400 if length == "1d" else float(length))
    return 0


async def _true(process: Process) -> int:
    return 0


async def _echo(process: Process) -> int:
    process.write(" ".join(process.argv[1:]) + "\n")
    return 0


async def _cat(process: Process) -> int:
    if len(process.argv) == 1:
        while data := await process.stdin.read():
            process.write(data)
        return 0
    try:
        process.write(process.files.read(process.argv[1]))
    except OSError as error:
        process.error(f"cat: can't open '{process.argv[1]}': {error.strerror}\n")
        return 1
    return 0


async def _env(process: Process) -> int:
    process.write("".join(f"{name}={value}\n" for name, value in process.env.items()))
    return 0


async def _fail(process: Process) -> int:
    process.write("out\n")
    process.error("err\n")
    return int(process.argv[1])


async def _touch(process: Process) -> int:
    process.files.write(process.argv[1], b"")
    return 0


async def _serve(process: Process) -> int:
    await process.sleep(86400)
    return 0


async def _listen(process: Process) -> int:
    socket = process.tcp(6)
    socket.bind(("::", 80))
    socket.listen()
    await process.sleep(86400)
    return 0


PROGRAMS = {
    "sleep": _sleep, "true": _true, "echo": _echo, "cat": _cat, "env": _env, "fail": _fail, "touch": _touch,
    "httpd": _listen, "service": _serve, "sh": _true,
}  # fmt: skip


def new_engine(version: str = "29.7.2", seed: int = 1, **config: Any) -> Engine:
    """Make a machine called node1 with a running engine."""
    machine = Machine("node1", Clock(seed))
    machine.files.write("/etc/resolv.conf", b"nameserver 203.0.113.10\n")
    machine.root.loopback.set_up()
    return Engine(machine, version, DaemonConfig(**config), PROGRAMS)


def state_of(engine: Engine) -> dict[str, Any]:
    """Return everything a failed call must leave as it was."""
    root = engine.machine.root
    return {
        "containers": {each.id: engine.rest.containers.inspect(each.id) for each in engine.store},
        "networks": [engine.rest.networks.inspect(each.id) for each in engine.controller.networks],
        "volumes": engine.rest.volumes.list(),
        "devices": list(root.devices),
        "namespaces": sorted(path for path in engine.machine.namespaces if not path.endswith("/default")),
        "rules": [root.netfilter.iptables(family).save() for family in (4, 6)],
        "routes": [str(route) for route in root.routes4.routes],
        "sandboxes": [each.id for each in engine.controller.sandboxes],
    }

"""Load on the Engine API: clients that make, start, use and remove containers, all at once.

    python bench/api_load.py [--seconds 10] [--clients 200]

Prints requests per second as a ratio to `/_ping`, the most trivial handler, on the same server in the same run, and
exits with 1 if an answer was wrong or missing, if anything was left behind, or if memory grew. A run of `--seconds
60` is what tells about memory; the default is short enough to be run often.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import resource
import sys
import tempfile
import time
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Self

from cnmsim import Lab

#: The share by which memory may grow between the two halves of a run, beyond caches that fill once.
GROWTH = 0.05
SLACK_KIB = 2048


class Client:
    """One connection, kept alive; an exec takes another, which it hijacks."""

    def __init__(self, path: Path, counts: Counter[str]) -> None:
        self.path, self.counts = path, counts
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    async def __aenter__(self) -> Self:
        self.reader, self.writer = await asyncio.open_unix_connection(self.path)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()
        await self.writer.wait_closed()

    async def ask(self, method: str, target: str, body: object = None, *, status: int) -> bytes:
        self.writer.write(message(method, target, body))
        head = await self.reader.readuntil(b"\r\n\r\n")
        answer = await self.body(head)
        self.counts["requests"] += 1
        if int(head.split(b" ", 2)[1]) != status:
            raise RuntimeError(f"{method} {target}: {head!r} {answer!r}")
        return answer

    async def body(self, head: bytes) -> bytes:
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                return await self.reader.readexactly(int(line.partition(b":")[2]))
        return b""

    async def hijack(self, target: str, body: object) -> bytes:
        reader, writer = await asyncio.open_unix_connection(self.path)
        writer.write(message("POST", target, body, "Connection: Upgrade\r\nUpgrade: tcp\r\n"))
        head = await reader.readuntil(b"\r\n\r\n")
        output = await reader.read()
        writer.close()
        self.counts["requests"] += 1
        if not head.startswith(b"HTTP/1.1 101"):
            raise RuntimeError(f"{target}: {head!r} {output!r}")
        return output


def message(method: str, target: str, body: object, headers: str = "") -> bytes:
    content = b"" if body is None else json.dumps(body).encode()
    kind = "Content-Type: application/json\r\n" if content else ""
    return (
        f"{method} {target} HTTP/1.1\r\nHost: docker\r\n{headers}{kind}"
        f"Content-Length: {len(content)}\r\n\r\n".encode()
        + content
    )


async def cycle(client: Client, number: int) -> None:
    """One container's life, with an exec whose output has to be exactly what was asked for."""
    made = await client.ask("POST", "/containers/create", {"Image": "alpine", "Cmd": ["sleep", "1d"]}, status=201)
    id_ = json.loads(made)["Id"]
    await client.ask("POST", f"/containers/{id_}/start", status=204)
    word = f"{id_[:8]} {number}"
    wish = {"Cmd": ["echo", word], "AttachStdout": True}
    execution = json.loads(await client.ask("POST", f"/containers/{id_}/exec", wish, status=201))["Id"]
    output = await client.hijack(f"/exec/{execution}/start", {})
    if output[8:] != word.encode() + b"\n":
        raise RuntimeError(f"exec of {word!r} gave {output!r}")
    state = json.loads(await client.ask("GET", f"/exec/{execution}/json", status=200))
    if state["ExitCode"] != 0 or state["Running"]:
        raise RuntimeError(f"exec of {word!r} is {state}")
    await client.ask("DELETE", f"/containers/{id_}?force=1", status=204)
    client.counts["cycles"] += 1


async def ping(client: Client, _number: int) -> None:
    await client.ask("GET", "/_ping", status=200)


async def load(path: Path, clients: int, seconds: float, work) -> tuple[float, Counter[str]]:
    """Let `clients` work for so long; gives requests per second and the counts."""
    counts: Counter[str] = Counter()
    began = time.monotonic()

    async def one(number: int) -> None:
        async with Client(path, counts) as client:
            while time.monotonic() - began < seconds:
                await work(client, number)

    await asyncio.gather(*(one(number) for number in range(clients)))
    return counts["requests"] / (time.monotonic() - began), counts


def resident_kib() -> int:
    """Return the memory this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 1024


def objects_of(lab: Lab) -> dict[str, int]:
    """Count what may be left behind."""
    machine = lab.host("node1").machine
    engine = lab.host("node1").docker
    return {
        "containers": len(engine.store),
        "execs": len(engine.execs),
        "sandboxes": len(engine.controller.sandboxes),
        "namespaces": len(machine.namespaces),
        "processes": len(machine.processes),
        "devices": len(machine.root.devices),
        "timers": lab.clock.pending_count,
        "endpoints": sum(len(network.endpoints) for network in engine.controller.networks),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
    }


def settled(sockets, lab: Lab) -> tuple[int, dict[str, int]]:
    time.sleep(0.5)
    gc.collect()
    return resident_kib(), sockets.call(objects_of, lab)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--where", action="store_true", help="print the lines whose memory grew most")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(65536, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
    lab = Lab()
    lab.add_host("node1", "10.0.0.15/24", docker=True)
    with tempfile.TemporaryDirectory() as folder, lab.serve(folder) as sockets:
        path = sockets["node1"]
        trivial, _ = asyncio.run(load(path, options.clients, max(2.0, options.seconds / 5), ping))
        # The first rounds fill caches and the log of events, which remembers so many and no more.
        asyncio.run(load(path, options.clients, options.seconds / 4, cycle))
        if options.where:
            tracemalloc.start(8)
            snapshot = tracemalloc.take_snapshot()
        before, objects_before = settled(sockets, lab)
        rate, counts = asyncio.run(load(path, options.clients, options.seconds, cycle))
        after, objects_after = settled(sockets, lab)
        if options.where:
            for line in tracemalloc.take_snapshot().compare_to(snapshot, "lineno")[:25]:
                print(line)
    left = {
        name: f"{objects_before[name]} → {count}"
        for name, count in objects_after.items()
        if count > objects_before[name]
    }
    print(
        f"{options.clients} clients, {options.seconds:g} s: "
        f"{counts['cycles']} containers, {counts['requests']} requests"
    )
    print(f"requests per second: {rate / trivial:.3f} of /_ping's ({rate:.0f} to {trivial:.0f})")
    print(f"memory: {before} KiB before, {after} KiB after ({after - before:+d} KiB)")
    print(f"left behind: {left or 'nothing'}")
    grew = after > before * (1 + GROWTH) + SLACK_KIB
    if grew:
        print("memory grew")
    return 1 if left or grew else 0


if __name__ == "__main__":
    sys.exit(main())

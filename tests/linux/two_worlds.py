"""The same small topology twice: in network namespaces of the Linux kernel, and in the simulated one.

    a 10.1.0.2 ─┐                    ┌─ c 10.2.0.2
                br1 ── h (router) ── br2
    b 10.1.0.3 ─┘        │
                 eth0 192.168.9.1 ── x 192.168.9.2

with fd01::N, fd02::N and fd09::N beside the IPv4 addresses; all but h have default routes to it.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

from attrs import asdict, frozen

from cnmsim.kernel.address import format_ip
from cnmsim.kernel.bridge import Bridge
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.device import Veth
from cnmsim.kernel.machine import Machine
from cnmsim.kernel.sockets import IcmpSocket, TcpSocket, UdpSocket
from cnmsim.kernel.sockets.errors import QueuedError
from cnmsim.kernel.task import Task
from cnmsim.userland import HOST_PROGRAMS

NAMESPACES = "habcx"
BRIDGES = ("br1", "br2")
#: (namespace, its device, the host's end, the bridge that is a port of)
CABLES = (
    ("a", "eth0", "va", "br1"),
    ("b", "eth0", "vb", "br1"),
    ("c", "eth0", "vc", "br2"),
    ("x", "eth0", "eth0", ""),
)
ADDRESSES = {
    ("h", "br1"): ("10.1.0.1/24", "fd01::1/64"),
    ("h", "br2"): ("10.2.0.1/24", "fd02::1/64"),
    ("h", "eth0"): ("192.168.9.1/24", "fd09::1/64"),
    ("a", "eth0"): ("10.1.0.2/24", "fd01::2/64"),
    ("b", "eth0"): ("10.1.0.3/24", "fd01::3/64"),
    ("c", "eth0"): ("10.2.0.2/24", "fd02::2/64"),
    ("x", "eth0"): ("192.168.9.2/24", "fd09::2/64"),
}
GATEWAYS = {"a": ("10.1.0.1", "fd01::1"), "b": ("10.1.0.1", "fd01::1"), "c": ("10.2.0.1", "fd02::1"),
            "x": ("192.168.9.1", "fd09::1")}  # fmt: skip
SYSCTLS = (
    ("net.ipv4.conf.all.rp_filter", "0"),
    ("net.ipv4.conf.default.rp_filter", "0"),
    ("net.bridge.bridge-nf-call-iptables", "0"),
    ("net.bridge.bridge-nf-call-ip6tables", "0"),
)
#: What the simulation has no notion of: redirects, limits to the rate of ICMP errors, address probing.
LINUX_SYSCTLS = (
    ("net.ipv4.ip_forward", "0"),
    ("net.ipv4.conf.all.send_redirects", "0"),
    ("net.ipv4.conf.default.send_redirects", "0"),
    ("net.ipv4.icmp_ratemask", "0"),
    ("net.ipv4.icmp_msgs_per_sec", "100000"),
    ("net.ipv4.icmp_msgs_burst", "100000"),
    ("net.ipv6.icmp.ratelimit", "0"),
    ("net.ipv6.conf.default.accept_dad", "0"),
    ("net.ipv6.conf.all.accept_dad", "0"),
    ("net.ipv6.conf.default.accept_redirects", "0"),
)
SERVED = (5000, 80)
WAIT_S = 0.3


@frozen
class Probe:
    """One packet or connection from a namespace. `df` is what ip(7) calls path MTU discovery: dont, want or do."""

    id: int
    src: str
    kind: str
    dst: str
    port: int = 0
    size: int = 56
    ttl: int = 64
    df: str = "want"

    @property
    def family(self):
        return 6 if ":" in self.dst else 4

    @property
    def sport(self):
        return 20000 + self.id

    def as_order(self):
        return asdict(self) | {"family": self.family, "sport": self.sport}

    def __str__(self):
        extra = "".join(
            f" {name}={value}"
            for name, value, usual in (("size", self.size, 56), ("ttl", self.ttl, 64), ("df", self.df, "want"))
            if value != usual
        )
        return f"{self.kind} {self.src} → {self.dst}{f' port {self.port}' if self.port else ''}{extra}"


def base_commands():
    """What builds addresses and routes, as (namespace, ip command); the links are there already."""
    for (name, device), addresses in ADDRESSES.items():
        for address in addresses:
            nodad = " nodad" if ":" in address else ""
            yield name, f"ip addr add {address} dev {device}{nodad}"
    for name, gateways in GATEWAYS.items():
        for gateway in gateways:
            yield name, f"ip {'-6 ' if ':' in gateway else ''}route add default via {gateway}"


def parsed(commands):
    """Split lines such as `h: iptables -A …` or `h: sysctl key=value`."""
    for line in commands:
        name, _, command = line.partition(": ")
        yield name, command


class LinuxWorld:
    """The topology in namespaces of the kernel that runs the tests. Use as a context manager: it cleans up."""

    _numbers = itertools.count()

    def __init__(self):
        self._prefix = f"cnmsim{os.getpid()}-{next(self._numbers)}-"
        self._agents: dict[str, subprocess.Popen[str]] = {}

    def __enter__(self):
        try:
            self._build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for agent in self._agents.values():
            agent.stdin.close()
        for agent in self._agents.values():
            agent.wait(timeout=5)
            agent.stdout.close()
        names = [n for n in NAMESPACES if Path("/run/netns", self._prefix + n).exists()]
        self._batch([f"netns del {self._prefix}{name}" for name in names])

    def _batch(self, lines):
        subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), text=True, check=True, capture_output=True)

    def _build(self):
        at = {name: self._prefix + name for name in NAMESPACES}
        self._batch([f"netns add {at[name]}" for name in NAMESPACES])
        program = str(Path(__file__).with_name("probe_agent.py"))
        for name in NAMESPACES:
            self._agents[name] = subprocess.Popen(
                ["ip", "netns", "exec", at[name], sys.executable, "-S", "-E", program],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
        self._all({"sysctl": SYSCTLS + LINUX_SYSCTLS})
        lines = [f"link add {bridge} type bridge mcast_snooping 0" for bridge in BRIDGES]
        for name, device, port, bridge in CABLES:
            lines.append(f"link add {port} type veth peer name {device} netns {at[name]}")
            lines += [f"link set {port} master {bridge}"] * bool(bridge)
        lines += [f"link set {device} up" for device in ("lo", *BRIDGES, *(cable[2] for cable in CABLES))]
        self._in("h", lines)
        base = list(base_commands())
        for name in "abcxh":
            links = [] if name == "h" else ["link set lo up", "link set eth0 up"]
            self._in(name, links + [c.removeprefix("ip ") for n, c in base if n == name and "-6" not in c])
            self._in(name, [c.removeprefix("ip -6 ") for n, c in base if n == name and "-6" in c], "-6")
        self._all({"serve": SERVED})

    def _in(self, name, lines, *options):
        if lines:
            subprocess.run(
                ["ip", *options, "-n", self._prefix + name, "-batch", "-"],
                input="\n".join(lines), text=True, check=True, capture_output=True,
            )  # fmt: skip

    def _all(self, order):
        for name in NAMESPACES:
            self._order(name, order)
        return {name: self._answer(name) for name in NAMESPACES}

    def _order(self, name, order):
        stdin = self._agents[name].stdin
        stdin.write(json.dumps(order) + "\n")
        stdin.flush()

    def _answer(self, name):
        return json.loads(self._agents[name].stdout.readline())

    def run(self, commands):
        for name, command in parsed(commands):
            words = shlex.split(command)
            if words[0] == "sysctl":
                self._order(name, {"sysctl": [words[1].split("=")]})
                self._answer(name)
                continue
            done = subprocess.run(
                ["ip", "netns", "exec", self._prefix + name, *words], capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, (command, done.stderr)

    def probe(self, probes, wait=WAIT_S):
        for name in NAMESPACES:
            mine = [probe.as_order() for probe in probes if probe.src == name]
            self._order(name, {"probes": mine, "wait": wait})
        results = {}
        for name in NAMESPACES:
            results |= {int(number): tuple(result) for number, result in self._answer(name).items()}
        seen = [(name, *entry) for name, entries in self._all({"seen": True}).items() for entry in entries]
        return outcomes(probes, results, seen)


class SimulatedWorld:
    """The topology in cnmsim."""

    def __init__(self):
        self.clock = Clock(1)
        self.machines = {name: Machine(name, self.clock) for name in NAMESPACES}
        self._seen = []
        host = self.machines["h"].root
        bridges = {}
        for number, name in enumerate(BRIDGES):
            bridges[name] = Bridge(name, bytes((2, 0, 0, 0, 1, number)), self.clock)
            host.add_device(bridges[name])
            bridges[name].set_up()
        for machine in self.machines.values():
            machine.root.loopback.set_up()
        for number, (name, device, port, bridge) in enumerate(CABLES):
            ours, theirs = Veth.pair(
                self.clock, port, device, bytes((2, 0, 0, 0, 2, number)), bytes((2, 0, 0, 0, 3, number))
            )
            host.add_device(ours)
            self.machines[name].root.add_device(theirs)
            if bridge:
                bridges[bridge].add_port(ours)
            ours.set_up()
            theirs.set_up()
        for name, machine in self.machines.items():
            for key, value in SYSCTLS:
                machine.root.sysctl_set(key, value)
            for port in SERVED:
                self._serve(name, port)
        self.run(f"{name}: {command}" for name, command in base_commands())

    def run(self, commands):
        for name, command in parsed(commands):
            words = shlex.split(command)
            if words[0] == "sysctl":
                words = ["sysctl", "-w", *words[1:]]
            process = self.machines[name].spawn(HOST_PROGRAMS[words[0]], words, programs=HOST_PROGRAMS)
            self.clock.run_for(0.01, stop=lambda process=process: not process.is_running)
            assert process.exit_status == 0, (command, process.stderr.getvalue(), process.exit_status)

    def _serve(self, name, port):
        namespace = self.machines[name].root
        for family in (4, 6):
            udp = _TtlNotingSocket(namespace, family)
            udp.v6only = True
            udp.bind(("::" if family == 6 else "0.0.0.0", port))
            Task(self.clock, self._echo(name, udp, port))
            tcp = TcpSocket(namespace, family)
            tcp.v6only = True
            tcp.bind(("::" if family == 6 else "0.0.0.0", port))
            tcp.listen()
            Task(self.clock, self._accept(name, tcp, port))

    def _note(self, name, data, source, port, ttl):
        number, own_port = (int(word) for word in data.split()[:2])
        self._seen.append((name, number, port, format_ip(source[0]), source[1] == own_port, ttl, len(data)))

    async def _echo(self, name, socket, port):
        while True:
            data, source = await socket.recvfrom()
            self._note(name, data, source, port, socket.ttls.pop(0))
            try:
                socket.sendto(b"echo", source)
            except OSError:
                continue  # what the client sees of it is what is compared

    async def _accept(self, name, listener, port):
        while True:
            accepted = await listener.accept()
            Task(self.clock, self._read(name, accepted, port))

    async def _read(self, name, accepted, port):
        try:
            data = await accepted.recv(timeout=WAIT_S)
        except (TimeoutError, OSError):
            return
        if data:
            self._note(name, data, accepted.getpeername(), port, 0)

    def probe(self, probes):
        results = {}
        for probe in probes:
            Task(self.clock, self._one(probe, results))
        self.clock.run_for(WAIT_S + 0.1)
        seen, self._seen = self._seen, []
        return outcomes(probes, results, seen)

    async def _one(self, probe, results):
        namespace = self.machines[probe.src].root
        try:
            result = await {"ping": self._ping, "udp": self._udp, "tcp": self._tcp}[probe.kind](namespace, probe)
        except TimeoutError:
            return
        except QueuedError as error:
            info = error.info
            result = ("icmp", info.icmp_type, info.code, format_ip(info.reporter))
        except OSError as error:
            result = ("errno", _errno_name(error))
        results[probe.id] = result

    async def _ping(self, namespace, probe):
        socket = IcmpSocket(namespace, probe.family)
        socket.dont_fragment = probe.df == "do"
        socket.send_echo(probe.dst, probe.sport, 1, b"01234567" * (probe.size // 8), ttl=probe.ttl)
        packet = await socket.recv(timeout=WAIT_S)
        if packet.icmp_type in (0, 129):
            return ("reply", format_ip(packet.src), packet.ttl)
        return ("icmp", packet.icmp_type, packet.icmp_code, format_ip(packet.src))

    async def _udp(self, namespace, probe):
        socket = UdpSocket(namespace, probe.family)
        socket.recverr = True
        socket.ttl = probe.ttl
        socket.dont_fragment = {"dont": False, "want": None, "do": True}[probe.df]
        socket.bind(("::" if probe.family == 6 else "0.0.0.0", probe.sport))
        socket.connect((probe.dst, probe.port))
        socket.send(f"{probe.id} {probe.sport} ".encode().ljust(probe.size, b"."))
        await socket.recvfrom(timeout=WAIT_S)
        return ("reply",)

    async def _tcp(self, namespace, probe):
        socket = TcpSocket(namespace, probe.family)
        socket.ttl = probe.ttl
        socket.bind(("::" if probe.family == 6 else "0.0.0.0", probe.sport))
        await socket.connect((probe.dst, probe.port), timeout=WAIT_S)
        socket.send(f"{probe.id} {probe.sport} ".encode().ljust(probe.size, b"."))
        return ("reply",)


class _TtlNotingSocket(UdpSocket):
    """A UDP socket that keeps the TTLs of what it receives (IP_RECVTTL)."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.ttls = []

    def deliver(self, packet, data):
        took = super().deliver(packet, data)
        if took:
            self.ttls.append(packet.ttl)
        return took


def _errno_name(error):
    return errno.errorcode[error.errno]


def outcomes(probes, results, seen):
    """Tell for each probe what its sender learnt and who received it, as `{probe: (result, receptions)}`."""
    by_probe = {}
    for name, number, *what in seen:
        by_probe.setdefault(number, []).append((name, *what))
    return {
        probe: (results.get(probe.id, ("silence",)), tuple(sorted(by_probe.get(probe.id, ())))) for probe in probes
    }

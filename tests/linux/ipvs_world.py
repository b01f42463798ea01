"""The network of `ipvs_cases`, simulated, and its steps carried out there."""

import errno
import re
import shlex

from ipvs_cases import CASES

from cnmsim.kernel.address import format_ip
from cnmsim.kernel.bridge import Bridge
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.device import Veth
from cnmsim.kernel.machine import Machine
from cnmsim.kernel.sockets import TcpSocket, UdpSocket
from cnmsim.kernel.task import Task, run_until
from cnmsim.userland import HOST_PROGRAMS

ADDRESSES = {"lb": 2, "c": 3, "b1": 4, "b2": 5, "b3": 6}
WAIT_S = 1.4


class IpvsWorld:
    """The machines of the cases, each a namespace of its own; `clock.context` may watch."""

    def __init__(self, seed=0):
        self.clock = Clock(seed)
        self.machines = {name: Machine(name, self.clock) for name in ("host", *ADDRESSES, "d")}
        self.held = []
        self._cables = 0
        for machine in self.machines.values():
            machine.root.loopback.set_up()
        host = self.machines["host"].root
        bridge = Bridge("br0", bytes((2, 0, 0, 0, 0, 1)), self.clock)
        host.add_device(bridge)
        bridge.set_up()
        for name, number in ADDRESSES.items():
            port = self._cable("host", f"v{name}", name, "eth0")
            bridge.add_port(port)
            self._address(name, "eth0", f"10.0.1.{number}/24", f"fd01::{number}/64")
        self._cable("lb", "eth1", "d", "eth0")
        self._address("lb", "eth1", "10.0.9.1/24", "fd09::1/64")
        self._address("d", "eth0", "10.0.9.2/24", "fd09::2/64")
        for name, four, six in (
            ("d", "10.0.9.1", "fd09::1"),
            *((name, "10.0.1.2", "fd01::2") for name in ("b1", "b2", "b3")),
        ):
            self.command(name, f"ip route add default via {four}")
            self.command(name, f"ip -6 route add default via {six}")
        self.command("lb", "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
        self.command("lb", "ipvsadm -C")  # loads IPVS, with its sysctls
        for name in ("b1", "b2", "b3"):
            self._serve(name)

    def namespace(self, name):
        return self.machines[name].root

    def _cable(self, one, device, other, peer):
        self._cables += 1
        ours, theirs = Veth.pair(
            self.clock, device, peer, bytes((2, 0, 0, 0, 1, self._cables)), bytes((2, 0, 0, 0, 2, self._cables))
        )
        self.namespace(one).add_device(ours)
        self.namespace(other).add_device(theirs)
        ours.set_up()
        theirs.set_up()
        return ours

    def _address(self, name, device, *addresses):
        namespace = self.namespace(name)
        for address in addresses:
            namespace.add_address(namespace.devices[device], address)

    def _serve(self, name):
        for family in (4, 6):
            anywhere = ("::" if family == 6 else "0.0.0.0", 80)
            udp, tcp = UdpSocket(self.namespace(name), family), TcpSocket(self.namespace(name), family)
            for socket in (udp, tcp):
                socket.v6only = True
                socket.bind(anywhere)
            tcp.listen()
            Task(self.clock, self._answer(name, udp))
            Task(self.clock, self._accept(name, tcp))

    async def _answer(self, name, udp):
        while True:
            _, peer = await udp.recvfrom()
            udp.sendto(f"{name} saw {format_ip(peer[0])}".encode(), peer)

    async def _accept(self, name, tcp):
        while True:
            Task(self.clock, self._talk(name, await tcp.accept()))

    async def _talk(self, name, accepted):
        accepted.send(f"{name} saw {format_ip(accepted.getpeername()[0])}".encode())
        try:
            while data := await accepted.recv():
                accepted.send(name.encode() + b":" + data)
        except OSError:
            pass  # a client that went away, or was reset
        accepted.close()

    # --- steps ---------------------------------------------------------------------------------------------------

    def command(self, name, line):
        """Run a program; give its status and what it printed."""
        machine = self.machines[name]
        words = [word for word in shlex.split(line) if word not in {">", "/dev/null"}]
        process = machine.spawn(HOST_PROGRAMS[words[0]], words, programs=HOST_PROGRAMS)
        self.clock.run_for(2, stop=lambda: not process.is_running)
        printed = (process.stdout.getvalue() + process.stderr.getvalue()).decode()
        return [process.exit_status, "" if "/dev/null" in line else printed]

    def attempt(self, kind, name, dst, port, sport):
        """Make one connection or exchange; give the socket (closed: `None`) and what was heard."""
        return run_until(self.clock, self._attempt(kind, name, dst, port, sport))

    async def _attempt(self, kind, name, dst, port, sport):
        family = 6 if ":" in dst else 4
        made = (UdpSocket if kind == "udp" else TcpSocket)(self.namespace(name), family)
        made.reuse_address = True
        made.bind(("::" if family == 6 else "0.0.0.0", sport))
        try:
            if kind == "udp":
                made.connect((dst, port))
                made.send(b"x")
                return made, (await made.recvfrom(timeout=WAIT_S))[0].decode()
            await made.connect((dst, port), timeout=WAIT_S)
            return made, (await made.recv(timeout=WAIT_S)).decode()
        except OSError as error:
            made.close()
            return None, failure(error)

    def step(self, text):
        verb, *words = text.split()
        if verb == "sleep":
            self.clock.run_for(float(words[0]))
            return None
        if verb in ("tcp", "udp", "open"):
            return self._traffic(verb, words[0], words[1], *map(int, words[2:]))
        if verb == "talk":
            return [run_until(self.clock, self._say(one)) for one in self.held]
        if verb == "close":
            while self.held:
                self.held.pop().close()
            self.clock.run_for(0.2)
            return None
        name, _, command = text.partition("$ ")
        return self.command(name, command)

    def _traffic(self, verb, name, dst, port, count, sport):
        said = []
        for number in range(count):
            made, heard = self.attempt("udp" if verb == "udp" else "tcp", name, dst, port, sport + number)
            said.append(heard)
            if verb == "open" and made is not None:
                self.held.append(made)
            elif made is not None:
                made.close()
        self.clock.run_for(0.2)
        return said

    async def _say(self, one):
        try:
            one.send(b"x")
            return (await one.recv(timeout=WAIT_S)).decode()
        except OSError as error:
            return failure(error)


def failure(error):
    return "timeout" if isinstance(error, TimeoutError) else errno.errorcode[error.errno]


def comparable(text, result):
    """Give a step's result without what differs by nature: the order of hash tables, iptables' flavour.

    Expiries are given apart, as seconds: they depend on how long a step took.
    """
    if not result or not isinstance(result[0], int):
        return result, []
    status, printed = result
    printed = printed.replace("(legacy)", "(nf_tables)")
    if "-nvxL" in text:  # without bytes: a SYN has more options on Linux
        printed = re.sub(r"^( +\d+) +\d+ ", r"\1 ", printed, flags=re.MULTILINE)
        printed = re.sub(r"(\d+) packets, \d+ bytes", r"\1 packets", printed)
    if "--stats" in text:
        printed = re.sub(r"((?: +\d+){3})(?: +\d+){2}$", r"\1", printed, flags=re.MULTILINE)
    if "-Lnc" not in text:
        return [status, printed], []
    rows = []
    for row in printed.splitlines()[2:]:
        protocol, expiry, *rest = row.split()
        minutes, seconds = expiry.split(":")
        rows.append(((protocol, *rest), int(minutes) * 60 + int(seconds)))
    rows.sort()
    return [status, printed.splitlines()[:2], [row for row, _ in rows]], [expiry for _, expiry in rows]


def simulate(title):
    world = IpvsWorld()
    return [[text, world.step(text)] for text in CASES[title]]

"""Two machines on one cable, and a name server: what the tests of programs run on."""

from collections.abc import Mapping

from cnmsim.kernel.clock import Clock
from cnmsim.kernel.device import Nic
from cnmsim.kernel.files import Pipe
from cnmsim.kernel.machine import Machine
from cnmsim.kernel.process import Process, Program
from cnmsim.underlay.host import GREETING, WHOAMI
from cnmsim.userland import CONTAINER_PROGRAMS, HOST_PROGRAMS

LATENCY_S = 0.0001


class Cable:
    def __init__(self, clock):
        self.clock = clock
        self.nics = []

    def carry(self, frame, sender):
        for nic in self.nics:
            if nic is not sender:
                self.clock.call_later(LATENCY_S, nic.receive, frame)


class Result:
    def __init__(self, process: Process, out: Pipe | None = None, err: Pipe | None = None):
        self.status = process.exit_status
        self.out = (out or process.stdout).getvalue().decode(errors="surrogateescape")
        self.err = (err or process.stderr).getvalue().decode(errors="surrogateescape")

    def __repr__(self):
        return f"<{self.status} {self.out!r} {self.err!r}>"


class World:
    """`one` is 10.0.0.1 and fd00::1, `two` is 10.0.0.2 and fd00::2 and the name server of both."""

    def __init__(self):
        self.clock = Clock()
        self.cable = Cable(self.clock)
        self.one, self.two = self.machine("one", 1), self.machine("two", 2)

    def machine(self, name, number) -> Machine:
        machine = Machine(name, self.clock)
        nic = Nic("eth0", bytes((2, 0, 0, 0, 0, number)), self.clock)
        nic.link = self.cable
        self.cable.nics.append(nic)
        root = machine.root
        root.loopback.set_up()
        root.add_device(nic)
        root.add_address(nic, f"10.0.0.{number}/24")
        root.add_address(nic, f"fd00::{number}/64")
        nic.set_up()
        machine.files.write("/etc/resolv.conf", b"nameserver 10.0.0.2\n")
        machine.files.write("/etc/hosts", b"127.0.0.1 localhost\n::1 localhost\n10.0.0.2 two\nfd00::2 two\n")
        machine.files.put("/www/index.html", GREETING)
        machine.files.put("/www/cgi-bin/whoami", WHOAMI, 0o755)
        return machine

    def start(self, machine: Machine, line: str, programs: Mapping[str, Program] = CONTAINER_PROGRAMS) -> Process:
        """Start a program and give it the time to open its sockets."""
        argv = line.split()
        process = machine.spawn(programs[argv[0]], argv, programs=programs)
        self.clock.run_for(0.01)
        return process

    def argv(
        self,
        argv: list[str],
        *,
        machine: Machine | None = None,
        stdin: bytes = b"",
        limit_s: float = 60,
        programs: Mapping[str, Program] = CONTAINER_PROGRAMS,
        env: dict[str, str] | None = None,
    ) -> Result:
        """Run a program to its end, at most `limit_s`."""
        source = Pipe(self.clock)
        source.write(stdin)
        source.close()
        machine = machine or self.one
        process = machine.spawn(programs[argv[0]], argv, programs=programs, stdin=source, env=env)
        out, err = process.stdout, process.stderr  # `exec >FILE` replaces them
        self.clock.run_for(limit_s, stop=lambda: not process.is_running)
        return Result(process, out, err)

    def run(self, line: str, **options) -> Result:
        return self.argv(line.split(), **options)

    def host(self, line: str, **options) -> Result:
        return self.argv(line.split(), programs=HOST_PROGRAMS, **options)

    def sh(self, script: str, **options) -> Result:
        return self.argv(["sh", "-c", script], **options)

    def serve_names(self, names: dict[str, list[str]]) -> None:
        """Let `two` answer for these names, with authority; for all others it says NXDOMAIN."""
        self.two.spawn(_name_server(names), ["names"])
        self.clock.run_for(0.001)


def _name_server(names):
    async def main(process):
        import dns.flags
        import dns.message
        import dns.rcode
        import dns.rdatatype
        import dns.rrset

        socket = process.udp(4)
        socket.bind(("0.0.0.0", 53))
        while True:
            data, peer = await socket.recvfrom()
            query = dns.message.from_wire(data)
            answer = dns.message.make_response(query)
            answer.flags |= dns.flags.RA
            name = query.question[0].name.to_text(omit_final_dot=True)
            kind_asked = dns.rdatatype.to_text(query.question[0].rdtype)
            if name not in names:
                answer.set_rcode(dns.rcode.NXDOMAIN)
            for record in names.get(name, ()):
                kind, _, value = record.partition(" ")
                if kind == kind_asked:
                    answer.flags |= dns.flags.AA
                    answer.answer.append(dns.rrset.from_text(f"{name}.", 0, "IN", kind, value))
            socket.sendto(answer.to_wire(), peer)

    return main

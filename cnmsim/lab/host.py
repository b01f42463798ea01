"""A host of a lab as its user sees it: a shell for commands and, on a Docker host, its engine."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from cnmsim.errors import InvalidParameter, NotFound, Unavailable
from cnmsim.kernel.command import ExecResult, run_command, words
from cnmsim.libnetwork.place import Place
from cnmsim.suggestion import suggestion, suggests_keywords
from cnmsim.underlay import PlainHost, Segment

if TYPE_CHECKING:
    from cnmsim.engine.containers.container import Container
    from cnmsim.engine.daemon.crash import CrashState
    from cnmsim.engine.engine import Engine
    from cnmsim.kernel.files import Pipe
    from cnmsim.kernel.machine import Machine
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.process import Process, Program
    from cnmsim.libnetwork.controller import Controller
    from cnmsim.underlay.cable import Attachment
    from cnmsim.underlay.interface import HostInterface


@frozen(eq=False)
class _Dark:
    """The parts of a host without power that `power_on` restores: its cables, its engine, and the engine's state."""

    plugs: tuple[tuple[Segment, Attachment], ...]
    docker: Engine | None
    remembered: CrashState | None


#: The public attributes that tab completion leaves out, as only other modules need them.
_PARTS = frozenset({
    "built_with", "install_engine", "own_controller", "plain", "programs", "socket", "spawn", "starting",
})  # fmt: skip


class Hosts(dict[str, "Host"]):
    """The hosts of a lab by name. A notebook shows them as a table."""

    def __missing__(self, name: str) -> Host:
        raise KeyError(f"no host named {name}{suggestion(str(name), self)}")

    def _repr_html_(self) -> str:
        from cnmsim.observe.views import hosts_card

        return hosts_card(self.values())


@suggests_keywords
@define(eq=False, repr=False)
class Host(Place):
    """One host of a lab: a shell for commands and, on a Docker host, an engine (`docker`).

    `plain` is the host without an engine: the machine with its interfaces. `programs` are the programs that it can
    run, by name.
    """

    plain: PlainHost
    programs: Mapping[str, Program] = field(repr=False)
    _running: Engine | None = field(default=None, repr=False, init=False)
    #: The path of this host's Engine API socket while the lab is served.
    socket: Path | None = field(default=None, repr=False, init=False)
    #: libnetwork's controller, if it runs here without an engine.
    own_controller: Controller | None = field(default=None, repr=False, init=False)

    #: Options of `Lab.add_host` that cannot be read from the host itself: `docker` and `names`. For a machine
    #: that only a Compose file names, `stands_for_machine` is set (`cnmsim.lab.internet`).
    built_with: Mapping[str, Any] = field(factory=dict, repr=False, init=False)

    _dark: _Dark | None = field(default=None, repr=False, init=False)

    def _elsewhere(self, name: str) -> str:
        from cnmsim.other_names import for_host

        if hasattr(self._running, name):
            return f"; its engine has it: lab.host({self.name!r}).docker.{name}"
        return for_host(name)

    @property
    def is_on(self) -> bool:
        """Whether the host has power."""
        return self._dark is None

    @property
    def docker(self) -> Engine:
        """The engine of a Docker host, with docker-py's method names.

        Raises `NotFound` on a host without an engine (see `has_docker`) and while the host has no power.
        """
        return self._require_engine()

    def _require_engine(self) -> Engine:
        if self._running is not None:
            return self._running
        if self._dark is not None and self._dark.docker is not None:
            raise NotFound(f"{self.name} has no power: power_on() starts its Docker engine")
        raise NotFound(f"{self.name} has no Docker engine: add_host({self.name!r}, …, docker=True) gives it one")

    @property
    def has_docker(self) -> bool:
        """Whether the host runs a Docker engine now."""
        return self._running is not None

    def install_engine(self, engine: Engine) -> None:
        """Make `engine` the engine that runs on the host."""
        self._running = engine

    @property
    def engine(self) -> Engine | None:
        """The host's engine, even while the host has no power; `None` on a host without an engine."""
        return self._running if self._dark is None else self._dark.docker

    @property
    def controller(self) -> Controller | None:
        """Libnetwork's controller: the engine's, or one that runs without an engine (`Lab.controller`).

        `None` if there is none, or while the host has no power.
        """
        return self.docker.controller if self.has_docker else self.own_controller

    @property
    def starting(self) -> tuple[Container, ...]:
        """The containers that the engine will start when power returns; empty while the host has power."""
        remembered = self._dark.remembered if self._dark is not None else None
        return remembered.starting if remembered is not None else ()

    def power_off(self) -> None:
        """Cut the power: the host stops at this instant, and all its programs end.

        The host has no engine (`has_docker` is False) until `power_on`.

        The configuration made by `ip`, `iptables` and `sysctl` is restored with the power, as if boot scripts did it.
        Connections, neighbours and programs started by hand are lost. Raises `Unavailable` for a host whose
        controller runs without an engine: the state of such a controller is not on disk.
        """
        if self._dark is not None:
            return
        if self.own_controller is not None:
            raise Unavailable(f"{self.name} runs libnetwork without an engine, and could not resume from a disk")
        plugs = [
            (interface.link, interface.link.pull(interface))
            for interface in self.interfaces
            if isinstance(interface.link, Segment)
        ]
        remembered = None
        if self._running is not None:
            from cnmsim.engine.daemon.crash import lose_power

            remembered = lose_power(self._running)
        self.plain.lose_power()
        self._dark = _Dark(tuple(plugs), self._running, remembered)
        self._running = None

    def power_on(self) -> None:
        """Restore the power: services start, and the engine resumes from the state on its disk."""
        dark, self._dark = self._dark, None
        if dark is None:
            return
        for segment, attachment in dark.plugs:
            if attachment.station.link is None:
                segment.plug_again(attachment)
        self.plain.start_services()
        self._running = dark.docker
        if dark.docker is not None and dark.remembered is not None:
            from cnmsim.engine.daemon.crash import regain_power

            regain_power(dark.docker, dark.remembered)

    @property
    def name(self) -> str:
        """The host name."""
        return self.plain.spec.name

    @property
    def machine(self) -> Machine:
        """The simulated Linux machine."""
        return self.plain.machine

    @property
    def namespace(self) -> NetworkNamespace:
        """The machine's root network namespace."""
        return self.plain.machine.root

    @property
    def interfaces(self) -> list[HostInterface]:
        """The Ethernet interfaces, `eth0` first."""
        return self.plain.interfaces

    @property
    def address(self) -> str:
        """The first address, without prefix length."""
        return str(self.plain.spec.interfaces[0].addresses[0]).partition("/")[0]

    def __repr__(self) -> str:
        addresses = [str(address) for interface in self.plain.spec.interfaces for address in interface.addresses]
        return f"<Host {' '.join([self.name, *addresses])}>"

    def __dir__(self) -> list[str]:
        """Return the attribute names for tab completion, without those that only other modules use."""
        return [name for name in super().__dir__() if name not in _PARTS]

    def _repr_html_(self) -> str:
        from cnmsim.observe.views import host_card

        return host_card(self)

    def exec(self, command: str | list[str], *, timeout_s: float = 600) -> ExecResult:
        """Run a command as if typed into the host's shell. Virtual time passes until it ends.

        A list is run without the shell. A command that still runs after `timeout_s` seconds of virtual time is killed
        and has the exit status 124.
        """
        argv = words(command)
        return run_command(
            self.machine.clock, lambda output: self.spawn(argv, stdout=output, stderr=output), timeout_s
        )

    def start(self, command: str | list[str]) -> Process:
        """Start a command that keeps running, such as `nc -lk -p 7000`, and return its process.

        Raises `NotFound` if there is no such program.
        """
        process = self.spawn(words(command))
        self.machine.clock.run_ready()
        return process

    def spawn(
        self,
        argv: list[str],
        *,
        stdin: Pipe | None = None,
        stdout: Pipe | None = None,
        stderr: Pipe | None = None,
        env: dict[str, str] | None = None,
    ) -> Process:
        """Start the program `argv[0]` at this instant and return its process.

        Its standard streams are the given pipes, its environment is `env`. Raises `NotFound` if there is no such
        program.
        """
        program = self.programs.get(argv[0]) if argv else None
        if program is None:
            raise NotFound(f"sh: {argv[0] if argv else ''}: not found")
        return self.machine.spawn(
            program, argv, stdin=stdin, stdout=stdout, stderr=stderr, env=env, programs=self.programs
        )

    def docker_client(self, **options: Any) -> Any:
        """Return a docker-py client of this host's engine, for use inside `with lab.serve():`.

        The caller has to close it.

        `options` are those of `docker.DockerClient`. Raises `NotFound` if this host has no engine, `InvalidParameter`
        if it is not served, and `ImportError` if docker-py is not installed.
        """
        self._require_engine()
        if self.socket is None:
            raise InvalidParameter(f"{self.name} is not served: call docker_client() inside `with lab.serve():`")
        try:
            docker = import_module("docker")
        except ImportError:
            raise ImportError("docker_client() needs docker-py: pip install 'cnmsim[docker]', or docker") from None
        return docker.DockerClient(**{"base_url": f"unix://{self.socket}", "version": "auto", **options})

    def ping(self, target: object, *, count: int = 1, timeout_s: float = 2) -> ExecResult:
        """Run `ping -c COUNT -W TIMEOUT TARGET` on the host. `target` is a name, an address, a host or a container.

        Return the output and exit status. Raises `InvalidParameter` for any other object.
        """
        if not isinstance(target, str):
            target = _address_of(target)
        return self.exec(["ping", "-c", str(count), "-W", f"{timeout_s:g}", target])

    def curl(self, url: str, *, timeout_s: float = 5) -> ExecResult:
        """Run `curl -s --max-time TIMEOUT URL` on the host, and return the output and exit status."""
        return self.exec(["curl", "-s", "--max-time", f"{timeout_s:g}", url])

    def iptables(self, arguments: str) -> str:
        """Run `iptables ARGUMENTS` on the host and return its output.

        If the command fails, raises `InvalidParameter` with that output as its text.
        """
        done = self.exec(["iptables", *shlex.split(arguments)])
        if not done.succeeded:
            raise InvalidParameter(done.output.strip())
        return done.output


def _address_of(target: object) -> str:
    if isinstance(target, Host):
        return target.address
    find = getattr(target, "ip", None)
    address = find() if callable(find) else ""
    if not address:
        raise InvalidParameter(f"{target!r} has no address to ping: pass a name, an address, a host or a container")
    return str(address)

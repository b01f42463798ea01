"""Programs that run in a sandbox, and its interfaces, routes and rules, as with `ip netns exec` in a namespace."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TYPE_CHECKING, TypeVar

from attrs import define, field, frozen

from cnmsim.errors import NotFound, Unavailable
from cnmsim.kernel import procsys, sysfs
from cnmsim.kernel.address import format_mac
from cnmsim.kernel.command import ExecResult, run_command, words
from cnmsim.kernel.files import FileSystem, Pipe
from cnmsim.kernel.process import Process, Program
from cnmsim.libnetwork.readable import IpAddress, IpInterface, address_of, interface_of

if TYPE_CHECKING:
    from cnmsim.kernel.device import Device
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.route import Route
    from cnmsim.libnetwork.sandbox import Sandbox

T = TypeVar("T")
#: Host files that programs in a sandbox see unchanged; `ip netns exec` replaces only those that exist below
#: /etc/netns.
_HOST_FILES = ("/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/services", "/etc/os-release")


@frozen
class SandboxInterface:
    """A device in a sandbox. `endpoint` and `network` are names, "" for a device without endpoint, such as `lo`."""

    name: str
    kind: str
    mac_address: str
    addresses: tuple[IpInterface, ...]
    mtu: int
    is_up: bool
    endpoint: str = ""
    network: str = ""

    def __str__(self) -> str:
        addresses = "".join(f" {address}" for address in self.addresses)
        return f"{self.name}{addresses}" + (f" on {self.network}" if self.network else "")


@frozen
class SandboxRoute:
    """A route of a sandbox. `text` is the line that `ip route` prints."""

    destination: IPv4Network | IPv6Network
    gateway: IpAddress | None
    device: str
    text: str

    def __str__(self) -> str:
        return self.text


@define(eq=False)
class SandboxPlace:
    """Runs programs in one sandbox, with the files that they see. Deleting the sandbox kills the programs."""

    sandbox: Sandbox = field(repr=False)
    _files: FileSystem | None = field(default=None, init=False)
    _processes: list[Process] = field(factory=list, init=False)

    # --- programs

    @property
    def namespace(self) -> NetworkNamespace:
        """The sandbox's namespace. Raises `Unavailable` if there is none."""
        namespace = self.sandbox.namespace
        if namespace is not None:
            return namespace
        if self.sandbox.is_deleting:
            raise Unavailable(f"sandbox {self.sandbox.name} was deleted")
        raise Unavailable(f"sandbox {self.sandbox.name} has no network namespace yet: call set_key()")

    @property
    def files(self) -> FileSystem:
        """The files that the sandbox's programs see: its own /etc/hosts and resolv.conf, /proc and /sys."""
        sandbox, machine = self.sandbox, self.sandbox.controller.machine
        if sandbox.options.use_host_namespace:
            return machine.files
        if self._files is None:
            files = self._files = FileSystem()
            for path in _HOST_FILES:
                if machine.files.exists(path):
                    files.bind_mount(path, machine.files, path)
            files.mount("/etc/hosts", sandbox.hosts_file)
            files.mount("/etc/resolv.conf", sandbox.resolv_conf)
            files.write("/etc/hostname", f"{self.hostname}\n".encode())
            for path in ("/bin", "/dev", "/root"):
                files.mkdir(path)
            procsys.mount(files, self.namespace)
            sysfs.mount(files, self.namespace)
        return self._files

    @property
    def hostname(self) -> str:
        """The host name that the sandbox's programs see."""
        options = self.sandbox.options
        if options.use_host_namespace and not options.hostname:
            return self.sandbox.controller.machine.name
        return options.hostname or self.sandbox.name

    def spawn(
        self,
        argv: list[str],
        *,
        program: Program | None = None,
        stdin: Pipe | None = None,
        stdout: Pipe | None = None,
        stderr: Pipe | None = None,
        env: dict[str, str] | None = None,
    ) -> Process:
        """Start a program at this instant of virtual time and return its process.

        `program` is called with its process; if it is `None`, the program is found by its name `argv[0]`. Raises
        `NotFound` if there is no such program, `Unavailable` if the sandbox has no namespace.
        """
        namespace, programs = self.namespace, self.sandbox.controller.programs
        main = program or (programs.get(argv[0]) if argv else None)
        if main is None:
            raise NotFound(f"sh: {argv[0] if argv else ''}: not found")
        process = self.sandbox.controller.machine.spawn(
            main, argv, namespace=namespace, files=self.files, hostname=self.hostname, env=env, programs=programs,
            stdin=stdin, stdout=stdout, stderr=stderr,
        )  # fmt: skip
        self._processes = [*(other for other in self._processes if other.is_running), process]
        return process

    def exec(self, command: str | list[str], timeout_s: float) -> ExecResult:
        """Run a command to its end; see `Sandbox.exec`."""
        argv = words(command)
        clock = self.namespace.clock
        return run_command(clock, lambda output: self.spawn(argv, stdout=output, stderr=output), timeout_s)

    def run(self, program: Callable[[Process], Awaitable[T]], timeout_s: float) -> T:
        """Run a coroutine function to its end; see `Sandbox.run`."""
        results: list[T] = []
        errors: list[Exception] = []

        async def main(process: Process) -> int:
            try:
                results.append(await program(process))
            except Exception as error:  # noqa: BLE001 - raised again to the caller, outside the clock
                errors.append(error)
                return 1
            return 0

        name = getattr(program, "__name__", "program")
        clock = self.namespace.clock
        process = self.spawn([name], program=main)
        clock.run_for(timeout_s, stop=lambda: not process.is_running)
        if errors:
            raise errors[0]
        if process.is_running:
            process.kill()
        if not results:
            ended = f"was killed after {timeout_s:g} s" if process.exit_status == 137 else "was killed"
            raise TimeoutError(f"{name} in sandbox {self.sandbox.name} {ended}")
        return results[0]

    def kill_all(self) -> None:
        """Kill the programs that `spawn` started."""
        for process in self._processes:
            if process.is_running:
                process.kill()
        self._processes.clear()

    # --- what the kernel holds

    def interfaces(self) -> list[SandboxInterface]:
        """Return the devices of the namespace, in order of creation."""
        osl = self.sandbox.osl
        endpoints = {endpoint.id: endpoint for endpoint in self.sandbox.endpoints}
        owners = {} if osl is None else {id(item.device): endpoints.get(key) for key, item in osl.interfaces.items()}
        found = []
        for device in self.namespace.devices.values():
            owner = owners.get(id(device))
            network = "" if owner is None else owner.network.name
            found.append(_interface(device, "" if owner is None else owner.name, network))
        return found

    def routes(self) -> list[SandboxRoute]:
        """Return the routes of the main routing tables, IPv4 first."""
        return [_route(route) for family in (4, 6) for route in self.namespace.routes(family).routes]

    def rules(self) -> list[str]:
        """Return the packet filter's rules, one line each.

        A rule of iptables is returned as a command, e.g. `iptables -t filter -A INPUT -j DROP`. After these rules
        come the lines that `nft list ruleset` prints.
        """
        from cnmsim.kernel.netfilter.nftables import NfTables

        netfilter = self.namespace.netfilter
        lines = []
        for family, program in ((4, "iptables"), (6, "ip6tables")):
            table = ""
            for line in netfilter.iptables(family).save().splitlines():
                if line.startswith("*"):
                    table = line[1:]
                elif line.startswith("-A"):
                    lines.append(f"{program} -t {table} {line}")
        return lines + [line for line in NfTables.of(netfilter).text().splitlines() if line]


def _interface(device: Device, endpoint: str, network: str) -> SandboxInterface:
    addresses = (interface_of((item.address, item.prefix.length)) for item in device.addresses)
    return SandboxInterface(
        device.name,
        device.kind,
        format_mac(device.mac),
        tuple(address for address in addresses if address is not None),
        device.mtu,
        device.is_up,
        endpoint,
        network,
    )


def _route(route: Route) -> SandboxRoute:
    device = "" if route.device is None else route.device.name
    return SandboxRoute(ip_network(str(route.prefix)), address_of(route.gateway), device, str(route))

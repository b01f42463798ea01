"""`Lab`: hosts, engines and the cables between them, on one clock. The composition root of cnmsim.

The module is long because `Lab` is a facade: each method is a few lines that call the module where the work is done
(`hosts`, `cabling`, `faults`, `serving`, `observe`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import evolve, fields

from cnmsim.errors import Conflict, InvalidParameter, NotFound
from cnmsim.kernel.clock import Clock, rare_garbage_collection
from cnmsim.lab import hooks
from cnmsim.lab.cabling import Cabling
from cnmsim.lab.faults import Faults
from cnmsim.lab.host import Host, Hosts
from cnmsim.lab.hosts import HostOptions, build_host
from cnmsim.lab.releases import DEFAULT_RELEASE, require_release
from cnmsim.lab.serving import ClockMode, PluginControl, ServedLab, server
from cnmsim.libnetwork.plugins.main_thread_executor import MainThreadExecutor
from cnmsim.libnetwork.plugins.policy import PluginPolicy
from cnmsim.suggestion import suggestion
from cnmsim.underlay import Link, Segment, Trunk

if TYPE_CHECKING:
    import networkx as nx
    from scapy.plist import PacketList

    from cnmsim.engine.client.containers import Container
    from cnmsim.engine.engine import Engine
    from cnmsim.kernel.link_events import LinkEvent
    from cnmsim.kernel.process import Program
    from cnmsim.lab.compose.project import Project
    from cnmsim.lab.graphs.underlay import Underlay
    from cnmsim.lab.source import LabSource
    from cnmsim.lab.stack.objects import StackObjects
    from cnmsim.libnetwork.controller import Controller
    from cnmsim.libnetwork.endpoint import Endpoint
    from cnmsim.libnetwork.sandbox import Sandbox
    from cnmsim.observe import Capture, Checkup, Difference, Explanation, Reachability, Trace
    from cnmsim.observe.diagnosis.engine_errors import ErrorExplanation
    from cnmsim.observe.fixes.file_edit import FileEdit
    from cnmsim.observe.fixes.fix import Fix
    from cnmsim.observe.flows.flow import Flow
    from cnmsim.observe.flows.result import FlowReport
    from cnmsim.observe.flows.running import RunningFlows
    from cnmsim.observe.packets.interface import Interface
    from cnmsim.observe.packets.walks import Walks
    from cnmsim.observe.views import LookupView, Picture, RoutesView, RulesView

#: The public attributes that tab completion leaves out, as only other modules need them.
_PARTS = frozenset({"clock", "container_programs", "executor", "has_plugins", "plugin_dirs", "plugin_policy"})

hooks.register()


class Lab:
    """A simulated network of hosts.

    `engine` is the Docker release of every Docker host, unless `add_host` names another. `seed` seeds all random
    numbers: two labs that are built alike with the same seed produce the same bytes. `nameserver` is the address in
    the resolv.conf of hosts that set none of their own, `latency_s` the default latency of a segment in seconds.
    `programs` are additional programs of hosts and containers by name, each an `async def` that takes its `Process`
    and returns the exit status. `epoch_s` is the time of day at which virtual time begins, in seconds since 1970.
    `plugin_dirs` are folders in which the engines look for network and IPAM plugins (sockets, `.spec` and `.json`
    files), `plugin_policy` how long they wait for one.

    >>> lab = Lab()
    >>> node = lab.add_host("node1", "10.0.0.15/24", docker=True)
    """

    def __init__(
        self,
        engine: str = DEFAULT_RELEASE,
        seed: int = 0,
        *,
        nameserver: str | None = None,
        latency_s: float = 0.0001,
        programs: Mapping[str, Program] | None = None,
        epoch_s: int | None = None,
        plugin_dirs: Iterable[str | Path] = (),
        plugin_policy: PluginPolicy | None = None,
    ) -> None:
        from cnmsim.engine.images.catalogue import ImageCatalogue
        from cnmsim.userland import CONTAINER_PROGRAMS, HOST_PROGRAMS

        self.engine = require_release(engine)
        self.nameserver = nameserver
        self.clock = Clock(seed)
        #: The folders in which engines look for network and IPAM plugins, unless `add_host` gives their host other
        #: folders.
        self.plugin_dirs = [Path(folder) for folder in plugin_dirs]
        self.plugin_policy = plugin_policy or PluginPolicy()
        #: Executes work in the thread of the lab while an engine waits for a plugin.
        self.executor = MainThreadExecutor()
        if epoch_s is not None:
            self.clock.epoch_s = epoch_s
        self.hosts = Hosts()
        self.clock.registry["hosts"] = self.hosts
        self._cabling = Cabling(self.clock, latency_s, self.hosts)
        self._faults = Faults(self, self.clock.stream("faults"))
        #: The Compose project of a lab made by `from_compose`, or the last one that `up` brought up.
        self.project: Project | None = None
        #: Every Compose project that was brought up, oldest first.
        self.projects: list[Project] = []
        #: The declarations of each stack that was deployed on an engine of the lab, by the stack's name.
        self.stacks: dict[str, StackObjects] = {}
        #: The files from which the lab was built; `None` for a lab built by calls.
        self.source: LabSource | None = None
        #: The meaning of image names on every engine of the lab; `images.add` adds an image.
        self.images = ImageCatalogue()
        own = dict(programs or {})
        self._host_programs: Mapping[str, Program] = {**HOST_PROGRAMS, **own}
        #: The programs of containers and sandboxes, by name.
        self.container_programs: Mapping[str, Program] = {**CONTAINER_PROGRAMS, **own}

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        if not self.hosts:
            return {"text/html": self.hosts._repr_html_(), "text/plain": repr(self)}
        return {**self.draw()._repr_mimebundle_(include, exclude), "text/plain": repr(self)}

    def __repr__(self) -> str:
        return f"<Lab {', '.join(self.hosts)}>" if self.hosts else "<Lab without hosts>"

    def __dir__(self) -> list[str]:
        """Return the names for tab completion, without those that are only for other modules."""
        return [name for name in super().__dir__() if name not in _PARTS]

    @property
    def segments(self) -> dict[str, Segment]:
        """The Ethernet segments by name, including cables between two interfaces."""
        return self._cabling.segments

    @property
    def links(self) -> list[Trunk | Link]:
        """The cables between two switches or two interfaces, oldest first."""
        return self._cabling.links

    @property
    def latency_s(self) -> float:
        """The default latency of a segment, in seconds."""
        return self._cabling.latency_s

    # ---- building

    def add_host(
        self,
        name: str,
        *addresses: str,
        gateway: str | list[str] | tuple[str, ...] | None = None,
        docker: bool | Mapping[str, Any] = False,
        engine: str | None = None,
        nameserver: str | None = None,
        names: Mapping[str, Any] | None = None,
        web: bool = False,
        router: bool = False,
        routes: Iterable[str] = (),
        mtu: int = 1500,
        dhcp: str | None = None,
        plugin_dirs: Iterable[str | Path] | None = None,
    ) -> Host:
        """Add a host with `addresses` such as `"10.0.0.15/24"`, and plug it in.

        For each subnet the host has an interface, `eth0`, `eth1`, … in order, which is plugged into the segment of
        that subnet; a missing segment is created. An IPv6 address shares the interface of the IPv4 address before it.
        With `docker` the host runs an engine of the release `engine`; the value is `True` or the options of
        `daemon.json` (`{"userland-proxy": False, "mtu": 1450}`). `names` makes the host a name server, `web` a web
        server on port 80, `router` enables forwarding. `routes` are arguments of `ip route add`. `dhcp` makes the
        host a DHCP server: the value is the range of addresses that it leases on its subnet, such as
        `"10.0.0.100-10.0.0.199"`. `plugin_dirs` are the folders of this engine's plugins, in place of the lab's.

        Raises `InvalidParameter` for invalid values and `Conflict` for a name or address in use; the lab is then
        unchanged.
        """
        options = HostOptions(gateway, docker, engine, nameserver, names, web, router, routes, mtu, dhcp, plugin_dirs)
        return build_host(self, name, addresses, options)

    def controller(
        self, name: str = "node1", *addresses: str, engine: str | None = None, config: Mapping[str, Any] | None = None
    ) -> Controller:
        """Return libnetwork's controller on the host `name`: the container network model without an engine.

        A host that does not exist is added with `addresses`, by default the next free one from 10.0.0.15/24 on. If
        the host runs an engine, the controller is the engine's. `engine` is the release, `config` the options of
        `daemon.json`, such as `{"default-network-opts": {"bridge": {"com.docker.network.driver.mtu": "1400"}}}`. The
        controller has no networks at first; `Controller.start` creates those that dockerd starts with.

        Raises `InvalidParameter` for invalid values, and for addresses or a configuration of a host that has them.
        """
        from cnmsim.lab.controllers import add_controller

        return add_controller(self, name, addresses, require_release(engine or self.engine), config)

    def add_router(self, name: str, *addresses: str, **options: Any) -> Host:
        """Add a host that forwards between its networks; `options` are those of `add_host`."""
        return self.add_host(name, *addresses, router=True, **options)

    def add_segment(
        self,
        name: str,
        *subnets: str,
        latency_s: float | None = None,
        vlans: Mapping[int, str | Iterable[str]] | None = None,
        **options: Any,
    ) -> Segment:
        """Add an Ethernet segment for the hosts of `subnets`; `options` are those of `Segment`.

        Without `subnets` it is a switch without any port in use; `link` connects interfaces and other switches.
        `vlans` makes it a switch with VLANs: `{100: "10.0.0.0/24", 200: "192.168.3.0/24"}` plugs the hosts of these
        subnets into access ports of these VLANs. Raises `Conflict` if the name or a subnet has a segment,
        `InvalidParameter` for invalid values.
        """
        return self._cabling.add_segment(name, subnets, latency_s, vlans, options)

    def link(self, left: str, right: str, **options: Any) -> Trunk | Link | Segment:
        """Connect two interfaces (`"node1:eth1"`), two switches, or one of each by a cable.

        The cable replaces the one that an interface had. `options` are `latency_s`, `bandwidth_bps`, `loss` and,
        between two interfaces, `mtu`. For the port of a switch: `access=100`, or `trunk=[100, 200]` (or `"all"`) with
        the untagged VLAN `native` (default 1, `None` for none), `refuse_unknown_macs` and `hairpin`. Raises
        `NotFound` for an unknown end, `InvalidParameter` for a loop of switches and for VLANs where there is no
        switch.
        """
        return self._cabling.link(left, right, options)

    # ---- lookup

    def host(self, name: str) -> Host:
        """Return the host of that name. Raises `NotFound`."""
        host = self.hosts.get(name)
        if host is None:
            raise NotFound(f"no host named {name}{suggestion(name, self.hosts)}")
        return host

    def segment(self, name: str) -> Segment:
        """Return a segment by its name, its subnet, or an address in it. Raises `NotFound`."""
        return self._cabling.segment(name)

    def container(self, name: str) -> Container:
        """Return the container of that name, on any engine.

        In a Compose project or a swarm, the name of a service selects its first container. In a swarm, `service.2`
        selects the container of one task. Raises `NotFound` if no container matches, `Conflict` if containers of
        several engines match.
        """
        matches = [
            container
            for engine in self._engines()
            for container in engine.containers.list(all=True)
            if name in {container.name, container.id}
        ]
        if not matches and self.project is not None:
            matches = self.project.containers(name)[:1]
        if not matches:
            matches = self._tasks(name)
        if not matches:
            known = [container.name for engine in self._engines() for container in engine.containers.list(all=True)]
            raise NotFound(f"No such container: {name}{suggestion(name, known)}")
        if len(matches) > 1:
            raise Conflict(f"several hosts have a container {name}: use the engine of one host")
        return matches[0]

    def sandbox(self, name: str) -> Sandbox:
        """Return the sandbox of that name or id, on any host; a container's is also found by the container's name.

        Raises `NotFound` if no sandbox matches, `Conflict` if those of several hosts match.
        """
        matches = [
            sandbox
            for host in self.hosts.values()
            if host.controller is not None
            for sandbox in host.controller.sandboxes
            if name in {sandbox.name, sandbox.container_id, sandbox.id}
        ]
        if not matches:
            raise NotFound(f"No such sandbox: {name}")
        if len(matches) > 1:
            raise Conflict(f"several hosts have a sandbox {name}: use the controller of one host")
        return matches[0]

    def _tasks(self, name: str) -> list[Container]:
        """Return the containers of the swarm tasks that `name` selects: all of a service, or one (`web.2`)."""
        from cnmsim.observe import directory_of

        locations = [location for location in directory_of(self).matching(name) if location.task]
        return [self.hosts[location.host].docker.containers.get(location.id) for location in locations]

    def __getitem__(self, name: str) -> Host | Container:
        """Return the host or else the container of that name. Raises `NotFound` with the closest name."""
        if name in self.hosts:
            return self.hosts[name]
        try:
            return self.container(name)
        except NotFound:
            hint = suggestion(name, [item.name for item in self._members()])
            with suppress(NotFound):
                hint = f"; lab.sandbox({self.sandbox(name).name!r}) is a sandbox"
            raise NotFound(f"no host and no container is named {name!r}{hint}") from None

    def _members(self) -> Iterator[Host | Container]:
        """Yield the hosts, and the containers of their engines."""
        yield from self.hosts.values()
        for engine in self._engines():
            yield from engine.containers.list(all=True)

    def _ipython_key_completions_(self) -> list[str]:
        return [item.name for item in self._members()]

    def __contains__(self, name: str) -> bool:
        try:
            self[name]
        except NotFound:
            return False
        return True

    def device(self, name: str) -> Interface:
        """Return the interface of a host or container by a name such as `"node1:eth0"`. Raises `NotFound`."""
        from cnmsim.observe import directory_of
        from cnmsim.observe.packets.interface import find_interface

        return find_interface(directory_of(self), name)

    # ---- time

    @property
    def now(self) -> float:
        """Virtual time in seconds since the lab began."""
        return self.clock.now

    def run(self, seconds: float) -> None:
        """Advance virtual time by `seconds`."""
        self.clock.run_for(seconds)

    def settle(self, seconds: float = 1.0, *, limit_s: float = 180.0) -> float:
        """Advance virtual time until everything that was started is ready. Return the seconds that passed.

        At least `seconds` pass, in which programs bind their ports and addresses become valid. In a swarm, time
        passes until every task has its desired state, all nodes agree, their gossip is one cluster, and a manager is
        leader with a quorum. If there is no leader, or gossip is split, for 90 s, this is taken for the effect of a
        fault and no longer waited for. Raises `TimeoutError` after `limit_s` seconds; its text names what is pending.
        """
        begun_s = self.clock.now
        self.run(seconds)
        if not any(engine.controller.cluster is not None for engine in self._engines()):
            return self.clock.now - begun_s
        from cnmsim.lab.quiescence import QuiescenceChecker

        checker = QuiescenceChecker()
        with rare_garbage_collection():
            while not checker.is_quiescent(self._engines()):
                if self.clock.now - begun_s >= limit_s:
                    raise TimeoutError(f"not settled after {limit_s:g} s: {checker.pending_work(self._engines())}")
                self.run(0.1)
        return self.clock.now - begun_s

    def fork(self) -> Lab:
        """Return a copy of the lab as it is now, to try a change in. Neither affects the other.

        Addresses, MACs, names, routes, rules, counters, conntrack entries, link options, sysctls and the time are the
        same; containers run, ports are published. Programs are restarted as the same processes: open connections and
        captures are not in the copy. The nodes of a swarm, which must be quiescent, reconnect, which takes some
        seconds of the copy's time. Raises `Unavailable` for what cannot be copied: a lab whose engines use plugins,
        or a swarm that has not settled (one with failing tasks is copied between two attempts).
        """
        from cnmsim.lab.fork import fork_lab

        return fork_lab(self)

    # ---- faults

    @property
    def faults(self) -> list[str]:
        """The faults set by `cut`, `partition` and `lose`, one sentence each."""
        return self._faults.describe()

    def cut(self, *hosts: str) -> None:
        """Unplug hosts (`"node2"`) or single interfaces (`"node2:eth1"`). Raises `NotFound`."""
        self._faults.cut(*hosts)

    def partition(self, *groups: Iterable[str]) -> None:
        """Drop every frame between hosts of different groups: `lab.partition(["node1"], ["node2", "node3"])`.

        Hosts in no group are not affected. Raises `NotFound`, `InvalidParameter`.
        """
        self._faults.partition(groups)

    def lose(self, sender: str, receiver: str, share: float = 1.0) -> None:
        """Drop a fraction `share` (0 to 1) of the frames from the host `sender` to `receiver`, not of those back.

        Raises `NotFound` for an unknown host, `InvalidParameter` for another fraction.
        """
        self._faults.lose(sender, receiver, share)

    def heal(self, *hosts: str) -> None:
        """Remove all faults of the wiring, or only the faults of the given hosts. Raises `NotFound`."""
        self._faults.heal(*hosts)

    # ---- observation

    @property
    def events(self) -> list[LinkEvent]:
        """Link events that no program reports, such as two hosts with the same address; oldest first."""
        events = [notice for host in self.hosts.values() for notice in host.machine.link_events.events]
        return sorted(events, key=lambda notice: notice.time_ns)

    @property
    def underlay(self) -> Underlay:
        """The hosts, routers and switches as a graph, with its paths, cut vertices and loops."""
        from cnmsim.lab.graphs.underlay import Underlay

        return Underlay(self.to_networkx(docker=False))

    def trace(
        self,
        source: object,
        destination: object,
        *,
        port: int | str | None = None,
        protocol: str | None = None,
        timeout_s: float = 5.0,
        family: int = 0,
    ) -> Trace:
        """Send a real probe from `source` to `destination` and return the trace of everything it caused.

        `source` is a name, a host, a container, a sandbox or an endpoint. `destination` is `db:5432`, `web:53/udp`,
        `db:http`, `("db", 5432)`, a URL, a name, or one of these objects; its port may be given as `port`. Without a
        port it is pinged. A name is looked up by the source; for an object, its address is used. `protocol` (`tcp` or
        `udp`) applies to a destination that states none. `timeout_s` limits the wait for an answer, in virtual
        seconds. `family` (4 or 6) is the IP version to use, 0 for either.

        Raises `NotFound` or `Conflict` for an unknown or ambiguous source, `InvalidParameter` for an invalid
        destination.
        """
        from cnmsim.observe import trace

        return trace(self, source, destination, port=port, protocol=protocol, timeout_s=timeout_s, family=family)

    def watch(self, source: object) -> AbstractContextManager[Trace]:
        """Trace everything that happens because of the code inside a `with` block.

        For example, trace what a program sends next on an open connection. When the block ends, the first message
        that `source` (a name, a host, a container, a sandbox or an endpoint) sent in it is diagnosed.
        """
        from cnmsim.observe import directory_of, watch
        from cnmsim.observe.trace.tracer import location_of

        directory = directory_of(self)
        return watch(self.clock, directory, location_of(directory, source))

    def explain(
        self,
        source: object,
        destination: object,
        service: str | int | None = None,
        *,
        port: int | str | None = None,
        protocol: str | None = None,
        timeout_s: float = 5.0,
        family: int = 0,
    ) -> Explanation:
        """Return whether `source` reaches `destination`, and what decided it, such as a rule, a route or a socket.

        The service is `service` (`"tcp/80"`), or else the port is `port` or a part of `destination` as in `trace`;
        without a port, `destination` is pinged. The other parameters are those of `trace`.
        """
        from cnmsim.observe import explain

        return explain(
            self, source, destination, service, port=port, protocol=protocol, timeout_s=timeout_s, family=family
        )

    def edits_of(self, fix: Fix) -> tuple[FileEdit, ...]:
        """Return a fix as edits of the lab's files; empty if the files cannot express it.

        `fix.edits` returns the same.
        """
        from cnmsim.lab.edits.render import edits_of

        return edits_of(self, fix)

    def explain_error(self, error: BaseException, *, asked: str = "") -> ErrorExplanation:
        """Return an explanation of an engine's error, with what its message omits, such as the owner of a port.

        `asked` is the subnet or address that was requested, "" if none was.
        """
        from cnmsim.observe.diagnosis.engine_errors import explain_error

        return explain_error(self, error, asked=asked)

    def doctor(self) -> Checkup:
        """Return the latent faults of the lab, each with its severity and location: `print(lab.doctor())`.

        Nodes of a swarm are probed with real packets, which takes some virtual time.
        """
        from cnmsim.observe import doctor

        return doctor(self)

    def reachability(
        self,
        sources: Sequence[object] | None = None,
        *,
        protocols: Sequence[str] = ("tcp",),
        protocol: str | None = None,
        port: int | str | None = None,
        by: str = "name",
    ) -> Reachability:
        """Return which containers reach which other containers, as found by real probes.

        Probes go from every container (or from `sources`) to every port on which containers listen by one of
        `protocols`. With `port`, every container is probed at this port of `protocol`, whether it listens there or
        not; `protocol="icmp"` pings. A probe uses the container's name, which the source looks up, or with
        `by="address"` its address. Pairs between which no rule, route, socket or bridge makes a difference share one
        probe. Raises `InvalidParameter` for an unknown protocol, `NotFound` or `Conflict` for an unknown or ambiguous
        source.
        """
        from cnmsim.observe import reachability

        return reachability(self, sources, protocols=protocols, protocol=protocol, port=port, by=by)

    def diff(self, other: Lab, **options: Any) -> Difference:
        """Return the pairs that reach each other in this lab but not in `other`, and vice versa.

        `options` are those of `reachability`. The two labs may be, for example, built from two versions of a Compose
        file or with two engine releases, or be a lab and its fork. Containers with equal names are compared.
        """
        return self.reachability(**options).diff(other.reachability(**options))

    def flow(self, source: object, destination: str, **options: Any) -> FlowReport:
        """Send a flow of messages, let virtual time pass until it has ended, and return its figures.

        `source` is a name, a host or a container, `destination` a name or address with a port (`"web:80"`). `options`
        are those of `Flow`: `protocol`, `rate_bps`, `size`, `count` or `duration_s`, `interval` and so on. Raises
        `InvalidParameter` for invalid values, `NotFound` or `Conflict` for an unknown or ambiguous source.
        """
        from cnmsim.observe.flows.flow import Flow

        try:
            flow = Flow(source, destination, **options)
        except TypeError:
            from difflib import get_close_matches

            known = [item.name for item in fields(Flow)]
            unknown = next(name for name in options if name not in known)
            close = get_close_matches(unknown, known, 1)
            meant = f"did you mean {close[0]}?" if close else f"there are {', '.join(known[2:])}"
            raise InvalidParameter(f"a flow has no option {unknown!r}: {meant}") from None
        return self.flows([flow])

    def flows(self, flows: Iterable[Flow]) -> FlowReport:
        """Send several flows at once, let virtual time pass until all have ended, and return their figures.

        Raises the errors of `flow`; then no flow is sent.
        """
        return self.start_flows(flows).finish()

    def start_flows(self, flows: Iterable[Flow]) -> RunningFlows:
        """Start flows and return at once, so that the lab can be changed while they run.

        Advance time with `run`, and call `finish()` of the result for the figures. Raises the errors of `flow`; then
        no flow is sent.
        """
        from cnmsim.observe.flows.running import start_flows

        return start_flows(self, flows)

    def capture(
        self,
        *places: str | Sandbox | Endpoint,
        filter: str = "",  # noqa: A002 - scapy's name
        prn: Callable[[Any], Any] | None = None,
        verdicts: bool = False,
    ) -> Capture:
        """Start a capture at the devices that match `places`, such as `"router:eth0"`, or at all devices.

        A place may also be a sandbox (its devices except loopback) or an endpoint (its device in its sandbox).
        `filter` is an expression in the language of tcpdump (`"tcp port 80"`). `prn` is called with every captured
        scapy packet; what it returns is printed, unless it is `None`. With `verdicts`, the capture records where
        every packet is delivered or dropped while its `with` block lasts; the simulation then takes several times as
        long. Raises `NotFound` if no device matches, `InvalidParameter` for an invalid filter.
        """
        from cnmsim.observe import capture

        return capture(self, *places, filter=filter, prn=prn, verdicts=verdicts)

    def sniff(
        self,
        *patterns: str,
        filter: str = "",  # noqa: A002 - scapy's name
        count: int = 0,
        timeout_s: float = 10.0,
        prn: Callable[[Any], Any] | None = None,
        stop_filter: Callable[[Any], bool] | None = None,
        started_callback: Callable[[], object] | None = None,
        verdicts: bool = False,
    ) -> PacketList:
        """Advance virtual time, and return the packets captured meanwhile, as scapy's `sniff` does.

        The capture ends after `count` packets (0 for no limit), after a packet for which `stop_filter` returns True,
        or after `timeout_s` seconds. `started_callback` is called when the capture has started. The other parameters
        and the errors are those of `capture`.
        """
        from cnmsim.observe.packets.sniff import sniff

        return sniff(
            self, patterns, filter=filter, count=count, timeout_s=timeout_s, prn=prn, stop_filter=stop_filter,
            started_callback=started_callback, verdicts=verdicts,
        )  # fmt: skip

    def replay(
        self,
        path: str | Path,
        at: str | Interface,
        *,
        rewrite: Mapping[str, str] | None = None,
        filter: str = "",  # noqa: A002 - scapy's name
        direction: str | None = None,
        speed: float = 1.0,
        count: int | None = None,
        timeout_s: float = 5.0,
    ) -> Walks:
        """Send the frames of a capture file (pcap or pcapng) at a device, with their recorded timing.

        `at` is the device (`"node1:eth0"`). A frame that was recorded as outgoing leaves by the device; every other
        is received by it as if from the wire. `direction` (`"in"` or `"out"`) applies to all frames instead.
        `rewrite` replaces MAC addresses, IP addresses and subnets, `{"192.168.1.0/24": "10.0.0.0/24"}`, in the
        Ethernet and ARP and outermost IP headers, and updates the checksums. `filter` selects frames in the language
        of tcpdump, `count` limits their number. `speed` is a factor: 2 halves the times between frames. `timeout_s`
        is as in `Host.send`.

        Raises `FileError` for a file that is not a capture, `NotFound` for an unknown device, `InvalidParameter` for
        other invalid values; nothing is sent then.
        """
        from cnmsim.observe.packets.replay import replay

        return replay(
            self.device(at) if isinstance(at, str) else at, path, rewrite=rewrite or {}, filter=filter,
            direction=direction, speed=speed, count=count, timeout_s=timeout_s,
        )  # fmt: skip

    def draw(self, trace: Trace | None = None) -> Picture:
        """Draw the lab as it is now. With `trace`, the path of its packets is drawn too.

        A notebook displays the picture, `.save("lab.svg")` writes it.
        """
        from cnmsim.observe.views import draw

        return draw(self, trace)

    def rules(
        self,
        where: object,
        table: str = "filter",
        chain: str | None = None,
        *,
        trace: Trace | None = None,
        family: int = 4,
    ) -> RulesView:
        """Return a table of packet filter rules on a host or in a container; with `chain` only that chain.

        `family` is 4 for IPv4 and 6 for IPv6. The rules that packets of `trace` traversed are marked.

        Raises `NotFound` for an unknown host, container or chain, `InvalidParameter` for an unknown table.
        """
        from cnmsim.observe.views import rules

        return rules(self, where, table, chain, trace=trace, family=family)

    def routes(self, where: object, *, to: str = "", trace: Trace | None = None) -> RoutesView:
        """Return the routes of a host or a container.

        The route that a lookup of the address `to` selects, or the routes that packets of `trace` used, are marked.
        Raises `NotFound` for an unknown host or container, `InvalidParameter` if `to` is not an address.
        """
        from cnmsim.observe.views import routes

        return routes(self, where, to=to, trace=trace)

    def lookup(self, where: object, name: str, *, family: int = 0) -> LookupView:
        """Resolve a name as programs on a host or in a container do. Return the answer and every DNS query made.

        `where` is the host or container, or its name. `family` is 4 or 6; 0 tries IPv4 first, then IPv6. Raises
        `NotFound` for an unknown host or container.
        """
        from cnmsim.observe.views import lookup

        return lookup(self, where, name, family=family)

    def to_networkx(self, *, docker: bool = True) -> nx.Graph[str]:
        """Return the lab as it is now as a networkx graph. Its nodes have the attribute `kind`.

        Hosts (`"host"`, `"router"` or `"docker"`) have `addresses`, `interfaces` (addresses by device), `routes` and
        the options of `add_host` that differ from their defaults. Segments have `latency_s`, `mtu`, `loss` and
        `subnets`. An edge has the options of its cable and `kind`: `"cable"` between a host and a segment, with
        `device`, `"trunk"` between segments, `"link"` between hosts, with `devices` by host. Of several cables
        between two nodes the graph has the last.

        With `docker`, the engines' networks (`"HOST/NETWORK"`, with `driver`, `subnets`, `internal`) and containers
        (`"HOST/CONTAINER"`, with `image`, `status`) are nodes, too. The edge from a network to its host is the bridge
        or, for macvlan and ipvlan (`kind="parent"`), the parent interface. Without `docker`, `from_networkx` builds
        an equal lab from the graph.
        """
        from cnmsim.lab.graphs.export import export

        return export(self, docker=docker)

    def esp_keys(self) -> str:
        """Return the keys of encrypted overlay networks, as lines of Wireshark's `esp_sa` file."""
        from cnmsim.observe.capture.esp_keys import esp_keys

        return esp_keys(host.namespace for host in self.hosts.values())

    def to_mermaid(self) -> str:
        """Return the lab as a flowchart in mermaid's text format."""
        from cnmsim.observe import to_mermaid

        return to_mermaid(self)

    def to_dot(self) -> str:
        """Return the lab as a graph in Graphviz's DOT language."""
        from cnmsim.observe import to_dot

        return to_dot(self)

    # ---- graphs and files

    @classmethod
    def from_networkx(
        cls, graph: nx.Graph[Any], *, pool: str | Iterable[str] | None = None, weight: str = "weight", **options: Any
    ) -> Lab:
        """Build hosts, routers, switches and links from a networkx graph.

        Node attributes: `kind` is `"host"`, `"router"`, `"docker"`, `"switch"` or `"hub"`; without it, a node with
        more than one edge is a router, any other a host. A host has `addresses`, a list or, by device, `interfaces`,
        and the options of `add_host` (`gateway`, `routes`, `docker`, `engine`, `names`, `web`, `dhcp`, `mtu`). A
        switch has the options of `add_segment`, `subnets` (a list, or a mapping by VLAN), and a `pool`.

        Edge attributes: the options of `link` (`latency_s`, `bandwidth_bps`, `loss`, `mtu`, `access`, `trunk`,
        `native`), `device` or `devices`, `addresses` of the host's end, and `subnet`.

        What is missing is filled in: each broadcast domain without addresses gets a subnet of `pool` (default: the
        attribute `pool` of the graph, else 10.0.0.0/8; several pools give an address of each), each interface an
        address, and each host that names neither `gateway` nor `routes` the routes along networkx's shortest paths.
        `weight` is the edge attribute that they add up, by default 1 for each edge. Numbers as nodes get the letter n
        before them as names. `options` are those of `Lab`.

        Raises `InvalidParameter` for a graph that is no lab: a loop of switches, an invalid attribute, a pool without
        room.
        """
        from cnmsim.lab.graphs.build import build

        lab = cls(**options)
        build(lab, graph, pool, weight)
        return lab

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        *,
        engine: str | None = None,
        seed: int = 0,
        epoch_s: int | None = None,
        images: str = "hub",
    ) -> Lab:
        """Build the lab that a lab file describes. Raises `FileError` with line and key.

        `engine` overrides the release that the file names; `seed` and `epoch_s` are those of `Lab`. `images` applies
        to a file without the key `images`: `hub` for the images of Docker Hub, `recorded` for those of the engines
        that were recorded.
        """
        from cnmsim.lab.labfile import load_lab

        return load_lab(Path(path), engine=engine, seed=seed, epoch_s=epoch_s, images=images)

    @classmethod
    def from_compose(
        cls,
        files: str | Path | Mapping[str, Any] | Sequence[str | Path | Mapping[str, Any]],
        project: str | None = None,
        env: Mapping[str, str] | None = None,
        profiles: Sequence[str] = (),
        *,
        env_files: Sequence[str | Path] = (),
        scale: Mapping[str, int] | None = None,
        create_external: bool = False,
        listens: Mapping[str, Iterable[int | str]] | None = None,
        strict: bool = False,
        offline: bool = False,
        engine: str = DEFAULT_RELEASE,
        seed: int = 0,
        epoch_s: int | None = None,
    ) -> Lab:
        """Bring a Compose project up on a Docker host in a default topology.

        The host `host` (198.51.100.15) and a second machine `client` (198.51.100.50) share a LAN; beyond the router
        `router` is `internet` (203.0.113.10), which serves web pages and names. Unless `offline` is set, it also
        answers for every public name and address; a verdict that depends on this names it as an assumption. The
        addresses are reserved for documentation, so that no network of a Compose file overlaps them. If a service has
        the name of one of these hosts, the host is called `client-host` and so on.

        `files` are paths, or the content as a text of several lines or a mapping. `env` are variables for `${…}`, in
        addition to the variables in `env_files` or, without that, in the file `.env` beside the first file.
        `create_external` creates the networks that the project expects to exist, as `docker network create` without
        options does. `listens` states the ports on which services listen, such as `{"api": [8000, "53/udp"]}`.
        External networks that do not exist, and health checks that the simulation cannot decide, are assumed to be
        right (`lab.project.notes` lists them); with `strict` they are errors. Raises `FileError` for an invalid file
        and, with the line, if the engine refuses something.
        """
        from cnmsim.lab.compose.default_topology import compose_lab

        return compose_lab(
            files, project, env, profiles,
            env_files=env_files, scale=scale, create_external=create_external, listens=listens,
            strict=strict, offline=offline, engine=engine, seed=seed,
            epoch_s=epoch_s,
        )  # fmt: skip

    def up(
        self,
        files: str | Path | Mapping[str, Any] | Sequence[str | Path | Mapping[str, Any]],
        *,
        host: str | None = None,
        **options: Any,
    ) -> Project:
        """Start a Compose project on the Docker host `host`, by default the only one, and return the project.

        `options` are those of `load_project`, and `scale` and `strict` as in `from_compose`.
        """
        from cnmsim.lab.compose import load_project
        from cnmsim.lab.compose.project import Project

        engine = self._one_engine(host)
        scale, strict = options.pop("scale", None), options.pop("strict", False)
        project = Project(load_project(files, **options), engine, self.clock, is_strict=strict)
        project.up(scale=scale)
        self.project = project
        self.projects.append(project)
        self.settle()
        return project

    # ---- serving

    def serve(
        self, directory: str | Path | None = None, *, clock: ClockMode = "paused", expose_ports: str | None = None
    ) -> AbstractContextManager[ServedLab]:
        """Serve the Docker Engine API of every Docker host in this program, while a `with` block lasts.

        The block receives a mapping from host to the path of its socket, in `directory` or in a temporary folder.
        `clock` says how virtual time passes: `"real"` in step with real time; `"fast"` in step with real time, but in
        jumps while a client waits for something in the lab; `"paused"` only in such jumps. Meanwhile the lab runs in
        a thread of its own: use it only through the mapping's `call`. The ports that the Docker host `expose_ports`
        publishes are also open on this machine's loopback address, under the same numbers; the mapping's `ports`
        lists them.
        """
        folder = None if directory is None else Path(directory)
        return server().serve(self, folder, clock=clock, expose_ports=expose_ports)

    def open_plugin_control(self, directory: str | Path | None = None) -> AbstractContextManager[PluginControl]:
        """Open a control socket, by which plugin processes run programs on the hosts, while a `with` block lasts.

        The block receives an object `control`: `control.environment(host, folder)` returns the environment variables
        of a plugin process whose `ip` shall act on `host`. Programs run in this thread while an engine waits for a
        plugin. A served lab with `plugin_dirs` opens such a control socket itself.
        """
        return server().open_plugin_control(self, None if directory is None else Path(directory))

    def look_for_plugins(self, *folders: str | Path, give_up_s: float | None = None) -> None:
        """Make each engine that exists now also look for plugins in `folders`.

        `give_up_s` is the number of seconds of real time after which an engine stops looking for a plugin, or stops
        retrying a plugin that does not respond.
        """
        if give_up_s is not None:
            self.plugin_policy = evolve(self.plugin_policy, give_up_s=give_up_s)
        more = [Path(folder) for folder in folders]
        self.plugin_dirs += more
        for engine in self._engines():
            store = engine.controller.plugins
            store.folders = [*store.folders, *more]
            store.policy = self.plugin_policy

    @property
    def has_plugins(self) -> bool:
        """Whether any engine of the lab has folders in which it looks for plugins."""
        return any(engine.controller.plugins.folders for engine in self._engines())

    # ---- internals

    def from_env(self, **options: Any) -> Engine:
        """Return the lab's only engine, in place of `docker.from_env()`; docker-py's `options` are ignored.

        `monkeypatch.setattr("docker.from_env", lab.from_env)` lets a program that uses docker-py work in the lab.
        Raises `InvalidParameter` if the lab has no engine or several.
        """
        del options
        return self._one_engine(None)

    def _engines(self) -> list[Engine]:
        return [host.docker for host in self.hosts.values() if host.has_docker]

    def _one_engine(self, name: str | None) -> Engine:
        if name is not None:
            return self.host(name).docker
        engines = self._engines()
        if len(engines) != 1:
            raise InvalidParameter(f"the lab has {len(engines)} Docker hosts: name one")
        return engines[0]

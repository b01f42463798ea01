"""`Lab`: hosts, engines and the cables between them, on one clock. The composition root of cnmsim.

`Lab` is a facade: each method is a few lines that call the module where the work is done (`hosts`, `cabling`,
`faults`, `serving`). Its members are found by `LabMembers`, probes, captures and views are in `ObservedLab`, and
constructors that read files in `LabFromFiles`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import evolve

from cnmsim.errors import InvalidParameter
from cnmsim.kernel.clock import Clock, rare_garbage_collection
from cnmsim.lab import hooks
from cnmsim.lab.cabling import Cabling
from cnmsim.lab.faults import Faults
from cnmsim.lab.from_files import LabFromFiles
from cnmsim.lab.host import Host, Hosts
from cnmsim.lab.hosts import HostOptions, build_host
from cnmsim.lab.releases import DEFAULT_RELEASE, require_release
from cnmsim.lab.serving import ClockMode, PluginControl, ServedLab, server
from cnmsim.libnetwork.plugins.main_thread_executor import MainThreadExecutor
from cnmsim.libnetwork.plugins.policy import PluginPolicy
from cnmsim.suggestion import suggests_keywords
from cnmsim.underlay import Link, Segment, Trunk

if TYPE_CHECKING:
    import networkx as nx

    from cnmsim.kernel.process import Program
    from cnmsim.lab.compose.project import Project
    from cnmsim.lab.edits.places import FilePlaces
    from cnmsim.lab.graphs.underlay import Underlay
    from cnmsim.lab.source import LabSource
    from cnmsim.lab.stack.objects import StackObjects
    from cnmsim.libnetwork.controller import Controller
    from cnmsim.observe.fixes.file_edit import FileEdit
    from cnmsim.observe.fixes.fix import TriedChange

#: The public attributes that tab completion leaves out, as only other modules need them.
_PARTS = frozenset({"clock", "container_programs", "executor", "has_plugins", "plugin_dirs", "plugin_policy"})

hooks.register()


@suggests_keywords
class Lab(LabFromFiles):
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
        #: The folders in which engines look for plugins, unless `add_host` gives their host other folders.
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
        """Return the attribute names for tab completion, without those that only other modules use."""
        return [name for name in super().__dir__() if name not in _PARTS]

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

        A host that does not exist is added with `addresses`; by default it gets the next free address from
        10.0.0.15/24 on. If the host runs an engine, the controller is the engine's. `engine` is the release, `config`
        the options of `daemon.json`, such as `{"default-network-opts": {"bridge": {"com.docker.network.driver.mtu":
        "1400"}}}`. The controller has no networks at first; `Controller.start` creates the networks that exist when
        dockerd starts.

        Raises `InvalidParameter` for invalid values, for `addresses` if the host exists, and for `config` if the host
        has a controller.
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

        Without `subnets` it is a switch with no cable plugged in; `link` connects interfaces and other switches.
        `vlans` makes it a switch with VLANs: `{100: "10.0.0.0/24", 200: "192.168.3.0/24"}` plugs the hosts of these
        subnets into access ports of these VLANs. Raises `Conflict` if the name is in use or a subnet already has a
        segment, and `InvalidParameter` for invalid values.
        """
        return self._cabling.add_segment(name, subnets, latency_s, vlans, options)

    def link(self, left: str, right: str, **options: Any) -> Trunk | Link | Segment:
        """Connect two interfaces (`"node1:eth1"`), two switches, or one of each by a cable.

        An interface is first unplugged from its previous cable. `options` are `latency_s`, `bandwidth_bps`, `loss`
        and, between two interfaces, `mtu`. For the port of a switch: `access=100`, or `trunk=[100, 200]` (or `"all"`)
        with the untagged VLAN `native` (default 1, `None` for none), `refuse_unknown_macs` and `hairpin`. Raises
        `NotFound` for an unknown end, and `InvalidParameter` for a loop of switches or for VLANs without a switch.
        """
        return self._cabling.link(left, right, options)

    # ---- time

    @property
    def now(self) -> float:
        """Virtual time in seconds since the lab began."""
        return self.clock.now

    def run(self, seconds: float) -> None:
        """Advance virtual time by `seconds`. Raises `InvalidParameter` if this is negative or not a number."""
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not seconds >= 0:
            hint = f"{seconds!r} is no number of seconds: write lab.run(1.5) to let virtual time pass"
            raise InvalidParameter(f"{hint}; docker.containers.run() starts a container")
        self.clock.run_for(seconds)

    def settle(self, seconds: float = 1.0, *, limit_s: float = 180.0) -> float:
        """Advance virtual time until everything that was started is ready. Return the seconds that passed.

        At least `seconds` pass, in which programs bind their ports and addresses become valid. In a swarm, time
        passes until every task has its desired state, all nodes agree, their gossip is one cluster, and a manager is
        leader with a quorum. A swarm that has had no leader for 90 s counts as ready, because a fault is the probable
        cause. So do nodes whose gossip has not reduced their differences for 90 s (it is filtered, or the network is
        split), and tasks that fail again and again for 60 s. Raises
        `TimeoutError` after `limit_s` seconds; its text names what is pending.
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
        """Return a copy of the lab as it is now, to try a change in. The lab and its copy do not affect each other.

        The copy has the same addresses, MACs, names, routes, rules, counters, conntrack entries, link options,
        sysctls and time; containers run, ports are published. Programs are restarted as the same processes: open
        connections and captures are not in the copy. The nodes of a swarm reconnect, which takes some seconds of the
        copy's time. Raises `Unavailable` for a lab whose engines use plugins, and for a swarm with tasks that are not
        settled. Gossip that has not spread is no obstacle: it goes on in the copy. Nor is a task that fails again and
        again: the swarm is copied between two attempts.
        """
        from cnmsim.lab.fork import fork_lab

        return fork_lab(self)

    # ---- faults

    @property
    def faults(self) -> list[str]:
        """The faults set by `cut`, `partition` and `lose`, one sentence each."""
        return self._faults.describe()

    def cut(self, *hosts: str) -> None:
        """Unplug hosts (`"node2"`) or single interfaces (`"node2:eth1"`).

        Raises `NotFound` for an unknown host or interface.
        """
        self._faults.cut(*hosts)

    def partition(self, *groups: Iterable[str]) -> None:
        """Drop every frame between hosts of different groups: `lab.partition(["node1"], ["node2", "node3"])`.

        Hosts in no group are not affected. Raises `NotFound` for an unknown host, `InvalidParameter` for a host in
        two groups and for fewer than two groups.
        """
        self._faults.partition(groups)

    def lose(self, sender: str, receiver: str, share: float = 1.0) -> None:
        """Drop a fraction `share` (0 to 1) of the frames from the host `sender` to the host `receiver`.

        Frames from `receiver` to `sender` are not affected. Raises `NotFound` for an unknown host, `InvalidParameter`
        for a fraction outside 0 to 1 or equal hosts.
        """
        self._faults.lose(sender, receiver, share)

    def heal(self, *hosts: str) -> None:
        """Remove all faults of the wiring, or only the faults of the given hosts.

        Raises `NotFound` for an unknown host.
        """
        self._faults.heal(*hosts)

    # ---- graphs and files

    @property
    def underlay(self) -> Underlay:
        """The hosts, routers and switches as a graph, with its paths, cut vertices and loops."""
        from cnmsim.lab.graphs.underlay import Underlay

        return Underlay(self.to_networkx(docker=False))

    def to_networkx(self, *, docker: bool = True) -> nx.Graph[str]:
        """Return the lab as it is now as a networkx graph. Its nodes have the attribute `kind`.

        Hosts (`"host"`, `"router"` or `"docker"`) have `addresses`, `interfaces` (addresses by device), `routes` and
        the options of `add_host` that differ from their defaults. Segments have `latency_s`, `mtu`, `loss` and
        `subnets`. An edge has the options of its cable and `kind`: `"cable"` between a host and a segment, with
        `device`, `"trunk"` between segments, `"link"` between hosts, with `devices` by host. If several cables
        connect two nodes, the graph contains only the last one.

        With `docker`, the engines' networks (`"HOST/NETWORK"`, with `driver`, `subnets`, `internal`) and containers
        (`"HOST/CONTAINER"`, with `image`, `status`) are nodes, too. The edge from a network to its host represents
        the bridge or, for macvlan and ipvlan (`kind="parent"`), the parent interface. Without `docker`,
        `from_networkx` builds an equal lab from the graph.
        """
        from cnmsim.lab.graphs.export import export

        return export(self, docker=docker)

    def edits_of(self, fix: TriedChange) -> tuple[FileEdit, ...]:
        """Return the edits of the lab's files that make a fix; empty if the files cannot express it."""
        from cnmsim.lab.edits.render import edits_of

        return edits_of(self, fix)

    @property
    def file_places(self) -> FilePlaces:
        """The lines of the lab's files that declare its services, networks and hosts."""
        from cnmsim.lab.edits.places import FilePlaces

        return FilePlaces(self)

    @property
    def has_default_topology(self) -> bool:
        """Whether cnmsim chose the hosts, because the lab was read from Compose files or a stack only."""
        return self.source is not None and self.source.lab_file is None

    @classmethod
    def from_networkx(
        cls, graph: nx.Graph[Any], *, pool: str | Iterable[str] | None = None, weight: str = "weight", **options: Any
    ) -> Lab:
        """Build hosts, routers, switches and links from a networkx graph.

        Node attributes: `kind` is `"host"`, `"router"`, `"docker"`, `"switch"` or `"hub"`; without it, a node with
        more than one edge is a router, any other a host. A host has `addresses` (a list) or `interfaces` (a mapping
        from devices to addresses), and the options of `add_host` (`gateway`, `routes`, `docker`, `engine`, `names`,
        `web`, `dhcp`, `mtu`). A switch has the options of `add_segment`, `subnets` (a list, or a mapping by VLAN),
        and a `pool`.

        Edge attributes: the options of `link` (`latency_s`, `bandwidth_bps`, `loss`, `mtu`, `access`, `trunk`,
        `native`), `device` or `devices`, `addresses` of the host's end, and `subnet`.

        Missing addresses and routes are filled in. A broadcast domain without addresses gets a subnet of `pool`,
        which defaults to the attribute `pool` of the graph, or else to 10.0.0.0/8; with several pools it gets a
        subnet of each. An interface without an address gets one. A host that names neither `gateway` nor `routes`
        gets routes along networkx's shortest paths, for which `weight` is the edge attribute with the length of an
        edge (1 if it is missing). A node that is a number is named n1, n2 and so on. `options` are those of `Lab`.

        Raises `InvalidParameter` for a graph that describes no lab: a loop of switches, an invalid attribute, or a
        pool without a free subnet.
        """
        from cnmsim.lab.graphs.build import build

        lab = cls(**options)
        build(lab, graph, pool, weight)
        return lab

    def up(
        self,
        files: str | Path | Mapping[str, Any] | Sequence[str | Path | Mapping[str, Any]],
        *,
        host: str | None = None,
        **options: Any,
    ) -> Project:
        """Start a Compose project on a Docker host, wait until it is ready, and return it.

        `host` is the name of the host, by default the lab's only Docker host. `options` are the other parameters of
        `load_project`, and `scale` and `strict` as in `from_compose`.
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

        The block receives a mapping from the name of a host to the path of its socket, in `directory` or in a
        temporary folder. `clock` is the mode in which virtual time passes. With `"real"` it keeps step with real
        time. With `"fast"` it does so too, but jumps from event to event while a client waits for something in the
        lab. With `"paused"` it only jumps while a client waits. During the block the lab runs in a thread of its own:
        use it only through the mapping's `call`. The ports that the Docker host `expose_ports` publishes are also
        open on this machine's loopback address, under the same numbers; the mapping's `ports` lists them.
        """
        folder = None if directory is None else Path(directory)
        return server().serve(self, folder, clock=clock, expose_ports=expose_ports)

    def open_plugin_control(self, directory: str | Path | None = None) -> AbstractContextManager[PluginControl]:
        """Open a control socket through which plugin processes run programs on the lab's hosts.

        It is open while a `with` block lasts. The block receives an object `control`. `control.environment(host,
        folder)` returns the environment variables for a plugin process, so that its `ip` command acts on the
        simulated host `host`. Programs run in this thread while an engine waits for a plugin. A served lab with
        `plugin_dirs` opens such a control socket itself.
        """
        return server().open_plugin_control(self, None if directory is None else Path(directory))

    def look_for_plugins(self, *folders: str | Path, give_up_s: float | None = None) -> None:
        """Make the engines look for plugins in `folders` too.

        This also applies to engines that are added later without `plugin_dirs` of their own. `give_up_s` is the time
        in seconds of real time after which an engine stops looking for a plugin, or stops retrying a plugin that does
        not respond.
        """
        if give_up_s is not None:
            self.plugin_policy = evolve(self.plugin_policy, give_up_s=give_up_s)
        more = [Path(folder) for folder in folders]
        self.plugin_dirs += more
        for store in (engine.controller.plugins for engine in self._engines()):
            store.folders = [*store.folders, *more]
            store.policy = self.plugin_policy

    @property
    def has_plugins(self) -> bool:
        """Whether any engine of the lab has folders in which it looks for plugins."""
        return any(engine.controller.plugins.folders for engine in self._engines())

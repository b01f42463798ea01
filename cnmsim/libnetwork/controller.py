"""The controller: a daemon's networks, sandboxes, network drivers and IPAM drivers.

Source: moby `daemon/libnetwork/controller.go` (docker-v29.7.2), `libnetwork/controller.go` (v26.1.5, v28.5.2), and
`daemon/daemon_unix.go` for the networks that a daemon creates when it starts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field

from cnmsim.errors import Conflict, Forbidden, InvalidParameter, NoSuchNetwork, NotFound
from cnmsim.kernel.machine import Machine
from cnmsim.kernel.process import Process, Program
from cnmsim.libnetwork import lbsandbox, network_configuration, networkipam
from cnmsim.libnetwork.config import DaemonConfig
from cnmsim.libnetwork.daemon_log import DaemonLog
from cnmsim.libnetwork.driver import LOCAL_SCOPE, Driver, missing_members
from cnmsim.libnetwork.drivers.bridge import labels
from cnmsim.libnetwork.drivers.bridge.default_bridge import default_bridge_options
from cnmsim.libnetwork.drivers.bridge.driver import BridgeDriver
from cnmsim.libnetwork.drivers.registry import DriverFactory, DriverHost, DriverRegistry
from cnmsim.libnetwork.events import EventLog
from cnmsim.libnetwork.ingress import Ingress
from cnmsim.libnetwork.ipam.allocator import Ipam
from cnmsim.libnetwork.ipam.null import NullIpam
from cnmsim.libnetwork.ipam.predefined import PoolBase
from cnmsim.libnetwork.ipam.remote import RemoteIpam
from cnmsim.libnetwork.network import Network
from cnmsim.libnetwork.network_configuration import NOT_A_MANAGER, PREDEFINED_NETWORKS, Cluster
from cnmsim.libnetwork.networkipam import Allocator
from cnmsim.libnetwork.options import NetworkOptions, SandboxOptions
from cnmsim.libnetwork.plugins.client import PluginClient
from cnmsim.libnetwork.plugins.store import IPAM_DRIVER, PluginStore
from cnmsim.libnetwork.portallocator import PortAllocator, port_range, reserved_ports
from cnmsim.libnetwork.profile import Profile
from cnmsim.libnetwork.profile import profile as profile_of
from cnmsim.libnetwork.renderer import html_of
from cnmsim.libnetwork.sandbox import Sandbox
from cnmsim.libnetwork.servicediscovery import ServiceDiscovery
from cnmsim.libnetwork.settings import network_options, sandbox_options
from cnmsim.libnetwork.standalone import default_programs, new_machine
from cnmsim.stringid import hex_id

if TYPE_CHECKING:
    from cnmsim.libnetwork.agent import Agent, AgentConfig, EncryptionKey


def _to_profile(release: Profile | str) -> Profile:
    if not isinstance(release, str):
        return release
    try:
        return profile_of(release)
    except ValueError as error:
        raise InvalidParameter(str(error)) from None


@define(eq=False, repr=False)
class Controller:
    """The libnetwork instance of one daemon on one machine.

    By default it creates a lab with one new host, `node1` (10.0.0.15), and behaves as the newest release. `profile`
    is a `Profile`, or a release such as `"28.5.2"`. `programs` are the commands that `Sandbox.exec` can run, by name.
    `plugins` contains the plugins that provide drivers. The swarm layer sets `cluster` while the host is in a swarm.
    The default IPv6 pool is derived from `engine_id` (see `ula_pool`).

    The first `new_network` creates the firewall chains. `start` creates them too, and the networks that every dockerd
    has. `log` contains the daemon's error messages.
    """

    machine: Machine = field(factory=new_machine)
    profile: Profile = field(factory=profile_of, converter=_to_profile)
    config: DaemonConfig = field(factory=DaemonConfig)
    engine_id: str = ""
    daemon_process: Callable[[], Process] | None = None
    plugins: PluginStore = field(factory=PluginStore, repr=False)
    programs: Mapping[str, Program] = field(factory=default_programs, repr=False)
    cluster: Cluster | None = field(default=None, init=False)
    agent: Agent | None = field(default=None, init=False, repr=False)
    discovery: ServiceDiscovery = field(init=False, repr=False)
    ingress: Ingress = field(init=False, repr=False)
    _networks: dict[str, Network] = field(factory=dict, init=False)
    _sandboxes: dict[str, Sandbox] = field(factory=dict, init=False)
    _by_container: dict[str, Sandbox] = field(factory=dict, init=False)
    log: DaemonLog = field(init=False, repr=False)
    drivers: DriverRegistry = field(init=False, repr=False)
    ipams: dict[str, Allocator] = field(init=False, repr=False)
    allocator: PortAllocator = field(init=False, repr=False)
    #: The events of the controller's networks, endpoints and sandboxes.
    events: EventLog = field(init=False, repr=False)
    _is_started: bool = field(default=False, init=False)
    _daemon: Process | None = field(default=None, init=False, repr=False)
    _leaving: Agent | None = field(default=None, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.config.validate(self.profile)
        self.events = EventLog(self.machine.clock)
        self.machine.namespace_sweep_s = self.profile.namespace_sweep_s
        sysctl = self.machine.root.sysctl_get
        self.allocator = PortAllocator(
            self.profile,
            port_range(sysctl("net.ipv4.ip_local_port_range")),
            reserved_ports(sysctl("net.ipv4.ip_local_reserved_ports")),
        )
        pools = [PoolBase.parse(pool.base, pool.size) for pool in self.config.default_address_pools]
        self.ipams = {
            "default": Ipam(self.profile, default_pools=pools or None, engine_id=self.engine_id),
            "null": NullIpam(),
        }
        self.discovery = ServiceDiscovery(self)
        self.log = DaemonLog(self.machine, self.config, self.daemon)
        self.plugins.log = self.log
        self.drivers = DriverRegistry(
            DriverHost(self.machine, self.profile, self.config, self.allocator, self.daemon, self.log.append),
            self.plugins,
        )
        self.plugins.handle(IPAM_DRIVER, self._register_ipam)

    def __repr__(self) -> str:
        counts = f"{len(self._networks)} networks, {len(self._sandboxes)} sandboxes"
        return f"<Controller {self.profile.version} on {self.machine.name}: {counts}>"

    def _repr_html_(self) -> str | None:
        return html_of(self)

    def new_id(self) -> str:
        """Return a random id of 64 hexadecimal digits."""
        return hex_id(self.machine.random)

    def daemon(self) -> Process:
        """Return the daemon's process, started on first use."""
        if self.daemon_process is not None:
            return self.daemon_process()
        if self._daemon is None or not self._daemon.is_running:
            self._daemon = self.machine.spawn(_dockerd, ["/usr/bin/dockerd"])
        return self._daemon

    # --- the daemon's start

    @property
    def bridge_driver(self) -> BridgeDriver:
        """The bridge driver. It also manages the firewall chains that all drivers use."""
        driver = self.drivers.get("bridge")
        assert isinstance(driver, BridgeDriver)
        return driver

    def start(self) -> None:
        """Create the daemon's chains and the predefined networks: none, host and bridge."""
        self._create_chains()
        self._new_default_network("none", "null", NetworkOptions())
        self._new_default_network("host", "host", NetworkOptions())
        if self.config.bridge == "none":
            existing = self.machine.root.devices.get(labels.DEFAULT_BRIDGE_NAME)
            if existing is not None:
                self.machine.root.remove_device(existing)
            return
        self._new_default_network(
            "bridge", "bridge", default_bridge_options(self.config, self.profile, self.machine.root)
        )

    def _create_chains(self) -> None:
        """Start the daemon's process and create its firewall chains, once (moby `bridge.configure`)."""
        if self._is_started:
            return
        self._is_started = True
        self.daemon()
        self.bridge_driver.start()
        if not self.profile.docker_user_is_retopped:
            self.bridge_driver.set_up_user_chain()

    def _new_default_network(self, name: str, driver: str, options: NetworkOptions) -> None:
        if not any(network.name == name for network in self.networks):
            self.new_network(name, driver, options=options)

    # --- networks

    @property
    def networks(self) -> list[Network]:
        """The controller's networks, in order of creation."""
        return list(self._networks.values())

    def network_by_id(self, network_id: str) -> Network | None:
        """Return the network with this id, or `None` if there is none."""
        return self._networks.get(network_id)

    def walk_networks(self, walker: Callable[[Network], bool | None]) -> None:
        """Call `walker` with each network, in order of creation. Stop when `walker` returns True."""
        for network in self.networks:
            if walker(network):
                return

    def network_by_name(self, name: str) -> Network:
        """Return the network of this name. Raises `NotFound` if there is none."""
        for network in self.networks:
            if network.name == name:
                return network
        raise NoSuchNetwork(f"network {name} not found")

    def register_driver(self, name: str, factory: DriverFactory) -> Driver:
        """Create a network driver by calling `factory` with the `DriverHost`, and register it under `name`.

        Return the driver. Raises `Conflict` if a driver has this name, `InvalidParameter` if the result is not a
        `Driver`.
        """
        if name in self.drivers.names():
            raise Conflict(f"a driver {name} is registered")
        driver = factory(self.drivers.host)
        if missing := missing_members(driver):
            raise InvalidParameter(f"{type(driver).__name__} is no network driver: it has no {', '.join(missing)}")
        self.drivers.register(name, driver)
        return driver

    def new_network(
        self,
        name: str,
        driver: str = "bridge",
        *,
        id: str | None = None,  # noqa: A002 - libnetwork's own word
        options: NetworkOptions | None = None,
        is_dynamic: bool = False,
        **settings: Any,
    ) -> Network:
        """Create a network with the driver named `driver`, and return it.

        `id` is the network's id, by default a random one. `is_dynamic` marks a network that the swarm's manager
        pushed to this host. Each of `settings` sets one field of `options`: `internal=True`, `driver_opts={…}`,
        `labels={…}`; `subnet` (one or a list), `gateway`, `ip_range` and `aux_addresses` describe the network's
        pools, and an IPv6 subnet enables IPv6.

        Raises `ManagerRedirect` if a swarm manager has to create the network, or an `EngineError` with moby's
        message. After an error nothing has changed.
        """
        options = network_options(options, settings)
        if not isinstance(name, str) or not isinstance(driver, str):
            raise InvalidParameter(f"new_network needs a name and a driver's name, not {name!r} and {driver!r}")
        if id in self._networks:
            raise Conflict(f"network with name {id} already exists")
        if not name.strip():
            raise InvalidParameter(self.profile.blank_name_text.format(name=name))
        if any(network.name == name for network in self.networks):
            raise Conflict(f"network with name {name} already exists")
        network_configuration.validate(options, self.profile)
        if driver == "overlay" and not is_dynamic and not (self.cluster and self.cluster.is_agent):
            raise Forbidden(NOT_A_MANAGER)
        network_id = id or self.new_id()
        if options.config_only:
            network = self._network(network_id, name, "null", LOCAL_SCOPE, options, None)
            self._networks[network_id] = network
            self.events.emit("network", "create", network_id, name, driver="null")
            return network
        self._create_chains()
        implementation = self._driver(name, driver)
        if self.profile.config_from_is_resolved_first:
            options = network_configuration.configured(self, name, driver, options)
        scope = network_configuration.scope_of(self, implementation, options, is_dynamic=is_dynamic)
        if not self.profile.config_from_is_resolved_first:
            options = network_configuration.configured(self, name, driver, options)
        network = self._network(network_id, name, driver, scope, options, implementation)
        network.is_dynamic = is_dynamic
        self._create(network, implementation)
        self.events.emit("network", "create", network_id, name, driver=driver)
        return network

    def _driver(self, network: str, driver: str) -> Driver:
        try:
            return self.drivers.get(driver)
        except NotFound as error:
            if network in self.drivers.names():
                error.add_note(f"new_network takes the name first: new_network({driver!r}, {network!r})")
            raise

    def _network(
        self,
        network_id: str,
        name: str,
        driver: str,
        scope: str,
        options: NetworkOptions,
        implementation: Driver | None,
    ) -> Network:
        return Network(self, network_id, name, driver, scope, options, self.machine.clock.now_ns, implementation)

    def _create(self, network: Network, driver: Driver) -> None:
        with ExitStack() as undo:
            if not network.is_special:
                network.ipam = networkipam.allocated(network, driver)
                undo.callback(network.ipam.release)
            driver.create_network(network.request())
            undo.callback(network.delete_from_driver)
            self._networks[network.id] = network
            undo.callback(self.forget_network, network)
            self._join_cluster(network, undo)
            if self.agent is not None:
                self.ingress.move_jump_to_top()
            if self.profile.docker_user_is_retopped:
                self.bridge_driver.set_up_user_chain()
            undo.pop_all()

    def _join_cluster(self, network: Network, undo: ExitStack) -> None:
        """Attach a swarm network to NetworkDB, and create its load-balancer sandbox if it has one.

        A callback on `undo` detaches the network again.
        """
        agent = network.cluster_agent
        if agent is not None:
            agent.join_network(network)
            undo.callback(agent.leave_network, network)
        if network.has_load_balancer:
            lbsandbox.create(network)

    def ipam_driver(self, name: str) -> Allocator:
        """Return the IPAM driver of this name, activating its plugin if necessary.

        Raises `NotFound` for an unknown name, or the error of a failed activation.
        """
        if name not in self.ipams:
            self.plugins.require(name, IPAM_DRIVER)
        if name not in self.ipams:
            raise InvalidParameter(f'invalid ipam driver: "{name}"')
        return self.ipams[name]

    def _register_ipam(self, name: str, client: PluginClient) -> None:
        if name not in self.ipams:
            self.ipams[name] = RemoteIpam.connect(name, client, self.profile)

    def find_network(self, term: str) -> Network:
        """Return the network with the id `term`, else the one with this name, else the one whose id begins with it.

        Raises `NotFound` if there is none, or `InvalidParameter` if the term is empty or ambiguous.
        """
        if not term:
            raise InvalidParameter(self.profile.blank_id_text)
        for kind, matches in (
            ("ID", [n for n in self.networks if n.id == term]),
            ("name", [n for n in self.networks if n.name == term]),
            ("ID prefix", [n for n in self.networks if n.id.startswith(term)]),
        ):
            if len(matches) > 1:
                raise InvalidParameter(f"network {term} is ambiguous ({len(matches)} matches found on {kind})")
            if matches:
                return matches[0]
        raise NoSuchNetwork(f"network {term} not found")

    def networks_configured_from(self, name: str) -> list[Network]:
        """Return the networks whose option `config_from` is the configuration network `name`."""
        return [network for network in self.networks if network.config_from == name]

    def reload_networks(self) -> None:
        """Apply the changes that a daemon makes to its stored networks when it starts.

        Up to 28.5 a starting daemon writes the allocated subnets and gateways into each network's configuration, as
        if the user had requested them. Afterwards `network inspect` shows the gateway, and endpoints may request
        addresses (moby `Controller.reservePools`).
        """
        if not self.profile.reload_overwrites_ipam_config:
            return
        for network in self.networks:
            if network.ipam is None or network.is_dynamic or network.name in PREDEFINED_NETWORKS:
                continue
            if network.ipam.is_replayed:
                network.options = evolve(network.options, ipam_config=network.ipam.as_configured(network.ipam_config))

    def forget_network(self, network: Network) -> None:
        """Remove a network from the list. `Network.delete` calls this."""
        del self._networks[network.id]

    # --- the swarm's control plane

    @property
    def is_swarm_node(self) -> bool:
        """Whether this host is a member of a swarm."""
        return self.agent is not None or (self.cluster is not None and self.cluster.is_agent)

    def agent_start(self, config: AgentConfig) -> Agent:
        """Start the agent and join the gossip cluster, unless an agent is running already. Return the agent.

        Raises `SystemFault` with moby's message if the keys are incomplete or the gossip port is in use; then no
        agent is started.
        """
        from cnmsim.libnetwork.agent import Agent, check_keys

        if self.agent is None:
            check_keys(config.keys)
            if self._leaving is not None:
                # Stop the previous agent at once, even if it is still leaving the cluster: the new one needs its
                # port.
                self._leaving.db.stop()
            self.ingress = Ingress(self.machine.root, self.profile, self.daemon(), self.log.append)
            self.agent = Agent(self, config, list(config.keys))
            self.agent.join(config.remotes)
        return self.agent

    def agent_stop(self) -> None:
        """Leave the gossip cluster and stop the agent, if there is one."""
        agent, self.agent = self.agent, None
        if agent is not None:
            self._leaving = agent
            agent.stop()

    def set_keys(self, keys: Sequence[EncryptionKey]) -> None:
        """Pass the keys that the swarm's manager distributed to the agent, if there is one.

        Raises `SystemFault` unless each subsystem that occurs in `keys` has three keys.
        """
        from cnmsim.libnetwork.agent import check_keys

        check_keys(keys)
        if self.agent is not None:
            self.agent.set_keys(keys)

    # --- sandboxes

    @property
    def sandboxes(self) -> list[Sandbox]:
        """The controller's sandboxes, in order of creation."""
        return list(self._sandboxes.values())

    def new_sandbox(
        self,
        container_id: str,
        *,
        options: SandboxOptions | None = None,
        id: str | None = None,  # noqa: A002 - libnetwork's own word
        **settings: Any,
    ) -> Sandbox:
        """Create the sandbox of a container. Raises `InvalidParameter` if the container's id is empty.

        Each of `settings` sets one field of `options`: `hostname="web"`, `dns=["10.0.0.2"]`,
        `extra_hosts=["db:10.0.0.9"]`, `port_bindings=["8080:80/tcp"]`, `sysctls={…}`, `use_host_namespace=True`,
        `use_external_key=True`. `container_id` may be any name; traces show it. Raises `Forbidden` if the container
        has a sandbox already, or for a second ingress sandbox.
        """
        options = sandbox_options(options, settings)
        if not isinstance(container_id, str) or not container_id:
            raise InvalidParameter("invalid container ID")
        if options.is_ingress and any(other.options.is_ingress for other in self.sandboxes):
            raise Forbidden("ingress sandbox already present")
        present = self._by_container.get(container_id)
        if present is not None:
            raise Forbidden(f"container {container_id} is already present in sandbox {present.id}")
        sandbox = Sandbox(self, id or self.new_id(), container_id, options)
        self._sandboxes[sandbox.id] = sandbox
        self._by_container[container_id] = sandbox
        self.events.emit("sandbox", "create", sandbox.id, sandbox.name)
        return sandbox

    def sandbox_by_container(self, container_id: str) -> Sandbox:
        """Return the sandbox of a container. Raises `NotFound` if the container has none."""
        sandbox = self._by_container.get(container_id)
        if sandbox is not None:
            return sandbox
        raise NotFound(f"network sandbox for container {container_id} not found")

    def sandbox_by_id(self, sandbox_id: str) -> Sandbox:
        """Return a sandbox by its id. Raises `NotFound` for an unknown id."""
        sandbox = self._sandboxes.get(sandbox_id)
        if sandbox is None:
            raise NotFound(f"sandbox {sandbox_id} not found")
        return sandbox

    def forget_sandbox(self, sandbox: Sandbox) -> None:
        """Remove a sandbox from the list. `Sandbox.delete` calls this."""
        del self._sandboxes[sandbox.id]
        del self._by_container[sandbox.container_id]
        self.events.emit("sandbox", "delete", sandbox.id, sandbox.name)


async def _dockerd(process: Process) -> int:
    await process.exited
    return 0

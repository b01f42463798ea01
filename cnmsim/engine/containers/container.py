"""The record of one container: its configuration, its state, and its settings on each network.

Source: moby `daemon/container/{container,state}.go`, `daemon/network/settings.go`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from typing import TYPE_CHECKING, Any

from attrs import define, field

from cnmsim.engine.containers.health import Health
from cnmsim.engine.containers.logs import ContainerLog
from cnmsim.engine.containers.restart_policy import RestartManager
from cnmsim.engine.containers.state import RUNNING_STATES, Change, ContainerState, after
from cnmsim.engine.containers.streams import StandardStreams
from cnmsim.engine.images.images import Image
from cnmsim.errors import Conflict
from cnmsim.kernel.address import format_mac, parse_mac
from cnmsim.kernel.cgroup import ControlGroup
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.files import File, FileSystem
from cnmsim.kernel.pid_namespace import PidNamespace
from cnmsim.kernel.process import Process
from cnmsim.kernel.task import Future
from cnmsim.libnetwork.endpointsettings import is_user_defined
from cnmsim.libnetwork.options import ServiceBinding

if TYPE_CHECKING:
    from cnmsim.engine.containers.exec import Exec

#: Port bindings as the API prints them: `{"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "81/tcp": None}`
PortMap = dict[str, "list[dict[str, str]] | None"]


def canonical_mac(text: str) -> str:
    """Return a MAC address in lower case with colons; an invalid one is returned unchanged, and refused later."""
    try:
        return format_mac(parse_mac(text))
    except ValueError:
        return text


@define
class EndpointSettings:
    """A container's settings on one network: the configured ones, and those that hold only while it runs.

    `mac_address` is the address while it runs, `wanted_mac` the configured one. Empty strings and zeros mean "none".
    """

    ipam_config: dict[str, Any] | None = None
    links: list[str] | None = None
    aliases: list[str] | None = None
    driver_opts: dict[str, str] | None = None
    gw_priority: int = 0
    wanted_mac: str = ""
    mac_address: str = ""
    network_id: str = ""
    endpoint_id: str = ""
    gateway: str = ""
    ip_address: str = ""
    ip_prefix_len: int = 0
    ipv6_gateway: str = ""
    global_ipv6_address: str = ""
    global_ipv6_prefix_len: int = 0
    dns_names: list[str] | None = None
    #: Whether a swarm's manager allocated `ipam_config`. In this case it is dropped when the container stops.
    ipam_is_operational: bool = False

    @classmethod
    def from_body(cls, body: Mapping[str, Any], *, is_typed: bool = False) -> EndpointSettings:
        """Create the settings from an entry of EndpointsConfig that `schemas.ENDPOINT_SETTINGS` has decoded.

        `is_typed` is True for releases whose API parses MAC addresses: they convert them to lower case with colons.
        Other releases keep the text of the request.
        """
        mac_address = canonical_mac(body["MacAddress"]) if is_typed else body["MacAddress"]
        return cls(
            ipam_config=body["IPAMConfig"],
            links=body["Links"],
            aliases=body["Aliases"],
            driver_opts=body["DriverOpts"],
            gw_priority=body["GwPriority"],
            wanted_mac=mac_address,
            mac_address=mac_address,
            network_id=body["NetworkID"],
        )

    def clean(self) -> None:
        """Reset the settings that hold only while the container runs, such as its addresses."""
        self.endpoint_id = self.gateway = self.ip_address = self.ipv6_gateway = self.global_ipv6_address = ""
        self.mac_address = ""
        self.ip_prefix_len = self.global_ipv6_prefix_len = 0
        if self.ipam_is_operational:
            self.ipam_config, self.ipam_is_operational = None, False

    def static_address(self, family: int) -> str:
        """Return the configured address of family 4 or 6, or ""."""
        return str((self.ipam_config or {}).get(f"IPv{family}Address") or "")


@define
class Mount:
    """A mount of a container: a named or anonymous volume, a host path or a tmpfs."""

    type: str
    source: str
    destination: str
    name: str = ""
    mode: str = ""
    is_writable: bool = True
    propagation: str = ""
    #: Whether the request named no volume, so that the volume is removed with the container.
    is_anonymous: bool = False
    #: Whether an empty volume gets the files that the image has at the destination.
    copies: bool = True
    #: The directory or file of a volume that is mounted, "" for all of it.
    subpath: str = ""
    #: Whether a missing host path is created as a directory.
    creates_source: bool = False
    #: The size in bytes and the mode of a tmpfs; 0 for the defaults.
    limit: int = 0
    permissions: int = 0

    def view(self) -> dict[str, Any]:
        """Return the mount as the API prints it."""
        volume = {"Name": self.name} if self.name else {}
        driver = {"Driver": "local"} if self.type == "volume" else {}
        return {
            "Type": self.type,
            **volume,
            "Source": self.source,
            "Destination": self.destination,
            **driver,
            "Mode": self.mode,
            "RW": self.is_writable,
            "Propagation": (self.propagation or "rprivate") if self.type in {"bind", "image"} else "",
        }


def _note_change(container: Container, _attribute: Any, value: object) -> object:
    """Record that a container has changed, if changes are recorded. attrs calls this when an attribute is set.

    Return `value`, the attribute's new value.
    """
    if container.changed_ids is not None:
        container.changed_ids[container.id] = None
    return value


@define(eq=False, on_setattr=_note_change)
class Container:
    """One container of an engine.

    `name` has no leading slash; `config` and `host_config` are the API's objects. `error` is the text of a failed
    start. `was_stopped` is True if a user stopped or killed the container. `sandbox_key` is the path of the file of
    its network namespace. `process` is its first process, `None` while it does not run. `is_managed` marks the
    container of a swarm's task.
    """

    id: str
    name: str
    created_ns: int
    image: Image
    config: dict[str, Any]
    host_config: dict[str, Any]
    clock: Clock
    files: FileSystem
    state: ContainerState = ContainerState.CREATED
    exit_code: int = 0
    error: str = ""
    started_ns: int | None = None
    finished_ns: int | None = None
    restart_count: int = 0
    was_stopped: bool = False
    is_restarted_by_hand: bool = False
    networks: dict[str, EndpointSettings] = field(factory=dict)
    ports: PortMap = field(factory=dict)
    #: Networks and ports as of the last checkpoint, which `docker ps` shows, where they differ from the present ones.
    checkpoint: tuple[dict[str, EndpointSettings], PortMap] | None = None
    sandbox_id: str = ""
    sandbox_key: str = ""
    has_been_started: bool = False
    links: dict[str, str] = field(factory=dict)  # alias to id of the linked container
    mounts: list[Mount] = field(factory=list)
    process: Process | None = None
    #: The control group of the processes, a new one at every start.
    cgroup: ControlGroup = field(init=False, repr=False)
    streams: StandardStreams | None = None
    execs: dict[str, Exec] = field(factory=dict)
    log: ContainerLog = field(init=False)
    restarts: RestartManager = field(init=False)
    health: Health | None = None
    is_managed: bool = False
    #: For a task of a service: the service's load-balancing records for each endpoint, by network id.
    service_bindings: dict[str, ServiceBinding] = field(factory=dict)
    #: For a task of a service: writes the task's secrets and configs. Called at every start; raises an `EngineError`.
    write_files: Callable[[], None] | None = None
    #: Endpoint settings that a swarm's manager allocated, as the API has them, by network name.
    attachments: dict[str, dict[str, Any]] = field(factory=dict)
    #: The ids of changed containers, oldest change first, while changes are recorded for a state file.
    changed_ids: dict[str, None] | None = field(default=None, repr=False)
    #: /etc/hosts and /etc/resolv.conf, which every start writes anew.
    hosts_file: File = field(factory=File, repr=False)
    resolv_conf: File = field(factory=File, repr=False)
    _when_stopped: list[Future[int]] = field(factory=list, init=False)
    _when_removed: list[Future[int]] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self.cgroup = ControlGroup(self.clock)
        self.log = ContainerLog(self.clock, self.host_config["LogConfig"])
        policy = self.host_config["RestartPolicy"]
        self.restarts = RestartManager(policy["Name"], policy["MaximumRetryCount"])

    def __repr__(self) -> str:
        return f"<Container {self.name} {self.id[:12]} {self.state.value}>"

    @property
    def command(self) -> list[str]:
        """The first process's arguments: entrypoint, then command."""
        return [*(self.config["Entrypoint"] or ()), *(self.config["Cmd"] or ())]

    def pid_namespace(self) -> PidNamespace | None:
        """Return the PID namespace of the container's processes, `None` if it does not run."""
        return self.process.pid_namespace if self.process is not None else None

    @property
    def hostname(self) -> str:
        """The host name, without the domain."""
        return str(self.config["Hostname"])

    @property
    def network_mode(self) -> str:
        """The `NetworkMode` of the HostConfig.

        It is `bridge`, `host`, `none`, `container:ID`, or a network's name or id.
        """
        return str(self.host_config["NetworkMode"])

    @property
    def joined_container(self) -> str:
        """The id or name of the container whose network namespace this one shares, or ""."""
        mode = self.network_mode
        return mode.removeprefix("container:") if mode.startswith("container:") else ""

    @property
    def is_host_network(self) -> bool:
        """Whether the container uses the host's network namespace."""
        return self.network_mode == "host"

    @property
    def has_user_defined_network(self) -> bool:
        """Whether the network mode names a user-defined network."""
        return is_user_defined(self.network_mode)

    @property
    def is_running(self) -> bool:
        """Docker's `State.Running`: running, paused, or waiting to be restarted."""
        return self.state in RUNNING_STATES

    @property
    def listed(self) -> tuple[dict[str, EndpointSettings], PortMap]:
        """The networks and ports that the daemon has saved last (`container.CheckpointTo`): `docker ps` shows them.

        They are the present ones, unless `keep_checkpoint` was called.
        """
        return self.checkpoint or (self.networks, self.ports)

    def keep_checkpoint(self) -> None:
        """Make `docker ps` go on showing the present networks and ports while a failing operation changes them."""
        if self.checkpoint is None:
            self.checkpoint = {name: copy(settings) for name, settings in self.networks.items()}, self.ports

    def require_running(self) -> None:
        """Raise `Conflict` if the container does not run."""
        if not self.is_running:
            raise Conflict(f"container {self.id} is not running")

    def require_not_restarting(self, name: str) -> None:
        """Raise `Conflict` if the container waits to be restarted.

        `name` is the container's name in the error text.
        """
        if self.state is ContainerState.RESTARTING:
            raise Conflict(f"{name} is restarting, wait until the container is running")

    @property
    def has_terminal(self) -> bool:
        """Whether the container's first process has a terminal (`docker run -t`)."""
        return bool(self.config["Tty"])

    def change(self, change: Change) -> None:
        """Change the container's state as the event `change` requires.

        Raises `SystemFault` if the event is not allowed in the present state.
        """
        self.state = after(self.state, change)
        self.checkpoint = None

    def when(self, condition: str) -> Future[int]:
        """Return a future whose result is the exit code; it is done when `condition` holds.

        `condition` is "not-running", "next-exit" or "removed". For "not-running", the future is done at once if the
        container does not run. An exit after which the container is restarted also counts as "not-running"
        (State.SetRestarting).
        """
        future: Future[int] = Future(self.clock)
        if condition == "not-running" and not self.is_running:
            future.set_result(self.exit_code)
        else:
            (self._when_removed if condition == "removed" else self._when_stopped).append(future)
        return future

    def forget(self, future: Future[int]) -> None:
        """Drop a future that `when` returned and that no caller waits for any more."""
        for waiting in (self._when_stopped, self._when_removed):
            if future in waiting:
                waiting.remove(future)

    def announce_exit(self) -> None:
        """Complete the futures that wait for "not-running" and "next-exit"."""
        _complete(self._when_stopped, self.exit_code)

    def announce_removal(self) -> None:
        """Complete all futures, because the container is removed."""
        for waiting in (self._when_stopped, self._when_removed):
            _complete(waiting, self.exit_code)


def _complete(waiting: list[Future[int]], value: int) -> None:
    futures = waiting[:]
    waiting.clear()
    for future in futures:
        if not future.is_done:
            future.set_result(value)

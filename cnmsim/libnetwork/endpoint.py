"""An endpoint: the connection of one sandbox to one network.

Source: moby `daemon/libnetwork/{endpoint,endpoint_info}.go` (docker-v29.7.2), `libnetwork/` of v26.1.5 and v28.5.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from attrs import define, field

from cnmsim.errors import EngineError, Forbidden, InvalidParameter, SystemFault
from cnmsim.kernel.address import Address, Mac, format_mac
from cnmsim.libnetwork.driver import EndpointInterface, JoinInfo, leaves_failed_join
from cnmsim.libnetwork.endpoint_info import EndpointInfo
from cnmsim.libnetwork.gateway import GATEWAY_NETWORK
from cnmsim.libnetwork.options import EndpointOptions, PortBinding
from cnmsim.libnetwork.readable import IpInterface, interface_of
from cnmsim.libnetwork.renderer import html_of

if TYPE_CHECKING:
    from cnmsim.libnetwork.network import Network
    from cnmsim.libnetwork.sandbox import Sandbox

#: The endpoint option that holds per-interface sysctls.
SYSCTLS_OPTION = "com.docker.network.endpoint.sysctls"


@define(eq=False, repr=False)
class Endpoint:
    """An endpoint of one network, created by `Network.create_endpoint`. It is joined to one sandbox or none.

    `address`, `address6` and `mac_address` are for users, as `ipaddress` values and text; `ipv4`, `ipv6` and `mac`
    are the same in the bytes that the kernel uses.

    `join_info` is the driver's result of the last join. `priority` is the gateway priority of that join. `links` are
    aliases, private to the endpoint's sandbox, for other endpoints of this network (`{alias: name}`).
    `interface_name` is the interface's name inside the sandbox, "" if it has none. `pool_ids` are the IPAM pools of
    its addresses, by family (4, 6).
    """

    network: Network
    id: str
    name: str
    options: EndpointOptions = field(repr=False)
    interface: EndpointInterface
    dns_names: list[str] = field(factory=list)
    sandbox: Sandbox | None = field(default=None, repr=False)
    join_info: JoinInfo = field(factory=JoinInfo, repr=False)
    priority: int = 0
    links: dict[str, str] = field(factory=dict)
    interface_name: str = ""
    pool_ids: dict[int, str] = field(factory=dict, repr=False)
    is_service_enabled: bool = field(default=False, repr=False)

    def __attrs_post_init__(self) -> None:
        names = [*self.options.dns_names, *self.options.aliases]
        self.dns_names = list(dict.fromkeys(names))

    def __repr__(self) -> str:
        addresses = "".join(f" {address}" for address in (self.address, self.address6) if address is not None)
        return f"<Endpoint {self.name} on {self.network.name}{addresses}>"

    def _repr_html_(self) -> str | None:
        return html_of(self)

    # --- properties

    @property
    def address(self) -> IpInterface | None:
        """The IPv4 address with its prefix length, or `None` if the endpoint has none."""
        return interface_of(self.interface.ipv4)

    @property
    def address6(self) -> IpInterface | None:
        """The IPv6 address with its prefix length, or `None` if the endpoint has none."""
        return interface_of(self.interface.ipv6)

    @property
    def mac_address(self) -> str | None:
        """The MAC address as text, or `None` if the driver assigns none."""
        return None if self.interface.mac is None else format_mac(self.interface.mac)

    @property
    def info(self) -> EndpointInfo:
        """A copy of the endpoint's present state, for reading (moby `Endpoint.Info`)."""
        return EndpointInfo.of(self)

    @property
    def is_deleted(self) -> bool:
        """Whether the endpoint was removed from its network."""
        return self.network.endpoints.get(self.id) is not self

    @property
    def mac(self) -> Mac | None:
        """The endpoint's MAC address, or `None` if the driver assigns none."""
        return self.interface.mac

    @property
    def ipv4(self) -> tuple[Address, int] | None:
        """The endpoint's IPv4 address and prefix length, or `None` if it has none."""
        return self.interface.ipv4

    @property
    def ipv6(self) -> tuple[Address, int] | None:
        """The endpoint's IPv6 address and prefix length, or `None` if it has none."""
        return self.interface.ipv6

    @property
    def gateway(self) -> Address | None:
        """The IPv4 gateway that the driver provided; `None` if there is none, or if the endpoint is not joined."""
        return self.join_info.gateway4 if self.sandbox is not None else None

    @property
    def gateway6(self) -> Address | None:
        """The IPv6 gateway that the driver provided; `None` if there is none, or if the endpoint is not joined."""
        return self.join_info.gateway6 if self.sandbox is not None else None

    @property
    def port_map(self) -> list[PortBinding]:
        """The ports that are published on the endpoint, in order of mapping."""
        bindings: list[PortBinding] = self.driver_info().get("port_map", [])
        return bindings

    def driver_info(self) -> dict[str, Any]:
        """Return the driver's data about the endpoint, e.g. its `port_map`; {} if the network has no driver."""
        driver = self.network.driver
        return {} if driver is None else driver.operational_info(self.network.id, self.id)

    @property
    def sysctls(self) -> dict[str, str]:
        """The sysctls that were requested for the endpoint's interface; {} before 28.0.

        In their names, IFNAME stands for the interface's name.
        """
        text = self.options.driver_opts.get(SYSCTLS_OPTION, "")
        if not self.network.controller.profile.has_endpoint_sysctls:
            return {}
        return dict(entry.partition("=")[::2] for entry in text.split(",") if entry)

    @property
    def wants_resolver(self) -> bool:
        """Whether a sandbox that this endpoint joins has to run the embedded resolver."""
        return not self.options.disable_resolution and not self.network.is_special

    # --- joining and leaving

    def join(self, sandbox: Sandbox, *, gw_priority: int = 0, links: Mapping[str, str] | None = None) -> None:
        """Join a sandbox: create the interface, routes, lines of /etc/hosts, DNS names and published ports.

        The endpoint with the highest `gw_priority` is preferred as the sandbox's gateway (since 28.0). `links` are
        aliases private to this sandbox, `{alias: name}`. Raises an `EngineError` with moby's message if a step fails;
        the endpoint is then not joined.
        """
        from cnmsim.libnetwork.sandbox import Sandbox

        if not isinstance(sandbox, Sandbox) or sandbox.is_deleting:
            raise InvalidParameter(f"invalid Sandbox passed to endpoint join: {sandbox}")
        self._require_stored("join")
        if sandbox.controller is not self.network.controller:
            raise InvalidParameter(
                f"invalid Sandbox passed to endpoint join: {sandbox} is on {sandbox.controller.machine.name}, "
                f"{self} on {self.network.controller.machine.name}"
            )
        if self.sandbox is not None:
            raise Forbidden("another container is attached to the same network endpoint")
        network, profile = self.network, self.network.controller.profile
        driver = network.driver
        assert driver is not None
        info = JoinInfo()
        with ExitStack() as undo:
            # Runs last when a join fails: publishes ports on the previous gateway endpoint again.
            undo.callback(sandbox.endpoint_left, self)
            undo.callback(self._clear_join)
            self.sandbox, self.join_info = sandbox, info
            self.priority = gw_priority if profile.has_gateway_priority else 0
            self.links = dict(links or {})
            if leaves_failed_join(driver):
                undo.callback(network.leave_driver, self.id)
            driver.join(network.id, self.id, sandbox.context(), info)
            undo.callback(network.leave_driver, self.id)
            if profile.ipv6_gateway_needs_address and self.interface.ipv6 is None:
                info.gateway6 = None
            if not profile.failed_join_keeps_interface:
                undo.callback(sandbox.dns.restore_point())
            undo.callback(sandbox.remove, self)
            agent = network.cluster_agent
            if agent is not None:
                agent.add_driver_entries(self)
                undo.callback(agent.delete_driver_entries, self)
            sandbox.add(self)
            undo.pop_all()
        network.controller.events.emit(
            "endpoint", "join", self.id, self.name, network=network.name, sandbox=sandbox.name
        )

    def _require_stored(self, call: str) -> None:
        """Raise `SystemFault` with moby's message if the endpoint or its network was deleted.

        `call` is the name of the operation in that message.
        """
        network = self.network
        if network.is_deleted:
            gone = f"network {network.id} not found"
            part = "network during Delete" if call == "Delete" else f"network from store during {call}"
        elif self.is_deleted:
            gone = f"could not find endpoint {self.id}: Key not found in store"
            part = f"endpoint from store during {call}"
        else:
            return
        raise SystemFault(f"failed to get {part}: {gone}")

    def _clear_join(self) -> None:
        self.sandbox = None
        self.join_info = JoinInfo()
        self.links = {}
        self.interface_name = ""

    def leave(self, sandbox: Sandbox | None = None) -> None:
        """Leave the sandbox. The endpoint keeps its addresses until it is deleted.

        If `sandbox` is given, it must be the endpoint's sandbox. Raises `Forbidden` if `sandbox` is another one or
        the endpoint is not joined. Raises `SystemFault` if the network is docker_gwbridge and the sandbox, which
        still needs it, cannot be attached to it again; the endpoint has left the sandbox in this case, too.
        """
        from cnmsim.libnetwork.sandbox import Sandbox

        self._require_stored("leave")
        joined = self.sandbox
        if joined is None:
            raise Forbidden("cannot leave endpoint with no attached sandbox")
        if sandbox is not None and not isinstance(sandbox, Sandbox):
            raise InvalidParameter(f"invalid Sandbox passed to endpoint leave: {sandbox}")
        if sandbox is not None and sandbox is not joined:
            raise Forbidden(f"unexpected sandbox ID in leave request. Expected {joined.id}. Got {sandbox.id}")
        if self.id in self.network.bindings:
            self.network.remove_service_binding(self)
        agent = self.network.cluster_agent
        if agent is not None:
            # Deleted even if the endpoint's service is not enabled now: it may have been enabled before.
            agent.delete_service_info(self, fully=True)
        self.is_service_enabled = False
        joined.remove(self, leaves=True)
        if agent is not None:
            agent.delete_driver_entries(self)
        self._clear_join()
        joined.endpoint_left(self)
        self.network.controller.events.emit(
            "endpoint", "leave", self.id, self.name, network=self.network.name, sandbox=joined.name
        )
        if self.network.name == GATEWAY_NETWORK:
            joined.gateway_network_left()

    def release_ipv6(self) -> None:
        """Release the endpoint's IPv6 address (moby `releaseIPv6Address`).

        The sandbox calls this if the sysctls of the interface have removed the address from it.
        """
        self.network.release_ipv6(self)
        self.interface.ipv6 = None
        self.join_info.gateway6 = None

    def delete(self, *, force: bool = False) -> None:
        """Delete the endpoint and release its addresses.

        Raises `Forbidden` if the endpoint is joined, unless `force`.
        """
        self._require_stored("Delete")
        if self.sandbox is not None:
            if not force:
                raise Forbidden(f"endpoint with name {self.name} id {self.id} has active containers")
            with self.network.controller.log.logging_errors(SystemFault):
                self.leave()
        self.network.forget_endpoint(self)

    def rename(self, name: str, dns_names: list[str]) -> None:
        """Change the endpoint's names, as `docker rename` does for a running container."""
        if self.network.controller.is_swarm_node:
            self._rename_in_swarm(name, dns_names)
            return
        had_records = self.id in self.network.endpoints and bool(self.dns_names)
        if had_records:
            self.network.remove_records(self)
        self.name = name
        self.dns_names = list(dict.fromkeys([*dns_names, *self.options.aliases]))
        if had_records:
            self.network.add_records(self)

    def _rename_in_swarm(self, name: str, dns_names: list[str]) -> None:
        # On a swarm node the names are changed by gossip; names on local networks then stay as they are
        # (UpdateDNSNames).
        agent = self.network.cluster_agent
        if agent is not None:
            agent.delete_service_info(self, fully=True)
        self.name = name
        self.dns_names = list(dict.fromkeys([*dns_names, *self.options.aliases]))
        if agent is None:
            return
        try:
            agent.add_service_info(self)
        except EngineError as error:
            raise SystemFault(
                f"could not add service state for endpoint {name} to cluster on UpdateDNSNames: {error.message}"
            ) from None

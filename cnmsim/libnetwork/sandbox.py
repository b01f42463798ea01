"""A sandbox: the network stack of one container, and the endpoints joined to it.

Source: moby `daemon/libnetwork/{sandbox,sandbox_linux,default_gateway}.go` (docker-v29.7.2), `libnetwork/` of v26.1.5
and v28.5.2.
"""

from __future__ import annotations

import errno
from bisect import insort
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define, field

from cnmsim.errors import EngineError, Forbidden, SystemFault
from cnmsim.kernel.address import IPV6_LOOPBACK, Address
from cnmsim.kernel.command import ExecResult, words
from cnmsim.kernel.errno_text import errno_of, go_strerror
from cnmsim.kernel.files import File
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.libnetwork.driver import SandboxContext, publisher
from cnmsim.libnetwork.endpoint import Endpoint
from cnmsim.libnetwork.gateway import (
    GATEWAY_NETWORK,
    attach_gateway_network,
    detach_gateway_network,
    gateway_endpoints,
    has_default_route,
    needs_gateway_network,
    order_key,
    program_ports,
    set_default_gateways,
)
from cnmsim.libnetwork.gratuitous_arp import GratuitousArpConfig
from cnmsim.libnetwork.ingress import add_redirect_rules
from cnmsim.libnetwork.lbsandbox import DSR_OPTION
from cnmsim.libnetwork.loadbalancer import add_virtual_ip
from cnmsim.libnetwork.options import PortBinding, SandboxOptions
from cnmsim.libnetwork.osl import OslNamespace
from cnmsim.libnetwork.place import Place
from cnmsim.libnetwork.renderer import html_of
from cnmsim.libnetwork.sandboxdns import SandboxDns
from cnmsim.libnetwork.sandboxplace import SandboxInterface, SandboxPlace, SandboxRoute
from cnmsim.libnetwork.servicerecords import ingress_ports
from cnmsim.libnetwork.settings import sandbox_options

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process
    from cnmsim.libnetwork.controller import Controller
    from cnmsim.libnetwork.resolver import Resolver

T = TypeVar("T")

NETNS_FOLDER = "/var/run/docker/netns"


@define(eq=False, repr=False)
class Sandbox(Place):
    """The network stack of one container, created by `Controller.new_sandbox`.

    Programs run in it: see `exec`, `start` and `run`.

    `endpoints` are sorted, the preferred gateway first. `osl` is the sandbox's namespace in the kernel; `None` until
    it is created (`use_external_key`).
    """

    controller: Controller = field(repr=False)
    id: str
    container_id: str
    options: SandboxOptions = field(repr=False)
    endpoints: list[Endpoint] = field(factory=list, init=False)
    osl: OslNamespace | None = field(default=None, init=False, repr=False)
    dns: SandboxDns = field(init=False, repr=False)
    is_deleting: bool = field(default=False, init=False)
    place: SandboxPlace = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.place = SandboxPlace(self)
        if not self.options.use_external_key:
            self._make_namespace()
        options = self.options
        self.dns = SandboxDns(self, options.hosts_file or File(), options.resolv_conf or File())
        self.dns.build_files()

    def __repr__(self) -> str:
        joined = "".join(
            f" {endpoint.interface_name or endpoint.name} {endpoint.address or endpoint.address6 or ''}".rstrip()
            for endpoint in self.endpoints
        )
        return f"<Sandbox {self.name}{joined}>"

    def _repr_html_(self) -> str | None:
        return html_of(self)

    # --- properties

    @property
    def name(self) -> str:
        """The name in traces: the option `name` or, if that is empty, the container's id.

        An id of 64 digits is shortened to 12.
        """
        identity = self.container_id
        return self.options.name or (identity[:12] if len(identity) == 64 else identity)

    @property
    def key(self) -> str:
        """The path of the file that holds the sandbox's namespace open."""
        return f"{NETNS_FOLDER}/{'default' if self.options.use_host_namespace else self.id[:12]}"

    @property
    def namespace(self) -> NetworkNamespace | None:
        """The sandbox's network namespace; `None` until it is created."""
        return None if self.osl is None else self.osl.namespace

    @property
    def has_ipv6(self) -> bool:
        """Whether the loopback device has the address ::1. Also True if the sandbox has no namespace yet."""
        namespace = self.namespace
        return namespace is None or namespace.has_address(IPV6_LOOPBACK)

    @property
    def hosts_file(self) -> File:
        """The container's /etc/hosts."""
        return self.dns.hosts_file

    @property
    def resolv_conf(self) -> File:
        """The container's /etc/resolv.conf."""
        return self.dns.resolv_conf

    @property
    def gateway_endpoints(self) -> tuple[Endpoint | None, Endpoint | None]:
        """The endpoints that provide the IPv4 and the IPv6 default route, each `None` if no endpoint does."""
        return gateway_endpoints(self.endpoints, self.controller.profile)

    @property
    def has_external_access(self) -> bool:
        """Whether one of the sandbox's networks has a route to the outside (moby `hasExternalAccess`)."""
        return any(
            not e.network.internal
            and not e.network.is_special
            and (has_default_route(e.join_info, 4) or has_default_route(e.join_info, 6))
            for e in self.endpoints
        )

    @property
    def port_map(self) -> list[PortBinding]:
        """The published ports of all endpoints of the sandbox."""
        return [binding for endpoint in self.endpoints for binding in endpoint.port_map]

    def context(self) -> SandboxContext:
        """Return the data about this sandbox that a driver receives when an endpoint joins."""
        options = self.options
        return SandboxContext(
            sandbox_id=self.id,
            key=self.key,
            exposed_ports=options.exposed_ports,
            port_bindings=options.port_bindings,
            legacy_links=options.legacy_links,
        )

    # --- its namespace

    def _make_namespace(self) -> None:
        machine = self.controller.machine
        if self.options.use_host_namespace:
            self.osl = OslNamespace(machine.root, machine.root, self.controller.profile, is_host=True)
            machine.pin_namespace(self.key, machine.root)
            return
        namespace = machine.new_namespace(self.name)
        for key, value in self.options.sysctls.items():
            if key.startswith("net."):
                try:
                    namespace.sysctl_set(key, value, allow_missing_device=True)
                except OSError as error:
                    verb = "open" if errno_of(error) in {errno.ENOENT, errno.EACCES} else "write"
                    raise SystemFault(f"{verb} /proc/sys/{key.replace('.', '/')}: {go_strerror(error)}") from None
        namespace.loopback.set_up()
        machine.pin_namespace(self.key, namespace)
        self.osl = OslNamespace(namespace, machine.root, self.controller.profile)

    def set_key(self) -> None:
        """Create the namespace, and move the interfaces of the joined endpoints into it, in the order of `endpoints`.

        Do nothing if it exists. The engine 26.1 calls this when the container's process has been created.
        """
        if self.osl is not None:
            return
        self._make_namespace()
        self.dns.build_hosts()
        for endpoint in list(self.endpoints):
            self.dns.add_host_lines(endpoint)
            self._populate(endpoint)
        set_default_gateways(self)

    def _populate(self, endpoint: Endpoint) -> None:
        osl = self.osl
        if osl is None:
            return
        if endpoint.wants_resolver and not osl.is_host:
            self.dns.start_resolver()
        if endpoint.join_info.source_name:
            endpoint.interface_name = osl.add_interface(
                endpoint.id,
                endpoint.join_info,
                endpoint.interface,
                endpoint.sysctls,
                gratuitous_arp=GratuitousArpConfig.parse(endpoint.network.driver_opts)
                if osl.profile.announces_addresses
                else None,
            )
            self._release_disabled_ipv6(endpoint, osl)
            self._set_up_service(endpoint)

    def _release_disabled_ipv6(self, endpoint: Endpoint, osl: OslNamespace) -> None:
        """Release an endpoint's IPv6 address if the endpoint's sysctls have removed it from the interface (29.x)."""
        if endpoint.ipv6 is None or not self.controller.profile.sysctl_disabled_ipv6_is_released:
            return
        device = osl.interfaces[endpoint.id].device
        if all(assigned.address != endpoint.ipv6[0] for assigned in device.addresses):
            self.dns.remove_host_address(endpoint.ipv6[0])
            endpoint.release_ipv6()
            # The endpoint now has fewer gateways, on which its position depends.
            self.endpoints.remove(endpoint)
            self._insert(endpoint)

    def _set_up_service(self, endpoint: Endpoint) -> None:
        """Configure the sandbox for an endpoint that is a task of a service: published ports and virtual address."""
        service, namespace = endpoint.options.service, self.namespace
        if service is None or endpoint.ipv4 is None or namespace is None:
            return
        if endpoint.network.ingress:
            add_redirect_rules(namespace, endpoint.ipv4[0], ingress_ports(service))
        if service.virtual_ip is not None and DSR_OPTION in endpoint.network.driver_opts:
            add_virtual_ip(namespace, endpoint.interface_name, service.virtual_ip)

    # --- joining and leaving, called by Endpoint

    def add(self, endpoint: Endpoint) -> None:
        """Add an endpoint: its interface, routes, lines of /etc/hosts, DNS names and published ports.

        If this raises an error, the caller has to call `remove`.
        """
        profile = self.controller.profile
        self._insert(endpoint)
        self.dns.add_host_lines(endpoint)
        self.dns.update_resolv_conf(endpoint.network)
        self._populate(endpoint)
        if endpoint in self.gateway_endpoints:
            set_default_gateways(self)
        if profile.dns_records_at == "join":
            endpoint.network.add_records(endpoint)
        if endpoint.options.is_load_balancer and not self.options.is_ingress:
            # A load-balancer endpoint is never a gateway.
            return
        if endpoint.network.name == GATEWAY_NETWORK:
            program_ports(self)
            return
        if needs_gateway_network(self.endpoints, profile):
            attach_gateway_network(self)
        else:
            program_ports(self)
            detach_gateway_network(self)

    def _insert(self, endpoint: Endpoint) -> None:
        profile = self.controller.profile
        insort(self.endpoints, endpoint, key=lambda joined: order_key(joined, profile))

    def remove(self, endpoint: Endpoint, *, leaves: bool = False) -> None:
        """Remove an endpoint, even one that was added only in part.

        If `leaves` is True, the driver is called to detach the endpoint before its interface is removed. If it is
        False, the endpoint's join has failed; 26.1 and 28.5 then leave the interface in the sandbox.
        """
        if endpoint not in self.endpoints:
            return
        was_gateway = endpoint in self.gateway_endpoints
        self.endpoints.remove(endpoint)
        driver = publisher(endpoint.network.driver)
        if driver is not None:
            with self.controller.log.logging_errors():
                driver.revoke_external_connectivity(endpoint.network.id, endpoint.id)
        if leaves:
            endpoint.network.leave_driver(endpoint.id)
        if leaves or not self.controller.profile.failed_join_keeps_interface:
            if self.osl is not None:
                self.osl.remove_interface(endpoint.id)
            if was_gateway:
                set_default_gateways(self)
            self.dns.remove_host_lines(endpoint)
        if self.controller.profile.dns_records_at == "join":
            endpoint.network.remove_records(endpoint)

    def endpoint_left(self, endpoint: Endpoint) -> None:
        """Adapt the sandbox after an endpoint left: move its published ports to another endpoint.

        Attach docker_gwbridge if the sandbox needs it now, detach it if not. Errors are only logged, because the
        endpoint has left already (moby `Endpoint.sbLeave`).
        """
        if self.is_deleting and self.controller.profile.deleted_sandbox_moves_ports:
            with suppress(EngineError):
                program_ports(self)
        if self.is_deleting or endpoint.network.name == GATEWAY_NETWORK:
            return
        if endpoint.options.is_load_balancer and not self.options.is_ingress:
            return
        with self.controller.log.logging_errors():
            if needs_gateway_network(self.endpoints, self.controller.profile):
                attach_gateway_network(self)
            else:
                detach_gateway_network(self)
            program_ports(self)

    def gateway_network_left(self) -> None:
        """Attach docker_gwbridge again after it was disconnected, if no other network provides a default route.

        Raises `SystemFault` if the new endpoint cannot be created; e.g. its name is used by the old endpoint until
        that is deleted.
        """
        profile = self.controller.profile
        if self.is_deleting or not needs_gateway_network(self.endpoints, profile):
            return
        try:
            attach_gateway_network(self)
        except EngineError as error:
            raise SystemFault(profile.lost_gateway_text.format(error=error.message)) from error

    # --- programs

    def exec(self, command: str | list[str], *, timeout_s: float = 600) -> ExecResult:
        """Run a command as if typed into a shell in the sandbox. Virtual time passes until it ends.

        A list is run without the shell. A command that still runs after `timeout_s` seconds of virtual time is killed
        and has the exit status 124. Raises `Unavailable` if the sandbox has no namespace.
        """
        return self.place.exec(command, timeout_s)

    def start(self, command: str | list[str]) -> Process:
        """Start a command that keeps running, such as `httpd -f -p 80`. Return its process.

        The process ends with the sandbox. Raises `NotFound` if there is no such program, `Unavailable` if the sandbox
        has no namespace.
        """
        process = self.place.spawn(words(command))
        process.clock.run_ready()
        return process

    def run(self, program: Callable[[Process], Awaitable[T]], *, timeout_s: float = 600) -> T:
        """Run a coroutine function in the sandbox and return its result. Virtual time passes until it ends.

        `program` is called with its `Process`, which opens sockets (`process.udp()`, `process.tcp()`) and sleeps
        (`await process.sleep(1)`). Raises what the coroutine raises, `TimeoutError` after `timeout_s` seconds of
        virtual time, and `Unavailable` if the sandbox has no namespace.
        """
        return self.place.run(program, timeout_s)

    @property
    def interfaces(self) -> list[SandboxInterface]:
        """The devices of the sandbox, in order of creation. Raises `Unavailable` if the sandbox has no namespace."""
        return self.place.interfaces()

    @property
    def routes(self) -> list[SandboxRoute]:
        """The routes of the main tables, IPv4 first. Raises `Unavailable` if the sandbox has no namespace."""
        return self.place.routes()

    @property
    def rules(self) -> list[str]:
        """The packet filter's rules, one line each. Raises `Unavailable` if the sandbox has no namespace."""
        return self.place.rules()

    @property
    def resolver(self) -> Resolver | None:
        """The embedded DNS resolver; `None` until an endpoint needs it."""
        return self.dns.resolver

    def refresh(self, options: SandboxOptions | None = None, **settings: Any) -> None:
        """Leave all endpoints, apply new options, and join the endpoints again (moby `Sandbox.Refresh`).

        Each of `settings` sets one field of the options, as in `Controller.new_sandbox`; without arguments the
        options are unchanged. The namespace and the programs in it are kept. Errors of leaving and joining are only
        logged. Raises `InvalidParameter` for invalid settings and `Forbidden` for a deleted sandbox; then nothing is
        changed.
        """
        options = sandbox_options(options or self.options, settings)
        if self.is_deleting:
            raise Forbidden("another sandbox delete in progress")
        joined = [endpoint for endpoint in self.endpoints if endpoint.network.name != GATEWAY_NETWORK]
        choices = {endpoint.id: (endpoint.priority, dict(endpoint.links)) for endpoint in joined}
        for endpoint in joined:
            with self.controller.log.logging_errors():
                endpoint.leave()
        self.options = options
        self.dns.build_files()
        for endpoint in joined:
            priority, links = choices[endpoint.id]
            with self.controller.log.logging_errors():
                endpoint.join(self, gw_priority=priority, links=links)

    # --- services

    def enable_service(self) -> None:
        """Publish each endpoint's names in the swarm, and add the endpoint to its service's load balancers.

        Raises `SystemFault` with libnetwork's message if one endpoint fails; then all are disabled, as by
        `disable_service`.
        """
        for endpoint in list(self.endpoints):
            agent = endpoint.network.cluster_agent
            if endpoint.is_service_enabled:
                continue
            try:
                if agent is not None:
                    agent.add_service_info(endpoint)
            except SystemFault as error:
                self.disable_service()
                raise SystemFault(
                    f"could not update state for endpoint {endpoint.name} into cluster: {error.message}"
                ) from error
            endpoint.is_service_enabled = True

    def disable_service(self) -> None:
        """Mark each endpoint as disabled in the load balancers of its service.

        The endpoints get no new connections; established connections continue.
        """
        for endpoint in self.endpoints:
            if not endpoint.is_service_enabled:
                continue
            agent = endpoint.network.cluster_agent
            if agent is not None:
                agent.delete_service_info(endpoint, fully=False)
            endpoint.is_service_enabled = False

    # --- names

    def resolve_name(self, name: str, family: int) -> list[Address] | None:
        """Return the addresses of a name in address family 4 or 6, as the embedded resolver finds them.

        Return [] if the name has no address of this family, `None` if the name is unknown, so that the query is
        forwarded.
        """
        return self.dns.resolve_name(name, family)

    def resolve_address(self, address: Address) -> str | None:
        """Return the name of an address in the form `<name>.<network>`.

        Return `None` if no network of the sandbox has the address.
        """
        return self.dns.resolve_address(address)

    # --- deletion

    def delete(self) -> None:
        """Leave and delete every endpoint, then release the namespace.

        The namespace is destroyed only if no process of another container is in it. Raises `Forbidden` if the sandbox
        is deleted already.
        """
        if self.is_deleting:
            raise Forbidden("another sandbox delete in progress")
        self.is_deleting = True
        self.place.kill_all()
        self.dns.stop()
        for endpoint in list(self.endpoints):
            endpoint.leave()
            endpoint.delete()
        self.controller.forget_sandbox(self)
        machine, namespace = self.controller.machine, self.namespace
        self.osl = None
        # All sandboxes with host networking have the same key.
        if not any(other.key == self.key for other in self.controller.sandboxes):
            if self.options.use_host_namespace:
                machine.namespaces.pop(self.key, None)
            else:
                machine.unpin_namespace(self.key)
        if namespace is None or self.options.use_host_namespace:
            return
        if not any(process.namespace is namespace for process in machine.processes.values()):
            namespace.destroy()

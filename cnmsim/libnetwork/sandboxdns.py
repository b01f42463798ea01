"""Name resolution of a sandbox: its /etc/hosts, its /etc/resolv.conf, and the lookups of its embedded resolver.

Source: moby `daemon/libnetwork/{sandbox_dns_unix,sandbox}.go` (docker-v29.7.2), `libnetwork/` of v26.1.5 and v28.5.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from typing import TYPE_CHECKING

from attrs import define, field

from cnmsim.errors import InvalidParameter, SystemFault
from cnmsim.kernel.address import Address, parse_ip
from cnmsim.kernel.files import File
from cnmsim.libnetwork import etchosts, resolvconf
from cnmsim.libnetwork.gateway import GATEWAY_NETWORK
from cnmsim.libnetwork.resolvconf import ResolvConf, ResolvConfGuard, ResolvMode
from cnmsim.libnetwork.resolver import Resolver

if TYPE_CHECKING:
    from cnmsim.libnetwork.endpoint import Endpoint
    from cnmsim.libnetwork.network import Network
    from cnmsim.libnetwork.sandbox import Sandbox

_HOSTS_PATH = "/etc/hosts"


@define(eq=False)
class SandboxDns:
    """The DNS side of one sandbox: its /etc/hosts and resolv.conf, and the name lookups of its embedded resolver.

    `resolver` is `None` until an endpoint needs it; the resolver then runs until the sandbox is deleted.
    """

    sandbox: Sandbox = field(repr=False)
    hosts_file: File
    resolv_conf: File
    resolver: Resolver | None = field(default=None, init=False)
    _guard: ResolvConfGuard = field(factory=ResolvConfGuard, init=False)

    # --- files

    def build_files(self) -> None:
        """Write /etc/hosts and /etc/resolv.conf with the content that they have before any endpoint joins."""
        self.build_hosts()
        self._write_resolv_conf(ResolvMode.HOST)

    def build_hosts(self) -> None:
        """Write /etc/hosts without the lines of endpoints."""
        options = self.sandbox.options
        if options.use_host_namespace and not options.extra_hosts:
            self.hosts_file.content = self._host_text(_HOSTS_PATH).encode()
        else:
            extra = [etchosts.HostsRecord(address, names) for names, address in options.extra_hosts]
            text = etchosts.build_hosts(self.sandbox.controller.profile, extra, has_ipv6=self.sandbox.has_ipv6)
            self.hosts_file.content = text.encode()

    def _host_text(self, path: str) -> str:
        try:
            return self.sandbox.controller.machine.files.read(path).decode()
        except FileNotFoundError:
            return ""

    def update_resolv_conf(self, network: Network) -> None:
        """Write /etc/resolv.conf anew when an endpoint joins `network`. Do nothing once the embedded resolver runs.

        The host's IPv6 name servers are included only if `network` has IPv6.
        """
        if self.resolver is None and not self.sandbox.options.use_host_namespace:
            self._write_resolv_conf(ResolvMode.LEGACY, has_ipv6=network.enable_ipv6)

    def _write_resolv_conf(self, mode: ResolvMode, *, has_ipv6: bool = False) -> ResolvConf:
        profile, options = self.sandbox.controller.profile, self.sandbox.options
        etc = self._host_text(resolvconf.PATH)
        path = resolvconf.host_path(
            etc, profile, may_use_systemd=mode is not ResolvMode.INTERNAL and not options.use_host_namespace
        )
        try:
            built = resolvconf.build_resolv_conf(
                profile,
                etc if path == resolvconf.PATH else self._host_text(path),
                mode,
                path=path,
                dns=options.dns,
                dns_search=options.dns_search,
                dns_opts=options.dns_opts,
                has_ipv6=has_ipv6,
            )
        except ValueError as error:
            raise InvalidParameter(str(error)) from None
        if self._guard.may_write(self.resolv_conf.content):
            self.resolv_conf.content = built.text.encode()
            self._guard.wrote(self.resolv_conf.content, mode)
        return built

    def add_host_lines(self, endpoint: Endpoint) -> None:
        """Add an endpoint's addresses to /etc/hosts, unless its network is ingress or docker_gwbridge."""
        network, options = endpoint.network, self.sandbox.options
        if network.ingress or network.name == GATEWAY_NETWORK or options.use_host_namespace:
            return
        addresses = [assigned[0] for assigned in (endpoint.ipv4, endpoint.ipv6) if assigned is not None]
        if not self.sandbox.has_ipv6:
            addresses = [address for address in addresses if len(address) == 4]
        records = etchosts.own_records(addresses, options.hostname, options.domainname)
        self._set_hosts(etchosts.add_records(self._hosts_text(), records))

    def remove_host_lines(self, endpoint: Endpoint) -> None:
        """Remove an endpoint's addresses from /etc/hosts."""
        addresses = [assigned[0] for assigned in (endpoint.ipv4, endpoint.ipv6) if assigned is not None]
        if not addresses or self.sandbox.options.use_host_namespace:
            return
        profile = self.sandbox.controller.profile
        known = endpoint.network.records.names() if profile.hosts_cleanup_by_name else ()
        names = [name for name in known if name != endpoint.name]
        self._set_hosts(etchosts.remove_endpoint(profile, self._hosts_text(), addresses, names))

    def remove_host_address(self, address: Address) -> None:
        """Remove the lines of one address from /etc/hosts."""
        self._set_hosts(etchosts.remove_endpoint(self.sandbox.controller.profile, self._hosts_text(), [address]))

    def update_hosts_entry(self, hostname: str, address: str) -> None:
        """Change the address in all lines of /etc/hosts whose first name is `hostname`.

        The engine calls this when a container linked to this one has restarted with a new address.
        """
        self._set_hosts(etchosts.update_address(self._hosts_text(), parse_ip(address), hostname))

    def _hosts_text(self) -> str:
        return self.hosts_file.content.decode()

    def _set_hosts(self, text: str) -> None:
        self.hosts_file.content = text.encode()

    # --- the resolver

    def start_resolver(self) -> None:
        """Start the embedded resolver, unless it is running, and make it the name server in resolv.conf.

        Raises `SystemFault` if the resolver's sockets cannot be bound.
        """
        controller, namespace = self.sandbox.controller, self.sandbox.namespace
        if self.resolver is not None or namespace is None:
            return
        has_ipv6 = any(endpoint.ipv6 is not None for endpoint in self.sandbox.endpoints)
        built = self._write_resolv_conf(ResolvMode.INTERNAL, has_ipv6=has_ipv6)
        resolver = Resolver(
            namespace,
            controller.machine.root,
            self.sandbox,
            built.upstreams,
            controller.machine.random,
            ndots_set=built.ndots_set,
            owner=controller.daemon(),
            uses_nftables=controller.config.uses_nftables(controller.profile.has_firewall_backend),
        )
        try:
            resolver.start()
        except OSError as error:
            raise SystemFault(f"failed to start the embedded resolver: {error.strerror}") from None
        self.resolver = resolver

    def restore_point(self) -> Callable[[], None]:
        """Return a function to be called if a join fails.

        It restores the present content of the files, and stops the resolver if that was started later.
        """
        files = [(file, file.content) for file in (self.hosts_file, self.resolv_conf)]
        guard, resolver = copy(self._guard), self.resolver

        def undo() -> None:
            if resolver is None and self.resolver is not None:
                self.resolver.withdraw()
                self.resolver = None
            self._guard = guard
            for file, content in files:
                file.content = content

        return undo

    def stop(self) -> None:
        """Stop the resolver."""
        if self.resolver is not None:
            self.resolver.stop()
            self.resolver = None

    # --- lookups

    def resolve_name(self, name: str, family: int) -> list[Address] | None:
        """Return the addresses of a name in address family 4 or 6.

        Return [] if the name has no address of this family, `None` if it is unknown, so that the query is forwarded.
        Links (`--link`) are searched before other names. `a.b` may also mean the name `a` on the network `b`.
        """
        for candidate, network_name in _candidates(name.removesuffix(".")):
            for through_links in (True, False):
                addresses = self._look_up(candidate, network_name, family, through_links=through_links)
                if addresses is not None:
                    return addresses
        return None

    def _look_up(self, name: str, network_name: str, family: int, *, through_links: bool) -> list[Address] | None:
        profile = self.sandbox.controller.profile
        for endpoint in self._in_order():
            network = endpoint.network
            if network_name and network.name != network_name:
                continue
            target = name
            if through_links:
                if name not in endpoint.links:
                    continue
                target = endpoint.links[name]
            elif name in endpoint.links:
                continue
            addresses = network.records.lookup(target)
            if addresses is None:
                continue
            of_family = [address for address in addresses if (len(address) == 16) == (family == 6)]
            if of_family or profile.known_name_answers_empty:
                return of_family
            if family == 6 and not network.enable_ipv6:
                return []
        return None

    def _in_order(self) -> list[Endpoint]:
        """Return the endpoints in the order in which their networks are searched for a name.

        On a swarm node, those on swarm networks come first, then the one on ingress, then the others.
        """
        endpoints = self.sandbox.endpoints
        if not self.sandbox.controller.is_swarm_node:
            return endpoints
        return sorted(
            endpoints, key=lambda joined: 1 if joined.network.ingress else 0 if joined.network.is_dynamic else 2
        )

    def resolve_address(self, address: Address) -> str | None:
        """Return the name of an address as `<name>.<network>`, from the first network that has it.

        Return `None` if no network of the sandbox has the address.
        """
        for endpoint in self.sandbox.endpoints:
            name = endpoint.network.records.reverse(address)
            if name is not None:
                return f"{name}.{endpoint.network.name}"
        return None


def _candidates(name: str) -> Iterator[tuple[str, str]]:
    """Yield the pairs (name, network) that a queried `name` may mean. The network "" means any network.

    For `a.b.c` these are `("a.b.c", "")`, `("a.b", "c")` and `("a", "b.c")`.
    """
    yield name, ""
    at = name.rfind(".")
    while at > 0:
        yield name[:at], name[at + 1 :]
        at = name.rfind(".", 0, at)

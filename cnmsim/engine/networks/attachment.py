"""Attach containers to networks: convert a container's settings to calls of libnetwork, as dockerd does.

Source: moby `daemon/{container_operations,container_operations_unix,network}.go` (v26.1.5, v28.5.2, docker-v29.7.2).
The engine iterates over some networks in random order (a Go map); here, the order is that in which they were added.
"""

from __future__ import annotations

from contextlib import ExitStack

from attrs import define

from cnmsim.engine.containers.container import Container, EndpointSettings
from cnmsim.engine.containers.validate import parse_link
from cnmsim.engine.context import EngineContext
from cnmsim.engine.networks.endpoint_info import dns_names, port_map, record_endpoint, subnets_of
from cnmsim.engine.networks.legacy_links import DEFAULT_NETWORK, update_parents
from cnmsim.engine.networks.libnetwork_options import endpoint_options, sandbox_options
from cnmsim.errors import Conflict, EngineError, InvalidParameter, NotFound, SystemFault
from cnmsim.kernel.address import format_ip
from cnmsim.libnetwork.endpoint import Endpoint
from cnmsim.libnetwork.endpointsettings import (
    RequestedAddresses,
    is_user_defined,
    validate_endpoint_settings,
    validate_interface_sysctls,
)
from cnmsim.libnetwork.network import Network
from cnmsim.libnetwork.sandbox import Sandbox

_SYSCTLS_OPTION = "com.docker.network.endpoint.sysctls"
_SHARED_TEXT = (
    "container sharing network namespace with another container or host cannot be connected to any other network"
)
_NONE_TEXT = "container cannot be connected to multiple networks with one of the networks in private (none) mode"


def _reference(name: str, settings: EndpointSettings) -> str:
    """Return the name or id by which a container's network is looked up (`getNetworkID`)."""
    return settings.network_id if settings.network_id and is_user_defined(name) else name


@define
class Networking:
    """Connects the containers of one engine to networks, and disconnects them."""

    context: EngineContext

    # --- settings

    def _find_or_none(self, name: str, settings: EndpointSettings | None = None) -> Network | None:
        try:
            return self.context.controller.find_network(_reference(name, settings) if settings else name)
        except EngineError:
            return None

    def validate(self, network: Network | None, name: str, settings: EndpointSettings) -> None:
        """Check a container's settings on the network `name`. Raises `InvalidParameter` for the first invalid one.

        `network` is `None` if the network does not exist yet; addresses are then not compared with its subnets.
        """
        ipam = settings.ipam_config or {}
        addresses = RequestedAddresses(
            ipv4=settings.static_address(4),
            ipv6=settings.static_address(6),
            link_local=ipam.get("LinkLocalIPs") or (),
            aliases=settings.aliases or (),
        )
        subnets = subnets_of(network) if network is not None else None
        validate_endpoint_settings(self.context.profile, name, addresses, subnets)
        option = (settings.driver_opts or {}).get(_SYSCTLS_OPTION)
        if option is not None and self.context.profile.has_endpoint_sysctls:
            validate_interface_sysctls(option.replace("ifname", "IFNAME"))

    def set_networks(self, container: Container, endpoints: dict[str, EndpointSettings]) -> None:
        """Set a new container's networks from `endpoints` (EndpointsConfig) or, if it is empty, its network mode."""
        if container.config.get("NetworkDisabled") or container.joined_container:
            return
        name = container.network_mode
        network = self._find_or_none(name) if container.has_user_defined_network else None
        if network is not None:
            name = network.name
        container.networks = dict(sorted(endpoints.items())) or {name: EndpointSettings()}
        if network is not None and name not in container.networks and network.id in container.networks:
            container.networks[name] = container.networks.pop(network.id)

    def _update_network_config(self, container: Container, network: Network, settings: EndpointSettings) -> None:
        """Add a network to a container's settings (`updateNetworkConfig`).

        Raises `InvalidParameter` if the network cannot be combined with the container's other networks: `host` and
        `none` must be the only network of a container.
        """
        self._set_dns_names(container, network, settings)
        if not container.is_host_network and network.driver_name == "host":
            raise InvalidParameter(self.context.profile.host_connect_text)
        for name, present in container.networks.items():
            other = self._find_or_none(name, present)
            if other is None:
                continue
            if other.name == network.name:
                if network.scope == "swarm":
                    continue
                return
            if "host" in {other.driver_name, network.driver_name}:
                raise InvalidParameter(_SHARED_TEXT)
            if "none" in {other.name, network.name}:
                raise InvalidParameter(_NONE_TEXT)
        container.networks[network.name] = settings

    def _set_dns_names(self, container: Container, network: Network, settings: EndpointSettings) -> None:
        if is_user_defined(network.name):
            settings.dns_names = dns_names(container, settings.aliases or ())
        self.validate(network, network.name, settings)

    # --- start

    def initialise(self, container: Container) -> Sandbox | None:
        """Create the sandbox of a container that starts. It is not connected to networks yet.

        Return `None` if the container shares the sandbox of another one, or has its network disabled. Raises an
        `EngineError`, with the daemon's text, if the container whose sandbox it shares does not run, or if libnetwork
        fails.
        """
        if container.config.get("NetworkDisabled"):
            return None
        if container.joined_container:
            target = self.namespace_target(container)
            container.config["Hostname"] = target.config["Hostname"]
            container.config["Domainname"] = target.config["Domainname"]
            return None
        options = sandbox_options(self.context, container, self._find_or_none(DEFAULT_NETWORK))
        sandbox = self.context.controller.new_sandbox(container.id, options=options)
        container.sandbox_id, container.sandbox_key = sandbox.id, sandbox.key
        return sandbox

    def allocate(self, container: Container, sandbox: Sandbox) -> None:
        """Connect a container that starts to all its networks, in its sandbox.

        Raises an `EngineError` if one of the connections fails; the caller must then call `release`.
        """
        # The engine iterates over a Go map here; a small map mostly yields its entries in the order of insertion.
        names = list(container.networks)
        if self.context.profile.allocates_before_task and DEFAULT_NETWORK in names:
            names.insert(0, names.pop(names.index(DEFAULT_NETWORK)))
        for name in names:
            settings = container.networks[name]
            settings.clean()
            self._connect(container, sandbox, name, settings, is_starting=True)

    # --- networks of a swarm

    def unattached(self, container: Container) -> list[str]:
        """Return the names of the networks for which a container needs an attachment before it can start.

        These are the container's swarm-scoped networks, and its networks that do not exist on this node yet, except
        those on which a manager has allocated addresses already. The list is empty on a node without a swarm, for a
        container that joins the namespace of another one, and for a container of a task: the manager allocates the
        addresses with the task.
        """
        if container.is_managed or container.joined_container or self.context.controller.cluster is None:
            return []
        return [
            name
            for name, settings in container.networks.items()
            if name not in container.attachments and self._needs_attachment(name, settings)
        ]

    def _needs_attachment(self, name: str, settings: EndpointSettings) -> bool:
        network = self._find_or_none(name, settings)
        return network is None or network.is_dynamic

    async def attach(self, container: Container) -> None:
        """Ask a manager for the addresses that a container needs before it starts, and wait for them.

        Raises an `EngineError` if the manager refuses, or does not allocate the addresses in time.
        """
        for name in self.unattached(container):
            await self._attach(container, name, container.networks[name])

    async def attach_to(self, container: Container, term: str, settings: EndpointSettings) -> None:
        """Ask a manager for the address of a running container on the network `term` (name or id), and wait for it.

        Do nothing if the network needs no manager. The container is not connected yet. Raises `Conflict` if the
        container is on the network already, and another `EngineError` if the manager allocates no address.
        """
        if not container.is_running or container.is_managed or self.context.controller.cluster is None:
            return
        network = self._find_or_none(term, settings)
        if network is not None and not network.is_dynamic:
            return
        if (
            network is not None
            and network.name in container.networks
            and container.networks[network.name].endpoint_id
        ):
            raise Conflict(f"{container.name} is already attached to network {network.name}")
        await self._attach(container, term, settings)

    async def _attach(self, container: Container, term: str, settings: EndpointSettings) -> None:
        addresses = [address for address in (settings.static_address(4), settings.static_address(6)) if address]
        cluster = self.context.controller.cluster
        if cluster is None:
            raise SystemFault("invalid cluster node while attaching to network")
        answer = await cluster.attach_network(term, container.id, addresses)
        network = self._find_or_none(term)
        if network is None:
            cluster.detach_network(term, container.id)
            raise NotFound(f"could not find network {term} after successful attachment")
        container.attachments[network.name] = {**answer, "Target": term}

    def _detach(self, container: Container, name: str) -> None:
        attachment = container.attachments.pop(name, None)
        cluster = self.context.controller.cluster
        if attachment is not None and cluster is not None:
            cluster.detach_network(attachment["Target"], container.id)

    def namespace_target(self, container: Container) -> Container:
        """Return the container whose network namespace `container` joins (`--network container:NAME`).

        Raises an `EngineError` if that container does not exist or does not run.
        """
        profile = self.context.profile
        reference = container.joined_container
        try:
            target = self.context.containers.get(reference)
        except NotFound as error:
            prefix = profile.missing_namespace_target_prefix
            if prefix:
                raise SystemFault(prefix + error.message) from None
            raise
        if target is container:
            raise SystemFault(profile.join_own_namespace_text)
        if not target.is_running:
            raise Conflict(
                profile.join_stopped_namespace_text.format(ref=reference, name=target.name, state=target.state.value)
            )
        return target

    def sandbox_of(self, container: Container) -> Sandbox | None:
        """Return a container's sandbox, or `None` if there is none.

        For a container that shares the namespace of another one, return the sandbox of the other one.
        """
        seen: set[str] = set()
        while container.joined_container and container.id not in seen:
            seen.add(container.id)
            target = self.context.containers.find(container.joined_container)
            if target is None:
                return None
            container = target
        return self._own_sandbox(container)

    def _own_sandbox(self, container: Container) -> Sandbox | None:
        try:
            return self.context.controller.sandbox_by_container(container.id)
        except NotFound:
            return None  # as for a container with NetworkDisabled

    def links_changed(self, container: Container) -> None:
        """Update the hosts file and the firewall rules of a container after one of its legacy links was removed."""
        sandbox = self.sandbox_of(container) if container.is_running else None
        if sandbox is not None and DEFAULT_NETWORK in container.networks:
            sandbox.refresh(sandbox_options(self.context, container, self._find_or_none(DEFAULT_NETWORK)))

    # --- connect and disconnect

    def connect(self, container: Container, term: str, settings: EndpointSettings | None = None) -> None:
        """Connect a container to the network `term` (name or id), as `docker network connect` does.

        If the container does not run, only its settings are changed. Raises an `EngineError` if it cannot be
        connected, such as for an address that is in use.
        """
        settings = settings or EndpointSettings()
        if not container.is_running:
            self._refuse_dying(container)
            network = self._find_or_none(term)
            if network is None:
                container.networks[term] = settings
            else:
                self._update_network_config(container, network, settings)
            container.checkpoint = None
            return
        if container.joined_container:
            raise InvalidParameter(_SHARED_TEXT)
        sandbox = self.sandbox_of(container)
        if sandbox is None:
            raise NotFound(f"network sandbox for container {container.id} not found")
        before = dict(container.networks)
        container.keep_checkpoint()
        try:
            self._connect(container, sandbox, term, settings)
        except EngineError:
            if not self.context.profile.failed_connect_keeps_settings:
                container.networks = before
            raise
        container.checkpoint = None

    def _connect(
        self,
        container: Container,
        sandbox: Sandbox,
        term: str,
        settings: EndpointSettings,
        *,
        is_starting: bool = False,
    ) -> None:
        if term == DEFAULT_NETWORK and self.context.config.bridge == "none":
            container.config["NetworkDisabled"] = True
            return
        network = self.context.controller.find_network(_reference(term, settings))
        if term != container.network_mode:
            self._normalise_mode(container)
        attachment = container.attachments.get(network.name)
        if attachment is not None:
            settings.ipam_is_operational = not any((settings.ipam_config or {}).values())
            settings.ipam_config = dict(attachment["IPAMConfig"])
        if is_starting and not self.context.profile.start_checks_networks:
            self._set_dns_names(container, network, settings)
        else:
            self._update_network_config(container, network, settings)
        with ExitStack() as undo:
            endpoint = network.create_endpoint(
                container.name, options=endpoint_options(self.context.profile, container, sandbox, network, settings)
            )
            undo.callback(endpoint.delete, force=True)
            for key in (network.id, term):
                if key != network.name:
                    container.networks.pop(key, None)
            container.networks[network.name] = settings
            if not self.context.profile.failed_connect_keeps_settings:
                undo.callback(container.networks.pop, network.name, None)
            record_endpoint(settings, endpoint)
            try:
                links = {alias: name for name, alias in map(parse_link, settings.links or ())}
            except ValueError as error:
                raise SystemFault(str(error)) from None
            endpoint.join(sandbox, gw_priority=settings.gw_priority, links=links)
            ports = port_map(sandbox)
            self._require_info(endpoint)
            if not container.is_managed:
                self._enable_service(container, sandbox)
            undo.pop_all()
        record_endpoint(settings, endpoint)
        settings.gateway = format_ip(endpoint.gateway) if endpoint.gateway else ""
        settings.ipv6_gateway = format_ip(endpoint.gateway6) if endpoint.gateway6 else ""
        container.ports = ports
        if network.name == DEFAULT_NETWORK:
            update_parents(self.context.containers, container, settings, self.sandbox_of)
        self._log(network, "connect", container)

    def _normalise_mode(self, container: Container) -> None:
        """Replace a network mode that is the prefix of a network's id by the whole id.

        Raises `NotFound` if the network no longer exists.
        """
        if not container.has_user_defined_network:
            return
        mode = container.network_mode
        try:
            network = self.context.controller.find_network(mode)
        except NotFound as error:
            raise NotFound(f"could not find a network matching network mode {mode}: {error.message}") from None
        if mode not in (network.id, network.name):
            container.host_config["NetworkMode"] = network.id

    @staticmethod
    def _enable_service(container: Container, sandbox: Sandbox) -> None:
        """Publish a container's service records to the swarm. Raises `SystemFault` if that fails.

        This is not called for the container of a task, whose records are published once it is healthy.
        """
        try:
            sandbox.enable_service()
        except EngineError as error:
            raise SystemFault(
                f"Activate container service binding for {container.name} failed: {error.message}"
            ) from None

    def _require_info(self, endpoint: Endpoint) -> None:
        """Ask the network driver for its information on an endpoint, as 26.1 does.

        Raises `SystemFault` if the driver reports an error. In later releases, which do not ask, do nothing.
        """
        if self.context.profile.plugin_must_return_endpoint_info:
            try:
                endpoint.driver_info()
            except EngineError as error:
                raise SystemFault(f"Updating join info failed: {error.message}") from None

    def disconnect(self, container: Container, term: str, *, force: bool = False) -> None:
        """Disconnect a container from the network `term` (name or id), as `docker network disconnect` does.

        `force` removes a network that no longer exists from the settings of a running container. Raises an
        `EngineError`, with the daemon's text, if the container is not connected or the network does not exist.
        """
        network = self._find_or_none(term)
        if not container.is_running or (network is None and force):
            self._refuse_dying(container)
            name = network.name if network is not None else term
            if name not in container.networks:
                raise SystemFault(f"container {container.id} is not connected to the network {name}")
            del container.networks[name]
            container.checkpoint = None
            if network is not None:
                for _ in range(self.context.profile.stopped_disconnect_events):
                    self._log(network, "disconnect", container)
            return
        network = self.context.controller.find_network(term)
        if container.is_host_network and network.driver_name == "host":
            raise InvalidParameter(self.context.profile.host_disconnect_text)
        endpoint = _endpoint_of(network, container)
        if endpoint is None:
            raise SystemFault(f"container {container.id} is not connected to network {network.name}")
        sandbox = endpoint.sandbox
        try:
            endpoint.leave()
        except SystemFault as error:
            raise SystemFault(
                f"container {container.id} failed to leave network {network.name}: {error.message}"
            ) from None
        endpoint.delete()
        if sandbox is not None:
            container.ports = port_map(sandbox)
        container.networks.pop(network.name, None)
        container.checkpoint = None
        self._detach(container, network.name)
        for _ in range(self.context.profile.running_disconnect_events):
            self._log(network, "disconnect", container)

    def _refuse_dying(self, container: Container) -> None:
        if container.state.value in {"removing", "dead"}:
            raise SystemFault(
                f"Container {container.id} is marked for removal and cannot be connected or disconnected to the"
                " network"
            )

    # --- stop and rename

    def release(self, container: Container) -> None:
        """Delete a container's sandbox with all endpoints, and reset the settings that hold only while it runs."""
        if container.joined_container:
            return
        container.ports = {}
        if not container.sandbox_id:
            return
        networks = []
        for name, settings in container.networks.items():
            network = self._find_or_none(name, settings)
            if network is not None:
                networks.append(network)
            settings.clean()
        sandbox = self._own_sandbox(container)
        if sandbox is not None:
            sandbox.delete()
        if not self.context.profile.stopped_keeps_sandbox_id:
            container.sandbox_id = container.sandbox_key = ""
        for network in networks:
            self._log(network, "disconnect", container)
        for name in list(container.attachments):
            self._detach(container, name)

    def rename(self, container: Container) -> None:
        """Update the DNS names of a container's endpoints after the container got a new name."""
        for name, settings in container.networks.items():
            settings.dns_names = dns_names(container, settings.aliases or ())
            network = self._find_or_none(name, settings)
            endpoint = network and _endpoint_of(network, container)
            if endpoint:
                endpoint.rename(container.name, settings.dns_names or [])

    def restore_endpoint_names(self, container: Container) -> None:
        """Reset the names of a container's endpoints after a failed rename.

        DNS records that were withdrawn are not restored.
        """
        for name, settings in container.networks.items():
            network = self._find_or_none(name, settings)
            endpoint = network and _endpoint_of(network, container)
            if endpoint:
                endpoint.name = container.name

    def _log(self, network: Network, action: str, container: Container) -> None:
        attributes = {"container": container.id, "name": network.name, "type": network.driver_name}
        self.context.events.log("network", action, network.id, attributes)


def _endpoint_of(network: Network, container: Container) -> Endpoint | None:
    for endpoint in network.endpoints.values():
        if endpoint.sandbox is not None and endpoint.sandbox.container_id == container.id:
            return endpoint
    return None

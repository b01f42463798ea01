"""Creation, lookup, removal and views of networks, as the Engine API has them.

Source: moby `daemon/network.go`, `daemon/network/filter.go`, `daemon/prune.go`,
`daemon/server/router/network/network_routes.go` (v26.1.5, v28.5.2, docker-v29.7.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define, field

from cnmsim.engine.context import EngineContext
from cnmsim.engine.wire.api_version import ApiVersion
from cnmsim.engine.wire.filters import Filters
from cnmsim.errors import EngineError, Forbidden, InvalidParameter, NotFound, SystemFault
from cnmsim.gojson.fields import rfc3339
from cnmsim.gostrconv import NumError, parse_bool
from cnmsim.kernel.address import format_ip, format_mac
from cnmsim.kernel.clock import NS_PER_S, Clock
from cnmsim.libnetwork.driver import IpamInfo
from cnmsim.libnetwork.endpoint import Endpoint
from cnmsim.libnetwork.ipam.allocator import Ipam
from cnmsim.libnetwork.ipam.validate import used_ipam_config, validate_ipam_config
from cnmsim.libnetwork.network import Network
from cnmsim.libnetwork.network_configuration import NOT_A_MANAGER
from cnmsim.libnetwork.options import IpamConfig, NetworkOptions
from cnmsim.libnetwork.profile import Profile

if TYPE_CHECKING:
    from cnmsim.libnetwork.agent import ServiceInfo

PREDEFINED = frozenset({"bridge", "host", "none", "default"})
_ENABLE_IPV4, _ENABLE_IPV6 = "com.docker.network.enable_ipv4", "com.docker.network.enable_ipv6"


@define
class Networks:
    """Operations on the networks of one engine, on top of libnetwork's controller."""

    context: EngineContext
    #: Ids of the networks that were created with IPAM options, even empty ones: they print `{}` instead of `null`.
    _with_ipam_options: set[str] = field(factory=set, init=False)

    # --- creation

    def create(self, body: dict[str, Any], api: ApiVersion) -> Network:
        """Create a network from the decoded body of `POST /networks/create`.

        Raises an `EngineError` if the body is invalid or the driver fails; no network is created then.
        """
        context, name = self.context, body["Name"]
        if name in PREDEFINED:
            raise Forbidden(f"operation is not permitted on predefined {name} network ")
        driver = body["Driver"] or "bridge"
        if driver == "overlay" and not self._is_manager():
            raise Forbidden(NOT_A_MANAGER)
        options = self._options(body, driver, api)
        network = context.controller.new_network(name, driver, options=options)
        if body["IPAM"] and body["IPAM"]["Options"] is not None:
            self._with_ipam_options.add(network.id)
        self.log(network, "create")
        return network

    def _is_manager(self) -> bool:
        cluster = self.context.controller.cluster
        return cluster is not None and cluster.is_manager

    def _options(self, body: dict[str, Any], driver: str, api: ApiVersion) -> NetworkOptions:
        context, profile = self.context, self.context.profile
        driver_opts = dict(body["Options"] or {})
        if not body["ConfigFrom"]:
            driver_opts = {**context.config.default_network_opts.get(driver, {}), **driver_opts}
        requested4 = body["EnableIPv4"] if api.at_least("1.48") else None
        enable_ipv4 = enable_ipv6 = None
        if profile.validates_enable_driver_options:
            enable_ipv4 = _family_option(requested4, driver_opts, _ENABLE_IPV4)
            enable_ipv6 = _family_option(body["EnableIPv6"], driver_opts, _ENABLE_IPV6)
        else:
            enable_ipv6 = bool(body["EnableIPv6"])
        is_ipv4 = True if enable_ipv4 is None or not profile.can_disable_ipv4 else enable_ipv4
        ipam = body["IPAM"]
        configs = [_ipam_config(config) for config in (ipam or {}).get("Config", ())]
        validate_ipam_config(profile, configs, enable_ipv6=bool(enable_ipv6))
        return NetworkOptions(
            driver_opts=driver_opts,
            labels=dict(body["Labels"] or {}),
            ipam_driver=(ipam or {}).get("Driver") or "default",
            ipam_options=dict((ipam or {}).get("Options") or {}),
            ipam_config=used_ipam_config(profile, configs, enable_ipv6=bool(enable_ipv6)),
            enable_ipv4=is_ipv4,
            enable_ipv6=bool(enable_ipv6),
            internal=body["Internal"],
            attachable=body["Attachable"],
            ingress=body["Ingress"],
            scope=body["Scope"],
            config_only=body["ConfigOnly"],
            config_from=(body["ConfigFrom"] or {}).get("Network", ""),
        )

    # --- lookup

    def find(self, term: str, *, for_removal: bool = False) -> Network:
        """Return the network with this id, name or unique id prefix.

        Raises `NotFound` if there is none, and `InvalidParameter` if several match. With `for_removal`, the latter
        has the text of `DELETE /networks/{id}`, and "" is a prefix of all ids.
        """
        networks = self.context.controller.networks
        for kind, matches in (
            ("", [network for network in networks if network.id == term]),
            ("name", [network for network in networks if network.name == term]),
            ("ID prefix", [network for network in networks if (term or for_removal) and network.id.startswith(term)]),
        ):
            if len(matches) == 1:
                return matches[0]
            if matches and for_removal:
                raise InvalidParameter(f"network {term} is ambiguous ({len(matches)} matches found based on {kind})")
            if matches:
                raise InvalidParameter(f"{len(matches)} matches found based on {kind}: network {term} is ambiguous")
        raise NotFound(f"network {term} not found")

    def list(self, filters: Filters | None = None) -> list[Network]:
        """Return the networks that pass the filters of `docker network ls`.

        Raises `InvalidParameter` for an unknown filter or value.
        """
        accepted = filters or Filters()
        accepted.validate(("dangling", "driver", "id", "label", "name", "scope", "type"))
        return [network for network in self.context.controller.networks if self._matches(network, accepted)]

    def _matches(self, network: Network, filters: Filters) -> bool:
        is_predefined = network.name in PREDEFINED
        if "dangling" in filters:
            wants_dangling = wants_dangling_networks(filters)
            # Before 29 the list is filtered before endpoints are added to it: every user-defined network counts as
            # dangling.
            is_used = bool(network.endpoints) and self.context.profile.dangling_filter_sees_containers
            if wants_dangling != (not is_predefined and not is_used):
                return False
        for kind in filters.get("type"):
            if kind not in {"builtin", "custom"}:
                raise SystemFault(f"invalid filter: 'type'='{kind}'")
        types = filters.get("type")
        return (
            filters.exact_match("driver", network.driver_name)
            and filters.match("name", network.name)
            and filters.match("id", network.id)
            and filters.match_labels(network.labels)
            and filters.exact_match("scope", network.scope)
            and (not types or ("builtin" if is_predefined else "custom") in types)
        )

    # --- removal

    def remove(self, network: Network) -> None:
        """Remove a network. Raises `Forbidden` if it is predefined or has endpoints."""
        if network.name in PREDEFINED:
            raise Forbidden(f"{network.name} is a pre-defined network and cannot be removed")
        try:
            network.delete()
        except EngineError as error:
            raise type(error)(f"error while removing network: {error.message}") from None
        self.log(network, "destroy")

    def prune(self, filters: Filters | None = None) -> dict[str, Any]:
        """Remove the user-defined networks without endpoints that pass the filters.

        Return a dict with their names under `NetworksDeleted`. Raises `InvalidParameter` for an unknown filter or
        value.
        """
        accepted = filters or Filters()
        accepted.validate(("label", "label!", "until"))
        until = accepted.until(self.context.clock.unix_ns, self.context.profile.invalid_until_text)
        deleted: list[str] = []
        for network in list(self.context.controller.networks):
            if network.config_only or network.is_dynamic or network.name in PREDEFINED or network.endpoints:
                continue
            is_recent = until is not None and created_ns(network, self.context.clock) > until
            if is_recent or not accepted.prunes(network.labels):
                continue
            self.remove(network)
            deleted.append(network.name)
        self.context.events.log("network", "prune", "", {"reclaimed": "0"})
        return {"NetworksDeleted": deleted or None}

    def log(self, network: Network, action: str) -> None:
        """Log the event `action` of a network, such as "create"."""
        self.context.events.log("network", action, network.id, {"name": network.name, "type": network.driver_name})

    # --- views

    def view(
        self, network: Network, api: ApiVersion, *, is_summary: bool = False, is_verbose: bool = False
    ) -> dict[str, Any]:
        """Return a network as `docker network inspect` prints it.

        With `is_summary`, return it as an entry of `docker network ls`. `is_verbose` adds the services
        of a network of the swarm (`--verbose`).
        """
        profile = self.context.profile
        head: dict[str, Any] = {
            "Name": network.name,
            "Id": network.id,
            "Created": rfc3339(created_ns(network, self.context.clock)),
            "Scope": network.scope,
            "Driver": network.driver_name,
            **({"EnableIPv4": network.enable_ipv4} if profile.inspect_shows_enable_ipv4 else {}),
            "EnableIPv6": network.enable_ipv6,
            "IPAM": self._ipam_view(network),
            "Internal": network.internal,
            "Attachable": network.attachable,
            "Ingress": network.ingress,
            "ConfigFrom": {"Network": network.config_from},
            "ConfigOnly": network.config_only,
        }
        configured = {
            "Options": dict(sorted(network.driver_opts.items())),
            "Labels": dict(sorted(network.labels.items())),
        }
        containers = {"Containers": {} if is_summary else self._containers(network)}
        if network.is_dynamic and not is_summary:
            configured |= _peers_view(network)
            services = _services_view(network, self.context.profile) if is_verbose else {}
            containers |= {"Services": services} if services else {}
        if profile.network_containers_first:
            last = {"Services": containers.pop("Services")} if "Services" in containers else {}
            return {**head, **containers, **configured, **last}
        if is_summary:
            return {**head, **configured}
        status = {}
        if profile.inspect_has_ipam_status and api.at_least("1.52"):
            status = {"Status": {"IPAM": self._status(network)}}
        return {**head, **configured, **containers, **status}

    def _containers(self, network: Network) -> dict[str, Any]:
        containers = {}
        for endpoint in network.endpoints.values():
            sandbox = endpoint.sandbox
            key = sandbox.container_id if sandbox is not None else f"ep-{endpoint.id}"
            containers[key] = _endpoint_resource(endpoint)
        return dict(sorted(containers.items()))

    def _ipam_view(self, network: Network) -> dict[str, Any]:
        configs: list[dict[str, Any]] = []
        missing: list[IpamInfo] = []
        for family in (4, 6):
            pools = network.ipam_pools(family)
            configured = [
                config for config in network.ipam_config if (":" in config.subnet) == (family == 6) and config.subnet
            ]
            if pools and configured:
                shown = zip(configured, [*pools, *[None] * len(configured)], strict=False)
                configs += [self._configured_view(config, pool) for config, pool in shown]
            elif configured and (
                self.context.profile.echoes_unused_ipv6_config
                or (network.config_only and self.context.profile.config_only_shows_ipam)
            ):
                configs += [self._configured_view(config, None) for config in configured]
            else:
                missing += pools
        configs += [_allocated_view(pool, self.context.profile.inspect_gateway6_has_length) for pool in missing]
        has_options = network.id in self._with_ipam_options or network.options.ipam_options
        return {
            "Driver": network.options.ipam_driver,
            "Options": dict(sorted(network.options.ipam_options.items())) if has_options else None,
            "Config": configs or None,
        }

    def _configured_view(self, config: IpamConfig, pool: IpamInfo | None) -> dict[str, Any]:
        gateway = config.gateway
        if not gateway and pool and pool.gateway and self.context.profile.inspect_shows_allocated_gateway:
            gateway = format_ip(pool.gateway)
        view: dict[str, Any] = {"Subnet": str(pool.pool) if pool else config.subnet}
        if config.ip_range:
            view["IPRange"] = config.ip_range
        if gateway:
            view["Gateway"] = gateway
        if config.aux_addresses:
            view["AuxiliaryAddresses"] = dict(sorted(config.aux_addresses.items()))
        return view

    def _status(self, network: Network) -> dict[str, Any]:
        allocator = network.ipam.allocator if network.ipam is not None else None
        if not isinstance(allocator, Ipam):
            return {}
        subnets = {}
        for info in network.ipam_info:
            status = allocator.status(info.pool_id)
            subnets[str(info.pool)] = {
                "IPsInUse": status.ips_in_use,
                "DynamicIPsAvailable": status.dynamic_ips_available,
            }
        return {"Subnets": subnets} if subnets else {}


def wants_dangling_networks(filters: Filters) -> bool:
    """Return the value of the filter `dangling`: True selects unused user-defined networks, False all other networks.

    Raises `InvalidParameter` for another value, or for several.
    """
    values = filters.get("dangling")
    if len(values) > 1:
        raise InvalidParameter('got more than one value for filter key "dangling"')
    if values[0] not in {"0", "false", "1", "true"}:
        raise InvalidParameter('invalid value for filter \'dangling\', must be "true" (or "1"), or "false" (or "0")')
    return values[0] in {"1", "true"}


def _peers_view(network: Network) -> dict[str, Any]:
    peers = [{"Name": peer.name, "IP": str(peer.ip)} for peer in network.peers()]
    return {"Peers": peers} if peers else {}


def _services_view(network: Network, profile: Profile) -> dict[str, Any]:
    return {name: _service_view(service, profile) for name, service in network.services().items()}


def _service_view(service: ServiceInfo, profile: Profile) -> dict[str, Any]:
    return {
        "VIP": str(service.virtual_ip) if service.virtual_ip is not None else profile.absent_vip_text,
        "Ports": [f"Target: {port.target_port}, Publish: {port.published_port}" for port in service.ports],
        "LocalLBIndex": service.local_lb_index,
        "Tasks": [
            {
                "Name": task.name,
                "EndpointID": task.endpoint_id,
                "EndpointIP": str(task.endpoint_ip),
                "Info": dict(task.info),
            }
            for task in service.tasks
        ],
    }


def created_ns(network: Network, clock: Clock) -> int:
    """Return a network's creation time in nanoseconds since 1970. `clock` converts it from virtual time."""
    return clock.epoch_s * NS_PER_S + network.created_ns


def _family_option(value: object, driver_opts: dict[str, str], option: str) -> bool | None:
    if value is not None:
        driver_opts.pop(option, None)
        return bool(value)
    if option not in driver_opts:
        return None
    try:
        return parse_bool(driver_opts[option])
    except NumError:
        raise InvalidParameter(f'driver-opt "{option}" is not a valid bool') from None


def _ipam_config(body: dict[str, Any]) -> IpamConfig:
    return IpamConfig(body["Subnet"], body["IPRange"], body["Gateway"], dict(body["AuxiliaryAddresses"]))


def _allocated_view(info: IpamInfo, gateway6_has_length: bool) -> dict[str, Any]:
    view: dict[str, Any] = {"Subnet": str(info.pool)}
    if info.gateway is not None:
        has_length = gateway6_has_length and info.pool.family == 6
        view["Gateway"] = format_ip(info.gateway) + (f"/{info.pool.length}" if has_length else "")
    return view


def _endpoint_resource(endpoint: Endpoint) -> dict[str, Any]:
    def with_length(assigned: tuple[bytes, int] | None) -> str:
        return f"{format_ip(assigned[0])}/{assigned[1]}" if assigned else ""

    return {
        "Name": endpoint.name,
        "EndpointID": endpoint.id,
        "MacAddress": format_mac(endpoint.mac) if endpoint.mac else "",
        "IPv4Address": with_length(endpoint.ipv4),
        "IPv6Address": with_length(endpoint.ipv6),
    }

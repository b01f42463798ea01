"""Networks with docker-py's interface (`docker/models/networks.py`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import define, field

from cnmsim.engine.client.containers import Container
from cnmsim.engine.client.docker_errors import raises_docker_errors
from cnmsim.engine.client.model import Model, filters_of, query_of
from cnmsim.errors import NotFound
from cnmsim.libnetwork import network as cnm

if TYPE_CHECKING:
    from cnmsim.engine.client.session import Session


@raises_docker_errors
@define(eq=False, repr=False)
class Network(Model):
    """A network of an engine, with the attributes and methods of docker-py's `Network`."""

    def __repr__(self) -> str:
        return f"<Network: {self.short_id}>"

    @property
    def attrs(self) -> dict[str, Any]:
        """The network's full description as a dict, the same data that `docker network inspect` prints."""
        return self._engine.rest.networks.inspect(self.id)

    @property
    def name(self) -> str:
        """The network's name."""
        return str(self.attrs["Name"])

    @property
    def cnm(self) -> cnm.Network:
        """The libnetwork object of this network.

        Raises `NotFound` if the node of the engine has no such object: a node has one for a swarm network only while
        the network is used there.
        """
        network = self._engine.controller.network_by_id(self.id)
        if network is None:
            raise NotFound(f"network {self.id} not found")
        return network

    @property
    def containers(self) -> list[Container]:
        """The containers that are connected to the network."""
        records = [self._engine.store.find(identity) for identity in self.attrs["Containers"]]
        return [Container(self._engine, container.id) for container in records if container is not None]

    def connect(
        self,
        container: str | Container,
        *,
        aliases: Iterable[str] | None = None,
        links: Mapping[str, str] | Iterable[Any] | None = None,
        ipv4_address: str | None = None,
        ipv6_address: str | None = None,
        link_local_ips: list[str] | None = None,
        driver_opt: Mapping[str, str] | None = None,
        mac_address: str | None = None,
        gw_priority: int = 0,
    ) -> None:
        """Connect a container, given as an object, name or id. The options are those of `docker network connect`.

        `links` are other containers and their aliases, as a mapping, as pairs, or as strings such as `db:database`.
        Raises an `EngineError` if the engine refuses the connection, such as for an address that is in use.
        """
        pairs = links.items() if isinstance(links, Mapping) else links or ()
        addresses = {"IPv4Address": ipv4_address, "IPv6Address": ipv6_address, "LinkLocalIPs": link_local_ips}
        settings: dict[str, Any] = {
            "Aliases": list(aliases) if aliases is not None else None,
            "Links": [link if isinstance(link, str) else f"{link[0]}:{link[1]}" for link in pairs] or None,
            "IPAMConfig": {key: value for key, value in addresses.items() if value} or None,
            "DriverOpts": dict(driver_opt) if driver_opt else None,
            "MacAddress": mac_address or "",
            "GwPriority": gw_priority,
        }
        body = {"Container": _id_of(container), "EndpointConfig": settings}
        self._engine.complete(self._engine.rest.networks.connect(self.id, body))

    def disconnect(self, container: str | Container, *, force: bool = False) -> None:
        """Disconnect a container, given as an object, name or id.

        `force` removes the network from the container's settings even if the network no longer exists. Raises an
        `EngineError`, for example if the container is not connected.
        """
        self._engine.rest.networks.disconnect(self.id, {"Container": _id_of(container), "Force": force})

    def remove(self) -> None:
        """Remove the network. Raises an `EngineError`, for example if containers are connected to it."""
        self._engine.complete(self._engine.rest.networks.remove(self.id))


@raises_docker_errors
@define
class NetworkCollection:
    """The networks of an engine."""

    _engine: Session = field(repr=False)

    def create(
        self,
        name: str,
        *,
        driver: str = "bridge",
        options: Mapping[str, Any] | None = None,
        ipam: Mapping[str, Any] | None = None,
        internal: bool = False,
        labels: Mapping[str, str] | None = None,
        enable_ipv4: bool | None = None,
        enable_ipv6: bool = False,
        attachable: bool = False,
        scope: str = "",
        ingress: bool = False,
        config_only: bool = False,
        config_from: str = "",
        subnet: str | Iterable[str] | None = None,
        gateway: str = "",
        ip_range: str = "",
        check_duplicate: bool = True,  # noqa: ARG002 - engines always check
    ) -> Network:
        """Create a network, and return it. Raises an `EngineError` if the engine refuses the request.

        The options are those of `docker network create`. `ipam` is the API's object, such as `{"Config": [{"Subnet":
        "10.1.0.0/16"}]}`. Without it, `subnet` (one subnet or several), `gateway` and `ip_range` can be given
        instead; the latter two apply to the first subnet. `check_duplicate` has no effect, as engines always check.
        """
        if subnet is not None and ipam is None:
            subnets = [subnet] if isinstance(subnet, str) else list(subnet)
            first, *further = [{"Subnet": prefix} for prefix in subnets]
            ipam = {"Config": [{**first, "Gateway": gateway, "IPRange": ip_range}, *further]}
        is_default_ipam = ipam is None and not config_from
        body = {
            "Name": name,
            "Driver": driver,
            "Scope": scope,
            "Options": {key: str(value) for key, value in (options or {}).items()},
            "IPAM": {"Driver": "default", "Options": {}, "Config": []} if is_default_ipam else ipam,
            "Internal": internal,
            "Attachable": attachable,
            "Ingress": ingress,
            "Labels": dict(labels or {}),
            "EnableIPv4": enable_ipv4,
            "EnableIPv6": enable_ipv6 or None,
            "ConfigOnly": config_only,
            "ConfigFrom": {"Network": config_from} if config_from else None,
        }
        return Network(self._engine, self._engine.complete(self._engine.rest.networks.create(body))["Id"])

    def get(self, network_id: str) -> Network:
        """Return a network by name, id or unique id prefix. Raises `NotFound` if there is none."""
        return Network(self._engine, self._engine.rest.networks.inspect(network_id)["Id"])

    def list(
        self,
        names: Iterable[str] = (),
        ids: Iterable[str] = (),
        *,
        filters: Mapping[str, Any] | None = None,
    ) -> list[Network]:
        """Return the engine's networks.

        `names` and `ids` have the effect of the filters `name` and `id`. `filters` are those of `docker network ls
        --filter`, such as `{"driver": "overlay"}`.
        """
        query_filters = dict(filters_of(filters) or {})
        if names:
            query_filters["name"] = list(names)
        if ids:
            query_filters["id"] = list(ids)
        summaries = self._engine.rest.networks.list(query_of(filters=query_filters or None))
        return [Network(self._engine, summary["Id"]) for summary in summaries]

    def prune(self, filters: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Remove the networks that no container uses and, if `filters` is given, that match it.

        `filters` are those of `docker network prune`, such as `{"label": "tier=web"}`. Return a dict with the names
        of the removed networks under `NetworksDeleted`.
        """
        return self._engine.complete(self._engine.rest.networks.prune(query_of(filters=filters_of(filters))))

    def __getitem__(self, name: str) -> Network:
        return self.get(name)


def _id_of(container: str | Container) -> str:
    return container if isinstance(container, str) else container.id

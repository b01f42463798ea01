"""The networks of the swarm, as a manager lists, creates and removes them.

Source: moby `daemon/cluster/networks.go`, `daemon/server/router/network/network_routes.go`, `daemon/prune.go`
(docker-v29.7.2).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import define

from cnmsim.engine.cluster.managed_networks import is_predefined
from cnmsim.engine.networks.networks import wants_dangling_networks
from cnmsim.engine.wire.filters import Filters
from cnmsim.errors import EngineError, Forbidden

if TYPE_CHECKING:
    from cnmsim.engine.cluster.cluster import GetCluster
    from cnmsim.engine.context import EngineContext
    from cnmsim.swarm.objects import Network

_IN_USE = re.compile(r"network [0-9a-z]+ is in use by (service|task)")


@define
class ClusterNetworks:
    """The networks of the swarm, for an engine that is a manager; for other engines the list of networks is empty."""

    context: EngineContext
    get_cluster: GetCluster

    def all(self) -> list[Network]:
        """Return the user-defined networks and ingress; an empty list while the swarm has no leader."""
        return [network for network in self._every() if not is_predefined(network)]

    def _every(self) -> list[Network]:
        if self.context.controller.cluster is None:
            return []
        manager_node = self.get_cluster().manager_node
        if manager_node is None or manager_node.raft.leader is None:
            return []
        return list(manager_node.store.networks)

    def views(self, filters: Filters) -> list[dict[str, Any]]:
        """Return the networks that pass the filters, in the format of the entries of `docker network ls`."""
        is_found = _is_found_by_store if self.context.profile.swarmkit_filters_networks else _is_found
        return [
            self.view(network, is_summary=True)
            for network in self.all()
            if is_found(network, filters) and _matches(network, filters)
        ]

    def find(self, term: str) -> Network | None:
        """Return the network with this id, name or unique id prefix, or `None`.

        The search includes the swarm's predefined networks, which represent `bridge` and `host` of each node.
        """
        every = self._every()
        for matches in (
            [network for network in every if network.id == term],
            [network for network in every if network.name == term],
            [network for network in every if network.id.startswith(term)],
        ):
            if matches:
                return matches[0] if len(matches) == 1 else None
        return None

    def view(self, network: Network, *, is_summary: bool = False) -> dict[str, Any]:
        """Return a network as `docker network inspect` prints it on a node that has no local copy of the network.

        With `is_summary`, return it as an entry of `docker network ls`.
        """
        from cnmsim.swarm.convert.network import network_resource

        profile = self.context.profile
        view = network_resource(network, shows_enable_ipv4=profile.inspect_shows_enable_ipv4)
        if not profile.network_containers_first:
            del view["Containers"]
            if not is_summary:
                view["Containers"] = {}
        return view

    def has(self, name: str) -> bool:
        """Return True if a network, or one of the predefined networks `bridge` and `host`, has this name."""
        return any(network.name == name for network in self._every())

    async def create(self, options: Mapping[str, Any]) -> str:
        """Create a network of the swarm from the decoded body of `POST /networks/create`. Return its id.

        Raises `Forbidden` for the name of a predefined network, and another `EngineError` if the manager refuses the
        spec.
        """
        name = options["Name"]
        if name in {"bridge", "host", "none", "default"}:
            raise Forbidden(f"{name} is a pre-defined network and cannot be created")
        from cnmsim.swarm.convert.network import network_spec_from_api

        network = await self.get_cluster().control("create_network", network_spec_from_api(options))
        return str(network.id)

    async def remove(self, network_id: str) -> None:
        """Remove a network. Raises an `EngineError`, for example if a service uses the network."""
        await self.get_cluster().control("remove_network", network_id)

    async def prune(self, filters: Filters) -> list[str]:
        """Remove all unused networks that pass the filters. Return their names."""
        removed = []
        for network in self.all():
            if network.is_ingress or not filters.prunes(network.spec.annotations.labels):
                continue
            try:
                await self.remove(network.id)
            except EngineError as error:
                if _IN_USE.search(error.message):
                    continue
                raise
            removed.append(network.name)
        return removed


def _is_found(network: Network, filters: Filters) -> bool:
    return filters.match("name", network.name) and filters.match("id", network.id)


def _is_found_by_store(network: Network, filters: Filters) -> bool:
    """Return True if a network passes the filters `name` and `id` as swarmkit's ListNetworks applies them.

    A name has to match completely, an id by its prefix.
    """
    return filters.exact_match("name", network.name) and filters.fuzzy_match("id", network.id)


def _matches(network: Network, filters: Filters) -> bool:
    driver = network.driver_state.name if network.driver_state is not None else ""
    types = filters.get("type")
    if "dangling" in filters and not wants_dangling_networks(filters):
        return False
    return (
        filters.exact_match("driver", driver)
        and filters.match_labels(network.spec.annotations.labels)
        and filters.exact_match("scope", "swarm")
        and (not types or "custom" in types)
    )

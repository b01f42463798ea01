"""The endpoints `/services` and `/tasks` of the Engine API (moby `daemon/cluster/{services,tasks,networks}.go`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import define, evolve

from cnmsim.engine.cluster.filters import TASK_FILTERS, service_filters, task_filters
from cnmsim.engine.cluster.params import version_of
from cnmsim.engine.containers.names import random_name
from cnmsim.engine.wire.api_version import ApiVersion
from cnmsim.engine.wire.filters import Filters
from cnmsim.engine.wire.query import NO_QUERY, Query, strict_bool
from cnmsim.engine.wire.swarm_schemas import read_service
from cnmsim.errors import Forbidden, NotFound, SystemFault
from cnmsim.swarm.convert.service import service_spec_from_api, service_to_api
from cnmsim.swarm.convert.task import task_to_api
from cnmsim.swarm.objects import Global, GlobalJob, Replicated, ReplicatedJob, Service, ServiceSpec

if TYPE_CHECKING:
    from cnmsim.engine.cluster.cluster import Cluster
    from cnmsim.engine.context import EngineContext

_MODES = {Global: "global", Replicated: "replicated", ReplicatedJob: "replicated-job", GlobalJob: "global-job"}


@define
class ServiceApi:
    """Operations on the services of a swarm. `id_` is an id, a name or a unique id prefix."""

    context: EngineContext
    cluster: Cluster

    async def list(self, query: Query = NO_QUERY, api: ApiVersion | None = None) -> list[dict[str, Any]]:
        """Return the services that pass the filters (GET /services)."""
        filters = Filters.parse(query.get("filters"))
        chosen = service_filters(filters)
        matches = await self.cluster.control("list_services", chosen)
        services = [service for service in matches if filters.exact_match("mode", _MODES[type(service.spec.mode)])]
        views = [self._view(service) for service in services]
        has_status = (api or self.context.api_version).at_least("1.41")
        if has_status and strict_bool(query, "status", with_cause=True):
            statuses = await self.cluster.control("service_statuses", [service.id for service in services])
            for view, status in zip(views, statuses, strict=True):
                view["ServiceStatus"] = {
                    "RunningTasks": status.running,
                    "DesiredTasks": status.desired,
                    "CompletedTasks": status.completed,
                }
        return views

    def _view(self, service: Service) -> dict[str, Any]:
        return service_to_api(service, prints_old_networks=self.context.profile.service_prints_old_networks)

    async def inspect(self, id_: str, query: Query = NO_QUERY) -> dict[str, Any]:
        """Return the description of a service (GET /services/{id})."""
        return self._view(
            await self.cluster.control(
                "find_service", id_, insert_defaults=strict_bool(query, "insertDefaults", with_cause=True)
            )
        )

    async def create(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create a service, and return its id (POST /services/create)."""
        fields = read_service(self.context.profile, body)
        self.cluster.manager()
        service = await self.cluster.control("create_service", await self._spec(fields))
        return {"ID": service.id, "Warnings": None}

    async def update(self, id_: str, body: Mapping[str, Any], query: Query) -> dict[str, Any]:
        """Change the spec of a service, and return a dict with warnings (POST /services/{id}/update).

        The query parameter `version` must be the service's present version.
        """
        cluster = self.cluster
        fields = read_service(self.context.profile, body)
        version = version_of(query, "service")
        cluster.manager()
        spec = await self._spec(fields)
        service = await cluster.control("find_service", id_)
        rollback = str(query.get("rollback", "")) or "none"
        if rollback not in {"none", "previous"}:
            raise SystemFault(f"unrecognized rollback option {rollback}")
        await cluster.control("update_service", service.id, version, spec, rollback=rollback == "previous")
        return {"Warnings": None}

    async def remove(self, id_: str) -> None:
        """Remove a service (DELETE /services/{id})."""
        service = await self.cluster.control("find_service", id_)
        await self.cluster.control("remove_service", service.id)

    async def _spec(self, fields: Mapping[str, Any]) -> ServiceSpec:
        spec = service_spec_from_api(fields, random_name(self.context.containers.random))
        networks = [
            evolve(attachment, target=await self._network_id(attachment.target))
            for attachment in spec.task.networks or spec.networks
        ]
        return evolve(spec, networks=(), task=evolve(spec.task, networks=tuple(networks)))

    async def _network_id(self, target: str) -> str:
        """Return the id of the network with the name or id `target`, if services may use it (populateNetworkID).

        Raises an `EngineError` if they may not.
        """
        cluster = self.cluster
        try:
            match = await cluster.control("find_network", target)
        except NotFound:
            local = next(
                (network for network in self.context.controller.networks if target in {network.name, network.id}),
                None,
            )
            if local is None:
                raise
            if local.name in {"bridge", "host", "none"}:
                match = await cluster.control("find_network", local.name)
            elif not local.is_dynamic:
                raise Forbidden(
                    f"The network {local.name} cannot be used with services. Only networks scoped to the swarm can be"
                    " used, such as those created with the overlay driver."
                ) from None
            else:
                raise
        return str(match.id)


@define
class TaskApi:
    """Operations on the tasks of a swarm."""

    cluster: Cluster

    async def list(self, query: Query = NO_QUERY) -> list[dict[str, Any]]:
        """Return the tasks that pass the filters (GET /tasks)."""
        cluster = self.cluster
        cluster.manager()
        filters = Filters.parse(query.get("filters"))
        filters.validate(TASK_FILTERS)
        services = [(await cluster.control("find_service", term)).id for term in filters.get("service")]
        nodes = [(await cluster.control("find_node", term)).id for term in filters.get("node")]
        tasks = await cluster.control("list_tasks", task_filters(filters, services, nodes))
        return [task_to_api(task) for task in tasks if task.spec.container is not None]

    async def inspect(self, id_: str) -> dict[str, Any]:
        """Return the description of a task (GET /tasks/{id})."""
        return task_to_api(await self.cluster.control("find_task", id_))

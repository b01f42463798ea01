"""All operations of one daemon's API, grouped as in Docker's OpenAPI description."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from cnmsim.engine.cluster.cluster_networks import ClusterNetworks
from cnmsim.engine.rest.containers import ContainerApi
from cnmsim.engine.rest.execs import ExecApi
from cnmsim.engine.rest.images import ImageApi
from cnmsim.engine.rest.networks import NetworkApi
from cnmsim.engine.rest.system import SystemApi
from cnmsim.engine.rest.volumes import VolumeApi

if TYPE_CHECKING:
    from cnmsim.engine.backend import Backend
    from cnmsim.engine.cluster.cluster import GetCluster
    from cnmsim.engine.rest.secrets import SecretOrConfigApi
    from cnmsim.engine.rest.service_logs import ServiceLogs
    from cnmsim.engine.rest.services import ServiceApi, TaskApi
    from cnmsim.engine.rest.swarm import NodeApi, SwarmApi


class Rest:
    """The API of one daemon. Groups that need the swarm code import it when they are first used."""

    def __init__(self, backend: Backend, get_cluster: GetCluster) -> None:
        context = backend.context
        self._context, self._get_cluster = context, get_cluster
        self.containers = ContainerApi(context, backend.networking, backend.lifecycle)
        self.execs = ExecApi(context)
        self.images = ImageApi(context)
        self.networks = NetworkApi(
            context, backend.networks, backend.networking, ClusterNetworks(context, get_cluster)
        )
        self.system = SystemApi(context, get_cluster)
        self.volumes = VolumeApi(context, get_cluster)

    @cached_property
    def swarm(self) -> SwarmApi:
        """The operations of `/swarm`."""
        from cnmsim.engine.rest.swarm import SwarmApi

        return SwarmApi(self._get_cluster())

    @cached_property
    def nodes(self) -> NodeApi:
        """The operations of `/nodes`."""
        from cnmsim.engine.rest.swarm import NodeApi

        return NodeApi(self._get_cluster())

    @cached_property
    def services(self) -> ServiceApi:
        """The operations of `/services`."""
        from cnmsim.engine.rest.services import ServiceApi

        return ServiceApi(self._context, self._get_cluster())

    @cached_property
    def tasks(self) -> TaskApi:
        """The operations of `/tasks`."""
        from cnmsim.engine.rest.services import TaskApi

        return TaskApi(self._get_cluster())

    @cached_property
    def service_logs(self) -> ServiceLogs:
        """The operations of `/services/{id}/logs` and `/tasks/{id}/logs`."""
        from cnmsim.engine.rest.service_logs import ServiceLogs

        return ServiceLogs(self._context, self._get_cluster())

    @cached_property
    def secrets(self) -> SecretOrConfigApi:
        """The operations of `/secrets`."""
        from cnmsim.engine.rest.secrets import secret_api

        return secret_api(self._get_cluster())

    @cached_property
    def configs(self) -> SecretOrConfigApi:
        """The operations of `/configs`."""
        from cnmsim.engine.rest.secrets import config_api

        return config_api(self._get_cluster())

"""The endpoints `/services/{id}/logs` and `/tasks/{id}/logs` of the Engine API.

Source: moby `daemon/cluster/services.go` (ServiceLogs), `daemon/server/router/swarm/helpers.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define

from cnmsim.engine.rest.containers import log_moment
from cnmsim.engine.wire.query import Query, bool_value
from cnmsim.errors import InvalidParameter, SystemFault
from cnmsim.gojson.fields import rfc3339
from cnmsim.gostrconv import atoi
from cnmsim.swarm.manager.logbroker import LogMessage, LogOptions, LogRequest
from cnmsim.swarm.objects import TaskSpec

if TYPE_CHECKING:
    from cnmsim.engine.cluster.cluster import Cluster
    from cnmsim.engine.context import EngineContext

_LABEL = "com.docker.swarm"


@define
class ServiceLogReading:
    """A request for the logs of a service or a task.

    `is_raw` is True if the processes of the service or task have a terminal: stdout and stderr are then one stream.
    """

    request: LogRequest
    is_raw: bool
    has_details: bool
    has_timestamps: bool

    @property
    def is_followed(self) -> bool:
        """Whether the request asks for later lines, too (`follow`)."""
        return self.request.options.is_followed

    def rendered(self, message: LogMessage) -> bytes:
        """Return a line as it is sent to the client, with its time and its task if these were requested."""
        line = message.data
        if self.has_details:
            context = (("node", message.node_id), ("service", message.service_id), ("task", message.task_id))
            line = ",".join(f"{_LABEL}.{kind}.id={value}" for kind, value in context).encode() + b" " + line
        if self.has_timestamps:
            line = rfc3339(message.time_ns, keep_zeros=True).encode() + b" " + line
        return line


@define
class ServiceLogs:
    """The operations `GET /services/{id}/logs` and `GET /tasks/{id}/logs`."""

    context: EngineContext
    cluster: Cluster

    async def of_service(self, id_: str, query: Query) -> ServiceLogReading:
        """Return the request for the logs of a service (GET /services/{id}/logs).

        Raises an `EngineError` if there is no such service, or if the query is invalid.
        """
        options = self._options(query)
        service = await self.cluster.control("find_service", id_)
        return self._reading(LogRequest((service.id,), (), options), service.spec.task, query)

    async def of_task(self, id_: str, query: Query) -> ServiceLogReading:
        """Return the request for the log of a task (GET /tasks/{id}/logs).

        Raises an `EngineError` if there is no such task, or if the query is invalid.
        """
        options = self._options(query)
        task = await self.cluster.control("find_task", id_)
        return self._reading(LogRequest((), (task.id,), options), task.spec, query)

    def _reading(self, request: LogRequest, spec: TaskSpec, query: Query) -> ServiceLogReading:
        has_terminal = spec.container is not None and spec.container.tty
        return ServiceLogReading(request, has_terminal, bool_value(query, "details"), bool_value(query, "timestamps"))

    def _options(self, query: Query) -> LogOptions:
        streams = frozenset(name for name in ("stdout", "stderr") if bool_value(query, name))
        if not streams:
            text = self.context.profile.no_log_stream_text
            raise InvalidParameter(text) if self.context.profile.checks_numbers else SystemFault(text)
        since_ns = log_moment(query, "since", self.context.profile)
        return LogOptions(streams, _tail(query.get("tail", "")), since_ns, bool_value(query, "follow"))


def _tail(text: str) -> int | None:
    if text in {"", "all"}:
        return None
    try:
        number = atoi(text)
    except ValueError:
        raise SystemFault('tail value must be a positive integer or "all"') from None
    if number < 0:
        raise SystemFault("negative tail values not supported")
    return number

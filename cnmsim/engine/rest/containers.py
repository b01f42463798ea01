"""The endpoints `/containers/…` of the Engine API (moby `daemon/server/router/container`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from attrs import define

from cnmsim.engine.containers import archive, top
from cnmsim.engine.containers.container import Container
from cnmsim.engine.containers.create import create_container
from cnmsim.engine.containers.inspect import inspect_container
from cnmsim.engine.containers.lifecycle import Lifecycle
from cnmsim.engine.containers.listing import list_containers, prune_containers
from cnmsim.engine.containers.streams import StandardStreams
from cnmsim.engine.containers.summary import container_summary
from cnmsim.engine.containers.update import check_update, update_container
from cnmsim.engine.context import EngineContext
from cnmsim.engine.logdrivers.drivers import create_driver
from cnmsim.engine.logdrivers.message import LogLine
from cnmsim.engine.networks.attachment import Networking
from cnmsim.engine.wire import schemas as bodies
from cnmsim.engine.wire.api_version import ApiVersion
from cnmsim.engine.wire.filters import Filters
from cnmsim.engine.wire.query import NO_QUERY, Query, bool_value, check_terminal_size, int_value
from cnmsim.engine.wire.signals import parse_signal
from cnmsim.engine.wire.timestamps import parse_unix_time
from cnmsim.errors import Conflict, EngineError, InvalidParameter
from cnmsim.gostrconv import NumError, atoi
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.process import SIGKILL
from cnmsim.kernel.task import Future
from cnmsim.libnetwork.profile import Profile

_CONDITIONS = ("not-running", "next-exit", "removed")


@define
class LogReading:
    """The answer to a request for logs: the lines that were logged before it, and the request's parameters.

    `past` are these lines; `is_followed` is True if later lines were requested, too. If the container has a terminal
    (`is_raw`), stdout and stderr are one stream. `streams` are the requested streams.
    """

    container: Container
    is_raw: bool
    is_followed: bool
    timestamps: bool
    streams: frozenset[str]
    past: list[LogLine]
    #: The attributes to print before each line, `None` without `details`.
    details: str | None
    #: The times between which lines are selected, in nanoseconds since 1970.
    since_ns: int | None
    until_ns: int | None

    def chunks(self) -> list[tuple[str, bytes]]:
        """Return (stream, bytes) for each line in `past`, as it is sent. The stream is "stdout" or "stderr"."""
        return [(line.stream, self.rendered(line)) for line in self.past]

    def rendered(self, line: LogLine) -> bytes:
        """Return a line as it is sent to the client, with its time and attributes if these were requested."""
        return line.rendered(timestamps=self.timestamps, details=self.details)

    def is_over(self, line: LogLine) -> bool:
        """Return True if `line` is later than the requested end, so that no further line is sent."""
        return self.until_ns is not None and line.time_ns > self.until_ns


class ExitAnswer(Future[dict[str, Any]]):
    """The future answer to a request that waits for a container's exit.

    `give_up` ends the wait early, because the client has disconnected.
    """

    __slots__ = ("give_up",)

    def __init__(self, clock: Clock, give_up: Callable[[], None]) -> None:
        super().__init__(clock)
        self.give_up = give_up


@define
class Attachment:
    """The answer to a request to attach: the process's streams, and which of them the client reads and writes.

    `stdin` is True if the client writes input; `outputs` are the streams that it reads, `past` their earlier output.
    """

    streams: StandardStreams
    is_raw: bool
    stdin: bool
    outputs: frozenset[str]
    past: list[tuple[str, bytes]]


@define
class ContainerApi:
    """Operations on containers. `id_` is an id, a name or a unique id prefix."""

    context: EngineContext
    networking: Networking
    lifecycle: Lifecycle

    def find(self, id_: str) -> Container:
        """Return a container. Raises `NotFound` if there is none, and `InvalidParameter` for an ambiguous prefix."""
        return self.context.containers.get(id_)

    def list(self, query: Query = NO_QUERY, api: ApiVersion | None = None) -> list[dict[str, Any]]:
        """Return the containers that pass the filters (GET /containers/json)."""
        containers = list_containers(
            self.context,
            Filters.parse(query.get("filters")),
            everything=bool_value(query, "all"),
            limit=int_value(query, "limit", is_checked=self.context.profile.checks_numbers) or 0,
        )
        size = bool_value(query, "size")
        return [
            container_summary(self.context, container, api or self.context.api_version, size=size)
            for container in containers
        ]

    def create(
        self, body: Mapping[str, Any], query: Query = NO_QUERY, api: ApiVersion | None = None
    ) -> dict[str, Any]:
        """Create a container, and return its id and warnings (POST /containers/create)."""
        container, warnings = create_container(
            self.context,
            self.networking,
            query.get("name", ""),
            body,
            api or self.context.api_version,
            query.get("platform", ""),
        )
        return {"Id": container.id, "Warnings": warnings}

    def inspect(self, id_: str, query: Query = NO_QUERY, api: ApiVersion | None = None) -> dict[str, Any]:
        """Return the description of a container (GET /containers/{id}/json)."""
        return inspect_container(
            self.context, self.find(id_), api or self.context.api_version, size=bool_value(query, "size")
        )

    async def start(self, id_: str) -> bool:
        """Start a container (POST /containers/{id}/start). Return False if it runs already."""
        return await self.lifecycle.attach_and_start(self.find(id_))

    async def stop(self, id_: str, query: Query = NO_QUERY) -> bool:
        """Stop a container (POST /containers/{id}/stop). Return False if it does not run."""
        timeout_s = int_value(query, "t", is_checked=self.context.profile.checks_numbers)
        return await self.lifecycle.stop(self.find(id_), signal=query.get("signal", ""), timeout_s=timeout_s)

    async def restart(self, id_: str, query: Query = NO_QUERY) -> None:
        """Stop and start a container (POST /containers/{id}/restart)."""
        signal, timeout_s = query.get("signal", ""), int_value(query, "t", is_checked=False)
        container = self.find(id_)
        try:
            await self.lifecycle.restart(container, signal=signal, timeout_s=timeout_s)
        except EngineError as error:
            raise type(error)(f"Cannot restart container {id_}: {error.message}") from None

    def kill(self, id_: str, query: Query = NO_QUERY) -> None:
        """Send a signal to a container (POST /containers/{id}/kill)."""
        try:
            signal = parse_signal(query["signal"]) if query.get("signal") else SIGKILL
            self.lifecycle.kill(self.find(id_), signal)
        except EngineError as error:
            raise type(error)(f"cannot kill container: {id_}: {error.message}") from None

    def pause(self, id_: str) -> None:
        """Freeze the processes of a container (POST /containers/{id}/pause)."""
        self.lifecycle.pause(self.find(id_))

    def unpause(self, id_: str) -> None:
        """Resume the processes of a container (POST /containers/{id}/unpause)."""
        self.lifecycle.unpause(self.find(id_))

    def rename(self, id_: str, query: Query) -> None:
        """Rename a container (POST /containers/{id}/rename)."""
        requested = query.get("name", "").strip()
        if not requested.removeprefix("/"):
            raise InvalidParameter("Neither old nor new names may be empty")
        container = self.find(id_)
        if container.name == requested.removeprefix("/"):
            raise InvalidParameter("Renaming a container with the same name as its current name")
        try:
            name = self.context.containers.free_name(f"/{requested.removeprefix('/')}", container.id)
        except (InvalidParameter, Conflict) as error:
            raise type(error)(f"Error when allocating new name: {error.message}") from None
        before = container.name
        self.context.containers.rename(container, name)
        if container.is_running:
            try:
                self.networking.rename(container)
            except EngineError:
                self.context.containers.rename(container, before)
                self.networking.restore_endpoint_names(container)
                raise
        self.context.log_container(container, "rename", {"oldName": f"/{before}"})

    def update(self, id_: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Change limits and the restart policy of a container (POST /containers/{id}/update)."""
        changes = bodies.read(bodies.CONTAINER_UPDATE, body, self.context.profile)
        warnings = check_update(self.context.profile, changes)
        container = self.find(id_)
        update_container(self.context.profile, container, changes)
        self.context.log_container(container, "update")
        return {"Warnings": warnings or None}

    def remove(self, id_: str, query: Query = NO_QUERY) -> None:
        """Remove a container, or a legacy link with the parameter `link` (DELETE /containers/{id})."""
        container = self.find(id_)
        if bool_value(query, "link"):
            self.networking.links_changed(self.context.containers.unlink(id_))
            return
        term = id_ if self.context.profile.remove_error_has_term else f"/{container.name}"
        self.lifecycle.remove(container, force=bool_value(query, "force"), volumes=bool_value(query, "v"), term=term)

    def prune(self, query: Query = NO_QUERY) -> dict[str, Any]:
        """Remove all containers that do not run and pass the filters (POST /containers/prune)."""
        return prune_containers(self.context, self.lifecycle, Filters.parse(query.get("filters")))

    def wait(self, id_: str, query: Query = NO_QUERY) -> ExitAnswer:
        """Begin to wait for a container's exit (POST /containers/{id}/wait), and return the future result.

        The wait has begun when the method returns. It ends with the exit or with `give_up`.
        """
        condition = query.get("condition") or "not-running"
        if condition not in _CONDITIONS:
            raise InvalidParameter(f'invalid condition: "{condition}"')
        container = self.find(id_)
        exited = container.when(condition)
        answer = ExitAnswer(self.context.clock, partial(container.forget, exited))
        exited.add_done_callback(lambda future: answer.set_result({"StatusCode": future.result()}))
        return answer

    def logs(self, id_: str, query: Query) -> LogReading:
        """Return the log of a container (GET /containers/{id}/logs)."""
        profile = self.context.profile
        streams = frozenset(name for name in ("stdout", "stderr") if bool_value(query, name))
        if not streams:
            raise InvalidParameter(profile.no_log_stream_text)
        container = self.find(id_)
        container.log.require_readable()
        if not container.is_running:
            create_driver(self.context, container)  # it raises what the start would raise
        try:
            tail: int | None = atoi(query.get("tail", "all"))
        except NumError:
            tail = None
        since_ns = log_moment(query, "since", profile)
        until_ns = log_moment(query, "until", profile)
        past = container.log.select(
            stdout="stdout" in streams,
            stderr="stderr" in streams,
            tail=tail,
            since_ns=since_ns,
            until_ns=until_ns,
        )
        return LogReading(
            container,
            is_raw=container.has_terminal,
            is_followed=bool_value(query, "follow"),
            timestamps=bool_value(query, "timestamps"),
            streams=streams,
            past=past,
            details=container.log.details if bool_value(query, "details") else None,
            since_ns=since_ns,
            until_ns=until_ns,
        )

    def attach(self, id_: str, query: Query = NO_QUERY) -> Attachment:
        """Return the streams of a container's process to attach to (POST /containers/{id}/attach).

        If the container does not run, they are those of the process that starts next.
        """
        container = self.find(id_)
        if container.state.value == "paused":
            raise Conflict(f"container {id_} is paused, unpause the container before attach")
        container.require_not_restarting(f"container {id_}")
        outputs = frozenset(name for name in ("stdout", "stderr") if bool_value(query, name))
        past = []
        if bool_value(query, "logs"):
            container.log.require_readable()
            past = [(line.stream, line.text) for line in container.log.lines if line.stream in outputs]
        streams = self.lifecycle.open_streams(container)
        self.context.log_container(container, "attach")
        return Attachment(streams, container.has_terminal, bool_value(query, "stdin"), outputs, past)

    def resize(self, id_: str, query: Query = NO_QUERY) -> None:
        """Set the size of a container's terminal (POST /containers/{id}/resize).

        This only logs an event, because no simulated program uses the size.
        """
        check_terminal_size(query, self.context.profile.invalid_size_text)
        container = self.find(id_)
        container.require_running()
        self.context.log_container(container, "resize", {"height": query.get("h", ""), "width": query.get("w", "")})

    def top(self, id_: str, query: Query = NO_QUERY) -> dict[str, Any]:
        """Return the processes of a container (GET /containers/{id}/top)."""
        container = self.find(id_)
        table = top.process_table(container, query.get("ps_args") or "-ef")
        self.context.log_container(container, "top")
        return table

    def stats(self, id_: str, *, has_previous: bool = True) -> dict[str, Any]:
        """Return one set of statistics of a container (GET /containers/{id}/stats).

        `has_previous` includes the counters of one second ago.
        """
        return top.statistics(self.context, self.find(id_), has_previous=has_previous)

    def changes(self, id_: str) -> archive.Changes:
        """Return the files that differ from the image (GET /containers/{id}/changes)."""
        return archive.changes_view(self.find(id_))

    def archive_stat(self, id_: str, path: str) -> dict[str, Any]:
        """Return the description of a file in a container (HEAD /containers/{id}/archive).

        It is the content of the response header X-Docker-Container-Path-Stat before base64.
        """
        return archive.path_stat(self.find(id_), self._required(path))

    def archive_get(self, id_: str, path: str) -> bytes:
        """Return a file or directory of a container as a tar archive (GET /containers/{id}/archive)."""
        return archive.read_archive(self.find(id_), self._required(path))

    def export(self, id_: str) -> bytes:
        """Return the files of a container as a tar archive, without those of mounts (GET /containers/{id}/export)."""
        container = self.find(id_)
        content = archive.export_archive(container)
        self.context.log_container(container, "export")
        return content

    def archive_put(self, id_: str, path: str, content: bytes) -> None:
        """Unpack a tar archive into a directory of a container (PUT /containers/{id}/archive)."""
        archive.write_archive(self.context.profile, self.find(id_), self._required(path), content)

    def _required(self, path: str) -> str:
        if not path:
            raise InvalidParameter(self.context.profile.missing_parameter_text.format(name="path"))
        return path


def log_moment(query: Query, key: str, profile: Profile) -> int | None:
    """Parse the parameter `key` ("since" or "until") of a request for logs into nanoseconds since 1970.

    Return `None` if the parameter is absent or 0. Raises an `EngineError`, with the text of the release `profile`,
    for a value that is no time.
    """
    text = str(query.get(key, ""))
    return parse_unix_time(text, key, profile, profile.log_time_prefix) if text and text != "0" else None

"""Containers with docker-py's interface (`docker/models/containers.py`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, overload

from attrs import define, field

from cnmsim.engine.client.command_output import CommandOutput, ExecResult
from cnmsim.engine.client.docker_errors import raises_docker_errors
from cnmsim.engine.client.images import Image, ImageCollection
from cnmsim.engine.client.model import Model, filters_of, query_of
from cnmsim.engine.client.run_options import create_body, words
from cnmsim.engine.client.streams import Stream, exec_output, log_lines, statistics, type_input
from cnmsim.engine.containers import container as records
from cnmsim.errors import CnmsimError, InvalidParameter, NotFound
from cnmsim.kernel.files import FileSystem
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.kernel.process import Program
from cnmsim.libnetwork.place import Place
from cnmsim.libnetwork.sandbox import Sandbox
from cnmsim.suggestion import suggestion

if TYPE_CHECKING:
    from cnmsim.engine.client.networks import Network
    from cnmsim.engine.client.session import Session


class ContainerError(CnmsimError):
    """A container that was run in the foreground exited with a status other than 0."""

    def __init__(self, container: Container, exit_status: int, command: Any, image: str, stderr: bytes) -> None:
        printed = f": {stderr.decode(errors='replace')}" if stderr else ""
        super().__init__(
            f"Command '{command}' in image '{image}' returned non-zero exit status {exit_status}{printed}"
        )
        self.container, self.exit_status = container, exit_status
        self.command, self.image, self.stderr = command, image, stderr


class _LogOptions(TypedDict, total=False):
    """The keyword arguments of `Container.logs`, except `stream`."""

    stdout: bool
    stderr: bool
    timestamps: bool
    tail: int | str
    since: float | str | datetime | None
    until: float | str | datetime | None
    follow: bool | None


#: Duration of `docker run` on a network of a swarm, in seconds. By then the other nodes have the container's records.
_ATTACHED_START_S = 1.0


@raises_docker_errors
@define(eq=False, repr=False)
class Container(Model, Place):
    """A container of an engine, with the attributes and methods of docker-py's `Container`."""

    def __repr__(self) -> str:
        return f"<Container: {self.short_id}>"

    @property
    def record(self) -> records.Container:
        """The engine's internal record of the container. Raises `NotFound` if the container was removed."""
        return self._engine.store.get(self.id)

    @property
    def attrs(self) -> dict[str, Any]:
        """The container's full description as a dict, the same data that `docker inspect` prints."""
        return self._engine.rest.containers.inspect(self.id)

    @property
    def name(self) -> str:
        """The container's name, without the leading slash of the API."""
        return self.record.name

    @property
    def status(self) -> str:
        """The state: `created`, `running`, `paused`, `restarting`, `exited` or `dead`."""
        return self.record.state.value

    @property
    def health(self) -> str:
        """The result of the health checks: `starting`, `healthy` or `unhealthy`; `unknown` without health checks."""
        monitor = self.record.health
        return monitor.status if monitor is not None else "unknown"

    @property
    def labels(self) -> dict[str, str]:
        """The container's labels, as a mapping from name to value."""
        return dict(self.record.config["Labels"] or {})

    @property
    def image(self) -> Image:
        """The image from which the container was created."""
        return Image(self._engine, self.record.image.id)

    @property
    def ports(self) -> dict[str, Any]:
        """The published ports: `{"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]}`."""
        return dict(self.record.ports)

    # --- beyond docker-py

    @property
    def files(self) -> FileSystem:
        """The container's file system, which can be read and written also while the container does not run."""
        return self.record.files

    @property
    def programs(self) -> Mapping[str, Program]:
        """The programs that can be run in the container, by name."""
        return self._engine.programs

    @property
    def sandbox(self) -> Sandbox | None:
        """The container's libnetwork sandbox; `None` while the container does not run."""
        return self._engine.networking.sandbox_of(self.record)

    @property
    def namespace(self) -> NetworkNamespace:
        """The network namespace in which the container's processes run.

        Raises `NotFound` while the container does not run.
        """
        process = self.record.process
        if process is None:
            raise NotFound(f"container {self.name} is not running: it has no network namespace")
        return process.namespace

    def ip(self, network: str | Network | None = None, *, family: int = 4) -> str:
        """Return the container's address on a network, as text; "" if it has none there.

        Without `network`, return the address on the first network that has assigned one. `family` is 4 or 6.
        """
        key = "ip_address" if family == 4 else "global_ipv6_address"
        networks = self.record.networks
        if network is not None:
            name = network if isinstance(network, str) else network.name
            if name not in networks:
                raise NotFound(f"container {self.name} is not connected to network {name}")
            return str(getattr(networks[name], key))
        addresses = [str(getattr(settings, key)) for _, settings in sorted(networks.items())]
        return next((address for address in addresses if address), "")

    def exec(self, command: str | list[str], **options: Any) -> CommandOutput:
        """Run a command in the container, and return its output as text together with its exit status.

        `options` are keyword arguments of `exec_run`. A command without an exit status counts as 0.
        """
        exit_code, output = self.exec_run(command, **options)
        return CommandOutput((output or b"").decode(errors="replace"), exit_code if exit_code is not None else 0)

    # --- docker-py

    def start(self) -> None:
        """Start the container. The first process has run as far as it can without waiting when the call returns.

        Raises an `EngineError` if the engine cannot start it, such as for a published port that is in use.
        """
        engine = self._engine
        needs_attachment = bool(engine.networking.unattached(self.record))
        engine.complete(engine.rest.containers.start(self.id))
        if needs_attachment:
            engine.clock.run_for(_ATTACHED_START_S)
        engine.clock.run_ready()

    def stop(self, *, timeout: int | None = None, signal: str = "") -> None:
        """Stop the container.

        Send its stop signal, or `signal`, and SIGKILL after `timeout` seconds (default: 10).
        """
        query = query_of(t=timeout, signal=signal)
        self._engine.complete(self._engine.rest.containers.stop(self.id, query))

    def restart(self, *, timeout: int | None = None) -> None:
        """Stop the container if it runs, with SIGKILL after `timeout` seconds, then start it."""
        self._engine.complete(self._engine.rest.containers.restart(self.id, query_of(t=timeout)))
        self._engine.clock.run_ready()

    def kill(self, signal: str | int | None = None) -> None:
        """Send a signal, given by name or number, to the container's first process; SIGKILL by default."""
        self._engine.rest.containers.kill(self.id, query_of(signal=signal))

    def pause(self) -> None:
        """Freeze all processes."""
        self._engine.rest.containers.pause(self.id)

    def unpause(self) -> None:
        """Resume all processes."""
        self._engine.rest.containers.unpause(self.id)

    def rename(self, name: str) -> None:
        """Rename the container."""
        self._engine.rest.containers.rename(self.id, {"name": name})

    def update(self, *, restart_policy: Mapping[str, Any]) -> dict[str, Any]:
        """Replace the container's restart policy by one such as `{"Name": "always"}`.

        Return the engine's reply, a dict with its warnings under `Warnings`.
        """
        return self._engine.rest.containers.update(self.id, {"RestartPolicy": restart_policy})

    def remove(self, *, v: bool = False, link: bool = False, force: bool = False) -> None:
        """Remove the container. Raises `Conflict` if it runs, unless `force` is given: then it is killed first.

        `v` also removes the container's anonymous volumes. With `link`, the engine removes a legacy link (created by
        `docker run --link`) instead of the container.
        """
        self._engine.rest.containers.remove(self.id, query_of(v=v, link=link, force=force))

    def wait(self, *, timeout: float | None = None, condition: str = "not-running") -> dict[str, Any]:
        """Advance virtual time until the container stops, and return its exit code as `{"StatusCode": …}`.

        `condition` is "not-running", "next-exit" or "removed". Raises `TimeoutError` after `timeout` virtual seconds.
        """
        query = {"condition": condition}
        return self._engine.complete(self._engine.rest.containers.wait(self.id, query), timeout)

    @overload
    def logs(self, *, stream: Literal[True], **options: Unpack[_LogOptions]) -> Stream[bytes]: ...

    @overload
    def logs(self, *, stream: Literal[False] = False, **options: Unpack[_LogOptions]) -> bytes: ...

    def logs(
        self,
        *,
        stdout: bool = True,
        stderr: bool = True,
        timestamps: bool = False,
        tail: int | str = "all",
        since: float | str | datetime | None = None,
        until: float | str | datetime | None = None,
        stream: bool = False,
        follow: bool | None = None,
    ) -> bytes | Stream[bytes]:
        """Return the container's log as bytes; with `stream`, return an iterator over its lines.

        `stdout` and `stderr` select the streams. `tail` is the number of lines to return, counted from the end of the
        log, or "all". Lines before `since` or after `until` are left out; both are points in time, in seconds since
        1970 if they are numbers. `follow`, which is the default with `stream`, includes later output: reading it
        advances virtual time until the container stops.
        """
        query = query_of(
            stdout=stdout, stderr=stderr, timestamps=timestamps, tail=tail, since=since, until=until,
            follow=stream if follow is None else follow,
        )  # fmt: skip
        reading = self._engine.rest.containers.logs(self.id, query)
        lines = log_lines(reading)
        return lines if stream else b"".join(lines)

    def exec_run(
        self,
        cmd: str | list[str],
        *,
        stdout: bool = True,
        stderr: bool = True,
        stdin: bool | bytes = False,
        tty: bool = False,
        privileged: bool = False,
        user: str = "",
        detach: bool = False,
        demux: bool = False,
        environment: Mapping[str, str] | list[str] | None = None,
        workdir: str = "",
        stream: bool = False,
    ) -> ExecResult:
        """Run a command in the container and return its exit status and output, as bytes.

        Virtual time advances until the command ends. With `detach`, the call returns at once, with exit status `None`
        and no output. With `stream`, the exit status is `None` and the output is an iterator over what the command
        prints; reading from it advances virtual time. With `demux`, the output is a pair (stdout, stderr) instead of
        both streams together. `stdin` can be the bytes that the command reads as its standard input. Raises
        `Conflict` if the container does not run.
        """
        rest = self._engine.rest.execs
        env = (
            [f"{key}={value}" for key, value in environment.items()]
            if isinstance(environment, Mapping)
            else environment
        )
        body = {
            "Cmd": words(cmd), "AttachStdout": stdout, "AttachStderr": stderr, "AttachStdin": bool(stdin), "Tty": tty,
            "Privileged": privileged, "User": user, "Env": env, "WorkingDir": workdir,
        }  # fmt: skip
        identity = rest.create(self.id, body)["Id"]
        wanted = {name for name, is_wanted in (("stdout", stdout), ("stderr", stderr)) if is_wanted}
        if stream and not detach:
            return ExecResult(None, exec_output(self._engine, identity, wanted, tty=tty, stdin=stdin, demux=demux))
        printed: list[tuple[str, bytes]] = []
        execution = rest.start(
            identity, {"Detach": detach, "Tty": tty}, lambda stream, data: printed.append((stream, data))
        )
        if detach:
            self._engine.clock.run_ready()
            return ExecResult(None, b"")
        type_input(execution, stdin)
        exit_code = self._engine.complete(execution.streams.ended)
        if demux:
            parts = [b"".join(data for stream, data in printed if stream == name) for name in ("stdout", "stderr")]
            return ExecResult(exit_code, (parts[0] or None, parts[1] or None))
        return ExecResult(exit_code, b"".join(data for stream, data in printed if stream in wanted))

    def top(self, ps_args: str = "-ef") -> dict[str, Any]:
        """Return the container's processes, as `docker top` shows them. `ps_args` are options of `ps`."""
        return self._engine.rest.containers.top(self.id, {"ps_args": ps_args})

    @overload
    def stats(self, *, decode: None = None, stream: Literal[False] | None = None) -> dict[str, Any]: ...

    @overload
    def stats(self, *, decode: bool | None = None, stream: Literal[True]) -> Iterator[Any]: ...

    @overload
    def stats(self, *, decode: bool, stream: Literal[True] | None = None) -> Iterator[Any]: ...

    def stats(self, *, decode: bool | None = None, stream: bool | None = None) -> dict[str, Any] | Iterator[Any]:
        """Return one set of statistics as a dict, as `docker stats --no-stream` shows them.

        With `stream`, return an iterator instead, which yields one set for every second of virtual time until the
        container stops. A set is a dict if `decode` is True, else a line of JSON in bytes. If `stream` is not given,
        any value of `decode` selects the iterator.
        """
        container = self._engine.rest.containers
        if not (decode is not None if stream is None else stream):
            return container.stats(self.id)
        return statistics(self._engine, self.id, decode=bool(decode))

    def diff(self) -> list[dict[str, Any]] | None:
        """Return the files that differ from the image, or `None` if there are none.

        An entry is a dict such as `{"Path": "/etc/hosts", "Kind": 0}`, with the kind 0 for changed, 1 for added and 2
        for deleted files.
        """
        return self._engine.rest.containers.changes(self.id)

    def get_archive(self, path: str) -> tuple[bytes, dict[str, Any]]:
        """Return the file or folder `path` as a tar archive in bytes, and its description as a dict."""
        rest = self._engine.rest.containers
        return rest.archive_get(self.id, path), rest.archive_stat(self.id, path)

    def put_archive(self, path: str, data: bytes) -> bool:
        """Unpack the tar archive `data` into the folder `path` of the container. Return True."""
        self._engine.rest.containers.archive_put(self.id, path, data)
        return True


@raises_docker_errors
@define
class ContainerCollection:
    """The containers of an engine."""

    _engine: Session = field(repr=False)

    @overload
    def run(
        self,
        image: str | Image,
        command: str | list[str] | None = None,
        *,
        detach: Literal[True],
        remove: bool = False,
        **options: Any,
    ) -> Container: ...

    @overload
    def run(
        self,
        image: str | Image,
        command: str | list[str] | None = None,
        *,
        stdout: bool = True,
        stderr: bool = False,
        remove: bool = False,
        detach: Literal[False] = False,
        **options: Any,
    ) -> bytes: ...

    def run(
        self,
        image: str | Image,
        command: str | list[str] | None = None,
        *,
        stdout: bool = True,
        stderr: bool = False,
        remove: bool = False,
        detach: bool = False,
        **options: Any,
    ) -> Container | bytes:
        """Create and start a container. Return the `Container` with `detach`, else its output once it has exited.

        `options` are docker-py's keyword arguments of the same method, and `ip`, `ip6`, `aliases`, `gw_priority` and
        `expose`. `remove` removes the container after its exit. Raises `ContainerError` if the command exits with a
        status other than 0, and an `EngineError` if the creation or the start fails. Without `detach`, raises
        `TimeoutError` if the container still runs and no event in the lab is left that could end it; the container is
        not stopped.
        """
        if detach and remove:
            options["auto_remove"] = True
        container = self.create(image, command, **options)
        container.start()
        if detach:
            return container
        try:
            status = container.wait()["StatusCode"]
        except TimeoutError:
            raise TimeoutError(
                f"container {container.name} keeps running and nothing in the lab will end it: "
                "run(…, detach=True) returns without waiting"
            ) from None
        if container.record.host_config["AutoRemove"]:
            return b""
        is_readable = container.record.log.is_readable
        printed = container.logs(stdout=stdout, stderr=stderr) if is_readable and (stdout or stderr) else b""
        errors = container.logs(stdout=False, stderr=True) if is_readable and status else b""
        if remove:
            container.remove()
        if status:
            name = image if isinstance(image, str) else image.id
            raise ContainerError(container, status, command, name, errors)
        return printed

    def create(self, image: str | Image, command: str | list[str] | None = None, **options: Any) -> Container:
        """Create a container without starting it. A missing image is pulled first.

        `options` are the keyword arguments of `run`. Raises an `EngineError` if the engine refuses the request, and
        `TypeError` for an unknown option.
        """
        if not isinstance(image, (str, Image)):
            raise InvalidParameter(f"{image!r} is no image: write its name, such as 'nginx'")
        reference = image if isinstance(image, str) else image.id
        body = create_body(reference, command, options)
        if self._engine.image_store.find(reference) is None:
            ImageCollection(self._engine).pull(reference)
        query = query_of(name=options.get("name"))
        answer = self._engine.rest.containers.create(body, query)
        return Container(self._engine, answer["Id"])

    def get(self, container_id: str | Container) -> Container:
        """Return the container with this name, id or unique id prefix.

        Raises `NotFound` if there is none; the error's text suggests the container with the most similar name.
        """
        term = container_id.id if isinstance(container_id, Container) else container_id
        try:
            return Container(self._engine, self._engine.store.get(term).id)
        except NotFound as error:
            hint = suggestion(term, (container.name for container in self.list(all=True)))
            if hint:
                error.add_note(hint.lstrip(",; "))
            raise

    def list(
        self,
        *,
        all: bool = False,  # noqa: A002 - docker-py's name
        filters: Mapping[str, Any] | None = None,
        limit: int = -1,
    ) -> list[Container]:
        """Return the running containers; with `all`, also those that do not run.

        `filters` are those of `docker ps --filter`, such as `{"label": "tier=web"}`. `limit` -1 means no limit.
        """
        query = query_of(all=all, limit=limit if limit > 0 else None, filters=filters_of(filters))
        return [Container(self._engine, summary["Id"]) for summary in self._engine.rest.containers.list(query)]

    def prune(self, filters: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Remove the containers that do not run and, if `filters` is given, match it.

        `filters` are those of `docker container prune`, such as `{"label": "tier=web"}`. Return a dict with the ids
        of the removed containers under `ContainersDeleted`.
        """
        return self._engine.rest.containers.prune(query_of(filters=filters_of(filters)))

    def __getitem__(self, name: str) -> Container:
        return self.get(name)

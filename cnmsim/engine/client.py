"""docker-py's words for an engine: `engine.containers.run(...)`, `engine.networks.create(...)` and what they give.

Names, arguments and attributes are docker-py's (`docker/models`). Everything goes through `Engine.rest`; calls that
block on a real engine let virtual time pass until they are done. Objects are always up to date: `reload()` does
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from attrs import define, field, frozen

from cnmsim.engine import container as records
from cnmsim.engine.rest.containers import LogReading
from cnmsim.engine.run_options import create_body, words
from cnmsim.errors import CnmsimError, NotFound
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.libnetwork.sandbox import Sandbox

if TYPE_CHECKING:
    from cnmsim.engine.engine import Engine


class ContainerError(CnmsimError):
    """A container that was run in the foreground ended with a status other than 0."""

    def __init__(self, container: Container, exit_status: int, command: Any, image: str, stderr: bytes) -> None:
        printed = f": {stderr.decode(errors='replace')}" if stderr else ""
        super().__init__(
            f"Command '{command}' in image '{image}' returned non-zero exit status {exit_status}{printed}"
        )
        self.container, self.exit_status = container, exit_status
        self.command, self.image, self.stderr = command, image, stderr


class ExecResult(NamedTuple):
    """What `exec_run` gives: the exit status, and what was printed."""

    exit_code: int | None
    output: Any


@frozen
class CommandOutput:
    """What a command printed, as a terminal would show it, and its exit status."""

    text: str
    exit_code: int

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text.rstrip("\n")

    def __contains__(self, part: str) -> bool:
        return part in self.text

    def __bool__(self) -> bool:
        return self.exit_code == 0


@define(eq=False)
class _Model:
    _engine: Engine = field(repr=False)
    id: str

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and getattr(other, "id", None) == self.id

    def __hash__(self) -> int:
        return hash((type(self).__name__, self.id))

    @property
    def short_id(self) -> str:
        """The first twelve digits of the id."""
        return self.id[:12]

    def reload(self) -> None:
        """Do nothing: what is shown is always the present state."""


@define(eq=False, repr=False)
class Container(_Model):
    """A container, in docker-py's words."""

    def __repr__(self) -> str:
        return f"<Container: {self.short_id}>"

    @property
    def record(self) -> records.Container:
        """The engine's own record of it. Raises `NotFound` once it is removed."""
        return self._engine.store.get(self.id)

    @property
    def attrs(self) -> dict[str, Any]:
        """What `docker inspect` prints."""
        return self._engine.rest.containers.inspect(self.id)

    @property
    def name(self) -> str:
        """Its name."""
        return self.record.name

    @property
    def status(self) -> str:
        """Its state: `created`, `running`, `paused`, `restarting`, `exited` or `dead`."""
        return self.record.state.value

    @property
    def health(self) -> str:
        """The verdict of its health check, or `unknown`."""
        monitor = self.record.health
        return monitor.status if monitor is not None else "unknown"

    @property
    def labels(self) -> dict[str, str]:
        """Its labels."""
        return dict(self.record.config["Labels"] or {})

    @property
    def image(self) -> Image:
        """The image it was made of."""
        return Image(self._engine, self.record.image.id)

    @property
    def ports(self) -> dict[str, Any]:
        """What is published: `{"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]}`."""
        return dict(self.record.ports)

    # --- conveniences of ours ------------------------------------------------------------------------------------

    @property
    def sandbox(self) -> Sandbox | None:
        """The sandbox it lives in; `None` while it does not run."""
        return self._engine.networking.sandbox_of(self.record)

    @property
    def namespace(self) -> NetworkNamespace:
        """The network namespace of its processes. Raises `NotFound` while it does not run."""
        process = self.record.process
        if process is None:
            raise NotFound(f"container {self.name} is not running: it has no network namespace")
        return process.namespace

    def ip(self, network: str | Network | None = None, *, family: int = 4) -> str:
        """Give its address on a network, or on the first one that gave it an address; "" if there is none."""
        key = "ip_address" if family == 4 else "global_ipv6_address"
        networks = self.record.networks
        if network is not None:
            name = network if isinstance(network, str) else network.name
            if name not in networks:
                raise NotFound(f"container {self.name} is not connected to network {name}")
            return str(getattr(networks[name], key))
        found = [str(getattr(each, key)) for _, each in sorted(networks.items())]
        return next((address for address in found if address), "")

    def exec(self, command: str | list[str], **options: Any) -> CommandOutput:
        """Run a command in it and give what a terminal would show; options as of `exec_run`."""
        exit_code, output = self.exec_run(command, **options)
        return CommandOutput((output or b"").decode(errors="replace"), exit_code if exit_code is not None else 0)

    # --- docker-py -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start it; its first process has then done what it does at once. Raises an `EngineError`."""
        self._engine.rest.containers.start(self.id)
        self._engine.clock.run_ready()

    def stop(self, *, timeout: int | None = None, signal: str = "") -> None:
        """Stop it: SIGTERM, and SIGKILL after `timeout` (10) seconds."""
        query = _query(t=timeout, signal=signal)
        self._engine.complete(self._engine.rest.containers.stop(self.id, query))

    def restart(self, *, timeout: int | None = None) -> None:
        """Stop and start it."""
        self._engine.complete(self._engine.rest.containers.restart(self.id, _query(t=timeout)))
        self._engine.clock.run_ready()

    def kill(self, signal: str | int | None = None) -> None:
        """Send it a signal, SIGKILL unless named."""
        self._engine.rest.containers.kill(self.id, _query(signal=signal))

    def pause(self) -> None:
        """Freeze it."""
        self._engine.rest.containers.pause(self.id)

    def unpause(self) -> None:
        """Let it go on."""
        self._engine.rest.containers.unpause(self.id)

    def rename(self, name: str) -> None:
        """Give it another name."""
        self._engine.rest.containers.rename(self.id, {"name": name})

    def update(self, *, restart_policy: Mapping[str, Any]) -> dict[str, Any]:
        """Change its restart policy."""
        return self._engine.rest.containers.update(self.id, {"RestartPolicy": restart_policy})

    def remove(self, *, v: bool = False, link: bool = False, force: bool = False) -> None:
        """Remove it."""
        self._engine.rest.containers.remove(self.id, _query(v=v, link=link, force=force))

    def wait(self, *, timeout: float | None = None, condition: str = "not-running") -> dict[str, Any]:
        """Let time pass until it stops; gives `{"StatusCode": …}`. Raises `TimeoutError`."""
        query = {"condition": condition}
        return self._engine.complete(self._engine.rest.containers.wait(self.id, query), timeout)

    def logs(
        self,
        *,
        stdout: bool = True,
        stderr: bool = True,
        timestamps: bool = False,
        tail: int | str = "all",
        since: float | str | None = None,
        until: float | str | None = None,
    ) -> bytes:
        """Give what it printed."""
        query = _query(stdout=stdout, stderr=stderr, timestamps=timestamps, tail=tail, since=since, until=until)
        return _joined(self._engine.rest.containers.logs(self.id, query))

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
    ) -> ExecResult:
        """Run a command in it, and let time pass until it ends unless `detach`.

        `stdin` may be the bytes it is to read. With `demux` the output is a pair of stdout and stderr. Raises
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
        printed: list[tuple[str, bytes]] = []
        execution = rest.start(
            identity, {"Detach": detach, "Tty": tty}, lambda stream, data: printed.append((stream, data))
        )
        if detach:
            self._engine.clock.run_ready()
            return ExecResult(None, b"")
        if stdin:
            execution.streams.type(stdin if isinstance(stdin, bytes) else b"")
            execution.streams.end_input()
        exit_code = self._engine.complete(execution.streams.ended)
        wanted = {name for name, is_wanted in (("stdout", stdout), ("stderr", stderr)) if is_wanted}
        if demux:
            parts = [b"".join(data for each, data in printed if each == name) for name in ("stdout", "stderr")]
            return ExecResult(exit_code, (parts[0] or None, parts[1] or None))
        return ExecResult(exit_code, b"".join(data for stream, data in printed if stream in wanted))

    def top(self, ps_args: str = "-ef") -> dict[str, Any]:
        """List its processes."""
        return self._engine.rest.containers.top(self.id, {"ps_args": ps_args})

    def stats(self) -> dict[str, Any]:
        """Give one reading of its counters."""
        return self._engine.rest.containers.stats(self.id)

    def diff(self) -> list[dict[str, Any]] | None:
        """Tell which files it changed."""
        return self._engine.rest.containers.changes(self.id)

    def get_archive(self, path: str) -> tuple[bytes, dict[str, Any]]:
        """Give a file or folder as a tar archive, and what it is."""
        rest = self._engine.rest.containers
        return rest.archive_get(self.id, path), rest.archive_stat(self.id, path)

    def put_archive(self, path: str, data: bytes) -> bool:
        """Unpack a tar archive into a folder of it."""
        self._engine.rest.containers.archive_put(self.id, path, data)
        return True


@define
class ContainerCollection:
    """The containers of an engine."""

    _engine: Engine = field(repr=False)

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
    ) -> Any:
        """Make and start a container. Detached it gives the `Container`, else what it printed once it has ended.

        `options` are docker-py's, and those of `create_body`. Raises `ContainerError` if it ends with another status
        than 0, or the `EngineError` that kept it from starting.
        """
        if detach and remove:
            options["auto_remove"] = True
        container = self.create(image, command, **options)
        container.start()
        if detach:
            return container
        status = container.wait()["StatusCode"]
        if container.record.host_config["AutoRemove"]:
            return b""
        printed = container.logs(stdout=stdout, stderr=stderr) if stdout or stderr else b""
        errors = container.logs(stdout=False, stderr=True) if status else b""
        if remove:
            container.remove()
        if status:
            name = image if isinstance(image, str) else image.id
            raise ContainerError(container, status, command, name, errors)
        return printed

    def create(self, image: str | Image, command: str | list[str] | None = None, **options: Any) -> Container:
        """Make a container; an image the engine lacks is pulled. Raises an `EngineError`, `TypeError` for options."""
        reference = image if isinstance(image, str) else image.id
        body = create_body(reference, command, options)
        if self._engine.image_store.find(reference) is None:
            self._engine.images.pull(reference)
        query = _query(name=options.get("name"))
        answer = self._engine.rest.containers.create(body, query)
        return Container(self._engine, answer["Id"])

    def get(self, container_id: str) -> Container:
        """Find a container by name, id or the beginning of its id. Raises `NotFound`."""
        return Container(self._engine, self._engine.store.get(container_id).id)

    def list(
        self,
        *,
        all: bool = False,  # noqa: A002 - docker-py's word
        filters: Mapping[str, Any] | None = None,
        limit: int = -1,
    ) -> list[Container]:
        """List the running containers, or all."""
        query = _query(all=all, limit=limit if limit > 0 else None, filters=_filters(filters))
        return [Container(self._engine, each["Id"]) for each in self._engine.rest.containers.list(query)]

    def prune(self, filters: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Remove those that do not run."""
        return self._engine.rest.containers.prune(_query(filters=_filters(filters)))

    def __getitem__(self, name: str) -> Container:
        return self.get(name)


@define(eq=False, repr=False)
class Network(_Model):
    """A network, in docker-py's words."""

    def __repr__(self) -> str:
        return f"<Network: {self.short_id}>"

    @property
    def attrs(self) -> dict[str, Any]:
        """What `docker network inspect` prints."""
        return self._engine.rest.networks.inspect(self.id)

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.attrs["Name"])

    @property
    def containers(self) -> list[Container]:
        """The containers on it."""
        found = [self._engine.store.find(identity) for identity in self.attrs["Containers"]]
        return [Container(self._engine, each.id) for each in found if each is not None]

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
        """Connect a container. Raises an `EngineError`."""
        pairs = links.items() if isinstance(links, Mapping) else links or ()
        addresses = {"IPv4Address": ipv4_address, "IPv6Address": ipv6_address, "LinkLocalIPs": link_local_ips}
        settings: dict[str, Any] = {
            "Aliases": list(aliases) if aliases is not None else None,
            "Links": [each if isinstance(each, str) else f"{each[0]}:{each[1]}" for each in pairs] or None,
            "IPAMConfig": {key: value for key, value in addresses.items() if value} or None,
            "DriverOpts": dict(driver_opt) if driver_opt else None,
            "MacAddress": mac_address or "",
            "GwPriority": gw_priority,
        }
        body = {"Container": _id_of(container), "EndpointConfig": settings}
        self._engine.rest.networks.connect(self.id, body)

    def disconnect(self, container: str | Container, *, force: bool = False) -> None:
        """Disconnect a container. Raises an `EngineError`."""
        self._engine.rest.networks.disconnect(self.id, {"Container": _id_of(container), "Force": force})

    def remove(self) -> None:
        """Remove it. Raises an `EngineError`."""
        self._engine.rest.networks.remove(self.id)


@define
class NetworkCollection:
    """The networks of an engine."""

    _engine: Engine = field(repr=False)

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
        check_duplicate: bool = True,  # noqa: ARG002 - engines check always
    ) -> Network:
        """Make a network. `subnet`, `gateway` and `ip_range` spare writing an `ipam`. Raises an `EngineError`."""
        if subnet is not None and ipam is None:
            subnets = [subnet] if isinstance(subnet, str) else list(subnet)
            first, *further = [{"Subnet": each} for each in subnets]
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
        return Network(self._engine, self._engine.rest.networks.create(body)["Id"])

    def get(self, network_id: str) -> Network:
        """Find a network by name, id or the beginning of its id. Raises `NotFound`."""
        return Network(self._engine, self._engine.network_store.find(network_id).id)

    def list(
        self,
        names: Iterable[str] = (),
        ids: Iterable[str] = (),
        *,
        filters: Mapping[str, Any] | None = None,
    ) -> list[Network]:
        """List the networks."""
        wanted = dict(_filters(filters) or {})
        if names:
            wanted["name"] = list(names)
        if ids:
            wanted["id"] = list(ids)
        found = self._engine.rest.networks.list(_query(filters=wanted or None))
        return [Network(self._engine, each["Id"]) for each in found]

    def prune(self, filters: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Remove those without containers."""
        return self._engine.rest.networks.prune(_query(filters=_filters(filters)))

    def __getitem__(self, name: str) -> Network:
        return self.get(name)


@define(eq=False, repr=False)
class Image(_Model):
    """An image, in docker-py's words."""

    def __repr__(self) -> str:
        listed = "', '".join(self.tags)
        return f"<Image: '{listed}'>"

    @property
    def short_id(self) -> str:
        """The id's digest, cut to twelve digits."""
        return self.id[:19]

    @property
    def attrs(self) -> dict[str, Any]:
        """What `docker image inspect` prints."""
        return self._engine.rest.images.inspect(self.id)

    @property
    def tags(self) -> list[str]:
        """Its names."""
        return list(self.attrs["RepoTags"])

    @property
    def labels(self) -> dict[str, str]:
        """Its labels."""
        return dict(self.attrs["Config"].get("Labels") or {})

    def history(self) -> list[dict[str, Any]]:
        """Tell how it was made."""
        return self._engine.rest.images.history(self.id)

    def tag(self, repository: str, tag: str = "") -> bool:
        """Give it another name."""
        self._engine.rest.images.tag(self.id, {"repo": repository, "tag": tag})
        return True


@define
class ImageCollection:
    """The images of an engine."""

    _engine: Engine = field(repr=False)

    def get(self, name: str) -> Image:
        """Find an image. Raises `NotFound`."""
        return Image(self._engine, self._engine.image_store.get(name).id)

    def list(self, name: str | None = None, *, filters: Mapping[str, Any] | None = None) -> list[Image]:
        """List the images."""
        wanted = dict(_filters(filters) or {})
        if name:
            wanted["reference"] = [name]
        found = self._engine.rest.images.list(_query(filters=wanted or None))
        return [Image(self._engine, each["Id"]) for each in found]

    def pull(self, repository: str, tag: str = "") -> Image:
        """Pull an image. Raises `SystemFault` on an engine without a registry."""
        for _message in self._engine.rest.images.create({"fromImage": repository, "tag": tag}):
            pass
        return self.get(f"{repository}:{tag}" if tag else repository)

    def remove(self, image: str, *, force: bool = False) -> None:
        """Remove an image or one of its names."""
        self._engine.rest.images.remove(image, _query(force=force))

    def prune(self, filters: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Remove images without a name."""
        return self._engine.rest.images.prune(_query(filters=_filters(filters)))


@define(eq=False, repr=False)
class Volume(_Model):
    """A volume, in docker-py's words; its id is its name."""

    def __repr__(self) -> str:
        return f"<Volume: {self.id}>"

    @property
    def name(self) -> str:
        """Its name."""
        return self.id

    @property
    def attrs(self) -> dict[str, Any]:
        """What `docker volume inspect` prints."""
        return self._engine.rest.volumes.inspect(self.id)

    def remove(self, *, force: bool = False) -> None:
        """Remove it."""
        self._engine.rest.volumes.remove(self.id, _query(force=force))


@define
class VolumeCollection:
    """The volumes of an engine."""

    _engine: Engine = field(repr=False)

    def create(
        self,
        name: str = "",
        *,
        driver: str = "",
        driver_opts: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Volume:
        """Make a volume."""
        body = {"Name": name, "Driver": driver, "DriverOpts": driver_opts, "Labels": labels}
        return Volume(self._engine, self._engine.rest.volumes.create(body)["Name"])

    def get(self, name: str) -> Volume:
        """Find a volume. Raises `NotFound`."""
        return Volume(self._engine, self._engine.volume_store.get(name).name)

    def list(self, filters: Mapping[str, Any] | None = None) -> list[Volume]:
        """List the volumes."""
        found = self._engine.rest.volumes.list(_query(filters=_filters(filters)))
        return [Volume(self._engine, each["Name"]) for each in found["Volumes"]]

    def prune(self, filters: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Remove unused volumes."""
        return self._engine.rest.volumes.prune(_query(filters=_filters(filters)))


def _id_of(container: str | Container) -> str:
    return container if isinstance(container, str) else container.id


def _joined(reading: LogReading) -> bytes:
    return b"".join(data for _, data in reading.chunks())


def _query(**parameters: Any) -> dict[str, Any]:
    """Make query parameters: what is `None` or "" is left out, truth values are 1 and 0."""
    shown: dict[str, Any] = {}
    for key, value in parameters.items():
        if value is None or value == "":
            continue
        if key == "filters":
            shown[key] = value
        else:
            shown[key] = str(int(value)) if isinstance(value, bool) else str(value)
    return shown


def _filters(filters: Mapping[str, Any] | None) -> dict[str, list[str]] | None:
    if not filters:
        return None
    shown: dict[str, list[str]] = {}
    for key, value in filters.items():
        values = value if isinstance(value, (list, tuple, set)) else [value]
        shown[key] = [str(each).lower() if isinstance(each, bool) else str(each) for each in values]
    return shown

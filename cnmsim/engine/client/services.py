"""Services with docker-py's interface (`docker/models/services.py`)."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import define, field

from cnmsim.engine.client.docker_errors import raises_docker_errors
from cnmsim.engine.client.model import Model, filters_of, query_of

if TYPE_CHECKING:
    from cnmsim.engine.client.session import Session

_CONTAINER_KEYS = {
    "env": "Env",
    "hostname": "Hostname",
    "init": "Init",
    "user": "User",
    "workdir": "Dir",
    "tty": "TTY",
    "open_stdin": "OpenStdin",
    "read_only": "ReadOnly",
    "stop_grace_period": "StopGracePeriod",
    "stop_signal": "StopSignal",
    "healthcheck": "Healthcheck",
    "dns_config": "DNSConfig",
    "mounts": "Mounts",
    "secrets": "Secrets",
    "configs": "Configs",
    "groups": "Groups",
    "cap_add": "CapabilityAdd",
    "cap_drop": "CapabilityDrop",
    "sysctls": "Sysctls",
    "privileges": "Privileges",
}
_TASK_KEYS = {"resources": "Resources", "restart_policy": "RestartPolicy", "log_driver": "LogDriver"}


@raises_docker_errors
@define(eq=False, repr=False)
class Service(Model):
    """A service of the swarm."""

    def __repr__(self) -> str:
        return f"<Service: {self.short_id}>"

    @property
    def attrs(self) -> dict[str, Any]:
        """The service's full description as a dict, the same data that `docker service inspect` prints."""
        return self._engine.complete(self._engine.rest.services.inspect(self.id))

    @property
    def name(self) -> str:
        """The service's name."""
        return str(self.attrs["Spec"]["Name"])

    @property
    def version(self) -> int:
        """The version number of the service, which changes with every update of it.

        A request to update the service must contain this number. If it is out of date, the update is refused.
        """
        return int(self.attrs["Version"]["Index"])

    def tasks(self, filters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return the service's tasks, dead ones included, as `docker service ps` lists them."""
        query_filters = {**(filters_of(filters) or {}), "service": [self.id]}
        return self._engine.complete(self._engine.rest.tasks.list(query_of(filters=query_filters)))

    def logs(
        self,
        *,
        stdout: bool = False,
        stderr: bool = False,
        timestamps: bool = False,
        details: bool = False,
        since: int = 0,
        tail: int | str = "all",
    ) -> Iterator[bytes]:
        """Return an iterator over the lines that the service's tasks have logged so far.

        It does not wait for later lines.

        At least one of `stdout` and `stderr` must be True, else an `EngineError` is raised. `since` is in seconds
        since 1970. `tail` is the number of lines to return of each task, counted from the end of its log, or "all".
        """
        rest = self._engine.rest.service_logs
        query = query_of(
            stdout=stdout, stderr=stderr, timestamps=timestamps, details=details, since=since or None, tail=str(tail)
        )
        reading = self._engine.complete(rest.of_service(self.id, query))
        lines: list[bytes] = []
        stream = rest.cluster.subscribe_logs(reading.request, lambda message: lines.append(reading.rendered(message)))
        error = self._engine.complete(stream.ended)
        if error is not None:
            raise error
        return iter(lines)

    def scale(self, replicas: int) -> bool:
        """Set the number of tasks of a replicated service or job, and return True.

        Raises `ValueError` for a service with another mode, and an `EngineError` if the swarm refuses the update.
        """
        mode = self.attrs["Spec"]["Mode"]
        if "Replicated" in mode:
            new_mode: dict[str, Any] = {"Replicated": {"Replicas": replicas}}
        elif "ReplicatedJob" in mode:
            new_mode = {"ReplicatedJob": {**mode["ReplicatedJob"], "TotalCompletions": replicas}}
        else:
            raise ValueError("Cannot scale a container that is not a replicated service")
        return self._update({"Mode": new_mode})

    def update(self, **options: Any) -> bool:
        """Change the given options of the service, and return True.

        `options` are those of `ServiceCollection.create`.

        Raises an `EngineError` if the swarm refuses the new spec.
        """
        spec = self.attrs["Spec"]
        changes = _spec(spec, options)
        return self._update(changes)

    def force_update(self) -> bool:
        """Replace all tasks by new ones, although the service's spec is unchanged. Return True."""
        template = self.attrs["Spec"]["TaskTemplate"]
        return self._update({"TaskTemplate": {**template, "ForceUpdate": template.get("ForceUpdate", 0) + 1}})

    def rollback(self) -> bool:
        """Restore the service's previous spec, and return True. Raises an `EngineError` if there is none."""
        attrs = self.attrs
        query = query_of(version=attrs["Version"]["Index"], rollback="previous")
        self._engine.complete(self._engine.rest.services.update(self.id, attrs["Spec"], query))
        return True

    def _update(self, changes: Mapping[str, Any]) -> bool:
        attrs = self.attrs
        query = query_of(version=attrs["Version"]["Index"])
        self._engine.complete(self._engine.rest.services.update(self.id, {**attrs["Spec"], **changes}, query))
        return True

    def remove(self) -> bool:
        """Remove the service, and return True. Raises an `EngineError`, for example if it was already removed."""
        self._engine.complete(self._engine.rest.services.remove(self.id))
        return True


@raises_docker_errors
@define
class ServiceCollection:
    """The services of the swarm that an engine manages."""

    _engine: Session = field(repr=False)

    def create(self, image: str, command: str | Sequence[str] | None = None, **options: Any) -> Service:
        """Create a service, and return it.

        `options` are docker-py's keyword arguments. `mode` is "global", "replicated" or the API's object. `networks`
        are names. `ports` is a mapping such as `{8080: 80}` or `{8080: (80, "tcp", "host")}`, with the published port
        as key. `env` is a list or a mapping. `secrets` and `configs` are names, or the API's references.
        `stop_grace_period` is in nanoseconds. `endpoint_mode`, `replicas`, `args`, `hostname`, `constraints`,
        `preferences`, `labels`, `container_labels`, `hosts`, `mounts` and the other fields of the API's ContainerSpec
        have docker-py's names. `healthcheck`, `update_config`, `rollback_config`, `restart_policy` and `resources`
        are the API's objects.

        Raises `TypeError` for an unknown option, and an `EngineError` if the swarm refuses the spec.
        """
        options = {**options, "image": image}
        if command is not None:
            options["command"] = command
        if "secrets" in options:
            options["secrets"] = [self._reference(reference, "secret") for reference in options["secrets"]]
        if "configs" in options:
            options["configs"] = [self._reference(reference, "config") for reference in options["configs"]]
        body = _spec({}, options)
        answer = self._engine.complete(self._engine.rest.services.create(body))
        return Service(self._engine, answer["ID"])

    def _reference(self, source: Any, kind: str) -> dict[str, Any]:
        if isinstance(source, Mapping):
            return dict(source)
        rest = self._engine.rest.secrets if kind == "secret" else self._engine.rest.configs
        name = source if isinstance(source, str) else source.name
        view = self._engine.complete(rest.inspect(name))
        target = name if kind == "secret" else f"/{name}"
        title = kind.capitalize()
        return {
            f"{title}ID": view["ID"],
            f"{title}Name": view["Spec"]["Name"],
            "File": {"Name": target, "UID": "0", "GID": "0", "Mode": 0o444},
        }

    def get(self, service_id: str) -> Service:
        """Return a service by name or id. Raises `NotFound` if there is none."""
        view = self._engine.complete(self._engine.rest.services.inspect(service_id))
        return Service(self._engine, view["ID"])

    def list(self, filters: Mapping[str, Any] | None = None) -> list[Service]:
        """Return the services of the swarm; with `filters`, such as `{"name": "web"}`, those that match."""
        views = self._engine.complete(self._engine.rest.services.list(query_of(filters=filters_of(filters))))
        return [Service(self._engine, view["ID"]) for view in views]


def _spec(present: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the service spec `present` with docker-py's `options` applied to it."""
    unused = dict(options)
    template = dict(present.get("TaskTemplate") or {})
    container = dict(template.get("ContainerSpec") or {})
    placement = dict(template.get("Placement") or {})
    spec = dict(present)
    if "image" in unused:
        container["Image"] = unused.pop("image")
    for name, key in (("command", "Command"), ("args", "Args")):
        if name in unused:
            words = unused.pop(name)
            container[key] = shlex.split(words) if isinstance(words, str) else list(words or ())
    # docker-py's `command` is what follows the image on a command line.
    if "command" in options and "args" not in options and "Command" in container:
        container["Args"] = container.pop("Command")
    if isinstance(unused.get("env"), Mapping):
        unused["env"] = [f"{key}={value}" for key, value in unused["env"].items()]
    if "hosts" in unused:
        hosts = unused.pop("hosts")
        pairs = hosts.items() if isinstance(hosts, Mapping) else (entry.split(":", 1) for entry in hosts)
        container["Hosts"] = [f"{address} {name}" for name, address in pairs]
    if "container_labels" in unused:
        container["Labels"] = dict(unused.pop("container_labels"))
    for name, key in _CONTAINER_KEYS.items():
        if name in unused:
            container[key] = unused.pop(name)
    if isinstance(unused.get("log_driver"), str):
        unused["log_driver"] = {
            "Name": unused["log_driver"],
            "Options": dict(unused.pop("log_driver_options", None) or {}),
        }
    for name, key in _TASK_KEYS.items():
        if name in unused:
            template[key] = unused.pop(name)
    if "constraints" in unused:
        placement["Constraints"] = list(unused.pop("constraints"))
    if "preferences" in unused:
        placement["Preferences"] = [
            {"Spread": {"SpreadDescriptor": preference[1] if isinstance(preference, tuple) else preference}}
            for preference in unused.pop("preferences")
        ]
    if "maxreplicas" in unused:
        placement["MaxReplicas"] = unused.pop("maxreplicas")
    if "networks" in unused:
        template["Networks"] = [_network(network) for network in unused.pop("networks")]
    if "force_update" in unused:
        template["ForceUpdate"] = unused.pop("force_update")
    if placement:
        template["Placement"] = placement
    spec["TaskTemplate"] = {**template, "ContainerSpec": container}
    if "name" in unused:
        spec["Name"] = unused.pop("name")
    if "labels" in unused:
        spec["Labels"] = dict(unused.pop("labels"))
    mode = _mode(unused)
    if mode is not None:
        spec["Mode"] = mode
    endpoint = _endpoint(unused)
    if endpoint is not None:
        spec["EndpointSpec"] = {**(spec.get("EndpointSpec") or {}), **endpoint}
    for name, key in (("update_config", "UpdateConfig"), ("rollback_config", "RollbackConfig")):
        if name in unused:
            spec[key] = unused.pop(name)
    if unused:
        raise TypeError(f"services have no option {next(iter(unused))!r}")
    return spec


def _network(network: Any) -> dict[str, Any]:
    if isinstance(network, Mapping):
        return dict(network)
    return {"Target": network if isinstance(network, str) else network.id}


def _mode(options: dict[str, Any]) -> dict[str, Any] | None:
    mode, replicas = options.pop("mode", None), options.pop("replicas", None)
    if mode is None and replicas is None:
        return None
    if isinstance(mode, Mapping):
        return dict(mode)
    if mode in {None, "replicated"}:
        return {"Replicated": {"Replicas": 1 if replicas is None else replicas}}
    if mode == "global":
        return {"Global": {}}
    if mode == "replicated-job":
        count = 1 if replicas is None else replicas
        return {"ReplicatedJob": {"MaxConcurrent": count, "TotalCompletions": count}}
    if mode == "global-job":
        return {"GlobalJob": {}}
    raise TypeError(f"a service's mode is global, replicated, global-job or replicated-job, not {mode!r}")


def _endpoint(options: dict[str, Any]) -> dict[str, Any] | None:
    spec = dict(options.pop("endpoint_spec", None) or {})
    mode, ports = options.pop("endpoint_mode", None), options.pop("ports", None)
    if mode is not None:
        spec["Mode"] = mode
    if ports is not None:
        spec["Ports"] = [_port(published, target) for published, target in dict(ports).items()]
    return spec or None


def _port(published: int, target: Any) -> dict[str, Any]:
    given = target if isinstance(target, tuple) else (target,)
    number, protocol, mode = list(given) + ["", "tcp", "ingress"][len(given) :]
    return {"Protocol": protocol, "TargetPort": number, "PublishedPort": published, "PublishMode": mode}

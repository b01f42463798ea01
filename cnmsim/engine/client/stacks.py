"""Stacks: `docker stack deploy`, `ls`, `ps`, `services` and `rm`, as in `engine.stacks.deploy("shop", "stack.yml")`.

docker-py has no methods for stacks. The methods here call `Engine.rest` as the docker command does (docker/cli
`cli/command/stack`, v29.7.2). They do not parse stack files: `StackCollection.reader` does, and returns a
`StackDescription`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from cnmsim.digits import is_number
from cnmsim.engine.client.docker_errors import raises_docker_errors
from cnmsim.engine.client.networks import Network, NetworkCollection
from cnmsim.engine.client.secrets import Config, ConfigCollection, Secret, SecretCollection
from cnmsim.engine.client.services import Service
from cnmsim.errors import Conflict, EngineError, InvalidParameter, NotFound, Unavailable

if TYPE_CHECKING:
    from cnmsim.engine.client.session import Session

LABEL = "com.docker.stack.namespace"
_LABEL_IMAGE = "com.docker.stack.image"
_RESOLVING = ("always", "changed", "never")
_PREDEFINED = frozenset({"default", "bridge", "host", "none"})

Body = dict[str, Any]
StackFiles = str | Path | Mapping[str, Any] | Sequence[str | Path | Mapping[str, Any]]


@frozen
class StackDescription:
    """The content of a parsed stack file: the API's request bodies of the stack's objects.

    `services` and `networks` are mappings from names to bodies. Services refer to secrets and configs by name.
    `external_networks` are the names of networks that must exist already. `notices` are messages about parts of the
    files that were ignored.

    `located_error` creates the error for an object that the engine refused. Its arguments are the kind ("service",
    "network", "secret" or "config"), the name, the whole message, and the engine's message.
    """

    services: Mapping[str, Body]
    networks: Mapping[str, Body]
    external_networks: Sequence[str]
    secrets: Sequence[Body]
    configs: Sequence[Body]
    located_error: Callable[[str, str, str, EngineError], Exception] = field(repr=False)
    notices: tuple[str, ...] = ()


#: Reads the files of a stack. The arguments are the stack's name, the files, the variables for `${…}`, and the folder
#: that relative paths in text start from.
StackReader = Callable[[str, StackFiles, Mapping[str, str], Path | None], StackDescription]


@raises_docker_errors
@frozen
class Stack:
    """A stack of the swarm. `notices` are the messages of the `deploy` call that returned this object, else empty."""

    _engine: Session = field(repr=False, eq=False)
    name: str
    notices: tuple[str, ...] = field(default=(), eq=False, repr=False)

    @property
    def _filter(self) -> dict[str, Any]:
        return {"filters": {"label": [f"{LABEL}={self.name}"]}}

    def services(self) -> list[Service]:
        """Return the services, sorted by name, as `docker stack services` lists them."""
        return [Service(self._engine, view["ID"]) for view in self._services()]

    def service(self, name: str) -> Service:
        """Return the stack's service with this name. Raises `NotFound` if the stack has none.

        The name is that in the file, such as `web`, or that in the swarm, such as `shop_web`.
        """
        for view in self._services():
            if view["Spec"]["Name"] in {name, f"{self.name}_{name}"}:
                return Service(self._engine, view["ID"])
        raise NotFound(f"no such service: {self.name}_{name}")

    def tasks(self) -> list[dict[str, Any]]:
        """Return the tasks, dead ones included, as `docker stack ps` lists them."""
        return self._engine.complete(self._engine.rest.tasks.list(self._filter))

    def networks(self) -> list[Network]:
        """Return the stack's networks."""
        return NetworkCollection(self._engine).list(filters={"label": f"{LABEL}={self.name}"})

    def secrets(self) -> list[Secret]:
        """Return the stack's secrets."""
        return SecretCollection(self._engine).list(filters={"label": f"{LABEL}={self.name}"})

    def configs(self) -> list[Config]:
        """Return the stack's configs."""
        return ConfigCollection(self._engine).list(filters={"label": f"{LABEL}={self.name}"})

    def _services(self) -> list[dict[str, Any]]:
        views = self._engine.complete(self._engine.rest.services.list(self._filter))
        return sorted(views, key=lambda view: _natural(view["Spec"]["Name"]))

    def remove(self) -> None:
        """Remove services, secrets, configs and networks, in this order, as `docker stack rm` does. Volumes stay.

        Raises `NotFound` if the stack has none of these. If some cannot be removed, the others are removed first, and
        `Conflict` then reports all failures.
        """
        services, networks = self.services(), self.networks()
        kinds: list[tuple[str, Iterable[Any]]] = [
            ("service", services), ("secret", self.secrets()), ("config", self.configs()), ("network", networks),
        ]  # fmt: skip
        if not any(resources for _, resources in kinds):
            raise NotFound(f"nothing found in stack: {self.name}")
        failures = []
        for kind, resources in kinds:
            for resource in resources:
                try:
                    resource.remove()
                except EngineError as error:
                    failures.append(f"Failed to remove {kind} {resource.id}: {error.message}")
        if failures:
            failures.append(f"failed to remove some resources from stack: {self.name}")
            raise Conflict("\n".join(failures))


@raises_docker_errors
@define
class StackCollection:
    """The stacks of the swarm that an engine manages. `reader` is the function that parses stack files."""

    _engine: Session = field(repr=False)
    reader: StackReader | None = field(default=None, repr=False)

    def deploy(
        self,
        name: str,
        files: StackFiles | StackDescription,
        *,
        prune: bool = False,
        resolve_image: str = "always",
        env: Mapping[str, str] | None = None,
        folder: str | Path | None = None,
    ) -> Stack:
        """Create a stack from its files, or update it to match them.

        An element of `files` is the path of a file, or the content of one as a multi-line string or as a mapping;
        later elements are merged into earlier ones. `env` are the variables for `${…}`. Relative paths in a file
        start from the folder of the first file; in content that is given directly, from `folder`. Services whose spec
        did not change are not updated. `prune` removes services that are in the stack but not in the files.
        `resolve_image` is "always", "changed" or "never". With "changed" and "never", a service whose image is the
        same in the files as before keeps the image that it has in the swarm. Tasks start in the background:
        `lab.settle()` waits for them.

        Raises `FileError` for an error in a file, before anything is created. If the engine refuses an object, raises
        `FileError`, too, but the objects that were created before it remain, as with the docker command. Raises
        `Unavailable` on an engine that is not a manager.
        """
        if not name.strip(" \t\n\r\"'"):
            raise InvalidParameter(f'invalid stack name: "{name}"')
        if resolve_image not in _RESOLVING:
            raise InvalidParameter(f"invalid option {resolve_image} for flag --resolve-image")
        description = files if isinstance(files, StackDescription) else self._read(name, files, env or {}, folder)
        if not self._engine.rest.system.info()["Swarm"]["ControlAvailable"]:
            raise Unavailable(
                'this node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this '
                "node to swarm and try again"
            )
        stack = Stack(self._engine, name, description.notices)
        _Deployment(self._engine, stack, description, resolve_image).run(prune=prune)
        return stack

    def _read(
        self, name: str, files: StackFiles, env: Mapping[str, str], folder: str | Path | None
    ) -> StackDescription:
        if self.reader is None:
            raise InvalidParameter("this engine was given no reader of stack files: deploy a StackDescription")
        return self.reader(name, files, env, None if folder is None else Path(folder))

    def list(self) -> list[Stack]:
        """Return the stacks that have services, sorted by name."""
        services = self._engine.complete(self._engine.rest.services.list({"filters": {"label": [LABEL]}}))
        names = {view["Spec"]["Labels"][LABEL] for view in services}
        return [Stack(self._engine, name) for name in sorted(names, key=_natural)]

    def get(self, name: str) -> Stack:
        """Return a stack by its name. Raises `NotFound` if it has no service."""
        for stack in self.list():
            if stack.name == name:
                return stack
        raise NotFound(f"nothing found in stack: {name}")


@define
class _Deployment:
    """One run of `docker stack deploy`: creates or updates the objects of `description` in `stack`."""

    engine: Session
    stack: Stack
    description: StackDescription
    resolve_image: str

    def run(self, *, prune: bool) -> None:
        if prune:
            for service in self.stack.services():
                if service.name not in self.description.services:
                    service.remove()
        for name in self.description.external_networks:
            self._require_network(name)
        present = {network.name for network in self.stack.networks()}
        for name, body in self.description.networks.items():
            if name not in present:
                self._create_network(name, body)
        for body in self.description.secrets:
            self._ensure_content("secret", body)
        for body in self.description.configs:
            self._ensure_content("config", body)
        specs = {name: self._with_ids(name, spec) for name, spec in self.description.services.items()}
        there = {view["Spec"]["Name"]: view for view in self.stack._services()}
        for name, spec in specs.items():
            self._ensure_service(name, spec, there.get(name))

    def _refused(self, kind: str, name: str, text: str, error: EngineError) -> Exception:
        return self.description.located_error(kind, name, f"{text}: {error.message}", error)

    # ---- networks

    def _require_network(self, name: str) -> None:
        if name in _PREDEFINED:
            return
        text = f'network "{name}" is declared as external, but '
        try:
            scope = self.engine.rest.networks.inspect(name)["Scope"]
        except NotFound:
            text += "could not be found. You need to create a swarm-scoped network before the stack is deployed"
            raise self.description.located_error("network", name, text, EngineError("")) from None
        if scope != "swarm":
            text += f'it is not in the right scope: "{scope}" instead of "swarm"'
            raise self.description.located_error("network", name, text, EngineError(""))

    def _create_network(self, name: str, body: Body) -> None:
        try:
            self.engine.complete(self.engine.rest.networks.create(body))
        except EngineError as error:
            raise self._refused("network", name, f"failed to create network {name}", error) from error

    # ---- secrets and configs

    def _ensure_content(self, kind: str, body: Body) -> None:
        rest: Any = getattr(self.engine.rest, f"{kind}s")
        name, doing = body["Name"], "create"
        try:
            try:
                view = self.engine.complete(rest.inspect(name))
            except NotFound:
                self.engine.complete(rest.create(body))
            else:
                doing = "update"
                self.engine.complete(rest.update(view["ID"], body, {"version": str(view["Version"]["Index"])}))
        except EngineError as error:
            raise self._refused(kind, name, f"failed to {doing} {kind} {name}", error) from error

    def _with_ids(self, name: str, spec: Body) -> Body:
        """Return a copy of the spec of the service `name` in which secrets and configs are referred to by id."""
        template = spec["TaskTemplate"]
        container = dict(template["ContainerSpec"])
        for kind in ("secret", "config"):
            title = kind.capitalize()
            if container.get(f"{title}s"):
                rest: Any = getattr(self.engine.rest, f"{kind}s")
                known = {view["Spec"]["Name"]: view["ID"] for view in self.engine.complete(rest.list())}
                container[f"{title}s"] = [
                    {**reference, f"{title}ID": self._id_in(known, kind, reference[f"{title}Name"], name)}
                    for reference in container[f"{title}s"]
                ]
        credential = container.get("Privileges", {}).get("CredentialSpec")
        if credential and credential.get("Config"):
            runtime = next(reference for reference in container["Configs"] if "Runtime" in reference)
            container["Privileges"] = {**container["Privileges"], "CredentialSpec": {"Config": runtime["ConfigID"]}}
        return {**spec, "TaskTemplate": {**template, "ContainerSpec": container}}

    def _id_in(self, known: Mapping[str, str], kind: str, reference: str, service: str) -> str:
        if reference not in known:
            short = service.removeprefix(f"{self.stack.name}_")
            text = f"{kind} not found: {reference}"
            raise self.description.located_error("service", service, f"service {short}: {text}", EngineError(text))
        return known[reference]

    # ---- services

    def _ensure_service(self, name: str, spec: Body, present: dict[str, Any] | None) -> None:
        rest = self.engine.rest.services
        doing = "create" if present is None else "update"
        try:
            if present is None:
                self.engine.complete(rest.create(_tagged(spec)))
            else:
                version = {"version": str(present["Version"]["Index"])}
                self.engine.complete(rest.update(present["ID"], _tagged(self._kept(spec, present["Spec"])), version))
        except EngineError as error:
            raise self._refused("service", name, f"failed to {doing} service {name}", error) from error

    def _kept(self, spec: Body, present: Body) -> Body:
        """Return the new spec of a service with values taken over from `present`, its spec in the swarm.

        The count of forced updates is taken over always. The image is taken over if the files contain the same image
        as at the last deployment, unless `resolve_image` is "always".
        """
        template = spec["TaskTemplate"]
        container = dict(template["ContainerSpec"])
        is_same = container["Image"] == present["Labels"].get(_LABEL_IMAGE)
        if self.resolve_image != "always" and is_same:
            container["Image"] = present["TaskTemplate"]["ContainerSpec"]["Image"]
        forced = present["TaskTemplate"].get("ForceUpdate", 0)
        return {**spec, "TaskTemplate": {**template, "ContainerSpec": container, "ForceUpdate": forced}}


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a sort key for a name, so that `web2` precedes `web10`, as in the docker command's lists."""
    return [(int(part), "") if is_number(part) else (0, part) for part in re.split(r"([0-9]+)", name) if part]


def _tagged(spec: Body) -> Body:
    """Return a copy of a service spec whose image has its short name and a tag, such as `nginx:latest`.

    The docker command sends images in this form (`imageWithTagString`).
    """
    from cnmsim.engine.cluster.task_container import image_name

    template = spec["TaskTemplate"]
    container = {**template["ContainerSpec"], "Image": image_name(template["ContainerSpec"]["Image"])}
    return {**spec, "TaskTemplate": {**template, "ContainerSpec": container}}

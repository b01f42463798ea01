"""Templates in container specs, secrets and configs, such as `{{.Node.Hostname}}-{{.Task.Slot}}`.

Templates are Go's text/template with the function `join` and, in secrets and configs, `secret`, `config` and `env`.
Source: moby/swarmkit `template/{context,expand,template,getter}.go`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from attrs import evolve, frozen

from cnmsim.errors import SystemFault
from cnmsim.gostrconv import quote
from cnmsim.gotemplate import Function, Struct, TemplateError, Value, comparisons, execute
from cnmsim.libnetwork.profile import Profile
from cnmsim.swarm.objects import ContainerSpec, Driver, NodeDescription, Task

T = TypeVar("T")
R = TypeVar("R")
_NAME = "expansion"
_JOIN = Function(
    lambda separator="", *parts: str(separator).join(map(str, parts)), 0, is_variadic=True, needs_strings=True
)


@frozen
class TemplateContext:
    """What a task's templates can use: the fields of `data`, such as `.Service.Name`, and further `functions`."""

    data: Struct
    functions: Mapping[str, Function]


def template_context(task: Task, node: NodeDescription | None, profile: Profile) -> TemplateContext:
    """Return what a task's templates can use in the release `profile`.

    `node` is the description of the task's node, `None` if it is not known.
    """
    platform = node.platform if node is not None else None
    service_fields: dict[str, Value] = {
        "ID": task.service_id,
        "Name": task.service_annotations.name,
        "Labels": dict(task.service_annotations.labels),
    }
    platform_fields: dict[str, Value] = {
        "Architecture": platform.architecture if platform is not None else "",
        "OS": platform.os if platform is not None else "",
    }
    node_fields: dict[str, Value] = {
        "ID": task.node_id,
        "Hostname": node.hostname if node is not None else "",
        "Platform": Struct("template.Platform", platform_fields),
    }
    # Tasks of a global service have no slot; `.Task.Slot` is their node's id.
    task_fields: dict[str, Value] = {
        "ID": task.id,
        "Name": task.name,
        "Slot": str(task.slot) if task.slot else task.node_id,
    }
    data = Struct(
        "*template.Context",
        {
            "Service": Struct("struct { ID string; Name string; Labels map[string]string }", service_fields),
            "Node": Struct("struct { ID string; Hostname string; Platform template.Platform }", node_fields),
            "Task": Struct("struct { ID string; Name string; Slot string }", task_fields),
        },
    )
    compare = comparisons(names_types=profile.template_comparisons_name_types)
    return TemplateContext(data, {"join": _JOIN, **compare})


def expand(text: str, context: TemplateContext) -> str:
    """Return the output of the template `text`.

    Raises `SystemFault` with text/template's message for an invalid template.
    """
    try:
        return execute(_NAME, text, context.data, context.functions)
    except TemplateError as error:
        raise SystemFault(str(error)) from None


def expand_container(task: Task, node: NodeDescription | None, profile: Profile) -> ContainerSpec:
    """Return a task's container spec with the templates in its environment, mounts and host name expanded.

    `node` is the task's node, if known. Raises `SystemFault` for an invalid template.
    """
    spec = task.spec.container
    assert spec is not None
    context = template_context(task, node, profile)
    env = tuple(_expand_variable(entry, context) for entry in spec.env)
    mounts = tuple(_with_error_prefix("mounts failed", _expand_mount, mount, context) for mount in spec.mounts)
    hostname = _with_error_prefix("hostname failed", expand, spec.hostname, context)
    return evolve(spec, env=env, mounts=mounts, hostname=hostname)


def _expand_variable(entry: str, context: TemplateContext) -> str:
    """Expand the value in a `NAME=value` entry of the environment. An entry without `=` is returned unchanged."""
    name, equals, value = entry.partition("=")
    if not equals:
        return entry
    expanded = _with_error_prefix(f"env failed: expanding env {quote(entry)}", expand, value, context)
    return f"{name}={expanded}"


def _expand_mount(mount: Mapping[str, Any], context: TemplateContext) -> dict[str, Any]:
    """Expand the templates in a mount's source and target, and in the labels and driver options for its volume."""
    filled = dict(mount)
    for key in ("Source", "Target"):
        if filled.get(key):
            subject = f"mount {key.lower()} {quote(filled[key])}"
            filled[key] = _with_error_prefix(subject, expand, filled[key], context)
    options = filled.get("VolumeOptions")
    if options is not None:
        labels = _with_error_prefix("volume labels", _expand_map, options.get("Labels") or {}, context)
        options = filled["VolumeOptions"] = {**options, "Labels": labels}
        driver = options.get("DriverConfig")
        if driver is not None:
            entries = _with_error_prefix("volume driver config", _expand_map, driver.get("Options") or {}, context)
            options["DriverConfig"] = {**driver, "Options": entries}
    return filled


def _expand_map(table: Mapping[str, str], context: TemplateContext) -> dict[str, str]:
    return {
        key: _with_error_prefix(f"map entry {quote(key)}={quote(value)}", expand, value, context)
        for key, value in table.items()
    }


def _with_error_prefix(
    subject: str, fill_in: Callable[[T, TemplateContext], R], value: T, context: TemplateContext
) -> R:
    """Return `fill_in(value, context)`. If it raises `SystemFault`, prefix the message by "expanding SUBJECT: "."""
    try:
        return fill_in(value, context)
    except SystemFault as error:
        raise SystemFault(f"expanding {subject}: {error.message}") from None


def expand_payload(
    data: bytes,
    templating: Driver | None,
    task: Task,
    node: NodeDescription | None,
    secrets: Mapping[str, bytes],
    configs: Mapping[str, bytes],
    profile: Profile,
) -> bytes:
    """Return the content of a secret or config for a task: `data`, expanded if the templating driver is `golang`.

    `secrets` and `configs` map the target file names of the task's secrets and configs to their contents. Raises
    `SystemFault` for an invalid template or another templating driver.
    """
    if templating is None:
        return data
    if templating.name != "golang":
        raise SystemFault("unrecognized template type")
    container = task.spec.container
    env = dict(entry.partition("=")[::2] for entry in (container.env if container is not None else ()))

    def look_up(kind: str, table: Mapping[str, bytes]) -> Function:
        def find(name: Value) -> str:
            if name not in table:
                raise TemplateError(f"{kind} target {name} not found")
            return table[str(name)].decode(errors="surrogateescape")

        return Function(find, 1, needs_strings=True)

    functions = {
        "secret": look_up("secret", secrets),
        "config": look_up("config", configs),
        "env": Function(lambda name: env.get(str(name), ""), 1, needs_strings=True),
    }
    context = template_context(task, node, profile)
    context = TemplateContext(
        evolve(context.data, type_name="*template.PayloadContext"), {**context.functions, **functions}
    )
    filled = expand(data.decode(errors="surrogateescape"), context)
    return filled.encode(errors="surrogateescape")

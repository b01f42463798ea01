"""Templates in the spec of a task's container and in secrets and configs: `{{.Node.Hostname}}-{{.Task.Slot}}`.

Of Go's text/template this reads what specs use: fields of the context, `index` of a map of labels, text in quotes, and in
payloads `secret`, `config` and `env`. Source: moby/swarmkit `template/{context,expand,template,getter}.go`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from attrs import evolve

from cnmsim.errors import SystemFault
from cnmsim.swarm.objects import ContainerSpec, Driver, NodeDescription, Task

_ACTION = re.compile(r"\{\{(-?)(.*?)(-?)\}\}", re.DOTALL)
_WORD = re.compile(r'\s*("(?:[^"\\]|\\.)*"|`[^`]*`|[^\s"`]+)')

Function = Callable[[str], str]
T = TypeVar("T")
R = TypeVar("R")
#: How Go calls the types of the context's parts.
_TYPES = {
    "Service": "struct { ID string; Name string; Labels map[string]string }",
    "Node": "struct { ID string; Hostname string; Platform template.Platform }",
    "Task": "struct { ID string; Name string; Slot string }",
    "Platform": "template.Platform",
    "Labels": "map[string]string",
}


def context_of(task: Task, node: NodeDescription | None) -> dict[str, Any]:
    """Give what templates of a task may refer to."""
    platform = node.platform if node is not None else None
    return {
        "Service": {
            "ID": task.service_id,
            "Name": task.service_annotations.name,
            "Labels": dict(task.service_annotations.labels),
        },
        "Node": {
            "ID": task.node_id,
            "Hostname": node.hostname if node is not None else "",
            "Platform": {
                "Architecture": platform.architecture if platform is not None else "",
                "OS": platform.os if platform is not None else "",
            },
        },
        "Task": {
            "ID": task.id,
            "Name": task.name,
            # What stands for a slot in a global service is its node.
            "Slot": str(task.slot) if task.slot else task.node_id,
        },
    }


def expand(text: str, context: Mapping[str, Any], functions: Mapping[str, Function] | None = None) -> str:
    """Fill in a template. Raises `SystemFault` in text/template's words for what it cannot evaluate."""
    result: list[str] = []
    position = 0
    trims = False
    for action in _ACTION.finditer(text):
        before = text[position : action.start()]
        before = before.lstrip() if trims else before
        result.append(before.rstrip() if action[1] else before)
        column = action.start(2) + len(action[2]) - len(action[2].lstrip())
        result.append(_evaluate(action[2].strip(), context, functions or {}, column))
        position, trims = action.end(), bool(action[3])
    rest = text[position:]
    if "{{" in rest:
        raise SystemFault("template: expansion:1: unclosed action")
    result.append(rest.lstrip() if trims else rest)
    return "".join(result)


def _evaluate(expression: str, context: Mapping[str, Any], functions: Mapping[str, Function], column: int = 2) -> str:
    words = _WORD.findall(expression)
    if not words:
        raise SystemFault("template: expansion:1: missing value for command")
    first, *arguments = words
    if first == "index" and len(arguments) == 2:
        return str(_field(arguments[0], context).get(_literal(arguments[1]), ""))
    if first.startswith(".") and not arguments:
        value = _field(first, context, column)
        if isinstance(value, Mapping):
            return "map[" + " ".join(f"{key}:{each}" for key, each in sorted(value.items())) + "]"
        return str(value)
    if first[0] in '"`' and not arguments:
        return _literal(first)
    if first in functions and len(arguments) == 1:
        return functions[first](_literal(arguments[0]))
    raise SystemFault(f'template: expansion:1: function "{first}" not defined')


def _field(path: str, context: Mapping[str, Any], column: int = 2) -> Any:
    value: Any = context
    kind = "*template.Context"
    names = path.strip(".").split(".")
    if len(names) > 1:
        column += len(names[0]) + 1  # text/template points at the second name of a chain
    for name in names:
        if not isinstance(value, Mapping) or name not in value:
            raise SystemFault(
                f'template: expansion:1:{column}: executing "expansion" at <{path}>: can\'t evaluate field {name} in type'
                f" {kind}"
            )
        value, kind = value[name], _TYPES.get(name, "string")
    return value


def _literal(word: str) -> str:
    if word[0] == "`":
        return word[1:-1]
    if word[0] == '"':
        return re.sub(r"\\(.)", r"\1", word[1:-1])
    raise SystemFault(f"template: expansion:1: {word} is no text")


def expand_container(task: Task, node: NodeDescription | None) -> ContainerSpec:
    """Give a task's container spec with environment, mounts and host name filled in. Raises `SystemFault`."""
    spec = task.spec.container
    assert spec is not None
    context = context_of(task, node)
    env = tuple(_variable(each, context) for each in spec.env)
    mounts = tuple(_named("mounts failed", _mount, each, context) for each in spec.mounts)
    hostname = _named("hostname failed", expand, spec.hostname, context)
    return evolve(spec, env=env, mounts=mounts, hostname=hostname)


def _variable(entry: str, context: Mapping[str, Any]) -> str:
    """Fill in the value of an environment variable; one without a value stays as it is."""
    name, equals, value = entry.partition("=")
    if not equals:
        return entry
    expanded = _named(f"env failed: expanding env {_quoted(entry)}", expand, value, context)
    return f"{name}={expanded}"


def _mount(mount: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in source and target of a mount, and the labels and options of a volume that it makes."""
    filled = dict(mount)
    for key in ("Source", "Target"):
        if filled.get(key):
            what = f"mount {key.lower()} {_quoted(filled[key])}"
            filled[key] = _named(what, expand, filled[key], context)
    options = filled.get("VolumeOptions")
    if options is not None:
        labels = _named("volume labels", _entries, options.get("Labels") or {}, context)
        options = filled["VolumeOptions"] = {**options, "Labels": labels}
        driver = options.get("DriverConfig")
        if driver is not None:
            entries = _named("volume driver config", _entries, driver.get("Options") or {}, context)
            options["DriverConfig"] = {**driver, "Options": entries}
    return filled


def _entries(table: Mapping[str, str], context: Mapping[str, Any]) -> dict[str, str]:
    return {
        key: _named(f"map entry {_quoted(key)}={_quoted(value)}", expand, value, context)
        for key, value in table.items()
    }


def _quoted(text: str) -> str:
    """Write a text as Go's %q does."""
    return json.dumps(text, ensure_ascii=False)


def _named(what: str, fill_in: Callable[[T, Mapping[str, Any]], R], value: T, context: Mapping[str, Any]) -> R:
    """Fill in a value; say what it was if that fails."""
    try:
        return fill_in(value, context)
    except SystemFault as error:
        raise SystemFault(f"expanding {what}: {error.message}") from None


def expand_payload(
    data: bytes,
    templating: Driver | None,
    task: Task,
    node: NodeDescription | None,
    secrets: Mapping[str, bytes],
    configs: Mapping[str, bytes],
) -> bytes:
    """Give the content of a secret or config for a task: as it is, or filled in if its driver is `golang`.

    `secrets` and `configs` hold what the task was granted, by the names of their files. Raises `SystemFault`.
    """
    if templating is None or not templating.name:
        return data
    if templating.name != "golang":
        raise SystemFault(f"unrecognized template type {templating.name}")
    container = task.spec.container
    env = dict(each.partition("=")[::2] for each in (container.env if container is not None else ()))

    def look_up(kind: str, table: Mapping[str, bytes]) -> Function:
        def find(name: str) -> str:
            if name not in table:
                raise SystemFault(f"{kind} target {name} not found")
            return table[name].decode(errors="replace")

        return find

    functions = {
        "secret": look_up("secret", secrets),
        "config": look_up("config", configs),
        "env": lambda name: env.get(name, ""),
    }
    return expand(data.decode(errors="replace"), context_of(task, node), functions).encode()

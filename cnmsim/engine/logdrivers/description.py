"""The data about a container that its logging driver adds to messages: tags and extra attributes.

Source: moby `daemon/logger/loginfo.go`, `daemon/logger/loggerutils/log_tag.go`, `daemon/logger/templates`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote_plus

from cnmsim.gojson.fields import rfc3339

if TYPE_CHECKING:
    from cnmsim.engine.containers.container import Container
    from cnmsim.gotemplate import Function, Value

DEFAULT_TAG = "{{.ID}}"
#: Python's messages about regular expressions, and Go's.
_GO_FAULTS = {
    "missing ), unterminated subpattern": "missing closing )",
    "unbalanced parenthesis": "unexpected )",
    "unterminated character set": "missing closing ]",
    "nothing to repeat": "missing argument to repetition operator",
}


def _info(container: Container, hostname: str) -> dict[str, Value]:
    command = container.command
    return {
        "Config": dict(container.host_config["LogConfig"]["Config"] or {}),
        "ContainerID": container.id,
        "ContainerName": f"/{container.name}",
        "ContainerEntrypoint": command[0] if command else "",
        "ContainerArgs": " ".join(command[1:]),
        "ContainerImageID": container.image.id,
        "ContainerImageName": container.config["Image"],
        "ContainerCreated": rfc3339(container.created_ns),
        "ContainerLabels": dict(container.config["Labels"] or {}),
        "DaemonName": "docker",
        "Hostname": hostname,
        "Command": " ".join(command),
        "ID": container.id[:12],
        "FullID": container.id,
        "Name": container.name,
        "ImageID": container.image.id[:12],
        "ImageFullID": container.image.id,
        "ImageName": container.config["Image"],
    }


def _functions() -> dict[str, Function]:
    """Return the functions that a tag's template can call, by name."""
    from cnmsim.gotemplate import Function

    return {
        "lower": Function(lambda text: str(text).lower(), 1, needs_strings=True),
        "upper": Function(lambda text: str(text).upper(), 1, needs_strings=True),
        "title": Function(lambda text: str(text).title(), 1, needs_strings=True),
        "join": Function(
            lambda separator="", *parts: str(separator).join(map(str, parts)), 0, is_variadic=True, needs_strings=True
        ),
        "truncate": Function(lambda text, length: str(text)[: int(length)] if isinstance(length, int) else "", 2),
    }


def log_tag(container: Container, hostname: str, default: str) -> str:
    """Return the tag of a container's messages: the expanded template of the option `tag`, or else of `default`.

    `hostname` is the host's name. Raises `ValueError`, with the message of Go's text/template, if the template is
    invalid.
    """
    template = _options(container).get("tag") or default
    if not template:
        return ""
    from cnmsim.gotemplate import Struct, TemplateError, execute

    try:
        return execute("log-tag", template, Struct("*logger.Info", _info(container, hostname)), _functions())
    except TemplateError as error:
        raise ValueError(str(error)) from None


def extra_attributes(container: Container, rename: Callable[[str], str] = str) -> dict[str, str]:
    """Return the container's labels and environment variables that the options `labels`, `env` and so on select.

    `rename` is applied to their names. Raises `ValueError` for an invalid regular expression.
    """
    options = _options(container)
    variables = dict(entry.split("=", 1) for entry in container.config["Env"] or () if "=" in entry)
    labels: Mapping[str, str] = container.config["Labels"] or {}
    chosen = {
        **_selected(labels, options.get("labels", ""), options.get("labels-regex", "")),
        **_selected(variables, options.get("env", ""), options.get("env-regex", "")),
    }
    return {rename(key): value for key, value in chosen.items()}


def details(attributes: Mapping[str, str]) -> str:
    """Return the attributes as `docker logs --details` prints them: `a=1,b=2`, sorted and URL-encoded."""
    return ",".join(sorted(f"{quote_plus(key)}={quote_plus(value)}" for key, value in attributes.items()))


def _options(container: Container) -> Mapping[str, str]:
    options: Mapping[str, str] = container.host_config["LogConfig"]["Config"] or {}
    return options


def _selected(values: Mapping[str, str], names: str, expression: str) -> dict[str, str]:
    wanted: Iterable[str] = names.split(",") if names else ()
    chosen = {name: values[name] for name in wanted if name in values}
    if expression:
        pattern = _compile(expression)
        chosen |= {name: value for name, value in values.items() if pattern.search(name)}
    return chosen


def _compile(expression: str) -> re.Pattern[str]:
    try:
        return re.compile(expression)
    except re.error as error:
        fault = _GO_FAULTS.get(error.msg, error.msg)
        raise ValueError(f"error parsing regexp: {fault}: `{expression}`") from None

"""The forms in which a stack file may write one thing: a list or a mapping, a text or a list, a long or a short port.

Source: docker/cli `cli/compose/loader/loader.go` (v29.7.2).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cnmsim.kernel.address import parse_ip
from cnmsim.lab.compose.ports import parse_port
from cnmsim.lab.yamlfile import read_text


def text_of(value: Any) -> str:
    """Write a scalar as Go prints it; an empty one is ""."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def pairs(value: Any) -> dict[str, str]:
    """Read `key=value` lines or a mapping; a key alone has the value ""."""
    return {key: each or "" for key, each in optional_pairs(value).items()}


def optional_pairs(value: Any) -> dict[str, str | None]:
    """Read `key=value` lines or a mapping; a key alone has no value."""
    if isinstance(value, Mapping):
        return {key: None if each is None else text_of(each) for key, each in value.items()}
    found: dict[str, str | None] = {}
    for item in value or ():
        key, equals, text = str(item).partition("=")
        found[key] = text if equals else None
    return found


def texts(value: Any) -> list[str]:
    """Read a text or a list of them."""
    return [value] if isinstance(value, str) else [text_of(each) for each in value or ()]


def words(value: Any) -> list[str]:
    """Read a command, as a list or as a shell would split it. Raises `ValueError`."""
    if not isinstance(value, str):
        return texts(value)
    try:
        return shlex.split(value, comments=True)
    except ValueError:
        raise ValueError("EOF found when expecting closing quote") from None


def extra_hosts(value: Any) -> list[str]:
    """Read `host:address` or `host=address` entries into the lines a task's /etc/hosts gets: `address host`."""
    if isinstance(value, Mapping):
        entries = sorted((str(name), text_of(address)) for name, address in value.items() if address is not None)
    else:
        entries = [_split_host(str(item)) for item in value or () if "=" in str(item) or ":" in str(item)]
    return [f"{_unbracketed(address)} {name}" for name, address in entries]


def _split_host(entry: str) -> tuple[str, str]:
    name, _, address = entry.partition("=" if "=" in entry else ":")
    return name, address


def _unbracketed(address: str) -> str:
    return address[1:-1] if len(address) > 2 and address.startswith("[") and address.endswith("]") else address


def ports(item: Any) -> tuple[list[dict[str, Any]], list[str]]:
    """Read one item of `ports` into the API's port configurations, and what is warned of. Raises `ValueError`."""
    if isinstance(item, Mapping):
        return [
            {
                "Protocol": item.get("protocol", ""),
                "TargetPort": item.get("target", 0),
                "PublishedPort": item.get("published", 0),
                "PublishMode": item.get("mode", ""),
            }
        ], []
    found, warnings = [], []
    for mapping in parse_port(str(item)):
        if mapping.host_ip and any(parse_ip(mapping.host_ip)):
            shown = f"[{mapping.host_ip}]" if ":" in mapping.host_ip else mapping.host_ip
            place = f"{shown}:{mapping.published}:{mapping.key}"
            warnings.append(f"ignoring IP-address ({place}) service will listen on '0.0.0.0'")
        first, _, last = mapping.published.partition("-")
        found += [
            {
                "Protocol": mapping.protocol,
                "TargetPort": mapping.target,
                "PublishedPort": published,
                "PublishMode": "ingress",
            }
            for published in range(int(first or 0), int(last or first or 0) + 1)
        ]
    return found, warnings


def read_variables(path: Path) -> Iterator[tuple[str, str | None]]:
    """Read an `env_file`: `NAME=value` lines as they are, without quotes or variables (docker/cli `pkg/kvfile`).

    Raises `FileError` for a file that is none, `ValueError` for a line that is wrong.
    """
    for line in read_text(path).splitlines():
        text = line.lstrip()
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if any(letter.isspace() for letter in name):
            raise ValueError(f"variable '{name}' contains whitespaces")
        if not name:
            raise ValueError(f"no variable name on line '{text}'")
        yield name, value if equals else None


def capabilities(add: Sequence[str], drop: Sequence[str]) -> tuple[list[str], list[str]]:
    """Give the capabilities to add and to drop, in their full names; what is added is not dropped."""
    adds, drops = {_capability(each) for each in add}, {_capability(each) for each in drop}
    adds = {"ALL"} if "ALL" in adds else adds
    drops = {"ALL"} if "ALL" in drops else drops
    return sorted(adds - {"RESET"}), sorted(drops - adds - {"RESET"})


def _capability(name: str) -> str:
    name = name.strip().upper()
    return name if name in {"ALL", "RESET"} or name.startswith("CAP_") else f"CAP_{name}"

"""Values with several forms: list or mapping, string or list, short or long port syntax.

Source: docker/cli `cli/compose/loader/loader.go` (v29.7.2).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cnmsim.kernel.address import parse_ip
from cnmsim.lab.compose.port_syntax import parse_port
from cnmsim.lab.compose.scalars import scalar_text
from cnmsim.lab.yamlfile import read_text


def string_list(value: Any) -> list[str]:
    """Convert a string or a list of scalars to a list of strings."""
    return [value] if isinstance(value, str) else [scalar_text(item) for item in value or ()]


def split_command(value: Any) -> list[str]:
    """Convert a command, which is a list or a string in shell syntax, to a list of words.

    Raises `ValueError` if a quote is not closed.
    """
    if not isinstance(value, str):
        return string_list(value)
    try:
        return shlex.split(value, comments=True)
    except ValueError:
        raise ValueError("EOF found when expecting closing quote") from None


def extra_hosts(value: Any) -> list[str]:
    """Convert `host:address` or `host=address` entries to lines of /etc/hosts such as `10.0.0.5 db`."""
    if isinstance(value, Mapping):
        entries = sorted((str(name), scalar_text(address)) for name, address in value.items() if address is not None)
    else:
        entries = [_split_host(str(item)) for item in value or () if "=" in str(item) or ":" in str(item)]
    return [f"{_unbracketed(address)} {name}" for name, address in entries]


def _split_host(entry: str) -> tuple[str, str]:
    name, _, address = entry.partition("=" if "=" in entry else ":")
    return name, address


def _unbracketed(address: str) -> str:
    return address[1:-1] if len(address) > 2 and address.startswith("[") and address.endswith("]") else address


def ports(item: Any) -> tuple[list[dict[str, Any]], list[str]]:
    """Convert one item of `ports` to a list of JSON port configurations and a list of warnings to print.

    Raises `ValueError` for an invalid item.
    """
    if isinstance(item, Mapping):
        return [
            {
                "Protocol": item.get("protocol", ""),
                "TargetPort": item.get("target", 0),
                "PublishedPort": item.get("published", 0),
                "PublishMode": item.get("mode", ""),
            }
        ], []
    configs, warnings = [], []
    for mapping in parse_port(str(item)):
        if mapping.host_ip and any(parse_ip(mapping.host_ip)):
            address = f"[{mapping.host_ip}]" if ":" in mapping.host_ip else mapping.host_ip
            place = f"{address}:{mapping.published}:{mapping.key}"
            warnings.append(f"ignoring IP-address ({place}) service will listen on '0.0.0.0'")
        first, _, last = mapping.published.partition("-")
        configs += [
            {
                "Protocol": mapping.protocol,
                "TargetPort": mapping.target,
                "PublishedPort": published,
                "PublishMode": "ingress",
            }
            for published in range(int(first or 0), int(last or first or 0) + 1)
        ]
    return configs, warnings


def read_variables(path: Path) -> Iterator[tuple[str, str | None]]:
    """Yield (name, value) for each line of the file at `path`, an `env_file`.

    Lines have the form `NAME=value`, without quoting or substitution (docker/cli `pkg/kvfile`); for a line that
    consists of a name only, the value is `None`. Raises `FileError` for an unreadable file, `ValueError` for an
    invalid line.
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
    """Return the capabilities to add and those to drop, by their full names such as `CAP_NET_ADMIN`.

    A capability that is in both lists is only added.
    """
    adds, drops = {_capability(name) for name in add}, {_capability(name) for name in drop}
    adds = {"ALL"} if "ALL" in adds else adds
    drops = {"ALL"} if "ALL" in drops else drops
    return sorted(adds - {"RESET"}), sorted(drops - adds - {"RESET"})


def _capability(name: str) -> str:
    name = name.strip().upper()
    return name if name in {"ALL", "RESET"} or name.startswith("CAP_") else f"CAP_{name}"

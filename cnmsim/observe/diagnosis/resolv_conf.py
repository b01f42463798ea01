"""Find out where the lines of a container's /etc/resolv.conf come from, by the comments that the engine adds.

Source: moby `libnetwork/internal/resolvconf/resolvconf.go` (all releases).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cnmsim.kernel.files import FileSystem

_PATH = "/etc/resolv.conf"
_INTERNAL = "127.0.0.11"
_COMMENT = re.compile(r"# (Based on host file|ExtServers|Overrides|Option ndots from): ?(.*)")


def resolv_conf_facts(files: FileSystem) -> tuple[str, ...]:
    """Return one text for each line of a container's resolv.conf: the line and where it comes from.

    `files` is the container's file system. The result is empty if the file was not written by an engine.
    """
    if not files.exists(_PATH):
        return ()
    text = files.read(_PATH).decode("utf-8", "replace")
    notes = {match[1]: match[2] for match in map(_COMMENT.match, text.splitlines()) if match}
    if "Overrides" not in notes:
        return ()
    host_file = notes.get("Based on host file", "").partition(" (")[0].strip("'")
    overridden = set(notes["Overrides"].strip("[]").split())
    facts = []
    for line in text.splitlines():
        kind, _, value = line.partition(" ")
        if kind == "nameserver":
            why = _server(value, notes, overridden, host_file, is_default="Used default nameservers" in text)
        elif kind in {"search", "options"}:
            why = (
                f"given by dns_{'opt' if kind == 'options' else 'search'}"
                if kind in overridden
                else f"from {host_file}"
            )
            if "ndots:0" in value and notes.get("Option ndots from") == "internal":
                why += ", and ndots:0 is the engine's own"
        else:
            continue
        facts.append(f"resolv.conf: {line} ({why})")
    return tuple(facts)


def _server(value: str, notes: dict[str, str], overridden: set[str], host_file: str, *, is_default: bool) -> str:
    origin = "given by dns" if "nameservers" in overridden else f"from the host's {host_file}"
    if value != _INTERNAL:
        return "the engine's default, as the host names none that can be used" if is_default else origin
    servers = notes.get("ExtServers", "").strip("[]")
    if not servers:
        return "the embedded resolver, which has no upstream server"
    upstreams = re.sub(r"host\(([^)]*)\)", r"\1 from the host", servers)
    return f"the embedded resolver, which forwards to {upstreams}: {origin}"

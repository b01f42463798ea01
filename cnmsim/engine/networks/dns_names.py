"""The DNS names of a container on a network: its name, aliases, short id and host name."""

from __future__ import annotations

from collections.abc import Iterable

from cnmsim.engine.containers.container import Container


def dns_names(container: Container, aliases: Iterable[str]) -> list[str]:
    """Return the DNS names of a container's endpoint.

    They are the container's name, `aliases`, the short id and the host name. Reverse lookups return the first one.
    """
    names = [container.name, *aliases, container.id[:12], container.hostname]
    return list(dict.fromkeys(name for name in names if name))

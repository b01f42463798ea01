"""Adapt changes that concern sandboxes without a container.

Such changes are calls of libnetwork, not docker commands.
"""

from __future__ import annotations

from cnmsim.observe.directory import Directory
from cnmsim.observe.fixes.changes import Change, ConnectNetwork, CreateNetwork, JoinNetwork, NewNetwork, Steps


def for_sandboxes(changes: tuple[Change, ...], directory: Directory) -> tuple[Change, ...]:
    """Return `changes`, with each change of a sandbox that belongs to no container replaced by a call of libnetwork.

    Changes of such a sandbox that only an engine can make, such as publishing a port, are left out.
    """
    sandboxes = {(item.host, item.name) for item in directory.locations if item.is_sandbox}
    if not sandboxes:
        return changes
    engines = {item.name for item in directory.locations if item.has_engine}
    converted = (_converted(change, sandboxes, engines) for change in changes)
    return tuple(change for change in converted if change is not None)


def _converted(change: Change, sandboxes: set[tuple[str, str]], engines: set[str]) -> Change | None:
    match change:
        case Steps(steps):
            converted = [_converted(step, sandboxes, engines) for step in steps]
            kept = tuple(step for step in converted if step is not None)
            return Steps(kept) if len(kept) == len(steps) else None
        case ConnectNetwork(host, network, name) if (host, name) in sandboxes:
            return JoinNetwork(host, network, name)
        case CreateNetwork(host, network) if host not in engines:
            return NewNetwork(host, network)
    host = getattr(change, "host", "")
    is_of_sandbox = (host, getattr(change, "container", "")) in sandboxes
    is_of_network = host not in engines and hasattr(change, "network") and not isinstance(change, JoinNetwork)
    return None if is_of_sandbox or is_of_network else change

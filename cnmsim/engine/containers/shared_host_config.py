"""Sharing of equal host configurations between containers, to save memory.

The tasks of a service have equal host configurations on all nodes of a lab.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cnmsim.kernel.clock import Clock

_COMMONS = "host configurations"
_REMEMBERED = 64


def shared_host_config(clock: Clock, host_config: dict[str, Any]) -> dict[str, Any]:
    """Return the equal configuration of an earlier container of the lab, or `host_config` itself if there is none.

    `clock` identifies the lab. Do not modify the result: to change a container's configuration, assign a new one.
    """
    known: dict[str, dict[str, Any]] = clock.registry.setdefault(_COMMONS, {})
    text = json.dumps(host_config)
    shared = known.pop(text, host_config)
    known[text] = shared  # most recently used last
    if len(known) > _REMEMBERED:
        del known[next(iter(known))]
    return shared

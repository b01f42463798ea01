"""The host configurations of a lab's containers, each told once: the tasks of a service have the same on all nodes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cnmsim.kernel.clock import Clock

_COMMONS = "host configurations"
_REMEMBERED = 64


def shared_host_config(clock: Clock, host_config: dict[str, Any]) -> dict[str, Any]:
    """Give the configuration that equals this one, if a container was made with it lately, else this one.

    It is not to be changed: a container whose configuration changes gets another.
    """
    known: dict[str, dict[str, Any]] = clock.registry.setdefault(_COMMONS, {})
    text = json.dumps(host_config)
    shared = known.pop(text, host_config)
    known[text] = shared  # the latest last
    if len(known) > _REMEMBERED:
        del known[next(iter(known))]
    return shared

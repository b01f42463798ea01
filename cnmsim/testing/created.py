"""What a docker-py client makes on an engine that others use too, so that just that can be removed again.

An engine's lists cannot tell whose things are: while a test runs, somebody else may make a container of the same kind. What a client
made is told by the answers to its own create calls (Engine API: `POST /containers/create`, `/networks/create`, `/services/create`,
`/secrets/create`, `/configs/create`).
"""

from __future__ import annotations

import re
import time
from typing import Any
from urllib.parse import urlsplit

#: `/v1.45/networks/create` → `networks`. Volumes are not among them: creating one that is there already is answered like a new one.
_CREATE = re.compile(r"^(?:/v[\d.]+)?/(services|containers|networks|secrets|configs)/create$")
#: What has to go before what: a network is kept by its containers, a secret by the services that use it.
_ORDER = ("services", "containers", "networks", "secrets", "configs")
#: Tasks of a removed service leave its networks and secrets some seconds later.
_PATIENCE_S = 15.0


class Created:
    """The things that a client has made since `Created(client)`, by kind and id."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.ids: dict[str, list[str]] = {kind: [] for kind in _ORDER}
        client.api.hooks["response"].append(self._on_answer)

    def _on_answer(self, answer: Any, *_: Any, **__: Any) -> None:
        found = _CREATE.match(urlsplit(answer.url).path)
        if found is None or answer.request.method != "POST" or answer.status_code != 201:
            return
        body = answer.json()
        self.ids[found.group(1)].append(body.get("Id") or body["ID"])

    def remove(self, patience_s: float = _PATIENCE_S) -> list[str]:
        """Remove them, and give in words what could not be removed. What is gone already is no fault."""
        self._client.api.hooks["response"].remove(self._on_answer)
        end = time.monotonic() + patience_s
        left = [failure for kind in _ORDER for each in self.ids[kind] if (failure := self._remove(kind, each, end))]
        self.ids = {kind: [] for kind in _ORDER}
        return left

    def _remove(self, kind: str, identity: str, end: float) -> str:
        from docker.errors import APIError, NotFound  # type: ignore[import-untyped]

        options = {"force": True, "v": True} if kind == "containers" else {}
        # A node keeps the network of a removed service until the last of its tasks has stopped there.
        lingers = kind == "networks" and bool(self.ids["services"])
        is_removed = False
        while True:
            try:
                thing = getattr(self._client, kind).get(identity)
                if not is_removed:
                    thing.remove(**options)
                    is_removed = True
            except NotFound:
                return ""
            except APIError as error:
                if time.monotonic() > end or not self.ids["services"]:
                    return f"{kind[:-1]} {identity[:12]}: {error.explanation or error}"
            if is_removed and (not lingers or time.monotonic() > end):
                return ""
            time.sleep(0.2)

"""Records which objects a docker-py client creates on a shared engine, and removes exactly these.

An engine's lists do not show which client created an object, and other clients may create objects during a test.
Therefore the responses to the client's create requests are recorded (Engine API: `POST /containers/create`,
`/networks/create`, `/services/create`, `/secrets/create`, `/configs/create`).
"""

from __future__ import annotations

import re
import time
from typing import Any
from urllib.parse import urlsplit

#: Finds `networks` in `/v1.45/networks/create`. Volumes are left out: a request to create a volume that exists
#: already gets the same response as for a new one.
_CREATE = re.compile(r"^(?:/v[\d.]+)?/(services|containers|networks|secrets|configs)/create$")
#: The order of removal: a network can be removed only after its containers, a secret only after the services that use
#: it.
_ORDER = ("services", "containers", "networks", "secrets", "configs")
#: A removed service's tasks release its networks and secrets only some seconds later.
_PATIENCE_S = 15.0


class Created:
    """The objects that a client has created since the call of `Created(client)`, by kind and id."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.ids: dict[str, list[str]] = {kind: [] for kind in _ORDER}
        client.api.hooks["response"].append(self._on_answer)

    def _on_answer(self, answer: Any, *_: Any, **__: Any) -> None:
        match = _CREATE.match(urlsplit(answer.url).path)
        if match is None or answer.request.method != "POST" or answer.status_code != 201:
            return
        body = answer.json()
        self.ids[match.group(1)].append(body.get("Id") or body["ID"])

    def remove(self, patience_s: float = _PATIENCE_S) -> list[str]:
        """Remove the objects, and return a message for each that could not be removed.

        Objects that no longer exist are ignored. If services were among them, the removal of other objects is retried
        for up to `patience_s` seconds, as the services' tasks may still use them.
        """
        self._client.api.hooks["response"].remove(self._on_answer)
        end = time.monotonic() + patience_s
        left = [
            failure
            for kind in _ORDER
            for identifier in self.ids[kind]
            if (failure := self._remove(kind, identifier, end))
        ]
        self.ids = {kind: [] for kind in _ORDER}
        return left

    def _remove(self, kind: str, identity: str, end: float) -> str:
        from docker.errors import APIError, NotFound  # type: ignore[import-untyped]

        options = {"force": True, "v": True} if kind == "containers" else {}
        # A node keeps a removed service's network until the service's last task on the node has stopped.
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

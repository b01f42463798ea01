"""The endpoints of the Engine API about the engine as a whole, such as `/info` and `/events`.

Source: moby `daemon/server/router/system`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define

from cnmsim.engine.context import EngineContext
from cnmsim.engine.daemon.event_log import LoggedEvent
from cnmsim.engine.daemon.system import NO_SWARM, disk_usage_view, info_view, version_view
from cnmsim.engine.wire.api_version import ApiVersion
from cnmsim.engine.wire.filters import Filters
from cnmsim.engine.wire.query import NO_QUERY, Query
from cnmsim.engine.wire.timestamps import parse_unix_time
from cnmsim.errors import InvalidParameter

if TYPE_CHECKING:
    from cnmsim.engine.cluster.cluster import GetCluster


@define
class EventReading:
    """The answer to a request for events: the past events, and how long later events are to be sent.

    `until_ns` is the time at which the sending ends, in nanoseconds since 1970; `None` means never. `filters` select
    the later events, see `EventLog.subscribe`.
    """

    past: list[LoggedEvent]
    until_ns: int | None
    filters: Filters
    has_legacy_fields: bool


@define
class SystemApi:
    """Operations on the engine as a whole."""

    context: EngineContext
    _get_cluster: GetCluster

    def _swarm(self) -> dict[str, Any]:
        if self.context.controller.cluster is None:
            return NO_SWARM
        from cnmsim.engine.cluster.info import swarm_info

        return swarm_info(self._get_cluster())

    def negotiate(self, text: str) -> ApiVersion:
        """Convert the API version in a request's path, such as `1.45`; "" means the engine's latest version.

        Raises `InvalidParameter` for a version that the engine does not support.
        """
        profile = self.context.profile
        if not text:
            return self.context.api_version
        requested = ApiVersion.parse(text)
        if requested < ApiVersion.parse(profile.min_api_version):
            raise InvalidParameter(
                f"client version {text} is too old. Minimum supported API version is {profile.min_api_version},"
                " please upgrade your client to a newer version"
            )
        if requested > self.context.api_version:
            raise InvalidParameter(
                f"client version {text} is too new. Maximum supported API version is {profile.api_version}"
            )
        return requested

    def ping_headers(self) -> dict[str, str]:
        """Return the headers of `GET /_ping`. Some of them are also sent with every other response."""
        swarm = self._swarm()
        state = swarm["LocalNodeState"]
        if state == "active":
            state += "/manager" if swarm["ControlAvailable"] else "/worker"
        return {
            "Api-Version": self.context.profile.api_version,
            "Builder-Version": "2",
            "Cache-Control": "no-cache, no-store, must-revalidate",
            "Docker-Experimental": str(self.context.config.experimental).lower(),
            "Ostype": "linux",
            "Pragma": "no-cache",
            "Server": f"Docker/{self.context.profile.version} (linux)",
            "Swarm": state,
        }

    def version(self) -> dict[str, Any]:
        """Return the versions of the engine and its components (GET /version)."""
        return version_view(self.context)

    def info(self, api: ApiVersion | None = None) -> dict[str, Any]:
        """Return information on the engine as a whole (GET /info)."""
        return info_view(self.context, self._swarm(), api or self.context.api_version)

    def disk_usage(self, query: Query = NO_QUERY, api: ApiVersion | None = None) -> dict[str, Any]:
        """Return how much space images, containers and volumes use (GET /system/df)."""
        kind = query.get("type", "")
        if kind and kind not in {"container", "image", "volume", "build-cache"}:
            raise InvalidParameter(f"unknown object type: {kind}")
        return disk_usage_view(self.context, api or self.context.api_version)

    def _event_time(self, query: Query, key: str) -> int | None:
        text, profile = str(query.get(key) or ""), self.context.profile
        return parse_unix_time(text, key, profile, profile.event_time_prefix) if text else None

    def events(self, query: Query = NO_QUERY, api: ApiVersion | None = None) -> EventReading:
        """Return the past events, with the filters and the end of the request for later events (GET /events)."""
        since, until = self._event_time(query, "since"), self._event_time(query, "until")
        if since is not None and until is not None and until < since:
            raise InvalidParameter(f"`since` time ({query['since']}) cannot be after `until` time ({query['until']})")
        filters = Filters.parse(query.get("filters"))
        past: list[LoggedEvent] = []
        if since is not None or until is not None:
            past = self.context.events.select(since, until, filters)
        has_legacy_fields = not (
            self.context.profile.inspect_is_slim and (api or self.context.api_version).at_least("1.52")
        )
        return EventReading(past, until, filters, has_legacy_fields)

"""`/_ping`, `/version`, `/info`, `/events` and `/system/df` (moby `daemon/server/router/system`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define

from cnmsim.engine.daemon.event_log import LoggedEvent
from cnmsim.engine.daemon.system import disk_usage_view, info_view, swarm_view, version_view
from cnmsim.engine.wire.api_version import ApiVersion
from cnmsim.engine.wire.filters import Filters
from cnmsim.engine.wire.query import NO_QUERY, Query
from cnmsim.engine.wire.timestamps import parse_timestamp, unix_ns
from cnmsim.errors import InvalidParameter

if TYPE_CHECKING:
    from cnmsim.engine.engine import Engine


@define
class EventReading:
    """The answer to a request for events: those of the past, and until when (seconds of the day) to go on.

    `until_ns` `None` goes on for ever. `filters` are for `EventLog.subscribe`.
    """

    past: list[LoggedEvent]
    until_ns: int | None
    filters: Filters
    has_legacy_fields: bool


@define
class SystemApi:
    """The engine itself, as the API has it."""

    engine: Engine

    def _api(self, api: ApiVersion | None) -> ApiVersion:
        return api or self.engine.api_version

    def negotiate(self, text: str) -> ApiVersion:
        """Check the version in the path of a request; "" is the latest. Raises `InvalidParameter`."""
        profile = self.engine.profile
        if not text:
            return self.engine.api_version
        wanted = ApiVersion.parse(text)
        if wanted < ApiVersion.parse(profile.min_api_version):
            raise InvalidParameter(
                f"client version {wanted} is too old. Minimum supported API version is {profile.min_api_version},"
                " please upgrade your client to a newer version"
            )
        if wanted > self.engine.api_version:
            raise InvalidParameter(
                f"client version {wanted} is too new. Maximum supported API version is {profile.api_version}"
            )
        return wanted

    def ping_headers(self) -> dict[str, str]:
        """Give the headers of `/_ping`, whose body is `OK`; all answers carry them save the caching ones."""
        swarm = swarm_view(self.engine)
        state = swarm["LocalNodeState"]
        if state == "active":
            state += "/manager" if swarm["ControlAvailable"] else "/worker"
        return {
            "Api-Version": self.engine.profile.api_version,
            "Builder-Version": "2",
            "Cache-Control": "no-cache, no-store, must-revalidate",
            "Docker-Experimental": str(self.engine.config.experimental).lower(),
            "Ostype": "linux",
            "Pragma": "no-cache",
            "Server": f"Docker/{self.engine.profile.version} (linux)",
            "Swarm": state,
        }

    def version(self) -> dict[str, Any]:
        """GET /version."""
        return version_view(self.engine)

    def info(self, api: ApiVersion | None = None) -> dict[str, Any]:
        """GET /info."""
        return info_view(self.engine, self._api(api))

    def disk_usage(self, api: ApiVersion | None = None) -> dict[str, Any]:
        """GET /system/df."""
        return disk_usage_view(self.engine, self._api(api))

    def events(self, query: Query = NO_QUERY, api: ApiVersion | None = None) -> EventReading:
        """GET /events."""
        now_ns = unix_ns(self.engine.clock)
        since = parse_timestamp(query["since"], now_ns) if query.get("since") else None
        until = parse_timestamp(query["until"], now_ns) if query.get("until") else None
        if since is not None and until is not None and until < since:
            raise InvalidParameter(f"`since` time ({query['since']}) cannot be after `until` time ({query['until']})")
        filters = Filters.parse(query.get("filters"))
        past: list[LoggedEvent] = []
        if since is not None or until is not None:
            past = self.engine.events.select(since, until, filters)
        has_legacy_fields = not (self.engine.profile.inspect_is_slim and self._api(api).at_least("1.52"))
        return EventReading(past, until, filters, has_legacy_fields)

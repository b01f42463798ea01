"""Timestamps and durations in the engine's formats.

Source: Go `time.RFC3339Nano`, docker/go-units `duration.go`, moby `api/types/time/timestamp.go`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from cnmsim.errors import InvalidParameter, SystemFault
from cnmsim.gojson.fields import LAST_S
from cnmsim.gostrconv import NumError, atoi
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.libnetwork.profile import Profile

_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)")
_UNIX_TIME = re.compile(r"([+-]?[0-9]+)(?:\.([0-9]+))?")
#: Go's longest duration.
_LONGEST_S = (1 << 63) / NS_PER_S
_LAYOUTS = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H", "%Y-%m-%d")


def human_duration(seconds: float) -> str:
    """Format a duration as `docker ps` does: `3 minutes`, `About an hour`."""
    whole = int(seconds)
    minutes = int(seconds / 60)
    hours = int(seconds / 3600 + 0.5)
    table: list[tuple[bool, str]] = [
        (whole < 1, "Less than a second"),
        (whole == 1, "1 second"),
        (whole < 60, f"{whole} seconds"),
        (minutes == 1, "About a minute"),
        (minutes < 60, f"{minutes} minutes"),
        (hours == 1, "About an hour"),
        (hours < 48, f"{hours} hours"),
        (hours < 24 * 7 * 2, f"{hours // 24} days"),
        (hours < 24 * 30 * 2, f"{hours // 24 // 7} weeks"),
        (hours < 24 * 365 * 2, f"{hours // 24 // 30} months"),
        (True, f"{int(seconds / 3600) // 24 // 365} years"),
    ]
    return next(text for holds, text in table if holds)


def duration_text(length_ns: int) -> str:
    """Format a duration of at least 0 ns as Go prints it: `1m30s`, `1.5s`, `500ms`."""
    for size, unit in ((1, "ns"), (1_000, "µs"), (1_000_000, "ms")):
        if 0 < length_ns < size * 1_000 and length_ns < NS_PER_S:
            return f"{_decimal(length_ns, size)}{unit}"
    minutes, rest_ns = divmod(length_ns, 60 * NS_PER_S)
    hours = f"{minutes // 60}h" if minutes >= 60 else ""
    return f"{hours}{f'{minutes % 60}m' if minutes else ''}{_decimal(rest_ns, NS_PER_S)}s"


def _decimal(length_ns: int, unit_ns: int) -> str:
    whole, rest = divmod(length_ns, unit_ns)
    digits = str(unit_ns + rest)[1:].rstrip("0")
    return f"{whole}.{digits}" if digits else f"{whole}"


def parse_duration_ns(text: str) -> int:
    """Parse a Go duration such as `1m30s` into nanoseconds. Raises `ValueError` for any other text."""
    parts = _DURATION.findall(text)
    if not parts or text.lstrip("-") != "".join(number + unit for number, unit in parts):
        raise ValueError(f'time: invalid duration "{text}"')
    length = min(sum(float(number) * _UNITS_S[unit] for number, unit in parts), _LONGEST_S)
    return round((-length if text.startswith("-") else length) * NS_PER_S)


def is_unix_time(text: str) -> bool:
    """Return True if a text is a Unix time in seconds, with or without a fraction."""
    return _UNIX_TIME.fullmatch(text) is not None


def parse_unix_time(text: str, key: str, profile: Profile, prefix: str) -> int:
    """Parse the Unix time of the parameter `key`, in seconds with or without a fraction, into nanoseconds.

    For an invalid text, raises `InvalidParameter` whose message begins with `prefix`; if `prefix` is "", raises
    `SystemFault`.
    """
    match = _UNIX_TIME.fullmatch(text)
    if match is None:
        cause = profile.invalid_unix_time_text.format(value=text)
        if prefix:
            raise InvalidParameter(prefix.format(key=key) + cause)
        raise SystemFault(cause)
    try:
        seconds = atoi(match[1])
    except NumError:
        cause = profile.invalid_unix_time_text.format(value=text).replace("invalid syntax", "value out of range")
        raise (InvalidParameter(prefix.format(key=key) + cause) if prefix else SystemFault(cause)) from None
    return _limited(seconds) * NS_PER_S + int((match[2] or "0")[:9].ljust(9, "0"))


def parse_timestamp(text: str, now_ns: int, invalid_text: str = "") -> int:
    """Parse the value of a parameter `since` or `until` into nanoseconds since 1970.

    The text is a Unix time with or without a fraction, an RFC 3339 time or date, or a Go duration such as `10m`,
    which is subtracted from `now_ns`. Raises `InvalidParameter` for any other text. Its message is `invalid_text`, if
    given, unless the text contains a hyphen.
    """
    if re.fullmatch(r"-?[0-9]+(\.[0-9]*)?", text):
        seconds, _, fraction = text.partition(".")
        return _limited(_whole(seconds)) * NS_PER_S + int((fraction or "0")[:9].ljust(9, "0"))
    try:
        return now_ns - parse_duration_ns(text)
    except ValueError:
        pass
    try:
        return _parse_date(text)
    except InvalidParameter:
        if "-" in text or not invalid_text:
            raise
        raise InvalidParameter(invalid_text.format(value=text)) from None


def _parse_date(text: str) -> int:
    match = re.fullmatch(r"([^.Z+]*?)(?:\.([0-9]+))?(Z|[+-][0-9]{2}:[0-9]{2})?", text)
    if match and text.isascii():
        for layout in _LAYOUTS:
            try:
                moment = datetime.strptime(match[1], layout).replace(tzinfo=UTC)
            except ValueError:
                continue
            offset = _offset_s(match[3])
            return (int(moment.timestamp()) - offset) * NS_PER_S + int((match[2] or "0")[:9].ljust(9, "0"))
    raise InvalidParameter(f'parsing time "{text}" as "2006-01-02": cannot parse "{text}" as "2006"')


def _whole(digits: str) -> int:
    """Convert the digits of an integer, with or without a sign, to a number. Only the first 20 digits are used."""
    return (-1 if digits[0] == "-" else 1) * int(digits.lstrip("-0")[:20] or "0")


def _limited(seconds: int) -> int:
    """Limit a Unix time in seconds to times whose year has at most four digits."""
    return max(min(seconds, LAST_S), -LAST_S)


def _offset_s(zone: str | None) -> int:
    if not zone or zone == "Z":
        return 0
    hours, minutes = zone[1:].split(":")
    return (int(hours) * 3600 + int(minutes) * 60) * (-1 if zone[0] == "-" else 1)

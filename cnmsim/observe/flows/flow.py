"""The description of a flow to send: its source and destination, protocol, rate, size and duration."""

from __future__ import annotations

import math
from typing import Any

from attrs import field, frozen

from cnmsim.errors import InvalidParameter

#: The length in bytes of the tag at the head of each message; no message can be smaller.
TAG_LENGTH = 16
#: The largest message in bytes: a UDP datagram over IPv4 (16-bit length and both headers), or a block of a TCP flow.
_MAX_SIZE = {"udp": 65_507, "tcp": 1 << 20}
_DEFAULT_SIZE = {"udp": 1000, "tcp": 8192}
#: The default rate of a UDP flow, in bits per second, as in iperf3.
_DEFAULT_UDP_RATE_BPS = 1e6
#: The maximum rate at which a TCP flow without `rate_bps` writes. CPU time is not modelled, so without this limit a
#: sender and a receiver on one host would exchange data without end at one instant of virtual time.
UNLIMITED_RATE_BPS = 1e9
_DEFAULT_DURATION_S = 1.0
_MAX_DURATION_S = 86_400.0
_INTERVALS = ("constant", "poisson")


@frozen
class Flow:
    """A flow of messages from a host or container to a destination.

    `source` is a host or a container, or its name. `destination` is a name or address with a port, such as
    `"web:80"`; a name is resolved by the source's own resolver. `protocol` is `"udp"` or `"tcp"`. Messages of `size`
    bytes (by default 1,000 for UDP, 8,192 for TCP) are sent at `rate_bps` bits of payload per second: by default 1
    Mbit/s for UDP; for TCP as fast as the connection takes them, at most 1 Gbit/s. `interval` is `"constant"`, or
    `"poisson"` for exponentially distributed intervals with the same mean. The flow starts `start_s` seconds after
    `start_flows` is called, and ends after `count` messages or `duration_s` seconds, whichever comes first; by
    default after 1 s.

    With `receive`, a receiver is started at the destination if no program uses the port there; without it, the
    messages go to the program that uses the port, if any. `family` is the IP version, 4 or 6; with 0 the first
    address is used. `name` is shown in results.

    Raises `InvalidParameter` for invalid values.
    """

    source: Any
    destination: str
    protocol: str = field(default="udp", kw_only=True)
    rate_bps: float | None = field(default=None, kw_only=True)
    size: int | None = field(default=None, kw_only=True)
    count: int | None = field(default=None, kw_only=True)
    duration_s: float | None = field(default=None, kw_only=True)
    interval: str = field(default="constant", kw_only=True)
    start_s: float = field(default=0.0, kw_only=True)
    name: str = field(default="", kw_only=True)
    family: int = field(default=0, kw_only=True)
    receive: bool = field(default=True, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.destination, str):
            raise InvalidParameter(
                f"the destination of a flow is text such as 'web:80', not {type(self.destination).__name__}"
            )
        if self.protocol not in _MAX_SIZE:
            raise InvalidParameter(f"unknown protocol {self.protocol!r}: a flow is 'udp' or 'tcp'")
        if self.interval not in _INTERVALS:
            raise InvalidParameter(f"unknown interval {self.interval!r}: 'constant' or 'poisson'")
        if self.family not in {0, 4, 6}:
            raise InvalidParameter(f"family must be 4, 6, or 0 for either: {self.family!r}")
        if self.rate_bps is not None:
            _require_number("rate_bps", self.rate_bps, 1, 1e12)
        if self.size is not None:
            _require_whole("size", self.size, TAG_LENGTH, _MAX_SIZE[self.protocol])
        if self.count is not None:
            _require_whole("count", self.count, 1, 100_000_000)
        if self.duration_s is not None:
            _require_number("duration_s", self.duration_s, 1e-6, _MAX_DURATION_S)
        _require_number("start_s", self.start_s, 0, _MAX_DURATION_S)

    @property
    def message_size(self) -> int:
        """The size of a message in bytes."""
        return _DEFAULT_SIZE[self.protocol] if self.size is None else self.size

    @property
    def interval_ns(self) -> float:
        """The mean time between two messages, in nanoseconds."""
        default = _DEFAULT_UDP_RATE_BPS if self.protocol == "udp" else UNLIMITED_RATE_BPS
        return self.message_size * 8e9 / (default if self.rate_bps is None else self.rate_bps)

    @property
    def limit_s(self) -> float:
        """The duration of sending, in seconds; infinite if only `count` ends the flow."""
        if self.duration_s is not None:
            return self.duration_s
        return _DEFAULT_DURATION_S if self.count is None else math.inf

    @property
    def expected_s(self) -> float:
        """The time in seconds, including `start_s`, that the flow takes if nothing slows it down."""
        by_count = math.inf if self.count is None else self.count * self.interval_ns / 1e9
        return self.start_s + min(self.limit_s, by_count)


def _require_number(name: str, value: Any, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InvalidParameter(f"{name} must be a number from {low:g} to {high:g}: {value!r}")


def _require_whole(name: str, value: Any, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidParameter(f"{name} must be a whole number from {low:,} to {high:,}: {value!r}")

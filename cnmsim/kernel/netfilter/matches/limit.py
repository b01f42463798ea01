"""Matches that select a part of the packets: limit, statistic (xt_limit, xt_statistic)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cnmsim.digits import is_number
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.netfilter.errors import ParameterProblemError
from cnmsim.kernel.netfilter.extension import Canonicalise, Extension, Option, ParseContext, Setting, integer, one_of
from cnmsim.kernel.netfilter.matches.kind import MatchKind, Test, invert_if
from cnmsim.kernel.skbuff import Packet

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.packet_filter import PacketFilter


_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


_SHORT_UNITS = (("day", 86400), ("hour", 3600), ("min", 60), ("sec", 1))


#: xt_limit counts time in units of 0.1 ms (XT_LIMIT_SCALE).
_LIMIT_SCALE = 10_000


def _parse_rate(text: str) -> int:
    """Parse a rate such as `5/min` into the time that one packet costs, in units of 0.1 ms."""
    count_text, slash, unit = text.partition("/")
    seconds = 1
    if slash:
        periods = [value for name, value in _UNITS.items() if unit and name.startswith(unit.lower())]
        if not periods:
            raise ParameterProblemError(f'bad rate "{text}"\'')
        seconds = periods[0]
    if not is_number(count_text) or int(count_text) == 0:
        raise ParameterProblemError(f'bad rate "{text}"\'')
    cost = _LIMIT_SCALE * seconds // int(count_text)
    if int(count_text) / seconds > _LIMIT_SCALE or cost == 0:
        raise ParameterProblemError(f'Rate too fast "{text}"')
    return cost


def _rate_text(cost: int) -> str:
    """Return the rate for a cost (in units of 0.1 ms), such as `5/min`.

    As in iptables, the unit is the largest in which the rate is exact.
    """
    for name, seconds in _SHORT_UNITS:
        period = seconds * _LIMIT_SCALE
        if period < cost:
            continue
        smaller = [s for _, s in _SHORT_UNITS if s < seconds]
        # Use this unit only if the next smaller one cannot express the rate.
        if (
            not smaller
            or cost > smaller[0] * _LIMIT_SCALE
            or (smaller[0] * _LIMIT_SCALE) // cost < (smaller[0] * _LIMIT_SCALE % cost)
        ):
            return f"{period // cost}/{name}"
    return f"{_LIMIT_SCALE // cost}/sec"


def _rate(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
    return (_rate_text(_parse_rate(words[0])),)


_BURST = integer(10000, 'limit: bad integer value for option "--limit-burst", or out of range.\n')


def _check_limit(settings: dict[str, Setting], context: ParseContext) -> None:
    settings.setdefault("limit", Setting("limit", ("3/hour",)))
    burst = settings.get("limit-burst")
    if burst is not None and burst.value == "5":
        del settings["limit-burst"]


def _limit_values(match: Extension) -> tuple[str, str]:
    rate, burst = match.get("limit"), match.get("limit-burst")
    return rate.value if rate else "3/hour", burst.value if burst else "5"


def _compile_limit(match: Extension, family: int, netfilter: PacketFilter) -> Test:
    rate, burst = _limit_values(match)
    cost_ns = _parse_rate(rate) * NS_PER_S // _LIMIT_SCALE
    most_ns = cost_ns * int(burst)
    clock = netfilter.namespace.clock
    credit_ns, filled_ns = most_ns, clock.now_ns

    def test(packet: Packet) -> bool:
        nonlocal credit_ns, filled_ns
        credit_ns = min(most_ns, credit_ns + clock.now_ns - filled_ns)
        filled_ns = clock.now_ns
        if credit_ns < cost_ns:
            return False
        credit_ns -= cost_ns
        return True

    return test


def _describe_limit(match: Extension, is_numeric: bool) -> str:
    rate, burst = _limit_values(match)
    return f"limit: avg {rate} burst {burst}"


def _probability(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
    try:
        value = float(words[0])
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ParameterProblemError('statistic: bad value for option "--probability", or out of range (0..1)')
    # The kernel stores a 31-bit fraction, which iptables prints.
    return (f"{round(value * 0x80000000) / 0x80000000:.11f}",)


def _count(option: str) -> Canonicalise:
    return integer(0xFFFFFFFF, f'statistic: bad integer value for option "--{option}", or out of range.\n')


def _check_statistic(settings: dict[str, Setting], context: ParseContext) -> None:
    mode = settings.get("mode")
    if mode is None:
        raise ParameterProblemError('statistic: option "--mode" must be specified\n')
    if mode.value == "random" and "probability" not in settings:
        raise ParameterProblemError("--probability must be specified when using random mode")
    if mode.value == "nth":
        if "every" in settings and "packet" not in settings:
            raise ParameterProblemError('statistic: option "--every" also requires "--packet".\n')
        if "every" not in settings or "packet" not in settings:
            raise ParameterProblemError("--every and --packet must be specified when using nth mode")
        if int(settings["packet"].value) >= int(settings["every"].value):
            raise ParameterProblemError("the --packet p must be 0 <= p <= n-1")


def _compile_statistic(match: Extension, family: int, netfilter: PacketFilter) -> Test:
    probability = match.get("probability")
    if probability is not None:
        value = float(probability.value)
        draw = netfilter.random.random
        return invert_if(probability.is_inverted, lambda packet: draw() < value)
    every, first = match.get("every"), match.get("packet")
    assert every is not None
    assert first is not None
    period = int(every.value)
    count = int(first.value)

    def nth(packet: Packet) -> bool:
        nonlocal count
        if count == 0:
            count = period - 1
            return True
        count -= 1
        return False

    return invert_if(every.is_inverted, nth)


def _describe_statistic(match: Extension, is_numeric: bool) -> str:
    words = ["statistic"]
    words.extend(f"{'! ' if s.is_inverted else ''}{s.name} {s.value}" for s in match.settings)
    return " ".join(words)


KINDS = (
    MatchKind(
        "limit",
        (Option("limit", _rate, can_invert=False), Option("limit-burst", _BURST, can_invert=False)),
        _compile_limit,
        _describe_limit,
        _check_limit,
    ),
    MatchKind(
        "statistic",
        (
            Option("mode", one_of('Bad mode "{}"', "random", "nth", fold=str.lower), can_invert=False),
            Option("probability", _probability),
            Option("every", _count("every")),
            Option("packet", _count("packet"), can_invert=False),
        ),
        _compile_statistic,
        _describe_statistic,
        _check_statistic,
    ),
)

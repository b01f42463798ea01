"""Matches that count, measure or annotate: comment, limit, statistic, length, ttl, hl."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cnmsim.kernel.clock import NS
from cnmsim.kernel.netfilter.errors import ParameterProblemError
from cnmsim.kernel.netfilter.extension import Extension, Option, ParseContext, Setting, needs
from cnmsim.kernel.netfilter.matches.kind import LENGTH, STATEFUL, TTL, MatchKind, Test, all_of, always, invert_if
from cnmsim.kernel.netfilter.option_values import parse_number
from cnmsim.kernel.skbuff import Packet

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.netfilter import Netfilter

_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_SHORT_UNITS = (("day", 86400), ("hour", 3600), ("min", 60), ("sec", 1))
#: xt_limit keeps time in units of a ten-thousandth of a second.
_LIMIT_SCALE = 10_000


def _comment(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:  # noqa: ARG001 - a Canonical
    if len(words[0]) > 256:
        raise ParameterProblemError("COMMENT must be shorter than 256 characters")
    return (words[0],)


def _compile_comment(match: Extension, family: int, netfilter: Netfilter) -> Test:  # noqa: ARG001
    return always


def _describe_comment(match: Extension, is_numeric: bool) -> str:  # noqa: ARG001
    return f"/* {match.settings[0].value} */"


def _parse_rate(text: str) -> int:
    """Read `5/min` into the cost of one packet, in ten-thousandths of a second."""
    count_text, slash, unit = text.partition("/")
    seconds = 1
    if slash:
        found = [value for name, value in _UNITS.items() if unit and name.startswith(unit.lower())]
        if not found:
            raise ParameterProblemError(f'bad rate "{text}"\'')
        seconds = found[0]
    if not (count_text.isascii() and count_text.isdigit()) or int(count_text) == 0:
        raise ParameterProblemError(f'bad rate "{text}"\'')
    cost = _LIMIT_SCALE * seconds // int(count_text)
    if int(count_text) / seconds > _LIMIT_SCALE or cost == 0:
        raise ParameterProblemError(f'Rate too fast "{text}"')
    return cost


def _rate_text(cost: int) -> str:
    """Write a cost in the largest unit that holds it exactly, as iptables does."""
    for name, seconds in _SHORT_UNITS:
        period = seconds * _LIMIT_SCALE
        if period < cost:
            continue
        smaller = [s for _, s in _SHORT_UNITS if s < seconds]
        # Take this unit only if the next smaller one could not say it.
        if (
            not smaller
            or cost > smaller[0] * _LIMIT_SCALE
            or (smaller[0] * _LIMIT_SCALE) // cost < (smaller[0] * _LIMIT_SCALE % cost)
        ):
            return f"{period // cost}/{name}"
    return f"{_LIMIT_SCALE // cost}/sec"


def _rate(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:  # noqa: ARG001 - a Canonical
    return (_rate_text(_parse_rate(words[0])),)


def _burst(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:  # noqa: ARG001 - a Canonical
    burst = parse_number(words[0], 10000)
    if burst is None:
        raise ParameterProblemError('limit: bad integer value for option "--limit-burst", or out of range.\n')
    return (str(burst),)


def _finish_limit(settings: dict[str, Setting], context: ParseContext) -> None:  # noqa: ARG001 - a Finish
    settings.setdefault("limit", Setting("limit", ("3/hour",)))
    burst = settings.get("limit-burst")
    if burst is not None and burst.value == "5":
        del settings["limit-burst"]


def _limit_values(match: Extension) -> tuple[str, str]:
    rate, burst = match.get("limit"), match.get("limit-burst")
    return rate.value if rate else "3/hour", burst.value if burst else "5"


def _compile_limit(match: Extension, family: int, netfilter: Netfilter) -> Test:  # noqa: ARG001
    rate, burst = _limit_values(match)
    cost_ns = _parse_rate(rate) * NS // _LIMIT_SCALE
    most_ns = cost_ns * int(burst)
    clock = netfilter.namespace.clock
    credit_ns, filled_ns = most_ns, clock.now_ns

    def test(packet: Packet) -> bool:  # noqa: ARG001 - a Test
        nonlocal credit_ns, filled_ns
        credit_ns = min(most_ns, credit_ns + clock.now_ns - filled_ns)
        filled_ns = clock.now_ns
        if credit_ns < cost_ns:
            return False
        credit_ns -= cost_ns
        return True

    return test


def _describe_limit(match: Extension, is_numeric: bool) -> str:  # noqa: ARG001
    rate, burst = _limit_values(match)
    return f"limit: avg {rate} burst {burst}"


def _mode(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:  # noqa: ARG001 - a Canonical
    if words[0].lower() not in {"random", "nth"}:
        raise ParameterProblemError(f'Bad mode "{words[0]}"')
    return (words[0].lower(),)


def _probability(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:  # noqa: ARG001 - a Canonical
    try:
        value = float(words[0])
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ParameterProblemError('statistic: bad value for option "--probability", or out of range (0..1)')
    # The kernel keeps a 31-bit fraction, and prints it back.
    return (f"{round(value * 0x80000000) / 0x80000000:.11f}",)


def _count(option: str) -> Callable[[Sequence[str], ParseContext], tuple[str, ...]]:
    def canonical(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:  # noqa: ARG001 - a Canonical
        value = parse_number(words[0], 0xFFFFFFFF)
        if value is None:
            raise ParameterProblemError(f'statistic: bad integer value for option "--{option}", or out of range.\n')
        return (str(value),)

    return canonical


def _finish_statistic(settings: dict[str, Setting], context: ParseContext) -> None:  # noqa: ARG001 - a Finish
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


def _compile_statistic(match: Extension, family: int, netfilter: Netfilter) -> Test:  # noqa: ARG001
    probability = match.get("probability")
    if probability is not None:
        value = float(probability.value)
        draw = netfilter.random.random
        return invert_if(probability.is_inverted, lambda packet: draw() < value)  # noqa: ARG005 - a Test
    every, first = match.get("every"), match.get("packet")
    assert every is not None
    assert first is not None
    period = int(every.value)
    count = int(first.value)

    def nth(packet: Packet) -> bool:  # noqa: ARG001 - a Test
        nonlocal count
        if count == 0:
            count = period - 1
            return True
        count -= 1
        return False

    return invert_if(every.is_inverted, nth)


def _describe_statistic(match: Extension, is_numeric: bool) -> str:  # noqa: ARG001
    words = ["statistic"]
    words.extend(f"{'! ' if s.is_inverted else ''}{s.name} {s.value}" for s in match.settings)
    return " ".join(words)


def _length(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:  # noqa: ARG001 - a Canonical
    low_text, colon, high_text = words[0].partition(":")
    low = parse_number(low_text or "0", 65535)
    high = parse_number(high_text or "65535", 65535) if colon else low
    if low is None or high is None or high < low:
        raise ParameterProblemError('length: bad value for option "--length", or out of range.\n')
    return (str(low) if low == high else f"{low}:{high}",)


def _compile_length(match: Extension, family: int, netfilter: Netfilter) -> Test:  # noqa: ARG001
    setting = match.settings[0]
    low_text, _, high_text = setting.value.partition(":")
    low, high = int(low_text), int(high_text or low_text)
    return invert_if(setting.is_inverted, lambda packet: low <= len(packet.data) <= high)


def _describe_length(match: Extension, is_numeric: bool) -> str:  # noqa: ARG001
    setting = match.settings[0]
    return f"length {'!' if setting.is_inverted else ''}{setting.value}"


def _hops(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:  # noqa: ARG001 - a Canonical
    value = parse_number(words[0], 255)
    if value is None:
        raise ParameterProblemError("ttl: bad integer value for the option, or out of range.\n")
    return (str(value),)


def _one_comparison(settings: dict[str, Setting], context: ParseContext) -> None:  # noqa: ARG001 - a Finish
    if len(settings) != 1:
        raise ParameterProblemError("TTL match: You must specify one of `--ttl-eq', `--ttl-lt', `--ttl-gt")


def _compile_hops(match: Extension, family: int, netfilter: Netfilter) -> Test:  # noqa: ARG001
    tests: list[Test] = []
    for setting in match.settings:
        value = int(setting.value)
        comparisons: dict[str, Test] = {
            "eq": lambda packet, value=value: packet.ttl == value,  # type: ignore[misc]
            "lt": lambda packet, value=value: packet.ttl < value,  # type: ignore[misc]
            "gt": lambda packet, value=value: packet.ttl > value,  # type: ignore[misc]
        }
        tests.append(invert_if(setting.is_inverted, comparisons[setting.name[-2:]]))
    return all_of(tests)


def _describe_hops(match: Extension, is_numeric: bool) -> str:  # noqa: ARG001
    setting = match.settings[0]
    signs = {"eq": "!=" if setting.is_inverted else "==", "lt": "<", "gt": ">"}
    label = match.name.upper()
    return f"{label} match {label} {signs[setting.name[-2:]]} {setting.value}"


def _hops_kind(name: str, family: int) -> MatchKind:
    options = (
        Option(f"{name}-eq", _hops),
        Option(f"{name}-lt", _hops, can_invert=False),
        Option(f"{name}-gt", _hops, can_invert=False),
    )
    return MatchKind(
        name, options, _compile_hops, _describe_hops, _one_comparison, depends={"": TTL}, families=(family,)
    )


KINDS = (
    MatchKind(
        "comment",
        (Option("comment", _comment, can_invert=False, is_text=True),),
        _compile_comment,
        _describe_comment,
        needs("comment", "comment"),
    ),
    MatchKind(
        "limit",
        (Option("limit", _rate, can_invert=False), Option("limit-burst", _burst, can_invert=False)),
        _compile_limit,
        _describe_limit,
        _finish_limit,
        depends={"": STATEFUL},
    ),
    MatchKind(
        "statistic",
        (
            Option("mode", _mode, can_invert=False),
            Option("probability", _probability),
            Option("every", _count("every")),
            Option("packet", _count("packet"), can_invert=False),
        ),
        _compile_statistic,
        _describe_statistic,
        _finish_statistic,
        depends={"": STATEFUL},
    ),
    MatchKind(
        "length",
        (Option("length", _length),),
        _compile_length,
        _describe_length,
        needs("length", "length"),
        {"": LENGTH},
    ),
    _hops_kind("ttl", 4),
    _hops_kind("hl", 6),
)

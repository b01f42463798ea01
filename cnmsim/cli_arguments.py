"""Arguments that several commands share: FILE, which may be omitted, and those of a probe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click

_R = TypeVar("_R")

#: The names of a Compose file, in the order in which docker compose looks for them.
_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
_ENDINGS = frozenset({".yml", ".yaml", ".json"})


class LabCommand(click.Command):
    """A command whose first argument is FILE.

    Without FILE the command uses the Compose file of the current folder or, as docker compose does, that of the
    nearest folder above which has one.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert the Compose file where FILE is omitted, and parse the arguments."""
        if not set(args) & set(ctx.help_option_names):
            first = next(self._positionals(args), None)
            if first is None or not _is_file(first):
                found = _compose_folder(Path.cwd())
                if found is not None:
                    args = [str(found), *args] if first is None else _inserted(args, first, str(found))
                elif first is None:
                    raise click.UsageError(f"no FILE, and no {_NAMES[0]} in this folder or in one above", ctx)
        return super().parse_args(ctx, args)

    def _positionals(self, args: list[str]) -> Iterator[str]:
        """Yield those of `args` that are neither options nor values of options."""
        with_value = {
            name
            for option in self.params
            if isinstance(option, click.Option) and not option.is_flag and not option.count
            for name in option.opts
        }
        is_value = False
        for arg in args:
            if is_value:
                is_value = False
            elif arg.startswith("-") and len(arg) > 1:
                is_value = arg in with_value
            else:
                yield arg


def _is_file(text: str) -> bool:
    return Path(text).exists() or Path(text).suffix in _ENDINGS or "/" in text


def _compose_folder(start: Path) -> Path | None:
    for folder in (start, *start.parents):
        if any((folder / name).is_file() for name in _NAMES):
            return folder
    return None


def _inserted(args: list[str], before: str, file: str) -> list[str]:
    at = args.index(before)
    return [*args[:at], file, *args[at:]]


class Question(NamedTuple):
    """The arguments of `trace`, `explain` and `fix`: a probe from `source` to `destination`, and the output's format.

    `protocol` is "tcp", "udp" or "icmp"; `None` selects the default for the destination. `family` is the IP version,
    4 or 6 (0: either). With a `verbosity` of 1 or more, the table of hops is printed, too. `as_json` prints JSON
    instead of text.
    """

    source: str
    destination: str
    protocol: str | None
    family: int
    timeout_s: float
    as_json: bool
    verbosity: int

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments of `Lab.trace` and `Lab.explain`."""
        return {"protocol": self.protocol, "timeout_s": self.timeout_s, "family": self.family}


def question_options(command: Callable[..., _R], *, is_optional: bool = False) -> Callable[..., _R]:
    """Decorate a click command with the arguments SRC and DST and the options of a probe.

    These are --tcp, --udp, --icmp, -4, -6, --timeout, --json and -v. The command receives their values in the
    keyword argument `question`, a `Question`. If `is_optional`, SRC and DST may be omitted, and are then "".
    """

    @wraps(command)
    def wrapped(
        *args: Any, source: str, destination: str, protocol: str | None, family: int | None, timeout: float,
        as_json: bool, verbose: int, **options: Any,
    ) -> _R:  # fmt: skip
        question = Question(source, destination, protocol, family or 0, timeout, as_json, verbose)
        return command(*args, question=question, **options)

    decorated: Callable[..., _R] = wrapped
    for decorate in reversed((_OPTIONAL_ENDS if is_optional else _ENDS) + _QUESTION):
        decorated = decorate(decorated)
    return decorated


_Decorators = tuple[Callable[[Callable[..., Any]], Callable[..., Any]], ...]
_PROBE: _Decorators = (
    click.option("--tcp", "protocol", flag_value="tcp", help="Connect by TCP (the default with a port)."),
    click.option("--udp", "protocol", flag_value="udp", help="Send a UDP datagram."),
    click.option("--icmp", "protocol", flag_value="icmp", help="Send an echo request (the default without a port)."),
    click.option("-4", "family", flag_value=4, type=int, default=0, help="Use IPv4 only."),
    click.option("-6", "family", flag_value=6, type=int, help="Use IPv6 only."),
    click.option(
        "--timeout", type=click.FloatRange(min=0.001), default=5.0, show_default=True, help="Seconds to wait."
    ),
    click.option("--json", "as_json", is_flag=True, help="Print JSON (trace.schema.json in the package)."),
)
_ENDS: _Decorators = (click.argument("source", metavar="SRC"), click.argument("destination", metavar="DST[:PORT]"))
_OPTIONAL_ENDS: _Decorators = (
    click.argument("source", metavar="[SRC", required=False, default=""),
    click.argument("destination", metavar="DST[:PORT]]", required=False, default=""),
)
_QUESTION: _Decorators = (
    *_PROBE,
    click.option("-v", "--verbose", count=True, help="Show the walk of the packets; twice: every step of it."),
)


def probe_options(command: Callable[..., _R]) -> Callable[..., _R]:
    """Decorate a click command with the options of probes: --tcp, --udp, --icmp, -4, -6, --timeout and --json."""
    for decorate in reversed(_PROBE):
        command = decorate(command)
    return command

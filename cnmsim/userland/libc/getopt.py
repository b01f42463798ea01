"""Parse command lines as getopt(3) does: combined short options, long options, and operands anywhere between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import define, field

from cnmsim.digits import is_number


class UsageError(Exception):
    """The command line is invalid. The text is getopt's error message without the program's name."""


@define
class Options:
    """A parsed command line.

    `values` maps each option that was given to its arguments in order; an option without an argument has "".
    """

    operands: list[str] = field(factory=list)
    values: dict[str, list[str]] = field(factory=dict)

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the argument of an option's last occurrence, or `default` if the option was not given."""
        arguments = self.values.get(name)
        return arguments[-1] if arguments else default

    def every(self, name: str) -> list[str]:
        """Return the arguments of all occurrences of an option, in the order of the command line."""
        return self.values.get(name, [])

    def count(self, name: str) -> int:
        """Return how many times an option was given."""
        return len(self.values.get(name, ()))

    @property
    def family(self) -> int:
        """The address family that `-4` or `-6` selects: 4, 6, or 0 for both."""
        return 6 if "6" in self.values else 4 if "4" in self.values else 0

    def number(self, name: str, default: int, *, low: int = 0, high: int = 2**31 - 1) -> int:
        """Return an option's argument as an integer, or `default` if the option was not given.

        Raises `UsageError` with busybox's error text for an argument that is no integer between `low` and `high`.
        """
        text = self.get(name)
        if text is None:
            return default
        if not is_number(text.removeprefix("-")):
            raise UsageError(f"invalid number '{text}'")
        value = int(text)
        if not low <= value <= high:
            raise UsageError(f"number {text} is not in {low}..{high} range")
        return value

    def seconds(self, name: str, default: float) -> float:
        """Return an option's argument as seconds (fractions are allowed), or `default` if the option was not given.

        Raises `UsageError` with busybox's error text if the argument is no number from 0 to less than 2³¹.
        """
        text = self.get(name)
        if text is None:
            return default
        try:
            value = float(text)
        except ValueError:
            raise UsageError(f"invalid number '{text}'") from None
        if not 0 <= value < 2**31:
            raise UsageError(f"invalid number '{text}'")
        return value


def getopt(
    arguments: Sequence[str],
    short: str,
    long: Mapping[str, str] | Iterable[str] = (),
    *,
    stop_at_operand: bool = False,
    single_dash_long: bool = False,
) -> Options:
    """Parse the arguments of a program.

    `short` is getopt(3)'s string: option letters, each followed by `:` if the option takes an argument. `long` maps
    the names of long options, which end in `=` if they take an argument, to the names under which their values are
    stored. `stop_at_operand` treats everything from the first operand on as operands. `single_dash_long` accepts long
    options with one dash, as in `-type=mx`. Raises `UsageError` with getopt's error text.
    """
    table = dict(long) if isinstance(long, Mapping) else {name: name.rstrip("=") for name in long}
    options = Options()
    at = 0
    while at < len(arguments):
        argument = arguments[at]
        at += 1
        if argument == "--":
            options.operands.extend(arguments[at:])
            break
        if argument.startswith("--"):
            at = _long(arguments, at, argument[2:], table, options)
        elif single_dash_long and argument[1:].partition("=")[0] in {name.rstrip("=") for name in table}:
            at = _long(arguments, at, argument[1:], table, options)
        elif argument.startswith("-") and len(argument) > 1:
            at = _cluster(arguments, at, argument[1:], short, options)
        else:
            options.operands.append(argument)
            if stop_at_operand:
                options.operands.extend(arguments[at:])
                break
    return options


def _long(arguments: Sequence[str], at: int, text: str, table: Mapping[str, str], options: Options) -> int:
    name, equals, value = text.partition("=")
    if f"{name}=" in table:
        if not equals:
            if at >= len(arguments):
                raise UsageError(f"option '--{name}' requires an argument")
            value = arguments[at]
            at += 1
        options.values.setdefault(table[f"{name}="], []).append(value)
    elif name in table:
        if equals:
            raise UsageError(f"option '--{name}' doesn't allow an argument")
        options.values.setdefault(table[name], []).append("")
    else:
        raise UsageError(f"unrecognized option '--{name}'")
    return at


def _cluster(arguments: Sequence[str], at: int, letters: str, short: str, options: Options) -> int:
    position = 0
    while position < len(letters):
        letter = letters[position]
        position += 1
        where = short.find(letter)
        if where < 0 or letter == ":":
            raise UsageError(f"invalid option -- '{letter}'")
        if short[where + 1 : where + 2] != ":":
            options.values.setdefault(letter, []).append("")
            continue
        value = letters[position:]
        if not value:
            if at >= len(arguments):
                raise UsageError(f"option requires an argument -- '{letter}'")
            value = arguments[at]
            at += 1
        options.values.setdefault(letter, []).append(value)
        break
    return at

"""Matches and targets of a rule as values: the name of an extension and its settings in canonical form.

The kind of an extension (packages `matches` and `targets`) defines which options it has, how they are checked and
listed, and what it does to a packet, as `libxt_*.so` and `xt_*.ko` do for the real iptables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from attrs import define, evolve, field, frozen

from cnmsim.kernel.netfilter.errors import ParameterProblemError
from cnmsim.kernel.netfilter.option_values import parse_number, quoted


@frozen
class Setting:
    """One option of an extension as used in a rule: its values in canonical form, and whether `!` inverts it.

    `is_text`: the values are free text, which iptables-save prints in quotes where necessary.
    """

    name: str
    values: tuple[str, ...] = ()
    is_inverted: bool = False
    is_text: bool = False

    def __str__(self) -> str:
        words = [quoted(value) if self.is_text else value for value in self.values]
        return " ".join([*(["!"] if self.is_inverted else []), f"--{self.name}", *words])

    @property
    def value(self) -> str:
        """The first value; for options that have exactly one."""
        return self.values[0]


@frozen
class Extension:
    """A match or a target of one rule: `tcp` with `--dport 80`, `DNAT` with `--to-destination 10.0.0.2:80`."""

    name: str
    settings: tuple[Setting, ...] = ()

    def get(self, name: str) -> Setting | None:
        """Return the setting with that name, or None if the extension has none."""
        for setting in self.settings:
            if setting.name == name:
                return setting
        return None

    def with_value(self, name: str, value: str) -> Extension:
        """Return a copy in which the setting `name` has `value`, which is in canonical form.

        Return the extension itself if it has no such setting.
        """
        if self.get(name) is None:
            return self
        settings = [
            evolve(setting, values=(value,)) if setting.name == name else setting for setting in self.settings
        ]
        return Extension(self.name, tuple(settings))

    def options_text(self) -> str:
        """Return the settings as iptables-save prints them, each with a leading space."""
        return "".join(f" {setting}" for setting in self.settings)


@define
class ParseContext:
    """The properties of a rule that the parsing of an option may depend on.

    `family` is 4 or 6, `protocol` is the number of the rule's protocol (0: any), `is_protocol_inverted` means that
    `!` precedes it. `set_names` are the names of the existing IP sets.
    """

    family: int
    protocol: int = 0
    is_protocol_inverted: bool = False
    set_names: frozenset[str] = frozenset()


#: Returns the canonical form of an option's arguments, or raises `ParameterProblemError`.
Canonicalise = Callable[[Sequence[str], ParseContext], tuple[str, ...]]


def keep_words(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
    """Return `words` unchanged: the parser of an option whose arguments have only one form. `context` is not used."""
    return tuple(words)


@frozen
class Option:
    """An option that an extension has: its name, the number of its arguments (`words`), and the parser for them.

    `canonicalise` parses the arguments and returns them in canonical form. `stored_as` is set if the option is a
    shorthand, and names the option that it stands for: `--syn` is stored as `--tcp-flags FIN,SYN,RST,ACK SYN`.
    """

    name: str
    canonicalise: Canonicalise = keep_words
    words: int = 1
    can_invert: bool = True
    is_text: bool = False
    aliases: tuple[str, ...] = ()
    stored_as: str = ""


#: Checks the settings of an extension when the rule is complete (xtables: x6_fcheck); it may add default settings to
#: the dictionary.
FinalCheck = Callable[[dict[str, Setting], ParseContext], None]


def require_option(name: str, option: str) -> FinalCheck:
    """Return a check for the extension `name` that raises an error if its option `option` is missing."""

    def final_check(settings: dict[str, Setting], context: ParseContext) -> None:
        if option not in settings:
            raise ParameterProblemError(f'{name}: option "--{option}" must be specified\n')

    return final_check


def require_settings(message: str, most: int | None = None) -> FinalCheck:
    """Return a check that raises an error if an extension has no setting, or more than `most` settings.

    `message` is the text of the error. If `most` is None, there is no limit.
    """

    def final_check(settings: dict[str, Setting], context: ParseContext) -> None:
        if not settings or (most is not None and len(settings) > most):
            raise ParameterProblemError(message)

    return final_check


def accept_any(settings: dict[str, Setting], context: ParseContext) -> None:
    """Accept any combination of settings.

    The `final_check` of an extension without required or conflicting options.
    """


def integer(limit: int, message: str, form: str = "{}") -> Canonicalise:
    """Return a parser for an option with one integer argument from 0 to `limit`.

    `message` is the text of the error for any other argument. `form` is the format string of the canonical value.
    """

    def canonicalise(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
        value = parse_number(words[0], limit)
        if value is None:
            raise ParameterProblemError(message)
        return (form.format(value),)

    return canonicalise


def one_of(message: str, *names: str, fold: Callable[[str], str] = str) -> Canonicalise:
    """Return a parser for an option whose argument is one of `names`.

    `fold` (such as `str.lower`) is applied to the argument first. `message` is the text of the error for any other
    argument; `{}` in it stands for the argument.
    """

    def canonicalise(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
        name = fold(words[0])
        if name not in names:
            raise ParameterProblemError(message.format(words[0]))
        return (name,)

    return canonicalise


def word_list(names: Sequence[str], message: str) -> Canonicalise:
    """Return a parser for an option whose argument is a comma-separated list of words from `names`.

    Case is ignored; `names` are in upper case. The canonical form has the words in the order of `names`. `message` is
    the text of the error for an unknown word; `{}` in it stands for the word.
    """

    def canonicalise(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
        given = words[0].split(",")
        for word in given:
            if word.upper() not in names:
                raise ParameterProblemError(message.format(word))
        upper = {word.upper() for word in given}
        return (",".join(name for name in names if name in upper),)

    return canonicalise


@define
class ExtensionBuilder:
    """An extension whose options are being parsed.

    `settings` are those parsed so far, by the name of the option. `final_check` is called when all are parsed.
    """

    name: str
    options: Sequence[Option]
    final_check: FinalCheck
    settings: dict[str, Setting] = field(factory=dict)

    def add(self, option: Option, words: Sequence[str], is_inverted: bool, context: ParseContext) -> None:
        """Add the setting of one option with the arguments `words`; `is_inverted` means that `!` precedes the option.

        Raises `ParameterProblemError` if the option is repeated, cannot be inverted, or has invalid arguments.
        """
        if is_inverted and not option.can_invert:
            raise ParameterProblemError(f'{self.name}: option "--{option.name}" cannot be inverted.\n')
        name = option.stored_as or option.name
        if name in self.settings:
            raise ParameterProblemError(f'{self.name}: option "--{option.name}" can only be used once.\n')
        self.settings[name] = Setting(name, option.canonicalise(words, context), is_inverted, option.is_text)

    def complete(self, context: ParseContext) -> Extension:
        """Check the settings and return the extension. Its settings have the order of `options`."""
        self.final_check(self.settings, context)
        ordered = [self.settings[option.name] for option in self.options if option.name in self.settings]
        return Extension(self.name, tuple(ordered))


def find_option(options: Mapping[str, Option], text: str) -> Option | None:
    """Return the option whose long name is `text` or is abbreviated by it, as getopt_long does.

    Return None if there is no such option, or if the abbreviation is ambiguous.
    """
    exact = options.get(text)
    if exact is not None:
        return exact
    matches = {option.name: option for name, option in options.items() if name.startswith(text)}
    return next(iter(matches.values())) if len(matches) == 1 else None

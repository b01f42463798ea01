"""Matches and targets as values: the name of an extension and its settings, in canonical order and spelling.

A rule's parts are data; what each extension accepts, checks, prints in a listing and does to a packet is told by its
kind (`matches`, `targets`), one table entry an extension, as `libxt_*.so` and `xt_*.ko` are to the real iptables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from attrs import define, evolve, field, frozen

from cnmsim.kernel.netfilter.errors import ParameterProblemError
from cnmsim.kernel.netfilter.option_values import quoted


@frozen
class Setting:
    """One option of an extension as given in a rule: canonical values, and whether `!` stands before it."""

    name: str
    values: tuple[str, ...] = ()
    is_inverted: bool = False
    is_text: bool = False

    def __str__(self) -> str:
        words = [quoted(value) if self.is_text else value for value in self.values]
        return " ".join([*(["!"] if self.is_inverted else []), f"--{self.name}", *words])

    @property
    def value(self) -> str:
        """The first value, for options with one."""
        return self.values[0]


@frozen
class Extension:
    """A match or a target of one rule: `tcp` with `--dport 80`, `DNAT` with `--to-destination 10.0.0.2:80`."""

    name: str
    settings: tuple[Setting, ...] = ()

    def get(self, name: str) -> Setting | None:
        """Give the setting of that name, or `None`."""
        for setting in self.settings:
            if setting.name == name:
                return setting
        return None

    def with_value(self, name: str, value: str) -> Extension:
        """Give it with another value, in canonical form, of the setting of that name, or as it is if it has none."""
        if self.get(name) is None:
            return self
        settings = [evolve(each, values=(value,)) if each.name == name else each for each in self.settings]
        return Extension(self.name, tuple(settings))

    def options_text(self) -> str:
        """Write the settings, each with a space before it."""
        return "".join(f" {setting}" for setting in self.settings)


@define
class ParseContext:
    """What an option may depend on: the family, the rule's protocol (0: any) and the names of the IP sets."""

    family: int
    protocol: int = 0
    is_protocol_inverted: bool = False
    set_names: frozenset[str] = frozenset()


#: Brings the words after an option into canonical form, or raises `ParameterProblemError`.
Canonicalise = Callable[[Sequence[str], ParseContext], tuple[str, ...]]


def keep_words(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
    """Take the words as they are."""
    return tuple(words)


@frozen
class Option:
    """An option of an extension: its name, how many words follow, and their canonical form.

    `stored_as` names the option it is a shorthand for, as `--syn` is for `--tcp-flags FIN,SYN,RST,ACK SYN`.
    """

    name: str
    canonicalise: Canonicalise = keep_words
    words: int = 1
    can_invert: bool = True
    is_text: bool = False
    aliases: tuple[str, ...] = ()
    stored_as: str = ""


#: Checks the settings of an extension when the rule is complete; may add defaults to the dictionary.
FinalCheck = Callable[[dict[str, Setting], ParseContext], None]


def require_option(name: str, option: str) -> FinalCheck:
    """Give a check that the extension `name` has its one mandatory option."""

    def final_check(settings: dict[str, Setting], context: ParseContext) -> None:
        if option not in settings:
            raise ParameterProblemError(f'{name}: option "--{option}" must be specified\n')

    return final_check


def accept_any(settings: dict[str, Setting], context: ParseContext) -> None:
    """Accept any settings."""


@define
class ExtensionBuilder:
    """An extension while its options are being read."""

    name: str
    options: Sequence[Option]
    final_check: FinalCheck
    settings: dict[str, Setting] = field(factory=dict)

    def add(self, option: Option, words: Sequence[str], is_inverted: bool, context: ParseContext) -> None:
        """Take one option with its words. Raises `ParameterProblemError`."""
        if is_inverted and not option.can_invert:
            raise ParameterProblemError(f'{self.name}: option "--{option.name}" cannot be inverted.\n')
        name = option.stored_as or option.name
        if name in self.settings:
            raise ParameterProblemError(f'{self.name}: option "--{option.name}" can only be used once.\n')
        self.settings[name] = Setting(name, option.canonicalise(words, context), is_inverted, option.is_text)

    def complete(self, context: ParseContext) -> Extension:
        """Check what was given and freeze it, settings in the order of the kind's options."""
        self.final_check(self.settings, context)
        ordered = [self.settings[option.name] for option in self.options if option.name in self.settings]
        return Extension(self.name, tuple(ordered))


def one(canonical: Callable[[str], str]) -> Canonicalise:
    """Give the canonical form of an option with one word from a function of that word."""

    def apply(words: Sequence[str], context: ParseContext) -> tuple[str, ...]:
        return (canonical(words[0]),)

    return apply


def find_option(options: Mapping[str, Option], text: str) -> Option | None:
    """Find an option by its long name or an unambiguous beginning of it, as getopt_long does."""
    exact = options.get(text)
    if exact is not None:
        return exact
    found = {option.name: option for name, option in options.items() if name.startswith(text)}
    return next(iter(found.values())) if len(found) == 1 else None

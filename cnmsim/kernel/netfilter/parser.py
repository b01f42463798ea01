"""Parser of the command line of iptables(8): its own options and those of the matches and targets that a rule loads.

Options may be abbreviated. If no loaded extension has an option, the match of the rule's protocol is loaded, as for
`-p tcp --dport 80`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product

from attrs import define, field, frozen

from cnmsim.digits import is_number
from cnmsim.kernel.netfilter.errors import ParameterProblemError, UnknownTargetError
from cnmsim.kernel.netfilter.extension import Extension, ExtensionBuilder, Option, ParseContext, find_option
from cnmsim.kernel.netfilter.interface import parse_interface_name
from cnmsim.kernel.netfilter.matches import MATCHES, match_kind
from cnmsim.kernel.netfilter.netdb import PRINTED_PROTOCOLS
from cnmsim.kernel.netfilter.option_values import parse_host_mask, parse_number, parse_protocol
from cnmsim.kernel.netfilter.rule import HostMatch, NameMatch, Rule
from cnmsim.kernel.netfilter.targets import TARGETS


@frozen
class _GlobalOption:
    """An option of iptables itself: its long name, its letter, and whether it takes an argument.

    `argument` is `required`, `optional` or `none`.
    """

    name: str
    letter: str
    argument: str = "required"


_COMMANDS = (
    _GlobalOption("append", "A"), _GlobalOption("delete", "D"),
    _GlobalOption("check", "C"), _GlobalOption("insert", "I"),
    _GlobalOption("replace", "R"), _GlobalOption("list", "L", "optional"),
    _GlobalOption("list-rules", "S", "optional"),
    _GlobalOption("flush", "F", "optional"), _GlobalOption("zero", "Z", "optional"), _GlobalOption("new-chain", "N"),
    _GlobalOption("delete-chain", "X", "optional"), _GlobalOption("rename-chain", "E"), _GlobalOption("policy", "P"),
    _GlobalOption("version", "V", "none"), _GlobalOption("help", "h", "none"),
)  # fmt: skip
_RULE_OPTIONS = (
    _GlobalOption("source", "s"), _GlobalOption("destination", "d"),
    _GlobalOption("in-interface", "i"), _GlobalOption("out-interface", "o"),
    _GlobalOption("protocol", "p"), _GlobalOption("fragments", "f", "none"),
    _GlobalOption("match", "m"), _GlobalOption("jump", "j"),
    _GlobalOption("goto", "g"), _GlobalOption("set-counters", "c"),
)  # fmt: skip
_OTHER_OPTIONS = (
    _GlobalOption("table", "t"), _GlobalOption("verbose", "v", "none"),
    _GlobalOption("numeric", "n", "none"), _GlobalOption("exact", "x", "none"),
    _GlobalOption("line-numbers", "0", "none"), _GlobalOption("wait", "w", "optional"),
    _GlobalOption("wait-interval", "W"),
    _GlobalOption("modprobe", "M"), _GlobalOption("ipv4", "4", "none"), _GlobalOption("ipv6", "6", "none"),
)  # fmt: skip
_BY_LETTER = {option.letter: option for option in (*_COMMANDS, *_RULE_OPTIONS, *_OTHER_OPTIONS)}
_BY_NAME = {option.name: option for option in _BY_LETTER.values()} | {
    "src": _BY_LETTER["s"],
    "dst": _BY_LETTER["d"],
    "proto": _BY_LETTER["p"],
    "new": _BY_LETTER["N"],
}
_COMMAND_LETTERS = {option.letter for option in _COMMANDS}
#: Commands that take a rule.
_RULE_COMMANDS = frozenset("ADCIR")
#: Matches that the nf_tables variant loads only once per rule.
_LOADED_ONCE = frozenset({"tcp", "udp"})
_INVERTIBLE = frozenset("sdiopf")


@define
class Command:
    """A parsed command line. `letter` is the command (`A`, `L`, …), `options` are the letters of the options given.

    `number` is the position of a rule, counted from 1, or 0 if none is given. `second_operand` is the new name of a
    chain or the policy. `packets` and `bytes` are the counters to set (-c).
    """

    letter: str
    chain: str = ""
    number: int = 0
    second_operand: str = ""
    table: str = "filter"
    rules: list[Rule] = field(factory=list)
    packets: int = 0
    bytes: int = 0
    options: set[str] = field(factory=set)


@define
class _Parser:
    words: list[str]
    context: ParseContext
    chain_exists: Callable[[str, str], bool]
    at: int = 0
    command: Command | None = None
    table: str = "filter"
    options: set[str] = field(factory=set)
    hosts: dict[str, list[HostMatch]] = field(factory=dict)
    names: dict[str, NameMatch] = field(factory=dict)
    fragment: bool | None = None
    matches: list[ExtensionBuilder] = field(factory=list)
    target: ExtensionBuilder | None = None
    jump: str = ""
    is_goto: bool = False
    has_protocol: bool = False
    counters: tuple[int, int] = (0, 0)
    seen: set[str] = field(factory=set)
    pending: list[tuple[str, str]] = field(factory=list)

    # --- words

    def parse(self) -> Command:
        inverted = False
        while self.at < len(self.words):
            word = self.words[self.at]
            self.at += 1
            if word == "!":
                if inverted:
                    raise ParameterProblemError("multiple consecutive ! not allowed")
                inverted = True
                continue
            if word.startswith("--") and len(word) > 2:
                self._long(word[2:], inverted)
            elif word.startswith("-") and len(word) > 1:
                self._short(word[1:], inverted)
            else:
                raise ParameterProblemError(f"Bad argument `{word}'", is_bare=True)
            inverted = False
        return self._finish()

    def _long(self, text: str, inverted: bool) -> None:
        name, equals, value = text.partition("=")
        arguments = [value] if equals else []
        option = _BY_NAME.get(name)
        # An option of a loaded extension takes precedence, such as `--proto` of the policy match.
        is_shadowed = any(name == own.name for draft in self.matches for own in draft.options)
        if (option is None or is_shadowed) and self._extension(name, arguments, inverted):
            return
        if option is None:
            candidates = {o.letter: o for n, o in _BY_NAME.items() if n.startswith(name)}
            if len(candidates) != 1:
                raise ParameterProblemError(f'unknown option "--{name}"')
            option = next(iter(candidates.values()))
        self._global(option, f"--{name}", arguments, inverted)

    def _short(self, letters: str, inverted: bool) -> None:
        while letters:
            letter, letters = letters[0], letters[1:]
            option = _BY_LETTER.get(letter)
            if option is None or letter == "0":
                raise ParameterProblemError(f'unknown option "-{letter}"')
            if option.argument == "required" and letters:
                self._global(option, f"-{letter}", [letters], inverted)
                return
            if letter == "w" and is_number(letters):
                return
            self._global(option, f"-{letter}", [], inverted)

    def _argument(self, flag: str, given: list[str]) -> str:
        if given:
            return given[0]
        if self.at >= len(self.words):
            raise ParameterProblemError(f'option "{flag}" requires an argument')
        self.at += 1
        return self.words[self.at - 1]

    def _optional_argument(self) -> str:
        """Consume and return the next word if it is not an option; otherwise return "" and consume nothing."""
        if self.at < len(self.words) and not self.words[self.at].startswith("-") and self.words[self.at] != "!":
            self.at += 1
            return self.words[self.at - 1]
        return ""

    # --- options of iptables itself

    def _global(self, option: _GlobalOption, flag: str, given: list[str], inverted: bool) -> None:
        letter = option.letter
        if inverted and letter not in _INVERTIBLE:
            raise ParameterProblemError(f'unexpected "!" flag before --{option.name}')
        if letter in _COMMAND_LETTERS:
            self._command(option, flag, given)
            return
        if option.argument == "none":
            if letter == "f":
                self.seen.add("fragments")
                self.fragment = not inverted
            self.options.add(letter)
            return
        if letter == "w":
            word = self._optional_argument() if not given else given[0]
            if word and not is_number(word.replace(".", "", 1)):
                raise ParameterProblemError("wait seconds not numeric")
            return
        value = self._argument(flag, given)
        if letter in "sdiopjg":
            self._once("jump" if letter == "g" else option.name)
        if letter == "t":
            self.table = value
        elif letter in "sd":
            self._host(option.name, value, inverted)
        elif letter in "io":
            self.names[option.name] = NameMatch(parse_interface_name(value), inverted)
        elif letter == "p":
            self._protocol(value, inverted)
        elif letter == "m":
            self._load_match(value)
        elif letter in "jg":
            self._jump(value, is_goto=letter == "g")
        elif letter == "c":
            self._counters(value)

    def _once(self, name: str) -> None:
        if name in self.seen:
            raise ParameterProblemError(f"multiple --{name} options not allowed")
        self.seen.add(name)

    def _command(self, option: _GlobalOption, flag: str, given: list[str]) -> None:
        if self.command is not None:
            raise ParameterProblemError(f"Cannot use -{option.letter} with -{self.command.letter}")
        command = self.command = Command(option.letter)
        letter = option.letter
        if option.argument == "none":
            return
        command.chain = self._optional_argument() if option.argument == "optional" else self._argument(flag, given)
        if letter == "E":
            command.second_operand = self._optional_argument()
            if not command.second_operand:
                raise ParameterProblemError("-E requires old-chain-name and new-chain-name")
        elif letter == "P":
            command.second_operand = self._optional_argument()
            if not command.second_operand:
                raise ParameterProblemError("-P requires a chain and a policy")
        elif letter in "IDLSZR" and command.chain:
            word = self._optional_argument()
            if word:
                command.number = _rule_number(word)
            elif letter == "R":
                raise ParameterProblemError("-R requires a rule number")
        elif letter == "N":
            _check_chain_name(command.chain)

    def _host(self, name: str, value: str, inverted: bool) -> None:
        parts = value.split(",")
        if inverted and len(parts) > 1:
            raise ParameterProblemError("! not allowed with multiple source or destination IP addresses")
        matches = self.hosts.setdefault(name, [])
        for part in parts:
            address, mask = parse_host_mask(part.strip(), self.context.family)
            matches.append(HostMatch(address, mask, inverted))

    def _protocol(self, value: str, inverted: bool) -> None:
        number = parse_protocol(value)
        if number == 0 and inverted:
            raise ParameterProblemError("rule would never match protocol")
        self.context.protocol = number
        self.context.is_protocol_inverted = inverted
        self.has_protocol = True

    def _load_match(self, name: str) -> ExtensionBuilder:
        kind = match_kind(name, self.context.family)
        if kind.name in _LOADED_ONCE:
            for loaded in self.matches:
                if loaded.name == kind.name:
                    return loaded
        draft = ExtensionBuilder(kind.name, kind.options, kind.final_check)
        self.matches.append(draft)
        return draft

    def _jump(self, name: str, *, is_goto: bool) -> None:
        self.jump, self.is_goto = name, is_goto
        kind = TARGETS.get(name)
        if kind is not None and not is_goto and self.context.family in kind.families:
            self.target = ExtensionBuilder(name, kind.options, kind.final_check)

    def _counters(self, packets: str) -> None:
        second_operand = self._optional_argument()
        counts = [
            parse_number(text, 2**64 - 1)
            for text in ([packets, second_operand] if second_operand else packets.split(","))
        ]
        if len(counts) != 2 or None in counts:
            raise ParameterProblemError("-c packet counter not numeric")
        self.counters = (counts[0] or 0, counts[1] or 0)

    # --- options of extensions

    def _extension(self, name: str, given: list[str], inverted: bool) -> bool:
        """Parse `--name` as an option of a loaded extension or, after loading it, of the protocol's match.

        `given` are the arguments found so far; `inverted` means that `!` preceded the option. Return False if no
        extension has the option.
        """
        drafts = [*([self.target] if self.target is not None else []), *reversed(self.matches)]
        for draft in drafts:
            option = find_option(_by_name(draft.options), name)
            if option is not None:
                self._add_option(draft, option, given, inverted)
                return True
        implied = PRINTED_PROTOCOLS.get(self.context.protocol, "")
        kind = MATCHES.get(implied) if self.has_protocol else None
        if kind is None or self.context.family not in kind.families:
            return False
        if any(draft.name == kind.name for draft in self.matches):
            return False
        option = find_option(_by_name(kind.options), name)
        if option is None:
            return False
        self._add_option(self._load_match(kind.name), option, given, inverted)
        return True

    def _add_option(self, draft: ExtensionBuilder, option: Option, given: list[str], inverted: bool) -> None:
        words = list(given)
        while len(words) < option.words:
            words.append(self._argument(f"--{option.name}", []))
        draft.add(option, words, inverted, self.context)

    # --- the complete command

    def _finish(self) -> Command:
        command = self.command
        if command is None:
            raise ParameterProblemError("no command specified")
        command.table = self.table
        command.options = self.options
        command.packets, command.bytes = self.counters
        if command.letter in _RULE_COMMANDS:
            self._check_interfaces(command)
            if not (command.letter == "D" and command.number):
                command.rules = self._rules()
        else:
            self._refuse_rule_options()
        return command

    def _refuse_rule_options(self) -> None:
        for name in ("protocol", "source", "destination", "jump", "in-interface", "out-interface", "fragments"):
            if name in self.seen:
                raise ParameterProblemError(f"Illegal option `--{name}' with this command")

    def _check_interfaces(self, command: Command) -> None:
        if command.chain in {"PREROUTING", "INPUT"} and "out-interface" in self.names:
            raise ParameterProblemError(f"Can't use --out-interface with {command.chain}")
        if command.chain in {"POSTROUTING", "OUTPUT"} and "in-interface" in self.names:
            raise ParameterProblemError(f"Can't use --in-interface with {command.chain}")

    def _rules(self) -> list[Rule]:
        matches = tuple(draft.complete(self.context) for draft in self.matches)
        target: Extension | None = None
        if self.target is not None:
            target = self.target.complete(self.context)
        elif self.jump:
            if not self.chain_exists(self.table, self.jump):
                raise UnknownTargetError(self.jump)
            target = Extension(self.jump)
        sources: Iterable[HostMatch | None] = self.hosts.get("source", [None])
        destinations: list[HostMatch | None] = list(self.hosts.get("destination", [None]))
        return [
            Rule(
                _unless_any(source),
                _unless_any(destination),
                self._name("in-interface"),
                self._name("out-interface"),
                self.context.protocol,
                self.context.is_protocol_inverted and self.context.protocol != 0,
                self.fragment,
                matches,
                target,
                self.is_goto,
            )
            for source, destination in product(sources, destinations)
        ]

    def _name(self, option: str) -> NameMatch | None:
        match = self.names.get(option)
        # `-i +` matches any device and is dropped; `! -i +` is kept.
        return None if match is not None and match.name == "+" and not match.is_inverted else match


def _unless_any(host: HostMatch | None) -> HostMatch | None:
    return None if host is not None and host.mask == 0 and not host.is_inverted else host


def _by_name(options: Iterable[Option]) -> dict[str, Option]:
    return {name: option for option in options for name in (option.name, *option.aliases)}


def _rule_number(text: str) -> int:
    if not (is_number(text) and int(text) > 0):
        raise ParameterProblemError(f"Invalid rule number `{text}'")
    return int(text)


def _check_chain_name(name: str) -> None:
    if name.startswith(("-", "!")):
        raise ParameterProblemError(f"chain name not allowed to start with `{name[0]}'")
    if name in TARGETS:
        raise ParameterProblemError("chain name may not clash with target name")
    if len(name) >= 29:
        raise ParameterProblemError(f"chain name `{name}' too long (must be under 29 chars)")
    if any(letter.isspace() for letter in name):
        raise ParameterProblemError("Invalid chain name")


def parse_command(
    words: list[str], family: int, chain_exists: Callable[[str, str], bool], set_names: frozenset[str] = frozenset()
) -> Command:
    """Parse `words`, the arguments of iptables (`family` 4) or ip6tables (6).

    `chain_exists(table, chain)` returns True if a rule may jump to the chain. `set_names` are the names of the
    existing IP sets. Raises `ParameterProblemError` if the arguments are invalid.
    """
    return _Parser(words, ParseContext(family, set_names=set_names), chain_exists).parse()


def parse_rule(text_words: list[str], family: int, set_names: frozenset[str] = frozenset()) -> list[Rule]:
    """Parse the words of a rule, without command and chain. Return several rules if it contains several addresses.

    If the name after -j is not a target, it is taken as the name of a chain, which need not exist. Raises
    `ParameterProblemError` if the rule is invalid.
    """
    return parse_command(["-A", "", *text_words], family, lambda table, chain: True, set_names).rules

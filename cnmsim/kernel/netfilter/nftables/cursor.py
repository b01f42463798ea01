"""A location in nft's input, and the small steps every part of the parser takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from attrs import define, field

from cnmsim.kernel.netfilter.nftables.errors import Location, NftError
from cnmsim.kernel.netfilter.nftables.lexer import Token, tokens

#: What ends a command, a rule or a line of a block.
SEPARATORS = frozenset({"\n", ";"})


@define(eq=False)
class Cursor:
    """Reads tokens one after another; `at` is the number of the next. `defines` are the variables that `define` made."""

    _tokens: list[Token]
    at: int = 0
    defines: dict[str, list[Token]] = field(factory=dict)

    @classmethod
    def over(cls, source: str) -> Cursor:
        """Begin at the beginning of an input."""
        return cls(tokens(source))

    @property
    def token(self) -> Token:
        """The token that comes next; a variable stands for its value."""
        found = self._tokens[self.at]
        while found.kind == "word" and found.text.startswith("$"):
            value = self.defines.get(found.text[1:])
            if value is None:
                at = Location(found.location.line, found.location.begin + 1, found.location.end)
                raise NftError(f"unknown identifier '{found.text[1:]}'", at)
            self._tokens[self.at : self.at + 1] = [Token(each.text, each.kind, found.location) for each in value]
            found = self._tokens[self.at]
        return found

    @property
    def text(self) -> str:
        """The text of the next token, "" for a quoted string."""
        token = self.token
        return token.text if token.kind != "string" else ""

    @property
    def location(self) -> Location:
        """Where the next token stands."""
        return self.token.location

    @property
    def last_location(self) -> Location:
        """Where the token before stands."""
        return self.before(1)

    def before(self, count: int) -> Location:
        """Give where the token stands that was taken `count` tokens ago."""
        return self._tokens[max(0, self.at - count)].location

    @property
    def is_at_end(self) -> bool:
        """Whether nothing is left."""
        token = self.token
        return token.kind == "symbol" and token.text == ""

    def take(self) -> Token:
        """Take the next token."""
        token = self.token
        if not self.is_at_end:
            self.at += 1
        return token

    def peek(self, ahead: int) -> str:
        """Give the text of a token further on."""
        at = min(self.at + ahead, len(self._tokens) - 1)
        token = self._tokens[at]
        return token.text if token.kind != "string" else ""

    def accept(self, *texts: str) -> bool:
        """Take the next token if it is one of `texts`."""
        if self.text in texts and not self.is_at_end:
            self.take()
            return True
        return False

    def expect(self, *texts: str) -> Token:
        """Take the next token, which must be one of `texts`. Raises `NftError`."""
        if self.text not in texts or self.is_at_end:
            self.unexpected(*(f"'{text}'" if len(text) == 1 else text for text in texts))
        return self.take()

    def word(self) -> Token:
        """Take a word or a quoted string. Raises `NftError`."""
        if self.token.kind == "symbol":
            self.unexpected("string")
        return self.take()

    def statement(self) -> tuple[int, tuple[str, ...]]:
        """Look at what is left of a rule or command: the number of the token after it, and its texts, quotes marked."""
        at, depth = self.at, 0
        words: list[str] = []
        while True:
            token = self._tokens[at]
            if token.kind == "symbol":
                if token.text == "" or (not depth and (token.text in SEPARATORS or token.text == "}")):
                    return at, tuple(words)
                depth += {"{": 1, "}": -1}.get(token.text, 0)
            words.append(f'"{token.text}' if token.kind == "string" else token.text)
            at += 1

    def number(self) -> int:
        """Take a number. Raises `NftError`."""
        token = self.token
        try:
            value = int(token.text, 0)
        except ValueError:
            self.unexpected("number")
        self.take()
        return value

    def skip_newlines(self) -> None:
        """Go past the ends of lines."""
        while self.accept("\n"):
            pass

    def skip_separators(self) -> None:
        """Go past the ends of lines and semicolons."""
        while self.accept("\n", ";"):
            pass

    def ends_statement(self) -> bool:
        """Tell whether a rule or command ends here."""
        return self.is_at_end or self.text in SEPARATORS or self.text == "}"

    def unexpected(self, *expected: str) -> NoReturn:
        """Complain of the next token."""
        token = self.token
        name = _SYMBOL_NAMES.get(token.text) if token.kind == "symbol" else None
        if name is None:
            name = f"'{token.text}'" if token.kind == "symbol" else _kind_of(token)
        wanted = f", expecting {' or '.join(expected)}" if expected else ""
        raise NftError(f"syntax error, unexpected {name}{wanted}", token.location)


_SYMBOL_NAMES: Mapping[str, str] = {"\n": "newline", "": "newline", ";": "semicolon", ",": "comma"}
#: Words that are tokens of their own in the real grammar, and named as such.
_KEYWORDS = frozenset(
    [
        "accept",
        "add",
        "chain",
        "comment",
        "continue",
        "counter",
        "create",
        "ct",
        "delete",
        "dnat",
        "drop",
        "element",
        "fib",
        "flush",
        "handle",
        "insert",
        "ip",
        "ip6",
        "jump",
        "limit",
        "list",
        "log",
        "map",
        "mark",
        "meta",
        "position",
        "redirect",
        "reject",
        "return",
        "rule",
        "ruleset",
        "set",
        "snat",
        "table",
        "tcp",
        "udp",
    ]
)


def _kind_of(token: Token) -> str:
    if token.kind == "string":
        return "quoted string"
    if token.text in _KEYWORDS:
        return token.text
    return "number" if token.text.isdigit() else "string"

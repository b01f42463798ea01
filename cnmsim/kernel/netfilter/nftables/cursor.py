"""A read position in nft's input, and the basic operations of the parser."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from attrs import define, field

from cnmsim.digits import is_number, parse_c_number
from cnmsim.kernel.netfilter.nftables.errors import Location, NftError
from cnmsim.kernel.netfilter.nftables.lexer import Token, tokens

#: Tokens that end a command, a rule or a line of a block.
SEPARATORS = frozenset({"\n", ";"})


@define(eq=False)
class Cursor:
    """Reads the tokens of an input in order.

    `at` is the index of the next token. `defines` maps the name of a variable (`define NAME = …`) to the tokens of
    its value.
    """

    _tokens: list[Token]
    at: int = 0
    defines: dict[str, list[Token]] = field(factory=dict)

    @classmethod
    def over(cls, source: str) -> Cursor:
        """Return a cursor at the first token of `source`."""
        return cls(tokens(source))

    @property
    def token(self) -> Token:
        """The next token. A variable is replaced by the tokens of its value.

        Raises `NftError` if the variable is not defined.
        """
        token = self._tokens[self.at]
        while token.kind == "word" and token.text.startswith("$"):
            value = self.defines.get(token.text[1:])
            if value is None:
                at = Location(token.location.line, token.location.begin + 1, token.location.end)
                raise NftError(f"unknown identifier '{token.text[1:]}'", at)
            self._tokens[self.at : self.at + 1] = [Token(part.text, part.kind, token.location) for part in value]
            token = self._tokens[self.at]
        return token

    @property
    def text(self) -> str:
        """The text of the next token, "" if that is a quoted string.

        So a quoted string is not confused with a keyword.
        """
        token = self.token
        return token.text if token.kind != "string" else ""

    @property
    def location(self) -> Location:
        """The location of the next token."""
        return self.token.location

    @property
    def last_location(self) -> Location:
        """The location of the previous token."""
        return self.before(1)

    def before(self, count: int) -> Location:
        """Return the location of the token consumed `count` tokens ago."""
        return self._tokens[max(0, self.at - count)].location

    @property
    def is_at_end(self) -> bool:
        """Whether all tokens are consumed."""
        token = self.token
        return token.kind == "symbol" and token.text == ""

    def take(self) -> Token:
        """Consume the next token and return it."""
        token = self.token
        if not self.is_at_end:
            self.at += 1
        return token

    def peek(self, ahead: int) -> str:
        """Return the text of the token `ahead` positions after the next one.

        Return "" for a quoted string, and beyond the end of the input.
        """
        at = min(self.at + ahead, len(self._tokens) - 1)
        token = self._tokens[at]
        return token.text if token.kind != "string" else ""

    def accept(self, *texts: str) -> bool:
        """If the next token is one of `texts`, consume it and return True; otherwise return False."""
        if self.text in texts and not self.is_at_end:
            self.take()
            return True
        return False

    def expect(self, *texts: str) -> Token:
        """Consume the next token; raise `NftError` if it is not one of `texts`."""
        if self.text not in texts or self.is_at_end:
            self.unexpected(*(f"'{text}'" if len(text) == 1 else text for text in texts))
        return self.take()

    def word(self) -> Token:
        """Consume a word or a quoted string and return it. Raises `NftError` if the next token is neither."""
        if self.token.kind == "symbol":
            self.unexpected("string")
        return self.take()

    def skip_statement(self) -> None:
        """Skip the rest of a rule or command."""
        depth = 0
        while True:
            token = self._tokens[self.at]
            if token.kind == "symbol":
                if token.text == "" or (not depth and (token.text in SEPARATORS or token.text == "}")):
                    return
                depth += {"{": 1, "}": -1}.get(token.text, 0)
            self.at += 1

    def number(self) -> int:
        """Consume a number and return it. Raises `NftError` if the next token is not a number."""
        token = self.token
        try:
            value = parse_c_number(token.text)
        except ValueError:
            self.unexpected("number")
        self.take()
        return value

    def skip_newlines(self) -> None:
        """Skip newlines."""
        while self.accept("\n"):
            pass

    def skip_separators(self) -> None:
        """Skip newlines and semicolons."""
        while self.accept("\n", ";"):
            pass

    def ends_statement(self) -> bool:
        """Return True if the rule or command ends here."""
        return self.is_at_end or self.text in SEPARATORS or self.text == "}"

    def unexpected(self, *expected: str) -> NoReturn:
        """Raise the syntax error that nft reports for the next token.

        `expected` are the tokens that would be valid here, as the error names them.
        """
        token = self.token
        name = _SYMBOL_NAMES.get(token.text) if token.kind == "symbol" else None
        if name is None:
            name = f"'{token.text}'" if token.kind == "symbol" else _kind_of(token)
        expectation = f", expecting {' or '.join(expected)}" if expected else ""
        raise NftError(f"syntax error, unexpected {name}{expectation}", token.location)


_SYMBOL_NAMES: Mapping[str, str] = {"\n": "newline", "": "newline", ";": "semicolon", ",": "comma"}
#: Words that are keywords of nft's grammar; errors name them.
_KEYWORDS = frozenset({
    "accept", "add", "chain", "comment", "continue", "counter", "create", "ct", "delete", "dnat", "drop", "element",
    "fib", "flush", "handle", "insert", "ip", "ip6", "jump", "limit", "list", "log", "map", "mark", "meta",
    "position", "redirect", "reject", "return", "rule", "ruleset", "set", "snat", "table", "tcp", "udp",
})  # fmt: skip


def _kind_of(token: Token) -> str:
    if token.kind == "string":
        return "quoted string"
    if token.text in _KEYWORDS:
        return token.text
    return "number" if is_number(token.text) else "string"

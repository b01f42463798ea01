"""Splits nft's input into tokens with their locations (scanner.l of nftables)."""

from __future__ import annotations

import re

from attrs import frozen

from cnmsim.kernel.netfilter.nftables.errors import Location, NftError

_TOKEN = re.compile(
    r"""(?P<space>(?:[ \t\r]|\\\n)+) | (?P<comment>\#[^\n]*) | (?P<newline>\n) | "(?P<string>[^"\n]*)"
      | (?P<symbol>!=|==|<=|>=|<<|>>|[{}();,|&^!=<>]) | (?P<word>[^\s{}();,|&^!=<>"\#]+)""",
    re.VERBOSE,
)


@frozen
class Token:
    r"""One token of the input. `kind` is `word`, `string` (a quoted string) or `symbol`.

    Symbols include the end of a line ("\n") and of the input ("").
    """

    text: str
    kind: str
    location: Location


def tokens(source: str) -> list[Token]:
    """Return the tokens of an input. Raises `NftError` for an unclosed quote."""
    result: list[Token] = []
    at, line, line_start = 0, 1, 0
    while at < len(source):
        match = _TOKEN.match(source, at)
        if match is None:
            raise NftError("syntax error, unexpected junk", Location(line, at - line_start, at - line_start + 1))
        kind = match.lastgroup or ""
        location = Location(line, at - line_start, match.end() - line_start)
        text = match[kind]
        at = match.end()
        if kind == "newline":
            result.append(Token("\n", "symbol", location))
        elif kind == "word":
            result += _words(text, location)
        elif kind in {"string", "symbol"}:
            result.append(Token(text, kind, location))
        if "\n" in match[0]:
            line += match[0].count("\n")
            line_start = at
    result.append(Token("", "symbol", Location(line, at - line_start, at - line_start + 1)))
    return result


def _words(text: str, location: Location) -> list[Token]:
    """Return one token for `text`, or two if it ends in a colon, as the key of a map element does (`80:`).

    The colons in an IPv6 address are kept.
    """
    if len(text) > 1 and text.endswith(":") and not text.endswith("::"):
        middle = location.end - 1
        return [
            Token(text[:-1], "word", Location(location.line, location.begin, middle)),
            Token(":", "word", Location(location.line, middle, location.end)),
        ]
    return [Token(text, "word", location)]

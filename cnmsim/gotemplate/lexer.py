"""Tokens of a template (Go `text/template/parse`, lex.go)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import frozen

KEYWORDS = frozenset(
    {"block", "break", "continue", "define", "else", "end", "if", "nil", "range", "template", "with"}
)
_SPACE = " \t\r\n"
_LEFT = re.compile(r"[ \t\r\n]*\{\{-(?=[ \t\r\n])|\{\{")
_RIGHT = re.compile(r"[ \t\r\n]-\}\}[ \t\r\n]*|\}\}")
_COMMENT = re.compile(r"[ \t\r\n]*/\*")
_NAME = re.compile(r"[\w]*")
_NUMBER = re.compile(
    r"[+-]?(?:0[xX][0-9a-fA-F_]*|0[oO][0-7_]*|0[bB][01_]*|[0-9_]*(?:\.[0-9_]*)?(?:[eE][+-]?[0-9_]*)?)i?"
)
_QUOTED = {
    '"': (re.compile(r'"(?:[^"\\\n]|\\[^\n])*"'), "string", "unterminated quoted string"),
    "'": (re.compile(r"'(?:[^'\\\n]|\\[^\n])*'"), "rune", "unterminated character constant"),
    "`": (re.compile(r"`[^`]*`"), "raw", "unterminated raw quoted string"),
}


@frozen
class Token:
    """A token: its kind, its position in the text (in characters), its line, and its text."""

    kind: str
    pos: int
    line: int
    text: str

    def __str__(self) -> str:
        if self.kind == "EOF":
            return "EOF"
        if self.kind == "error":
            return self.text
        if self.kind in KEYWORDS or self.kind == "dot":
            return f"<{self.text}>"
        escaped = self.text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
        return f'"{escaped}"' if len(self.text) <= 10 else f'"{escaped[:10]}"...'


def tokenize(text: str) -> Iterator[Token]:
    """Yield the tokens of a template. The last one is `EOF`, or `error` with the message as its text."""
    pos, line = 0, 1

    def token(kind: str, start: int, end: int, message: str | None = None) -> Token:
        nonlocal line
        token_ = Token(kind, start, line, text[start:end] if message is None else message)
        line += text.count("\n", start, end)
        return token_

    while True:
        opening = _LEFT.search(text, pos)
        end = opening.start() if opening else len(text)
        if end > pos:
            yield token("text", pos, end)
        if opening is None:
            yield token("EOF", end, end)
            return
        line += text.count("\n", end, opening.end())
        pos = opening.end()
        comment = _COMMENT.match(text, pos)
        if comment is not None and (len(opening[0]) > 2 or comment[0] == "/*"):
            close = text.find("*/", comment.end())
            right = _RIGHT.match(text, close + 2) if close >= 0 else None
            if right is None:
                yield token(
                    "error", pos, pos, "unclosed comment" if close < 0 else "comment ends before closing delimiter"
                )
                return
            line += text.count("\n", pos, right.end())
            pos = right.end()
            continue
        yield token("left", pos - 2, pos)
        depth = 0
        while True:
            right = _RIGHT.match(text, pos)
            if right is not None and not depth:
                yield token("right", pos, right.end())
                pos = right.end()
                break
            kind, end, message = (
                ("error", pos, "unclosed left paren") if right is not None else _scan_action(text, pos)
            )
            depth += {"(": 1, ")": -1}.get(kind, 0)
            if depth < 0:
                kind, message = "error", "unexpected right paren"
            yield token(kind, pos, end, message)
            if kind == "error":
                return
            pos = end


def _scan_action(text: str, pos: int) -> tuple[str, int, str | None]:
    """Scan the token that begins at `pos`, inside an action.

    Return its kind, the position of its end, and the error message if the kind is `error`, else `None`.
    """
    char = text[pos : pos + 1]
    if not char:
        return "error", pos, "unclosed action"
    if char in _SPACE:
        end = pos
        while text[end : end + 1] and text[end] in _SPACE and not _RIGHT.match(text, end):
            end += 1
        return "space", end, None
    if char in _QUOTED:
        pattern, kind, unterminated = _QUOTED[char]
        match = pattern.match(text, pos)
        return (kind, match.end(), None) if match else ("error", pos, unterminated)
    if text.startswith(":=", pos):
        return ":=", pos + 2, None
    if char == ":":
        return "error", pos, "expected :="
    if char in "=|()":
        return char, pos + 1, None
    following = text[pos + 1 : pos + 2]
    if char in "+-0123456789" or (char == "." and "0" <= following <= "9"):
        return _number(text, pos)
    if char in ".$" or char.isalpha() or char == "_":
        return _name(text, pos)
    if char.isascii() and char.isprintable():
        return "char", pos + 1, None
    return "error", pos, f"unrecognized character in action: {_rune(char)}"


def _number(text: str, pos: int) -> tuple[str, int, str | None]:
    match = _NUMBER.match(text, pos)
    assert match is not None
    end = match.end()
    if re.match(r"\w", text[end : end + 1]):
        return "error", pos, f'bad number syntax: "{text[pos : end + 1]}"'
    return "number", end, None


def _name(text: str, pos: int) -> tuple[str, int, str | None]:
    """Scan a field (`.x`), a variable (`$x`), an identifier or a keyword; the result is as in `_scan_action`."""
    sign = text[pos] if text[pos] in ".$" else ""
    match = _NAME.match(text, pos + len(sign))
    assert match is not None
    end = match.end()
    following = text[end : end + 1]
    if following and following not in _SPACE + ".,|:)(" and not text.startswith("}}", end) and end > pos + len(sign):
        return "error", pos, f"bad character {_rune(following)}"
    if sign == "$":
        return "variable", end, None
    if sign:
        return ("field" if end > pos + 1 else "dot"), end, None
    word = text[pos:end]
    if word in KEYWORDS:
        return word, end, None
    return ("bool" if word in {"true", "false"} else "identifier"), end, None


def _rune(char: str) -> str:
    return f"U+{ord(char):04X} '{char}'" if char.isprintable() else f"U+{ord(char):04X}"

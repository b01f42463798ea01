"""Shell patterns such as `*.txt` (POSIX XCU §2.13), and the extended patterns of bash such as `@(a|b)`."""

from __future__ import annotations

import re
from functools import lru_cache

from cnmsim.userland.libc.regex import to_python_regex

_REPEATS = {"?": "?", "*": "*", "+": "+", "@": ""}
_SPECIAL = re.compile(r"[*?\[\]\\()|@+!]")


def escape_pattern(text: str) -> str:
    """Return a shell pattern that matches only the literal `text`."""
    return _SPECIAL.sub(lambda match: f"\\{match[0]}", text)


def matches(text: str, pattern: str, *, is_extended: bool = False) -> bool:
    """Return True if a shell pattern matches the whole of `text`. `is_extended` allows bash's extended patterns."""
    return re.fullmatch(pattern_regex(pattern, is_extended=is_extended), text, re.DOTALL) is not None


@lru_cache(maxsize=256)
def pattern_regex(pattern: str, *, is_extended: bool = False) -> str:
    """Translate a shell pattern to a Python regular expression, which must be used with `re.DOTALL`.

    `is_extended` allows bash's extended patterns.
    """
    return _translate(pattern, 0, len(pattern), is_extended=is_extended)


def _translate(pattern: str, at: int, stop: int, *, is_extended: bool) -> str:
    out: list[str] = []
    while at < stop:
        c = pattern[at]
        at += 1
        if is_extended and c in "?*+@!" and pattern[at : at + 1] == "(":
            end = _closing(pattern, at, stop)
            if end is not None:
                bodies = [_translate(body, 0, len(body), is_extended=True) for body in _bodies(pattern[at + 1 : end])]
                alternatives = "|".join(bodies)
                at = end + 1
                if c == "!":
                    rest = _translate(pattern, at, stop, is_extended=True)
                    return "".join(out) + f"(?!(?:{alternatives}){rest}\\Z).*{rest}"
                out.append(f"(?:{alternatives}){_REPEATS[c]}")
                continue
        if c == "*":
            out.append(".*")
        elif c == "?":
            out.append(".")
        elif c == "\\" and at < stop:
            out.append(re.escape(pattern[at]))
            at += 1
        elif c == "[":
            text, at = _bracket(pattern, at, stop)
            out.append(text)
        else:
            out.append(re.escape(c))
    return "".join(out)


def _bracket(pattern: str, at: int, stop: int) -> tuple[str, int]:
    """Translate a bracket expression such as `[a-z]`. Return the regular expression and the index after the bracket.

    `at` is the index after the opening bracket, `stop` the end of the pattern.
    """
    start = at
    is_negated = pattern[at : at + 1] in ("!", "^")
    at += is_negated
    first = at
    members: list[str] = []
    while at < stop and (pattern[at] != "]" or at == first):
        if pattern.startswith("[:", at) and (end := pattern.find(":]", at)) > 0:
            members.append(to_python_regex(pattern[at : end + 2], is_extended=True))
            at = end + 2
            continue
        if pattern[at] == "\\" and at + 1 < stop:
            at += 1
            members.append(re.escape(pattern[at]))
        else:
            members.append("-" if pattern[at] == "-" else re.escape(pattern[at]))
        at += 1
    if at >= stop:
        return r"\[", start
    return f"[{'^' if is_negated else ''}{''.join(members)}]", at + 1


def _closing(pattern: str, opening: int, stop: int) -> int | None:
    depth = 0
    at = opening
    while at < stop:
        if pattern[at] == "\\":
            at += 1
        else:
            depth += (pattern[at] == "(") - (pattern[at] == ")")
            if not depth:
                return at
        at += 1
    return None


def _bodies(text: str) -> list[str]:
    """Split the content of an extended pattern at its top-level `|`: `a|b` becomes `a` and `b`."""
    bodies, depth = [""], 0
    characters = iter(text)
    for c in characters:
        depth += (c == "(") - (c == ")")
        if c == "|" and not depth:
            bodies.append("")
        else:
            bodies[-1] += c + (next(characters, "") if c == "\\" else "")
    return bodies

"""Brace expansion of bash: `{a,b}` and `{1..3}` in unquoted text."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cnmsim.userland.sh.syntax import Part, Text, Word

#: A word as single unquoted characters and other parts.
_Items = list["str | Part"]
_NUMBERS = re.compile(r"(-?[0-9]+)\.\.(-?[0-9]+)(?:\.\.(-?[0-9]+))?")
_LETTERS = re.compile(r"([A-Za-z])\.\.([A-Za-z])(?:\.\.(-?[0-9]+))?")


def expand_braces(word: Word) -> list[Word]:
    """Return the words to which brace expansion expands `word`: `[word]` if it contains no braces to expand."""
    if not any(isinstance(part, Text) and not part.is_quoted and "{" in part.text for part in word):
        return [word]
    items: _Items = []
    for part in word:
        if isinstance(part, Text) and not part.is_quoted:
            items.extend(part.text)
        else:
            items.append(part)
    return [_word(found) for found in _expand(items)]


def _word(items: _Items) -> Word:
    parts: list[Part] = []
    for item in items:
        if not isinstance(item, str):
            parts.append(item)
        elif parts and isinstance(parts[-1], Text) and not parts[-1].is_quoted:
            parts[-1] = Text(parts[-1].text + item)
        else:
            parts.append(Text(item))
    return tuple(parts)


def _expand(items: _Items) -> list[_Items]:
    for start, item in enumerate(items):
        if item != "{":
            continue
        end = closing(items, start, "{}")
        if end is None:
            continue
        choices = _choices(items[start + 1 : end])
        if choices is None:
            continue
        tails = _expand(items[end + 1 :])
        return [items[:start] + choice + tail for choice in choices for tail in tails]
    return [items]


def closing(items: Sequence[str | Part], start: int, brackets: str) -> int | None:
    """Return the index of the bracket that closes the one at `start`, or `None`; `brackets` is a pair, e.g. "[]"."""
    depth = 0
    for at in range(start, len(items)):
        depth += (items[at] == brackets[0]) - (items[at] == brackets[1])
        if not depth:
            return at
    return None


def _choices(items: _Items) -> list[_Items] | None:
    """Return the alternatives for the content of a pair of braces, e.g. `a` and `b` for `a,b`.

    Return `None` if the content is neither a list nor a sequence such as `1..3`.
    """
    text = "".join(item if isinstance(item, str) else "\0" for item in items)
    numbers, letters = _NUMBERS.fullmatch(text), _LETTERS.fullmatch(text)
    if numbers is not None or letters is not None:
        return [list(value) for value in (_numbers(numbers) if numbers else _letters(letters))]
    alternatives: list[_Items] = [[]]
    depth = 0
    for item in items:
        depth += (item == "{") - (item == "}")
        if item == "," and not depth:
            alternatives.append([])
        else:
            alternatives[-1].append(item)
    if len(alternatives) < 2:
        return None
    return [choice for alternative in alternatives for choice in _expand(alternative)]


def _numbers(match: re.Match[str] | None) -> list[str]:
    assert match is not None
    width = max(len(text) for text in match.group(1, 2)) if re.search(r"(?:^|\.)-?0[0-9]", match[0]) else 0
    return [str(value).zfill(width) for value in _range(int(match[1]), int(match[2]), match[3])]


def _range(first: int, last: int, step: str | None) -> range:
    by = abs(int(step or 1)) or 1
    return range(first, last + 1, by) if first <= last else range(first, last - 1, -by)


def _letters(match: re.Match[str] | None) -> list[str]:
    assert match is not None
    return [chr(value) for value in _range(ord(match[1]), ord(match[2]), match[3])]

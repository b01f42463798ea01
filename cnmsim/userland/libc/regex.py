"""Translation of POSIX regular expressions to Python's syntax."""

from __future__ import annotations

_CLASSES = {
    "[:digit:]": "0-9", "[:alpha:]": "a-zA-Z", "[:alnum:]": "a-zA-Z0-9", "[:space:]": r"\s", "[:upper:]": "A-Z",
    "[:lower:]": "a-z", "[:xdigit:]": "0-9a-fA-F", "[:blank:]": r" \t", "[:punct:]": r"!-/:-@\[-`{-~",
}  # fmt: skip


def to_python_regex(pattern: str, *, is_extended: bool) -> str:
    """Translate a POSIX basic or, if `is_extended` is set, extended regular expression to Python's syntax."""
    for name, members in _CLASSES.items():
        pattern = pattern.replace(name, members)
    if is_extended:
        return pattern
    out: list[str] = []
    at = 0
    in_set = False
    while at < len(pattern):
        c = pattern[at]
        at += 1
        if in_set:
            in_set = c != "]"
            out.append("\\\\" if c == "\\" else c)
        elif c == "[":
            end = 2 if pattern[at : at + 2] == "^]" else 1 if pattern[at : at + 1] in ("^", "]") else 0
            out.append("[" + pattern[at : at + end].replace("]", r"\]"))
            at += end
            in_set = True
        elif c == "\\" and at < len(pattern):
            following = pattern[at]
            at += 1
            out.append(following if following in "(){}|+?" else "\\" + following)
        elif c in "(){}|+?" or (c == "*" and out[-1:] in ([], ["("], ["|"], ["^"])):
            out.append("\\" + c)
        elif (c == "$" and pattern[at : at + 2] not in ("", "\\)", "\\|")) or (
            c == "^" and out[-1:] not in ([], ["("], ["|"])
        ):
            out.append("\\" + c)  # an anchor only at an end of the expression or of a group
        else:
            out.append(c)
    return "".join(out)

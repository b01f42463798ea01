"""Several errors in one message, as the daemon prints them (moby `internal/multierror`)."""

from __future__ import annotations

from collections.abc import Sequence


def join_errors(texts: Sequence[str]) -> str:
    """Join error texts to a list in which each begins with `* `. Return a single text unchanged.

    The second and following lines of a text are indented by a tab.
    """
    if len(texts) == 1:
        return texts[0]
    return "\n".join("* " + text.replace("\n", "\n\t") for text in texts)

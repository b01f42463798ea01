"""Errors about state files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cnmsim.errors import CnmsimError, FileError

#: How much of an error's text is shown, in characters: it may repeat what the file has.
_MOST_TEXT = 400


def wrong_file(path: Path, message: str) -> FileError:
    """Return the error for a state file whose content is wrong."""
    return FileError(message, path=str(path))


@contextmanager
def reported_about(path: Path, text: str) -> Iterator[None]:
    """Convert errors that the block raises to `FileError`s about the file. Their messages begin with `text`."""
    try:
        yield
    except FileError:
        raise
    except CnmsimError as error:
        raise wrong_file(path, f"{text}: {error.message}") from None
    except (OSError, LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise wrong_file(path, f"{text}: {str(error)[:_MOST_TEXT]}") from None

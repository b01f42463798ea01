"""Errors about state files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cnmsim.errors import CnmsimError, FileError

#: The number of characters of an error's text that are shown: the text may repeat parts of the file.
_MOST_TEXT = 400


def wrong_file(path: Path, message: str) -> FileError:
    """Return the error for the state file `path` whose content is invalid; `message` describes the fault."""
    return FileError(message, path=str(path))


@contextmanager
def reported_about(path: Path, text: str) -> Iterator[None]:
    """Convert the errors that a `with` block raises to a `FileError` about the state file `path`.

    The message begins with `text`. A `FileError` that the block raises is not changed.
    """
    try:
        yield
    except FileError:
        raise
    except CnmsimError as error:
        raise wrong_file(path, f"{text}: {error.message}") from None
    except (OSError, LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise wrong_file(path, f"{text}: {str(error)[:_MOST_TEXT]}") from None

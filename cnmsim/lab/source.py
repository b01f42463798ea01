"""The files from which a lab was read, and how to read them again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from cnmsim.errors import FileError

if TYPE_CHECKING:
    from cnmsim.lab.lab import Lab


@frozen
class LabSource:
    """How a lab was read from files.

    `load(texts=…)` reads the files again, with the same options, and builds a new lab. `texts` maps the path of a
    file to text that replaces the content of the file. `load` raises `FileError` for an invalid file, and `NotFound`
    or `InvalidParameter` for options that no longer fit the files.

    `lab_file` is the path of the lab file, and `document` its content; both are `None` if the lab was read from
    Compose files or a stack. The hosts are then not the user's: they are those of the default topology. With
    `is_offline`, no public names and addresses answer in it. `notes` are the assumptions about a stack's
    surroundings.
    """

    load: Callable[..., Lab]
    lab_file: Path | None = None
    document: Any = None
    is_offline: bool = False
    notes: tuple[str, ...] = ()

    @contextmanager
    def fixing(self) -> Iterator[None]:
        """Attach a search for fixes to each `FileError` that the `with` block raises.

        The search runs when the attribute `fix` of the error is read.
        """
        try:
            yield
        except FileError as error:
            error.search = error.search or partial(self._fix, error)
            raise

    def _fix(self, error: FileError) -> Any:
        from cnmsim.lab.edits.refusal import fix_of

        return fix_of(error, self)

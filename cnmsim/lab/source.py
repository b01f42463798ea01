"""The files that a lab was read from, and how to read them again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from cnmsim.lab.lab import Lab


@frozen
class LabSource:
    """The way in which a lab was read from files.

    `load(texts=…)` reads the files again, with the same options, and builds a new lab. `texts` maps paths of files to
    text that is used in place of their content. It raises `FileError`, and `NotFound` or `InvalidParameter` for
    options that no longer fit the files.

    `lab_file` is the path of the lab file, `None` if the lab was read from Compose files or a stack.
    """

    load: Callable[..., Lab]
    lab_file: Path | None = None

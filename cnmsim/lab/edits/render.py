"""Conversion of a fix to edits of the files from which the lab was read."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from cnmsim.errors import CnmsimError
from cnmsim.lab.edits.compose import ComposeEditor
from cnmsim.lab.edits.files import EditedFiles, NotExpressible
from cnmsim.lab.edits.labfile import LabFileEditor
from cnmsim.lab.edits.project import editable_projects
from cnmsim.observe.fixes.changes import Change

if TYPE_CHECKING:
    from cnmsim.lab.lab import Lab
    from cnmsim.observe.fixes.file_edit import FileEdit
    from cnmsim.observe.fixes.fix import TriedChange


def edits_of(lab: Lab, fix: TriedChange) -> tuple[FileEdit, ...]:
    """Return the edits of the lab's files that make a fix, one for each file; empty if the files cannot express it.

    The edits are tried out first: a new lab is built from the edited files. If the fix does not solve its problem
    there, no edits are returned.
    """
    if lab.source is None or not fix.changes:
        return ()
    files = EditedFiles()
    try:
        for change in fix.changes:
            _edit(lab, change, files, fix.asked)
    except (NotExpressible, CnmsimError):
        return ()
    edits = files.edits
    return edits if edits and _helps(lab, fix, edits) else ()


def _edit(lab: Lab, change: Change, files: EditedFiles, asked: str) -> None:
    """Make one change in `files`: in the files of the project or stack that it concerns, or else in the lab file.

    `asked` is the name that the failed probe looked up, "" if there is none. Raises `NotExpressible` if no file can
    express the change.
    """
    assert lab.source is not None
    lab_file = lab.source.lab_file
    host = getattr(change, "host", "")
    reason = NotExpressible(type(change).__name__)
    for project in editable_projects(lab):
        if host not in project.hosts:
            continue
        before = files.edits
        try:
            ComposeEditor(project, files, asked, partial(_config_of, lab, host)).edit(change)
        except NotExpressible as error:
            if files.edits != before:
                raise
            reason = error
        else:
            return
    if lab_file is None:
        raise reason
    LabFileEditor(files, str(lab_file)).edit(change)


def _config_of(lab: Lab, host: str, container: str) -> Mapping[str, Any]:
    config: Mapping[str, Any] = lab.host(host).docker.containers.get(container).record.config
    return config


def _helps(lab: Lab, fix: TriedChange, edits: tuple[FileEdit, ...]) -> bool:
    assert lab.source is not None
    try:
        edited = lab.source.load(texts={edit.path: edit.after for edit in edits})
        return fix.solves(edited)
    except (CnmsimError, OSError, TimeoutError):
        return False

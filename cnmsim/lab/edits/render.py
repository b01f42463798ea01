"""Conversion of a fix to edits of the files from which the lab was read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.errors import CnmsimError
from cnmsim.lab.compose.document import project_files
from cnmsim.lab.edits.compose import ComposeEditor
from cnmsim.lab.edits.files import EditedFiles, NotExpressible
from cnmsim.lab.edits.labfile import LabFileEditor
from cnmsim.lab.yamlfile import Key, Map
from cnmsim.observe.fixes.changes import Change

if TYPE_CHECKING:
    from cnmsim.lab.compose.project import Project
    from cnmsim.lab.lab import Lab
    from cnmsim.observe.fixes.file_edit import FileEdit
    from cnmsim.observe.fixes.fix import Fix


def edits_of(lab: Lab, fix: Fix) -> tuple[FileEdit, ...]:
    """Return the edits of the lab's files that make a fix, one for each file.

    If the files cannot express the fix, the result is empty.

    The edits are tried out first: a new lab is built from the edited files, and the failed probe is repeated there.
    If it still fails, no edits are returned.
    """
    if lab.source is None or not fix.changes:
        return ()
    files = EditedFiles()
    try:
        for change in fix.changes:
            _edit(lab, change, files, fix.question.destination)
    except (NotExpressible, CnmsimError):
        return ()
    edits = files.edits
    return edits if edits and _answers(lab, fix, edits) else ()


def _edit(lab: Lab, change: Change, files: EditedFiles, asked: str) -> None:
    """Make one change in `files`: in the Compose files of the project that it concerns, or else in the lab file.

    `asked` is the name that the failed probe looked up.
    """
    assert lab.source is not None
    lab_file = lab.source.lab_file
    for project in reversed(lab.projects):
        if getattr(change, "host", None) not in {
            *_hosts(lab, project),
            *(each.name for each in project.containers()),
        }:
            continue
        before = files.edits
        try:
            _editor(lab, project, files, asked).edit(change)
        except NotExpressible:
            if lab_file is None or files.edits != before:
                raise
        else:
            return
    if lab_file is None:
        raise NotExpressible(type(change).__name__)
    LabFileEditor(files, str(lab_file)).edit(change)


def _hosts(lab: Lab, project: Project) -> list[str]:
    return [host.name for host in lab.hosts.values() if host.has_docker and host.docker is project.engine]


def _editor(lab: Lab, project: Project, files: EditedFiles, asked: str) -> ComposeEditor:
    assert lab.source is not None
    lab_file = lab.source.lab_file
    if lab_file is None:
        main = project_files(lab.source.files)[0]
        if isinstance(main, Map):
            raise NotExpressible("the project was not read from a file")
        return ComposeEditor(project, files, str(main), asked=asked)
    prefix: tuple[Key, ...] = ()
    if project.model.document.place.path == str(lab_file):
        prefix = ("hosts", _hosts(lab, project)[0], "compose")
    return ComposeEditor(project, files, project.model.document.place.path, prefix, asked)


def _answers(lab: Lab, fix: Fix, edits: tuple[FileEdit, ...]) -> bool:
    assert lab.source is not None
    try:
        edited = lab.source.load({edit.path: edit.after for edit in edits})
        return fix.ask(edited).reachable
    except (CnmsimError, OSError, TimeoutError):
        return False

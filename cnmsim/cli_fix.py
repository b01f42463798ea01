"""The command `cnmsim fix`: it prints the fixes of a failed probe, of faults of `doctor`, or of a refused file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import click

from cnmsim.cli_arguments import Question
from cnmsim.cli_output import echo_json, plain_width, progress, say, say_fix, screen_width, show_walk
from cnmsim.errors import FileError
from cnmsim.printable import echo, fail

if TYPE_CHECKING:
    from cnmsim.lab import Lab
    from cnmsim.lab.edits.refusal import FileFix
    from cnmsim.observe.doctor.fault import Checkup, Fault
    from cnmsim.observe.explain import Explanation
    from cnmsim.observe.fixes.file_edit import FileEdit
    from cnmsim.observe.fixes.fix import Fix


def fix_question(lab: Lab, question: Question, *, write: bool) -> int:
    """Run a probe, print the fixes if it fails, and return the exit status of `cnmsim fix`.

    With `write`, write the first fix that is an edit of a file.
    """
    with progress(f"{question.source} → {question.destination}"):
        explanation = lab.explain(question.source, question.destination, **question.options)
        fixes = explanation.fixes
        first = next((found for found in fixes if found.edits), None)
    if first is not None and write:
        first.write()
    if question.as_json:
        shown = {"reachable": explanation.reachable, "cause": explanation.decided_by}
        shown["fixes"] = [found.to_json() for found in fixes]
        shown["written"] = [edit.path for edit in first.edits] if first is not None and write else []
        echo_json(shown)
    else:
        _say_fixes(explanation, fixes)
        if question.verbosity:
            show_walk(explanation.trace, question.verbosity)
        if first is not None and write:
            _say_written(first.edits)
        if write and fixes and first is None:
            echo("nothing was written: no fix is an edit of the file", err=True)
    is_done = first is not None if write else bool(fixes)
    return 0 if explanation.reachable or is_done else 1


def _say_fixes(explanation: Explanation, fixes: Sequence[Fix]) -> None:
    """Print the answer of an explanation, and the `fixes` below it."""
    from cnmsim.observe.display import wrapped

    say(next(explanation.parts(screen_width() or plain_width())))
    if explanation.reachable:
        say("nothing to fix")
    for found in fixes:
        say_fix("fix" if found.was_tried else "not tried", found)
    if not fixes and not explanation.reachable:
        label, text = explanation.trace.fix_text()
        lines = wrapped(f"{label}: {text}", screen_width() or plain_width()) if text else []
        say("\n".join(["no fix that was tried works", *lines]))


def fix_faults(lab: Lab, *, as_json: bool, write: bool) -> int:
    """Print the doctor's faults with their fixes, and return the exit status.

    With `write`, write the fixes of errors and warnings, one after another: each is tried with the earlier ones in
    the file. Notes are printed only.
    """
    with progress("examining the lab"):
        checkup = lab.doctor()
    written: list[FileEdit] = []
    shown: list[dict[str, Any]] = []
    is_left = False
    for fault in checkup.faults:
        current = _same(lab.doctor(), fault) if written else fault
        with progress("trying fixes on a copy of the lab"):
            found = None if current is None else current.fix
        edits = found.edits if found is not None else ()
        is_written = bool(write and edits and fault.is_serious)
        is_left |= fault.is_serious and current is not None and not (is_written if write else found is not None)
        if as_json:
            shown.append((current or fault).to_json() | {"written": [edit.path for edit in edits if is_written]})
        else:
            say("\n".join([*(current or fault).heading(screen_width() or plain_width()), *_help(current), ""]))
        if found is not None and is_written:
            found.write()
            written += edits
            assert lab.source is not None
            lab = lab.source.load()
    if as_json:
        echo_json(shown)
    elif not checkup.faults:
        say("nothing found")
    if not as_json:
        _say_written(written)
    return 1 if is_left else 0


def _same(checkup: Checkup, fault: Fault) -> Fault | None:
    return next((each for each in checkup.of(fault.kind) if each.place == fault.place), None)


def _help(fault: Fault | None) -> list[str]:
    """Return the lines below a fault: its fix with the diff, or its advice."""
    from cnmsim.observe.display import wrapped

    if fault is None:
        return ["fixed by an edit above"]
    if fault.fix is not None:
        first, *rest = str(fault.fix).splitlines()
        return [*wrapped(f"fix: {first}", screen_width() or plain_width()), *rest]
    return wrapped(f"advice (not tried): {fault.advice}", screen_width() or plain_width())


def _say_written(edits: Sequence[FileEdit]) -> None:
    for path in dict.fromkeys(edit.path for edit in edits):
        echo(f"written: {path}", err=True)


def refuse(message: str, error: Exception) -> NoReturn:
    """Print an error, with its fix if there is one, and exit with status 2.

    If there is a fix, `cnmsim fix` exits with 0 instead, and with `--write` writes the fix to the file.
    """
    with progress("trying fixes on a copy of the file"):
        found: FileFix | None = error.fix if isinstance(error, FileError) else None
    if found is None:
        fail(message)
    context = click.get_current_context()
    if context.command.name != "fix":
        fail(f"{message}\nfix: {found}")
    if context.params["write"]:
        found.write()
    if context.params["as_json"]:
        written = [edit.path for edit in found.edits if context.params["write"]]
        echo_json({"refused": message, "fixes": [found.to_json()], "written": written})
    else:
        echo(f"cnmsim: {message}", err=True)
        say(f"fix: {found}")
        _say_written(found.edits if context.params["write"] else ())
    raise SystemExit(0)

"""Execution of script files: interpretation of the `#!` line, and execution one command at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.engine.containers.executables import script_interpreter
from cnmsim.kernel.errno_text import strerror
from cnmsim.userland.invocation import absolute_path
from cnmsim.userland.sh.leaving import DiscardLine, ExitShell, LeaveLoop
from cnmsim.userland.sh.lexer import BadSubstitution
from cnmsim.userland.sh.state import standard_streams
from cnmsim.userland.sh.syntax import ShellSyntaxError

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process, Program
    from cnmsim.userland.sh.text_shell import TextShell


def script_program(run: Program) -> Program:
    """Return a program that runs an executable script, whose path is `argv[0]` of the process.

    It executes the interpreter that the script's `#!` line names, or calls `run` if there is no such simulated
    program.
    """

    async def main(process: Process) -> int:
        path, arguments = process.argv[0], process.argv[1:]
        try:
            content = process.files.read(absolute_path(process, path))
        except OSError:
            content = b""
        interpreter = script_interpreter(content, process.programs)
        if interpreter is None:
            return await run(process)
        program, words = interpreter
        streams = (process.stdin, process.stdout, process.stderr)
        return await process.exec(program, [*words, path, *arguments], process.env, streams)

    return main


async def run_script_file(shell: TextShell, path: str) -> int:
    """Run a script file in `shell`. Return its exit status."""
    process = shell.process
    try:
        source = process.files.read(shell.resolve(path)).decode(errors="surrogateescape")
    except OSError as error:
        if shell.is_bash:
            process.error(f"bash: {path}: {strerror(error)}\n")
            return 127
        process.error(f"sh: can't open '{path}': {strerror(error)}\n")
        return 2
    return await shell.run_exit_trap(await run_by_lines(shell, source))


async def run_by_lines(shell: TextShell, source: str) -> int:
    """Run the text of a script one command at a time. Return the exit status.

    In this way the commands before a syntax error are run, and error messages contain the line number.
    """
    lines = source.split("\n")
    streams = standard_streams(shell.process)
    at = 0
    while at < len(lines):
        end = at + 1
        while True:
            text = "\n".join(lines[at:end])
            shell.line_number, shell.first_line = end, at + 1
            try:
                program = shell.parse(text)
            except ShellSyntaxError as error:
                if error.is_incomplete and end < len(lines):
                    end += 1
                    continue
                shell.report_syntax_error(text, error, streams)
                return 1 if shell.is_bash and isinstance(error, BadSubstitution) else 2
            break
        try:
            await shell.run(program, streams, is_last=shell.is_command_string and end == len(lines))
        except DiscardLine as leaving:
            shell.status = leaving.status
        except ExitShell as leaving:
            return await leaving.outcome(shell.process)
        except LeaveLoop:
            shell.status = 0
        at = end
    return shell.status

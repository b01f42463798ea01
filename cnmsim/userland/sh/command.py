"""`sh`: a POSIX shell for the commands that containers run, with the error messages of busybox ash.

Supported: sequences, pipelines, redirections, variables, quoting, `if`, `for`, `while`, `case`, functions, command
substitution, arithmetic, here-documents, background jobs and `trap`. Not supported: job control and `getopts`. At a
terminal Ctrl-C returns to the prompt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.kernel.process import SIGINT
from cnmsim.userland.invocation import invoked_name
from cnmsim.userland.libc.getopt import UsageError, getopt
from cnmsim.userland.sh import interpreter
from cnmsim.userland.sh.builtins import BUILTINS, read_line
from cnmsim.userland.sh.interpreter import ExitShell, InterruptedShell, LeaveLoop, Shell, standard_streams
from cnmsim.userland.sh.parser import parse
from cnmsim.userland.sh.syntax import ShellSyntaxError

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process

__all__ = ["main", "run_script"]


async def main(process: Process) -> int:
    """Run `sh [-c COMMAND [NAME [ARGUMENT…]]] | [FILE [ARGUMENT…]]`. Without either, run the commands on stdin."""
    try:
        options = getopt(process.argv[1:], "cilesuxo:", stop_at_operand=True)
    except UsageError as error:
        text = str(error).removeprefix("invalid option -- ").strip("'")
        process.error(f"sh: illegal option -{text}\n")
        return 2
    operands = options.operands
    if "c" in options:
        if not operands:
            process.error("sh: -c requires an argument\n")
            return 2
        shell = Shell(
            process,
            BUILTINS,
            name=operands[1] if len(operands) > 1 else invoked_name(process),
            arguments=operands[2:],
        )
        _set_flags(shell, options.values)
        return await shell.run_exit_trap(await _finish(shell, operands[0]))
    if operands and "s" not in options:
        return await run_script(process, operands[0], operands[1:])
    shell = Shell(process, BUILTINS, arguments=operands)
    _set_flags(shell, options.values)
    return await shell.run_exit_trap(await _interactive(shell, prompts="i" in options or "TERM" in process.env))


def _set_flags(shell: Shell, values: dict[str, list[str]]) -> None:
    shell.is_errexit = "e" in values
    shell.is_nounset = "u" in values
    shell.is_xtrace = "x" in values


async def run_script(process: Process, path: str, arguments: list[str]) -> int:
    """Run a script file as `sh PATH ARGUMENT…` does. Return its exit status."""
    return await interpreter.run_script(process, BUILTINS, path, arguments)


async def _finish(shell: Shell, source: str) -> int:
    try:
        return await shell.run_text(source, standard_streams(shell.process), is_last=True)
    except ExitShell as leaving:
        return await leaving.outcome(shell.process)
    except LeaveLoop:
        return 0


async def _interactive(shell: Shell, *, prompts: bool) -> int:
    process = shell.process
    text, is_at_prompt = "", False

    def interrupt() -> None:
        nonlocal text
        if is_at_prompt:
            text = ""
            process.error(f"\n{_prompt(shell)}")
        else:
            shell.is_interrupted = True

    if prompts:
        process.handlers.setdefault(SIGINT, interrupt)
    while True:
        if prompts:
            process.error(shell.variables.get("PS2", "> ") if text else _prompt(shell))
        shell.is_interrupted, is_at_prompt = False, True
        line = await read_line(process.stdin)
        is_at_prompt = False
        if not line:
            break
        text += line.decode(errors="surrogateescape")
        try:
            program = parse(text)
        except ShellSyntaxError as error:
            if error.is_incomplete:
                continue
            process.error(f"sh: syntax error: {error}\n")
            shell.status = 2
            text = ""
            if not prompts:
                return 2
            continue
        text = ""
        try:
            await shell.run(program, standard_streams(shell.process))
        except ExitShell as leaving:
            return await leaving.outcome(process)
        except LeaveLoop:
            shell.status = 0
        except InterruptedShell:
            shell.status = 128 + SIGINT
            process.error("\n")
    if text:
        process.error("sh: syntax error: unexpected end of file\n")
        return 2
    if prompts:
        process.error("\n")
    return shell.status


def _prompt(shell: Shell) -> str:
    return (
        shell.variables.get("PS1", "\\w # ")
        .replace("\\w", shell.variables["PWD"])
        .replace("\\$", "#")
        .replace("\\h", shell.process.hostname)
    )

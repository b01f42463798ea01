"""The command `sh`, a POSIX shell with busybox ash's error messages, and `bash` with bash's own syntax.

Not supported: job control, coprocesses, and the expansion of aliases. At a terminal Ctrl-C returns to the prompt.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cnmsim.kernel.process import SIGINT
from cnmsim.userland.invocation import invoked_name
from cnmsim.userland.libc.getopt import UsageError, getopt
from cnmsim.userland.sh.builtins.bash import BASH_BUILTINS
from cnmsim.userland.sh.builtins.table import BUILTINS
from cnmsim.userland.sh.interpreter import Builtin, Shell
from cnmsim.userland.sh.leaving import DiscardLine, ExitShell, InterruptedShell, LeaveLoop
from cnmsim.userland.sh.read import read_line
from cnmsim.userland.sh.scripts import run_by_lines, run_script_file
from cnmsim.userland.sh.state import standard_streams
from cnmsim.userland.sh.syntax import ShellSyntaxError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cnmsim.kernel.process import Process

_LONG_OPTIONS = ("--login", "--noprofile", "--norc", "--posix", "--noediting")
_VERSION = (
    "GNU bash, version 5.2.37(1)-release (x86_64-pc-linux-gnu)\nCopyright (C) 2022 Free Software Foundation, Inc.\n"
    "License GPLv3+: GNU GPL version 3 or later <http://gnu.org/licenses/gpl.html>\n\n"
    "This is free software; you are free to change and redistribute it.\n"
    "There is NO WARRANTY, to the extent permitted by law.\n"
)
__all__ = ["main", "run_script"]


async def main(process: Process) -> int:
    """Run `sh [-c COMMAND [NAME [ARGUMENT…]]] | [FILE [ARGUMENT…]]`. Without either, run the commands on stdin."""
    is_bash = process.name == "bash"
    if is_bash and process.argv[1:2] == ["--version"]:
        process.write(_VERSION)
        return 0
    arguments = [word for word in process.argv[1:] if word not in _LONG_OPTIONS] if is_bash else process.argv[1:]
    if is_bash and arguments[:1] and re.fullmatch(r"--[a-z].*", arguments[0]):
        process.error(f"bash: {arguments[0]}: invalid option\n")
        return 2
    try:
        options = getopt(arguments, "cilesuxfo:" if not is_bash else "cilesuxfo:O:", stop_at_operand=True)
    except UsageError as error:
        text = str(error).removeprefix("invalid option -- ").strip("'")
        process.error(f"bash: -{text}: invalid option\n" if is_bash else f"sh: illegal option -{text}\n")
        return 2
    operands = options.operands
    if "c" in options:
        if not operands:
            text = "bash: -c: option requires an argument\n" if is_bash else "sh: -c requires an argument\n"
            process.error(text)
            return 2
        shell = Shell(
            process,
            _builtins(process),
            name=operands[1] if len(operands) > 1 else invoked_name(process),
            arguments=operands[2:],
        )
        _set_flags(shell, options.values)
        shell.is_command_string = True
        if shell.is_bash:
            return await shell.run_exit_trap(await run_by_lines(shell, operands[0]))
        return await shell.run_exit_trap(await _finish(shell, operands[0]))
    if operands and "s" not in options:
        return await run_script(process, operands[0], operands[1:], options.values)
    shell = Shell(process, _builtins(process), arguments=operands)
    _set_flags(shell, options.values)
    return await shell.run_exit_trap(await _interactive(shell, prompts="i" in options or "TERM" in process.env))


def _builtins(process: Process) -> Mapping[str, Builtin]:
    return BUILTINS | BASH_BUILTINS if process.name == "bash" else BUILTINS


def _set_flags(shell: Shell, values: dict[str, list[str]]) -> None:
    shell.is_errexit = "e" in values
    shell.is_nounset = "u" in values
    shell.is_xtrace = "x" in values
    shell.has_no_globbing = "f" in values
    for name in values.get("o", ()):
        shell.has_pipefail |= name == "pipefail"
        shell.is_errexit |= name == "errexit"
        shell.is_nounset |= name == "nounset"
        shell.is_xtrace |= name == "xtrace"
    shell.shell_options |= set(values.get("O", ()))


async def run_script(
    process: Process, path: str, arguments: list[str], options: dict[str, list[str]] | None = None
) -> int:
    """Run a script file as `sh [OPTIONS] PATH ARGUMENT…` does. Return its exit status.

    `options` maps each option letter to its arguments.
    """
    shell = Shell(process, _builtins(process), name=path, arguments=arguments)
    _set_flags(shell, options or {})
    return await run_script_file(shell, path)


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
    streams = standard_streams(process)

    def interrupt() -> None:
        nonlocal text
        if is_at_prompt:
            text = ""
            process.error(f"\n{_prompt(shell)}")
        else:
            shell.is_interrupted = True

    shell.is_interactive = prompts
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
            program = shell.parse(text)
        except ShellSyntaxError as error:
            if error.is_incomplete:
                continue
            shell.report_syntax_error(text, error, streams)
            shell.status = 2
            text = ""
            if not prompts:
                return 2
            continue
        text = ""
        try:
            await shell.run(program, streams)
        except DiscardLine as leaving:
            shell.status = leaving.status
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

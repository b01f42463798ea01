"""Builtins that run other commands, or leave loops, functions and the shell."""

# ruff: noqa: ARG001

from __future__ import annotations

from cnmsim.kernel.errno_text import strerror
from cnmsim.userland.sh.builtins.operands import number_operand
from cnmsim.userland.sh.interpreter import Builtin, Shell
from cnmsim.userland.sh.leaving import ExecProgram, ExitShell, LeaveLoop, ReturnFunction
from cnmsim.userland.sh.state import Streams


async def _exit(shell: Shell, words: list[str], streams: Streams) -> int:
    raise ExitShell(number_operand(words, shell.status) & 255)


async def _return(shell: Shell, words: list[str], streams: Streams) -> int:
    if shell.is_bash and not shell.call_stack and not shell.is_sourcing:
        shell.complain(streams, "return: can only `return' from a function or sourced script")
        return 2
    raise ReturnFunction(number_operand(words, shell.status) & 255)


async def _leave(shell: Shell, words: list[str], streams: Streams) -> int:
    if shell.is_bash and not shell.loops:
        shell.complain(streams, f"{words[0]}: only meaningful in a `for', `while', or `until' loop")
        return 0
    raise LeaveLoop(max(1, number_operand(words, 1)), goes_on=words[0] == "continue")


async def _eval(shell: Shell, words: list[str], streams: Streams) -> int:
    return await shell.run_text(" ".join(words[1:]), streams)


async def _source(shell: Shell, words: list[str], streams: Streams) -> int:
    if len(words) < 2:
        return 0
    try:
        text = shell.process.files.read(shell.resolve(words[1])).decode(errors="surrogateescape")
    except OSError as error:
        bad = f"{words[1]}: {strerror(error)}" if shell.is_bash else f".: can't open '{words[1]}': {strerror(error)}"
        shell.complain(streams, bad)
        return 1 if shell.is_bash else 2
    outer = shell.arguments
    shell.arguments = words[2:] if shell.is_bash and len(words) > 2 else outer
    shell.is_sourcing += 1
    try:
        return await shell.run_text(text, streams)
    except ReturnFunction as leaving:
        return leaving.status
    finally:
        shell.is_sourcing -= 1
        shell.arguments = outer if shell.is_bash and len(words) > 2 else shell.arguments


async def _exec(shell: Shell, words: list[str], streams: Streams) -> int:
    if len(words) == 1:
        return 0
    name = words[1]
    program = shell.find(name)
    if program is None:
        raise ExitShell(shell.not_found(name, streams, prefix="exec: "))
    shell.traps.clear()
    raise ExecProgram(program, words[1:], shell.environment, streams)


async def _command(shell: Shell, words: list[str], streams: Streams) -> int:
    arguments = words[1:]
    if arguments[:1] not in (["-v"], ["-V"]):
        return await shell.call(arguments, streams, uses_functions=False) if arguments else 0
    if arguments[0] == "-V":
        return await _type(shell, ["type", *arguments[1:]], streams)
    status = 0
    for name in arguments[1:]:
        if name in shell.builtins or name in shell.functions or name in _KEYWORDS:
            shell.put(streams.stdout, f"{name}\n")
        elif shell.find(name) is not None:
            shell.put(streams.stdout, f"{name if '/' in name else f'/bin/{name}'}\n")
        else:
            status = 127
    return status


_KEYWORDS = frozenset(
    ["!", "[[", "]]", "case", "do", "done", "elif", "else", "esac", "fi", "for", "function", "if", "in", "then",
     "time", "until", "while", "{", "}"]
)  # fmt: skip


async def _type(shell: Shell, words: list[str], streams: Streams) -> int:
    status = 0
    is_short = shell.is_bash and words[1:2] == ["-t"]
    is_path = shell.is_bash and words[1:2] in (["-p"], ["-P"])
    for name in words[2:] if is_short or is_path else words[1:]:
        if name in shell.functions:
            kind, text = "function", "a function"
        elif name in shell.builtins:
            kind, text = "builtin", "a shell builtin"
        elif name in _KEYWORDS:
            kind, text = "keyword", "a shell keyword"
        elif shell.find(name) is not None:
            kind, text = "file", name if "/" in name else f"/bin/{name}"
        else:
            status = 1 if shell.is_bash else 127
            if shell.is_bash and not (is_short or is_path):
                shell.complain(streams, f"type: {name}: not found")
            elif not shell.is_bash:
                shell.put(streams.stdout, f"{name}: not found\n")
            continue
        shown = kind if is_short else text if is_path else f"{name} is {text}"
        shell.put(streams.stdout, f"{shown}\n" if kind == "file" or not is_path else "")
    return status


#: name → builtin.
FLOW_BUILTINS: dict[str, Builtin] = {
    "exit": _exit, "return": _return, "break": _leave, "continue": _leave, "eval": _eval, ".": _source,
    "source": _source, "exec": _exec, "command": _command, "type": _type,
}  # fmt: skip

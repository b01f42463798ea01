"""Builtins that print text or test a condition."""

# ruff: noqa: ARG001

from __future__ import annotations

from cnmsim.userland.busybox.echo import FormatError, echo_text, format_printf
from cnmsim.userland.busybox.files import evaluate_test
from cnmsim.userland.sh.arithmetic import evaluate
from cnmsim.userland.sh.interpreter import Builtin, Shell
from cnmsim.userland.sh.state import Streams


async def _true(shell: Shell, words: list[str], streams: Streams) -> int:
    return 0


async def _false(shell: Shell, words: list[str], streams: Streams) -> int:
    return 1


async def _echo(shell: Shell, words: list[str], streams: Streams) -> int:
    shell.put(streams.stdout, echo_text(words[1:]))
    return 0


async def _printf(shell: Shell, words: list[str], streams: Streams) -> int:
    if len(words) < 2:
        shell.put(streams.stderr, "sh: usage: printf FORMAT [ARGUMENT...]\n")
        return 2
    try:
        shell.put(streams.stdout, format_printf(words[1], words[2:]))
    except FormatError as error:
        shell.complain(streams, f"printf: {error}")
        return 1
    return 0


async def _test(shell: Shell, words: list[str], streams: Streams) -> int:
    arguments = words[1:]
    if words[0] == "[":
        if arguments[-1:] != ["]"]:
            if shell.is_bash:
                shell.complain(streams, "[: missing `]'")
            else:
                shell.put(streams.stderr, "sh: missing ]\n")
            return 2
        arguments = arguments[:-1]
    status, message = evaluate_test(arguments, lambda path: (shell.process.files, shell.resolve(path)))
    if message:
        shell.complain(streams, f"{words[0]}: {message}" if shell.is_bash else message)
    return status


async def _let(shell: Shell, words: list[str], streams: Streams) -> int:
    value = 0
    for word in words[1:]:
        value = evaluate(word, shell.variables)
    return int(not value)


async def _times(shell: Shell, words: list[str], streams: Streams) -> int:
    shell.put(streams.stdout, "0m0.000s 0m0.000s\n0m0.000s 0m0.000s\n")
    return 0


#: name → builtin.
OUTPUT_BUILTINS: dict[str, Builtin] = {
    ":": _true, "true": _true, "false": _false, "hash": _true, "echo": _echo, "printf": _printf, "test": _test,
    "[": _test, "let": _let, "times": _times,
}  # fmt: skip

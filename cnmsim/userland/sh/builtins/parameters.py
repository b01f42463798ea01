"""Builtins for the shell's options and its positional parameters."""

# ruff: noqa: ARG001

from __future__ import annotations

from cnmsim.userland.sh.builtins.operands import number_operand
from cnmsim.userland.sh.interpreter import Builtin, Shell
from cnmsim.userland.sh.state import Streams


async def _set(shell: Shell, words: list[str], streams: Streams) -> int:
    if len(words) == 1:
        shell.put(streams.stdout, "".join(f"{name}='{value}'\n" for name, value in sorted(shell.variables.items())))
        return 0
    arguments = words[1:]
    while arguments and len(arguments[0]) > 1 and arguments[0][0] in "-+":
        option = arguments.pop(0)
        if option == "--":
            shell.arguments = arguments
            return 0
        if option[1:] == "o":
            name = arguments.pop(0) if arguments else ""
            if name == "pipefail":
                shell.has_pipefail = option[0] == "-"
            if not name:
                _show_options(shell, streams, is_input=option[0] == "+")
                return 0
            if shell.is_bash and name not in _OPTION_NAMES:
                shell.complain(streams, f"set: {name}: invalid option name")
                return 2
            option = option[0] + {"errexit": "e", "nounset": "u", "xtrace": "x", "noglob": "f"}.get(name, "")
        for letter in option[1:]:
            if letter == "e":
                shell.is_errexit = option[0] == "-"
            elif letter == "u":
                shell.is_nounset = option[0] == "-"
            elif letter == "x":
                shell.is_xtrace = option[0] == "-"
            elif letter == "f":
                shell.has_no_globbing = option[0] == "-"
            elif letter not in ("abhkmnptvBCEHPT" if shell.is_bash else "abhmnvC"):
                shell.complain(streams, f"set: illegal option {option[0]}{letter}")
                return 2
    if arguments:
        shell.arguments = arguments
    return 0


_OPTION_NAMES = frozenset(
    ["allexport", "braceexpand", "emacs", "errexit", "errtrace", "functrace", "hashall", "histexpand", "history",
     "ignoreeof", "interactive-comments", "keyword", "monitor", "noclobber", "noexec", "noglob", "nolog", "notify",
     "nounset", "onecmd", "physical", "pipefail", "posix", "privileged", "verbose", "vi", "xtrace"]
)  # fmt: skip


def _show_options(shell: Shell, streams: Streams, *, is_input: bool) -> None:
    """Print the options as `set -o` does.

    With `is_input`, print them as commands that would set them, as `set +o` does.
    """
    for name, is_set in shell.set_options().items():
        text = f"set {'-' if is_set else '+'}o {name}" if is_input else f"{name:<15}\t{'on' if is_set else 'off'}"
        shell.put(streams.stdout, f"{text}\n")


async def _shift(shell: Shell, words: list[str], streams: Streams) -> int:
    count = number_operand(words, 1)
    if count > len(shell.arguments):
        return 1
    shell.arguments = shell.arguments[count:]
    return 0


async def _getopts(shell: Shell, words: list[str], streams: Streams) -> int:
    if len(words) < 3:
        shell.put(streams.stderr, "sh: getopts: usage: getopts optstring var [arg]\n")
        return 2
    short, name, arguments = words[1], words[2], words[3:] or shell.arguments
    number = int(shell.variables.get("OPTIND") or 1)
    at = int(shell.variables.get("_OPTAT") or 1)
    word = arguments[number - 1] if number <= len(arguments) else ""
    if at == 1 and (not word.startswith("-") or word in ("-", "--")):
        shell.variables["OPTIND"] = str(number + (word == "--"))
        shell.variables[name] = "?"
        return 1
    letter, rest = word[at], word[at + 1 :]
    shell.variables.pop("OPTARG", None)
    is_known = letter != ":" and letter in short.removeprefix(":")
    takes_argument = is_known and short[short.rindex(letter) + 1 :].startswith(":")
    if takes_argument:
        number += 1
        if not rest and number > len(arguments):
            return _bad_option(shell, streams, name, letter, number, "No arg for", ":")
        shell.variables["OPTARG"] = rest or arguments[number - 1]
        number, rest = (number, "") if rest else (number + 1, "")
    elif not rest:
        number += 1
    shell.variables["OPTIND"], shell.variables["_OPTAT"] = str(number), str(at + 1 if rest else 1)
    if not is_known:
        return _bad_option(
            shell, streams, name, letter, number, "Illegal option", "?", is_quiet=short.startswith(":")
        )
    shell.variables[name] = letter
    return 0


def _bad_option(
    shell: Shell,
    streams: Streams,
    name: str,
    letter: str,
    number: int,
    message: str,
    value: str,
    *,
    is_quiet: bool = False,
) -> int:
    shell.variables["OPTIND"] = str(number)
    shell.variables[name] = value if is_quiet else "?"
    if is_quiet:
        shell.variables["OPTARG"] = letter
    else:
        shell.put(streams.stderr, f"{message} -{letter}{' option' if message.startswith('No') else ''}\n")
    return 0


#: name → builtin.
PARAMETER_BUILTINS: dict[str, Builtin] = {"set": _set, "shift": _shift, "getopts": _getopts}

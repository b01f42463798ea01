"""The builtins that only bash has, not ash (bash(1), SHELL BUILTIN COMMANDS)."""

# ruff: noqa: ARG001

from __future__ import annotations

import re

from cnmsim.userland.busybox.echo import FormatError, format_printf
from cnmsim.userland.sh.arithmetic import ShellArithmeticError, evaluate
from cnmsim.userland.sh.assignments import ArrayArgument
from cnmsim.userland.sh.expand import declared_flags
from cnmsim.userland.sh.interpreter import Builtin, Shell
from cnmsim.userland.sh.quoting import backslash_quoted, double_quoted
from cnmsim.userland.sh.read import read_array
from cnmsim.userland.sh.state import Streams
from cnmsim.userland.sh.variables import Variable

_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)(\[.*?\])?(\+?=)?(.*)", re.DOTALL)
_SHOPTS = frozenset(
    ["dotglob", "expand_aliases", "extglob", "failglob", "globstar", "inherit_errexit", "lastpipe", "nocaseglob",
     "nocasematch", "nullglob", "xpg_echo"]
)  # fmt: skip


def declaration(shell: Shell, name: str) -> str:
    """Return the line that `declare -p` prints for a variable."""
    variable = shell.variables.table[name]
    start = f"declare -{declared_flags(shell, name) or '-'} {name}"
    if variable.elements is None:
        return start if variable.value is None else f"{start}={double_quoted(variable.value)}"
    shown = [f"[{_key(str(key))}]={double_quoted(variable.elements[key])}" for key in variable.subscripts()]
    return f"{start}=({' '.join(shown)}{' ' if variable.is_associative and shown else ''})"


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_./:-]+", key) else double_quoted(key)


async def declare(shell: Shell, words: list[str], streams: Streams) -> int:
    """Run `declare [-aAfFgilnprux] [NAME[=VALUE]…]`, `typeset`, `local`, `export` or `readonly`."""
    command, arguments = words[0], words[1:]
    added, removed = "", ""
    while arguments[:1] and re.fullmatch(r"[-+][a-zA-Z]+", arguments[0]):
        option = arguments.pop(0)
        unknown = next((letter for letter in option[1:] if letter not in "aAfFgiIlnprtux"), "")
        if unknown:
            shell.complain(streams, f"{command}: {option[0]}{unknown}: invalid option")
            return 2
        added, removed = (added + option[1:], removed) if option[0] == "-" else (added, removed + option[1:])
    if arguments[:1] == ["--"]:
        arguments = arguments[1:]
    if command == "local" and not shell.locals:
        shell.complain(streams, "local: can only be used in a function")
        return 1
    if "f" in added or "F" in added:
        return _functions(shell, added, arguments, streams)
    added += {"export": "x", "readonly": "r"}.get(command, "")
    if "p" in added or not arguments:
        return _print(shell, command, added, arguments, streams)
    if command == "export" and "n" in added:
        shell.exported -= set(arguments)
        return 0
    status = 0
    is_local = command == "local" or (command in ("declare", "typeset") and bool(shell.locals) and "g" not in added)
    for argument in arguments:
        status = _declare_one(shell, command, argument, (added, removed), streams, is_local=is_local) or status
    return status


def _declare_one(
    shell: Shell, command: str, argument: str, flags: tuple[str, str], streams: Streams, *, is_local: bool
) -> int:
    added, removed = flags
    match = _ASSIGNMENT.fullmatch(argument)
    if match is None or (not match[3] and match[4]):
        shell.complain(streams, f"{command}: `{argument}': not a valid identifier")
        return 1
    name, subscript, operator, value = match[1], match[2] or "", match[3], match[4]
    table = shell.variables.table
    if name in shell.readonly and (operator or "r" in removed):
        shell.complain(streams, f"{command}: {name}: readonly variable")
        return 1
    if is_local and name not in shell.locals[-1]:
        shell.locals[-1][name] = table.get(name)
        table[name] = Variable()
    if "n" not in added and name in table:
        name = shell.variables.resolve(name)[0]
    variable = table.setdefault(name, Variable())
    variable.attributes = (variable.attributes | set(added) & set("ilnu")) - set(removed)
    if "a" in added or "A" in added or (subscript and not operator):
        if "A" in added and variable.elements is not None and not variable.is_associative:
            shell.complain(streams, f"{command}: {name}: cannot convert indexed to associative array")
            return 1
        shell.variables.make_array(name, is_associative="A" in added)
    if isinstance(argument, ArrayArgument):
        shell.variables.assign_array(name, argument.elements, appends=operator == "+=")
    elif operator and "n" in added:
        variable.value = value
    elif operator:
        target = f"{name}{subscript}"
        if operator == "+=":
            shell.variables.append(target, value)
        else:
            shell.variables[target] = value
    if "x" in added:
        shell.exported.add(name)
    if "x" in removed:
        shell.exported.discard(name)
    if "r" in added:
        shell.readonly.add(name)
    return 0


def _print(shell: Shell, command: str, added: str, arguments: list[str], streams: Streams) -> int:
    status = 0
    table = shell.variables.table
    names = arguments or sorted(table)
    for name in names:
        if name not in table:
            shell.complain(streams, f"{command}: {name}: not found")
            status = 1
        elif arguments or set(added) & set("aAilnrux") <= set(declared_flags(shell, name)):
            shell.put(streams.stdout, f"{declaration(shell, name)}\n")
    return status


def _functions(shell: Shell, added: str, names: list[str], streams: Streams) -> int:
    if not names:
        shell.put(streams.stdout, "".join(f"declare -f {name}\n" for name in sorted(shell.functions)))
        return 0
    for name in names:
        if name in shell.functions:
            shell.put(streams.stdout, f"{name}\n" if "F" in added else "")
    return int(any(name not in shell.functions for name in names))


async def _printf(shell: Shell, words: list[str], streams: Streams) -> int:
    arguments, name = words[1:], ""
    if arguments[:1] == ["-v"] and len(arguments) > 1:
        name, arguments = arguments[1], arguments[2:]
    if arguments[:1] == ["--"]:
        arguments = arguments[1:]
    if not arguments:
        shell.complain(streams, "printf: usage: printf [-v var] format [arguments]")
        return 2
    errors: list[str] = []
    now_s = shell.process.clock.unix_s
    try:
        text = format_printf(arguments[0], arguments[1:], errors=errors, quote=backslash_quoted, now_s=now_s)
    except FormatError as error:
        shell.complain(streams, f"printf: {error}")
        return 1
    if name:
        shell.variables[name] = text
    else:
        shell.put(streams.stdout, text)
    for error_text in errors:
        shell.complain(streams, f"printf: {error_text}")
    return int(bool(errors))


async def _let(shell: Shell, words: list[str], streams: Streams) -> int:
    value = 0
    try:
        for word in words[1:]:
            value = evaluate(word, shell.variables)
    except ShellArithmeticError as error:
        shell.complain(streams, f"let: {error.bash_text}")
        return 1
    return int(not value)


async def _shopt(shell: Shell, words: list[str], streams: Streams) -> int:
    flags = {word[1:] for word in words[1:] if word.startswith("-")}
    names = [word for word in words[1:] if not word.startswith("-")]
    if "o" in "".join(flags):
        return await shell.builtins["set"](shell, ["set", "-o" if "s" in "".join(flags) else "+o", *names], streams)
    status = 0
    for name in names or sorted(_SHOPTS):
        if name not in _SHOPTS:
            shell.complain(streams, f"shopt: {name}: invalid shell option name")
            status = 1
        elif "s" in flags:
            shell.shell_options.add(name)
        elif "u" in flags:
            shell.shell_options.discard(name)
        else:
            is_set = name in shell.shell_options
            status = status or int(bool(names) and not is_set)
            if "q" not in flags:
                shell.put(streams.stdout, f"{name:<20}\t{'on' if is_set else 'off'}\n")
    return status


async def _builtin(shell: Shell, words: list[str], streams: Streams) -> int:
    if len(words) < 2:
        return 0
    builtin = shell.builtins.get(words[1])
    if builtin is None:
        shell.complain(streams, f"builtin: {words[1]}: not a shell builtin")
        return 1
    return await builtin(shell, words[1:], streams)


async def _pushd(shell: Shell, words: list[str], streams: Streams) -> int:
    stack, here = shell.directory_stack, shell.variables["PWD"]
    if len(words) < 2 and not stack:
        shell.complain(streams, "pushd: no other directory")
        return 1
    target = words[1] if len(words) > 1 else stack[0]
    if await shell.builtins["cd"](shell, ["cd", target], streams):
        return 1
    if len(words) < 2:
        stack.pop(0)
    stack.insert(0, here)
    return await _dirs(shell, ["dirs"], streams)


async def _popd(shell: Shell, words: list[str], streams: Streams) -> int:
    if not shell.directory_stack:
        shell.complain(streams, "popd: directory stack empty")
        return 1
    status = await shell.builtins["cd"](shell, ["cd", shell.directory_stack.pop(0)], streams)
    return status or await _dirs(shell, ["dirs"], streams)


async def _dirs(shell: Shell, words: list[str], streams: Streams) -> int:
    if "-c" in words:
        shell.directory_stack.clear()
        return 0
    home = shell.variables.get("HOME", "")
    folders = [shell.variables["PWD"], *shell.directory_stack]
    shown = [
        f"~{path.removeprefix(home)}" if home and f"{path}/".startswith(f"{home}/") else path for path in folders
    ]
    shell.put(streams.stdout, f"{' '.join(shown)}\n")
    return 0


async def _caller(shell: Shell, words: list[str], streams: Streams) -> int:
    if not shell.call_stack:
        return 1
    shell.put(streams.stdout, f"{shell.line_number} {shell.name}\n")
    return 0


async def _nothing(shell: Shell, words: list[str], streams: Streams) -> int:
    return 0


#: name → builtin, for builtins that ash lacks or that differ in bash.
BASH_BUILTINS: dict[str, Builtin] = {
    "declare": declare, "typeset": declare, "local": declare, "export": declare, "readonly": declare,
    "mapfile": read_array, "readarray": read_array, "printf": _printf, "let": _let, "shopt": _shopt,
    "builtin": _builtin, "pushd": _pushd, "popd": _popd, "dirs": _dirs, "caller": _caller,
    "disown": _nothing, "enable": _nothing,
}  # fmt: skip

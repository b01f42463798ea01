"""Builtins for variables and aliases."""

from __future__ import annotations

import re

from attrs import evolve

from cnmsim.userland.sh.interpreter import Builtin, Shell
from cnmsim.userland.sh.state import Streams

_NAME = re.compile(r"[A-Za-z_]\w*")


async def _export(shell: Shell, words: list[str], streams: Streams) -> int:
    if words[1:] in ([], ["-p"]):
        text = "".join(f"export {name}='{value}'\n" for name, value in shell.environment.items())
        shell.put(streams.stdout, text)
        return 0
    for word in words[1:]:
        name, equals, value = word.partition("=")
        if not _NAME.fullmatch(name):
            shell.complain(streams, f"{words[0]}: {name}: bad variable name")
            return 2
        if equals:
            shell.variables[name] = value
        if words[0] == "export":
            shell.exported.add(name)
        else:
            shell.readonly.add(name)
    return 0


async def _unset(shell: Shell, words: list[str], streams: Streams) -> int:
    status = 0
    only = words[1][1:] if words[1:2] in (["-v"], ["-f"], ["-n"]) else ""
    for name in words[2:] if only else words[1:]:
        if name in shell.readonly and only != "f":
            text = f"{name}: cannot unset: readonly variable" if shell.is_bash else f"{name}: is read only"
            shell.complain(streams, f"unset: {text}" if shell.is_bash else text)
            status = 1
            continue
        if only != "f":
            shell.variables.pop(name, None)
            shell.exported.discard(name)
        if only != "v":
            shell.functions.pop(name, None)
    return status


async def _local(shell: Shell, words: list[str], streams: Streams) -> int:
    if not shell.locals:
        shell.complain(streams, "local: not in a function")
        return 2
    for word in words[1:]:
        name, equals, value = word.partition("=")
        shell.locals[-1].setdefault(name, evolve(before) if (before := shell.variables.table.get(name)) else None)
        if equals:
            shell.variables[name] = value
    return 0


async def _alias(shell: Shell, words: list[str], streams: Streams) -> int:
    """Define or print aliases.

    Aliases are never expanded. A real shell that is not interactive does not expand them, either.
    """
    status, prefix = 0, "alias " if shell.is_bash else ""
    for word in words[1:] or sorted(shell.aliases):
        name, equals, value = word.partition("=")
        if equals:
            shell.aliases[name] = value
        elif name in shell.aliases:
            shell.put(streams.stdout, f"{prefix}{name}='{shell.aliases[name]}'\n")
        else:
            shell.put(streams.stderr, f"alias: {name} not found\n")
            status = 1
    return status


async def _unalias(shell: Shell, words: list[str], streams: Streams) -> int:
    status = 0
    if words[1:2] == ["-a"]:
        shell.aliases.clear()
        return 0
    for name in words[1:]:
        if shell.aliases.pop(name, None) is None:
            shell.complain(streams, f"unalias: {name}: not found" if shell.is_bash else f"unalias: {name} not found")
            status = 1
    return status


#: name → builtin.
VARIABLE_BUILTINS: dict[str, Builtin] = {
    "export": _export, "readonly": _export, "unset": _unset, "local": _local, "alias": _alias, "unalias": _unalias,
}  # fmt: skip

"""Builtins for attributes of the shell's process: the working directory, the umask and resource limits."""

# ruff: noqa: ARG001

from __future__ import annotations

import re

from cnmsim.digits import is_number
from cnmsim.kernel.permissions import EXECUTE, allows
from cnmsim.kernel.procfs import DEFAULT_OPEN_FILES
from cnmsim.userland.sh.interpreter import Builtin, Shell
from cnmsim.userland.sh.state import Streams


async def _cd(shell: Shell, words: list[str], streams: Streams) -> int:
    target = words[1] if len(words) > 1 else shell.variables.get("HOME", "/")
    if target == "-":
        target = shell.variables.get("OLDPWD", shell.variables["PWD"])
        shell.put(streams.stdout, f"{target}\n")
    path = shell.resolve(target)
    if not shell.process.files.is_dir(path):
        reason = "Not a directory" if shell.process.files.exists(path) else "No such file or directory"
        shell.complain(streams, f"cd: can't cd to {target}: {reason}")
        return 1 if shell.is_bash else 2
    if not allows(shell.process, path, EXECUTE):
        shell.complain(streams, f"cd: can't cd to {target}: Permission denied")
        return 1 if shell.is_bash else 2
    shell.variables["OLDPWD"], shell.variables["PWD"] = shell.variables["PWD"], path
    return 0


async def _pwd(shell: Shell, words: list[str], streams: Streams) -> int:
    shell.put(streams.stdout, f"{shell.variables['PWD']}\n")
    return 0


async def _umask(shell: Shell, words: list[str], streams: Streams) -> int:
    if len(words) == 1:
        shell.put(streams.stdout, f"{shell.process.umask:04o}\n")
        return 0
    if not re.fullmatch(r"[0-7]{1,4}", words[1]):
        shell.complain(streams, f"umask: illegal mode: {words[1]}")
        return 2
    shell.process.umask = int(words[1], 8)
    return 0


#: The options of `ulimit` by the names of setrlimit(2).
_RLIMITS = {
    "c": "CORE", "d": "DATA", "e": "NICE", "f": "FSIZE", "i": "SIGPENDING", "l": "MEMLOCK", "m": "RSS",
    "n": "NOFILE", "q": "MSGQUEUE", "r": "RTPRIO", "s": "STACK", "t": "CPU", "u": "NPROC", "v": "AS", "x": "LOCKS",
}  # fmt: skip


async def _ulimit(shell: Shell, words: list[str], streams: Streams) -> int:
    letters = "".join(word[1:] for word in words[1:] if word.startswith("-"))
    values = [word for word in words[1:] if not word.startswith("-")]
    name = _RLIMITS[next((letter for letter in letters if letter in _RLIMITS), "f")]
    limits = shell.process.rlimits.get(name, DEFAULT_OPEN_FILES if name == "NOFILE" else (-1, -1))
    if not values:
        limit = limits[1 if "H" in letters and "S" not in letters else 0]
        shell.put(streams.stdout, "unlimited\n" if limit < 0 else f"{limit}\n")
        return 0
    if values[0] != "unlimited" and not is_number(values[0]):
        shell.complain(streams, f"ulimit: {values[0]}: invalid number" if shell.is_bash else "ulimit: bad number")
        return 2 if not shell.is_bash else 1
    limit = -1 if values[0] == "unlimited" else int(values[0])
    raises = limits[1] >= 0 and (limit < 0 or limit > limits[1])
    if raises and not shell.process.credentials.has("SYS_RESOURCE"):
        text = "error setting limit: Operation not permitted"
        shell.complain(streams, f"ulimit: {text}")
        return 1
    soft = limits[0] if letters.startswith("H") else limit
    hard = limits[1] if "S" in letters and "H" not in letters else limit
    shell.process.rlimits = {**shell.process.rlimits, name: (soft, hard)}
    return 0


#: name → builtin.
PROCESS_BUILTINS: dict[str, Builtin] = {"cd": _cd, "pwd": _pwd, "umask": _umask, "ulimit": _ulimit}

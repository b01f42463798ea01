"""The shell's builtins by name, all with the same signature (`Builtin` in interpreter.py)."""

# ruff: noqa: ARG001

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from attrs import evolve

from cnmsim.digits import is_number
from cnmsim.kernel.errno_text import strerror
from cnmsim.kernel.permissions import EXECUTE, allows
from cnmsim.kernel.procfs import DEFAULT_OPEN_FILES
from cnmsim.userland.busybox.echo import FormatError, echo_text, format_printf
from cnmsim.userland.busybox.files import evaluate_test
from cnmsim.userland.libc.signals import signal_list, signal_name, signal_number, take_signal
from cnmsim.userland.sh.arithmetic import evaluate
from cnmsim.userland.sh.interpreter import Builtin, ExecProgram, ExitShell, LeaveLoop, ReturnFunction, Shell
from cnmsim.userland.sh.read import read
from cnmsim.userland.sh.state import Streams

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process

_NAME = re.compile(r"[A-Za-z_]\w*")


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
    """Print the options as `set -o` does, or, with `is_input`, as commands that set them (`set +o`)."""
    for name, is_set in shell.set_options().items():
        text = f"set {'-' if is_set else '+'}o {name}" if is_input else f"{name:<15}\t{'on' if is_set else 'off'}"
        shell.put(streams.stdout, f"{text}\n")


async def _shift(shell: Shell, words: list[str], streams: Streams) -> int:
    count = _number(words, 1)
    if count > len(shell.arguments):
        return 1
    shell.arguments = shell.arguments[count:]
    return 0


def _number(words: list[str], default: int) -> int:
    return int(words[1]) if len(words) > 1 and is_number(words[1]) else default


async def _exit(shell: Shell, words: list[str], streams: Streams) -> int:
    raise ExitShell(_number(words, shell.status) & 255)


async def _return(shell: Shell, words: list[str], streams: Streams) -> int:
    if shell.is_bash and not shell.call_stack and not shell.is_sourcing:
        shell.complain(streams, "return: can only `return' from a function or sourced script")
        return 2
    raise ReturnFunction(_number(words, shell.status) & 255)


async def _leave(shell: Shell, words: list[str], streams: Streams) -> int:
    if shell.is_bash and not shell.loops:
        shell.complain(streams, f"{words[0]}: only meaningful in a `for', `while', or `until' loop")
        return 0
    raise LeaveLoop(max(1, _number(words, 1)), goes_on=words[0] == "continue")


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


async def _wait(shell: Shell, words: list[str], streams: Streams) -> int:
    status = 0
    is_selective = len(words) > 1
    missing = set(words[1:])
    remaining: list[Process] = []
    for number, child in enumerate(tuple(shell.background), 1):
        own_names = {str(child.local_pid), f"%{number}"}
        if is_selective and not own_names & set(words[1:]):
            remaining.append(child)
            continue
        await _until_signal(shell, child)
        if child.exit_status is None:
            return 128 + shell.pending_signals[0]
        if is_selective:
            status = child.exit_status
            shell.report_signal(child, streams)
        missing -= own_names
    shell.background = remaining
    for name in sorted(missing):
        if name.startswith("%"):
            shell.complain(streams, f"wait: {name}: no such job")
        status = 2 if name.startswith("%") else 127
    return status


async def _until_signal(shell: Shell, child: Process) -> None:
    """Wait until `child` has ended or a signal with a trap has arrived."""

    def wake(_: object) -> None:
        shell.signalled.notify()

    child.exited.add_done_callback(wake)
    await shell.signalled.wait_until(lambda: child.exit_status is not None or bool(shell.pending_signals))


def _complain_plainly(shell: Shell, streams: Streams, name: str, message: str) -> None:
    """Print an error of a builtin that ash shares with an applet: it has no builtin's name and no line number."""
    if shell.is_bash:
        shell.complain(streams, f"{name}: {message}")
    else:
        shell.put(streams.stderr, f"sh: {message}\n")


async def _kill(shell: Shell, words: list[str], streams: Streams) -> int:
    arguments = words[1:]
    signal: int | None = 15
    if arguments[:1] == ["-l"]:
        shell.put(streams.stdout, signal_list(arguments[1:]))
        return 0
    if arguments[:1] and arguments[0].startswith("-") and len(arguments[0]) > 1:
        text, signal = take_signal(arguments)
        if signal is None:
            bad = f"{text}: invalid signal specification" if shell.is_bash else f"bad signal name '{text}'"
            _complain_plainly(shell, streams, "kill", bad)
            return 1
    if not arguments:
        _complain_plainly(shell, streams, "kill", "you need to specify whom to kill")
        return 1
    status = 0
    for text in arguments:
        target = _job(shell, text)
        if target is None:
            is_number = re.fullmatch(r"-?[0-9]+|%.*", text) is not None
            bad = f"{text}: arguments must be process or job IDs" if shell.is_bash else f"invalid number '{text}'"
            reason = f"can't kill pid {text}: No such process" if is_number else bad
            if is_number:
                shell.complain(streams, reason)
            else:
                _complain_plainly(shell, streams, "kill", reason)
            status = 1
        elif not shell.process.may_signal(target):
            shell.complain(streams, f"can't kill pid {text}: Operation not permitted")
            status = 1
        elif signal:
            target.kill(signal, shell.process)
    return status


def _job(shell: Shell, text: str) -> Process | None:
    if text.startswith("%") and is_number(text[1:]):
        number = int(text[1:])
        return shell.background[number - 1] if 0 < number <= len(shell.background) else None
    if not is_number(text):
        return None
    return shell.process.pid_namespace.processes.get(int(text))


async def _trap(shell: Shell, words: list[str], streams: Streams) -> int:
    arguments = words[2:] if words[1:2] == ["--"] else words[1:]
    if not arguments or arguments[0] == "-p":
        chosen = {signal_number(name) for name in arguments[1:]}
        for number, command in sorted(shell.traps.items()):
            if not chosen or number in chosen:
                quote = "'\\''" if shell.is_bash else "'\"'\"'"
                quoted = command.replace("'", quote)
                prefix = "SIG" if shell.is_bash and number else ""
                shell.put(streams.stdout, f"trap -- '{quoted}' {prefix}{_signal_name(number)}\n")
        return 0
    is_reset = len(arguments) == 1 or arguments[0] == "-" or is_number(arguments[0])
    names = arguments[arguments[0] == "-" or not is_reset :]
    status = 0
    process = shell.process
    for name in names:
        if shell.is_bash and name.upper() in ("ERR", "DEBUG", "RETURN"):
            if name.upper() == "ERR":
                shell.err_trap = "" if is_reset else arguments[0]
            continue
        signal = 0 if name.upper() == "EXIT" else signal_number(name)
        if signal is None:
            shell.complain(streams, f"trap: {name}: invalid signal specification")
            status = 1
            continue
        process.ignored_signals -= {signal}
        process.handlers.pop(signal, None)
        shell.traps.pop(signal, None)
        if is_reset:
            continue
        shell.traps[signal] = arguments[0]
        if not signal:
            continue
        if arguments[0]:
            process.handlers[signal] = partial(shell.take_signal, signal)
        else:
            process.ignored_signals |= {signal}
    return status


def _signal_name(number: int) -> str:
    return "EXIT" if not number else signal_name(number)


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


async def _jobs(shell: Shell, words: list[str], streams: Streams) -> int:
    for number, child in enumerate(shell.background, 1):
        if child.is_running:
            shell.put(streams.stdout, f"[{number}]+  Running                    {' '.join(child.argv)}\n")
    return 0


async def _let(shell: Shell, words: list[str], streams: Streams) -> int:
    value = 0
    for word in words[1:]:
        value = evaluate(word, shell.variables)
    return int(not value)


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


async def _alias(shell: Shell, words: list[str], streams: Streams) -> int:
    """Define or print aliases. They are not expanded: an alias of a shell that is not interactive is not, either."""
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


async def _times(shell: Shell, words: list[str], streams: Streams) -> int:
    shell.put(streams.stdout, "0m0.000s 0m0.000s\n0m0.000s 0m0.000s\n")
    return 0


#: name → builtin.
BUILTINS: dict[str, Builtin] = {
    ":": _true, "true": _true, "false": _false, "echo": _echo, "printf": _printf, "test": _test, "[": _test,
    "cd": _cd, "pwd": _pwd, "export": _export, "readonly": _export, "unset": _unset, "local": _local, "set": _set,
    "shift": _shift, "exit": _exit, "return": _return, "break": _leave, "continue": _leave, "read": read,
    "eval": _eval, ".": _source, "source": _source, "wait": _wait, "kill": _kill, "trap": _trap, "exec": _exec,
    "command": _command, "type": _type, "jobs": _jobs, "umask": _umask, "ulimit": _ulimit, "alias": _alias,
    "unalias": _unalias, "hash": _true, "let": _let, "getopts": _getopts, "times": _times,
}  # fmt: skip

"""Look up the program of a command in a container, as runc looks for an executable file."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

from cnmsim.kernel.files import FileSystem
from cnmsim.kernel.process import Program

_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class CommandNotFoundError(Exception):
    """The command's program does not exist. The error's text is the cause in Go's words."""


class CommandNotExecutableError(Exception):
    """The command's program is not an executable file. The error's text is the cause in Go's words."""


class CommandIsDirectoryError(CommandNotExecutableError):
    """The command's program is a directory.

    For this error the daemon appends `permission denied`, from which the client derives exit status 126.
    """


def runtime_text(cause: Exception, suffix: str) -> str:
    """Return the daemon's error text for `cause`, one of this module's exceptions.

    `suffix` is appended: the text that containerd adds to an error of runc.
    """
    return f"{cause}{suffix}{': permission denied' if isinstance(cause, CommandIsDirectoryError) else ''}"


def find_program(
    argv: list[str], env: Mapping[str, str], files: FileSystem, programs: Mapping[str, Program]
) -> tuple[Program, list[str]]:
    """Return the simulated program that a command line runs, and the arguments to start it with.

    A name without a slash is searched in the PATH of `env`. A script is run by the interpreter in its `#!` line.
    Raises `CommandNotFoundError` if there is no such file or program, and `CommandNotExecutableError` or
    `CommandIsDirectoryError` if the file cannot be executed.
    """
    name = argv[0]
    folders = (env.get("PATH") or _DEFAULT_PATH).split(":")
    if name in programs and "/" in name and not files.exists(name):
        return programs[name], argv  # a program outside the usual folders is registered by its path
    if "/" in name:
        folder, base = posixpath.split(posixpath.normpath(name))
        if folder in _DEFAULT_PATH.split(":") and base in programs and not files.exists(name):
            return programs[base], argv
        if not files.exists(name):
            raise CommandNotFoundError(f'exec: "{name}": stat {name}: no such file or directory')
        return _script(name, argv, files, programs)
    for folder in folders:
        path = posixpath.join(folder, name)
        if files.exists(path) and not files.is_dir(path):
            return _script(path, argv, files, programs)
        if name in programs and folder in _DEFAULT_PATH.split(":"):
            return programs[name], argv
    raise CommandNotFoundError(f'exec: "{name}": executable file not found in $PATH')


def _script(
    path: str, argv: list[str], files: FileSystem, programs: Mapping[str, Program]
) -> tuple[Program, list[str]]:
    if files.is_dir(path):
        raise CommandIsDirectoryError(f'exec: "{argv[0]}": is a directory')
    file = files.file(path)
    if not file.mode & 0o111:
        raise CommandNotExecutableError(f'exec: "{argv[0]}": permission denied')
    interpreter = script_interpreter(file.content, programs)
    if interpreter is None:
        raise CommandNotExecutableError(f"exec {argv[0]}: exec format error")
    program, words = interpreter
    return program, [posixpath.basename(words[0]), *words[1:], path, *argv[1:]]


def script_interpreter(content: bytes, programs: Mapping[str, Program]) -> tuple[Program, list[str]] | None:
    """Return the program that a script's `#!` line names, and the line's words: a path and perhaps an argument.

    Return `None` if there is no such line or program. Source: execve(2), "Interpreter scripts".
    """
    first = content.split(b"\n", 1)[0].decode(errors="surrogateescape")
    words = first[2:].split(maxsplit=1) if first.startswith("#!") else []
    if words and posixpath.basename(words[0]) == "env":
        words = first[2:].split()[1:]
        words = words[1:] if words[:1] == ["-S"] else words
    program = programs.get(posixpath.basename(words[0])) if words else None
    return None if program is None else (program, words)


#: Every image has these, whether or not its files include them.
_STANDARD_FOLDERS = frozenset(
    "bin dev etc home lib media mnt opt proc root run sbin srv sys tmp usr var".split()  # noqa: SIM905 - words
)


def check_directory(directory: str, files: FileSystem) -> None:
    """Check that the working directory `directory` exists in a container. Raises `CommandNotExecutableError` if not.

    "" and directories below a standard one, such as /usr or /var, are assumed to exist.
    """
    is_standard = posixpath.normpath(directory).strip("/").split("/")[0] in _STANDARD_FOLDERS
    if directory and not is_standard and not files.is_dir(directory):
        raise CommandNotExecutableError(
            f'chdir to cwd ("{directory}") set in config.json failed: no such file or directory'
        )


def in_directory(env: dict[str, str], directory: str) -> dict[str, str]:
    """Return `env` with PWD, from which simulated programs take their working directory, set to `directory`.

    If `directory` is "", return `env` unchanged.
    """
    return {**env, "PWD": directory} if directory else env

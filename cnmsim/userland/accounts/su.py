"""su of busybox and of util-linux, and runuser: run a shell or a program as another user.

Source: busybox 1.37 `loginutils/su.c`; util-linux 2.41 `login-utils/su-common.c`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from attrs import evolve

from cnmsim.kernel.credentials import User
from cnmsim.userland.accounts.database import credentials_of, find_group, find_user, password_of
from cnmsim.userland.accounts.distribution import is_debian
from cnmsim.userland.busybox.applet import complain
from cnmsim.userland.busybox.processes import run_program
from cnmsim.userland.invocation import find_program
from cnmsim.userland.libc.getopt import Options, getopt

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process

_LONG = {"command=": "c", "login": "l", "preserve-environment": "m", "shell=": "s"}
_PATHS = {
    True: ("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
           "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"),
    False: ("/sbin:/usr/sbin:/bin:/usr/bin", "/bin:/usr/bin"),
}  # fmt: skip


def _read(process: Process, letters: str, long: Mapping[str, str]) -> tuple[Options, list[str], bool]:
    """Return the options, the operands without a leading `-`, and whether a login shell is requested."""
    options = getopt(process.argv[1:], letters, long)
    has_dash = options.operands[:1] == ["-"]
    return options, list(options.operands[has_dash:]), has_dash or "l" in options


async def main(process: Process) -> int:
    """Run `su [-] [-lmp] [-c COMMAND] [-s SHELL] [USER [ARGUMENT…]]`."""
    options, words, is_login = _read(process, "c:lmps:", _LONG)
    name = words.pop(0) if words else "root"
    user = find_user(process, name)
    if user is None:
        unknown = f"user {name} does not exist or the user entry does not contain all the required fields"
        return complain(process, unknown if is_debian(process) else f"unknown user {name}")
    if process.credentials.uid and password_of(process, name):
        # There is no terminal from which a password is read.
        process.error("Password: ")
        return complain(process, "Authentication failure" if is_debian(process) else "incorrect password")
    return await _run_shell(process, user, options, words, is_login=is_login)


async def runuser(process: Process) -> int:
    """Run `runuser -u USER [--] COMMAND…`, or `runuser [-] [-c COMMAND] [-s SHELL] [USER]`, which acts as su."""
    long = {**_LONG, "user=": "u", "group=": "g", "supp-group=": "G"}
    options, words, is_login = _read(process, "c:g:G:lmps:u:", long)
    if process.credentials.uid:
        return complain(process, "may not be used by non-root users")
    if "u" in options and any(letter in options for letter in "csl"):
        others = "{shell,fast,command,session-command,login}"
        return complain(process, f"options --{others} and --user are mutually exclusive")
    name = options.get("u") or (words.pop(0) if words else "root")
    user = find_user(process, name)
    if user is None:
        return complain(
            process, f"user {name} does not exist or the user entry does not contain all the required fields"
        )
    gids: tuple[int, ...] = ()
    for text in (*options.every("g"), *options.every("G")):
        group = find_group(process, text)
        if group is None:
            return complain(process, f"group {text} does not exist")
        gids += (group.gid,)
    if "u" not in options:
        return await _run_shell(process, user, options, words, is_login=is_login, gids=gids)
    if not words:
        return complain(process, "no command was specified")
    _become(process, user, gids)
    if find_program(process, words[0]) is None:
        complain(process, f"failed to execute {words[0]}: No such file or directory")
        return 1
    return await run_program(process, words, env=dict(process.env))


def _become(process: Process, user: User, gids: tuple[int, ...]) -> None:
    """Change the credentials of a process to those of `user`.

    `gids` are the groups to use in place of the user's own, the primary group first; if empty, the user's own.
    """
    credentials = credentials_of(process, user)
    process.credentials = evolve(credentials, gid=gids[0], groups=gids) if gids else credentials


async def _run_shell(
    process: Process, user: User, options: Options, words: list[str], *, is_login: bool, gids: tuple[int, ...] = ()
) -> int:
    keeps = not is_login and ("m" in options or "p" in options)
    shell = options.get("s") or (process.env.get("SHELL") if keeps else "") or user.shell or "/bin/sh"
    base = shell.rpartition("/")[2]
    if base == "false":
        return 1
    if base == "nologin":
        process.write("This account is currently not available.\n")
        return 1
    env = dict(process.env)
    if is_login:
        env = {"TERM": env["TERM"]} if "TERM" in env else {}
        env["PATH"] = _PATHS[is_debian(process)][bool(user.uid)]
        env["PWD"] = user.home
        if not process.files.is_dir(user.home):
            env["PWD"] = "/"  # noqa: S105 - a directory
            warning = f"warning: cannot change directory to {user.home}"
            warning = warning if is_debian(process) else f"can't change directory to '{user.home}'"
            complain(process, f"{warning}: No such file or directory")
    if not keeps:
        env |= {"HOME": user.home, "SHELL": shell}
        if user.uid or is_login:
            env |= {"USER": user.name, "LOGNAME": user.name}
    _become(process, user, gids)
    command = ["-c", options.get("c") or ""] if "c" in options else []
    return await run_program(process, [shell, *(["-l"] if is_login else []), *command, *words], env=env)

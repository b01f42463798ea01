"""su of busybox and of util-linux: run a shell as another user.

Source: busybox 1.37 `loginutils/su.c`; util-linux 2.41 `login-utils/su-common.c`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.kernel.credentials import User
from cnmsim.userland.accounts.database import credentials_of, find_user, password_of
from cnmsim.userland.accounts.distribution import is_debian
from cnmsim.userland.busybox.applet import complain
from cnmsim.userland.busybox.processes import run_program
from cnmsim.userland.libc.getopt import Options, getopt

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process

_LONG = {"command=": "c", "login": "l", "preserve-environment": "m", "shell=": "s"}
_PATHS = {
    True: ("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
           "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"),
    False: ("/sbin:/usr/sbin:/bin:/usr/bin", "/bin:/usr/bin"),
}  # fmt: skip


async def main(process: Process) -> int:
    """Run `su [-] [-lmp] [-c COMMAND] [-s SHELL] [USER [ARGUMENT…]]`."""
    options = getopt(process.argv[1:], "c:lmps:", _LONG)
    words = list(options.operands)
    is_login = "l" in options or words[:1] == ["-"]
    if words[:1] == ["-"]:
        del words[0]
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


async def _run_shell(process: Process, user: User, options: Options, words: list[str], *, is_login: bool) -> int:
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
    process.credentials = credentials_of(process, user)
    command = ["-c", options.get("c") or ""] if "c" in options else []
    return await run_program(process, [shell, *(["-l"] if is_login else []), *command, *words], env=env)

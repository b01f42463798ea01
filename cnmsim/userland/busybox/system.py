"""Applets about the user and the system: id, whoami, date, uname, uptime."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.credentials import Credentials, groups, users
from cnmsim.kernel.process import Process
from cnmsim.userland.busybox.applet import complain, read_options
from cnmsim.userland.invocation import time_of_day_s

if TYPE_CHECKING:
    pass


async def id_(process: Process) -> int:
    """Run `id [-Ggnu] [USER]`."""
    options = read_options(process, "Ggnru", "[OPTIONS] [USER]")
    if options is None:
        return 1
    credentials = process.credentials
    for name in options.operands[:1]:
        user = next((user for user in users(process.files) if user.name == name), None)
        if user is None:
            return complain(process, f"unknown user {name}")
        others = (group.gid for group in groups(process.files) if name in group.members)
        credentials = Credentials(user.uid, user.gid, tuple(dict.fromkeys((user.gid, *others))))
    names_by_uid, names_by_gid = user_names(process), group_names(process)
    letter_given = next((letter for letter in "ugG" if letter in options), None)
    if letter_given is None:
        listed = ",".join(_with_name(gid, names_by_gid) for gid in credentials.groups)
        process.write(
            f"uid={_with_name(credentials.uid, names_by_uid)} gid={_with_name(credentials.gid, names_by_gid)} "
            f"groups={listed}\n"
        )
        return 0
    numbers, names = {
        "u": ((credentials.uid,), names_by_uid), "g": ((credentials.gid,), names_by_gid),
        "G": (credentials.groups, names_by_gid),
    }[letter_given]  # fmt: skip
    shown = (names.get(number, str(number)) if "n" in options else str(number) for number in numbers)
    process.write(f"{' '.join(shown)}\n")
    return 0


def user_names(process: Process) -> dict[int, str]:
    """Return the user name of each user id in /etc/passwd. If an id has several names, the first is used."""
    return {user.uid: user.name for user in reversed(tuple(users(process.files)))}


def group_names(process: Process) -> dict[int, str]:
    """Return the group name of each group id in /etc/group. If an id has several names, the first is used."""
    return {group.gid: group.name for group in reversed(tuple(groups(process.files)))}


def _with_name(number: int, names: dict[int, str]) -> str:
    return f"{number}({names[number]})" if number in names else str(number)


async def whoami(process: Process) -> int:
    """Run `whoami`."""
    uid = process.credentials.uid
    name = user_names(process).get(uid)
    if name is None:
        return complain(process, f"unknown uid {uid}")
    process.write(f"{name}\n")
    return 0


async def date(process: Process) -> int:
    """Run `date [-u] [-R] [+FORMAT]`: print the lab's time of day."""
    options = read_options(process, "uRId:", "[OPTIONS] [+FMT] [[-s] TIME]")
    if options is None:
        return 1
    now = time.gmtime(time_of_day_s(process))
    form = "%a %b %e %H:%M:%S UTC %Y"
    if "R" in options:
        form = "%a, %d %b %Y %H:%M:%S +0000"
    if options.operands and options.operands[0].startswith("+"):
        form = options.operands[0][1:]
    form = form.replace("%s", str(time_of_day_s(process))).replace("%N", f"{process.clock.now_ns % 10**9:09d}")
    process.write(f"{time.strftime(form.replace('%e', f'{now.tm_mday:2d}'), now)}\n")
    return 0


async def uname(process: Process) -> int:
    """Run `uname [-asnrvm]`."""
    values = {
        "s": "Linux",
        "n": process.hostname,
        "r": "6.1.0-cnmsim",
        "v": "#1 SMP",
        "m": "x86_64",
        "o": "GNU/Linux",
    }
    letters = "".join(process.argv[1:]).replace("-", "") or "s"
    process.write(" ".join(values[key] for key in values if key in letters or "a" in letters) + "\n")
    return 0


async def uptime(process: Process) -> int:
    """Run `uptime`."""
    now = time.gmtime(time_of_day_s(process))
    minutes = process.clock.now_ns // (60 * NS_PER_S)
    process.write(f" {time.strftime('%H:%M:%S', now)} up {minutes} min,  0 users,  load average: 0.00, 0.00, 0.00\n")
    return 0

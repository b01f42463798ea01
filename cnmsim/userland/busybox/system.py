"""Applets about the user and the system: id, whoami, groups, date, uname, uptime, free, nproc, tty, stty."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.credentials import Credentials, groups, users
from cnmsim.kernel.errno_text import strerror
from cnmsim.kernel.process import Process
from cnmsim.kernel.procfs import CPUS, KERNEL_RELEASE, KERNEL_VERSION, MEMORY_KIB
from cnmsim.userland.busybox.applet import complain, read_options
from cnmsim.userland.invocation import absolute_path


async def id_(process: Process) -> int:
    """Run `id [-Ggnu] [USER]`."""
    options = read_options(process, "Ggnru", "[OPTIONS] [USER]")
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
    """Return the user names of /etc/passwd by user id. If an id has several names, the first is used."""
    return {user.uid: user.name for user in reversed(tuple(users(process.files)))}


def group_names(process: Process) -> dict[int, str]:
    """Return the group names of /etc/group by group id. If an id has several names, the first is used."""
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


def format_date(process: Process, form: str) -> str:
    """Format the lab's current time with `form`, a format of strftime(3) in which `%N` stands for nanoseconds."""
    return _strftime(form, *divmod(process.clock.unix_ns, NS_PER_S))


async def date(process: Process) -> int:
    """Run `date [-u] [-R] [-I[SPEC]] [-d TIME | -r FILE] [+FORMAT]`: print the lab's time of day, or another time."""
    synopsis = "[OPTIONS] [+FMT] [[-s] TIME]"
    options = read_options(
        process,
        "uRI:d:r:D:s:",
        synopsis,
        arguments=_with_iso_format(process.argv[1:]),
        long={"utc": "u", "rfc-2822": "R", "date=": "d"},
    )
    seconds, nanoseconds = divmod(process.clock.unix_ns, NS_PER_S)
    if "d" in options or (options.operands and not options.operands[0].startswith("+")):
        text = options.get("d") or options.operands[0]
        parsed = parse_date(text, seconds, options.get("D"))
        if parsed is None:
            return complain(process, f"invalid date '{text}'")
        if "d" not in options:
            process.write(f"{_strftime(_DATE, parsed, 0)}\n")
            return complain(process, "can't set date: Operation not permitted")
        seconds, nanoseconds = parsed, 0
    elif "r" in options:
        try:
            inode = process.files.inode(absolute_path(process, options.get("r") or ""))
            seconds, nanoseconds = divmod(inode.mtime_ns, NS_PER_S)
        except OSError as error:
            return complain(process, f"{options.get('r')}: {strerror(error)}")
    form = _DATE
    if "R" in options:
        form = "%a, %d %b %Y %H:%M:%S +0000"
    elif "I" in options:
        spec = options.get("I")
        forms = {"": "%Y-%m-%d", "date": "%Y-%m-%d", "hours": "%Y-%m-%dT%H%z", "minutes": "%Y-%m-%dT%H:%M%z"}
        form = forms.get(spec or "", "%Y-%m-%dT%H:%M:%S%z").replace("%z", "+00:00")
    if options.operands and options.operands[0].startswith("+"):
        form = options.operands[0][1:]
    process.write(f"{_strftime(form, seconds, nanoseconds)}\n")
    return 0


_DATE = "%a %b %e %H:%M:%S UTC %Y"
_DATE_FORMS = (
    "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y.%m.%d-%H:%M:%S", "%Y.%m.%d-%H:%M",
    "%H:%M:%S", "%H:%M", "%a %b %d %H:%M:%S %Z %Y",
)  # fmt: skip


def _with_iso_format(arguments: list[str]) -> list[str]:
    """Rewrite `-I`, whose argument is optional, as `-Idate`, because getopt requires an argument."""
    return ["-Idate" if argument == "-I" else argument for argument in arguments]


def _strftime(form: str, seconds: int, nanoseconds: int) -> str:
    now = time.gmtime(seconds)
    form = form.replace("%s", str(seconds)).replace("%N", f"{nanoseconds:09d}").replace("%e", f"{now.tm_mday:2d}")
    return time.strftime(form.replace("%Z", "UTC").replace("%z", "+0000"), now)


def parse_date(text: str, now_s: int, form: str | None = None) -> int | None:
    """Parse a date in one of the forms that busybox accepts.

    Return UTC seconds since 1970, or `None` if it is invalid.

    `form`, if given, is the only accepted form, as a format of strptime(3). A time without a date belongs to the day
    of `now_s`.
    """
    if re.fullmatch(r"@-?[0-9]+", text):
        return int(text[1:])
    for candidate in (form,) if form else _DATE_FORMS:
        try:
            parsed = datetime.strptime(text, candidate).replace(tzinfo=UTC)
        except ValueError:
            continue
        if not form and "%d" not in candidate:
            today = datetime.fromtimestamp(now_s, UTC)
            parsed = parsed.replace(year=today.year, month=today.month, day=today.day)
        return int(parsed.timestamp())
    return None


async def uname(process: Process) -> int:
    """Run `uname [-asnrvmpio]`."""
    options = read_options(process, "asnrvmpio", "[-amnrspvio]")
    values = {
        "s": "Linux", "n": process.hostname, "r": KERNEL_RELEASE, "v": KERNEL_VERSION, "m": "x86_64", "p": "unknown",
        "i": "unknown", "o": "GNU/Linux",
    }  # fmt: skip
    letters = set(options.values) or {"s"}
    shown = [values[key] for key in values if key in letters or ("a" in letters and key not in "pi")]
    process.write(f"{' '.join(shown)}\n")
    return 0


async def arch(process: Process) -> int:
    """Run `arch`."""
    process.write("x86_64\n")
    return 0


async def uptime(process: Process) -> int:
    """Run `uptime`: print how long the machine has been running."""
    minutes = process.clock.now_ns // (60 * NS_PER_S)
    days, rest = divmod(minutes, 24 * 60)
    since = f"{days} day{'s' if days > 1 else ''}, " if days else ""
    since += f"{rest // 60:2d}:{rest % 60:02d}" if rest >= 60 else f"{rest} min"
    now = format_date(process, "%H:%M:%S")
    process.write(f" {now} up {since},  0 users,  load average: 0.00, 0.00, 0.00\n")
    return 0


async def nproc(process: Process) -> int:
    """Run `nproc [--all]`: print the number of processors."""
    process.write(f"{CPUS}\n")
    return 0


async def free(process: Process) -> int:
    """Run `free [-bkmgh]`: print the machine's memory. Programs are shown as using none of it."""
    options = read_options(process, "bkmgh", "[-bkmgh]")
    shift = {"b": 0, "m": 20, "g": 30}.get(next((letter for letter in "bmg" if letter in options), ""), 10)
    total = f"{MEMORY_KIB / (1 << 20):.1f}G" if "h" in options else str(MEMORY_KIB * 1024 >> shift)
    row = [total, "0", total, "0", "0", total]
    titles = ("total", "used", "free", "shared", "buff/cache", "available")
    process.write("      " + "".join(f"{title:>12}" for title in titles).rjust(0) + "\n")
    process.write("Mem:  " + "".join(f"{value:>12}" for value in row) + "\n")
    process.write("Swap: " + "".join(f"{'0':>12}" for _ in range(3)) + "\n")
    return 0


async def tty(process: Process) -> int:
    """Run `tty`: print `not a tty`. The standard input of a simulated program is never a terminal."""
    process.write("not a tty\n")
    return 1


async def stty(process: Process) -> int:
    """Run `stty`, which fails: the standard input of a simulated program is never a terminal."""
    return complain(process, "standard input: Inappropriate ioctl for device")


async def clear(process: Process) -> int:
    """Run `clear`."""
    process.write("\033[H\033[J")
    return 0


async def sync(_: Process) -> int:
    """Run `sync`."""
    return 0


async def logname(process: Process) -> int:
    """Run `logname`, which fails: no user is logged in."""
    return complain(process, "getlogin: No such file or directory")


async def groups_(process: Process) -> int:
    """Run `groups [USER]`: print the names of the groups that the user belongs to."""
    process.argv = ["id", "-Gn", *process.argv[1:]]
    return await id_(process)

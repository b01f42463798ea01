"""adduser, addgroup, deluser and delgroup of Debian 12 and Ubuntu.

Source: adduser 3.134 and 3.137 (`adduser`, `deluser`, `AdduserCommon.pm`). Ubuntu's release writes the level before
each message, such as `info:` and `fatal:`. The options, files and refusals were compared with 3.152.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from cnmsim.kernel.credentials import Group, User, groups, users
from cnmsim.userland.accounts.database import (
    add_group,
    add_member,
    add_user,
    find_group,
    find_user,
    make_home,
    remove_group,
    remove_member,
    remove_user,
)
from cnmsim.userland.accounts.distribution import is_debian
from cnmsim.userland.invocation import invoked_name
from cnmsim.userland.libc.getopt import Options, UsageError, getopt

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process

_OPTIONS = {
    "add-extra-groups": "e", "allow-all-names": "A", "allow-bad-names": "b", "comment=": "c", "conf=": "C",
    "debug": "D", "disabled-login": "l", "disabled-password": "p", "firstgid=": "f", "firstuid=": "F",
    "force-badname": "b", "gecos=": "c", "gid=": "g", "group": "G", "home=": "h", "ingroup=": "i", "lastgid=": "z",
    "lastuid=": "Z", "no-create-home": "H", "only-if-empty": "o", "quiet": "q", "remove-all-files": "r",
    "remove-home": "r", "shell=": "s", "system": "S", "uid=": "u", "verbose": "v", "backup": "B", "force": "O",
}  # fmt: skip
_SYSTEM_IDS, _IDS = range(100, 1000), range(1000, 60_000)


class _RefusedError(Exception):
    """Raised if a program refuses its arguments. The exception's text is the error text.

    `status` is the exit status in Ubuntu's release; in Debian's it is always 1.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class _Session:
    """One run of a program. `has_levels` is True for Ubuntu's release, which writes a level before each message."""

    def __init__(self, process: Process, options: Options) -> None:
        self.process, self.options = process, options
        self.has_levels = is_debian(process, "ubuntu")
        self.is_system = "S" in options

    def say(self, text: str) -> None:
        """Print an informational message, unless `--quiet` was given."""
        if "q" not in self.options:
            self.process.write(f"{'info: ' if self.has_levels else ''}{text}\n")

    def say_done(self) -> None:
        """Print `Done.`, as Debian's release does at the end and Ubuntu's does not."""
        if not self.has_levels:
            self.say("Done.")

    def number(self, letter: str, taken: set[int], kind: str) -> int | None:
        """Return the id in the option `letter`, `None` if it was not given.

        Raises `_RefusedError` if the id is in `taken`; `kind` (`UID` or `GID`) is for that message.
        """
        if letter not in self.options:
            return None
        number = self.options.number(letter, 0)
        if number in taken:
            raise _RefusedError(21, f"The {kind} {number} is already in use.")
        return number

    def free(self, taken: set[int]) -> int:
        """Return the lowest id that is not in `taken`: from 1000, or from 100 with `--system`."""
        return next(number for number in (_SYSTEM_IDS if self.is_system else _IDS) if number not in taken)

    def group(self, name: str) -> Group:
        """Return the group with this name. Raises `_RefusedError` if there is none."""
        group = find_group(self.process, name)
        if group is None:
            raise _RefusedError(12, f"The group `{name}' does not exist.")
        return group

    def user(self, name: str) -> User:
        """Return the user with this name. Raises `_RefusedError` if there is none."""
        user = find_user(self.process, name)
        if user is None:
            raise _RefusedError(12, f"The user `{name}' does not exist.")
        return user


def _run(process: Process, body: Callable[[_Session, list[str]], int], *, removes: bool = False) -> int:
    try:
        options = getopt(process.argv[1:], "qv", _OPTIONS)
    except UsageError as error:
        process.error(f"Unknown option: {str(error).rpartition('--')[2].strip(chr(39))}\n")
        return 1
    session = _Session(process, options)
    try:
        if process.credentials.uid:
            what = "remove a user or group from" if removes else "add a user or group to"
            raise _RefusedError(54, f"Only root may {what} the system.")
        return body(session, list(options.operands))
    except _RefusedError as refusal:
        process.error(f"{'fatal' if session.has_levels else invoked_name(process)}: {refusal}\n")
        return refusal.status if session.has_levels else 1


async def adduser(process: Process) -> int:
    """Run `adduser [--system] [--group] [--uid UID] [--gid GID|--ingroup GROUP] … USER` or `adduser USER GROUP`."""
    return _run(process, _add)


async def addgroup(process: Process) -> int:
    """Run `addgroup [--system] [--gid GID] GROUP`."""
    return _run(process, _add_group)


async def deluser(process: Process) -> int:
    """Run `deluser [--remove-home] USER` or `deluser USER GROUP`."""
    return _run(process, _delete, removes=True)


async def delgroup(process: Process) -> int:
    """Run `delgroup [--only-if-empty] GROUP`."""
    return _run(process, _delete_group, removes=True)


def _check_name(session: _Session, name: str) -> None:
    if re.fullmatch("[a-z][a-z0-9_-]*" if "b" not in session.options else r"[^\s:,/~+-][^\s:,/]*", name):
        return
    raise _RefusedError(
        31,
        "Please enter a username matching the regular expression\n"
        "            configured via the NAME_REGEX configuration variable.  Use the\n"
        "            `--allow-bad-names' option to relax this check or reconfigure\n"
        "            NAME_REGEX in configuration.",
    )


def _add(session: _Session, names: list[str]) -> int:
    process, options = session.process, session.options
    if "G" in options and not session.is_system:
        return _add_group(session, names)
    if not 1 <= len(names) <= 2:
        raise _RefusedError(51, "Only one or two names allowed.")
    if len(names) == 2:
        return _join(session, *names)
    name = names[0]
    _check_name(session, name)
    existing = find_user(process, name)
    if existing is not None:
        if not session.is_system:
            raise _RefusedError(11, f"The user `{name}' already exists.")
        session.say(f"The system user `{name}' already exists. Exiting.")
        return 0
    uids, gids = {user.uid for user in users(process.files)}, {group.gid for group in groups(process.files)}
    group = session.group(options.get("i") or "") if "i" in options else None
    if "g" in options:
        gid = options.number("g", 0)
        group = next((group for group in groups(process.files) if group.gid == gid), None)
        if group is None:
            raise _RefusedError(12, f"No group with GID {gid} found.")
    if group is None and "G" not in options and not session.is_system:
        session.number("u", gids, "GID")
    uid = session.number("u", uids, "UID")
    if session.is_system:
        if group is None and "G" not in options:
            group = session.group("nogroup")
        return _add_system(session, name, session.free(uids | gids) if uid is None else uid, group)
    own = group is None
    uid = session.free(uids | gids if own else uids) if uid is None else uid
    session.say(f"Adding user `{name}' ...")
    if group is None:
        if find_group(process, name):
            raise _RefusedError(13, f"The group `{name}' already exists.")
        if session.has_levels:
            session.say("Selecting UID/GID from range 1000 to 59999 ...")
        session.say(f"Adding new group `{name}' ({uid}) ...")
        add_group(process, name, uid)
        group = session.group(name)
    elif session.has_levels:
        session.say("Selecting UID from range 1000 to 59999 ...")
    session.say(f"Adding new user `{name}' ({uid}) with group `{group.name} ({group.gid})' ...")
    home = options.get("h") or f"/home/{name}"
    add_user(process, User(name, uid, group.gid, home, options.get("s") or "/bin/bash"), options.get("c") or "")
    if "H" in options:
        session.say(f"Not creating `{home}'.")
    elif process.files.exists(home):
        session.say(f"The home directory `{home}' already exists.  Not touching this directory.")
    else:
        session.say(f"Creating home directory `{home}' ...")
        session.say("Copying files from `/etc/skel' ...")
        make_home(process, home, uid, group.gid, 0o700)
    if find_group(process, "users"):
        session.say(f"Adding new user `{name}' to supplemental / extra groups `users' ...")
        session.say(f"Adding user `{name}' to group `users' ...")
        add_member(process, "users", name)
    if "p" in options or "l" in options:
        return 0
    # There is no terminal from which a password is read.
    process.error(
        "New password: Password change has been aborted.\npasswd: Authentication token manipulation error\n"
    )
    process.error("passwd: password unchanged\n")
    return 0


def _add_system(session: _Session, name: str, uid: int, group: Group | None) -> int:
    process, options = session.process, session.options
    if session.has_levels:
        session.say("Selecting UID from range 100 to 999 ...\n")
    session.say(f"Adding system user `{name}' (UID {uid}) ...")
    if group is None:
        session.say(f"Adding new group `{name}' (GID {uid}) ...")
        add_group(process, name, uid)
        group = session.group(name)
    session.say(f"Adding new user `{name}' (UID {uid}) with group `{group.name}' ...")
    home = options.get("h") or "/nonexistent"
    user = User(name, uid, group.gid, home, options.get("s") or "/usr/sbin/nologin")
    add_user(process, user, options.get("c") or "", ages=":::")
    if "H" in options or "h" not in options:
        session.say(f"Not creating `{home}'.")
    elif process.files.exists(home):
        session.say(f"The home directory `{home}' already exists.  Not touching this directory.")
    else:
        session.say(f"Creating home directory `{home}' ...")
        make_home(process, home, uid, group.gid, 0o755)
    return 0


def _join(session: _Session, user: str, group: str) -> int:
    session.user(user)
    if user in session.group(group).members:
        session.process.error(
            f"{'warn: ' if session.has_levels else ''}The user `{user}' is already a member of `{group}'.\n"
        )
        return 0
    session.say(f"Adding user `{user}' to group `{group}' ...")
    add_member(session.process, group, user)
    session.say_done()
    return 0


def _add_group(session: _Session, names: list[str]) -> int:
    process = session.process
    if len(names) == 2:
        raise _RefusedError(51, "addgroup with two arguments is an unspecified operation.")
    if len(names) != 1:
        raise _RefusedError(51, "Only one or two names allowed.")
    name = names[0]
    _check_name(session, name)
    if find_group(process, name):
        kind = "system group" if session.is_system else "group"
        if session.is_system:
            session.say(f"The {kind} `{name}' already exists as a system group. Exiting.")
            return 0
        raise _RefusedError(11, f"The {kind} `{name}' already exists.")
    gids = {group.gid for group in groups(process.files)}
    if "g" in session.options and session.options.number("g", 0) in gids:
        raise _RefusedError(21, f"The GID `{session.options.get('g')}' is already in use.")
    gid = session.options.number("g", 0) if "g" in session.options else session.free(gids)
    if session.has_levels and "g" not in session.options:
        first, last = (100, 999) if session.is_system else (1000, 59_999)
        session.say(f"Selecting GID from range {first} to {last} ...")
    session.say(f"Adding group `{name}' (GID {gid}) ...")
    add_group(process, name, gid)
    session.say_done()
    return 0


def _delete(session: _Session, names: list[str]) -> int:
    process = session.process
    if not 1 <= len(names) <= 2:
        raise _RefusedError(51, "Only one or two names allowed.")
    if len(names) == 2:
        session.user(names[0])
        if names[0] not in session.group(names[1]).members:
            raise _RefusedError(42, f"The user `{names[0]}' is not a member of group `{names[1]}'.")
        session.say(f"Removing user `{names[0]}' from group `{names[1]}' ...")
        remove_member(process, names[0], group=names[1])
        session.say_done()
        return 0
    user = session.user(names[0])
    if "r" in session.options:
        session.say("Looking for files to backup/remove ...")
        session.say("Removing files ...")
        if process.files.is_dir(user.home):
            process.files.remove_tree(user.home)
    session.say("Removing crontab ..." if session.has_levels else f"Removing user `{user.name}' ...")
    if session.has_levels:
        session.say(f"Removing user `{user.name}' ...")
    remove_user(process, user.name)
    own = find_group(process, user.name)
    if own is not None and not own.members and own.gid not in {other.gid for other in users(process.files)}:
        remove_group(process, user.name)
    session.say_done()
    return 0


def _delete_group(session: _Session, names: list[str]) -> int:
    process = session.process
    if len(names) != 1:
        raise _RefusedError(51, "Only one or two names allowed.")
    group = session.group(names[0])
    user = next((user for user in users(process.files) if user.gid == group.gid), None)
    if user is not None:
        raise _RefusedError(43, f"`{user.name}' still has `{group.name}' as their primary group!")
    if "o" in session.options and group.members:
        raise _RefusedError(44, f"The group `{group.name}' is not empty!")
    session.say(f"Removing group `{group.name}' ...")
    remove_group(process, group.name)
    session.say_done()
    return 0

"""The applets of busybox for users and groups: adduser, addgroup, deluser, delgroup, passwd.

Source: busybox 1.37 `loginutils/adduser.c`, `addgroup.c`, `deluser.c`, `passwd.c`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cnmsim.kernel.credentials import User, groups, users
from cnmsim.userland.accounts.database import (
    add_group,
    add_member,
    add_user,
    find_group,
    find_user,
    make_home,
    members_of,
    password_of,
    read_entries,
    remove_group,
    remove_member,
    remove_user,
    set_password,
)
from cnmsim.userland.busybox.applet import complain, read_options, show_usage
from cnmsim.userland.busybox.system import user_names

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process
    from cnmsim.userland.libc.getopt import Options

_FIRST_SYSTEM_ID, _LAST_SYSTEM_ID, _LAST_ID = 100, 999, 60_000
_ADDUSER = """\
[OPTIONS] USER [GROUP]

Create new user, or add USER to GROUP

\t-h DIR\t\tHome directory
\t-g GECOS\tGECOS field
\t-s SHELL\tLogin shell
\t-G GRP\t\tGroup
\t-S\t\tCreate a system user
\t-D\t\tDon't assign a password
\t-H\t\tDon't create home directory
\t-u UID\t\tUser id
\t-k SKEL\t\tSkeleton directory (/etc/skel)"""
_ADDUSER_LONG = {
    "home=": "h", "gecos=": "g", "shell=": "s", "ingroup=": "G", "disabled-password": "D", "empty-password": "D",
    "system": "S", "no-create-home": "H", "uid=": "u", "skel=": "k",
}  # fmt: skip
_ADDGROUP = """\
[-g GID] [-S] [USER] GROUP

Add a group or add a user to a group

\t-g GID\tGroup id
\t-S\tCreate a system group"""
_CHANGE = """\
[-a ALG] [-dlu] [USER]

Change USER's password (default: current user)

\t-a ALG\tdes,md5,sha256/512 (default sha512)
\t-d\tSet password to ''
\t-l\tLock (disable) account
\t-u\tUnlock (enable) account"""
_NOT_ROOT = "permission denied (are you root?)"


def _bad_character(name: str) -> str:
    """Return busybox's error text if `name` contains a character that is not allowed in names.

    "" for a valid name.
    """
    for position, character in enumerate(name):
        is_last_dollar = character == "$" and 0 < position == len(name) - 1
        is_dash = character == "-" and position > 0
        if not (is_last_dollar or is_dash or re.fullmatch("[A-Za-z0-9_.@]", character)):
            return f"illegal character with code {ord(character)} at position {position}"
    return ""


def _free_id(taken: set[int], *, is_system: bool) -> int | None:
    low, high = (_FIRST_SYSTEM_ID, _LAST_SYSTEM_ID) if is_system else (_LAST_SYSTEM_ID + 1, _LAST_ID)
    return next((number for number in range(low, high + 1) if number not in taken), None)


async def adduser(process: Process) -> int:
    """Run `adduser [-SDH] [-h DIR] [-g GECOS] [-s SHELL] [-G GROUP] [-u UID] USER [GROUP]`."""
    if process.credentials.uid:
        return complain(process, _NOT_ROOT)
    options = read_options(process, "h:g:s:G:DSHu:k:", _ADDUSER, needs_operand=True, long=_ADDUSER_LONG)
    if len(options.operands) > 2:
        return show_usage(process, _ADDUSER)
    name = options.operands[0]
    if len(options.operands) == 2 and not options.values:
        return _join(process, name, options.operands[1])
    problem = _bad_character(name)
    group_name = options.get("G") or ("nogroup" if "S" in options else "")
    group = find_group(process, group_name) if group_name else None
    if not problem and group_name and group is None:
        problem = f"unknown group {group_name}"
    if not problem and find_user(process, name):
        problem = f"user '{name}' in use"
    if problem:
        return complain(process, problem)
    number = _number_of_user(process, options, has_own_group=group is None)
    if isinstance(number, str):
        return complain(process, number)
    if group is None and find_group(process, name):
        return complain(process, f"group '{name}' in use")
    shell = options.get("s") or ("/bin/false" if "S" in options else _own_shell(process))
    user = User(name, number, number if group is None else group.gid, options.get("h") or f"/home/{name}", shell)
    add_user(process, user, options.get("g", "Linux User,,,") or "")
    if group is None:
        add_group(process, name, number)
    else:
        add_member(process, group_name, name)
    if "H" not in options:
        make_home(process, user.home, user.uid, user.gid, 0o2755)
    if "D" in options or "S" in options:
        return 0
    process.write(f"Changing password for {name}\nNew password: ")
    process.error(f"passwd: password for {name} is unchanged\n")
    return 1


def _number_of_user(process: Process, options: Options, *, has_own_group: bool) -> int | str:
    """Return the id of a new user or, if the requested id is in use or no id is free, the text of the error.

    With `has_own_group` the user gets a group with the same id, so that ids of groups count as in use, too.
    """
    taken = {user.uid for user in users(process.files)}
    if has_own_group:
        taken |= {group.gid for group in groups(process.files)}
    if "u" not in options:
        number = _free_id(taken, is_system="S" in options)
        return "no uids left" if number is None else number
    number = options.number("u", 0, low=0, high=_LAST_ID)
    return f"uid '{number}' in use" if number in taken else number


def _own_shell(process: Process) -> str:
    own = next((user for user in users(process.files) if user.uid == process.credentials.uid), None)
    return process.env.get("SHELL") or (own.shell if own else "") or "/bin/sh"


def _join(process: Process, user: str, group: str) -> int:
    found = find_group(process, group)
    problem = "" if find_user(process, user) else f"unknown user {user}"
    problem = problem or ("" if found else f"unknown group {group}")
    if problem:
        # busybox's adduser runs addgroup for this.
        process.error(f"addgroup: {problem}\n")
        return 1
    add_member(process, group, user)
    return 0


async def addgroup(process: Process) -> int:
    """Run `addgroup [-g GID] [-S] GROUP` or `addgroup USER GROUP`."""
    if process.credentials.uid:
        return complain(process, _NOT_ROOT)
    options = read_options(process, "g:S", _ADDGROUP, needs_operand=True, long={"gid=": "g", "system": "S"})
    if len(options.operands) > 2 or (len(options.operands) == 2 and "g" in options):
        return show_usage(process, _ADDGROUP)
    if len(options.operands) == 2:
        return _join(process, *options.operands)
    name = options.operands[0]
    problem = _bad_character(name)
    if problem:
        return complain(process, problem)
    wanted = options.number("g", 0, low=0, high=_LAST_ID) if "g" in options else None
    if find_group(process, name):
        return complain(process, f"group '{name}' in use")
    taken = {group.gid for group in groups(process.files)}
    if wanted in taken:
        return complain(process, f"gid '{wanted}' in use")
    number = wanted if wanted is not None else _free_id(taken, is_system="S" in options)
    if number is None:
        return complain(process, "no gids left")
    add_group(process, name, number)
    return 0


async def deluser(process: Process) -> int:
    """Run `deluser [--remove-home] USER`."""
    synopsis = "[--remove-home] USER\n\nDelete USER from the system"
    options = read_options(process, "", synopsis, long={"remove-home": "r"})
    if process.credentials.uid:
        return complain(process, _NOT_ROOT)
    if len(options.operands) != 1:
        return show_usage(process, synopsis)
    name = options.operands[0]
    user = find_user(process, name)
    if user is None:
        return complain(process, f"unknown user {name}")
    if "r" in options and process.files.is_dir(user.home):
        process.files.remove_tree(user.home)
    remove_user(process, name)
    own = find_group(process, name)
    if own is None:
        return 0
    return _remove_group(process, name, own.gid)


async def delgroup(process: Process) -> int:
    """Run `delgroup GROUP` or `delgroup USER GROUP`."""
    words = process.argv[1:]
    if process.credentials.uid:
        return complain(process, _NOT_ROOT)
    if not 1 <= len(words) <= 2:
        return show_usage(process, "[USER] GROUP\n\nDelete group GROUP from the system or user USER from group GROUP")
    name = words[-1]
    group = find_group(process, name)
    if group is None:
        return complain(process, f"unknown group {name}")
    if len(words) == 1:
        return _remove_group(process, name, group.gid)
    if not any(words[0] in members_of(fields) for fields in read_entries(process, "/etc/group") if fields[0] == name):
        complain(process, f"can't find {words[0]} in /etc/group")
        return 0
    remove_member(process, words[0], group=name)
    return 0


def _remove_group(process: Process, name: str, gid: int) -> int:
    user = next((user for user in users(process.files) if user.gid == gid), None)
    if user is not None:
        return complain(process, f"'{user.name}' still has '{name}' as their primary group!")
    remove_group(process, name)
    return 0


async def passwd(process: Process) -> int:
    """Run `passwd [-dlu] [USER]`.

    Without an option it fails, as there is no terminal from which to read a password.
    """
    options = read_options(process, "a:lud", _CHANGE)
    uid = process.credentials.uid
    letter = next((letter for letter in "lud" if letter in options), "")
    if letter and (uid or not options.operands):
        return show_usage(process, _CHANGE)
    own = user_names(process).get(uid)
    if own is None:
        return complain(process, f"unknown uid {uid}")
    name = options.operands[0] if options.operands else own
    user = find_user(process, name)
    if user is None:
        return complain(process, f"unknown user {name}")
    if uid not in (0, user.uid):
        return complain(process, f"{own} can't change password for {name}")
    if not letter:
        process.write(f"Changing password for {name}\nNew password: ")
        return complain(process, f"password for {name} is unchanged")
    password = password_of(process, name)
    if (letter == "l") == password.startswith("!") and letter != "d":
        return complain(process, f"password for {name} is already {'un' if letter == 'u' else ''}locked")
    set_password(process, name, {"l": f"!{password}", "u": password[1:], "d": ""}[letter])
    process.error(f"passwd: password for {name} changed by {own}\n")
    return 0

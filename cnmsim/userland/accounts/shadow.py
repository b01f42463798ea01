"""useradd, userdel, usermod, groupadd, groupmod, groupdel and passwd of Debian.

Source: shadow 4.17.4 `src/useradd.c`, `userdel.c`, `usermod.c`, `groupadd.c`, `groupmod.c`, `groupdel.c`.
The messages were compared with those of Debian 13.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from cnmsim.digits import is_number
from cnmsim.kernel.credentials import Group, User, groups, users
from cnmsim.userland.accounts.database import (
    GROUP,
    GSHADOW,
    PASSWD,
    SHADOW,
    add_entry,
    add_group,
    add_member,
    add_user,
    change_entry,
    find_group,
    find_user,
    make_home,
    members_of,
    password_of,
    read_entries,
    remove_entry,
    remove_group,
    remove_member,
    remove_user,
    set_field,
    set_password,
)
from cnmsim.userland.busybox.system import user_names
from cnmsim.userland.invocation import find_program, invoked_name
from cnmsim.userland.libc.getopt import Options, UsageError, getopt

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process

_FIRST_ID, _LAST_ID, _LAST_SYSTEM_ID, _FIRST_SYSTEM_ID = 1000, 60_000, 999, 101
_USERADD = {
    "base-dir=": "b", "comment=": "c", "home-dir=": "d", "home=": "d", "gid=": "g", "groups=": "G", "skel=": "k",
    "create-home": "m", "no-create-home": "M", "no-user-group": "N", "non-unique": "o", "password=": "p",
    "system": "r", "shell=": "s", "uid=": "u", "user-group": "U", "no-log-init": "l", "expiredate=": "e",
    "inactive=": "f", "key=": "K", "badname": "badname",
}  # fmt: skip
_USERMOD = {
    "append": "a", "comment=": "c", "home=": "d", "gid=": "g", "groups=": "G", "login=": "l", "lock": "L",
    "move-home": "m", "non-unique": "o", "password=": "p", "remove": "r", "shell=": "s", "uid=": "u", "unlock": "U",
}  # fmt: skip
_GROUPADD = {
    "force": "f",
    "gid=": "g",
    "non-unique": "o",
    "password=": "p",
    "system": "r",
    "key=": "K",
    "users=": "U",
}


_GROUPMOD = {
    "append": "a", "gid=": "g", "new-name=": "n", "non-unique": "o", "password=": "p", "users=": "U",
}  # fmt: skip


#: How crypt(5)'s hashes begin, by the names of methods.
_HASH_PREFIXES = {"MD5": "$1$", "SHA256": "$5$", "SHA512": "$6$", "YESCRYPT": "$y$j9T$"}


class _ProblemError(Exception):
    """Raised if a program refuses its arguments. `status` is the exit status, the exception's text the error text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def _say(process: Process, text: str, status: int = 0) -> int:
    process.error(f"{invoked_name(process)}: {text}\n")
    return status


def _parse(process: Process, short: str, long: Mapping[str, str], operand: str) -> Options | None:
    """Parse the command line. If it is invalid, print the first line of the usage and return `None`."""
    try:
        options = getopt(process.argv[1:], short, long)
        problem = ""
    except UsageError as error:
        options, problem = Options(), str(error)
    if problem:
        _say(process, problem)
    if problem or len(options.operands) != 1:
        process.error(f"Usage: {invoked_name(process)} [options] {operand}\n")
        return None
    return options


def _run(
    process: Process,
    short: str,
    long: Mapping[str, str],
    operand: str,
    body: Callable[[Process, Options], int],
) -> int:
    """Parse the command line, run `body` with the process and its options, and return the exit status.

    If the parser or `body` refuses the arguments, print the error.
    """
    options = _parse(process, short, long, operand)
    if options is None:
        return 2
    try:
        return body(process, options)
    except _ProblemError as problem:
        return _say(process, str(problem), problem.status)


def _refuse_others(process: Process, file: str) -> bool:
    """Return True, and print that only root may change `file`, if the process does not belong to root; else False."""
    if not process.credentials.uid:
        return False
    _say(process, "Permission denied.")
    _say(process, f"cannot lock {file}; try again later.")
    return True


def _require_user(process: Process, name: str) -> User:
    user = find_user(process, name)
    if user is None:
        raise _ProblemError(6, f"user '{name}' does not exist")
    return user


def _require_group(process: Process, name: str) -> Group:
    number = int(name) if is_number(name) else None
    group = next((g for g in groups(process.files) if g.name == name or g.gid == number), None)
    if group is None:
        raise _ProblemError(6, f"group '{name}' does not exist")
    return group


def _free_id(taken: Iterable[int], *, is_system: bool) -> int:
    """Return the id for a new user or group: one more than the highest id in use.

    For a system user or group (`is_system`) it is one less than the lowest system id in use.
    """
    if is_system:
        return min((n for n in taken if _FIRST_SYSTEM_ID <= n <= _LAST_SYSTEM_ID), default=_LAST_SYSTEM_ID + 1) - 1
    return max((n for n in taken if _FIRST_ID <= n <= _LAST_ID), default=_FIRST_ID - 1) + 1


def _id_of(options: Options, letter: str, kind: str, taken: set[int]) -> int | None:
    text = options.get(letter)
    if text is None:
        return None
    if not is_number(text):
        raise _ProblemError(3, f"invalid {kind.lower()} ID '{text}'")
    if int(text) in taken and "o" not in options:
        is_user = kind == "user"
        raise _ProblemError(4, f"UID {text} is not unique" if is_user else f"GID '{text}' already exists")
    return int(text)


def _warn_of_shell(process: Process, options: Options) -> None:
    shell = options.get("s")
    if shell and find_program(process, shell) is None and shell.rpartition("/")[2] != "nologin":
        _say(process, f"Warning: missing or non-executable shell '{shell}'")


def _is_valid_name(name: str) -> bool:
    return (
        bool(re.fullmatch(r"[A-Za-z0-9_.][A-Za-z0-9_.-]*\$?", name))
        and not name.isdigit()
        and name not in (".", "..")
    )


async def useradd(process: Process) -> int:
    """Run `useradd [-mMrNU] [-u UID] [-g GROUP] [-G GROUPS] [-d DIR] [-s SHELL] [-c COMMENT] USER`."""
    return _run(process, "b:c:d:g:G:k:mMNop:rs:u:Ule:f:K:", _USERADD, "LOGIN", _add)


def _add(process: Process, options: Options) -> int:
    name, is_system = options.operands[0], "r" in options
    uids = {user.uid for user in users(process.files)}
    _warn_of_shell(process, options)
    gids = {group.gid for group in groups(process.files)}
    if "u" in options and not is_number(options.get("u") or ""):
        raise _ProblemError(3, f"invalid user ID '{options.get('u')}'")
    primary = _require_group(process, options.get("g") or "") if "g" in options else None
    joined = [_require_group(process, group) for group in (options.get("G") or "").split(",") if group]
    if not _is_valid_name(name) and "badname" not in options:
        raise _ProblemError(19, f"invalid user name '{name}': use --badname to ignore")
    if find_user(process, name):
        raise _ProblemError(9, f"user '{name}' already exists")
    has_group = primary is None and "N" not in options
    if has_group and find_group(process, name):
        raise _ProblemError(9, f"group {name} exists - if you want to add this user to that group, use -g.")
    if _refuse_others(process, PASSWD):
        return 1
    given = _id_of(options, "u", "user", uids)
    number = _free_id(uids, is_system=is_system) if given is None else given
    if primary is not None:
        gid = primary.gid
    elif has_group:
        gid = number if number not in gids else _free_id(gids, is_system=is_system)
    else:
        gid = 100
    home = options.get("d") or f"{options.get('b') or '/home'}/{name}"
    user = User(name, number, gid, home, options.get("s") or "/bin/sh")
    add_user(process, user, options.get("c") or "", ages="::" if is_system else "0:99999:7")
    if "p" in options:
        set_password(process, name, options.get("p") or "")
    if has_group:
        add_group(process, name, gid)
    for group in joined:
        add_member(process, group.name, name)
    if "m" in options and "M" not in options:
        if process.files.exists(home):
            _say(process, f"warning: the home directory {home} already exists.")
            _say(process, "Not copying any file from skel directory into it.")
        else:
            make_home(process, home, number, gid, 0o755)
    return 0


async def userdel(process: Process) -> int:
    """Run `userdel [-r] [-f] USER`."""
    return _run(process, "fr", {"force": "f", "remove": "r"}, "LOGIN", _delete)


def _delete(process: Process, options: Options) -> int:
    name = options.operands[0]
    user = _require_user(process, name)
    if _refuse_others(process, PASSWD):
        return 1
    remove_user(process, name)
    own = find_group(process, name)
    if own is not None and not own.members and own.gid not in {other.gid for other in users(process.files)}:
        remove_group(process, name)
    if "r" in options:
        _say(process, f"{name} mail spool (/var/mail/{name}) not found")
        if process.files.is_dir(user.home):
            process.files.remove_tree(user.home)
        else:
            _say(process, f"{name} home directory ({user.home}) not found")
    return 0


async def usermod(process: Process) -> int:
    """Run `usermod [-a -G GROUPS] [-g GROUP] [-u UID] [-d DIR [-m]] [-s SHELL] [-l NAME] [-L|-U] USER`."""
    return _run(process, "ac:d:g:G:l:Lmop:rs:u:U", _USERMOD, "LOGIN", _modify)


def _modify(process: Process, options: Options) -> int:
    name = options.operands[0]
    user = _require_user(process, name)
    if not options.values:
        _say(process, "no options")
        process.error("Usage: usermod [options] LOGIN\n")
        return 2
    primary = _require_group(process, options.get("g") or "") if "g" in options else None
    joined = [_require_group(process, group) for group in (options.get("G") or "").split(",") if group]
    uid = _id_of(options, "u", "user", {other.uid for other in users(process.files)} - {user.uid})
    _warn_of_shell(process, options)
    renamed = options.get("l")
    if renamed and find_user(process, renamed):
        raise _ProblemError(9, f"user '{renamed}' already exists")
    if _refuse_others(process, PASSWD):
        return 1
    changes = {2: uid, 3: None if primary is None else primary.gid, 4: options.get("c"), 5: options.get("d"),
               6: options.get("s")}  # fmt: skip
    for number, value in changes.items():
        if value is not None:
            set_field(process, PASSWD, name, number, str(value))
    home = options.get("d") or user.home
    if "m" in options and home != user.home and process.files.is_dir(user.home):
        process.files.rename(user.home, home)
    if uid is not None and process.files.is_dir(home):
        process.files.change(home, uid=uid)
    if "G" in options:
        if "a" not in options and "r" not in options:
            remove_member(process, name)
        for group in joined:
            if "r" in options:
                remove_member(process, name, group=group.name)
            else:
                add_member(process, group.name, name)
    if "p" in options:
        set_password(process, name, options.get("p") or "")
    password = password_of(process, name)
    if "L" in options and not password.startswith("!"):
        set_password(process, name, f"!{password}")
    elif "U" in options and password == "!":  # noqa: S105 - the mark of a locked account
        _say(process, "unlocking the user's password would result in a passwordless account.")
        process.error("You should set a password with usermod -p to unlock this user's password.\n")
    elif "U" in options and password.startswith("!"):
        set_password(process, name, password[1:])
    if renamed:
        _rename(process, name, renamed)
    return 0


def _rename(process: Process, name: str, renamed: str) -> None:
    def rename_member(fields: list[str]) -> None:
        fields[-1] = ",".join(renamed if member == name else member for member in members_of(fields))

    for path in (PASSWD, SHADOW):
        set_field(process, path, name, 0, renamed)
    for group in groups(process.files):
        if name in group.members:
            for path in (GROUP, GSHADOW):
                change_entry(process, path, group.name, rename_member)


async def groupadd(process: Process) -> int:
    """Run `groupadd [-f] [-r] [-g GID] GROUP`."""
    return _run(process, "fg:op:rK:U:", _GROUPADD, "GROUP", _add_group)


def _add_group(process: Process, options: Options) -> int:
    name = options.operands[0]
    gids = {group.gid for group in groups(process.files)}
    if not _is_valid_name(name):
        raise _ProblemError(3, f"'{name}' is not a valid group name")
    if find_group(process, name):
        if "f" in options:
            return 0
        raise _ProblemError(9, f"group '{name}' already exists")
    given = _id_of(options, "g", "group", set() if "f" in options else gids)
    if _refuse_others(process, GROUP):
        return 1
    add_group(process, name, _free_id(gids, is_system="r" in options) if given is None or given in gids else given)
    return 0


async def groupmod(process: Process) -> int:
    """Run `groupmod [-g GID] [-n NAME] [-a] [-U USERS] GROUP`."""
    return _run(process, "ag:n:op:U:", _GROUPMOD, "GROUP", _modify_group)


def _modify_group(process: Process, options: Options) -> int:
    name = options.operands[0]
    group = find_group(process, name)
    if group is None:
        raise _ProblemError(6, f"group '{name}' does not exist")
    gid = _id_of(options, "g", "group", {other.gid for other in groups(process.files)} - {group.gid})
    renamed = options.get("n")
    if renamed is not None and not _is_valid_name(renamed):
        raise _ProblemError(3, f"invalid group name '{renamed}'")
    if renamed and renamed != name and find_group(process, renamed):
        raise _ProblemError(9, f"group '{renamed}' already exists")
    if _refuse_others(process, GROUP):
        return 1
    members = [user for user in (options.get("U") or "").split(",") if user]
    unknown = next((user for user in members if find_user(process, user) is None), None)
    if unknown is not None:
        process.error(f"Invalid member username {unknown}\n")
        return 10
    if "U" in options:
        kept = group.members if "a" in options else ()
        for path in (GROUP, GSHADOW):
            set_field(process, path, name, 3, ",".join(dict.fromkeys((*kept, *members))))
    if gid is not None:
        set_field(process, GROUP, name, 2, str(gid))
        for user in users(process.files):
            if user.gid == group.gid:
                set_field(process, PASSWD, user.name, 3, str(gid))
    if renamed:
        for path in (GROUP, GSHADOW):
            fields = next((fields for fields in read_entries(process, path) if fields[0] == name), None)
            remove_entry(process, path, name)
            if fields is not None:
                add_entry(process, path, renamed, *fields[1:])
    return 0


async def chpasswd(process: Process) -> int:
    """Run `chpasswd [-e]`: set passwords from lines `USER:PASSWORD` on stdin.

    Without `-e` the stored hash is opaque: it depends on the password and has a prefix of crypt(5), but no simulated
    program verifies it.
    """
    long = {"encrypted": "e", "crypt-method=": "c", "md5": "m", "sha-rounds=": "s"}
    options = getopt(process.argv[1:], "ec:ms:", long)
    method = "MD5" if "m" in options else options.get("c") or "YESCRYPT"
    if method not in _HASH_PREFIXES:
        _say(process, f"unsupported crypt method: {method}")
        process.error("Usage: chpasswd [options]\n")
        return 2
    data, status = b"", 0
    while chunk := await process.stdin.read():
        data += chunk
    for number, line in enumerate(data.decode(errors="replace").splitlines(), 1):
        name, colon, password = line.partition(":")
        if not colon:
            status = _say(process, f"line {number}: missing new password", 1)
        elif find_user(process, name) is None or not password or process.credentials.uid:
            if password and process.credentials.uid:
                process.write(f"Changing password for {name}.\n")
                process.error("The password has not been changed.\n" * 3)
            process.error("" if password else "No password has been supplied.\n" * 3)
            process.error(
                f"chpasswd: (user {name}) pam_chauthtok() failed, error:\nAuthentication token manipulation error\n"
            )
            status = _say(process, f"(line {number}, user {name}) password not changed", 1)
        else:
            set_password(process, name, password if "e" in options else _opaque_hash(name, password, method))
    return status


def _opaque_hash(name: str, password: str, method: str) -> str:
    digest = base64.b64encode(hashlib.sha512(f"{name}:{password}".encode()).digest(), b"./").decode()
    return f"{_HASH_PREFIXES[method]}{digest[:22]}${digest[22:65]}"


async def groupdel(process: Process) -> int:
    """Run `groupdel GROUP`."""
    return _run(process, "f", {"force": "f"}, "GROUP", _delete_group)


def _delete_group(process: Process, options: Options) -> int:
    name = options.operands[0]
    group = find_group(process, name)
    if group is None:
        raise _ProblemError(6, f"group '{name}' does not exist")
    user = next((user for user in users(process.files) if user.gid == group.gid), None)
    if user is not None and "f" not in options:
        raise _ProblemError(8, f"cannot remove the primary group of user '{user.name}'")
    if _refuse_others(process, GROUP):
        return 1
    remove_group(process, name)
    return 0


async def passwd(process: Process) -> int:
    """Run `passwd -d|-l|-u|-S USER`. Without an option, passwd fails, because there is no terminal."""
    options = getopt(process.argv[1:], "dluS", {"delete": "d", "lock": "l", "unlock": "u", "status": "S"})
    own = user_names(process).get(process.credentials.uid, "")
    name = options.operands[0] if options.operands else own
    if find_user(process, name) is None:
        return _say(process, f"user '{name}' does not exist", 1)
    if process.credentials.uid and (options.values or name != own):
        return _say(process, "Permission denied.", 1)
    if not options.values:
        process.write("New password: ")
        process.error("passwd: Authentication token manipulation error\npasswd: password unchanged\n")
        return 10
    password = password_of(process, name)
    if "S" in options:
        state = "NP" if not password else "L" if password[0] in "!*" else "P"
        process.write(f"{name} {state}\n")
        return 0
    plain = password.removeprefix("!")
    set_password(process, name, "" if "d" in options else f"!{plain}" if "l" in options else plain)
    process.write("passwd: password changed.\n")
    return 0

"""Edit the files of users and groups: passwd(5), group(5), shadow(5) and gshadow(5)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from cnmsim.kernel.credentials import Credentials, Group, User, groups, users

if TYPE_CHECKING:
    from cnmsim.kernel.files import FileSystem
    from cnmsim.kernel.process import Process

PASSWD, GROUP, SHADOW, GSHADOW = "/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow"
_SECONDS_PER_DAY = 86_400


def find_user(process: Process, name: str) -> User | None:
    """Return the user with this name, `None` if there is none."""
    return next((user for user in users(process.files) if user.name == name), None)


def find_group(process: Process, name: str) -> Group | None:
    """Return the group with this name, `None` if there is none."""
    return next((group for group in groups(process.files) if group.name == name), None)


def credentials_of(process: Process, user: User) -> Credentials:
    """Return the credentials that `process` sets for a new process of `user` (initgroups(3)).

    Only root has effective capabilities.
    """
    others = (group.gid for group in groups(process.files) if user.name in group.members)
    bounding = process.credentials.bounding
    own_groups = tuple(dict.fromkeys((user.gid, *others)))
    return Credentials(user.uid, user.gid, own_groups, 0 if user.uid else bounding, bounding)


def today(process: Process) -> int:
    """Return the present day in the lab as shadow(5) counts it: days since 1970-01-01."""
    return process.clock.unix_s // _SECONDS_PER_DAY


def read_entries(process: Process, path: str) -> list[list[str]]:
    """Return the fields, separated by ":", of each line of a file. The list is empty if the file does not exist."""
    return _entries_of(process.files, path)


def _entries_of(files: FileSystem, path: str) -> list[list[str]]:
    if not files.exists(path):
        return []
    return [line.split(":") for line in files.read(path).decode(errors="surrogateescape").splitlines()]


def write_entries(process: Process, path: str, entries: Iterable[Sequence[str]]) -> None:
    """Replace the lines of a file, and keep the previous content as the backup `PATH-`.

    A file that does not exist is not created.
    """
    files = process.files
    if not files.exists(path):
        return
    files.put(f"{path}-", files.read(path), files.inode(path).mode & 0o777)
    text = "".join(":".join(fields) + "\n" for fields in entries)
    files.write(path, text.encode(errors="surrogateescape"))


def add_entry(process: Process, path: str, *fields: str) -> None:
    """Append a line with these fields, separated by ":", to a file, if the file exists."""
    write_entries(process, path, [*read_entries(process, path), fields])


def remove_entry(process: Process, path: str, name: str) -> None:
    """Remove the lines of a file whose first field is `name`."""
    write_entries(process, path, [fields for fields in read_entries(process, path) if fields[0] != name])


def change_entry(process: Process, path: str, name: str, change: Callable[[list[str]], None]) -> None:
    """Apply `change` to the list of fields of each line whose first field is `name`, and write the file."""
    entries = read_entries(process, path)
    for fields in entries:
        if fields[0] == name:
            change(fields)
    write_entries(process, path, entries)


def set_field(process: Process, path: str, name: str, number: int, value: str) -> None:
    """Set field `number`, counted from 0, of the line whose first field is `name`."""

    def change(fields: list[str]) -> None:
        fields[number : number + 1] = [value]

    change_entry(process, path, name, change)


def members_of(fields: list[str]) -> list[str]:
    """Return the members in a line of /etc/group or /etc/gshadow."""
    return [name for name in fields[-1].split(",") if name]


def add_member(process: Process, group: str, user: str) -> None:
    """Add a user to a group. Does nothing if the user is already a member."""

    def change(fields: list[str]) -> None:
        fields[-1] = ",".join(dict.fromkeys((*members_of(fields), user)))

    for path in (GROUP, GSHADOW):
        change_entry(process, path, group, change)


def remove_member(process: Process, user: str, *, group: str = "") -> None:
    """Remove a user from `group`, or from all groups if it is ""."""
    for path in (GROUP, GSHADOW):
        entries = read_entries(process, path)
        for fields in entries:
            if group in ("", fields[0]) and user in members_of(fields):
                fields[-1] = ",".join(name for name in members_of(fields) if name != user)
        write_entries(process, path, entries)


def add_user(process: Process, user: User, comment: str, *, ages: str = "0:99999:7") -> None:
    """Add a user without a valid password.

    `ages` are fields 4 to 6 of the line in /etc/shadow: the minimum and maximum age of the password and the warning
    period, in days.
    """
    add_entry(process, PASSWD, user.name, "x", str(user.uid), str(user.gid), comment, user.home, user.shell)
    add_entry(process, SHADOW, user.name, "!", str(today(process)), *ages.split(":"), "", "", "")


def add_group(process: Process, name: str, gid: int) -> None:
    """Add a group without members."""
    add_entry(process, GROUP, name, "x", str(gid), "")
    add_entry(process, GSHADOW, name, "!", "", "")


def remove_user(process: Process, name: str) -> None:
    """Remove a user, also from all groups."""
    for path in (PASSWD, SHADOW):
        remove_entry(process, path, name)
    remove_member(process, name)


def remove_group(process: Process, name: str) -> None:
    """Remove a group."""
    for path in (GROUP, GSHADOW):
        remove_entry(process, path, name)


def set_password(process: Process, name: str, encrypted: str) -> None:
    """Set the encrypted password of a user, "" for none."""
    set_field(process, SHADOW, name, 1, encrypted)
    set_field(process, SHADOW, name, 2, str(today(process)))


def password_of(process: Process, name: str) -> str:
    """Return the encrypted password of a user, "" for none, "*" for a user who is not in /etc/shadow.

    The file is read with the permissions of root, which the programs that check passwords have (set-user-ID).
    """
    return next((fields[1] for fields in _entries_of(process.files.base, SHADOW) if fields[0] == name), "*")


def make_home(process: Process, path: str, uid: int, gid: int, mode: int) -> None:
    """Create a user's home directory, with the files of /etc/skel if there are any."""
    files = process.files
    files.makedirs(path)
    for name in files.listdir("/etc/skel") if files.is_dir("/etc/skel") else ():
        if not files.is_dir(f"/etc/skel/{name}"):
            files.put(f"{path}/{name}", files.read(f"/etc/skel/{name}"))
            files.change(f"{path}/{name}", uid=uid, gid=gid)
    files.change(path, mode=mode, uid=uid, gid=gid)

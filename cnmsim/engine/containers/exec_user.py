"""The user of a container's process: `USER` or `USER:GROUP`, by name or number, looked up in the container's files.

Source: moby/sys `user/user.go` (GetExecUser), moby `daemon/oci_linux.go` (getUser).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import evolve

from cnmsim.errors import InvalidParameter, SystemFault
from cnmsim.gostrconv import atoi
from cnmsim.kernel.capabilities import ALL, NAMES, mask
from cnmsim.kernel.credentials import Credentials, groups, users
from cnmsim.kernel.files import FileSystem
from cnmsim.libnetwork.profile import Profile

_LAST_ID = 2**31 - 1
#: Source: moby `oci/caps/defaults.go`.
_DEFAULT_CAPABILITIES = mask(
    ["CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP",
     "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE"]
)  # fmt: skip


def find_user(spec: str, files: FileSystem) -> Credentials:
    """Return the credentials of the user that `USER` or `USER:GROUP` names; "" means root.

    Names are looked up in the container's `files`; a number needs no entry in /etc/passwd. Raises `SystemFault` for a
    name without an entry, and for a number that is out of range.
    """
    user_name, _, group_name = spec.partition(":")
    uid = _number(user_name) if user_name else 0
    user = next(
        (entry for entry in users(files) if (entry.name == user_name if uid is None else entry.uid == uid)), None
    )
    if user is not None:
        uid = user.uid
    elif uid is None:
        raise SystemFault(f"unable to find user {user_name}: no matching entries in passwd file")
    gid = _group(group_name, files) if group_name else user.gid if user is not None else 0
    if gid is None:
        raise SystemFault(f"unable to find group {group_name}: no matching entries in group file")
    others = () if group_name or user is None else (g.gid for g in groups(files) if user.name in g.members)
    # The primary group is also a supplementary group (moby since v20.10.18), once.
    return Credentials(uid, gid, tuple(dict.fromkeys((gid, *others))))


def with_groups(profile: Profile, user: Credentials, names: Sequence[str], files: FileSystem) -> Credentials:
    """Return `user` with further supplementary groups, as `--group-add` requests.

    An item of `names` is a group's name or number. Raises `SystemFault` for a name without an entry in /etc/group,
    and for a number that is out of range.
    """
    added: list[int] = []
    for name in names:
        gid = _group(name, files)
        if gid is None:
            raise SystemFault(profile.unknown_group_text.format(name=name))
        added.append(gid)
    # The kernel sorts the supplementary groups (groups_sort).
    return evolve(user, groups=tuple(sorted({*user.groups, *added}))) if added else user


def with_capabilities(
    user: Credentials, host_config: Mapping[str, Any], *, is_privileged: bool = False
) -> Credentials:
    """Return `user` with the capabilities that the HostConfig grants, or with all if `is_privileged`.

    Only root has them in effect; for other users they are the bounding set. Source: moby `oci/caps/utils.go`
    (TweakCapabilities), docker-v29.7.2.
    """
    added, dropped = ({_capability(name) for name in host_config.get(key) or ()} for key in ("CapAdd", "CapDrop"))
    if is_privileged or host_config.get("Privileged"):
        bounding = ALL
    elif "ALL" in added:
        bounding = ALL & ~mask(dropped - {"ALL"})
    elif "ALL" in dropped:
        bounding = mask(added)
    else:
        bounding = (_DEFAULT_CAPABILITIES & ~mask(dropped)) | mask(added)
    return evolve(user, capabilities=bounding if user.uid == 0 else 0, bounding=bounding)


def check_capabilities(host_config: Mapping[str, Any]) -> None:
    """Check the names of capabilities in CapAdd and CapDrop. Raises `InvalidParameter` for an unknown one."""
    for key in ("CapAdd", "CapDrop"):
        for name in host_config.get(key) or ():
            if _capability(name) not in (*NAMES, "ALL"):
                raise InvalidParameter(f'invalid {key}: unknown capability: "CAP_{_capability(name)}"')


def _capability(name: str) -> str:
    return name.upper().removeprefix("CAP_")


def home_of(user: Credentials, files: FileSystem) -> str:
    """Return a user's home directory from /etc/passwd; the root directory if there is no entry, as runc does."""
    return next((entry.home for entry in users(files) if entry.uid == user.uid and entry.home), "/")


def _group(name: str, files: FileSystem) -> int | None:
    """Return the number of the group `name`, a name or number; `None` for a name without an entry in /etc/group."""
    gid = _number(name)
    group = next(
        (entry for entry in groups(files) if (entry.name == name if gid is None else entry.gid == gid)), None
    )
    return gid if group is None else group.gid


def _number(text: str) -> int | None:
    try:
        number = atoi(text)
    except ValueError:
        return None
    if not 0 <= number <= _LAST_ID:
        raise SystemFault(f"uids and gids must be in range 0-{_LAST_ID}")
    return number

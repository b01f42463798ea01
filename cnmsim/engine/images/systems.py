"""The distributions on which images are based: their files in /etc, their programs, and their names in tags.

`systems.toml` holds the text of the files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

#: Words in tags that name another distribution than the usual one of an image.
_WORDS = {
    "alpine": "alpine", "trixie": "debian", "bookworm": "debian:12", "bullseye": "debian:11", "noble": "ubuntu",
    "jammy": "ubuntu:22", "focal": "ubuntu:20",
}  # fmt: skip
_MINIMAL = {
    "passwd": "root:x:0:0:root:/root:/bin/sh\n{}nobody:x:65534:65534:nobody:/:/sbin/nologin\n",
    "group": "root:x:0:\n{}nobody:x:65534:\n",
}
_ALPINE = "3.22.1"


@cache
def load_toml(name: str) -> dict[str, Any]:
    """Return the content of a data file of this package. Callers must not change it."""
    import tomllib

    return tomllib.loads((files("cnmsim.engine.images") / name).read_text(encoding="utf-8"))


def system_of(usual: str, tag: str) -> str:
    """Return the distribution on which an image with the tag `tag` is based, e.g. "debian:12".

    This is `usual`, the image's default. If that is Debian or Ubuntu, a word in `tag`, such as `bookworm` or
    `alpine`, takes precedence.
    """
    if usual.partition(":")[0] not in ("debian", "ubuntu"):
        return usual
    return next((system for word, system in _WORDS.items() if word in tag), usual)


@cache
def _entry(system: str) -> dict[str, Any]:
    document = load_toml("systems.toml")
    entry: dict[str, Any] = document.get(system, {})
    while "like" in entry:
        entry = {**document[entry["like"]], **{name: value for name, value in entry.items() if name != "like"}}
    return entry


def programs_of_system(system: str) -> tuple[str, ...]:
    """Return the names of a distribution's programs, besides those that the image's catalogue entry lists."""
    return tuple(_entry(system).get("programs", ()))


def version_of(versions: tuple[str, ...], tag: str) -> str:
    """Return the version that an image's tag names, such as "1.27.5" for `1.27` or `1.27-alpine`.

    `versions` are the known versions, newest first. A tag without a number names the first of them, a tag with a
    number the first that begins with it. A number with which none begins is returned itself.
    """
    match = re.match(r"v?([0-9]+(?:\.[0-9]+)*)", tag)
    if match is None:
        return versions[0] if versions else ""
    number = match[1]
    return next((version for version in versions if f"{version}.".startswith(f"{number}.")), number)


def release_files(system: str, tag: str, version: str) -> tuple[tuple[str, str], ...]:
    """Return (path, content) of /etc/os-release, and for Alpine of /etc/alpine-release, too.

    Alpine's release is the one in a tag such as `alpine3.19`, else `version`, else a default. `version` is "" for an
    image whose version is not that of Alpine.
    """
    text: str = _entry(system or "alpine")["release"]
    if not (system or "alpine").startswith(("alpine", "busybox")):
        return (("/etc/os-release", text),)
    match = re.search(r"alpine([0-9]+\.[0-9]+)", tag)
    number = f"{match[1]}.0" if match else version or _ALPINE
    branch = ".".join(number.split(".")[:2])
    release = ("/etc/os-release", text.replace("{version}", number).replace("{branch}", branch))
    return (release, ("/etc/alpine-release", f"{number}\n")) if system.startswith("alpine") else (release,)


def passwd_text(system: str, accounts: Mapping[str, int | str]) -> str:
    """Return the content of /etc/passwd: the users of the distribution `system`, and those in `accounts`.

    `accounts` maps a user's name to a number, or to the fields of passwd(5) from the number on.
    """
    entry = _entry(system)
    return _filled(entry, "passwd", "".join(
        f"{name}:x:{number}:{number}::/home/{name}:/bin/sh\n" if isinstance(number, int) else f"{name}:x:{number}\n"
        for name, number in _accounts(entry, accounts)
    ))  # fmt: skip


def group_text(system: str, accounts: Mapping[str, int | str]) -> str:
    """Return the content of /etc/group: the groups of the distribution `system`, and one for each user in `accounts`.

    A user whose group number is in use already gets no group.
    """
    entry = _entry(system)
    text: str = entry.get("group", "")
    own = ""
    for name, number in _accounts(entry, accounts):
        gid = number if isinstance(number, int) else number.split(":")[1]
        own += "" if f":x:{gid}:" in text + own else f"{name}:x:{gid}:\n"
    for user, names in entry.get("members", {}).items():
        for name in names:
            text = re.sub(rf"^({name}:x:[0-9]+:)(.*)$", rf"\1\2{user}", text, flags=re.MULTILINE)
    return _filled({"group": text} if text else {}, "group", own)


def _accounts(entry: Mapping[str, Any], accounts: Mapping[str, int | str]) -> list[tuple[str, int | str]]:
    return list({**entry.get("accounts", {}), **accounts}.items())


def _filled(entry: Mapping[str, str], name: str, own: str) -> str:
    return entry[name] + own if name in entry else _MINIMAL[name].format(own)

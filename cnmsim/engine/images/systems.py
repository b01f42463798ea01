"""The distributions of images: their files below /etc, and which one a tag names.

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
    """Return the distribution on which an image is based, e.g. "debian:12".

    A word in `tag` such as `bookworm` names another distribution than `usual`, the image's default.
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
    """Return the names of the programs of a distribution, without those that entries of the catalogue list."""
    return tuple(_entry(system).get("programs", ()))


def version_of(versions: tuple[str, ...], tag: str) -> str:
    """Return the version that a tag names, the newest one for a tag without a number.

    `versions` are known ones, the newest first. A tag with fewer numbers names the first version that begins with
    them: `1.27` or `1.27-alpine` is `1.27.5`.
    """
    match = re.match(r"v?([0-9]+(?:\.[0-9]+)*)", tag)
    if match is None:
        return versions[0] if versions else ""
    number = match[1]
    return next((version for version in versions if f"{version}.".startswith(f"{number}.")), number)


def release_files(system: str, tag: str, version: str) -> tuple[tuple[str, str], ...]:
    """Return /etc/os-release and the file with the release's number: path and content.

    `version` is that of the image, which is the release's for the image `alpine`. Of other images, a tag such as
    `alpine3.19` states it.
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
    """Return /etc/passwd of a system with further users: name to number, or to the fields from the number on."""
    entry = _entry(system)
    return _filled(entry, "passwd", "".join(
        f"{name}:x:{number}:{number}::/home/{name}:/bin/sh\n" if isinstance(number, int) else f"{name}:x:{number}\n"
        for name, number in _accounts(entry, accounts)
    ))  # fmt: skip


def group_text(system: str, accounts: Mapping[str, int | str]) -> str:
    """Return /etc/group of a system with a group for each further user, unless its group exists already."""
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

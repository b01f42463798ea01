"""apk and apt-get: installing a package succeeds if its programs are simulated, and is refused otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.userland.invocation import invoked_name

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process

#: Packages of Alpine and Debian, with the simulated program that stands for each.
_PACKAGES = {
    "bash": "bash", "bind-tools": "dig", "bind9-dnsutils": "dig", "bind9-host": "dig", "busybox-extras": "telnet",
    "ca-certificates": "true", "coreutils": "ls", "curl": "curl", "dnsutils": "dig", "findutils": "find",
    "gawk": "awk", "gnupg": "true", "grep": "grep", "inetutils-ping": "ping", "inetutils-telnet": "telnet",
    "inetutils-traceroute": "traceroute", "iproute2": "ip", "iputils": "ping", "iputils-ping": "ping",
    "iputils-arping": "arping", "net-tools": "ifconfig", "netcat": "nc", "netcat-openbsd": "nc",
    "netcat-traditional": "nc", "openssl": "openssl",
    "procps": "ps", "procps-ng": "ps", "sed": "sed", "tar": "tar", "tcpdump": "tcpdump",
    "telnet": "telnet", "traceroute": "traceroute", "tzdata": "true", "util-linux": "mount", "wget": "wget",
}  # fmt: skip


def _unknown(process: Process, names: list[str]) -> list[str]:
    plain = (name.partition("=")[0].partition("~")[0] for name in names)
    return [name for name in plain if _PACKAGES.get(name) not in process.programs]


async def apk(process: Process) -> int:
    """Run `apk add|del|update|upgrade|info [--no-cache] [PACKAGE]…`."""
    words = [word for word in process.argv[1:] if not word.startswith("-")]
    at = next((n for n, word in enumerate(words) if word in ("-t", "--virtual")), None)
    names = words[1:] if at is None else words[1:at]
    action = words[0] if words else ""
    if action in ("update", "upgrade"):
        process.write(
            "OK: 27439 distinct packages available\n" if action == "update" else "OK: 8 MiB in 16 packages\n"
        )
        return 0
    if action == "info":
        process.write("".join(f"{name}\n" for name in sorted(_PACKAGES) if _PACKAGES[name] in process.programs))
        return 0
    if action not in ("add", "del"):
        process.error(
            "apk-tools 2.14.9, compiled for x86_64.\n\nusage: apk [<OPTIONS>...] COMMAND [<ARGUMENTS>...]\n"
        )
        return 1
    unknown = _unknown(process, names) if action == "add" else []
    if unknown:
        process.write("ERROR: unable to select packages:\n")
        for name in unknown:
            process.write(f"  {name} (no such package):\n    required by: world[{name}]\n")
        return len(unknown)
    verb = "Installing" if action == "add" else "Purging"
    for number, name in enumerate(names, 1):
        process.write(f"({number}/{len(names)}) {verb} {name.partition('=')[0]} (cnmsim)\n")
    process.write(f"OK: 8 MiB in {16 + len(names)} packages\n")
    return 0


async def apt_get(process: Process) -> int:
    """Run `apt-get` or `apt update|upgrade|install|remove|clean [-y] [PACKAGE]…`."""
    words = [word for word in process.argv[1:] if not word.startswith("-")]
    action, names = (words[0] if words else ""), words[1:]
    if action in ("update", "upgrade", "clean", "autoremove", "autoclean", "dist-upgrade"):
        process.write("Reading package lists... Done\n" if action in ("update", "upgrade") else "")
        return 0
    if action not in ("install", "remove", "purge"):
        process.error(f"E: Invalid operation {action}\n" if action else f"{invoked_name(process)} 3.0.3 (amd64)\n")
        return 100 if action else 0
    process.write("Reading package lists... Done\nBuilding dependency tree... Done\n")
    unknown = _unknown(process, names) if action == "install" else []
    for name in unknown:
        process.error(f"E: Unable to locate package {name}\n")
    if unknown:
        return 100
    for name in names:
        process.write(
            f"Setting up {name} (cnmsim) ...\n" if action == "install" else f"Removing {name} (cnmsim) ...\n"
        )
    return 0

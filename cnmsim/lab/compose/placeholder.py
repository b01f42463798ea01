"""Placeholder commands for services whose program is not simulated.

Compose files name arbitrary images and commands. A container whose program is not simulated runs `service NAME
PORT...` instead, which accepts connections on the ports that the file and the image declare. The network around the
container can thus be examined.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Container
from pathlib import PurePosixPath

from cnmsim.lab.compose.model import Service

_SHELLS = ("sh", "ash", "bash", "dash")
_KEYWORDS = frozenset(
    "! : [ . break case cd continue do done elif else esac eval exec exit export fi for if in printf "  # noqa: SIM905
    "read return set shift test then trap true false ulimit umask unset until wait while { }".split()
)
_PREFIXES = frozenset(("exec", "!", "then", "do", "else", "if", "while", "until", "elif", "{", "("))


def placeholder_command(
    service: Service,
    *,
    command: tuple[str, ...] | None,
    exposed: tuple[str, ...],
    programs: Container[str],
) -> tuple[str, ...] | None:
    """Return the placeholder for a service's command, or `None` if the command itself can run.

    `command` comes from the Compose file or the image, and is `None` if it is unknown. `exposed` are the ports that
    the image declares, `programs` the simulated programs.
    """
    if command is not None and can_run(command, programs):
        return None
    ports = dict.fromkeys((*(each.key for each in service.ports), *service.expose, *exposed))
    tcp = [port.removesuffix("/tcp") for port in ports if port.endswith("/tcp")]
    return ("service", service.name, *tcp)


def can_run(command: tuple[str, ...], programs: Container[str]) -> bool:
    """Return True if all programs of a command are simulated."""
    if not command:
        return False
    name = PurePosixPath(command[0]).name
    if name in _SHELLS and len(command) >= 3 and command[1] in {"-c", "-ec", "-lc", "-exc"}:
        return all(word in programs or word in _KEYWORDS for word in _programs_of(command[2]))
    return name in programs


def _programs_of(script: str) -> list[str]:
    """Return the words of a shell script that are names of programs."""
    found: list[str] = []
    for part in re.split(r"&&|\|\||[;|&\n]", script):
        try:
            words = shlex.split(part, comments=True)
        except ValueError:  # a quoted separator split it: judge by the rest of the script
            continue
        while words and (words[0] in _PREFIXES or re.match(r"[A-Za-z_]\w*=", words[0])):
            words.pop(0)
        if words and words[0] not in {"for", "case"}:
            found.append(PurePosixPath(words[0]).name)
    return found

"""State files: what the engines of a lab keep from one serving to the next.

A state file is JSON with a format name, a version and a checksum of its content. It is written as a whole or not at all,
and what is damaged, foreign or of another lab is refused. Hosts themselves are not in it: the lab file makes them.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnmsim.errors import CnmsimError, FileError

if TYPE_CHECKING:
    from cnmsim.engine.engine import Engine
    from cnmsim.lab.lab import Lab

FORMAT = "cnmsim state"
VERSION = 1


def save_state(lab: Lab, path: Path, source: Path | None = None) -> list[str]:
    """Write the state of a lab, which was built from the file `source`. Raises `OSError`; a present file then stays.

    Gives the Docker hosts that are in a swarm, of which nothing is kept.
    """
    from cnmsim.engine.saved import save_engine

    content = {
        "file": str(source) if source else "",
        "seed": lab.clock.seed,
        "now_ns": lab.clock.now_ns,
        "hosts": {name: save_engine(engine) for name, engine in _engines(lab).items()},
    }
    document = {"format": FORMAT, "version": VERSION, "sha256": _checksum(content), "lab": content}
    text = json.dumps(document, separators=(",", ":")) + "\n"
    # mkstemp makes a file that only its owner reads: environments of containers hold passwords.
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise
    return [name for name, engine in _engines(lab).items() if engine.controller.cluster is not None]


def read_state(path: Path) -> dict[str, Any]:
    """Give the content of a state file. Raises `FileError` saying what is wrong with it, `OSError` if it can't be read."""
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise _wrong(path, f"damaged, or no state file: {error}") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise _wrong(path, "no state file of cnmsim")
    version = document.get("version")
    if version != VERSION or isinstance(version, bool):
        raise _wrong(path, f"a state file of version {version!r}; this cnmsim reads version {VERSION}")
    content = document.get("lab")
    if not isinstance(content, dict) or document.get("sha256") != _checksum(content):
        raise _wrong(path, "damaged: its content does not fit its checksum")
    return content


def restore_state(lab: Lab, path: Path, epoch_s: int | None = None) -> None:
    """Make the engines of a lab what they were when the state was saved, and start what ran.

    `epoch_s` is what virtual time zero stands for from now on, in seconds since 1970. Raises `FileError` for a file that
    is damaged, foreign or another lab's, or that this lab has no room for; the lab is then not to be used.
    """
    from cnmsim.engine.saved import restore_engine

    content = read_state(path)
    engines = _engines(lab)
    _require_same_lab(lab, content, engines, path)
    clock = lab.clock
    clock.now_ns = max(clock.now_ns, content["now_ns"])
    if epoch_s is not None:
        clock.epoch_s = epoch_s
    for name, data in content["hosts"].items():
        try:
            restore_engine(engines[name], data, f"{clock.seed}/{_checksum(content)}")
        except CnmsimError as error:
            raise _wrong(path, f"cannot be restored on {name}: {error.message}") from None
    clock.run_ready()


def _require_same_lab(lab: Lab, content: dict[str, Any], engines: dict[str, Engine], path: Path) -> None:
    saved = content["hosts"]
    if set(saved) != set(engines):
        raise _wrong(
            path,
            f"state of another lab: its Docker hosts are {', '.join(sorted(saved)) or 'none'}, "
            f"this lab's {', '.join(sorted(engines)) or 'none'}",
        )
    if content["seed"] != lab.clock.seed:
        raise _wrong(path, f"state of another lab: its seed is {content['seed']}, this lab's {lab.clock.seed}")
    for name, engine in engines.items():
        release = saved[name]["release"]
        if release != engine.profile.version:
            raise _wrong(path, f"{name} ran Docker {release} and runs {engine.profile.version} now")


def _engines(lab: Lab) -> dict[str, Engine]:
    return {name: host.docker for name, host in lab.hosts.items() if host.docker is not None}


def _checksum(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode("ascii")).hexdigest()


def _wrong(path: Path, message: str) -> FileError:
    return FileError(message, path=str(path))

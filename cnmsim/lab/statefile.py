"""State files: the state of a lab's engines that lasts from one `serve` to the next.

A state file is JSON with a format name, a version and a checksum of its content. It is written completely or not at
all. A file that is damaged, has another format or belongs to another lab is refused. Hosts are not in the file: the
lab file creates them. To a swarm, saving and restoring looks like a power loss of all hosts.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from cnmsim.engine.cluster.snapshot import MemberDisk, raft_logs_of, restore_member, save_member
from cnmsim.engine.daemon.crash import start_containers
from cnmsim.engine.daemon.snapshot import restore_engine, save_engine
from cnmsim.errors import CnmsimError, FileError
from cnmsim.swarm.persistence.saved_state import SavedStore, restore_store, save_store
from cnmsim.swarm.persistence.serialization import from_plain, to_plain

if TYPE_CHECKING:
    from cnmsim.engine.containers.container import Container
    from cnmsim.engine.engine import Engine
    from cnmsim.kernel.clock import Clock
    from cnmsim.lab.lab import Lab

FORMAT = "cnmsim state"
VERSION = 2
#: Files of version 1 have no swarms.
_READABLE = frozenset({1, 2})


@frozen
class _SwarmDisk:
    """The saved swarms of a lab: the logs of their managers, and by host the daemons that are members."""

    stores: tuple[SavedStore, ...] = ()
    members: Mapping[str, MemberDisk] = field(factory=dict)


def save_state(lab: Lab, path: Path, source: Path | None = None) -> None:
    """Write the state of a lab that was built from the file `source`.

    Raises `OSError`; an existing file is then kept.
    """
    engines = _engines(lab)
    content = {
        "file": str(source) if source else "",
        "seed": lab.clock.seed,
        "now_ns": lab.clock.now_ns,
        "hosts": {name: save_engine(engine, _starting(lab, name, engine)) for name, engine in engines.items()},
        "swarm": to_plain(_SwarmDisk, _save_swarms(engines)),
    }
    document = {"format": FORMAT, "version": VERSION, "sha256": _checksum(content), "lab": content}
    text = json.dumps(document, separators=(",", ":")) + "\n"
    # mkstemp creates a file that only its owner can read: environments of containers hold passwords.
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


def _starting(lab: Lab, name: str, engine: Engine) -> list[Container]:
    """Return the containers that are about to start: the host has no power, or no manager has been reached yet."""
    waiting = (engine.store.find(record) for record in engine.cluster.waiting)
    return [*lab.hosts[name].starting, *(record for record in waiting if record is not None)]


def read_state(path: Path) -> dict[str, Any]:
    """Return the content of a state file.

    Raises `FileError`, whose text says what is wrong with the content, or `OSError` if the file cannot be read.
    """
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise _wrong(path, f"damaged, or no state file: {error}") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise _wrong(path, "no state file of cnmsim")
    version = document.get("version")
    if type(version) is not int or version not in _READABLE:
        raise _wrong(path, f"a state file of version {version!r}; this cnmsim reads versions 1 and {VERSION}")
    content = document.get("lab")
    if not isinstance(content, dict) or document.get("sha256") != _checksum(content):
        raise _wrong(path, "damaged: its content does not fit its checksum")
    if version > 1 and "swarm" not in content:
        raise _wrong(path, "malformed: there is no section of swarms")
    return content


def restore_state(lab: Lab, path: Path, epoch_s: int | None = None) -> None:
    """Restore the saved state into the engines of a lab, and start what ran.

    `epoch_s` is the time of day of virtual time zero from now on, in seconds since 1970. Raises `FileError` for a
    file that is damaged, foreign or another lab's, or that does not fit this lab; the lab must not be used then.
    """
    content = read_state(path)
    engines = _engines(lab)
    with _complaining(path, "malformed"):
        _require_same_lab(lab, content, engines, path)
        swarms = from_plain(_SwarmDisk, content["swarm"], "swarm") if "swarm" in content else None
        clock = lab.clock
        clock.now_ns = max(clock.now_ns, content["now_ns"])
    if epoch_s is not None:
        clock.epoch_s = epoch_s
    starting: dict[str, list[Container]] = {}
    for name, data in content["hosts"].items():
        with _complaining(path, f"cannot be restored on {name}"):
            if swarms is not None:
                engines[name].cluster.abandon()
            starting[name] = restore_engine(engines[name], data, f"{clock.seed}/{_checksum(content)}")
    if swarms is not None:
        _restore_swarms(clock, swarms, engines, path)
    for name, containers in starting.items():
        start_containers(engines[name], containers)
    clock.run_ready()


@contextmanager
def _complaining(path: Path, text: str) -> Iterator[None]:
    """Convert errors that the block raises to `FileError`s about the file."""
    try:
        yield
    except FileError:
        raise
    except CnmsimError as error:
        raise _wrong(path, f"{text}: {error.message}") from None
    except (OSError, LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise _wrong(path, f"{text}: {error}") from None


# --- swarms


def _save_swarms(engines: dict[str, Engine]) -> _SwarmDisk:
    stock = raft_logs_of(engines.values())
    members = {name: save_member(engine, stock) for name, engine in engines.items()}
    return _SwarmDisk(
        tuple(save_store(store) for store in stock.stores),
        {name: member for name, member in members.items() if member is not None},
    )


def _restore_swarms(clock: Clock, swarms: _SwarmDisk, engines: dict[str, Engine], path: Path) -> None:
    with _complaining(path, "swarm"):
        stores = [restore_store(clock, saved_store) for saved_store in swarms.stores]
    for name, member in swarms.members.items():
        if name not in engines:
            raise _wrong(path, f"swarm: there is no Docker host {name}")
        with _complaining(path, f"swarm: cannot be restored on {name}"):
            restore_member(engines[name], member, stores)
    # All nodes exist before the first one sends.
    for name in swarms.members:
        node = engines[name].cluster.node
        assert node is not None
        with _complaining(path, f"swarm: cannot be restored on {name}"):
            node.resume()


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
    return {name: host.engine for name, host in lab.hosts.items() if host.engine is not None}


def _checksum(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode("ascii")).hexdigest()


def _wrong(path: Path, message: str) -> FileError:
    return FileError(message, path=str(path))

"""Restore the engines of a lab from the content of a state file.

Hosts are not in a state file: the lab file creates them. To a swarm, restoring looks like a power loss of all hosts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from cnmsim.engine.cluster.snapshot import MemberDisk, restore_member
from cnmsim.engine.daemon.crash import start_containers
from cnmsim.engine.daemon.saved_files import restore_tree
from cnmsim.engine.daemon.snapshot import restore_engine
from cnmsim.lab.state.errors import reported_about, wrong_file
from cnmsim.lab.state.json_format import checksum
from cnmsim.lab.state.recorder import engines_of
from cnmsim.swarm.persistence.saved_state import SavedStore, restore_store
from cnmsim.swarm.persistence.serialization import from_plain

if TYPE_CHECKING:
    from cnmsim.engine.containers.container import Container
    from cnmsim.engine.engine import Engine
    from cnmsim.kernel.clock import Clock
    from cnmsim.lab.lab import Lab


@frozen
class _SwarmDisk:
    """The saved swarms of a lab.

    `stores` are the logs of the managers. `members` is the state of each daemon that belongs to a swarm, by host.
    """

    stores: tuple[SavedStore, ...] = ()
    members: Mapping[str, MemberDisk] = field(factory=dict)


def restore_lab(lab: Lab, content: dict[str, Any], path: Path, epoch_s: int | None = None) -> None:
    """Restore the engines of a lab from the content of a state file, and start the containers that ran.

    `path` is the file, for error messages. `epoch_s` is the time of day at which virtual time began, in seconds since
    1970; with `None` the lab's own start time is not changed. Raises `FileError` if the content is malformed, comes
    from another lab, or does not fit this lab; the lab is then unusable.
    """
    engines = engines_of(lab)
    with reported_about(path, "malformed"):
        _require_same_lab(lab, content, engines, path)
        swarms = from_plain(_SwarmDisk, content["swarm"], "swarm") if "swarm" in content else None
        clock = lab.clock
        clock.now_ns = max(clock.now_ns, content["now_ns"])
    if epoch_s is not None:
        clock.epoch_s = epoch_s
    # Random numbers are seeded from the content, which differs from that of every earlier start, so that no id
    # repeats.
    seed = f"{clock.seed}/{checksum(content)}"
    for name, files in content.get("files", {}).items():
        if name in lab.hosts:
            with reported_about(path, f"files cannot be restored on {name}"):
                restore_tree(lab.hosts[name].machine.files, files)
    starting: dict[str, list[Container]] = {}
    for name, data in content["hosts"].items():
        with reported_about(path, f"cannot be restored on {name}"):
            if swarms is not None:
                engines[name].cluster.abandon()
            starting[name] = restore_engine(engines[name], data, seed)
    if swarms is not None:
        _restore_swarms(clock, swarms, engines, path)
    for name, containers in starting.items():
        with reported_about(path, f"cannot be restored on {name}"):
            start_containers(engines[name], containers)
    clock.run_ready()


# --- swarms


def _restore_swarms(clock: Clock, swarms: _SwarmDisk, engines: dict[str, Engine], path: Path) -> None:
    with reported_about(path, "swarm"):
        stores = [restore_store(clock, saved_store) for saved_store in swarms.stores]
    for name, member in swarms.members.items():
        if name not in engines:
            raise wrong_file(path, f"swarm: there is no Docker host {name}")
        with reported_about(path, f"swarm: cannot be restored on {name}"):
            restore_member(engines[name], member, stores)
    # All nodes exist before the first one sends.
    for name in swarms.members:
        node = engines[name].cluster.node
        assert node is not None
        with reported_about(path, f"swarm: cannot be restored on {name}"):
            node.resume()


def _require_same_lab(lab: Lab, content: dict[str, Any], engines: dict[str, Engine], path: Path) -> None:
    saved = content["hosts"]
    for key in ("now_ns", "seed"):
        if key not in content:
            raise wrong_file(path, f"malformed: there is no {key}")
    for key in ("now_ns", "starts"):
        if type(content.get(key, 0)) is not int or not 0 <= content.get(key, 0) < 1 << 63:
            raise wrong_file(path, f"malformed: {key}: expected a number of 63 bits")
    if set(saved) != set(engines):
        raise wrong_file(
            path,
            f"state of another lab: its Docker hosts are {', '.join(sorted(saved)) or 'none'}, "
            f"this lab's {', '.join(sorted(engines)) or 'none'}",
        )
    if content["seed"] != lab.clock.seed:
        raise wrong_file(
            path, f"state of another lab: its seed is {str(content['seed'])[:80]}, this lab's {lab.clock.seed}"
        )
    for name, engine in engines.items():
        release = saved[name]["release"]
        if release != engine.profile.version:
            raise wrong_file(path, f"{name} ran Docker {str(release)[:80]} and runs {engine.profile.version} now")

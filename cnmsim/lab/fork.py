"""Copies of a lab, in which a change can be tried.

The graph of objects is copied (`copying.py`): the kernel's tables (addresses, MACs, rules with their counters,
routes, conntrack entries, neighbours, FDBs), the state of the engines, the faults of links, and the time. Programs
are coroutines, which Python cannot copy: each is restarted in the copy, as the same process with the same arguments,
pipes and files. The copy therefore has no open connections, and a program that sleeps before it listens sleeps again.
The nodes of a swarm keep their state and reconnect.

Saving and restoring a state file would not make a complete copy: like a restart of dockerd, it keeps only what the
engine stores. It loses conntrack entries, counters, neighbours, leases, and everything that was configured on the
hosts themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cnmsim.errors import Unavailable
from cnmsim.kernel.clock import Timer
from cnmsim.kernel.machine import Machine
from cnmsim.kernel.process import Process
from cnmsim.kernel.task import Cancelled, Future, Task
from cnmsim.lab.copying import Copier
from cnmsim.libnetwork.plugins.main_thread_executor import MainThreadExecutor
from cnmsim.observe.capture.capture import Capture
from cnmsim.observe.fixes.search import FixSearch

if TYPE_CHECKING:
    from cnmsim.engine.engine import Engine
    from cnmsim.lab.lab import Lab

#: Seconds of virtual time after which the copy first checks whether the nodes of a swarm have reconnected.
_RECONNECT_S = 3.0
#: Tenths of a second for which the copy waits beyond that.
_RECONNECT_TRIES = 1800


def fork_lab(lab: Lab) -> Lab:
    """Return a copy of a lab, as described at `Lab.fork`. Raises `Unavailable` if the lab cannot be copied."""
    _require_forkable(lab)
    lab.clock.run_ready()
    copy: Lab = Copier(
        {
            Task: _dead_task,
            Timer: _timer,
            Capture: _of_the_original,
            FixSearch: _of_the_original,
            MainThreadExecutor: lambda _old, _copier: MainThreadExecutor(),
        }
    ).copy(lab)
    copy.clock.context = copy.clock.meter = None
    machines = [host.machine for host in copy.hosts.values()]
    for machine in machines:
        _stop_capturing(machine)
    paused = [process for machine in machines for process in _restart_programs(machine)]
    copy.clock.run_ready()
    for process in paused:
        process.pause()
    for host in copy.hosts.values():
        host.socket = None
    if _has_swarm(copy):
        _reconnect(copy)
    elif any(host.controller is not None and host.controller.agent is not None for host in copy.hosts.values()):
        _restart_gossip(copy)
    return copy


def _require_forkable(lab: Lab) -> None:
    if lab.has_plugins:
        raise Unavailable("a lab whose engines use plugins cannot be forked: the plugins' processes cannot be copied")
    if unsettled := _unsettled(lab):
        raise Unavailable(f"a swarm is forked when its tasks are settled (lab.settle()): {unsettled}")


def _engines(lab: Lab) -> list[Engine]:
    return [host.docker for host in lab.hosts.values() if host.has_docker]


def _has_swarm(lab: Lab) -> bool:
    return any(engine.controller.cluster is not None for engine in _engines(lab))


def _unsettled(lab: Lab) -> str:
    if not _has_swarm(lab):
        return ""
    from cnmsim.lab.quiescence import QuiescenceChecker

    return QuiescenceChecker(may_retry=True).pending_work(_engines(lab))


def _reconnect(lab: Lab) -> None:
    """Reconnect the nodes of the lab's swarms, and run the lab until all of their tasks are settled.

    Gossip need not have spread: the databases are copied. Raises `Unavailable` if a task does not settle.
    """
    from cnmsim.lab.quiescence import QuiescenceChecker

    _restart_gossip(lab)
    nodes = [engine.cluster.node for engine in _engines(lab) if engine.cluster.node is not None]
    for node in nodes:
        node.restart_after_fork()
    lab.run(_RECONNECT_S)
    checker = QuiescenceChecker(may_retry=True)
    for _ in range(_RECONNECT_TRIES):
        if checker.is_quiescent(_engines(lab)):
            return
        lab.run(0.1)
    raise Unavailable(f"the swarm of a copy does not come to rest: {checker.pending_work(_engines(lab))}")


def _restart_gossip(lab: Lab) -> None:
    from cnmsim.libnetwork.networkdb.databases import databases_of

    for database in databases_of(lab.clock):
        database.members.prober.restart_after_fork()
        database.bulk.restart_after_fork()
        database.rejoiner.restart_after_fork()


def _dead_task(task: Any, copier: Copier) -> Any:
    """Copy a task without its coroutine, as a task that is done.

    The copy has the same result; if the original was running, the copy is cancelled.
    """
    copy: Task[Any] = copier.remember(task, Task.__new__(Task))
    Future.__init__(copy, copier.take(task.clock))
    copy._coroutine = copy._awaited = None  # type: ignore[assignment]
    copy._is_running = False
    copy.gate = copier.take(task.gate)
    copy.is_done = True
    if task.is_done:
        copy._value, copy.error = copier.take(task._value), copier.take(task.error)
    else:
        copy.error = Cancelled()
    return copy


def _timer(timer: Any, copier: Copier) -> Any:
    """Copy a timer without its trace context, which belongs to the original lab."""
    copy = copier.remember(timer, Timer(timer.when_ns, None, (), None))
    if timer.call is not None:
        copy.call, copy.args = copier.take(timer.call), copier.take(timer.args)
    return copy


def _of_the_original(observer: Any, _copier: Copier) -> Any:
    """Return `observer`, a capture or trace, itself in place of a copy: it remains part of the original lab.

    `_stop_capturing` later removes captures from the devices of the copied lab.
    """
    return observer


def _stop_capturing(machine: Machine) -> None:
    spaces = {
        machine.root,
        *machine.namespaces.values(),
        *(process.namespace for process in machine.processes.values()),
    }
    for space in spaces:
        for device in space.devices.values():
            device.taps = ()


def _restart_programs(machine: Machine) -> list[Process]:
    """Restart every program in the copy. Return the processes that were paused and have to be paused again.

    A process whose parent is running is not restarted itself: the restarted parent creates it again.
    """
    running = list(machine.processes.values())
    again = [process for process in running if not _has_running_creator(process)]
    for process in running:
        if process not in again:
            process.close_silently()
    paused = [process for process in again if process.is_paused]
    for process in again:
        process.restart_after_fork()
    return paused


def _has_running_creator(process: Process) -> bool:
    creator = process.creator
    while creator is not None:
        if creator.is_running:
            return True
        creator = creator.creator
    return False

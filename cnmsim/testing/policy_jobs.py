"""Jobs in policies: containers whose program has ended without an error, such as a migration of a database."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cnmsim.errors import CnmsimError, Conflict, NotFound
from cnmsim.observe.directory import Directory
from cnmsim.observe.fixes.apply import Body, recreate_container
from cnmsim.observe.trace.tracer import directory_of
from cnmsim.testing.policy_flow import has_name

if TYPE_CHECKING:
    from cnmsim.lab import Lab


def resume_jobs(lab: Lab, names: Iterable[str]) -> frozenset[str]:
    """Recreate in `lab` the jobs that one of `names` means, with a program that does not end.

    A requirement of a job is one of the time when it ran. Its question can then be asked from where it ran: the new
    container has the name, the networks and the settings of the old one, but publishes no port. Return the labels
    (`host:job`) of the jobs. One that cannot be started again is not running afterwards.
    """
    wanted = tuple(names)
    jobs = [
        item
        for item in directory_of(lab).stopped_containers
        if item.has_succeeded and not item.task and any(has_name(item, name) for name in wanted)
    ]
    for item in jobs:
        try:
            recreate_container(lab, item.host, item.name, _idle)
        except CnmsimError:
            continue  # reported as a job that cannot be asked
    return frozenset(item.label for item in jobs)


def _idle(body: Body) -> None:
    body |= {"Entrypoint": ["sleep"], "Cmd": ["infinity"], "Healthcheck": {"Test": ["NONE"]}}
    body["HostConfig"] |= {"PortBindings": None, "RestartPolicy": None, "AutoRemove": False}


def is_unknown(directory: Directory, name: str) -> bool:
    """Return True if neither a location nor a container that is not running has `name`, which is no group."""
    is_running = any(has_name(item, name) for item in directory.locations)
    return not is_running and not any(has_name(item, name) for item in directory.stopped_containers)


def not_running(directory: Directory, name: str) -> str:
    """Return why the container or service `name` does not run; "" if it runs or does not exist.

    A name that several running containers have is no reason: it means all of them.
    """
    if directory.matching(name):
        return ""
    try:
        directory.find(name)
    except Conflict as error:
        return str(error)
    except NotFound:
        return ""
    return ""


def sources_not_running(directory: Directory, name: str, jobs: frozenset[str]) -> list[tuple[str, str, bool]]:
    """Return the containers that are not running of those that `name` means, each as (name, reason, has ended).

    `name` may be a pattern. `jobs` are the labels that `resume_jobs` returned; "has ended" is True for a job that
    cannot be started again, and for a swarm service of which every task has completed. Else the tasks of a swarm are
    left out: a service also has those of its older versions.
    """
    stopped = [item for item in directory.stopped_containers if not item.task and has_name(item, name)]
    if stopped:
        names = [(item.service or item.name, item) for item in stopped]
        return [
            (own, f"{own} is not running: its container has {item.status}", item.label in jobs) for own, item in names
        ]
    reason = not_running(directory, name)
    return [(name, reason, _is_completed(directory, name))] if reason else []


def target_not_running(directory: Directory, name: str, jobs: frozenset[str]) -> str:
    """Return why the container or service `name` does not run, also if it is one of `jobs`; "" if it runs."""
    if any(item.label in jobs for item in directory.matching(name)):
        return f"{name} is not running: its container has exited"
    return not_running(directory, name)


def _is_completed(directory: Directory, name: str) -> bool:
    """Return True if `name` is a swarm service of which every task has completed without an error."""
    from cnmsim.observe.swarm_view import short_name
    from cnmsim.swarm.objects import TaskState

    for swarm in directory.swarms:
        for service in swarm.store.services:
            if name in {service.name, short_name(service)}:
                states = {task.state for task in swarm.store.tasks.by_service(service.id)}
                return states == {TaskState.COMPLETE}
    return False

"""The default topology, for a stack file without a lab: swarm nodes, a client, and a simulated internet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve

from cnmsim.errors import InvalidParameter
from cnmsim.lab.compose import normal_name
from cnmsim.lab.compose.default_topology import (
    INTERNET,
    NAMES,
    ROUTER_INSIDE,
    ROUTER_OUTSIDE,
    require_services,
)
from cnmsim.lab.compose.document import project_files
from cnmsim.lab.internet import stand_for_internet
from cnmsim.lab.lab import Lab
from cnmsim.lab.releases import DEFAULT_RELEASE
from cnmsim.lab.source import LabSource
from cnmsim.lab.stack.document import replaced_texts
from cnmsim.lab.stack.reader import read_stack
from cnmsim.lab.stack.surroundings import add_missing
from cnmsim.underlay.nameserver import ANY_PUBLIC_NAME

if TYPE_CHECKING:
    from cnmsim.engine.client.stacks import StackFiles

#: Documentation addresses (RFC 5737). They overlap neither with a stack's networks nor with default address pools.
_NODE, _CLIENT = "198.51.100.{}/24", "198.51.100.200/24"


def stack_lab(
    files: StackFiles,
    *,
    managers: int,
    workers: int,
    env: Mapping[str, str],
    name: str = "",
    listens: Mapping[str, Iterable[int | str]] | None = None,
    strict: bool = False,
    offline: bool = False,
    engine: str | None = None,
    texts: Mapping[str, str] | None = None,
) -> Lab:
    """Build a swarm of nodes `node1`, `node2`, … with a client, deploy the stack, and wait until it has settled.

    `managers` and `workers` are the numbers of nodes with these roles. `env` contains the variables for `${…}`,
    `engine` is the Docker release (`None`: the default). `files` are paths, or the content as a text of several lines
    or a mapping. The stack has the name of the first file, up to its first dot, unless `name` is given.

    External networks, secrets and configs, and folders that services bind, are assumed to exist (`lab.source.notes`
    lists them); with `strict` they are not. `listens` states the ports on which services listen, `offline` leaves out
    the public names and addresses, and `texts` maps paths of files to text that is used in place of their content.
    Raises `FileError` for an invalid file, `InvalidParameter` for an impossible number of
    nodes or an invalid port in `listens`, and `NotFound` if `listens` names a service that the stack does not have.
    """
    if managers < 1 or workers < 0 or managers + workers > 150:
        raise InvalidParameter(
            f"a swarm of {managers} managers and {workers} workers cannot be built: 1 to 150 nodes"
        )
    lab = Lab(engine or DEFAULT_RELEASE, nameserver=INTERNET)
    router = lab.add_router("router", f"{ROUTER_INSIDE}/24", f"{ROUTER_OUTSIDE}/24")
    names = NAMES if offline else NAMES | {ANY_PUBLIC_NAME: [INTERNET]}
    internet = lab.add_host("internet", f"{INTERNET}/24", gateway=ROUTER_OUTSIDE, web=True, names=names)
    if not offline:
        stand_for_internet(internet, [INTERNET], router)
    lab.add_host("client", _CLIENT, gateway=ROUTER_INSIDE)
    nodes = [
        lab.add_host(f"node{number}", _NODE.format(10 + number), gateway=ROUTER_INSIDE, docker=True)
        for number in range(1, managers + workers + 1)
    ]
    lab.images.is_strict = strict
    first = nodes[0].docker
    first.swarm.init(advertise_addr=nodes[0].address)
    for number, node in enumerate(nodes[1:], 2):
        token = first.swarm.tokens.manager if number <= managers else first.swarm.tokens.worker
        node.docker.swarm.join(token, f"{nodes[0].address}:2377")
    paths = project_files(files)
    first_file = paths[0].name if isinstance(paths[0], Path) else ""
    stack = name or normal_name(first_file.partition(".")[0]) or "stack"
    for service, ports in (listens or {}).items():
        try:
            lab.images.hints.state(f"{stack}/{service}", ports, "the user")
        except ValueError as error:
            raise InvalidParameter(f"{service}: {error}") from None
    lab.source = LabSource(
        partial(
            stack_lab, files, managers=managers, workers=workers, env=env, name=name, listens=listens,
            strict=strict, offline=offline, engine=engine,
        ),
        is_offline=offline,
    )  # fmt: skip
    with lab.source.fixing():
        hints, stacks = lab.images.hints, lab.stacks
        folder = paths[0].parent if isinstance(paths[0], Path) else None
        description = read_stack(
            stack, replaced_texts(paths, texts or {}), env, folder=folder, hints=hints, stacks=stacks
        )
        if not strict:
            lab.source = evolve(lab.source, notes=tuple(add_missing(nodes, stacks[stack], description)))
        first.stacks.deploy(stack, description)
    require_services(lab.stacks[stack].document.section("services"), listens or {})
    lab.settle()
    return lab

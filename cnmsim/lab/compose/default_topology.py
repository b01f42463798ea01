"""The topology in which a Compose project runs when the user provides no lab."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from cnmsim.errors import InvalidParameter, NotFound
from cnmsim.lab.compose import load_project
from cnmsim.lab.compose.local_network import Surroundings, fit_to_file
from cnmsim.lab.compose.project import Project
from cnmsim.lab.internet import stand_for_internet
from cnmsim.lab.lab import Lab
from cnmsim.lab.source import LabSource
from cnmsim.underlay.nameserver import ANY_PUBLIC_NAME

#: Documentation addresses (RFC 5737). Neither networks in Compose files nor the engine's default pools overlap them.
DOCKER, CLIENT, ROUTER_INSIDE = "198.51.100.15", "198.51.100.50", "198.51.100.1"
INTERNET, ROUTER_OUTSIDE = "203.0.113.10", "203.0.113.1"
#: The IPv6 documentation addresses (RFC 3849), for projects with an IPv6 network.
HOST_6, CLIENT_6, ROUTER_INSIDE_6 = "2001:db8:0:1::15", "2001:db8:0:1::50", "2001:db8:0:1::1"
INTERNET_6, ROUTER_OUTSIDE_6 = "2001:db8:0:2::10", "2001:db8:0:2::1"
NAMES = {"www.example.com": INTERNET, "api.example.com": INTERNET, "example.com": INTERNET}


def compose_lab(
    files: str | Path | Mapping[str, Any] | Sequence[str | Path | Mapping[str, Any]],
    project: str | None = None,
    env: Mapping[str, str] | None = None,
    profiles: Sequence[str] = (),
    *,
    env_files: Sequence[str | Path] = (),
    scale: Mapping[str, int] | None = None,
    create_external: bool = False,
    listens: Mapping[str, Iterable[int | str]] | None = None,
    strict: bool = False,
    offline: bool = False,
    engine: str = "29.7.2",
    seed: int = 0,
    epoch_s: int | None = None,
    texts: Mapping[str, str] | None = None,
) -> Lab:
    """Read a Compose project, build a lab with a Docker host, a client and the internet, and start the project there.

    The parameters are those of `Lab.from_compose`, and `texts`, which maps the path of a file to text that replaces
    the content of the file. With `offline`, only `example.com` and its hosts `www` and `api` resolve. Raises
    `FileError` for an invalid file, `NotFound` if `listens` names a service that the project does not have, and
    `InvalidParameter` for an invalid port in `listens`.
    """
    options: dict[str, Any] = {
        "project": project, "env": env, "profiles": tuple(profiles), "env_files": tuple(env_files), "scale": scale,
        "create_external": create_external, "listens": listens, "strict": strict, "offline": offline,
        "engine": engine, "seed": seed, "epoch_s": epoch_s,
    }  # fmt: skip
    model = load_project(files, project, env, profiles, env_files=env_files, texts=texts)
    require_services(model.services, listens or {})
    lab = Lab(engine=engine, seed=seed, nameserver=INTERNET, epoch_s=epoch_s)
    used = {name for service in model.services.values() for name in (service.name, service.container_name)}
    has_ipv6 = any(network.enable_ipv6 for network in model.networks.values())

    def own(*addresses: str) -> list[str]:
        return [item for item in addresses if has_ipv6 or ":" not in item]

    inside, outside = own(ROUTER_INSIDE, ROUTER_INSIDE_6), own(ROUTER_OUTSIDE, ROUTER_OUTSIDE_6)
    router = lab.add_router(_free("router", used), *map(_with_length, [*inside, *outside]))
    public = own(INTERNET, INTERNET_6)
    names: dict[str, Any] = NAMES if offline else NAMES | {ANY_PUBLIC_NAME: public}
    internet = lab.add_host(
        _free("internet", used), *map(_with_length, public), gateway=outside, web=True, names=names
    )
    if not offline:
        stand_for_internet(internet, public, router)
    client = lab.add_host(_free("client", used), *map(_with_length, own(CLIENT, CLIENT_6)), gateway=inside)
    addresses = map(_with_length, own(DOCKER, HOST_6))
    host = lab.add_host(_free("host", used), *addresses, gateway=inside, docker=True)
    fit_to_file(lab, model, Surroundings(host, router, client, names))
    docker = host.docker
    lab.settle()
    lab.images.is_strict = strict
    for service, ports in (listens or {}).items():
        try:
            lab.images.hints.state(f"{model.name}/{service}", ports, "the user")
        except ValueError as error:
            raise InvalidParameter(f"{service}: {error}") from None
    if create_external:
        for name in dict.fromkeys(each.name for each in model.networks.values() if each.is_external):
            docker.networks.create(name, driver="bridge")
    lab.source = LabSource(partial(compose_lab, files, **options), is_offline=offline)
    lab.project = Project(model, docker, lab.clock, is_strict=strict)
    lab.projects.append(lab.project)
    with lab.source.fixing():
        lab.project.up(scale=scale)
    lab.settle()
    return lab


def require_services(services: Mapping[str, object], listens: Mapping[str, object]) -> None:
    """Raise `NotFound` if a name in `listens` is not in `services`."""
    for name in listens:
        if name not in services:
            close = difflib.get_close_matches(name, services, 1)
            listed = ", ".join(services)
            meant = f", did you mean {close[0]}?" if close else f"; there are {listed}"
            raise NotFound(f"no such service: {name}{meant}")


def _with_length(address: str) -> str:
    return f"{address}/64" if ":" in address else f"{address}/24"


def _free(name: str, taken: set[str]) -> str:
    """Return `name` with `-host` appended as often as necessary, so that it is not in `taken`."""
    while name in taken:
        name += "-host"
    return name

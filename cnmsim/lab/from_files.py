"""`LabFromFiles`: the constructors of a lab from Compose files, stack files and lab files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnmsim.errors import InvalidParameter
from cnmsim.lab.observed_lab import ObservedLab
from cnmsim.lab.releases import DEFAULT_RELEASE
from cnmsim.suggestion import SuggestsClassAttributes, suggests_keywords

if TYPE_CHECKING:
    from cnmsim.lab.lab import Lab


@suggests_keywords
class LabFromFiles(ObservedLab, metaclass=SuggestsClassAttributes):
    """The part of a `Lab` that builds one from files."""

    @staticmethod
    def _class_elsewhere(name: str) -> str:
        from cnmsim.other_names import for_lab_class

        return for_lab_class(name)

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        *,
        engine: str | None = None,
        seed: int = 0,
        epoch_s: int | None = None,
        images: str = "hub",
    ) -> Lab:
        """Build the lab that a lab file describes. Raises `FileError` with line and key for an invalid file.

        `engine` overrides the release that the file names; `seed` and `epoch_s` are those of `Lab`. `images` applies
        to a file without the key `images`: `hub` simulates the images of Docker Hub; with `recorded`, every image is
        one busybox with a web page, as on the real engines to which cnmsim is compared.
        """
        from cnmsim.lab.labfile import load_lab

        if not isinstance(path, (str, Path)):
            raise InvalidParameter(f"{path!r} is no path of a lab file")
        return load_lab(Path(path), engine=engine, seed=seed, epoch_s=epoch_s, images=images)

    @classmethod
    def from_compose(
        cls,
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
        engine: str = DEFAULT_RELEASE,
        seed: int = 0,
        epoch_s: int | None = None,
    ) -> Lab:
        """Bring a Compose project up on a Docker host in a default topology.

        The host `host` (198.51.100.15) and a second machine `client` (198.51.100.50) share a LAN. A router `router`
        connects this LAN to the host `internet` (203.0.113.10), which serves web pages and names. Unless `offline` is
        set, `internet` also answers for every public name and address; a verdict that depends on such an answer lists
        this as an assumption. The addresses are reserved for documentation, so that no network of a Compose file
        overlaps them. If a service has the name of one of these hosts, the host is called `client-host` and so on.

        `files` are paths, or the content as a text of several lines or a mapping. `env` are variables for `${…}`, in
        addition to the variables in `env_files` or, without that, in the file `.env` beside the first file.
        `create_external` creates the networks that the project expects to exist, as `docker network create` without
        options does. `listens` states the ports on which services listen, such as `{"api": [8000, "53/udp"]}`.
        External networks that do not exist, and health checks that the simulation cannot decide, are assumed to be
        right (`lab.project.notes` lists them); with `strict` they are errors. Raises `FileError` for an invalid file
        and, with the line, if the engine refuses a request.
        """
        from cnmsim.lab.compose.default_topology import compose_lab

        return compose_lab(
            files, project, env, profiles,
            env_files=env_files, scale=scale, create_external=create_external, listens=listens,
            strict=strict, offline=offline, engine=engine, seed=seed, epoch_s=epoch_s,
        )  # fmt: skip

    @classmethod
    def from_stack(
        cls,
        files: str | Path | Mapping[str, Any] | Sequence[str | Path | Mapping[str, Any]],
        name: str = "",
        env: Mapping[str, str] | None = None,
        *,
        managers: int = 3,
        workers: int = 0,
        listens: Mapping[str, Iterable[int | str]] | None = None,
        strict: bool = False,
        offline: bool = False,
        engine: str = DEFAULT_RELEASE,
    ) -> Lab:
        """Deploy a stack to a swarm in a default topology, as `docker stack deploy` does, and wait until it settles.

        The swarm has the nodes `node1`, `node2` and so on (198.51.100.11, …): first `managers`, then `workers`. A
        second machine `client` (198.51.100.200) shares their LAN; `router` and `internet` are those of
        `from_compose`. `files` are paths, or the content as a text of several lines or a mapping; later files are
        merged into earlier ones. The stack has the name of the first file, up to its first dot, unless `name` is
        given. `env` are variables for `${…}`.

        External networks, secrets and configs, and folders that services bind, are assumed to exist
        (`lab.source.notes` lists them); with `strict` they are not. `listens` and `offline` are those of
        `from_compose`. Raises `FileError` for an invalid file, `InvalidParameter` for an impossible number of nodes.
        """
        from cnmsim.lab.stack.default_topology import stack_lab

        return stack_lab(
            files, managers=managers, workers=workers, env=env or {}, name=name, listens=listens, strict=strict,
            offline=offline, engine=engine,
        )  # fmt: skip

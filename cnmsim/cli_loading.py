"""Build the lab of FILE, the first argument of most commands, according to the command's options."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click

from cnmsim.bounded_read import read_bytes
from cnmsim.cli_fix import refuse
from cnmsim.cli_output import progress, screen_width
from cnmsim.errors import CnmsimError, FileError
from cnmsim.observe.display import wrapped
from cnmsim.printable import echo, fail

if TYPE_CHECKING:
    from cnmsim.lab import Lab

_P = ParamSpec("_P")
_R = TypeVar("_R")
FILE = click.Path(exists=True, path_type=Path)


def _kind_of(path: Path) -> str:
    """Return "lab" or "compose", the kind of the file `path`, by its top-level keys; "compose" for a folder.

    Raises `FileError`.
    """
    import yaml

    if path.is_dir():
        return "compose"
    try:
        root = yaml.compose(read_bytes(path), Loader=yaml.SafeLoader)
    except OSError as error:
        raise FileError(error.strerror or str(error), path=str(path)) from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        # The Compose loader reports what is wrong, with its line.
        return "compose"
    keys = {str(key.value) for key, _ in root.value} if isinstance(root, yaml.MappingNode) else set()
    if "hosts" in keys:
        return "lab"
    if keys & {"services", "include"}:
        return "compose"
    raise FileError("neither a Compose file (services:) nor a lab file (hosts:)", path=str(path))


def load(
    files: Sequence[Path],
    engine: str | None,
    project: str | None = None,
    profiles: Sequence[str] = (),
    env_files: Sequence[Path] = (),
    epoch_s: int | None = None,
    *,
    create_external: bool = False,
    listens: Sequence[str] = (),
    strict: bool = False,
    offline: bool = False,
    swarm: tuple[int, int] | None = None,
    images: str = "hub",
) -> Lab:
    """Build the lab of a lab file or of Compose files. With `swarm`, build that of a stack.

    `swarm` is the number of managers and of workers. The other parameters are the options that `lab_options` adds.
    Raises `FileError` for an invalid file, or an option that does not apply to its kind.
    """
    from cnmsim.lab import Lab

    only_compose = {"--profile": profiles, "--env-file": env_files, "--create-external": create_external}
    others = {"--listen": listens, "--project": project, "--offline": offline}
    with progress(f"bringing up {', '.join(file.name for file in files)}"):
        if swarm is not None:
            from cnmsim.lab.stack.default_topology import stack_lab

            _refuse(only_compose, "not for stacks", files[0])
            lab = stack_lab(
                files, managers=swarm[0], workers=swarm[1], env=os.environ, name=project or "",
                listens=_listens(listens), strict=strict, offline=offline, engine=engine,
            )  # fmt: skip
            return _with_notes(lab, lab.source.notes if lab.source is not None else ())
        if _kind_of(files[0]) == "lab":
            _refuse(only_compose | others, "not for lab files (`x-cnmsim` states what listens)", files[0])
            if len(files) > 1:
                raise FileError("a lab file takes no further files", path=str(files[1]))
            lab = Lab.from_file(files[0], engine=engine, epoch_s=epoch_s, images=images)
            lab.images.is_strict = strict
            return lab
        options: dict[str, Any] = {"engine": engine} if engine else {}
        options |= {"epoch_s": epoch_s, "create_external": create_external, "strict": strict}
        options["offline"] = offline
        options["listens"] = _listens(listens)
        lab = Lab.from_compose(files, project, os.environ, profiles=profiles, env_files=env_files, **options)
    return _with_notes(lab, lab.project.notes if lab.project is not None else ())


def _with_notes(lab: Lab, notes: Iterable[str]) -> Lab:
    for note in notes:
        width = screen_width()
        echo("\n".join(wrapped(f"note: {note}", width)) if width else f"note: {note}", err=True)
    return lab


def _refuse(options: Mapping[str, object], reason: str, file: Path) -> None:
    """Raise `FileError` if one of `options` has a value. `reason` completes the error text "--option is …"."""
    for name, value in options.items():
        if value:
            raise FileError(f"{name} is {reason}", path=str(file))


def _listens(texts: Sequence[str]) -> dict[str, list[str]]:
    """Parse the values of `--listen SERVICE:PORT[/udp]` into a mapping from service to ports.

    Raises `InvalidParameter`.
    """
    from cnmsim.errors import InvalidParameter

    found: dict[str, list[str]] = {}
    for text in texts:
        service, colon, port = text.rpartition(":")
        if not colon or not service:
            raise InvalidParameter(f"--listen {text}: must be SERVICE:PORT or SERVICE:PORT/udp, such as web:8000")
        found.setdefault(service, []).append(port)
    return found


def lab_options(command: Callable[_P, _R]) -> Callable[..., _R]:
    """Add the argument FILE and its options to a command; the command receives the lab as its first argument."""

    @click.argument("file", type=FILE)
    @click.option("-f", "--file", "more", type=FILE, multiple=True, help="A further Compose file, merged over FILE.")
    @click.option("--engine", metavar="VERSION", help="Release of Docker to simulate (26.1.5, 28.5.2, 29.7.2).")
    @click.option("-p", "--project", metavar="NAME", help="Compose project name.")
    @click.option("--profile", "profiles", metavar="NAME", multiple=True, help="Compose profile to activate.")
    @click.option("--env-file", "env_files", type=FILE, multiple=True, help="Variables for ${…} in Compose files.")
    @click.option("--create-external", is_flag=True, help="Create the project's external networks first.")
    @click.option(
        "--listen", "listens", metavar="SERVICE:PORT[/udp]", multiple=True, help="State that a service listens there."
    )
    @click.option(
        "--strict",
        is_flag=True,
        help="Fail where the answer is not known: an open path is no success, an external network must exist, "
        "a health check must pass.",
    )
    @click.option("--offline", is_flag=True, help="Simulate no internet: public names and addresses do not answer.")
    @click.option("--stack", is_flag=True, help="FILE is a stack: deploy it to a swarm.")
    @click.option(
        "--managers", type=click.IntRange(min=1), default=3, show_default=True, help="Number in the swarm of --stack."
    )
    @click.option(
        "--workers", type=click.IntRange(min=0), default=0, show_default=True, help="Number in the swarm of --stack."
    )
    @wraps(command)
    def wrapped(
        file: Path, more: tuple[Path, ...], engine: str | None, project: str | None, profiles: tuple[str, ...],
        env_files: tuple[Path, ...], create_external: bool, listens: tuple[str, ...], strict: bool, offline: bool,
        stack: bool, managers: int, workers: int,
        *args: Any,
        **kwargs: Any,
    ) -> _R:  # fmt: skip
        try:
            lab = load(
                (file, *more), engine, project, profiles, env_files, create_external=create_external,
                listens=listens, strict=strict, offline=offline, swarm=(managers, workers) if stack else None,
            )  # fmt: skip
            return command(lab, *args, **kwargs)  # type: ignore[arg-type]
        except CnmsimError as error:
            text = error.message if not isinstance(error, FileError) else str(error)
            hint = " (--create-external makes it)" if "declared as external" in text and not stack else ""
            hint = "\nIs it a stack file? Then add --stack" if "not a swarm manager" in text else hint
            refuse(text + hint, error)
        except BrokenPipeError:
            raise  # click ends the command silently
        except OSError as error:
            fail(str(error))

    return wrapped

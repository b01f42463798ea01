"""Compose files (compose-spec), and starting the projects that they describe on a simulated engine."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cnmsim.errors import FileError, InvalidParameter
from cnmsim.lab.compose.document import Reader, environment, project_files
from cnmsim.lab.compose.interpolate import Variables
from cnmsim.lab.compose.model import ComposeProject
from cnmsim.lab.compose.reading import read_project
from cnmsim.lab.yamlfile import Map, Tagged, parse_documents, read_text

__all__ = ["ComposeProject", "load_project"]


def load_project(
    files: str | Path | Mapping[str, Any] | Sequence[str | Path | Mapping[str, Any]],
    project: str | None = None,
    env: Mapping[str, str] | None = None,
    profiles: Sequence[str] = (),
    *,
    env_files: Sequence[str | Path] = (),
    folder: Path | None = None,
    texts: Mapping[str, str] | None = None,
) -> ComposeProject:
    """Read the Compose files of a project; later files override earlier ones.

    An item of `files` that is a folder means the Compose file in this folder. A string of several lines, or a
    mapping, is the content of a file; relative paths in it start at `folder`. The project's name is the first of
    these that is set: `project`, `COMPOSE_PROJECT_NAME`, the key `name` in the files, the name of their folder.
    `${…}` is replaced by variables from `env` and from `env_files`. `profiles`, and those that the variable
    `COMPOSE_PROFILES` lists, are active: services of other profiles are left out. `texts` maps the path of a file to
    text that replaces the content of the file.

    Raises `FileError` for an invalid file, with file, line and key, and `InvalidParameter` for an invalid project
    name.
    """
    paths = project_files(files)
    first = paths[0]
    home = folder or (first.parent if isinstance(first, Path) else Path())
    values = environment(env, env_files, home)
    name = _project_name(project, values, paths, home)
    variables = Variables({**values, "COMPOSE_PROJECT_NAME": name})
    document = Reader(variables, home, texts or {}).read(paths)
    shown = first.place.path if isinstance(first, Map) else str(first)
    active = [*profiles, *(each for each in values.get("COMPOSE_PROFILES", "").split(",") if each)]
    warnings = [f'The "{each}" variable is not set. Defaulting to a blank string.' for each in variables.unset]
    return read_project(document, name, shown, active, variables.values, warnings)


def _project_name(requested: str | None, values: Mapping[str, str], files: Sequence[Path | Map], folder: Path) -> str:
    explicit = requested or values.get("COMPOSE_PROJECT_NAME")
    if explicit:
        if normal_name(explicit) != explicit:
            raise InvalidParameter(
                f'invalid project name "{explicit}": must consist only of lowercase alphanumeric '
                "characters, hyphens, "
                "and underscores as well as start with a letter or number"
            )
        return explicit
    name = ""
    documents = [
        document
        for file in files
        for document in (parse_documents(read_text(file), str(file)) if isinstance(file, Path) else [file])
    ]
    for document in documents:
        stated = document.get("name") if isinstance(document, Map) else None
        if isinstance(stated, str) and not isinstance(stated, Tagged):
            name = _stated_name(stated, values, document)
    name = normal_name(name) or normal_name(folder.resolve().name)
    if not name:
        shown = files[0].place.path if isinstance(files[0], Map) else str(files[0])
        raise FileError("project name must not be empty", path=shown)
    return name


def _stated_name(stated: str, values: Mapping[str, str], document: Map) -> str:
    try:
        return Variables(values).substitute(stated)
    except ValueError as error:
        raise document.places["name"].error(str(error), "name") from None


def normal_name(name: str) -> str:
    """Return `name` without characters that a project's name may not contain (compose-go `NormalizeProjectName`)."""
    return "".join(re.findall(r"[a-z0-9_-]", name.lower())).lstrip("_-")

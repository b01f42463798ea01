"""Reading of a project's files into one document: variables, `include`, `extends` and merging."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field

from cnmsim.errors import FileError, InvalidParameter
from cnmsim.lab.compose.dotenv import read_env_file
from cnmsim.lab.compose.extends import extend_services, message_about
from cnmsim.lab.compose.interpolate import Variables, interpolate
from cnmsim.lab.compose.merge import MergeError, merge, strip_tags, unique
from cnmsim.lab.compose.schema import COMPOSE_SCHEMA
from cnmsim.lab.schema import check
from cnmsim.lab.yamlfile import Map, Place, Seq, parse_documents, parse_yaml, read_text, wrong

#: The file names that Compose looks for in a folder, in that order.
DEFAULT_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
_OVERRIDES = (
    "compose.override.yaml",
    "compose.override.yml",
    "docker-compose.override.yaml",
    "docker-compose.override.yml",
)
_SHARED = ("services", "networks", "volumes", "secrets", "configs")
_MOST_FILES = 200

File = Path | Map


def project_files(given: str | Path | Mapping[str, Any] | Sequence[str | Path | Mapping[str, Any]]) -> list[File]:
    """Return the files of a project, each as a path or as content that was parsed already.

    A folder means the Compose file in it, and its override file if there is one. A string of several lines is parsed
    as a Compose file; a mapping is the content of one. Raises `FileError` for a folder without a Compose file, and
    for content that is not YAML.
    """
    if not isinstance(given, (str, Path, Mapping, Sequence)):
        raise InvalidParameter(f"{given!r} is no Compose file: pass its path, its text, or its content as a mapping")
    several = [given] if isinstance(given, str | Path | Mapping) else list(given)
    files: list[File] = []
    for each in several:
        if isinstance(each, Map):
            files.append(each)
        elif isinstance(each, Mapping) or (isinstance(each, str) and "\n" in each):
            files.append(_inline(each))
        elif Path(each).is_dir():
            files += _files_of_folder(Path(each))
        else:
            files.append(Path(each))
    if not files:
        raise FileError("no configuration file provided: not found", path="compose.yaml")
    return files


def _inline(given: str | Mapping[str, Any]) -> Map:
    """Parse the content of a Compose file, given as YAML text or as a mapping of plain values.

    Raises `FileError` if it is not YAML or not a mapping.
    """
    import yaml

    name = "(text)" if isinstance(given, str) else "(mapping)"
    try:
        text = given if isinstance(given, str) else yaml.safe_dump(dict(given), sort_keys=False)
    except yaml.YAMLError as error:
        raise FileError(f"yaml: {str(error).splitlines()[0]}", path=name) from None
    read = parse_yaml(text, name)
    if not isinstance(read, Map):
        raise FileError("top-level object must be a mapping", path=name)
    return read


def _files_of_folder(folder: Path) -> list[File]:
    main = next((folder / name for name in DEFAULT_NAMES if (folder / name).exists()), None)
    if main is None:
        raise FileError("no configuration file provided: not found", path=str(folder))
    override = next((folder / name for name in _OVERRIDES if (folder / name).exists()), None)
    return [main] if override is None else [main, override]


@define
class Reader:
    """Reads the files of one project.

    `variables` are the values for `${…}`. Relative paths in content that is given as text start at `folder`. `texts`
    maps the path of a file to text that replaces the content of the file.
    """

    variables: Variables
    folder: Path
    texts: Mapping[str, str] = field(factory=dict)
    _open: tuple[str, ...] = ()
    _count: list[int] = field(factory=lambda: [0])

    def read(self, files: Sequence[File]) -> Map:
        """Read files and return them merged into one validated document; later files override earlier ones.

        Raises `FileError` if a file is unreadable or invalid.
        """
        document = Map(Place(_name(files[0]), 1))
        for file in files:
            for part in self._parts(file):
                document = self._lay(document, part)
        document = unique(document)
        assert isinstance(document, Map)
        check(document, COMPOSE_SCHEMA, _name(files[0]))
        return document

    def _lay(self, base: Map, over: Map) -> Map:
        try:
            merged = merge(base, over)
        except MergeError as error:
            raise error.place.error(str(error), error.key) from None
        assert isinstance(merged, Map)
        return merged

    def _parts(self, file: File) -> Iterator[Map]:
        """Yield the YAML documents of one file, each with `include` and `extends` resolved (`_part`).

        The caller merges them as if they were separate files (compose-go `loadYamlFile`). Raises `FileError` if a
        file includes itself.
        """
        name = _name(file)
        if name in self._open:
            raise FileError(f"include cycle detected: {' includes '.join((*self._open, name))}", path=name)
        folder = file.parent if isinstance(file, Path) else self.folder
        for document in self._documents(file):
            yield self._part(document, folder, name)

    def _part(self, document: Map, folder: Path, name: str) -> Map:
        """Return one YAML document with `include` and `extends` resolved.

        The content of included files is added, and each service is merged over the one that it extends.
        """
        included = self._included(document, folder, name)
        own = Map(document.place)
        for key, value in document.items():
            if key != "include":
                own.put(key, value, document.places[key])
        services = own.get("services")
        if isinstance(services, Map):
            own["services"] = extend_services(services, own, folder, name, self._document)
        return own if included is None else _join(included, own, name)

    def _document(self, file: File) -> Map:
        """Read one file without processing `include` and `extends`."""
        whole, *others = self._documents(file)
        for other in others:
            whole = self._lay(whole, other)
        return whole

    def _documents(self, file: File) -> list[Map]:
        self._count[0] += 1
        if self._count[0] > _MOST_FILES:
            raise FileError(f"the project is made of more than {_MOST_FILES} files", path=_name(file))
        read = parse_documents(self._text(file), str(file)) if isinstance(file, Path) else [file]
        given = [each for each in read if each is not None]
        if not given:
            raise FileError("empty compose file", path=_name(file))
        return [self._checked(each, file) for each in given]

    def _text(self, file: Path) -> str:
        return self.texts[str(file)] if str(file) in self.texts else read_text(file)

    def _checked(self, read: Any, file: File) -> Map:
        name = _name(file)
        if not isinstance(read, Map):
            raise FileError("Top-level object must be a mapping", path=name, line=1)
        document: Map = interpolate(read, self.variables, name)
        if "hosts" in document and "services" not in document:
            raise FileError("this is a lab file, not a Compose file: Lab.from_file reads it", path=name)
        check(_untagged(document), COMPOSE_SCHEMA, name)
        folder = file.parent if isinstance(file, Path) else self.folder
        _anchor_paths(document, folder)
        return document

    # ---- include

    def _included(self, document: Map, folder: Path, name: str) -> Map | None:
        total: Map | None = None
        includes = document.get("include", ())
        for number, entry in enumerate(includes):
            try:
                part = self._include(entry, folder, name)
            except FileError as error:
                if error.line is None:  # a file that does not exist or is being read: name the file that includes it
                    raise wrong(document, ("include", number), message_about(error, name), name) from None
                raise
            total = part if total is None else _join(total, part, name)
        return total

    def _include(self, entry: Any, folder: Path, name: str) -> Map:
        options = entry if isinstance(entry, Map) else {"path": entry}
        paths = [options["path"]] if isinstance(options["path"], str) else list(options["path"])
        files = [folder / each for each in paths]
        home = folder / options["project_directory"] if "project_directory" in options else files[0].parent
        values = dict(self.variables.values)
        env_files = options.get("env_file", [home / ".env"] if (home / ".env").is_file() else [])
        for each in [env_files] if isinstance(env_files, str) else env_files:
            read = read_env_file(folder / each, values)
            values = {**read, **values}
        variables = Variables(values)
        inner = Reader(variables, home, self.texts, (*self._open, name), self._count)
        part = inner.read(files)
        self.variables.unset += [each for each in variables.unset if each not in self.variables.unset]
        return part


def _name(file: File) -> str:
    return file.place.path if isinstance(file, Map) else str(file)


def _untagged(document: Map) -> Map:
    stripped = strip_tags(document)
    assert isinstance(stripped, Map)
    return stripped


def _join(included: Map, own: Map, name: str) -> Map:
    """Return the document `own`, extended by the services, networks and so on of an included file.

    `name` is the file that errors name. Raises `FileError` if both documents define the same object with different
    content.
    """
    joined = own.copy()
    for section in _SHARED:
        theirs = included.get(section)
        if not isinstance(theirs, Map):
            continue
        ours = own.get(section)
        together = ours.copy() if isinstance(ours, Map) else Map(theirs.place)
        for key, value in theirs.items():
            if key in together and together[key] != value:
                raise wrong(own, (section, key), "conflicts with imported resource", name)
            if key not in together:
                together.put(key, value, theirs.places[key])
        joined.put(section, together, joined.places.get(section, theirs.place))
    return joined


def _anchor_paths(document: Map, folder: Path) -> None:
    """Make the `env_file` paths of the services in a document absolute, in place; they are relative to `folder`."""
    services = document.get("services")
    for service in services.values() if isinstance(services, Map) else ():
        if not isinstance(service, Map) or "env_file" not in service:
            continue
        given = service["env_file"]
        if isinstance(given, str):
            service["env_file"] = str(folder / given)
        elif isinstance(given, Seq):
            for number, item in enumerate(given):
                if isinstance(item, str):
                    given[number] = str(folder / item)
                elif isinstance(item, Map):
                    item["path"] = str(folder / item["path"])


def environment(env: Mapping[str, str] | None, env_files: Sequence[str | Path], folder: Path) -> dict[str, str]:
    """Return the variables of a project, from `env` and from its env files; `env` takes precedence.

    The env files are `env_files` or, if this is empty, the file `.env` in `folder`. Raises `FileError` if an env file
    is unreadable or invalid.
    """
    outer = dict(env or {})
    values: dict[str, str] = {}
    files = (
        [Path(each) for each in env_files] if env_files else [folder / ".env"] if (folder / ".env").is_file() else []
    )
    for file in files:
        values.update(read_env_file(file, {**values, **outer}))
    return {**values, **outer}

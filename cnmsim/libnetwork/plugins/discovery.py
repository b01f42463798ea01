"""Plugin discovery: sockets, `.spec` files and `.json` files in folders.

The caller passes the folders. Those of a real engine are `SYSTEM_FOLDERS`, which are not searched by default. Source:
moby `pkg/plugins/{discovery,plugins}.go` (docker-v29.7.2).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from attrs import frozen

from cnmsim.bounded_read import read_bytes
from cnmsim.errors import SystemFault

#: The folders of a real engine: one for sockets, and those for `.spec` and `.json` files.
SYSTEM_FOLDERS = ("/run/docker/plugins", "/etc/docker/plugins", "/usr/lib/docker/plugins")


@frozen
class TlsFiles:
    """The `TLSConfig` of a `.json` file: paths of the CA's certificate, and of the client's certificate and key.

    All are optional. If `skip_verify` is True, the plugin's certificate is not verified.
    """

    ca: str = ""
    certificate: str = ""
    key: str = ""
    skip_verify: bool = False


@frozen
class PluginAddress:
    """The URL of a plugin (`unix:///run/x.sock`, `tcp://127.0.0.1:8080`, `https://…`) and its TLS files."""

    name: str
    url: str
    tls: TlsFiles | None = None


def find_plugin(name: str, folders: Sequence[Path]) -> PluginAddress | None:
    """Find a plugin by name. Return its address, or `None` if there is none.

    First all folders are searched for a socket, then each folder for a `.spec` file and for a `.json` file. A file
    may be in the folder itself or in a subfolder with the plugin's name. Raises `SystemFault` if the file found is
    invalid.
    """
    for path in _candidates(folders, name, ".sock"):
        if _is_socket(path):
            return PluginAddress(name, f"unix://{path.absolute()}", TlsFiles(skip_verify=True))
    for folder in folders:
        for suffix, read in ((".spec", _read_spec), (".json", _read_json)):
            for path in _candidates([folder], name, suffix):
                if path.exists():
                    return read(name, path)
    return None


def _candidates(folders: Iterable[Path], name: str, suffix: str) -> Iterator[Path]:
    if not name or "/" in name or name in {".", ".."}:
        return
    for folder in folders:
        yield folder / f"{name}{suffix}"
        yield folder / name / f"{name}{suffix}"


def scan_plugins(folders: Sequence[Path]) -> list[str]:
    """Return the names of all plugins in the folders, sorted."""
    plugins: set[str] = set()
    for folder in folders:
        try:
            entries = [(entry.name, Path(entry.path)) for entry in os.scandir(folder)]
        except OSError:
            continue
        for name, path in entries:
            inside = [path / f"{name}{suffix}" for suffix in (".sock", ".spec", ".json")] if path.is_dir() else [path]
            if any(
                _is_socket(candidate) if candidate.suffix == ".sock" else candidate.is_file()
                for candidate in inside
                if candidate.suffix
            ):
                plugin = name if path.is_dir() else path.stem
                if path.is_dir() or path.suffix in {".sock", ".spec", ".json"}:
                    plugins.add(plugin)
    return sorted(plugins)


def _is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.stat().st_mode)
    except (OSError, ValueError):  # a name with a null byte
        return False


def _read_spec(name: str, path: Path) -> PluginAddress:
    try:
        url = read_bytes(path).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SystemFault(_unreadable(path, error)) from None
    if not urlsplit(url).scheme:
        raise SystemFault("Unknown protocol")
    return PluginAddress(name, url, TlsFiles(skip_verify=True))


def _read_json(name: str, path: Path) -> PluginAddress:
    from cnmsim.gojson.scanner import GoJsonError
    from cnmsim.gojson.unmarshal import Bool, Nullable, Str, Struct, unmarshal

    tls = Struct("tlsconfig.Options", (Bool("InsecureSkipVerify"), Str("CAFile"), Str("CertFile"), Str("KeyFile")))
    try:
        content = read_bytes(path)
    except OSError as error:
        raise SystemFault(_unreadable(path, error)) from None
    try:
        read = unmarshal(content, Struct("plugins.Plugin", (Str("Addr"), Nullable("TLSConfig", tls))))
    except GoJsonError as error:
        raise SystemFault(str(error)) from None
    options = read["TLSConfig"]
    if options is None:
        return PluginAddress(name, read["Addr"])
    ca = options["CAFile"]
    skips_verification = options["InsecureSkipVerify"] or not ca
    return PluginAddress(
        name, read["Addr"], TlsFiles(ca, options["CertFile"], options["KeyFile"], skips_verification)
    )


def _unreadable(path: Path, error: Exception) -> str:
    cause = (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)
    return f"open {path}: {cause}"

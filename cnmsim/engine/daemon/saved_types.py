"""The types of the objects that a daemon saves.

A state file may be damaged or forged, even with correct checksums. Each object is therefore converted to one of these
types before it is used: a wrong value raises an error that names the object and the field.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from attrs import define, field, frozen

from cnmsim.engine.containers.container import EndpointSettings, Mount
from cnmsim.engine.containers.state import ContainerState
from cnmsim.engine.images.images import Image
from cnmsim.errors import CnmsimError, InvalidParameter
from cnmsim.libnetwork.options import NetworkOptions
from cnmsim.swarm.persistence.serialization import from_plain

_T = TypeVar("_T")
#: How much of an object's name and of an error's text is shown, in characters: a file may have more.
_MOST_NAME, _MOST_TEXT = 80, 400


@frozen
class SavedImage:
    """A saved image. `present` is False for an image that was removed although containers were created from it."""

    image: Image
    present: bool

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> SavedImage:
        """Create the object from JSON types: the fields of the image, and `present`.

        Raises `ValueError`, whose text names the field, if a value has the wrong type.
        """
        image = {key: value for key, value in data.items() if key != "present"}
        return read_saved(cls, {"image": image, "present": data["present"]})


@frozen
class SavedVolume:
    """A saved volume. `owner` is (mode, user, group, time) of its directory."""

    name: str
    created_ns: int
    labels: dict[str, str] | None
    options: dict[str, str] | None
    files: dict[str, list[Any]] = field(factory=dict)
    owner: tuple[int, int, int, int] | None = None


@frozen
class SavedPool:
    """One address pool of a saved network."""

    subnet: str
    ip_range: str = ""
    gateway: str = ""
    aux_addresses: dict[str, str] = field(factory=dict)
    pool_id: str = ""


@frozen
class SavedNetwork:
    """A saved network. Predefined networks and those of a swarm are not saved."""

    id: str
    name: str
    driver: str
    created_ns: int
    options: NetworkOptions
    has_ipam_options: bool
    pools: list[SavedPool]


@define
class SavedContainer:
    """A saved container. `config` and `host_config` are the API's objects, `image` is the id of the image.

    `ran` is True if the container is to be started when the state is restored. `log` has (time in ns, stream, text)
    for each line. `layer` holds the files that differ from the image, in the format of `save_tree`, and `removed` the
    paths of files of the image that the container has removed. `files` is used instead of `layer`, only in state
    files of versions 1 and 2.
    """

    id: str
    name: str
    created_ns: int
    config: dict[str, Any]
    host_config: dict[str, Any]
    exit_code: int
    error: str
    started_ns: int | None
    finished_ns: int | None
    restart_count: int
    was_stopped: bool
    ports: dict[str, list[dict[str, str]] | None]
    sandbox_id: str
    sandbox_key: str
    has_been_started: bool
    links: dict[str, str]
    image: str
    state: ContainerState
    ran: bool
    networks: dict[str, EndpointSettings]
    mounts: list[Mount]
    log: list[tuple[int, str, str]]
    is_managed: bool = False
    layer: dict[str, list[Any]] = field(factory=dict)
    removed: list[str] = field(factory=list)
    files: dict[str, tuple[str, int]] = field(factory=dict)


def read_saved(kind: type[_T], data: Mapping[str, Any]) -> _T:
    """Convert JSON types to an object of the class `kind`.

    Raises `ValueError`, whose text names the field, if a value has the wrong type.
    """
    value: _T = from_plain(kind, data)
    return value


@contextmanager
def restoring(kind: str, data: Any) -> Iterator[None]:
    """Convert errors that the block raises to `InvalidParameter`, whose text names the saved object `data`.

    `kind` is the object's kind, such as "volume".
    """
    try:
        yield
    except (CnmsimError, OSError, LookupError, TypeError, ValueError, AttributeError) as error:
        name = data.get("name") or data.get("id") if isinstance(data, dict) else data
        message = error.message if isinstance(error, CnmsimError) else str(error)
        raise InvalidParameter(f"{kind} {str(name)[:_MOST_NAME]}: {message[:_MOST_TEXT].lstrip('.')}") from None

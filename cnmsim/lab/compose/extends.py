"""`extends` of Compose services (compose-spec, 05-services; compose-go `ApplyExtends`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cnmsim.errors import FileError
from cnmsim.lab.compose.merge import MergeError, merge, strip_tags
from cnmsim.lab.yamlfile import Map, Tagged, wrong

#: The maximum length of a chain of services that extend one another.
_DEEPEST = 200


def extend_services(services: Map, document: Map, folder: Path, name: str, read: Callable[[Path], Map]) -> Map:
    """Return the services of a document, each merged over the service that it extends.

    `document` was read from the file `name` in `folder`. `read` returns the content of another file, without
    processing its `extends`. Raises `FileError` with line and key if the extended service does not exist, or for a
    cycle.
    """
    extended = Map(services.place)
    for key in services:
        extended.put(key, _service(document, key, folder, name, (), read), services.places[key])
    return extended


def _service(
    document: Map, key: str, folder: Path, name: str, chain: tuple[tuple[str, str], ...], read: Callable[[Path], Map]
) -> Any:
    """Return the service `key` of a document, merged over the service that it extends.

    `name` is the file of the document, in `folder`; `read` reads another file. `chain` lists, as (key, file), the
    services that extend this one directly or indirectly, to detect cycles.
    """
    service = document["services"][key]
    if not isinstance(service, Map) or "extends" not in service:
        return service
    here = (key, name)
    if here in chain:
        steps = " extends ".join(f"{service_name} in {path}" for service_name, path in (*chain, here))
        raise wrong(document, ("services", key, "extends"), f"circular reference: {steps}", name)
    extends = service["extends"]
    options = {"service": extends} if isinstance(extends, str) else extends
    if isinstance(extends, Tagged):
        return service
    base_name = options["service"]
    other, other_folder, other_name = document, folder, name
    if "file" in options:
        path = folder / options["file"]
        try:
            other, other_folder, other_name = read(path), path.parent, str(path)
        except FileError as error:
            if error.line is None:
                raise wrong(
                    document, ("services", key, "extends", "file"), message_about(error, name), name
                ) from None
            raise
    others = other.get("services")
    if not isinstance(others, Map) or base_name not in others:
        text = f"cannot extend service {key!r} in {name}: service {base_name!r} not found in {other_name}"
        raise wrong(document, ("services", key, "extends"), text, name)
    if len(chain) > _DEEPEST:
        raise wrong(document, ("services", key, "extends"), "services extend one another too deeply", name)
    base = _service(other, base_name, other_folder, other_name, (*chain, here), read)
    own = service.copy()
    del own["extends"], own.places["extends"]
    try:
        return merge(strip_tags(base), own, ("services", key))
    except MergeError as error:
        raise error.place.error(str(error), error.key) from None


def message_about(error: FileError, name: str) -> str:
    """Return the message of an error without the file name `name` at its beginning."""
    return error.message.removeprefix(f"{name}: ")

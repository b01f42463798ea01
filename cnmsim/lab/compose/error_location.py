"""Find the line of a Compose file, stack file or lab file that caused an engine's error.

It is the line of the value that the engine refused (`EngineError.value`). For an error without one, it is the line of
a value that the error's message quotes or mentions, or else of a setting whose name the message contains.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cnmsim.errors import EngineError, refused_value
from cnmsim.kernel.address import Prefix, parse_ip
from cnmsim.lab.compose.model import ComposeProject, Network, Service
from cnmsim.lab.compose.port_syntax import parse_port
from cnmsim.lab.yamlfile import Key

#: Words in messages about a service, each with the setting that it refers to.
_SETTINGS = {"image": "image", "address": "networks", "network": "networks", "link": "links", "alias": "networks"}
#: The shortest text for which a message is searched.
_SHORTEST = 4


def keys_of_network_error(project: ComposeProject, network: Network, error: EngineError) -> tuple[Key, ...]:
    """Return the path of keys to the setting that the engine's `error` about a network concerns.

    If no setting can be identified, it is the path of the network itself: `("networks", KEY)`.
    """
    given = (project.document.get("networks") or {}).get(network.key)
    return keys_in_network(given, ("networks", network.key), error)


def keys_in_network(given: Any, at: tuple[Key, ...], error: EngineError) -> tuple[Key, ...]:
    """Return the path of the setting in `given`, the declaration of a network at `at`, that an error concerns."""
    return refused_keys(given, at, error) or mentioned_keys(given, at, error.message) or at


def keys_of_service_error(project: ComposeProject, service: Service, error: EngineError) -> tuple[Key, ...]:
    """Return the path of keys to the setting that the engine's `error` about a service concerns.

    It is a setting of the service or of one of its networks. If no setting can be identified, it is the path of the
    service itself: `("services", NAME)`.
    """
    at: tuple[Key, ...] = ("services", service.name)
    given = project.document["services"][service.name]
    names = {key: network.name for key, network in project.networks.items()}
    exact = refused_keys(given, at, error, names)
    for use in () if exact else service.networks:
        declared = (project.document.get("networks") or {}).get(use.network)
        exact = exact or refused_keys(declared, ("networks", use.network), error)
    if exact:
        return exact
    found = mentioned_keys({key: value for key, value in given.items() if key != "image"}, at, error.message)
    words = (key for word, key in _SETTINGS.items() if word in error.message.lower() and key in given)
    return found or next(((*at, key) for key in words), at)


def refused_keys(
    given: Any, at: tuple[Key, ...], error: BaseException, names: Mapping[str, str] | None = None
) -> tuple[Key, ...] | None:
    """Return the path, in the document, of the key or value in `given` that the engine refused.

    The refused value is `refused_value(error)`. If it occurs several times, return the longest path; if it does not
    occur in `given`, return `None`. `at` is the path of `given` in the document. `names` maps the keys of networks to
    their names in the engine.
    """
    value = refused_value(error)
    matches = [keys for keys, text in _texts(given, at) if value and _is_same(text, value, names or {})]
    return max(matches, key=len, default=None)


def mentioned_keys(given: Any, at: tuple[Key, ...], message: str) -> tuple[Key, ...] | None:
    """Return the path of a string in `given` that an error's message contains; `None` if there is none.

    A string that the message quotes is preferred, then the longest one. `at` is the path of `given` in the document.
    """
    found = [
        (f"'{text}'" in message or f'"{text}"' in message, len(text), -number, keys)
        for number, (keys, text) in enumerate(_texts(given, at))
        if len(text) >= _SHORTEST and text in message
    ]
    return max(found)[-1] if found else None


def _texts(value: Any, at: tuple[Key, ...]) -> Iterator[tuple[tuple[Key, ...], str]]:
    """Yield the path and the text of each scalar below `value` and of each key, and for ports the published port."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield (*at, key), key
            yield from _texts(item, (*at, key))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for number, item in enumerate(value):
            if at[-1:] == ("ports",):
                yield from (((*at, number), port) for port in _published(item))
            else:
                yield from _texts(item, (*at, number))
    elif isinstance(value, str):
        yield at, value


def _published(item: Any) -> Iterator[str]:
    """Yield the host ports that an item of `ports` publishes."""
    try:
        for mapping in parse_port(item):
            low, _, high = mapping.published.partition("-")
            yield from map(str, range(int(low or 0), int(high or low or 0) + 1) if low else ())
    except ValueError:
        return


def _is_same(text: str, value: str, names: Mapping[str, str]) -> bool:
    if value in {text, names.get(text), text.partition("=")[0]}:
        return True
    for parse in (parse_ip, lambda part: Prefix.parse(part, strict=False)):
        try:
            return bool(parse(text) == parse(value))
        except ValueError:
            continue
    return False

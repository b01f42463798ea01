"""Find the line of a Compose file that caused an engine's error.

It is the line of the value that the error message quotes, or else of a setting that the message mentions.
"""

from __future__ import annotations

from typing import Any

from cnmsim.lab.compose.model import ComposeProject, Network, Service
from cnmsim.lab.yamlfile import Key


def keys_of_network_error(project: ComposeProject, network: Network, message: str) -> tuple[Key, ...]:
    """Return the path of keys to the setting that the engine's error `message` about a network concerns.

    If no setting can be identified, it is the path of the network itself: `("networks", KEY)`.
    """
    at: tuple[Key, ...] = ("networks", network.key)
    given = (project.document.get("networks") or {}).get(network.key)
    if not isinstance(given, dict):
        return at
    exact = holding(given, message, at)
    if exact is not None:
        return exact
    if "pool" in message.lower() or "subnet" in message.lower() or "overlap" in message.lower():
        pools = given.get("ipam", {}).get("config", ())
        if pools and "subnet" in pools[0]:
            return (*at, "ipam", "config", 0, "subnet")
    return at


def keys_of_service_error(project: ComposeProject, service: Service, message: str) -> tuple[Key, ...]:
    """Return the path of keys to the setting that the engine's error `message` about a service concerns.

    If no setting can be identified, it is the path of the service itself: `("services", NAME)`.
    """
    at: tuple[Key, ...] = ("services", service.name)
    given = project.document["services"][service.name]
    for number, port in enumerate(given.get("ports", ())):
        published = str(port.get("published", "")) if isinstance(port, dict) else str(port)
        if any(f":{word} " in f"{message} " for word in published.replace("/", ":").split(":") if word):
            return (*at, "ports", number)
    if "port" in message and "ports" in given and "allocated" in message:
        return (*at, "ports")
    exact = holding({key: value for key, value in given.items() if key not in {"image", "ports"}}, message, at)
    if exact is not None:
        return exact
    words = {"image": "image", "address": "networks", "network": "networks", "link": "links", "alias": "networks"}
    for word, key in words.items():
        if word in message.lower() and key in given:
            return (*at, key)
    return at


def holding(value: Any, message: str, at: tuple[Key, ...]) -> tuple[Key, ...] | None:
    """Return the path of keys to the first string in `value` that the message quotes; `None` if there is none.

    `at` is the path of `value` in the document; the result begins with it.
    """
    if isinstance(value, dict):
        for key, item in value.items():
            found = holding(item, message, (*at, key))
            if found is not None:
                return found
    elif isinstance(value, list):
        for number, item in enumerate(value):
            found = holding(item, message, (*at, number))
            if found is not None:
                return found
    elif isinstance(value, str) and len(value) > 3 and value in message:
        return at
    return None

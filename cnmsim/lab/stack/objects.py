"""The networks, secrets and configs of a stack as the API's bodies.

Source: docker/cli `cli/compose/convert/compose.go`, `cli/compose/loader/loader.go` (v29.7.2).
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import define, field

from cnmsim.errors import FileError
from cnmsim.lab.stack.document import StackDocument
from cnmsim.lab.stack.values import pairs
from cnmsim.lab.yamlfile import Key

LABEL_NAMESPACE = "com.docker.stack.namespace"
#: The network of a service that names none.
DEFAULT_NETWORK = "default"


@define
class StackObjects:
    """What a stack declares besides services. `notices` collects what the docker command would say."""

    stack: str
    document: StackDocument
    folder: Path
    notices: list[str] = field(factory=list)

    @property
    def label(self) -> dict[str, str]:
        """What marks an object as the stack's."""
        return {LABEL_NAMESPACE: self.stack}

    def scoped(self, name: str) -> str:
        """Give a name with the stack's before it."""
        return f"{self.stack}_{name}"

    def name_of(self, section: str, key: str) -> str:
        """Give the name by which the swarm knows what is declared under a key. Raises `FileError`."""
        given = self.document.section(section).get(key) or {}
        external = given.get("external", False)
        stated = given.get("name") or ""
        if isinstance(external, Mapping):
            kind = section.removesuffix("s")
            if external.get("name"):
                if stated:
                    text = f"{kind} {key}: {kind}.external.name and {kind}.name conflict; only use {kind}.name"
                    raise self.document.error(text, section, key, "name")
                notice = f"{kind} {key}: {kind}.external.name is deprecated in favor of {kind}.name"
                if notice not in self.notices:
                    self.notices.append(notice)
            return str(external.get("name") or stated or key)
        return str(stated or (key if external else self.scoped(key)))

    def is_external(self, section: str, key: str) -> bool:
        """Tell whether something is declared to be there already."""
        external = (self.document.section(section).get(key) or {}).get("external", False)
        return isinstance(external, Mapping) or bool(external)

    def check(self) -> None:
        """Check what is declared but may not be used. Raises `FileError`."""
        for section in ("networks", "volumes", "secrets", "configs"):
            for key in self.document.section(section):
                self.name_of(section, key)
        for key, given in self.document.section("volumes").items():
            for other in ("driver", "driver_opts", "labels"):
                if self.is_external("volumes", key) and given.get(other):
                    text = f'conflicting parameters "external" and "{other}" specified for volume "{key}"'
                    raise self.document.error(text, "volumes", key, other)

    # ---- networks

    def networks(self, used: Iterator[str] | list[str]) -> tuple[dict[str, dict[str, Any]], list[str]]:
        """Give the bodies of the networks in use, by name, and the names of those that have to be there."""
        bodies: dict[str, dict[str, Any]] = {}
        external: list[str] = []
        for key in dict.fromkeys(used):
            name = self.name_of("networks", key)
            if self.is_external("networks", key):
                external.append(name)
            else:
                bodies[name] = network_body(name, self.document.section("networks").get(key) or {}, self.label)
        return bodies, external

    # ---- secrets and configs

    def secrets(self) -> list[dict[str, Any]]:
        """Give the bodies of the secrets to make. Raises `FileError`."""
        return [self._content("secrets", key) for key in self._own("secrets")]

    def configs(self) -> list[dict[str, Any]]:
        """Give the bodies of the configs to make. Raises `FileError`."""
        return [self._content("configs", key) for key in self._own("configs")]

    def _own(self, section: str) -> list[str]:
        return [key for key in self.document.section(section) if not self.is_external(section, key)]

    def _content(self, section: str, key: str) -> dict[str, Any]:
        given = self.document.section(section)[key]
        kind = section.removesuffix("s")
        body: dict[str, Any] = {
            "Name": self.name_of(section, key),
            "Labels": {**pairs(given.get("labels", {})), **self.label},
        }
        if given.get("driver"):
            if given.get("file"):
                text = f"{kind} {key}: {kind}.driver and {kind}.file conflict; only use {kind}.driver"
                raise self.document.error(text, section, key, "file")
            body["Data"] = ""
            body["Driver"] = {"Name": given["driver"], "Options": pairs(given.get("driver_opts", {}))}
        else:
            body["Data"] = b64encode(self._read(given.get("file", ""), section, key)).decode()
        if given.get("template_driver"):
            body["Templating"] = {"Name": given["template_driver"]}
        return body

    def _read(self, file: str, section: str, key: str) -> bytes:
        path = self.folder / file
        at: tuple[Key, ...] = (section, key, "file") if file else (section, key)
        try:
            return path.read_bytes()
        except IsADirectoryError:
            raise self.document.error(f"read {path}: is a directory", *at) from None
        except OSError as failed:
            reason = (failed.strerror or str(failed)).lower()
            raise self.document.error(f"open {path}: {reason}", *at) from None
        except ValueError as odd:  # a path with a null byte
            raise self.document.error(str(odd), *at) from None


def network_body(name: str, given: Mapping[str, Any], label: Mapping[str, str]) -> dict[str, Any]:
    """Make the body of `POST /networks/create` of what a file says of a network: an overlay unless it names a driver."""
    ipam = given.get("ipam") or {}
    body: dict[str, Any] = {
        "Name": name,
        "Driver": given.get("driver") or "overlay",
        "Options": pairs(given.get("driver_opts", {})) or None,
        "Internal": given.get("internal", False),
        "Attachable": given.get("attachable", False),
        "Labels": {**pairs(given.get("labels", {})), **label},
    }
    if ipam.get("driver") or ipam.get("config"):
        pools = [{"Subnet": pool.get("subnet", "")} for pool in ipam.get("config", ())]
        body["IPAM"] = {"Driver": ipam.get("driver", ""), "Config": pools}
    return body


def undefined(document: StackDocument, section: str, key: str, service: str, *at: Key) -> FileError:
    """Make the error that a service uses what no section declares."""
    return document.error(f'service {service}: undefined {section.removesuffix("s")} "{key}"', *at)

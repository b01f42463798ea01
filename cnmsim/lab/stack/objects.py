"""Conversion of a stack's networks, secrets and configs to request bodies of the Engine API.

Source: docker/cli `cli/compose/convert/compose.go`, `cli/compose/loader/loader.go` (v29.7.2).
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import define, field

from cnmsim.bounded_read import read_bytes
from cnmsim.errors import FileError
from cnmsim.lab.compose.scalars import string_map
from cnmsim.lab.stack.document import StackDocument
from cnmsim.lab.yamlfile import Key

LABEL_NAMESPACE = "com.docker.stack.namespace"
#: The key of the network to which a service without `networks` is attached.
DEFAULT_NETWORK = "default"


@define
class StackObjects:
    """The networks, volumes, secrets and configs that a stack declares.

    `notices` collects the docker command's warnings.
    """

    stack: str
    document: StackDocument
    folder: Path
    notices: list[str] = field(factory=list)

    @property
    def label(self) -> dict[str, str]:
        """The label that marks an object as part of the stack, as a dict with one entry."""
        return {LABEL_NAMESPACE: self.stack}

    def scoped_name(self, name: str) -> str:
        """Return the name with the stack's name as prefix, such as `shop_web`."""
        return f"{self.stack}_{name}"

    def name_of(self, section: str, key: str) -> str:
        """Return the name in the swarm of the object that the stack file declares under `key` in a section.

        `section` is `networks`, `volumes`, `secrets` or `configs`. Raises `FileError` for contradictory names.
        """
        declaration = self.document.section(section).get(key) or {}
        external = declaration.get("external", False)
        name = declaration.get("name") or ""
        if isinstance(external, Mapping):
            kind = section.removesuffix("s")
            if external.get("name"):
                if name:
                    text = f"{kind} {key}: {kind}.external.name and {kind}.name conflict; only use {kind}.name"
                    raise self.document.error(text, section, key, "name")
                notice = f"{kind} {key}: {kind}.external.name is deprecated in favor of {kind}.name"
                if notice not in self.notices:
                    self.notices.append(notice)
            return str(external.get("name") or name or key)
        return str(name or (key if external else self.scoped_name(key)))

    def is_external(self, section: str, key: str) -> bool:
        """Return True if an object is declared as external, i.e. the stack uses it but does not create it."""
        external = (self.document.section(section).get(key) or {}).get("external", False)
        return isinstance(external, Mapping) or bool(external)

    def check(self) -> None:
        """Raise `FileError` if a declaration has conflicting options."""
        for section in ("networks", "volumes", "secrets", "configs"):
            for key in self.document.section(section):
                self.name_of(section, key)
        for key, declaration in self.document.section("volumes").items():
            for other in ("driver", "driver_opts", "labels"):
                if self.is_external("volumes", key) and declaration.get(other):
                    text = f'conflicting parameters "external" and "{other}" specified for volume "{key}"'
                    raise self.document.error(text, "volumes", key, other)

    # ---- networks

    def networks(self, used: Iterator[str] | list[str]) -> tuple[dict[str, dict[str, Any]], list[str]]:
        """Return the request bodies of the networks to create, by name, and the names of the external networks.

        `used` are the keys of the networks that services use; other networks are ignored.
        """
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
        """Return the request bodies of the secrets to create.

        Raises `FileError` if a secret's declaration is invalid or its file cannot be read.
        """
        return [self._content("secrets", key) for key in self._non_external("secrets")]

    def configs(self) -> list[dict[str, Any]]:
        """Return the request bodies of the configs to create.

        Raises `FileError` if a config's declaration is invalid or its file cannot be read.
        """
        return [self._content("configs", key) for key in self._non_external("configs")]

    def _non_external(self, section: str) -> list[str]:
        return [key for key in self.document.section(section) if not self.is_external(section, key)]

    def _content(self, section: str, key: str) -> dict[str, Any]:
        declaration = self.document.section(section)[key]
        kind = section.removesuffix("s")
        body: dict[str, Any] = {
            "Name": self.name_of(section, key),
            "Labels": {**string_map(declaration.get("labels", {})), **self.label},
        }
        if declaration.get("driver"):
            if declaration.get("file"):
                text = f"{kind} {key}: {kind}.driver and {kind}.file conflict; only use {kind}.driver"
                raise self.document.error(text, section, key, "file")
            body["Data"] = ""
            body["Driver"] = {
                "Name": declaration["driver"],
                "Options": string_map(declaration.get("driver_opts", {})),
            }
        else:
            body["Data"] = b64encode(self._read(declaration.get("file", ""), section, key)).decode()
        if declaration.get("template_driver"):
            body["Templating"] = {"Name": declaration["template_driver"]}
        return body

    def _read(self, file: str, section: str, key: str) -> bytes:
        path = self.folder / file
        at: tuple[Key, ...] = (section, key, "file") if file else (section, key)
        try:
            return read_bytes(path)
        except IsADirectoryError:
            raise self.document.error(f"read {path}: is a directory", *at) from None
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise self.document.error(f"open {path}: {reason}", *at) from None
        except ValueError as error:  # the path contains a null byte
            raise self.document.error(str(error), *at) from None


def network_body(name: str, declaration: Mapping[str, Any], label: Mapping[str, str]) -> dict[str, Any]:
    """Return the body of `POST /networks/create` for a network that a file declares.

    The default driver is overlay. `label` is added to the network's labels.
    """
    ipam = declaration.get("ipam") or {}
    body: dict[str, Any] = {
        "Name": name,
        "Driver": declaration.get("driver") or "overlay",
        "Options": string_map(declaration.get("driver_opts", {})) or None,
        "Internal": declaration.get("internal", False),
        "Attachable": declaration.get("attachable", False),
        "Labels": {**string_map(declaration.get("labels", {})), **label},
    }
    if ipam.get("driver") or ipam.get("config"):
        pools = [{"Subnet": pool.get("subnet", "")} for pool in ipam.get("config", ())]
        body["IPAM"] = {"Driver": ipam.get("driver", ""), "Config": pools}
    return body


def undefined_error(document: StackDocument, section: str, key: str, service: str, *at: Key) -> FileError:
    """Return the error for a service that refers to an undeclared object.

    The object would be declared under `key` in the section `section`; `at` is the path of keys to the reference.
    """
    return document.error(f'service {service}: undefined {section.removesuffix("s")} "{key}"', *at)

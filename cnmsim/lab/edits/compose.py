"""Changes of a fix as edits of the Compose files of a project.

A change that Compose has no key for (starting a container, the host's rules and routes) raises `NotExpressible`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatchmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from cnmsim.digits import is_number
from cnmsim.engine.standins.commandline import wildcard_option
from cnmsim.lab.compose.bodies import LABEL_SERVICE
from cnmsim.lab.compose.model import Network, Service
from cnmsim.lab.compose.ports import parse_port
from cnmsim.lab.edits.files import EditedFiles, NotExpressible
from cnmsim.lab.edits.yaml_text import YamlText
from cnmsim.lab.yamlfile import Key, Map, locate
from cnmsim.observe.fixes.changes import (
    Change,
    ConnectNetwork,
    ContainerOption,
    CreateNetwork,
    NetworkSetting,
    PublishPort,
    RebindProgram,
    RecreateContainer,
    RecreateNetwork,
    SetSysctl,
)

if TYPE_CHECKING:
    from cnmsim.lab.compose.project import Project

#: The wildcard address, to which a program is made to bind.
_ANYWHERE = "0.0.0.0"  # noqa: S104


class ComposeEditor:
    """Edits the files of one project. `main` is the path of its first file.

    `prefix` is the path of keys to the project if a lab file contains it, otherwise empty. `asked` is the name that
    the failed probe looked up; of a service's `extra_hosts` only the entry for this name is removed.
    """

    def __init__(
        self, project: Project, files: EditedFiles, main: str, prefix: tuple[Key, ...] = (), asked: str = ""
    ) -> None:
        self.project = project
        self.model = project.model
        self.files = files
        self.main = main
        self.prefix = prefix
        self.asked = asked

    # ---- where

    def _file(self, *keys: Key) -> YamlText:
        """Return the text of the file in which to edit the value at `keys` of the project.

        It is the file that contains the value or, if none does, the last file that contains the mapping around it.
        """
        service_or_network = keys[:2]
        for depth in range(len(keys), 0, -1):
            place = locate(self.model.document, keys[:depth])
            if place is None or not _exists(self.model.document, keys[:depth]):
                continue
            text = self.files.open(place.path) if self._is_file(place.path) else None
            if text is not None and text.node((*self.prefix, *service_or_network)) is not None:
                return text
        text = self.files.open(self.main)
        if keys[0] == "services" and text.node((*self.prefix, *service_or_network)) is None:
            raise NotExpressible(f"service {keys[1]} is not in {self.main}")
        return text

    @staticmethod
    def _is_file(path: str) -> bool:
        return Path(path).is_file()

    def _at(self, *keys: Key) -> tuple[Key, ...]:
        return (*self.prefix, *keys)

    def _service(self, container: str) -> Service:
        """Return the service whose network a container of that name uses.

        Raises `NotExpressible` if there is no such container.
        """
        for each in self.project.containers():
            if each.name == container:
                return self._owner(self.model.services[each.labels[LABEL_SERVICE]])
        raise NotExpressible(f"{container} is not of the project")

    def _owner(self, service: Service) -> Service:
        """Return the service whose network namespace a service uses: itself, or X for `network_mode: service:X`."""
        mode = service.network_mode
        if mode.startswith("service:") and mode.removeprefix("service:") in self.model.services:
            return self._owner(self.model.services[mode.removeprefix("service:")])
        return service

    def _network(self, name: str) -> Network | None:
        return next((each for each in self.model.networks.values() if each.name == name), None)

    def _network_key(self, name: str) -> str:
        """Return the key in the file of the network that the engine knows as `name`.

        Raises `NotExpressible` if there is none.
        """
        if name in self.files.added_networks:
            return name
        network = self._network(name)
        if network is None:
            raise NotExpressible(f"network {name or '(any)'} is not in the file")
        return network.key

    # ---- changes

    @singledispatchmethod
    def edit(self, change: Change) -> None:
        """Make a change in the files. Raises `NotExpressible` if Compose has no key for it."""
        raise NotExpressible(type(change).__name__)

    @edit.register
    def _(self, change: CreateNetwork) -> None:
        if change.network in self.model.networks:
            raise NotExpressible(f"network {change.network} is in the file already")
        self.files.added_networks.add(change.network)
        self._file("networks").set(self._at("networks", change.network), None)

    @edit.register
    def _(self, change: ConnectNetwork) -> None:
        service = self._service(change.container)
        key = self._network_key(change.network)
        keys = ("services", service.name, "networks")
        text = self._file(*keys)
        at = self._at(*keys)
        mode = self._at("services", service.name, "network_mode")
        if text.node(mode) is not None:
            text.remove(mode)
        node = text.node(at)
        if isinstance(node, yaml.MappingNode):
            text.set((*at, key), {} if node.flow_style else None)
        elif isinstance(node, yaml.SequenceNode):
            text.append(at, key)
        else:
            # Without this key the service is on the default network, or on the networks of a service that it extends
            # or merges.
            text.set(at, [*(use.network for use in service.networks if not service.network_mode), key])

    @edit.register
    def _(self, change: PublishPort) -> None:
        service = self._service(change.container)
        keys = ("services", service.name, "ports")
        ports = self._value(*keys)
        for number, item in enumerate(ports if isinstance(ports, list) else ()):
            if self._is_published(item, change):
                self._republish((*keys, number), change)
                return
        suffix = "" if change.protocol == "tcp" else f"/{change.protocol}"
        self._file(*keys).append(self._at(*keys), f"{change.host_port}:{change.port}{suffix}")

    def _value(self, *keys: Key) -> Any:
        here: Any = self.model.document
        for key in keys:
            here = here.get(str(key)) if isinstance(here, Map) else None
        return here

    @staticmethod
    def _is_published(item: Any, change: PublishPort) -> bool:
        try:
            mappings = parse_port(item)
        except ValueError:
            return False
        return len(mappings) == 1 and mappings[0].published == str(change.host_port)

    def _republish(self, keys: tuple[Key, ...], change: PublishPort) -> None:
        """Change the item of `ports` at `keys`, which already publishes the host port, to the port of `change`."""
        text = self._file(*keys)
        nodes = text.items(self._at(*keys[:-1]))
        number = self._number_in_file(keys, nodes)
        at = self._at(*keys[:-1], number)
        node = nodes[number]
        if isinstance(node, yaml.MappingNode):
            text.set((*at, "target"), change.port)
            if text.node((*at, "host_ip")) is not None:
                text.remove((*at, "host_ip"))
            return
        suffix = "" if change.protocol == "tcp" else f"/{change.protocol}"
        assert isinstance(node, yaml.ScalarNode)
        published = _published_part(node.value) or str(change.host_port)
        text.rewrite(node, f"{published}:{change.port}{suffix}")

    def _number_in_file(self, keys: tuple[Key, ...], nodes: Sequence[yaml.Node]) -> int:
        """Return the position of a list item in one file, where the merged list may come from several files.

        `keys` is the path of the item in the merged project, `nodes` are the items of the list in the file.
        """
        ports, number, place = self._value(*keys[:-1]), int(keys[-1]), locate(self.model.document, keys)
        if len(nodes) == len(ports):
            return number
        lines = [node.start_mark.line + 1 for node in nodes]
        if place is None or lines.count(place.line) != 1:
            raise NotExpressible("the port is stated elsewhere")
        return lines.index(place.line)

    @edit.register
    def _(self, change: RebindProgram) -> None:
        service = self._service(change.container)
        for key in ("command", "entrypoint"):
            keys = ("services", service.name, key)
            if self._value(*keys) is None:
                continue
            text, at = self._file(*keys), self._at(*keys)
            node = text.node(at)
            parts: list[yaml.Node | None] = node.value if isinstance(node, yaml.SequenceNode) else [node]
            for part in parts:
                if isinstance(part, yaml.ScalarNode) and change.address in part.value:
                    text.rewrite(part, part.value.replace(change.address, _ANYWHERE))
                    return
        self._add_option(service, change)

    def _add_option(self, service: Service, change: RebindProgram) -> None:
        """Append to the service's command the option that makes its program bind to the wildcard address."""
        container = next(each for each in self.project.containers() if each.name == change.container)
        config = container.record.config
        command = [*(config.get("Cmd") or ())]
        option = wildcard_option([*(config.get("Entrypoint") or ()), *command])
        if not option:
            raise NotExpressible("the command does not contain the address")
        keys = ("services", service.name, "command")
        text, at = self._file(*keys), self._at(*keys)
        node = text.node(at)
        if node is None:
            text.set(at, [*command, *option])
        elif isinstance(node, yaml.ScalarNode):
            text.rewrite(node, " ".join([node.value, *option]))
        else:
            for word in option:
                text.append(at, word)

    @edit.register
    def _(self, change: RecreateContainer) -> None:
        service = self._service(change.container)
        if change.option is ContainerOption.NO_EXTRA_HOSTS:
            self._remove_extra_host(service)
            return
        key = {ContainerOption.NO_DNS: "dns", ContainerOption.BRIDGE_NETWORK: "network_mode"}[change.option]
        self._remove("services", service.name, key)

    def _remove(self, *keys: Key) -> None:
        text = self._file(*keys)
        if text.node(self._at(*keys)) is None:
            raise NotExpressible(f"{keys[-1]} of {keys[1]} is not stated where the service is")
        text.remove(self._at(*keys))

    def _remove_extra_host(self, service: Service) -> None:
        keys = ("services", service.name, "extra_hosts")
        hosts = self._value(*keys)
        if isinstance(hosts, Map) and self.asked in hosts:
            self._remove(*keys, self.asked)
            return
        text = self._file(*keys)
        for number, node in enumerate(text.items(self._at(*keys))):
            if str(node.value).replace("=", ":").partition(":")[0] == self.asked:
                text.remove(self._at(*keys, number))
                return
        raise NotExpressible(f"extra_hosts of {service.name} does not contain {self.asked}")

    @edit.register
    def _(self, change: RecreateNetwork) -> None:
        network = self._network(change.network)
        if network is None or network.is_external:
            raise NotExpressible(f"network {change.network} is not made by the file")
        keys = ("networks", network.key)
        match change.setting:
            case NetworkSetting.OPTION:
                option, _, value = change.value.partition("=")
                self._file(*keys).set(self._at(*keys, "driver_opts", option), _option_value(value))
            case NetworkSetting.IPV6:
                self._file(*keys).set(self._at(*keys, "enable_ipv6"), True)
            case NetworkSetting.SUBNET if network.pools:
                self._remove(*keys, "ipam")
            case _:
                raise NotExpressible(f"{change.setting.value} of network {network.key}")

    @edit.register
    def _(self, change: SetSysctl) -> None:
        service = self._service(change.host)
        keys = ("services", service.name, "sysctls")
        text, at = self._file(*keys), self._at(*keys)
        if text.items(at):
            text.append(at, f"{change.key}={change.value}")
        else:
            text.set((*at, change.key), _option_value(change.value))


def _exists(document: Map, keys: Sequence[Key]) -> bool:
    here: Any = document
    for key in keys:
        if isinstance(here, Map) and key in here:
            here = here[str(key)]
        elif isinstance(here, list) and isinstance(key, int) and key < len(here):
            here = here[key]
        else:
            return False
    return True


def _option_value(value: str) -> object:
    """Return a driver option or sysctl as YAML would state it.

    A number is returned as an int, anything else (also a boolean) as a string.
    """
    return int(value) if is_number(value) else value


def _published_part(item: str) -> str:
    """Return the published port of a short item of `ports` if it is a variable such as `${PORT:-8080}`.

    Return "" if it contains none, or has another form than `[ADDRESS:]PUBLISHED:TARGET`.
    """
    head, colon, _target = item.rpartition(":")
    if not colon or "$" not in head:
        return ""
    start = head.rfind("${")
    return head[start:] if start >= 0 and head.endswith("}") else head.rpartition(":")[2]

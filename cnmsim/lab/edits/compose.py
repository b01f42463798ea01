"""Edits of the files of a Compose project or stack that make the changes of a fix.

A change that Compose has no key for (starting a container, the host's rules and routes) raises `NotExpressible`.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import singledispatchmethod
from pathlib import Path
from typing import Any

import yaml

from cnmsim.digits import is_number
from cnmsim.engine.standins.commandline import wildcard_option
from cnmsim.lab.compose.model import Network, Service
from cnmsim.lab.compose.port_syntax import parse_port
from cnmsim.lab.edits.files import EditedFiles, NotExpressible
from cnmsim.lab.edits.project import EditableProject
from cnmsim.lab.edits.yaml_text import YamlText
from cnmsim.lab.yamlfile import Key, Map, locate
from cnmsim.observe.fixes.changes import (
    HOST_GATEWAY,
    Change,
    ConnectNetwork,
    ContainerOption,
    CreateNetwork,
    NetworkSetting,
    PublishPort,
    RebindProgram,
    RecreateContainer,
    RecreateNetwork,
    ReplaceInSetting,
    ScaleService,
    SetLabel,
    SetSysctl,
    UpdateService,
)

#: The wildcard address, to which a program is made to bind.
_ANYWHERE = "0.0.0.0"  # noqa: S104


class ComposeEditor:
    """Edits the files of one Compose project or stack.

    `asked` is the name that the failed probe looked up: an edit of `extra_hosts` removes only the entry for this
    name. `config_of` returns the configuration of a container by its name.
    """

    def __init__(
        self, project: EditableProject, files: EditedFiles, asked: str, config_of: Callable[[str], Mapping[str, Any]]
    ) -> None:
        self.project = project
        self.files = files
        self.asked = asked
        self.config_of = config_of

    # ---- where

    def _file(self, *keys: Key) -> YamlText:
        """Return the text of the file in which to edit the value with the path `keys` in the project.

        It is the file that contains the value or, if none does, the last file that contains the mapping around it.
        Raises `NotExpressible` if no file contains the service.
        """
        service_or_network = keys[:2]
        for depth in range(len(keys), 0, -1):
            place = locate(self.project.document, keys[:depth])
            if place is None or not _exists(self.project.document, keys[:depth]):
                continue
            text = self.files.open(place.path) if self._is_file(place.path) else None
            if text is not None and text.node((*self.project.prefix, *service_or_network)) is not None:
                return text
        text = self.files.open(self.project.main)
        if keys[0] == "services" and text.node((*self.project.prefix, *service_or_network)) is None:
            raise NotExpressible(f"service {keys[1]} is not in {self.project.main}")
        return text

    @staticmethod
    def _is_file(path: str) -> bool:
        return Path(path).is_file()

    def _at(self, *keys: Key) -> tuple[Key, ...]:
        return (*self.project.prefix, *keys)

    def _service(self, container: str) -> Service:
        """Return the service whose network namespace the container or swarm service named `container` uses.

        Raises `NotExpressible` if there is none.
        """
        if container not in self.project.keys:
            raise NotExpressible(f"{container} is not of the project")
        return self._owner(self.project.services[self.project.keys[container]])

    def _owner(self, service: Service) -> Service:
        """Return the service whose network namespace `service` uses: itself, or X for `network_mode: service:X`."""
        mode = service.network_mode
        if mode.startswith("service:") and mode.removeprefix("service:") in self.project.services:
            return self._owner(self.project.services[mode.removeprefix("service:")])
        return service

    def _network(self, name: str) -> Network | None:
        return next((each for each in self.project.networks.values() if each.name == name), None)

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
        """Edit the files so that they make a change. Raises `NotExpressible` if Compose has no key for it."""
        raise NotExpressible(type(change).__name__)

    @edit.register
    def _(self, change: CreateNetwork) -> None:
        if change.network in self.project.networks:
            raise NotExpressible(f"network {change.network} is in the file already")
        self.files.added_networks.add(change.network)
        self._file("networks").set(self._at("networks", change.network), None)

    @edit.register
    def _(self, change: ConnectNetwork) -> None:
        self._connect(self._service(change.container), change.network)

    def _connect(self, service: Service, network: str) -> None:
        key = self._network_key(network)
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
        self._publish(service, change.host_port, change.port, change.protocol, change.host_ip)

    def _publish(self, service: Service, host_port: int, port: int, protocol: str, host_ip: str = "") -> None:
        keys = ("services", service.name, "ports")
        ports = self._value(*keys)
        for number, item in enumerate(ports if isinstance(ports, list) else ()):
            if self._is_published(item, host_port):
                self._republish((*keys, number), host_port, port, protocol, host_ip)
                return
        suffix = "" if protocol == "tcp" else f"/{protocol}"
        self._file(*keys).append(self._at(*keys), f"{_before_port(host_ip)}{host_port}:{port}{suffix}")

    def _value(self, *keys: Key) -> Any:
        here: Any = self.project.document
        for key in keys:
            here = here.get(str(key)) if isinstance(here, Map) else None
        return here

    @staticmethod
    def _is_published(item: Any, host_port: int) -> bool:
        try:
            mappings = parse_port(item)
        except ValueError:
            return False
        return len(mappings) == 1 and mappings[0].published == str(host_port)

    def _republish(self, keys: tuple[Key, ...], host_port: int, port: int, protocol: str, host_ip: str) -> None:
        """Edit an item of `ports` so that it publishes the container port `port` instead of another one.

        `keys` is the path of the item, which publishes the host port `host_port`; `protocol` is `tcp` or `udp`.
        `host_ip` is the new host address, "" for all addresses.
        """
        text = self._file(*keys)
        nodes = text.items(self._at(*keys[:-1]))
        number = self._number_in_file(keys, nodes)
        at = self._at(*keys[:-1], number)
        node = nodes[number]
        if isinstance(node, yaml.MappingNode):
            text.set((*at, "target"), port)
            if host_ip:
                text.set((*at, "host_ip"), host_ip)
            elif text.node((*at, "host_ip")) is not None:
                text.remove((*at, "host_ip"))
            return
        suffix = "" if protocol == "tcp" else f"/{protocol}"
        assert isinstance(node, yaml.ScalarNode)
        published = _published_part(node.value) or str(host_port)
        text.rewrite(node, f"{_before_port(host_ip)}{published}:{port}{suffix}")

    def _number_in_file(self, keys: tuple[Key, ...], nodes: Sequence[yaml.Node]) -> int:
        """Return the index that an item of a list has in one file; the list may be merged from several files.

        `keys` is the path of the item in the merged project, `nodes` are the items of the list in the file. Raises
        `NotExpressible` if the item is not found in this file.
        """
        ports, number, place = self._value(*keys[:-1]), int(keys[-1]), locate(self.project.document, keys)
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
        """Append to the service's command the option that makes its program bind to the wildcard address.

        Raises `NotExpressible` if no option for this program is known.
        """
        config = self.config_of(change.container)
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
        if change.option is ContainerOption.NO_MAC:
            self._remove_mac(service)
            return
        if change.option is ContainerOption.HOST_GATEWAY:
            keys = ("services", service.name, "extra_hosts")
            name, _, address = HOST_GATEWAY.partition(":")
            if isinstance(self._file(*keys).node(self._at(*keys)), yaml.MappingNode):
                self._file(*keys).set(self._at(*keys, name), address)
            else:
                self._file(*keys).append(self._at(*keys), HOST_GATEWAY)
            return
        key = {ContainerOption.NO_DNS: "dns", ContainerOption.BRIDGE_NETWORK: "network_mode"}[change.option]
        self._remove("services", service.name, key)

    def _remove(self, *keys: Key) -> None:
        text = self._file(*keys)
        if text.node(self._at(*keys)) is None:
            raise NotExpressible(f"{keys[-1]} of {keys[1]} is not stated where the service is")
        text.remove(self._at(*keys))

    def _remove_mac(self, service: Service) -> None:
        own = ("services", service.name)
        uses = ((*own, "networks", use.network, "mac_address") for use in service.networks if use.mac_address)
        for keys in ((*own, "mac_address"), *uses):
            if self._value(*keys) is not None:
                self._remove(*keys)

    @edit.register
    def _(self, change: ReplaceInSetting) -> None:
        service = self._service(change.container)
        keys: tuple[Key, ...] = ("services", service.name, *change.keys)
        text = self._file(*keys)
        if text.node(self._at(*keys)) is None:  # a list of `NAME=VALUE`
            keys = keys[:-1]
        node = text.node(self._at(*keys))
        for part in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if isinstance(part, yaml.ScalarNode) and change.old in part.value:
                name = "" if keys[-1] == change.keys[-1] else f"{change.keys[-1]}="
                value = part.value.removeprefix(name)
                if not part.value.startswith(name) or change.old not in value:
                    continue
                text.rewrite(part, name + value.replace(change.old, change.new))
                return
        raise NotExpressible(f"{change.keys[0]} of {service.name} does not contain {change.old}")

    @edit.register
    def _(self, change: SetLabel) -> None:
        service = self._service(change.container)
        self._set_label(("services", service.name, "labels"), change.key, change.value)

    def _set_label(self, keys: tuple[Key, ...], name: str, value: str) -> None:
        """Set a label in the mapping, or list of `NAME=VALUE`, that has the path `keys`."""
        text, at = self._file(*keys), self._at(*keys)
        node = text.node(at)
        if not isinstance(node, yaml.SequenceNode):
            text.set((*at, name), value)
            return
        for item in node.value:
            if isinstance(item, yaml.ScalarNode) and item.value.partition("=")[0] == name:
                text.rewrite(item, f"{name}={value}")
                return
        text.append(at, f"{name}={value}")

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

    # ---- services of a stack

    @edit.register
    def _(self, change: ScaleService) -> None:
        keys = ("services", self._service(change.service).name, "deploy", "replicas")
        self._file(*keys).set(self._at(*keys), change.replicas)

    @edit.register
    def _(self, change: UpdateService) -> None:
        service = self._service(change.service)
        at = ("services", service.name)
        match change.option:
            case "--network-add":
                self._connect(service, change.value)
            case "--endpoint-mode":
                self._file(*at).set(self._at(*at, "deploy", "endpoint_mode"), change.value)
            case option if option.endswith("--publish-add"):
                fields = dict(item.split("=") for item in change.value.split(","))
                self._publish(service, int(fields["published"]), int(fields["target"]), fields["protocol"])
            case "--args":
                self._set_command((*at, "command"), change.value)
            case "--publish-rm":
                self._unpublish(service, int(change.value))
            case "--label-add":
                self._set_label((*at, "deploy", "labels"), *change.value.split("=", 1))
            case "--constraint-rm":
                self._remove_item((*at, "deploy", "placement", "constraints"), change.value)
            case "--replicas-max-per-node":
                keys = (*at, "deploy", "placement", "max_replicas_per_node")
                self._file(*keys).set(self._at(*keys), int(change.value))
            case "--dns-rm":
                self._remove_item((*at, "dns"), change.value)
            case "--host-rm":
                self._remove_extra_host(service)
            case _:
                raise NotExpressible(change.option)

    def _unpublish(self, service: Service, port: int) -> None:
        keys = ("services", service.name, "ports")
        text = self._file(*keys)
        for number, item in enumerate(self._value(*keys) or ()):
            if any(mapping.target == port for mapping in parse_port(item)):
                text.remove(self._at(*keys, self._number_in_file((*keys, number), text.items(self._at(*keys)))))
                return
        raise NotExpressible(f"port {port} of {service.name} is not in the file")

    def _set_command(self, keys: tuple[Key, ...], value: str) -> None:
        text, at = self._file(*keys), self._at(*keys)
        node, words = text.node(at), shlex.split(value)
        items = text.items(at)
        if not items or len(items) > len(words):
            if isinstance(node, yaml.ScalarNode):
                text.rewrite(node, value)
            else:
                text.set(at, value)
            return
        for word in words[len(items) :]:
            text.append(at, word)
        for number, word in enumerate(words[: len(items)]):
            item = text.items(at)[number]
            if isinstance(item, yaml.ScalarNode) and item.value != word:
                text.rewrite(item, word)

    def _remove_item(self, keys: tuple[Key, ...], value: str) -> None:
        text = self._file(*keys)
        items = text.items(self._at(*keys))
        at = next((number for number, node in enumerate(items) if node.value == value), None)
        if items and at is None:
            raise NotExpressible(f"{keys[-1]} of {keys[1]} does not contain {value}")
        self._remove(*keys, *(() if at is None else (at,)))

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
            case NetworkSetting.ATTACHABLE:
                self._file(*keys).set(self._at(*keys, "attachable"), True)
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
    """Return a driver option or sysctl as the value to write into YAML.

    A number is returned as an int, anything else (also a boolean) as a string.
    """
    return int(value) if is_number(value) else value


def _before_port(host_ip: str) -> str:
    """Return a host address as the beginning of a short item of `ports`, such as `127.0.0.1:`; "" for ""."""
    return f"[{host_ip}]:" if ":" in host_ip else f"{host_ip}:" if host_ip else ""


def _published_part(item: str) -> str:
    """Return the published port of a short item of `ports` if it contains a variable such as `${PORT:-8080}`.

    Return "" if it contains none, or has another form than `[ADDRESS:]PUBLISHED:TARGET`.
    """
    head, colon, _target = item.rpartition(":")
    if not colon or "$" not in head:
        return ""
    start = head.rfind("${")
    return head[start:] if start >= 0 and head.endswith("}") else head.rpartition(":")[2]

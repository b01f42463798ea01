"""Render changes to a Compose project or stack as edits of its file, with the names and keys that the file uses.

Changes that cannot be made in the file are rendered by the module `sentences`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import singledispatch

from attrs import fields, has

from cnmsim.observe.diagnosis.file_names import renamed
from cnmsim.observe.diagnosis.sentences import sentence
from cnmsim.observe.fixes.changes import (
    HOST_GATEWAY,
    AskOther,
    Change,
    ConnectNetwork,
    ContainerOption,
    CreateNetwork,
    Manual,
    NetworkSetting,
    PublishPort,
    RecreateContainer,
    RecreateNetwork,
    RestartContainer,
    ScaleService,
    StartContainer,
    Steps,
    UpdateService,
    steps_of,
)
from cnmsim.observe.fixes.commands import publish_option

#: The maximum number of alternative changes that the advice of a finding contains.
ALTERNATIVES = 2


def change_sentence(change: Change, names: Mapping[str, str]) -> str:
    """Render a change as a sentence.

    `names` maps engine names of containers and networks to the names in the Compose file. A change of one of them is
    rendered as an edit of that file, any other change as the module `sentences` renders it.
    """
    shown = renamed(change, names)
    if not _mentions(change, names) or (isinstance(change, Manual) and "docker service" in sentence(change)):
        return sentence(change)
    *steps, last = steps_of(shown)
    texts = [_text(step) for step in steps]
    if texts and isinstance(last, AskOther):
        return f"{'; '.join(texts)}, and use {sentence(last).removeprefix('use ')}"
    return "; ".join([*texts, _text(last)])


def _mentions(value: object, names: Mapping[str, str]) -> bool:
    """Return True if a change, or a change in it, has one of the `names` as a field."""
    if isinstance(value, str):
        return value in names
    if isinstance(value, tuple):
        return any(_mentions(item, names) for item in value)
    kind = type(value)
    return has(kind) and any(_mentions(getattr(value, attribute.name), names) for attribute in fields(kind))


def advice(alternatives: Sequence[Change], names: Mapping[str, str]) -> str:
    """Render the first few alternatives as one sentence: `CHANGE, or CHANGE`. `names` is as in `change_sentence`."""
    return ", or ".join(dict.fromkeys(change_sentence(change, names) for change in alternatives[:ALTERNATIVES]))


#: Sentences that only contain fields of the change; `0` is the change.
_TEMPLATES: dict[type[Change], str] = {
    CreateNetwork: "add a network {0.network} to the file",
    StartContainer: "docker compose start {0.container}",
    RestartContainer: "docker compose restart {0.container}",
    ScaleService: "set replicas of service {0.service} to {0.replicas}",
}


@singledispatch
def _text(change: Change) -> str:
    template = _TEMPLATES.get(type(change))
    return sentence(change) if template is None else template.format(change)


@_text.register(Steps)
def _(change: Steps) -> str:
    return "; ".join(_text(step) for step in change.changes)


@_text.register(ConnectNetwork)
def _(change: ConnectNetwork) -> str:
    return f"add {f'network {change.network}' if change.network else 'a network'} to service {change.container}"


@_text.register(PublishPort)
def _(change: PublishPort) -> str:
    if not change.port:
        return sentence(change)
    port = publish_option(change).removeprefix("-p ")
    where = f" on {change.host_ip}" if change.host_ip else ""
    return f'publish port {change.port} of {change.container}{where} as {change.host_port} (ports: "{port}")'


@_text.register(UpdateService)
def _(change: UpdateService) -> str:
    value, name = change.value, change.service
    return {
        "--network-add": f"add {f'network {value}' if value else 'a network'} to service {name}",
        "--endpoint-mode": f"set endpoint_mode of service {name} to {value}",
        "--publish-rm": f"do not publish port {value} of service {name}",
        "--label-add": f"set {value} in deploy.labels of service {name}",
        "--constraint-rm": f"remove the constraint {value} from service {name}",
        "--replicas-max-per-node": f"set max_replicas_per_node of service {name} to {value}",
        "--publish-add": f"publish the port of service {name}: {value.removesuffix(',protocol=tcp')}",
        "--args": f"set the command of service {name}: {value}",
        "--dns-rm": f"remove {value} from dns of service {name}",
        "--host-rm": f"remove {value} from extra_hosts of service {name}",
    }[change.option.split()[-1]]


@_text.register(RecreateContainer)
def _(change: RecreateContainer) -> str:
    return {
        ContainerOption.NO_DNS: f"remove dns from service {change.container}",
        ContainerOption.NO_MAC: f"remove mac_address from service {change.container}",
        ContainerOption.NO_EXTRA_HOSTS: f"remove that name from the extra_hosts of service {change.container}",
        ContainerOption.BRIDGE_NETWORK: f"remove network_mode from service {change.container}",
        ContainerOption.HOST_GATEWAY: f"add extra_hosts {HOST_GATEWAY} to service {change.container}",
    }[change.option]


@_text.register(RecreateNetwork)
def _(change: RecreateNetwork) -> str:
    key, _, value = change.value.partition("=")
    match change.setting:
        case NetworkSetting.OPTION:
            return f"set driver_opts of network {change.network}: {key}: {value}"
        case NetworkSetting.IPV6:
            return f"set enable_ipv6: true of network {change.network}"
        case NetworkSetting.ATTACHABLE:
            return f"set attachable: true of network {change.network}"
        case NetworkSetting.SUBNET:
            return f"use another subnet (ipam) for network {change.network}"
        case NetworkSetting.GATEWAY if change.value:
            return f"set the gateway (ipam) of network {change.network} to {change.value}"
        case _:
            return sentence(change)

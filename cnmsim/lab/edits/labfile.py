"""Edits of a lab file that make the changes of a fix.

A new route of a host is added to its `routes`; for other changes a command is added to its `run`. If the file already
states the rule, route or sysctl concerned, that line is removed or changed instead. Changes of containers and
networks are made in the files of their Compose project.
"""

from __future__ import annotations

import shlex
from functools import singledispatchmethod

import yaml

from cnmsim.lab.edits.files import EditedFiles, NotExpressible
from cnmsim.lab.edits.yaml_text import YamlText
from cnmsim.lab.yamlfile import Key
from cnmsim.observe.fixes.changes import (
    ActivateNode,
    AddRoute,
    Change,
    DeleteRoute,
    DeleteRule,
    NetworkSetting,
    RecreateNetwork,
    SetNodeLabel,
    SetNodeRole,
    SetSysctl,
)
from cnmsim.observe.fixes.commands import commands_of


class LabFileEditor:
    """Edits the lab file at `path`."""

    def __init__(self, files: EditedFiles, path: str) -> None:
        self.path = path
        self.text: YamlText = files.open(path)

    # ---- the commands of a host

    def _runs(self, host: str) -> list[tuple[tuple[Key, ...], str]]:
        """Return the commands in the `run` of a host, each as (path of keys, command)."""
        at: tuple[Key, ...] = ("hosts", host, "run")
        items = self.text.items(at)
        if items:
            return [((*at, number), str(node.value)) for number, node in enumerate(items)]
        node = self.text.node(at)
        return [] if node is None or not str(node.value) else [(at, str(node.value))]

    def _append(self, host: str, command: str) -> None:
        if self.text.node(("hosts", host)) is None:
            raise NotExpressible(f"{host} is no host of {self.path}")
        self.text.append(("hosts", host, "run"), command)

    def _rewrite(self, keys: tuple[Key, ...], command: str) -> None:
        node = self.text.node(keys)
        assert isinstance(node, yaml.ScalarNode)
        self.text.rewrite(node, command)

    # ---- changes

    @singledispatchmethod
    def edit(self, change: Change) -> None:
        """Edit the file so that it makes a change.

        Raises `NotExpressible` if a host's commands (`ip`, `iptables`, `sysctl` and so on) cannot make it.
        """
        commands = commands_of(change)
        # `docker` commands cannot be put in a lab file, as the lab's hosts do not have that program.
        if not commands or any(command.line.startswith("docker ") for command in commands):
            raise NotExpressible(type(change).__name__)
        for command in commands:
            self._append(command.place, command.line)

    @edit.register
    def _(self, change: AddRoute) -> None:
        if self.text.node(("hosts", change.host)) is None:
            raise NotExpressible(f"{change.host} is no host of {self.path}")
        self.text.append(("hosts", change.host, "routes"), f"{change.prefix} via {change.via}")

    @edit.register
    def _(self, change: ActivateNode) -> None:
        at = ("swarm", "nodes", change.node, "availability")
        if self.text.node(at) is None:
            raise NotExpressible(f"{self.path} does not state the availability of {change.node}")
        self.text.set(at, "active")

    @edit.register
    def _(self, change: SetNodeLabel) -> None:
        if self.text.node(("swarm",)) is None:
            raise NotExpressible(f"{self.path} declares no swarm")
        self.text.set(("swarm", "nodes", change.node, "labels", change.key), change.value)

    @edit.register
    def _(self, change: SetNodeRole) -> None:
        lists = ("workers", "managers") if change.is_manager else ("managers", "workers")
        (old, new) = ((("swarm", key)) for key in lists)
        items = self.text.items(old)
        number = next((at for at, node in enumerate(items) if node.value == change.node), None)
        if number is None:
            raise NotExpressible(f"{'.'.join(old)} does not contain {change.node}")
        self.text.remove((*old, number))
        self.text.append(new, change.node)

    @edit.register
    def _(self, change: RecreateNetwork) -> None:
        at = ("networks", change.network)
        if self.text.node(at[:1]) is None or self.text.node(at) is None:
            raise NotExpressible(f"{self.path} does not declare network {change.network}")
        if change.setting is NetworkSetting.ATTACHABLE:
            self.text.set((*at, "attachable"), True)
        elif change.setting is NetworkSetting.SUBNET and self.text.node((*at, "ipam")) is not None:
            self.text.remove((*at, "ipam"))
        else:
            raise NotExpressible(change.setting.value)

    @edit.register
    def _(self, change: DeleteRoute) -> None:
        for number, node in enumerate(self.text.items(("hosts", change.host, "routes"))):
            if change.route.startswith(str(node.value)):
                self.text.remove(("hosts", change.host, "routes", number))
                return
        self._append(change.host, commands_of(change)[0].line)

    @edit.register
    def _(self, change: SetSysctl) -> None:
        for keys, command in self._runs(change.host):
            words = _words(command)
            if words[:1] == ["sysctl"] and words[-1].partition("=")[0] == change.key:
                self._rewrite(keys, commands_of(change)[0].line)
                return
        self._append(change.host, commands_of(change)[0].line)

    @edit.register
    def _(self, change: DeleteRule) -> None:
        rule = _rule_words(_words(change.rule))
        for keys, command in self._runs(change.host):
            words = _words(command)
            if words[:1] == [change.program] and not change.namespace and _rule_words(words[1:]) == rule:
                self.text.remove(keys)
                return
        self._append(change.host, commands_of(change)[0].line)


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:
        return command.split()


def _rule_words(words: list[str]) -> list[str]:
    """Return the words of an iptables rule in normal form: a typed rule then equals what iptables-save prints."""
    if "-t" in words:
        at = words.index("-t")
        words = words[:at] + words[at + 2 :]
    # iptables-save adds the match of the protocol, the /32 of a single address and the default reject type.
    text = f" {' '.join(words)} ".replace("/32 ", " ").replace(" -I ", " -A ")
    for protocol in ("tcp", "udp", "icmp"):
        text = text.replace(f" -m {protocol} ", " ")
    text = text.replace(" --reject-with icmp-port-unreachable ", " ")
    return text.split()

"""Edits of a file that the engine refuses, after which a lab can be built from it.

Each candidate is an edit of the value that the engine refused. It is tried: a lab is built from the edited file, and
the address or port that the edit sets must be in use there.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from itertools import islice
from typing import TYPE_CHECKING, Any

import yaml
from attrs import define, field, frozen

from cnmsim.errors import CnmsimError, FileError, refused_value
from cnmsim.lab.compose.port_syntax import parse_port
from cnmsim.lab.edits.files import EditedFiles, NotExpressible
from cnmsim.lab.edits.yaml_text import YamlText
from cnmsim.lab.yamlfile import Key, Map
from cnmsim.observe.display import Displayable
from cnmsim.observe.fixes.file_edit import FileEdit

if TYPE_CHECKING:
    from cnmsim.lab.lab import Lab
    from cnmsim.lab.source import LabSource

_Net = IPv4Network | IPv6Network
_Keys = tuple[Key, ...]
#: Network drivers and option values, of which a misspelt one is replaced by the closest.
_DRIVERS = ("bridge", "overlay", "macvlan", "ipvlan", "host", "none")
_OPTION_VALUES = ("true", "false", "bridge", "private", "vepa", "passthru", "l2", "l3", "l3s", "nat", "routed")
#: The largest number of candidates that are tried, and of free addresses or subnets that are looked at.
_MOST_TRIED = 4
_MOST_LOOKED_AT = 4096
#: The prefix lengths of a new subnet, by IP version, and the longest one that can be divided.
_NEW_LENGTH = {4: 24, 6: 64}
_LONGEST_DIVISIBLE = 29


@frozen(repr=False)
class FileFix(Displayable):
    """An edit of a file that the engine refused. It was tried: a lab was built from the edited file."""

    text: str
    edits: tuple[FileEdit, ...] = field(repr=False)

    def write(self) -> None:
        """Write the edits. Raises `FileError` if a file has changed, and `OSError` if it cannot be written."""
        for edit in self.edits:
            edit.write()

    def to_json(self) -> dict[str, Any]:
        """Return the fix as plain values: `text` and `edits`."""
        return {"text": self.text, "edits": [edit.to_json() for edit in self.edits]}

    def __repr__(self) -> str:
        return f"<FileFix: {self.text}>"

    def __str__(self) -> str:
        return "\n".join([self.text, *map(str, self.edits)])


def fix_of(error: FileError, source: LabSource) -> FileFix | None:
    """Return an edit after which a lab can be built from the files of `source`; `None` if no candidate works.

    `error` was raised when the lab was built.
    """
    try:
        candidates = list(islice(_Candidates(error, str(source.lab_file or "")).all(), _MOST_TRIED))
    except (FileError, NotExpressible):
        return None
    for candidate in candidates:
        files = EditedFiles()
        try:
            candidate.edit(files.open(candidate.path))
            edits = files.edits
            if edits and candidate.works(source.load(texts={edit.path: edit.after for edit in edits})):
                return FileFix(candidate.text, edits)
        except (CnmsimError, NotExpressible, KeyError, OSError, TimeoutError):
            continue
    return None


@frozen
class _Candidate:
    """An edit of the file `path`. `works(lab)` returns True if the edit has its effect in a lab built after it."""

    text: str
    path: str
    edit: Callable[[YamlText], None]
    works: Callable[[Lab], bool] = lambda _lab: True


@define
class _Candidates:
    """The edits of the value at which `error` is located. `lab_file` is the path of the lab file, "" without one."""

    error: FileError
    lab_file: str
    _prefix: _Keys = field(init=False)

    def __attrs_post_init__(self) -> None:
        text = EditedFiles().open(self.error.path)
        prefixes: list[_Keys] = [()]
        for section, inner in (("hosts", ("compose",)), ("stacks", ())):
            node = text.node((section,))
            for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
                prefixes.append((section, str(key.value), *inner))
        found = (each for each in prefixes if self._is_at(text, (*each, *self.error.keys)))
        prefix = next(found, None)
        if prefix is None:
            raise NotExpressible(f"{self.error.key} is not in {self.error.path}")
        self._prefix = prefix

    def _is_at(self, text: YamlText, keys: _Keys) -> bool:
        node = text.node(keys)
        lines = () if node is None else (node.start_mark.line + 1, text.key_line(keys))
        return self.error.line in lines

    @property
    def _document(self) -> Any:
        return self.error.document

    def _at(self, *keys: Key) -> _Keys:
        return (*self._prefix, *keys)

    def _candidate(
        self, text: str, edit: Callable[[YamlText], None], works: Callable[[Lab], bool] = lambda _lab: True
    ) -> _Candidate:
        return _Candidate(text, self.error.path, edit, works)

    def _set(self, text: str, keys: _Keys, value: object, **options: Any) -> _Candidate:
        return self._candidate(text, lambda file: file.set(self._at(*keys), value), **options)

    def _remove(self, text: str, keys: _Keys, **options: Any) -> _Candidate:
        return self._candidate(text, lambda file: file.remove(self._at(*keys)), **options)

    def all(self) -> Iterator[_Candidate]:
        """Yield the candidates, the best first."""
        keys = self.error.keys
        match keys:
            case ("services", str(service), "ports", int(), *_):
                yield from self._ports(service, keys)
            case ("services", str(service), "networks", str(network), ("ipv4_address" | "ipv6_address")):
                yield from self._addresses(service, network, keys)
            case ("services", str(service), "networks", str() | int()):
                yield from self._attachable(service)
            case ("services", _, "sysctls", _):
                yield self._remove("remove the sysctl", keys)
            case ("networks", str(network), "driver"):
                yield from self._closest(keys, _DRIVERS)
            case ("networks", str(network), "driver_opts", _):
                yield from self._closest(keys, _OPTION_VALUES)
                yield self._remove(f"remove the option {keys[-1]}", keys)
            case ("networks", str(network), "ipam", "config", int(), *inner):
                yield from self._pool(network, keys[:5], inner)

    def _closest(self, keys: _Keys, known: Sequence[str]) -> Iterator[_Candidate]:
        given = str(_value(self._document, keys))
        for match in difflib.get_close_matches(given, known, 1):
            yield self._set(f"set {keys[-1]} to {match}", keys, match)

    # ---- services

    def _ports(self, service: str, keys: _Keys) -> Iterator[_Candidate]:
        item = _value(self._document, keys[:4])
        mappings = parse_port(item)
        if len(mappings) != 1 or not mappings[0].published.isdigit():
            return
        port = int(mappings[0].published)
        declared = self._document["services"][service]
        replicas = int(declared.get("scale") or (declared.get("deploy") or {}).get("replicas") or 1)
        if replicas > 1 and not self._is_stack:
            yield self._port_edit(service, keys[:4], port, f"{port}-{port + replicas - 1}", replicas)
        taken = {number for other in self._document["services"].values() for number in _published(other)}
        free = next(number for number in range(port + 1, 1 << 16) if number not in taken)
        yield self._port_edit(service, keys[:4], port, str(free), 1)

    @property
    def _is_stack(self) -> bool:
        return self._prefix[:1] == ("stacks",)

    def _port_edit(self, service: str, keys: _Keys, old: int, new: str, count: int) -> _Candidate:
        def edit(file: YamlText) -> None:
            node = file.node(self._at(*keys))
            if isinstance(node, yaml.MappingNode):
                file.set(self._at(*keys, "published"), new)
                return
            if not isinstance(node, yaml.ScalarNode):
                raise NotExpressible("the port is stated elsewhere")
            replaced, number = re.subn(rf"(?<![\d.]){old}(?![\d.])", new, node.value, count=1)
            if not number:
                raise NotExpressible(f"{node.value} does not contain {old}")
            file.rewrite(node, replaced)

        def works(lab: Lab) -> bool:
            low = int(new.partition("-")[0])
            wanted = {str(port) for port in range(low, low + count)}
            return self._is_stack or wanted <= set(_host_ports(lab, service))

        what = f"another port of the host, {new}" if count == 1 else f"a port of the host for each container, {new}"
        return self._candidate(f"publish {what}", edit, works)

    def _addresses(self, service: str, network: str, keys: _Keys) -> Iterator[_Candidate]:
        address = _parse(ip_address, refused_value(self.error) or _value(self._document, keys))
        if address is None:
            return
        pools = self._pools(network, address.version)
        used = set(self._static_addresses(network))
        for number, subnet in pools:
            if address in subnet and list(self._static_addresses(network)).count(address) == 1:
                # The engine has already assigned the address to another container, so it is excluded from the range
                # from which the engine chooses addresses.
                yield from self._ip_range(service, network, number, subnet, address)
            near = subnet.network_address + (int(address) & int(subnet.hostmask))
            for free in _free_addresses(subnet, near, used):
                text = f"use a free address of network {network}, {free}"
                yield self._set(text, keys, str(free), works=partial(_has_address, service=service, address=free))
        if not pools and not self._is_external(network):
            yield self._new_subnet(service, network, address)
        yield self._remove(f"leave the address to Docker: remove {keys[-1]}", keys)

    def _ip_range(self, service: str, network: str, number: int, subnet: _Net, address: Any) -> Iterator[_Candidate]:
        keys: _Keys = ("networks", network, "ipam", "config", number, "ip_range")
        if _value(self._document, keys) is not None or subnet.prefixlen > _LONGEST_DIVISIBLE:
            return
        for half in subnet.subnets():
            if address not in half:
                text = f"let Docker allocate the other addresses from {half}"
                works = partial(_has_address, service=service, address=address)
                yield self._set(text, keys, str(half), works=works)

    def _new_subnet(self, service: str, network: str, address: Any) -> _Candidate:
        subnet = ip_network(f"{address}/{_NEW_LENGTH[address.version]}", strict=False)

        def edit(file: YamlText) -> None:
            config = self._at("networks", network, "ipam", "config")
            if file.items(config):
                file.append(config, {"subnet": str(subnet)})
            else:
                file.set(config, [{"subnet": str(subnet)}])
            if address.version != 4:
                file.set(self._at("networks", network, "enable_ipv6"), True)

        works = partial(_has_address, service=service, address=address)
        return self._candidate(f"declare the subnet {subnet} of network {network}", edit, works)

    def _attachable(self, service: str) -> Iterator[_Candidate]:
        """Yield the edit that makes an overlay network attachable, if the lab file declares the network.

        It is the network to which the engine refused to attach the container of `service`.
        """
        network, declared = refused_value(self.error), self._document["services"][service].get("networks")
        if self.lab_file and declared and network:
            keys = ("networks", network, "attachable")
            yield _Candidate(
                f"make network {network} attachable", self.lab_file, lambda file: _set_there(file, keys, True)
            )

    # ---- networks

    def _is_external(self, network: str) -> bool:
        declared = (self._document.get("networks") or {}).get(network)
        return isinstance(declared, Map) and bool(declared.get("external"))

    def _pools(self, network: str, version: int) -> list[tuple[int, _Net]]:
        """Return a network's declared subnets of the IP version `version`, each with its index in `ipam.config`."""
        config = _value(self._document, ("networks", network, "ipam", "config")) or ()
        parsed = ((number, _parse(ip_network, pool.get("subnet"))) for number, pool in enumerate(config))
        return [(number, subnet) for number, subnet in parsed if subnet is not None and subnet.version == version]

    def _static_addresses(self, network: str) -> Iterator[IPv4Address | IPv6Address]:
        for keys in self._static_keys(network):
            address = _parse(ip_address, _value(self._document, keys))
            if address is not None:
                yield address

    def _static_keys(self, network: str) -> Iterator[_Keys]:
        for name in self._document.get("services") or {}:
            for key in ("ipv4_address", "ipv6_address"):
                keys = ("services", name, "networks", network, key)
                if _value(self._document, keys) is not None:
                    yield keys

    def _pool(self, network: str, pool: _Keys, inner: Sequence[Key]) -> Iterator[_Candidate]:
        given = _value(self._document, pool)
        subnet = _parse(partial(ip_network, strict=False), given.get("subnet"))
        if subnet is None:
            return
        match inner:
            case ("subnet",):
                yield from self._subnets(network, pool, subnet)
            case ("gateway",):
                first = subnet.network_address + 1
                yield self._set(f"use an address of the subnet as the gateway, {first}", (*pool, *inner), str(first))
                yield self._remove("leave the gateway to Docker: remove it", (*pool, *inner))
            case ("aux_addresses", _):
                address = _parse(ip_address, _value(self._document, (*pool, *inner)))
                if address is not None and address.version == subnet.version:
                    near = subnet.network_address + (int(address) & int(subnet.hostmask))
                    yield self._set(f"use an address of the subnet, {near}", (*pool, *inner), str(near))
                yield self._remove("remove the address", (*pool, *inner))
            case _:
                yield self._remove(f"remove {inner[-1]}", (*pool, *inner))

    def _subnets(self, network: str, pool: _Keys, subnet: _Net) -> Iterator[_Candidate]:
        keys = (*pool, "subnet")
        if str(subnet) != _value(self._document, keys):
            yield self._set(f"write the subnet without host bits, {subnet}", keys, str(subnet))
        others = [
            each for name in self._document.get("networks") or {} if name != network
            for _, each in self._pools(name, subnet.version)
        ]  # fmt: skip
        for free in _free_subnets(subnet, others):
            edit = partial(self._renumber, network=network, pool=pool, old=subnet, new=free)
            yield self._candidate(f"use a subnet that is free, {free}", edit)
        for bits in (1, 2, 4):
            if subnet.prefixlen > bits:
                larger = subnet.supernet(bits)
                yield self._set(f"use a larger subnet, {larger}", keys, str(larger))

    def _renumber(self, file: YamlText, *, network: str, pool: _Keys, old: _Net, new: _Net) -> None:
        """Replace the subnet `old` of a network by `new`, in the pool at the path `pool` and in static addresses."""
        file.set(self._at(*pool, "subnet"), str(new))
        aux = ((*pool, "aux_addresses", name) for name in _value(self._document, (*pool, "aux_addresses")) or ())
        for keys in ((*pool, "gateway"), (*pool, "ip_range"), *aux, *self._static_keys(network)):
            address, slash, length = str(_value(self._document, keys) or "").partition("/")
            parsed = _parse(ip_address, address)
            if parsed is not None and parsed in old:
                moved = new.network_address + (int(parsed) - int(old.network_address))
                file.set(self._at(*keys), f"{moved}{slash}{length}")


def _set_there(file: YamlText, keys: _Keys, value: object) -> None:
    if file.node(keys[:-1]) is None:
        raise NotExpressible(f"{keys[-2]} is not declared")
    file.set(keys, value)


def _value(document: Any, keys: Sequence[Key]) -> Any:
    """Return the value at the path `keys`, or `None` if there is none."""
    for key in keys:
        if isinstance(document, dict):
            document = document.get(key)
        elif isinstance(document, list) and isinstance(key, int) and key < len(document):
            document = document[key]
        else:
            return None
    return document


def _parse(parse: Callable[[Any], Any], text: object) -> Any:
    try:
        return parse(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _published(service: Any) -> Iterator[int]:
    for item in service.get("ports") or ():
        for mapping in parse_port(item):
            low, _, high = mapping.published.partition("-")
            yield from range(int(low), int(high or low) + 1) if low else ()


def _free_addresses(subnet: _Net, near: Any, used: set[Any]) -> Iterator[Any]:
    """Yield two addresses of a subnet that are not in `used`: the first one from `near` on, and the last one."""
    for first, step in ((near, 1), (subnet.broadcast_address - 1, -1)):
        for offset in range(min(subnet.num_addresses, _MOST_LOOKED_AT)):
            address = first + step * offset
            # The first address of a subnet is its gateway by default.
            if address in subnet and address not in {*used, subnet.network_address + 1, subnet.broadcast_address}:
                yield address
                break


def _free_subnets(subnet: _Net, others: Sequence[_Net]) -> Iterator[_Net]:
    """Yield the first subnet after `subnet`, of its size, that overlaps none of `others`."""
    for number in range(1, _MOST_LOOKED_AT):
        start = int(subnet.network_address) + number * subnet.num_addresses
        free = ip_network((start, subnet.prefixlen))
        if not any(free.overlaps(other) for other in others):
            yield free
            return


def _containers(lab: Lab, service: str) -> Iterator[dict[str, Any]]:
    for project in lab.projects:
        if service in project.model.services:
            for container in project.containers(service):
                container.reload()
                yield container.attrs["NetworkSettings"]


def _has_address(lab: Lab, *, service: str, address: object) -> bool:
    found = (each for settings in _containers(lab, service) for each in settings["Networks"].values())
    return any(str(address) in {each["IPAddress"], each["GlobalIPv6Address"]} for each in found)


def _host_ports(lab: Lab, service: str) -> Iterator[str]:
    for settings in _containers(lab, service):
        for bindings in settings["Ports"].values():
            yield from (binding["HostPort"] for binding in bindings or ())

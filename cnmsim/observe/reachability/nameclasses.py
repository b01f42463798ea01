"""Classes of sources and of targets: a lookup of the target's name has the same outcome for all members of a class.

The outcome depends on the source's resolv.conf and hosts file, on the networks that source and target share, and on
other containers that have the same name on these networks.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator

from cnmsim.observe.directory import Directory
from cnmsim.observe.location import Location
from cnmsim.observe.trace.lookup import HOSTS_FILE
from cnmsim.userland.libc.resolver import lookup_hosts

_RESOLV_CONF = "/etc/resolv.conf"


class NameClasses:
    """The classes of a directory's locations whose members are equivalent in name lookups.

    Classes are computed when first needed.
    """

    def __init__(self, directory: Directory) -> None:
        self._locations = directory.locations
        self._holders: dict[str, list[Location]] = {}
        for location in directory.locations:
            for name in {location.name, *location.aliases, *location.service_names} - {""}:
                self._holders.setdefault(name, []).append(location)
        self._sources: dict[int, Hashable] = {}
        self._targets: dict[int, Hashable] = {}
        self._hosts: dict[int, str] = {}

    def of_source(self, source: Location) -> Hashable:
        """Return the class of a source: a hashable key of resolv.conf, networks, and whether it is a container."""
        if id(source) not in self._sources:
            self._sources[id(source)] = (_text(source, _RESOLV_CONF), _networks(source), source.is_container)
        return self._sources[id(source)]

    def of_target(self, target: Location) -> Hashable:
        """Return the class of a target, as a hashable key.

        It consists of the target's networks, of the subset of these networks on which another container has the same
        name, of a bool that is True if the target is a container, and of `_own_class`.
        """
        if id(target) not in self._targets:
            others = [holder for holder in self._holders.get(target.name, ()) if holder is not target]
            shared = frozenset(name for other in others for name in _networks(other) if name in _networks(target))
            self._targets[id(target)] = (_networks(target), shared, target.is_container, _own_class(target))
        return self._targets[id(target)]

    def of_pair(self, source: Location, target: Location) -> Hashable:
        """Return the class of a pair, as a hashable key.

        A lookup of the target's name by the source has the same outcome for two pairs if three keys are equal: that
        of the pair, that of the source (`of_source`), and that of the target (`of_target`).
        """
        if target.name in self._hosts_text(source):
            found = tuple(lookup_hosts(self._hosts_text(source), target.name))
            if found:
                return "hosts", found[0] in target.addresses or found
        networks = _networks(source)
        has_namesake = any(
            holder is not target and networks & _networks(holder) for holder in self._holders.get(target.name, ())
        )
        shared = networks & _networks(target)
        return (
            _text(source, _RESOLV_CONF), bool(shared), tuple(sorted(shared)) if has_namesake else None,
            _own_class(target),
        )  # fmt: skip

    def pairs_in_hosts_files(self, sources: Iterable[Location]) -> Iterator[tuple[Location, Location]]:
        """Yield each pair of one of `sources` and a location whose name is in the hosts file of that source."""
        for source in sources:
            text = self._hosts_text(source)
            for location in self._locations:
                if location.name in text and lookup_hosts(text, location.name):
                    yield source, location

    def _hosts_text(self, source: Location) -> str:
        if id(source) not in self._hosts:
            self._hosts[id(source)] = _text(source, HOSTS_FILE)
        return self._hosts[id(source)]


def _own_class(target: Location) -> str:
    """Return the name of a target that is a class of its own, "" for all others.

    A container in the network namespace of another one has no name on the networks of that namespace, so a lookup of
    its name fails, unless another container has the name as an alias or host name.
    """
    return target.name if target.network_mode.startswith("container:") else ""


def _networks(location: Location) -> frozenset[str]:
    return frozenset(attachment.network for attachment in location.attachments)


def _text(location: Location, path: str) -> str:
    return location.files.read(path).decode(errors="replace") if location.files.exists(path) else ""

"""Find containers to which a reverse proxy is to forward requests, and cannot, because the two share no network.

Traefik, nginx-proxy and caddy-docker-proxy read labels or environments of running containers by the Docker API, which
also lists containers that the proxy cannot reach. nginx-proxy and caddy-docker-proxy use a network that they share
with the container. Traefik uses the one that a label names, and else any one of the container's networks (traefik:
pkg/provider/docker, getIPAddress).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from attrs import frozen

from cnmsim.observe.diagnosis.diagnosis import join_a_network
from cnmsim.observe.doctor.fault import Fault, Severity
from cnmsim.observe.doctor.lab_snapshot import LabSnapshot
from cnmsim.observe.fixes.changes import ConnectNetwork, SetLabel
from cnmsim.observe.location import Location, shared_networks

IMAGES = {
    "traefik": re.compile(r"(?:^|/)traefik(?:[:@]|$)"),
    "nginx-proxy": re.compile(r"(?:^|/)(?:nginxproxy|jwilder)/nginx-proxy(?:[:@]|$)"),
    "caddy": re.compile(r"(?:^|/)caddy-docker-proxy(?:[:@]|$)"),
}
#: Labels by which Traefik creates a route to a container; the second form is that of Traefik 1.
_ROUTE = re.compile(r"traefik\.(?:(?:http|tcp|udp)\.(?:routers|services)\.|frontend\.|port$)", re.IGNORECASE)
_ROUTER_SERVICE = re.compile(r"traefik\.(?:http|tcp|udp)\.routers\.[^.]+\.service", re.IGNORECASE)
#: Labels with the URL of a server, which Traefik then uses in place of the container's address.
_SERVER_URL = re.compile(r"traefik\.http\.services\.[^.]+\.loadbalancer\.server\.url", re.IGNORECASE)
_ENABLE = "traefik.enable"
NETWORK_LABELS = ("traefik.docker.network", "traefik.swarm.network")
_NETWORK = NETWORK_LABELS[0]
_CADDY = re.compile(r"caddy(?:_[0-9]+)?\..+")
#: The template of caddy-docker-proxy that stands for the addresses of the container itself.
_UPSTREAMS = re.compile(r"\{\{-?\s*upstreams\b")
#: An option of Traefik's command line, with its value, and a variable with the same meaning.
_OPTION = re.compile(r"--([a-z][\w.-]*)(?:=(.*))?", re.IGNORECASE)
_VARIABLE = re.compile(r"TRAEFIK_(\w+)=(.*)", re.IGNORECASE)
DOCKER, SWARM = "providers.docker", "providers.swarm"
#: Options of which the next word is not the value.
_FLAGS = {
    f"{DOCKER}.exposedbydefault",
    f"{DOCKER}.usebindportip",
    f"{DOCKER}.watch",
    f"{DOCKER}.swarmmode",
    *(f"{SWARM}.{name}" for name in ("exposedbydefault", "usebindportip", "watch")),
}


@frozen
class Settings:
    """The settings of a container: its labels, its environment, and the words of its command line."""

    labels: Mapping[str, str]
    env: Mapping[str, str]
    words: tuple[str, ...]

    @property
    def traefik_options(self) -> Mapping[str, str]:
        """The static configuration of Traefik, such as `{"providers.docker.network": "web"}`, names in lower case.

        Traefik reads it from a file, the command line or the environment, the first of these that has any. A file
        is not read here: the result is then empty.
        """
        found = dict(self._options())
        if not found:
            variables = (_VARIABLE.fullmatch(f"{name}={value}") for name, value in self.env.items())
            found = {item[1].lower().replace("_", "."): item[2] for item in variables if item is not None}
        return {} if "configfile" in found else found

    def _options(self) -> Iterator[tuple[str, str]]:
        following = (*self.words[1:], "--")
        for word, after in zip(self.words, following, strict=True):
            if (option := _OPTION.fullmatch(word)) is None:
                continue
            name = option[1].lower()
            if name == "docker" or name.startswith("docker."):
                name = f"providers.{name}"  # the form of Traefik 1
            takes_value = option[2] is None and name.count(".") > 1 and name not in _FLAGS
            yield name, after if takes_value and not after.startswith("-") else option[2] or ""


@frozen
class _Request:
    """A setting by which a container asks for a route. `keys` lead to it in a Compose service.

    `network` is the name of the network whose address the proxy is to use, "" if the proxy chooses one, and
    `network_keys` lead to that name, () if the proxy's own settings contain it. `chooses` is True if the proxy
    chooses one of all the container's networks, not only of its own. `may_name` is True if the proxy possibly has the
    name of a network in a file, which is not read here.
    """

    keys: tuple[str, str]
    network: str = ""
    network_keys: tuple[str, ...] = ()
    chooses: bool = False
    may_name: bool = False

    @property
    def name(self) -> str:
        """The setting as messages name it."""
        return f"label {self.keys[1]}" if self.keys[0] == "labels" else self.keys[1]


def proxied_services(snapshot: LabSnapshot) -> Iterator[Fault]:
    """Find containers that a reverse proxy of their host is to serve, but cannot reach by the network it uses."""
    for host in snapshot.docker_hosts:
        containers = [item for item in snapshot.containers(host) if not item.task]
        settings = {item.name: _settings(snapshot, item) for item in containers}
        for kind, image in IMAGES.items():
            proxies = [item for item in containers if image.search(item.image)]
            if any(item.network_mode == "host" for item in proxies):
                continue  # the host reaches the containers of all its bridges
            for container in containers if proxies else ():
                if container in proxies or not container.attachments:
                    continue
                faults = [
                    _fault(snapshot, container, proxy, request)
                    for proxy in proxies
                    if (request := _request(kind, container, settings[container.name], settings[proxy.name]))
                    is not None
                ]
                # A container may be meant for any one of several proxies.
                if faults and all(faults):
                    yield from (fault for fault in faults[:1] if fault is not None)


def _settings(snapshot: LabSnapshot, container: Location) -> Settings:
    record = snapshot.engines[container.host].store.find(container.id)
    config = record.config if record is not None else {}
    env = dict(str(item).partition("=")[::2] for item in config.get("Env") or ())
    words = words_of((*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())))
    labels = {name: str(value) for name, value in (config.get("Labels") or {}).items()}
    return Settings(labels, env, words)


def words_of(argv: Iterable[object]) -> tuple[str, ...]:
    """Return the words of a command line without quotes; a shell's script is one argument with many words."""
    return tuple(re.sub(r"[\"']", "", " ".join(map(str, argv))).split())


def _request(kind: str, container: Location, own: Settings, proxy: Settings) -> _Request | None:
    """Return the setting by which a container with the settings `own` requests a route; `None` if none does."""
    if kind == "nginx-proxy":
        return _Request(("environment", "VIRTUAL_HOST")) if own.env.get("VIRTUAL_HOST") else None
    if kind == "caddy":
        found = (name for name, value in own.labels.items() if _CADDY.fullmatch(name) and _UPSTREAMS.search(value))
        return next((_Request(("labels", name)) for name in found), None)
    return _traefik_request(container, own, proxy.traefik_options)


def _traefik_request(container: Location, own: Settings, options: Mapping[str, str]) -> _Request | None:
    providers = {name.split(".")[1] for name in options if name.startswith("providers.")}
    if providers and ("docker" not in providers or options.get(DOCKER, "").lower() not in {"", "true"}):
        return None
    if options.get(f"{DOCKER}.constraints"):
        return None  # they may exclude the container
    # With a port published on all addresses, Traefik uses the container's address all the same.
    is_bound = any(item.host_ip not in {"", "0.0.0.0", "::"} for item in container.published)  # noqa: S104
    if is_bound and is_true(options.get(f"{DOCKER}.usebindportip", "false")):
        return None
    route = traefik_route(own.labels, options, DOCKER)
    if not route:
        return None
    if network := own.labels.get(_NETWORK, ""):
        return _Request(("labels", route), network, ("labels", _NETWORK), chooses=True)
    default = options.get(f"{DOCKER}.network", "")
    return _Request(("labels", route), default, chooses=True, may_name="docker" not in providers)


def traefik_route(labels: Mapping[str, str], options: Mapping[str, str], provider: str) -> str:
    """Return the first label that makes Traefik forward requests to the container or service; "" if none does.

    `options` are the static configuration of Traefik, `provider` the prefix of the options of the provider that reads
    the labels.
    """
    enable = labels.get(_ENABLE, "").lower()
    if enable in {"false", "0"} or (not enable and not is_true(options.get(f"{provider}.exposedbydefault", ""))):
        return ""
    services = [value for name, value in labels.items() if _ROUTER_SERVICE.fullmatch(name)]
    if any(map(_SERVER_URL.fullmatch, labels)) or (services and all("@" in value for value in services)):
        return ""  # the routes lead to another server
    others = any(name.startswith("traefik.") and name not in {_ENABLE, *NETWORK_LABELS} for name in labels)
    return next((name for name in labels if _ROUTE.match(name)), _ENABLE if enable and not others else "")


def is_true(value: str) -> bool:
    """Return the value of a Boolean option of Traefik; an option without a value is true."""
    return value.lower() in {"", "true", "t", "1"}


def _fault(snapshot: LabSnapshot, container: Location, proxy: Location, request: _Request) -> Fault | None:
    """Return the fault of a container that asks `proxy` for a route; `None` if the proxy reaches it."""
    shared = shared_networks(container, proxy)
    place = f"{container.host}: container {container.name}"
    source = snapshot.source(container, request.keys, request.keys[:1])
    own = ", ".join(item.network for item in container.attachments)
    theirs = ", ".join(item.network for item in proxy.attachments)
    if not proxy.attachments:
        return Fault(
            Severity.WARNING, "proxy-without-network", place,
            f"{request.name} makes {proxy.name} forward requests to it, but {proxy.name} is on no network",
            f"attach {proxy.name} to a network of {container.name}, without network mode {proxy.network_mode}",
            source, (join_a_network(proxy, container),),
        )  # fmt: skip
    if not shared:
        return Fault(
            Severity.WARNING, "proxy-without-network", place,
            f"{request.name} makes {proxy.name} forward requests to it, but the two share no network "
            f"({proxy.name} is on {theirs}, {container.name} on {own})",
            f"attach {container.name} to a network of {proxy.name}", source, _connections(container, proxy, request),
        )  # fmt: skip
    hidden = len(container.attachments) > len(shared)
    if request.network in shared or not (request.network or (hidden and request.chooses and not request.may_name)):
        return None
    keys = request.network_keys
    if keys:
        source = snapshot.source(container, keys, keys[:1])
    if container.on_network(request.network) is not None:
        named = f"label {_NETWORK}" if keys else f"the default network of {proxy.name}"
        return Fault(
            Severity.WARNING, "proxy-without-network", place,
            f"{named} is {request.network}: {proxy.name} sends requests to the address of {container.name} on that "
            f"network, and is not on it ({proxy.name} is on {theirs})",
            f"attach {proxy.name} to network {request.network}, or name a network of {proxy.name}", source,
            (ConnectNetwork(proxy.host, request.network, proxy.name),),
        )  # fmt: skip
    if not hidden:
        return None  # Traefik then uses any network of the container, and is on all of them
    why = "no label names one"
    if keys:
        why = f"label {_NETWORK} names {request.network!r}, which is none of its networks"
    elif request.network:
        why = f"its default network {request.network!r} is none of them"
    return Fault(
        Severity.WARNING, "proxy-network-by-chance", place,
        f"it is on the networks {own}; {proxy.name} is on {', '.join(shared)} only, but sends requests to its "
        f"address on any one of its networks, as {why}",
        f"set label {_NETWORK} to the name that `docker network ls` prints for network {shared[0]}", source,
        tuple(SetLabel(container.host, container.name, _NETWORK, name) for name in shared),
    )  # fmt: skip


def _connections(container: Location, proxy: Location, request: _Request) -> tuple[ConnectNetwork, ...]:
    """Return the changes that put a container and its proxy on one network, the best first.

    A proxy that chooses one of all the container's networks is attached to these: with one more network of the
    container it could still choose another.
    """
    joins = [(container, item) for item in proxy.attachments]
    served = [(proxy, item) for item in container.attachments] if request.chooses else []
    return tuple(
        ConnectNetwork(location.host, item.network, location.name)
        for location, item in (*served, *joins)
        if not item.is_default
    )

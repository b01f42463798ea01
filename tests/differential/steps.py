"""Draw a step for a Docker host: a command line, of what exists on the host and now and then of what does not.

The state is a model of the names only. Whether a step succeeds is not predicted: both engines decide it.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from random import Random

from attrs import define, field

_IMAGES = ("alpine", "nginx")
_ALIASES = ("db", "api", "cache", "x.y")
_PORTS = ("8080:80", "8081:80", "8080:81/udp", "127.0.0.1:8082:80", "8083", "8090-8092:80-82", "[::1]:8084:80")
_WRONG_PORTS = ("99999:80", "80:0", "x:80", "1.2.3:80:80", "8080-8079:80", "203.0.113.1:80:80")
_SUBNETS = ("10.50.0.0/24", "10.50.1.0/28", "10.51.0.0/16", "172.18.0.0/16", "192.168.200.0/30")
_WRONG_SUBNETS = ("10.50.0.0/33", "nonsense", "10.50.0.1/24", "224.0.0.0/24", "fd00:1::/64")
_CURL = "curl -s -m 20 --unix-socket \"${DOCKER_HOST#unix://}\" -w '[%{http_code}]' -g"
_JSON = "-H 'Content-Type: application/json'"
_INSPECTED = "{{json .NetworkSettings.Ports}} {{json .NetworkSettings.Networks}}"


@define
class Names:
    """The names that steps so far may have created."""

    networks: list[str] = field(factory=list)
    containers: list[str] = field(factory=list)

    def network(self, random: Random) -> str:
        """Return a network's name, sometimes one that does not exist."""
        return _one_of(random, [*self.networks, *self.networks, "bridge"], ["nosuch", "none", "host"])

    def container(self, random: Random) -> str:
        """Return a container's name, sometimes one that does not exist."""
        return _one_of(random, self.containers * 2, ["nosuch"])


def _one_of(random: Random, usual: list[str], rare: list[str]) -> str:
    return random.choice(rare if not usual or random.random() < 0.06 else usual)


def draw_sequence(random: Random, length: int) -> list[str]:
    """Return the command lines of one sequence."""
    names = Names()
    return [draw_step(random, names) for _ in range(length)]


def draw_step(random: Random, names: Names) -> str:
    """Return one command line, and record the names that it may create or remove."""
    weights = {create_network: 3, run: 6, connect: 4, disconnect: 2, change: 4, remove: 2, look: 9, probe: 6, raw: 3}
    if not names.containers:
        weights = {create_network: 3, run: 4}
    chosen: Callable[[Random, Names], str] = random.choices(list(weights), list(weights.values()))[0]
    return chosen(random, names)


def create_network(random: Random, names: Names) -> str:
    """Draw a `network create`."""
    name = _one_of(random, [f"n{number}" for number in range(5)], ["bridge", "a b", "-x"])
    words = ["docker network create"]
    if random.random() < 0.3:
        words += ["--subnet", _one_of(random, list(_SUBNETS), list(_WRONG_SUBNETS))]
        if random.random() < 0.3:
            words += ["--gateway", random.choice(("10.50.0.254", "10.50.1.3", "1.2.3.4", "x"))]
        if random.random() < 0.2:
            words += ["--ip-range", random.choice(("10.50.0.128/25", "10.51.7.0/24", "10.99.0.0/24"))]
    for option, share in (
        ("--internal", 0.15),
        ("--ipv6 --subnet fd00:52::/120", 0.12),
        ("-o com.docker.network.bridge.enable_icc=false", 0.1),
        ("-o com.docker.network.bridge.enable_ip_masquerade=false", 0.05),
        ("-o com.docker.network.bridge.host_binding_ipv4=127.0.0.1", 0.05),
        ("-o com.docker.network.driver.mtu=1400", 0.05),
        ("--label a=b", 0.05),
    ):
        if random.random() < share:
            words.append(option)
    if name not in names.networks and name.startswith("n"):
        names.networks.append(name)
    return " ".join([*words, shlex.quote(name)])


def _endpoint_options(random: Random, *, connects: bool) -> list[str]:
    words = []
    alias = "--alias" if connects else "--network-alias"
    if random.random() < 0.2:
        words += [alias, random.choice(_ALIASES)]
    if random.random() < 0.12:
        words += ["--ip", _one_of(random, ["10.50.0.77", "10.51.3.4", "172.18.0.9"], ["10.57.0.300", "1.2.3"])]
    return words


def run(random: Random, names: Names) -> str:
    """Draw a `docker run -d`."""
    name = _one_of(random, [f"k{number}" for number in range(6)], ["-bad", "x"])
    words = ["docker run -d --name", name]
    mode = random.random()
    if mode < 0.55 and names.networks:
        words += ["--network", names.network(random), *_endpoint_options(random, connects=False)]
    elif mode < 0.62:
        words += ["--network", f"container:{names.container(random)}"]
    elif mode < 0.7 and names.containers:
        words += ["--link", f"{names.container(random)}:{random.choice(_ALIASES)}"]
    if random.random() < 0.4:
        words += ["-p", _one_of(random, list(_PORTS), list(_WRONG_PORTS))]
    for option, share in (
        ("-P", 0.05),
        ("--expose 90", 0.08),
        ("--hostname h1", 0.08),
        ("--dns 203.0.113.10", 0.05),
        ("--add-host q:1.2.3.4", 0.05),
        ("--mac-address 02:42:ac:11:00:99", 0.04),
        ("--sysctl net.ipv4.ip_forward=0", 0.03),
    ):
        if random.random() < share:
            words.append(option)
    image = random.choice(_IMAGES)
    if name not in names.containers and name.startswith("k"):
        names.containers.append(name)
    return " ".join([*words, image, *(["sleep 1d"] if image == "alpine" else [])])


def connect(random: Random, names: Names) -> str:
    """Draw a `network connect`."""
    words = ["docker network connect", *_endpoint_options(random, connects=True)]
    return " ".join([*words, names.network(random), names.container(random)])


def disconnect(random: Random, names: Names) -> str:
    """Draw a `network disconnect`."""
    force = "-f " if random.random() < 0.15 else ""
    return f"docker network disconnect {force}{names.network(random)} {names.container(random)}"


def change(random: Random, names: Names) -> str:
    """Draw a change of a container's state or name."""
    name = names.container(random)
    if random.random() < 0.2:
        new = f"k{random.randrange(6)}"
        if new not in names.containers:
            names.containers.append(new)
        return f"docker rename {name} {new}"
    verb = random.choice(("restart -t 0", "restart -t 0", "stop -t 0", "start", "start", "pause", "unpause", "kill"))
    return f"docker {verb} {name}"


def remove(random: Random, names: Names) -> str:
    """Draw the removal of a container, a network or a link."""
    kind = random.random()
    if kind < 0.3:
        return f"docker network rm {names.network(random)}"
    if kind < 0.4:
        return f"docker rm --link {names.container(random)}/{random.choice(_ALIASES)}"
    return f"docker rm {'-f ' if random.random() < 0.8 else ''}{names.container(random)}"


def look(random: Random, names: Names) -> str:
    """Draw a view of the engine's, the host's or a container's state."""
    name = names.container(random)
    return random.choice(
        (
            "docker ps -a --format '{{.Names}} {{.State}} {{.Ports}}' | sort",
            "docker network ls --format '{{.Name}} {{.Driver}} {{.Scope}}' | sort",
            f"docker inspect {name} --format '{_INSPECTED}'",
            f"docker inspect {name} --format '{{{{.State.Status}}}} {{{{.State.ExitCode}}}} {{{{.State.Error}}}}'",
            f"docker network inspect {names.network(random)} --format '{{{{json .IPAM}}}} {{{{json .Options}}}}'",
            f"docker port {name}",
            f"docker exec {name} ip -4 -o addr",
            f"docker exec {name} ip route",
            f"docker exec {name} cat /etc/hosts",
            f"docker exec {name} cat /etc/resolv.conf",
            "iptables-save -t filter | grep ^-A",
            "iptables-save -t nat | grep -v 127.0.0.11",
            "ip -4 -o addr show scope global",
            "ip route",
        )
    )


def probe(random: Random, names: Names) -> str:
    """Draw an exchange of packets."""
    name, other = names.container(random), _one_of(random, [*names.containers, *_ALIASES], ["nosuch"])
    return random.choice(
        (
            f"docker exec {name} ping -c 1 -W 1 {other}",
            f"docker exec {name} nslookup -type=a {other}",
            f"docker exec {name} wget -qO- -T 2 http://{other}/",
            f"curl -s -m 3 http://127.0.0.1:{random.choice((8080, 8081, 8082, 8090))}/",
            f"docker exec {name} ping -c 1 -W 1 203.0.113.10",
        )
    )


def raw(random: Random, names: Names) -> str:
    """Draw a request to the engine's socket, mostly a wrong one."""
    name, network = names.container(random), names.network(random)
    bodies: tuple[tuple[str, str, object], ...] = (
        ("GET", f"/containers/{name}/json?size=x", None),
        ("POST", f"/networks/{network}/connect", {"Container": name, "EndpointConfig": {"Aliases": ["raw"]}}),
        ("POST", f"/networks/{network}/disconnect", {"Container": name}),
        ("POST", "/networks/create", {"Name": "n1", "Internal": random.choice((True, "yes"))}),
        ("POST", f"/containers/{name}/rename?name=", None),
        ("POST", f"/containers/{name}/update", {"RestartPolicy": {"Name": "sometimes"}}),
        ("GET", f"/networks?filters={json.dumps({'dangling': [random.choice(('true', 'x'))], 'name': ['n']})}", None),
        ("DELETE", f"/networks/{network}/x", None),
        ("POST", "/containers/create", {"Image": "nosuch", "HostConfig": {"PortBindings": {"80/tcp": []}}}),
    )
    method, path, body = random.choice(bodies)
    data = "" if body is None else f" {_JSON} -d {shlex.quote(json.dumps(body))}"
    quiet = " -o /dev/null" if method == "GET" and body is None else ""
    return f"{_CURL}{quiet} -X {method}{data} {shlex.quote('http://d/v1.45' + path)}"

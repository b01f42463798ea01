"""A failed call changes nothing: whatever the API refuses, and whatever fails half-way, the host is as it was before.

`CNMSIM_EXAMPLES=5000` draws more labs than CI has time for.
"""

import json
import os
import re
from itertools import chain
from urllib.parse import quote

import pytest
from attrs import frozen
from hypothesis import currently_in_test_context, event, given, settings
from hypothesis import strategies as st
from support.whole_state import difference, whole_state

from cnmsim import Lab
from cnmsim.api.durability import Durability
from cnmsim.api.engine_socket import LabClockDriver
from cnmsim.api.host import HostApi
from cnmsim.api.message import Request, Response
from cnmsim.api.router import dispatch
from cnmsim.kernel.task import run_until
from cnmsim.libnetwork.ipam.allocator import Ipam
from cnmsim.libnetwork.portallocator import PortAllocator
from cnmsim.testing import lab_specs

NETWORKS = ("net0", "net1")
CONTAINERS = ("box0", "box1", "box2")
network_names = st.sampled_from([*NETWORKS, "tiny", "new", "bridge", "host", "none", "nosuch", ""])
container_names = st.sampled_from([*CONTAINERS, "new", "nosuch"])
addresses = st.sampled_from(
    ["10.60.0.2", "10.60.0.3", "172.18.0.2", "172.18.0.9", "10.9.0.5", "fd00:60::5", "1.2.3", ""]
)
macs = st.sampled_from(["02:42:ac:11:00:99", "01:00:5e:00:00:01", "x"])


def some(**fields):
    """Draw a dictionary with some of these fields."""
    return st.lists(st.sampled_from(sorted(fields)), max_size=3, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: fields[name] for name in names})
    )


@frozen
class Call:
    """A request to the engine; `"shell"` in place of a method: a command on the host that spoils something."""

    method: str
    path: str
    body: object = None
    query: tuple[tuple[str, str], ...] = ()


nothing = st.none()


def call(method, path, body=nothing, /, **query):
    """Draw a call. `path` and the values of `query` are strategies or texts."""
    queries = st.fixed_dictionaries(
        {}, optional={k: v if not isinstance(v, str) else st.just(v) for k, v in query.items()}
    )
    return st.builds(
        lambda p, b, q: Call(method, p, b, tuple(q.items())),
        path if not isinstance(path, str) else st.just(path),
        body,
        queries,
    )


def on(pattern, names):
    """Draw a path: `pattern` with a name."""
    return names.map(lambda name: pattern.replace("{}", quote(name)))


endpoints = some(
    IPAMConfig=some(IPv4Address=addresses, IPv6Address=addresses, LinkLocalIPs=st.lists(addresses, max_size=2)),
    Aliases=st.lists(st.sampled_from(["box0", "box1", "x y", ""]), max_size=2),
    Links=st.lists(st.sampled_from(["box1:x", "nosuch", "box0"]), max_size=1),
    MacAddress=macs,
    GwPriority=st.sampled_from([0, 5, "x"]),
    DriverOpts=st.dictionaries(
        st.sampled_from(["com.docker.network.endpoint.sysctls", "com.docker.network.endpoint.ifname", "x"]),
        st.sampled_from(
            ["net.ipv4.conf.IFNAME.log_martians=1", "net.ipv4.conf.IFNAME.nosuch=1", "eth0", "lo", "x/y", ""]
        ),
        max_size=1,
    ),
)
bindings = st.dictionaries(
    st.sampled_from(["80/tcp", "53/udp", "80-82/tcp", "x/tcp", "99/sctp"]),
    st.lists(
        some(
            HostIp=st.sampled_from(["", "0.0.0.0", "10.0.0.15", "203.0.113.1", "::", "fd00::99", "x"]),
            HostPort=st.sampled_from(["8080", "8080-8081", "8081", "", "22", "70000", "x"]),
        ),
        min_size=1,
        max_size=2,
    ),
    max_size=2,
)
host_configs = some(
    NetworkMode=network_names | st.sampled_from(["container:box0", "container:nosuch", "container:box1"]),
    PortBindings=bindings,
    PublishAllPorts=st.booleans(),
    Binds=st.lists(
        st.sampled_from(["data:/d", "/nosuch/a:/b", "/etc:/etc/x:ro", "data:/", "x", "data:/d:zz"]), max_size=2
    ),
    Mounts=st.lists(
        some(
            Type=st.sampled_from(["bind", "volume", "tmpfs", "x"]),
            Target=st.sampled_from(["/t", "t", "/"]),
            Source=st.sampled_from(["/nosuch", "data", "/etc", ""]),
        ),
        max_size=1,
    ),
    Sysctls=st.dictionaries(
        st.sampled_from(["net.ipv4.ip_forward", "net.ipv4.nosuch", "kernel.msgmax", "kernel.nosuch"]),
        st.sampled_from(["1", "x"]),
        max_size=1,
    ),
    Dns=st.lists(addresses, max_size=1),
    ExtraHosts=st.lists(st.sampled_from(["a:1.2.3.4", "a", "a:host-gateway"]), max_size=1),
    Links=st.lists(st.sampled_from(["box1:x", "nosuch:y", "box0"]), max_size=1),
    RestartPolicy=some(Name=st.sampled_from(["always", "on-failure", "x"]), MaximumRetryCount=st.integers(-1, 2)),
    AutoRemove=st.booleans(),
    Memory=st.sampled_from([1, 64 << 20]),
    Ulimits=st.just([{"Name": "x", "Soft": 1, "Hard": 1}]),
    LogConfig=some(Type=st.sampled_from(["json-file", "none", "x"]), Config=st.just({"x": "y"})),
    Devices=st.just([{"PathOnHost": "/dev/nosuch", "PathInContainer": "/dev/x", "CgroupPermissions": "rwm"}]),
    PidMode=st.sampled_from(["host", "container:nosuch", "x"]),
    IpcMode=st.sampled_from(["container:nosuch", "x"]),
    VolumesFrom=st.lists(st.sampled_from(["box1", "nosuch", "box0:x"]), max_size=1),
)
container_configs = st.builds(
    lambda config, host, network, endpoint: {
        "Image": "alpine",
        "Cmd": ["sleep", "1d"],
        **config,
        "HostConfig": host,
        "NetworkingConfig": {"EndpointsConfig": {network: endpoint} if network else {}},
    },
    some(
        Image=st.sampled_from(["nosuch/image:1", "Alpine", ""]),
        Cmd=st.sampled_from([["nosuch"], ["/etc"], [], ["true"]]),
        User=st.sampled_from(["nosuch", "1000"]),
        WorkingDir=st.sampled_from(["/w", "w", "/etc/hosts/x"]),
        Hostname=st.sampled_from(["h", "x" * 65, "-"]),
        MacAddress=macs,
        ExposedPorts=st.dictionaries(st.sampled_from(["80/tcp", "x"]), st.just({}), max_size=1),
        Volumes=st.dictionaries(st.sampled_from(["/v", "v", "/"]), st.just({}), max_size=1),
        Healthcheck=some(Test=st.just(["CMD", "true"]), Interval=st.sampled_from([1, 10**9]), Retries=st.just(-1)),
        StopSignal=st.sampled_from(["SIGTERM", "SIGX"]),
    ),
    host_configs,
    network_names,
    endpoints,
)
network_configs = st.builds(
    lambda name, config: {"Name": name, **config},
    network_names,
    some(
        Driver=st.sampled_from(["bridge", "macvlan", "ipvlan", "overlay", "host", "null", "x"]),
        IPAM=some(
            Driver=st.sampled_from(["default", "null", "x"]),
            Config=st.lists(
                some(
                    Subnet=st.sampled_from(
                        ["10.9.0.0/24", "10.9.0.5/24", "10.60.0.0/30", "172.17.0.0/16", "fd00:9::/64", "x"]
                    ),
                    Gateway=st.sampled_from(["10.9.0.1", "10.9.0.255", "1.2.3.4", "fd00:9::1"]),
                    IPRange=st.sampled_from(["10.9.0.128/25", "10.0.0.0/8"]),
                    AuxiliaryAddresses=st.just({"router": "10.9.0.1"}),
                ),
                max_size=2,
            ),
            Options=st.just({"x": "y"}),
        ),
        EnableIPv6=st.booleans(),
        EnableIPv4=st.booleans(),
        Internal=st.booleans(),
        ConfigOnly=st.booleans(),
        Attachable=st.booleans(),
        Ingress=st.booleans(),
        Scope=st.sampled_from(["swarm", "x"]),
        ConfigFrom=st.sampled_from([{"Network": "net0"}, {"Network": "nosuch"}]),
        Options=st.dictionaries(
            st.sampled_from(
                [
                    "com.docker.network.bridge.name",
                    "com.docker.network.driver.mtu",
                    "parent",
                    "macvlan_mode",
                    "com.docker.network.bridge.gateway_mode_ipv4",
                    "com.docker.network.bridge.host_binding_ipv4",
                    "ipvlan_mode",
                    "com.docker.network.bridge.inhibit_ipv4",
                    "com.docker.network.container_iface_prefix",
                    "com.docker.network.driver.overlay.vxlanid_list",
                    "encrypted",
                ]
            ),
            st.sampled_from(
                [
                    "",
                    "x",
                    "eth0",
                    "eth0.5",
                    "nosuch0.5",
                    "br-own",
                    "docker0",
                    "1500",
                    "9",
                    "routed",
                    "isolated",
                    "l3",
                    "10.0.0.15",
                    "a" * 20,
                ]
            ),
            max_size=2,
        ),
    ),
)
services = st.builds(
    lambda name, spec, task: {"Name": name, **spec, "TaskTemplate": {"ContainerSpec": {"Image": "nginx"}, **task}},
    st.sampled_from(["shop", "new", "", "x y"]),
    some(
        Mode=st.sampled_from([{"Replicated": {"Replicas": 1}}, {"Global": {}}, {"Replicated": {}, "Global": {}}, {}]),
        EndpointSpec=some(
            Mode=st.sampled_from(["vip", "dnsrr", "x"]),
            Ports=st.lists(
                some(
                    TargetPort=st.just(80),
                    PublishedPort=st.sampled_from([80, 8080, 70000]),
                    Protocol=st.sampled_from(["tcp", "x"]),
                ),
                max_size=2,
            ),
        ),
        UpdateConfig=some(Parallelism=st.just(-1), Order=st.just("x")),
        Networks=st.lists(st.builds(lambda name: {"Target": name}, network_names), max_size=1),
    ),
    some(
        ContainerSpec=some(
            Image=st.sampled_from(["", "nginx"]),
            Secrets=st.just([{"SecretName": "s", "SecretID": "nosuch"}]),
            Mounts=st.just([{"Type": "bind", "Target": "x"}]),
            Hosts=st.just(["x"]),
        ),
        Networks=st.lists(st.builds(lambda name: {"Target": name}, network_names), max_size=1),
        Placement=st.sampled_from([{"Constraints": ["x"]}, {"Constraints": ["node.role==worker"]}]),
        Resources=st.just({"Limits": {"NanoCPUs": 1}}),
        RestartPolicy=st.just({"Condition": "x"}),
        LogDriver=st.just({"Name": "x"}),
    ),
)
blobs = st.builds(
    lambda name, data: {"Name": name, **data},
    st.sampled_from(["s", "new", "", "-"]),
    some(Data=st.sampled_from(["eA==", "?", ""])),
)
versions = st.sampled_from(["0", "7", "x", ""])
commands = st.sampled_from(
    [
        "iptables -F DOCKER",
        "iptables -t nat -F DOCKER",
        "iptables -t nat -F",
        "iptables -F",
        "iptables -X DOCKER-USER",
        "ip6tables -F",
        "ip link del docker0",
        "ip link set docker0 down",
        "ip link add br-own type bridge",
        "ip link add link eth0 name eth0.5 type vlan id 5",
        "ip addr add 172.19.0.1/16 dev eth0",
        "ip route add 10.9.0.0/24 dev eth0",
        "ip addr flush dev docker0",
        "rm -rf /var/lib/docker/volumes/data",
        "nc -l -p 8080",
        "nc -l -p 8081",
        "sysctl -w net.ipv6.conf.all.disable_ipv6=1",
        "nft delete table ip docker-bridges",
        "ip link set eth0 down",
    ]
)
calls = st.one_of(
    call("POST", "/containers/create", container_configs, name=container_names),
    call("POST", on("/containers/{}/start", container_names)),
    call("POST", on("/containers/{}/start", st.just("new"))),
    call("POST", on("/containers/{}/restart", container_names), t="0"),
    call("POST", on("/containers/{}/stop", container_names), t=st.sampled_from(["0", "x"])),
    call("POST", on("/containers/{}/kill", container_names), signal=st.sampled_from(["SIGTERM", "x"])),
    call("POST", on("/containers/{}/pause", container_names)),
    call("POST", on("/containers/{}/unpause", container_names)),
    call("POST", on("/containers/{}/rename", container_names), name=st.sampled_from([*CONTAINERS, "other", "-", ""])),
    call("POST", on("/containers/{}/update", container_names), host_configs),
    call("DELETE", on("/containers/{}", container_names), force=st.sampled_from(["1", "0"]), v="1", link="1"),
    call(
        "POST",
        on("/containers/{}/exec", container_names),
        some(
            Cmd=st.sampled_from([["true"], ["nosuch"], []]),
            WorkingDir=st.just("/nosuch"),
            User=st.just("nosuch"),
            DetachKeys=st.just("x-"),
        ),
    ),
    call(
        "PUT",
        on("/containers/{}/archive", container_names),
        st.just("no tar"),
        path=st.sampled_from(["/", "/nosuch", ""]),
    ),
    call("POST", "/networks/create", network_configs),
    call("DELETE", on("/networks/{}", network_names)),
    call(
        "POST",
        on("/networks/{}/connect", network_names),
        st.builds(lambda name, endpoint: {"Container": name, "EndpointConfig": endpoint}, container_names, endpoints),
    ),
    call(
        "POST",
        on("/networks/{}/disconnect", network_names),
        st.builds(lambda name, force: {"Container": name, "Force": force}, container_names, st.booleans()),
    ),
    call(
        "POST",
        "/volumes/create",
        some(
            Name=st.sampled_from(["data", "-", ""]),
            Driver=st.sampled_from(["local", "x"]),
            DriverOpts=st.sampled_from([{"type": "nfs"}, {"x": "y"}, {"size": "x"}]),
            ClusterVolumeSpec=st.just({}),
        ),
    ),
    call("DELETE", on("/volumes/{}", st.sampled_from(["data", "nosuch"])), force="1"),
    call(
        "POST", "/images/create", fromImage=st.sampled_from(["redis", "Redis", ""]), tag=st.sampled_from(["7", "x y"])
    ),
    call(
        "POST",
        on("/images/{}/tag", st.sampled_from(["alpine", "nosuch"])),
        repo=st.sampled_from(["a/b", "A", ""]),
        tag="t",
    ),
    call("DELETE", on("/images/{}", st.sampled_from(["alpine", "nginx", "nosuch"])), force="1"),
    call(
        "POST",
        st.sampled_from(["/containers/prune", "/networks/prune", "/volumes/prune", "/images/prune"]),
        filters=st.sampled_from(['{"x":["y"]}', '{"until":["x"]}', "{"]),
    ),
    call(
        "POST",
        "/swarm/init",
        some(
            ListenAddr=st.sampled_from(["0.0.0.0:2377", "x", "9.9.9.9"]),
            AdvertiseAddr=st.sampled_from(["10.0.0.15", "9.9.9.9", "nosuch0"]),
            DefaultAddrPool=st.sampled_from([["10.9.0.0/16"], ["x"]]),
            SubnetSize=st.sampled_from([0, 24, 99]),
            DataPathPort=st.sampled_from([0, 1, 4790]),
        ),
    ),
    call(
        "POST",
        "/swarm/join",
        some(
            RemoteAddrs=st.sampled_from([[], ["10.0.0.50:2377"], ["x"]]),
            JoinToken=st.just("x"),
            ListenAddr=st.sampled_from(["0.0.0.0:2377", "x"]),
        ),
    ),
    call("POST", "/swarm/leave", force=st.sampled_from(["0", "1"])),
    call(
        "POST",
        "/swarm/update",
        some(Orchestration=st.just({"TaskHistoryRetentionLimit": -1}), Name=st.just("x")),
        version=versions,
    ),
    call("POST", "/swarm/unlock", st.just({"UnlockKey": "x"})),
    call("POST", "/services/create", services),
    call("POST", on("/services/{}/update", st.sampled_from(["shop", "nosuch"])), services, version=versions),
    call("DELETE", on("/services/{}", st.sampled_from(["shop", "nosuch"]))),
    call("POST", st.sampled_from(["/secrets/create", "/configs/create"]), blobs),
    call("POST", st.sampled_from(["/secrets/s/update", "/configs/s/update"]), blobs, version=versions),
    call("DELETE", st.sampled_from(["/secrets/s", "/configs/s", "/secrets/nosuch", "/nodes/nosuch", "/nodes/node"])),
    call(
        "POST",
        "/nodes/node/update",
        st.sampled_from([{"Role": "worker"}, {"Availability": "x"}, {}]),
        version=versions,
    ),
    call("POST", st.sampled_from(["/plugins/x/enable", "/plugins/x/disable", "/plugins/x/set", "/plugins/pull"])),
    commands.map(lambda command: Call("shell", command)),
)

#: Calls whose last one passes all checks of its body and may fail late: in a driver of networks, or in the runtime.
late_refusals = st.builds(
    lambda network, ports, command, sysctls, dirty: [
        Call("DELETE", "/containers/late", query=(("force", "1"),)),
        *([Call("shell", dirty)] if dirty else []),
        Call(
            "POST",
            "/containers/create",
            {
                "Image": "alpine",
                "Cmd": command,
                "HostConfig": {"NetworkMode": network, "PortBindings": ports, "Sysctls": sysctls},
            },
            (("name", "late"),),
        ),
        Call("POST", "/containers/late/start"),
    ],
    st.sampled_from([*NETWORKS, "tiny", "bridge", "over"]),
    st.sampled_from(
        [
            {},
            {"80/tcp": [{"HostPort": ""}], "81/tcp": [{"HostPort": "8085"}, {"HostPort": "8085"}]},
            {"80/tcp": [{"HostPort": "8085-8087"}], "81/tcp": [{"HostIp": "203.0.113.1"}]},
            {"80/tcp": [{"HostPort": "8085"}], "81/udp": [{"HostPort": ""}], "82/tcp": [{"HostPort": "9000"}]},
        ]
    ),
    st.sampled_from([["sleep", "1d"], ["nosuch"]]),
    st.sampled_from([{}, {"net.ipv4.nosuch": "1"}]),
    st.sampled_from(["", "nc -l -p 9000", "iptables -t nat -F; iptables -t nat -X DOCKER"]),
)
#: What a failed start changes on every engine: the container's own state, and the events of the attempt.
OF_A_START = ("GET /containers", "event ", "GET /info", "file /var/lib/docker/containers")


def without_cursors(state):
    """Return a state without the cursors of addresses, which no engine moves back."""
    return {place: re.sub(r"cursor=\d+", "cursor", text) for place, text in state.items()}


def use_networks(engine):
    """Publish a port of a container on each bridge network: a bridge keeps what its first port causes (fe80::/64)."""
    for network in engine.rest.networks.list({}):
        if network["Driver"] == "bridge":
            engine.containers.run("alpine", "true", network=network["Name"], remove=True, ports={"80/tcp": None})


class Host:
    """The Docker host of a lab, and its state, which is recorded only when it may have changed."""

    def __init__(self, lab):
        self.host = lab.host("node")
        self.api = HostApi(lab, "node", self.host.docker, LabClockDriver(lab.clock), Durability(None))
        self.state = None

    def play(self, drawn):
        """Play a call. If it fails, the state must be the one before."""
        if drawn.method == "shell":
            self.state = None
            self.host.exec(["timeout", "1", "sh", "-c", drawn.path])
            return
        before = self.state or whole_state(self.host)
        status, message = self.request(drawn)
        self.api.engine.clock.run_ready()
        after = self.state = whole_state(self.host)
        if currently_in_test_context():
            event(f"{drawn.method} {drawn.path.split('/')[1]} {status}")
        if status >= 400:
            assert "internal error" not in message, drawn
            changes = difference(before, after)
            if drawn.path.endswith(("/start", "/restart")):
                states = (without_cursors(before), without_cursors(after))
                changes = [line for line in difference(*states) if not line[2:].startswith(OF_A_START)]
            assert not changes, f"{drawn}\nis refused with {message!r}, yet it changed:\n" + "\n".join(changes)

    def request(self, drawn):
        """Return the status and the text of an answer."""
        body = drawn.body if isinstance(drawn.body, str) else json.dumps(drawn.body)
        headers = {"content-type": "application/json"}
        request = Request(
            drawn.method,
            drawn.path,
            "",
            {name: [value] for name, value in drawn.query},
            headers,
            b"" if drawn.body is None else body.encode(),
        )
        answer = run_until(self.api.engine.clock, dispatch(self.api, request))
        if isinstance(answer, Response):
            return answer.status, answer.body.decode(errors="replace")
        answer.end()
        return 200, ""


@settings(max_examples=int(os.environ.get("CNMSIM_EXAMPLES", "30")))
@given(
    spec=lab_specs(min_networks=1),
    is_swarm=st.booleans(),
    played=st.lists(calls.map(lambda drawn: [drawn]) | late_refusals, min_size=5, max_size=20),
)
def test_a_failed_call_changes_nothing(spec, is_swarm, played):
    lab = spec.build()
    engine = lab.host("node").docker
    engine.networks.create("tiny", subnet="10.60.0.0/30")
    if is_swarm:
        engine.swarm.init()
        engine.networks.create("over", driver="overlay", attachable=True)
        engine.secrets.create("s", "x")
        engine.services.create("nginx", name="shop")
        lab.settle()
    use_networks(engine)
    host = Host(lab)
    for drawn in chain.from_iterable(played):
        host.play(drawn)


@pytest.mark.parametrize("owner, method", [(PortAllocator, "release_ports"), (Ipam, "release_address")])
def test_the_law_notices_what_a_late_refusal_does_not_release(monkeypatch, owner, method):
    lab = Lab()
    engine = lab.add_host("node", "10.0.0.15/24", docker=True).docker
    engine.networks.create("net0")
    use_networks(engine)
    host = Host(lab)
    bindings = {"80/tcp": [{"HostPort": ""}], "81/tcp": [{"HostIp": "203.0.113.1", "HostPort": "8085"}]}
    body = {"Image": "alpine", "HostConfig": {"NetworkMode": "net0", "PortBindings": bindings}}
    for name in ("first", "second"):
        host.play(Call("POST", "/containers/create", body, (("name", name),)))
    host.play(Call("POST", "/containers/first/start"))
    monkeypatch.setattr(owner, method, lambda *_: None)
    with pytest.raises(AssertionError, match="yet it changed"):
        host.play(Call("POST", "/containers/second/start"))

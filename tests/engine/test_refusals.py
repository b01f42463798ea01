"""What an engine refuses, in its words and with its status; what it refuses changes nothing."""

from __future__ import annotations

import signal

import pytest
from support.engine_lab import VERSIONS, new_engine, state_of

from cnmsim.engine.wire.api_version import ApiVersion
from cnmsim.engine.wire.signals import SIGNALS
from cnmsim.errors import EngineError

V26, V28, V29 = VERSIONS
API = ApiVersion.parse("1.45")
DYNAMIC = "172.18.0.50"


def prepared(version):
    engine = new_engine(version)
    engine.networks.create("net1")
    engine.networks.create("net2", subnet="10.50.0.0/24")
    engine.containers.run("alpine", "sleep 1d", name="c1", network="net1", detach=True)
    engine.containers.create("alpine", "sleep 1d", name="idle")
    return engine


def create(body, **query):
    return lambda engine: engine.rest.containers.create({"Image": "alpine", **body}, query, API)


def connect(network, container, **settings):
    body = {"Container": container, "EndpointConfig": settings}
    return lambda engine: engine.complete(engine.rest.networks.connect(network, body, API))


def new_network(name, **body):
    return lambda engine: engine.complete(engine.rest.networks.create({"Name": name, **body}, API))


def host(**host_config):
    return create({"HostConfig": host_config})


#: What is tried, in which releases, the status and the text.
CASES = [
    (lambda e: e.complete(e.rest.networks.remove("nosuch")), VERSIONS, 404, "network nosuch not found"),
    (lambda e: e.rest.networks.inspect("nosuch"), VERSIONS, 404, "network nosuch not found"),
    (new_network("net1"), VERSIONS, 409, "network with name net1 already exists"),
    (lambda e: e.complete(e.rest.networks.remove("host")), VERSIONS, 403,
     "host is a pre-defined network and cannot be removed"),
    (new_network("bridge"), VERSIONS, 403, "operation is not permitted on predefined bridge network "),
    (new_network("default"), VERSIONS, 403, "operation is not permitted on predefined default network "),
    (connect("net1", "c1"), VERSIONS, 403, "endpoint with name c1 already exists in network net1"),
    (
        lambda e: e.rest.networks.disconnect("net2", {"Container": "c1"}),
        VERSIONS,
        500,
        "container <c1> is not connected to network net2",
    ),
    (
        lambda e: e.rest.networks.disconnect("net2", {"Container": "idle"}),
        VERSIONS,
        500,
        "container <idle> is not connected to the network net2",
    ),
    (connect("nosuch", "c1"), VERSIONS, 404, "network nosuch not found"),
    (connect("net1", "nosuch"), VERSIONS, 404, "No such container: nosuch"),
    (connect("net1", ""), VERSIONS, 400, 'invalid name or ID supplied: ""'),
    (
        lambda e: e.rest.networks.disconnect("net1", {"Container": "nope", "Force": True}),
        VERSIONS,
        404,
        "endpoint nope not found",
    ),
    (
        connect("host", "c1"),
        (V26,),
        400,
        "container cannot be disconnected from host network or connected to host network",
    ),
    (
        connect("host", "c1"),
        (V28, V29),
        400,
        "cannot connect container to host network - container must be created in host network mode",
    ),
    (
        connect("none", "c1"),
        VERSIONS,
        400,
        "container cannot be connected to multiple networks with one of the networks in private (none) mode",
    ),
    (
        connect("bridge", "c1", Aliases=["x"]),
        (V26, V28),
        400,
        "invalid endpoint settings:\nnetwork-scoped alias is supported only for containers in user defined networks",
    ),
    (
        connect("bridge", "c1", Aliases=["x"]),
        (V29,),
        400,
        "invalid endpoint settings:\nnetwork-scoped aliases are only supported for user-defined networks",
    ),
    (
        create(
            {
                "HostConfig": {"NetworkMode": "net1"},
                "NetworkingConfig": {"EndpointsConfig": {"net1": {"IPAMConfig": {"IPv4Address": DYNAMIC}}}},
            }
        ),
        (V26, V28),
        400,
        ("invalid config for network net1: invalid endpoint settings:\nuser specified IP address is supported only"
        " when connecting to networks with user configured subnets"),
    ),
    (
        create({"NetworkingConfig": {"EndpointsConfig": {"bridge": {"IPAMConfig": {"IPv4Address": "172.17.0.50"}}}}}),
        (V26, V28),
        400,
        ("invalid config for network bridge: invalid endpoint settings:\n* user specified IP address is supported on"
        " user defined networks only\n* user specified IP address is supported only when connecting to networks with"
        " user configured subnets"),
    ),
    (
        create({"NetworkingConfig": {"EndpointsConfig": {"bridge": {"IPAMConfig": {"IPv4Address": "172.17.0.50"}}}}}),
        (V29,),
        400,
        ("invalid config for network bridge: invalid endpoint settings:\nuser-specified IP address is supported on"
        " user-defined networks only"),
    ),
    (new_network("n3", Driver="nosuchdriver"), VERSIONS, 404, 'plugin "nosuchdriver" not found'),
    (new_network(""), (V26,), 400, "invalid name: "),
    (new_network(""), (V28, V29), 400, "invalid name: name is empty"),
    (new_network("h2", Driver="host"), VERSIONS, 403, 'only one instance of "host" network is allowed'),
    (
        new_network("ov", Driver="overlay"),
        VERSIONS,
        403,
        ('This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to '
         'swarm'
        " and try again."),
    ),
    (new_network("n4", IPAM={"Driver": "nosuch"}), VERSIONS, 404, 'plugin "nosuch" not found'),
    (
        new_network("n5", IPAM={"Config": [{"Subnet": "10.1.2.0/8"}, {"Gateway": "1.2.3.4"}]}),
        (V26, V28),
        400,
        ("invalid network config:\n* invalid subnet 10.1.2.0/8: it should be 10.0.0.0/8\n* invalid subnet : invalid"
        " CIDR block notation"),
    ),
    (create({}, name="c1"), VERSIONS, 409, ('Conflict. The container name "/c1" is already in use by container '
                                            '"<c1>".'
     " You have to remove (or rename) that container to be able to reuse that name.")),
    (create({}, name="x"), VERSIONS, 400, "Invalid container name (x), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"),
    (create({"Image": "nosuch"}), VERSIONS, 404, "No such image: nosuch:latest"),
    (lambda e: e.rest.containers.create({}), VERSIONS, 400, "config cannot be empty in order to create a container"),
    (
        create({"Image": 3}),
        (V26,),
        400,
        ("invalid JSON: json: cannot unmarshal number into Go struct field ContainerConfigWrapper.Config.Image of "
         "type"
        " string"),
    ),
    (
        host(RestartPolicy={"Name": "foo"}),
        VERSIONS,
        400,
        "invalid restart policy: unknown policy 'foo'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'",
    ),
    (
        host(RestartPolicy={"Name": "always", "MaximumRetryCount": 3}),
        VERSIONS,
        400,
        "invalid restart policy: maximum retry count can only be used with 'on-failure'",
    ),
    (
        host(AutoRemove=True, RestartPolicy={"Name": "always"}),
        VERSIONS,
        400,
        "can't create 'AutoRemove' container with restart policy",
    ),
    (
        create({"Hostname": "foo", "HostConfig": {"NetworkMode": "container:c1"}}),
        VERSIONS,
        400,
        "conflicting options: hostname and the network mode",
    ),
    (
        host(NetworkMode="container:c1", PublishAllPorts=True),
        VERSIONS,
        400,
        "conflicting options: port publishing and the container type network mode",
    ),
    (
        host(NetworkMode="host", Links=["c1:a"]),
        VERSIONS,
        400,
        "conflicting options: host type networking can't be used with links. This would result in undefined behavior",
    ),
    (host(NetworkMode="container:"), (V26,), 400,
     "Invalid network mode: invalid container format container:<name|id>"),
    (host(PortBindings={"80/tcp": [{"HostPort": "abc"}]}), VERSIONS, 400, 'invalid port specification: "abc"'),
    (host(Isolation="hyperv"), (V26,), 500, "Invalid isolation: \"hyperv\" - linux only supports 'default'"),
    (host(Isolation="hyperv"), (V28, V29), 400, "invalid isolation (hyperv): linux only supports 'default'"),
    (host(IOMaximumIOps=5), (V26,), 500,
     "Invalid QoS settings: linux does not support configuration of maximum IOPs"),
    (host(IOMaximumBandwidth=5), (V28, V29), 400,
     "invalid option: QoS maximum bandwidth configuration is not supported on linux"),
    (host(CpuRealtimePeriod=5), (V26,), 500, "Your kernel does not support CPU real-time scheduler"),
    (host(CpuShares=-1), (V28, V29), 400, "invalid CPU shares (-1): value must be a positive integer"),
    (host(NanoCpus=-1), (V26,), 400,
     "Range of CPUs is from 0.01 to 4.00, as there are only 4 CPUs available"),
    (host(NanoCpus=-1), (V28, V29), 400,
     "range of CPUs is from 0.01 to 4.00, as there are only 4 CPUs available"),
    (host(Mounts=[{"Type": "volume", "Target": "/d", "ReadOnly": True}]), (V26, V28), 400,
     'invalid mount config for type "volume": must not set ReadOnly mode when using anonymous volumes'),
    (host(Mounts=[{"Type": "tmpfs", "Target": "", "ImageOptions": {}}]), (V28,), 400,
     'invalid mount config for type "tmpfs": field Target must not be empty'),
    (host(Mounts=[{"Type": "tmpfs", "Target": "", "ImageOptions": {}}]), (V29,), 400,
     'invalid mount config for type "tmpfs": field ImageOptions must not be specified'),
    (host(ExtraHosts=["foo"]), VERSIONS, 400, 'bad format for add-host: "foo"'),
    (create({"Env": ["=a"]}), VERSIONS, 400, "invalid environment variable: =a"),
    (create({"MacAddress": "zz"}), (V26,), 400, "invalid config for network bridge: invalid MAC address zz"),
    (host(Links=["nope:a"]), VERSIONS, 400, "could not get container for nope: No such container: nope"),
    (host(Links=["c1:a:b"]), VERSIONS, 500, "bad format for links: c1:a:b"),
    (lambda e: e.complete(e.rest.containers.start("nope")), VERSIONS, 404, "No such container: nope"),
    (lambda e: e.rest.containers.kill("idle"), VERSIONS, 409,
     "cannot kill container: idle: container <idle> is not running"),
    (lambda e: e.rest.containers.kill("c1", {"signal": "FOO"}), VERSIONS, 400,
     "cannot kill container: c1: invalid signal: FOO"),
    (lambda e: e.rest.containers.pause("idle"), VERSIONS, 409, "container <idle> is not running"),
    (lambda e: e.rest.containers.unpause("c1"), VERSIONS, 500, "Container <c1> is not paused"),
    (lambda e: e.rest.containers.rename("idle", {"name": ""}), VERSIONS, 400,
     "Neither old nor new names may be empty"),
    (
        lambda e: e.rest.containers.rename("idle", {"name": "idle"}),
        VERSIONS,
        400,
        "Renaming a container with the same name as its current name",
    ),
    (
        lambda e: e.rest.containers.remove("c1"),
        (V26,),
        409,
        'cannot remove container "/c1": container is running: stop the container before removing or force remove',
    ),
    (lambda e: e.rest.containers.top("idle"), VERSIONS, 409, "container <idle> is not running"),
    (
        lambda e: e.rest.containers.logs("idle", {}),
        ("26.1.5", "28.5.2"),
        400,
        "Bad parameters: you must choose at least one stream",
    ),
    (
        lambda e: e.rest.containers.logs("idle", {}),
        ("29.7.2",),
        400,
        "must specify at least one of 'stdout' or 'stderr'",
    ),
    (lambda e: e.rest.containers.wait("idle", {"condition": "foo"}), VERSIONS, 400, 'invalid condition: "foo"'),
    (lambda e: e.rest.containers.list({"filters": "xx"}), VERSIONS, 400, "invalid filter"),
    (lambda e: e.rest.containers.list({"filters": '{"foo":["x"]}'}), VERSIONS, 400, "invalid filter 'foo'"),
    (lambda e: e.rest.networks.list({"filters": '{"foo":["x"]}'}), VERSIONS, 400, "invalid filter 'foo'"),
    (lambda e: e.rest.execs.create("idle", {"Cmd": ["ls"]}), VERSIONS, 409, "container <idle> is not running"),
    (lambda e: e.rest.execs.create("c1", {"Cmd": []}), VERSIONS, 400, "No exec command specified"),
    (lambda e: e.rest.execs.inspect("foo"), VERSIONS, 404, "No such exec instance: foo"),
    (lambda e: e.rest.volumes.inspect("v2"), VERSIONS, 404, "get v2: no such volume"),
    (
        lambda e: e.rest.system.negotiate("1.99"),
        (V26,),
        400,
        "client version 1.99 is too new. Maximum supported API version is 1.45",
    ),
    (
        lambda e: e.rest.system.negotiate("1.20"),
        (V26,),
        400,
        ("client version 1.20 is too old. Minimum supported API version is 1.24, please upgrade your client to a "
         "newer"
        " version"),
    ),
]  # fmt: skip


@pytest.mark.parametrize("version", VERSIONS)
def test_refusals_have_the_recorded_status_and_text_and_change_nothing(version):
    engine = prepared(version)
    before = state_of(engine)
    ids = {f"<{each.name}>": each.id for each in engine.store}
    for attempt, versions, status, text in CASES:
        if version not in versions:
            continue
        expected = text
        for place, identity in ids.items():
            expected = expected.replace(place, identity)
        with pytest.raises(EngineError) as caught:
            attempt(engine)
        assert (caught.value.message, caught.value.status) == (expected, status)
        assert state_of(engine) == before, text


@pytest.mark.parametrize(
    ("version", "text"),
    [
        (V26, "error while removing network: network net1 id <net> has active endpoints"),
        (V29, 'error while removing network: network net1 has active endpoints (name:"c1" id:"<ep>")'),
    ],
)
def test_network_in_use_is_not_removed(version, text):
    engine = prepared(version)
    settings = engine.containers.get("c1").record.networks["net1"]
    with pytest.raises(EngineError) as caught:
        engine.networks.get("net1").remove()
    assert caught.value.message == text.replace("<net>", settings.network_id).replace(
        "<ep>", settings.endpoint_id[:12]
    )
    assert caught.value.status == 403


PORT_TAKEN = "Bind for 0.0.0.0:8080 failed: port is already allocated"
#: What the container is asked to be, then the text for each release. `<ep>` is the endpoint's id.
FAILED_STARTS = [
    (
        {"network": "nosuch"},
        {V26: "network nosuch not found", V29: "failed to set up container networking: network nosuch not found"},
        128,
    ),
    (
        {"network_mode": "container:nosuch"},
        {
            V26: "No such container: nosuch",
            V29: "joining network namespace of container: No such container: nosuch",
        },
        128,
    ),
    (
        {"network_mode": "container:idle"},
        {
            V26: "cannot join network of a non running container: <idle>",
            V29: "cannot join network namespace of a non running container: container idle is created",
        },
        128,
    ),
    (
        {"network": "net2", "ip": "10.50.0.1"},
        {V26: "Address already in use", V29: "failed to set up container networking: Address already in use"},
        128,
    ),
    (
        {"command": "nosuchcmd"},
        {
            V26: "failed to create task for container: failed to create shim task: OCI runtime create failed: runc "
            "create"
            ' failed: unable to start container process: exec: "nosuchcmd": executable file not found in $PATH: '
            "unknown",
            V28: "failed to create task for container: failed to create shim task: OCI runtime create failed: runc "
            "create"
            ' failed: unable to start container process: error during container init: exec: "nosuchcmd": executable '
            "file"
            " not found in $PATH: unknown",
            V29: "failed to create task for container: failed to create shim task: OCI runtime create failed: runc "
            "create"
            ' failed: unable to start container process: error during container init: exec: "nosuchcmd": executable '
            "file"
            " not found in $PATH",
        },
        127,
    ),
    (
        {"command": "/bin/nosuchcmd"},
        {
            V26: "failed to create task for container: failed to create shim task: OCI runtime create failed: runc "
            "create"
            ' failed: unable to start container process: exec: "/bin/nosuchcmd": stat /bin/nosuchcmd: no such file or'
            " directory: unknown",
        },
        127,
    ),
    (
        {"sysctls": {"kernel.foo": "1"}},
        {
            V26: "failed to create task for container: failed to create shim task: OCI runtime create failed: runc "
            "create"
            ' failed: sysctl "kernel.foo" is not in a separate kernel namespace: unknown',
        },
        128,
    ),
    (
        {"sysctls": {"net.ipv4.ip_forward": "1"}, "network_mode": "host"},
        {
            V26: "failed to create task for container: failed to create shim task: OCI runtime create failed: runc "
            "create"
            ' failed: sysctl "net.ipv4.ip_forward" not allowed in host network namespace: unknown',
        },
        128,
    ),
]


@pytest.mark.parametrize("version", VERSIONS)
def test_failed_start_leaves_a_created_container_and_nothing_else(version):
    for options, texts, exit_code in FAILED_STARTS:
        if version not in texts:
            continue
        engine = prepared(version)
        container = engine.containers.create("alpine", **{"command": "sleep 1d", **options})
        before = state_of(engine)
        text = texts[version].replace("<idle>", engine.containers.get("idle").id)
        with pytest.raises(EngineError) as caught:
            container.start()
        assert caught.value.message == text
        state = container.attrs["State"]
        assert (state["Status"], state["ExitCode"], state["Error"]) == ("created", exit_code, text)
        after = state_of(engine)
        assert {**after, "containers": None} == {**before, "containers": None}


@pytest.mark.parametrize(
    ("version", "prefix"),
    [(V26, ""), (V28, "failed to set up container networking: "), (V29, "failed to set up container networking: ")],
)
def test_taken_port_fails_the_start_and_gives_back_what_was_mapped(version, prefix):
    engine = new_engine(version)
    engine.containers.run("nginx", ports={"80/tcp": 8080}, detach=True)
    second = engine.containers.create("nginx", name="second", ports={"80/tcp": 8080, "81/tcp": 8081})
    before = state_of(engine)
    with pytest.raises(EngineError) as caught:
        second.start()
    assert caught.value.message.startswith(
        f"{prefix}driver failed programming external connectivity on endpoint second ("
    )
    assert caught.value.message.endswith(f"): {PORT_TAKEN}")
    assert state_of(engine)["rules"] == before["rules"]
    engine.containers.run("nginx", ports={"81/tcp": 8081}, detach=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_container_that_cannot_start_is_removed_if_it_was_to_remove_itself(version):
    engine = new_engine(version)
    with pytest.raises(EngineError):
        engine.containers.run("alpine", "nosuchcmd", detach=True, remove=True)
    assert engine.containers.list(all=True) == []


@pytest.mark.parametrize(
    "ask",
    [
        lambda engine, filters: engine.images.list(filters=filters),
        lambda engine, filters: engine.volumes.list(filters=filters),
        lambda engine, filters: engine.volumes.prune(filters=filters),
        lambda engine, filters: engine.networks.list(filters=filters),
        lambda engine, filters: engine.containers.list(filters=filters),
    ],
    ids=["images", "volumes", "volume prune", "networks", "containers"],
)
def test_a_filter_that_does_not_exist_is_refused(ask):
    with pytest.raises(EngineError, match="invalid filter 'nosuch'"):
        ask(new_engine(), {"nosuch": ["x"]})


@pytest.mark.parametrize("runtime", ["", "runc", "io.containerd.runc.v2"])
def test_runtimes_of_containerd_are_accepted_and_others_refused(runtime):
    host(Runtime=runtime)(new_engine())
    with pytest.raises(EngineError, match="unknown or invalid runtime name: nosuch"):
        host(Runtime="nosuch")(new_engine())


def test_signals_have_linuxs_numbers():
    assert {name: number for name, number in SIGNALS.items() if number != getattr(signal, f"SIG{name}", number)} == {}
    assert sorted(set(SIGNALS.values())) == list(range(1, 32))


def test_a_directory_in_the_path_is_no_program():
    engine = new_engine()
    container = engine.containers.run("alpine", "sleep 1d", name="c1", detach=True)
    container.engine.store.get("c1").files.makedirs("/usr/local/sbin/echo")
    assert container.exec_run("echo hello").output == b"hello\n"

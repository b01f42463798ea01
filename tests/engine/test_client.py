"""docker-py's words for an engine, and what they turn into."""

from __future__ import annotations

import json
import re

import pytest
from support.engine_lab import VERSIONS, new_engine

from cnmsim.engine.client.networks import Network
from cnmsim.engine.client.run_options import create_body
from cnmsim.engine.engine import Engine
from cnmsim.engine.images.catalogue import ImageCatalogue, ImageMeaning
from cnmsim.errors import Conflict, InvalidParameter, NotFound, SystemFault


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"ports": {"80/tcp": 8080}}, {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}),
        ({"ports": {"80/tcp": ("127.0.0.1", 8080)}}, {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}),
        ({"ports": {80: None}}, {"80/tcp": [{"HostIp": "", "HostPort": ""}]}),
        (
            {"ports": {"53/udp": [5353, ("10.0.0.1", 5354)]}},
            {"53/udp": [{"HostIp": "", "HostPort": "5353"}, {"HostIp": "10.0.0.1", "HostPort": "5354"}]},
        ),
    ],
)
def test_ports_become_bindings(options, expected):
    body = create_body("nginx", None, options)
    assert body["HostConfig"]["PortBindings"] == expected
    assert set(body["ExposedPorts"]) == set(expected)


@pytest.mark.parametrize(
    ("options", "place", "expected"),
    [
        ({"environment": {"A": "1", "B": None}}, "Env", ["A=1", "B"]),
        ({"environment": ["A=1"]}, "Env", ["A=1"]),
        ({"labels": ["a", "b"]}, "Labels", {"a": "", "b": ""}),
        ({"entrypoint": "sh -c"}, "Entrypoint", ["sh", "-c"]),
        ({"hostname": "h", "domainname": "d"}, "Domainname", "d"),
        ({"extra_hosts": {"db": "10.0.0.1"}}, "HostConfig.ExtraHosts", ["db:10.0.0.1"]),
        ({"links": {"db": "database"}}, "HostConfig.Links", ["db:database"]),
        ({"links": [("db", "database"), ("web", None)]}, "HostConfig.Links", ["db:database", "web:web"]),
        ({"restart_policy": {"Name": "always"}}, "HostConfig.RestartPolicy", {"Name": "always"}),
        ({"dns": ["8.8.8.8"], "dns_opt": ["ndots:1"]}, "HostConfig.DnsOptions", ["ndots:1"]),
        ({"volumes": {"data": {"bind": "/d", "mode": "ro"}}}, "HostConfig.Binds", ["data:/d:ro"]),
        ({"network": "n"}, "HostConfig.NetworkMode", "n"),
        (
            {"network": "n", "ip": "10.0.0.9", "aliases": ["db"]},
            "NetworkingConfig.EndpointsConfig.n",
            {"Aliases": ["db"], "IPAMConfig": {"IPv4Address": "10.0.0.9"}},
        ),
        (
            {"mac_address": "02:00:00:00:00:01"},
            "NetworkingConfig.EndpointsConfig.bridge",
            {"MacAddress": "02:00:00:00:00:01"},
        ),
        (
            {"networking_config": {"n": {"Aliases": ["x"]}}, "network": "n"},
            "NetworkingConfig.EndpointsConfig.n",
            {"Aliases": ["x"]},
        ),
    ],
)
def test_options_become_the_create_body(options, place, expected):
    value = create_body("alpine", "sleep 1d", options)
    for key in place.split("."):
        value = value[key]
    assert value == expected


def test_unknown_options_are_refused():
    with pytest.raises(TypeError, match="unexpected keyword argument 'prots'"):
        create_body("alpine", None, {"prots": {}})


@pytest.mark.parametrize("version", VERSIONS)
def test_container_runs_on_a_network_with_aliases_and_a_fixed_address(version):
    engine = new_engine(version)
    network = engine.networks.create("app", subnet="10.9.0.0/24")
    db = engine.containers.run("postgres", name="db", network="app", ip="10.9.0.7", aliases=["store"], detach=True)
    assert (db.ip(), db.ip("app"), db.status, db.name) == ("10.9.0.7", "10.9.0.7", "running", "db")
    assert network.containers == [db]
    assert db.record.networks["app"].dns_names == ["db", "store", db.short_id]
    assert db.namespace.name == "db"


def test_container_joins_several_networks_at_once_in_the_order_of_their_names():
    engine = new_engine()
    for name in ("red", "blue"):
        engine.networks.create(name)
    both = engine.containers.run("alpine", "sleep 1d", network="red", networking_config={"blue": {}}, detach=True)
    assert [endpoint.interface_name for endpoint in both.sandbox.endpoints] == ["eth0", "eth1"]
    assert list(both.attrs["NetworkSettings"]["Networks"]) == ["blue", "red"]


def test_exec_run_tells_the_streams_apart_and_reads_stdin():
    engine = new_engine()
    container = engine.containers.run("alpine", "sleep 1d", detach=True)
    assert container.exec_run("fail 3", demux=True) == (3, (b"out\n", b"err\n"))
    assert container.exec_run("cat", stdin=b"typed") == (0, b"typed")
    assert container.exec("echo hello").text == "hello\n"
    assert not container.exec("cat /none")


def test_environment_is_the_images_the_users_and_the_engines():
    engine = new_engine()
    container = engine.containers.run("alpine", "sleep 1d", hostname="h", environment={"FOO": "bar"}, detach=True)
    assert container.exec("env").text == (
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nHOSTNAME=h\nFOO=bar\nHOME=/root\n"
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_legacy_link_gives_a_hosts_line_and_in_old_releases_variables(version):
    engine = new_engine(version)
    db = engine.containers.run("redis", name="ps", detach=True)
    web = engine.containers.run("alpine", "sleep 1d", name="lk", links={"ps": "pp"}, detach=True)
    assert f"172.17.0.2\tpp {db.short_id} ps\n" in web.exec("cat /etc/hosts").text
    assert web.attrs["HostConfig"]["Links"] == ["/ps:/lk/pp"]
    assert engine.rest.containers.list()[1]["Names"] == ["/lk/pp", "/ps"]
    has_variables = "PP_PORT_6379_TCP_ADDR=172.17.0.2" in web.exec("env").text
    assert has_variables == (version != "29.7.2")


def test_a_removed_link_leaves_the_hosts_file_and_both_containers():
    engine = new_engine()
    db = engine.containers.run("redis", name="ps", detach=True)
    web = engine.containers.run("alpine", "sleep 1d", name="lk", links={"ps": "pp"}, detach=True)
    engine.rest.containers.remove("/lk/pp", {"link": "1"})
    assert "172.17.0.2\t" not in web.exec("cat /etc/hosts").text
    assert not web.attrs["HostConfig"]["Links"]
    assert [item["Names"] for item in engine.rest.containers.list()] == [["/lk"], ["/ps"]]
    assert (db.status, web.status) == ("running", "running")
    with pytest.raises(SystemFault, match=r"^Conflict, cannot remove the default link name of the container$"):
        engine.rest.containers.remove("/lk", {"link": "1"})


def test_linked_container_that_comes_back_elsewhere_is_found_there():
    engine = new_engine()
    db = engine.containers.run("redis", name="db", detach=True)
    web = engine.containers.run("alpine", "sleep 1d", links={"db": "db"}, detach=True)
    db.stop(timeout=0)
    engine.containers.run("alpine", "sleep 1d", detach=True)
    db.start()
    assert db.ip() == "172.17.0.4"
    assert "172.17.0.4\tdb" in web.exec("cat /etc/hosts").text


def test_network_is_pruned_once_nobody_is_on_it():
    engine = new_engine()
    network = engine.networks.create("net", labels={"a": "b"})
    container = engine.containers.run("alpine", "sleep 1d", network="net", detach=True)
    assert engine.networks.prune() == {"NetworksDeleted": None}
    container.stop(timeout=0)
    assert engine.networks.prune({"label": "a=c"}) == {"NetworksDeleted": None}
    assert engine.networks.prune() == {"NetworksDeleted": ["net"]}
    assert network not in engine.networks.list()


def test_networks_are_found_by_name_id_and_filters():
    engine = new_engine()
    created = engine.networks.create("net1", labels={"tier": "back"}, internal=True)
    assert engine.networks.get("net1") == engine.networks.get(created.id[:5]) == created
    assert engine.networks.list(names=["net"]) == [created]
    assert engine.networks.list(filters={"type": "custom"}) == [created]
    assert engine.networks.list(filters={"label": "tier=back", "driver": "bridge"}) == [created]
    assert engine.networks.list(filters={"dangling": True}) == [created]
    assert [each.name for each in engine.networks.list(filters={"scope": "local"})] == [
        "none",
        "host",
        "bridge",
        "net1",
    ]
    assert isinstance(created, Network)


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({}, ["web", "db"]),
        ({"name": "we"}, ["web"]),
        ({"label": "tier=front"}, ["web"]),
        ({"network": "app"}, ["web"]),
        ({"publish": "8080"}, ["web"]),
        ({"expose": "8080/tcp"}, []),
        ({"expose": "6370-6380"}, ["db"]),
        ({"ancestor": "redis"}, ["db"]),
        ({"status": "exited"}, ["old"]),
        ({"status": ["exited", "running"]}, ["old", "web", "db"]),
        ({"exited": 3, "status": "exited"}, ["old"]),
        ({"before": "web"}, ["db"]),
        ({"since": "web", "status": "exited"}, ["old"]),
        ({"volume": "/data"}, ["db"]),
        ({"is-task": True}, []),
        ({"health": "none"}, ["web", "db"]),
    ],
)
def test_containers_are_listed_by_filters(filters, names):
    engine = new_engine()
    engine.networks.create("app")
    engine.containers.run("redis", name="db", detach=True)
    engine.containers.run(
        "nginx", name="web", network="app", ports={"80/tcp": 8080}, labels={"tier": "front"}, detach=True
    )
    engine.containers.run("alpine", "fail 3", name="old", detach=True).wait()
    assert [container.name for container in engine.containers.list(filters=filters)] == names


def test_limit_lists_the_latest_whatever_their_state():
    engine = new_engine()
    for name in ("one", "two", "three"):
        engine.containers.create("alpine", name=name)
    assert [container.name for container in engine.containers.list(limit=2)] == ["three", "two"]


def test_rename_is_known_to_the_names_on_the_network():
    engine = new_engine()
    engine.networks.create("app")
    container = engine.containers.run("alpine", "sleep 1d", name="old", network="app", detach=True)
    container.rename("new")
    assert engine.containers.get("new") == container
    endpoint = next(iter(engine.controller.find_network("app").endpoints.values()))
    assert endpoint.name == "new"
    assert endpoint.dns_names[0] == "new"
    with pytest.raises(NotFound):
        engine.containers.get("old")


def test_image_that_is_not_there_is_pulled():
    engine = new_engine()
    with pytest.raises(NotFound, match="No such image: postgres:16"):
        engine.images.get("postgres:16")
    container = engine.containers.run("postgres:16", detach=True)
    assert container.attrs["Config"]["ExposedPorts"] == {"5432/tcp": {}}
    assert container.image.tags == ["postgres:16"]
    assert container.attrs["Path"] == "docker-entrypoint.sh"


def test_engine_without_a_registry_has_only_its_images():
    base = new_engine()
    catalogue = ImageCatalogue(present=("alpine", "shop"), is_offline=True)
    catalogue.add("shop", ImageMeaning(("sleep", "1d"), exposed=("80/tcp",), env=("A=1",)))
    engine = Engine(base.machine, programs=base.programs, images=catalogue)
    shop = engine.containers.run("shop", detach=True, environment={"B": "2"})
    assert shop.attrs["Config"]["Env"] == ["B=2", "A=1"]
    with pytest.raises(SystemFault, match="no such host"):
        engine.containers.run("redis", detach=True)


def test_image_in_use_is_not_removed():
    engine = new_engine()
    engine.containers.create("alpine", name="c1")
    with pytest.raises(Conflict, match="is using its referenced image"):
        engine.images.remove("alpine")
    engine.images.remove("ubuntu")
    assert [image.tags for image in engine.images.list()] == [["busybox:latest"], ["alpine:latest"], ["nginx:latest"]]


def test_pull_tells_its_progress():
    engine = new_engine()
    messages = list(engine.rest.images.create({"fromImage": "redis", "tag": "7"}))
    assert messages[0] == {"status": "Pulling from library/redis", "id": "7"}
    assert messages[-1] == {"status": "Status: Downloaded newer image for redis:7"}
    assert list(engine.rest.images.create({"fromImage": "redis", "tag": "7"}))[-1] == {
        "status": "Status: Image is up to date for redis:7"
    }


def test_two_engines_with_one_seed_make_the_same_ids_names_and_addresses():
    def story(seed):
        engine = new_engine(seed=seed)
        engine.networks.create("net")
        container = engine.containers.run("alpine", "sleep 1d", network="net", detach=True)
        return json.dumps([container.attrs, engine.rest.networks.inspect("net")])

    assert story(7) == story(7)
    assert story(7) != story(8)


def test_info_counts_containers_by_state():
    engine = new_engine()
    engine.containers.create("alpine")
    engine.containers.run("alpine", "sleep 1d", detach=True).pause()
    engine.containers.run("alpine", "sleep 1d", detach=True)
    info = engine.info()
    counts = [info[f"Containers{state}"] for state in ("", "Running", "Paused", "Stopped")]
    assert (counts, info["Name"], info["ServerVersion"]) == ([3, 1, 1, 1], "node1", "29.7.2")
    assert info["Swarm"]["LocalNodeState"] == "inactive"


@pytest.mark.parametrize(("version", "api"), [("26.1.5", "1.45"), ("28.5.2", "1.51"), ("29.7.2", "1.55")])
def test_version_names_the_release_and_its_api(version, api):
    engine = new_engine(version)
    assert (engine.version()["Version"], engine.version()["ApiVersion"]) == (version, api)
    assert engine.rest.system.ping_headers()["Api-Version"] == api


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("bindings", [None, []])
def test_an_exposed_port_without_a_binding_gets_an_ephemeral_one_since_28(version, bindings):
    engine = new_engine(version)
    body = {"Image": "nginx", "ExposedPorts": {"80/tcp": {}}, "HostConfig": {"PortBindings": {"80/tcp": bindings}}}
    identity = engine.rest.containers.create(body)["Id"]
    engine.complete(engine.rest.containers.start(identity))
    published = engine.containers.get(identity).ports["80/tcp"]
    ephemeral = {"HostIp": "0.0.0.0", "HostPort": "32768"}
    assert published is None if version == "26.1.5" else published[0] == ephemeral


@pytest.mark.parametrize("version", VERSIONS)
def test_sysctls_of_the_network_are_those_of_the_container_alone(version):
    engine = new_engine(version)
    container = engine.containers.run(
        "alpine",
        "sleep 1d",
        sysctls={"net.ipv4.ip_unprivileged_port_start": 0, "net.ipv4.conf.all.forwarding": 1},
        detach=True,
    )
    assert container.namespace.sysctl_get("net.ipv4.conf.all.forwarding") == "1"


@pytest.mark.parametrize(
    ("command", "words"), [(None, None), ("sleep 'a b'", ["sleep", "a b"]), (["sleep", "5"], ["sleep", "5"])]
)
def test_service_has_the_command_it_was_created_with(command, words):
    engine = new_engine("29.7.2")
    engine.swarm.init(advertise_addr="127.0.0.1")
    service = engine.services.create("nginx", command, name="web")
    assert service.attrs["Spec"]["TaskTemplate"]["ContainerSpec"].get("Args") == words


def test_a_container_in_anothers_network_has_its_host_and_domain_name():
    engine = new_engine()
    engine.containers.run("alpine", "sleep 1d", name="web", hostname="www", domainname="example.org", detach=True)
    joined = engine.containers.run("alpine", "sleep 1d", network_mode="container:web", detach=True)
    assert (joined.attrs["Config"]["Hostname"], joined.attrs["Config"]["Domainname"]) == ("www", "example.org")


@pytest.mark.parametrize(("ipam", "shown"), [(None, None), ({"Driver": "default"}, None), ({"Options": {}}, {})])
def test_a_network_shows_the_ipam_options_it_was_given(ipam, shown):
    engine = new_engine()
    engine.complete(engine.rest.networks.create({"Name": "net", **({"IPAM": ipam} if ipam is not None else {})}))
    assert engine.networks.get("net").attrs["IPAM"]["Options"] == shown


def test_a_removed_tag_is_an_event_that_names_the_image():
    engine = new_engine()
    engine.images.pull("alpine:3.20")
    identity = engine.images.get("alpine:3.20").id
    engine.images.remove("alpine:3.20")
    untags = [event for event in engine.event_log.past if event.action == "untag"]
    assert [(event.type, event.actor, event.attributes) for event in untags] == [
        ("image", identity, {"name": identity})
    ]


def test_mounts_of_every_type_are_there():
    engine = new_engine()
    engine.volumes.create("data")
    container = engine.containers.run(
        "alpine", "sleep 1d", detach=True,
        mounts=[
            {"Type": "volume", "Source": "data", "Target": "/data"},
            {"Type": "tmpfs", "Target": "/scratch", "TmpfsOptions": {"SizeBytes": 4096}},
        ],
    )  # fmt: skip
    assert [(mount["Type"], mount["Destination"]) for mount in container.attrs["Mounts"]] == [("volume", "/data")]
    container.record.files.write("/scratch/x", bytes(4096))
    with pytest.raises(OSError, match="No space left on device"):
        container.record.files.write("/scratch/y", b"1")


@pytest.mark.parametrize(("swappiness", "is_valid"), [(-2, False), (-1, True), (0, True), (100, True), (101, False)])
def test_a_memory_swappiness_is_a_share_of_100(swappiness, is_valid):
    engine = new_engine()
    if is_valid:
        container = engine.containers.create("alpine", mem_swappiness=swappiness)
        assert container.attrs["HostConfig"]["MemorySwappiness"] == (None if swappiness == -1 else swappiness)
        return
    with pytest.raises(InvalidParameter) as caught:
        engine.containers.create("alpine", mem_swappiness=swappiness)
    assert caught.value.message == f"Invalid value: {swappiness}, valid memory swappiness range is 0-100"


@pytest.mark.parametrize(("limit", "shown"), [(None, None), (-1, None), (0, None), (1, 1), (50, 50)])
def test_a_pids_limit_of_none_or_less_is_no_limit(limit, shown):
    container = new_engine().containers.create("alpine", pids_limit=limit)
    assert container.attrs["HostConfig"]["PidsLimit"] == shown


def test_the_time_of_a_volume_has_whole_seconds():
    engine = new_engine()
    engine.clock.run_for(1.75)
    created = engine.volumes.create("data").attrs["CreatedAt"]
    assert re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z", created)


SIX_MB = 6 * 1024 * 1024
RESERVATION = "Minimum memory reservation allowed is 6MB"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        # moby daemon/daemon_unix.go verifyPlatformContainerResources: linuxMinMemory is 6 MiB
        ({"mem_limit": SIX_MB}, ""), ({"mem_limit": SIX_MB - 1}, "Minimum memory limit allowed is 6MB"),
        ({"mem_reservation": SIX_MB}, ""), ({"mem_reservation": SIX_MB - 1}, RESERVATION),
        ({"mem_reservation": 1}, RESERVATION), ({"mem_limit": SIX_MB, "mem_reservation": SIX_MB}, ""),
        (
            {"mem_limit": SIX_MB, "mem_reservation": SIX_MB + 1},
            "Minimum memory limit can not be less than memory reservation limit, see usage",
        ),
        ({"mem_limit": SIX_MB, "memswap_limit": SIX_MB}, ""), ({"mem_limit": SIX_MB, "memswap_limit": -1}, ""),
        (
            {"mem_limit": SIX_MB, "memswap_limit": SIX_MB - 1},
            "Minimum memoryswap limit should be larger than memory limit, see usage",
        ),
        ({"memswap_limit": 1}, "You should always set the Memory limit when using Memoryswap limit, see usage"),
    ],
)  # fmt: skip
def test_memory_limits_that_are_refused(options, text):
    engine = new_engine()
    if not text:
        engine.containers.create("alpine", **options)
        return
    with pytest.raises(InvalidParameter) as caught:
        engine.containers.create("alpine", **options)
    assert caught.value.message == text


@pytest.mark.parametrize(
    ("addresses", "text"),
    [
        ({"ipv6_address": "10.0.0.1"}, "invalid IPv6 address: 10.0.0.1"),
        ({"ipv4_address": "fd00::1"}, "invalid IPv4 address: fd00::1"),
    ],
)  # fmt: skip
def test_an_address_of_the_other_family_is_refused(addresses, text):
    engine = new_engine()
    network = engine.networks.create("net")
    container = engine.containers.create("alpine")
    with pytest.raises(InvalidParameter, match=text):
        network.connect(container, **addresses)

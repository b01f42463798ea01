"""Wrong calls of the Python interface: each is answered by a sentence that says what was meant."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.lan import web_and_client

import cnmsim
from cnmsim import Host, Lab
from cnmsim.errors import FileError, InvalidParameter, NotFound

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def lab() -> Lab:
    return web_and_client()


WRONG: list[tuple[Callable[[Lab, Any], Any], type[Exception], str]] = [
    (lambda lab, node: lab.trace("web", "db", protcol="udp"), TypeError, "'protcol', did you mean protocol?"),
    (lambda lab, node: lab.trace("web", "db", "tcp/1", port=2), InvalidParameter, "both state a port"),
    (lambda lab, node: lab.explain("web", "db:1", "tcp/2"), InvalidParameter, "both state a port"),
    (lambda lab, node: lab.trace("web", "node1", timeout_s="3"), InvalidParameter, "timeout_s='3': write the"),
    (lambda lab, node: lab.trace("web", "node1", timeout_s=-1), InvalidParameter, "greater than 0"),
    (lambda lab, node: lab.trace("web", "node1", family="4"), InvalidParameter, "write 4 or 6"),
    (lambda lab, node: lab.reachability(80), InvalidParameter, "no list of sources: write reachability(port=80)"),
    (lambda lab, node: lab.reachability("web"), InvalidParameter, "write reachability(['web'])"),
    (lambda lab, node: lab.reachability(ports=80), TypeError, "did you mean port?"),
    (lambda lab, node: lab[0], InvalidParameter, "write the name of a host or a container"),
    (lambda lab, node: lab.hosts["nod1"], KeyError, "no host named nod1, did you mean node1?"),
    (lambda lab, node: lab.run("nginx"), InvalidParameter, "'nginx' is no number of seconds: write lab.run(1.5)"),
    (lambda lab, node: lab.settle("1s"), InvalidParameter, "'1s' is no number of seconds"),
    (lambda lab, node: lab.draw("web"), InvalidParameter, "'web' is no trace"),
    (lambda lab, node: lab.capture("nod1:eth0"), NotFound, "did you mean node1:eth0?"),
    (lambda lab, node: lab.add_host("a", dokcer=True), TypeError, "did you mean docker?"),
    (lambda lab, node: Lab(sed=4), TypeError, "did you mean seed?"),
    (lambda lab, node: Lab.from_compose("x.yml", profile=["a"]), TypeError, "did you mean profiles?"),
    (lambda lab, node: Lab.from_compose(5), InvalidParameter, "5 is no Compose file"),
    (lambda lab, node: Lab.from_file({"hosts": {}}), InvalidParameter, "is no path of a lab file"),
    (lambda lab, node: lab.host("node1").exec(5), TypeError, "5 is no command"),
    (lambda lab, node: node.run(5), InvalidParameter, "5 is no image"),
    (lambda lab, node: node.create("nginx", 5), InvalidParameter, "5 is no command"),
    (
        lambda lab, node: node.create("nginx", environment="A=1"),
        InvalidParameter,
        "write environment={'A': '1'}",
    ),
    (
        lambda lab, node: node.create("nginx", ports={"80/tcp": "127.0.0.1:8084"}),
        InvalidParameter,
        "write ('127.0.0.1', 8084)",
    ),
    (
        lambda lab, node: node.create("nginx", healthcheck="curl x"),
        InvalidParameter,
        "write healthcheck={'test': 'curl x'}",
    ),
    (
        lambda lab, node: node.list(filters="name=web"),
        InvalidParameter,
        "write filters={'name': 'web'}",
    ),
    (lambda lab, node: node.list(filter={}), TypeError, "did you mean filters?"),
    (
        lambda lab, node: lab.trace("client", 8080),
        InvalidParameter,
        '8080 is a port, not a destination: name the host, too, such as "node1:8080"',
    ),
    (
        lambda lab, node: lab.trace("client", ("node1", "nope")),
        InvalidParameter,
        "invalid port 'nope': write a number from 1 to 65535 or a service such as http",
    ),
    (
        lambda lab, node: lab.trace("client", ("node1", 1, 2)),
        InvalidParameter,
        'is no destination: write "db:5432" or ("db", 5432)',
    ),
    (
        lambda lab, node: lab.trace("client", "node1:80", port=81),
        InvalidParameter,
        "'node1:80' states a port, and port=81 another one",
    ),
    (
        lambda lab, node: lab.trace("client", None),
        InvalidParameter,
        'None is no destination: write "db:5432", or pass a host or a container',
    ),
    (lambda lab, node: lab.explain("client", "node1", "tcp/80", port=81), InvalidParameter, "both state a port"),
    (
        lambda lab, node: lab.trace("clinet", "node1"),
        NotFound,
        "no running container, service or host is called 'clinet', did you mean client?",
    ),
    (lambda lab, node: lab.reachability(port="8o"), InvalidParameter, "invalid port '8o'"),
    (lambda lab, node: lab["wbe"], NotFound, "no host and no container is named 'wbe', did you mean web?"),
    (lambda lab, node: lab.container("wbe"), NotFound, "No such container: wbe, did you mean web?"),
    (lambda lab, node: lab.host("nod1"), NotFound, "no host named nod1, did you mean node1?"),
    (lambda lab, node: lab.segment("nod1"), NotFound, "no segment named nod1"),
    (lambda lab, node: Lab("27"), InvalidParameter, "no engine release 27"),
    (
        lambda lab, node: lab.host("client").docker,
        NotFound,
        "client has no Docker engine: add_host('client', …, docker=True)",
    ),
    (
        lambda lab, node: node.run("nginx", ports="8080:80", detach=True),
        InvalidParameter,
        "ports='8080:80' is invalid: write ports={'80/tcp': 8080}",
    ),
    (
        lambda lab, node: node.run("nginx", ports=["127.0.0.1:8081:53/udp"], detach=True),
        InvalidParameter,
        "write ports={'53/udp': ('127.0.0.1', 8081)}",
    ),
    (
        lambda lab, node: node.run("nginx", port={"80": 80}, detach=True),
        TypeError,
        "unexpected keyword argument 'port', did you mean ports?",
    ),
    (
        lambda lab, node: Lab.from_file(EXAMPLES / "mistakes" / "compose.yml"),
        FileError,
        "this is a Compose file, not a lab file: Lab.from_compose reads it",
    ),
    (lambda lab, node: lab.host("client").ping(object()), InvalidParameter, "has no address to ping"),
]


@pytest.mark.parametrize(("call", "kind", "sentence"), WRONG, ids=[sentence[:40] for _, _, sentence in WRONG])
def test_a_wrong_call_gets_a_sentence_and_changes_nothing(lab, call, kind, sentence):
    containers = lab.host("node1").docker.containers
    before = [item.id for item in containers.list(all=True)]
    with pytest.raises(kind) as caught:
        call(lab, containers)
    assert sentence in str(caught.value)
    assert [item.id for item in containers.list(all=True)] == before


def test_an_unknown_container_of_the_client_has_docker_s_message_and_a_note(lab):
    with pytest.raises(NotFound) as caught:
        lab.host("node1").docker.containers.get("wbe")
    assert caught.value.message == "No such container: wbe"
    assert caught.value.__notes__ == ["did you mean web?"]


def test_a_container_that_never_ends_is_named_when_run_waits_for_it():
    lab = Lab()
    node = lab.add_host("node1", "10.0.0.15/24", docker=True)
    with pytest.raises(TimeoutError, match=r"container web keeps running .*: run\(…, detach=True\) returns"):
        node.docker.containers.run("nginx", name="web")


@pytest.mark.parametrize(
    ("destination", "options"),
    [
        ("web:80", {}),
        ("web:http", {}),
        (("web", 80), {}),
        (["web", "http"], {}),
        ("web", {"port": 80}),
        ("web", {"port": "80"}),
        ("http://web/", {}),
        ("http://web/", {"port": 80}),
    ],
)
def test_one_destination_may_be_written_in_many_ways(lab, destination, options):
    walk = lab.trace("c1", destination, **options)
    assert walk.is_reachable
    assert walk.question["destination"] == "web"
    assert walk.question["port"] == 80
    assert lab.explain("c1", destination, **options).reachable


def test_objects_are_destinations_by_their_names(lab):
    web, client = lab.container("web"), lab.host("client")
    assert lab.trace("c1", web, port=80).is_reachable
    assert lab.explain("c1", web, port=80).reachable
    assert lab.trace(lab["c1"], (web, 80)).is_reachable
    assert client.ping(lab.host("node1")).succeeded
    assert lab.host("node1").ping(web).succeeded


def test_a_release_may_be_named_by_its_first_numbers():
    assert Lab("29").engine == "29.7.2"
    assert Lab("28.5").engine == "28.5.2"


def test_completion_of_a_lab_offers_hosts_and_containers(lab):
    assert set(lab._ipython_key_completions_()) == {"node1", "client", "web", "c1"}


def test_every_public_name_of_the_package_can_be_imported():
    for name in cnmsim.__all__:
        assert getattr(importlib.import_module("cnmsim"), name) is not None
    assert cnmsim.Host is Host


def test_a_lab_file_given_as_a_compose_file_names_the_right_call(tmp_path: Path) -> None:
    path = tmp_path / "lab.yml"
    path.write_text("hosts: {node1: {addresses: [10.0.0.15/24], docker: true}}", encoding="utf-8")
    with pytest.raises(FileError, match=r"this is a lab file, not a Compose file: Lab\.from_file reads it"):
        Lab.from_compose(path)
    with pytest.raises(FileError, match=r"this is a folder: Lab\.from_compose reads the Compose file in one"):
        Lab.from_file(tmp_path)

"""Any stack file is deployed or refused with a `FileError`; removed, it leaves the swarm as it was."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnmsim import FileError, Lab, NotFound
from cnmsim.lab.labfile_swarm import SWARM_KEYS
from cnmsim.lab.stack import read_stack
from cnmsim.lab.stack.schema import SERVICE, STACK_SCHEMA

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 70_000),
    st.floats(allow_nan=True),
    st.sampled_from(["", "a", "80:80", "5s", "nginx", "${A", "$A", "${A:-3}", "a=b", "/x:/y:ro", "::", "'", "no",
                     "a b", "64M", "\0"]),
    st.text(max_size=5),
)  # fmt: skip
KEYS = st.sampled_from(
    [*SERVICE["properties"], "limits", "config", "subnet", "source", "target", "type", "x-a", "external"]
)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)
DOCUMENTS = st.fixed_dictionaries(
    {"services": st.just({"web": {"image": "nginx"}}) | st.dictionaries(st.sampled_from(["web", "b"]), ANYTHING)},
    optional={key: ANYTHING for key in STACK_SCHEMA["properties"] if key != "services"},
) | st.fixed_dictionaries(
    {
        "services": st.fixed_dictionaries(
            {
                "web": st.fixed_dictionaries(
                    {"image": st.just("nginx")}, optional=dict.fromkeys(SERVICE["properties"].keys() - {"image"},
                        ANYTHING)
                )
            }
        )
    }
)  # fmt: skip


@given(document=DOCUMENTS)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_document_is_read_or_refused(document: dict[str, Any]) -> None:
    try:
        found = read_stack("shop", document, {"A": "1"})
    except FileError as refused:
        assert str(refused)
    else:
        assert set(found.services) == {f"shop_{name}" for name in document["services"]}


SERVICES = st.fixed_dictionaries(
    {"image": st.sampled_from(["nginx", "alpine", "x/y", "redis:8"])},
    optional={
        "command": st.sampled_from(["sleep 1d", "true", "nope", "sh -c 'exit 3'"]),
        "networks": st.lists(st.sampled_from(["a", "b"]), unique=True, max_size=2),
        "ports": st.lists(
            st.sampled_from(["80", "8080:80", "8080:81/udp", {"target": 80, "published": 8080, "mode": "host"}]),
            max_size=2, unique_by=str
        ),
        "secrets": st.just(["s"]),
        "deploy": st.fixed_dictionaries(
            {},
            optional={
                "replicas": st.integers(0, 3),
                "mode": st.sampled_from(["global", "replicated", "replicated-job", "odd"]),
                "endpoint_mode": st.sampled_from(["vip", "dnsrr", "odd"]),
                "placement": st.sampled_from(["node.role == worker", "nonsense"]).map(
                    lambda constraint: {"constraints": [constraint]}
                ),
                "restart_policy": st.just({"condition": "none"}),
            },
        ),
    },
)  # fmt: skip
NETWORKS = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "driver": st.sampled_from(["overlay", "bridge", "nope"]),
        "driver_opts": st.just({"encrypted": ""}),
        "internal": st.booleans(),
        "attachable": st.booleans(),
        "ipam": st.sampled_from(["10.5.0.0/24", "10.5.0.0/16",
            "nonsense"]).map(lambda text: {"config": [{"subnet": text}]}),
    },
)  # fmt: skip


def left_in(lab: Lab) -> list[Any]:
    """Return everything that a stack could leave behind in a swarm."""
    found: list[Any] = []
    for name in ("node1", "node2"):
        host = lab.host(name)
        docker = host.docker
        found += [sorted(each.name for each in docker.networks.list()), docker.containers.list(all=True)]
        rules = host.exec("iptables-save").output.splitlines()
        found.append([line for line in rules if line.startswith("-A") and "dport" in line])
    leader = lab.host("node1").docker
    assert leader is not None
    return [*found, leader.services.list(), leader.secrets.list(), leader.stacks.list()]


@given(
    services=st.dictionaries(st.sampled_from(["web", "db"]), SERVICES, min_size=1),
    networks=st.fixed_dictionaries({"a": NETWORKS, "b": NETWORKS}),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_stack_that_is_removed_leaves_nothing(services: dict[str, Any], networks: dict[str, Any]) -> None:
    lab = Lab()
    node1, node2 = (lab.add_host(f"node{n}", f"172.31.1.{n}/24", docker=True) for n in (1, 2))
    token = node1.docker.swarm.init(advertise_addr="172.31.1.1").tokens.worker
    node2.docker.swarm.join(token, "172.31.1.1:2377")
    node1.docker.secrets.create("s", "hunter2")
    lab.settle()
    before = left_in(lab)
    document = {"services": services, "networks": networks, "secrets": {"s": {"external": True}}}
    try:
        node1.docker.stacks.deploy("shop", yaml.safe_dump(document))
    except FileError as refused:
        assert refused.line is not None
    lab.run(5)
    try:
        node1.docker.stacks.get("shop").remove()
    except NotFound:
        for network in node1.docker.networks.list(filters={"label": "com.docker.stack.namespace=shop"}):
            network.remove()
    lab.settle(15)
    assert left_in(lab) == before


@given(part=st.fixed_dictionaries({}, optional=dict.fromkeys(SWARM_KEYS, ANYTHING)))
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
def test_any_swarm_of_a_lab_file_is_made_or_refused(part: dict[str, Any], tmp_path: Any) -> None:
    document = {"hosts": {"node1": {"addresses": ["172.31.1.1/24"], "docker": True}}, **part}
    path = tmp_path / "lab.yml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    try:
        Lab.from_file(path)
    except FileError as refused:
        assert refused.path

"""Where tasks go, and what is said when they can go nowhere."""

import pytest
from attrs import evolve
from support.swarm_fakes import FakeCluster

from cnmsim.swarm.constraint import Constraint
from cnmsim.swarm.errors import RpcUnknown
from cnmsim.swarm.objects import (
    Annotations,
    Availability,
    ContainerSpec,
    EngineDescription,
    Node,
    NodeDescription,
    NodeRole,
    NodeSpec,
    NodeStatus,
    Placement,
    Platform,
    PortConfig,
    PublishMode,
    ResourceRequirements,
    Resources,
    RestartPolicy,
    TaskState,
)

GIB = 1 << 30


def error(cluster, service):
    return {task.status.err for task in cluster.store.tasks.by_service(service.id) if task.state is TaskState.PENDING}


def relabel(cluster, name, labels):
    agent = cluster.agents[name]
    annotations = cluster.store.nodes.get(agent.node_id).spec.annotations
    cluster.set_node(agent, annotations=evolve(annotations, labels=labels))


# ---- constraints


NODE = Node(
    "n1id",
    NodeSpec(Annotations(labels={"zone": "East", "Rack": "7"})),
    description=NodeDescription(
        "Node1", Platform("x86_64", "linux"), engine=EngineDescription("29.7.2", {"disk": "ssd"})
    ),
    status=NodeStatus(addr="192.0.2.7"),
    role=NodeRole.WORKER,
)


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("node.id==N1ID", True), ("node.id!=n1id", False), ("node.hostname == node1", True),
        ("NODE.HOSTNAME==node2", False),
        ("node.role==worker", True), ("node.role!=manager", True), ("node.platform.os==linux", True),
        ("node.platform.arch==amd64", False), ("node.labels.zone==east", True), ("node.labels.rack==7", False),
        ("node.labels.Rack==7", True), ("node.labels.none!=x", True), ("node.labels.none==x", False),
        ("engine.labels.disk==ssd", True), ("Engine.Labels.disk!=ssd", False), ("node.color==red", False),
        ("node.color!=red", False),
        ("node.ip==192.0.2.7", True), ("node.ip!=192.0.2.7", False), ("node.ip==192.0.2.0/24", True),
        ("node.ip==192.0.2.9/24", True),
        ("node.ip!=198.51.100.0/24", True), ("node.ip==nonsense", False), ("node.ip!=nonsense", False),
    ],
)  # fmt: skip
def test_constraints_on_a_node(text, matches):
    assert Constraint.parse(text).matches(NODE) is matches


def test_a_node_that_told_nothing_yet():
    fresh = Node("n")
    assert Constraint.parse("node.hostname!=x").matches(fresh)
    assert Constraint.parse("node.ip!=192.0.2.1").matches(fresh)
    assert not Constraint.parse("node.ip==192.0.2.1").matches(fresh)


@pytest.mark.parametrize("text", ["", "node.id", "node.id=x", "!=x", "node.id==a~b"])
def test_constraints_that_cannot_be_read(text):
    with pytest.raises(RpcUnknown):
        Constraint.parse(text)


# ---- spreading


def test_tasks_are_spread_evenly():
    cluster = FakeCluster()
    cluster.add_nodes(3)
    cluster.run(1)
    for name in ("one", "two", "three"):
        cluster.service(name, 4)
        cluster.run(1)
    placed = [cluster.placed(service.id) for service in cluster.store.services]
    totals = {host: sum(each.get(host, 0) for each in placed) for host in ("node1", "node2", "node3")}
    assert all(sorted(each.values()) == [1, 1, 2] for each in placed)
    assert sorted(totals.values()) == [4, 4, 4]


def test_a_new_node_is_levelled_up_but_nothing_moves():
    cluster = FakeCluster()
    cluster.add_nodes(2)
    cluster.run(1)
    web = cluster.service("web", 4)
    cluster.run(1)
    cluster.add_nodes(1)
    cluster.run(2)
    assert cluster.placed(web.id) == {"node1": 2, "node2": 2}
    cluster.scale(web.id, 6)
    cluster.run(1)
    assert cluster.placed(web.id) == {"node1": 2, "node2": 2, "node3": 2}


def test_preferences_spread_over_labels_first():
    cluster = FakeCluster()
    cluster.add_nodes(1, labels={"zone": "a"})
    cluster.add_nodes(3, labels={"zone": "b"})
    cluster.run(1)
    web = cluster.service("web", 8, placement=Placement(preferences=("node.labels.zone",)))
    cluster.run(1)
    placed = cluster.placed(web.id)
    assert placed["node1"] == 4
    assert sorted(placed[host] for host in ("node2", "node3", "node4")) == [1, 1, 2]


def test_a_branch_that_is_full_leaves_the_rest_to_others():
    cluster = FakeCluster()
    cluster.add_nodes(1, labels={"zone": "a"})
    cluster.add_nodes(2, labels={"zone": "b"})
    cluster.run(1)
    placement = Placement(preferences=("node.labels.zone",), max_replicas=2)
    web = cluster.service("web", 6, placement=placement)
    cluster.run(1)
    assert cluster.placed(web.id) == {"node1": 2, "node2": 2, "node3": 2}


def test_what_a_full_region_does_not_take_is_spread_evenly_over_the_others() -> None:
    # scheduleNTasksOnSubtree of swarmkit's scheduler.go: a rack of region a has room for two, the other for none.
    cluster = FakeCluster()
    cluster.add_nodes(1, labels={"region": "a", "rack": "1"}, resources=Resources(memory_bytes=2 * GIB))
    cluster.add_nodes(1, labels={"region": "a", "rack": "2"}, resources=Resources(memory_bytes=GIB // 2))
    for region in ("b", "c"):
        cluster.add_nodes(1, labels={"region": region, "rack": "1"}, resources=Resources(memory_bytes=99 * GIB))
    cluster.run(1)
    preferences = ("node.labels.region", "node.labels.rack")
    reserve = {"resources": ResourceRequirements(None, Resources(memory_bytes=GIB))}
    web = cluster.service("web", 12, placement=Placement(preferences=preferences), task=reserve)
    cluster.run(1)
    assert cluster.placed(web.id) == {"node1": 2, "node3": 5, "node4": 5}


def test_a_node_where_a_service_keeps_failing_is_avoided():
    cluster = FakeCluster()
    bad = cluster.add_nodes(2)[0]
    cluster.run(1)
    bad.outcome = lambda task: TaskState.FAILED
    web = cluster.service("web", 1, task={"restart": RestartPolicy(delay_ns=0)})
    cluster.run(20)
    failures = [task for task in cluster.store.tasks.by_service(web.id) if task.state is TaskState.FAILED]
    assert cluster.placed(web.id) == {"node2": 1}
    assert len(failures) <= 5


# ---- filters


def test_explanations():
    cluster = FakeCluster()
    agents = cluster.add_nodes(3, resources=Resources(4_000_000_000, 2 * GIB))
    cluster.run(1)
    reserve = {"resources": ResourceRequirements(None, Resources(memory_bytes=4 * GIB))}
    big = cluster.service("big", 1, task=reserve)
    far = cluster.service("far", 1, placement=Placement(("node.labels.zone==moon",)))
    arm = cluster.service("arm", 1, placement=Placement(platforms=(Platform("arm64", "linux"),)))
    few = cluster.service("few", 4, placement=Placement(max_replicas=1))
    csi = cluster.service("csi", 1, container=ContainerSpec("a", mounts=({"Type": "cluster", "Target": "/d"},)))
    cluster.run(1)
    assert error(cluster, big) == {"no suitable node (insufficient resources on 3 nodes)"}
    assert error(cluster, far) == {"no suitable node (scheduling constraints not satisfied on 3 nodes)"}
    assert error(cluster, arm) == {"no suitable node (unsupported platform on 3 nodes)"}
    assert error(cluster, few) == {"no suitable node (max replicas per node limit exceed)"}
    assert error(cluster, csi) == {"no suitable node (cannot fulfill requested CSI volume mounts on 3 nodes)"}
    for agent in agents[1:]:
        cluster.set_node(agent, availability=Availability.PAUSE)
    cluster.run(1)
    assert error(cluster, far) == {
        "no suitable node (2 nodes not available for new tasks; scheduling constraints not satisfied on 1 node)"
    }


def test_memory_that_is_kept_is_not_given_again():
    cluster = FakeCluster()
    cluster.add_nodes(2, resources=Resources(4_000_000_000, 2 * GIB))
    cluster.run(1)
    reserve = {"resources": ResourceRequirements(None, Resources(memory_bytes=GIB))}
    web = cluster.service("web", 5, task=reserve)
    cluster.run(1)
    assert cluster.placed(web.id) == {"node1": 2, "node2": 2}
    cluster.scale(web.id, 3)
    cluster.run(1)
    other = cluster.service("other", 1, task=reserve)
    cluster.run(1)
    assert len(cluster.tasks(other.id)) == 1


def test_host_ports_are_taken_once_a_node():
    cluster = FakeCluster()
    cluster.add_nodes(2)
    cluster.run(1)
    port = PortConfig("", "tcp", 80, 8080, PublishMode.HOST)
    web = cluster.service("web", 3, ports=(port,))
    cluster.run(1)
    assert cluster.placed(web.id) == {"node1": 1, "node2": 1}
    assert error(cluster, web) == {"no suitable node (host-mode port already in use on 2 nodes)"}
    udp = cluster.service("udp", 2, ports=(evolve(port, protocol="udp"),))
    cluster.run(1)
    assert cluster.placed(udp.id) == {"node1": 1, "node2": 1}


def test_user_defined_resources():
    cluster = FakeCluster()
    cluster.add_nodes(1, resources=Resources(0, 0, (("apple", 3), ("gpu", "a"), ("gpu", "b"))))
    cluster.run(1)
    wants = lambda *generic: {"resources": ResourceRequirements(None, Resources(generic=generic))}
    gpus = cluster.service("gpus", 3, task=wants(("gpu", 1)))
    apples = cluster.service("apples", 2, task=wants(("apple", 2)))
    cluster.run(1)
    held = sorted(task.assigned_generic_resources for task in cluster.tasks(gpus.id))
    assert held == [(("gpu", "a"),), (("gpu", "b"),)]
    assert [task.assigned_generic_resources for task in cluster.tasks(apples.id)] == [(("apple", 2),)]


def test_pending_tasks_go_where_a_label_appears():
    cluster = FakeCluster()
    cluster.add_nodes(3)
    cluster.run(1)
    north = cluster.service("north", 1, placement=Placement(("node.labels.zone==north",)))
    cluster.run(2)
    relabel(cluster, "node3", {"zone": "north"})
    cluster.run(1)
    assert cluster.placed(north.id) == {"node3": 1}


def test_a_global_task_on_a_full_node_says_why():
    from cnmsim.swarm.objects import Global

    cluster = FakeCluster()
    cluster.add_nodes(1, resources=Resources(0, GIB))
    cluster.run(1)
    reserve = {"resources": ResourceRequirements(None, Resources(memory_bytes=2 * GIB))}
    each = cluster.service("each", mode=Global(), task=reserve)
    cluster.run(1)
    assert error(cluster, each) == {"insufficient resources on 1 node"}

"""What the control API refuses, in its words, and what it gives."""

import pytest
from attrs import evolve
from support.swarm_fakes import FakeCluster, service_spec

from cnmsim.errors import Conflict, Forbidden, InvalidParameter, NotFound, SystemFault
from cnmsim.swarm.controlapi import Filters
from cnmsim.swarm.errors import NotLeader, RpcUnimplemented, SwarmError
from cnmsim.swarm.objects import (
    Annotations,
    Availability,
    ClusterSpec,
    ConfigReference,
    ConfigSpec,
    ContainerSpec,
    Driver,
    EndpointSpec,
    FileTarget,
    Global,
    IpamConfig,
    IpamOptions,
    NetworkSpec,
    NodeRole,
    NodeState,
    Placement,
    PortConfig,
    PublishMode,
    Replicated,
    ReplicatedJob,
    ResolutionMode,
    ResourceRequirements,
    Resources,
    RestartPolicy,
    SecretReference,
    SecretSpec,
    TaskState,
    UpdateConfig,
    UpdateState,
)


def port(target, published=0, mode=PublishMode.INGRESS):
    return PortConfig("", "tcp", target, published, mode)


@pytest.fixture
def cluster():
    return FakeCluster()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"name": ""}, "meta: name must be provided"),
        ({"name": "bad name"}, "name must be valid as a DNS name component"),
        ({"name": "x" * 64}, "name must be 63 characters or fewer"),
        ({"container": ContainerSpec("")}, "ContainerSpec: image reference must be provided"),
        ({"container": ContainerSpec("Alpine")}, 'ContainerSpec: "Alpine" is not a valid repository/tag'),
        ({"container": ContainerSpec("alpine:la test")},
         'ContainerSpec: "alpine:la test" is not a valid repository/tag'),
        ({"container": ContainerSpec("a", mounts=({"Target": "/x"}, {"Target": "/x"}))},
         "ContainerSpec: duplicate mount point: /x"),
        ({"container": ContainerSpec("a", healthcheck={"Interval": 5})},
         "ContainerSpec: Interval in HealthConfig cannot be less than 1ms"),
        ({"container": ContainerSpec("a", healthcheck={"Retries": -1})},
         "ContainerSpec: Retries in HealthConfig cannot be negative"),
        ({"container": ContainerSpec("a", secrets=(SecretReference("", "x", FileTarget("x")),))},
         "malformed secret reference"),
        ({"container": ContainerSpec("a", secrets=(SecretReference("i", "x"),))},
         "malformed secret reference, no target provided"),
        ({"container": ContainerSpec("a", secrets=(SecretReference("i", "x", FileTarget("f")),
            SecretReference("j", "y", FileTarget("f"))))},
         "secret references 'x' and 'y' have a conflicting target: 'f'"),
        ({"container": ContainerSpec("a", secrets=(SecretReference("i", "x", FileTarget("f")),))},
         "secret not found: x"),
        ({"container": ContainerSpec("a", configs=(ConfigReference("i", "x", FileTarget("f")),
            ConfigReference("j", "y", FileTarget("g"))))},
         "configs not found: x, y"),
        ({"task": {"resources": ResourceRequirements(Resources(nano_cpus=10))}},
         "invalid cpu value 1e-08: Must be at least 0.001"),
        ({"task": {"resources": ResourceRequirements(None, Resources(memory_bytes=1024))}},
         "invalid memory value 1024: Must be at least 4MiB"),
        ({"task": {"restart": RestartPolicy(delay_ns=-1)}}, "TaskSpec: restart-delay cannot be negative"),
        ({"update": UpdateConfig(delay_ns=-1)}, "TaskSpec: update-delay cannot be negative"),
        ({"update": UpdateConfig(max_failure_ratio=1.5)},
         "TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1"),
        ({"mode": Replicated(-1)}, "Number of replicas must be non-negative"),
        ({"mode": ReplicatedJob(), "update": UpdateConfig()}, "Jobs may not have an update config"),
        ({"ports": (port(80, 8080), port(81, 8080, PublishMode.HOST))},
         "EndpointSpec: duplicate published ports provided"),
        ({"endpoint": EndpointSpec(ResolutionMode.DNSRR, (port(80),))},
         "EndpointSpec: port published with ingress mode can't be used with dnsrr mode"),
    ],
)  # fmt: skip
def test_specs_that_make_no_sense(cluster, change, text):
    options = {"name": "web", **change}
    with pytest.raises(InvalidParameter) as refusal:
        cluster.manager.control.create_service(service_spec(**options))
    assert refusal.value.message == f"rpc error: code = InvalidArgument desc = {text}"
    assert len(cluster.store.services) == 0


@pytest.mark.parametrize(
    ("constraint", "text"),
    [
        ("node.color=red", "constraint expected one operator from ==, !="),
        ("node color==red", "key 'node color' is invalid"),
        ("node.id==", "value '' is invalid"),
        ("node.labels.x>3==~", "key 'node.labels.x>3' is invalid"),
    ],
)
def test_constraints_that_cannot_be_read(cluster, constraint, text):
    with pytest.raises(SystemFault) as refusal:
        cluster.service("web", 1, placement=Placement((constraint,)))
    assert refusal.value.message == f"rpc error: code = Unknown desc = {text}"


def test_templates_that_cannot_be_filled_in(cluster):
    with pytest.raises(InvalidParameter, match="code = InvalidArgument desc = expanding env failed"):
        cluster.service("web", 1, container=ContainerSpec("a", env=("X={{.Nothing}}",)))
    cluster.service("web", 1, container=ContainerSpec("a", hostname="{{.Service.Name}}-{{.Task.Slot}}"))


def test_a_name_is_taken_once(cluster):
    cluster.service("web")
    with pytest.raises(Conflict) as refusal:
        cluster.service("web")
    text = "name conflicts with an existing object: service web already exists"
    assert refusal.value.message == f"rpc error: code = AlreadyExists desc = {text}"


def test_ports_of_other_services(cluster):
    web = cluster.service("web", ports=(port(80, 8080), port(80, 9090, PublishMode.HOST), port(82)))
    cluster.run(0)

    def clash(*ports):
        with pytest.raises(InvalidParameter) as refusal:
            cluster.service("other", ports=ports)
        return refusal.value.message.partition(" desc = ")[2]

    ingress = f"port '{{}}' is already in use by service 'web' ({web.id}) as an ingress port"
    assert clash(port(1, 8080)) == ingress.format(8080)
    assert clash(port(1, 8080, PublishMode.HOST)) == ingress.format(8080)
    assert clash(port(1, 30000)) == ingress.format(30000)
    assert (
        clash(port(1, 9090)) == f"port '9090' is already in use by service 'web' ({web.id}) as a host-published port"
    )
    cluster.service("other", ports=(port(1, 9090, PublishMode.HOST), evolve(port(1, 8080), protocol="udp")))
    cluster.update(web.id, endpoint=EndpointSpec(ports=(port(81, 8080),)))


def test_a_service_cannot_name_the_ingress_network(cluster):
    ingress = cluster.manager.control.find_network("ingress")
    with pytest.raises(InvalidParameter, match='explicitly attached to the ingress network "ingress"'):
        cluster.service("web", networks=(ingress,))


def test_updates_out_of_sequence_change_nothing(cluster):
    web = cluster.service("web")
    cluster.scale(web.id, 2)
    with pytest.raises(SystemFault) as refusal:
        cluster.manager.control.update_service(web.id, web.meta.version, service_spec("web", 3))
    assert refusal.value.message == "rpc error: code = Unknown desc = update out of sequence"
    assert cluster.store.services.get(web.id).spec.mode == Replicated(2)


def test_what_an_update_cannot_change(cluster):
    web = cluster.service("web")
    for spec, text in (
        (service_spec("web", mode=Global()), "service mode change is not allowed"),
        (service_spec("shop"), "renaming services is not supported"),
    ):
        with pytest.raises(RpcUnimplemented) as refusal:
            cluster.manager.control.update_service(web.id, web.meta.version, spec)
        assert refusal.value.message == f"rpc error: code = Unimplemented desc = {text}"
        assert refusal.value.status == 501


def test_rolling_back_by_hand(cluster):
    web = cluster.service("web", 1)
    with pytest.raises(InvalidParameter, match=f"service {web.id} does not have a previous spec"):
        cluster.manager.control.update_service(web.id, web.meta.version, web.spec, rollback=True)
    cluster.scale(web.id, 3)
    now = cluster.store.services.get(web.id)
    back = cluster.manager.control.update_service(web.id, now.meta.version, now.spec, rollback=True)
    assert (back.spec.mode, back.previous_spec.mode) == (Replicated(1), Replicated(3))
    assert back.update_status.state is UpdateState.ROLLBACK_STARTED
    assert back.update_status.message == "manually requested rollback"


def test_finding_by_id_name_or_beginning(cluster):
    web, shop = cluster.service("web"), cluster.service("shop")
    find = cluster.manager.control.find_service
    assert find(web.id).id == find("web").id == find(web.id[:12]).id == web.id
    with pytest.raises(NotFound, match=r"^service nothing not found$"):
        find("nothing")
    with pytest.raises(InvalidParameter, match=r"^service  is ambiguous \(2 matches found\)$"):
        find("")
    assert [each.id for each in cluster.manager.control.list_services(Filters(names=("shop", "x")))] == [shop.id]
    assert find("web", insert_defaults=True).spec.update.parallelism == 1


def test_counting_tasks(cluster):
    cluster.add_nodes(2)
    cluster.run(1)
    web = cluster.service("web", 3)
    everywhere = cluster.service("everywhere", mode=Global())
    cluster.run(2)
    counts = cluster.manager.control.service_statuses([web.id, everywhere.id, "gone"])
    assert [(each.running, each.desired, each.completed) for each in counts] == [(3, 3, 0), (2, 2, 0), (0, 0, 0)]


# ---- networks


@pytest.mark.parametrize(
    ("spec", "code", "text"),
    [
        (NetworkSpec(), "InvalidArgument", "meta: name must be provided"),
        (NetworkSpec(Annotations("x"), ingress=True, attachable=True), "InvalidArgument",
         "ingress network cannot be attachable"),
        (NetworkSpec(Annotations("x"), Driver("bridge"), ingress=True), "Unimplemented",
         "only overlay driver is currently supported for ingress network"),
        (NetworkSpec(Annotations("x"), Driver("")), "InvalidArgument",
         "driver name: if driver is specified name is required"),
        (NetworkSpec(Annotations("x"), Driver("weave")), "InvalidArgument", "error during lookup of plugin weave"),
        (NetworkSpec(Annotations("x", {"com.docker.swarm.predefined": "true"})), "PermissionDenied",
         ("label com.docker.swarm.predefined is for internally created predefined networks and cannot be applied by "
         "users")),
        (NetworkSpec(Annotations("x"), ipam=IpamOptions(None, (IpamConfig("10.1.0.0"),))), "InvalidArgument",
         "ipam configuration: invalid subnet 10.1.0.0"),
        (NetworkSpec(Annotations("x"), ipam=IpamOptions(None, (IpamConfig("10.1.0.0/24", gateway="10.2.0.1"),))),
         "InvalidArgument",
         "ipam configuration: subnet 10.1.0.0/24 does not contain gateway 10.2.0.1"),
        (NetworkSpec(Annotations("x"), ipam=IpamOptions(None, (IpamConfig("10.1.0.0/24", "10.2.0.0/28"),))),
         "InvalidArgument",
         "ipam configuration: subnet 10.1.0.0/24 does not contain range 10.2.0.0/28"),
    ],
)  # fmt: skip
def test_networks_that_make_no_sense(cluster, spec, code, text):
    with pytest.raises(SwarmError) as refusal:
        cluster.manager.control.create_network(spec)
    assert refusal.value.message == f"rpc error: code = {code} desc = {text}"


def test_there_is_one_ingress_network(cluster):
    ingress = cluster.manager.control.find_network("ingress")
    with pytest.raises(Conflict, match=rf"ingress network \({ingress.id}\) is already present"):
        cluster.network("front", ingress=True)


def test_networks_in_use_stay(cluster):
    cluster.add_nodes(1)
    cluster.run(1)
    network = cluster.network("web-net")
    web = cluster.service("web", 1, networks=(network,), ports=(port(80),))
    cluster.run(2)
    remove = cluster.manager.control.remove_network
    with pytest.raises(InvalidParameter, match=f"network {network.id} is in use by service {web.id}"):
        remove(network.id)
    ingress = cluster.manager.control.find_network("ingress")
    with pytest.raises(
        InvalidParameter, match=f"ingress network cannot be removed because service {web.id} depends on it"
    ):
        remove(ingress.id)
    task = cluster.tasks(web.id)[0]
    cluster.manager.control.remove_service(web.id)
    with pytest.raises(InvalidParameter, match=f"network {network.id} is in use by task {task.id}"):
        remove(network.id)
    cluster.run(2)
    remove(network.id)
    with pytest.raises(NotFound, match=f"network {network.id} not found"):
        remove(network.id)


def test_attaching_containers_by_hand(cluster):
    agent, other = cluster.add_nodes(2)
    cluster.run(1)
    control = cluster.manager.control
    closed, opened = cluster.network("closed"), cluster.network("opened", attachable=True)
    with pytest.raises(Forbidden) as refusal:
        control.attach_network(agent.node_id, "closed", "c1")
    assert refusal.value.message == "rpc error: code = PermissionDenied desc = network closed not manually attachable"
    with pytest.raises(NotFound, match="network nowhere not found"):
        control.attach_network(agent.node_id, "nowhere", "c1")
    attachment = control.attach_network(agent.node_id, "opened", "c1", ["10.0.2.77"])
    cluster.run(2)
    task = control.get_task(attachment)
    assert (task.state, task.node_id) == (TaskState.RUNNING, agent.node_id)
    assert task.networks[0].addresses == ("10.0.2.77/24",)
    assert agent.tasks[attachment].spec.attachment.container_id == "c1"
    with pytest.raises(InvalidParameter, match=f"network {opened.id} is in use by task {attachment}"):
        control.remove_network(opened.id)
    with pytest.raises(Forbidden, match=f"attachment {attachment} doesn't belong to this node"):
        control.detach_network(other.node_id, attachment)
    control.detach_network(agent.node_id, attachment)
    cluster.run(1)
    assert attachment not in agent.tasks
    control.remove_network(opened.id)
    control.remove_network(closed.id)


# ---- nodes


def test_the_last_manager_stays(cluster):
    manager, worker = cluster.add_nodes(2)
    cluster.run(1)
    with pytest.raises(InvalidParameter) as refusal:
        cluster.set_node(manager, desired_role=NodeRole.WORKER)
    text = "attempting to demote the last manager of the swarm"
    assert refusal.value.message == f"rpc error: code = FailedPrecondition desc = {text}"
    with pytest.raises(InvalidParameter, match="is a cluster manager and is a member of the raft cluster"):
        cluster.manager.control.remove_node(manager.node_id, force=True)
    with pytest.raises(InvalidParameter, match=f"node {worker.node_id} is not down and can't be removed"):
        cluster.manager.control.remove_node(worker.node_id)


def test_removing_a_node_orphans_its_tasks(cluster):
    cluster.add_nodes(2)
    cluster.run(1)
    web = cluster.service("web", 2)
    cluster.run(2)
    doomed = cluster.agents["node2"]
    task = next(task for task in cluster.tasks(web.id) if task.node_id == doomed.node_id)
    doomed.down()
    cluster.run(20)
    cluster.manager.control.remove_node(doomed.node_id)
    orphan = cluster.store.tasks.get(task.id)
    assert (orphan.state, orphan.status.message) == (
        TaskState.ORPHANED,
        "Task belonged to a node that has been deleted",
    )
    cluster.run(10)
    assert cluster.placed(web.id) == {"node1": 2}
    with pytest.raises(NotFound, match=f"node {doomed.node_id} not found"):
        cluster.manager.control.get_node(doomed.node_id)


def test_listing_nodes(cluster):
    cluster.add_nodes(1)
    cluster.add_nodes(2, labels={"zone": "east"})
    cluster.run(1)
    names = lambda **filters: [node.hostname for node in cluster.manager.control.list_nodes(Filters(**filters))]
    assert names(node_labels={"zone": ""}) == ["node2", "node3"]
    assert names(roles=(NodeRole.MANAGER,)) == ["node1"]
    assert names(names=("node3",)) == ["node3"]
    assert cluster.manager.control.find_node("node2").status.state is NodeState.READY
    cluster.set_node(cluster.agents["node2"], availability=Availability.PAUSE)
    assert cluster.manager.control.find_node("node2").spec.availability is Availability.PAUSE


# ---- secrets, configs, the cluster


def test_secrets(cluster):
    control = cluster.manager.control
    for spec, text in (
        (SecretSpec(Annotations(""), b"x"), "name must be provided"),
        (SecretSpec(Annotations("-a"), b"x"),
         ("invalid name, only 64 [a-zA-Z0-9-_.] characters allowed, and the start"
         " and end character must be [a-zA-Z0-9]")),
        (SecretSpec(Annotations("a"), b""), "secret data must be larger than 0 and less than 512000 bytes"),
        (SecretSpec(Annotations("a"), bytes(512000)), "secret data must be larger than 0 and less than 512000 bytes"),
    ):  # fmt: skip
        with pytest.raises(InvalidParameter) as refusal:
            control.create_secret(spec)
        assert refusal.value.message == f"rpc error: code = InvalidArgument desc = {text}"
    secret = control.create_secret(SecretSpec(Annotations("key.pem"), b"hush"))
    assert secret.spec.data == b""
    with pytest.raises(Conflict, match=r"secret key\.pem already exists"):
        control.create_secret(SecretSpec(Annotations("key.pem"), b"other"))
    relabelled = control.update_secret(
        secret.id, secret.meta.version, SecretSpec(Annotations("key.pem", {"a": "b"}), b"hush")
    )
    with pytest.raises(InvalidParameter, match="only updates to Labels are allowed"):
        control.update_secret(secret.id, relabelled.meta.version, SecretSpec(Annotations("key.pem"), b"else"))
    reference = SecretReference(secret.id, "key.pem", FileTarget("key.pem"))
    web = cluster.service("web", container=ContainerSpec("a", secrets=(reference,)))
    with pytest.raises(InvalidParameter, match=r"secret 'key.pem' is in use by the following service: web$"):
        control.remove_secret(secret.id)
    cluster.manager.control.remove_service(web.id)
    control.remove_secret(secret.id)
    with pytest.raises(NotFound, match=f"could not find secret {secret.id}"):
        control.remove_secret(secret.id)


def test_configs(cluster):
    control = cluster.manager.control
    with pytest.raises(InvalidParameter, match="config data must be larger than 0 and less than 1024000 bytes"):
        control.create_config(ConfigSpec(Annotations("a")))
    config = control.create_config(ConfigSpec(Annotations("nginx.conf"), b"server {}"))
    assert control.find_config("nginx.conf").spec.data == b"server {}"
    reference = ConfigReference(config.id, "nginx.conf", FileTarget("/etc/nginx.conf"))
    for name in ("one", "two"):
        cluster.service(name, container=ContainerSpec("a", configs=(reference,)))
    with pytest.raises(InvalidParameter, match=r"config 'nginx.conf' is in use by the following services: one, two$"):
        control.remove_config(config.id)


def test_join_tokens_are_changed_one_at_a_time(cluster):
    control = cluster.manager.control
    before = control.get_cluster()
    after = control.update_cluster(before.meta.version, before.spec, rotate_worker_token=True)
    assert after.root_ca.worker_token.startswith("SWMTKN-1-")
    assert after.root_ca.manager_token == before.root_ca.manager_token
    assert (after.default_address_pool, after.subnet_size, after.vxlan_udp_port) == (("10.0.0.0/8",), 24, 4789)
    with pytest.raises(SystemFault, match="update out of sequence"):
        control.update_cluster(before.meta.version, before.spec)
    with pytest.raises(InvalidParameter, match="modification of cluster name is not allowed"):
        control.update_cluster(after.meta.version, ClusterSpec(Annotations("mine")))
    assert control.get_unlock_key() == ""
    control.update_cluster(after.meta.version, evolve(before.spec, auto_lock_managers=True))
    assert control.get_unlock_key().startswith("SWMKEY-1-")


def test_without_a_quorum_nothing_changes_and_loops_go_on_later(cluster):
    cluster.add_nodes(2)
    cluster.run(1)
    web = cluster.service("web", 1)
    cluster.run(2)

    def refuse(_changes):
        raise NotLeader

    cluster.store.propose = refuse
    with pytest.raises(NotLeader):
        cluster.scale(web.id, 3)
    cluster.agents["node2"].down()
    cluster.run(60)
    assert cluster.store.services.get(web.id).spec.mode == Replicated(1)
    cluster.store.propose = None
    cluster.run(90)
    assert cluster.node_state(cluster.agents["node2"]) is NodeState.DOWN
    cluster.scale(web.id, 3)
    cluster.run(5)
    assert cluster.placed(web.id) == {"node1": 3}

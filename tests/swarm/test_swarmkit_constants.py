"""SwarmKit's numbers: each is checked where it takes effect, from both sides, or as the constant that the code uses.

Sources are files of moby/swarmkit (as vendored by moby docker-v29.7.2), next to each number.
"""

from __future__ import annotations

import re
from base64 import b64decode
from enum import Enum

import attrs
import pytest
from attrs import evolve
from support.raft_group import Managers
from support.swarm_fakes import FakeAgent, FakeCluster

from cnmsim.kernel.clock import NS_PER_S, Clock
from cnmsim.swarm import node, objects
from cnmsim.swarm.agent import agent
from cnmsim.swarm.allocator import PortAllocator
from cnmsim.swarm.allocator.bitmap import BitUnavailable
from cnmsim.swarm.ca import certificates, credentials, root_rotation, x509
from cnmsim.swarm.ca.certificates import RootCa
from cnmsim.swarm.ca.join_token import join_token
from cnmsim.swarm.ca.server import CaServer
from cnmsim.swarm.controlapi.cluster import check_cluster_spec
from cnmsim.swarm.dispatcher import sessions
from cnmsim.swarm.errors import RpcInvalidArgument, RpcUnavailable
from cnmsim.swarm.identity import new_id, new_unlock_key, unlock_key_text
from cnmsim.swarm.manager import manager_node, rolemanager
from cnmsim.swarm.objects import (
    Annotations,
    ClusterSpec,
    ConfigSpec,
    Endpoint,
    EndpointSpec,
    FailureAction,
    Node,
    NodeRole,
    NodeState,
    PortConfig,
    Replicated,
    RestartCondition,
    RestartPolicy,
    SecretSpec,
    Service,
    ServiceSpec,
    Task,
    TaskState,
    UpdateConfig,
    UpdateOrder,
    UpdateState,
    defaults,
)
from cnmsim.swarm.orchestrator import restart
from cnmsim.swarm.scheduler.nodeinfo import NodeInfo

DAY_S = 24 * 3600.0


def started_cluster(nodes: int = 1) -> FakeCluster:
    cluster = FakeCluster()
    cluster.add_nodes(nodes)
    cluster.run(1)
    return cluster


def seconds_until(cluster: FakeCluster, condition, limit_s: float, step_s: float = 0.05) -> float:
    """Run the cluster until a condition holds. Return the seconds that took."""
    for number in range(round(limit_s / step_s) + 1):
        if condition():
            return number * step_s
        cluster.run(step_s)
    raise AssertionError(f"not within {limit_s} s")


def fail(cluster: FakeCluster, task: Task) -> None:
    node = next(each for each in cluster.agents.values() if each.node_id == task.node_id)
    node.report([(task.id, TaskState.FAILED)])


# ---- the table: constants that the code uses as they are

CONSTANTS = [
    # api/defaults/service.go
    ("stop grace period", defaults.STOP_GRACE_PERIOD_NS, 10 * NS_PER_S),
    ("restart delay", defaults.RESTART_DELAY_NS, 5 * NS_PER_S),
    ("update", defaults.UPDATE, UpdateConfig(1, 0, FailureAction.PAUSE, 5 * NS_PER_S, 0.0, UpdateOrder.STOP_FIRST)),
    ("restart policy", RestartPolicy(), RestartPolicy(RestartCondition.ANY, None, 0, None)),
    ("replicas", Replicated(), Replicated(1)),
    # manager/manager.go (defaultClusterObject), manager/state/raft/raft.go (DefaultRaftConfig),
    # manager/dispatcher/dispatcher.go
    ("task history limit", ClusterSpec().task_history_retention_limit, 5),
    ("snapshot interval", ClusterSpec().snapshot_interval, 10000),
    ("old snapshots kept", ClusterSpec().keep_old_snapshots, 0),
    ("log entries for slow followers", ClusterSpec().log_entries_for_slow_followers, 500),
    ("heartbeat tick", ClusterSpec().heartbeat_tick, 1),
    ("election tick", ClusterSpec().election_tick, 10),
    ("heartbeat period", ClusterSpec().heartbeat_period_ns, 5 * NS_PER_S),
    ("certificate expiry", ClusterSpec().node_cert_expiry_ns, 90 * 24 * 3600 * NS_PER_S),
    ("heartbeat period of a cluster that names none", sessions._DEFAULT_PERIOD_S, 5.0),
    # manager/state/raft/raft.go (SendTimeout)
    ("time for a Raft message", manager_node._RAFT_TIMEOUT_S, 2.0),
    # manager/role_manager.go (roleReconcileInterval)
    ("retry of a role change", rolemanager._RETRY_S, 5.0),
    # node/node.go (roleChangeTimeout)
    ("time for a role change", node._ROLE_CHANGE_TIMEOUT_S, 16.0),
    # manager/orchestrator/restart/restart.go
    ("time for an old task to stop", restart._OLD_TASK_TIMEOUT_S, 60.0),
    # agent/agent.go, agent/session.go
    ("first wait of an agent", agent._FIRST_BACKOFF_S, 0.1),
    ("longest wait of an agent", agent._LONGEST_BACKOFF_S, 8.0),
    ("time for a session to begin", agent._SESSION_TIMEOUT_S, 5.0),
    # ca/certificates.go (CertLowerRotationRange, CertUpperRotationRange, RootCAExpiration), ca/server.go
    ("certificate expiry of a cluster that names none", certificates.DEFAULT_EXPIRY_S, 90 * DAY_S),
    ("renewal window", credentials._RENEW_AT, (0.5, 0.8)),
    ("root certificate expiry", x509._EXPIRY.total_seconds(), 630_720_000.0),
    ("root rotation interval", root_rotation._INTERVAL_S, 3.0),
]


@pytest.mark.parametrize(("what", "used", "swarmkit"), CONSTANTS, ids=[name for name, _, _ in CONSTANTS])
def test_a_constant_is_swarmkits(what: str, used: object, swarmkit: object) -> None:
    assert used == swarmkit


# ---- Raft: manager/state/raft/raft.go (TickInterval 1 s, HeartbeatTick 1, ElectionTick 10),
# etcd raft.go (randomised to 10..19)


def test_an_election_begins_after_10_to_19_ticks_of_silence() -> None:
    raft = Managers(3).rafts[1]
    draws = set()
    for _ in range(500):
        raft._draw_election_timeout()
        draws.add(raft._election_timeout)
    assert draws == set(range(10, 20))


def test_a_follower_stands_for_election_when_its_timeout_has_passed() -> None:
    managers = Managers(3)
    managers.clock.run_for(40)
    (leader,) = managers.leaders
    follower = managers.rafts[next(number for number in managers.rafts if number != leader)]
    managers.isolate(follower.member.raft_id)
    term, timeout_s = follower.term, follower._election_timeout - follower._election_elapsed
    managers.clock.run_for(timeout_s - 1.1)
    assert follower.term == term
    managers.clock.run_for(1.2)
    assert follower.term > term


def test_a_leader_sends_a_heartbeat_every_second() -> None:
    managers = Managers(3)
    managers.clock.run_for(40)
    leader = managers.rafts[managers.leaders[0]]
    times: list[float] = []
    send = leader.send

    def recording_send(member, message):
        times.append(managers.clock.now_ns / NS_PER_S)
        return send(member, message)

    leader.send = recording_send
    managers.clock.run_for(10.5)
    assert len(times) in {20, 22}
    assert {round(later - earlier, 6) for earlier, later in zip(times, times[2:], strict=False)} == {1.0}


# ---- dispatcher: manager/dispatcher/dispatcher.go


def test_a_heartbeat_is_due_after_5_s_give_or_take_half_a_second() -> None:
    cluster = started_cluster()
    node = cluster.agents["node1"]
    periods = [cluster.manager.dispatcher.heartbeat(node.node_id, node._session_id) for _ in range(300)]
    assert 4.5 <= min(periods) < 4.55
    assert 5.45 < max(periods) <= 5.5


def test_a_node_is_down_when_three_heartbeats_are_missing() -> None:
    cluster = started_cluster()
    node = cluster.agents["node1"]
    cluster.manager.dispatcher.heartbeat(node.node_id, node._session_id)
    node.down()
    elapsed_s = seconds_until(cluster, lambda: cluster.node_state(node) is NodeState.DOWN, 20)
    assert 3 * 4.5 <= elapsed_s <= 3 * 5.5 + 0.2  # reports are written every tenth of a second


def test_a_node_has_twice_the_time_to_register_with_a_new_leader() -> None:
    cluster = started_cluster()
    node = cluster.agents["node1"]
    node.is_up = False
    cluster.manager.become_follower()
    cluster.manager.become_leader()
    elapsed_s = seconds_until(cluster, lambda: cluster.node_state(node) is NodeState.DOWN, 40)
    assert 6 * 4.5 <= elapsed_s <= 6 * 5.5 + 0.2


def test_tasks_are_orphaned_when_their_node_has_been_down_for_24_hours() -> None:
    cluster = started_cluster()
    node = cluster.agents["node1"]
    service = cluster.service("web")
    cluster.run(2)
    (task,) = cluster.tasks(service.id)
    node.down()
    seconds_until(cluster, lambda: cluster.node_state(node) is NodeState.DOWN, 20)
    cluster.run(DAY_S - 10)
    assert cluster.store.tasks.get(task.id).state is TaskState.RUNNING
    cluster.run(11)
    orphan = cluster.store.tasks.get(task.id)
    # The reaper keeps it as history: it is a task of a service.
    assert (orphan.state, orphan.desired_state) == (TaskState.ORPHANED, TaskState.SHUTDOWN)


def register(cluster: FakeCluster, node: FakeAgent) -> None:
    cluster.manager.dispatcher.register(node.node_id, node.description, node.address)


@pytest.mark.parametrize(("wait_s", "is_refused"), [(7.9, True), (8.1, False)])
def test_three_registrations_are_allowed_within_8_s(wait_s: float, is_refused: bool) -> None:
    cluster = started_cluster()
    node = cluster.agents["node1"]
    node.is_up = False
    cluster.run(10)
    for _ in range(3):
        register(cluster, node)
    with pytest.raises(RpcUnavailable):
        register(cluster, node)
    cluster.run(wait_s)
    if is_refused:
        with pytest.raises(RpcUnavailable):
            register(cluster, node)
    else:
        register(cluster, node)


def test_assignments_are_sent_a_tenth_of_a_second_after_the_last_change() -> None:
    cluster = started_cluster()
    node = cluster.agents["node1"]
    service = cluster.service("web")
    cluster.run(2)
    count = len(node.messages)
    (task,) = cluster.tasks(service.id)
    cluster.store.update(lambda tx: tx.replace(evolve(task, desired_state=TaskState.SHUTDOWN)))
    cluster.run(0.09)
    assert len(node.messages) == count
    cluster.run(0.02)
    assert len(node.messages) > count


# ---- orchestrators: manager/orchestrator/{restart,update,taskreaper}


def test_a_failed_task_is_replaced_after_5_s() -> None:
    cluster = started_cluster()
    service = cluster.service("web")
    cluster.run(2)
    (task,) = cluster.tasks(service.id)
    fail(cluster, task)
    elapsed_s = seconds_until(cluster, lambda: task.id not in {each.id for each in cluster.tasks(service.id)}, 10)
    elapsed_s += seconds_until(cluster, lambda: bool(cluster.tasks(service.id)), 10)
    assert 5.0 <= elapsed_s <= 5.6


@pytest.mark.parametrize(("ratio", "state"), [(0.25, UpdateState.COMPLETED), (0.24, UpdateState.PAUSED)])
def test_an_update_goes_on_while_failures_do_not_exceed_the_ratio(ratio: float, state: UpdateState) -> None:
    cluster = started_cluster()
    config = UpdateConfig(parallelism=1, max_failure_ratio=ratio)
    service = cluster.service("web", 4, update=config)
    cluster.run(3)
    before = {task.id for task in cluster.tasks(service.id)}
    task_spec = cluster.store.services.get(service.id).spec.task
    cluster.update(service.id, task=evolve(task_spec, force_update=1))
    seconds_until(cluster, lambda: any(task.id not in before for task in cluster.tasks(service.id)), 10)
    fail(cluster, next(task for task in cluster.tasks(service.id) if task.id not in before))
    cluster.run(60)
    assert cluster.store.services.get(service.id).update_status.state is state


def test_new_tasks_are_monitored_for_5_s() -> None:
    cluster = started_cluster()
    service = cluster.service("web")
    cluster.run(3)
    before = {task.id for task in cluster.tasks(service.id)}
    task_spec = cluster.store.services.get(service.id).spec.task
    cluster.update(service.id, task=evolve(task_spec, force_update=1))
    seconds_until(cluster, lambda: any(task.id not in before for task in cluster.tasks(service.id)), 10)

    def is_completed() -> bool:
        return cluster.store.services.get(service.id).update_status.state is UpdateState.COMPLETED

    assert 4.8 <= seconds_until(cluster, is_completed, 10) <= 5.3


def test_five_tasks_of_a_slot_are_kept() -> None:
    cluster = started_cluster()
    service = cluster.service("web", task={"restart": RestartPolicy(delay_ns=0)})
    for _ in range(8):
        cluster.run(3)
        (task,) = cluster.tasks(service.id)
        fail(cluster, task)
    cluster.run(3)
    assert len(cluster.store.tasks.by_slot(service.id, 1)) == 5


# ---- scheduler: manager/scheduler/{scheduler,nodeinfo}.go


@pytest.mark.parametrize(("failures", "rank"), [(4, 0), (5, 5)])
def test_a_node_ranks_lower_after_5_failures(failures: int, rank: int) -> None:
    info, task = NodeInfo(Node("n")), Task("t", service_id="s")
    for _ in range(failures):
        info.record_failure(task, 0)
    assert info.rank(task, 0)[0] == rank


def test_failures_count_for_5_minutes() -> None:
    info, task = NodeInfo(Node("n")), Task("t", service_id="s")
    info.record_failure(task, 0)
    assert info.count_recent_failures(task, 300 * NS_PER_S) == 1
    assert info.count_recent_failures(task, 300 * NS_PER_S + 1) == 0


def test_the_scheduler_waits_50_ms_for_further_changes() -> None:
    cluster = started_cluster()
    service = cluster.service("web")

    def is_assigned() -> bool:
        tasks = cluster.store.tasks.by_service(service.id)
        return bool(tasks) and tasks[0].state >= TaskState.ASSIGNED

    assert seconds_until(cluster, is_assigned, 1, 0.001) == pytest.approx(0.05, abs=0.0021)


# ---- allocator: manager/allocator/portallocator.go; moby libnetwork/drivers/overlay/ovmanager, libnetwork/ipamutils


def published(number: int, port: int = 0) -> Service:
    spec = EndpointSpec(ports=(PortConfig(f"p{number}", "tcp", 80, port),))
    return Service(f"s{number}", ServiceSpec(endpoint=spec), endpoint=Endpoint(spec))


def test_chosen_ports_are_30000_to_32767() -> None:
    allocator = PortAllocator()
    ports = [allocator.allocate(published(number))[0].published_port for number in range(2768)]
    assert ports == list(range(30000, 32768))
    with pytest.raises(BitUnavailable):
        allocator.allocate(published(2768))


def test_requested_ports_are_1_to_65535() -> None:
    allocator = PortAllocator()
    assert [allocator.allocate(published(port, port))[0].published_port for port in (1, 65535)] == [1, 65535]
    with pytest.raises(BitUnavailable):
        allocator.allocate(published(3, 65536))


def test_vxlan_ids_begin_at_4096_and_subnets_at_10_0_0_0() -> None:
    cluster = started_cluster()
    networks = [cluster.manager.control.find_network("ingress"), cluster.network("one")]
    ids = [network.driver_state.options["com.docker.network.driver.overlay.vxlanid_list"] for network in networks]
    assert ids == ["4096", "4097"]
    assert [network.ipam.configs[0].subnet for network in networks] == ["10.0.0.0/24", "10.0.1.0/24"]


# ---- certificate authority and identities: ca/{certificates,config}.go, identity/randomid.go,
# manager/encryption/encryption.go


def test_a_certificate_is_valid_for_90_days_and_backdated_by_an_hour() -> None:
    cluster = started_cluster()
    clock = cluster.clock
    certificate = CaServer(clock, clock.stream("ca"), cluster.store).sign("node", NodeRole.WORKER)
    rounded_s = round(clock.wall_s / 60) * 60
    assert certificate.not_after_s - rounded_s == 90 * DAY_S
    assert rounded_s - certificate.not_before_s == 3600
    assert RootCa("0" * 64).issue(clock.stream("x"), "n", "r", "o", 0.0, 1.0).not_before_s == -3600


@pytest.mark.parametrize(("expiry_s", "is_refused"), [(3599, True), (3600, False)])
def test_a_certificate_is_valid_for_an_hour_at_least(expiry_s: int, is_refused: bool) -> None:
    spec = ClusterSpec(node_cert_expiry_ns=expiry_s * NS_PER_S)
    if is_refused:
        with pytest.raises(RpcInvalidArgument, match="minimum certificate expiry time is: 1h0m0s"):
            check_cluster_spec(spec)
    else:
        check_cluster_spec(spec)


def test_ids_tokens_and_unlock_keys_have_their_lengths() -> None:
    random = Clock(0).stream("identity")
    for _ in range(100):
        assert re.fullmatch(r"[0-9a-z]{25}", new_id(random))
        assert re.fullmatch(r"SWMTKN-1-[0-9a-z]{50}-[0-9a-z]{25}", join_token(random, "ff" * 32))
        assert re.fullmatch(r"SWMKEY-1-[A-Za-z0-9+/]{43}", unlock_key_text(new_unlock_key(random)))


# ---- keys of the data plane: manager/keymanager/keymanager.go


def test_three_keys_of_16_bytes_per_subsystem_rotate_every_12_hours() -> None:
    cluster = FakeCluster()
    keys = cluster.store.cluster.network_bootstrap_keys
    assert [key.subsystem for key in keys] == ["networking:gossip"] * 3 + ["networking:ipsec"] * 3
    assert {len(key.key) for key in keys} == {16}
    cluster.run(DAY_S / 2 - 1)
    assert cluster.store.cluster.network_bootstrap_keys == keys
    cluster.run(2)
    rotated = cluster.store.cluster.network_bootstrap_keys
    assert len(set(rotated) - set(keys)) == 2
    assert len(rotated) == 6


# ---- secrets and configs: api/validation/secrets.go, manager/controlapi/config.go


@pytest.mark.parametrize(("size", "is_refused"), [(0, True), (1, False), (511_999, False), (512_000, True)])
def test_a_secret_holds_less_than_500_kib(size: int, is_refused: bool) -> None:
    control = FakeCluster().manager.control
    if is_refused:
        with pytest.raises(RpcInvalidArgument, match="less than 512000 bytes"):
            control.create_secret(SecretSpec(Annotations("a"), b"x" * size))
    else:
        control.create_secret(SecretSpec(Annotations("a"), b"x" * size))


@pytest.mark.parametrize(("size", "is_refused"), [(0, True), (1, False), (1_023_999, False), (1_024_000, True)])
def test_a_config_holds_less_than_1000_kib(size: int, is_refused: bool) -> None:
    control = FakeCluster().manager.control
    if is_refused:
        with pytest.raises(RpcInvalidArgument, match="less than 1024000 bytes"):
            control.create_config(ConfigSpec(Annotations("a"), b"x" * size))
    else:
        control.create_config(ConfigSpec(Annotations("a"), b"x" * size))


#: api/types.proto, enum TaskState.
TASK_STATES = {
    "NEW": 0, "PENDING": 64, "ASSIGNED": 192, "ACCEPTED": 256, "PREPARING": 320, "READY": 384, "STARTING": 448,
    "RUNNING": 512, "COMPLETE": 576, "SHUTDOWN": 640, "FAILED": 704, "REJECTED": 768, "REMOVE": 800, "ORPHANED": 832,
}  # fmt: skip


def test_states_of_tasks_have_the_numbers_of_the_protocol() -> None:
    assert {state.name: int(state) for state in TaskState} == TASK_STATES


# ---- restart supervisor: manager/orchestrator/restart/restart.go


@pytest.mark.parametrize(("cancel", "calls"), [("", [5]), ("cancel", [0]), ("cancel_all", [])])
def test_a_delayed_start_happens_once_or_is_cancelled(cancel: str, calls: list[int]) -> None:
    cluster = started_cluster()
    cluster.service("web")
    cluster.run(2)
    (task,) = cluster.store.tasks
    supervisor = restart.RestartSupervisor(cluster.store, lambda: "id")
    begin_ns, done = cluster.clock.now_ns, []
    supervisor.delay_start(
        None, task.id, 5 * NS_PER_S, wait_stop=False,
        on_done=lambda: done.append((cluster.clock.now_ns - begin_ns) // NS_PER_S),
    )  # fmt: skip
    if cancel == "cancel":
        supervisor.cancel(task.id)
    elif cancel:
        supervisor.cancel_all()
    cluster.run(20)
    assert done == calls


def test_a_private_key_is_encrypted_as_openssl_reads_it() -> None:
    serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")

    def private_value(serial: int, password: bytes) -> int:
        lines = x509.node_key(serial, password).splitlines()
        body = "".join(line for line in lines if not line.startswith("-") and ":" not in line)
        key = serialization.load_der_private_key(b64decode(body), password or None)
        return key.private_numbers().private_value

    assert private_value(7, b"password") == private_value(7, b"") != private_value(8, b"")


def test_task_states_have_swarmkits_numbers() -> None:
    # api/types.proto: enum TaskState, whose order decides and whose numbers are in Raft's log.
    numbers = {
        "NEW": 0, "PENDING": 64, "ASSIGNED": 192, "ACCEPTED": 256, "PREPARING": 320, "READY": 384, "STARTING": 448,
        "RUNNING": 512, "COMPLETE": 576, "SHUTDOWN": 640, "FAILED": 704, "REJECTED": 768, "REMOVE": 800,
        "ORPHANED": 832,
    }  # fmt: skip
    assert {state.name: int(state) for state in TaskState} == numbers


#: api/{types,specs,objects}.proto and api/defaults: what is not the zero value of its type when it is left out.
DEFAULTS: dict[str, object] = {
    "ClusterSpec.task_history_retention_limit": 5, "ClusterSpec.snapshot_interval": 10_000,
    "ClusterSpec.log_entries_for_slow_followers": 500, "ClusterSpec.heartbeat_tick": 1,
    "ClusterSpec.election_tick": 10, "ClusterSpec.heartbeat_period_ns": 5 * NS_PER_S,
    "ClusterSpec.node_cert_expiry_ns": 90 * DAY_S * NS_PER_S, "FileTarget.uid": "0", "FileTarget.gid": "0",
    "FileTarget.mode": 0o444, "PortConfig.protocol": "tcp", "Replicated.replicas": 1,
    "ReplicatedJob.max_concurrent": 1, "ReplicatedJob.total_completions": 1, "Certificate.state": "issued",
}  # fmt: skip


def test_a_field_that_is_left_out_has_its_zero_value_or_swarmkits_default() -> None:
    # proto3: a field that a message lacks is 0, False or empty
    fields = {
        f"{kind.__name__}.{field.name}": field.default
        for kind in vars(objects).values()
        if isinstance(kind, type) and attrs.has(kind)
        for field in attrs.fields(kind)
        if isinstance(field.default, bool | int | float | str) and not isinstance(field.default, Enum)
    }
    assert {name: default for name, default in fields.items() if default} == DEFAULTS

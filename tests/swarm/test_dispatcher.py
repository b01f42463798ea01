"""Sessions, heartbeats, and what nodes are told."""

import pytest
from attrs import evolve
from support.swarm_fakes import FakeCluster

from cnmsim.swarm.dispatcher import ManagerPeer
from cnmsim.swarm.errors import (
    InvalidSession,
    NodeNotRegistered,
    RpcAborted,
    RpcPermissionDenied,
    RpcUnavailable,
    RpcUnknown,
)
from cnmsim.swarm.manager.keymanager import GOSSIP, IPSEC
from cnmsim.swarm.objects import (
    Annotations,
    ConfigReference,
    ConfigSpec,
    ContainerSpec,
    FileTarget,
    NodeState,
    SecretReference,
    SecretSpec,
    TaskState,
    TaskStatus,
)


@pytest.fixture
def cluster():
    made = FakeCluster()
    made.add_nodes(2)
    made.run(1)
    return made


def test_heartbeats_come_every_five_seconds_give_or_take_a_half(cluster):
    agent = cluster.agents["node1"]
    periods = {cluster.manager.dispatcher.heartbeat(agent.node_id, agent._session_id) for _ in range(200)}
    assert 4.5 <= min(periods) < 4.6
    assert 5.4 < max(periods) <= 5.5


def test_who_speaks_without_a_session_is_refused(cluster):
    agent, dispatcher = cluster.agents["node1"], cluster.manager.dispatcher
    with pytest.raises(InvalidSession, match="code = InvalidArgument desc = session invalid"):
        dispatcher.heartbeat(agent.node_id, "wrong")
    with pytest.raises(NodeNotRegistered, match="code = NotFound desc = node not registered"):
        dispatcher.heartbeat("nobody", "wrong")
    with pytest.raises(RpcUnknown, match="node not found"):
        dispatcher.register("nobody", agent.description, "192.0.2.9")


def test_registering_too_often_is_refused(cluster):
    agent, dispatcher = cluster.agents["node1"], cluster.manager.dispatcher
    for _ in range(3):
        dispatcher.register(agent.node_id, agent.description, agent.address)
    with pytest.raises(RpcUnavailable, match="exceeded rate limit count of registrations"):
        dispatcher.register(agent.node_id, agent.description, agent.address)
    cluster.run(9)
    dispatcher.register(agent.node_id, agent.description, agent.address)


def test_a_manager_that_does_not_lead_refuses(cluster):
    agent, dispatcher = cluster.agents["node1"], cluster.manager.dispatcher
    cluster.manager.become_follower()
    with pytest.raises(RpcAborted, match="code = Aborted desc = dispatcher is stopped"):
        dispatcher.heartbeat(agent.node_id, agent._session_id)


def test_reports_of_another_nodes_tasks_are_refused(cluster):
    web = cluster.service("web", 1)
    cluster.run(2)
    task = cluster.tasks(web.id)[0]
    other = next(agent for agent in cluster.agents.values() if agent.node_id != task.node_id)
    with pytest.raises(RpcPermissionDenied, match="cannot update a task not assigned this node"):
        cluster.manager.dispatcher.update_task_status(
            other.node_id, other._session_id, [(task.id, TaskStatus(TaskState.FAILED))]
        )


def test_a_state_never_goes_back(cluster):
    web = cluster.service("web", 1)
    cluster.run(2)
    task = cluster.tasks(web.id)[0]
    agent = next(agent for agent in cluster.agents.values() if agent.node_id == task.node_id)
    cluster.manager.dispatcher.update_task_status(
        agent.node_id, agent._session_id, [(task.id, TaskStatus(TaskState.STARTING))]
    )
    cluster.run(1)
    assert cluster.store.tasks.get(task.id).state is TaskState.RUNNING


def test_reports_are_written_ten_times_a_second(cluster):
    web = cluster.service("web", 1)
    cluster.run(2)
    task = cluster.tasks(web.id)[0]
    agent = next(agent for agent in cluster.agents.values() if agent.node_id == task.node_id)
    cluster.run(0.03)
    agent.report([(task.id, TaskState.FAILED)])
    cluster.run(0.05)
    assert cluster.store.tasks.get(task.id).state is TaskState.RUNNING
    cluster.run(0.05)
    assert cluster.store.tasks.get(task.id).state is TaskState.FAILED


def test_the_first_message_holds_all_and_the_next_what_changed(cluster):
    web = cluster.service("web", 2)
    cluster.run(2)
    agent = cluster.agents["node1"]
    first, *rest = agent.messages
    assert (first.kind, first.applies_to, first.results_in, first.changes) == ("complete", "", "1", ())
    assert [(each.kind, each.applies_to, each.results_in) for each in rest] == [("incremental", "1", "2")]
    agent.down()
    agent.up()
    again = agent.messages[-1]
    assert again.kind == "complete"
    assert [(action, task.service_id) for action, task in again.changes] == [("update", web.id)]


def test_assignments_of_one_moment_go_out_together(cluster):
    cluster.service("web", 20)
    cluster.run(2)
    sizes = [len(message.changes) for message in cluster.agents["node1"].messages if message.kind == "incremental"]
    assert sizes == [10]


def test_secrets_go_where_their_tasks_are_and_before_them(cluster):
    control = cluster.manager.control
    secret = control.create_secret(SecretSpec(Annotations("key"), b"hush"))
    config = control.create_config(ConfigSpec(Annotations("conf"), b"x=1"))
    container = ContainerSpec(
        "alpine",
        secrets=(SecretReference(secret.id, "key", FileTarget("key")),),
        configs=(ConfigReference(config.id, "conf", FileTarget("/conf")),),
    )
    web = cluster.service("web", 1, container=container)
    cluster.run(2)
    task = cluster.tasks(web.id)[0]
    holder = next(agent for agent in cluster.agents.values() if agent.node_id == task.node_id)
    other = next(agent for agent in cluster.agents.values() if agent.node_id != task.node_id)
    assert [each.id for _, each in holder.messages[-1].changes] == [secret.id, config.id, task.id]
    assert holder.dependencies[secret.id].spec.data == b"hush"
    assert other.dependencies == {}
    control.remove_service(web.id)
    cluster.run(2)
    assert (holder.tasks, holder.dependencies) == ({}, {})


def test_sessions_tell_of_keys_managers_and_the_node(cluster):
    agent = cluster.agents["node2"]
    message = agent.sessions[-1]
    assert message.node.status.state is NodeState.READY
    assert message.root_ca.digest == "ab" * 32
    assert [(key.subsystem, len(key.key)) for key in message.keys] == [(GOSSIP, 16)] * 3 + [(IPSEC, 16)] * 3
    count = len(agent.sessions)
    node = cluster.store.nodes.get(agent.node_id)
    cluster.set_node(agent, annotations=evolve(node.spec.annotations, labels={"a": "b"}))
    cluster.run(0)
    assert len(agent.sessions) == count + 1
    assert agent.sessions[-1].node.spec.annotations.labels == {"a": "b"}


def test_every_agent_gets_a_new_list_of_managers_at_once(cluster: FakeCluster) -> None:
    # dispatcher.go: publishManagers, and the session's `managerUpdates`
    dispatcher, agents = cluster.manager.dispatcher, cluster.agents.values()
    counts = [len(agent.sessions) for agent in agents]
    managers = (ManagerPeer("one", "192.0.2.1:2377"), ManagerPeer("two", "192.0.2.2:2377"))
    dispatcher.set_managers(iter(managers))
    cluster.run(0)
    assert [len(agent.sessions) for agent in agents] == [count + 1 for count in counts]
    assert all(agent.sessions[-1].managers == managers for agent in agents)


def test_keys_are_replaced_every_twelve_hours_the_oldest_first(cluster):
    def rings():
        keys = cluster.store.cluster.network_bootstrap_keys
        return [sorted(key.lamport_time for key in keys if key.subsystem == each) for each in (GOSSIP, IPSEC)]

    gossip, ipsec = rings()
    assert gossip == list(range(gossip[0], gossip[0] + 3))
    assert ipsec == [time + 3 for time in gossip]
    cluster.run(12 * 3600 + 1)
    assert rings() == [[*gossip[1:], ipsec[2] + 1], [*ipsec[1:], ipsec[2] + 2]]
    assert cluster.agents["node2"].sessions[-1].keys == cluster.store.cluster.network_bootstrap_keys
    before = rings()
    cluster.manager.become_follower()
    cluster.manager.become_leader()
    assert rings() == before


def test_a_change_of_leader_makes_nodes_unknown_until_they_register(cluster):
    web = cluster.service("web", 2)
    cluster.run(2)
    silent = cluster.agents["node2"]
    silent.down()
    cluster.manager.become_follower()
    cluster.manager.become_leader()
    assert [node.status.state for node in cluster.store.nodes] == [NodeState.UNKNOWN] * 2
    cluster.run(2)
    assert cluster.node_state(cluster.agents["node1"]) is NodeState.READY
    cluster.run(24)
    assert cluster.node_state(silent) is NodeState.UNKNOWN
    assert len(cluster.tasks(web.id)) == 2
    cluster.run(8)
    assert cluster.node_state(silent) is NodeState.DOWN
    message = cluster.store.nodes.get(silent.node_id).status.message
    assert message == 'heartbeat failure for node in "unknown" state'


def test_the_grace_is_three_periods(cluster):
    agent = cluster.agents["node2"]
    cluster.manager.dispatcher.heartbeat(agent.node_id, agent._session_id)
    agent.down()
    cluster.run(13.4)
    assert cluster.node_state(agent) is NodeState.READY
    cluster.run(3.3)
    assert cluster.node_state(agent) is NodeState.DOWN

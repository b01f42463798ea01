"""After `lab.settle()` a swarm is one cluster that works, whatever happened to it before."""

import pytest

from cnmsim import Lab
from cnmsim.lab.state.statefile import restore_state, save_state
from cnmsim.libnetwork.networkdb.convergence import clusters_of, is_converged
from cnmsim.libnetwork.networkdb.databases import databases_of
from cnmsim.observe.diagnosis.verdict import Verdict

HOSTS = [f"node{number}" for number in range(1, 6)]


def make_lab(seed):
    lab = Lab(seed=seed)
    for number, name in enumerate(HOSTS, 1):
        lab.add_host(name, f"10.9.0.{number}/24", docker=True)
    lab.add_host("client", "10.9.0.100/24")
    return lab


def fill(lab):
    one = lab.host("node1").docker
    tokens = one.swarm.init(advertise_addr="10.9.0.1").tokens
    for number, name in enumerate(HOSTS[1:], 2):
        lab.host(name).docker.swarm.join(tokens.manager if number <= 3 else tokens.worker, "10.9.0.1:2377")
    one.services.create("nginx", name="web", mode="global", ports={8080: 80})
    lab.settle()
    return lab


def restore(lab, path):
    save_state(lab, path)
    again = make_lab(lab.clock.seed)
    restore_state(again, path)
    return again


def lose_power(lab, _path):
    for name in HOSTS:
        lab.host(name).power_off()
    lab.run(5)
    for name in HOSTS:
        lab.host(name).power_on()
    return lab


def part_and_heal(lab, _path):
    lab.partition(HOSTS[:2], HOSTS[2:])
    lab.run(40)
    lab.heal()
    return lab


def observed(lab):
    store = next(
        manager.store
        for name in HOSTS
        if (manager := lab.host(name).docker.cluster.manager_node) is not None and manager.raft.is_leading
    )
    return {task.id: task.state for task in store.tasks}, {node.hostname: node.status.state for node in store.nodes}


# Of these seeds gossip is split for longest.
@pytest.mark.parametrize(("disturb", "seed"), [(restore, 0), (lose_power, 0), (part_and_heal, 0)])
def test_a_settled_swarm_is_one_cluster_and_stays_as_it_is(tmp_path, disturb, seed):
    lab = disturb(fill(make_lab(seed)), tmp_path / "state")
    lab.settle()
    assert [len(cluster) for cluster in clusters_of(list(databases_of(lab.clock)))] == [len(HOSTS)]
    assert lab.settle(0) == 0
    before = observed(lab)
    for number in range(1, len(HOSTS) + 1):
        assert lab.host("client").curl(f"http://10.9.0.{number}:8080/").succeeded, number
    lab.run(70)
    assert observed(lab) == before


def test_nodes_that_cannot_gossip_are_named_and_not_waited_for_for_ever():
    lab = Lab()
    one, two = (lab.add_host(f"node{number}", f"10.9.0.{number}/24", docker=True) for number in (1, 2))
    for host in (one, two):
        for protocol in ("tcp", "udp"):
            assert host.exec(f"iptables -I INPUT -p {protocol} --dport 7946 -j DROP").status == 0
    two.docker.swarm.join(one.docker.swarm.init(advertise_addr="10.9.0.1").tokens.worker, "10.9.0.1:2377")
    with pytest.raises(TimeoutError, match=r"not settled after 30 s: node1 and node2 have not joined in gossip"):
        lab.settle(limit_s=30)
    assert 90 <= lab.settle() < 120


UFW = (
    "iptables -A INPUT -i lo -j ACCEPT",
    "iptables -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
    "iptables -A INPUT -p tcp --dport 2377 -j ACCEPT",
    "iptables -A INPUT -p tcp --dport 22 -j ACCEPT",
    "iptables -P INPUT DROP",
)
NFT = (
    "nft add table inet g",
    "nft 'add chain inet g input { type filter hook input priority 0; policy drop; }'",
    "nft add rule inet g input iif lo accept",
    "nft add rule inet g input ct state established,related accept",
    "nft add rule inet g input tcp dport { 22, 2377 } accept",
)
LEGACY = tuple(command.replace("iptables", "iptables-legacy") for command in UFW)


@pytest.mark.parametrize(
    ("commands", "filtered"),
    [
        pytest.param(UFW, ["node1", "node2"], id="policy of iptables on two of three nodes"),
        pytest.param(NFT, ["node1", "node2"], id="policy of nftables on two of three nodes"),
        pytest.param(LEGACY, ["node2"], id="policy of iptables-legacy on one of three nodes"),
        pytest.param(["iptables -A INPUT -p tcp --dport 7946 -j DROP"], ["node1", "node2"], id="TCP only"),
    ],
)
def test_a_swarm_with_filtered_gossip_settles_and_a_fork_with_open_ports_converges(commands, filtered):
    lab = Lab()
    nodes = [lab.add_host(f"node{number}", f"10.9.0.{number}/24", docker=True) for number in (1, 2, 3)]
    token = nodes[0].docker.swarm.init(advertise_addr="10.9.0.1").tokens.worker
    for node in nodes[1:]:
        node.docker.swarm.join(token, "10.9.0.1:2377")
    nodes[0].docker.networks.create("app", driver="overlay", attachable=True)
    nodes[0].docker.containers.run("busybox", "sleep 1d", name="box", network="app", detach=True)
    lab.settle()
    for name in filtered:
        for command in commands:
            assert lab.host(name).exec(command).status == 0, command
    lab.run(90)
    nodes[0].docker.services.create("nginx", name="web", networks=["app"], constraints=["node.hostname==node2"])
    assert lab.settle() < 180
    fork = lab.fork()
    for name in filtered:
        for protocol, port in (("tcp", 7946), ("udp", 7946), ("udp", 4789)):
            for program in ("iptables", "iptables-legacy"):
                fork.host(name).exec(f"{program} -I INPUT -p {protocol} --dport {port} -j ACCEPT")
        fork.host(name).exec("nft delete table inet g")
    fork.run(60)
    fork.settle()
    assert is_converged(fork.clock)
    assert fork.trace("box", "web:80").verdict is Verdict.ANSWERED

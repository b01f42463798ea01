"""Initial content of a new swarm's store: the cluster, its first manager, and the predefined networks.

Source: moby/swarmkit `manager/manager.go` (becomeLeader, defaultClusterObject, managerNode, newIngressNetwork),
vendored by moby docker-v29.7.2.
"""

from __future__ import annotations

from random import Random

from attrs import evolve

from cnmsim.swarm.ca.certificates import RootCa
from cnmsim.swarm.ca.join_token import join_token
from cnmsim.swarm.ca.server import root_to_store
from cnmsim.swarm.identity import new_id, new_unlock_key
from cnmsim.swarm.objects import (
    Annotations,
    Availability,
    Certificate,
    Cluster,
    ClusterSpec,
    Driver,
    IpamOptions,
    Network,
    NetworkSpec,
    Node,
    NodeRole,
    NodeSpec,
)
from cnmsim.swarm.store import Store

INGRESS_NAME = "ingress"
PREDEFINED_LABEL = "com.docker.swarm.predefined"
#: Node-local networks that services may use, as (name, driver) (moby
#: `libnetwork/cnmallocator/drivers_network_linux.go`).
PREDEFINED = (("bridge", "bridge"), ("host", "host"))


def bootstrap_cluster(
    store: Store,
    random: Random,
    root: RootCa,
    spec: ClusterSpec,
    *,
    pools: tuple[str, ...] | None,
    subnet_size: int,
    data_path_port: int,
    availability: Availability,
) -> str:
    """Create the objects of a new swarm in an empty store. Return the id of its first node, which is a manager.

    `root` is the root authority, `spec` the settings of the cluster. `pools`, `subnet_size`, `data_path_port` and
    `availability` (of the first node) are the options of `swarm init`.
    """
    node_id = new_id(random)
    cluster = Cluster(
        new_id(random),
        spec,
        root_ca=evolve(
            root_to_store(root),
            worker_token=join_token(random, root.digest),
            manager_token=join_token(random, root.digest),
        ),
        unlock_key=new_unlock_key(random) if spec.auto_lock_managers else b"",
        default_address_pool=pools,
        subnet_size=subnet_size,
        vxlan_udp_port=data_path_port,
    )
    node = Node(
        node_id,
        NodeSpec(desired_role=NodeRole.MANAGER, availability=availability),
        role=NodeRole.MANAGER,
        certificate=Certificate(NodeRole.MANAGER, node_id),
        vxlan_udp_port=data_path_port,
    )
    ingress = Network(
        new_id(random),
        NetworkSpec(Annotations(INGRESS_NAME), driver=Driver(), ingress=True, ipam=IpamOptions(driver=Driver())),
    )

    def fill(transaction: Store) -> None:
        transaction.create(cluster)
        transaction.create(node)
        transaction.create(ingress)
        for name, driver in PREDEFINED:
            labels = {PREDEFINED_LABEL: "true"}
            transaction.create(Network(new_id(random), NetworkSpec(Annotations(name, labels), driver=Driver(driver))))

    store.update(fill)
    return node_id

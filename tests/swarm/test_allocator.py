"""What networks, services, tasks and nodes are given, and what becomes of it."""

import pytest
from attrs import evolve
from support.swarm_fakes import FakeCluster

from cnmsim.swarm.errors import RpcFailedPrecondition
from cnmsim.swarm.objects import (
    Annotations,
    Driver,
    EndpointSpec,
    IpamConfig,
    IpamOptions,
    Network,
    NetworkAttachmentConfig,
    NetworkSpec,
    PortConfig,
    PublishMode,
    ResolutionMode,
    TaskState,
)

VXLAN_IDS = "com.docker.network.driver.overlay.vxlanid_list"


def port(target, published=0, mode=PublishMode.INGRESS, protocol="tcp"):
    return PortConfig("", protocol, target, published, mode)


def subnet(network):
    return network.ipam.configs[0].subnet


def vni(network):
    return network.driver_state.options[VXLAN_IDS]


def ingress(cluster):
    return cluster.manager.control.find_network("ingress")


def addresses(task):
    return [attachment.addresses[0] for attachment in task.networks]


def vips(cluster, service):
    return [vip.addr for vip in cluster.store.services.get(service.id).endpoint.virtual_ips]


def ports(cluster, service):
    return [each.published_port for each in cluster.store.services.get(service.id).endpoint.ports]


def test_ingress_comes_first_then_networks_in_order():
    cluster = FakeCluster()
    one, two = cluster.network("one"), cluster.network("two")
    assert [(subnet(each), vni(each)) for each in (ingress(cluster), one, two)] == [
        ("10.0.0.0/24", "4096"),
        ("10.0.1.0/24", "4097"),
        ("10.0.2.0/24", "4098"),
    ]
    assert one.ipam.configs[0].gateway == "10.0.1.1"
    assert (one.driver_state.name, one.ipam.driver.name) == ("overlay", "default")


@pytest.mark.parametrize(("version", "expected"), [("26.1.5", "10.0.3.0/24"), ("29.7.2", "10.0.1.0/24")])
def test_a_freed_subnet_comes_back_at_once_or_when_all_others_were_used(version, expected):
    cluster = FakeCluster(version=version)
    one = cluster.network("one")
    cluster.network("two")
    cluster.manager.control.remove_network(one.id)
    cluster.run(0)
    three = cluster.network("three")
    assert subnet(three) == expected
    assert vni(three) == "4099"


def test_pools_given_at_init():
    cluster = FakeCluster(pools=("10.20.0.0/16", "10.30.0.0/16"), subnet_size=20)
    assert subnet(ingress(cluster)) == "10.20.0.0/20"
    assert subnet(cluster.network("one")) == "10.20.16.0/20"


def test_one_cursor_serves_vips_tasks_and_nodes():
    cluster = FakeCluster()
    cluster.add_nodes(1)
    cluster.run(1)
    network = cluster.network("web-net")
    service = cluster.service("web", 2, networks=(network,), ports=(port(80, 8080),))
    cluster.run(2)
    assert vips(cluster, service) == ["10.0.0.3/24", "10.0.1.2/24"]
    assert [addresses(task) for task in cluster.tasks(service.id)] == [
        ["10.0.0.4/24", "10.0.1.3/24"],
        ["10.0.0.5/24", "10.0.1.4/24"],
    ]
    node = next(iter(cluster.store.nodes))
    assert [(each.network.name, each.addresses) for each in node.attachments] == [
        ("ingress", ("10.0.0.2/24",)),
        ("web-net", ("10.0.1.5/24",)),
    ]


def test_a_replacement_gets_the_next_address_and_the_vip_stays():
    cluster = FakeCluster()
    agent = cluster.add_nodes(1)[0]
    cluster.run(1)
    network = cluster.network("web-net")
    service = cluster.service("web", 1, networks=(network,))
    cluster.run(2)
    before, vip = cluster.tasks(service.id)[0], vips(cluster, service)
    agent.report([(before.id, TaskState.FAILED)])
    cluster.run(8)
    after = cluster.tasks(service.id)[0]
    assert (addresses(before), addresses(after)) == (["10.0.1.3/24"], ["10.0.1.5/24"])
    assert vips(cluster, service) == vip


def test_a_node_gives_its_address_back_with_the_last_task():
    cluster = FakeCluster()
    cluster.add_nodes(2)
    cluster.run(1)
    network = cluster.network("web-net")
    service = cluster.service("web", 2, networks=(network,))
    cluster.run(2)
    assert all(len(node.attachments) == 2 for node in cluster.store.nodes)
    cluster.scale(service.id, 1)
    cluster.run(2)
    assert sorted(len(node.attachments) for node in cluster.store.nodes) == [1, 2]
    cluster.manager.control.remove_service(service.id)
    cluster.run(2)
    assert cluster.manager.allocator.networks.addresses_in_use(network.id) == 0
    assert [len(node.attachments) for node in cluster.store.nodes] == [1, 1]


def test_published_ports_are_serial_and_stay_across_updates():
    cluster = FakeCluster()
    first = cluster.service("first", 0, ports=(port(80), port(81)))
    second = cluster.service("second", 0, ports=(port(80),))
    cluster.run(0)
    assert (ports(cluster, first), ports(cluster, second)) == ([30000, 30001], [30002])
    cluster.update(first.id, endpoint=EndpointSpec(ports=(port(80), port(82))))
    cluster.run(0)
    assert ports(cluster, first) == [30000, 30003]
    cluster.manager.control.remove_service(second.id)
    third = cluster.service("third", 0, ports=(port(80), port(53, protocol="udp")))
    cluster.run(0)
    assert ports(cluster, third) == [30004, 30000]


def test_a_new_host_port_leaves_ingress_ports_and_virtual_ips_as_they_are() -> None:
    # updatePortsInHostPublishMode of swarmkit's allocator/network.go
    cluster = FakeCluster()
    network = cluster.network("one")
    service = cluster.service("web", 0, networks=(network,), ports=(port(80), port(53, 5353, PublishMode.HOST)))
    cluster.run(0)
    before = cluster.store.services.get(service.id).endpoint
    assert before is not None
    assert [vip.addr for vip in before.virtual_ips] == ["10.0.0.2/24", "10.0.1.2/24"]
    changed = EndpointSpec(ports=(port(80), port(53, 5354, PublishMode.HOST)))
    cluster.update(service.id, endpoint=changed)
    cluster.run(0)
    after = cluster.store.services.get(service.id).endpoint
    assert after is not None
    assert after.virtual_ips == before.virtual_ips
    assert [(each.publish_mode, each.published_port) for each in after.ports] == [
        (PublishMode.INGRESS, 30000), (PublishMode.HOST, 5354),
    ]  # fmt: skip
    assert after.spec == changed


def test_a_chosen_port_of_the_dynamic_range_moves_no_cursor():
    cluster = FakeCluster()
    chosen = cluster.service("chosen", 0, ports=(port(80, 30001),))
    other = cluster.service("other", 0, ports=(port(80), port(81)))
    cluster.run(0)
    assert (ports(cluster, chosen), ports(cluster, other)) == ([30001], [30000, 30002])


def test_everything_is_given_back_when_services_go():
    cluster = FakeCluster()
    cluster.add_nodes(3)
    cluster.run(1)
    networks = [cluster.network("one"), cluster.network("two")]
    services = [cluster.service(f"s{n}", 4, networks=tuple(networks), ports=(port(80), port(443))) for n in range(3)]
    cluster.run(3)
    for service in services:
        cluster.manager.control.remove_service(service.id)
    cluster.run(3)
    allocator = cluster.manager.allocator
    assert allocator.ports.in_use == 0
    assert [allocator.networks.addresses_in_use(each.id) for each in networks] == [0, 0]
    assert allocator.networks.addresses_in_use(ingress(cluster).id) == 3  # the nodes'
    for network in networks:
        cluster.manager.control.remove_network(network.id)


def test_dnsrr_frees_the_vip():
    cluster = FakeCluster()
    network = cluster.network("web-net")
    service = cluster.service("web", 0, networks=(network,))
    cluster.run(0)
    assert vips(cluster, service) == ["10.0.1.2/24"]
    cluster.update(service.id, endpoint=EndpointSpec(ResolutionMode.DNSRR))
    cluster.run(0)
    assert vips(cluster, service) == []
    assert cluster.manager.allocator.networks.addresses_in_use(network.id) == 0


def test_vips_follow_the_networks_of_the_spec():
    cluster = FakeCluster()
    one, two = cluster.network("one"), cluster.network("two")
    service = cluster.service("web", 0, networks=(one,), ports=(port(80, 8080),))
    cluster.run(0)
    spec = cluster.store.services.get(service.id).spec
    cluster.update(service.id, task=evolve(spec.task, networks=(NetworkAttachmentConfig(two.id),)))
    cluster.run(0)
    assert vips(cluster, service) == ["10.0.0.2/24", "10.0.2.2/24"]
    cluster.update(service.id, endpoint=EndpointSpec())
    cluster.run(0)
    assert vips(cluster, service) == ["10.0.2.2/24"]
    assert ports(cluster, service) == []


def test_tasks_wait_for_addresses_and_go_on_when_some_come_back():
    cluster = FakeCluster()
    cluster.add_nodes(1)
    cluster.run(1)
    network = cluster.network("tiny", subnet="10.9.0.0/29")  # six: the gateway, the node, two VIPs, two tasks
    first = cluster.service("first", 2, networks=(network,))
    cluster.run(3)
    second = cluster.service("second", 1, networks=(network,))
    cluster.run(3)
    assert len(cluster.tasks(first.id)) == 2
    waiting = cluster.store.tasks.by_service(second.id)[0]
    assert waiting.state is TaskState.NEW
    assert "could not find an available IP" in cluster.manager.allocator.failures[waiting.id]
    cluster.scale(first.id, 1)
    cluster.run(3)
    assert len(cluster.tasks(second.id)) == 1


def test_a_subnet_that_overlaps_another_waits_until_that_is_gone():
    cluster = FakeCluster()
    one = cluster.network("one", subnet="10.9.0.0/16")
    two = cluster.network("two", subnet="10.9.1.0/24")
    assert two.ipam is None
    assert "overlaps with other one" in cluster.manager.allocator.failures[two.id]
    cluster.manager.control.remove_network(one.id)
    cluster.run(0)
    assert subnet(cluster.manager.control.get_network(two.id)) == "10.9.1.0/24"
    assert cluster.manager.allocator.failures == {}


def test_a_chosen_vxlan_id_is_kept_and_not_given_twice():
    cluster = FakeCluster()

    def make(name, ids):
        spec = NetworkSpec(Annotations(name), Driver("overlay", {VXLAN_IDS: ids}))
        made = cluster.manager.control.create_network(spec)
        cluster.run(0)
        return cluster.manager.control.get_network(made.id)

    one, two = make("one", "4200"), make("two", "4200")
    assert vni(one) == "4200"
    assert two.driver_state is None
    assert "requested bit is already allocated" in "".join(cluster.manager.allocator.failures.values())
    assert make("three", "x").driver_state is None
    assert vni(cluster.network("four")) == "4097"
    cluster.manager.control.remove_network(one.id)
    cluster.run(0)
    assert vni(cluster.manager.control.get_network(two.id)) == "4200"


def test_vxlan_ids_are_released_when_one_of_them_is_in_use() -> None:
    # swarmkit manager/allocator/cnmallocator; moby libnetwork/drivers/overlay/ovmanager, NetworkAllocate
    cluster = FakeCluster()

    def make(name: str, ids: str, *subnets: str) -> Network:
        ipam = IpamOptions(configs=tuple(IpamConfig(subnet) for subnet in subnets))
        spec = NetworkSpec(Annotations(name), Driver("overlay", {VXLAN_IDS: ids}), ipam=ipam)
        network = cluster.manager.control.create_network(spec)
        cluster.run(0)
        return cluster.manager.control.get_network(network.id)

    make("one", "4301", "10.8.0.0/24")
    two = make("two", "4300,4301", "10.9.0.0/24", "10.9.1.0/24")
    assert "could not assign vxlan id 4301" in cluster.manager.allocator.failures[two.id]
    assert vni(make("three", "4300", "10.7.0.0/24")) == "4300"


def test_a_new_leader_finds_all_as_it_was_and_starts_at_the_bottom():
    cluster = FakeCluster()
    cluster.add_nodes(2)
    cluster.run(1)
    network = cluster.network("web-net")
    service = cluster.service("web", 3, networks=(network,), ports=(port(80),))
    cluster.run(3)
    cluster.scale(service.id, 2)
    cluster.run(3)
    before = {task.id: addresses(task) for task in cluster.tasks(service.id)}
    in_use = cluster.manager.allocator.networks.addresses_in_use(network.id)
    cluster.manager.become_follower()
    cluster.manager.become_leader()
    cluster.run(10)
    assert {task.id: addresses(task) for task in cluster.tasks(service.id)} == before
    assert cluster.manager.allocator.networks.addresses_in_use(network.id) == in_use
    assert ports(cluster, service) == [30000]
    cluster.scale(service.id, 3)
    cluster.run(3)
    new = next(task for task in cluster.tasks(service.id) if task.id not in before)
    # The one given back by the task that went is the lowest free one.
    assert addresses(new)[1] == "10.0.1.5/24"


def test_ingress_can_be_replaced():
    cluster = FakeCluster()
    agents = cluster.add_nodes(2)
    cluster.run(1)
    cluster.manager.control.remove_network(ingress(cluster).id)
    cluster.run(1)
    assert [node.attachments for node in cluster.store.nodes] == [(), ()]
    with pytest.raises(RpcFailedPrecondition, match="no ingress network is present"):
        cluster.service("web", 1, ports=(port(80),))
    cluster.network("front", subnet="10.11.0.0/16", ingress=True)
    cluster.run(1)
    # A node takes part in the new one with its next change, or with that of a task it has.
    assert [node.attachments for node in cluster.store.nodes] == [(), ()]
    web = cluster.service("web", 1, ports=(port(80),))
    cluster.run(5)
    (task,) = cluster.store.tasks.by_service(web.id)
    assert task.networks[0].addresses == ("10.11.0.3/16",)
    attached = {node.id: node.attachments for node in cluster.store.nodes}
    assert attached.pop(task.node_id)[0].addresses == ("10.11.0.4/16",)
    assert [*attached.values()] == [()]
    (other,) = attached
    cluster.store.update(lambda tx: tx.replace(cluster.store.nodes.get(other)))
    cluster.run(1)
    assert cluster.store.nodes.get(other).attachments[0].addresses == ("10.11.0.5/16",)
    assert len(agents) == 2

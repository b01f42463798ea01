"""Networks of tasks on a node: deleted with the last container, and created again for a waiting task."""

from cnmsim import Lab


def test_a_task_held_back_while_its_network_goes_makes_it_again():
    lab = Lab()
    node = lab.add_host("node1", "10.0.0.11/24", docker=True)
    node.docker.swarm.init(advertise_addr="10.0.0.11")
    node.docker.networks.create("net", driver="overlay")
    node.exec("ip link add vx-001001-old type vxlan id 4097 dstport 4789 dev eth0")
    service = node.docker.services.create("nginx", name="web", networks=["net"])
    lab.run(30)  # tasks that were rejected are forgotten, and each takes the network with it
    assert {task["Status"]["State"] for task in service.tasks()} == {"rejected"}
    node.exec("ip link del vx-001001-old")
    lab.run(12)
    states = [(task["Status"]["State"], task["DesiredState"]) for task in service.tasks()]
    assert states.count(("running", "running")) == 1
    assert {state for state, wanted in states if wanted != "running"} == {"rejected"}

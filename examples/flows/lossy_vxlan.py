"""An overlay network whose underlay loses two frames in a hundred: what UDP loses, TCP sends again."""

from cnmsim import Lab

lab = Lab()
lab.add_segment("lan", "10.0.0.0/24")
one = lab.add_host("node1", "10.0.0.1/24", docker=True)
two = lab.add_host("node2", "10.0.0.2/24", docker=True)
token = one.docker.swarm.init(advertise_addr="10.0.0.1").tokens.worker
two.docker.swarm.join(token, "10.0.0.1:2377")
lab.settle()
one.docker.networks.create("blue", driver="overlay", attachable=True)
one.docker.containers.run("alpine", "sleep infinity", name="c1", network="blue", detach=True)
two.docker.containers.run("alpine", "sleep infinity", name="c2", network="blue", detach=True)
lab.settle()

lab.segment("lan").configure(loss=0.02)
print(lab.flow("c1", "c2:5000", rate_bps=8e6, count=2000))
print()
print(lab.flow("c1", "c2:5001", protocol="tcp", size=1000, count=2000))

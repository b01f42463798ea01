"""Two Docker hosts behind a router form a swarm; a service spans both, and every packet between its tasks is sent by
VXLAN.
"""

from cnmsim import Lab

lab = Lab()
node1 = lab.add_host("node1", "172.31.1.5/24", gateway="172.31.1.1", docker=True)
node2 = lab.add_host("node2", "192.168.1.25/24", gateway="192.168.1.1", docker=True)
lab.add_router("router", "172.31.1.1/24", "192.168.1.1/24")

# A swarm of two nodes: the second joins through the router, with the token of the first.
token = node1.docker.swarm.init(advertise_addr="172.31.1.5").tokens.worker
node2.docker.swarm.join(token, "172.31.1.5:2377")

# An overlay network belongs to the whole swarm, but a node without a task on it does not have it yet.
node1.docker.networks.create("uber-net", driver="overlay")
print("before:", [each.name for each in node2.docker.networks.list() if each.name == "uber-net"])
test = node1.docker.services.create("alpine", "sleep 1d", name="test", networks=["uber-net"], replicas=2)
print(f"up in {lab.settle():.1f} s of virtual time")
print("after:", [each.name for each in node2.docker.networks.list() if each.name == "uber-net"])

# One task on each node, each with an address of 10.0.1.0/24.
for task in test.tasks():
    node = node1.docker.nodes.get(task["NodeID"]).hostname
    print(f"test.{task['Slot']} on {node}: {task['NetworksAttachments'][0]['Addresses'][0]}")

# The tasks are neighbours on the overlay: one hop, and no trace of the router between the hosts.
first, second = lab["test.1"], lab["test.2"]
wire = lab.capture("router:eth0")
print(first.exec_run(["ping", "-c", "1", second.name]).output.decode())
print(first.exec_run(["traceroute", "-n", second.name]).output.decode())

# Between the hosts it is UDP to port 4789; outer and inner addresses are both in the frame.
wire.stop()
frame = next(each for each in wire.packets if each.haslayer("VXLAN") and each.haslayer("ICMP"))
outer, inner = frame["IP"], frame["VXLAN"].payload["IP"]
print(f"outer {outer.src} > {outer.dst} port {frame['UDP'].dport}, VNI {frame['VXLAN'].vni}")
print(f"inner {inner.src} > {inner.dst}")

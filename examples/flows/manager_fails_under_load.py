"""The leader of a swarm is unplugged while clients use the routing mesh through another node."""

from cnmsim import Flow, Lab

lab = Lab()
nodes = [lab.add_host(f"node{number}", f"172.31.1.{number}/24", docker=True) for number in (1, 2, 3)]
lab.add_host("client", "172.31.1.50/24")
token = nodes[0].docker.swarm.init(advertise_addr="172.31.1.1").tokens.manager
for node in nodes[1:]:
    node.docker.swarm.join(token, "172.31.1.1:2377")
nodes[0].docker.services.create("nginx", name="web", ports={8080: 80}, replicas=3)
lab.settle()

# One new connection every tenth of a second for 30 seconds, through node2.
running = lab.start_flows(
    Flow("client", "node2:8080", protocol="tcp", count=1, start_s=number / 10) for number in range(300)
)
lab.run(5)
lab.cut("node1")
report = running.finish(limit_s=60)

answered = [flow for flow in report if flow.delivered]
print(f"{len(answered)} of {len(report)} connections were answered")
for second in range(0, 30, 3):
    flows = [flow for flow in report if second <= flow.begun_s < second + 3]
    late = sum(1 for flow in flows if flow.duration_s > 0.5 or not flow.delivered)
    print(f"{second:2d} s  {'█' * (len(flows) - late)}{'░' * late}")
members = nodes[1].docker.nodes.list()
leader = next(node.hostname for node in members if node.attrs.get("ManagerStatus", {}).get("Leader"))
print("the leader is now", "another node" if leader != "node1" else leader)

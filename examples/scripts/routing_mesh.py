"""One replica on one of four nodes: a client connects to each node in turn, and each answers."""

from cnmsim import Lab

lab = Lab()
nodes = [lab.add_host(f"node{number}", f"172.31.1.{number}/24", docker=True) for number in (1, 2, 3, 4)]
client = lab.add_host("client", "172.31.1.50/24")
token = nodes[0].docker.swarm.init(advertise_addr="172.31.1.1").tokens.worker
for node in nodes[1:]:
    node.docker.swarm.join(token, "172.31.1.1:2377")

web = nodes[0].docker.services.create("nginx", name="web", ports={8080: 80})
lab.settle()
task = web.tasks()[0]
print(f"web.1 runs on {nodes[0].docker.nodes.get(task['NodeID']).hostname}")
for node in nodes:
    print(f"{node.name} answers:", client.curl(f"http://{node.address}:8080/cgi-bin/whoami").output.strip())

# The task does not see the client's address: each node's load balancer connects from its own address on the ingress
# network.
walk = lab.trace("client", "node3:8080")
print("by way of:", ", ".join(dict.fromkeys(hop.place for hop in walk.hops if hop.packet == "TCP SYN")))
print(walk.finding.remark_texts[-1])

# A port in host mode is open only on nodes with a task, and the task sees the client's address.
nodes[0].docker.services.create("nginx", name="direct", ports={9090: (80, "tcp", "host")})
lab.settle()
for node in nodes:
    answer = client.curl(f"http://{node.address}:9090/cgi-bin/whoami").output.strip()
    print(f"{node.name} port 9090:", answer or "connection refused")

# After scaling up, a node distributes connections in turn; a drained node still answers with tasks on the others.
web.scale(4)
nodes[0].docker.nodes.get("node3").update(Availability="drain")
print(f"settled again in {lab.settle():.1f} s")
answers = [client.curl("http://172.31.1.3:8080/cgi-bin/whoami").output.split()[0] for _ in range(8)]
print(
    f"node3, which is drained, had {len(set(answers))} tasks answer 8 requests:",
    sorted(map(answers.count, set(answers))),
)

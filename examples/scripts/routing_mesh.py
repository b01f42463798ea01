"""One replica on one of four nodes: a client connects to each node in turn, and each answers."""

from cnmsim import Lab

lab = Lab()
nodes = [lab.add_host(f"node{number}", f"172.31.1.{number}/24", docker=True) for number in (1, 2, 3, 4)]
client = lab.add_host("client", "172.31.1.50/24")
token = nodes[0].docker.swarm.init(advertise_addr="172.31.1.1").tokens.worker
for node in nodes[1:]:
    node.docker.swarm.join(token, "172.31.1.1:2377")


def whoami(address: str, port: int) -> dict[str, str]:
    """Return the lines of the page that shows which container answered which client."""
    page = client.curl(f"http://{address}:{port}/").output
    return dict(line.split(": ", 1) for line in page.splitlines() if ": " in line)


web = nodes[0].docker.services.create("traefik/whoami", name="web", ports={8080: 80})
lab.settle()
task = web.tasks()[0]
print(f"web.1 runs on {nodes[0].docker.nodes.get(task['NodeID']).hostname}")
for node in nodes:
    page = whoami(node.address, 8080)
    print(f"{node.name} answers: {page['Hostname']} was asked by {page['RemoteAddr']}")

# The task does not see the client's address: each node's load balancer connects from its own address on the ingress
# network.
walk = lab.trace("client", "node3:8080")
print("by way of:", ", ".join(dict.fromkeys(hop.place for hop in walk.hops if hop.packet == "TCP SYN")))
print(walk.finding.remark_texts[-1])

# A port in host mode is open only on nodes with a task, and the task sees the client's address.
nodes[0].docker.services.create("traefik/whoami", name="direct", ports={9090: (80, "tcp", "host")})
lab.settle()
for node in nodes:
    print(f"{node.name} port 9090:", whoami(node.address, 9090).get("RemoteAddr", "connection refused"))

# After scaling up, a node distributes connections in turn; a drained node still answers with tasks on the others.
web.scale(4)
nodes[0].docker.nodes.get("node3").update(Availability="drain")
print(f"settled again in {lab.settle():.1f} s")
answers = [whoami("172.31.1.3", 8080)["Hostname"] for _ in range(8)]
print(
    f"node3, which is drained, had {len(set(answers))} tasks answer 8 requests:",
    sorted(map(answers.count, set(answers))),
)

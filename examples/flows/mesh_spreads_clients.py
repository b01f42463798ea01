"""The routing mesh spreads 300 connections over five replicas: a bar a replica."""

from cnmsim import Flow, Lab

lab = Lab()
nodes = [lab.add_host(f"node{number}", f"172.31.1.{number}/24", docker=True) for number in (1, 2, 3)]
lab.add_host("client", "172.31.1.50/24")
token = nodes[0].docker.swarm.init(advertise_addr="172.31.1.1").tokens.worker
for node in nodes[1:]:
    node.docker.swarm.join(token, "172.31.1.1:2377")
nodes[0].docker.services.create("nginx", name="web", ports={8080: 80}, replicas=5)
lab.settle()

report = lab.flows(
    Flow("client", f"node{1 + number % 3}:8080", protocol="tcp", count=1, start_s=number * 0.01)
    for number in range(300)
)
for replica, count in sorted(report.receivers.items()):
    print(f"{replica.split('.')[1]:>2}  {'█' * (count // 2)} {count}")

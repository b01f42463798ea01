"""Packets to a published port do not pass the host's INPUT chain; they can be dropped in DOCKER-USER."""

from cnmsim import Lab

lab = Lab()
node = lab.add_host("node1", "10.0.0.15/24", docker=True)
client = lab.add_host("client", "10.0.0.50/24")
node.docker.containers.run("nginx", name="web", ports={"80/tcp": 8080}, detach=True)
lab.settle()

node.iptables("-P INPUT DROP")
print("INPUT closed:      ", lab.trace(client, "10.0.0.15:8080").finding)

node.iptables("-I DOCKER-USER -s 10.0.0.50 -j DROP")
print("DOCKER-USER closed:", lab.trace(client, "10.0.0.15:8080").finding)
print(node.iptables("-S DOCKER-USER"))

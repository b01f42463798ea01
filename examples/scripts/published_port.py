"""The walk of a packet to a published port: the original destination address, and the translated one."""

from cnmsim import Lab

lab = Lab(nameserver="203.0.113.10")
lab.add_router("router", "10.0.0.1/24", "203.0.113.1/24")
lab.add_host("server", "203.0.113.10/24", gateway="203.0.113.1", web=True, names={"www.example.com": "203.0.113.10"})
node = lab.add_host("node1", "10.0.0.15/24", gateway="10.0.0.1", docker=True)
client = lab.add_host("client", "10.0.0.50/24", gateway="10.0.0.1")
node.docker.containers.run("traefik/whoami", name="web", ports={"80/tcp": 8080}, detach=True)
lab.settle()

print(lab.trace(client, "10.0.0.15:8080"))
print(client.curl("http://10.0.0.15:8080/").output)
print(node.exec("iptables-save -t nat").output)

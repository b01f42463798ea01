"""Two containers on a user-defined network: names, addresses, and the walk of one packet."""

from cnmsim import Lab

lab = Lab()
node = lab.add_host("node1", "10.0.0.15/24", docker=True)
node.docker.networks.create("shop")
web = node.docker.containers.run("nginx", name="web", network="shop", detach=True)
app = node.docker.containers.run("alpine", "sleep 1d", name="app", network="shop", detach=True)
lab.settle()
print(app.exec_run("wget -qO- http://web/").output.decode())
print(lab.trace("app", "web:80"))

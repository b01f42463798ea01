"""An encrypted overlay network between two hosts, and a service with a virtual address, without a swarm."""

from cnmsim import Lab, cnm

lab = Lab()
cluster = cnm.join([lab.controller("node1"), lab.controller("node2")])
nets = cluster.new_network("red", encrypted=True, load_balancer=True)
vip = nets["node1"].reserve_address()
for number, (host, net) in enumerate(nets.items(), 1):
    task = lab.controller(host).new_sandbox(f"web{number}")
    endpoint = net.create_endpoint(task.name, aliases=[task.name])
    endpoint.join(task)
    task.start("nc -lk -p 80 -e hostname")
    net.add_service_binding("web", endpoint, virtual_ip=vip)
client = lab.controller("node1").new_sandbox("client")
nets["node1"].create_endpoint("client").join(client)
cluster.settle()

print(client.resolver.lookup("web"))
print(client.resolver.lookup("tasks.web"))
with lab.capture("node1:eth0") as capture:
    print("answered by", *sorted({client.exec("nc web 80").output.strip() for _ in range(4)}))
print("on the wire:", *sorted({line.split()[3] for line in str(capture).splitlines()[2:]}))
print(*nets["node1"].balancer.backends, sep="\n")

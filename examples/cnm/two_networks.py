"""The container network model without an engine: sandboxes a, b and c on the networks blue and green.

b is on both. a and c reach b, and not each other, unless b forwards packets between its two endpoints.
"""

from cnmsim import Lab

lab = Lab()
controller = lab.controller()
blue = controller.new_network("blue", subnet="172.18.0.0/16")
green = controller.new_network("green", subnet="172.19.0.0/16")
for name, networks in {"a": [blue], "b": [blue, green], "c": [green]}.items():
    sandbox = controller.new_sandbox(name)
    for network in networks:
        network.create_endpoint(name, aliases=[name]).join(sandbox)
a, b, c = controller.sandboxes
print(*controller.networks, a, b, c, sep="\n")

print("a reaches b:", lab.trace(a, b).is_reachable)
print("c reaches b:", lab.trace(c, b).is_reachable)
print("a reaches c:", lab.trace(a, c).is_reachable)
print(lab.explain(a, c).decided_by)

# b as a router: its own kernel forwards, and its neighbours have a route through it.
a.exec(f"ip route add {green.subnets[0]} via {b.endpoints[0].address.ip}")
c.exec(f"ip route add {blue.subnets[0]} via {b.endpoints[1].address.ip}")
for forwards in (0, 1):
    b.exec(f"sysctl -w net.ipv4.ip_forward={forwards}")
    print(f"a reaches c through b with ip_forward={forwards}:", lab.trace(a, c).is_reachable)

for sandbox in controller.sandboxes:
    sandbox.delete()
for network in controller.networks:
    network.delete()
print(controller, "- devices:", *controller.machine.root.devices)

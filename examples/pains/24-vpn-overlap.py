"""A new network hides the VPN.

Since a project was started, a machine behind the VPN no longer answers this host.
"""

from house import lan


def build():
    lab = lan()
    lab.add_router("vpn", "10.0.0.7/24", "192.168.77.1/24")
    lab.add_host("wiki", "192.168.77.9/24", gateway="192.168.77.1", web=True)
    lab.host("node1").exec("ip route add 192.168.0.0/16 via 10.0.0.7")
    lab.host("node1").docker.networks.create("project", subnet="192.168.77.0/24")
    lab.host("node1").docker.containers.run("nginx", name="web", network="project", detach=True)
    lab.settle()
    return lab


def ask(lab):
    return lab.explain("node1", "192.168.77.9", "tcp/80")


SAYS = ("no, unreachable", "which is wiki, on its own network project")
THEN = ("yes, answered",)

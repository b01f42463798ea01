"""Since Engine 28, containers are not reachable at their own addresses.

The client has a route to the container network, and with Engine 26 it worked for published ports. After the upgrade
connections time out.
"""

from house import lan, run


def build():
    lab = lan("29.7.2")
    lab.host("node1").docker.networks.create("app")
    run(lab, "web", network="app", ports={"80/tcp": 8080})
    return lab


def ask(lab):
    return lab.explain("client", "172.18.0.2", "tcp/80")


def fix(lab):
    """Make the network a routed one: `-o com.docker.network.bridge.gateway_mode_ipv4=routed`."""
    docker = lab.host("node1").docker
    lab.container("web").remove(force=True)
    docker.networks.get("app").remove()
    docker.networks.create(
        "app", options={"com.docker.network.bridge.gateway_mode_ipv4": "routed"}, subnet="172.18.0.0/16"
    )
    run(lab, "web", network="app", ports={"80/tcp": None})


SAYS = ("no, timeout", "raw PREROUTING", "cannot be reached from outside its host")
THEN = ("yes, answered",)

"""One client always reaches the same task, however many there are.

The service was scaled to two tasks, but all connections that come through one proxy, or from a load test with few
source ports, are answered by one of them.
"""

from house import swarm

BALANCER = "nsenter --net=/var/run/docker/netns/ingress_sbox"


def build():
    lab = swarm()
    lab.host("node1").docker.services.create("nginx", name="web", replicas=2, ports={8080: 80})
    lab.settle()
    return lab


def ask(lab):
    client, who = lab.host("client"), []
    for _ in range(4):
        with lab.watch("client") as walk:
            client.exec("curl -s -H 'Connection: close' --local-port 40000 http://10.1.0.11:8080/")
        lab.run(1)
        who.append(".".join(walk.finding.cause_text.split(".")[:2]))
    return f"four requests from port 40000 are answered by {', '.join(who)}\n{walk.finding}"


def fix(lab):
    """Use many source ports on the clients, or keep connections open. Otherwise set the sysctl to 1 on the nodes that
    the clients connect to; this lasts until the sandbox of the routing mesh is recreated. Docker sets it to 0 for a
    reason: with 1, a kernel before 5.9 drops the first packet of a connection that reuses a port, so each such
    connection takes a second longer.
    """
    lab.host("node1").exec(f"{BALANCER} sysctl -w net.ipv4.vs.conn_reuse_mode=1")


SAYS = ("web.2, web.2, web.2, web.2", "ingress-sbox does not balance this connection", "conn_reuse_mode = 0")
THEN = ("web.1, web.2, web.1, web.2",)

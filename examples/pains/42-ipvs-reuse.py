"""One client always meets the same task, however many there are.

The service was scaled to two tasks, and still everything that comes through one proxy, or from a load test with few source ports, is
answered by one of them.
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
            client.exec("curl -s --local-port 40000 http://10.1.0.11:8080/")
        lab.run(1)
        who.append(".".join(walk.finding.cause_text.split(".")[:2]))
    return f"four requests from port 40000 are answered by {', '.join(who)}\n{walk.finding}"


def fix(lab):
    """Have clients use many ports, or keep their connections open. If they cannot, set the switch to 1 on the nodes they ask, until the
    sandbox of the routing mesh is made anew. Docker has reasons to set it to 0: with 1, a kernel before 5.9 drops the first packet
    of a connection that uses a port again, and each such connection takes a second longer.
    """
    lab.host("node1").exec(f"{BALANCER} sysctl -w net.ipv4.vs.conn_reuse_mode=1")


SAYS = ("web.2, web.2, web.2, web.2", "ingress-sbox does not balance this connection", "conn_reuse_mode = 0")
THEN = ("web.1, web.2, web.1, web.2",)

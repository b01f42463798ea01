"""A published port is open although the firewall denies it.

`ufw deny 8080` is set, but the whole LAN reaches the container on port 8080.
"""

from house import lan, run


def build():
    lab = lan()
    run(lab, "web", ports={"80/tcp": 8080})
    lab.host("node1").iptables("-I INPUT -p tcp --dport 8080 -j DROP")
    return lab


def ask(lab):
    return lab.explain("client", "node1", "tcp/8080")


def fix(lab):
    """Filter forwarded packets in DOCKER-USER, by the port before translation."""
    lab.host("node1").iptables("-I DOCKER-USER -p tcp -m conntrack --ctorigdstport 8080 -j DROP")


SAYS = ("yes, answered", "was never visited: a published port goes through FORWARD, not INPUT")
THEN = ("no, timeout", "DOCKER-USER")

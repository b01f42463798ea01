"""The resolver 127.0.0.11 times out.

Names of other containers are found, names of the world are not, and each lookup takes seconds.
"""

from house import idler, lan


def build():
    lab = lan()
    lab.host("node1").docker.networks.create("app")
    idler(lab, network="app")
    # The embedded resolver asks on behalf of the container, from the host.
    lab.host("node1").iptables("-A OUTPUT -p udp --dport 53 -j DROP")
    return lab


def ask(lab):
    return lab.explain("app", "www.example.com", "tcp/80")


def fix(lab):
    """Let the host ask its name server."""
    lab.host("node1").iptables("-D OUTPUT -p udp --dport 53 -j DROP")


SAYS = ("no, name not found", "203.0.113.10")
THEN = ("yes, answered",)

"""The resolver 127.0.0.11 times out.

Names of other containers are found, external names are not, and each lookup takes seconds.
"""

from house import idler, lan


def build():
    lab = lan()
    lab.host("node1").docker.networks.create("app")
    idler(lab, network="app")
    # The embedded resolver forwards the container's queries from the host.
    lab.host("node1").iptables("-A OUTPUT -p udp --dport 53 -j DROP")
    return lab


def ask(lab):
    return lab.explain("app", "www.example.com", "tcp/80")


SAYS = (
    "no, name not found",
    "its upstream 203.0.113.10 was not reached: the query was dropped on node1 by rule 1 of filter OUTPUT",
)
THEN = ("yes, answered",)

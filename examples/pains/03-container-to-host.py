"""A container does not reach a program on its host.

`host.docker.internal` is set to host-gateway and resolves, but the connection times out: the host's own firewall
drops it.
"""

from house import idler, lan


def build():
    lab = lan()
    idler(lab, extra_hosts={"host.docker.internal": "host-gateway"})
    lab.host("node1").start("nc -lk -p 7000")
    lab.host("node1").iptables("-A INPUT -i docker0 -p tcp -m tcp --dport 7000 -j DROP")
    return lab


def ask(lab):
    return lab.explain("app", "host.docker.internal", "tcp/7000")


SAYS = ("no, timeout", "the firewall of node1 filters what comes to the host itself")
THEN = ("yes, answered",)

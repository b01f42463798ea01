"""Two firewalls on one host: iptables-legacy drops what Docker's rules accept.

A published port times out. `iptables -S` shows nothing but Docker's own rules, and they accept the packet. A script
from before the upgrade to Debian 10 still calls iptables-legacy.
"""

from house import lan, run


def build():
    lab = lan()
    run(lab, "web", ports={"80/tcp": 8080})
    lab.host("node1").exec("iptables-legacy -A FORWARD -o docker0 -p tcp --dport 80 -j DROP")
    return lab


def ask(lab):
    return lab.explain("client", "10.0.0.15", "tcp/8080")


SAYS = ("no, timeout", "by rule 1 of iptables-legacy filter FORWARD (DROP", "a packet must pass all")
THEN = ("yes, answered",)

"""A program that listens on 127.0.0.1 is reachable only inside its container.

An application listens on 127.0.0.1, as it did before it ran in a container. Other containers get "connection
refused".
"""

from house import idler, lan, run


def build():
    lab = lan()
    lab.host("node1").docker.networks.create("app")
    run(lab, "web", command="httpd -f -p 127.0.0.1:8000", network="app")
    idler(lab, network="app")
    return lab


def ask(lab):
    return lab.explain("app", "web", "tcp/8000")


SAYS = ("no, refused", "a program listens on 127.0.0.1:8000 only")
THEN = ("yes, answered",)

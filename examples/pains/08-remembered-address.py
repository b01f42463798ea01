"""A client keeps using the address of a container that is gone.

nginx looked a name up once. Since the back end was recreated, nginx answers 502: no route to host.
"""

from house import idler, lan, run


def build():
    lab = lan()
    lab.host("node1").docker.networks.create("app")
    old = run(lab, "backend", network="app")
    idler(lab, network="app")
    old.remove(force=True)
    idler(lab, "other", network="app")
    run(lab, "backend", network="app")
    lab.container("other").remove(force=True)
    return lab


def ask(lab):
    return lab.explain("app", "172.18.0.2", "tcp/80")


def fix(lab):
    """Resolve the name again for each request (nginx: `resolver 127.0.0.11` and a variable in `proxy_pass`)."""
    return lab.explain("app", "backend", "tcp/80")


SAYS = ("no, unreachable", "no running container or host has that address")
THEN = ("yes, answered",)

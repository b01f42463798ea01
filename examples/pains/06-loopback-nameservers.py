"""The host uses 127.0.0.53 as its name server.

systemd-resolved listens on the host's loopback, which containers on the default bridge cannot reach. The engine
replaces it by public servers, and in a network without access to 8.8.8.8 no name resolves.
"""

from house import idler

from cnmsim import Lab


def build():
    lab = Lab(nameserver="127.0.0.53")
    lab.add_host("node1", "10.0.0.15/24", gateway="10.0.0.1", docker=True)
    lab.add_router("router", "10.0.0.1/24", "203.0.113.1/24")
    lab.add_host(
        "server", "203.0.113.10/24", gateway="203.0.113.1", names={"www.example.com": "203.0.113.10"}, web=True
    )
    idler(lab)
    return lab


def ask(lab):
    return lab.explain("app", "www.example.com", "tcp/80")


def fix(lab):
    """Set a name server that can be reached: `--dns`, or `dns` in daemon.json."""
    lab.container("app").remove(force=True)
    idler(lab, dns=["203.0.113.10"])


SAYS = ("no, name not found", "the engine's default, as the host names none that can be used")
THEN = ("yes, answered",)

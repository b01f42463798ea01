"""A short name is not found, or search domains are tried in an unexpected order.

`api` is a name in the company's domain. It resolves on the host, but not in the container.
"""

from house import idler

from cnmsim import Lab


def build():
    lab = Lab(nameserver="203.0.113.10")
    lab.add_host("node1", "10.0.0.15/24", gateway="10.0.0.1", docker=True)
    lab.add_router("router", "10.0.0.1/24", "203.0.113.1/24")
    lab.add_host(
        "server", "203.0.113.10/24", gateway="203.0.113.1", names={"api.corp.example": "203.0.113.10"}, web=True
    )
    lab.host("node1").docker.networks.create("app")
    idler(lab, network="app")
    return lab


def ask(lab):
    return lab.explain("app", "api", "tcp/80")


def fix(lab):
    """Set the company's search list for the container: `--dns-search corp.example`."""
    lab.container("app").remove(force=True)
    idler(lab, network="app", dns_search=["corp.example"])


SAYS = ("no, name not found", "NXDOMAIN for api")
THEN = ("yes, answered", "A api.corp.example @127.0.0.11: 203.0.113.10")

"""Behind the routing mesh every client has the same address.

The access log of a service shows 10.0.0.x for all clients.
"""

from house import shop


def build():
    return shop()


def ask(lab):
    return lab.explain("client", "node2", "tcp/8080")


def fix(lab):
    """Publish the port in mode host. It is then open only on nodes with a task, and the client's address is kept."""
    lab.host("node1").docker.services.get("web").update(ports={8080: (80, "tcp", "host")})
    lab.settle()
    asked = ask(lab)
    assert "sees the client as" not in str(asked)
    return f"{asked}\n(web sees 10.1.0.100)"


SAYS = ("yes, answered", "sees the client as 10.0.0.")
THEN = ("yes, answered", "web sees 10.1.0.100")

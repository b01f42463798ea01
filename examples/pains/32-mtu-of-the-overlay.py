"""Between nodes small packets pass and full ones do not.

An overlay network over a way that carries 1450 bytes: the handshake works, the answer never comes.
"""

from house import shop


def build(**options):
    lab = shop(**options)
    lab.segment("10.2.0.0/24").configure(mtu=1450)
    return lab


def ask(lab):
    return lab.explain("c1", "web", "tcp/80")


def fix(lab):
    """Tell the network what the way between the nodes carries. It leaves 50 bytes of it to the headers: its containers get an MTU of 1400."""
    asked = ask(build(options={"com.docker.network.driver.mtu": "1450"}))
    assert "full ones do not" not in str(asked)
    return f"{asked}\n(full packets fit)"


SAYS = ("yes, answered", "small packets pass, full ones do not")
THEN = ("yes, answered", "(full packets fit)")

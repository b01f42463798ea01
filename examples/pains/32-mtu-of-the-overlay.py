"""Between nodes small packets pass and full-size ones do not.

The underlay of an overlay network has an MTU of 1450: the handshake succeeds, the response never arrives.
"""

from house import shop


def build(**options):
    lab = shop(**options)
    lab.segment("10.2.0.0/24").configure(mtu=1450)
    return lab


def ask(lab):
    return lab.explain("c1", "web", "tcp/80")


def fix(lab):
    """Set the MTU of the underlay on the network. 50 bytes of it are used by the headers, so containers get an MTU of
    1400.
    """
    asked = ask(build(options={"com.docker.network.driver.mtu": "1450"}))
    assert "full ones do not" not in str(asked)
    return f"{asked}\n(full packets fit)"


SAYS = ("yes, answered", "small packets pass, full ones do not")
THEN = ("yes, answered", "(full packets fit)")

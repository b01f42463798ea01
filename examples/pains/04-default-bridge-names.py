"""Containers on the default bridge do not find each other by name.

Two containers run, ping by address works, by name it does not.
"""

from house import idler, lan, run


def build():
    lab = lan()
    run(lab, "web")
    idler(lab)
    return lab


def ask(lab):
    return lab.explain("app", "web", "tcp/80")


SAYS = ("no, name not found", "the default bridge has no names")
THEN = ("yes, answered",)

"""The images of the recorded engines (IMAGES in oracle.py): one busybox tree with a web page, whatever their name.

As a command, this is `cnmsim serve` of a lab whose engines have these images.
"""

from __future__ import annotations

import time

import click
from attrs import evolve

from cnmsim import Lab
from cnmsim.api.commands import add_commands
from cnmsim.engine.images.catalogue import ImageCatalogue
from cnmsim.underlay.host import GREETING, WHOAMI

_PAGES = (("/www/index.html", GREETING.decode()), ("/www/cgi-bin/whoami", WHOAMI.decode()))
_HTTPD = ("httpd", "-f", "-p", "80", "-h", "/www")


def with_recorded_images(lab: Lab) -> Lab:
    """Give the engines of a lab the recorded images, and return the lab."""
    for name in ("busybox", "alpine", "ubuntu", "nginx"):
        meaning = evolve(ImageCatalogue().meaning(name), files=_PAGES, groups={})
        if name == "nginx":
            meaning = evolve(meaning, entrypoint=(), command=_HTTPD, exposed=(), stop_signal="")
        lab.images.add(f"{name}:latest", meaning)
    return lab


if __name__ == "__main__":
    group = click.Group()
    add_commands(
        group,
        lambda file, engine: with_recorded_images(Lab.from_file(file, engine=engine, epoch_s=int(time.time()))),
    )
    group()

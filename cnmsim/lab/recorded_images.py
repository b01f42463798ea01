"""The images of the real engines whose behaviour was recorded, to compare cnmsim with them.

Every image, whatever its name, is the same busybox tree with a web page. `cnmsim serve` of a lab file starts with
these images. With `images: hub` in the file, the images are those of Docker Hub.
"""

from __future__ import annotations

from attrs import evolve

from cnmsim.engine.images.catalogue import ImageCatalogue, ImageMeaning
from cnmsim.underlay.host import GREETING, WHOAMI

#: The values of `images` in a lab file.
HUB, RECORDED = "hub", "recorded"

_NAMES = ("busybox", "alpine", "ubuntu", "nginx")
_PAGES = (("/www/index.html", GREETING.decode()), ("/www/cgi-bin/whoami", WHOAMI.decode()))
_HTTPD = ("httpd", "-f", "-p", "80", "-h", "/www")


def add_recorded_images(images: ImageCatalogue) -> None:
    """Add the recorded images to a lab's catalogue, with the tag `latest`.

    Images with other tags stay as they are.
    """
    for name in _NAMES:
        meaning = evolve(ImageCatalogue().meaning(name), files=_PAGES, env=ImageMeaning().env)
        if name == "nginx":
            meaning = evolve(meaning, entrypoint=(), command=_HTTPD, exposed=(), stop_signal="")
        images.add(f"{name}:latest", meaning)


def has_recorded_images(images: ImageCatalogue) -> bool:
    """Return True if a lab's catalogue contains the images that `add_recorded_images` adds."""
    return all(f"{name}:latest" in images.meanings for name in _NAMES)

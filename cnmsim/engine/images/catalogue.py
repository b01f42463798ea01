"""The catalogue of well-known images: the program that an image runs, the ports on which it listens, and so on.

`catalogue.toml` holds the entries. A program that is not simulated is replaced by a stand-in (see
`cnmsim.engine.standins`). All images have the same small file system.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

from attrs import define, evolve, field, frozen

from cnmsim.engine.standins.hints import ServiceHints
from cnmsim.engine.standins.knownport import parse_listener
from cnmsim.errors import InvalidParameter
from cnmsim.libnetwork.renderer import html_of

_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: /etc/os-release of Alpine, which every image has that names no other distribution.
_ALPINE_RELEASE = 'NAME="Alpine Linux"\nID=alpine\nVERSION_ID=3.22.1\nPRETTY_NAME="Alpine Linux v3.22"\n'


@frozen
class ImageMeaning:
    """The configuration of an image, the programs it contains, and the ports on which they listen.

    `command` is the Cmd; `exposed` are ports such as `5432/tcp`. `size` is in bytes. `accounts` and `groups` map
    names of users and groups to their numbers; `files` are pairs of path and content.
    """

    command: tuple[str, ...] = ("sh",)
    entrypoint: tuple[str, ...] = ()
    exposed: tuple[str, ...] = ()
    env: tuple[str, ...] = (_PATH,)
    working_dir: str = ""
    user: str = ""
    volumes: tuple[str, ...] = ()
    stop_signal: str = ""
    labels: dict[str, str] = field(factory=dict, hash=False)
    #: Users in /etc/passwd besides root and nobody, each with a group of the same name: name to number.
    accounts: dict[str, int] = field(factory=dict, hash=False)
    #: Groups in /etc/group besides those of the users: name to number.
    groups: dict[str, int] = field(factory=dict, hash=False)
    #: Files besides those that every image has: path and content. A path that ends in / is a folder, content that
    #: begins with #! a script.
    files: tuple[tuple[str, str], ...] = ()
    size: int = 8_317_312
    #: The lines of /etc/os-release.
    os_release: str = _ALPINE_RELEASE
    #: The entry of the catalogue that applies to the image, "" for an image that is not known.
    title: str = ""
    #: The ports on which the image's own program listens, as `5432/tcp`.
    listens: tuple[str, ...] = ()
    #: Whether the program listens on no other ports, even if a file publishes others.
    is_fixed: bool = False
    #: Whether the user stated the ports: those in `exposed`.
    is_stated: bool = False
    #: Which replies the stand-in sends (`postgres`), "" for those of its program's name.
    server: str = ""
    #: Programs of the image that are not simulated.
    programs: tuple[str, ...] = ()
    #: Whether the image has no other programs than the simulated ones and `programs`.
    is_closed: bool = False

    @property
    def passwd(self) -> str:
        """The content of the image's /etc/passwd."""
        own = "".join(f"{name}:x:{number}:{number}::/home/{name}:/bin/sh\n" for name, number in self.accounts.items())
        return f"root:x:0:0:root:/root:/bin/sh\n{own}nobody:x:65534:65534:nobody:/:/sbin/nologin\n"

    @property
    def group(self) -> str:
        """The content of the image's /etc/group."""
        own = "".join(f"{name}:x:{number}:\n" for name, number in self.accounts.items())
        others = "".join(f"{name}:x:{number}:\n" for name, number in self.groups.items() if name not in self.accounts)
        return f"root:x:0:\n{own}{others}nobody:x:65534:\n"

    @property
    def shadow(self) -> str:
        """The content of the image's /etc/shadow: no account has a password."""
        return "".join(f"{line.partition(':')[0]}:*::0:::::\n" for line in self.passwd.splitlines())


def _os_release(name: str, identifier: str, pretty: str) -> str:
    return f'NAME="{name}"\nID={identifier}\nPRETTY_NAME="{pretty}"\n'


#: The lines of /etc/os-release and the accounts of distributions.
_SYSTEMS: dict[str, tuple[str, dict[str, int]]] = {
    "alpine": (_ALPINE_RELEASE, {}),
    "debian": (_os_release("Debian GNU/Linux", "debian", "Debian GNU/Linux 13 (trixie)"), {"www-data": 33}),
    "fedora": (_os_release("Fedora Linux", "fedora", "Fedora Linux 42 (Container Image)"), {}),
    "ubuntu": (_os_release("Ubuntu", "ubuntu", "Ubuntu 24.04.2 LTS"), {"www-data": 33}),
}
_GROUPS: dict[str, dict[str, int]] = {
    "alpine": {"users": 100, "nogroup": 65533},
    "debian": {"adm": 4, "mail": 8, "sudo": 27, "users": 100},
    "ubuntu": {"adm": 4, "mail": 8, "sudo": 27, "users": 100},
}
#: Last parts of repositories' names that say nothing about the program.
_GENERIC = frozenset(
    ("agent", "analytics", "api", "app", "apps", "backend", "base", "connect", "dex", "frontend", "hub", "proxy",
     "server", "ui", "web", "wiki", "worker", "aspnet", "umami", "chrome", "certbot", "git", "curl", "runtime", "sdk",
     "mc", "free", "leap")
)  # fmt: skip


@cache
def _document(name: str) -> dict[str, Any]:
    import tomllib
    from importlib.resources import files

    return tomllib.loads((files("cnmsim.engine.images") / name).read_text(encoding="utf-8"))


@cache
def _index() -> tuple[dict[str, str], dict[str, str], dict[str, list[str]]]:
    """Return three indexes of the catalogue, whose values are keys of its entries.

    The first maps repositories such as `a/b` to keys. The second maps the last part of a repository, such as `b`, to
    a key. The third maps a repository to the keys that contain a tag pattern, such as `name:1.*`.
    """
    exact: dict[str, str] = {}
    last: dict[str, str] = {}
    tagged: dict[str, list[str]] = {}
    for key, entry in _document("catalogue.toml").items():
        repository, colon, _ = key.partition(":")
        if colon:
            tagged.setdefault(repository, []).append(key)
            continue
        for name in (key, *entry.get("names", ())):
            exact.setdefault(name, key)
    for name, key in exact.items():
        part = name.rpartition("/")[2]
        if part not in _GENERIC:
            last.setdefault(part, key)
    # A name without a slash is the better one.
    last |= {name: key for name, key in exact.items() if "/" not in name}
    return exact, last, tagged


def entry_for(repository: str, tag: str) -> str:
    """Return the key of the catalogue's entry for an image, "" if there is none.

    An entry whose tag pattern matches `tag` is preferred to the general one.
    """
    exact, last, tagged = _index()
    parts = repository.split("/")
    key = next((exact[name] for name in ("/".join(parts[at:]) for at in range(len(parts))) if name in exact), "")
    key = key or last.get(parts[-1], "")
    return next((other for other in tagged.get(key, ()) if fnmatchcase(tag, other.partition(":")[2])), key)


@cache
def _meaning_of(key: str) -> ImageMeaning:
    document = _document("catalogue.toml")
    entry = document[key]
    while "like" in entry:
        entry = {**document[entry["like"]], **{name: value for name, value in entry.items() if name != "like"}}
    os_release, accounts = _SYSTEMS[entry.get("os", "alpine")]
    exposed = _port_texts(entry.get("exposes", ()))
    programs: list[str] = []
    for name in entry.get("programs", ()):
        programs += _document("programs.toml")[name[1:]] if name.startswith("@") else [name]
    return ImageMeaning(
        tuple(entry.get("command", ("sh",))),
        tuple(entry.get("entrypoint", ())),
        exposed,
        working_dir=entry.get("workdir", ""),
        user=entry.get("user", ""),
        volumes=tuple(entry.get("volumes", ())),
        stop_signal=entry.get("stop", ""),
        accounts={**accounts, **entry.get("accounts", {})},
        groups=_GROUPS.get(entry.get("os", "alpine"), {}),
        files=tuple(entry.get("files", {}).items()),
        size=4_277_910 if key == "busybox" else 8_317_312,
        os_release=os_release,
        title=key.partition(":")[0],
        listens=_port_texts(entry["listens"]) if "listens" in entry else exposed,
        is_fixed=entry.get("fixed", False),
        server=entry.get("server", ""),
        programs=tuple(dict.fromkeys(programs)),
        is_closed=entry.get("closed", False),
    )


def _port_texts(ports: Iterable[int | str]) -> tuple[str, ...]:
    texts = (str(port) for port in ports)
    return tuple(text if "/" in text else f"{text}/tcp" for text in texts)


@define(repr=False)
class ImageCatalogue:
    """The configuration of images by name, and the images that an engine has initially (`present`).

    An engine can pull any name unless `is_offline`. `meanings` are images that the user added. An image that is
    neither in `meanings` nor in the catalogue runs a stand-in in place of its unknown program. `hints` has the ports
    of services that the user or other services have stated. With `is_strict`, a health check fails if the simulation
    cannot run its command; otherwise it counts as passed.
    """

    meanings: dict[str, ImageMeaning] = field(factory=dict)
    present: Iterable[str] = ("busybox", "alpine", "ubuntu", "nginx")
    is_offline: bool = False
    is_strict: bool = False
    hints: ServiceHints = field(factory=ServiceHints)

    def __repr__(self) -> str:
        return f"<ImageCatalogue: {self.summary()}>"

    def _repr_html_(self) -> str | None:
        return html_of(self)

    def summary(self) -> str:
        """Return a sentence with the number of known images, and with the names that `add` has added."""
        added = f"; added: {', '.join(self.meanings)}" if self.meanings else ""
        return f"{len(_index()[0])} images are known, others can be pulled, too{added}"

    def add(self, repository: str, meaning: ImageMeaning | None = None, *, listens: Iterable[int | str] = ()) -> None:
        """Add an image's configuration. It applies to the tag in `repository`, if there is one, else to all tags.

        It is used for containers that are created from now on, even if an engine has the image already. `listens` are
        the ports on which the image's program listens, such as `[8000, "53/udp"]`; by default those in
        `meaning.exposed`. Without `meaning`, the rest of the configuration is that of the catalogue. Raises
        `InvalidParameter` for an invalid port.
        """
        try:
            ports = tuple(f"{number}/{protocol}" for number, protocol in map(parse_listener, listens))
        except ValueError as error:
            raise InvalidParameter(str(error)) from None
        name, _, tag = repository.partition(":") if "/" not in repository.rpartition(":")[2] else (repository, "", "")
        base = meaning or self.meaning(name, tag or "latest")
        exposed = ports or base.exposed
        self.meanings[repository] = evolve(base, exposed=exposed, listens=exposed, is_stated=True)

    def added(self, repository: str, tag: str) -> ImageMeaning | None:
        """Return the configuration that `add` has added for an image, `None` if there is none."""
        return self.meanings.get(f"{repository}:{tag}") or self.meanings.get(repository)

    def meaning(self, repository: str, tag: str = "latest") -> ImageMeaning:
        """Return the configuration of an image.

        The first of these is returned: one that `add` has added, the catalogue's, or one for a program that is not
        known.
        """
        own = self.added(repository, tag)
        if own is not None:
            return own
        key = entry_for(repository, tag)
        return _meaning_of(key) if key else ImageMeaning((repository.rpartition("/")[2],))

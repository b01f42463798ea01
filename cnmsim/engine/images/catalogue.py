"""The catalogue of well-known images: the program that an image runs, the ports on which it listens, and so on.

`catalogue.toml` holds the entries. A program that is not simulated is replaced by a stand-in (see
`cnmsim.engine.standins`). All images have the same small file system.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import cache

from attrs import define, evolve, field, frozen

from cnmsim.engine.images.systems import (
    group_text,
    load_toml,
    passwd_text,
    programs_of_system,
    release_files,
    system_of,
    version_of,
)
from cnmsim.engine.standins.hints import ServiceHints
from cnmsim.engine.standins.knownport import parse_listener
from cnmsim.errors import InvalidParameter
from cnmsim.libnetwork.renderer import html_of
from cnmsim.suggestion import suggests_keywords

_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@frozen
class ImageMeaning:
    """The configuration of an image, the programs it contains, and the ports on which they listen.

    `command` is the Cmd; `exposed` are ports such as `5432/tcp`. `size` is in bytes. `files` are pairs of
    path and content.
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
    #: The distribution whose users and groups the image has, such as `debian`, "" for root and nobody only.
    system: str = ""
    #: Further users, each with a group of the same name: name to number, or to the fields of passwd(5) from the
    #: number on.
    accounts: dict[str, int | str] = field(factory=dict, hash=False)
    #: Files besides those that every image has: path and content. A path that ends in / is a folder, content that
    #: begins with #! a script.
    files: tuple[tuple[str, str], ...] = ()
    size: int = 8_317_312
    #: The version of the image's program, "" if it is not known.
    version: str = ""
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
        return passwd_text(self.system, self.accounts)

    @property
    def group(self) -> str:
        """The content of the image's /etc/group."""
        return group_text(self.system, self.accounts)

    @property
    def shadow(self) -> str:
        """The content of the image's /etc/shadow: no account has a password."""
        return "".join(f"{line.partition(':')[0]}:*::0:::::\n" for line in self.passwd.splitlines())


#: Last parts of repositories' names that say nothing about the program.
_GENERIC = frozenset(
    ("agent", "analytics", "api", "app", "apps", "backend", "base", "connect", "dex", "frontend", "hub", "proxy",
     "server", "ui", "web", "wiki", "worker", "aspnet", "umami", "chrome", "certbot", "git", "curl", "runtime", "sdk",
     "mc", "free", "leap")
)  # fmt: skip


@cache
def _index() -> tuple[dict[str, str], dict[str, str], dict[str, list[str]]]:
    """Return three indexes of the catalogue, whose values are keys of its entries.

    The first maps repositories such as `a/b` to keys. The second maps the last part of a repository, such as `b`, to
    a key. The third maps a repository to the keys that contain a tag pattern, such as `name:1.*`.
    """
    exact: dict[str, str] = {}
    last: dict[str, str] = {}
    tagged: dict[str, list[str]] = {}
    for key, entry in load_toml("catalogue.toml").items():
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
def _meaning_of(key: str, tag: str) -> ImageMeaning:
    document = load_toml("catalogue.toml")
    entry = document[key]
    while "like" in entry:
        entry = {**document[entry["like"]], **{name: value for name, value in entry.items() if name != "like"}}
    system = system_of(entry.get("os", "alpine"), tag)
    version = version_of(tuple(entry.get("versions", ())), tag) if "versions" in entry else ""
    exposed = _port_texts(entry.get("exposes", ()))
    release = release_files(system, tag, version if key.startswith("alpine") else "")
    programs: list[str] = []
    for name in (*entry.get("programs", ()), *programs_of_system(system)):
        listed = "@busybox" if name == "@debian" and system == "alpine" else name
        programs += load_toml("programs.toml")[listed[1:]] if listed.startswith("@") else [listed]
    return ImageMeaning(
        tuple(entry.get("command", ("sh",))),
        tuple(entry.get("entrypoint", ())),
        exposed,
        env=(_PATH, entry["version_env"].format(version)) if "version_env" in entry else (_PATH,),
        working_dir=entry.get("workdir", ""),
        user=entry.get("user", ""),
        volumes=tuple(entry.get("volumes", ())),
        stop_signal=entry.get("stop", ""),
        system=system,
        accounts=entry.get("accounts", {}),
        files=(*release, *entry.get("files", {}).items()),
        size=4_277_910 if key == "busybox" else 8_317_312,
        version=version,
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


@suggests_keywords
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

    def add(
        self, repository: str, meaning: ImageMeaning | None = None, *, listens: int | str | Iterable[int | str] = ()
    ) -> None:
        """Add an image's configuration. It applies to the tag in `repository`, if there is one, else to all tags.

        It is used for containers that are created from now on, even if an engine has the image already. `listens` are
        the ports on which the image's program listens, such as `[8000, "53/udp"]`; by default those in
        `meaning.exposed`. Without `meaning`, the rest of the configuration is that of the catalogue. Raises
        `InvalidParameter` for an invalid port.
        """
        listens = (listens,) if isinstance(listens, (int, str)) else listens
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
        return _meaning_of(key, tag) if key else ImageMeaning((repository.rpartition("/")[2],))

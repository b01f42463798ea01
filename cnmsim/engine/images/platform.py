"""Platforms of images, such as `linux/arm64/v8`.

Source: containerd `platforms` v1.0.0-rc.1 (moby v26.1.5 to docker-v29.7.2).
"""

from __future__ import annotations

import re

from attrs import frozen

from cnmsim.errors import InvalidParameter
from cnmsim.gostrconv import quote

_SYSTEMS = frozenset(
    ["aix", "android", "darwin", "dragonfly", "freebsd", "hurd", "illumos", "ios", "js", "linux", "nacl", "netbsd",
     "openbsd", "plan9", "solaris", "windows", "zos"]
)  # fmt: skip
_ARCHITECTURES = frozenset(
    ["386", "amd64", "amd64p32", "arm", "armbe", "arm64", "arm64be", "ppc64", "ppc64le", "loong64", "mips",
     "mipsle", "mips64", "mips64le", "mips64p32", "mips64p32le", "ppc", "riscv", "riscv64", "s390", "s390x",
     "sparc", "sparc64", "wasm"]
)  # fmt: skip
#: Other names of architectures, with the variant that the name implies.
_ALIASES = {
    "i386": ("386", ""), "x86_64": ("amd64", None), "x86-64": ("amd64", None), "aarch64": ("arm64", None),
    "armhf": ("arm", "v7"), "armel": ("arm", "v6"),
}  # fmt: skip
_VARIANTS = {
    ("amd64", "v1"): "", ("arm64", "8"): "", ("arm64", "v8"): "", ("arm64", "v8.0"): "", ("arm64", "9"): "v9",
    ("arm64", "9.0"): "v9", ("arm64", "v9.0"): "v9", ("arm", ""): "v7", ("arm", "5"): "v5", ("arm", "6"): "v6",
    ("arm", "7"): "v7", ("arm", "8"): "v8",
}  # fmt: skip


@frozen
class Platform:
    """The platform of an image: operating system and architecture, in Go's names.

    `variant` and `version` may be "".
    """

    system: str = "linux"
    architecture: str = "amd64"
    variant: str = ""
    version: str = ""

    def __str__(self) -> str:
        system = f"{self.system}({self.version})" if self.version else self.system
        return "/".join(filter(None, (system, self.architecture, self.variant)))

    @classmethod
    def parse(cls, text: str, patterns: tuple[str, str]) -> Platform:
        """Parse `OS[(VERSION)][/ARCHITECTURE[/VARIANT]]`, or an architecture alone, such as `linux/arm64` or `arm64`.

        `patterns` are the release's regular expressions for the first part and for each other part. Raises
        `InvalidParameter`, with the engine's text, if a part does not match, or if a single part is neither a known
        system nor an architecture.
        """
        system_pattern, pattern = patterns
        if "*" in text:
            raise _invalid(f"{quote(text)}: wildcards not yet supported")
        parts = text.split("/", 3)
        first = re.match(system_pattern, parts[0])
        if first is None:
            raise _invalid(
                f"{quote(parts[0])} is an invalid OS component of {quote(text)}: OSAndVersion specifier "
                f"component must match {quote(system_pattern)}"
            )
        for part in parts[1:]:
            if re.match(pattern, part) is None:
                raise _invalid(
                    f"{quote(part)} is an invalid component of {quote(text)}: platform specifier component must "
                    f"match {quote(pattern)}"
                )
        system, version = {"macos": "darwin"}.get(first[1].lower(), first[1].lower()), first[2] or ""
        if len(parts) == 1:
            if system in _SYSTEMS:
                return cls(system, version=version)
            architecture, variant = _architecture(parts[0], "")
            if architecture not in _ARCHITECTURES:
                raise _invalid(f"{quote(text)}: unknown operating system or architecture")
            return cls("linux", architecture, variant)
        if len(parts) == 2:
            return cls(system, *_architecture(parts[1], ""), version)
        if len(parts) == 3:
            architecture, variant = _architecture(parts[1], parts[2])
            return cls(system, architecture, variant or ("v8" if architecture == "arm64" else ""), version)
        raise _invalid(f"{quote(text)}: cannot parse platform specifier")

    def runs(self, other: Platform) -> bool:
        """Return True if an image that was built for `other` can run on this platform (`platforms.Only`).

        For example, an image for `linux/arm/v6` can run on `linux/arm/v7`.
        """
        if (self.system, self.architecture) != (other.system, other.architecture):
            return False
        defaults = {"arm": "v7", "arm64": "v8", "amd64": "v1"}
        own, its = (each.variant or defaults.get(each.architecture, "") for each in (self, other))
        return own == its or (self.architecture in defaults and its < own)


#: The platform that dockerd detects on a host.
HOST_PLATFORM = Platform(variant="v3")


def _architecture(name: str, variant: str) -> tuple[str, str]:
    """Return the canonical names of an architecture and its variant (containerd `normalizeArch`)."""
    architecture, implied = _ALIASES.get(name.lower(), (name.lower(), None))
    wanted = variant.lower() if implied is None else implied
    result = _VARIANTS.get((architecture, wanted), wanted)
    return architecture, "" if not variant and (architecture, result) == ("arm", "v7") else result


def _invalid(text: str) -> InvalidParameter:
    return InvalidParameter(f"{text}: invalid argument")

"""Steps in which cnmsim may print something else than the recorded engine, each with the reason.

The key is (scenario, command); the value says why. A step that is not here and differs is a bug.
"""

KNOWN: dict[tuple[str, str], str] = {
    ("swarm-basics", "docker node ls"): "Debian's build of 26.1.5, which was recorded, calls itself 26.1.5+dfsg1",
}

#: Of commands that fail, as regular expressions, the one line that may come before or after the others, and the reason.
RACING_LINE: dict[str, tuple[str, str]] = {
    r"docker run -d .*": (
        r"<id:\d+>",
        "docker run prints the id of a detached container in a goroutine of its own, beside the error of its start",
    ),
}

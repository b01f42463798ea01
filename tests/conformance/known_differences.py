"""Steps in which cnmsim may print something else than the recorded engine, each with the reason.

The key is (scenario, command); the value says why. A step that is not here and differs is a bug.
"""

KNOWN: dict[tuple[str, str], str] = {
    ("swarm-basics", "docker node ls"): "Debian's build of 26.1.5, which was recorded, calls itself 26.1.5+dfsg1",
}

#: Commands, as regular expressions, whose lines may come in another order than recorded, each with the reason.
ANY_ORDER: dict[str, str] = {
    r"docker run -d .*": "docker run prints the id of a detached container in a goroutine of its own, beside the error of its start",
}

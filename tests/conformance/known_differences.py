"""Steps in which cnmsim may print something else than the recorded engine, each with the reason.

The key is (scenario, command); the value says why. A step that is not here and differs is a bug.
"""

KNOWN: dict[tuple[str, str], str] = {
    ("swarm-basics", "docker node ls"): "Debian's build of 26.1.5, which was recorded, calls itself 26.1.5+dfsg1",
}

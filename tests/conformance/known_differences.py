"""Steps in which cnmsim may print something else than the recorded engine, each with the reason.

The key is (scenario, command); the value says why. A step that is not here and differs is a bug.
"""

_ENV_ORDER = (
    "docker service update keeps the variables in a Go map when it adds one, and sends them in an order of chance"
)

_GO_MAP = "three networks are gone; which of them the error names depends on the order of a Go map"

_ENDPOINTS = "since 28 the error lists the endpoints of the network in the order of a Go map (findEndpoints)"

KNOWN: dict[tuple[str, str], str] = {
    ("networks-lifecycle", "docker start site"): _GO_MAP,
    (
        "networks-lifecycle",
        "docker inspect site --format '{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}'",
    ): _GO_MAP,
    (
        "service-edits",
        "docker service inspect a --format '{{json .Spec.TaskTemplate.ContainerSpec.Env}}'",
    ): _ENV_ORDER,
    (
        "service-edits",
        (
            "docker service inspect a --format '{{json .Spec.TaskTemplate.LogDriver}} {{json "
            ".Spec.TaskTemplate.ContainerSpec}}'"
            ' | sed \'s/"[0-9a-z]\\{25\\}"/"ID"/g\''
        ),
    ): _ENV_ORDER,
    (
        "service-edits",
        (
            "docker service inspect a --format '{{json .Spec.TaskTemplate.ContainerSpec}}' | sed "
            '\'s/"[0-9a-z]\\{25\\}"/"ID"/g\''
        ),
    ): _ENV_ORDER,
    ("service-edits", "docker service inspect --pretty a | grep -v Started"): _ENV_ORDER,
    ("overlay-options", "docker network rm docker_gwbridge"): _ENDPOINTS,
    ("swarm-basics", "docker node ls"): "Debian's build of 26.1.5, which was recorded, calls itself 26.1.5+dfsg1",
}

#: Of commands that fail, as regular expressions, the one line that may come anywhere or not at all, and the reason.
RACING_LINE: dict[str, tuple[str, str]] = {
    r"docker run -d .*": (
        r"<id:\d+>",
        (
            "docker run prints the id of a detached container in a goroutine, beside the error of its start, and may "
            "end first"
        ),
    ),
}

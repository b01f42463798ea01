"""Steps in which cnmsim may print something else than the recorded engine, each with the reason.

The key is (scenario, command); the value says why. A step that is not here and differs is a bug.
"""

_ENV_ORDER = (
    "docker service update keeps the variables in a Go map when it adds one, and sends them in an order of chance"
)

_GO_MAP = "three networks are gone; which of them the error names depends on the order of a Go map"

_ENDPOINTS = "since 28 the error lists the endpoints of the network in the order of a Go map (findEndpoints)"

_TWO_NETWORKS = "since 28 a start joins the networks of a container in the order of a Go map (allocateNetwork)"

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
    ("gwbridge-own", "docker network rm docker_gwbridge"): _ENDPOINTS,
    (
        "gwbridge-own",
        (
            "docker network inspect docker_gwbridge --format '{{json .Containers}}' | sed "
            "'s/gateway_[0-9a-f]*/gateway_ID/'"
        ),
    ): _ENDPOINTS,
    ("overlay-dsr", "nsenter --net=${W} ip -4 -o addr | awk '{print $2, $4}' | sort"): _TWO_NETWORKS,
    (
        "overlay-dsr",
        (
            "nsenter --net=${W} sysctl net.ipv4.conf.eth0.arp_ignore net.ipv4.conf.eth0.arp_announce "
            "net.ipv4.conf.eth1.arp_ignore net.ipv4.conf.eth1.arp_announce net.ipv4.conf.eth2.arp_ignore"
        ),
    ): _TWO_NETWORKS,
    ("overlay-dsr", "nsenter --net=${W} ip route"): _TWO_NETWORKS,
    ("overlay-options", "docker network rm docker_gwbridge"): _ENDPOINTS,
    (
        "service-wiring",
        (
            "docker service ps byhost bynone bybridge hostpub --no-trunc --format "
            "'{{.Name}} {{.Node}} {{.DesiredState}} {{.Error}}'"
        ),
    ): _TWO_NETWORKS,
    (
        "processes-and-users",
        "docker run --rm --cap-drop CHOWN busybox sh -c 'touch /f; chown 7 /f; echo $?'",
    ): "29.7.2 copies stdout and stderr separately: which line comes first is chance",
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

#: Texts in the errors of a container's start, as a regular expression with groups to keep, and the reason.
RUNTIME_TEXTS: dict[str, str] = {
    r"(OCI runtime .*start container process: )error during container init: (exec)": (
        "all engines were recorded with Debian's runc 1.1.15; 28.5.2 and 29.7.2 come with runc 1.3 and 1.4"
    ),
    r"(OCI runtime (?:create|exec) failed: .*?): unknown(\b)": (
        "all engines were recorded with Debian's containerd 1.7, which appends the name of the gRPC code; 29.7.2 "
        "comes with containerd 2.3, whose errgrpc does not"
    ),
}

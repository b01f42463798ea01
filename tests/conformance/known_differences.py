"""Steps in which cnmsim may print something else than the recorded engine, each with the reason.

The key is (scenario, command); the value says why. A step that is not here and differs is a bug, as is one whose
reason holds only for later releases (`SINCE`).
"""

_ENV_ORDER = (
    "docker service update keeps the variables in a Go map when it adds one, and sends them in an order of chance"
)

_GO_MAP = "three networks are gone; which of them the error names depends on the order of a Go map"

_ENDPOINTS = "since 28 the error lists the endpoints of the network in the order of a Go map (findEndpoints)"

_TWO_NETWORKS = "since 28 a start joins the networks of a container in the order of a Go map (allocateNetwork)"

_PENDING = "the allocator takes tasks in the order of a Go map (SwarmKit allocator/network.go, pendingTasks)"

_UNASSIGNED = "the scheduler places tasks in the order of a Go map (SwarmKit scheduler/scheduler.go, unassignedTasks)"

_DEBOUNCED = (
    "the scheduler waits 50 ms for further changes (SwarmKit scheduler/scheduler.go, commitDebounceGap): whether it "
    "has placed the task when the next command drains the node is chance"
)

_GOSSIP = (
    "a node sends the records of its networks in the order of a Go map (networkdb/cluster.go, gossip): which of a "
    "service's load balancers gets the lower mark is chance"
)

_STREAMS = "stdout and stderr are copied separately: which line comes first is chance"

_TWO_QUERIES = "dockerd answers the queries for A and AAAA in two goroutines: which answer is first is chance"

#: Reasons that do not hold for all releases, each with the first major release for which it does.
SINCE: dict[str, int] = {_ENDPOINTS: 28, _TWO_NETWORKS: 28, _STREAMS: 29}

KNOWN: dict[tuple[str, str], str] = {
    (
        "tasks-listed",
        (
            "docker service ps web web2 agent --filter node=node2 --format '{{.Name}} {{.Node}} {{.Ports}}' | sed "
            "'s/[.][0-9a-z]\\{25\\}/.NODE/'"
        ),
    ): _UNASSIGNED,
    (
        "placement-moves",
        "docker service ps late --no-trunc --format '{{.Name}} {{.Node}} {{.DesiredState}} {{.Error}}'",
    ): _DEBOUNCED,
    (
        "placement-moves",
        "docker service ps later late --no-trunc --format '{{.Name}} {{.Node}} {{.DesiredState}} {{.Error}}'",
    ): _DEBOUNCED,
    (
        "mesh-connections",
        "nsenter --net=/var/run/docker/netns/ingress_sbox iptables -t mangle -S PREROUTING",
    ): _GOSSIP,
    ("dns-several-networks", "docker exec front nslookup web 2>&1"): _TWO_QUERIES,
    (
        "inspect-views",
        (
            "docker network inspect one --format '{{range .Containers}}{{.Name}} {{.IPv4Address}}{{println}}"
            "{{end}}' | sed 's/[.][0-9a-z]\\{25\\}/.TASK/'"
        ),
    ): _PENDING,
    (
        "inspect-views",
        (
            "docker network inspect --verbose one --format '{{range $k, $v := .Services}}{{range $v.Tasks}}{{.Name}} "
            "{{.EndpointIP}} {{.Info}}{{println}}{{end}}{{end}}' | sed 's/[.][0-9a-z]\\{25\\}/.TASK/'"
        ),
    ): _PENDING,
    (
        "inspect-views",
        (
            "docker network inspect ingress --format '{{range .Containers}}{{.Name}} {{.IPv4Address}}{{println}}"
            "{{end}}' | sed 's/[.][0-9a-z]\\{25\\}/.TASK/'"
        ),
    ): _PENDING,
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
    ): _STREAMS,
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


def reason(version: str, scenario: str, command: str) -> str:
    """Return why a step may differ from what the release `version` printed, "" if it may not."""
    why = KNOWN.get((scenario, command), "")
    return why if int(version.partition(".")[0]) >= SINCE.get(why, 0) else ""

"""Connections to a service die when they are idle for 15 minutes.

An application's connection pool finds its connections to the database broken every morning.
"""

from house import swarm

from cnmsim.kernel.task import Future
from cnmsim.observe.trace.tracer import directory_of

PUSHES = []


async def talker(process):
    """Connect with keepalives, and send data whenever a message is pushed."""
    socket = process.tcp(4)
    socket.set_keepalive()
    await socket.connect((process.argv[1], int(process.argv[2])))
    while True:
        push = Future(process.clock)
        PUSHES.append(push)
        await push
        socket.send(b"hello\n")
        try:
            await socket.recv(100)
        except ConnectionResetError:
            return 1


def build(**sysctls):
    lab = swarm()
    node1 = lab.host("node1").docker
    node1.networks.create("uber-net", driver="overlay", attachable=True)
    node1.services.create(
        "busybox",
        command=["nc", "-lk", "-p", "7000", "-e", "cat"],
        name="echo",
        networks=["uber-net"],
        constraints=["node.hostname==node2"],
    )
    lab.settle()
    node1.containers.run("alpine", "sleep 1d", name="c1", network="uber-net", sysctls=sysctls, detach=True)
    lab.settle()
    return lab


def ask(lab, idle_s=901):
    lookup = lab.trace("c1", "echo:7000")
    c1 = directory_of(lab).find("c1")
    c1.spawn(talker, ["talker", lookup.question["address"], "7000"])
    lab.run(idle_s)
    with lab.watch("c1") as walk:
        PUSHES[-1].set_result(None)
        lab.run(1)
    return walk.finding


def fix(lab):
    """Send keepalives more often than every 900 s, instead of the default two hours (`docker run --sysctl`, or
    TCP_KEEPIDLE).

    Or resolve the name to the addresses of the tasks: `--endpoint-mode dnsrr`.
    """
    return ask(build(**{"net.ipv4.tcp_keepalive_time": "600"}))


SAYS = ("refused", "lb-uber-net resets the connection to service echo", "idle for 900 s")
THEN = ("answered",)

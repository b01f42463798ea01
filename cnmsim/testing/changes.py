"""Hypothesis strategies for changes to a lab: operations on its engine, and faults of its links and hosts."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING

from attrs import frozen
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from hypothesis.strategies import SearchStrategy

from cnmsim.errors import EngineError

if TYPE_CHECKING:
    from cnmsim.engine.engine import Engine
    from cnmsim.lab import Lab


class Verb(Enum):
    """The docker commands that an `Operation` can run. Hypothesis shrinks examples towards the first ones."""

    RUN = "run"
    CREATE_NETWORK = "network create"
    CONNECT = "network connect"
    DISCONNECT = "network disconnect"
    STOP = "stop"
    START = "start"
    RESTART = "restart"
    REMOVE = "rm"
    REMOVE_NETWORK = "network rm"


_WITH_CONTAINER = frozenset(
    {Verb.RUN, Verb.CONNECT, Verb.DISCONNECT, Verb.STOP, Verb.START, Verb.RESTART, Verb.REMOVE}
)
_WITH_NETWORK = frozenset({Verb.RUN, Verb.CREATE_NETWORK, Verb.CONNECT, Verb.DISCONNECT, Verb.REMOVE_NETWORK})


@frozen
class Operation:
    """One docker command, with the name of a container, of a network, or of both."""

    verb: Verb
    container: str = ""
    network: str = ""

    def __str__(self) -> str:
        if self.verb is Verb.RUN:
            return f"docker run -d --name {self.container} --network {self.network} nginx"
        return " ".join(("docker", self.verb.value, *filter(None, (self.network, self.container))))

    def apply(self, engine: Engine) -> bool:
        """Run the command on an engine. Return True if it succeeded, False if the engine refused it."""
        try:
            self._do(engine)
        except EngineError:
            return False
        finally:
            engine.clock.run_ready()
        return True

    def _do(self, engine: Engine) -> None:
        match self.verb:
            case Verb.RUN:
                engine.containers.run("nginx", name=self.container, network=self.network, detach=True)
            case Verb.CREATE_NETWORK:
                engine.networks.create(self.network)
            case Verb.CONNECT:
                engine.networks.get(self.network).connect(self.container)
            case Verb.DISCONNECT:
                engine.networks.get(self.network).disconnect(self.container)
            case Verb.STOP:
                engine.containers.get(self.container).stop()
            case Verb.START:
                engine.containers.get(self.container).start()
            case Verb.RESTART:
                engine.containers.get(self.container).restart()
            case Verb.REMOVE:
                engine.containers.get(self.container).remove(force=True)
            case Verb.REMOVE_NETWORK:
                engine.networks.get(self.network).remove()


def operations(
    *,
    containers: Sequence[str] = ("web", "db"),
    networks: Sequence[str] = ("front", "back"),
    verbs: Sequence[Verb] = tuple(Verb),
) -> SearchStrategy[Operation]:
    """Return a strategy for operations on `containers` and `networks`, many of which the engine refuses.

    `verbs` are the commands to draw from. Raises Hypothesis's `InvalidArgument` if one of the parameters is empty.
    """
    if not containers or not networks or not verbs:
        raise InvalidArgument("containers, networks and verbs must not be empty")

    @st.composite
    def operation(draw: st.DrawFn) -> Operation:
        # Both names are drawn for every verb: otherwise Hypothesis would take an example with fewer draws as the
        # smaller one, whatever its verb.
        verb = draw(st.sampled_from(list(verbs)))
        container, network = draw(st.sampled_from(list(containers))), draw(st.sampled_from(list(networks)))
        return Operation(verb, container if verb in _WITH_CONTAINER else "", network if verb in _WITH_NETWORK else "")

    return operation()


class FaultKind(Enum):
    """The kinds of faults. Hypothesis shrinks examples towards the first ones."""

    LOSS = "loss"
    ONE_WAY = "one way only"
    CUT = "cable pulled"
    BLOCKED_PORT = "port blocked"
    NO_FORWARDING = "net.ipv4.ip_forward=0"


@frozen
class Fault:
    """A fault of the host `host`, or of the path between `host` and `other`.

    `share` is the fraction of frames that are lost (0 to 1), `port` the number of a blocked port. Fields that the
    kind does not need are ignored.
    """

    kind: FaultKind
    host: str
    other: str = ""
    share: float = 1.0
    port: int = 0

    def __str__(self) -> str:
        match self.kind:
            case FaultKind.LOSS:
                return f"{self.share:.0%} of what {self.host} sends to {self.other} is lost, and back"
            case FaultKind.ONE_WAY:
                return f"{self.other} hears nothing from {self.host}"
            case FaultKind.CUT:
                return f"the cables of {self.host} are pulled"
            case FaultKind.BLOCKED_PORT:
                return f"{self.host} drops what comes in for TCP and UDP port {self.port}"
        return f"{self.host} does not forward"

    def apply(self, lab: Lab) -> None:
        """Cause the fault in a lab."""
        match self.kind:
            case FaultKind.LOSS:
                lab.lose(self.host, self.other, self.share)
                lab.lose(self.other, self.host, self.share)
            case FaultKind.ONE_WAY:
                lab.lose(self.host, self.other)
            case FaultKind.CUT:
                lab.cut(self.host)
            case FaultKind.BLOCKED_PORT:
                for protocol in ("tcp", "udp"):
                    lab.host(self.host).iptables(f"-I INPUT -p {protocol} --dport {self.port} -j DROP")
            case FaultKind.NO_FORWARDING:
                lab.host(self.host).exec("sysctl -w net.ipv4.ip_forward=0")


def faults(
    *,
    hosts: Sequence[str] = ("node", "client"),
    kinds: Sequence[FaultKind] = tuple(FaultKind),
    ports: Sequence[int] = (7946, 4789, 2377, 80),
) -> SearchStrategy[Fault]:
    """Return a strategy for faults of `hosts` and of the paths between them.

    `kinds` are the kinds to draw from, `ports` the ports that may be blocked. Shrinks to a small loss between the
    first two hosts. Raises Hypothesis's `InvalidArgument` if there is nothing to draw from, or if a fault needs two
    hosts and there is only one.
    """
    between = {FaultKind.LOSS, FaultKind.ONE_WAY}
    if not hosts or not kinds or not ports:
        raise InvalidArgument("hosts, kinds and ports must not be empty")
    if len(set(hosts)) < 2 and between & set(kinds):
        raise InvalidArgument("a fault between two needs two hosts")

    @st.composite
    def fault(draw: st.DrawFn) -> Fault:
        kind = draw(st.sampled_from(list(kinds)))
        host = draw(st.sampled_from(list(hosts)))
        # All values are drawn for every kind: otherwise Hypothesis would take an example with fewer draws as the
        # smaller one, whatever its kind.
        other = draw(st.sampled_from([name for name in hosts if name != host] or [""]))
        tenths = draw(st.integers(1, 10))
        port = draw(st.sampled_from(list(ports)))
        return Fault(
            kind,
            host,
            other if kind in between else "",
            tenths / 10 if kind is FaultKind.LOSS else 1.0,
            port if kind is FaultKind.BLOCKED_PORT else 0,
        )

    return fault()

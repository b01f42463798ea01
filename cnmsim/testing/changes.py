"""What happens to a lab: operations on its engine, and faults of its wiring and its hosts, as values that print and shrink."""

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
    """What an operator does, the least first."""

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
    """One docker command: a verb with a container's name, a network's name, or both."""

    verb: Verb
    container: str = ""
    network: str = ""

    def __str__(self) -> str:
        if self.verb is Verb.RUN:
            return f"docker run -d --name {self.container} --network {self.network} nginx"
        return " ".join(("docker", self.verb.value, *filter(None, (self.network, self.container))))

    def apply(self, engine: Engine) -> bool:
        """Do it. Tells whether the engine did, and did not refuse."""
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
    """Give operations on `containers` and `networks`; many will be refused, as things are not there or are in use.

    Raises Hypothesis's `InvalidArgument` where there is nothing to draw from.
    """
    if not containers or not networks or not verbs:
        raise InvalidArgument("containers, networks and verbs must not be empty")

    @st.composite
    def operation(draw: st.DrawFn) -> Operation:
        # Both names are drawn for every verb: what draws less would count as the smaller example, whatever it does.
        verb = draw(st.sampled_from(list(verbs)))
        container, network = draw(st.sampled_from(list(containers))), draw(st.sampled_from(list(networks)))
        return Operation(verb, container if verb in _WITH_CONTAINER else "", network if verb in _WITH_NETWORK else "")

    return operation()


class FaultKind(Enum):
    """What goes wrong, the mildest first."""

    LOSS = "loss"
    ONE_WAY = "one way only"
    CUT = "cable pulled"
    BLOCKED_PORT = "port blocked"
    NO_FORWARDING = "net.ipv4.ip_forward=0"


@frozen
class Fault:
    """Something that goes wrong at `host`, towards `other` where it is about two; `apply` brings it about."""

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
        """Bring it about."""
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
    """Give faults between and at `hosts` of a lab. Shrinks to a little loss between the first two.

    Raises Hypothesis's `InvalidArgument` where there is nothing to draw from, or one host alone for a fault between two.
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
        # Everything is drawn for every kind: what draws less would count as the smaller example, whatever it is.
        other = draw(st.sampled_from([each for each in hosts if each != host] or [""]))
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

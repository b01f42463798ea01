"""The renderer of sentences, helpers for parts that sentences share, and the sentences that are templates."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import singledispatch
from importlib import import_module
from string import Formatter
from typing import TYPE_CHECKING, Any

from cnmsim.observe.diagnosis.causes.base import Drop, Fact

if TYPE_CHECKING:
    from cnmsim.observe.diagnosis.causes.overlay import TunnelPacket


@singledispatch
def sentence(value: object) -> str:
    """Render a cause, a remark or a change as a sentence without a full stop.

    Raises `KeyError` if there is no sentence for the type of `value`.
    """
    if _load(type(value)):
        return sentence(value)
    return _FORMATTER.format(TEMPLATES[value if isinstance(value, Fact) else type(value)], value)


class _Formatter(Formatter):
    """`str.format` with three more conversions of a field.

    `!j` joins texts by commas, `!n` lists names of networks, and `!t` renders a cause as a sentence.
    """

    def convert_field(self, value: Any, conversion: str | None) -> Any:
        match conversion:
            case "j":
                return ", ".join(value)
            case "n":
                return _networks(value)
            case "t":
                return sentence(value)
        return super().convert_field(value, conversion)


_FORMATTER = _Formatter()


def _load(kind: type[object]) -> bool:
    """Import the module that has the sentences of a type. Return False if it was imported before.

    The module has the name of the module that defines the type. It is imported only when a sentence is first needed,
    because an answer needs few sentences.
    """
    name = f"{__package__}.{kind.__module__.rpartition('.')[2]}"
    if name in sys.modules:
        return False
    import_module(name)
    return True


def _dropped(drop: Drop, verb: str = "dropped") -> str:
    """Return the packet, the place and the rule of a drop as text; `verb` may also be `rejected` or `refused`.

    Example: `the answer from web is dropped on node1 by filter FORWARD: …`.
    """
    by = f" by {drop.hop.decision}" if drop.hop.decision else ""
    return f"{_answer(drop)}{verb} on {drop.hop.place}{by}"


def _answer(drop: Drop) -> str:
    return f"the answer from {drop.replier} is " if drop.replier else ""


def _reason(drop: Drop) -> str:
    return drop.hop.reason.value if drop.hop.reason is not None else drop.hop.what


def _networks(names: Sequence[str]) -> str:
    return " and ".join(names) if names else "no network"


def _servers(servers: Sequence[str]) -> str:
    return ", ".join(servers) or "its name server"


def _packet(packet: TunnelPacket) -> str:
    kind = "ESP packet (IP protocol 50)" if packet.is_encrypted else f"VXLAN packet (UDP port {packet.port})"
    subject = "the answer: its" if packet.is_reply else "the"
    return f"{subject} {kind} from {packet.sender} to {packet.receiver} that carries network {packet.network}"


def _silent(host: str, endpoint: str) -> str:
    return f"{host} answers, but nothing listens on {endpoint}"


def _vlan(vlan: int) -> str:
    return f"VLAN {vlan}" if vlan else "no VLAN (untagged)"


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeio" else f"a {kind}"


#: Sentences that only contain fields of their value, which `_Formatter` renders; `0` is the value. The modules beside
#: this one add theirs.
TEMPLATES: dict[object, str] = {
    Fact.SAME_STACK: "the packets stay in one network stack",
    Fact.ROUTED_PATH: "routed all the way",
    Fact.ONE_LINK: "both are on one link",
    Fact.GOSSIP_PENDING: "it comes by gossip, which has not arrived yet",
    Fact.DEFAULT_BRIDGE_HAS_NO_NAMES: "the default bridge has no names, its containers use the host's name server",
    Fact.OTHER_IP_VERSION: "the name exists, but has no address of that IP version",
    Fact.NAME_UNKNOWN: "no container, service or host has that name",
    Fact.NO_UPSTREAM_USABLE: "it asked no other server, because the container is on internal networks only",
    Fact.SUBNET_NOT_FIXED: (
        "the network's subnet was chosen by Docker, and would be another one after it is made anew"
    ),
    Fact.BRIDGE_ONLY: ": only stations on that bridge may send there",
    Fact.CONTAINER_ADDRESS_FROM_OUTSIDE: "; a container's own address cannot be reached from outside its host",
    Fact.OPERATOR_RULE: "; a rule in DOCKER-USER, which Docker leaves to the operator",
    Fact.OUTPUT_RULE: ", before it left",
    Fact.NFTABLES_POLICY: ": Docker's rules are in nftables here, and what they accept iptables may still drop",
    Fact.CHAINS_WIPED: ": none of Docker's chains is there any more, a reload of the firewall wiped them",
    Fact.NO_RULE_ACCEPTS: ": no rule accepts it",
}

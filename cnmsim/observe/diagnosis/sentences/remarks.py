"""The texts of remarks: of facts that a diagnosis states beside the cause."""

from __future__ import annotations

from cnmsim.observe.diagnosis.causes import remarks as causes
from cnmsim.observe.diagnosis.sentences.base import TEMPLATES, sentence


@sentence.register(causes.ServerPaused)
def _(remark: causes.ServerPaused) -> str:
    what = "connections" if remark.protocol == "tcp" else "datagrams"
    return f"{remark.server} is paused: its kernel accepts {what}, its program answers nothing"


@sentence.register(causes.LookupQueries)
def _(remark: causes.LookupQueries) -> str:
    queries = "; ".join(remark.queries)
    return f"asked: {queries}" if remark.is_failure else f"the name took {len(remark.queries)} queries: {queries}"


@sentence.register(causes.VirtualAddress)
def _(remark: causes.VirtualAddress) -> str:
    return (
        f"{remark.address} is the virtual address of service {remark.service}, balanced over {remark.tasks} "
        f"task{'s' * (remark.tasks != 1)}; "
        f"a connection idle for {remark.idle_s} s is forgotten"
    )


@sentence.register(causes.ConnectionReused)
def _(remark: causes.ConnectionReused) -> str:
    return (
        f"{remark.place} does not balance this connection: it sends port {remark.port} of {remark.source} to "
        f"{remark.task or 'the task it had before'} for 120 s after the last connection from that port was closed "
        f"({remark.sysctl}, which "
        "Docker sets)"
    )


@sentence.register(causes.TunnelMtuTooSmall)
def _(remark: causes.TunnelMtuTooSmall) -> str:
    # Outer packets may be fragmented by the machines that route them, but no switch does that.
    is_segment = remark.where.startswith("segment")
    what = "small packets pass, full ones do not" if is_segment else "full packets are fragmented"
    return (
        f"{what}: network {remark.network} has an MTU of {remark.inner_mtu}, its tunnel adds {remark.header} "
        f"bytes, and {remark.where} carries "
        f"{remark.mtu}; set com.docker.network.driver.mtu={remark.mtu} on the network"
    )


@sentence.register(causes.NodeDown)
def _(remark: causes.NodeDown) -> str:
    why = remark.obstacle or "the managers receive no heartbeat from it (TCP port 2377)"
    if not remark.obstacle and remark.reason is not None:
        why = sentence(remark.reason)
    helping = f"; {sentence(remark.change)}" if remark.change is not None else ""
    return f"{remark.host} is down: {why}{helping}"


TEMPLATES.update(
    {
        causes.LateSuccess: "only try {0.tries} came through, after {0.seconds} s; the first one: {0.cause!t}",
        causes.NameShared: (
            "{0.count} containers answer to the name {0.name}: {0.owners!j}; which of them a client connects to "
            "changes from one lookup to the next"
        ),
        causes.ClientSeenAs: "{0.server} sees the client as {0.seen}, not as {0.own}",
        causes.RuleNotVisited: (
            "{0.rule} on {0.host} was never visited: a published port goes through FORWARD, not INPUT; filter it "
            "in DOCKER-USER, or publish it on 127.0.0.1"
        ),
        causes.ProxyClosed: "docker-proxy on {0.host} accepted the connection and closed it when {0.server} refused",
        causes.AddressClaimedTwice: (
            "{0.one} and {0.other} both claim {0.address}; which of them receives a packet depends on the sender's "
            "ARP cache: exclude from the network's --ip-range what a DHCP server or an operator assigns"
        ),
    }
)

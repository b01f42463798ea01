"""The same set-up and the same packets in the Linux kernel and in the simulated one: the same comes of them."""

import re

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from setups import BRIDGE_NF, ESTABLISHED, FORWARD, MASQUERADE, PUBLISH, SETUPS, both
from two_worlds import LinuxWorld, Probe, SimulatedWorld

pytestmark = pytest.mark.root(
    "bridge", "iptables", "ip6tables", trial="cat /proc/sys/net/bridge/bridge-nf-call-iptables; iptables -t nat -L -n"
)

NOWHERE = ("10.9.0.5", "fd99::5")
DESTINATIONS = (
    "10.1.0.1", "10.1.0.2", "10.1.0.3", "10.2.0.1", "10.2.0.2", "192.168.9.1", "192.168.9.2", NOWHERE[0],
    "fd01::1", "fd01::2", "fd01::3", "fd02::2", "fd09::1", "fd09::2", NOWHERE[1],
)  # fmt: skip
SILENCE = (("silence",), ())
BIG = {"10.2.0.2": 1450, "192.168.9.2": 1450, "fd02::2": 1430, "fd09::2": 1430}


def probes(sources="habcx", destinations=DESTINATIONS, *, tries_tcp_to_nowhere=False):
    """Send every kind of packet from everywhere to everywhere."""
    found = []

    def add(*what, **more):
        found.append(Probe(len(found), *what, **more))

    for src in sources:
        for dst in destinations:
            add(src, "ping", dst)
            # Linux answers a host five times at once that there is no route (ip_rt_error_burst).
            for port in (5000,) if dst in NOWHERE else (5000, 80, 8080):
                add(src, "udp", dst, port)
                if dst not in NOWHERE or tries_tcp_to_nowhere:
                    add(src, "tcp", dst, port)
    return found


def probes_that_die_on_the_way():
    """Send packets whose hops run out, and those that are too big and must not be fragmented."""
    found = []

    def add(*what, **more):
        found.append(Probe(2000 + len(found), *what, **more))

    for src in "ax":
        for dst in ("10.2.0.2", "fd02::2", "10.1.0.3", "192.168.9.2", "fd09::2"):
            for kind, port in (("ping", 0), ("udp", 80)):
                add(src, kind, dst, port, ttl=1)
                add(src, kind, dst, port, ttl=2)
        for dst, size in BIG.items():
            add(src, "ping", dst, size=size, df="do")
    add("a", "udp", "10.1.0.3", 80, size=2000, df="do")
    return found


def probes_in_fragments():
    """Send what is fragmented by its sender or on its way."""
    found = []

    def add(*what, **more):
        found.append(Probe(3000 + len(found), *what, **more))

    for src in "ax":
        for dst, size in BIG.items():
            add(src, "udp", dst, 5000, size=size, df="dont")
            add(src, "udp", dst, 80, size=3000, df="dont")
            add(src, "udp", dst, 81, size=3000, df="dont")
    for dst in ("10.1.0.3", "fd01::3", "10.1.0.1", "fd02::2"):
        add("a", "ping", dst, size=3000, df="dont")
    return found


BATCHES = (probes(), probes_that_die_on_the_way(), probes_in_fragments())


def differences(commands, batches):
    """Return a line for each probe that has another outcome in the two kernels."""
    ours = SimulatedWorld()
    ours.run(commands)
    lines = []
    with LinuxWorld() as linux:
        linux.run(commands)
        for batch in batches:
            expected, found = linux.probe(batch), ours.probe(batch)
            # Over a veth an ICMP error is back while connect() still holds the socket, and is dropped
            # (LockDroppedIcmps); the retransmitted SYNs, 1 s and 3 s later, meet it again. Other answers come too
            # late on a busy machine, or not at all where Linux limits the rate of ICMP errors.
            for wait in (1.2, 3.5, 3.5):
                doubtful = [probe for probe in batch if expected[probe] == SILENCE != found[probe]]
                if doubtful:
                    expected |= linux.probe(doubtful, wait=wait)
            lines += [
                f"{probe}: Linux {expected[probe]}, simulated {found[probe]}"
                for probe in batch
                if found[probe] != expected[probe]
            ]
    return lines


@pytest.mark.parametrize("name", SETUPS)
def test_the_same_comes_of_every_packet(name):
    # Whoever has no way answers a SYN so fast that it costs a second to see (see `differences`): only where it
    # matters.
    first = probes(tries_tcp_to_nowhere="unreachable" in name or "route" in name)
    assert differences(SETUPS[name], [first, *BATCHES[1:]]) == []


MATCHES = st.lists(
    st.sampled_from(
        ["-i br1", "! -i br1", "-p tcp", "-p udp", "-p udp --dport 5000", "-p tcp ! --dport 80", "-m mark --mark 0x1",
         "-m conntrack --ctstate NEW", "-m conntrack --ctstate RELATED,ESTABLISHED", "-m conntrack --ctstate DNAT",
         "-m conntrack --ctdir REPLY", "-m addrtype --dst-type LOCAL", "-m addrtype ! --src-type LOCAL"]
    ),
    max_size=2,
    unique_by=lambda match: re.findall(r"-i|-p|-m \w+", match)[0],
).map(lambda matches: " ".join(sorted(matches, key=lambda match: match.startswith("-m"))))  # fmt: skip
FILTER = st.builds(
    "-A {} {} -j {}".format,
    st.sampled_from(["INPUT", "FORWARD", "FORWARD", "OUTPUT"]),
    MATCHES,
    st.sampled_from(["ACCEPT", "DROP", "REJECT", "RETURN", "MARK"]),
).filter(lambda rule: not ("-A OUTPUT" in rule and "-i br1" in rule))
POLICIES = st.sampled_from([(), both("-P FORWARD DROP"), both("-P INPUT DROP")])


def allowed(rule):
    """Put what marks where marking is allowed, ahead of the filter."""
    return rule.replace("-A", "-t mangle -A", 1) + " --set-mark 0x1" if rule.endswith("MARK") else rule


@settings(max_examples=12, deadline=None, derandomize=True, phases=[Phase.generate])
@given(
    st.lists(FILTER, max_size=6),
    POLICIES,
    st.sampled_from([(), MASQUERADE, PUBLISH, (*MASQUERADE, *PUBLISH)]),
    st.sampled_from([(), BRIDGE_NF]),
    st.booleans(),
)
def test_the_same_comes_of_every_packet_under_any_rules(rules, policies, nat, bridging, answers_pass):
    commands = [*FORWARD, *bridging, *nat, *policies]
    commands += both(f"-A FORWARD {ESTABLISHED}") if answers_pass else ()
    # Without neighbour discovery nothing gets through over IPv6, and what is compared would depend on its timers.
    commands += [f"h: ip6tables -A {chain} -p ipv6-icmp -j ACCEPT" for chain in ("INPUT", "OUTPUT")]
    for rule in rules:
        commands += both(allowed(rule))
    assert differences(commands, BATCHES[:1]) == [], commands

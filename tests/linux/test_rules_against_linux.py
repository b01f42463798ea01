"""Policy routing: the same rules, tables and questions typed to iproute2 on the Linux kernel, and to ours."""

import os
import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.program_host import World

from cnmsim.userland import HOST_PROGRAMS

pytestmark = pytest.mark.root("sysctl", trial="ip rule; ip link add a0 type veth peer name a1")

NAMESPACE = f"cnmsim-rules{os.getpid()}"
SETUP = [
    "ip link set lo up",
    "ip link add a0 type veth peer name a1", "ip link add b0 type veth peer name b1",
    *(f"ip link set {device} up" for device in ("a0", "a1", "b0", "b1")),
    "ip addr add 10.9.0.1/24 dev a0", "ip addr add 10.8.0.1/24 dev b0",
    "sysctl -w net.ipv4.ip_forward=1",
    *(f"sysctl -w net.ipv4.conf.{each}.rp_filter=0" for each in ("all", "a0", "b0")),
]  # fmt: skip

tables = st.sampled_from(["main", "100", "5", "51820", "default"])
prefixes = st.sampled_from(
    ["10.9.0.0/24", "10.9.0.77", "10.8.0.0/16", "8.8.8.0/24", "8.8.8.8", "0.0.0.0/0", "10.9.0.1", "1.2.3.4"]
)
marks = st.sampled_from(["1", "0x1/0xff", "51820", "0x10/0x10", "0"])
selectors = st.fixed_dictionaries(
    {},
    optional={
        "not": st.just(""),
        "from": prefixes,
        "to": prefixes,
        "fwmark": marks,
        "iif": st.sampled_from(["a0", "b0", "lo", "gone0"]),
        "oif": st.sampled_from(["a0", "b0"]),
        "pref": st.integers(1, 40000).map(str),
        "suppress_prefixlength": st.sampled_from(["0", "8", "24"]),
    },
)
actions = st.one_of(
    tables.map(lambda table: f"lookup {table}"), st.sampled_from(["blackhole", "unreachable", "prohibit"])
)


@st.composite
def rules(draw):
    chosen = draw(selectors)
    action = draw(actions)
    if not action.startswith("lookup"):
        chosen.pop("suppress_prefixlength", None)
    words = [f"{key} {value}".strip() for key, value in sorted(chosen.items(), key=lambda item: item[0] != "not")]
    return " ".join(["ip rule add", *words, action])


routes = st.builds(
    "ip route add {} {} table {}".format,
    st.sampled_from(["default", "8.8.8.0/24", "8.8.0.0/16", "1.2.3.4"]),
    st.sampled_from(["via 10.9.0.254", "via 10.8.0.254", "dev b0", "via 10.8.0.7 src 10.9.0.1"]),
    tables,
)
refusals = st.builds(
    "ip route add {} {} table {}".format,
    st.sampled_from(["blackhole", "unreachable", "prohibit", "throw"]),
    st.sampled_from(["default", "8.8.8.0/24", "8.8.8.8"]),
    tables,
)
#: None that fits the rule of the local table, which cnmsim keeps.
removals = st.one_of(
    st.builds(
        "ip rule del {} {}".format, st.sampled_from(["from 10.9.0.1", "fwmark 1", "iif a0", "not oif b0"]), actions
    ),
    st.builds(
        "ip rule del {}".format, st.sampled_from(["from 10.9.0.0/24", "pref 7", "not fwmark 51820", "pref 32766"])
    ),
    st.builds("ip route del {} table {}".format, st.sampled_from(["default", "8.8.8.0/24"]), tables),
    st.just("ip rule flush"),
)
steps = st.lists(st.one_of(rules(), rules(), routes, refusals, removals), min_size=1, max_size=12)
QUESTIONS = [
    f"ip route get {dst}{rest}"
    for dst in ("8.8.8.8", "1.2.3.4", "10.9.0.77", "9.9.9.9")
    for rest in (
        "", " from 10.9.0.1", " mark 1", " mark 51820", " mark 0x11", " from 10.9.0.77 iif a0",
        " from 10.8.0.9 iif b0",
        " from 10.9.0.77 iif a0 mark 1", " from 10.8.0.1 mark 51820",
    )
]  # fmt: skip
LISTS = ["ip rule", *(f"ip route show table {table}" for table in ("main", "100", "5", "51820", "default"))]


def real(lines):
    script = "".join(f"{line} 2>&1; echo rc=$?; echo '%%'\n" for line in lines)
    done = subprocess.run(
        ["ip", "netns", "exec", NAMESPACE, "sh", "-s"],
        input=script,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.split("%%\n")[:-1]


def ours(world, lines):
    answers = []
    for line in lines:
        found = world.argv(line.split(), programs=HOST_PROGRAMS)
        answers.append(f"{found.out}{found.err}rc={found.status}\n")
    return answers


@pytest.fixture
def namespaces():
    yield
    subprocess.run(["ip", "netns", "del", NAMESPACE], check=False, capture_output=True)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given_steps=steps)
def test_rules_and_tables_choose_the_same_routes(namespaces, given_steps):
    subprocess.run(["ip", "netns", "del", NAMESPACE], check=False, capture_output=True)
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
    real(SETUP)
    world = World()
    root = world.one.root
    root.remove_device(root.devices["eth0"])
    for line in SETUP[1:]:
        assert world.host(line).err == ""
    lines = [*given_steps, *LISTS, *QUESTIONS]
    wanted = real(lines)
    found = ours(world, lines)
    for line, theirs, mine in zip(lines, wanted, found, strict=True):
        assert (line, mine) == (line, theirs), given_steps

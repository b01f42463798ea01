"""/proc/sys: sysctls read and written as files."""

from __future__ import annotations

import pytest

from cnmsim import Lab
from cnmsim.kernel.address import format_mac
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.dummy import Dummy
from cnmsim.kernel.namespace import NetworkNamespace


def test_a_host_reads_and_sets_sysctls_as_files() -> None:
    host = Lab().add_host("node", "10.0.0.1/24")
    assert host.exec("cat /proc/sys/net/ipv4/ip_forward").output == "0\n"
    assert host.exec("echo 1 > /proc/sys/net/ipv4/ip_forward; sysctl -n net.ipv4.ip_forward").output == "1\n"
    host.exec("echo 2 >> /proc/sys/net/ipv4/conf/eth0/rp_filter")
    assert host.exec("sysctl -n net.ipv4.conf.eth0.rp_filter").output == "2\n"
    assert host.exec("echo 0 | tee /proc/sys/net/ipv4/ip_forward").output == "0\n"
    assert not host.namespace.forwards4


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        ("/proc/sys/net/ipv4/ip_forward", "-rw-r--r--"),
        ("/proc/net/dev", "-r--r--r--"),
        ("/sys/class/net/lo/mtu", "-r--r--r--"),
    ],
)
def test_files_of_the_kernel_belong_to_root(path: str, mode: str) -> None:
    host = Lab().add_host("node", "10.0.0.1/24")
    assert host.exec(f"ls -l {path}").output.split()[:4] == [mode, "1", "root", "root"]


def test_a_sysctl_nobody_knows_is_no_file() -> None:
    host = Lab().add_host("node", "10.0.0.1/24")
    assert "No such file or directory" in host.exec("cat /proc/sys/net/nope").output
    assert not host.machine.files.exists("/proc/sys/net/nope")


@pytest.mark.parametrize(("is_privileged", "value"), [(False, "0\n"), (True, "1\n")])
def test_a_container_sets_its_own_sysctls_only_with_privileges(is_privileged: bool, value: str) -> None:
    engine = Lab().add_host("node", "10.0.0.1/24", docker=True).docker
    container = engine.containers.run("alpine", "sleep 1d", name="box", privileged=is_privileged, detach=True)
    key = "/proc/sys/net/ipv4/conf/eth0/proxy_arp"
    said = container.exec(f"sh -c 'echo 1 > {key}'")
    assert ("Read-only file system" in said) is not is_privileged
    assert str(container.exec(f"cat {key}")) == value
    assert container.namespace.sysctl_get("net.ipv4.conf.eth0.proxy_arp") == value.strip()


PROC = "/proc/sys/net/ipv4/ip_forward"
REFUSED_INSIDE = [
    ("sysctl -w net.ipv4.ip_forward=0", "sysctl: error setting key 'net.ipv4.ip_forward': Read-only file system\n"),
    ("sysctl net.ipv4.ip_forward=", "sysctl: error setting key 'net.ipv4.ip_forward': Read-only file system\n"),
    ("sysctl -w net/ipv4/ip_forward", "sysctl: error: 'net.ipv4.ip_forward' must be of the form name=value\n"),
    ("sysctl net.nope", "sysctl: error: 'net.nope' is an unknown key\n"),
    (f"sh -c 'echo 0 > {PROC}'", f"sh: can't create {PROC}: Read-only file system\n"),
    (f"sh -c 'echo 0 | tee {PROC} > /dev/null'", f"tee: {PROC}: Read-only file system\n"),
    (f"touch {PROC}", f"touch: {PROC}: Read-only file system\n"),
    ("touch /proc/sys/net/nope", "touch: /proc/sys/net/nope: No such file or directory\n"),
    (f"rm {PROC}", f"rm: can't remove '{PROC}': Permission denied\n"),
    ("mkdir /proc/sys/net/x", "mkdir: can't create directory '/proc/sys/net/x': No such file or directory\n"),
]


@pytest.fixture(scope="module")
def lab() -> Lab:
    lab = Lab()
    engine = lab.add_host("node", "10.0.0.1/24", docker=True).docker
    engine.containers.run("alpine", "sleep 1d", name="box", detach=True)
    engine.containers.run("alpine", "sleep 1d", name="free", privileged=True, detach=True)
    engine.containers.run("alpine", "sleep 1d", name="asked", sysctls={"net.ipv4.ip_forward": "0"}, detach=True)
    return lab


@pytest.mark.parametrize(("line", "said"), REFUSED_INSIDE, ids=[line for line, _ in REFUSED_INSIDE])
def test_a_container_without_privileges_is_refused_in_the_programs_words(lab: Lab, line: str, said: str) -> None:
    result = lab.container("box").exec(line)
    assert (result.exit_code, result.output) == (1, said)
    assert lab.container("box").namespace.sysctl_get("net.ipv4.ip_forward") == "1"


def test_sysctl_is_set_by_privileges_and_when_the_container_is_made(lab: Lab) -> None:
    free = lab.container("free")
    assert str(free.exec("sysctl -w net.ipv4.conf.eth0.proxy_arp=1")) == "net.ipv4.conf.eth0.proxy_arp = 1\n"
    assert str(free.exec("sysctl -n net.ipv4.conf.eth0.proxy_arp")) == "1\n"
    assert str(free.exec("sysctl -qw net.ipv4.conf.eth0.proxy_arp=0")) == ""
    refused = free.exec("sysctl -w net.ipv4.ip_forward=x")
    assert (refused.exit_code, refused.output) == (1, "sysctl: write error: Invalid argument\n")
    assert str(lab.container("asked").exec("sysctl net.ipv4.ip_forward")) == "net.ipv4.ip_forward = 0\n"


def test_a_value_a_sysctl_does_not_take_is_a_write_error(lab: Lab) -> None:
    free = lab.container("free")
    refused = free.exec(f"sh -c 'echo x > {PROC}'")
    assert (refused.exit_code, refused.output) == (1, "sh: write error: Invalid argument\n")
    refused = free.exec(f"sh -c 'echo x | cat > {PROC}'")
    assert (refused.exit_code, refused.output) == (1, "cat: write error: Invalid argument\n")
    refused = free.exec("sh -c 'echo 1 > /proc/sys/net/nope'")
    assert (refused.exit_code, refused.output) == (1, "sh: can't create /proc/sys/net/nope: nonexistent directory\n")


def test_forwarding_of_all_devices_is_that_of_each_and_of_those_to_come():
    namespace = NetworkNamespace("n", Clock())
    for name in ("eth0", "eth1"):
        namespace.add_device(Dummy(name, bytes(6), namespace.clock))
    for family in (4, 6):
        conf = f"net.ipv{family}.conf"
        namespace.sysctl_set(f"{conf}.eth0.forwarding", "0")
        namespace.sysctl_set(f"{conf}.all.forwarding", "1")
        assert {namespace.sysctl_get(f"{conf}.{name}.forwarding") for name in ("all", "default", "eth0", "eth1")} == {
            "1"
        }
        namespace.sysctl_set(f"{conf}.default.forwarding", "0")
        assert namespace.sysctl_get(f"{conf}.all.forwarding") == "1"
    assert namespace.sysctl_get("net.ipv4.ip_forward") == "1"


def test_a_router_takes_no_redirects_and_a_device_may():
    namespace = NetworkNamespace("n", Clock())
    assert namespace.sysctl_get("net.ipv4.conf.all.accept_redirects") == "1"
    namespace.sysctl_set("net.ipv4.ip_forward", "1")
    assert namespace.sysctl_get("net.ipv4.conf.all.accept_redirects") == "0"
    assert namespace.sysctl_get("net.ipv4.conf.lo.accept_redirects") == "1"
    namespace.sysctl_set("net.ipv4.conf.all.accept_redirects", "1")
    namespace.sysctl_set("net.ipv4.ip_forward", "1")
    assert namespace.sysctl_get("net.ipv4.conf.all.accept_redirects") == "1"


def test_sysctls_of_a_device_come_and_go_with_it() -> None:
    host = Lab().add_host("node", "10.0.0.1/24")
    assert host.exec("sysctl net.ipv4.neigh.eth0.app_solicit net.ipv4.conf.lo.disable_xfrm").output == (
        "net.ipv4.neigh.eth0.app_solicit = 0\nnet.ipv4.conf.lo.disable_xfrm = 1\n"
    )
    gone = host.exec("sysctl net.ipv4.conf.eth7.rp_filter")
    assert (gone.status, gone.output) == (
        1, "sysctl: cannot stat /proc/sys/net/ipv4/conf/eth7/rp_filter: No such file or directory\n",
    )  # fmt: skip
    listed = host.exec("sysctl -a").output.splitlines()
    assert "net.ipv4.conf.eth0.arp_notify = 0" in listed
    assert not any("eth7" in line or ".neigh.all." in line for line in listed)


def test_a_container_may_open_low_ports_and_ping_unless_it_is_told_otherwise() -> None:
    host = Lab().add_host("node", "10.0.0.1/24", docker=True)
    engine = host.docker
    asked = "sysctl -n net.ipv4.ping_group_range net.ipv4.ip_unprivileged_port_start"
    plain = engine.containers.run("alpine", "sleep 1d", detach=True)
    assert str(plain.exec(asked)) == "0\t2147483647\n0\n"
    chosen = {"net.ipv4.ip_unprivileged_port_start": "80"}
    told = engine.containers.run("alpine", "sleep 1d", sysctls=chosen, detach=True)
    assert str(told.exec(asked)) == "0\t2147483647\n80\n"
    assert host.exec(asked).output == "1\t0\n1024\n"


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ("26.1.5", "reassociate to namespace 'ns/net' failed: Invalid argument"),
        ("28.5.2", "No such file or directory"),
    ],
)
def test_the_file_of_a_namespace_that_is_gone_may_stay_for_a_minute(engine: str, said: str) -> None:
    lab = Lab()
    host = lab.add_host("node", "10.0.0.1/24", docker=True, engine=engine)
    key = host.docker.containers.run("alpine", "sleep 1d", name="box", detach=True).attrs["NetworkSettings"][
        "SandboxKey"
    ]
    assert host.exec(f"nsenter --net={key} ip -br link").status == 0
    host.docker.containers.get("box").remove(force=True)
    assert said in host.exec(f"nsenter --net={key} ip -br link").output
    lab.run(60)
    assert "No such file or directory" in host.exec(f"nsenter --net={key} ip -br link").output


def test_the_arp_table_shows_flags_of_if_arp() -> None:
    # linux/if_arp.h, arp_format_neigh_entry: ATF_COM is 2, ATF_PERM 4; an unresolved address has neither.
    lab = Lab()
    host, other = lab.add_host("node", "10.0.0.1/24"), lab.add_host("other", "10.0.0.8/24")
    host.exec("ping -c 1 10.0.0.8")
    host.exec("ip neigh add 10.0.0.9 lladdr 02:00:00:00:00:09 dev eth0")
    host.exec("ping -c 1 -W 1 10.0.0.7")
    rows = [line.split() for line in host.exec("cat /proc/net/arp").output.splitlines()[1:]]
    assert {row[0]: (row[2], row[3]) for row in rows} == {
        "10.0.0.7": ("0x0", "00:00:00:00:00:00"),
        "10.0.0.8": ("0x2", format_mac(other.namespace.devices["eth0"].mac)),
        "10.0.0.9": ("0x6", "02:00:00:00:00:09"),
    }

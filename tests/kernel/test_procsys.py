"""/proc/sys: sysctls read and written as files."""

from __future__ import annotations

import pytest

from cnmsim import Lab


def test_a_host_reads_and_sets_sysctls_as_files() -> None:
    host = Lab().add_host("node", "10.0.0.1/24")
    assert host.exec("cat /proc/sys/net/ipv4/ip_forward").output == "0\n"
    assert host.exec("echo 1 > /proc/sys/net/ipv4/ip_forward; sysctl -n net.ipv4.ip_forward").output == "1\n"
    host.exec("echo 2 >> /proc/sys/net/ipv4/conf/eth0/rp_filter")
    assert host.exec("sysctl -n net.ipv4.conf.eth0.rp_filter").output == "2\n"
    assert host.exec("echo 0 | tee /proc/sys/net/ipv4/ip_forward").output == "0\n"
    assert not host.namespace.forwards4


def test_a_sysctl_nobody_knows_is_no_file() -> None:
    host = Lab().add_host("node", "10.0.0.1/24")
    assert "No such file or directory" in host.exec("cat /proc/sys/net/nope").output
    assert not host.machine.files.exists("/proc/sys/net/nope")


@pytest.mark.parametrize(("is_privileged", "value"), [(False, "0\n"), (True, "1\n")])
def test_a_container_sets_its_own_sysctls_only_with_privileges(is_privileged: bool, value: str) -> None:
    engine = Lab().add_host("node", "10.0.0.1/24", docker=True).docker
    assert engine is not None
    container = engine.containers.run("alpine", "sleep 1d", name="box", privileged=is_privileged, detach=True)
    key = "/proc/sys/net/ipv4/conf/eth0/proxy_arp"
    said = container.exec(f"sh -c 'echo 1 > {key}'")
    assert ("Read-only file system" in said) is not is_privileged
    assert str(container.exec(f"cat {key}")) == value
    assert container.namespace.sysctl_get("net.ipv4.conf.eth0.proxy_arp") == value.strip()

"""dmesg prints the lines of the LOG target on a Docker host."""

from __future__ import annotations

from cnmsim import Lab

LINE = "USER: IN=eth0 OUT=docker0 MAC="


def test_what_a_rule_logs_is_in_the_host_s_kernel_log() -> None:
    lab = Lab()
    node = lab.add_host("node1", "10.0.0.15/24", docker=True)
    lab.add_host("client", "10.0.0.50/24")
    lab.settle()
    container = node.docker.containers.run(
        "nginx", name="web", ports={"80/tcp": 8080}, cap_add=["NET_ADMIN"], detach=True
    )
    assert node.exec("dmesg").output == ""
    node.exec("iptables -I DOCKER-USER -i eth0 -p tcp --syn -j LOG --log-prefix 'USER: '")
    assert lab.host("client").exec("curl -s -o /dev/null http://10.0.0.15:8080/").status == 0
    (line,) = node.exec("dmesg").output.splitlines()
    assert line.startswith("[    ")
    assert f"] {LINE}" in line
    assert "SRC=10.0.0.50 DST=172.17.0.2 LEN=60 TOS=0x00 PREC=0x00 TTL=63" in line
    assert "PROTO=TCP" in line
    assert "DPT=80 WINDOW=64240 RES=0x00 SYN URGP=0" in line
    assert node.exec("dmesg -T").output.startswith("[Thu Jan  1 ")
    assert node.exec("dmesg -t -c").output.startswith(LINE)
    assert node.exec("dmesg").output == ""
    assert container.exec_run("dmesg") == (1, b"dmesg: klogctl: Operation not permitted\n")


def test_a_container_s_own_rules_do_not_reach_it() -> None:
    lab = Lab()
    node = lab.add_host("node1", "10.0.0.15/24", docker=True)
    lab.settle()
    node.docker.containers.run("alpine", "sleep 1d", name="web", detach=True)
    node.exec("sh -c 'ls /var/run/docker/netns'")
    (path,) = node.machine.namespaces
    node.exec(f"nsenter --net={path} iptables -A INPUT -j LOG")
    assert node.exec("ping -c 1 172.17.0.2").status == 0
    assert node.exec("dmesg").output == ""

@pytest.mark.parametrize("release", RELEASES)
def test_a_bridge_without_a_free_port_takes_no_container_and_nothing_is_left(release: str) -> None:
    lab, docker = _lab(release)
    docker.networks.create("app", subnet="10.50.0.0/16", options={"com.docker.network.bridge.name": "br-app"})
    host = lab.host("node1")
    for number in range(1023):
        host.exec(["ip", "link", "add", f"tap{number}", "type", "dummy"])
        assert host.exec(["ip", "link", "set", f"tap{number}", "master", "br-app"]).succeeded
    assert host.exec("ip link add one-more type dummy; ip link set one-more master br-app").output == (
        "RTNETLINK answers: Exchange full\n"
    )
    before = set(host.namespace.devices)
    error = _error(lambda: docker.containers.run("nginx", name="web", network="app", detach=True))
    assert "to bridge br-app failed: exchange full" in error.message
    assert set(host.namespace.devices) == before
    assert lab.explain_error(error).cause.startswith("br-app of node1 has 1,023 ports")
    host.exec("ip link del tap7")
    docker.containers.get("web").start()

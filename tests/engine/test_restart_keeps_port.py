"""A published port can be taken again at once, though connections to it are still in TIME_WAIT."""

import pytest

from cnmsim import Lab


@pytest.mark.parametrize("release", ["26.1.5", "28.5.2", "29.7.2"])
def test_a_port_served_by_the_proxy_survives_a_restart_of_its_container(release):
    host = Lab(engine=release).add_host("node1", "10.0.0.15/24", docker=True)
    web = host.docker.containers.run("nginx", name="web", ports={"80/tcp": ("127.0.0.1", 8081)}, detach=True)
    assert "Welcome to nginx!" in host.exec("curl -s http://127.0.0.1:8081/").output
    web.stop(timeout=0)
    assert "TIME-WAIT" in host.exec("ss -tan").output
    web.start()
    assert "Welcome to nginx!" in host.exec("curl -s http://127.0.0.1:8081/").output

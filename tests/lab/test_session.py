"""A first day with Docker: volumes, a swarm with secrets and certificates, load balancing, updates, autolock."""

import re

from cnmsim import Lab

_STACK = """
version: "3.8"
services:
  web: {image: nginx:1.27, ports: ["8090:80"], deploy: {replicas: 2}}
  worker: {image: alpine, command: sh -c 'echo ready; sleep 1d'}
"""
_CERTIFICATE = "openssl x509 -noout -subject -in /var/lib/docker/swarm/certificates/swarm-node.crt"


def running(service):
    return [task for task in service.tasks({"desired-state": "running"}) if task["Status"]["State"] == "running"]


def fetch(lab, address):
    result = lab.host("client").exec(f"curl -s -m 5 http://{address}/")
    assert result.status == 0, result.output
    return result.output


def test_a_volume_outlives_its_container():
    lab = Lab()
    docker = lab.add_host("node1", "10.0.0.15/24", docker=True).docker
    lab.add_host("client", "10.0.0.50/24")
    docker.containers.run(
        "alpine", ["sh", "-c", "echo written once > /p/index.html"], volumes=["pages:/p"], remove=True
    )
    options = {"volumes": ["pages:/usr/share/nginx/html:ro"], "ports": {"80/tcp": 8080}, "detach": True}
    for name in ("first", "second"):
        web = docker.containers.run("nginx:1.27", name=name, **options)
        lab.run(1)
        assert fetch(lab, "10.0.0.15:8080") == "written once\n"
        assert '"GET / HTTP/1.1" 200' in web.logs().decode()
        web.remove(force=True)
    assert [volume.name for volume in docker.volumes.list()] == ["pages"]


def test_a_swarm_from_its_first_service_to_autolock():
    lab = Lab()
    nodes = [lab.add_host(f"node{n}", f"10.0.0.1{n}/24", docker=True) for n in (1, 2, 3)]
    lab.add_host("client", "10.0.0.50/24")
    manager = nodes[0].docker
    manager.swarm.init(advertise_addr="10.0.0.11", default_addr_pool=["10.20.0.0/16"])
    for node in nodes[1:]:
        node.docker.swarm.join(remote_addrs=["10.0.0.11"], join_token=manager.swarm.attrs["JoinTokens"]["Worker"])
    lab.settle()
    roles = [re.search("OU=([a-z-]+)", node.exec(_CERTIFICATE).output)[1] for node in nodes]
    assert roles == ["swarm-manager", "swarm-worker", "swarm-worker"]

    manager.secrets.create(name="key", data=b"tell nobody")
    manager.configs.create(name="level", data=b"level=3")
    manager.networks.create("back", driver="overlay", attachable=True)
    web = manager.services.create(
        "nginx:1.27", name="web", replicas=3, networks=["back"], ports={8080: 80}, secrets=["key"], configs=["level"],
        mounts=[{"Type": "volume", "Source": "data", "Target": "/data"}],
        update_config={"Parallelism": 1, "Delay": 10**9},
    )  # fmt: skip
    lab.settle()
    assert sorted(task["NodeID"] for task in running(web)) == sorted(
        node.docker.info()["Swarm"]["NodeID"] for node in nodes
    )
    (task,) = nodes[1].docker.containers.list()
    assert task.exec_run("cat /run/secrets/key /level").output == b"tell nobodylevel=3"
    task.exec_run(["sh", "-c", "echo kept > /data/f"])

    for _ in range(6):
        assert "Welcome to nginx!" in fetch(lab, "10.0.0.13:8080")
    answered = [line for line in b"".join(web.logs(stdout=True)).decode().splitlines() if "GET /" in line]
    assert len(answered) == 6
    assert all(node.docker.containers.list()[0].logs().count(b"GET /") == 2 for node in nodes)

    web.update(image="nginx:1.28")
    lab.run(60)
    assert web.attrs["UpdateStatus"]["State"] == "completed"
    assert {node.docker.containers.list()[0].attrs["Config"]["Image"] for node in nodes} == {"nginx:1.28"}
    (task,) = nodes[1].docker.containers.list()
    assert task.exec_run("cat /data/f").output == b"kept\n"

    drained = manager.nodes.get("node2")
    drained.update({**drained.attrs["Spec"], "Availability": "drain"})
    lab.run(30)
    assert nodes[1].docker.containers.list() == []
    assert len(running(web)) == 3
    assert "Welcome to nginx!" in fetch(lab, "10.0.0.12:8080")

    stack = manager.stacks.deploy("shop", _STACK)
    lab.settle()
    assert sorted(service.name for service in stack.services()) == ["shop_web", "shop_worker"]
    assert "Welcome to nginx!" in fetch(lab, "10.0.0.13:8090")
    assert b"ready" in b"".join(manager.services.get("shop_worker").logs(stdout=True))
    stack.remove()

    manager.swarm.update(EncryptionConfig={"AutoLockManagers": True})
    key = manager.swarm.get_unlock_key()["UnlockKey"]
    assert nodes[0].exec("systemctl restart docker").status == 0
    assert manager.info()["Swarm"]["LocalNodeState"] == "locked"
    manager.swarm.unlock(key)
    lab.run(30)
    assert manager.info()["Swarm"]["LocalNodeState"] == "active"
    assert "Welcome to nginx!" in fetch(lab, "10.0.0.12:8080")

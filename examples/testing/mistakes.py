"""Three common mistakes, and the property-based tests that find them (docs/testing.md)."""
# ruff: noqa: ANN001, ANN201

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnmsim import Lab
from cnmsim.errors import EngineError
from cnmsim.testing import assert_isolated, assert_resolves, lab_specs, operations
from cnmsim.testing.changes import Verb
from cnmsim.testing.snapshot import Snapshot

thorough = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


# A segmentation hole: the firewall script accepts the web port for every container.


def firewall_script(host):
    host.iptables("-I DOCKER-USER -p tcp --dport 80 -j ACCEPT")
    host.iptables("-A DOCKER-USER -j RETURN")


@thorough
@given(spec=lab_specs(max_containers=3))
def networks_are_isolated(spec):
    lab = spec.build()
    firewall_script(lab.host("node"))
    for one in spec.containers:
        for other in spec.containers:
            if not set(one.networks or ["bridge"]) & set(other.networks or ["bridge"]):
                assert_isolated(lab, one.name, other.name, ["tcp/80"])


# An address leak: a deployment that fails half way leaves its network, and the subnet with it.


def deploy(engine, name, port):
    network = engine.networks.create(f"{name}-net")
    engine.containers.run("nginx", name=name, network=network.name, ports={"80/tcp": port}, detach=True)


@thorough
@given(ports=st.lists(st.sampled_from([8080, 8081, 8082]), min_size=1, max_size=3))
def a_failed_deployment_leaves_nothing(ports):
    lab = Lab()
    host = lab.add_host("node", "10.0.0.15/24", docker=True)
    for number, port in enumerate(ports):
        before = Snapshot.of(host)
        try:
            deploy(host.docker, f"app{number}", port)
        except EngineError:
            host.docker.containers.get(f"app{number}").remove(force=True)
            left = before.difference(Snapshot.of(host))
            assert not left, "left behind:\n" + "\n".join(left)


# A stale name: the address of the database is looked up once and written to the web server's hosts file.


def run_web(engine):
    address = engine.containers.get("db").ip("shop")
    engine.containers.run("nginx", name="web", network="shop", extra_hosts={"database": address}, detach=True)


@thorough
@given(
    steps=st.lists(
        operations(containers=["db"], networks=["shop"], verbs=[Verb.STOP, Verb.START])
        | operations(containers=["other"], networks=["shop"], verbs=[Verb.RUN]),
        max_size=5,
    )
)
def the_name_leads_to_the_database(steps):
    lab = Lab()
    engine = lab.add_host("node", "10.0.0.15/24", docker=True).docker
    engine.networks.create("shop")
    engine.containers.run("redis", name="db", network="shop", detach=True)
    run_web(engine)
    for step in steps:
        step.apply(engine)
    if engine.containers.get("db").status == "running":
        assert_resolves(lab, "web", "database", to=engine.containers.get("db").ip("shop"))

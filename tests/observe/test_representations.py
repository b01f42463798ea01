"""What an interpreter prints for the objects of a lab, what a notebook shows, and what tab completion offers."""

import pytest

from cnmsim import Lab


@pytest.fixture(scope="module")
def lab():
    lab = Lab()
    node = lab.add_host("node1", "10.0.0.15/24", docker=True)
    lab.add_host("client", "10.0.0.50/24")
    lab.images.add("shop/api", listens=[8000])
    node.docker.containers.run("nginx", name="web", ports={"80/tcp": 8080}, detach=True)
    return lab


def test_each_object_has_one_line(lab):
    answer = lab.explain("client", "node1:8081")
    hop = lab.trace("client", "node1:8080").shown()[0]
    assert repr(lab) == "<Lab node1, client>"
    assert repr(lab.hosts) == "{'node1': <Host node1 10.0.0.15/24>, 'client': <Host client 10.0.0.50/24>}"
    assert repr(answer) == "<Explanation client → node1 tcp/8081: refused>"
    assert repr(answer.fixes) == "(<Fix: use node1:8080>,)"
    assert (
        repr(hop) == "<Hop 0.000 ms client: sends TCP SYN (socket: probe (pid 1001) SYN-SENT 10.0.0.50:39306 to "
        "10.0.0.15:8080)>"
    )
    assert repr(lab.images).startswith("<ImageCatalogue: ")
    assert repr(lab.images).endswith("; added: shop/api>")


@pytest.mark.parametrize(
    ("show", "texts"),
    [
        (lambda lab: lab.hosts, ["node1", "eth0 10.0.0.15/24", "Docker 29.7.2", "client"]),
        (lambda lab: lab.images, ["shop/api", "8000/tcp", "nginx", "80/tcp"]),
        (
            lambda lab: lab.explain("client", "node1:8081").fixes[0],
            ["use node1:8080", "ask", "worked on a copy of the lab"],
        ),
        (lambda lab: lab.trace("client", "node1:8080").shown()[0], ["client", "TCP SYN", "10.0.0.50"]),
        (lambda lab: Lab().hosts, ["no hosts", "lab.add_host("]),
    ],
    ids=["hosts", "images", "fix", "hop", "no hosts"],
)
def test_a_notebook_shows_a_card(lab, show, texts):
    page = show(lab)._repr_html_()
    for text in texts:
        assert text.replace('"', "&quot;") in page


def test_an_empty_lab_says_how_to_add_a_host():
    shown = Lab()._repr_mimebundle_()
    assert shown["text/plain"] == repr(Lab()) == "<Lab without hosts>"
    assert "lab.add_host(" in shown["text/html"]


def test_the_hosts_of_a_copy_are_shown_as_a_card_too(lab):
    copied = lab.fork()
    assert "node1" in copied.hosts._repr_html_()
    assert copied.hosts["node1"] is not lab.hosts["node1"]


def test_completion_offers_what_users_need_and_no_parts(lab):
    engine, host = lab.host("node1").docker, lab.host("node1")
    offered = {name for name in dir(engine) if not name.startswith("_")}
    assert {"containers", "networks", "images", "volumes", "swarm", "events", "info", "version", "close"} <= offered
    assert not {"backend", "store", "rest", "complete", "execs", "lifecycle"} & offered
    assert {"docker", "exec", "ping", "send"} <= set(dir(host))
    assert not {"plain", "built_with", "own_controller"} & set(dir(host))
    assert {"trace", "explain", "hosts", "images", "from_env"} <= set(dir(lab))
    assert not {"executor", "has_plugins", "plugin_policy"} & set(dir(lab))
    for thing in (engine, host, lab):
        for name in dir(thing):
            getattr(thing, name)

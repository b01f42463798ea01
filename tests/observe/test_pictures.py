"""Pictures by their geometry: nothing lies upon anything else, lines stay off boxes, text can be told from its
ground."""

import itertools

import pytest

from cnmsim import Lab
from cnmsim.observe.views.badges import Kind
from cnmsim.observe.views.lanes import arrows, chained, lane
from cnmsim.observe.views.markup import ACCENT, BACK, BAD, GOOD, PALETTE, STEP, contrast, deep

GROUNDS = ("#ffffff", "#0d1117", "#111111", "#1e1e1e")


def rectangle(box):
    return box.x, box.y, box.x + box.width, box.y + box.height


def overlap(one, other, slack=0.01):
    return all(one[at] < other[at + 2] - slack and other[at] < one[at + 2] - slack for at in (0, 1))


def inside(one, other):
    return other[0] <= one[0] and other[1] <= one[1] and one[2] <= other[2] and one[3] <= other[3]


def many_hosts():
    lab = Lab()
    networks = ["front", "back", "db", "mon", "legacy-payments"]
    for number in range(3):
        node = lab.add_host(f"node{number}", f"10.9.0.{11 + number}/24", gateway="10.9.0.1", docker=True)
        for network in networks:
            node.docker.networks.create(network)
    for number in range(20):
        node = lab.hosts[f"node{number % 3}"]
        ports = {"80/tcp": 8000 + number} if number % 3 == 0 else None
        made = node.docker.containers.run(
            "nginx", name=f"svc{number:02}", network=networks[number % 5], detach=True, ports=ports
        )
        if number % 2 == 0:
            node.docker.networks.get(networks[(number + 1) % 5]).connect(made)
    lab.settle()
    return lab, lab.trace("svc01", "10.9.0.11:8018")


def one_full_host():
    lab = Lab()
    node = lab.add_host("node1", "10.9.0.11/24", docker=True)
    for number in range(8):
        node.docker.networks.create(f"net{number}")
    for number in range(60):
        node.docker.containers.run("nginx", name=f"c{number:02}", network=f"net{number % 8}", detach=True)
    lab.settle()
    return lab, lab.trace("c03", "c11:80")


def mesh():
    lab = Lab()
    token = None
    for number in range(4):
        node = lab.add_host(f"node{number}", f"192.168.0.{11 + number}/24", docker=True)
        if token is None:
            token = node.docker.swarm.init(advertise_addr="192.168.0.11").tokens.worker
        else:
            node.docker.swarm.join(token, "192.168.0.11:2377")
    lab.add_host("client", "192.168.0.99/24")
    first = lab.hosts["node0"].docker
    first.networks.create("app", driver="overlay")
    first.services.create("nginx", name="web", replicas=2, networks=["app"], ports={8080: 80})
    lab.settle()
    return lab, lab.trace("client", "192.168.0.14:8080")


def vlans():
    lab = Lab()
    for number in (1, 2):
        node = lab.add_host(f"node{number}", f"10.9.0.1{number}/24", docker=True)
        for vlan in (10, 20):
            node.docker.networks.create(
                f"vlan{vlan}", driver="macvlan", options={"parent": f"eth0.{vlan}"},
                ipam={"Config": [{"Subnet": f"192.168.{vlan}.0/24", "IPRange": f"192.168.{vlan}.{64 * number}/26"}]},
            )  # fmt: skip
            node.docker.containers.run("nginx", name=f"a{vlan}-{number}", network=f"vlan{vlan}", detach=True)
    lab.settle()
    return lab, lab.trace("a10-1", "192.168.10.128:80")


def host_network():
    lab = Lab()
    node = lab.add_host("node1", "10.9.0.11/24", docker=True)
    lab.add_host("client", "10.9.0.50/24")
    node.docker.containers.run("nginx", name="edge", network="host", detach=True)
    node.docker.containers.run("redis", name="cache", detach=True)
    lab.settle()
    return lab, lab.trace("client", "10.9.0.11:80")


def routers():
    lab = Lab()
    lab.add_host("here", "10.1.0.2/24", gateway="10.1.0.1")
    lab.add_router("one", "10.1.0.1/24", "10.2.0.1/24")
    lab.add_router("two", "10.2.0.2/24", "10.3.0.1/24")
    lab.add_host("there", "10.3.0.2/24", gateway="10.3.0.1", web=True)
    return lab, lab.trace("here", "10.3.0.2:80")


def office():
    lab = Lab()
    node = lab.add_host("n", "10.9.0.11/24", docker=True)
    node.docker.containers.run("nginx", name="a-container-with-a-very-long-name", detach=True)
    for number in range(14):
        lab.add_host(f"client{number}", f"10.9.0.{50 + number}/24")
    lab.add_segment("spare", mtu=9000)
    return lab, lab.trace("client3", "10.9.0.11:22")


def segmented():
    lab = Lab()
    node = lab.add_host("node1", "10.9.0.15/24", docker=True)
    for network in ("a", "b"):
        node.docker.networks.create(network)
    node.docker.containers.run("alpine", "sleep 1d", name="c1", network="a", detach=True)
    c2 = node.docker.containers.run("nginx", name="c2", network="b", detach=True)
    lab.settle()
    return lab, lab.trace("c1", f"{c2.attrs['NetworkSettings']['Networks']['b']['IPAddress']}:80")


LABS = {
    each.__name__: each for each in (many_hosts, one_full_host, mesh, vlans, host_network, segmented, routers, office)
}


@pytest.fixture(scope="module", params=LABS)
def picture(request):
    lab, walk = LABS[request.param]()
    return lab.draw(walk)


def test_nothing_lies_upon_anything_else(picture):
    boxes = picture.layout.boxes
    machines = [rectangle(box) for box in boxes if box.kind in {"machine", "hanging"}]
    things = [
        rectangle(box) for box in boxes if box.kind in {"container", "docker", "vtep", "nic", "stack", "stack up"}
    ]
    for one, other in itertools.combinations(machines, 2):
        assert not overlap(one, other)
    for one, other in itertools.combinations(things, 2):
        assert not overlap(one, other)
    for box in boxes:
        if box.kind in {"container", "docker", "vtep", "stack", "stack up", "guest"}:
            assert any(inside(rectangle(box), machine) for machine in machines), box
        assert inside(rectangle(box), (0, 0, *picture.size))


def test_no_line_crosses_a_sandbox(picture):
    boxes = [rectangle(box) for box in picture.layout.boxes if box.kind in {"container", "docker"}]
    for wire in picture.layout.wires:
        for (ax, ay), (bx, by) in itertools.pairwise(wire.points):
            piece = (min(ax, bx), min(ay, by), max(ax, bx), max(ay, by))
            assert not any(
                overlap((piece[0], piece[1], piece[2] + 0.1, piece[3] + 0.1), box, 0.2) for box in boxes
            ), wire


def test_lines_are_level_or_upright(picture):
    for wire in picture.layout.wires:
        assert all(ax == bx or ay == by for (ax, ay), (bx, by) in itertools.pairwise(wire.points))


def test_names_of_networks_and_segments_lie_free(picture):
    boxes = [
        rectangle(box) for box in picture.layout.boxes if box.kind not in {"machine", "hanging", "stack", "stack up"}
    ]
    for bar in picture.layout.bars:
        length = 7.2 * min(len(bar.label), 24)
        label = (bar.x - 8 - length, bar.y - 10, bar.x - 8, bar.y + (14 if bar.detail else 5))
        if bar.is_named_above:
            label = (bar.x + 8, bar.y - 15, bar.x + 8 + length, bar.y - 6)
        assert label[0] >= 0
        assert not any(overlap(label, box) for box in boxes), bar
        for wire in picture.layout.wires:
            for (ax, ay), (bx, by) in itertools.pairwise(wire.points):
                piece = (min(ax, bx), min(ay, by), max(ax, bx) + 0.1, max(ay, by) + 0.1)
                assert not overlap(label, piece), (bar, wire)


def test_numbers_of_steps_lie_free_of_each_other_and_of_names(picture):
    badges = picture.track.badges
    assert badges
    for one, other in itertools.combinations(badges, 2):
        assert not overlap(one.corners, other.corners)
    for badge in badges:
        assert inside(badge.corners, (0, 0, *picture.size))
        for box in picture.layout.boxes:
            if box.kind in {"vtep", "nic"}:
                assert not overlap(badge.corners, rectangle(box))
            elif box.kind in {"container", "docker"}:
                # Its corner may be covered, its texts may not.
                texts = (box.x + 8, box.y + 6, box.x + box.width - 8, box.y + box.height - 8)
                assert not overlap(badge.corners, texts)


def test_a_page_need_not_be_very_wide(picture):
    assert picture.size[0] <= 1600


def test_a_loss_is_marked_in_the_stack_whose_rule_dropped_it():
    lab, walk = segmented()
    picture = lab.draw(walk)
    lost = [each for each in picture.track.badges if each.kind is Kind.LOST]
    assert [each.reason for each in lost] == ["dropped by a packet filter rule"]
    stack = next(rectangle(box) for box in picture.layout.boxes if box.kind == "stack")
    x, y = lost[0].place
    assert stack[0] < x < stack[2]
    assert stack[1] < y < stack[3]
    assert "dropped by a packet filter rule" in picture.svg()
    assert picture.track.back == ()


def test_what_is_sent_again_starts_anew():
    """The way ends where the packet was dropped; nothing leads from there back to the sender."""
    lab, walk = segmented()
    for leg in lab.draw(walk).track.forth:
        assert leg[-1][1] >= leg[0][1]


def test_rules_and_routes_are_numbered_in_the_stack_and_bridges_at_the_bar():
    lab, walk = host_network()
    picture = lab.draw(walk)
    stack = next(rectangle(box) for box in picture.layout.boxes if box.kind == "stack")
    for way in picture.track.waypoints:
        if way.hop.place == "node1" and way.hop.step.value in {"routed", "translated", "hook"}:
            assert stack[1] < way.at[1] < stack[3], way.hop


def test_a_socket_takes_it_and_not_the_device_that_it_came_by():
    lab, walk = host_network()
    picture = lab.draw(walk)
    (taken,) = [each for each in picture.track.badges if each.kind is Kind.DELIVERED]
    assert taken.place == picture.layout.places["node1", "node1", ""]
    lab, walk = mesh()
    picture = lab.draw(walk)
    (taken,) = [each for each in picture.track.badges if each.kind is Kind.DELIVERED]
    boxes = [rectangle(box) for box in picture.layout.boxes if box.lines and box.lines[0][0].startswith("web.")]
    assert any(box[0] < taken.place[0] < box[2] and box[1] < taken.place[1] < box[3] for box in boxes)


def test_a_published_port_a_version_and_a_role_are_shown():
    lab, _ = many_hosts()
    assert "8018 → 80/tcp" in lab.draw().svg()
    assert f"Docker {lab.hosts['node0'].docker.profile.version}" in lab.draw().svg()
    lab, _ = mesh()
    svg = lab.draw().svg()
    assert svg.count(", worker</tspan>") == 3
    assert svg.count(", manager</tspan>") == 1


def test_a_network_that_nobody_is_on_has_its_name():
    lab = Lab()
    node = lab.add_host("node1", "10.9.0.11/24", docker=True)
    node.docker.networks.create("empty")
    bars = {bar.label: bar.is_idle for bar in lab.draw().layout.bars}
    assert bars["empty"]
    assert bars["bridge"]


def test_a_segment_shared_by_rows_is_one_line():
    lab, _ = mesh()
    layout = lab.draw().layout
    assert [bar.label for bar in layout.bars].count("192.168.0.0/24") == 2
    (riser,) = [wire for wire in layout.wires if wire.style == "riser"]
    ends = {bar.y for bar in layout.bars if bar.label == "192.168.0.0/24"}
    assert {y for _, y in riser.points} == ends


def test_lines_stand_out_and_white_text_is_readable():
    for colour in (*PALETTE, ACCENT, BACK):
        assert all(contrast(colour, ground) >= 3 for ground in GROUNDS), colour
        assert contrast(deep(colour), "#ffffff") >= 4.5
    for colour in (GOOD, BAD, STEP, "#64748b"):
        assert contrast(colour, "#ffffff") >= 4.5, colour


def test_lanes_keep_right_and_never_meet():
    there = ((0.0, 0.0), (100.0, 0.0), (100.0, 50.0))
    assert lane(there, 3) == ((0.0, 3.0), (97.0, 3.0), (97.0, 50.0))
    assert lane(there[::-1], 3) == ((103.0, 50.0), (103.0, -3.0), (0.0, -3.0))
    assert lane(((0.0, 0.0), (10.0, 0.0), (0.0, 0.0)), 3)[1:3] == ((10.0, 3.0), (10.0, -3.0))


def test_a_way_walked_twice_is_drawn_once():
    one, two = ((0.0, 0.0), (50.0, 0.0)), ((50.0, 0.0), (50.0, 40.0))
    assert chained([one, two, one, two]) == [(*one, two[1])]
    (first, second) = arrows((*one, two[1]))
    assert first[1] == (1.0, 0.0)
    assert second[1] == (0.0, 1.0)


def test_a_picture_says_in_words_what_is_in_it():
    lab, _ = host_network()
    svg = lab.draw().svg()
    release = lab.hosts["node1"].docker.profile.version
    assert f"<desc>node1 (Docker {release}) with cache, edge; client</desc>" in svg
    assert "and 48 more" in one_full_host()[0].draw().svg()

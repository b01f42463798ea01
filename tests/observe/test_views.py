"""Pictures, cards and pages: whole, safe with any name, and true to the lab."""

import html.parser
import json
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import drawn_swarms

from cnmsim import Lab
from cnmsim.errors import InvalidParameter, NotFound
from cnmsim.observe.trace.trace import Trace
from cnmsim.observe.views.badges import ranges
from cnmsim.observe.views.cabling import lay_out
from cnmsim.observe.views.headers import headers_of
from cnmsim.observe.views.markup import BAD, banner, card, safe, table
from cnmsim.observe.views.picture import Picture
from cnmsim.observe.views.scene import Bus, Interface, MachineScene, Plug, Sandbox, Scene
from cnmsim.observe.views.steps import walk_data, walk_html

VOID = {"br", "meta", "input"}


class Balanced(html.parser.HTMLParser):
    """Reads HTML and keeps what elements and attributes it has."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes = [], set(), set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def read_html(text):
    parser = Balanced()
    parser.feed(text)
    parser.close()
    assert not parser.open
    return parser


@pytest.fixture(scope="module")
def overlay():
    lab, one, two, _ = drawn_swarms.over_a_router()
    one.docker.containers.run("nginx", name="c1", network="uber-net", detach=True)
    two.docker.containers.run("nginx", name="c2", network="uber-net", detach=True)
    one.docker.services.create("nginx", name="web", replicas=2, networks=["uber-net"], ports={8080: 80})
    lab.settle()
    return lab


@pytest.fixture(scope="module")
def walk(overlay):
    return overlay.trace("c1", "c2:80")


def test_the_picture_has_every_sandbox_bridge_tunnel_and_interface(overlay):
    svg = overlay.draw().svg()
    ET.fromstring(svg)
    for text in (
        "node1",
        "node2",
        "router",
        "c1",
        "c2",
        "web.1",
        "web.2",
        "uber-net",
        "VTEP 4097",
        "172.31.1.0/24",
        "ingress-sbox",
    ):
        assert text in svg
    assert "<script" not in svg


def test_a_picture_is_the_same_twice(overlay):
    assert overlay.draw().svg() == overlay.draw().svg()


def test_a_walk_is_drawn_along_the_lines_from_the_container_to_the_other(overlay, walk):
    track = walk.picture().track
    layout = walk.picture().layout
    places = layout.places
    assert all(way.at is not None for way in track.waypoints)
    walked = {point for leg in track.forth for point in leg}
    for key in (("node1", "c1", "eth0"), ("node1", "node1: overlay uber-net", "vxlan0"), ("node1", "node1", "eth0"),
                ("router", "router", "eth0"), ("node2", "node2", "eth0"), ("node2", "c2", "eth0")):  # fmt: skip
        assert places[key] in walked, key
    others = [
        point for (host, place, device), point in places.items() if place.startswith("web.") and device == "eth2"
    ]
    assert others
    assert not walked & set(others)


def test_badges_carry_the_numbers_of_the_table(walk):
    track = walk.picture().track
    numbers = [way.number for way in track.waypoints if way.number]
    assert numbers == list(range(1, len(walk.shown()) + 1))


def test_boxes_of_one_machine_do_not_overlap(overlay):
    boxes = [box for box in overlay.draw().layout.boxes if box.kind in {"container", "docker"}]
    for one in boxes:
        for other in boxes:
            apart = (
                one is other or one.x + one.width <= other.x or other.x + other.width <= one.x
                or one.y + one.height <= other.y or other.y + other.height <= one.y
            )  # fmt: skip
            assert apart


def test_the_steps_of_a_tunnel_have_outer_and_inner_headers(walk):
    steps = [step for step in walk_data(walk)["steps"] if step["step"] == "encapsulated"]
    names = [(header["protocol"], header["depth"]) for header in steps[0]["headers"]]
    assert names == [("IPv4", 0), ("UDP", 0), ("VXLAN", 0), ("Ethernet", 1), ("IPv4", 1), ("TCP", 1)]
    fields = dict(steps[0]["headers"][4]["fields"])
    assert fields["destination"] == "10.0.1.4"


def test_the_saved_page_is_one_file_that_asks_for_nothing(walk, tmp_path):
    text = walk.save_html(tmp_path / "walk.html").read_text()
    read_html(re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL))
    assert not re.search(r"(src|href)=|@import|url\(|fetch\(", text)
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])
    assert len(data["steps"]) == len(walk.hops)


def test_a_trace_of_no_lab_has_no_picture():
    with pytest.raises(InvalidParameter, match="belongs to no lab"):
        Trace("x").picture()


def test_the_rules_that_decided_are_marked(overlay):
    walk = overlay.trace("router", "192.168.1.25:8080")
    view = overlay.rules("node2", "nat", "DOCKER-INGRESS", trace=walk)
    marks = {row.text: row.mark for row in view.chains[0].rows}
    assert marks["-A DOCKER-INGRESS -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.18.0.2:8080"] == "decided"
    assert marks["-A DOCKER-INGRESS -j RETURN"] == ""
    assert view.chains[0].is_visited
    assert view.chains[0].rows[0].packets >= 1
    assert "decided" in view._repr_html_()
    assert not overlay.rules("node1", "nat", "DOCKER-INGRESS").chains[0].is_visited


def test_unknown_tables_and_chains_are_named(overlay):
    with pytest.raises(InvalidParameter, match="no table 'natt'; there are: "):
        overlay.rules("node1", "natt")
    with pytest.raises(NotFound, match="no chain 'X' in table nat of node1"):
        overlay.rules("node1", "nat", "X")


def test_routes_and_lookups_tell_what_the_programs_tell(overlay):
    printed = overlay.hosts["node1"].exec("ip route").output.splitlines()
    assert [" ".join(line.split()).removesuffix(" linkdown") for line in printed] == list(
        overlay.routes("node1").ipv4
    )
    found = overlay.lookup("c1", "c2")
    assert found.addresses == ("10.0.1.4",)
    assert "127.0.0.11" in found._repr_html_()
    assert not overlay.lookup("c1", "nobody")


def test_every_object_has_a_card_without_scripts(overlay):
    node = overlay.hosts["node1"]
    things = [
        node, node.docker, node.docker.networks.get("uber-net"), node.docker.containers.get("c1"),
        node.docker.services.get("web"), overlay.routes("c1"), overlay.rules("node1"), overlay.lookup("c1", "web"),
        overlay.trace("c1", "c2:80"), overlay.reachability(["c1"]), overlay.draw(),
    ]  # fmt: skip
    for thing in things:
        read = read_html(thing._repr_html_())
        assert "script" not in read.tags
        assert not any(name.startswith("on") for name in read.attributes)
    with overlay.capture("c1:eth0") as taken:
        overlay["c1"].exec("ping -c 1 c2")
    assert "ICMP" in taken._repr_html_() or "echo" in taken._repr_html_()
    bundle = overlay._repr_mimebundle_()
    assert set(bundle) == {"text/html", "image/svg+xml", "text/plain"}


NAMES = st.text(min_size=1, max_size=30) | st.sampled_from(
    ["</svg><script>alert(1)</script>", "\"' onload='x", "]]>", "&lt;", "\x00"]
)


@given(NAMES, NAMES, NAMES)
@settings(max_examples=60, deadline=None)
def test_any_name_is_drawn_and_nothing_but_drawn(host, sandbox, network):
    key = ("h", "c", "eth0")
    bus = Bus(("h", "h", "br"), network, network, is_routed=True)
    scene = Scene(
        (MachineScene(host, "Docker", (Sandbox(("h", "c", ""), sandbox, sandbox, "container",
            (Plug(key, network, bus.key),)),),
                      (bus,), (Interface(("h", "h", "eth0"), network, "lan"),), (sandbox,)),),
        (("lan", network),), (),
    )  # fmt: skip
    picture = Picture(lay_out(scene), host)
    for svg in (picture.svg(), picture.svg(standalone=False)):
        tags = {each.tag.rpartition("}")[2] for each in ET.fromstring(svg).iter()}
        assert tags <= {"svg", "title", "desc", "style", "g", "rect", "text", "tspan", "path", "circle"}
    read = read_html(picture._repr_html_())
    assert not any(name.startswith("on") for name in read.attributes)


@given(NAMES)
def test_any_text_is_safe_in_tables_and_cards(text):
    read = read_html(card(text, text, table((text,), [(text,)])))
    assert read.tags <= {"style", "div", "b", "span", "table", "thead", "tbody", "tr", "th", "td"}
    assert "<" not in safe(text)


@given(NAMES)
@settings(max_examples=40, deadline=None)
def test_any_name_in_a_walk_stays_data(name):
    lab = Lab()
    lab.add_host("a", "10.0.0.1/24")
    lab.add_host("b", "10.0.0.2/24", web=True)
    walk = lab.trace("a", "b:80")
    walk.title = name
    page = walk_html(walk)
    assert page.lower().count("<script") == 2
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])
    assert data["title"] == name


@given(st.binary(max_size=120), st.booleans())
def test_any_bytes_are_taken_apart(data, is_frame):
    for header in headers_of(data, is_frame=is_frame):
        assert header.protocol
        assert all(isinstance(value, str) for pair in header.fields for value in pair)


def test_ranges_are_brief():
    assert ranges([1, 2, 3, 7, 9, 10]) == "1-3,7,9-10"
    assert ranges([1, 3, 5, 7]) == "1,3,5,…"


def test_the_edited_lines_of_a_fix_stay_lines():
    html = banner("timeout", "lost", BAD, ("fix", "add network back (compose.yml:6)\n- [front]\n+ [front, back]"))
    assert "add network back (compose.yml:6)<pre" in html
    assert ">- [front]\n+ [front, back]</pre>" in html
    assert "<pre" not in banner("answered", "here", BAD, ("note", "one line"))

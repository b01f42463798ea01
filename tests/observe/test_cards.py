"""What notebooks show of answers, read as a page without styles (GitHub, a screen reader) would have it."""

import html.parser
import re

import pytest
from support import drawn_swarms

from cnmsim import Lab
from cnmsim.errors import InvalidParameter
from cnmsim.observe.views import markup


class Rows(html.parser.HTMLParser):
    """Reads the rows of all tables, and the text outside of them."""

    def __init__(self):
        super().__init__()
        self.rows, self.text, self.hidden, self._cell = [], "", 0, None

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        elif tag in {"td", "th"}:
            self._cell = ""
        elif tag == "div" and self._cell is not None:
            self._cell += " "

    def handle_startendtag(self, tag, attrs):
        if tag == "br" and self._cell is not None:
            self._cell += " "

    def handle_endtag(self, tag):
        if tag in {"td", "th"}:
            self.rows[-1].append(self._cell)
            self._cell = None

    def handle_data(self, data):
        if self._cell is None:
            self.text += data
        else:
            self._cell += data


def read(thing):
    found = Rows()
    found.feed(thing._repr_html_())
    return found


@pytest.fixture(scope="module")
def segments():
    lab = Lab()
    node = lab.add_host("node1", "10.9.0.15/24", gateway="10.9.0.1", docker=True)
    for network in ("a", "b"):
        node.docker.networks.create(network)
    node.docker.containers.run("alpine", "sleep 1d", name="c1", network="a", detach=True)
    node.docker.containers.run("nginx", name="c2", network="b", ports={"80/tcp": 8080}, detach=True)
    lab.add_host("client", "10.9.0.50/24", gateway="10.9.0.1")
    lab.settle()
    return lab


@pytest.fixture(scope="module")
def swarm():
    lab, one, two, _ = drawn_swarms.on_one_wire()
    one.docker.containers.run("alpine", "sleep 1d", name="c1", network="net", detach=True)
    two.docker.containers.run("nginx", name="c2", network="net", detach=True)
    one.docker.services.create("nginx", name="web", replicas=2, networks=["net"])
    lab.settle()
    return lab


def test_a_walk_has_its_finding_first_and_the_numbers_of_its_picture(segments):
    walk = segments.trace("client", "node1:8080")
    card = walk._repr_html_()
    assert card.index("✓ answered") < card.index("<table")
    numbers = [int(row[0]) for row in read(walk).rows if len(row) == 7 and row[0].isdigit()]
    assert sorted(numbers) == list(range(1, len(walk.shown()) + 1))
    drawn = {way.number: way.hop for way in walk.picture().track.waypoints if way.number}
    for row in read(walk).rows:
        if len(row) == 7 and row[0].isdigit():
            assert drawn[int(row[0])].place == row[2]
            assert drawn[int(row[0])].device == row[3]


@pytest.mark.parametrize(
    ("image", "port", "badge"), [("nginx", 80, "✓ answered"), ("redis", 6379, "✓ answered (assumed)"),
                                 ("example/own", 80, "! path open")],
)  # fmt: skip
def test_cards_say_what_the_answer_rests_on(tmp_path, image, port, badge):
    file = tmp_path / "compose.yaml"
    file.write_text(f"services: {{web: {{image: alpine, command: sleep 1d}}, db: {{image: {image}}}}}\n", "utf-8")
    lab = Lab.from_compose(file)
    for answer in (lab.trace("web", f"db:{port}"), lab.explain("web", f"db:{port}")):
        told = read(answer).text
        assert f"web → db:{port} (tcp)" in told
        assert badge + " " in told
        assert ("assumes" in told) == ("(assumed)" in badge)
        assert all(sentence in told for sentence in answer.finding.assumption_texts)


def test_a_loss_is_told_without_colours_and_once_marked_as_what_decided(segments):
    address = segments["c2"].attrs["NetworkSettings"]["Networks"]["b"]["IPAddress"]
    rows = read(segments.trace("c1", f"{address}:80")).rows
    (lost,) = [row for row in rows if len(row) == 7 and "◂ decided" in row[5]]
    assert lost[4].startswith("✕ ")
    assert "-j DROP" in lost[5]


def test_a_tunnel_shows_the_addresses_outside_and_inside(swarm):
    rows = read(swarm.trace("c1", "c2:80")).rows
    into = next(row for row in rows if len(row) == 7 and row[4].startswith("into VNI"))
    assert re.fullmatch(
        r"192\.168\.7\.1:\d+ > 192\.168\.7\.2:4789 in VNI 4097: 10\.0\.1\.\d+:\d+ > 10\.0\.1\.\d+:80", into[6]
    )


def test_a_task_is_called_by_its_number_and_keeps_its_name_as_a_title(swarm):
    walk = swarm.trace("c1", "web:80")
    tasks = {row[2] for row in read(walk).rows if len(row) == 7 and row[2].startswith("web.")}
    assert tasks
    assert all(re.fullmatch(r"web\.\d", each) for each in tasks)
    assert re.search(r'title="web\.\d\.[a-z0-9]{25}"', walk._repr_html_())


def test_services_name_the_hosts_of_their_tasks(swarm):
    rows = read(swarm.hosts["node1"].docker.services.get("web")).rows
    assert {row[1] for row in rows if row and row[0] in {"1", "2"}} == {"node1", "node2"}


def test_the_route_to_an_address_and_the_routes_of_a_walk_are_marked(segments):
    view = segments.routes("c2", to="10.9.0.50")
    assert [line for line in str(view).splitlines() if "◂ chosen" in line] == [
        "default via 172.19.0.1 dev eth0 ◂ chosen"
    ]
    assert [row[-1] for row in read(view).rows if row[0] == "default"] == ["◂ chosen"]
    walk = segments.trace("client", "node1:8080")
    chosen = segments.routes("node1", trace=walk).chosen
    assert {route.split()[0] for route in chosen} == {"10.9.0.0/24", "172.19.0.0/16"}
    assert not segments.routes("node1").chosen
    with pytest.raises(InvalidParameter, match="'nowhere' is no IP address"):
        segments.routes("node1", to="nowhere")


def test_a_lookup_numbers_its_questions(segments):
    found = segments.lookup("c2", "nobody")
    assert "✕ not found" in read(found).text
    rows = [row for row in read(found).rows if row[0].isdigit()]
    assert [int(row[0]) for row in rows] == list(range(1, len(found.lookup.queries) + 1))
    assert "✓ found" in read(segments.lookup("c2", "c2")).text


def test_a_small_matrix_is_words_and_a_large_one_a_picture_with_counts(segments):
    matrix = segments.reachability()
    assert [row[1:] for row in read(matrix).rows] == [["c2:80"], ["✕ name not found"], ["✓ answered"]]
    svg = matrix.to_svg()
    assert "c1 → c2:80: name not found" in svg
    assert ">c2</text>" in svg, "a port that all have is said once"
    assert svg.count("<rect") == 2


def test_no_two_verdicts_that_differ_look_alike():
    from cnmsim.observe.diagnosis.verdict import Verdict
    from cnmsim.observe.views.matrix import _BAR, _SIGNS

    signs = {verdict: _SIGNS.get(verdict, _BAR) for verdict in Verdict if verdict is not Verdict.DELIVERED}
    assert len(set(signs.values())) == len(signs)


def test_answers_print_as_text_in_terminals(segments):
    with segments.capture("node1:eth0") as taken:
        segments.trace("client", "node1:8080")
    things = [
        segments.trace("client", "node1:8080"), segments.rules("node1"), segments.routes("node1"),
        segments.lookup("c2", "c2"),
        segments.reachability(), segments.diff(segments), segments.doctor(), segments.explain("c1", "c2", 80), taken,
    ]  # fmt: skip
    for thing in things:
        bundle = thing._repr_mimebundle_()
        assert bundle["text/plain"] == str(thing)
        assert bundle["text/html"] == thing._repr_html_()
    assert "TCP SYN" in str(taken)


def test_a_capture_shows_so_many_frames_and_counts_the_rest(segments):
    with segments.capture("*:*") as taken:
        for _ in range(12):
            segments.trace("client", "node1:8080")
    assert len(taken) > 200
    found = read(taken)
    assert sum(row[0].isdigit() for row in found.rows) == 200
    assert f"{len(taken) - 200} more" in found.text


def test_a_picture_in_a_page_without_styles_and_inline_svg_is_an_image(segments):
    page = segments.draw()._repr_html_()
    without = re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL)
    assert re.search(
        r'<div style="display:none"><img alt="lab" src="data:image/svg\+xml;base64,[A-Za-z0-9+/=]+"/></div>', without
    )


def test_columns_in_which_nothing_stands_are_left_out():
    text = markup.table(("a", "b", ""), [("1", "", ""), ("2", "", "x")])
    assert text.count("<th ") == 2
    assert text.count("<td ") == 4


def test_options_of_a_rule_are_not_broken_at_their_hyphens():
    assert markup.words("-j DNAT --to-destination <x>").count("nowrap") == 2
    assert "<x>" not in markup.words("--<x>")


def test_all_ways_to_say_a_severity_can_be_read():
    from cnmsim.observe.views.answers import _SEVERITIES

    assert all(markup.contrast(colour, "#ffffff") >= 4.5 for colour in _SEVERITIES.values())


def test_a_tunnel_on_another_port_has_its_inner_headers_too():
    lab = Lab()
    one = lab.add_host("node1", "192.168.7.1/24", docker=True)
    two = lab.add_host("node2", "192.168.7.2/24", docker=True)
    token = one.docker.swarm.init(advertise_addr="192.168.7.1", data_path_port=7789).tokens.worker
    two.docker.swarm.join(token, "192.168.7.1:2377")
    one.docker.networks.create("net", driver="overlay", attachable=True)
    one.docker.containers.run("alpine", "sleep 1d", name="c1", network="net", detach=True)
    two.docker.containers.run("nginx", name="c2", network="net", detach=True)
    lab.settle()
    with lab.capture("node1:eth0") as taken:
        walk = lab.trace("c1", "c2:80")
    rows = read(walk).rows
    into = next(row for row in rows if len(row) == 7 and row[4].startswith("into VNI"))
    assert "VXLAN 4097 | TCP SYN" in str(taken)
    syn = {hop.place for hop in walk.hops if hop.packet.endswith("TCP SYN")}
    assert {"c1", "node1", "node2", "c2"} <= syn, "one message all the way"
    assert ":7789 in VNI 4097: 10.0.1." in into[6]


def test_the_report_of_a_policy_has_a_card(segments, tmp_path):
    from cnmsim.testing import check_policy

    policy = tmp_path / "policy.yml"
    policy.write_text("allow: []\n")
    report = check_policy(segments, policy)
    found = read(report)
    assert ("✓ holds" if report.passed else "✕ violated") in found.text
    assert f"{len(report.findings)} checked" in found.text
    assert report._repr_mimebundle_()["text/plain"] == str(report)

"""The saved walk in a real browser: it steps, shows headers, asks for nothing, and says nothing on the console."""

import json
import shutil

import pytest

from cnmsim import Lab
from cnmsim.observe.views.steps import asset, walk_data

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
           "--disable-component-update", "--disable-sync"]  # fmt: skip

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def walk_file(tmp_path_factory):
    lab = Lab()
    one = lab.add_host("node1", "172.31.1.5/24", gateway="172.31.1.1", docker=True)
    two = lab.add_host("node2", "192.168.1.25/24", gateway="192.168.1.1", docker=True)
    lab.add_router("router", "172.31.1.1/24", "192.168.1.1/24")
    two.docker.swarm.join(one.docker.swarm.init(advertise_addr="172.31.1.5").tokens.worker, "172.31.1.5:2377")
    one.docker.networks.create("uber-net", driver="overlay", attachable=True)
    one.docker.containers.run("alpine", "sleep 1d", name="c1", network="uber-net", detach=True)
    two.docker.containers.run("nginx", name="c2", network="uber-net", detach=True)
    lab.settle()
    walk = lab.trace("c1", "c2:80")
    return walk, walk.save_html(tmp_path_factory.mktemp("walk") / "walk.html")


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as play:
        started = play.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield started
        started.close()


@pytest.fixture
def page(browser, walk_file):
    made = browser.new_page(viewport={"width": 1400, "height": 900})
    complaints = []
    made.on("console", lambda message: complaints.append(message.text))
    made.on("pageerror", lambda error: complaints.append(str(error)))
    made.on("request", lambda request: request.url.startswith("file:") or complaints.append(request.url))
    made.goto(walk_file[1].as_uri())
    yield made
    assert not complaints
    made.close()


def test_it_begins_with_the_first_step_and_has_all_of_the_table(page, walk_file):
    walk, _ = walk_file
    assert page.locator("h1").inner_text() == walk.title
    assert page.locator(".cnm-verdict").inner_text() == "answered"
    assert page.locator(".cnm-steps li").count() == len(walk.shown())
    assert page.locator(".cnm-now b").inner_text().startswith("1. c1")


def test_keys_and_clicks_step(page):
    page.keyboard.press("ArrowRight")
    assert page.locator(".cnm-now b").inner_text().startswith("2.")
    page.locator(".cnm-next").click()
    page.locator(".cnm-back").click()
    assert page.locator(".cnm-count").inner_text().startswith("2 /")
    page.keyboard.press("End")
    assert page.locator(".cnm-finding.shown").count() == 1
    page.keyboard.press("Home")
    assert page.locator(".cnm-steps li.here .n").inner_text() == "1"


def test_in_a_tunnel_the_outer_headers_stand_before_the_inner_ones(page):
    page.locator(".cnm-steps li.encapsulated").first.click()
    groups = page.locator(".cnm-group")
    assert groups.count() == 2
    assert "192.168.1.25" in groups.nth(0).inner_text()
    assert "VXLAN" in groups.nth(0).inner_text()
    assert "10.0.1." in groups.nth(1).inner_text()
    assert page.locator("svg .cnm-here").count() == 1


def test_every_device_can_be_walked(page, walk_file):
    walk, _ = walk_file
    page.locator(".cnm-every input").check()
    assert page.locator(".cnm-steps li").count() == len(walk.hops)


WIDGET = """<!doctype html><style>%s</style><div id="cell"></div><script type="application/json" id="data">%s</script>
<script type="module">
const source = %s;
const module = await import("data:text/javascript," + encodeURIComponent(source));
const walk = JSON.parse(document.getElementById("data").textContent);
module.default.render({ model: { get: () => walk }, el: document.getElementById("cell") });
</script>"""


def test_the_widget_draws_the_same_into_a_cell(browser, walk_file):
    walk, _ = walk_file
    data = json.dumps(walk_data(walk)).replace("<", "\\u003c")
    made = browser.new_page()
    errors = []
    made.on("pageerror", lambda error: errors.append(str(error)))
    made.set_content(WIDGET % (asset("stepper.css"), data, json.dumps(asset("stepper.js")).replace("<", "\\u003c")))
    made.locator("#cell .cnm-next").click()
    assert made.locator("#cell .cnm-now b").inner_text().startswith("2.")
    assert made.locator("#cell .cnm-picture svg").count() == 1
    assert not errors
    made.close()


def test_the_notebook_widget_carries_the_walk(walk_file):
    pytest.importorskip("anywidget", reason="anywidget is not installed")
    walk, _ = walk_file
    widget = walk.widget()
    assert widget.walk["title"] == walk.title
    assert len(widget.walk["steps"]) == len(walk.hops)


def test_the_mark_stands_inside_the_picture_that_is_seen(page):
    for _ in range(14):
        page.keyboard.press("ArrowRight")
        mark = page.locator("svg .cnm-here")
        if mark.count():
            seen, frame = mark.bounding_box(), page.locator(".cnm-picture").bounding_box()
            assert frame["x"] - 1 <= seen["x"] <= frame["x"] + frame["width"]

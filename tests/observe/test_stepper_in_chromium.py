"""The saved walk in a real browser: it steps, shows headers, asks for nothing, and says nothing on the console."""

import json

import pytest
from support import drawn_swarms

from cnmsim.observe.views.steps import asset, walk_data

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def walk_file(tmp_path_factory):
    lab, one, two, _ = drawn_swarms.over_a_router()
    one.docker.containers.run("alpine", "sleep 1d", name="c1", network="uber-net", detach=True)
    two.docker.containers.run("nginx", name="c2", network="uber-net", detach=True)
    lab.settle()
    walk = lab.trace("c1", "c2:80")
    return walk, walk.save_html(tmp_path_factory.mktemp("walk") / "walk.html")


@pytest.fixture
def page(browser, walk_file):
    made = browser.new_page(viewport={"width": 1400, "height": 900})
    complaints = []
    made.on("console", lambda message: complaints.append(message.text))
    made.on("pageerror", lambda error: complaints.append(str(error)))
    made.on("request", lambda request: request.url.startswith(("file:", "about:")) or complaints.append(request.url))
    made.goto(walk_file[1].as_uri())
    yield made
    assert not complaints
    made.close()


def test_it_begins_with_the_first_step_and_has_all_of_the_table(page, walk_file):
    walk, _ = walk_file
    assert page.locator("h1").inner_text() == walk.title
    assert page.locator(".cnm-verdict").inner_text() == "answered"
    assert page.locator(".cnm-finding").inner_text() == "\n".join(walk.conclusion_lines()).removeprefix("answered: ")
    assert page.locator(".cnm-steps li").count() == len(walk.shown())
    assert page.locator(".cnm-now b").inner_text().startswith("1. c1")


def test_keys_and_clicks_step(page):
    page.keyboard.press("ArrowRight")
    assert page.locator(".cnm-now b").inner_text().startswith("2.")
    page.locator(".cnm-next").click()
    page.locator(".cnm-back").click()
    assert page.locator(".cnm-count").inner_text().startswith("2 /")
    page.keyboard.press("End")
    assert page.locator(".cnm-steps li.here .n").inner_text() == str(page.locator(".cnm-steps li").count())
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


def test_a_link_leads_to_a_step_and_follows_it(page, walk_file):
    _, path = walk_file
    page.goto("about:blank")
    page.goto(path.as_uri() + "#12")
    assert page.locator(".cnm-count").inner_text().startswith("12 /")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("location.hash") == "#13"
    page.locator(".cnm-every input").check()
    assert page.evaluate("location.hash").startswith("#all-")
    page.evaluate("location.hash = '#4'")
    page.wait_for_function("document.querySelector('.cnm-count').textContent.startsWith('4 /')")
    assert not page.locator(".cnm-every input").is_checked()
    page.goto("about:blank")
    page.goto(path.as_uri() + "#nonsense")
    assert page.locator(".cnm-count").inner_text().startswith("1 /")


def test_hiding_plain_steps_stays_near_where_one_was(page):
    page.keyboard.press("d")
    for _ in range(40):
        page.keyboard.press("ArrowRight")
    before = page.locator(".cnm-now b").inner_text().partition(". ")[2]
    page.keyboard.press("d")
    number = int(page.locator(".cnm-count").inner_text().partition(" /")[0])
    assert number > 1, before


def test_keys_belong_to_the_control_in_focus(page):
    page.locator(".cnm-next").focus()
    page.keyboard.press("Space")
    assert page.locator(".cnm-count").inner_text().startswith("2 /"), "space presses the button, and plays nothing"
    page.wait_for_timeout(1100)
    assert page.locator(".cnm-count").inner_text().startswith("2 /")
    page.locator(".cnm-steps").focus()
    page.keyboard.press("ArrowDown")
    assert page.locator(".cnm-count").inner_text().startswith("3 /")
    page.locator(".cnm-picture").focus()
    page.keyboard.press("ArrowDown")
    assert page.locator(".cnm-count").inner_text().startswith("3 /"), "up and down scroll the picture"
    page.locator(".cnm-slider").focus()
    page.keyboard.press("End")
    assert page.locator(".cnm-steps li.here .n").inner_text() == str(page.locator(".cnm-steps li").count())


def test_it_plays_and_pauses(page):
    page.keyboard.press("Space")
    assert page.locator(".cnm-play").inner_text() == "❚❚ pause"
    page.wait_for_function("parseInt(document.querySelector('.cnm-count').textContent) >= 3")
    page.keyboard.press("Space")
    assert page.locator(".cnm-play").inner_text() == "▶ play"


def test_everything_has_a_name_for_those_who_do_not_see_it(page):
    names = page.evaluate(
        "[...document.querySelectorAll('button, input, nav, aside, ol, .cnm-picture')]"
        ".map(e => e.getAttribute('aria-label') || (e.labels && e.labels.length ? e.labels[0].textContent : "
        "e.textContent).trim())"
    )
    assert all(names)
    page.keyboard.press("ArrowRight")
    chosen = page.locator(".cnm-steps [aria-selected=true]")
    assert chosen.count() == 1
    assert page.locator(".cnm-steps").get_attribute("aria-activedescendant") == chosen.get_attribute("id")
    assert page.locator(".cnm-slider").get_attribute("aria-valuetext").startswith("2 of ")
    assert page.locator(".cnm-now").get_attribute("aria-live") == "polite"


def test_what_a_translation_wrote_is_told_apart(page):
    page.locator(".cnm-steps li.translated").first.click()
    changed = page.locator("aside tr.changed")
    assert changed.count() >= 1
    assert "destination port" in changed.all_inner_texts()[-1]
    assert changed.last.get_attribute("title") == "was 53"


@pytest.mark.parametrize("size", [(1400, 900), (900, 900), (480, 800)])
def test_it_fits_the_window_and_keeps_the_mark_in_view(page, size):
    page.set_viewport_size({"width": size[0], "height": size[1]})
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    for _ in range(20):
        page.keyboard.press("ArrowRight")
        seen = page.locator("svg .cnm-here").bounding_box()
        frame = page.locator(".cnm-picture").bounding_box()
        assert frame["x"] - 1 <= seen["x"]
        assert seen["x"] + seen["width"] <= frame["x"] + frame["width"] + 1
        assert frame["y"] - 1 <= seen["y"]
        assert seen["y"] + seen["height"] <= frame["y"] + frame["height"] + 1
    if size[0] > 800:
        assert page.evaluate("document.documentElement.scrollHeight") <= size[1]
        here, steps = page.locator(".cnm-steps li.here").bounding_box(), page.locator(".cnm-steps").bounding_box()
        assert steps["y"] <= here["y"] <= steps["y"] + steps["height"]


def test_the_whole_picture_can_be_seen_at_once(page):
    page.keyboard.press("f")
    svg, frame = page.locator(".cnm-picture svg").bounding_box(), page.locator(".cnm-picture").bounding_box()
    assert svg["width"] <= frame["width"]
    assert svg["height"] <= frame["height"]
    assert page.locator(".cnm-fit").get_attribute("aria-pressed") == "true"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out(page, scheme):
    from cnmsim.observe.views.markup import contrast

    page.emulate_media(color_scheme=scheme)
    page.locator(".cnm-steps li.translated").first.click()
    found = page.evaluate(
        """() => {
        const digits = v => Number(v).toString(16).padStart(2, '0');
        const hex = c => '#' + c.match(/\\d+/g).slice(0, 3).map(digits).join('');
        const ground = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
          if (/^rgb\\(/.test(c)) return hex(c); } return '#ffffff'; };
        return [...document.querySelectorAll('.cnm-verdict, .cnm-count, .cnm-now code, .cnm-what, .cnm-addresses, ' +
          'aside th, aside td, ' +
          '.cnm-depth, .cnm-steps .t, .cnm-steps .w, .cnm-finding, button')]
          .filter(e => e.textContent.trim() && !e.closest('li.here'))
          .map(e => [e.className, hex(getComputedStyle(e).color), ground(e)]); }"""
    )
    assert len(found) > 20
    for name, ink, ground in found:
        assert contrast(ink, ground) >= 4.5, (name, ink, ground)


def test_a_notebooks_own_theme_goes_before_the_systems(browser, walk_file):
    walk, _ = walk_file
    data = json.dumps(walk_data(walk)).replace("<", "\\u003c")
    made = browser.new_page(color_scheme="light")
    made.set_content(WIDGET % (asset("stepper.css"), data, json.dumps(asset("stepper.js")).replace("<", "\\u003c")))
    made.locator("#cell .cnm-next").wait_for()
    ground = "getComputedStyle(document.querySelector('.cnm-walk')).backgroundColor"
    assert made.evaluate(ground) == "rgb(255, 255, 255)"
    made.evaluate("document.body.dataset.jpThemeLight = 'false'")
    assert made.evaluate(ground) == "rgb(13, 17, 23)"
    assert made.evaluate("document.activeElement === document.body"), "a cell does not take the focus"
    made.close()

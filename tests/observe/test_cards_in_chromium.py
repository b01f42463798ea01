"""Cards and pictures in a real browser: on narrow and wide pages, on paper, on light and dark grounds."""

import pytest
from support import drawn_swarms

from cnmsim.observe.views.markup import contrast

#: Two themes of JupyterLab, by the variable and the colours that matter, and the rows of its tables.
THEMES = {
    "light": ("#ffffff", "rgba(0,0,0,.87)", "#f5f5f5"),
    "dark": ("#111111", "rgba(255,255,255,1)", "#212121"),
}
PAGE = """<!doctype html><meta charset="utf-8"><style>:root {{ --jp-content-font-color1: {ink} }}
body {{ background: {ground}; color: {ink}; font: 13px sans-serif; margin: 8px }}
table {{ font-size: 12px; table-layout: fixed }}
tbody tr:nth-child(even) {{ background: {row} }}
td, th {{ padding: .5em; text-align: right; white-space: normal }}</style>{body}"""

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def cards():
    lab, one, two, net = drawn_swarms.over_a_router()
    c1 = one.docker.containers.run("nginx", name="c1", network="uber-net", detach=True)
    one.docker.networks.create("other")
    one.docker.containers.run("alpine", "sleep 1d", name="c3", network="other", detach=True)
    for number in range(14):
        two.docker.containers.run("nginx", name=f"w{number}", network="uber-net", detach=True)
    web = one.docker.services.create("nginx", name="web", replicas=2, networks=["uber-net"], ports={8080: 80})
    lab.settle()
    walk = lab.trace("router", "192.168.1.25:8080")
    with lab.capture("router:*") as taken:
        lab.trace("c1", "w0:80")
    things = [
        lab, one, one.docker, net, c1, web, walk, walk.picture(), taken, lab.explain("c3", "c1", 80), lab.doctor(),
        lab.rules("node2", "nat", trace=walk), lab.routes("router", trace=walk), lab.lookup("c1", "web"),
        lab.reachability(["c1", "c3"]),
    ]  # fmt: skip
    return [thing._repr_mimebundle_()["text/html"] if thing is lab else thing._repr_html_() for thing in things]


def opened(browser, cards, theme, width):
    ground, ink, row = THEMES[theme]
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=theme)
    body = "".join(f'<div class="out">{card}</div>' for card in cards)
    page.set_content(PAGE.format(ground=ground, ink=ink, row=row, body=body))
    return page


@pytest.mark.parametrize("width", [480, 900, 1400])
def test_what_is_wide_scrolls_inside_itself(browser, cards, width):
    page = opened(browser, cards, "light", width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("img").count() >= 2
    assert not any(page.evaluate("[...document.images].map(e => e.offsetWidth)")), (
        "what is for GitHub is not seen here"
    )
    page.close()


def test_on_paper_nothing_is_cut_off(browser, cards):
    page = opened(browser, cards, "light", 720)
    page.emulate_media(media="print")
    cut = page.evaluate(
        "[...document.querySelectorAll('.cnm-card, .out > div')].filter(e => e.scrollWidth > e.clientWidth + 1 || "
        "e.getBoundingClientRect().right > innerWidth + 1).map(e => e.textContent.slice(0, 40) + ' ' + e.scrollWidth)"
    )
    assert not cut
    page.close()


@pytest.mark.parametrize("theme", THEMES)
def test_texts_stand_out_from_their_grounds(browser, cards, theme):
    page = opened(browser, cards, theme, 1400)
    found = page.evaluate(
        """() => {
        const parse = c => { const v = c.match(/[\\d.]+/g).map(Number); return v.length < 4 ? [...v, 1] : v; };
        const over = (top, under) => [0, 1, 2].map(i => top[i] * top[3] + under[i] * (1 - top[3]));
        const hex = v => '#' + v.slice(0, 3).map(x => Math.round(x).toString(16).padStart(2, '0')).join('');
        const ground = e => { const chain = [];
          for (; e; e = e.parentElement) chain.unshift(parse(getComputedStyle(e).backgroundColor));
          return chain.reduce((under, top) => [...over(top, under), 1], [255, 255, 255, 1]); };
        const opacity = e => { let all = 1;
          for (; e; e = e.parentElement) all *= Number(getComputedStyle(e).opacity);
          return all; };
        const parts = '.cnm-card td, .cnm-card th, .cnm-card b, .cnm-card span, .cnm-card div';
        return [...document.querySelectorAll(parts)]
          .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()))
          .map(e => { const under = ground(e), ink = parse(getComputedStyle(e).color); ink[3] *= opacity(e);
            return [e.textContent.slice(0, 30), hex(over(ink, under)), hex(under)]; }); }"""
    )
    assert len(found) > 300
    for text, ink, ground in found:
        assert contrast(ink, ground) >= 4.5, (text, ink, ground)
    page.close()


def test_a_pages_own_stripes_and_alignment_do_not_show_in_cards(browser, cards):
    page = opened(browser, cards, "dark", 1400)
    rows = page.evaluate(
        "[...document.querySelectorAll('.cnm-card tbody tr')].map(e => getComputedStyle(e).backgroundColor)"
    )
    assert "rgb(33, 33, 33)" not in rows
    assert page.evaluate("getComputedStyle(document.querySelector('.cnm-card tbody td')).textAlign") == "left"
    page.close()

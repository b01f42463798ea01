"""Draw the pictures of the README: `python docs/pictures.py`."""

from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory

from cnmsim import Lab

IMAGES = Path(__file__).parent / "images"
#: The step at which stepper.png stands: the one that explains the answer.
STEP = "accepted by filter FORWARD"


def stepper() -> None:
    """Write stepper.png: the page of `Trace.save_html`, stopped in the middle of a walk."""
    from playwright.sync_api import sync_playwright

    lab = Lab.from_compose(IMAGES.parents[1] / "examples" / "voting-app" / "compose.yml", "voting")
    with TemporaryDirectory() as folder, sync_playwright() as play:
        page = Path(folder) / "walk.html"
        lab.trace("client", "host:8080").save_html(page)
        browser = play.chromium.launch(executable_path=which("chromium"), args=["--no-sandbox"])
        view = browser.new_page(viewport={"width": 1180, "height": 840}, color_scheme="light")
        view.goto(page.as_uri())
        view.get_by_role("button", name="fit").click()
        view.get_by_text(STEP).first.click()
        view.screenshot(path=IMAGES / "stepper.png")
        browser.close()


def overlay() -> None:
    """Write overlay.svg: two nodes, an overlay network over both, and the path of a connection through it."""
    lab = Lab()
    node1 = lab.add_host("node1", "172.31.1.5/24", gateway="172.31.1.1", docker=True)
    node2 = lab.add_host("node2", "192.168.1.25/24", gateway="192.168.1.1", docker=True)
    lab.add_router("router", "172.31.1.1/24", "192.168.1.1/24")
    node2.docker.swarm.join(node1.docker.swarm.init(advertise_addr="172.31.1.5").tokens.worker, "172.31.1.5:2377")
    node1.docker.networks.create("uber-net", driver="overlay", attachable=True)
    node1.docker.containers.run("alpine", "sleep 1d", name="c1", network="uber-net", detach=True)
    node2.docker.containers.run("nginx", name="c2", network="uber-net", detach=True)
    lab.settle()
    lab.draw(lab.trace("c1", "c2:80")).save(IMAGES / "overlay.svg")


if __name__ == "__main__":
    stepper()
    overlay()

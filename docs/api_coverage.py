"""Write api-coverage.md: the operations of Docker's API description that are served.

    python docs/api_coverage.py path/to/moby/api/swagger.yaml

The description is moby's `api/swagger.yaml`; it is not part of this repository. Exits with 1 if an operation is
missing.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from cnmsim.api.route import Route
from cnmsim.api.routes import ROUTES

PAGE = Path(__file__).with_name("api-coverage.md")
HEAD = """\
# Coverage of the Engine API

This page compares Docker's API description, version {version}, with the routes in `cnmsim/api/routes.py`.
*Simulated* operations behave as the engine's. *Not simulated* operations return 501 with a message.
*Missing* operations would return 404.

| tag | operations | simulated | not simulated | missing |
| --- | ---: | ---: | ---: | ---: |
"""
TAIL = """
## Test suites of client libraries

The tests of five client libraries run against a served lab (`cnmsim serve --fast --expose-ports`, release 29.7.2):

| suite | passed | failed | why |
| --- | ---: | ---: | --- |
| docker-py 7.2 (without builds and managed plugins, API 1.45) | 330 | 26 | images' files and builds 18; \
registries 2; the client 4 (contexts, WebSocket over a Unix socket); not in 29.7.2 either 2 |
| aiodocker 0.27 | 125 | 36 | `python` and other programs 14; images' files and builds 10; registries 3; \
the client (runs as root, lacks asyncssh) 6; images of an earlier test 2; time that jumps 1 |
| python-on-whales 0.81 (without buildx) | 383 | 65 | images' files and builds 29; registries 11; managed plugins 3; \
files of the client 3; age of its Compose 2; time that jumps, and containers that failed tests leave, 16; \
a duration 1 |
| testcontainers-python 4.15 (core, with its reaper) | 471 | 49 | packages missing in the environment 32; builds 7; \
registries 4; engines in containers 3; nginx's configuration 1; the client 2 |
| dockerode 5.0 | 110 | 24 | images' files and builds 18; managed plugins 4; registries 2 |

Two tests of docker-py fail on a real 29.7.2 as well: links no longer set environment variables, and a MAC address
of a `network connect` is not shown before the start. The reasons in detail:

| tests | not simulated |
| --- | --- |
| of pulls that fail: docker-py's `test_run_with_image_that_does_not_exist`, python-on-whales' \
`*_multiple_images_break` | registries: any name can be pulled; `--offline-images` lets every pull fail |
| of images that a registry in a container keeps (`registry:2`), `docker login` \
| registries and the contents of images |
| that run programs of an image, such as `python -c "print(1)"` (most of aiodocker's tests of output) and `htpasswd` \
| the programs: a stand-in runs, prints one line and stays up until it is stopped |
| that bind a file or folder of the client's own machine | that machine: a bind is of the simulated host |
| of an nginx that a configuration written at run time lets listen (testcontainers' \
`test_compose_multiple_containers_and_ports`) | the configuration language: `--listen` and mounted files state ports |
| of images of one platform only (`arm32v7/busybox`) \
| platforms of a name: every image can be pulled for every platform, and its programs run |
| that start an engine or a build daemon in a container (`docker:dind`, `moby/buildkit`), and those that need \
`docker buildx` | programs that control an engine from images; builds |
| that find a service `starting` before it is `healthy` \
| slow starts with `--fast`, where the time between is jumped over |
| that compare the engine's times with the client's clock (python-on-whales' `test_docker_compose_restart`, \
`test_swarm_update_auto_lock_managers`), or find containers that these left | one clock for client and engine with \
`--fast`: without it they pass |
| python-on-whales' `test_compose_logs_follow` | the duration of a real `ping`: the test expects that `ping -c 2` \
and its end take 5 s |
"""


def normal(path: str) -> str:
    """Return a path without the names of its parameters: ours may differ from Docker's."""
    return re.sub(r"\{\w+\}", "{}", path)


def served() -> dict[tuple[str, str], Route]:
    """Return the registered routes by method and path. HEAD is served where GET is."""
    found = {(row.method, normal(row.path)): row for row in ROUTES}
    heads = {("HEAD", path): row for (method, path), row in found.items() if method == "GET"}
    return {**heads, **found}


def described(document: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return tag, method and path of every operation of the description."""
    return [
        (operation["tags"][0], method.upper(), path)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method != "parameters"
    ]


def verdict(row: Route | None) -> str:
    """Return how an operation is answered."""
    if row is None:
        return "missing"
    return "simulated" if row.is_simulated else "not simulated"


def page(document: dict[str, Any]) -> tuple[str, int]:
    """Return the page and the number of missing operations."""
    rows = served()
    kinds = ("simulated", "not simulated", "missing")
    counts: dict[str, Counter[str]] = {}
    lists: dict[str, list[str]] = {kind: [] for kind in kinds}
    for tag, method, path in sorted(described(document)):
        row = rows.get((method, normal(path)))
        kind = verdict(row)
        counts.setdefault(tag, Counter())[kind] += 1
        note = f": {row.sentence}" if row is not None and row.sentence else ""
        lists[kind].append(f"- `{method} {path}`{note}")
    total = sum(counts.values(), Counter())
    text = HEAD.format(version=document["info"]["version"])
    for tag, of_tag in [*counts.items(), ("**all**", total)]:
        text += f"| {tag} | {of_tag.total()} | " + " | ".join(str(of_tag[kind]) for kind in kinds) + " |\n"
    for kind in kinds[1:]:
        if lists[kind]:
            text += f"\n## {kind.capitalize()}\n\n" + "\n".join(lists[kind]) + "\n"
    return text + TAIL, total["missing"]


def main() -> int:
    """Read the description named on the command line, and write the page."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)  # noqa: T201
        return 2
    document = yaml.safe_load(Path(sys.argv[1]).read_text(encoding="utf-8"))
    text, missing = page(document)
    PAGE.write_text(text, encoding="utf-8")
    print(f"{PAGE}: {missing} operations missing")  # noqa: T201
    return 1 if missing else 0


if __name__ == "__main__":
    raise SystemExit(main())

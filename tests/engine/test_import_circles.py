"""The engine's modules import each other downwards: nothing below `Engine` names it, annotations included."""

import ast
from pathlib import Path

import networkx as nx

import cnmsim.engine

ROOT = Path(cnmsim.engine.__file__).parent
#: A record and the records it holds name each other.
PAIRS = [
    {"containers.container", "containers.exec"},
    {"client.containers", "client.networks"},
]


def imports(path, names):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cnmsim.engine"):
            module = node.module.removeprefix("cnmsim.engine").lstrip(".")
            for alias in node.names:
                whole = f"{module}.{alias.name}".lstrip(".")
                yield whole if whole in names else module


def test_circles_of_the_engine_are_pairs_of_records():
    paths = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in ROOT.rglob("*.py")}
    graph = nx.DiGraph((name, target) for name, path in paths.items() for target in imports(path, paths))
    circles = [circle for circle in nx.strongly_connected_components(graph) if len(circle) > 1]
    assert sorted(circles, key=sorted) == sorted(PAIRS, key=sorted)

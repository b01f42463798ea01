"""What the README and the pages of docs/ show passes the strict type checkers that its readers use."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from support.documents import ROOT, blocks, pages
from support.patience import PATIENCE_S

#: What the blocks of a page take for granted, and the fragments that are no whole programs.
BEFORE = {
    "docs/drivers.md": "from cnmsim import EngineError, Lab\nfrom cnmsim.testing.plugin import PluginServer\n"
    "from pathlib import Path\nimport pytest\nimport subprocess\nlab = Lab()\nengine = lab.host('node1').docker\n"
    "folder = shims = Path()\n",
    "docs/explanation/firewall-backends.md": "from cnmsim import Lab\nlab = Lab()\n",
    "docs/physical-networks.md": "from cnmsim import Lab\nlab = Lab()\n",
    "docs/serving.md": "from cnmsim import Lab\nfrom testcontainers.core.container import DockerContainer\n"
    "import os\nimport urllib.request\nlab = Lab()\n",
}
#: The pages whose cells show tables and pictures; the functions that draw them are hidden, and without annotations.
UNANNOTATED = "docs/explanation/"
_STRICT = "[mypy]\nstrict = True\npython_version = 3.11\ndisable_error_code = import-untyped\n"
_WITHOUT_ANNOTATIONS = "[mypy-{}]\ndisallow_untyped_defs = False\ndisallow_untyped_calls = False\n"


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one program for each page."""
    folder = tmp_path_factory.mktemp("typed")
    config = _STRICT
    for path in pages():
        page = path.relative_to(ROOT).as_posix()
        parts = [block.text for block in blocks(path) if block.kind in {"python", "code-cell"}]
        if parts and not page.startswith("docs/gallery/"):
            name = page.removesuffix(".md").replace("/", "_").replace("-", "_")
            (folder / f"{name}.py").write_text("\n".join([BEFORE.get(page, ""), *parts]), encoding="utf-8")
            config += _WITHOUT_ANNOTATIONS.format(name) if page.startswith(UNANNOTATED) else ""
    (folder / "mypy.ini").write_text(config, encoding="utf-8")
    assert (folder / "README.py").exists()
    return folder


def _check(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_documents_pass_mypy_strict(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if find_spec("mypy") is None:
        pytest.skip(reason="mypy is not installed: it comes with the extra dev")
    monkeypatch.setenv("MYPYPATH", str(ROOT))
    names = sorted(path.name for path in programs.glob("*.py"))
    _check([sys.executable, "-m", "mypy", "--cache-dir", str(ROOT / ".mypy_cache" / "documents"), *names], programs)


def test_documents_pass_pyright(programs: Path) -> None:
    pyright = shutil.which("pyright", path=str(Path(sys.executable).parent)) or shutil.which("pyright")
    if pyright is None:
        pytest.skip(reason="pyright is not installed: pip install pyright")
    (programs / "pyrightconfig.json").write_text(
        f'{{"include": ["*.py"], "extraPaths": ["{ROOT}"], "pythonVersion": "3.11",'
        ' "reportUnusedExpression": "none"}',
        encoding="utf-8",
    )
    _check([pyright, "--pythonpath", sys.executable, "--level", "error"], programs)

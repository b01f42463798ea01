"""Sphinx configuration. Pages are MyST text; their code cells run at every build, and a failing cell fails it."""

from pathlib import Path

project = "cnmsim"
author = "the cnmsim authors"
project_copyright = "the cnmsim authors"
html_title = "cnmsim"

extensions = ["myst_nb", "sphinx.ext.autodoc"]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["cells.css"]
#: Walks that can be stepped through, written by the pages themselves while they run.
html_extra_path = ["_walks"]
for _folder in ("_walks", "_static"):
    (Path(__file__).parent / _folder).mkdir(exist_ok=True)

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_execution_show_tb = True
# Show diagrams as HTML, as in a notebook, and not as image files.
nb_mime_priority_overrides = [("html", "text/html", 0)]

default_role = "code"
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "description"
autodoc_typehints_format = "short"
# Docstrings are plain sentences, and docutils' warnings about their wrapping are not errors. A page in no toctree is
# found by the search, and is not an error either.
suppress_warnings = ["docutils", "ref.python", "myst.xref_missing", "toc.not_included"]

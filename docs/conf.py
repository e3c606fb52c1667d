"""The documentation site: `make site` builds it, docs/testing.md says how.

The source folder is the root of the repository, so that a link such as ../SECURITY.md leads there on a forge and on the
site alike. Nothing is fetched while it is built, and the pages load nothing from elsewhere.
"""

from __future__ import annotations

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "neuralcipher"
author = "The neuralcipher developers"
copyright = author
version = release = version_of("neuralcipher")

extensions = ["myst_parser", "sphinx.ext.autodoc", "command_reference", "plain_docstrings", "no_network"]
root_doc = "docs/index"
source_suffix = {".md": "markdown"}
include_patterns = ["README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**.md"]

# Links to headings, as forges make their anchors; one that leads nowhere is a warning, and `make site` fails on it.
myst_heading_anchors = 4
smartquotes = False  # options begin with two hyphens

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = f"neuralcipher {release}"
html_extra_path = ["_root"]  # index.html, which leads to docs/index.html
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True, "top_of_page_buttons": []}

linkcheck_timeout = 20

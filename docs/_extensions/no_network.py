"""After a build, pages and style sheets are searched for what a browser would load from elsewhere: it is an error."""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util import logging

# A link that somebody may follow is none: <a href> loads nothing.
_ELSEWHERE = r"\s*(?:https?:)?//[^\"'\s>)]+"
_LOADED = (
    re.compile(r"<(?!a\s)[a-z]+\b[^>]*?\s(?:src|srcset|data|poster|action)\s*=\s*[\"']?" + _ELSEWHERE, re.I),
    re.compile(r"<link\b[^>]*?\shref\s*=\s*[\"']?" + _ELSEWHERE, re.I),
    re.compile(r"(?:@import\s*[\"']?|url\(\s*[\"']?)" + _ELSEWHERE, re.I),
)


def loaded_from_elsewhere(text: str) -> list[str]:
    """What a page or style sheet would fetch over a network."""
    return [found.group() for pattern in _LOADED for found in pattern.finditer(text)]


def _check(app: Sphinx, failure: Exception | None) -> None:
    if failure is not None or app.builder.format != "html":
        return
    pages = [path for suffix in ("html", "css") for path in sorted(Path(app.outdir).rglob(f"*.{suffix}"))]
    found = [f"{path}: {text}" for path in pages for text in loaded_from_elsewhere(path.read_text(encoding="utf-8"))]
    for sentence in found:
        logging.getLogger(__name__).error("a page would load something from elsewhere: %s", sentence)
        app.statuscode = 1


def setup(app: Sphinx) -> dict[str, object]:
    """Called by Sphinx."""
    app.connect("build-finished", _check)
    return {"parallel_read_safe": True}

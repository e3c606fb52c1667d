"""Docstrings of this project are plain text with `code` in single backticks: this turns them into reStructuredText.

So z_{i+1} stays what it is, and no docstring has to be written for Sphinx. An indented block is code.
"""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

_CODE = re.compile(r"`([^`\n]+)`")
_SPECIAL = re.compile(r"([\\*_|`])")


def marked_up(lines: list[str]) -> list[str]:
    """The lines of a docstring as reStructuredText."""
    result: list[str] = []
    in_code = False
    for line in lines:
        if line.startswith("    ") and not in_code and (not result or not result[-1]):
            in_code = True
            result += ["::", ""]
        elif line and not line.startswith("    "):
            in_code = False
        result.append(line if in_code else _prose(line))
    return result


def _prose(line: str) -> str:
    pieces = _CODE.split(line)  # prose and code in turn
    pieces[::2] = [_SPECIAL.sub(r"\\\1", prose) for prose in pieces[::2]]
    pieces[1::2] = [f"``{code}``" for code in pieces[1::2]]
    return "".join(pieces)


def _process(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = marked_up(lines)


def setup(app: Sphinx) -> dict[str, object]:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _process)
    return {"parallel_read_safe": True}

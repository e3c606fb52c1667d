"""Docstrings of this project are plain text with `code` in single backticks: this turns them into reStructuredText.

So z_{i+1} stays what it is, and no docstring has to be written for Sphinx. An indented block is code. What a paragraph
says of parameters and fields, `name: meaning. other, names: meaning.`, becomes a list; what is raised, a paragraph.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from sphinx.application import Sphinx

_CODE = re.compile(r"`([^`\n]+)`")
_SPECIAL = re.compile(r"([\\*_|`])")
_INDENT = "    "
_NAMES = re.compile(r"(?:[a-z_]\w*, )*[a-z_]\w*(?=: )")
_BEGINS = re.compile(rf"(?<=\. )(?={_NAMES.pattern}|Raises |Returns |Source: )")


def marked_up(lines: list[str]) -> list[str]:
    """The lines of a docstring as reStructuredText."""
    result: list[str] = []
    for empty, block in groupby(lines, key=lambda line: not line.strip()):
        paragraph = list(block)
        if empty:
            continue
        if all(line.startswith(_INDENT) for line in paragraph):
            result += ["::", "", *paragraph, ""]
        else:
            result += _paragraph(" ".join(line.strip() for line in paragraph))
    return result


def _paragraph(text: str) -> Iterator[str]:
    for piece in _BEGINS.split(text):
        names = _NAMES.match(piece)
        if names is None:
            yield from (_prose(piece.strip()), "")
        else:
            yield from (f"- ``{names[0]}``{_prose(piece[names.end() :].strip())}", "")


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

"""The parts of the documentation site that are our own code; that the site builds is a step of .ci/run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("sphinx")  # an extra of its own: the program and its other tests do without
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "docs" / "_extensions"))

from no_network import loaded_from_elsewhere
from plain_docstrings import marked_up


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://cdn.example/x.js"></script>',
        "<script async src=//cdn.example/x.js></script>",
        '<link rel="stylesheet" href="https://fonts.example/css">',
        "<img alt='' src='http://pictures.example/a.png'>",
        "@import 'https://fonts.example/css';",
        "@font-face { src: url(https://fonts.example/a.woff2) }",
    ],
)
def test_what_a_browser_would_fetch_is_found(text: str) -> None:
    assert len(loaded_from_elsewhere(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        '<a href="https://age-encryption.org">age</a>',
        '<script src="../_static/x.js"></script>',
        "src: url(fonts/a.woff2)",
        "/* https://licence.example */",
        "<p>the script is at https://x.example</p>",
    ],
)
def test_links_and_own_files_are_not(text: str) -> None:
    assert loaded_from_elsewhere(text) == []


def test_a_docstring_becomes_what_it_looks_like() -> None:
    lines = ["z_{i+1} = g(z_i), |x| *kept*", "by `next_latent`.", "", "    seal(path_, *keys)", "", "Text."]
    expected = [r"z\_{i+1} = g(z\_i), \|x\| \*kept\* by ``next_latent``.", ""]
    assert marked_up(lines) == [*expected, "::", "", "    seal(path_, *keys)", "", "Text.", ""]


def test_parameters_become_a_list() -> None:
    lines = ["Seal. It is: slow.", "", "z: (C, H) uint8. size_b, data: bytes, 1..2. Even.", "Raises ShapeError: never."]
    items = ["- ``z``: (C, H) uint8.", "", "- ``size_b, data``: bytes, 1..2. Even.", ""]
    assert marked_up(lines) == ["Seal. It is: slow.", "", *items, "Raises ShapeError: never.", ""]

"""The page as text: its policy, what it holds, and what the ready-made parts of it are made from."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from player_parts import ASSETS, NODE, TOOLS, needs_node

from neuralcipher.player.page import player_page, player_script

BUNDLE = bytes(range(256)) * 40
HOSTILE = '"><script>alert(1)</script>$program&.ncv'


class Elements(html.parser.HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._inside = dict(attrs).get("id") or tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        self.texts[self._inside] = self.texts.get(self._inside, "") + data


@pytest.fixture(scope="module")
def page() -> Elements:
    return Elements(player_page(BUNDLE, "clip.ncv"))


def policy(page: Elements) -> dict[str, str]:
    (content,) = [a["content"] for _, a in page.found if a.get("http-equiv") == "Content-Security-Policy"]
    return dict(rule.strip().split(" ", 1) for rule in str(content).split(";"))


def test_the_policy_allows_this_script_and_this_style_alone(page: Elements) -> None:
    rules = policy(page)
    assert rules["default-src"] == "'none'"
    assert set(rules) == {"default-src", "script-src", "style-src", "worker-src", "base-uri", "form-action"}
    for name, element in (("script-src", "program"), ("style-src", "style")):
        digest = base64.b64encode(hashlib.sha256(page.texts[element].encode()).digest()).decode()
        assert f"'sha256-{digest}'" in rules[name]
    assert "unsafe-inline" not in str(rules)
    assert re.sub("wasm-unsafe-eval", "", str(rules)).count("unsafe") == 0


def test_nothing_is_fetched(page: Elements) -> None:
    assert not [a for _, a in page.found if {"src", "href", "action", "srcset", "data"} & set(a)]
    assert not [tag for tag, _ in page.found if tag in ("iframe", "object", "embed", "link", "base")]
    assert not [name for _, a in page.found for name in a if name.startswith("on")]
    assert not re.search(r"\b(fetch\(|XMLHttpRequest|WebSocket|EventSource|sendBeacon|importScripts)", player_script())


def test_the_bundle_is_in_it_as_it_is(page: Elements) -> None:
    assert base64.b64decode(page.texts["bundle"]) == BUNDLE


def test_a_hostile_name_stays_text() -> None:
    found = Elements(player_page(BUNDLE, HOSTILE))
    assert [a["data-name"] for _, a in found.found if "data-name" in a] == [HOSTILE]
    assert sum(tag == "script" for tag, _ in found.found) == 3
    assert found.texts["title"] == 2 * HOSTILE  # of the window, and over the video


def test_without_a_bundle_it_asks_for_one() -> None:
    found = Elements(player_page(None, "ncipher player"))
    assert not [a for _, a in found.found if a.get("id") == "bundle"]


def test_every_field_has_a_label_and_every_button_a_name(page: Elements) -> None:
    labelled = {a.get("for") for tag, a in page.found if tag == "label"}
    for tag, attributes in page.found:
        if tag == "input":
            assert attributes.get("aria-label") or attributes["id"] in labelled
        if tag == "button":
            assert page.texts[str(attributes["id"])].strip()


@needs_node
def test_the_script_is_one_that_a_browser_can_read(tmp_path: Path) -> None:
    script = tmp_path / "player.js"
    script.write_text(player_script(), encoding="utf-8")
    subprocess.run([NODE, "--check", str(script)], check=True, capture_output=True)


def test_no_module_is_left_out() -> None:
    for path in ASSETS.glob("*.mjs"):
        assert f"const ${path.stem} = (() =>" in player_script()


def test_licences_of_others_are_in_the_page() -> None:
    script = player_script()
    for package in ("@noble/ciphers", "@noble/hashes", "hash-wasm"):
        assert package in script
    assert script.count("Permission is hereby granted, free of charge") == 3


def test_the_vendored_packages_have_digests_and_no_host() -> None:
    lock = (TOOLS / "vendor" / "package-lock.json").read_text(encoding="utf-8")
    assert "http" not in re.sub(r'"url": "[^"]*"', "", lock)
    assert lock.count('"integrity": "sha512-') >= 4


@pytest.mark.skipif(find_spec("ziglang") is None, reason="no ziglang here")
def test_the_codec_comes_out_the_same(tmp_path: Path) -> None:
    made = tmp_path / "codec.wasm"
    subprocess.run([sys.executable, str(TOOLS / "build.py"), "native", str(made)], check=True)
    assert made.read_bytes() == (ASSETS / "codec.wasm").read_bytes()

"""The page in a real browser: the right pictures, the command's sentences, the keyboard, names, and no way out."""

from __future__ import annotations

import base64
import contextlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Tab, browser
from chromium import needs_chromium
from PIL import Image
from player_bundles import CHEAP, FRAMES, KEY, PHRASE, Rewriting, rewritten, tone

import neuralcipher
from neuralcipher.container import BundleReader, BundleWriter
from neuralcipher.errors import NeuralCipherError
from neuralcipher.keys import Credential, Key, Passphrase
from neuralcipher.player.page import player_page

pytestmark = needs_chromium

OTHER = Key(bytes(range(1, 33)))
PIXELS = """(() => {
  const shown = document.getElementById('picture');
  const canvas = new OffscreenCanvas(shown.width, shown.height);
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.drawImage(shown, 0, 0);
  const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
  return btoa(String.fromCharCode(...data));
})()"""
SHOWN = "document.getElementById('picture').dataset.frame"
PROBLEM = "document.getElementById('problem').textContent"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, clip: Path) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    KEY.write(folder / "k.bin")
    OTHER.write(folder / "other.bin")
    (folder / "short.bin").write_bytes(b"short")
    keys = KEY, Passphrase(PHRASE)
    (folder / "x.ncv").write_bytes(rewritten(clip, Rewriting(keys, repairs=True, twice=True)))
    (folder / "sound.ncv").write_bytes(rewritten(clip, Rewriting(aead="aes-256-gcm", sound=tone())))
    (folder / "mute.ncv").write_bytes(rewritten(clip, Rewriting(sound=tone("ac3"))))
    return folder


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser(tmp_path_factory.mktemp("chromium")) as found:
        yield found


def load(tab: Tab, folder: Path, bundle: bytes) -> None:
    """The page of a bundle, up to its question for the key or a problem."""
    page = folder / "page.html"
    page.write_text(player_page(bundle, "x.ncv"), encoding="utf-8")
    tab.console.clear()
    tab.requests.clear()
    tab.open(page.as_uri())
    tab.wait(f"{PROBLEM} || !document.getElementById('lock').hidden")


def unlock(tab: Tab, path: Path | None = None, phrase: str = "") -> str:
    """Give a key; returns what the page says is wrong."""
    if path is not None:
        tab.choose("key", path)
    tab.evaluate(f"document.getElementById('passphrase').value = {phrase!r}")
    tab.evaluate("document.getElementById('open').click()")
    tab.wait(f"{PROBLEM} || {SHOWN} === '0'")
    return str(tab.evaluate(PROBLEM))


def show(tab: Tab, folder: Path, name: str = "x.ncv") -> None:
    load(tab, folder, (folder / name).read_bytes())
    assert unlock(tab, folder / "k.bin") == ""


def picture(tab: Tab) -> np.ndarray[Any, np.dtype[np.int64]]:
    raw = np.frombuffer(base64.b64decode(tab.evaluate(PIXELS)), np.uint8)
    return raw.reshape(40, 70, 4)[..., :3].astype(np.int64)


def sentence(bundle: bytes, folder: Path, credential: Credential) -> str:
    """What this package's own reader says."""
    path = folder / "told" / "x.ncv"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bundle)
    with pytest.raises(NeuralCipherError) as caught, BundleReader.open(path) as reader:
        reader.unlock([credential])
        reader.read_section(reader.sections[1])
        assert reader.metadata
    return caught.value.message


def test_every_frame_is_within_two_levels_and_nothing_leaves_the_page(tab: Tab, folder: Path) -> None:
    neuralcipher.open_bundle(folder / "x.ncv", f"{folder}/png/", keys=[KEY])
    wanted = [np.asarray(Image.open(path)).astype(int) for path in sorted((folder / "png").iterdir())]
    assert len(wanted) == 2 * FRAMES
    show(tab, folder)
    for number, frame in enumerate(wanted):
        tab.wait(f"{SHOWN} === '{number}'")
        assert np.abs(picture(tab) - frame).max() <= 2, number
        tab.press(".")
    # back by a segment, and to the end
    for key, number in (("Home", 0), ("End", len(wanted) - 1), (",", len(wanted) - 2)):
        tab.press(key)
        tab.wait(f"{SHOWN} === '{number}'")
        assert np.abs(picture(tab) - wanted[number]).max() <= 2, key
    assert tab.console == []
    assert {url.split(":")[0] for url in tab.requests} == {"file", "blob"}
    assert len([url for url in tab.requests if url.startswith("file")]) == 1


def test_the_policy_holds(tab: Tab, folder: Path) -> None:
    show(tab, folder)
    leak = "new Promise(r => { const i = new Image(); i.onload = () => r('out'); i.onerror = () => r('held');"
    assert tab.evaluate(f"{leak} i.src = 'http://127.0.0.1:9/x.png'; }})") == "held"
    assert tab.evaluate("fetch('http://127.0.0.1:9/').then(() => 'out', () => 'held')") == "held"
    assert any("Content Security Policy" in line for line in tab.console)


def test_the_passphrase_opens_too(tab: Tab, folder: Path) -> None:
    load(tab, folder, (folder / "x.ncv").read_bytes())
    assert unlock(tab, phrase=PHRASE) == ""
    assert tab.text("title") == "moving"
    assert tab.evaluate("document.getElementById('lock').hidden")
    assert tab.evaluate("document.getElementById('passphrase').value") == ""


def test_a_wrong_key_is_told_and_the_right_one_still_opens(tab: Tab, folder: Path) -> None:
    bundle = (folder / "x.ncv").read_bytes()
    load(tab, folder, bundle)
    assert unlock(tab).startswith("no key was given")
    assert unlock(tab, folder / "other.bin").startswith(sentence(bundle, folder, OTHER))
    assert unlock(tab, folder / "short.bin").startswith("the key file short.bin must have 32 bytes and has 5")
    wrong = sentence(bundle, folder, Passphrase("wrong"))
    assert "passphrase" in wrong
    assert unlock(tab, phrase="wrong").startswith(wrong)
    assert unlock(tab, folder / "k.bin") == ""


def changed(bundle: bytes, how: str) -> bytes:
    data = bytearray(bundle)
    if how == "header":
        data[60] ^= 1
    elif how == "mac":
        data[16 + struct.unpack_from("<I", data, 12)[0]] ^= 1
    elif how == "payload":
        data[-40] ^= 1
    elif how == "cut":
        data = data[:100]
    elif how == "appended":
        data += b"\n"
    elif how == "newer":
        data[8] = 2
    elif how == "text":
        data[:4] = b"\x09NCV"
    return bytes(data)


@pytest.mark.parametrize("how", ["header", "mac", "payload", "cut", "appended", "newer", "text"])
def test_damage_is_told_in_the_words_of_the_command(how: str, tab: Tab, folder: Path) -> None:
    bundle = changed((folder / "x.ncv").read_bytes(), how)
    load(tab, folder, bundle)
    told = tab.evaluate(PROBLEM) or unlock(tab, folder / "k.bin")
    assert told.startswith(sentence(bundle, folder, KEY))
    assert tab.console == []


@pytest.mark.parametrize("kind", ["flow", "generator"])
def test_what_it_cannot_render_is_left_to_the_command(kind: str, tab: Tab, folder: Path) -> None:
    path = folder / "foreign.ncv"
    with BundleReader.open(folder / "sound.ncv") as reader, path.open("wb") as file:
        reader.unlock([KEY])
        writer = BundleWriter.create_sealed(file, [KEY], argon2=CHEAP)
        for section in reader.sections:
            name = {"name": "autoencoder"} if section.kind == kind else {}
            attributes = {**section.attributes, **name}
            writer.add_section(section.kind, section.segment, reader.read_section(section), **attributes)
        writer.finish(reader.metadata)
    load(tab, folder, path.read_bytes())
    told = unlock(tab, folder / "k.bin")
    assert told.startswith(f"the player cannot {'render' if kind == 'flow' else 'run'} the {kind} autoencoder")
    assert "ncipher open" in told


def test_a_bare_bundle_says_that_it_is_one(tab: Tab, folder: Path, clip: Path) -> None:
    bundle = rewritten(clip, Rewriting(bare=True))
    load(tab, folder, bundle)
    assert tab.evaluate("!document.getElementById('bare').hidden && document.getElementById('passphrase-row').hidden")
    assert unlock(tab, folder / "k.bin") == ""
    right = picture(tab)
    load(tab, folder, bundle)
    assert unlock(tab, folder / "other.bin") == ""
    assert np.abs(picture(tab) - right).max() > 50


def test_it_plays_to_its_end_with_the_space_bar(tab: Tab, folder: Path) -> None:
    show(tab, folder)
    tab.evaluate("document.activeElement.blur()")
    tab.press(" ", " ")
    assert tab.text("play") == "Pause"
    tab.wait(f"{SHOWN} === '{2 * FRAMES - 1}' && document.getElementById('play').textContent === 'Play'")
    # and again from the start
    tab.press(" ", " ")
    tab.wait(f"document.getElementById('play').textContent === 'Pause' && {SHOWN} !== '{2 * FRAMES - 1}'")
    tab.press(" ", " ")
    tab.wait("document.getElementById('play').textContent === 'Play'")


def test_sound_is_played_or_said_to_be_missing(tab: Tab, folder: Path) -> None:
    show(tab, folder, "sound.ncv")
    assert not tab.evaluate("document.getElementById('mute').hidden")
    assert tab.text("note") == ""
    # what reaches the speakers is seen on the way there
    tab.evaluate(
        "(() => { window.starts = 0; const start = AudioBufferSourceNode.prototype.start;"
        "AudioBufferSourceNode.prototype.start = function (...a) {"
        "window.starts++; window.peak = Math.max(...this.buffer.getChannelData(0));"
        "return start.apply(this, a); }; })()"
    )
    tab.evaluate("document.getElementById('play').click()")
    tab.wait(f"window.starts >= 3 && {SHOWN} === '{FRAMES - 1}'")
    assert 0.2 < tab.evaluate("window.peak") < 0.3
    tab.press("m")
    assert tab.text("mute") == "Sound on"
    show(tab, folder, "mute.ncv")
    assert tab.evaluate("document.getElementById('mute').hidden")
    assert "cannot decode the sound (ac3)" in tab.text("note")


def test_a_screen_reader_finds_names_and_the_keyboard_every_control(tab: Tab, folder: Path) -> None:
    show(tab, folder)
    nodes = tab.call("Accessibility.getFullAXTree")["nodes"]
    named = {(n["role"]["value"], n.get("name", {}).get("value", "")) for n in nodes if not n.get("ignored")}
    assert {("image", "moving, 70 by 40 pixels"), ("img", "moving, 70 by 40 pixels")} & named
    for role, name in (("button", "Play"), ("slider", "Position"), ("button", "Full screen"), ("group", "Controls")):
        assert (role, name) in named
    assert {role for role, _ in named} >= {"alert", "status", "heading", "main"}
    seen = []
    tab.evaluate("document.getElementById('seek').focus()")
    for _ in range(4):
        tab.call("Input.dispatchKeyEvent", type="keyDown", key="Tab", windowsVirtualKeyCode=9)
        tab.call("Input.dispatchKeyEvent", type="keyUp", key="Tab", windowsVirtualKeyCode=9)
        seen.append(tab.evaluate("document.activeElement.id"))
        assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert seen == ["play", "back", "forward", "full"]
    assert "of 0:00" in tab.evaluate("document.getElementById('seek').getAttribute('aria-valuetext')")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_telephone_in_both_schemes(scheme: str, tab: Tab, folder: Path) -> None:
    tab.call("Emulation.setDeviceMetricsOverride", width=320, height=600, deviceScaleFactor=1, mobile=True)
    tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    with contextlib.ExitStack() as later:
        later.callback(tab.call, "Emulation.setEmulatedMedia", features=[])
        later.callback(tab.call, "Emulation.clearDeviceMetricsOverride")
        show(tab, folder)
        assert tab.evaluate("document.documentElement.scrollWidth") <= 320
        small = "[...document.querySelectorAll('button:not([hidden])')].map(b => b.getBoundingClientRect().height)"
        assert min(height for height in tab.evaluate(small) if height) >= 44
        paper = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        assert paper == ("rgb(21, 23, 27)" if scheme == "dark" else "rgb(253, 253, 251)")

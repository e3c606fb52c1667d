"""The page in a real browser: no error on its console, no overflow on a telephone, dark and light."""

from __future__ import annotations

from pathlib import Path

import pytest
from chromium import browse, console, needs_chromium, seen_at
from PIL import Image
from report_parts import Finished

from neuralcipher.attacks.report import page

pytestmark = needs_chromium


@pytest.mark.parametrize("width", [360, 1100])
def test_the_page_fits(tmp_path: Path, width: int) -> None:
    seen = seen_at(tmp_path, page(Finished()), width)
    assert seen["scroll"] <= width
    assert seen["wide"] == []
    assert seen["charts"] >= 5
    assert seen["small"] > 200
    assert seen["images"]
    assert seen["height"] > 1000
    assert seen["console"] == []


def test_console_errors_would_be_seen(tmp_path: Path) -> None:
    broken = tmp_path / "broken.html"
    broken.write_text(page(Finished()).replace("<main>", '<main><p style="color:red">x</p>'), encoding="utf-8")
    done = browse(tmp_path, broken.as_uri(), "--dump-dom")
    assert any("Content Security Policy" in line for line in console(done.stderr))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_follows_the_readers_scheme(tmp_path: Path, dark: bool) -> None:
    report, shot = tmp_path / "report.html", tmp_path / "shot.png"
    report.write_text(page(Finished()), encoding="utf-8")
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    done = browse(tmp_path, report.as_uri(), scheme, "--window-size=800,1200", f"--screenshot={shot}")
    assert console(done.stderr) == []
    with Image.open(shot) as picture:
        corner = picture.convert("RGB").getpixel((2, 2))
    assert corner == ((0x15, 0x17, 0x1B) if dark else (0xFD, 0xFD, 0xFB))

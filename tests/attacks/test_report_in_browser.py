"""The page in a real browser: no error on its console, no overflow on a telephone, dark and light."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import chromium
import pytest
from chromium import CHROMIUM, needs_chromium
from PIL import Image
from report_parts import Finished

from neuralcipher.attacks.report import page

pytestmark = needs_chromium

FLAGS = ("--headless", *chromium.FLAGS, "--hide-scrollbars", "--enable-logging=stderr")

# A window cannot be made as narrow as a telephone, so the page is looked at in a frame of that width. Scripts run in
# the page around it, as the report itself allows none.
AROUND = """<!doctype html><meta charset="utf-8"><body style="margin:0">
<iframe id="f" style="border:0;width:{width}px;height:900px"></iframe><pre id="out">waiting</pre><script>
const frame = document.getElementById("f");
frame.onload = () => {{
  const inside = frame.contentDocument, root = inside.documentElement;
  const wide = [...inside.querySelectorAll("body *")].filter(e => !e.closest(".scroll, pre, svg")
    && e.getBoundingClientRect().right > {width} + 0.5).map(e => e.tagName + "." + e.className);
  document.getElementById("out").textContent = JSON.stringify({{
    scroll: root.scrollWidth, width: root.clientWidth, wide,
    paper: frame.contentWindow.getComputedStyle(inside.body).backgroundColor,
    charts: inside.querySelectorAll("svg.chart").length, height: root.scrollHeight,
    images: [...inside.images].every(i => i.complete && i.naturalWidth > 0),
    small: Math.min(...[...inside.querySelectorAll("svg.chart")].map(e => e.getBoundingClientRect().width)),
  }});
}};
frame.srcdoc = {page};
</script>"""


def browse(folder: Path, url: str, *more: str) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM is not None
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", *more, url]
    return subprocess.run(command, capture_output=True, text=True, timeout=800, check=False)


def console(log: str) -> list[str]:
    return [line for line in log.splitlines() if ":CONSOLE" in line or "CONSOLE(" in line]


@pytest.mark.parametrize("width", [360, 1100])
def test_the_page_fits(tmp_path: Path, width: int) -> None:
    text = json.dumps(page(Finished())).replace("</", "<\\/")
    around = tmp_path / "around.html"
    around.write_text(AROUND.format(width=width, page=text), encoding="utf-8")
    done = browse(tmp_path, around.as_uri(), "--window-size=1200,1000", "--virtual-time-budget=5000", "--dump-dom")
    found = re.search(r'<pre id="out">(\{.*?\})</pre>', done.stdout, re.DOTALL)
    assert found is not None, done.stderr[-2000:]
    seen = json.loads(found[1])
    assert seen["scroll"] <= width
    assert seen["wide"] == []
    assert seen["charts"] >= 5
    assert seen["small"] > 200
    assert seen["images"]
    assert seen["height"] > 1000
    assert console(done.stderr) == []


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

"""The browser of the tests, where there is one, and what it is started with."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH")

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)

_SHOWN = ("--headless", *FLAGS, "--hide-scrollbars", "--enable-logging=stderr")

# A window cannot be made as narrow as a telephone, so the page is looked at in a frame of that width. Scripts run in
# the page around it, as the report itself allows none.
_AROUND = """<!doctype html><meta charset="utf-8"><body style="margin:0">
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
    command = [CHROMIUM, *_SHOWN, f"--user-data-dir={folder / 'profile'}", *more, url]
    return subprocess.run(command, capture_output=True, text=True, timeout=800, check=False)


def console(log: str) -> list[str]:
    return [line for line in log.splitlines() if ":CONSOLE" in line or "CONSOLE(" in line]


def seen_at(folder: Path, page: str, width: int) -> dict[str, Any]:
    """What a page of text is like on a screen of that width; "console": what the browser complained of."""
    text = json.dumps(page).replace("</", "<\\/")
    around = folder / "around.html"
    around.write_text(_AROUND.format(width=width, page=text), encoding="utf-8")
    done = browse(folder, around.as_uri(), "--window-size=1200,1000", "--virtual-time-budget=5000", "--dump-dom")
    found = re.search(r'<pre id="out">(\{.*?\})</pre>', done.stdout, re.DOTALL)
    assert found is not None, done.stderr[-2000:]
    return {**json.loads(found[1]), "console": console(done.stderr)}

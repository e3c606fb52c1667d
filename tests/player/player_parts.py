"""What the tests of the player share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import neuralcipher

PACKAGE = Path(neuralcipher.__file__).parent
ASSETS = PACKAGE / "player" / "assets"
TOOLS = Path(__file__).resolve().parents[2] / "tools" / "player"
DATA = PACKAGE / "data"
NODE = shutil.which("node") or ""
needs_node = pytest.mark.skipif(not NODE, reason="no node on PATH")

"""What the tests of the player share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import neuralcipher

ASSETS = Path(neuralcipher.__file__).parent / "player" / "assets"
NODE = shutil.which("node") or ""
needs_node = pytest.mark.skipif(not NODE, reason="no node on PATH")

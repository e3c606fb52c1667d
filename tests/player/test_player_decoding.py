"""The player's decoder under Node: integers equal to Python's, pictures within two levels, alike from any frame on."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from player_bundles import KEY, Rewriting, facts, rewritten
from player_parts import ASSETS, DATA, NODE, needs_node

import neuralcipher

SCRIPT = Path(__file__).with_name("decode_bundles.mjs")
CASES = {
    "plain": Rewriting(),
    "repaired": Rewriting(repairs=True),
    "chacha20": Rewriting(generator="chacha20", aead="aes-256-gcm"),
    "two-segments": Rewriting(repairs=True, twice=True),
}

pytestmark = needs_node


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, clip: Path) -> Path:
    folder = tmp_path_factory.mktemp("decoding")
    for name, how in CASES.items():
        (folder / f"{name}.ncv").write_bytes(rewritten(clip, how))
    return folder


@pytest.fixture(scope="module")
def seen(folder: Path) -> dict[str, Any]:
    paths = [str(folder / f"{name}.ncv") for name in CASES]
    command = [NODE, str(SCRIPT), str(ASSETS), str(DATA), KEY.reveal().hex(), *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    return {Path(path).stem: found for path, found in json.loads(done.stdout).items()}


@pytest.mark.parametrize("name", CASES)
def test_integers_are_equal(name: str, folder: Path, seen: dict[str, Any]) -> None:
    own = facts(folder / f"{name}.ncv")
    assert {field: seen[name][field] for field in own} == own
    assert len(own["frames"]) == 9
    assert (own["weights"] is not None) or not CASES[name].repairs


@pytest.mark.parametrize("name", CASES)
def test_pictures_are_within_two_levels(name: str, folder: Path, seen: dict[str, Any]) -> None:
    neuralcipher.open_bundle(folder / f"{name}.ncv", f"{folder / name}/", keys=[KEY])
    wanted = np.stack([np.asarray(Image.open(path)) for path in sorted((folder / name).iterdir())]).astype(int)
    raw = np.fromfile(folder / f"{name}.ncv.rgba", np.uint8).reshape(*wanted.shape[:3], 4)
    assert wanted.std() > 20
    assert np.abs(wanted - raw[..., :3]).max() <= 2
    assert (raw[..., 3] == 255).all()
    assert all(seen[name]["seeks"])
    assert len(seen[name]["seeks"]) == len(wanted) - 1

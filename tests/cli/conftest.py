"""One sealed clip for the tests of this folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from command import SMALL, run

import neuralcipher


@pytest.fixture(scope="session")
def sealed(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sealed")
    shutil.copy(neuralcipher.demo_clip(), folder / "video.mp4")
    run("keygen", "k.bin", cwd=folder)
    run("keygen", "other.bin", cwd=folder)
    done = run("seal", "video.mp4", "--key", "k.bin", "--json", *SMALL, cwd=folder)
    (folder / "seal.json").write_text(done.stdout)
    return folder


@pytest.fixture
def work(sealed, tmp_path) -> Path:
    for name in ("video.mp4", "k.bin", "other.bin", "video.ncv"):
        shutil.copy(sealed / name, tmp_path / name)
    return tmp_path

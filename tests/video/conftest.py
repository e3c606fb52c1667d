"""Clips shared by the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from video_clips import BUNNY


@pytest.fixture(scope="session")
def bunny() -> Path:
    """The real clip that the package carries: 60 frames of 320x180 with 5.1 sound."""
    return BUNNY


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where the tests put and share the clips that they encode."""
    return tmp_path_factory.mktemp("clips")

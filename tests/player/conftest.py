"""What the tests of the player need once."""

from __future__ import annotations

from pathlib import Path

import pytest
from player_bundles import seal_clip


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small sealed video."""
    return seal_clip(tmp_path_factory.mktemp("clip") / "source.ncv")

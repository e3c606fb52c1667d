"""One nursery for the faults of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fault_parts import Ground, Nursery, build_shim


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    scratch = tmp_path_factory.mktemp("faults")
    (scratch / "outputs").mkdir()
    try:
        shim = build_shim(scratch)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    nursery = Nursery(shim, scratch / "outputs")
    yield Ground.make(nursery, scratch)
    nursery.close()

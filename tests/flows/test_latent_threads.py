"""The latent flow fits on one thread, and leaves the caller's threads as they were."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from flow_parts import context, keys, moving_square

from neuralcipher.errors import CancelledError
from neuralcipher.flows.base import FitProgress
from neuralcipher.flows.latent import LatentConfig, LatentFlow


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_fitting_takes_one_thread() -> None:
    seen = []
    progress = context(progress=lambda report: seen.append(torch.get_num_threads()))
    LatentFlow(LatentConfig(steps=2)).fit(moving_square(2, 16, 16), keys(1), progress)
    assert set(seen) == {1}
    assert torch.get_num_threads() == 2


def test_a_fit_that_is_cancelled_gives_the_threads_back() -> None:
    def cancel(report: FitProgress) -> None:
        raise CancelledError("enough")

    with pytest.raises(CancelledError):
        LatentFlow(LatentConfig(steps=2)).fit(moving_square(2, 16, 16), keys(1), context(progress=cancel))
    assert torch.get_num_threads() == 2

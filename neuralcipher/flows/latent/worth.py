"""What errors count in one attempt: by what depends on them, and by what they do to similarity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuralcipher.flows.latent.features import COEFFICIENTS, COLOURS
from neuralcipher.flows.latent.similarity import ErrorPrices
from neuralcipher.flows.latent.structure import CodedFrame

# Measured on three clips (docs/decisions/ms-ssim.md): of errors in anchors, and by how much more an error of prediction
# counts, which is mostly in low frequencies and is handed on.
_ANCHORS, _ANCHORS_SIMILAR = 1.0, 0.65
_MOTION, _MOTION_SIMILAR = 2.0, 3.0


class Worth:
    """Of the errors of one segment."""

    def __init__(
        self, prices: ErrorPrices | None, depending: Mapping[int, NDArray[np.float64]] | None, exponent: float
    ) -> None:
        """prices: for similarity. depending: see `dependence`, None where rate weights go by level; its exponent."""
        self._prices, self._depending, self._exponent = prices, depending, exponent

    def of_errors(self, frames: Sequence[CodedFrame]) -> NDArray[np.float32] | None:
        """(B, 3, 64, h, w) for squared errors of coefficients, None for 1."""
        found = [self._of_coefficients(frame.index) for frame in frames]
        return None if found[0] is None else torch.stack([x for x in found if x is not None]).numpy()

    def of_motion(self, index: int, grid: tuple[int, int]) -> Tensor | None:
        """(h, w) for squared errors of predictions, None for 1."""
        block = self._of_blocks(index)
        if block is not None:
            return block * (_MOTION if self._prices is None else _MOTION_SIMILAR)
        return None if self._prices is None else torch.full(grid, _MOTION_SIMILAR)

    def _of_coefficients(self, index: int) -> Tensor | None:
        block = self._of_blocks(index)
        if self._prices is not None:
            price = self._prices.of(index)
            return price if block is None else price * block
        return None if block is None else block.expand(COLOURS, COEFFICIENTS, *block.shape)

    def _of_blocks(self, index: int) -> Tensor | None:
        if self._depending is None:
            return None
        anchors = _ANCHORS if self._prices is None else _ANCHORS_SIMILAR
        return anchors * torch.from_numpy(self._depending[index]).float() ** self._exponent

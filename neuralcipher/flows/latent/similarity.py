"""MS-SSIM for the encoder: of an attempt as a whole, and as prices of errors, coefficient by coefficient.

For small errors, one minus the structure term of SSIM is the local variance of the error over twice that of the
picture. MS-SSIM adds it up over five scales, each half the size of the last (Wang, Simoncelli and Bovik, 2003). So an
error costs more where the picture is smooth, and a coarse error costs more than a fine one, which only the first scale
sees.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from neuralcipher.flows.latent.transform import COLOUR_SCALE, Colour, inverse_transform
from neuralcipher.flows.latent.warp import BLOCK, SQUARE

_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_C1, _C2 = 0.01**2, 0.03**2
_SIGMA, _TAPS = 1.5, 7
# Exponent of what differs from block to block: at 1, rough places are given up (docs/decisions/ms-ssim.md).
_LOCAL = 0.4
_SAMPLES, _COMPARED = 16, 64  # frames
_LEAST = 1e-3


class Dissimilarity:
    """One minus MS-SSIM in RGB, with 7 taps and repeated edges, so that any size of picture has one."""

    def __init__(self, colour: Colour) -> None:
        self._rotation, self._mean = _rotation(colour), colour.mean

    def __call__(self, shown: Tensor, truth: Tensor) -> Tensor:
        """The mean over frames (B, 3, H, W) on colour axes, and over colours."""
        colours = (torch.einsum("kc,bchw->bkhw", self._rotation, x) + self._mean for x in (shown, truth))
        x, y = (x.clamp(0, 1).flatten(0, 1) for x in colours)
        similar = torch.ones(len(x))
        for scale, weight in enumerate(_SCALE_WEIGHTS):
            if scale:
                x, y = (F.avg_pool2d(planes[:, None], 2, ceil_mode=True)[:, 0] for planes in (x, y))
            mean_x, mean_y, xx, yy, xy = _blur(torch.cat([x, y, x * x, y * y, x * y])).chunk(5)
            value = (2 * (xy - mean_x * mean_y) + _C2) / (xx - mean_x.square() + yy - mean_y.square() + _C2)
            if scale == len(_SCALE_WEIGHTS) - 1:
                value = value * (2 * mean_x * mean_y + _C1) / (mean_x.square() + mean_y.square() + _C1)
            similar = similar * value.mean(dim=(1, 2)).clamp_min(_LEAST) ** weight
        return 1 - similar.mean()

    def mean(self, shown: Tensor, truth: Tensor, size: tuple[int, int]) -> float:
        """Of the upper left part of a size (height, width) of (at most 64 evenly spread) frames (N, 3, H, W)."""
        height, width = size
        some = range(0, len(truth), -(-len(truth) // _COMPARED))
        pairs = ((x[i : i + 1, :, :height, :width].float() for x in (shown, truth)) for i in some)
        return math.fsum(float(self(*pair)) for pair in pairs) / len(some)


class ErrorPrices:
    """By how much a squared error of each coefficient counts, in one segment."""

    def __init__(self, pictures: Tensor, colour: Colour) -> None:
        """pictures: (N, 3, H, W) uint8."""
        self._pictures = pictures
        self._shares = _rotation(colour).square()
        logs = [self._exact(i).log() for i in range(0, len(pictures), max(1, len(pictures) // _SAMPLES))]
        typical = torch.stack(logs).mean(dim=(0, 3, 4))
        self._bands = ((1 - _LOCAL) * typical - typical[0].mean())[..., None, None]

    def of(self, index: int) -> Tensor:
        """(3, 64, h, w) of one frame; the geometric mean over the first colour of the segment is 1."""
        return torch.exp(_LOCAL * self._exact(index).log() + self._bands)

    def _exact(self, index: int) -> Tensor:
        """As the derivation has it."""
        height, width = self._pictures.shape[2:]
        planes = self._pictures[index].float() / 255
        planes = F.pad(planes[None], (0, -width % SQUARE, 0, -height % SQUARE), mode="replicate")[0]
        total = torch.zeros(())
        for scale, (weight, share) in enumerate(zip(_SCALE_WEIGHTS, _variances(), strict=True)):
            small = F.avg_pool2d(planes, 1 << scale)
            variance = (_blur(small.square()) - _blur(small).square()).clamp_min(0)
            total = total + weight * share[:, None, None] * self._on_blocks(1 / (2 * variance + _C2), scale)[:, None]
        return total

    def _on_blocks(self, price: Tensor, scale: int) -> Tensor:
        """(3 colour axes, h, w) of the price of an error in R, G, B at a scale."""
        spread = _blur(price)
        if 1 << scale > BLOCK:
            spread = spread.repeat_interleave(2, 1).repeat_interleave(2, 2)
        else:
            spread = F.avg_pool2d(spread, BLOCK >> scale)
        return torch.einsum("ck,chw->khw", self._shares, spread)


def _rotation(colour: Colour) -> Tensor:
    return torch.tensor(colour.values[:9]).float().reshape(3, 3) / COLOUR_SCALE


@lru_cache(maxsize=1)
def _variances() -> Tensor:
    """(5, 64): how much of a coefficient's squared error is variance within windows at each scale."""
    coefficients = torch.eye(BLOCK * BLOCK, dtype=torch.int16).reshape(-1, 1, 1, 1, BLOCK * BLOCK)
    blocks = torch.stack([inverse_transform(c.expand(1, 1, 3, -1).contiguous(), 1.0)[..., 0] for c in coefficients])
    around = 8 * SQUARE  # wider than the window at the last scale
    canvas = F.pad(blocks, (around, around - BLOCK, around, around - BLOCK))
    shares = []
    for scale in range(len(_SCALE_WEIGHTS)):
        small = F.avg_pool2d(canvas, 1 << scale)
        shares.append((small.square() - _blur(small).square()).sum(dim=(1, 2)) * 4**scale)
    return torch.stack(shares)


def _blur(planes: Tensor) -> Tensor:
    """Local means of planes (n, H, W), edges repeated."""
    offsets = torch.arange(_TAPS) - _TAPS // 2
    window = torch.exp(-offsets.square() / (2 * _SIGMA**2))
    window = window / window.sum()
    padded = F.pad(planes[:, None], (_TAPS // 2,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, window.reshape(1, 1, 1, -1)), window.reshape(1, 1, -1, 1))[:, 0]

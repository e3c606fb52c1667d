"""How near two videos are: PSNR and MS-SSIM over 8-bit RGB, frame by frame, in bounded memory.

The headline PSNR is the mean over frames of each frame's PSNR, as papers on neural video codecs report it;
the PSNR of the mean squared error over all frames (never higher) is kept beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_msssim import ms_ssim as _ms_ssim
from pytorch_msssim import ssim as _ssim

from neuralcipher.errors import ShapeError

Picture = NDArray[np.uint8]
# A frame without any error counts as this, so that means stay finite and JSON has no infinity.
IDENTICAL_DB = 100.0
_BATCH_PIXELS = 2**21


@dataclass(frozen=True, slots=True)
class Quality:
    """The result of a comparison.

    psnr_db: mean over frames of the per-frame PSNR. pooled_psnr_db: PSNR of the mean MSE of all frames.
    ms_ssim: mean over frames, 0..1. window: which measure that is, see `similarity_kind`. ssim: mean over frames of
    plain SSIM, 0..1, its window 11 pixels wide or what fits.
    """

    psnr_db: float
    pooled_psnr_db: float
    ms_ssim: float
    window: str
    frames: int
    ssim: float


@dataclass(frozen=True, slots=True)
class Totals:
    """What a meter has added up, over `frames` frames of one shape (H, W, 3)."""

    shape: tuple[int, ...]
    frames: int
    psnr: float
    mse: float
    similarity: float
    ssim: float


def similarity_kind(height: int, width: int) -> tuple[str, int]:
    """Which similarity a picture is large enough for, and its window's side in pixels.

    ("ms-ssim", 11) above 160 px on the short side; ("ms-ssim", 7) above 96 px, as five scales need more
    than (window - 1) * 16 px; below that ("ssim", 7), with a smaller odd window under 7 px.
    """
    short = min(height, width)
    if short > 160:
        return "ms-ssim", 11
    if short > 96:
        return "ms-ssim", 7
    return "ssim", min(7, short - 1 + short % 2)


class QualityMeter:
    """Accumulates the comparison of two videos, frame by frame; holds a few frames at most."""

    def __init__(self, *, similarity: bool = True, device: torch.device | str = "cpu") -> None:
        self._similarity = similarity
        self._device = torch.device(device)
        self._pending: list[tuple[Picture, Picture]] = []
        self._shape: tuple[int, ...] | None = None
        self._frames = 0
        self._psnr_sum = 0.0
        self._mse_sum = 0.0
        self._similarity_sum = 0.0
        self._ssim_sum = 0.0

    def add(self, a: Picture, b: Picture) -> float:
        """Compare one frame, (H, W, 3) uint8 each; returns its PSNR in dB. Raises ShapeError."""
        if a.shape != b.shape or a.ndim != 3 or a.dtype != np.uint8 or b.dtype != np.uint8:
            raise ShapeError(f"frames of {a.dtype} {a.shape} and {b.dtype} {b.shape} cannot be compared")
        if self._shape not in {None, a.shape}:
            raise ShapeError(f"a frame of {a.shape} follows frames of {self._shape}")
        self._shape = a.shape
        difference = a.astype(np.int32) - b
        mse = float(np.mean(np.square(difference), dtype=np.float64))
        psnr = _db(mse)
        self._frames += 1
        self._mse_sum += mse
        self._psnr_sum += psnr
        if self._similarity:
            # Copies: a caller may reuse its buffers while the batch fills.
            self._pending.append((a.copy(), b.copy()))
            if len(self._pending) * a.shape[0] * a.shape[1] >= _BATCH_PIXELS or len(self._pending) == 8:
                self._flush()
        return psnr

    def totals(self) -> Totals:
        """The sums so far, for another meter to include. Raises ShapeError if no frame was added."""
        if self._shape is None:
            raise ShapeError("there are no frames to compare")
        self._flush()
        sums = self._psnr_sum, self._mse_sum, self._similarity_sum, self._ssim_sum
        return Totals(self._shape, self._frames, *sums)

    def include(self, totals: Totals) -> None:
        """Add what another meter has added up. Raises ShapeError for frames of another shape."""
        if self._shape not in {None, totals.shape}:
            raise ShapeError(f"frames of {totals.shape} follow frames of {self._shape}")
        self._shape = totals.shape
        self._frames += totals.frames
        self._psnr_sum += totals.psnr
        self._mse_sum += totals.mse
        self._similarity_sum += totals.similarity
        self._ssim_sum += totals.ssim

    def result(self) -> Quality:
        """The means so far. Raises ShapeError if no frame was added."""
        if self._shape is None:
            raise ShapeError("there are no frames to compare")
        self._flush()
        kind, window = similarity_kind(self._shape[0], self._shape[1])
        return Quality(
            psnr_db=self._psnr_sum / self._frames,
            pooled_psnr_db=_db(self._mse_sum / self._frames),
            ms_ssim=self._similarity_sum / self._frames if self._similarity else math.nan,
            window=f"{kind} {window}x{window}" if self._similarity else "none",
            frames=self._frames,
            ssim=self._ssim_sum / self._frames if self._similarity else math.nan,
        )

    def _flush(self) -> None:
        if not self._pending:
            return
        first = self._tensor([a for a, _ in self._pending])
        second = self._tensor([b for _, b in self._pending])
        self._pending = []
        kind, window = similarity_kind(first.shape[2], first.shape[3])
        short = min(first.shape[2:])
        plain = min(11, short - 1 + short % 2)
        with torch.no_grad():
            ssim = _ssim(first, second, data_range=255, size_average=False, win_size=plain, nonnegative_ssim=True)
            if kind == "ms-ssim":
                values = _ms_ssim(first, second, data_range=255, size_average=False, win_size=window)
            else:
                values = _ssim(
                    first, second, data_range=255, size_average=False, win_size=window, nonnegative_ssim=True
                )
        self._similarity_sum += float(values.double().sum())
        self._ssim_sum += float(ssim.double().sum())

    def _tensor(self, pictures: list[Picture]) -> torch.Tensor:
        stacked = torch.from_numpy(np.stack(pictures)).to(self._device)
        planes = stacked.permute(0, 3, 1, 2).float()
        for axis in (2, 3):
            if planes.shape[axis] == 1:  # pytorch_msssim drops such an axis; a repeated line has the same SSIM
                planes = planes.repeat_interleave(2, dim=axis)
        return planes


def _db(mse: float) -> float:
    return min(IDENTICAL_DB, 10 * math.log10(255**2 / mse)) if mse > 0 else IDENTICAL_DB


def compare(a: Iterable[Picture], b: Iterable[Picture], *, similarity: bool = True) -> Quality:
    """Compare two videos by their (H, W, 3) uint8 frames. Raises ShapeError, also if one ends early."""
    meter = QualityMeter(similarity=similarity)
    for one, other in zip_longest(a, b):
        if one is None or other is None:
            raise ShapeError("the videos do not have the same number of frames")
        meter.add(one, other)
    return meter.result()


def psnr_db(a: Iterable[Picture], b: Iterable[Picture]) -> float:
    """Mean over frames of the per-frame PSNR in dB; identical frames count as 100."""
    return compare(a, b, similarity=False).psnr_db


def ms_ssim(a: Iterable[Picture], b: Iterable[Picture]) -> tuple[float, str]:
    """Mean MS-SSIM over frames and which measure it is: "ms-ssim 11x11", or "ssim 7x7" for small pictures."""
    result = compare(a, b)
    return result.ms_ssim, result.window

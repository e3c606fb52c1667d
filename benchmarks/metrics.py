"""How near decoded frames are to the true ones, by the measures that the tables show."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from clips import Frames, Picture

from neuralcipher.video.quality import IDENTICAL_DB, compare

# BT.601: the weights of R, G, B in luma, and the scale that brings B - Y and R - Y to Cb and Cr within +-127.5.
_LUMA = np.array([0.299, 0.587, 0.114])
_CB_SCALE, _CR_SCALE = 1.772, 1.402


@dataclass(frozen=True, slots=True)
class Metrics:
    """Of a whole clip.

    psnr_rgb: mean over frames of each frame's PSNR in dB, the main figure. psnr_rgb_pooled: of the mean squared error
    over all frames. psnr_yuv611: (6 Y + Cb + Cr) / 8 of the PSNRs, full-range BT.601 at 4:4:4 in float, mean over
    frames. ms_ssim, window: MS-SSIM on RGB with an 11-tap window above 160 px on the short side, a 7-tap one above
    96 px; below that it is plain SSIM with 7 taps, as `window` says.
    """

    psnr_rgb: float
    psnr_rgb_pooled: float
    psnr_yuv611: float
    ms_ssim: float
    window: str


def measure(frames: Frames, shown: Frames) -> Metrics:
    """Compare a clip with what a decoder shows of it. Raises ShapeError if they do not match."""
    quality = compare(frames, shown)
    yuv = float(np.mean([yuv611_db(a, b) for a, b in zip(frames, shown, strict=True)]))
    return Metrics(
        psnr_rgb=round(quality.psnr_db, 3),
        psnr_rgb_pooled=round(quality.pooled_psnr_db, 3),
        psnr_yuv611=round(yuv, 3),
        ms_ssim=round(quality.ms_ssim, 5),
        window=quality.window,
    )


def yuv611_db(a: Picture, b: Picture) -> float:
    """(6 Y + Cb + Cr) / 8 of the PSNRs of one frame; a plane without error counts as 100 dB."""
    difference = a.astype(np.float64) - b  # the transform is linear, so the difference may be transformed
    y = difference @ _LUMA
    cb, cr = (difference[..., 2] - y) / _CB_SCALE, (difference[..., 0] - y) / _CR_SCALE
    y_db, cb_db, cr_db = (_psnr_db(float(np.mean(np.square(plane)))) for plane in (y, cb, cr))
    return (6 * y_db + cb_db + cr_db) / 8


def _psnr_db(mse: float) -> float:
    return min(IDENTICAL_DB, 10 * math.log10(255**2 / mse)) if mse > 0 else IDENTICAL_DB


def similarity_db(ms_ssim: float) -> float:
    """MS-SSIM on a scale on which equal steps are about equally visible: -10 log10(1 - s)."""
    return -10 * math.log10(max(1e-10, 1 - ms_ssim))

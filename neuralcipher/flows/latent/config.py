"""Options of the latent flow."""

from __future__ import annotations

from dataclasses import dataclass

from neuralcipher.errors import UsageError
from neuralcipher.flows.latent.head import MAX_QUALITY

PSNR, MS_SSIM = "psnr", "ms-ssim"
_TUNES = (PSNR, MS_SSIM)


@dataclass(frozen=True, slots=True)
class LatentConfig:
    """Options of the latent flow.

    quality: 0..100; 16 more halve the quantisation step. steps: train for so many steps instead of for a time, so
    that two runs with one seed give the same bytes on one machine. tune: "psnr" or "ms-ssim", what is made as good as
    the bytes allow.
    """

    quality: int = 60
    steps: int | None = None
    tune: str = PSNR

    def __post_init__(self) -> None:
        _within("quality", self.quality, 0, MAX_QUALITY)
        if self.steps is not None:
            _within("steps", self.steps, 0, 10**9)
        if self.tune not in _TUNES:
            raise UsageError(f"tune of the latent flow must be one of {', '.join(_TUNES)}, not {self.tune!r}")


def _within(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise UsageError(f"{name} of the latent flow must lie within {low}..{high}, not {value}")

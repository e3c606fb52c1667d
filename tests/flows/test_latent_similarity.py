"""MS-SSIM for the encoder, against the package that measures it, and what tuning for it gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from flow_parts import context, keys, noise, panning, render
from pytorch_msssim import ms_ssim
from torch import Tensor

from neuralcipher.errors import UsageError
from neuralcipher.flows.latent import LatentConfig, LatentFlow
from neuralcipher.flows.latent.fitting import on_axes
from neuralcipher.flows.latent.similarity import Dissimilarity, ErrorPrices
from neuralcipher.flows.latent.transform import Colour, forward_transform
from neuralcipher.video.quality import Quality, compare


def half_rough(count: int, height: int, width: int) -> Tensor:
    """A texture that pans, its left half of little contrast, its right half under noise that stays."""
    frames = panning(count, height, width, 4).int()
    frames[..., : width // 2] = 128 + (frames[..., : width // 2] - 128) // 8
    frames[..., width // 2 :] += noise(1, height, width // 2).int() // 2 - 64
    return frames.clamp(0, 255).byte()


def axes(frames: Tensor) -> Colour:
    return Colour.fit(frames.permute(0, 2, 3, 1).reshape(-1, 3) / 255)


@pytest.mark.parametrize("blur", [3, 9])
def test_dissimilarity_is_that_of_the_package(blur: int) -> None:
    """But for the edges, which the package leaves out."""
    frames = half_rough(2, 160, 192)
    padded = torch.nn.functional.pad(frames.float(), (blur // 2,) * 4, mode="replicate")
    shown = torch.nn.functional.avg_pool2d(padded, blur, 1).round()
    expected = 1 - float(ms_ssim(shown, frames.float(), data_range=255, win_size=7))
    colour = axes(frames)
    measured = Dissimilarity(colour).mean(on_axes(shown.byte(), colour), on_axes(frames, colour), (160, 192))
    assert measured == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("size", [(1, 1), (2, 64), (17, 33)])
def test_any_size_has_a_dissimilarity(size: tuple[int, int]) -> None:
    frames = noise(1, *size)
    colour = axes(noise(1, 8, 8))
    truth = on_axes(frames, colour)
    assert Dissimilarity(colour).mean(truth, truth, size) == pytest.approx(0, abs=1e-6)
    assert Dissimilarity(colour).mean(0.3 - truth, truth, size) > 0.1


def test_prices_foretell_small_errors() -> None:
    """Before what differs between blocks is tamed: the price of an error is what it does to MS-SSIM."""
    frames = half_rough(1, 128, 128)
    colour = axes(frames)
    truth = on_axes(frames, colour)
    coefficients = torch.randn(forward_transform(truth).shape, generator=torch.Generator().manual_seed(3)) * 0.01
    for bands in (slice(0, 64), slice(0, 1), slice(9, 10), slice(63, 64)):
        some = torch.zeros_like(coefficients)
        some[:, :, bands] = coefficients[:, :, bands]
        blocks = forward_transform(torch.eye(64).reshape(64, 8, 8))[..., 0, 0]  # its own inverse, transposed
        error = torch.einsum("bp,ncbhw->ncphw", blocks.T, some).reshape(1, 3, 8, 8, 16, 16)
        error = error.permute(0, 1, 4, 2, 5, 3).reshape(1, 3, 128, 128)
        assert float(error.square().sum()) == pytest.approx(float(some.square().sum()), rel=1e-3)
        foretold = float((ErrorPrices(frames, colour)._exact(0) * some[0].square()).sum()) / (3 * 128 * 128)
        assert Dissimilarity(colour).mean(truth + error, truth, (128, 128)) == pytest.approx(foretold, rel=0.15)


def test_errors_cost_more_where_it_is_smooth_and_where_they_are_coarse() -> None:
    frames = half_rough(2, 64, 96)
    prices = ErrorPrices(frames, axes(frames)).of(1)
    assert prices.shape == (3, 64, 8, 12)
    assert prices[0, :, :, :5].mean() > 2 * prices[0, :, :, 7:].mean()
    assert prices[0, 0].mean() > 3 * prices[0, 63].mean()
    assert float(prices[0].log().mean()) == pytest.approx(0, abs=0.05)


def quality(frames: Tensor, section: bytes) -> Quality:
    shown = torch.stack(render(LatentFlow, section, 1))
    return compare(*([np.ascontiguousarray(f.permute(1, 2, 0).numpy()) for f in x] for x in (frames, shown)))


def test_tuned_for_it_the_same_bytes_look_more_similar() -> None:
    frames = half_rough(9, 112, 112)
    plain = LatentFlow(LatentConfig(quality=44, steps=0)).fit(frames, keys(1), context())
    aim = context(target_bytes=len(plain))
    tuned = LatentFlow(LatentConfig(steps=0, tune="ms-ssim")).fit(frames, keys(1), aim)
    assert len(tuned) <= len(plain)
    before, after = quality(frames, plain), quality(frames, tuned)
    assert before.window == "ms-ssim 7x7"
    assert 1 - after.ms_ssim < 0.95 * (1 - before.ms_ssim)
    assert after.psnr_db < before.psnr_db


def test_another_measure_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^tune of the latent flow must be one of psnr, ms-ssim, not 'ssim'$"):
        LatentConfig(tune="ssim")

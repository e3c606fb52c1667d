"""PSNR and MS-SSIM against hand calculations."""

from __future__ import annotations

import math

import numpy as np
import pytest

from neuralcipher.errors import ShapeError
from neuralcipher.video.quality import QualityMeter, compare, ms_ssim, psnr_db, similarity_kind


def flat(value: int, frames: int = 1, side: int = 16) -> np.ndarray:
    return np.full((frames, side, side, 3), value, np.uint8)


def test_psnr_of_a_constant_difference() -> None:
    # MSE 25: 10 log10(65025 / 25) = 34.1514 dB
    assert psnr_db(flat(100), flat(105)) == pytest.approx(34.1514, abs=1e-4)
    assert psnr_db(flat(105), flat(100)) == pytest.approx(34.1514, abs=1e-4)


def test_the_headline_is_the_mean_over_frames() -> None:
    # Differences 1 and 10: 48.1308 dB and 28.1308 dB; mean 38.1308. Pooled: MSE 50.5 -> 31.0979 dB.
    quality = compare(np.concatenate([flat(50), flat(50)]), np.concatenate([flat(51), flat(60)]), similarity=False)
    assert quality.psnr_db == pytest.approx(38.1308, abs=1e-4)
    assert quality.pooled_psnr_db == pytest.approx(31.0979, abs=1e-4)
    assert math.isnan(quality.ms_ssim)


def test_identical_frames_count_as_100() -> None:
    quality = compare(flat(7, 3), flat(7, 3))
    assert (quality.psnr_db, quality.pooled_psnr_db, quality.frames) == (100.0, 100.0, 3)
    assert quality.ms_ssim == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(
    ("side", "expected"),
    [
        (161, ("ms-ssim", 11)),
        (160, ("ms-ssim", 7)),
        (97, ("ms-ssim", 7)),
        (96, ("ssim", 7)),
        (7, ("ssim", 7)),
        (6, ("ssim", 5)),
        (1, ("ssim", 1)),
    ],
)
def test_windows_by_size(side: int, expected: tuple[str, int]) -> None:
    assert similarity_kind(side, 400) == similarity_kind(400, side) == expected
    noise = np.random.default_rng(1).integers(0, 256, (1, side, max(side, 8), 3), dtype=np.uint8)
    value, window = ms_ssim(noise, noise)
    assert value == pytest.approx(1.0, abs=1e-5)
    assert window.startswith(expected[0])


def test_ssim_of_two_flat_pictures_by_hand() -> None:
    # No variance: SSIM = (2ab + C1) / (a^2 + b^2 + C1), C1 = (0.01 * 255)^2 = 6.5025
    a, b = 100, 120
    expected = (2 * a * b + 6.5025) / (a * a + b * b + 6.5025)
    assert ms_ssim(flat(a), flat(b))[0] == pytest.approx(expected, abs=1e-4)  # single precision
    # Five scales: contrast and structure are 1, the last scale's weight 0.1333 applies to the luminance term.
    value, window = ms_ssim(flat(a, side=176), flat(b, side=176))
    assert window == "ms-ssim 11x11"
    assert value == pytest.approx(expected**0.1333, abs=1e-4)  # single precision


def test_batches_do_not_change_the_result() -> None:
    random = np.random.default_rng(2)
    a = random.integers(0, 256, (19, 32, 40, 3), dtype=np.uint8)
    b = random.integers(0, 256, (19, 32, 40, 3), dtype=np.uint8)
    single = [compare(a[n : n + 1], b[n : n + 1]).ms_ssim for n in range(19)]
    assert compare(a, b).ms_ssim == pytest.approx(float(np.mean(single)), abs=1e-6)


def test_frames_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError):
        compare(flat(1, 2), flat(1, 3))
    with pytest.raises(ShapeError):
        compare(flat(1), flat(1, side=8))
    with pytest.raises(ShapeError):
        compare(flat(1).astype(np.float32), flat(1))
    with pytest.raises(ShapeError):
        QualityMeter().result()


def test_a_reused_buffer_does_not_change_what_was_added() -> None:
    buffer = flat(10)[0]
    meter = QualityMeter()
    meter.add(buffer, flat(10)[0])
    buffer[:] = 200
    assert meter.result().ms_ssim == pytest.approx(1.0, abs=1e-6)


def test_plain_ssim_stands_beside_the_multiscale_one() -> None:
    """Two flat pictures, by hand: (2ab + c1) / (a^2 + b^2 + c1); the contrast term is 1."""
    a, b = 100, 120
    expected = (2 * a * b + (0.01 * 255) ** 2) / (a**2 + b**2 + (0.01 * 255) ** 2)
    quality = compare(flat(a, side=176), flat(b, side=176))
    assert quality.window == "ms-ssim 11x11"
    assert quality.ssim == pytest.approx(expected, abs=1e-4)
    assert compare(flat(a, side=8), flat(b, side=8)).ssim == pytest.approx(expected, abs=1e-4)

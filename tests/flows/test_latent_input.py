"""Videos that nobody asked for, through the whole of the latent flow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from flow_parts import context, fitted, keys, moving_square, noise, panning, psnr_db, render, texture
from torch import Tensor

from neuralcipher.errors import ShapeError
from neuralcipher.flows.base import FitProgress
from neuralcipher.flows.latent import LatentConfig, LatentFlow
from neuralcipher.flows.latent.section import parse

KEY = 0x81


def flashes(count: int, height: int, width: int) -> Tensor:
    frames = torch.zeros(count, 3, height, width, dtype=torch.uint8)
    frames[1::2] = 255
    return frames


def rainbow(count: int, height: int, width: int) -> Tensor:
    """Pictures of one saturated colour each, which no axis explains."""
    colours = torch.tensor([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0]], dtype=torch.uint8)
    return colours[torch.arange(count) % 4][:, :, None, None].expand(-1, -1, height, width).contiguous()


VIDEOS: dict[str, tuple[Tensor, float]] = {  # with the PSNR that they must reach
    "one frame": (moving_square(1, 32, 48), 32),
    "two frames": (moving_square(2, 32, 48), 32),
    "still": (texture(32, 48, 1).repeat(8, 1, 1, 1), 30),
    "black": (torch.zeros(5, 3, 32, 48, dtype=torch.uint8), 60),
    "white": (torch.full((3, 3, 16, 16), 255, dtype=torch.uint8), 60),
    "flashes": (flashes(6, 32, 32), 40),
    "colours": (rainbow(4, 32, 32), 36),
    "a cut at every frame": (torch.stack([texture(32, 32, seed) for seed in range(5)]), 30),
    "noise": (noise(3, 32, 32), 20),
    "16x16": (moving_square(4, 16, 16), 32),
    "17x33": (moving_square(4, 17, 33), 32),
    "1x1": (noise(3, 1, 1), 25),
    "1x64": (panning(2, 1, 64, 1), 30),
    "64x1": (panning(2, 64, 1, 1), 30),
}


@pytest.mark.parametrize("name", VIDEOS)
def test_any_video_comes_back(name: str) -> None:
    frames, least_db = VIDEOS[name]
    section = fitted(frames)
    opened = render(LatentFlow, section, 1)
    assert all(frame.dtype == torch.uint8 for frame in opened)
    assert torch.stack(opened).shape == frames.shape
    assert psnr_db(torch.stack(opened), frames) > least_db
    imposter = render(LatentFlow, section, 2)
    assert [frame.shape for frame in imposter] == [frame.shape for frame in frames]


@pytest.mark.parametrize("quality", [0, 100])
def test_the_ends_of_the_quality_scale(quality: int) -> None:
    frames = noise(2, 48, 64)
    section = fitted(frames, quality)
    assert len(section) < frames.numel()  # even where nothing can be predicted
    opened = torch.stack(render(LatentFlow, section, 1))
    # A uniform quantiser with steps of at least 2**(-1/6 - 100/16) * 2 leaves an error of at most a twelfth of its
    # square, on three orthonormal axes; at quality 0 it is worth no bits, and the grey mean is 10.8 dB from noise.
    assert psnr_db(opened, frames) > (38 if quality else 10)


def test_quality_buys_psnr_for_bytes() -> None:
    frames = panning(3, 32, 48, 1)
    sections = [fitted(frames, quality) for quality in (0, 30, 60, 90)]
    sizes = [len(section) for section in sections]
    psnrs = [psnr_db(torch.stack(render(LatentFlow, section, 1)), frames) for section in sections]
    assert sizes == sorted(sizes)
    assert psnrs == sorted(psnrs)


def test_a_still_scene_is_nearly_free_after_its_first_frame() -> None:
    """Seven more frames of the same picture add at most 40 bytes a group to one."""
    one, eight = (fitted(texture(32, 48, 1).repeat(count, 1, 1, 1)) for count in (1, 8))
    assert len(eight) < len(one) + 40 * (len(parse(eight).plan) - 1)


def test_a_cut_at_every_frame_is_all_key_frames() -> None:
    frames = torch.stack([texture(32, 32, seed) for seed in range(4)])
    assert parse(fitted(frames)).plan == bytes([KEY] * 4)


@pytest.mark.parametrize("frames", [noise(2, 8, 8).float(), noise(2, 8, 8)[0], noise(0, 8, 8), noise(2, 8, 8)[:, :2]])
def test_what_is_not_a_video_is_refused(frames: Tensor) -> None:
    with pytest.raises(ShapeError):
        LatentFlow().fit(frames, keys(1), context())


def test_frames_may_be_laid_out_in_any_way() -> None:
    frames = panning(2, 24, 32, 1)
    strided = frames.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    assert fitted(strided) == fitted(frames)


def test_progress_runs_from_the_first_frame_to_the_end() -> None:
    reports: list[FitProgress] = []
    small = context(progress=reports.append)
    section = LatentFlow(LatentConfig(steps=10)).fit(panning(3, 16, 16, 1), keys(1), small)
    coding = [report for report in reports if report.step == 0]
    assert len(coding) > len(parse(section).plan)  # one report a group, and one before training
    fractions = [report.fraction for report in reports]
    assert fractions == sorted(fractions)
    assert all(0 <= fraction <= 1 for fraction in fractions)
    assert fractions[-1] == 1
    assert all(report.size_bytes > 0 for report in reports)
    assert all(np.isfinite(report.psnr_db) for report in reports)

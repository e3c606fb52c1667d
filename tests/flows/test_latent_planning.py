"""Where a plan puts key frames, and how long its groups are."""

from __future__ import annotations

import pytest
import torch
from flow_parts import moving_square, noise, panning, texture
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralcipher.flows.latent.opticalflow import OpticalFlow
from neuralcipher.flows.latent.planning import Planner
from neuralcipher.flows.latent.structure import count_frames, groups, is_valid

KEY = 0x81
STEP = 0.05


def plan(frames: torch.Tensor, step: float = STEP) -> bytes:
    return Planner(OpticalFlow(frames), len(frames)).plan(step)


def key_frames(data: bytes) -> list[int]:
    return [group.start for group in groups(data) if group.is_key]


def still(count: int, seed: int) -> torch.Tensor:
    return texture(48, 64, seed).repeat(count, 1, 1, 1)


@pytest.mark.parametrize("cut", [1, 2, 5, 8, 9])
@pytest.mark.parametrize("scene", [still, lambda count, seed: panning(count, 48, 64, seed)])
def test_a_hard_cut_is_a_key_frame(cut: int, scene: type[object]) -> None:
    frames = torch.cat([scene(cut, 1), scene(10 - cut, 2)])
    assert key_frames(plan(frames)) == [0, cut]


@pytest.mark.parametrize(
    ("count", "expected"), [(1, []), (2, [1]), (3, [2]), (17, [16]), (20, [16, 3]), (35, [16, 16, 2])]
)
def test_a_still_scene_is_one_long_hierarchy(count: int, expected: list[int]) -> None:
    assert plan(still(count, 1)) == bytes([KEY, *expected])


def test_a_slow_pan_has_long_groups_and_one_key_frame() -> None:
    found = plan(panning(18, 96, 160, 1))
    assert key_frames(found) == [0]
    assert max(found[1:]) >= 4


def test_a_cut_at_every_frame_is_all_key_frames() -> None:
    frames = torch.stack([texture(48, 64, seed) for seed in range(6)])
    assert plan(frames) == bytes([KEY] * 6)


def test_flashes_are_key_frames() -> None:
    frames = torch.stack([torch.full((3, 48, 64), 255 * (i % 2), dtype=torch.uint8) for i in range(5)])
    assert plan(frames) == bytes([KEY] * 5)


def test_darkness_is_no_cut() -> None:
    assert key_frames(plan(torch.zeros(9, 3, 48, 64, dtype=torch.uint8))) == [0]


def test_faint_noise_is_no_cut() -> None:
    """Grey levels 0 and 1 at random: no flow predicts them, and none needs to."""
    assert key_frames(plan(noise(5, 48, 64) % 2)) == [0]


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (17, 33), (31, 40), (32, 32), (33, 481), (40, 700), (700, 33)])
def test_every_size_has_flow_and_a_plan(size: tuple[int, int]) -> None:
    frames = noise(3, *size)
    rows, columns = (2 * -(-side // 16) for side in size)
    blocks = OpticalFlow(frames).blocks(2, 0, rows, columns)
    assert blocks.shape == (2, rows, columns)
    assert blocks.dtype == torch.int64
    assert is_valid(plan(frames))


def test_flow_of_a_pan_is_its_motion() -> None:
    """Four pixels in four frames, in quarter pixels: 16, found by way of the frame in the middle."""
    frames = panning(5, 48, 64, 1)
    rows, columns = OpticalFlow(frames).blocks(4, 0, 6, 8)[:, 1:-1, 1:-1]
    assert abs(float(columns.double().median()) - 16) <= 1
    assert abs(float(rows.double().median())) <= 1


kinds = st.sampled_from(["still", "pan", "noise", "square", "flash"])


def scene(kind: str, count: int, seed: int) -> torch.Tensor:
    if kind == "still":
        return still(count, seed)
    if kind == "pan":
        return panning(count, 48, 64, seed)
    if kind == "square":
        return moving_square(count, 48, 64)
    if kind == "noise":
        return noise(count, 48, 64, seed)
    return torch.stack([torch.full((3, 48, 64), 255 * (i % 2), dtype=torch.uint8) for i in range(count)])


@settings(max_examples=25)
@given(st.lists(st.tuples(kinds, st.integers(1, 9), st.integers(0, 3)), min_size=1, max_size=3), st.floats(0.01, 2))
def test_every_plan_is_valid_and_has_all_frames(scenes: list[tuple[str, int, int]], step: float) -> None:
    frames = torch.cat([scene(*one) for one in scenes])
    found = plan(frames, step)
    assert is_valid(found)
    assert count_frames(found) == len(frames)

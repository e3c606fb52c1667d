"""Where scenes begin: real cuts are found, motion and flashes are not taken for them."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from video_clips import BUNNY, encode, picture

from neuralcipher.video.reading import probe
from neuralcipher.video.rgb import Picture
from neuralcipher.video.scenes import ChangeMeter, scene_cuts


def test_a_scene_that_moves_has_no_cut() -> None:
    assert probe(BUNNY).cuts == ()


@pytest.mark.parametrize(("codec", "pixels"), [("libx264", "yuv420p"), ("png", "rgb24")])
def test_cuts_of_a_video_are_found(tmp_path: Path, codec: str, pixels: str) -> None:
    """Three scenes of drifting gradients."""

    def draw(number: int, width: int, height: int) -> Picture:
        scene = (number >= 7) + (number >= 12)
        return (
            np.rot90(picture(number, height, width)) // 2 + 60
            if scene == 1
            else picture(number, width, height) // (1 + scene)
        )

    path = encode(tmp_path / "scenes.mov", codec, pixels, frames=21, draw=draw)
    assert probe(path).cuts == (7, 12)


def test_a_flash_is_no_cut() -> None:
    quiet, flash = [2] * 10, [120, 118]
    assert scene_cuts([0, *quiet, *flash, *quiet]) == ()
    assert scene_cuts([0, *quiet, 120, *quiet]) == (11,)


@given(st.lists(st.integers(0, 255), min_size=1, max_size=60))
def test_cuts_are_frames_of_the_video_in_order(changes: list[int]) -> None:
    cuts = scene_cuts(changes)
    assert list(cuts) == sorted(set(cuts))
    assert all(0 < cut < len(changes) for cut in cuts)


@pytest.mark.parametrize("pixels", ["yuv420p", "gray", "rgb24", "yuv420p10le", "nv12", "yuva420p", "gbrp"])
@pytest.mark.parametrize("size", [(1, 1), (2, 300), (301, 7), (640, 360)])
def test_change_is_in_grey_levels_whatever_the_format(pixels: str, size: tuple[int, int]) -> None:
    meter = ChangeMeter()
    changes = []
    for level in (40, 40, 140):
        changes.append(meter.change(grey(pixels, size, level)))
    assert changes[:2] == [0, 0]
    assert 75 <= changes[2] <= 105


def grey(pixels: str, size: tuple[int, int], level: int) -> av.VideoFrame:
    """One grey all over, level 0..255."""
    if pixels == "yuv420p10le":  # swscale leaves some pixels of a narrow picture unset in this conversion
        frame = av.VideoFrame(*size, pixels)
        for plane, value in zip(frame.planes, (64 + level * 876 // 255, 512, 512), strict=True):
            plane.update(np.full(plane.buffer_size // 2, value, "<u2").tobytes())
        return frame
    frame = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), level, np.uint8), format="rgb24")
    return frame if pixels == "rgb24" else frame.reformat(format=pixels)

"""What wrong keys see of `bare` bundles: nothing that tells the video for the latent flow, its palette for the paper's.

All keys are fixed, so these tests give the same figures each time. The level is that of the attack suite, 0.001 for
all measures and videos together: under the null hypothesis one choice of keys in a thousand fails a test.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import scenes

from neuralcipher.attacks.pairs.leaks import LEVEL, MEASURES, PooledReport, compare_bundles, compare_keys, correlation
from neuralcipher.attacks.ranks import holm
from neuralcipher.flows.autoencoder import AutoencoderConfig, AutoencoderFlow
from neuralcipher.flows.latent import LatentConfig, LatentFlow
from neuralcipher.generators.base import Shape

KEYS = {"latent": 16, "autoencoder": 8}
VIDEOS = scenes.videos()
FLOWS: dict[str, Any] = {
    "latent": LatentFlow(LatentConfig(steps=40)),
    "autoencoder": AutoencoderFlow(AutoencoderConfig(nconv=8, steps=80)),
}


@cache
def sections(flow: str) -> dict[str, bytes]:
    """The six videos, each sealed with a key of its own."""
    return {name: scenes.fit(FLOWS[flow], video, name) for name, video in VIDEOS.items()}


@cache
def imposters(flow: str) -> list[list[scenes.Video]]:
    kind = type(FLOWS[flow])
    return [scenes.imposters(kind, section, name, KEYS[flow]) for name, section in sections(flow).items()]


@cache
def flipped(flow: str) -> list[list[scenes.Video]]:
    kind = type(FLOWS[flow])
    return [scenes.flipped(kind, section, name, KEYS[flow]) for name, section in sections(flow).items()]


def found_in_any_video(report: PooledReport) -> list[tuple[str, str]]:
    """(video, measure) of what is found in a single video, at one level for all of them together."""
    leaks = [(name, leak) for name, video in zip(VIDEOS, report.videos, strict=True) for leak in video.leaks]
    adjusted = holm([leak.p_value for _, leak in leaks])
    return [(name, leak.name) for (name, leak), p_value in zip(leaks, adjusted, strict=True) if p_value <= LEVEL]


@pytest.mark.parametrize("flow", FLOWS)
def test_the_right_key_sees_the_video(flow: str) -> None:
    """Else nothing below would mean anything."""
    for name, video in VIDEOS.items():
        kind = type(FLOWS[flow])
        opened = scenes.shown(kind, sections(flow)[name], lambda shape, name=name: scenes.start(name, shape))
        assert opened.shape == video.shape
        if flow == "latent":  # the other learns too slowly for a test
            assert correlation(opened, video) > 0.9


@pytest.mark.parametrize("flow", FLOWS)
def test_every_wrong_key_gives_frames(flow: str) -> None:
    outputs = [clip for clips in imposters(flow) + flipped(flow) for clip in clips]
    assert len(outputs) == 2 * KEYS[flow] * len(VIDEOS)
    assert {clip.shape for clip in outputs} == {(scenes.FRAMES, 3, scenes.HEIGHT, scenes.WIDTH)}
    assert {clip.dtype for clip in outputs} == {np.dtype(np.uint8)}


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("fill", [0, 255, "ramp"])
def test_a_start_latent_that_no_key_gives_still_gives_frames(flow: str, fill: int | str) -> None:
    def z0(shape: Shape) -> scenes.Video:
        if fill == "ramp":
            return np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
        return np.full(shape, fill, dtype=np.uint8)

    for name, section in sections(flow).items():
        assert scenes.shown(type(FLOWS[flow]), section, z0).shape == VIDEOS[name].shape


def test_what_a_wrong_key_sees_of_the_latent_flow_does_not_tell_the_video() -> None:
    report = compare_bundles(list(VIDEOS.values()), imposters("latent"))
    assert report.found() == ()
    assert found_in_any_video(report) == []


def test_one_flipped_bit_shows_no_more_of_the_latent_flow_than_an_unrelated_key() -> None:
    report = compare_keys(list(VIDEOS.values()), flipped("latent"), imposters("latent"))
    assert report.found() == ()
    assert found_in_any_video(report) == []
    for video, near, unrelated in zip(VIDEOS.values(), flipped("latent"), imposters("latent"), strict=True):
        for measure in MEASURES.values():
            truth = measure.feature(video)
            reached, usual = (
                [measure.sign * measure.compare(measure.feature(clip), truth) for clip in clips]
                for clips in (near, unrelated)
            )
            assert np.median(reached) <= max(usual)


def test_one_flipped_bit_shows_another_picture_each_time() -> None:
    for clips in flipped("latent"):
        assert len({clip.tobytes() for clip in clips}) == KEYS["latent"]


def test_the_papers_flow_gives_its_palette_to_any_key() -> None:
    """Recorded as a known break: its last bias and weights hold the mean colours, whatever goes in.

    After 80 steps the right key itself sees next to nothing yet; the palette leaks first.
    """
    report = compare_bundles(list(VIDEOS.values()), imposters("autoencoder"))
    assert {"palette", "correlation", "mean frame"} <= set(report.found())
    assert {name for name, measure in found_in_any_video(report) if measure == "palette"} == set(VIDEOS)
    assert all(video.leaks[0].preference == 1 for video in report.videos)


def blurred(video: scenes.Video) -> np.ndarray:
    """The mean frame, smoothed by a box of 9x9, as float (1, 3, H, W)."""
    padded = np.pad(video.mean(axis=0), ((0, 0), (4, 4), (4, 4)), mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, (9, 9), axis=(1, 2)).mean(axis=(3, 4))[None]


def test_a_planted_mean_frame_is_caught() -> None:
    """Positive control: every key sees the blurred mean frame under noise of 40 grey levels."""
    draw = np.random.default_rng(11)
    planted = [
        [np.clip(blurred(v) + draw.normal(0, 40, v.shape), 0, 255).astype(np.uint8) for _ in range(KEYS["latent"])]
        for v in VIDEOS.values()
    ]
    report = compare_bundles(list(VIDEOS.values()), planted)
    assert {"palette", "correlation", "mean frame"} <= set(report.found())
    assert {name for name, measure in found_in_any_video(report) if measure == "palette"} == set(VIDEOS)


def test_a_tenth_of_the_truth_would_be_caught() -> None:
    """Power: the very outputs that pass above, with a tenth of the truth mixed in."""
    mixed = [
        [np.rint(0.9 * clip + 0.1 * video).astype(np.uint8) for clip in clips]
        for video, clips in zip(VIDEOS.values(), imposters("latent"), strict=True)
    ]
    assert "correlation" in compare_bundles(list(VIDEOS.values()), mixed).found()


def test_outputs_dealt_to_the_wrong_videos_are_not_caught() -> None:
    """Negative control: noise of random palettes and textures that no video had a part in."""
    draw = np.random.default_rng(12)

    def unrelated(shape: tuple[int, ...]) -> scenes.Video:
        colour, contrast = draw.uniform(0, 255, (1, 3, 1, 1)), draw.uniform(0, 60)
        return np.clip(draw.normal(colour, contrast, shape), 0, 255).astype(np.uint8)

    outputs = [[unrelated(video.shape) for _ in range(KEYS["latent"])] for video in VIDEOS.values()]
    report = compare_bundles(list(VIDEOS.values()), outputs)
    assert report.found() == ()
    assert found_in_any_video(report) == []


def test_a_near_key_that_sees_more_is_caught() -> None:
    """Positive control of the comparison of keys: the paper's raw z_0, where a flipped bit changes next to nothing."""
    near = [
        [np.rint(0.5 * clip + 0.5 * video).astype(np.uint8) for clip in clips]
        for video, clips in zip(VIDEOS.values(), flipped("latent"), strict=True)
    ]
    report = compare_keys(list(VIDEOS.values()), near, imposters("latent"))
    assert {"palette", "correlation", "mean frame"} <= set(report.found())

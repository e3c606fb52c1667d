"""The recurrent flow: what it is trained on, what it recalls, where key-frames go, what the stages repair."""

from __future__ import annotations

import struct
from functools import cache
from typing import Any

import pytest
import torch
from flow_parts import CPU, context, keys, moving_square, noise, panning, psnr_db
from torch import Tensor

from neuralcipher.errors import BundleError, LimitError, UsageError
from neuralcipher.flows.recurrent import RecurrentConfig, RecurrentFlow
from neuralcipher.flows.recurrent.curriculum import Curriculum, subsequence_lengths
from neuralcipher.flows.recurrent.recall import recall
from neuralcipher.flows.recurrent.section import RecurrentSection


def fit(frames: Tensor, **options: Any) -> bytes:
    return RecurrentFlow(RecurrentConfig(**options)).fit(frames, keys(1), context())


def opened(section: bytes, start: int = 0, stop: int | None = None) -> Tensor:
    return torch.stack(list(RecurrentFlow.render(section, keys(1)((1, 16, 16)), CPU, start, stop)))


def ambiguous() -> Tensor:
    """A, B, A, C, A, D of random pictures."""
    a, b, c, d = noise(4, 8, 8)
    return torch.stack([a, b, a, c, a, d])


class Oracle:
    """Stands for a perfect network: finds its input among the true states and returns the next; keeps what it saw."""

    def __init__(self, frames: Tensor, dilation: int) -> None:
        self.states = [
            (frames[i : i + dilation].float() / 255).flatten(0, 1) for i in range(len(frames) - dilation + 1)
        ]
        self.seen: list[Tensor] = []

    def __call__(self, states: Tensor) -> Tensor:
        self.seen.append(states)
        found = [next(i for i, known in enumerate(self.states) if torch.allclose(s, known)) for s in states]
        return torch.stack([self.states[i + 1] for i in found])


@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("window", [1, 3, 8])
def test_a_perfect_network_has_no_loss(dilation: int, window: int) -> None:
    frames = noise(9, 4, 4)
    config = RecurrentConfig(dilation=dilation, window=window)
    curriculum, oracle = Curriculum(frames, config, 0, CPU), Oracle(frames, dilation)
    for step in range(60):
        assert float(curriculum.loss(oracle, step / 60)) == 0
    assert curriculum.length == 9 - dilation


def test_recall_sees_its_own_output_and_never_the_truth() -> None:
    frames = noise(6, 4, 4)
    curriculum = Curriculum(frames, RecurrentConfig(curriculum_from=0, window=2), 0, CPU)
    seen: list[Tensor] = []

    def network(x: Tensor) -> Tensor:
        seen.append(x)
        return torch.full_like(x, 0.25)

    for _ in range(3):
        curriculum.loss(network, 0.5)
    assert torch.equal(seen[0][0], frames[0].float() / 255)
    assert all(bool((x == 0.25).all()) for x in seen[1:5])
    assert len(seen) == 5, "windows of 2, 2 and 1 for the five frames after the first"


def test_no_gradient_flows_beyond_the_window() -> None:
    curriculum = Curriculum(noise(9, 4, 4), RecurrentConfig(curriculum_from=0, window=3), 0, CPU)
    weight = torch.ones((), requires_grad=True)
    seen: list[Tensor] = []

    def network(x: Tensor) -> Tensor:
        seen.append(x)
        return x * weight

    for _ in range(2):
        curriculum.loss(network, 0.5).backward()
    assert [x.requires_grad for x in seen] == [False, True, True] * 2


@pytest.mark.parametrize(
    ("options", "count", "lengths"),
    [
        ({}, 10, [1, 2, 4, 8, 9]),
        ({"curriculum_from": 0}, 10, [9]),
        ({"curriculum_from": 3, "curriculum_to": 5}, 10, [3, 5]),
        ({"dilation": 2}, 6, [1, 2, 4]),
        ({}, 2, [1]),
    ],
)
def test_curriculum_lengths(options: dict[str, int], count: int, lengths: list[int]) -> None:
    assert subsequence_lengths(RecurrentConfig(**options), count) == lengths


def test_the_curriculum_grows_when_a_length_is_learned_or_its_time_is_over() -> None:
    frames = noise(9, 4, 4)
    learned = Curriculum(frames, RecurrentConfig(), 0, CPU)
    oracle = Oracle(frames, 1)
    for _ in range(200):
        learned.loss(oracle, 0.0)
    assert learned.length == 8
    lengths = []
    slow = Curriculum(frames, RecurrentConfig(), 0, CPU)
    for step in range(100):
        slow.loss(torch.zeros_like, step / 100)
        lengths.append(slow.length)
    assert sorted(set(lengths)) == [1, 2, 4, 8]
    assert lengths == sorted(lengths)
    assert lengths[15] == 1
    assert lengths[75] == 8


@cache
def memorised(dilation: int) -> Tensor:
    options = {"dilation": dilation, "nconv": 32, "steps": 350, "weight_bits": 32, "batch": 4, "window": 5}
    return opened(fit(ambiguous(), **options))


def test_two_frames_at_once_resolve_an_ambiguous_sequence(record_property: Any) -> None:
    """Each frame above 35 dB with d = 2. What d = 1 reaches in the same steps is reported, whatever it is."""
    frames = ambiguous()
    two, one = ([psnr_db(*pair) for pair in zip(memorised(d), frames, strict=True)] for d in (2, 1))
    record_property("d2_psnr_db", two)
    record_property("d1_psnr_db", one)
    print("d = 2:", [round(p, 1) for p in two], "d = 1:", [round(p, 1) for p in one])
    assert min(two) > 35


def test_first_frames_are_true() -> None:
    frames = panning(5, 8, 12, 1)
    assert torch.equal(opened(fit(frames, nconv=2, dilation=2, steps=2))[:2], frames[:2])


@pytest.mark.parametrize("dilation", [1, 2])
def test_no_frame_falls_below_the_threshold_of_key_frames(dilation: int) -> None:
    frames = torch.cat([panning(4, 16, 16, 1), panning(4, 16, 16, 2)])
    options = {"nconv": 8, "steps": 60, "dilation": dilation}
    without = [psnr_db(*pair) for pair in zip(opened(fit(frames, **options)), frames, strict=True)]
    threshold = int(min(without)) + 1  # one frame lies below, or more
    section = fit(frames, keyframe_threshold=threshold, **options)
    shown = opened(section)
    anchors = RecurrentSection.parse(section).anchors
    assert 1 < len(anchors) < 8
    assert min(psnr_db(*pair) for pair in zip(shown, frames, strict=True)) >= threshold
    for number, pictures in anchors.items():
        assert torch.equal(shown[number : number + len(pictures)], frames[number : number + dilation])
    for start in range(8):
        assert torch.equal(opened(section, start, start + 1)[0], shown[start])


def test_key_frames_keep_to_their_budget_and_help() -> None:
    frames = panning(8, 16, 16, 1)
    options = {"nconv": 4, "steps": 20}
    plain, budget = fit(frames, **options), 2500
    section = fit(frames, keyframe_bytes=budget, **options)
    assert len(plain) < len(section) <= len(plain) + budget + 8
    assert psnr_db(opened(section), frames) > psnr_db(opened(plain), frames) + 1
    assert fit(frames, keyframe_bytes=10, **options) == plain


@pytest.mark.parametrize("upscale", [1, 2])
def test_a_stage_repairs_what_the_base_recalls(upscale: int) -> None:
    frames = moving_square(5, 16, 24)
    base = fit(frames, nconv=4, steps=40)
    repaired = fit(frames, nconv=4, steps=160, stages=1, stage_nconv=16, residual=1, upscale=upscale)
    assert psnr_db(opened(repaired), frames) > psnr_db(opened(base), frames)
    parsed = RecurrentSection.parse(repaired)
    assert len(parsed.weights) == 2
    assert parsed.header.base_shape == (3, 16 // upscale, -(-24 // (4 * upscale)) * 4)


def test_a_video_of_one_frame_needs_no_network() -> None:
    section = fit(noise(1, 9, 9), steps=5)
    assert RecurrentSection.parse(section).weights == []
    assert torch.equal(opened(section), noise(1, 9, 9))


@pytest.mark.parametrize(
    ("count", "options", "message"),
    [
        (2, {"dilation": 2}, "dilation of 2 needs more than 2 frames"),
        (3, {"dilation": 9}, "there are 3"),
        (1, {"dilation": 2}, "there are 1"),
        (5, {"curriculum_to": 5}, "curriculum_to is 5 frames, and only 4"),
        (5, {"curriculum_from": 6}, "curriculum_from is 6"),
    ],
)
def test_a_video_that_is_too_short_is_refused(count: int, options: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        fit(noise(count, 8, 8), **options)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"curriculum_from": 4, "curriculum_to": 2}, "cannot shrink"),
        ({"keyframe_threshold": 30, "keyframe_bytes": 100}, "not both"),
        ({"upscale": 2}, "repairs the enlarged frames"),
    ],
)
def test_options_that_do_not_go_together(options: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        RecurrentConfig(**options)


@pytest.mark.parametrize(
    ("offset", "value"), [(0, 9), (9, 2), (9, 4), (10, 0), (10, 17), (13, 0), (13, 9), (14, 5), (17, 2), (18, 12)]
)
def test_header_limits(offset: int, value: int) -> None:
    section = bytearray(fit(noise(3, 8, 8), nconv=2, steps=0))
    section[offset] = value
    with pytest.raises(BundleError, match="recurrent"):
        RecurrentFlow.latent_shape(bytes(section))


def test_a_layer_out_of_proportion_is_refused_before_it_is_allocated() -> None:
    section = bytearray(fit(noise(3, 8, 8), nconv=2, steps=0, stages=1, upscale=2))
    struct.pack_into("<HH", section, 5, 16_384, 8_192)
    with pytest.raises(BundleError):
        opened(bytes(section))
    struct.pack_into("<H", section, 15, 256)
    with pytest.raises(LimitError):
        RecurrentFlow.latent_shape(bytes(section))


def test_recall_survives_a_network_that_explodes() -> None:
    first = noise(1, 4, 4)
    frames = recall(lambda x: x * torch.nan, lambda i, _: None if i else first, 1, CPU, 0, 4)
    assert [int(frame.sum()) for frame, true in frames if not true] == [0, 0, 0]

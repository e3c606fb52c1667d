"""Planted flows: the right key sees the video, and each has its one fault and no other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from neuralcipher.attacks.planted.flows import (
    IdealFlow,
    IgnoresKeyFlow,
    LinearConfig,
    LinearFlow,
    MeanBiasFlow,
    bundle_key,
    planted_pair,
    recipe,
    shared_keystream,
)
from neuralcipher.attacks.subjects import PairSubject, z0_of
from neuralcipher.errors import NeuralCipherError, PayloadDamagedError, ShapeError, UsageError
from neuralcipher.flows.base import Flow
from neuralcipher.generators.base import Keystream

FLOWS: list[type[Flow]] = [IdealFlow, IgnoresKeyFlow, MeanBiasFlow, LinearFlow]
KEY, WRONG = bytes(range(32)), bytes(range(1, 33))


def clip(seed: int = 0, count: int = 3, height: int = 16, width: int = 16) -> Tensor:
    """A smooth picture, a little brighter in each frame."""
    y, x = np.mgrid[:height, :width]
    picture = np.stack([60 + 5 * y, 50 + 4 * x, 90 + 2 * x + 3 * y]) + seed
    return torch.from_numpy(np.stack([picture + 3 * i for i in range(count)]).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("flow", FLOWS)
@settings(max_examples=8)
@given(st.integers(2, 4), st.integers(4, 17), st.integers(4, 13), st.integers(0, 2**32 - 1))
def test_the_right_key_sees_the_video(flow: type[Flow], count: int, height: int, width: int, seed: int) -> None:
    shape = (count, 3, height, width)
    frames = torch.from_numpy(np.random.default_rng(seed).integers(64, 192, shape, dtype=np.uint8))
    subject = recipe(flow).seal("a", frames, KEY)
    assert torch.equal(subject.show(subject.z0), frames)
    assert torch.equal(subject.show(subject.z0, 1, 2), frames[1:2])
    assert flow.latent_shape(subject.section) == subject.latent_shape == (3, height, width)


def test_what_a_wrong_key_sees() -> None:
    frames = clip()
    shown = {}
    for flow in FLOWS:
        subject = recipe(flow).seal("a", frames, KEY)
        shown[flow] = subject.show(z0_of(WRONG, subject.latent_shape)).double()
    assert torch.equal(shown[IgnoresKeyFlow], frames.double())
    mean = frames.double().mean(dim=0)
    ideal = shown[IdealFlow]  # uniform bytes: mean 127.5, sd 73.9
    assert abs(ideal.mean() - 127.5) < 8
    assert abs(ideal.std() - 73.9) < 4
    assert abs(np.corrcoef(ideal.mean(dim=0).flatten(), mean.flatten())[0, 1]) < 0.15
    assert np.corrcoef(shown[MeanBiasFlow].mean(dim=0).flatten(), mean.flatten())[0, 1] > 0.4
    assert abs(shown[LinearFlow].mean() - 127.5) < 8
    assert shown[LinearFlow].std() < 20


def test_no_key_of_the_ideal_flow_sees_the_same() -> None:
    subject = recipe(IdealFlow).seal("a", clip(), KEY)
    z0 = subject.z0.clone()
    z0[0, 0, 0] ^= 1
    other = subject.show(z0)
    assert (other == subject.show(subject.z0)).double().mean() < 0.02
    assert (other[0] == other[1]).double().mean() < 0.02


def test_the_ideal_flow_is_ideal_even_after_a_weak_generator() -> None:
    subject = recipe(IdealFlow, "identity").seal("a", clip(), KEY)
    assert subject.generator.name == "weak-identity"
    z0 = subject.z0.clone()
    z0[0, 0, 0] ^= 1
    assert (subject.show(z0) == subject.frames).double().mean() < 0.02


def test_the_linear_flow_by_its_equation() -> None:
    """F is affine, it is gain (a - b) across the latents of the video, and it can be inverted from one frame."""
    frames = clip(count=2, height=6, width=6)
    gain = 0.25
    subject = recipe(LinearFlow, "linear", LinearConfig(gain)).seal("a", frames, KEY)
    size = 3 * 6 * 6
    eye = torch.eye(size, dtype=torch.float64).reshape(size, 3, 6, 6)
    zero = LinearFlow.forward(subject.section, torch.zeros(3, 6, 6, dtype=torch.float64)).flatten()
    matrix = (LinearFlow.forward(subject.section, eye).reshape(size, size) - zero).T
    z1 = subject.as_generator().after(subject.z0)
    assert torch.allclose(matrix @ z1.double().flatten() + zero, frames[0].double().flatten(), atol=1e-3)
    # A - gain I has rank 2, one for each frame.
    assert int((torch.linalg.svdvals(matrix - gain * torch.eye(size)) > 1e-4).sum()) == 2
    found = torch.linalg.solve(matrix, frames[0].double().flatten() - zero)
    assert torch.equal(found.round().to(torch.uint8), z1.flatten())


def test_the_linear_flow_can_be_differentiated() -> None:
    subject = recipe(LinearFlow).seal("a", clip(), KEY)
    z = torch.full((3, 16, 16), 100.0, requires_grad=True)
    torch.autograd.backward(LinearFlow.forward(subject.section, z).square().sum())
    assert z.grad is not None
    assert bool((z.grad != 0).any())


@pytest.mark.parametrize("forgetful", [True, False])
def test_a_forgotten_salt_masks_all_bundles_of_a_key_alike(forgetful: bool) -> None:
    first, second = clip(0), clip(40)
    made = shared_keystream() if forgetful else recipe(IdealFlow)
    a = made.seal("a", first, bundle_key(KEY, b"1")).section
    b = made.seal("b", second, bundle_key(KEY, b"2")).section
    c = made.seal("c", second, bundle_key(WRONG, b"2")).section
    xors = [np.frombuffer(x[8:], np.uint8) ^ np.frombuffer(a[8:], np.uint8) for x in (b, c)]
    plain = (first ^ second).flatten().numpy()
    assert np.array_equal(xors[0], plain) is forgetful
    assert (xors[1] == plain).mean() < 0.02


@pytest.mark.parametrize("flow", FLOWS)
def test_a_damaged_section_is_refused(flow: type[Flow]) -> None:
    subject = recipe(flow).seal("a", clip(count=2), KEY)
    for bad in (
        b"",
        subject.section[:7],
        subject.section[:-1],
        subject.section + b"\0",
        bytes(8) + subject.section[8:],
    ):
        with pytest.raises(NeuralCipherError):
            list(flow.render(bad, recipe_stream(subject), torch.device("cpu")))


def test_a_linear_section_without_numbers_is_refused() -> None:
    subject = recipe(LinearFlow).seal("a", clip(count=1), KEY)
    broken = subject.section[:12] + np.float32("nan").tobytes() + subject.section[16:]
    with pytest.raises(PayloadDamagedError, match="not finite"):
        list(LinearFlow.render(broken, recipe_stream(subject), torch.device("cpu")))


def test_bad_input_is_refused() -> None:
    with pytest.raises(ShapeError):
        recipe(IdealFlow).seal("a", clip().float(), KEY)
    with pytest.raises(UsageError, match="gain"):
        LinearConfig(0)
    subject = recipe(IdealFlow).seal("a", clip(), KEY)
    with pytest.raises(UsageError, match="sealed again"):
        IdealFlow.remask(subject.section, recipe_stream(subject), recipe_stream(subject))


def test_a_planted_pair_holds_the_video_of_another() -> None:
    target = recipe(IdealFlow).seal("target", clip(), KEY, [clip(30), clip(60)])
    planted = planted_pair(LinearFlow, target, WRONG, "linear")
    assert planted.name == "weak-linear after weak-linear"
    assert torch.equal(planted.show(planted.z0), target.frames)
    assert planted.others == target.others
    assert planted.seal is not None
    assert torch.equal(planted.seal(clip(30), KEY).frames, clip(30))


def recipe_stream(subject: PairSubject) -> Keystream:
    return Keystream(subject.generator, subject.z0)

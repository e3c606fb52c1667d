"""Inversion: surrogates are what they stand for, the judge is exact, what is open is broken and what is not is not."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from inversion_parts import SHAPE, latents, video

from neuralcipher.attacks.base import Verdict
from neuralcipher.attacks.judge import Row, gate, run_attack
from neuralcipher.attacks.pairs.inversion import judging, priors, solving
from neuralcipher.attacks.pairs.inversion.controls import open_pair
from neuralcipher.attacks.pairs.inversion.known_plaintext import KnownPlaintextInversion
from neuralcipher.attacks.pairs.inversion.prior import PriorInversion
from neuralcipher.attacks.pairs.inversion.surrogate import Growth, rounded, surrogate_of
from neuralcipher.attacks.planted.flows import IdealFlow, IgnoresKeyFlow, LinearConfig, LinearFlow, recipe
from neuralcipher.attacks.planted.generators import control_generator, weak_generator
from neuralcipher.attacks.session import Run, Settings
from neuralcipher.attacks.subjects import PairSubject, Recipe
from neuralcipher.attacks.views import Public, known_frames, public
from neuralcipher.errors import ShapeError
from neuralcipher.flows.autoencoder import AutoencoderConfig, AutoencoderFlow
from neuralcipher.flows.base import Flow
from neuralcipher.flows.latent import LatentFlow
from neuralcipher.generators.autoencoder import AutoencoderConfig as GeneratorConfig
from neuralcipher.generators.autoencoder import AutoencoderGenerator
from neuralcipher.generators.base import Generator
from neuralcipher.generators.feistel import FeistelConfig, FeistelGenerator

KEY = bytes(range(32))
SEEDS = st.integers(0, 2**31 - 1)


@cache
def generators() -> dict[str, Generator]:
    config = GeneratorConfig(steps=2, length=4, window=2)
    plain = GeneratorConfig(steps=2, length=4, window=2, remedies=False)

    def trained(chosen: GeneratorConfig) -> Generator:
        return AutoencoderGenerator.train(
            SHAPE, seed=KEY, z0=latents(0)[0], progress=lambda fraction: None, config=chosen
        )

    return {
        "feistel": FeistelGenerator(SHAPE, KEY),
        "feistel in float64": FeistelGenerator(SHAPE, KEY, dtype=torch.float64),
        "feistel of odd halves": FeistelGenerator((2, 15, 9), KEY),
        "autoencoder": trained(config),
        "autoencoder, relu": trained(plain),
        "linear": weak_generator("linear", SHAPE),
        "identity": weak_generator("identity", SHAPE),
    }


@cache
def autoencoder_pair(steps: int = 40, stages: int = 1) -> PairSubject:
    made = Recipe(
        AutoencoderFlow, lambda shape, z0: FeistelGenerator(shape, KEY), AutoencoderConfig(8, stages, steps=steps)
    )
    return made.seal("autoencoder", video(), KEY)


@cache
def planted(flow: type[Flow]) -> PairSubject:
    return recipe(flow).seal(flow.name, video(), KEY)


def of(generator: Generator) -> Public:
    return Public(generator, IdealFlow, b"", 1, 16, 16)


# Surrogates


@pytest.mark.parametrize("name", generators())
def test_the_surrogate_of_g_is_g(name: str) -> None:
    generator = generators()[name]
    step = surrogate_of(of(generator)).step
    assert step is not None
    z = latents(1, 3, generator.shape)
    x = z.double().requires_grad_()
    out = step(step(x))
    assert torch.equal(out.detach().to(torch.uint8), generator.next_latent(generator.next_latent(z)))
    torch.autograd.backward(out.sum())
    assert x.grad is not None
    assert bool(torch.isfinite(x.grad).all())
    assert float(x.grad.abs().max()) > 0


@settings(max_examples=15)
@given(SEEDS, st.sampled_from(["feistel", "autoencoder", "autoencoder, relu"]))
def test_the_surrogate_of_g_is_g_on_any_latent(seed: int, name: str) -> None:
    generator = generators()[name]
    step = surrogate_of(of(generator)).step
    assert step is not None
    low, high = sorted(int(v) for v in np.random.default_rng(seed).integers(0, 257, 2))
    z = latents(seed).float().mul(max(1, high - low) / 256).add(low).clamp(0, 255).to(torch.uint8)
    assert torch.equal(step(z.double()).to(torch.uint8), generator.next_latent(z))


def test_the_slope_of_a_linear_g_is_its_permutation() -> None:
    step = surrogate_of(of(weak_generator("linear", SHAPE))).step
    assert step is not None
    x = latents(2).double().requires_grad_()
    weight = torch.randn(1, *SHAPE, dtype=torch.float64)
    torch.autograd.backward((step(x) * weight).sum())
    assert x.grad is not None
    assert torch.equal(x.grad.flatten().sort().values, weight.flatten().sort().values)
    # A place of z whose value moves by one moves one place of g(z) by one, modulo 256.
    z = latents(2)
    moved = z.clone()
    moved[0, 1, 2, 3] += 1
    generator = weak_generator("linear", SHAPE)
    change = (generator.next_latent(moved) - generator.next_latent(z)).flatten()
    assert change.sum() == 1
    assert float(weight.flatten()[change.argmax()]) == float(x.grad[0, 1, 2, 3])


def test_the_slope_of_the_quadratic_is_the_difference_to_its_next_value() -> None:
    """One round, kernels that copy channel 0: a byte a adds the top byte of v + K v^2 over 16, v = a + 0x4B400000."""
    generator = FeistelGenerator(SHAPE, KEY, FeistelConfig(rounds=1))
    coupling = generator.couplings[0]
    for kernel in (coupling.first, coupling.second):
        kernel.zero_()
        kernel[0, 0, 1, 1] = 1
    x = latents(9).double().requires_grad_()
    half = x.detach().flatten()[: x.numel() // 2]
    first, second = generator.differentiable(x).flatten().chunk(2)
    assert torch.equal(first.detach(), half)
    torch.autograd.backward(second.sum())
    assert x.grad is not None

    def quadratic(v: int) -> int:
        return (v + 0x9E3779B2 * v * v) % 2**32

    slopes = set()
    for a in half.tolist():
        v = int(a) + 0x4B400000
        change = (quadratic(v + 1) - quadratic(v) + 2**31) % 2**32 - 2**31
        slopes.add(change / 2**24 / 16)
    found = {slope for slope in x.grad.flatten()[: len(half)].tolist() if slope}
    assert found
    assert all(min(abs(one - other) for other in slopes) < 1e-9 for one in found)


@pytest.mark.parametrize("name", ["counter", "lcg32", "affine", "contracting", "short-cycle"])
def test_what_is_no_permutation_of_bytes_has_no_surrogate(name: str) -> None:
    assert surrogate_of(of(weak_generator(name, SHAPE))).step is None
    assert surrogate_of(of(control_generator(SHAPE))).step is None


@pytest.mark.parametrize("stages", [1, 2])
def test_the_surrogate_of_f_is_f(stages: int) -> None:
    pair = autoencoder_pair(stages=stages)
    show = surrogate_of(public(pair)).show
    assert show is not None
    for z in latents(3, 4):
        frame = (show(z[None].double()).clamp(0, 1) * 255).round().to(torch.uint8)
        assert torch.equal(frame, solving.show_from(public(pair), z, 1, 0, 1))


def test_flows_without_gradients_have_no_surrogate() -> None:
    for flow in (IdealFlow, IgnoresKeyFlow):
        assert surrogate_of(public(planted(flow))).show is None
    assert getattr(LatentFlow, "differentiable", None) is None


def test_a_gradient_does_not_grow_on_its_way_through_g() -> None:
    growth = Growth([])
    x = latents(4).double().requires_grad_()
    torch.autograd.backward(growth.through(lambda z: 1000 * z, x).sum())
    assert x.grad is not None
    assert float(x.grad.norm()) == pytest.approx(float(torch.ones(768).norm()))
    assert growth.factors == [pytest.approx(1000)]
    y = latents(4).double().requires_grad_()
    torch.autograd.backward(growth.through(lambda z: z / 8, y).sum())
    assert y.grad is not None
    assert torch.equal(y.grad, torch.full_like(y, 1 / 8))


def test_rounding_has_the_gradient_of_the_identity() -> None:
    x = torch.tensor([-3.2, 1.4, 1.6, 300.0], dtype=torch.float64, requires_grad=True)
    out = rounded(x)
    assert out.tolist() == [0, 1, 2, 255]
    torch.autograd.backward((out * torch.arange(4)).sum())
    assert x.grad is not None
    assert x.grad.tolist() == [0, 1, 2, 3]


# Solving


@pytest.mark.parametrize("optimiser", ["adam", "lbfgs"])
def test_a_linear_f_is_inverted_and_what_follows_is_seen(optimiser: str) -> None:
    pair = open_pair(Run(Settings(), "test"))
    view = known_frames(pair, (0,))
    surrogate = surrogate_of(view.public)
    draw = torch.Generator().manual_seed(1)
    answer = solving.invert(view, surrogate, optimiser=optimiser, steps=120, restarts=1, draw=draw)
    right = pair.generator.next_latent(pair.z0).int()
    assert int((answer.latent.int() - right).abs().max()) <= 2  # the last bit of z is not in x
    assert answer.index == 1
    assert answer.loss < 0.001 * answer.initial_loss
    later = solving.show_from(view.public, answer.latent, 1, 5, 9)
    assert judging.psnr_db(later, pair.frames[5:9]) > 20
    assert answer.gradient > 0


def test_the_best_of_several_starts_is_the_best_by_what_its_bytes_show() -> None:
    pair = autoencoder_pair()
    view = known_frames(pair, (0,))
    effort = {"steps": 3, "optimiser": "adam"}
    surrogate = surrogate_of(view.public)
    many = solving.invert(view, surrogate, restarts=4, draw=torch.Generator().manual_seed(0), **effort)  # type: ignore[arg-type]
    draw = torch.Generator().manual_seed(0)  # the same four starts, one after the other
    each = [solving.invert(view, surrogate, restarts=1, draw=draw, **effort) for _ in range(4)]  # type: ignore[arg-type]
    assert len({one.loss for one in each}) == 4
    assert many.loss == pytest.approx(min(one.loss for one in each), rel=0.01)
    objective = solving.known_objective(view.frames)
    assert many.loss == solving.exact_loss(view.public, many.latent, 1, objective, 1)
    shown = solving.show_from(view.public, many.latent, 1, 0, 1).float() / 255
    assert many.loss == pytest.approx(float((shown - view.frames[0].float() / 255).square().mean()))


def test_a_search_never_gets_worse_and_keeps_its_best() -> None:
    pair = autoencoder_pair()
    view = known_frames(pair, (0, 1))
    objective = solving.known_objective(view.frames)
    draw = torch.Generator().manual_seed(5)
    answer = solving.search(view.public, objective, 2, evaluations=30, draw=draw, index=0)
    assert list(answer.history) == sorted(answer.history, reverse=True)
    assert answer.history[-1] == answer.loss < answer.initial_loss == answer.history[0]
    assert answer.loss == solving.exact_loss(view.public, answer.latent, 0, objective, 2)


def test_a_guess_of_a_later_latent_continues_as_the_keystream_does() -> None:
    pair = autoencoder_pair()
    z = pair.z0
    for _ in range(3):
        z = pair.generator.next_latent(z)
    assert torch.equal(solving.show_from(public(pair), z, 3, 2, 6), pair.show(pair.z0, 2, 6))
    with pytest.raises(ShapeError, match="z_2 comes before the guessed z_3"):
        solving.show_from(public(pair), z, 3, 1, 6)


def test_time_that_is_spent_ends_the_work() -> None:
    view = known_frames(autoencoder_pair(), (0,))
    surrogate = surrogate_of(view.public)
    for optimiser in ("adam", "lbfgs", "net"):
        answer = solving.descend(
            view.public,
            surrogate,
            solving.known_objective(view.frames),
            1,
            optimiser=optimiser,
            steps=10**6,
            restarts=1,
            draw=torch.Generator(),
            stop=lambda: True,
        )
        assert answer.history == ()


# Priors


def test_total_variation_by_hand() -> None:
    x = torch.zeros(2, 3, 2, 2)
    x[1, :, 0, 0] = 1.0
    # Of 6 vertical and 6 horizontal differences 3 and 3 are 1.
    assert priors.total_variation(x).tolist() == [0.0, 1.0]


def test_mean_distance_by_hand() -> None:
    x = torch.ones(1, 3, 4, 4) * torch.tensor([0.1, 0.2, 0.3])[None, :, None, None]
    assert float(priors.mean_distance(x, torch.tensor([0.1, 0.0, 0.0]))) == pytest.approx(0.04 + 0.09)


@settings(max_examples=20)
@given(SEEDS)
def test_a_picture_is_likelier_than_noise(seed: int) -> None:
    noise = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(seed))
    ramp = torch.linspace(0.1, 0.8, 16).expand(1, 3, 16, 16)
    assert float(priors.unnatural(ramp)) < float(priors.unnatural(noise))
    assert float(priors.unnatural(ramp)) < float(priors.unnatural(torch.full((1, 3, 16, 16), 0.45)))


def test_a_prior_makes_what_is_shown_likelier() -> None:
    pair = autoencoder_pair()
    surrogate = surrogate_of(public(pair))
    nothing = priors.PRIORS[3]
    assert not nothing.plaintext
    answer = priors.solve_with_prior(public(pair), surrogate, nothing, steps=30, draw=torch.Generator().manual_seed(1))
    shown = solving.show_from(public(pair), answer.latent, 1, 0, 1).float() / 255
    start = torch.randint(0, 256, (1, *SHAPE), generator=torch.Generator().manual_seed(1))[0].to(torch.uint8)
    before = solving.show_from(public(pair), start, 1, 0, 1).float() / 255
    assert float(priors.unnatural(shown)) < float(priors.unnatural(before))


# The attacks


def check(row: Row, verdict: Verdict) -> None:
    assert row.error == ""
    assert gate(row) == ""
    assert row.verdict is verdict
    for part in (row.positive, row.negative, row.target):
        assert part is not None
        assert part.figures
        assert 0 < (part.p_value or 0) <= 1


@pytest.mark.parametrize("attack", [KnownPlaintextInversion, PriorInversion])
def test_an_f_that_ignores_z_is_broken(attack: type[KnownPlaintextInversion] | type[PriorInversion]) -> None:
    row = run_attack(attack, planted(IgnoresKeyFlow), Settings(seed=3))
    check(row, Verdict.BROKEN)
    assert row.target is not None
    assert row.target.value == pytest.approx(1)
    assert "any key shows the frames" in row.target.flags
    assert "zero gradient" in row.target.flags


def test_an_open_f_is_broken_by_inversion_and_not_by_its_imposters() -> None:
    row = run_attack(KnownPlaintextInversion, open_pair(Run(Settings(), "test"), "identity", 20), Settings(seed=4))
    # Under the identity all frames are one: nothing moves, and nothing can be told.
    assert row.target is not None
    assert row.target.p_value == 1
    assert row.verdict is Verdict.INCONCLUSIVE
    row = run_attack(KnownPlaintextInversion, open_pair(Run(Settings(), "test"), side=20), Settings(seed=4))
    check(row, Verdict.BROKEN)
    assert row.target is not None
    assert row.target.value > 0.9
    assert row.target.flags == ()
    assert min(row.target.details["mean distance of each guess from the true latent"]) < 2  # unrelated ones: 85
    assert max(row.target.details["agreement of imposters"]) < 0.5


@pytest.mark.parametrize("attack", [KnownPlaintextInversion, PriorInversion])
def test_an_ideal_f_is_not_broken(attack: type[KnownPlaintextInversion] | type[PriorInversion]) -> None:
    row = run_attack(attack, planted(IdealFlow), Settings(seed=5))
    check(row, Verdict.NOT_BROKEN)
    assert row.target is not None
    assert row.target.details["agreement of the right key"] == pytest.approx(1)
    apart = row.target.details["mean distance of each guess from the true latent"]
    assert all(75 < one < 95 for one in apart)  # (256^2 - 1) / (3 * 256) = 85.3 of independent bytes


def test_a_chaotic_g_keeps_what_inverting_f_finds() -> None:
    """The paper's F on the default g: F alone is inverted to some error, the frames after it stay dark."""
    row = run_attack(KnownPlaintextInversion, autoencoder_pair(steps=400), Settings(seed=6))
    check(row, Verdict.NOT_BROKEN)
    assert row.target is not None
    assert "exploding gradient" in row.target.flags
    first = row.target.details["rungs"][0]
    assert first["loss"] < 0.9 * first["initial loss"]
    right = row.target.details["agreement of the right key"]
    assert max(row.target.details["agreement of each guess"]) < 0.1
    assert right > 0.3


@pytest.mark.parametrize("attack", [KnownPlaintextInversion, PriorInversion])
def test_an_f_that_stored_nothing_decides_nothing(
    attack: type[KnownPlaintextInversion] | type[PriorInversion],
) -> None:
    """The white box at work where there is nothing to find: known frames are fitted, and the judge is not fooled."""
    found = attack().measure(autoencoder_pair(steps=2), Run(Settings(seed=9), "test"))
    assert found.p_value is not None
    assert found.p_value > 0.001
    assert not found.decidable
    assert abs(found.details["agreement of the right key"]) < 0.3


def test_the_linear_flow_is_a_hard_problem_that_lbfgs_comes_near() -> None:
    pair = recipe(LinearFlow, "linear", LinearConfig(gain=1.0)).seal("linear", video(), KEY)
    view = known_frames(pair, (0,))
    draw = torch.Generator().manual_seed(2)
    answer = solving.invert(view, surrogate_of(view.public), optimiser="lbfgs", steps=100, restarts=1, draw=draw)
    assert answer.loss < 0.001 * answer.initial_loss


def test_too_few_frames_are_said_to_be_too_few() -> None:
    row = run_attack(KnownPlaintextInversion, recipe(IdealFlow).seal("short", video(8), KEY), Settings())
    assert row.verdict is Verdict.INCONCLUSIVE
    assert "8 frames" in row.skipped

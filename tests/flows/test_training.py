"""The shared trainer: its optimisers against their papers, its way back from divergence, what it leaves behind."""

from __future__ import annotations

import math

import pytest
import torch
from flow_parts import CPU, context
from torch import Tensor, nn

from neuralcipher.errors import CheckFailedError
from neuralcipher.flows import training
from neuralcipher.flows.notes import Notes
from neuralcipher.flows.training import ADAM, LAMB, LARS, Phase, Phases, Trainer, make_optimiser


def silent(step: int, done: float, loss: float) -> None:
    pass


def until(steps: int, notes: Notes | None = None) -> Phase:
    return Phase(lambda step: step / steps, silent, notes or Notes())


@pytest.fixture
def weight() -> nn.Parameter:
    made = nn.Parameter(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    made.grad = torch.tensor([[0.0, 0.6], [0.0, 0.8]])
    return made


def test_lars_takes_the_step_of_its_paper(weight: nn.Parameter) -> None:
    """You et al., 2017, algorithm 1 without weight decay: v = m v + gamma eta |w| / |g| g; w -= v."""
    optimiser = make_optimiser(LARS, [weight], 1e-3)
    rate = optimiser.param_groups[0]["lr"] * training._LARS_TRUST * 5.0 / 1.0
    optimiser.step()
    assert torch.allclose(weight.detach(), torch.tensor([[3.0, 4.0 - rate * 0.6], [0.0, -rate * 0.8]]))
    assert rate == pytest.approx(5.0 * 0.01)  # a hundredth of the layer's norm


def test_lamb_takes_the_step_of_its_paper(weight: nn.Parameter) -> None:
    """You et al., 2019, algorithm 2, without the bias correction that its third version dropped."""
    optimiser = make_optimiser(LAMB, [weight], 1e-3)
    first = 0.1 * torch.tensor([[0.0, 0.6], [0.0, 0.8]])
    second = 0.001 * torch.tensor([[0.0, 0.36], [0.0, 0.64]])
    direction = first / (second.sqrt() + 1e-6)
    expected = torch.tensor([[3.0, 4.0], [0.0, 0.0]]) - 0.01 * 5.0 / direction.norm() * direction
    optimiser.step()
    assert torch.allclose(weight.detach(), expected, atol=1e-5)


class Number(nn.Module):
    """One weight, so that what happens to it can be followed."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.5]))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x


def test_divergence_is_undone_and_tried_more_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []

    def spy(kind: int, parameters: list[nn.Parameter], rate: float) -> torch.optim.Optimizer:
        rates.append(rate)
        return make_optimiser(kind, parameters, rate)

    monkeypatch.setattr(training, "make_optimiser", spy)
    network, calls, seen = Number(), iter(range(10**6)), []

    def loss(apply: training.Apply, done: float) -> Tensor:
        call = next(calls)
        y = apply(torch.ones(1)).square().mean()
        seen.append(float(network.weight.detach()))
        return y * (math.nan if call == 5 else 1e9 if call == 9 else 1.0)

    Trainer("test", network, 32, CPU, until(20), rate=0.1).train(loss)
    assert rates == [0.1, 0.05, 0.025]
    assert seen[6] == 0.5
    assert seen[10] == 0.5
    assert abs(network.weight.item()) < 0.5


def test_divergence_without_end_is_a_failure_with_a_hint() -> None:
    trainer = Trainer("test", Number(), 8, CPU, until(50))
    with pytest.raises(CheckFailedError, match="the fit of the test flow diverged") as caught:
        trainer.train(lambda apply, done: apply(torch.ones(1)).mean() * math.inf)
    assert "--seed" in caught.value.hint


@pytest.mark.parametrize("bits", [2, 5, 8, 16, 32])
@pytest.mark.parametrize("kind", [ADAM, LARS, LAMB])
def test_weights_end_as_they_are_stored(bits: int, kind: int) -> None:
    network = nn.Linear(3, 4)
    trainer = Trainer("test", network, bits, CPU, until(30), optimiser=kind)
    exponents = trainer.train(lambda apply, done: (apply(torch.ones(2, 3)) - 0.3).square().mean())
    for number, parameter in enumerate(network.parameters()):
        if bits <= 8:
            levels = parameter.detach() / 2 ** (exponents[number] / 8)
            assert torch.allclose(levels, levels.round(), atol=1e-3)
            assert levels.abs().max() < 2 ** (bits - 1)
        elif bits == 16:
            assert torch.equal(parameter, parameter.half().float())


def test_phases_share_a_budget_of_steps() -> None:
    phases = Phases(context(), 30, 3)
    assert [phases.of(number, 0).fraction(10) for number in range(3)] == [1.0, 1.0, 1.0]
    assert phases.of(1, 0).fraction(5) == 0.5


def test_progress_of_phases_adds_up() -> None:
    reports = []
    phases = Phases(context(progress=reports.append), 30, 3)
    for number in range(3):
        phases.of(number, 77).report(1, 0.5, 0.01)
    assert [report.fraction for report in reports] == pytest.approx([1 / 6, 3 / 6, 5 / 6])
    assert [report.psnr_db for report in reports] == pytest.approx([20.0] * 3)
    assert reports[0].size_bytes == 77


def test_half_precision_trains_in_fp16() -> None:
    network, seen = nn.Linear(3, 4), set()

    def loss(apply: training.Apply, done: float) -> Tensor:
        out = apply(torch.ones(2, 3))
        seen.add(out.dtype)
        return (out.float() - 0.3).square().mean()

    Trainer("test", network, 32, CPU, until(200), rate=0.01, half=True).train(loss)
    assert seen == {torch.float16}
    assert network.weight.dtype == torch.float32
    assert network(torch.ones(2, 3)).detach() == pytest.approx(0.3, abs=0.01)


def test_the_loss_scale_keeps_gradients_that_fp16_would_round_to_zero() -> None:
    """Of 1e-8; the least number of FP16 is 6e-8."""
    network = nn.Linear(3, 4, bias=False)
    before = network.weight.detach().clone()
    trainer = Trainer("test", network, 32, CPU, until(3), half=True)
    trainer.train(lambda apply, done: apply(torch.ones(2, 3)).sum() * 1e-8)
    assert (network.weight.detach() != before).all()


class KilledError(Exception):
    pass


@pytest.mark.parametrize("bits", [4, 32])
@pytest.mark.parametrize("kind", [ADAM, LARS, LAMB])
@pytest.mark.parametrize("stopped_at", [1, 13, 38])
@pytest.mark.parametrize("half", [False, True])
def test_training_goes_on_where_another_process_was_stopped(bits: int, kind: int, stopped_at: int, half: bool) -> None:
    """No step is done twice, and without random draws the result is the same bit for bit."""
    saved: list[bytes] = []

    def train(notes: Notes, last: int) -> tuple[Tensor, list[int], int]:
        torch.manual_seed(1)
        network, steps = nn.Linear(3, 4), 0

        def loss(apply: training.Apply, done: float) -> Tensor:
            nonlocal steps
            if steps == last:
                raise KilledError
            steps += 1
            return (apply(torch.ones(2, 3)) - 0.3).square().mean()

        trainer = Trainer("test", network, bits, CPU, until(40, notes), optimiser=kind, half=half)
        try:
            exponents = trainer.train(loss)
        except KilledError:
            exponents = []
        return network.weight.detach().clone(), exponents, steps

    whole, exponents, _ = train(Notes(), 100)
    train(Notes(None, saved.append, every_s=0.0), stopped_at)
    resumed, resumed_exponents, steps = train(Notes(saved[-1], saved.append, every_s=0.0), 100)
    assert steps == 40 - stopped_at
    assert torch.equal(resumed, whole)
    assert resumed_exponents == exponents
    again, again_exponents, steps = train(Notes(saved[-1]), 100)
    assert steps == 0
    assert torch.equal(again, whole)
    assert again_exponents == exponents

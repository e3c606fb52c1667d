"""The shared trainer: its optimisers against their papers, its way back from divergence, what it leaves behind."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from flow_parts import CPU, context
from torch import Tensor, nn

from neuralcipher.errors import CheckFailedError
from neuralcipher.flows import training
from neuralcipher.flows.training import ADAM, LAMB, LARS, Phases, Trainer, make_optimiser


def silent(step: int, done: float, loss: float) -> None:
    pass


def until(steps: int) -> Callable[[int], float]:
    return lambda step: step / steps


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

    Trainer("test", network, 32, CPU, silent, rate=0.1).train(loss, until(20))
    assert rates == [0.1, 0.05, 0.025]
    assert seen[6] == 0.5
    assert seen[10] == 0.5
    assert abs(network.weight.item()) < 0.5


def test_divergence_without_end_is_a_failure_with_a_hint() -> None:
    trainer = Trainer("test", Number(), 8, CPU, silent)
    with pytest.raises(CheckFailedError, match="the fit of the test flow diverged") as caught:
        trainer.train(lambda apply, done: apply(torch.ones(1)).mean() * math.inf, until(50))
    assert "--seed" in caught.value.hint


@pytest.mark.parametrize("bits", [2, 5, 8, 16, 32])
@pytest.mark.parametrize("kind", [ADAM, LARS, LAMB])
def test_weights_end_as_they_are_stored(bits: int, kind: int) -> None:
    network = nn.Linear(3, 4)
    trainer = Trainer("test", network, bits, CPU, silent, optimiser=kind)
    exponents = trainer.train(lambda apply, done: (apply(torch.ones(2, 3)) - 0.3).square().mean(), until(30))
    for number, parameter in enumerate(network.parameters()):
        if bits <= 8:
            levels = parameter.detach() / 2 ** (exponents[number] / 8)
            assert torch.allclose(levels, levels.round(), atol=1e-3)
            assert levels.abs().max() < 2 ** (bits - 1)
        elif bits == 16:
            assert torch.equal(parameter, parameter.half().float())


def test_phases_share_a_budget_of_steps() -> None:
    phases = Phases(context(), 30, 3)
    assert [phases.of(number)(10) for number in range(3)] == [1.0, 1.0, 1.0]
    assert phases.of(1)(5) == 0.5


def test_progress_of_phases_adds_up() -> None:
    reports = []
    phases = Phases(context(progress=reports.append), 30, 3)
    for number in range(3):
        phases.reporter(number, 77)(1, 0.5, 0.01)
    assert [report.fraction for report in reports] == pytest.approx([1 / 6, 3 / 6, 5 / 6])
    assert [report.psnr_db for report in reports] == pytest.approx([20.0] * 3)
    assert reports[0].size_bytes == 77


def test_half_precision_changes_nothing_where_there_is_no_cuda() -> None:
    found = []
    for half in (False, True):
        torch.manual_seed(1)
        network = nn.Linear(3, 4)
        trainer = Trainer("test", network, 32, CPU, silent, half=half)
        trainer.train(lambda apply, done: (apply(torch.ones(2, 3)) - 0.3).square().mean(), until(10))
        found.append(network.weight.detach())
    assert torch.equal(found[0], found[1])

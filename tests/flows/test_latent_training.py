"""Fitting the repairing network: what it changes must pay, and what is not a number changes nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from flow_parts import CPU, fitted, moving_square, render
from torch import Tensor
from torch.nn.functional import mse_loss

from neuralcipher.flows.latent import LatentFlow, training
from neuralcipher.flows.latent.head import Changes, Head
from neuralcipher.flows.latent.training import RepairInputs, errors_with, fit_changes
from neuralcipher.flows.latent.transform import Colour
from neuralcipher.flows.notes import Notes

Batch = tuple[tuple[Tensor, ...], Tensor]
FREE = 10**7  # bits of everything else: beside them, changes cost nothing


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_PIXELS_PER_STEP", 2048)


def tinted(tint: float = 0.15) -> RepairInputs:
    """Pictures whose decoding is off by one colour: the last bias of the network can repair that."""
    truth = torch.rand(4, 3, 16, 32, generator=torch.Generator().manual_seed(1)) - 0.5
    decoded = (truth + torch.tensor([tint, -tint, tint]).reshape(3, 1, 1)).half()
    return RepairInputs(decoded, torch.zeros_like(decoded), torch.ones(4, dtype=torch.int64), truth, (16, 32), 60)


def fit(
    inputs: RepairInputs, steps: int, message_bits: int = FREE, measure: training.Measure = mse_loss
) -> tuple[bool, Changes | None]:
    return fit_changes(
        inputs,
        message_bits,
        fraction=lambda step: step / steps if steps else 1.0,
        report=lambda step, error: None,
        seed=3,
        device=CPU,
        notes=Notes(),
        measure=measure,
    )


def error(inputs: RepairInputs, repairs: bool, changes: Changes | None) -> float:
    """Of what an opener sees: the changes as they are stored and read back."""
    head = Head(Colour((0,) * 12), 60, repairs, changes)
    return float(np.mean(errors_with(Head.from_bytes(head.to_bytes(), b"").network(CPU), inputs, CPU)))


def same(one: tuple[bool, Changes | None], other: tuple[bool, Changes | None]) -> bool:
    return one[0] == other[0] and all(
        torch.equal(a, b) for a, b in zip(changes_of(one).levels, changes_of(other).levels, strict=True)
    )


def changes_of(fitted_to: tuple[bool, Changes | None]) -> Changes:
    assert fitted_to[1] is not None
    return fitted_to[1]


def test_changes_repair_what_the_shipped_network_does_not() -> None:
    inputs = tinted()
    untrained, trained = fit(inputs, 0), fit(inputs, 60)
    assert untrained[1] is None
    assert trained[0]
    assert error(inputs, *trained) < 0.5 * error(inputs, *untrained)
    assert error(inputs, *untrained) == min(error(inputs, False, None), error(inputs, True, None))


def test_changes_that_cost_more_than_they_repair_are_not_stored() -> None:
    assert fit(tinted(), 30, message_bits=64)[1] is None


def test_training_that_takes_changes_for_free_is_checked_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_price", lambda delta: 0 * delta.sum())
    assert fit(tinted(), 60, message_bits=64)[1] is None
    assert fit(tinted(), 60)[1] is not None


def test_the_same_seed_gives_the_same_changes() -> None:
    assert same(fit(tinted(), 12), fit(tinted(), 12))


def test_perfect_pictures_need_no_training() -> None:
    inputs = tinted(0.0)
    exact = RepairInputs(inputs.truth.half(), inputs.residual, inputs.levels, inputs.truth.half().float(), (16, 32), 60)
    assert fit(exact, 10**9) == (False, None)


def poisoned(monkeypatch: pytest.MonkeyPatch, when: Callable[[int], bool], part: str) -> list[int]:
    """Make training see NaN: in the pictures, so that the loss is NaN, or in the gradients alone."""
    batch, seen = training._batch, [0]

    def truth(inputs: RepairInputs, draw: torch.Generator, device: torch.device) -> Batch:
        given, truth = batch(inputs, draw, device)
        seen[0] += 1
        return given, truth * torch.nan if when(seen[0]) else truth

    price, priced = training._price, [0]

    def gradient(delta: Tensor) -> Tensor:
        priced[0] += 1
        found = price(delta)
        if when(priced[0]):
            found = found + torch.sqrt(delta * 0).sum()  # zero, but its slope is infinite times zero
        return found

    if part == "loss":
        monkeypatch.setattr(training, "_batch", truth)
    else:
        monkeypatch.setattr(training, "_price", gradient)
    return seen


def test_not_a_number_once_begins_again_more_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = training._RATES[1:]
    monkeypatch.setattr(training, "_RATES", slow)
    expected = fit(tinted(), 40)
    monkeypatch.undo()
    monkeypatch.setattr(training, "_PIXELS_PER_STEP", 2048)
    seen = poisoned(monkeypatch, lambda n: n == 5, "loss")
    assert same(fit(tinted(), 40), expected)
    assert seen == [5 + 40]


@pytest.mark.parametrize("part", ["loss", "gradient"])
@pytest.mark.parametrize("after", [0, 6])
def test_not_a_number_always_leaves_what_shipped(monkeypatch: pytest.MonkeyPatch, part: str, after: int) -> None:
    expected = fit(tinted(), 0)
    poisoned(monkeypatch, lambda n: n > after, part)
    assert fit(tinted(), 20) == expected


def test_not_a_number_in_the_last_step_leaves_what_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """No loss is looked at after it: the weights themselves must be."""
    expected = fit(tinted(), 0)
    tensors = len(changes_of(fit(tinted(), 12)).levels)
    poisoned(monkeypatch, lambda n: n > 11 * tensors, "gradient")
    assert fit(tinted(), 12) == expected


@pytest.mark.parametrize("steps", [0, 5])
def test_a_segment_that_cannot_be_trained_on_is_the_untrained_one(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    frames = moving_square(2, 16, 16)
    expected = fitted(frames)
    poisoned(monkeypatch, lambda n: True, "loss")
    section = fitted(frames, steps=steps)
    assert section == expected
    assert all(frame.dtype == torch.uint8 for frame in render(LatentFlow, section, 1))


def test_odd_sizes_are_trained_on_whole_squares_of_pixels() -> None:
    """The network folds 2x2 pixels into one place; the row and column beyond an odd edge exist, as padding."""
    truth = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    inputs = RepairInputs(truth.half(), truth.half(), torch.tensor([0, 1]), truth + 0.1, (7, 13), 60)
    repairs, changes = fit(inputs, 30)
    assert repairs
    assert error(inputs, repairs, changes) < error(inputs, False, None)


def test_what_is_kept_is_judged_by_the_measure() -> None:
    assert fit(tinted(), 30)[1] is not None
    assert fit(tinted(), 30, measure=lambda shown, truth: 1 / mse_loss(shown, truth))[1] is None

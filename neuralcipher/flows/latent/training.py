"""Fitting the repairing network to one segment, at a price for every change."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from neuralcipher.coding.weights import load_parameters
from neuralcipher.flows.device import training_precision
from neuralcipher.flows.latent.head import Changes, changes_bytes, grid_step
from neuralcipher.flows.latent.network import FOLD, REPAIRED_LEVELS, RepairNetwork, repair_network, shipped_weights
from neuralcipher.flows.latent.transform import interleaved, planar
from neuralcipher.flows.notes import Notes, restore_training, training_arrays

_PIXELS_PER_STEP = 4 * 96 * 160
_CROP_HEIGHT, _CROP_WIDTH = 96, 160
_RATES = (3e-3, 5e-4)  # the second where the first diverges
_EXPONENT = 13  # of the grid of changes: a step of 0.0055
_ROUND_AFTER = 0.5
MIX = 0.97  # d log(error) / d log(bytes) of video at equal preset, measured on six clips (docs/benchmarks.md)
_EVALUATED = 64
Measure = Callable[[Tensor, Tensor], Tensor]
"""A mean error of frames (B, 3, H, W) float32 on colour axes, from what they should be."""

_LENGTH_BYTES = 2  # by which the length of a head with changes may be longer


@dataclass(frozen=True, slots=True)
class RepairInputs:
    """What the network sees, and should return. decoded, residual: (N, 3, H, W) float16. levels: (N,) int64.

    truth: (N, 3, H, W) float32. size: (height, width) of the part that is shown.
    """

    decoded: Tensor
    residual: Tensor
    levels: Tensor
    truth: Tensor
    size: tuple[int, int]
    quality: int


def errors_with(
    network: RepairNetwork | None, inputs: RepairInputs, device: torch.device, measure: Measure = F.mse_loss
) -> list[float]:
    """Mean error, squared unless measured otherwise, of (at most 64 evenly spread) frames, repaired or not."""
    height, width = inputs.size
    errors = []
    with torch.no_grad():
        for i in range(0, len(inputs.truth), -(-len(inputs.truth) // _EVALUATED)):
            shown = inputs.decoded[i : i + 1].to(device)
            if network is not None and inputs.levels[i] < REPAIRED_LEVELS:
                rest, level = inputs.residual[i : i + 1].to(device), inputs.levels[i : i + 1].to(device)
                quality = torch.full_like(level, inputs.quality)
                shown = planar(network(interleaved(shown), interleaved(rest), level, quality))
            truth = inputs.truth[i : i + 1].to(device)
            errors.append(measure(shown[..., :height, :width].float(), truth[..., :height, :width]).item())
    return errors


def _error_with(network: RepairNetwork | None, inputs: RepairInputs, device: torch.device, measure: Measure) -> float:
    """The mean over the frames; infinite if it is not a number."""
    errors = errors_with(network, inputs, device, measure)
    mean = sum(errors) / len(errors)
    return mean if math.isfinite(mean) else math.inf


def fit_changes(
    inputs: RepairInputs,
    message_bits: int,
    *,
    room_bytes: int | None = None,
    fraction: Callable[[int], float],
    report: Callable[[int, float], None],
    seed: int,
    device: torch.device,
    notes: Notes,
    measure: Measure = F.mse_loss,
) -> tuple[bool, Changes | None]:
    """(whether to repair, with which changes): what gives the least error for the bits of the whole segment.

    message_bits: of everything else. room_bytes: what changes may take, None for any. fraction(step): 0..1 of the
    budget; training ends at 1. report(step, mean squared error). notes: where training is kept. measure: of the error
    by which it is decided what is kept; training goes by squared errors.
    Training that diverges is begun again more slowly, once; then what shipped remains.
    """
    network = repair_network(shipped_weights(), device)
    squared = [_error_with(n, inputs, device, F.mse_loss) for n in (None, network)]
    judged = squared
    if measure is not F.mse_loss:
        judged = [_error_with(n, inputs, device, measure) for n in (None, network)]
    plain, shipped = judged
    report(0, min(squared))
    base = min(squared)
    if not base > 0 or fraction(0) >= 1:
        return shipped < plain, None
    for learning_rate in _RATES:
        load_parameters(network, shipped_weights())
        kept = notes, f"repair {learning_rate}"
        changes = _train(network, inputs, base, message_bits, learning_rate, fraction, report, seed, device, kept)
        if changes is not None:
            break
    else:
        return shipped < plain, None
    load_parameters(network, changes.weights())
    changed = _error_with(network, inputs, device, measure)
    size_bytes = len(changes_bytes(changes))
    cost = math.log(max(changed, 1e-12) / max(min(plain, shipped), 1e-12)) + MIX * math.log1p(
        8 * size_bytes / message_bits
    )
    fits = room_bytes is None or size_bytes + _LENGTH_BYTES <= room_bytes
    return (True, changes) if fits and cost < 0 else (shipped < plain, None)


def _train(
    network: RepairNetwork,
    inputs: RepairInputs,
    base: float,
    message_bits: int,
    learning_rate: float,
    fraction: Callable[[int], float],
    report: Callable[[int, float], None],
    seed: int,
    device: torch.device,
    kept: tuple[Notes, str],
) -> Changes | None:
    start = [weight.to(device) for weight in shipped_weights()]
    parameters = list(network.parameters())
    names = [name for name, _ in network.named_parameters()]
    optimiser = torch.optim.Adam(parameters, lr=learning_rate, betas=(0.9, 0.99))
    draw = torch.Generator().manual_seed(seed)
    grid = grid_step(_EXPONENT)
    step = 0
    notes, name = kept
    noted = notes.get(name)
    if noted is not None:
        step = int(noted["step"])
        restore_training(noted, network, optimiser)
        draw.set_state(torch.from_numpy(np.array(noted["draw"])))
    while (done := fraction(step)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * (0.5 + 0.5 * math.cos(math.pi * done)) + 2e-5
        deltas = [(p - s) / grid for p, s in zip(parameters, start, strict=True)]
        bits = torch.stack([_price(delta) for delta in deltas]).sum()
        if done >= _ROUND_AFTER:
            rounded = [d + (torch.round(d) - d).detach() for d in deltas]
            weights = {n: s + r * grid for n, s, r in zip(names, start, rounded, strict=True)}
        else:
            weights = dict(zip(names, parameters, strict=True))
        part, truth = _batch(inputs, draw, device)
        with training_precision(device):
            output = torch.func.functional_call(network, weights, part)
        error = F.mse_loss(planar(output).float(), truth)
        loss = error / base + MIX * bits / message_bits
        if not torch.isfinite(loss):
            notes.put(name, {})
            return None
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimiser.step()
        step += 1
        if step % 10 == 0:
            report(step, error.item())
        if notes.due():
            state = {"step": np.array(step), "draw": draw.get_state().numpy()}
            notes.put(name, state | training_arrays(parameters, optimiser))
    if not all(bool(p.isfinite().all()) for p in parameters):
        return None
    levels = [torch.round((p.detach() - s) / grid).cpu().long() for p, s in zip(parameters, start, strict=True)]
    return Changes((_EXPONENT,) * len(levels), tuple(levels))


def _price(delta: Tensor) -> Tensor:
    """About the bits that changes take, in units of their grid."""
    return 1.5 * torch.log2(1 + delta.abs()).sum()


def _batch(inputs: RepairInputs, draw: torch.Generator, device: torch.device) -> tuple[tuple[Tensor, ...], Tensor]:
    rows, columns = _window(inputs.size[0], _CROP_HEIGHT, draw), _window(inputs.size[1], _CROP_WIDTH, draw)
    count = max(1, _PIXELS_PER_STEP // ((rows.stop - rows.start) * (columns.stop - columns.start)))
    repaired = (inputs.levels < REPAIRED_LEVELS).nonzero()[:, 0]
    index = repaired[torch.randint(len(repaired), (count,), generator=draw)]
    pictures = (inputs.decoded, inputs.residual, inputs.truth)
    decoded, residual, truth = (x[index][..., rows, columns].to(device) for x in pictures)
    level = inputs.levels[index].to(device)
    return (interleaved(decoded), interleaved(residual), level, torch.full_like(level, inputs.quality)), truth


def _window(length: int, size: int, draw: torch.Generator) -> slice:
    length += length % FOLD
    if length <= size:
        return slice(0, length)
    start = FOLD * int(torch.randint((length - size) // FOLD + 1, (1,), generator=draw))
    return slice(start, start + size)

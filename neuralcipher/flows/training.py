"""Training that all the papers' flows share: bounded steps, a way back from divergence, weights that can be stored."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from neuralcipher.coding.weights import (
    MAX_WEIGHTS,
    load_parameters,
    quantise_through,
    round_to_bits,
    step_exponent,
    step_size,
)
from neuralcipher.errors import CheckFailedError, UsageError
from neuralcipher.flows.base import FitContext, FitProgress
from neuralcipher.flows.device import training_precision
from neuralcipher.flows.notes import Arrays, Notes, restore_training, training_arrays

Apply = Callable[..., Tensor]
"""The network with the weights of this step: as they are, or on the grid that is stored."""

Fraction = Callable[[int], float]
"""The share of the work that is done after so many steps, 0..1."""

ADAM, LARS, LAMB = 0, 1, 2
RATE = 1e-3
_CLIP = 1.0
_QUANTISE_AFTER = 0.7
_RETRIES = 3
_KEEP_EVERY = 100
_HOPELESS = 100.0  # mean squared error of pictures within [0, 1]
_LAST_RATE = 0.01
# Adam moves a weight by about its rate; LAMB and LARS move a layer by that share of its norm.
_RELATIVE_RATE = 10.0
_LARS_TRUST = 0.01
_LARS_RATE = 1e3
# What an FP16 loss scale remembers, in a note and in torch's own words.
_SCALE = {"loss scale": "scale", "steps at it": "_growth_tracker"}


def make_optimiser(kind: int, parameters: list[nn.Parameter], rate: float) -> torch.optim.Optimizer:
    """ADAM, LARS (You et al., 2017) or LAMB (You et al., 2019). rate: of Adam; the others' is derived from it."""
    if kind == ADAM:
        return torch.optim.Adam(parameters, lr=rate)
    import pytorch_optimizer  # half a second that only those who ask for it pay

    made: torch.optim.Optimizer
    if kind == LARS:
        made = pytorch_optimizer.LARS(parameters, lr=_LARS_RATE * rate, trust_coefficient=_LARS_TRUST)
    else:
        # Without `adam_debias` it divides the step by 1 - beta1**t after the trust ratio, which no version of the
        # paper does: the first step would be ten times too long.
        made = pytorch_optimizer.Lamb(parameters, lr=_RELATIVE_RATE * rate, adam_debias=True)
    return made


def check_range(flow: str, config: object, limits: dict[str, tuple[int, int]]) -> None:
    """Raise UsageError for the first option of `config` that lies outside its limits."""
    for name, (low, high) in limits.items():
        value = getattr(config, name)
        if value is not None and not low <= value <= high:
            raise UsageError(f"{name} of the {flow} flow must lie within {low}..{high}, not {value}")


def count_weights(shapes: Sequence[tuple[int, ...]]) -> int:
    """How many weights there are. Raises UsageError if a section cannot hold so many."""
    weights = sum(math.prod(shape) for shape in shapes)
    if weights > MAX_WEIGHTS:
        raise UsageError(
            f"a network of {weights} weights is above the {MAX_WEIGHTS} that a section holds",
            hint="choose fewer hidden units, or a smaller --scale",
        )
    return weights


def check_weight_bits(flow: str, bits: int) -> None:
    """Raise UsageError for a precision that weights cannot be stored in."""
    if bits not in (16, 32) and not 2 <= bits <= 8:
        raise UsageError(
            f"weight_bits of the {flow} flow must be 2..8, 16 or 32, not {bits}", hint="16 and 32 are floating point"
        )


@dataclass(frozen=True, slots=True)
class Phase:
    """One network's share of a fit.

    fraction: how much of it is done after so many steps. report: called with (step, share done, mean squared error).
    notes, name: where, and under what name, training is kept for the case that it is stopped.
    """

    fraction: Fraction
    report: Callable[[int, float, float], None]
    notes: Notes = field(default_factory=Notes)
    name: str = "network"


class Phases:
    """Shares of one budget, in seconds or in steps, for fits that follow each other."""

    def __init__(self, context: FitContext, steps: int | None, number: int) -> None:
        self._context, self._steps, self._number = context, steps, number

    def fraction(self, phase: int, step: int) -> float:
        """How much of this phase is done."""
        if self._steps is not None:
            return step * self._number / self._steps if self._steps else 1.0
        spent = self._context.notes.elapsed_s()
        done = spent / self._context.budget_s if self._context.budget_s > 0 else 1.0
        return done * self._number - phase

    def of(self, phase: int, size_bytes: int) -> Phase:
        """One phase, which reports as progress of the whole fit. size_bytes: of the section, as far as is known."""

        def fraction(step: int) -> float:
            return self.fraction(phase, step)

        def report(step: int, done: float, loss: float) -> None:
            overall = (phase + min(1.0, done)) / self._number
            psnr_db = -10 * math.log10(min(max(loss, 1e-10), 1e10))
            self._context.progress(FitProgress(step, overall, psnr_db, size_bytes))

        return Phase(fraction, report, self._context.notes, f"network {phase}")


class Trainer:
    """Trains one network on a loss. Gradients are clipped; a loss that explodes is undone and tried more slowly.

    flow: named in messages. weight_bits: 2..8 trains the end on the grid that is stored; 16 and 32 do not.
    phase: its share of the fit. optimiser: ADAM, LARS or LAMB. half: FP16 with a loss scale; without it bfloat16
    where the processor has it.
    """

    def __init__(
        self,
        flow: str,
        network: nn.Module,
        weight_bits: int,
        device: torch.device,
        phase: Phase,
        *,
        rate: float | None = None,
        optimiser: int = ADAM,
        half: bool = False,
    ) -> None:
        self._flow, self._network, self._bits, self._device = flow, network.to(device), weight_bits, device
        self._phase, self._kind = phase, optimiser
        self._rate = RATE if rate is None else rate
        self._half = half
        self._scaler = torch.amp.GradScaler(device.type, enabled=half)
        self._parameters = list(network.parameters())
        self._exponents: list[int] | None = None

    def train(self, loss_of: Callable[[Apply, float], Tensor]) -> list[int]:
        """Train until its phase is over; the weights end as they are stored. Returns their grids, if they have any.

        loss_of: called with the network to apply and the fraction done. What an earlier process noted is gone on with;
        a network that it finished is not trained again. Raises CheckFailedError on divergence.
        """
        rate, retries, step = self._rate, 0, 0
        noted = self._phase.notes.get(self._phase.name)
        if noted is not None:
            rate, retries, step = float(noted["rate"]), int(noted["retries"]), int(noted["step"])
            self._exponents = noted["grids"].tolist() or None
        optimiser = make_optimiser(self._kind, self._parameters, rate)
        if noted is not None:
            restore_training(noted, self._network, optimiser)
            self._restore_scale(noted)
            if noted["finished"]:
                return self._exponents or []
        base = optimiser.param_groups[0]["lr"]
        good = self._copy()
        while (done := self._phase.fraction(step)) < 1:
            for group in optimiser.param_groups:
                group["lr"] = base * (0.5 + 0.5 * math.cos(math.pi * done) + _LAST_RATE)
            if self._exponents is None and self._bits <= 8 and done >= _QUANTISE_AFTER:
                self._exponents = self._grids()
            with self._precision():
                loss = loss_of(self._apply(), done)
            value = loss.item()
            step += 1
            if not value < _HOPELESS:
                retries, rate = retries + 1, rate / 2
                if retries > _RETRIES:
                    raise CheckFailedError(f"the fit of the {self._flow} flow diverged", hint="try another --seed")
                load_parameters(self._network, good)
                optimiser = make_optimiser(self._kind, self._parameters, rate)
                base = optimiser.param_groups[0]["lr"]
                continue
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(self._scaler.scale(loss))
            self._scaler.unscale_(optimiser)
            nn.utils.clip_grad_norm_(self._parameters, _CLIP)
            if step % _KEEP_EVERY == 0 and self._is_finite():  # before the step: these weights gave a finite loss
                good = self._copy()
            self._scaler.step(optimiser)
            self._scaler.update()
            self._stay_on_grid()
            if step == 1 or step % 10 == 0:
                self._phase.report(step, done, value)
            if self._phase.notes.due():
                self._note(optimiser, rate, retries, step)
        if not self._is_finite():  # the last step was a bad one
            load_parameters(self._network, good)
        grids = self._round()
        self._exponents = grids or None
        self._note(optimiser, rate, retries, step, finished=True)
        return grids

    def _note(
        self, optimiser: torch.optim.Optimizer, rate: float, retries: int, step: int, *, finished: bool = False
    ) -> None:
        if not self._is_finite():  # a bad step, which may still be undone
            return
        numbers = {"rate": rate, "retries": retries, "step": step, "finished": finished}
        arrays = {name: np.array(value) for name, value in numbers.items()}
        arrays["grids"] = np.array(self._exponents or [], dtype=np.int64)
        if self._half:
            state = self._scaler.state_dict()
            arrays |= {name: np.array(state[entry]) for name, entry in _SCALE.items()}
        self._phase.notes.put(self._phase.name, arrays | training_arrays(self._parameters, optimiser))

    def _restore_scale(self, noted: Arrays) -> None:
        if self._half:
            found = {entry: noted[name].item() for name, entry in _SCALE.items()}
            self._scaler.load_state_dict(self._scaler.state_dict() | found)

    def _precision(self) -> contextlib.AbstractContextManager[object]:
        if self._half:
            return torch.autocast(self._device.type, torch.float16)
        return training_precision(self._device)

    def _apply(self) -> Apply:
        if self._exponents is None:
            return self._network
        named = zip(self._network.named_parameters(), self._exponents, strict=True)
        grid = {name: quantise_through(parameter, exponent) for (name, parameter), exponent in named}
        return lambda *inputs: torch.func.functional_call(self._network, grid, inputs)

    def _round(self) -> list[int]:
        exponents: list[int] = []
        if self._bits <= 8:
            exponents = self._exponents or self._grids()
        with torch.no_grad():
            for number, parameter in enumerate(self._parameters):
                if exponents:
                    parameter.copy_(quantise_through(parameter, exponents[number]))
                else:
                    parameter.copy_(round_to_bits(parameter, self._bits))
        return exponents

    def _copy(self) -> list[Tensor]:
        return [p.detach().clone() for p in self._parameters]

    def _is_finite(self) -> bool:
        return all(bool(torch.isfinite(p).all()) for p in self._parameters)

    def _stay_on_grid(self) -> None:
        """Keep the weights within the levels that are stored, once their grids are chosen."""
        if self._exponents is None:
            return
        levels = 2 ** (self._bits - 1) - 1
        with torch.no_grad():
            for parameter, exponent in zip(self._parameters, self._exponents, strict=True):
                parameter.clamp_(-levels * step_size(exponent), levels * step_size(exponent))

    def _grids(self) -> list[int]:
        return [step_exponent(p.detach(), self._bits) for p in self._parameters]

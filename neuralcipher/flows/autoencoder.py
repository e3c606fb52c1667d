"""The paper's flow: M stages of Algorithm 1, each trained on the output of the last, from keystream to frames."""

from __future__ import annotations

import math
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neuralcipher.coding.binary import FieldReader
from neuralcipher.coding.weights import (
    load_parameters,
    quantise_through,
    step_exponent,
    step_size,
    weights_from_bytes,
    weights_to_bytes,
)
from neuralcipher.errors import CheckFailedError, ShapeError, UsageError
from neuralcipher.flows.base import FitContext, FitProgress, KeystreamFactory
from neuralcipher.flows.device import training_precision
from neuralcipher.generators.base import Keystream, Shape

_VERSION = 1
_MAX_FRAMES = 1 << 16
_MAX_SIDE = 1 << 14
_MAX_PIXELS = 1 << 27
_MAX_NCONV = 256
_MAX_STAGES = 4
_MIN_SIDE = 8
_BATCH = 1  # of the same pixels, many small steps learn more than a few large ones
_RATE = 1e-3
_OUTPUT_GAIN = 0.1
_CLIP = 1.0
_QUANTISE_AFTER = 0.7
_RETRIES = 3
_KEEP_EVERY = 100


@dataclass(frozen=True, slots=True)
class AutoencoderConfig:
    """Options of the autoencoder flow.

    nconv: filters per layer. stages: M, how many networks follow each other. weight_bits: 2..8, of the stored
    weights. steps: train for so many steps in all instead of for a time.
    """

    nconv: int = 32
    stages: int = 1
    weight_bits: int = 8
    steps: int | None = None

    def __post_init__(self) -> None:
        limits = {"nconv": (1, _MAX_NCONV), "stages": (1, _MAX_STAGES), "weight_bits": (2, 8), "steps": (0, 10**9)}
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise UsageError(f"{name} of the autoencoder flow must lie within {low}..{high}, not {value}")


class Algorithm1(nn.Module):
    """Seven 3x3 layers: two strided, two upsamplings. (B, 3, H, W) to the same shape, H and W multiples of 4.

    The last rectifier of the paper is left out: rectified outputs that start below zero would never learn.
    Source: Neural Video Encoding, Algorithm 1.
    """

    def __init__(self, nconv: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            [
                nn.Conv2d(3, nconv, 3, stride=2, padding=1),
                nn.Conv2d(nconv, nconv, 3, stride=2, padding=1),
                nn.Conv2d(nconv, nconv, 3, padding=1),
            ]
        )
        self.middle = nn.ModuleList(
            [nn.Conv2d(nconv, nconv, 3, padding=1), nn.ConvTranspose2d(nconv, nconv, 3, padding=1)]
        )
        self.up = nn.Conv2d(nconv, nconv, 3, padding=1)
        self.out = nn.ConvTranspose2d(nconv, 3, 3, padding=1)
        for layer in self.modules():
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
                # He et al., 2015: torch's default loses the input on the way through seven rectified layers.
                nn.init.normal_(layer.weight, std=math.sqrt(2 / (9 * layer.in_channels)))
                layer.bias = nn.Parameter(torch.zeros(layer.out_channels))
        self.out.weight.data *= _OUTPUT_GAIN

    def forward(self, x: Tensor) -> Tensor:
        """x in [0, 1]; returns values around [0, 1], not clamped."""
        x = (2 * x - 1).contiguous(memory_format=torch.channels_last)
        for layer in self.down:
            x = F.relu(layer(x))
        x = F.interpolate(x, scale_factor=2)
        for layer in self.middle:
            x = F.relu(layer(x))
        x = F.interpolate(x, scale_factor=2)
        y: Tensor = self.out(F.relu(self.up(x)))
        return y + 0.5


class AutoencoderFlow:
    """x_i = f_M(... f_1(z_i)). Source: Neural Video Encoding, eq. 5."""

    name = "autoencoder"
    keyed = True
    rate_controlled = False
    config_type = AutoencoderConfig

    def __init__(self, config: AutoencoderConfig | None = None) -> None:
        self._config = config or AutoencoderConfig()

    def fit(self, frames: Tensor, make_keystream: KeystreamFactory, context: FitContext) -> bytes:
        """Train stage after stage on frames (N, 3, H, W) uint8; see `Flow.fit`."""
        if frames.dtype != torch.uint8 or frames.dim() != 4 or frames.shape[1] != 3 or not len(frames):
            raise ShapeError("frames must be uint8 of shape (N, 3, H, W) with N >= 1")
        config = self._config
        count, _, height, width = frames.shape
        started = time.monotonic()
        keystream = make_keystream(_z_shape(height, width))
        inputs = torch.stack([keystream.latent(i + 1) for i in range(count)])
        torch.manual_seed(context.seed)
        stages, exponents = [], []
        for number in range(config.stages):
            stage = Algorithm1(config.nconv)

            def fraction(step: int, number: int = number) -> float:
                """Of this stage's share."""
                if config.steps is not None:
                    return step * config.stages / config.steps if config.steps else 1.0
                done = (time.monotonic() - started) / context.budget_s if context.budget_s > 0 else 1.0
                return done * config.stages - number

            trainer = _StageTrainer(stage, inputs, frames, config, context, number)
            exponents += trainer.train(fraction)
            stages.append(stage)
            if number + 1 < config.stages:
                inputs = _apply(stage, inputs, context.device)
        head = struct.pack("<BIHHHB", _VERSION, count, height, width, config.nconv, config.stages)
        return head + weights_to_bytes((p for stage in stages for p in stage.parameters()), exponents)

    @classmethod
    def latent_shape(cls, section: bytes) -> Shape:
        """(3, H, W) of z: the frame's size, rounded up to multiples of 4."""
        _, height, width, _ = _parse(section)
        return _z_shape(height, width)

    @classmethod
    def parameters(cls, section: bytes) -> int:
        """Weights and biases of all stages."""
        return sum(p.numel() for stage in _parse(section)[3] for p in stage.parameters())

    @classmethod
    def render(
        cls, section: bytes, keystream: Keystream, device: torch.device, start: int = 0, stop: int | None = None
    ) -> Iterator[Tensor]:
        """Yield frames start..stop-1, (3, H, W) uint8; see `Flow.render`."""
        count, height, width, stages = _parse(section)
        for stage in stages:
            stage.to(device)
        with torch.no_grad():
            for index in range(start, count if stop is None else min(stop, count)):
                x = keystream.latent(index + 1)[None]
                for stage in stages:
                    x = _bytes(stage(_unit(x, device)))
                yield x[0, :, :height, :width].cpu()

    @classmethod
    def differentiable(cls, section: bytes) -> Callable[[Tensor], Tensor]:
        """F with gradients, for research: (B, 3, H', W') float latents in [0, 1) to (B, 3, H, W) in [0, 1].

        What it returns is not rounded, and not clamped, so that gradients do not vanish outside; between stages it is
        both, with straight-through gradients, as `render` has it.
        """
        _, height, width, stages = _parse(section)
        for stage in stages:
            stage.requires_grad_(False)

        def shown(x: Tensor) -> Tensor:
            x = x.float()
            for stage in stages[:-1]:
                y = stage(x)
                x = (y + ((y.clamp(0, 1) * 255).round() / 255 - y).detach()) * (255 / 256)
            whole: Tensor = stages[-1](x)
            return whole[..., :height, :width]

        return shown

    @classmethod
    def remask(cls, section: bytes, old: Keystream, new: Keystream) -> bytes:
        """Not possible: F was trained on this very keystream."""
        raise UsageError(
            "the autoencoder flow was trained on its keystream and cannot be moved to a new bundle key",
            hint="seal the video again",
        )


class _StageTrainer:
    """Trains one stage from inputs (N, 3, H', W') uint8 to frames (N, 3, H, W) uint8."""

    def __init__(
        self,
        stage: Algorithm1,
        inputs: Tensor,
        frames: Tensor,
        config: AutoencoderConfig,
        context: FitContext,
        number: int,
    ) -> None:
        self._stage = stage.to(context.device)
        self._inputs, self._frames = inputs, frames
        self._config, self._context, self._number = config, context, number
        self._parameters = list(stage.parameters())
        self._exponents: list[int] | None = None
        self._draw = torch.Generator().manual_seed(context.seed + number)

    def train(self, fraction: Callable[[int], float]) -> list[int]:
        """Train until fraction reaches 1; weights end on their grids. Raises CheckFailedError on divergence."""
        rate, retries = _RATE, 0
        optimiser = torch.optim.Adam(self._parameters, lr=rate)
        good = self._copy()
        step = 0
        while (done := fraction(step)) < 1:
            for group in optimiser.param_groups:
                group["lr"] = rate * (0.5 + 0.5 * math.cos(math.pi * done)) + 1e-5
            if self._exponents is None and done >= _QUANTISE_AFTER:
                self._exponents = self._grids()
            loss = self._loss()
            step += 1
            if not math.isfinite(loss.item()):
                retries, rate = retries + 1, rate / 2
                if retries > _RETRIES:
                    raise CheckFailedError("the fit of the autoencoder flow diverged", hint="try another --seed")
                load_parameters(self._stage, good)
                optimiser = torch.optim.Adam(self._parameters, lr=rate)
                continue
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(self._parameters, _CLIP)
            if step % _KEEP_EVERY == 0 and self._is_finite():  # before the step: these weights gave a finite loss
                good = self._copy()
            optimiser.step()
            self._stay_on_grid()
            if step == 1 or step % 10 == 0:
                self._report(step, done, loss.item())
        if not self._is_finite():  # the last step was a bad one
            load_parameters(self._stage, good)
        exponents = self._exponents or self._grids()
        with torch.no_grad():
            for parameter, exponent in zip(self._parameters, exponents, strict=True):
                parameter.copy_(quantise_through(parameter, exponent))
        return exponents

    def _copy(self) -> list[Tensor]:
        return [p.detach().clone() for p in self._parameters]

    def _is_finite(self) -> bool:
        return all(bool(torch.isfinite(p).all()) for p in self._parameters)

    def _stay_on_grid(self) -> None:
        """Keep the weights within the levels that are stored, once their grids are chosen."""
        if self._exponents is None:
            return
        levels = 2 ** (self._config.weight_bits - 1) - 1
        with torch.no_grad():
            for parameter, exponent in zip(self._parameters, self._exponents, strict=True):
                parameter.clamp_(-levels * step_size(exponent), levels * step_size(exponent))

    def _grids(self) -> list[int]:
        return [step_exponent(p.detach(), self._config.weight_bits) for p in self._parameters]

    def _loss(self) -> Tensor:
        index = torch.randint(len(self._frames), (_BATCH,), generator=self._draw)
        x = _unit(self._inputs[index], self._context.device)
        truth = self._frames[index].to(self._context.device).float() / 255
        with training_precision(self._context.device):
            if self._exponents is None:
                y = self._stage(x)
            else:
                named = zip(self._stage.named_parameters(), self._exponents, strict=True)
                grid = {name: quantise_through(parameter, exponent) for (name, parameter), exponent in named}
                y = torch.func.functional_call(self._stage, grid, (x,))
        return F.mse_loss(y.float()[..., : truth.shape[2], : truth.shape[3]], truth)

    def _report(self, step: int, done: float, loss: float) -> None:
        weights = sum(p.numel() for p in self._parameters) * self._config.stages
        overall = (self._number + min(1.0, done)) / self._config.stages
        psnr_db = -10 * math.log10(max(loss, 1e-10))
        self._context.progress(FitProgress(step, overall, psnr_db, weights * self._config.weight_bits // 8))


def _z_shape(height: int, width: int) -> Shape:
    return 3, max(_MIN_SIDE, -(-height // 4) * 4), max(_MIN_SIDE, -(-width // 4) * 4)


def _unit(x: Tensor, device: torch.device) -> Tensor:
    """uint8 to [0, 1): value / 256, as the paper's z."""
    return x.to(device).float() / 256


def _bytes(x: Tensor) -> Tensor:
    return (x.clamp(0, 1) * 255).round().to(torch.uint8)


def _apply(stage: Algorithm1, inputs: Tensor, device: torch.device) -> Tensor:
    """What a trained stage makes of every latent, uint8."""
    with torch.no_grad():
        return torch.cat([_bytes(stage(_unit(x[None], device))).cpu() for x in inputs])


def _parse(section: bytes) -> tuple[int, int, int, list[Algorithm1]]:
    """(frames, height, width, stages). Raises PayloadDamagedError or LimitError on anything else."""
    reader = FieldReader(section, "section of the autoencoder flow")
    reader.u8(_VERSION, _VERSION)
    count = reader.u32(1, _MAX_FRAMES)
    height, width = reader.u16(1, _MAX_SIDE), reader.u16(1, _MAX_SIDE)
    reader.bounded(height * width, 1, _MAX_PIXELS)
    nconv, number = reader.u16(1, _MAX_NCONV), reader.u8(1, _MAX_STAGES)
    stages = [Algorithm1(nconv) for _ in range(number)]
    parameters = [p for stage in stages for p in stage.parameters()]
    tensors = weights_from_bytes(reader, [tuple(p.shape) for p in parameters])
    reader.finish()
    each = len(parameters) // number
    for i, stage in enumerate(stages):
        load_parameters(stage, tensors[i * each : (i + 1) * each])
    return count, height, width, stages

"""The paper's flow: M stages of Algorithm 1, each trained on the output of the last, from keystream to frames."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from neuralcipher.coding.binary import FieldReader
from neuralcipher.coding.weights import load_parameters, weights_from_bytes, weights_to_bytes
from neuralcipher.errors import UsageError
from neuralcipher.flows.algorithm1 import MAX_ACTIVATIONS, Algorithm1, algorithm1_shapes, check_activations
from neuralcipher.flows.base import FitContext, KeystreamFactory, check_frames
from neuralcipher.flows.training import Apply, Phases, Trainer, check_range
from neuralcipher.generators.base import Keystream, Shape

_VERSION = 1
_MAX_FRAMES = 1 << 16
_MAX_SIDE = 1 << 14
_MAX_PIXELS = 1 << 27
_MAX_NCONV = 256
_MAX_STAGES = 4
_MIN_SIDE = 8
_NOUN = "section of the autoencoder flow"
_BATCH = 1  # of the same pixels, many small steps learn more than a few large ones
_RATE = 1e-3


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
        check_range("autoencoder", self, limits)


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
        check_frames(frames)
        config = self._config
        count, _, height, width = frames.shape
        check_activations(_activations(height, width, config.nconv))
        phases = Phases(context, config.steps, config.stages)
        keystream = make_keystream(_z_shape(height, width))
        inputs = torch.stack([keystream.latent(i + 1) for i in range(count)])
        torch.manual_seed(context.seed)
        stages: list[Algorithm1] = []
        exponents: list[int] = []
        weights = config.stages * sum(math.prod(shape) for shape in algorithm1_shapes(config.nconv))
        for number in range(config.stages):
            stage = Algorithm1(config.nconv)
            phase = phases.of(number, weights * config.weight_bits // 8)
            trainer = Trainer(self.name, stage, config.weight_bits, context.device, phase, rate=_RATE)
            exponents += trainer.train(_Pairs(inputs, frames, context, number).loss)
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
    def video_shape(cls, section: bytes) -> tuple[int, int, int]:
        """(N, H, W) of its frames; see `Flow.video_shape`."""
        return _head(FieldReader(section, _NOUN))

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


class _Pairs:
    """Draws what one stage learns: from inputs (N, 3, H', W') uint8 to frames (N, 3, H, W) uint8."""

    def __init__(self, inputs: Tensor, frames: Tensor, context: FitContext, number: int) -> None:
        self._inputs, self._frames, self._device = inputs, frames, context.device
        self._draw = torch.Generator().manual_seed(context.seed + number)

    def loss(self, network: Apply, done: float) -> Tensor:
        """Mean squared error of one random frame."""
        index = torch.randint(len(self._frames), (_BATCH,), generator=self._draw)
        truth = self._frames[index].to(self._device).float() / 255
        y = network(_unit(self._inputs[index], self._device))
        return F.mse_loss(y.float()[..., : truth.shape[2], : truth.shape[3]], truth)


def _z_shape(height: int, width: int) -> Shape:
    return 3, max(_MIN_SIDE, -(-height // 4) * 4), max(_MIN_SIDE, -(-width // 4) * 4)


def _activations(height: int, width: int, nconv: int) -> int:
    """Numbers that the widest layer makes of one frame."""
    _, rows, columns = _z_shape(height, width)
    return rows * columns * nconv


def _unit(x: Tensor, device: torch.device) -> Tensor:
    """uint8 to [0, 1): value / 256, as the paper's z."""
    return x.to(device).float() / 256


def _bytes(x: Tensor) -> Tensor:
    return (x.clamp(0, 1) * 255).round().to(torch.uint8)


def _apply(stage: Algorithm1, inputs: Tensor, device: torch.device) -> Tensor:
    """What a trained stage makes of every latent, uint8."""
    with torch.no_grad():
        return torch.cat([_bytes(stage(_unit(x[None], device))).cpu() for x in inputs])


def _head(reader: FieldReader) -> tuple[int, int, int]:
    """(frames, height, width), with which a section begins."""
    reader.version(_VERSION)
    count = reader.u32(1, _MAX_FRAMES)
    height, width = reader.u16(1, _MAX_SIDE), reader.u16(1, _MAX_SIDE)
    reader.bounded(height * width, 1, _MAX_PIXELS)
    return count, height, width


def _parse(section: bytes) -> tuple[int, int, int, list[Algorithm1]]:
    """(frames, height, width, stages). Raises PayloadDamagedError or LimitError on anything else."""
    reader = FieldReader(section, _NOUN)
    count, height, width = _head(reader)
    nconv, number = reader.u16(1, _MAX_NCONV), reader.u8(1, _MAX_STAGES)
    reader.bounded(_activations(height, width, nconv), 1, MAX_ACTIVATIONS)
    shapes = algorithm1_shapes(nconv)
    each = len(shapes)
    tensors = weights_from_bytes(reader, shapes * number)
    reader.finish()
    stages = [Algorithm1(nconv) for _ in range(number)]
    for i, stage in enumerate(stages):
        load_parameters(stage, tensors[i * each : (i + 1) * each])
    return count, height, width, stages

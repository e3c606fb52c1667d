"""The paper's generator: Algorithm 1's network trained by Algorithm 2, in exact integers from the first training step.

Training sees the very arithmetic that runs afterwards (straight-through gradients through the rounding), so there is
no separate quantisation that could turn a noncyclic process into a cyclic one.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from neuralcipher.coding.binary import check_version
from neuralcipher.errors import CheckFailedError, LimitError, PayloadDamagedError, ShapeError, UsageError
from neuralcipher.generators import checks
from neuralcipher.generators.base import Shape, check_shape, flatten_latents, register
from neuralcipher.generators.expand import check_seed, expand, words
from neuralcipher.generators.integer_ops import ROUNDER_FLOAT, SUM_LIMIT, exact_convolve

MIN_STATE_BYTES = 256
MAX_FILTERS = 64
MAX_CHANNELS = 256
MAX_ACTIVATIONS = 1 << 28

_VERSION = 1
_LAYOUT = struct.Struct("<BBB")
_TRIANGLE, _RELU = 0, 1

_WEIGHT_UNIT = 64
"""Weights are stored as integers in units of 1/64."""

_PERIOD = 1 << 15
"""Of the triangle wave, in units of 1/(64 * 128): 4.0, so that its slope is 1 and it swings between -1 and 1."""

_QUARTER = _PERIOD // 4
_BIAS_LIMIT = _PERIOD // 2

_GAIN = 3.0
"""Of the initial weights with the triangle wave: the sums' spread is then 0.4 of a period, and the walk is chaotic."""

_RELU_GAIN = 2**0.5


@dataclass(frozen=True, slots=True)
class AutoencoderConfig:
    """Algorithm 2 and what it needs to work.

    nconv: filters of every layer. length: N, the steps from z0 to its target. steps: training steps.
    window: how many of the last steps gradients flow through. remedies: triangle-wave activations with a larger
    gain, gradients cut to the window and clipped at every step, and a hinge on the
    distances in it; without them it is the plain recipe,
    ReLU and a (piecewise linear) sigmoid, which collapses. train_on_key: start training from the secret z0, as the
    paper has it; by default training starts from a public random latent, since g is public and may reveal what it
    was trained on.
    """

    nconv: int = 8
    length: int = 64
    steps: int = 60
    window: int = 8
    learning_rate: float = 1e-3
    remedies: bool = True
    train_on_key: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.nconv <= MAX_FILTERS:
            raise UsageError(f"the autoencoder generator takes 1 to {MAX_FILTERS} filters, not {self.nconv}")
        if not 2 <= self.length <= 10_000 or not 0 <= self.steps <= 1_000_000 or self.window < 2:
            raise UsageError("the autoencoder generator needs length 2..10000, steps 0..1000000 and window >= 2")


@dataclass(frozen=True, slots=True)
class _Layer:
    """inputs, outputs: channels. stride: 1 or 2. upsample: whether its input is doubled in size first."""

    inputs: int
    outputs: int
    stride: int = 1
    upsample: bool = False

    @property
    def weight_limit(self) -> int:
        """Largest |weight| that keeps 9 * inputs * 128 * |weight| + |bias| below 2**22."""
        return min(127, (SUM_LIMIT - _BIAS_LIMIT - 1) // (9 * 128 * self.inputs))


def _layers(channels: int, nconv: int) -> list[_Layer]:
    """Algorithm 1; its transposed convolutions have stride 1 and are convolutions with flipped kernels."""
    return [
        _Layer(channels, nconv, stride=2),
        _Layer(nconv, nconv, stride=2),
        _Layer(nconv, nconv),
        _Layer(nconv, nconv, upsample=True),
        _Layer(nconv, nconv),
        _Layer(nconv, nconv, upsample=True),
        _Layer(nconv, channels),
    ]


@register("autoencoder")
class AutoencoderGenerator:
    """g: seven 3x3 convolutions of Algorithm 1 over integers, with circular edges and a triangle-wave activation.

    Not a permutation of the state: it passes the noncyclic check, not necessarily uniformity or avalanche.
    Source: Neural Video Encoding, Algorithms 1 and 2, eq. 5.
    """

    name: ClassVar[str] = "autoencoder"

    def __init__(self, shape: Shape, weights: list[Tensor], biases: list[Tensor], *, relu: bool = False) -> None:
        """weights: seven (out, in, 3, 3) int8, biases: seven (out,) int16, of the layers of Algorithm 1.

        relu: the plain recipe's activation. Use `create`, `train` or `from_bytes`.
        """
        self.shape = _check_shape(shape)
        self.nconv = weights[0].shape[0]
        activations = max(self.nconv, shape[0]) * shape[1] * shape[2]
        if activations > MAX_ACTIVATIONS:
            raise LimitError(
                f"layers of {activations} numbers are above the limit of {MAX_ACTIVATIONS}",
                hint="use fewer filters, or smaller pictures",
            )
        self.relu = relu
        self._layers = _layers(shape[0], self.nconv)
        self._weights = [w.float().contiguous(memory_format=torch.channels_last) for w in weights]
        self._rounders = [b.float() + ROUNDER_FLOAT for b in biases]

    @classmethod
    def create(
        cls,
        shape: Shape,
        *,
        seed: bytes,
        z0: Tensor,
        progress: Callable[[float], None],
        config: AutoencoderConfig | None = None,
    ) -> AutoencoderGenerator:
        """Train by Algorithm 2 and check the result over 1,000 steps.

        z0 is looked at only with `config.train_on_key`. Raises ShapeError unless H and W are multiples of 4,
        CheckFailedError if the trained process is cyclic or nearly so.
        """
        config = config if config is not None else AutoencoderConfig()
        generator = cls.train(shape, seed=seed, z0=z0, progress=lambda done: progress(0.9 * done), config=config)
        start = z0 if config.train_on_key else _public_latent(shape, seed, "start")
        report = checks.noncyclic(generator, start)
        if not report.ok:
            raise CheckFailedError(
                f"the trained generator collapsed: its nearest latents are {report.min_distance:.4f} apart, "
                f"below {report.threshold:.4f}",
                hint="try another seed, or train with the remedies on" if config.remedies else "turn the remedies on",
            )
        progress(1.0)
        return generator

    @classmethod
    def train(
        cls,
        shape: Shape,
        *,
        seed: bytes,
        z0: Tensor,
        progress: Callable[[float], None],
        config: AutoencoderConfig,
    ) -> AutoencoderGenerator:
        """Algorithm 2 without the check at its end, for research; arguments and errors as for `create`."""
        shape, seed = _check_shape(shape), check_seed(seed)
        start = flatten_latents(z0, shape).view(1, *shape)
        if not config.train_on_key:
            start = _public_latent(shape, seed, "start")[None]
        target = _public_latent(shape, seed, "target")[None]
        network = _Trainable(shape[0], seed, config)
        with torch.autocast("cpu", enabled=False), torch.enable_grad():
            _fit(network, start.cpu().float() - 128, target.float() - 128, config, progress)
        return cls(shape, *network.integers(), relu=not config.remedies)

    @classmethod
    def from_bytes(cls, data: bytes, shape: Shape) -> AutoencoderGenerator:
        """Read what `to_bytes` wrote. Raises UnsupportedError for another version, PayloadDamagedError on anything
        else, ShapeError for a wrong shape."""
        shape = _check_shape(shape)
        damaged = PayloadDamagedError("the autoencoder generator section is damaged")
        if len(data) < _LAYOUT.size:
            raise damaged
        version, activation, nconv = _LAYOUT.unpack_from(data)
        check_version(version, _VERSION, "autoencoder generator section")
        if activation not in (_TRIANGLE, _RELU) or not 1 <= nconv <= MAX_FILTERS:
            raise damaged
        layers = _layers(shape[0], nconv)
        if len(data) != _LAYOUT.size + sum(9 * layer.inputs * layer.outputs + 2 * layer.outputs for layer in layers):
            raise damaged
        weights, biases, offset = [], [], _LAYOUT.size
        for layer in layers:
            count = 9 * layer.inputs * layer.outputs
            weight = np.frombuffer(data, "i1", count, offset).astype(np.int16)
            bias = np.frombuffer(data, "<i2", layer.outputs, offset + count).astype(np.int32)
            if abs(weight).max() > layer.weight_limit or abs(bias).max() > _BIAS_LIMIT:
                raise damaged
            weights.append(torch.from_numpy(weight).to(torch.int8).view(layer.outputs, layer.inputs, 3, 3))
            biases.append(torch.from_numpy(bias).to(torch.int16))
            offset += count + 2 * layer.outputs
        return cls(shape, weights, biases, relu=activation == _RELU)

    def to_bytes(self) -> bytes:
        """Version, activation, nconv; then per layer the weights as int8 and the biases as little-endian int16."""
        parts = [_LAYOUT.pack(_VERSION, _RELU if self.relu else _TRIANGLE, self.nconv)]
        for weight, rounder in zip(self._weights, self._rounders, strict=True):
            parts.append(weight.cpu().contiguous().numpy().astype("i1").tobytes())
            parts.append((rounder - ROUNDER_FLOAT).cpu().numpy().astype("<i2").tobytes())
        return b"".join(parts)

    @torch.no_grad()
    def next_latent(self, z: Tensor) -> Tensor:
        """Advance by one step. z: (..., C, H, W) uint8; bit-identical on every device.

        Raises ShapeError if z does not fit.
        """
        x = flatten_latents(z, self.shape).view(-1, *self.shape).float().sub_(128)
        with torch.autocast(z.device.type, enabled=False):
            for index, layer in enumerate(self._layers):
                x = _surround(x, layer)
                v = exact_convolve(x, self._weights[index], self._rounders[index], stride=layer.stride)
                last = index == len(self._layers) - 1
                if self.relu:
                    # The convolution's offset is a multiple of 64, so that it can be taken off after the shift.
                    v = (v >> (5 if last else 6)) - (_ROUNDER_BITS >> (5 if last else 6))
                    v = v.add_(128).clamp_(0, 255) if last else v.clamp_(0, 127)
                else:
                    v = (v + _QUARTER) & (_PERIOD - 1)
                    v = (v ^ ((v >> 14) * (_PERIOD - 1))) >> 6
                    v = v if last else v.sub_(128)
                x = v.to(torch.uint8) if last else v.float()
        return x.contiguous().view(z.shape)

    def differentiable(self, z: Tensor) -> Tensor:
        """`next_latent` with straight-through gradients. z: (B, C, H, W) float64, whole numbers in 0..255."""
        biases = [rounder - ROUNDER_FLOAT for rounder in self._rounders]
        with torch.autocast(z.device.type, enabled=False):
            x = _step_through(z.float() - 128, self._layers, list(zip(self._weights, biases, strict=True)), self.relu)
        return x.double() + 128

    def to(self, device: torch.device) -> AutoencoderGenerator:
        """Move the weights to `device`; returns self."""
        self._weights = [weight.to(device) for weight in self._weights]
        self._rounders = [rounder.to(device) for rounder in self._rounders]
        return self

    def __repr__(self) -> str:
        return f"AutoencoderGenerator(shape={self.shape}, nconv={self.nconv}, relu={self.relu})"


_ROUNDER_BITS = 0x4B400000


class _Trainable(torch.nn.Module):
    """The same arithmetic with gradients. Latents are float tensors of integers in -128..127."""

    def __init__(self, channels: int, seed: bytes, config: AutoencoderConfig) -> None:
        super().__init__()
        self.layers = _layers(channels, config.nconv)
        self.relu = not config.remedies
        gain = _RELU_GAIN if self.relu else _GAIN
        self.weights, self.biases = torch.nn.ParameterList(), torch.nn.ParameterList()
        for index, layer in enumerate(self.layers):
            size = (layer.outputs, layer.inputs, 3, 3)
            bound = gain * (3 / (9 * layer.inputs)) ** 0.5
            self.weights.append(torch.nn.Parameter(bound * _uniform(seed, f"weight {index}", size)))
            self.biases.append(torch.nn.Parameter(0.25 * _uniform(seed, f"bias {index}", (layer.outputs,))))

    def quantised(self) -> list[tuple[Tensor, Tensor]]:
        """Weights and biases rounded to their integers, with straight-through gradients."""
        return [
            (
                _through(torch.round, (w * _WEIGHT_UNIT).clamp(-layer.weight_limit, layer.weight_limit)),
                _through(torch.round, (b * _QUARTER).clamp(-_BIAS_LIMIT, _BIAS_LIMIT)),
            )
            for w, b, layer in zip(self.weights, self.biases, self.layers, strict=True)
        ]

    def integers(self) -> tuple[list[Tensor], list[Tensor]]:
        """What the finished generator stores: int8 weights and int16 biases."""
        pairs = [(w.detach().to(torch.int8), b.detach().to(torch.int16)) for w, b in self.quantised()]
        return [w for w, _ in pairs], [b for _, b in pairs]

    def step(self, x: Tensor, parameters: list[tuple[Tensor, Tensor]]) -> Tensor:
        """g, on integers in -128..127 carried as float."""
        return _step_through(x, self.layers, parameters, self.relu)


def _step_through(x: Tensor, layers: list[_Layer], parameters: list[tuple[Tensor, Tensor]], relu: bool) -> Tensor:
    """g on integers in -128..127 carried as float, with straight-through gradients through its rounding."""
    for index, (layer, (weight, bias)) in enumerate(zip(layers, parameters, strict=True)):
        sums = F.conv2d(_surround(x, layer), weight, bias, stride=layer.stride)
        if not relu:
            phase = torch.remainder(sums + _QUARTER, _PERIOD)
            folded = torch.where(phase < _PERIOD // 2, phase, _PERIOD - 1 - phase)
            x = _through(torch.floor, folded / 64) - 128
        elif index < len(layers) - 1:
            x = _through(torch.floor, sums / 64).clamp(0, 127)
        else:
            x = _through(torch.floor, sums / 32).clamp(-128, 127)
    return x


def _fit(
    network: _Trainable,
    start: Tensor,
    target: Tensor,
    config: AutoencoderConfig,
    progress: Callable[[float], None],
) -> None:
    """Minimise |g^N(z0) - z0'|^2, with a hinge on the distances in the window if the remedies are on."""
    optimiser = torch.optim.Adam(network.parameters(), config.learning_rate)
    free = max(0, config.length - config.window) if config.remedies else 0
    for index in range(config.steps):
        parameters = network.quantised()
        x = start
        with torch.no_grad():
            for _ in range(free):
                x = network.step(x, parameters)
        visited = []
        for _ in range(config.length - free):
            x = network.step(x, parameters)
            if config.remedies:
                x.register_hook(_clip)  # type: ignore[no-untyped-call]
            visited.append(x)
        loss = ((x - target) / 256).square().mean()
        if config.remedies:
            rows = torch.cat(visited).flatten(1) / 256
            near = (rows[:, None] - rows[None]).square().mean(2)[~torch.eye(len(visited), dtype=torch.bool)]
            loss = loss + 6 * F.relu(checks.IDEAL_DISTANCE - near).mean()
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        progress((index + 1) / config.steps)


def _clip(gradient: Tensor) -> Tensor:
    """Scale a state's gradient to norm 1 at most: it grows with every step of a chaotic walk, soon past any float."""
    clipped: Tensor = gradient / gradient.norm().clamp(min=1.0)
    return clipped


def _surround(x: Tensor, layer: _Layer) -> Tensor:
    """Double the size where Algorithm 1 upsamples, then add one circular row and column on every side."""
    if layer.upsample:
        x = F.interpolate(x, scale_factor=2, mode="nearest")
    return F.pad(x, (1, 1, 1, 1), mode="circular")


def _through(rounding: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Round forwards, pass gradients backwards as they are."""
    return x + (rounding(x) - x).detach()


def _uniform(seed: bytes, label: str, size: tuple[int, ...]) -> Tensor:
    """Uniform in [-1, 1) from the public seed."""
    drawn = words(seed, f"autoencoder {label}", int(np.prod(size))) >> np.uint64(40)
    return torch.from_numpy(drawn.astype(np.float64) / 2**23 - 1).float().view(size)


def _public_latent(shape: Shape, seed: bytes, label: str) -> Tensor:
    data = expand(check_seed(seed), f"autoencoder {label}", shape[0] * shape[1] * shape[2])
    return torch.frombuffer(bytearray(data), dtype=torch.uint8).view(shape)


def _check_shape(shape: Shape) -> Shape:
    channels, height, width = check_shape(shape, smallest=MIN_STATE_BYTES)
    if height % 4 or width % 4 or channels > MAX_CHANNELS:
        raise ShapeError(
            f"the autoencoder generator needs H and W in multiples of 4 and at most {MAX_CHANNELS} channels, "
            f"not {(channels, height, width)}"
        )
    return channels, height, width

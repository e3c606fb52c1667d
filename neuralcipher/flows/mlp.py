"""A multilayer perceptron from the time of a frame to its pixels."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neuralcipher.coding.binary import FieldReader
from neuralcipher.coding.weights import (
    load_parameters,
    parameters_from_bytes,
    parameters_to_bytes,
    read_weight_bits,
)
from neuralcipher.flows.base import FitContext, KeystreamFactory, Unkeyed, check_frames
from neuralcipher.flows.pictures import (
    NO_LATENT,
    VideoHead,
    mean_picture,
    to_bytes,
    to_unit,
    video_shape,
    with_colour,
    without_colour,
)
from neuralcipher.flows.training import (
    ADAM,
    LAMB,
    Apply,
    Phases,
    Trainer,
    check_range,
    check_weight_bits,
    count_weights,
)
from neuralcipher.generators.base import Keystream, Shape

_NAME = "mlp"
_NOUN = "section of the mlp flow"
_VERSION = 1
_MAX_HIDDEN = 4096
_MAX_LAYERS = 8
_MAX_ENCODING = 16
_RATE = 3e-3


@dataclass(frozen=True, slots=True)
class MlpConfig:
    """Options of the mlp flow.

    hidden: units per hidden layer. layers: hidden layers. encoding: frequencies of a positional encoding of t, 0 as
    the paper has it. batch: frames per training step. weight_bits: of the stored weights, 2..8, 16 or 32.
    optimiser: 0 Adam, 1 LARS, 2 LAMB. half: 1 trains in FP16. steps: train for so many steps instead of for
    a time.
    """

    hidden: int = 32
    layers: int = 2
    encoding: int = 0
    batch: int = 8
    weight_bits: int = 8
    optimiser: int = ADAM
    half: int = 0
    steps: int | None = None

    def __post_init__(self) -> None:
        limits = {
            "hidden": (1, _MAX_HIDDEN),
            "layers": (1, _MAX_LAYERS),
            "encoding": (0, _MAX_ENCODING),
            "batch": (1, 1 << 16),
            "optimiser": (ADAM, LAMB),
            "half": (0, 1),
            "steps": (0, 10**9),
        }
        check_range(_NAME, self, limits)
        check_weight_bits(_NAME, self.weight_bits)


@dataclass(frozen=True, slots=True)
class _Header:
    video: VideoHead
    hidden: int
    layers: int
    encoding: int
    weight_bits: int

    def to_bytes(self) -> bytes:
        fields = struct.pack("<HBBB", self.hidden, self.layers, self.encoding, self.weight_bits)
        return self.video.to_bytes(_VERSION) + fields

    def sizes(self) -> list[int]:
        """Numbers that go into each layer, and at last the pixels that come out."""
        return [1 + 2 * self.encoding, *[self.hidden] * self.layers, math.prod(self.video.picture)]

    def shapes(self) -> list[tuple[int, ...]]:
        sizes = self.sizes()
        pairs = pairwise(sizes)
        return [shape for before, after in pairs for shape in ((after, before), (after,))]


class MlpFlow(Unkeyed):
    """t -> frame_t. Source: Storing a Video in a Neural Network. No key takes part."""

    name = _NAME
    config_type = MlpConfig

    def __init__(self, config: MlpConfig | None = None) -> None:
        self._config = config or MlpConfig()

    def fit(self, frames: Tensor, make_keystream: KeystreamFactory, context: FitContext) -> bytes:
        """Train on frames (N, 3, H, W) uint8; see `Flow.fit`. Raises UsageError if the network would be too large."""
        check_frames(frames)
        config = self._config
        shown = without_colour(frames)
        count = len(shown)
        header = _Header(VideoHead.of(shown), config.hidden, config.layers, config.encoding, config.weight_bits)
        weights = count_weights(header.shapes())
        make_keystream(NO_LATENT)
        torch.manual_seed(context.seed)
        network = _network(header)
        mean = mean_picture(shown)
        with torch.no_grad():
            network[-1].bias.copy_(mean.flatten() - 0.5)  # type: ignore[operator]
        draw = torch.Generator().manual_seed(context.seed)

        def loss(apply: Apply, done: float) -> Tensor:
            index = torch.randperm(count, generator=draw)[: config.batch]
            truth = to_unit(shown[index].to(context.device)).flatten(1)
            return F.mse_loss(apply(_times(index, header).to(context.device)).float() + 0.5, truth)

        phases = Phases(context, config.steps, 1)
        trainer = Trainer(
            _NAME,
            network,
            config.weight_bits,
            context.device,
            phases.of(0, weights * config.weight_bits // 8),
            rate=_RATE,
            optimiser=config.optimiser,
            half=bool(config.half),
        )
        exponents = trainer.train(loss)
        return header.to_bytes() + parameters_to_bytes(network.parameters(), config.weight_bits, exponents)

    @classmethod
    def latent_shape(cls, section: bytes) -> Shape:
        """The smallest there is: no latent is looked at."""
        _parse(section)
        return NO_LATENT

    @classmethod
    def video_shape(cls, section: bytes) -> tuple[int, int, int]:
        """(N, H, W) of its frames; see `Flow.video_shape`."""
        return video_shape(section, _VERSION, _NOUN)

    @classmethod
    def parameters(cls, section: bytes) -> int:
        """Weights and biases; see `Flow.parameters`."""
        return sum(weight.numel() for weight in _parse(section)[1])

    @classmethod
    def render(
        cls, section: bytes, keystream: Keystream, device: torch.device, start: int = 0, stop: int | None = None
    ) -> Iterator[Tensor]:
        """Yield frames start..stop-1, (3, H, W) uint8; see `Flow.render`."""
        header, weights = _parse(section)
        network = _network(header)
        load_parameters(network, weights)
        network.to(device)
        for index in range(start, header.video.count if stop is None else min(stop, header.video.count)):
            with torch.no_grad():
                y = network(_times(torch.tensor([index]), header).to(device))
            yield with_colour(to_bytes(y[0] + 0.5).cpu().view(header.video.picture)).contiguous()


def _network(header: _Header) -> nn.Sequential:
    sizes = header.sizes()
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _times(index: Tensor, header: _Header) -> Tensor:
    """Frame numbers (B,) as the network sees them: t in -1..1, then sin and cos of pi t, 2 pi t, 4 pi t, ..."""
    t = (2 * index.double() / max(1, header.video.count - 1) - 1)[:, None]
    angles = math.pi * t * 2.0 ** torch.arange(header.encoding)
    return torch.cat([t, angles.sin(), angles.cos()], dim=1).float()


def _parse(section: bytes) -> tuple[_Header, list[Tensor]]:
    """Raises PayloadDamagedError or LimitError on anything that `fit` does not write."""
    reader = FieldReader(section, _NOUN)
    video = VideoHead.read(reader, _VERSION)
    hidden, layers = reader.u16(1, _MAX_HIDDEN), reader.u8(1, _MAX_LAYERS)
    header = _Header(video, hidden, layers, reader.u8(0, _MAX_ENCODING), read_weight_bits(reader))
    weights = parameters_from_bytes(reader, header.shapes(), header.weight_bits)
    reader.finish()
    return header, weights

"""The recurrent flow: fit and render."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neuralcipher.coding.weights import parameters_to_bytes
from neuralcipher.flows.algorithm1 import check_activations
from neuralcipher.flows.base import FitContext, KeystreamFactory, Unkeyed, check_frames
from neuralcipher.flows.device import place
from neuralcipher.flows.pictures import (
    NO_LATENT,
    VideoHead,
    padded,
    shrunk,
    to_bytes,
    to_unit,
    video_shape,
    with_colour,
    without_colour,
)
from neuralcipher.flows.recurrent.config import NAME, RecurrentConfig
from neuralcipher.flows.recurrent.curriculum import Curriculum
from neuralcipher.flows.recurrent.recall import KeyFrames, recall
from neuralcipher.flows.recurrent.section import (
    NOUN,
    VERSION,
    Header,
    RecurrentSection,
    base_network,
    network_shapes,
    pack,
    stage_network,
)
from neuralcipher.flows.training import Apply, Phases, Trainer
from neuralcipher.generators.base import Keystream, Shape


class RecurrentFlow(Unkeyed):
    """y_{i+1} = f(y_i) from stored first frames, then y*_i = f*(y_i). Source: Neural Video Encoding, eq. 2 and 3.

    No key takes part: what hides the video is the suite `sealed`.
    """

    name = NAME
    config_type = RecurrentConfig

    def __init__(self, config: RecurrentConfig | None = None) -> None:
        self._config = config or RecurrentConfig()

    def fit(self, frames: Tensor, make_keystream: KeystreamFactory, context: FitContext) -> bytes:
        """Train on frames (N, 3, H, W) uint8; see `Flow.fit`. Raises UsageError if they are too few for the options."""
        check_frames(frames)
        config = self._config
        config.check_length(len(frames))
        make_keystream(NO_LATENT)
        shown = without_colour(frames)
        full = padded(shown, 4 * config.upscale)
        base = shrunk(full, config.upscale)
        header = Header(
            VideoHead.of(shown),
            config.dilation,
            config.nconv,
            config.upscale,
            config.stages,
            config.stage_nconv or config.nconv,
            config.residual,
            config.weight_bits,
        )
        check_activations(header.activations)
        torch.manual_seed(context.seed)
        fit = _Fit(config, header, context)
        weights: list[bytes] = []
        network = None
        if header.advances:
            network = base_network(header)
            weights.append(fit.train(network, Curriculum(base, config, context.seed, context.device).loss))
        visible = -(-header.video.height // config.upscale), -(-header.video.width // config.upscale)
        key_frames = KeyFrames(network, base, visible, config.dilation, context.device)
        chosen = [0]
        if config.keyframe_threshold:
            chosen = key_frames.above(config.keyframe_threshold)
        elif config.keyframe_bytes:
            chosen = key_frames.within(config.keyframe_bytes)
        if header.repairs:
            weights += fit.train_stages(*key_frames.shown(chosen), full)
        return pack(header, {number: key_frames.bytes_at(number) for number in chosen}, weights)

    @classmethod
    def latent_shape(cls, section: bytes) -> Shape:
        """The smallest there is: no latent is looked at."""
        RecurrentSection.parse(section)
        return NO_LATENT

    @classmethod
    def video_shape(cls, section: bytes) -> tuple[int, int, int]:
        """(N, H, W) of its frames; see `Flow.video_shape`."""
        return video_shape(section, VERSION, NOUN)

    @classmethod
    def parameters(cls, section: bytes) -> int:
        """Weights and biases; see `Flow.parameters`."""
        return sum(p.numel() for network in RecurrentSection.parse(section).networks() for p in network.parameters())

    @classmethod
    def render(
        cls, section: bytes, keystream: Keystream, device: torch.device, start: int = 0, stop: int | None = None
    ) -> Iterator[Tensor]:
        """Yield frames start..stop-1, (3, H, W) uint8, recalled from the last true frame before them."""
        parsed = RecurrentSection.parse(section)
        header, anchors = parsed.header, parsed.anchors
        networks = parsed.networks()
        for network in networks:
            place(network, device)
        advance, stages = (networks[0], networks[1:]) if header.advances else (None, networks)
        stop = header.video.count if stop is None else min(stop, header.video.count)
        if start >= stop:
            return

        def inject(number: int, shown: Tensor | None) -> Tensor | None:
            return torch.stack([p.decode() for p in anchors[number]]) if number in anchors else None

        first = max(number for number in anchors if number <= start)
        frames = recall(advance, inject, header.dilation, device, first, stop)
        for number, (frame, is_true) in enumerate(frames, first):
            if number < start:
                continue
            as_it_is = is_true and header.upscale == 1
            shown = frame if as_it_is else _repaired(frame, stages, header.upscale, device)
            yield with_colour(shown[:, : header.video.height, : header.video.width]).contiguous()


class _Fit:
    """Trains the networks of one section one after the other, each in its share of the budget."""

    def __init__(self, config: RecurrentConfig, header: Header, context: FitContext) -> None:
        self._config, self._header, self._context = config, header, context
        self._phases = Phases(context, config.steps, header.advances + header.repairs)
        self._phase = 0
        weights = sum(math.prod(shape) for shapes in network_shapes(header) for shape in shapes)
        self._size_bytes = weights * config.weight_bits // 8

    def train(self, network: nn.Module, loss: Callable[[Apply, float], Tensor]) -> bytes:
        """Train one network and return its weights as they are stored."""
        place(network, self._context.device)
        trainer = Trainer(
            NAME,
            network,
            self._config.weight_bits,
            self._context.device,
            self._phases.of(self._phase, self._size_bytes),
            optimiser=self._config.optimiser,
            half=bool(self._config.half),
        )
        exponents = trainer.train(loss)
        self._phase += 1
        return parameters_to_bytes(network.parameters(), self._config.weight_bits, exponents)

    def train_stages(self, recalled: Tensor, true: Tensor, truth: Tensor) -> list[bytes]:
        """Train the networks that repair, each on what the one before makes of the recalled frames.

        recalled: (N, C, h, w) uint8. true: (N,) which of them are true. truth: (N, C, H, W) uint8.
        """
        header, device = self._header, self._context.device
        repaired = header.upscale > 1 or bool(true.all())
        shown = torch.arange(header.video.count)[torch.ones_like(true) if repaired else ~true]
        inputs = torch.cat([_enlarged(frame[None], header.upscale) for frame in recalled])
        weights = []
        for number in range(header.repairs):
            draw = torch.Generator().manual_seed(self._context.seed + number + 1)
            stage = stage_network(header)

            def loss(network: Apply, done: float, draw: torch.Generator = draw, inputs: Tensor = inputs) -> Tensor:
                index = shown[torch.randint(len(shown), (1,), generator=draw)]
                y = network(to_unit(inputs[index].to(device))).float()
                return F.mse_loss(y, to_unit(truth[index].to(device)))

            weights.append(self.train(stage, loss))
            if number + 1 < header.repairs:
                inputs = torch.cat([_repaired(frame, [stage], 1, device)[None] for frame in inputs])
        return weights


def _enlarged(frames: Tensor, factor: int) -> Tensor:
    """(B, C, h, w) uint8 to (B, C, factor h, factor w) uint8."""
    if factor == 1:
        return frames
    return to_bytes(F.interpolate(to_unit(frames), scale_factor=factor, mode="bilinear"))


def _repaired(frame: Tensor, stages: Sequence[nn.Module], upscale: int, device: torch.device) -> Tensor:
    """One recalled frame (C, h, w) uint8 through f*, (C, H, W) uint8."""
    x = _enlarged(frame[None], upscale)
    with torch.no_grad():
        for stage in stages:
            x = to_bytes(stage(to_unit(x.to(device)))).cpu()
    return x[0]

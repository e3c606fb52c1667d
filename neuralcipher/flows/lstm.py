"""A long short-term memory from past frames to the next."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass

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
    StoredPicture,
    VideoHead,
    mean_picture,
    picture_to_bytes,
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

_NAME = "lstm"
_NOUN = "section of the lstm flow"
_VERSION = 1
_MAX_HIDDEN = 1024
_MAX_PAST = 16
_GATES = 4


@dataclass(frozen=True, slots=True)
class LstmConfig:
    """Options of the lstm flow.

    hidden: units of the cell. past: frames that it sees at each step (fewer if the video is that short); as many are
    stored to begin with. window:
    steps between which gradients flow. weight_bits: of the stored weights, 2..8, 16 or 32. optimiser: 0 Adam,
    1 LARS, 2 LAMB. half: 1 trains in FP16. steps: train for so many steps instead of for a time.
    """

    hidden: int = 16
    past: int = 2
    window: int = 8
    weight_bits: int = 8
    optimiser: int = ADAM
    half: int = 0
    steps: int | None = None

    def __post_init__(self) -> None:
        limits = {
            "hidden": (1, _MAX_HIDDEN),
            "past": (1, _MAX_PAST),
            "window": (1, 256),
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
    past: int
    weight_bits: int

    def to_bytes(self) -> bytes:
        return self.video.to_bytes(_VERSION) + struct.pack("<HBB", self.hidden, self.past, self.weight_bits)

    def shapes(self) -> list[tuple[int, ...]]:
        """Of the weights; none if every frame is stored."""
        pixels, gates = math.prod(self.video.picture), _GATES * self.hidden
        if self.video.count <= self.past:
            return []
        return [
            (gates, self.past * pixels),
            (gates, self.hidden),
            (gates,),
            (gates,),
            (pixels, self.hidden),
            (pixels,),
        ]


class _Memory(nn.Module):
    """One step: the past frames (B, P D) and the state go in, the next frame (B, D) and the state come out."""

    def __init__(self, header: _Header) -> None:
        super().__init__()
        pixels = math.prod(header.video.picture)
        inputs = header.past * pixels
        self.cell = nn.LSTMCell(inputs, header.hidden)
        self.out = nn.Linear(header.hidden, pixels)
        nn.init.normal_(self.cell.weight_ih, std=1 / math.sqrt(inputs))

    def forward(self, past: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h, c = self.cell(past - 0.5, (h, c))
        return self.out(h) + 0.5, h, c


class LstmFlow(Unkeyed):
    """frame_{t-P} .. frame_{t-1} -> frame_t, where the past is what was recalled, not the truth.

    Source: Storing a Video in a Neural Network; Hochreiter and Schmidhuber, 1997. No key takes part.
    """

    name = _NAME
    config_type = LstmConfig

    def __init__(self, config: LstmConfig | None = None) -> None:
        self._config = config or LstmConfig()

    def fit(self, frames: Tensor, make_keystream: KeystreamFactory, context: FitContext) -> bytes:
        """Train on frames (N, 3, H, W) uint8; see `Flow.fit`. Raises UsageError if the network would be too large."""
        check_frames(frames)
        config = self._config
        shown = without_colour(frames)
        past = min(config.past, max(1, len(shown) - 1))
        header = _Header(VideoHead.of(shown), config.hidden, past, config.weight_bits)
        weights = count_weights(header.shapes())
        make_keystream(NO_LATENT)
        head = header.to_bytes()
        first = b"".join(picture_to_bytes(frame) for frame in shown[:past])
        if not header.shapes():
            return head + first
        torch.manual_seed(context.seed)
        network = _Memory(header)
        mean = mean_picture(shown)
        with torch.no_grad():
            network.out.bias.copy_(mean.flatten() - 0.5)
        phases = Phases(context, config.steps, 1)
        trainer = Trainer(
            _NAME,
            network,
            config.weight_bits,
            context.device,
            phases.of(0, weights * config.weight_bits // 8 + len(first)),
            optimiser=config.optimiser,
            half=bool(config.half),
        )
        exponents = trainer.train(_Unrolled(shown, header, config.window, context.device).loss)
        return head + first + parameters_to_bytes(network.parameters(), config.weight_bits, exponents)

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
        return sum(weight.numel() for weight in _parse(section)[2])

    @classmethod
    def render(
        cls, section: bytes, keystream: Keystream, device: torch.device, start: int = 0, stop: int | None = None
    ) -> Iterator[Tensor]:
        """Yield frames start..stop-1, (3, H, W) uint8; all before them are recalled too."""
        header, first, weights = _parse(section)
        stop = header.video.count if stop is None else min(stop, header.video.count)
        if start >= stop:
            return
        stored = [picture.decode() for picture in first]
        for frame in stored[start:stop]:
            yield with_colour(frame).contiguous()
        if stop <= header.past:
            return
        network = _Memory(header)
        load_parameters(network, weights)
        network.to(device)
        past = to_unit(torch.stack(stored).to(device)).flatten()[None]
        h = c = torch.zeros(1, header.hidden, device=device)
        for index in range(header.past, stop):
            with torch.no_grad():
                y, h, c = network(past, h, c)
            y = y.nan_to_num(0.0).clamp(0, 1)
            past = torch.cat([past[:, y.shape[1] :], y], dim=1)
            if index >= start:
                yield with_colour(to_bytes(y[0]).cpu().view(header.video.picture)).contiguous()


class _Unrolled:
    """Recalls the whole video from its first frames, a window a step, again and again; no teacher forcing."""

    def __init__(self, frames: Tensor, header: _Header, window: int, device: torch.device) -> None:
        self._frames, self._header, self._window, self._device = frames, header, window, device
        self._next = 0
        self._state: tuple[Tensor, Tensor, Tensor] | None = None

    def loss(self, network: Apply, done: float) -> Tensor:
        """Mean squared error of one window of the recall."""
        if self._state is None:
            self._next = self._header.past
            past = to_unit(self._frames[: self._next].to(self._device)).flatten()[None]
            zero = past.new_zeros(1, self._header.hidden)
            self._state = past, zero, zero
        past, h, c = self._state
        errors = []
        for index in range(self._next, min(self._next + self._window, len(self._frames))):
            y, h, c = network(past, h, c)
            y = y.float()
            errors.append(F.mse_loss(y, to_unit(self._frames[index].to(self._device)).flatten()[None]))
            past = torch.cat([past[:, y.shape[1] :], y.clamp(0, 1)], dim=1)
        self._next += len(errors)
        loss = torch.stack(errors).mean()
        ended = self._next == len(self._frames) or not math.isfinite(float(loss.detach()))
        self._state = None if ended else (past.detach(), h.detach(), c.detach())
        return loss


def _parse(section: bytes) -> tuple[_Header, list[StoredPicture], list[Tensor]]:
    """Raises PayloadDamagedError or LimitError on anything that `fit` does not write."""
    reader = FieldReader(section, _NOUN)
    video = VideoHead.read(reader, _VERSION)
    hidden, past = reader.u16(1, _MAX_HIDDEN), reader.u8(1, _MAX_PAST)
    header = _Header(video, hidden, past, read_weight_bits(reader))
    first = [StoredPicture(reader, header.video.picture) for _ in range(min(past, video.count))]
    weights = parameters_from_bytes(reader, header.shapes(), header.weight_bits) if header.shapes() else []
    reader.finish()
    return header, first, weights

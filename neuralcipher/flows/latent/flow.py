"""The default flow: entropy-coded latents masked with the keystream, then a small synthesis network."""

from __future__ import annotations

import math
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from neuralcipher.coding.weights import load_parameters
from neuralcipher.errors import ShapeError, UsageError
from neuralcipher.flows.base import FitContext, FitProgress, KeystreamFactory
from neuralcipher.flows.device import place
from neuralcipher.flows.latent import section as stored
from neuralcipher.flows.latent.coder import LatentCoder
from neuralcipher.flows.latent.refine import RefineNetwork, mean_squared_error, neighbours, train_refine
from neuralcipher.flows.latent.transform import COLOUR_BYTES, Colour, analyse, grid_size, synthesise, to_numpy, unfold
from neuralcipher.generators.base import Keystream, Shape

_RATE_WEIGHT = 0.13
_STEPS_PER_OCTAVE = 16
_STEP_AT_ZERO = 2.0
_PREFIX_BYTES = COLOUR_BYTES + 1
_COLOUR_SAMPLE = 1 << 18


@dataclass(frozen=True, slots=True)
class LatentConfig:
    """Options of the latent flow.

    quality: 0..100; 16 more halve the quantisation step. hidden: channels of the refining network, 0 for none.
    weight_bits: 2..8, of its weights. steps: train for so many steps instead of for a time, so that two runs with
    one seed give the same bytes on one machine.
    """

    quality: int = 60
    hidden: int = 16
    weight_bits: int = 6
    steps: int | None = None

    def __post_init__(self) -> None:
        _within("quality", self.quality, 0, 100)
        _within("hidden", self.hidden, 0, stored.MAX_HIDDEN)
        _within("weight_bits", self.weight_bits, 2, 8)
        if self.steps is not None:
            _within("steps", self.steps, 0, 10**9)


def _within(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise UsageError(f"{name} of the latent flow must lie within {low}..{high}, not {value}")


class LatentFlow:
    """f_1 is a keyed bijection (latents XOR keystream), the rest synthesises frames.

    A wrong key decodes to latents drawn from the model's prior: another picture, not an error.
    """

    name = "latent"
    keyed = True
    config_type = LatentConfig

    def __init__(self, config: LatentConfig | None = None) -> None:
        self._config = config or LatentConfig()

    def fit(self, frames: Tensor, make_keystream: KeystreamFactory, context: FitContext) -> bytes:
        """Code and train on frames (N, 3, H, W) uint8; see `Flow.fit`."""
        if frames.dtype != torch.uint8 or frames.dim() != 4 or frames.shape[1] != 3 or not len(frames):
            raise ShapeError("frames must be uint8 of shape (N, 3, H, W) with N >= 1")
        started = time.monotonic()
        config = self._config
        colour = Colour.fit(_sample_pixels(frames))
        exponent = config.quality
        coded = _code_frames(frames, colour, exponent, context)
        prefix = colour.to_bytes() + struct.pack("<B", exponent)
        messages = (prefix + coded.messages[0], *coded.messages[1:])
        network: RefineNetwork | None = None
        exponents: list[int] = []
        if config.hidden:
            network, exponents = self._train(frames, coded, sum(map(len, messages)), started, context)
        keystream = make_keystream(stored.mask_shape(max(map(len, messages))))
        return stored.LatentSection(
            height=frames.shape[2],
            width=frames.shape[3],
            hidden=config.hidden if network else 0,
            weights=tuple(network.parameters()) if network else (),
            messages=stored.mask(messages, keystream),
        ).to_bytes(exponents)

    def _train(
        self, frames: Tensor, coded: _CodedFrames, message_bytes: int, started: float, context: FitContext
    ) -> tuple[RefineNetwork | None, list[int]]:
        """Train the refining network; None if it does not help (or diverged)."""
        config = self._config
        torch.manual_seed(context.seed)
        network = RefineNetwork(config.hidden)
        size_bytes = message_bytes + sum(p.numel() for p in network.parameters()) * config.weight_bits // 8

        def fraction(step: int) -> float:
            if config.steps is not None:
                return step / config.steps if config.steps else 1.0
            return (time.monotonic() - started) / context.budget_s if context.budget_s > 0 else 1.0

        def report(step: int, psnr_db: float) -> None:
            context.progress(FitProgress(step, min(1.0, fraction(step)), psnr_db, size_bytes))

        exponents = train_refine(
            network,
            coded.linear,
            frames,
            weight_bits=config.weight_bits,
            fraction=fraction,
            report=report,
            seed=context.seed,
            device=context.device,
        )
        before, after = _errors(network, coded.linear, frames, context.device)
        return (network.cpu(), exponents) if after < before else (None, [])

    @classmethod
    def latent_shape(cls, section: bytes) -> Shape:
        """(C, H, W) of z; see `Flow.latent_shape`."""
        return stored.parse(section).latent_shape

    @classmethod
    def render(
        cls, section: bytes, keystream: Keystream, device: torch.device, start: int = 0, stop: int | None = None
    ) -> Iterator[Tensor]:
        """Yield frames start..stop-1, (3, H, W) uint8; see `Flow.render`."""
        parsed = stored.parse(section)
        count = len(parsed.messages)
        stop = count if stop is None else min(stop, count)
        network = _network(parsed, device)
        before: Tensor | None = None
        here: Tensor | None = None
        with torch.no_grad():
            for index, linear in _linear_frames(parsed, keystream, max(0, start - 1), min(count, stop + 1)):
                after = linear.to(device)
                if here is not None and index > start:
                    yield _shown(network, here if before is None else before, here, after, parsed)
                before, here = here, after
            if here is not None and start < stop == count:
                yield _shown(network, here if before is None else before, here, here, parsed)

    @classmethod
    def remask(cls, section: bytes, old: Keystream, new: Keystream) -> bytes:
        """Swap one mask for another; see `Flow.remask`."""
        messages = stored.mask(stored.parse(section).messages, old)
        return stored.replace_messages(section, stored.mask(messages, new))


@dataclass(frozen=True, slots=True)
class _CodedFrames:
    """messages: one a frame, not masked. linear: (N, 12, 4h, 4w) float16, folded frames before refining."""

    messages: list[bytes]
    linear: Tensor


def _step(exponent: int) -> float:
    """The quantisation step, in units of an orthonormal coefficient of pixels in [0, 1]."""
    return float(_STEP_AT_ZERO * 2.0 ** (-exponent / _STEPS_PER_OCTAVE))


def _sample_pixels(frames: Tensor) -> Tensor:
    """A regular sample of the video's pixels, (n, 3) in [0, 1]."""
    pixels = frames[:: max(1, len(frames) // 16)].permute(0, 2, 3, 1).reshape(-1, 3)
    return pixels[:: max(1, len(pixels) // _COLOUR_SAMPLE)].float() / 255


def _code_frames(frames: Tensor, colour: Colour, exponent: int, context: FitContext) -> _CodedFrames:
    rows, columns = grid_size(*frames.shape[2:])
    coder = LatentCoder(rows, columns)
    step = _step(exponent)
    messages, linear, size_bytes = [], [], 0
    for index, frame in enumerate(frames):
        coded = coder.encode(to_numpy(analyse(frame[None], colour)[0]) / np.float32(step), _RATE_WEIGHT)
        messages.append(coded.data)
        decoded = synthesise(torch.from_numpy(coded.latents).float()[None] * step, colour)
        linear.append(decoded.half())
        size_bytes += len(coded.data)
        psnr_db = -10 * math.log10(max(mean_squared_error(decoded, frame[None]).item(), 1e-10))
        context.progress(FitProgress(0, 0.0, psnr_db, size_bytes * len(frames) // (index + 1)))
    return _CodedFrames(messages, torch.cat(linear))


def _errors(network: RefineNetwork, linear: Tensor, frames: Tensor, device: torch.device) -> tuple[float, float]:
    """Mean squared error over all frames without and with the network."""
    before = after = 0.0
    with torch.no_grad():
        for i in range(len(frames)):
            inputs = [part.to(device).float() for part in neighbours(linear, torch.tensor([i]))]
            truth = frames[i : i + 1].to(device)
            before += mean_squared_error(inputs[1].clamp(0, 1), truth).item()
            after += mean_squared_error(network(*inputs).clamp(0, 1), truth).item()
    return before, after if math.isfinite(after) else math.inf


def _network(parsed: stored.LatentSection, device: torch.device) -> RefineNetwork | None:
    if not parsed.hidden:
        return None
    network = RefineNetwork(parsed.hidden)
    load_parameters(network, parsed.weights)
    place(network, device)
    return network


def _linear_frames(
    parsed: stored.LatentSection, keystream: Keystream, start: int, stop: int
) -> Iterator[tuple[int, Tensor]]:
    """(index, folded (1, 12, 4h, 4w)) of the frames start..stop-1; the latents before them are decoded all the same."""
    coder = LatentCoder(*grid_size(parsed.height, parsed.width))

    def unmasked(index: int) -> bytes:
        masked = parsed.messages[index]
        return stored.xor(masked, keystream.mask(index + 1, len(masked)))

    first = unmasked(0)
    prefix = first[:_PREFIX_BYTES].ljust(_PREFIX_BYTES, b"\0")
    colour, step = Colour.from_bytes(prefix[:COLOUR_BYTES]), _step(prefix[COLOUR_BYTES])

    for index in range(stop):
        latents = coder.decode(unmasked(index) if index else first[_PREFIX_BYTES:])
        if index >= start:
            yield index, synthesise(torch.from_numpy(latents.astype(np.float32))[None] * step, colour)


def _shown(
    network: RefineNetwork | None, before: Tensor, frame: Tensor, after: Tensor, parsed: stored.LatentSection
) -> Tensor:
    x = unfold(network(before, frame, after) if network else frame)
    x = x[0, :, : parsed.height, : parsed.width]
    return (x.clamp(0, 1) * 255).round().to(torch.uint8).cpu()

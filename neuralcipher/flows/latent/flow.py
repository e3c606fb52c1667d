"""The default flow: keyed, entropy-coded motion and residual latents, and a synthesis that repairs what it decodes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from neuralcipher.coding.bits import BitReader
from neuralcipher.coding.entropy import MessageDecoder
from neuralcipher.errors import ShapeError, UsageError
from neuralcipher.flows.base import FitContext, FitProgress, KeystreamFactory
from neuralcipher.flows.device import place
from neuralcipher.flows.latent import rate
from neuralcipher.flows.latent import section as stored
from neuralcipher.flows.latent.encoding import Attempt, SegmentEncoder
from neuralcipher.flows.latent.head import MAX_QUALITY, Head
from neuralcipher.flows.latent.history import FrameLatents, History, read_batch
from neuralcipher.flows.latent.model import EntropyModel
from neuralcipher.flows.latent.network import RepairNetwork
from neuralcipher.flows.latent.search import SQUARE
from neuralcipher.flows.latent.structure import Group, groups
from neuralcipher.flows.latent.synthesis import Synthesis
from neuralcipher.flows.latent.training import RepairInputs, fit_changes
from neuralcipher.flows.latent.transform import Colour
from neuralcipher.flows.latent.warp import BLOCK
from neuralcipher.generators.base import Keystream, Shape

_COLOUR_SAMPLE = 1 << 18
_REPAIRED_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class LatentConfig:
    """Options of the latent flow.

    quality: 0..100; 16 more halve the quantisation step. steps: train for so many steps instead of for a time, so
    that two runs with one seed give the same bytes on one machine.
    """

    quality: int = 60
    steps: int | None = None

    def __post_init__(self) -> None:
        _within("quality", self.quality, 0, MAX_QUALITY)
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
    rate_controlled = True
    config_type = LatentConfig

    def __init__(self, config: LatentConfig | None = None) -> None:
        self._config = config or LatentConfig()

    def fit(self, frames: Tensor, make_keystream: KeystreamFactory, context: FitContext) -> bytes:
        """Code and train on frames (N, 3, H, W) uint8; see `Flow.fit`."""
        if frames.dtype != torch.uint8 or frames.dim() != 4 or frames.shape[1] != 3 or not len(frames):
            raise ShapeError("frames must be uint8 of shape (N, 3, H, W) with N >= 1")
        clock = _Clock(context.budget_s, self._config.steps)
        height, width = frames.shape[2:]
        colour = Colour.fit(_sample_pixels(frames))
        truth = F.pad(colour.apply(frames), (0, -width % SQUARE, 0, -height % SQUARE), mode="replicate").contiguous()
        encoder = SegmentEncoder(truth, frames, context.device)

        def coding(done: int, error: float, size_bytes: int) -> None:
            size = size_bytes * len(frames) // done
            context.progress(FitProgress(0, min(0.99, clock.fraction(0)), rate.psnr_db(error), size))

        quality, attempt = rate.choose(
            lambda quality: encoder.encode(quality, coding), self._config.quality, context, (height, width), truth
        )
        inputs = rate.repair_inputs(attempt, truth, (height, width), quality)
        head = self._repaired(Head(colour, quality, False, None), inputs, attempt, clock, context)
        plain = stored.LatentSection(height, width, attempt.plan, (head.to_bytes(), *attempt.messages))
        return plain.masked(make_keystream(plain.latent_shape)).to_bytes()

    def _repaired(
        self, head: Head, inputs: RepairInputs, attempt: Attempt, clock: _Clock, context: FitContext
    ) -> Head:
        """The head with the network that pays."""

        def training(step: int, error: float) -> None:
            progress = min(1.0, clock.fraction(step))
            context.progress(FitProgress(step, progress, rate.psnr_db(error), attempt.size_bytes))

        repairs, changes = fit_changes(
            inputs,
            8 * attempt.size_bytes,
            fraction=clock.fraction,
            report=training,
            seed=context.seed,
            device=context.device,
        )
        return Head(head.colour, head.quality, repairs, changes)

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
        stop = parsed.frames if stop is None else min(stop, parsed.frames)
        head = Head.from_bytes(*parsed.unmask(0, keystream))
        shown = _Shown(head, parsed, device)
        plan = groups(parsed.plan)
        first = max((group.start for group in plan if group.is_key and group.start <= start), default=0)
        synthesis = Synthesis(head.quality, device)
        for group, latents in _decode(parsed, plan, keystream, head.quality):
            if group.start >= stop:
                return
            if group.start < first:  # its latents are needed, its pictures are not
                continue
            done: dict[int, tuple[Tensor, Tensor, int]] = {}
            for frame in latents:
                decoded, residual = synthesis.finish(frame, synthesis.predict(frame.frame, frame.motion))
                done[frame.frame.index] = decoded, residual, frame.frame.level
            synthesis.forget(_needed_after(group, plan))
            yield from shown.pictures([done[i] for i in range(max(start, group.start), min(stop, group.stop))])

    @classmethod
    def remask(cls, section: bytes, old: Keystream, new: Keystream) -> bytes:
        """Swap one mask for another; see `Flow.remask`."""
        return stored.parse(section).masked(old).masked(new).to_bytes()


class _Clock:
    """How much of the budget is used, 0..1: by time, or by training steps."""

    def __init__(self, budget_s: float, steps: int | None) -> None:
        self._started, self._budget_s, self._steps = time.monotonic(), budget_s, steps

    def fraction(self, step: int) -> float:
        if self._steps is not None:
            return step / self._steps if self._steps else 1.0
        return (time.monotonic() - self._started) / self._budget_s if self._budget_s > 0 else 1.0


def _sample_pixels(frames: Tensor) -> Tensor:
    """A regular sample of the video's pixels, (n, 3) in [0, 1]."""
    pixels = frames[:: max(1, len(frames) // 16)].permute(0, 2, 3, 1).reshape(-1, 3)
    return pixels[:: max(1, len(pixels) // _COLOUR_SAMPLE)].float() / 255


def _decode(
    parsed: stored.LatentSection, plan: Sequence[Group], keystream: Keystream, quality: int
) -> Iterator[tuple[Group, list[FrameLatents]]]:
    """The groups and their frames in coding order."""
    model = EntropyModel()
    blocks = [-(-side // SQUARE) * (SQUARE // BLOCK) for side in (parsed.height, parsed.width)]
    history = History(*blocks)
    for number, group in enumerate(plan):
        channel = BitReader(MessageDecoder(*parsed.unmask(number + 1, keystream)))
        found: list[FrameLatents] = []
        for batch in group.batches:
            found += read_batch(batch, history, model, channel, quality)
        history.forget(_needed_after(group, plan))
        yield group, found


def _needed_after(group: Group, plan: Sequence[Group]) -> set[int]:
    return {i for later in plan if later.start >= group.stop for i in later.references()}


class _Shown:
    """From decoded frames to pictures."""

    def __init__(self, head: Head, parsed: stored.LatentSection, device: torch.device) -> None:
        self._colour, self._quality = head.colour, head.quality
        self._size = parsed.height, parsed.width
        self._network: RepairNetwork | None = head.network()
        if self._network is not None:
            place(self._network, device)

    def pictures(self, frames: Sequence[tuple[Tensor, Tensor, int]]) -> Iterator[Tensor]:
        """(3, H, W) uint8 of (decoded, residual, level)."""
        height, width = self._size
        for i in range(0, len(frames), _REPAIRED_AT_ONCE):
            some = frames[i : i + _REPAIRED_AT_ONCE]
            shown = torch.stack([frame for frame, _, _ in some])
            if self._network is not None:
                residual = torch.stack([rest for _, rest, _ in some])
                level = torch.tensor([level for _, _, level in some], device=shown.device)
                with torch.no_grad():
                    shown = self._network(shown, residual, level, torch.full_like(level, self._quality))
            yield from self._colour.pictures(shown[..., :height, :width].nan_to_num()).cpu()



"""Fitting one segment: from frames and a seed to its generator and flow sections. It needs neither key nor bundle."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from neuralcipher.coding.binary import FieldReader
from neuralcipher.errors import CheckFailedError, UsageError
from neuralcipher.flows import base as flows
from neuralcipher.flows.device import resolve_device
from neuralcipher.flows.notes import Notes
from neuralcipher.generators import base as generators
from neuralcipher.generators.base import Keystream
from neuralcipher.generators.checks import noncyclic
from neuralcipher.keys import SegmentSeed
from neuralcipher.pipeline.options import SealOptions
from neuralcipher.pipeline.segments import Picture, start
from neuralcipher.process import give_back_memory
from neuralcipher.video.quality import QualityMeter, Totals

_CHECKED_STEPS = 1000
_TOTALS = struct.Struct("<IIIQ4d")


@dataclass(frozen=True, slots=True)
class SegmentTask:
    """What to fit. seed: of the start latent. public_seed: 32 bytes, of the generator. draws: seed of random draws.

    budget_s: seconds. target_bytes: of the flow's section, None for no aim.
    """

    number: int
    seed: SegmentSeed
    public_seed: bytes
    draws: int
    budget_s: float
    target_bytes: int | None

    def plain(self) -> tuple[Any, ...]:
        """For another process that fits it; `of` reads it. Secret: it holds the seed."""
        return (self.number, self.seed.reveal(), self.public_seed, self.draws, self.budget_s, self.target_bytes)

    @classmethod
    def of(cls, plain: tuple[Any, ...]) -> SegmentTask:
        """What `plain` returned, as a task again."""
        number, seed, *rest = plain
        return cls(number, SegmentSeed(seed), *rest)


@dataclass(frozen=True, slots=True)
class FittedSegment:
    """What came out, and how near an opener's frames are to the truth."""

    generator: bytes
    flow: bytes
    quality: Totals

    def to_bytes(self) -> bytes:
        """For a checkpoint; `from_bytes` reads it."""
        q = self.quality
        head = _TOTALS.pack(*q.shape[:2], q.frames, len(self.generator), q.psnr, q.mse, q.similarity, q.ssim)
        return head + self.generator + self.flow

    @classmethod
    def from_bytes(cls, data: bytes) -> FittedSegment:
        """Raises PayloadDamagedError or LimitError for anything else."""
        reader = FieldReader(data, "finished segment")
        height, width, frames, length, *sums = _TOTALS.unpack(reader.take(_TOTALS.size))
        generator = reader.take(length)
        return cls(generator, reader.take(reader.remaining), Totals((height, width, 3), frames, *sums))


@dataclass(frozen=True, slots=True)
class SegmentReport:
    """One report while a segment is worked on. stage: "generator", "fitting" or "checking"; fraction: 0..1 of it.

    fit: what the flow reports, while fitting.
    """

    stage: str
    fraction: float
    fit: flows.FitProgress | None = None


Report = Callable[[SegmentReport], None]


class SegmentFitter:
    """The chosen variants, set up once for all segments. Raises UsageError if they cannot be what is asked of them."""

    def __init__(self, options: SealOptions) -> None:
        self._options = options
        self.device = resolve_device(options.device)
        self._generator = generators.find(options.generator)
        self.flow_type = flows.find(options.flow)
        self._flow = self.flow_type(_flow_config(self.flow_type, options))
        if options.has_target and not self.flow_type.rate_controlled:
            raise UsageError(f"the flow {options.flow} cannot aim at a size or a PSNR", hint="the flow latent can")

    def fit(
        self, task: SegmentTask, frames: Tensor, notes: Notes, report: Report, tell: Callable[[str], None]
    ) -> FittedSegment:
        """Fit frames (N, 3, H, W) uint8 and measure them as an opener will see them.

        notes: what was kept of this fit, and where it is kept. report: may raise to stop. tell: called with sentences
        for the user. Raises CheckFailedError if the generator is cyclic or the fit diverges.
        """
        made: list[Keystream] = []

        def make_keystream(shape: generators.Shape) -> Keystream:
            made.append(self._keystream(task, shape, len(frames), report))
            return made[-1]

        context = flows.FitContext(
            task.budget_s,
            task.draws,
            self.device,
            lambda fit: report(SegmentReport("fitting", fit.fraction, fit)),
            target_bytes=task.target_bytes,
            target_psnr_db=self._options.target_psnr_db,
            tell=tell,
            notes=notes,
        )
        section = self._flow.fit(frames, make_keystream, context)
        give_back_memory()
        meter = QualityMeter()
        for index, shown in enumerate(self.flow_type.render(section, made[-1], self.device)):
            meter.add(_picture(frames[index]), _picture(shown))
            report(SegmentReport("checking", (index + 1) / len(frames)))
        give_back_memory()
        return FittedSegment(made[-1].generator.to_bytes(), section, meter.totals())

    def _keystream(self, task: SegmentTask, shape: generators.Shape, frames: int, report: Report) -> Keystream:
        """A checked generator and the keystream of this segment. Raises CheckFailedError if it is cyclic."""
        z0 = start(task.seed, shape, self.device)
        generator = self._generator.create(
            shape,
            seed=task.public_seed,
            z0=z0,
            progress=lambda fraction: report(SegmentReport("generator", fraction)),
        ).to(self.device)
        found = noncyclic(generator, z0, max(_CHECKED_STEPS, frames))
        if not found.ok:
            raise CheckFailedError(
                f"the generator {self._options.generator} is cyclic here: the nearest two of {_CHECKED_STEPS} latents "
                f"are {found.min_distance:.4f} apart, below {found.threshold:.4f}",
                hint="use another generator or another seed",
            )
        return Keystream(generator, z0)


def _flow_config(flow: type[flows.Flow], options: SealOptions) -> Any:
    """The flow's configuration from plain options. Raises UsageError for one it does not have."""
    known = {field.name for field in dataclasses.fields(flow.config_type)}
    for name in options.flow_options:
        if name not in known:
            raise UsageError(
                f"the flow {options.flow} has no option {name!r}", hint=f"it has: {', '.join(sorted(known))}"
            )
    try:
        return flow.config_type(**options.flow_options)
    except TypeError:
        raise UsageError(f"an option of the flow {options.flow} is not a number", hint="write NAME=NUMBER") from None


def _picture(frame: Tensor) -> Picture:
    return frame.permute(1, 2, 0).contiguous().numpy()

"""One sealing: its segments are fitted by a crew, and written in their order, then the sound and the directory."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

import neuralcipher
from neuralcipher.container import SUITE_BARE, SUITE_SEALED, BundleWriter
from neuralcipher.errors import UsageError
from neuralcipher.pipeline.beginning import Beginning
from neuralcipher.pipeline.checkpoint import Checkpoint
from neuralcipher.pipeline.crew import Crew, Desk, Work
from neuralcipher.pipeline.fitting import FittedSegment, SegmentFitter, SegmentReport, SegmentTask
from neuralcipher.pipeline.kinds import SECTION_AUDIO, SECTION_FLOW, SECTION_GENERATOR
from neuralcipher.pipeline.options import Progress, ProgressCallback, SealOptions
from neuralcipher.pipeline.segments import Picture, public_seed, segment_lengths
from neuralcipher.pipeline.targets import Promised, SizePlan
from neuralcipher.process import give_back_memory
from neuralcipher.video.quality import QualityMeter
from neuralcipher.video.reading import Probe, read_audio, read_frames, version_of

# What a generator's section takes, to plan a size before there is one; most store little more than a seed.
_GENERATOR_BYTES = {"autoencoder": 4147}
_SEED_BYTES = 64


@dataclass(frozen=True, slots=True)
class Source:
    """A video that was probed, and how many frames each of its segments takes."""

    path: Path
    probed: Probe
    lengths: tuple[int, ...]

    @classmethod
    def of(cls, path: Path, probed: Probe, options: SealOptions) -> Source:
        info = probed.info
        lengths = segment_lengths(info.frames, info.height, info.width, probed.cuts, options.segment_frames)
        return cls(path, probed, tuple(lengths))

    @property
    def largest_bytes(self) -> int:
        """Raw bytes of the longest segment."""
        return 3 * self.probed.info.width * self.probed.info.height * max(self.lengths)


class Job:
    """What is to be sealed and how. Raises UsageError for options that do not go together.

    warnings: sentences that the user was told while segments were fitted.
    """

    def __init__(
        self, source: Source, options: SealOptions, progress: ProgressCallback, tell: Callable[[str], None]
    ) -> None:
        self.source = source
        self.fitter = SegmentFitter(options)
        self.warnings: list[str] = []
        self._options = options
        self._board = _Board(source.lengths, progress)
        self._tell = tell
        if options.suite == SUITE_BARE and not self.fitter.flow_type.keyed:
            raise UsageError(
                f"the flow {options.flow} does not use the key, so a bare bundle would hide nothing",
                hint="use the suite sealed, or a keyed flow",
            )
        self._private = options.suite == SUITE_SEALED or options.include_private
        self._generator_bytes = _GENERATOR_BYTES.get(options.generator, _SEED_BYTES)

    def sound(self) -> bytes:
        """The section of the sound, empty if there is none; it is not kept, since it is written last."""
        path, probed = self.source.path, self.source.probed
        end_s = probed.audio_end
        if probed.version != version_of(path):
            self._warn(
                f"{path.name} changed while it was read: what is sealed are the {probed.info.frames} frames that "
                "it had at first, and sound of that length"
            )
            end_s = probed.info.end_time
        audio = read_audio(path, end_s) if self._private else None
        return b"" if audio is None else audio.to_bytes()

    def write(self, file: BinaryIO, kept: Checkpoint, crew: Crew, budget_s: float, sound_bytes: int) -> QualityMeter:
        """Fit and write every segment, the sound and the directory; returns the measured quality.

        kept: what an earlier process finished is taken from there. budget_s: of all fits together. sound_bytes: of
        the sound, if a size is aimed at.
        """
        size = None
        if self._options.target_bytes is not None:
            names = self._options.generator, self._options.flow
            size = SizePlan(self._options.target_bytes, self._metadata(), sound_bytes, *names)
        pages = _Pages(kept.beginning.writer(file), self._options, self.source.lengths)
        desk = Desk(self._board.report, self._warn, kept.keep_notes, kept.every_s)
        with closing(crew.fit_all(self._work(pages, kept, budget_s, size), desk)) as fitted:
            for number, segment in fitted:
                self._generator_bytes = len(segment.generator)
                if len(self.source.lengths) > 1:
                    kept.add(number, segment.to_bytes())
                self._board.finish(number)
                pages.add(number, segment)
                give_back_memory()
        sound = self.sound()
        if sound:
            pages.writer.add_section(SECTION_AUDIO, 0, sound)
        pages.writer.finish(self._metadata())
        return pages.meter

    def _metadata(self) -> dict[str, Any]:
        info = self.source.probed.info
        stored = info if self._private else dataclasses.replace(info, source_name="video", source_bytes=0)
        return {"video": stored.to_dict(), "tool": f"neuralcipher {neuralcipher.__version__}"}

    def _work(self, pages: _Pages, kept: Checkpoint, budget_s: float, size: SizePlan | None) -> Iterator[Work]:
        """Every segment that is not finished yet, its frames read when it is asked for."""
        lengths, probed = self.source.lengths, self.source.probed
        pictures = read_frames(self.source.path, probed)
        for number in filter(kept.has_segment, range(len(lengths))):
            self._board.finish(number)
        for number, length in enumerate(lengths):
            finished = kept.segment(number)
            if finished is not None:
                _skip(pictures, length)
                pages.add(number, FittedSegment.from_bytes(finished))
                continue
            target_bytes = None
            if size is not None:
                promised = pages.promised(number)
                rest = lengths[number:]
                target_bytes = size.share(pages.writer, number, rest, self._generator_bytes, promised)
                pages.promise(number, target_bytes)
            task = self._task(kept.beginning, number, budget_s * length / probed.info.frames, target_bytes)
            yield Work(task, _stack(pictures, length), kept.kept_notes(number))

    def _task(self, beginning: Beginning, number: int, budget_s: float, target_bytes: int | None) -> SegmentTask:
        seed = self._options.seed
        return SegmentTask(
            number,
            beginning.segment_seed(number),
            public_seed(beginning.salt.hex() if seed is None else str(seed), number),
            (seed or 0) * 1_000_003 % 2**62 + number,
            budget_s,
            target_bytes,
        )

    def _warn(self, sentence: str) -> None:
        """Tell the user, once if several segments say the same."""
        if sentence not in self.warnings:
            self.warnings.append(sentence)
            self._tell(sentence)


class _Pages:
    """Puts segments into the bundle in their order, whatever the order in which they come."""

    def __init__(self, writer: BundleWriter, options: SealOptions, lengths: tuple[int, ...]) -> None:
        self.writer = writer
        self.meter = QualityMeter()
        self._options = options
        self._lengths = lengths
        self._waiting: dict[int, FittedSegment] = {}
        self._promised: dict[int, Promised] = {}
        self._next = 0

    def add(self, number: int, segment: FittedSegment) -> None:
        """Take a finished segment, and write all whose turn it is."""
        self._promised[number] = Promised(number, self._lengths[number], len(segment.generator), len(segment.flow))
        self._waiting[number] = segment
        while self._next in self._waiting:
            self._write(self._next, self._waiting.pop(self._next))
            self._promised.pop(self._next, None)
            self._next += 1

    def promise(self, number: int, flow_bytes: int) -> None:
        """Note what a segment that is being fitted may take."""
        self._promised[number] = Promised(number, self._lengths[number], None, flow_bytes)

    def promised(self, before: int) -> list[Promised]:
        """The segments before this one that are not written yet."""
        return [self._promised[number] for number in range(self._next, before)]

    def _write(self, number: int, segment: FittedSegment) -> None:
        length = self._lengths[number]
        self.writer.add_section(SECTION_GENERATOR, number, segment.generator, name=self._options.generator)
        self.writer.add_section(SECTION_FLOW, number, segment.flow, name=self._options.flow, frames=length)
        self.meter.include(segment.quality)


class _Board:
    """Progress of the segments as progress of the whole."""

    def __init__(self, lengths: tuple[int, ...], progress: ProgressCallback) -> None:
        self._lengths = lengths
        self._progress = progress
        self._done = [0.0] * len(lengths)
        self._finished: set[int] = set()

    def finish(self, number: int) -> None:
        """A segment is done."""
        self._done[number] = 1.0
        self._finished.add(number)

    def report(self, number: int, part: SegmentReport) -> None:
        """Pass on what a segment reports. Of several, each is one piece of work, whatever its stage."""
        several = len(self._lengths) > 1
        if not several and part.stage != "fitting":
            self._progress(Progress(part.stage, part.fraction))
            return
        if part.stage == "fitting":
            self._done[number] = part.fraction
        frames = sum(self._lengths)
        fraction = sum(map(operator.mul, self._done, self._lengths)) / frames
        fit = part.fit
        step, psnr_db, size_bytes = (fit.step, fit.psnr_db, fit.size_bytes) if fit is not None else (0, 0.0, 0)
        size_bytes = round(size_bytes * frames / self._lengths[number])
        self._progress(
            Progress("fitting", fraction, step, psnr_db, size_bytes, len(self._finished), len(self._lengths))
        )


def _skip(pictures: Iterator[Picture], count: int) -> None:
    for _ in islice(pictures, count):
        pass


def _stack(pictures: Iterator[Picture], count: int) -> Tensor:
    """The next `count` pictures as (N, 3, H, W) uint8, filled in place so that they are held once."""
    frames: Tensor | None = None
    for index, picture in enumerate(islice(pictures, count)):
        if frames is None:
            frames = torch.empty((count, 3, *picture.shape[:2]), dtype=torch.uint8)
        frames[index] = torch.from_numpy(picture).permute(2, 0, 1)
    if frames is None:
        raise UsageError("there are no frames to seal")
    return frames

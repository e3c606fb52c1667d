"""Sealing: video and keys in, bundle out."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

import neuralcipher
from neuralcipher.container import SUITE_BARE, SUITE_SEALED
from neuralcipher.errors import UsageError
from neuralcipher.files import check_output, output_file
from neuralcipher.keys import Argon2Parameters, Credential
from neuralcipher.pipeline.beginning import Beginning
from neuralcipher.pipeline.checkpoint import Checkpoint
from neuralcipher.pipeline.fitting import FittedSegment, SegmentFitter, SegmentReport, SegmentTask
from neuralcipher.pipeline.identity import identity
from neuralcipher.pipeline.options import Progress, ProgressCallback, SealOptions, SealReport, silent
from neuralcipher.pipeline.segments import (
    SECTION_AUDIO,
    SECTION_FLOW,
    SECTION_GENERATOR,
    Picture,
    public_seed,
    segment_lengths,
)
from neuralcipher.pipeline.targets import SizePlan, check_sound, missed, plan_sentence
from neuralcipher.video.quality import QualityMeter
from neuralcipher.video.reading import Probe, probe, read_audio, read_frames

# What a generator's section takes, to plan a size before there is one; most store little more than a seed.
_GENERATOR_BYTES = {"autoencoder": 4147}
_SEED_BYTES = 64


def seal(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    keys: Sequence[Credential],
    options: SealOptions | None = None,
    argon2: Argon2Parameters | None = None,
    force: bool = False,
    resume: bool = True,
    checkpoint_s: float = 30.0,
    progress: ProgressCallback = silent,
    tell: Callable[[str], None] = lambda sentence: None,
) -> SealReport:
    """Seal a video into a bundle that only the holder of one of `keys` can open.

    source: a video file, or a folder of frames. output: the bundle; appears complete or not at all.
    keys: Key or Passphrase, 1..32 (one Key for the suite "bare"). argon2: cost of passphrase slots.
    resume: go on where an earlier call for the same output was stopped; else what it kept is dropped.
    checkpoint_s: seconds between two times that work is kept, encrypted, in a folder beside the output.
    tell: called with sentences for the user: warnings about the video, and the time it will take.
    Raises NeuralCipherError and its children, UsageError also if what was kept is of another video, key or
    configuration; whatever `progress` raises passes through. Only that folder is left then, if anything was kept.
    """
    options = options or SealOptions()
    source, output = Path(source), Path(output)
    job = _Job(options, progress, tell)
    if not keys:
        raise UsageError("sealing needs a key", hint="pass --key or --passphrase")
    check_output(output, force=force, inputs=[source])
    started = time.monotonic()
    progress(Progress("reading", 0.0))
    probed = probe(source, scale=options.scale, max_frames=options.max_frames, strict=options.strict)
    for warning in probed.warnings:
        tell(warning)
    sound_bytes = job.sound_bytes(source, probed) if options.target_bytes is not None else 0
    check_sound(sound_bytes, options)
    tell(plan_sentence(probed.info, options, codes=job.codes))

    def same() -> dict[str, Any]:
        return identity(source, probed, options)

    if not resume:
        Checkpoint.drop(output)
    kept = Checkpoint.resume(output, keys, same, checkpoint_s, tell)
    if kept is None:
        kept = Checkpoint(output, Beginning.fresh(keys, options, argon2), same, checkpoint_s, tell)
    else:
        tell(f"going on from {kept.folder}")
    try:
        with output_file(output, force=force) as file:
            meter = job.write(file, source, probed, sound_bytes, kept)
        kept.remove()
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(*_kept_sentence(kept)) from stop
    finally:
        kept.close()
    quality = meter.result()
    size_bytes = output.stat().st_size
    miss = missed(options, size_bytes, quality.psnr_db)
    if miss is not None:
        job.warnings.append(miss)
        tell(miss)
    info = probed.info
    return SealReport(
        bundle=str(output),
        size_bytes=size_bytes,
        raw_bytes=3 * info.width * info.height * info.frames,
        source_bytes=info.source_bytes,
        frames=info.frames,
        width=info.width,
        height=info.height,
        psnr_db=round(quality.psnr_db, 3),
        ms_ssim=round(quality.ms_ssim, 5),
        similarity=quality.window,
        seconds=round(time.monotonic() - started, 3),
        suite=options.suite,
        generator=options.generator,
        flow=options.flow,
        warnings=(*probed.warnings, *job.warnings),
    )


def _kept_sentence(kept: Checkpoint) -> list[str]:
    return [f"{kept.folder} keeps what was done; the same command goes on from there"] if kept.is_kept else []


class _Job:
    """One sealing: its segments one after the other, then the sound and the directory."""

    def __init__(self, options: SealOptions, progress: ProgressCallback, tell: Callable[[str], None]) -> None:
        self._options = options
        self._progress = progress
        self._fitter = SegmentFitter(options)
        if options.suite == SUITE_BARE and not self._fitter.flow_type.keyed:
            raise UsageError(
                f"the flow {options.flow} does not use the key, so a bare bundle would hide nothing",
                hint="use the suite sealed, or a keyed flow",
            )
        self._private = options.suite == SUITE_SEALED or options.include_private
        self._generator_bytes = _GENERATOR_BYTES.get(options.generator, _SEED_BYTES)
        self._tell = tell
        self.warnings: list[str] = []

    @property
    def codes(self) -> bool:
        """Whether the flow codes before it trains, as those that can aim at a size do."""
        return self._fitter.flow_type.rate_controlled

    def sound_bytes(self, source: Path, probed: Probe) -> int:
        """What the sound will take; it is not kept, since it is written last."""
        return len(self._sound(source, probed))

    def _sound(self, source: Path, probed: Probe) -> bytes:
        audio = read_audio(source, probed.audio_end) if self._private else None
        return b"" if audio is None else audio.to_bytes()

    def write(self, file: BinaryIO, source: Path, probed: Probe, sound_bytes: int, kept: Checkpoint) -> QualityMeter:
        """Fit and write every segment, the sound and the directory; returns the measured quality.

        sound_bytes: of the sound, if a size is aimed at. kept: what an earlier process finished is taken from there.
        """
        info, options = probed.info, self._options
        stored = info if self._private else dataclasses.replace(info, source_name="video", source_bytes=0)
        metadata = {"video": stored.to_dict(), "tool": f"neuralcipher {neuralcipher.__version__}"}
        size = None
        if options.target_bytes is not None:
            size = SizePlan(options.target_bytes, metadata, sound_bytes, options.generator, options.flow)
        writer = kept.beginning.writer(file)
        lengths = segment_lengths(info.frames, info.height, info.width, probed.cuts, options.segment_frames)
        budget_s = options.seconds(info.frames * info.height * info.width)
        pictures = read_frames(source, probed)
        meter = QualityMeter()
        for number, length in enumerate(lengths):
            share = (sum(lengths[:number]) / info.frames, length / info.frames)
            target_bytes = None
            if size is not None:
                target_bytes = size.share(writer, number, lengths[number:], self._generator_bytes)
            finished = kept.segment(number)
            if finished is not None:
                fitted = FittedSegment.from_bytes(finished)
                _skip(pictures, length)
            else:
                task = self._task(kept.beginning, number, budget_s * share[1], target_bytes)
                frames = _stack(pictures, length)
                fitted = self._fitter.fit(task, frames, kept.notes(number), self._reporter(share), self._warn)
                if len(lengths) > 1:
                    kept.add(number, fitted.to_bytes())
            self._generator_bytes = len(fitted.generator)
            writer.add_section(SECTION_GENERATOR, number, fitted.generator, name=options.generator)
            writer.add_section(SECTION_FLOW, number, fitted.flow, name=options.flow, frames=length)
            meter.include(fitted.quality)
        sound = self._sound(source, probed)
        if sound:
            writer.add_section(SECTION_AUDIO, 0, sound)
        writer.finish(metadata)
        return meter

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

    def _reporter(self, share: tuple[float, float]) -> Callable[[SegmentReport], None]:
        """Progress of a segment as progress of the whole. share: where it begins and how long it is, of 1."""

        def report(part: SegmentReport) -> None:
            if part.stage == "generator":
                self._progress(Progress("generator", part.fraction))
                return
            fraction, fit = share[0] + share[1] * part.fraction, part.fit
            if fit is None:
                self._progress(Progress(part.stage, fraction))
                return
            self._progress(Progress(part.stage, fraction, fit.step, fit.psnr_db, round(fit.size_bytes / share[1])))

        return report

    def _warn(self, sentence: str) -> None:
        """Tell the user, once if several segments say the same."""
        if sentence not in self.warnings:
            self.warnings.append(sentence)
            self._tell(sentence)


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

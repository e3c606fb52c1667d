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
from neuralcipher.container import SUITE_BARE, SUITE_SEALED, BundleWriter
from neuralcipher.errors import CheckFailedError, UsageError
from neuralcipher.files import check_output, output_file
from neuralcipher.flows import base as flows
from neuralcipher.flows.device import resolve_device
from neuralcipher.generators import base as generators
from neuralcipher.generators.base import Keystream
from neuralcipher.generators.checks import noncyclic
from neuralcipher.keys import Argon2Parameters, Credential, Key, SegmentSeed
from neuralcipher.pipeline.options import Progress, ProgressCallback, SealOptions, SealReport, silent
from neuralcipher.pipeline.segments import (
    SECTION_AUDIO,
    SECTION_FLOW,
    SECTION_GENERATOR,
    Picture,
    public_seed,
    segment_lengths,
    start,
)
from neuralcipher.pipeline.targets import SizePlan, check_sound, missed, plan_sentence
from neuralcipher.video.quality import QualityMeter
from neuralcipher.video.reading import Probe, probe, read_audio, read_frames

_CHECKED_STEPS = 1000
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
    progress: ProgressCallback = silent,
    tell: Callable[[str], None] = lambda sentence: None,
) -> SealReport:
    """Seal a video into a bundle that only the holder of one of `keys` can open.

    source: a video file, or a folder of frames. output: the bundle; appears complete or not at all.
    keys: Key or Passphrase, 1..32 (one Key for the suite "bare"). argon2: cost of passphrase slots.
    tell: called with sentences for the user: warnings about the video, and the time it will take.
    Raises NeuralCipherError and its children; whatever `progress` raises passes through, and no file is left.
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
    with output_file(output, force=force) as file:
        writer = _writer(file, keys, options, argon2)
        meter = job.write(writer, source, probed, sound_bytes)
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


def _writer(
    file: BinaryIO, keys: Sequence[Credential], options: SealOptions, argon2: Argon2Parameters | None
) -> BundleWriter:
    if options.suite == SUITE_SEALED:
        return BundleWriter.create_sealed(file, keys, aead=options.aead, argon2=argon2)
    if options.suite != SUITE_BARE:
        raise UsageError(f"no suite is called {options.suite!r}", hint="there are: sealed, bare")
    if len(keys) != 1 or not isinstance(keys[0], Key):
        raise UsageError("the suite bare takes exactly one key file", hint="use the suite sealed for a passphrase")
    return BundleWriter.create_bare(file, keys[0])


class _Job:
    """One sealing: the chosen variants, and how they are run segment by segment."""

    def __init__(self, options: SealOptions, progress: ProgressCallback, tell: Callable[[str], None]) -> None:
        self._options = options
        self._progress = progress
        self._device = resolve_device(options.device)
        self._generator = generators.find(options.generator)
        self._flow_type = flows.find(options.flow)
        self._flow = self._flow_type(_flow_config(self._flow_type, options))
        if options.suite == SUITE_BARE and not self._flow_type.keyed:
            raise UsageError(
                f"the flow {options.flow} does not use the key, so a bare bundle would hide nothing",
                hint="use the suite sealed, or a keyed flow",
            )
        if options.has_target and not self._flow_type.rate_controlled:
            raise UsageError(f"the flow {options.flow} cannot aim at a size or a PSNR", hint="the flow latent can")
        self._private = options.suite == SUITE_SEALED or options.include_private
        self._generator_bytes = _GENERATOR_BYTES.get(options.generator, _SEED_BYTES)
        self._tell = tell
        self.warnings: list[str] = []

    @property
    def codes(self) -> bool:
        """Whether the flow codes before it trains, as those that can aim at a size do."""
        return self._flow_type.rate_controlled

    def sound_bytes(self, source: Path, probed: Probe) -> int:
        """What the sound will take; it is not kept, since it is written last."""
        return len(self._sound(source, probed))

    def _sound(self, source: Path, probed: Probe) -> bytes:
        audio = read_audio(source, probed.audio_end) if self._private else None
        return b"" if audio is None else audio.to_bytes()

    def write(self, writer: BundleWriter, source: Path, probed: Probe, sound_bytes: int) -> QualityMeter:
        """Fit and write every segment, the sound and the directory; returns the measured quality.

        sound_bytes: of the sound, if a size is aimed at.
        """
        info, options = probed.info, self._options
        stored = info if self._private else dataclasses.replace(info, source_name="video", source_bytes=0)
        metadata = {"video": stored.to_dict(), "tool": f"neuralcipher {neuralcipher.__version__}"}
        size = None
        if options.target_bytes is not None:
            size = SizePlan(options.target_bytes, metadata, sound_bytes, options.generator, options.flow)
        lengths = segment_lengths(info.frames, info.height, info.width)
        budget_s = options.seconds(info.frames * info.height * info.width)
        pictures = read_frames(source, probed)
        meter = QualityMeter()
        for number, length in enumerate(lengths):
            frames = _stack(pictures, length)
            share = (sum(lengths[:number]) / info.frames, length / info.frames)
            target_bytes = None
            if size is not None:
                target_bytes = size.share(writer, number, lengths[number:], self._generator_bytes)
            self._segment(writer, number, frames, budget_s * share[1], share, target_bytes, meter)
        sound = self._sound(source, probed)
        if sound:
            writer.add_section(SECTION_AUDIO, 0, sound)
        writer.finish(metadata)
        return meter

    def _segment(
        self,
        writer: BundleWriter,
        number: int,
        frames: Tensor,
        budget_s: float,
        share: tuple[float, float],
        target_bytes: int | None,
        meter: QualityMeter,
    ) -> None:
        """Fit one segment, write it, and measure it as an opener would see it."""
        made: list[Keystream] = []

        def make_keystream(shape: generators.Shape) -> Keystream:
            made.append(self._keystream(writer.segment_seed(number), number, shape, len(frames)))
            return made[-1]

        def report(fit: flows.FitProgress) -> None:
            fraction = share[0] + share[1] * fit.fraction
            size = round(fit.size_bytes / share[1])
            self._progress(Progress("fitting", fraction, fit.step, fit.psnr_db, size))

        context = flows.FitContext(
            budget_s,
            self._seed_number(number),
            self._device,
            report,
            target_bytes=target_bytes,
            target_psnr_db=self._options.target_psnr_db,
            tell=self._warn,
        )
        section = self._flow.fit(frames, make_keystream, context)
        keystream = made[-1]
        parameters = keystream.generator.to_bytes()
        self._generator_bytes = len(parameters)
        writer.add_section(SECTION_GENERATOR, number, parameters, name=self._options.generator)
        writer.add_section(SECTION_FLOW, number, section, name=self._options.flow, frames=len(frames))
        for index, shown in enumerate(self._flow_type.render(section, keystream, self._device)):
            meter.add(_picture(frames[index]), _picture(shown))
            self._progress(Progress("checking", share[0] + share[1] * (index + 1) / len(frames)))

    def _warn(self, sentence: str) -> None:
        """Tell the user, once if several segments say the same."""
        if sentence not in self.warnings:
            self.warnings.append(sentence)
            self._tell(sentence)

    def _keystream(self, seed: SegmentSeed, number: int, shape: generators.Shape, frames: int) -> Keystream:
        """A checked generator and the keystream of this segment. Raises CheckFailedError if it is cyclic."""
        z0 = start(seed, shape, self._device)
        generator = self._generator.create(
            shape,
            seed=self._public_seed(number),
            z0=z0,
            progress=lambda fraction: self._progress(Progress("generator", fraction)),
        ).to(self._device)
        report = noncyclic(generator, z0, max(_CHECKED_STEPS, frames))
        if not report.ok:
            raise CheckFailedError(
                f"the generator {self._options.generator} is cyclic here: the nearest two of {_CHECKED_STEPS} latents "
                f"are {report.min_distance:.4f} apart, below {report.threshold:.4f}",
                hint="use another generator or another seed",
            )
        return Keystream(generator, z0)

    def _public_seed(self, number: int) -> bytes:
        return os.urandom(32) if self._options.seed is None else public_seed(self._options.seed, number)

    def _seed_number(self, number: int) -> int:
        return (self._options.seed or 0) * 1_000_003 % 2**62 + number


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


def _picture(frame: Tensor) -> Picture:
    return frame.permute(1, 2, 0).contiguous().numpy()

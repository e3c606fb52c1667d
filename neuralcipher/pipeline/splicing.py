"""Cutting and joining bundles without training: segments move to a new bundle key, one at a time."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import neuralcipher
from neuralcipher.container import SUITE_SEALED, BundleReader, BundleWriter
from neuralcipher.errors import UnsupportedError, UsageError, WrongKeyError
from neuralcipher.files import check_output, output_file
from neuralcipher.keys import Argon2Parameters, Credential
from neuralcipher.pipeline import origins as origin
from neuralcipher.pipeline.kinds import SECTION_AUDIO, SECTION_FLOW, SECTION_GENERATOR
from neuralcipher.pipeline.moving import moved_flow
from neuralcipher.pipeline.options import Progress, ProgressCallback, silent
from neuralcipher.pipeline.sounds import SoundPart, cut_sound, joined_sound
from neuralcipher.pipeline.stored import StoredSegment, stored_audio, stored_segments, stored_video
from neuralcipher.pipeline.timelines import Timeline, cut_timeline, joined_timeline, timeline_of
from neuralcipher.video.metadata import AudioTrack

_KINDS = frozenset({SECTION_AUDIO, SECTION_FLOW, SECTION_GENERATOR})
_SEGMENTS = re.compile(r"(\d{1,9})(?:(-)(\d{1,9})?)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class SpliceReport:
    """What was cut or joined; the fields of `ncipher cut --json` and `ncipher join --json`.

    left_out_packets: of sound, at the seams. dropped_slots: how many slots more the bundles had than keys were given;
    those keys do not open the result.
    """

    bundle: str
    size_bytes: int
    segments: int
    frames: int
    duration_s: float
    left_out_packets: int
    dropped_slots: int
    seconds: float


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Segments of an unlocked bundle, with what belongs to them."""

    reader: BundleReader
    segments: list[StoredSegment]
    timeline: Timeline
    sound: AudioTrack | None
    origins: origin.Origins


def cut(
    bundle: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    keys: Sequence[Credential],
    segments: str | range,
    argon2: Argon2Parameters | None = None,
    force: bool = False,
    progress: ProgressCallback = silent,
) -> SpliceReport:
    """Write some segments of a bundle, with their sound, into a new one, without training.

    segments: counted from 0: "3-7" (both included), "3", "3-" (to the end), or a range. output: by default the
    bundle's name with the numbers; appears complete or not at all. keys: open the bundle, and the new one, which has a
    new bundle key; other slots are not kept, as none can be made without its key. argon2: cost of passphrase slots.
    What does not begin at segment 0 begins at time 0. Raises WrongKeyError, BundleError, OutputExistsError; UsageError
    if there are no such segments, the bundle is bare, or a flow was trained on its keystream.
    """
    started = time.monotonic()
    path = Path(bundle)
    with _opened([path], keys) as (reader,):
        whole = _stretch(reader)
        chosen = _chosen(segments, len(whole.segments))
        name = f"{path.stem}.{chosen.start}-{chosen.stop - 1}{path.suffix}"
        target = path.with_name(name) if output is None else Path(output)
        check_output(target, force=force, inputs=[path])
        part = _cut(whole, chosen)
        with output_file(target, force=force) as file:
            _write(file, [part], part, keys, argon2, progress)
        return _report(target, part, len(part.segments), 0, [reader], keys, started)


def join(
    bundles: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    keys: Sequence[Credential],
    sound: bool = True,
    allow_overlap: bool = False,
    argon2: Argon2Parameters | None = None,
    force: bool = False,
    progress: ProgressCallback = silent,
) -> SpliceReport:
    """Write two bundles or more, one after the other, into a new one, without training.

    keys: together they open every bundle, and each the new one, as for `cut`. sound: whether to keep it; what has none
    is silent. allow_overlap: also join parts of one video that hold the same frames, or are not in its order.
    Raises as `cut` does; UsageError also if pictures or sound differ in more than their times.
    """
    started = time.monotonic()
    paths = [Path(bundle) for bundle in bundles]
    if len(paths) < 2:
        raise UsageError("joining takes two bundles or more", hint="name them in the order in which they are shown")
    target = Path(output)
    check_output(target, force=force, inputs=paths)
    with _opened(paths, keys) as readers:
        stretches = [_stretch(reader, sound=sound) for reader in readers]
        if not allow_overlap:
            origin.check_order([str(path) for path in paths], [stretch.origins for stretch in stretches])
        whole, left_out = _joined(stretches)
        with output_file(target, force=force) as file:
            _write(file, stretches, whole, keys, argon2, progress)
        count = sum(len(stretch.segments) for stretch in stretches)
        return _report(target, whole, count, left_out, readers, keys, started)


@contextmanager
def _opened(paths: Sequence[Path], keys: Sequence[Credential]) -> Iterator[list[BundleReader]]:
    """The bundles, unlocked. Raises UsageError if one is bare or holds what nobody here knows how to move."""
    with ExitStack() as stack:
        readers = []
        for path in paths:
            reader = stack.enter_context(BundleReader.open(path))
            if reader.suite != SUITE_SEALED:
                raise UsageError(
                    f"{reader.name} is bare, and only sealed bundles can be cut and joined", hint="seal the video again"
                )
            try:
                reader.unlock(keys)
            except WrongKeyError as error:
                if len({path.name for path in paths}) == len(paths):
                    raise
                raise WrongKeyError(f"{path}: {error.message}", hint=error.hint) from error
            unknown = next((section.kind for section in reader.sections if section.kind not in _KINDS), None)
            if unknown is not None:
                raise UnsupportedError(
                    f"{reader.name} has a section of kind {unknown[:32]!r}, which this installation cannot move",
                    hint="install a newer neuralcipher",
                )
            readers.append(reader)
        yield readers


def _stretch(reader: BundleReader, *, sound: bool = True) -> _Stretch:
    info = stored_video(reader)
    return _Stretch(
        reader,
        stored_segments(reader, info),
        timeline_of(reader, info),
        stored_audio(reader) if sound else None,
        origin.origins_of(reader, info.frames),
    )


def _chosen(segments: str | range, count: int) -> range:
    """The numbers that are meant. Raises UsageError if there are none, or not all."""
    if isinstance(segments, range):
        first, stop = segments.start, segments.stop
        text = str(first) if stop == first + 1 else f"{first}-{stop - 1}"
    else:
        match = _SEGMENTS.fullmatch(segments.strip())
        if match is None:
            raise UsageError(f"{segments!r} names no segments", hint="write 3-7, 3 or 3-, counted from 0")
        first, text = int(match[1]), segments.strip()
        stop = int(match[3]) + 1 if match[3] else count if match[2] else first + 1
    if not 0 <= first < stop <= count or (isinstance(segments, range) and segments.step != 1):
        there = f"the segments are 0-{count - 1}" if count > 1 else "there is only segment 0"
        raise UsageError(f"there are no segments {text}", hint=f"{there}; the first comes before the last")
    return range(first, stop)


def _cut(whole: _Stretch, chosen: range) -> _Stretch:
    lengths = [segment.frames for segment in whole.segments]
    frames = range(sum(lengths[: chosen.start]), sum(lengths[: chosen.stop]))
    timeline, shift = cut_timeline(whole.timeline, frames)
    sound = whole.sound
    if sound is not None:
        pts, unit = whole.timeline.info.pts, whole.timeline.unit
        begin = pts[frames.start] * unit if frames.start else None
        end = pts[frames.stop] * unit if frames.stop < len(pts) else None
        sound = cut_sound(sound, begin, end, shift)
    chosen_segments = whole.segments[chosen.start : chosen.stop]
    return _Stretch(whole.reader, chosen_segments, timeline, sound, origin.cut_origins(whole.origins, frames))


def _joined(stretches: Sequence[_Stretch]) -> tuple[_Stretch, int]:
    """All of them as one, whose segments are still those of the first; and the packets of sound that are left out."""
    names = [str(stretch.reader.path) for stretch in stretches]
    timeline, offsets = joined_timeline(names, [stretch.timeline for stretch in stretches])
    parts = []
    for number, (stretch, offset) in enumerate(zip(stretches, offsets, strict=True)):
        goes_on = number > 0 and origin.follows(stretches[number - 1].origins[-1], stretch.origins[0])
        begin_s = stretch.timeline.begin_s + offset
        parts.append(SoundPart(names[number], stretch.sound, offset, begin_s, goes_on))
    sound, left_out = joined_sound(parts)
    origins = origin.joined_origins([stretch.origins for stretch in stretches])
    return _Stretch(stretches[0].reader, stretches[0].segments, timeline, sound, origins), left_out


def _write(
    file: BinaryIO,
    stretches: Sequence[_Stretch],
    whole: _Stretch,
    keys: Sequence[Credential],
    argon2: Argon2Parameters | None,
    progress: ProgressCallback,
) -> None:
    """The segments of all stretches, then sound and description of the whole. One section is held at a time."""
    writer = BundleWriter.create_sealed(file, keys, aead=whole.reader.aead, argon2=argon2)
    moved = [(stretch.reader, segment) for stretch in stretches for segment in stretch.segments]
    for number, (reader, segment) in enumerate(moved):
        generator = reader.read_section(segment.generator)
        writer.add_section(SECTION_GENERATOR, number, generator, **segment.generator.attributes)
        flow = moved_flow(reader, segment, writer, number)
        writer.add_section(SECTION_FLOW, number, flow, **segment.flow.attributes)
        progress(Progress("writing", (number + 1) / len(moved)))
    if whole.sound is not None:
        writer.add_section(SECTION_AUDIO, 0, whole.sound.to_bytes())
    metadata = {"tool": f"neuralcipher {neuralcipher.__version__}", origin.FIELD: origin.to_metadata(whole.origins)}
    writer.finish(metadata | whole.timeline.to_metadata())


def _report(
    target: Path,
    whole: _Stretch,
    segments: int,
    left_out: int,
    readers: Sequence[BundleReader],
    keys: Sequence[Credential],
    started: float,
) -> SpliceReport:
    timeline = whole.timeline
    return SpliceReport(
        bundle=str(target),
        size_bytes=target.stat().st_size,
        segments=segments,
        frames=timeline.info.frames,
        duration_s=round(float(timeline.end_s - timeline.begin_s), 3),
        left_out_packets=left_out,
        dropped_slots=max(0, max(len(reader.slots) for reader in readers) - len(keys)),
        seconds=round(time.monotonic() - started, 3),
    )

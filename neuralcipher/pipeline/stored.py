"""What an unlocked bundle says of its video, its sound and its segments, read without loading any network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from neuralcipher.container import BundleReader, Section
from neuralcipher.errors import COPY_HINT, BundleError, PayloadDamagedError
from neuralcipher.pipeline.kinds import SECTION_AUDIO, SECTION_FLOW, SECTION_GENERATOR
from neuralcipher.video.metadata import AudioTrack, VideoInfo


@dataclass(frozen=True, slots=True)
class StoredSegment:
    """One segment as it lies in an unlocked bundle. height, width: of the pictures it must show."""

    number: int
    frames: int
    generator_name: str
    generator: Section
    flow_name: str
    flow: Section
    height: int
    width: int


def stored_video(reader: BundleReader) -> VideoInfo:
    """The description of the video. Raises PayloadDamagedError or LimitError."""
    fields = reader.metadata.get("video")
    if not isinstance(fields, dict):
        raise PayloadDamagedError(f"{reader.name} does not describe its video", hint="it was not made by ncipher seal")
    with named(reader):
        return VideoInfo.from_dict(fields)


def stored_audio(reader: BundleReader) -> AudioTrack | None:
    """The sound, or None."""
    section = reader.section(SECTION_AUDIO)
    with named(reader):
        return None if section is None else AudioTrack.from_bytes(reader.read_section(section))


def stored_segments(reader: BundleReader, info: VideoInfo) -> list[StoredSegment]:
    """All segments in order, checked against the video's description. Raises PayloadDamagedError."""
    segments: list[StoredSegment] = []
    for section in reader.sections:
        if section.kind != SECTION_FLOW:
            continue
        generator = reader.section(SECTION_GENERATOR, section.segment)
        names = section.attributes.get("name"), generator.attributes.get("name") if generator else None
        frames = section.attributes.get("frames")
        in_order = section.segment == len(segments)
        if generator is None or not in_order or not isinstance(frames, int) or isinstance(frames, bool) or frames < 1:
            raise PayloadDamagedError(f"{reader.name} lists its segments wrongly", hint=COPY_HINT)
        if not isinstance(names[0], str) or not isinstance(names[1], str):
            raise PayloadDamagedError(f"{reader.name} does not name its flow and generator", hint=COPY_HINT)
        segments.append(
            StoredSegment(len(segments), frames, names[1], generator, names[0], section, info.height, info.width)
        )
    if sum(segment.frames for segment in segments) != info.frames:
        raise PayloadDamagedError(f"{reader.name} has segments that do not add up to its frames", hint=COPY_HINT)
    return segments


@contextmanager
def named(reader: BundleReader) -> Iterator[None]:
    """Parsers know no file: say which one it is."""
    try:
        yield
    except BundleError as error:
        if reader.name in error.message:
            raise
        raise type(error)(f"{reader.name}: {error.message}", hint=error.hint or COPY_HINT) from error

"""What a bundle is, whether it is whole, and how near it is to its original: what `ncipher report` tells."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from neuralcipher.container import BundleReader, Problem
from neuralcipher.errors import NeuralCipherError
from neuralcipher.flows.device import resolve_device
from neuralcipher.keys import Credential
from neuralcipher.pipeline.kinds import SECTION_AUDIO
from neuralcipher.pipeline.options import Progress, ProgressCallback, silent
from neuralcipher.pipeline.originals import Original, matching_original, original_frames
from neuralcipher.pipeline.parts import pieces_of
from neuralcipher.pipeline.segments import render_segment
from neuralcipher.pipeline.stored import StoredSegment, stored_audio, stored_segments, stored_video
from neuralcipher.pipeline.upkeep import problems_in
from neuralcipher.video.metadata import VideoInfo
from neuralcipher.video.quality import Quality, QualityMeter

Picture = NDArray[np.uint8]

REST = "header, directory, tags"
"""How a Share calls the bytes of a file that belong to no section."""

_SHOWN_PICTURES = 6
_LONGEST_SIDE = 320
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Share:
    """What the sections of one kind take of the file: their bytes in clear, and how many there are."""

    kind: str
    size_bytes: int
    sections: int


@dataclass(frozen=True, slots=True)
class Sound:
    """The sound that a bundle carries. size_bytes: of its packets."""

    codec: str
    sample_rate: int
    layout: str
    packets: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ShownPicture:
    """A frame for the contact sheet, at most 320 pixels a side. opened: None where damage hides it.

    number: of the frame, from 0. time_s: since the first frame. truth: the same frame of the original, if there is one.
    """

    number: int
    time_s: float
    opened: Picture | None = field(repr=False)
    truth: Picture | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class FrameQuality:
    """One frame beside its original. ms_ssim: or what stands for it in small pictures, see `Quality.window`."""

    number: int
    psnr_db: float
    ssim: float
    ms_ssim: float


@dataclass(frozen=True, slots=True)
class Fit:
    """Every frame that could be opened beside the original. quality: the means, None if no frame could be opened."""

    original: str
    frames: tuple[FrameQuality, ...]
    quality: Quality | None


@dataclass(frozen=True, slots=True)
class Examination:
    """Everything that was found about a bundle; nothing in it is secret but the pictures.

    slots: kinds of the key slots, in order. sha256: of the file, hexadecimal. segments: as stored. shares: of the whole
    file, the largest first. problems: what `ncipher verify` says, and what rendering met besides. fit: None without an
    original.
    """

    name: str
    version: int
    suite: str
    aead: str
    slots: tuple[str, ...]
    size_bytes: int
    sha256: str
    tool: str
    video: VideoInfo
    segments: tuple[StoredSegment, ...]
    shares: tuple[Share, ...]
    sound: Sound | None
    problems: tuple[Problem, ...]
    pictures: tuple[ShownPicture, ...]
    fit: Fit | None = None

    @property
    def picture_bytes(self) -> int:
        """Size of the file without its sound."""
        return self.size_bytes - sum(share.size_bytes for share in self.shares if share.kind == SECTION_AUDIO)

    @property
    def raw_bytes(self) -> int:
        """Size of the frames as 8-bit RGB."""
        return 3 * self.video.frames * self.video.width * self.video.height

    @property
    def bits_per_pixel(self) -> float:
        """Bits of the file, sound aside, for each pixel of each frame."""
        return 24 * self.picture_bytes / self.raw_bytes

    @property
    def ratio(self) -> float:
        """How many times larger the raw frames are than the file without its sound."""
        return self.raw_bytes / self.picture_bytes


def examine(
    bundle: str | os.PathLike[str],
    *,
    keys: Sequence[Credential],
    original: str | os.PathLike[str] | None = None,
    device: str = "auto",
    progress: ProgressCallback = silent,
) -> Examination:
    """Look into a bundle, in memory that does not grow with the video.

    original: the video that was sealed; every frame is opened and compared with it, scaled and cut as sealing did.
    Damage in sections becomes `problems`, and what it hides is left out. Raises UsageError if the original does not
    fit, WrongKeyError, and BundleError if the header or the directory cannot be read.
    """
    path, found = Path(bundle), resolve_device(device)
    with BundleReader.open(path) as reader:
        reader.unlock(keys)
        info = stored_video(reader)
        segments = stored_segments(reader, info)
        source = None if original is None else matching_original(reader, info, Path(original))
        problems = problems_in(reader)
        walk = _Walk(reader, segments, info, found, progress)
        pictures, fit = walk.alone() if source is None else walk.beside(source)
        return Examination(
            name=reader.name,
            version=reader.version,
            suite=reader.suite,
            aead=reader.aead,
            slots=tuple(slot.kind for slot in reader.slots),
            size_bytes=reader.size_bytes,
            sha256=file_digest(reader),
            tool=str(reader.metadata.get("tool", "")),
            video=info,
            segments=tuple(segments),
            shares=_shares(reader),
            sound=_sound(reader),
            problems=(*problems, *walk.unknown(problems)),
            pictures=pictures,
            fit=fit,
        )


class _Walk:
    """Opens frames of a bundle, and remembers which segments could not be."""

    def __init__(
        self,
        reader: BundleReader,
        segments: Sequence[StoredSegment],
        info: VideoInfo,
        device: torch.device,
        progress: ProgressCallback,
    ) -> None:
        self._reader, self._segments, self._info, self._device = reader, segments, info, device
        self._progress = progress
        self._failures: dict[int, str] = {}
        last = info.frames - 1
        self._wanted = sorted({round(i * last / (_SHOWN_PICTURES - 1)) for i in range(_SHOWN_PICTURES)})

    def unknown(self, problems: Sequence[Problem]) -> list[Problem]:
        """What rendering met in segments that no problem is known of."""
        known = {segment for problem in problems for _, segment in problem.sections}
        kinds = {segment.number: segment.flow.kind for segment in self._segments}
        return [
            Problem(message, sections=((kinds[number], number),))
            for number, message in self._failures.items()
            if number not in known
        ]

    def alone(self) -> tuple[tuple[ShownPicture, ...], None]:
        """The frames of the contact sheet; no others are rendered."""
        shown: list[ShownPicture] = []
        for done, number in enumerate(self._wanted, start=1):
            ((segment, start, stop),) = pieces_of(self._segments, range(number, number + 1))
            picture = next(self._frames(segment, start, stop))
            shown.append(self._shown(number, picture, None))
            self._progress(Progress("checking", done / len(self._wanted)))
        return tuple(shown), None

    def beside(self, source: Original) -> tuple[tuple[ShownPicture, ...], Fit]:
        """Every frame beside its original."""
        meter = QualityMeter()
        frames: list[FrameQuality] = []
        shown: list[ShownPicture] = []
        opened = (picture for segment in self._segments for picture in self._frames(segment, 0, segment.frames))
        for number, (picture, truth) in enumerate(zip(opened, original_frames(source), strict=True)):
            if picture is not None:
                one = QualityMeter()
                one.add(truth, picture)
                sums = one.totals()
                meter.include(sums)
                frames.append(FrameQuality(number, sums.psnr, sums.ssim, sums.similarity))
            if number in self._wanted:
                shown.append(self._shown(number, picture, truth))
            self._progress(Progress("checking", (number + 1) / self._info.frames))
        return tuple(shown), Fit(source.path.name, tuple(frames), meter.result() if frames else None)

    def _frames(self, segment: StoredSegment, start: int, stop: int) -> Iterator[Picture | None]:
        """Frames start..stop-1 of a segment, None for each that damage hides."""
        done = start
        try:
            for picture in render_segment(self._reader, segment, self._device, start, stop):
                done += 1
                yield picture
        except NeuralCipherError as error:
            self._failures[segment.number] = error.message
        for _ in range(done, stop):
            yield None

    def _shown(self, number: int, picture: Picture | None, truth: Picture | None) -> ShownPicture:
        numerator, denominator = self._info.time_base
        time_s = (self._info.pts[number] - self._info.pts[0]) * numerator / denominator
        return ShownPicture(number, time_s, _small(picture), _small(truth))


def _small(picture: Picture | None) -> Picture | None:
    if picture is None or max(picture.shape[:2]) <= _LONGEST_SIDE:
        return picture
    image = Image.fromarray(picture)
    image.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    return np.asarray(image, dtype=np.uint8)


def file_digest(reader: BundleReader) -> str:
    """SHA-256 of the whole file, hexadecimal, as a report of attacks names it."""
    digest, size = hashlib.sha256(), reader.size_bytes
    for start in range(0, size, _PIECE_BYTES):
        digest.update(reader.source.read(start, min(_PIECE_BYTES, size - start)))
    return digest.hexdigest()


def _shares(reader: BundleReader) -> tuple[Share, ...]:
    sizes: dict[str, tuple[int, int]] = {}
    for section in reader.sections:
        size, count = sizes.get(section.kind, (0, 0))
        sizes[section.kind] = (size + section.length, count + 1)
    shares = [Share(kind, size, count) for kind, (size, count) in sizes.items()]
    shares.append(Share(REST, reader.size_bytes - sum(share.size_bytes for share in shares), 0))
    return tuple(sorted(shares, key=lambda share: -share.size_bytes))


def _sound(reader: BundleReader) -> Sound | None:
    """The sound, None too if it is damaged: that is among the problems."""
    try:
        track = stored_audio(reader)
    except NeuralCipherError:
        return None
    if track is None:
        return None
    return Sound(track.codec, track.sample_rate, track.layout, len(track.packets), track.size_bytes)

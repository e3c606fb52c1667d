"""The first pass over a video: which frames it really has, when they are shown, and what the user should know.

Runs in the child. Rotation (the display matrix) is baked in: sizes are those of the upright picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av

from neuralcipher.errors import UsageError, VideoError
from neuralcipher.video.inputs import FOLDER_RATE, images_in
from neuralcipher.video.metadata import MAX_FRAMES, MAX_PIXELS, MAX_SIDE, VideoInfo, safe_name
from neuralcipher.video.packing import INT64_MAX, INT64_MIN
from neuralcipher.video.pixels import (
    HDR_TRANSFERS,
    MATRIX_BT709,
    RANGE_FULL,
    RANGE_LIMITED,
    Orientation,
    PixelKind,
    Plan,
    default_matrix,
    has_transparency,
    kind_of,
    matrix_of,
    orientation_of,
    ratio,
)
from neuralcipher.video.scenes import ChangeMeter
from neuralcipher.video.source import Decoder, Feed, check_size, clock_shift, opened, video_stream
from neuralcipher.video.tracks import can_carry

_TERM_MAX = 2**31 - 1
_ASPECT_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Found:
    """What a survey found; see `reading.Probe`. cut: whether it stopped at `max_frames`. changes: one byte a frame."""

    info: VideoInfo
    warnings: tuple[str, ...]
    audio_codec: str | None
    cut: bool
    plan: Plan
    changes: bytes


class Survey:
    """One pass over a video: collects timestamps and whatever the user should know.

    scale: the wanted (W, H), one of them perhaps -1, or None. max_frames: stop after so many.
    """

    def __init__(self, feed: Feed, scale: tuple[int, int] | None, max_frames: int | None) -> None:
        self.feed = feed
        self.path = feed.path
        self.scale = scale
        self.max_frames = max_frames
        self.warnings: list[str] = []
        self.pts: list[int | None] = []
        self.odd_sizes = 0
        self.transparent = False
        self.cut = False
        self.changes = bytearray()

    def run(self, strict: bool) -> Found:
        """Decode it all. strict: refuse a damaged or cut-off video. Raises VideoError, UsageError."""
        name = self.path.name
        decoder = Decoder(self.feed)
        meter = ChangeMeter()
        first: _First | None = None
        for frame, stream in decoder.frames():
            if self.max_frames is not None and len(self.pts) == self.max_frames:
                self.cut = True
                break
            if first is None:
                first = _First.of(frame, stream)
                check_size(first.width, first.height, self.path)
            if len(self.pts) == MAX_FRAMES:
                raise VideoError(f"{name} has more than {MAX_FRAMES} frames", hint="cut it, or pass --max-frames")
            self.odd_sizes += (frame.width, frame.height) != (first.width, first.height)
            if first.kind.alpha and not self.transparent:
                self.transparent = has_transparency(frame)
            self.pts.append(frame.pts)
            self.changes.append(meter.change(frame))
        if first is None and decoder.starved:
            raise MemoryError
        if first is None:
            raise VideoError(f"{name} holds no frame that can be decoded", hint="check that it plays elsewhere")
        damage = self._damage(decoder)
        if strict and damage:
            raise VideoError(damage, hint="leave out --strict to take what decodes")
        if damage:
            self.warnings.append(damage)
        return self._result(first)

    def _damage(self, decoder: Decoder) -> str:
        name, got = self.path.name, len(self.pts)
        if decoder.broken:
            return f"{name} is damaged: {got} frames decode, {decoder.broken} parts do not"
        if self.cut or self.feed.folder:
            return ""
        with opened(self.feed) as container:
            stated = video_stream(container, self.path).frames
            length = Fraction(container.duration or 0, 1_000_000)
            start = Fraction(container.start_time or 0, 1_000_000)
        # Half a second: headers round, and count the last sound packet.
        if decoder.cut_short or (length and decoder.end_s + Fraction(1, 2) < start + length) or got < stated * 0.98 - 2:
            return f"{name} is cut off: {got} frames decode" + (f" of {stated}" if stated > got else "")
        return ""

    def _result(self, first: _First) -> Found:
        audio_codec, shift = self._container_facts()
        width, height = first.upright_size()
        sample_aspect = first.sample_aspect()
        if self.scale is not None:
            width, height, sample_aspect = _scaled(width, height, sample_aspect, self.scale)
            if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
                raise UsageError(
                    f"{self.path.name} would become {width}x{height}, larger than {MAX_SIDE} a side or "
                    f"{MAX_PIXELS} pixels",
                    hint="choose a smaller size",
                )
        rate, time_base = self._rate(first)
        pts = self._times(rate, time_base, shift)
        self._warn(first)
        hdr = first.transfer in HDR_TRANSFERS
        info = VideoInfo(
            width=width,
            height=height,
            time_base=(time_base.numerator, time_base.denominator),
            pts=pts,
            average_rate=(rate.numerator, rate.denominator),
            sample_aspect=(sample_aspect.numerator, sample_aspect.denominator),
            primaries=MATRIX_BT709 if hdr else first.primaries,
            transfer=MATRIX_BT709 if hdr else first.transfer,
            space=MATRIX_BT709 if hdr else first.space,
            color_range=RANGE_FULL if first.full_range and not first.kind.rgb else RANGE_LIMITED,
            pixel_family=first.kind.family,
            source_name=safe_name(self.path.resolve().name),
            source_bytes=self._source_bytes(),
        )
        plan = Plan(width, height, first.orientation, first.space)
        return Found(info, tuple(self.warnings), audio_codec, self.cut, plan, bytes(self.changes))

    def _source_bytes(self) -> int:
        files = images_in(self.path) if self.feed.folder else [self.path]
        return sum(file.stat().st_size for file in files)

    def _container_facts(self) -> tuple[str | None, Fraction]:
        if self.feed.folder:
            return None, Fraction(0)
        with opened(self.feed) as container:
            sounds = container.streams.audio
            shift = clock_shift(container)
            if not sounds:
                return None, shift
            codec = str(sounds[0].codec_context.name) if sounds[0].codec_context else "unknown"
            if not can_carry(sounds[0]):
                self.warnings.append(f"the sound of {self.path.name} ({codec}) cannot be carried and is left out")
                return None, shift
            if len(sounds) > 1:
                self.warnings.append(f"{self.path.name} has {len(sounds)} sound tracks; only the first is kept")
            return codec, shift

    def _rate(self, first: _First) -> tuple[Fraction, Fraction]:
        """Frames per second and seconds per unit of pts."""
        if self.feed.folder:
            return FOLDER_RATE, 1 / FOLDER_RATE
        time_base = first.time_base
        stamps = [stamp for stamp in self.pts if stamp is not None]
        rate = first.rate
        if rate is None and len(stamps) > 1 and stamps[-1] > stamps[0]:
            rate = (len(stamps) - 1) / ((stamps[-1] - stamps[0]) * time_base)
        rate = (rate or FOLDER_RATE).limit_denominator(1_000_000)
        return (rate if rate > 0 and rate.numerator <= _TERM_MAX else FOLDER_RATE), time_base

    def _times(self, rate: Fraction, time_base: Fraction, shift: Fraction) -> tuple[int, ...]:
        """Fill missing timestamps with one frame's duration after the last, and make them increase."""
        step = max(1, round(1 / (rate * time_base)))
        offset = round(shift / time_base)
        times: list[int] = []
        repaired = 0
        for stamp in self.pts:
            time = None if stamp is None else stamp - offset
            if not times:
                time = time if time is not None else 0
            elif time is None:
                time = times[-1] + step
            elif time <= times[-1]:
                time = times[-1] + 1
                repaired += 1
            times.append(max(INT64_MIN, min(INT64_MAX, time)))
        if repaired:
            self.warnings.append(f"{repaired} timestamps of {self.path.name} did not increase and were moved")
        return tuple(times)

    def _warn(self, first: _First) -> None:
        name = self.path.name
        if first.transfer in HDR_TRANSFERS:
            self.warnings.append(
                f"{name} is HDR ({HDR_TRANSFERS[first.transfer]}) and becomes 8-bit SDR without tone "
                "mapping, so colours look flat"
            )
        elif first.kind.bits > 8:
            self.warnings.append(f"{name} has {first.kind.bits} bits per sample and becomes 8-bit SDR")
        if self.transparent or first.hidden_alpha:
            self.warnings.append(f"{name} has transparency, which is lost: it is laid over black")
        if self.odd_sizes:
            self.warnings.append(f"{self.odd_sizes} frames of {name} have another size and are scaled to the first's")
        if not first.orientation_exact:
            self.warnings.append(f"{name} is rotated by an angle that is no multiple of 90 degrees, which is ignored")


@dataclass(frozen=True, slots=True)
class _First:
    """The first frame's facts, which hold for the whole video."""

    width: int
    height: int
    kind: PixelKind
    orientation: Orientation
    orientation_exact: bool
    primaries: int
    transfer: int
    space: int
    full_range: bool
    time_base: Fraction
    rate: Fraction | None
    pixel_aspect: Fraction | None
    hidden_alpha: bool

    @classmethod
    def of(cls, frame: av.VideoFrame, stream: Any) -> _First:
        context = stream.codec_context
        kind = kind_of(frame.format)
        orientation, exact = orientation_of(frame)
        lines = frame.width if orientation.transpose else frame.height
        full = frame.color_range == RANGE_FULL or frame.format.name.startswith("yuvj")
        unit = ratio(stream.time_base)
        return cls(
            width=frame.width,
            height=frame.height,
            kind=kind,
            orientation=orientation,
            orientation_exact=exact,
            primaries=_tag(context.color_primaries),
            transfer=_tag(context.color_trc),
            space=default_matrix(lines) if kind.rgb else matrix_of(int(frame.colorspace), lines),
            full_range=full,
            time_base=unit if unit and unit > 0 and unit.denominator <= _TERM_MAX else 1 / FOLDER_RATE,
            rate=ratio(stream.average_rate) or ratio(stream.guessed_rate),
            pixel_aspect=ratio(stream.sample_aspect_ratio),
            # FFmpeg's own VP9 decoder leaves the alpha layer out; only the container says that there is one.
            hidden_alpha=stream.metadata.get("alpha_mode") == "1",
        )

    def upright_size(self) -> tuple[int, int]:
        return (self.height, self.width) if self.orientation.transpose else (self.width, self.height)

    def sample_aspect(self) -> Fraction:
        aspect = _sane_aspect(self.pixel_aspect)
        return 1 / aspect if self.orientation.transpose else aspect


def _sane_aspect(aspect: Fraction | None) -> Fraction:
    """Pixels are not 10,000 times as wide as high, nor the other way round; what says so is damaged."""
    if aspect is None or not Fraction(1, _ASPECT_MAX) <= aspect <= _ASPECT_MAX:
        return Fraction(1)
    return aspect.limit_denominator(_ASPECT_MAX)


def _tag(value: Any) -> int:
    code = int(value)
    return code if 0 < code < 256 else 2  # 0 is reserved (H.273): as good as unspecified


def _scaled(width: int, height: int, aspect: Fraction, size: tuple[int, int]) -> tuple[int, int, Fraction]:
    """The new size, and the pixel aspect that keeps the picture's shape on the screen."""
    wide, high = size
    if high == -1:
        return wide, max(2, 2 * round(Fraction(height * wide, width) / 2)), aspect
    if wide == -1:
        return max(2, 2 * round(Fraction(width * high, height) / 2)), high, aspect
    bent = Fraction(width * high, height * wide)
    # Rounding to whole pixels bends the shape by less than this; that is not worth odd pixels.
    if abs(bent - 1) > Fraction(1, 50):
        aspect = _sane_aspect(aspect * bent)
    return wide, high, aspect

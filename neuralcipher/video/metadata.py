"""What a bundle remembers about a video beside its frames: sizes, timestamps, colour, and the sound.

Imports neither PyAV nor torch, so that `ncipher info` stays instant.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, cast

import msgpack

from neuralcipher.errors import LimitError, PayloadDamagedError
from neuralcipher.video.packing import (
    INT64_MAX,
    INT64_MIN,
    pack_column,
    pack_times,
    unpack_column,
    unpack_times,
)

MAX_SIDE = 16384
MAX_PIXELS = 2**27
MAX_FRAMES = 2**20  # a description in a few bytes can claim them all, and each takes 40 bytes of memory
MAX_NAME_BYTES = 255
MAX_EXTRADATA_BYTES = 2**20
MAX_AUDIO_PACKETS = 10**7
MAX_EMPTY_PACKETS = 2**16
MAX_PACKET_BYTES = 2**24
MAX_AUDIO_BYTES = 2**32 - 1
MAX_SAMPLE_RATE = 2**20
_MAX_TERM = 2**31 - 1

PIXEL_FAMILIES = ("420", "422", "444", "grey")
CODEC_NAME = re.compile(r"[a-z0-9_]{1,32}")
LAYOUT_NAME = re.compile(r"[A-Za-z0-9 ().+_@-]{1,128}")
# Controls, format characters (bidirectional overrides among them), surrogates, line and paragraph separators.
_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def safe_name(name: str) -> str:
    """Return `name` with everything replaced that a stored file name must not hold; never empty."""
    kept = "".join("_" if _is_unsafe(character) else character for character in name)
    while len(kept.encode()) > MAX_NAME_BYTES:
        kept = kept[1:]  # the end holds the suffix
    return "video" if kept in {"", ".", ".."} else kept


def plain_text(text: str) -> str:
    """Return a sentence with everything replaced that would move a terminal's cursor or turn its writing."""
    return "".join("_" if _steers(character) else character for character in text)


def _is_unsafe(character: str) -> bool:
    return character in "/\\" or _steers(character)


def _steers(character: str) -> bool:
    return unicodedata.category(character) in _UNSAFE_CATEGORIES


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """Everything about a video that its frames do not say.

    width, height: of the upright picture in pixels, after rotation and scaling.
    time_base: (numerator, denominator) seconds per unit of pts. pts: one 64-bit timestamp per frame.
    average_rate: frames per second. sample_aspect: width : height of one pixel.
    primaries, transfer, space, color_range: code points of ITU-T H.273 (range: 1 limited, 2 full), as FFmpeg
    counts them; `space` is always a matrix that was really used, never "unspecified".
    pixel_family: chroma of the source: "420", "422", "444" or "grey".
    source_name: the file's name without any folder. source_bytes: its size.
    """

    width: int
    height: int
    time_base: tuple[int, int]
    pts: tuple[int, ...]
    average_rate: tuple[int, int]
    sample_aspect: tuple[int, int]
    primaries: int
    transfer: int
    space: int
    color_range: int
    pixel_family: str
    source_name: str
    source_bytes: int

    @property
    def frames(self) -> int:
        """How many frames there are."""
        return len(self.pts)

    @property
    def last_duration(self) -> int:
        """How long the last frame is shown, in units of the time base: as long as the one before it, or one
        frame at the average rate."""
        if len(self.pts) > 1 and self.pts[-1] > self.pts[-2]:
            return self.pts[-1] - self.pts[-2]
        unit = Fraction(*self.time_base) * Fraction(*self.average_rate)
        return max(1, round(1 / unit))

    @property
    def end_time(self) -> Fraction:
        """When the last frame stops being shown, in seconds on the source's clock."""
        return (self.pts[-1] + self.last_duration) * Fraction(*self.time_base)

    @property
    def duration_s(self) -> Fraction:
        """From the first frame's start to the last one's end, in seconds."""
        return self.end_time - self.pts[0] * Fraction(*self.time_base)

    def to_dict(self) -> dict[str, Any]:
        """Return a map of canonical msgpack types, without floats."""
        return {
            "average_rate": list(self.average_rate),
            "color_range": self.color_range,
            "frames": len(self.pts),
            "height": self.height,
            "pixel_family": self.pixel_family,
            "primaries": self.primaries,
            "pts": pack_times(self.pts),
            "sample_aspect": list(self.sample_aspect),
            "source_bytes": self.source_bytes,
            "source_name": self.source_name,
            "space": self.space,
            "time_base": list(self.time_base),
            "transfer": self.transfer,
            "width": self.width,
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> VideoInfo:
        """Rebuild from `to_dict`. Raises PayloadDamagedError, or LimitError above a stated limit."""
        fields = _map_of(fields, _VIDEO_KEYS, "video description")
        width = _integer(fields, "width", 1, MAX_SIDE)
        height = _integer(fields, "height", 1, MAX_SIDE)
        if width * height > MAX_PIXELS:
            raise LimitError(f"the picture has {width}x{height} pixels, above the limit of {MAX_PIXELS}")
        frames = _integer(fields, "frames", 1, MAX_FRAMES)
        family = fields["pixel_family"]
        if family not in PIXEL_FAMILIES:
            raise PayloadDamagedError("the video description names an unknown pixel family")
        name = fields["source_name"]
        if type(name) is not str or _has_surrogate(name) or name != safe_name(name):
            raise PayloadDamagedError("the stored file name holds a folder or characters that are not allowed")
        return cls(
            width=width,
            height=height,
            time_base=_ratio(fields, "time_base"),
            pts=unpack_times(_octets(fields, "pts", MAX_FRAMES * 11), frames, what="timestamps"),
            average_rate=_ratio(fields, "average_rate"),
            sample_aspect=_ratio(fields, "sample_aspect"),
            primaries=_integer(fields, "primaries", 0, 255),
            transfer=_integer(fields, "transfer", 0, 255),
            space=_integer(fields, "space", 0, 255),
            color_range=_integer(fields, "color_range", 0, 2),
            pixel_family=family,
            source_name=name,
            source_bytes=_integer(fields, "source_bytes", 0, INT64_MAX),
        )


_VIDEO_KEYS = frozenset({"frames", *VideoInfo.__dataclass_fields__})


@dataclass(frozen=True, slots=True)
class AudioPacket:
    """One packet of coded sound, as it came out of the source.

    pts, dts, duration: in units of the track's time base. key: whether decoding can start here.
    """

    pts: int
    dts: int
    duration: int
    key: bool
    data: bytes


@dataclass(frozen=True, slots=True)
class AudioTrack:
    """A sound track whose packets are carried unchanged.

    codec: FFmpeg's name of the codec, such as "aac". extradata: its set-up bytes, may be empty.
    sample_rate: in Hz. layout: FFmpeg's name of the channel layout, such as "stereo" or "5.1".
    time_base: (numerator, denominator) seconds per unit of the packets' timestamps.
    skip_start, skip_end: samples that a decoder drops before the first and after the last one that is heard.
    """

    codec: str
    extradata: bytes
    sample_rate: int
    layout: str
    time_base: tuple[int, int]
    packets: tuple[AudioPacket, ...]
    skip_start: int = 0
    skip_end: int = 0

    @property
    def size_bytes(self) -> int:
        """Bytes of coded sound in all packets."""
        return sum(len(packet.data) for packet in self.packets)

    def to_bytes(self) -> bytes:
        """Pack the track into one section. Raises LimitError if it holds 4 GiB or more."""
        if self.size_bytes > MAX_AUDIO_BYTES:
            raise LimitError(
                f"the sound has {self.size_bytes} bytes, above the limit of {MAX_AUDIO_BYTES}",
                hint="seal the video in parts",
            )
        fields = {
            "codec": self.codec,
            "data": b"".join(packet.data for packet in self.packets),
            "delays": pack_column(packet.pts - packet.dts for packet in self.packets),
            "durations": pack_times([packet.duration for packet in self.packets]),
            "extradata": self.extradata,
            "keys": pack_column(int(not packet.key) for packet in self.packets),
            "layout": self.layout,
            "packets": len(self.packets),
            "pts": pack_times([packet.pts for packet in self.packets]),
            "sample_rate": self.sample_rate,
            "skip_end": self.skip_end,
            "skip_start": self.skip_start,
            "sizes": pack_column(len(packet.data) for packet in self.packets),
            "time_base": list(self.time_base),
        }
        return cast(bytes, msgpack.packb(fields, use_bin_type=True))

    @classmethod
    def from_bytes(cls, section: bytes) -> AudioTrack:
        """Rebuild from `to_bytes`. Raises PayloadDamagedError, or LimitError above a stated limit."""
        try:
            parsed = msgpack.unpackb(
                section, raw=False, strict_map_key=True, max_map_len=32, max_array_len=2, max_ext_len=0
            )
        except (ValueError, TypeError, msgpack.UnpackException, RecursionError):
            raise PayloadDamagedError("the sound section cannot be parsed") from None
        fields = _map_of(parsed, _AUDIO_KEYS, "sound section")
        count = _integer(fields, "packets", 0, MAX_AUDIO_PACKETS)
        codec, layout = fields["codec"], fields["layout"]
        if type(codec) is not str or not CODEC_NAME.fullmatch(codec):
            raise PayloadDamagedError("the sound section holds no codec name")
        if type(layout) is not str or not LAYOUT_NAME.fullmatch(layout):
            raise PayloadDamagedError("the sound section holds no channel layout")
        data = _octets(fields, "data", MAX_AUDIO_BYTES)
        # Times that follow a law take no bytes, but nearly all packets do: a count out of proportion is not unpacked.
        if count > MAX_EMPTY_PACKETS + len(data):
            raise PayloadDamagedError("the sound packets do not add up to the section")
        packed = {name: _octets(fields, name, MAX_AUDIO_PACKETS * 11) for name in _AUDIO_COLUMNS}
        pts = unpack_times(packed["pts"], count, what="sound timestamps")
        durations = unpack_times(packed["durations"], count, what="sound durations")
        delays = unpack_column(packed["delays"], count, what="sound delays")
        keys = unpack_column(packed["keys"], count, what="sound flags")
        sizes = unpack_column(packed["sizes"], count, what="sound packet sizes")
        if any(not 0 <= size <= MAX_PACKET_BYTES for size in sizes) or sum(sizes) != len(data):
            raise PayloadDamagedError("the sound packets do not add up to the section")
        packets = []
        start = 0
        for at, size in enumerate(sizes):
            dts = pts[at] - delays[at]
            if keys[at] not in {0, 1} or durations[at] < 0 or not INT64_MIN <= dts <= INT64_MAX:
                raise PayloadDamagedError("a sound packet has impossible times or flags")
            packets.append(AudioPacket(pts[at], dts, durations[at], not keys[at], data[start : start + size]))
            start += size
        return cls(
            codec=codec,
            extradata=_octets(fields, "extradata", MAX_EXTRADATA_BYTES),
            sample_rate=_integer(fields, "sample_rate", 1, MAX_SAMPLE_RATE),
            layout=layout,
            time_base=_ratio(fields, "time_base"),
            packets=tuple(packets),
            skip_start=_integer(fields, "skip_start", 0, _MAX_TERM),
            skip_end=_integer(fields, "skip_end", 0, _MAX_TERM),
        )


_AUDIO_COLUMNS = ("pts", "durations", "delays", "keys", "sizes")
_AUDIO_KEYS = frozenset(AudioTrack.__dataclass_fields__) | {"data", *_AUDIO_COLUMNS}


def _map_of(value: object, keys: frozenset[str], what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or set(value) != keys:
        raise PayloadDamagedError(f"the {what} does not have the fields it must have")
    return value


def _integer(fields: Mapping[str, Any], name: str, low: int, high: int) -> int:
    value = fields[name]
    if type(value) is not int or value < low:  # bool is an int to isinstance
        raise PayloadDamagedError(f"the field {name} is not a number it can be")
    if value > high:
        raise LimitError(f"the field {name} is {value}, above the limit of {high}")
    return value


def _ratio(fields: Mapping[str, Any], name: str) -> tuple[int, int]:
    value = fields[name]
    if type(value) is not list or len(value) != 2:
        raise PayloadDamagedError(f"the field {name} is not a ratio")
    terms = dict(zip(("numerator", "denominator"), value, strict=True))
    try:
        return _integer(terms, "numerator", 1, _MAX_TERM), _integer(terms, "denominator", 1, _MAX_TERM)
    except LimitError:
        raise LimitError(f"the field {name} has a term above the limit of {_MAX_TERM}") from None
    except PayloadDamagedError:
        raise PayloadDamagedError(f"the field {name} is not a ratio") from None


def _octets(fields: Mapping[str, Any], name: str, high: int) -> bytes:
    value = fields[name]
    if type(value) is not bytes:
        raise PayloadDamagedError(f"the field {name} does not hold bytes")
    if len(value) > high:
        raise LimitError(f"the field {name} has {len(value)} bytes, above the limit of {high}")
    return value


def _has_surrogate(text: str) -> bool:
    return any(unicodedata.category(character) == "Cs" for character in text)

"""Classical video encoders through PyAV, on the same RGB frames, with every byte that a decoder needs counted.

Frames become yuv420p (BT.601, limited range) and RGB again by swscale with Lanczos, full chroma interpolation and
accurate rounding both ways: of swscale's choices the one that loses least (PyAV's default costs 2 dB near 38 dB).
Encoders run with their defaults, one thread and no container, 25 frames per second. Their bytes are those of the
packets (parameter sets are inside) without the text in which x264 and x265 describe themselves. The decoder sees
just these bytes. What a container adds is not counted.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

os.environ.setdefault("SVT_LOG", "1")  # errors only

import av
import numpy as np
from av.codec.context import CodecContext
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Frames = Sequence[Picture]

_FLAGS = (
    Interpolation.LANCZOS | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP | Interpolation.ACCURATE_RND
)
_LIMITED, _FULL = 1, 2
_RATE = 25
_SEI = {"h264": (0x1F, 0, 6, 1), "hevc": (0x7E, 1, 39, 2)}  # mask and shift of a unit's type; SEI; bytes of its header
_USER_TEXT = 5  # SEI payload type "user data unregistered"


@dataclass(frozen=True, slots=True)
class Encoder:
    """name: in the tables. library: of FFmpeg. options: besides crf. decoders: the first that is there is used.

    middle, step, worst: the rate factors that are worth trying.
    """

    name: str
    library: str
    options: Mapping[str, str]
    decoders: tuple[str, ...]
    middle: int = 28
    step: int = 4
    worst: int = 51


def encoders(*, tune_psnr: bool = False) -> list[Encoder]:
    """The encoders that this PyAV has."""
    x265_options = {"preset": "medium", "x265-params": "log-level=none:info=0:pools=none:frame-threads=1"}
    found = [
        Encoder("x264 medium", "libx264", {"preset": "medium"}, ("h264",)),
        Encoder("x264 veryslow", "libx264", {"preset": "veryslow"}, ("h264",)),
        Encoder("x265 medium", "libx265", x265_options, ("hevc",)),
    ]
    if tune_psnr:
        tuned = {"preset": "medium", "tune": "psnr"}
        found.append(Encoder("x264 medium tune=psnr", "libx264", tuned, ("h264",)))
    svt = "libsvtav1" in av.codecs_available
    name, library = ("SVT-AV1 preset 6", "libsvtav1") if svt else ("libaom-AV1 cpu-used 4", "libaom-av1")
    av1_options = {"preset": "6", "svtav1-params": "lp=1"} if svt else {"cpu-used": "4"}
    found.append(Encoder(name, library, av1_options, ("libdav1d", "libaom-av1"), middle=40, step=6, worst=63))
    return found


@dataclass(frozen=True, slots=True)
class Coded:
    """packets: what the decoder gets. shown: decoded RGB. seconds: of encoding, of decoding with conversion."""

    packets: list[bytes]
    shown: Frames
    encode_s: float
    decode_s: float

    @property
    def size_bytes(self) -> int:
        return sum(map(len, self.packets))


def run(encoder: Encoder, crf: int, frames: Frames) -> Coded:
    """Encode and decode frames, (H, W, 3) uint8 RGB each; odd sizes are padded to even ones by their edges."""
    height, width, _ = frames[0].shape
    padded = [np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge") for frame in frames]
    started = time.perf_counter()
    packets = encode(encoder, crf, padded)
    encoded = time.perf_counter()
    shown = [frame[:height, :width] for frame in decode(encoder, packets)]
    return Coded(packets, shown, encoded - started, time.perf_counter() - encoded)


def encode(encoder: Encoder, crf: int, frames: Frames) -> list[bytes]:
    """The packets of an encoder, without its self-description."""
    context: Any = CodecContext.create(encoder.library, "w")
    context.height, context.width, _ = frames[0].shape
    context.pix_fmt = "yuv420p"
    context.time_base, context.framerate = Fraction(1, _RATE), Fraction(_RATE)
    context.thread_count = 1
    context.options = {**encoder.options, "crf": str(crf)}
    reformatter = VideoReformatter()
    packets: list[bytes] = []
    for number, frame in enumerate(frames):
        yuv = _to_yuv(reformatter, frame)
        yuv.pts, yuv.time_base = number, Fraction(1, _RATE)
        packets += map(bytes, context.encode(yuv))
    packets += map(bytes, context.encode(None))
    return [without_text(packet, context.codec.canonical_name) for packet in packets]


def decode(encoder: Encoder, packets: list[bytes]) -> list[Picture]:
    """Packets alone to RGB frames."""
    name = next(name for name in encoder.decoders if name in av.codecs_available)
    context: Any = CodecContext.create(name, "r")
    reformatter = VideoReformatter()
    shown: list[Picture] = []
    for packet in [*map(av.Packet, packets), None]:
        shown += [_to_rgb(reformatter, frame) for frame in context.decode(packet)]
    return shown


def without_text(packet: bytes, codec: str) -> bytes:
    """An Annex B packet without SEI units of user data; any other codec's packet as it is."""
    if codec not in _SEI:
        return packet
    mask, shift, sei, header = _SEI[codec]
    starts = [match.start() for match in re.finditer(rb"\x00{0,1}\x00\x00\x01", packet)]
    units = [packet[start:stop] for start, stop in zip(starts, [*starts[1:], len(packet)], strict=True)]

    def is_text(unit: bytes) -> bool:
        body = unit[unit.index(1) + 1 :]
        return (body[0] & mask) >> shift == sei and body[header] == _USER_TEXT

    return b"".join(unit for unit in units if not is_text(unit))


def _to_yuv(reformatter: VideoReformatter, picture: Picture) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    converted: av.VideoFrame = _converted(reformatter, frame, "yuv420p", _FULL, _LIMITED)
    return converted


def _to_rgb(reformatter: VideoReformatter, frame: av.VideoFrame) -> Picture:
    picture: Picture = _converted(reformatter, frame, "rgb24", _LIMITED, _FULL).to_ndarray()
    return picture


def _converted(reformatter: VideoReformatter, frame: av.VideoFrame, layout: str, source: Any, target: Any) -> Any:
    """The frame in another pixel format, between the colour ranges `source` and `target`."""
    return reformatter.reformat(
        frame,
        format=layout,
        src_colorspace=Colorspace.ITU601,
        dst_colorspace=Colorspace.ITU601,
        interpolation=_FLAGS,
        src_color_range=source,
        dst_color_range=target,
    )

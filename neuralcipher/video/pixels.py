"""How decoded pictures become RGB: by the matrix and range they carry, with swscale.

Imports no numpy, which takes longer to load than a child takes to decode a short clip; `rgb` does the rest.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
from av.video.format import VideoFormat
from av.video.reformatter import VideoReformatter

RANGE_LIMITED = 1
RANGE_FULL = 2
MATRIX_BT709 = 1
MATRIX_BT601 = 6
# swscale's flags, written out because PyAV names only some of them before version 17.
_SWS_BICUBIC = 0x4
_SWS_AREA = 0x20
SWS_EXACT = 0x2000 | 0x4000 | 0x40000  # full chroma interpolation, full chroma input, accurate rounding
# H.273 matrix -> swscale's matrix; those absent are treated as unspecified.
SWS_MATRIX = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
HDR_TRANSFERS = {16: "PQ", 18: "HLG"}


def ratio(value: Any) -> Fraction | None:
    """PyAV's rational (a class of its own from version 19) as a Fraction; None if undefined."""
    if value is None or not value.denominator:
        return None
    return Fraction(value.numerator, value.denominator)


def default_matrix(height: int) -> int:
    """The H.273 matrix to assume for an untagged picture: BT.709 from 720 lines, BT.601 below."""
    return MATRIX_BT709 if height >= 720 else MATRIX_BT601


def matrix_of(tag: int, height: int) -> int:
    """The matrix to use for a picture tagged `tag`: the tag if it can be converted, else the default."""
    return tag if tag in SWS_MATRIX else default_matrix(height)


@dataclass(frozen=True, slots=True)
class PixelKind:
    """What a pixel format is, as far as this package cares.

    family: "420", "422", "444" or "grey". bits: of the deepest component.
    """

    family: str
    bits: int
    alpha: bool
    rgb: bool


def kind_of(format: VideoFormat) -> PixelKind:
    """Classify a pixel format. Unusual samplings count as the nearest family."""
    components = format.components
    bits = max((component.bits for component in components), default=8)
    # GIF's palette may hold a transparent entry; PyAV does not count that as a component.
    alpha = format.has_palette or any(component.is_alpha for component in components)
    colours = len(components) - any(component.is_alpha for component in components)
    rgb = format.is_rgb or format.has_palette or format.name.startswith(("xyz", "bayer"))
    if rgb:
        return PixelKind("444", bits, alpha, True)
    if colours == 1:
        return PixelKind("grey", bits, alpha, False)
    across, down = format.chroma_width(64), format.chroma_height(64)
    family = "444" if (across, down) == (64, 64) else "420" if down < 64 and across < 64 else "422"
    return PixelKind(family, bits, alpha, False)


@dataclass(frozen=True, slots=True)
class Orientation:
    """One of the eight ways a picture can lie: first transposed, then mirrored left-right and top-bottom."""

    transpose: bool = False
    mirror_x: bool = False
    mirror_y: bool = False


def orientation_of(frame: av.VideoFrame) -> tuple[Orientation, bool]:
    """Read the display matrix of a decoded frame.

    Returns the orientation, and whether it is exact (false for angles that are no multiple of 90 degrees).
    """
    raw = None
    for side_data in _side_data(frame):
        if getattr(side_data.type, "name", "") == "DISPLAYMATRIX":
            raw = bytes(side_data)
    if raw is None or len(raw) < 36:
        return Orientation(), True
    # (x y 1) M = (x' y' 1): x' = a x + c y, y' = b x + d y, in 16.16 fixed point (ISO/IEC 14496-12, 8.3.2).
    a, b, _, c, d, *_rest = struct.unpack("=9i", raw[:36])
    across = abs(a) + abs(d)
    along = abs(b) + abs(c)
    exact = min(across, along) == 0
    if along > across:
        return Orientation(True, c < 0, b < 0), exact
    return Orientation(False, a < 0, d < 0), exact


def _side_data(frame: av.VideoFrame) -> list[Any]:
    container: Any = frame.side_data  # typed as a mapping by name, but counts like a list
    return [container[at] for at in range(len(container))]


@dataclass(frozen=True, slots=True)
class Plan:
    """How every frame of one video becomes RGB.

    width, height: of the upright result. orientation: of the source. matrix: H.273, for untagged frames.
    """

    width: int
    height: int
    orientation: Orientation
    matrix: int


@dataclass(frozen=True, slots=True)
class Planar:
    """One converted picture as swscale left it: rows of pixels, not yet upright.

    layout: "rgb24", "rgba" or "gray". stride: bytes from row to row. full: whether grey runs from 0 to 255.
    """

    layout: str
    stride: int
    full: bool
    pixels: memoryview


PIXEL_BYTES = {"rgb24": 3, "rgba": 4, "gray": 1}


class ToRgb:
    """Converts decoded frames to RGB (or grey, or RGB with alpha) of one size."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._reformatter = VideoReformatter()

    def convert(self, frame: av.VideoFrame) -> Planar:
        """Return the frame as it lies in the source; `rgb.upright` turns it."""
        plan = self._plan
        width, height = plan.width, plan.height
        if plan.orientation.transpose:
            width, height = height, width
        kind = kind_of(frame.format)
        matrix = SWS_MATRIX[matrix_of(int(frame.colorspace), 0) if _has_matrix(frame) else plan.matrix]
        full = kind.rgb or frame.color_range == RANGE_FULL or frame.format.name.startswith("yuvj")
        shrinks = width < frame.width or height < frame.height
        flags = SWS_EXACT | (_SWS_AREA if shrinks else _SWS_BICUBIC)
        target = "rgba" if kind.alpha else "gray" if kind.family == "grey" else "rgb24"
        if target == "gray":
            # swscale takes untagged grey as full range, and so does FFmpeg when it writes it.
            full = frame.color_range != RANGE_LIMITED
        range_in = RANGE_FULL if full else RANGE_LIMITED
        converted = self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format=target,
            src_colorspace=matrix,
            dst_colorspace=matrix,
            interpolation=flags,
            src_color_range=range_in,
            dst_color_range=range_in if target == "gray" else RANGE_FULL,
        )
        plane = converted.planes[0]
        if plane.line_size < width * PIXEL_BYTES[target]:
            # Rows from the bottom up, which nothing had to convert: their memory starts elsewhere.
            between = {"rgb24": "bgr24", "rgba": "bgra", "gray": "ya8"}[target]
            converted = VideoReformatter().reformat(converted, format=between).reformat(format=target)
            plane = converted.planes[0]
        return Planar(target, plane.line_size, full, memoryview(plane))


def _has_matrix(frame: av.VideoFrame) -> bool:
    return int(frame.colorspace) in SWS_MATRIX


def has_transparency(frame: av.VideoFrame) -> bool:
    """Whether any pixel of a frame with an alpha channel is not opaque."""
    converted = VideoReformatter().reformat(frame, format="rgba")
    stride, rows = converted.planes[0].line_size, memoryview(converted.planes[0])
    wide = 4 * converted.width
    return any(
        bytes(rows[at + 3 : at + wide : 4]).count(255) < converted.width
        for at in range(0, stride * converted.height, stride)
    )

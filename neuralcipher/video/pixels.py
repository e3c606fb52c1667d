"""Pixels in and out: decoded pictures to upright full-range RGB and back, by the matrix and range they carry.

swscale does the arithmetic with accurate rounding and full chroma interpolation; numpy turns them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.video.format import VideoFormat
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

RANGE_LIMITED = 1
RANGE_FULL = 2
MATRIX_BT709 = 1
MATRIX_BT601 = 6
# swscale's flags, written out because PyAV names only some of them before version 17.
_SWS_BICUBIC = 0x4
_SWS_AREA = 0x20
_SWS_LANCZOS = 0x200
_SWS_EXACT = 0x2000 | 0x4000 | 0x40000  # full chroma interpolation, full chroma input, accurate rounding
# H.273 matrix -> swscale's matrix; those absent are treated as unspecified.
_SWS_MATRIX = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
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
    return tag if tag in _SWS_MATRIX else default_matrix(height)


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

    def apply(self, picture: Picture) -> Picture:
        """Return the picture (H, W, 3) upright; contiguous."""
        if self.transpose:
            picture = picture.transpose(1, 0, 2)
        if self.mirror_x:
            picture = picture[:, ::-1]
        if self.mirror_y:
            picture = picture[::-1]
        return np.ascontiguousarray(picture)


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


class ToRgb:
    """Converts decoded frames to upright (H, W, 3) uint8 full-range RGB of one size."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._reformatter = VideoReformatter()

    def convert(self, frame: av.VideoFrame) -> Picture:
        """Return the frame as RGB; straight alpha is composed over black."""
        plan = self._plan
        width, height = plan.width, plan.height
        if plan.orientation.transpose:
            width, height = height, width
        kind = kind_of(frame.format)
        matrix = _SWS_MATRIX[matrix_of(int(frame.colorspace), 0) if _has_matrix(frame) else plan.matrix]
        full = kind.rgb or frame.color_range == RANGE_FULL or frame.format.name.startswith("yuvj")
        shrinks = width < frame.width or height < frame.height
        flags = _SWS_EXACT | (_SWS_AREA if shrinks else _SWS_BICUBIC)
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
        return plan.orientation.apply(_as_rgb(_bytes_of(converted), full))


def _bytes_of(frame: av.VideoFrame) -> Picture:
    array = frame.to_ndarray()
    return array.astype(np.uint8, copy=False)


def _has_matrix(frame: av.VideoFrame) -> bool:
    return int(frame.colorspace) in _SWS_MATRIX


def _as_rgb(picture: Picture, full: bool) -> Picture:
    if picture.ndim == 2:
        if not full:
            picture = np.clip(np.rint((picture.astype(np.float32) - 16) * (255 / 219)), 0, 255).astype(np.uint8)
        return np.repeat(picture[:, :, None], 3, axis=2)
    if picture.shape[2] == 4:
        alpha = picture[:, :, 3:]
        if alpha.min() == 255:
            return picture[:, :, :3]
        return ((picture[:, :, :3].astype(np.uint16) * alpha + 127) // 255).astype(np.uint8)
    return picture


def has_transparency(frame: av.VideoFrame) -> bool:
    """Whether any pixel of a frame with an alpha channel is not opaque."""
    return bool(frame.to_ndarray(format="rgba")[:, :, 3].min() < 255)


class FromRgb:
    """Converts (H, W, 3) uint8 full-range RGB to frames of one YUV format, matrix (H.273) and range."""

    def __init__(self, pixel_format: str, matrix: int, color_range: int) -> None:
        self._format = pixel_format
        self._tag = matrix
        self._matrix = _SWS_MATRIX[matrix]
        self._range = color_range
        self._reformatter = VideoReformatter()

    def convert(self, picture: Picture) -> av.VideoFrame:
        """Return the picture as a new frame without a timestamp."""
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        frame.colorspace = self._tag  # PyAV 17 passes the matrix of BT.2020 on by this tag alone
        return self._reformatter.reformat(
            frame,
            format=self._format,
            src_colorspace=self._matrix,
            dst_colorspace=self._matrix,
            # Lanczos keeps most of the chroma, measured there and back (bicubic: 20 % more squared error).
            interpolation=_SWS_LANCZOS | _SWS_EXACT,
            src_color_range=RANGE_FULL,
            dst_color_range=self._range,
        )

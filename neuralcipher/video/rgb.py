"""Arrays of RGB and pictures: what swscale made of a frame turned upright, and RGB back to frames to encode."""

from __future__ import annotations

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from neuralcipher.video.pixels import RANGE_FULL, SWS_EXACT, SWS_MATRIX, Orientation

Picture = NDArray[np.uint8]

# Lanczos keeps most of the chroma, measured there and back (bicubic: 20 % more squared error).
_SWS_LANCZOS = 0x200


def upright(pixels: Picture, orientation: Orientation, full: bool) -> Picture:
    """Make a converted picture what readers get: (H, W, 3) uint8 full-range RGB, upright, contiguous.

    pixels: (h, w, 1, 3 or 4) uint8: grey (of full range or not), RGB, RGB with straight alpha (laid over black).
    """
    picture = _as_rgb(pixels, full)
    if orientation.transpose:
        picture = picture.transpose(1, 0, 2)
    if orientation.mirror_x:
        picture = picture[:, ::-1]
    if orientation.mirror_y:
        picture = picture[::-1]
    return np.ascontiguousarray(picture)


def _as_rgb(picture: Picture, full: bool) -> Picture:
    if picture.shape[2] == 1:
        if not full:
            picture = np.clip(np.rint((picture.astype(np.float32) - 16) * (255 / 219)), 0, 255).astype(np.uint8)
        return np.repeat(picture, 3, axis=2)
    if picture.shape[2] == 4:
        alpha = picture[:, :, 3:]
        if alpha.min() == 255:
            return picture[:, :, :3]
        return ((picture[:, :, :3].astype(np.uint16) * alpha + 127) // 255).astype(np.uint8)
    return picture


class FromRgb:
    """Converts (H, W, 3) uint8 full-range RGB to frames of one YUV format, matrix (H.273) and range."""

    def __init__(self, pixel_format: str, matrix: int, color_range: int) -> None:
        self._format = pixel_format
        self._tag = matrix
        self._matrix = SWS_MATRIX[matrix]
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
            interpolation=_SWS_LANCZOS | SWS_EXACT,
            src_color_range=RANGE_FULL,
            dst_color_range=self._range,
        )

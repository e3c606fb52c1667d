"""Frames on their way into a network and out of it: grey or colour, padded, stored without loss."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, features
from torch import Tensor
from torch.nn import functional as F

from neuralcipher.coding.binary import FieldReader, pack_block
from neuralcipher.generators.base import Shape

NO_LATENT: Shape = (1, 16, 16)
"""The smallest latent that every generator takes, for flows that need none."""

_MAX_FRAMES = 1 << 16
_MAX_SIDE = 1 << 14
_MAX_PIXELS = 1 << 27
_FORMATS = ("PNG", "WEBP")  # of stored pictures, by number
_UNREADABLE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    OverflowError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


@dataclass(frozen=True, slots=True)
class VideoHead:
    """What the section of such a flow begins with. channels: 1 if every frame is grey, else 3."""

    count: int
    height: int
    width: int
    channels: int

    @classmethod
    def of(cls, frames: Tensor) -> VideoHead:
        """Of frames (N, C, H, W)."""
        count, channels, height, width = frames.shape
        return cls(count, height, width, channels)

    @property
    def picture(self) -> Shape:
        """(C, H, W) of a frame."""
        return self.channels, self.height, self.width

    def to_bytes(self, version: int) -> bytes:
        """u8 version; u32 frames; u16 height; u16 width; u8 channels."""
        return struct.pack("<BIHHB", version, self.count, self.height, self.width, self.channels)

    @classmethod
    def read(cls, reader: FieldReader, version: int) -> VideoHead:
        """Raises UnsupportedError for another version, PayloadDamagedError or LimitError on anything else."""
        reader.version(version)
        count = reader.u32(1, _MAX_FRAMES)
        height, width = reader.u16(1, _MAX_SIDE), reader.u16(1, _MAX_SIDE)
        reader.bounded(height * width, 1, _MAX_PIXELS)
        channels = reader.u8(1, 3)
        if channels == 2:
            raise reader.damaged("has 2 colour channels, neither grey nor colour")
        return cls(count, height, width, channels)


def video_shape(section: bytes, version: int, noun: str) -> tuple[int, int, int]:
    """(N, H, W) of what a section that begins with a VideoHead shows."""
    head = VideoHead.read(FieldReader(section, noun), version)
    return head.count, head.height, head.width


def without_colour(frames: Tensor) -> Tensor:
    """(N, 1, H, W) if the three channels are equal throughout, else the frames; a view, frame by frame compared."""
    grey = all(torch.equal(f[0], f[1]) and torch.equal(f[0], f[2]) for f in frames)
    return frames[:, :1] if grey else frames


def with_colour(frame: Tensor) -> Tensor:
    """(C, H, W) to (3, H, W)."""
    return frame.expand(3, -1, -1)


def padded(frames: Tensor, multiple: int) -> Tensor:
    """Frames continued by their edges so that height and width are multiples; the same tensor if they are already."""
    bottom, right = -frames.shape[2] % multiple, -frames.shape[3] % multiple
    if not bottom and not right:
        return frames
    count, channels, height, width = frames.shape
    larger = frames.new_empty(count, channels, height + bottom, width + right)
    larger[:, :, :height, :width] = frames
    larger[:, :, height:, :width] = frames[:, :, -1:]
    larger[:, :, :, width:] = larger[:, :, :, width - 1 : width]
    return larger


def shrunk(frames: Tensor, factor: int) -> Tensor:
    """Frames with the mean of each factor x factor square in its place, uint8."""
    if factor == 1:
        return frames
    return torch.cat([to_bytes(F.avg_pool2d(to_unit(frame[None]), factor)) for frame in frames])


def mean_picture(frames: Tensor) -> Tensor:
    """Of frames (N, C, H, W) uint8, one at a time: (C, H, W) float 0..1."""
    return sum((to_unit(frame) for frame in frames), start=torch.zeros(frames.shape[1:])) / len(frames)


def to_unit(x: Tensor) -> Tensor:
    """uint8 0..255 to float 0..1."""
    return x.float() / 255


def to_bytes(x: Tensor) -> Tensor:
    """Float to uint8; what is not a number becomes black."""
    return (x.nan_to_num(0.0).clamp(0, 1) * 255).round().to(torch.uint8)


def picture_to_bytes(picture: Tensor) -> bytes:
    """(C, H, W) uint8 as the shorter of PNG and lossless WebP, behind its format and its length."""
    array = picture.permute(1, 2, 0).contiguous().numpy()
    image = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
    found = []
    for number, name in enumerate(_FORMATS):
        if name == "WEBP" and (not features.check("webp") or max(image.size) > 16383):
            continue
        buffer = io.BytesIO()
        if name == "PNG":
            image.save(buffer, name, optimize=True)
        else:
            image.convert("RGB").save(buffer, name, lossless=True, quality=100, method=6)
        found.append(struct.pack("<B", number) + pack_block(buffer.getvalue()))
    return min(found, key=len)


class StoredPicture:
    """A picture as it lies in a section: checked for its length when read, decoded when needed."""

    def __init__(self, reader: FieldReader, shape: Shape) -> None:
        self._format = _FORMATS[reader.u8(0, len(_FORMATS) - 1)]
        self._data = reader.block(min(reader.remaining, 8 * shape[0] * shape[1] * shape[2] + (1 << 16)))
        self._shape = shape
        self._reader = reader

    def decode(self) -> Tensor:
        """(C, H, W) uint8. Raises PayloadDamagedError on anything that is not a picture of this very shape."""
        channels, height, width = self._shape
        try:
            with Image.open(io.BytesIO(self._data), formats=[self._format]) as image:
                if image.size != (width, height):  # before its pixels are allocated
                    raise self._reader.damaged("has a picture of another size")
                array = np.asarray(image.convert("L" if channels == 1 else "RGB"))
        except _UNREADABLE as error:
            raise self._reader.damaged("has a picture that cannot be decoded") from error
        return torch.from_numpy(array.reshape(height, width, channels).copy()).permute(2, 0, 1)

"""Dense optical flow between frames of one video, for planning groups and for starting the search of motion."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from neuralcipher.flows.latent.warp import BLOCK

FloatArray = NDArray[np.float32]

_LARGEST_SIDE = 480  # flow is computed on pictures shrunk to about this
_SMALLEST_SIDE = 32  # below, the pyramid of the method has no room
_REMEMBERED = 96


class OpticalFlow:
    """Flow by dense inverse search (DIS, Kroeger et al., 2016), from OpenCV.

    Far frames are reached by way of the frames between them: the flow into the middle and on from there starts the
    search, since motion that is too fast for one step is often slow enough for two.
    """

    def __init__(self, pictures: Tensor) -> None:
        """pictures: (N, 3, H, W) uint8."""
        self._height, self._width = pictures.shape[2:]
        self._shrink = max(1, round(max(self._height, self._width) / _LARGEST_SIDE))
        self._grey = [self._prepared(picture) for picture in pictures]
        self._method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        height, width = self._grey[0].shape
        self._x, self._y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        self._flow = lru_cache(maxsize=_REMEMBERED)(self._dense)

    def blocks(self, frame: int, reference: int, rows: int, columns: int) -> Tensor:
        """(2, rows, columns) int64: mean motion of each 8x8 block of `frame` into `reference`, in quarter pixels."""
        if min(self._grey[0].shape) < _SMALLEST_SIDE:
            return torch.zeros(2, rows, columns, dtype=torch.int64)
        dense = torch.from_numpy(np.ascontiguousarray(self._flow(frame, reference)[..., ::-1])).permute(2, 0, 1)[None]
        scaled = F.interpolate(dense * self._shrink, size=(self._height, self._width), mode="nearest")
        padding = (0, columns * BLOCK - self._width, 0, rows * BLOCK - self._height)
        mean = F.avg_pool2d(F.pad(scaled, padding, mode="replicate"), BLOCK)[0]
        return (mean * 4).round().long()

    def error(self, frame: int, reference: int) -> FloatArray:
        """Mean squared error, in [0, 1] squared, of blocks of `frame` as flow predicts them; (rows, columns)."""
        moved: FloatArray = self._grey[reference].astype(np.float32)
        if min(moved.shape) >= _SMALLEST_SIDE:
            moved = self._moved(moved, self._flow(frame, reference))
        return _block_means((self._grey[frame] / np.float32(255) - moved / np.float32(255)) ** 2)

    def detail(self, frame: int) -> FloatArray:
        """Variance within blocks of `frame`, in [0, 1] squared; (rows, columns)."""
        grey = self._grey[frame] / np.float32(255)
        return _block_means(grey**2) - _block_means(grey) ** 2

    def _prepared(self, picture: Tensor) -> NDArray[np.uint8]:
        grey = cv2.cvtColor(np.ascontiguousarray(picture.permute(1, 2, 0).cpu().numpy()), cv2.COLOR_RGB2GRAY)
        if self._shrink > 1:
            size = -(-self._width // self._shrink), -(-self._height // self._shrink)
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        return np.asarray(grey, dtype=np.uint8)

    def _dense(self, frame: int, reference: int) -> FloatArray:
        start = np.empty(0, dtype=np.float32)  # none
        if abs(frame - reference) > 1:
            middle = (frame + reference) // 2
            first, second = self._flow(frame, middle), self._flow(middle, reference)
            start = np.ascontiguousarray(first + self._moved(second, first))
        found = self._method.calc(self._grey[frame], self._grey[reference], start)
        return np.asarray(found, dtype=np.float32)

    def _moved(self, picture: FloatArray, flow: FloatArray) -> FloatArray:
        x, y = self._x + flow[..., 0], self._y + flow[..., 1]
        moved = cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(moved, dtype=np.float32)


def _block_means(plane: FloatArray) -> FloatArray:
    height, width = plane.shape
    padded = np.pad(plane, ((0, -height % BLOCK), (0, -width % BLOCK)), mode="edge")
    means: FloatArray = padded.reshape(-(-height // BLOCK), BLOCK, -1, BLOCK).mean(axis=(1, 3))
    return means

"""Scene cuts: how much each frame differs from the one before, and where that is a cut.

A cut stands out from the frames around it; a flash does not, since a change as large follows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

_ROWS, _COLUMNS = 36, 64
_LEAST = 12  # grey levels on average: below it, a picture shows the same scene
_OUTSTANDING = 3.0
_AROUND = 2


class ChangeMeter:
    """How much the brightness of each frame differs from that of the frame before, on a few of its rows."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._last: NDArray[np.float32] | None = None

    def change(self, frame: av.VideoFrame) -> int:
        """The mean absolute difference in grey levels, 0..255.

        0 for the first frame, and for one of another size or that cannot be converted.
        """
        try:
            small = self._small(frame)
        except (av.error.FFmpegError, ValueError):  # reading the frame says why
            return 0
        last, self._last = self._last, small
        return 0 if last is None or last.shape != small.shape else round(float(np.abs(small - last).mean()))

    def _small(self, frame: av.VideoFrame) -> NDArray[np.float32]:
        if not _has_plain_luma(frame):
            frame = self._reformatter.reformat(frame, width=_COLUMNS, height=_ROWS, format="gray")
        plane = frame.planes[0]
        rows = np.frombuffer(cast(Any, plane), np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width]
        rows = rows[:: -(-frame.height // _ROWS)]
        width = max(1, frame.width // _COLUMNS)
        count = frame.width // width
        small: NDArray[np.float32] = rows[:, : count * width].reshape(len(rows), count, width).mean(2, dtype=np.float32)
        return small


def _has_plain_luma(frame: av.VideoFrame) -> bool:
    """Whether the first plane is brightness, a byte a pixel: cheaper to look at than to convert."""
    luma = frame.format.components[0]
    return frame.format.is_planar and not frame.format.is_rgb and luma.is_luma and luma.bits == 8


def scene_cuts(changes: Sequence[int]) -> tuple[int, ...]:
    """The numbers of the frames that begin a scene, the first frame aside.

    changes: of every frame from the one before, 0..255, the first of them of no meaning.
    """
    cuts = []
    for index in range(1, len(changes)):
        if changes[index] < _LEAST:
            continue
        around = [*changes[max(1, index - _AROUND) : index], *changes[index + 1 : index + 1 + _AROUND]]
        if not around or changes[index] >= _OUTSTANDING * max(1, *around):
            cuts.append(index)
    return tuple(cuts)

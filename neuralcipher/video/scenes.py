"""Scene cuts: how much each frame differs from the one before, and where that is a cut.

A cut stands out from the frames around it; a flash does not, since a change as large follows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import sub

import av
from av.video.reformatter import VideoReformatter

_ROWS, _COLUMNS = 36, 64
_LEAST = 12  # grey levels on average: below it, a picture shows the same scene
_OUTSTANDING = 3.0
_AROUND = 2


class ChangeMeter:
    """How much the brightness of each frame differs from that of the frame before, at some of its pixels.

    It runs in the child that decodes, which loads no NumPy.
    """

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._last = b""

    def change(self, frame: av.VideoFrame) -> int:
        """The mean absolute difference in grey levels, 0..255.

        0 for the first frame, and for one of another size or that cannot be converted.
        """
        try:
            seen = self._seen(frame)
        except (av.error.FFmpegError, ValueError):  # reading the frame says why
            return 0
        last, self._last = self._last, seen
        return 0 if len(last) != len(seen) else round(sum(map(abs, map(sub, seen, last))) / len(seen))

    def _seen(self, frame: av.VideoFrame) -> bytes:
        if not _has_plain_luma(frame):
            frame = self._reformatter.reformat(frame, width=_COLUMNS, height=_ROWS, format="gray")
        plane = frame.planes[0]
        pixels, stride = memoryview(plane).cast("B"), plane.line_size
        across = -(-frame.width // _COLUMNS)
        rows = range(0, frame.height, -(-frame.height // _ROWS))
        return b"".join(bytes(pixels[row * stride : row * stride + frame.width : across]) for row in rows)


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

"""What runs on the nodes of a Ray cluster. Light, so that a process is prepared before torch is loaded."""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING, Any

from neuralcipher.errors import NeuralCipherError
from neuralcipher.process import good_neighbour

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from neuralcipher.pipeline.fitting import SegmentReport

DONE, FAILED, OTHER_VERSION = "done", "failed", "version"

_REPORT_EVERY_S = 1.0


def fit_segment(
    version: str, options: dict[str, Any], task: tuple[Any, ...], frames: NDArray[np.uint8], board: Any, threads: int
) -> tuple[str, Any]:
    """Fit one segment here: (DONE, its bytes), (FAILED, the error), or (OTHER_VERSION, (node, version)).

    version: of neuralcipher where the segment comes from; another is refused before anything else is looked at.
    options: fields of SealOptions. task: see `SegmentTask.plain`. board: a handle of `Board`.
    """
    import neuralcipher

    if neuralcipher.__version__ != version:
        return OTHER_VERSION, (platform.node(), neuralcipher.__version__)
    good_neighbour()
    os.environ["OPENCV_FOR_THREADS_NUM"] = str(threads)
    import torch

    from neuralcipher.pipeline.crew import Desk, Seldom, Work, fault, fit_one
    from neuralcipher.pipeline.fitting import SegmentFitter, SegmentTask
    from neuralcipher.pipeline.options import SealOptions

    torch.set_num_threads(threads)
    report = Seldom(board.report.remote, _REPORT_EVERY_S)
    desk = Desk(report, board.tell.remote, lambda number, data: None, float("inf"))
    # What lies in the object store cannot be written to, and torch warns of that.
    work = Work(SegmentTask.of(task), torch.from_numpy(frames.copy()), None)
    try:
        return DONE, fit_one(SegmentFitter(SealOptions(**options)), work, desk).to_bytes()
    except NeuralCipherError as error:
        return FAILED, error
    except Exception as error:
        return FAILED, fault(error)


class Board:
    """An actor that holds the news of all tasks until the driver takes them: the last report of each segment."""

    def __init__(self) -> None:
        self._reports: dict[int, SegmentReport] = {}
        self._told: list[str] = []

    def report(self, number: int, part: SegmentReport) -> None:
        """Note how far a segment is."""
        self._reports[number] = part

    def tell(self, sentence: str) -> None:
        """Note a sentence for the user."""
        self._told.append(sentence)

    def take(self) -> tuple[dict[int, SegmentReport], list[str]]:
        """What came since the last time."""
        news = self._reports, self._told
        self._reports, self._told = {}, []
        return news

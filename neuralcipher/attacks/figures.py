"""What a row may show in the report: plain data, drawn by `neuralcipher.attacks.report`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Lines:
    """Curves over one axis. series: name -> (x values, y values). marks: name -> height of a horizontal line."""

    title: str
    x_label: str
    y_label: str
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]]
    marks: Mapping[str, float] = field(default_factory=dict)
    log_x: bool = False


@dataclass(frozen=True, slots=True)
class Histogram:
    """A null distribution and where the observed value lies. samples: draws from the null. observed: name -> value."""

    title: str
    x_label: str
    samples: Sequence[float]
    observed: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Matrix:
    """A matrix as grey levels, such as the distances of Fig. 4. values: (rows, columns). low, high: of the scale."""

    title: str
    x_label: str
    y_label: str
    values: NDArray[np.float64]
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Pictures:
    """Rows of pictures with captions. rows: one list of (caption, (H, W, 3) uint8) per row."""

    title: str
    rows: Sequence[Sequence[tuple[str, NDArray[np.uint8]]]]


Figure = Lines | Histogram | Matrix | Pictures

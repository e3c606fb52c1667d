"""Figures as plain JSON and back: pictures as PNG in base64."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neuralcipher.attacks.figures import Figure, Histogram, Lines, Matrix, Pictures


def figure_to_dict(figure: Figure) -> dict[str, Any]:
    """A figure as JSON values, with its kind."""
    if isinstance(figure, Lines):
        series = {name: [_numbers(x), _numbers(y)] for name, (x, y) in figure.series.items()}
        marks = {name: float(value) for name, value in figure.marks.items()}
        return {**_axes(figure), "kind": "lines", "series": series, "marks": marks, "log_x": figure.log_x}
    if isinstance(figure, Histogram):
        observed = {name: float(value) for name, value in figure.observed.items()}
        samples = _numbers(figure.samples)
        return {
            "kind": "histogram",
            "title": figure.title,
            "x_label": figure.x_label,
            "samples": samples,
            "observed": observed,
        }
    if isinstance(figure, Matrix):
        values = [_numbers(row) for row in figure.values]
        return {**_axes(figure), "kind": "matrix", "values": values, "low": figure.low, "high": figure.high}
    rows = [[[caption, picture_to_base64(picture)] for caption, picture in row] for row in figure.rows]
    return {"kind": "pictures", "title": figure.title, "rows": rows}


def figure_from_dict(fields: Mapping[str, Any]) -> Figure:
    """The figure of what `figure_to_dict` returned. Raises KeyError or ValueError for anything else."""
    kind = fields["kind"]
    if kind == "lines":
        series = {name: (x, y) for name, (x, y) in fields["series"].items()}
        axes = fields["title"], fields["x_label"], fields["y_label"]
        return Lines(*axes, series, fields["marks"], fields["log_x"])
    if kind == "histogram":
        return Histogram(fields["title"], fields["x_label"], fields["samples"], fields["observed"])
    if kind == "matrix":
        values = np.array(fields["values"], dtype=np.float64)
        return Matrix(
            fields["title"], fields["x_label"], fields["y_label"], values, float(fields["low"]), float(fields["high"])
        )
    if kind != "pictures":
        raise ValueError(f"no figure is of the kind {kind!r}")
    rows = [[(caption, _picture_from_base64(png)) for caption, png in row] for row in fields["rows"]]
    return Pictures(fields["title"], rows)


def picture_to_base64(picture: NDArray[np.uint8]) -> str:
    """(H, W, 3) uint8 as PNG in base64."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _picture_from_base64(text: str) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(base64.b64decode(text))) as image:
        return np.asarray(image.convert("RGB"), dtype=np.uint8)


def _axes(figure: Lines | Matrix) -> dict[str, Any]:
    return {"title": figure.title, "x_label": figure.x_label, "y_label": figure.y_label}


def _numbers(values: Any) -> list[float]:
    return [float(value) for value in values]

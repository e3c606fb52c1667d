"""The report as plain JSON, by the schema in `neuralcipher/data/attack-report.schema.json`, and figures to and fro."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neuralcipher.attacks.base import CONTROL_LEVEL, Info, Measurement, Verdict
from neuralcipher.attacks.figures import Figure, Histogram, Lines, Matrix, Pictures
from neuralcipher.attacks.judge import Row
from neuralcipher.attacks.session import Settings
from neuralcipher.errors import UsageError

SCHEMA = "neuralcipher.attack/1"
"""Changes with every change of meaning, not with every field that is added."""


class Finished(Protocol):
    """What a report is made of. target, versions: plain JSON. seconds: of the whole run. started: ISO 8601."""

    @property
    def target(self) -> Mapping[str, Any]: ...
    @property
    def settings(self) -> Settings: ...
    @property
    def rows(self) -> tuple[Row, ...]: ...
    @property
    def seconds(self) -> float: ...
    @property
    def started(self) -> str: ...
    @property
    def versions(self) -> Mapping[str, str]: ...
    @property
    def command(self) -> str: ...
    @property
    def partial(self) -> bool: ...
    @property
    def verdict(self) -> Verdict: ...


def record(report: Finished) -> dict[str, Any]:
    """The whole report without its figures; numbers that JSON cannot write become null."""
    return {
        "schema": SCHEMA,
        "target": plain(report.target),
        "seed": report.settings.seed,
        "settings": {
            "depth": report.settings.depth,
            "seed": report.settings.seed,
            "budget_s": report.settings.budget_s,
            "device": report.settings.device,
        },
        "versions": plain(report.versions),
        "command": report.command,
        "started": report.started,
        "seconds": plain(report.seconds),
        "verdict": report.verdict.value,
        "partial": report.partial,
        "attacks": [row_to_dict(row) for row in report.rows if not row.skipped],
        "skipped": [{"name": row.info.name, "reason": row.skipped} for row in report.rows if row.skipped],
    }


def row_to_dict(row: Row) -> dict[str, Any]:
    """One attack: what it states, what it found on the target and on its controls."""
    info, target = row.info, row.target
    found: dict[str, Any] = plain(
        {
            "value": target and target.value,
            "unit": target.unit if target else "",
            "interval": target and target.interval,
            "confidence": target and target.confidence,
            "threshold": target and target.threshold,
            "p_value": target and target.p_value,
            "p_adjusted": row.adjusted,
            "samples": target.samples if target else 0,
            "effort": target.effort if target else "",
            "note": target.note if target else "",
            "flags": target.flags if target else (),
            "details": target.details if target else {},
        }
    )
    return {
        **stated(info),
        **found,
        "verdict": row.verdict.value,
        "known": row.known,
        "controls": {
            "positive": _control(row.positive, "caught", rejected=True),
            "negative": _control(row.negative, "passed", rejected=False),
        },
        "seconds": plain(row.seconds),
        "error": row.error,
    }


def stated(info: Info) -> dict[str, Any]:
    """What an attack states of itself."""
    return {
        "number": info.number,
        "name": info.name,
        "title": info.title,
        "property": list(info.properties),
        "threat_model": [model.value for model in info.threat_models],
        "statistic": info.statistic,
        "null": info.null,
        "rule": info.rule,
    }


def _control(measured: Measurement | None, word: str, *, rejected: bool) -> dict[str, Any] | None:
    if measured is None:
        return None
    right = measured.rejects(CONTROL_LEVEL) is rejected
    return {"value": plain(measured.value), "p_value": plain(measured.p_value), word: right}


def plain(value: Any) -> Any:
    """Plain JSON: numbers of numpy become Python's, tuples lists, keys text, and what is not finite null.

    Raises TypeError on anything else.
    """
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [plain(inner) for inner in value]
    raise TypeError(f"a report holds plain JSON, not {type(value).__name__}")


def png_base64(pixels: NDArray[np.uint8]) -> str:
    """A lossless PNG of (H, W) or (H, W, 3) uint8, as base64 text."""
    stored = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stored, "PNG", optimize=True)
    return base64.b64encode(stored.getvalue()).decode("ascii")


def _pixels(text: str) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(base64.b64decode(text))) as picture:
        return np.asarray(picture.convert("RGB"), dtype=np.uint8)


def figure_to_dict(figure: Figure) -> dict[str, Any]:
    """A figure as plain JSON, pictures as base64 PNG; `figure_from_dict` gives it back."""
    if isinstance(figure, Lines):
        return {
            "kind": "lines",
            "title": figure.title,
            "x_label": figure.x_label,
            "y_label": figure.y_label,
            "series": {name: [plain(list(x)), plain(list(y))] for name, (x, y) in figure.series.items()},
            "marks": plain(figure.marks),
            "log_x": figure.log_x,
        }
    if isinstance(figure, Histogram):
        return {
            "kind": "histogram",
            "title": figure.title,
            "x_label": figure.x_label,
            "samples": plain(list(figure.samples)),
            "observed": plain(figure.observed),
        }
    if isinstance(figure, Matrix):
        return {
            "kind": "matrix",
            "title": figure.title,
            "x_label": figure.x_label,
            "y_label": figure.y_label,
            "values": plain(figure.values),
            "low": plain(figure.low),
            "high": plain(figure.high),
        }
    rows = [[{"caption": caption, "png": png_base64(pixels)} for caption, pixels in row] for row in figure.rows]
    return {"kind": "pictures", "title": figure.title, "rows": rows}


def figure_from_dict(data: Mapping[str, Any]) -> Figure:
    """The figure that `figure_to_dict` stored; null comes back as NaN. Raises UsageError on another kind."""
    kind = data.get("kind")
    if kind == "lines":
        series = {name: (_floats(x), _floats(y)) for name, (x, y) in data["series"].items()}
        labels = (data["title"], data["x_label"], data["y_label"])
        return Lines(*labels, series, {name: _float(value) for name, value in data["marks"].items()}, data["log_x"])
    if kind == "histogram":
        observed = {name: _float(value) for name, value in data["observed"].items()}
        return Histogram(data["title"], data["x_label"], _floats(data["samples"]), observed)
    if kind == "matrix":
        values = np.array([_floats(row) for row in data["values"]], dtype=np.float64)
        labels = (data["title"], data["x_label"], data["y_label"])
        return Matrix(*labels, values, _float(data["low"]), _float(data["high"]))
    if kind == "pictures":
        rows = [[(item["caption"], _pixels(item["png"])) for item in row] for row in data["rows"]]
        return Pictures(data["title"], rows)
    raise UsageError(f"no figure is of kind {kind!r}")


def _float(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _floats(values: Sequence[float | None]) -> list[float]:
    return [_float(value) for value in values]

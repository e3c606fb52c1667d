"""A finished run with every kind of row and figure, made by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neuralcipher.attacks.base import Info, Measurement, Needs, ThreatModel, Verdict
from neuralcipher.attacks.figures import Histogram, Lines, Matrix, Pictures
from neuralcipher.attacks.judge import Row
from neuralcipher.attacks.session import Settings

NOISE = np.random.default_rng(0)
LINES = Lines(
    "quality against distance <&>",
    "bits flipped",
    "PSNR, dB",
    {"target": ([1, 2, 4, 8, 1024], [30.0, 20.5, 12.0, 11.0, 11.2]), "imposters": ([1, 1024], [11.0, 11.1])},
    marks={"mean frame": 23.0},
    log_x=True,
)
HISTOGRAM = Histogram("a null", "correlation", NOISE.normal(0, 0.1, 500).tolist(), {"observed": 0.86})
MATRIX = Matrix("distances", "latent", "latent", NOISE.random((40, 40)), 0.0, 1.0)
PICTURES = Pictures(
    "recovered, true, mean",
    [[(name, NOISE.integers(0, 256, (16, 24, 3), dtype=np.uint8)) for name in ("recovered", "true", "mean")]] * 2,
)
FIGURES = (LINES, HISTOGRAM, MATRIX, PICTURES)


def info(number: int, name: str, **other: Any) -> Info:
    fields = {
        "title": f"attack {number} with a title that is rather long for a narrow screen",
        "properties": (1, 2),
        "threat_models": (ThreatModel.KNOWN_CIPHERTEXT,),
        "needs": Needs.GENERATOR,
        "statistic": "2 acc - 1",
        "null": "0 <exactly>",
        "rule": "p <= level",
        "positive": "identity",
        "negative": "chacha20",
        "failure": "someone could tell.",
    }
    return Info(number, name, **(fields | other))


CAUGHT = Measurement(0.98, "advantage", 100, (0.9, 1.0), p_value=1e-12)
PASSED = Measurement(0.01, "advantage", 100, (-0.1, 0.12), p_value=0.4)
FOUND = Measurement(
    0.5,
    "advantage",
    100,
    (0.4, 0.6),
    p_value=1e-9,
    note='<script>alert(1)</script> says "it\'s" broken',
    effort="100 keys",
    flags=("zero gradient",),
    details={"counts": np.arange(3), "share": np.float64(0.25), "nothing": float("nan")},
    figures=FIGURES,
)
COST = Measurement(3e4, "USD", 9, (2e4, 4e4), threshold=1000.0)


def rows() -> tuple[Row, ...]:
    active = {"threat_models": (ThreatModel.ACTIVE,), "properties": ()}
    return (
        Row(info(8, "cycles"), Verdict.BROKEN, 1.5, CAUGHT, PASSED, FOUND, adjusted=4e-9),
        Row(info(2, "mean-frame"), Verdict.NOT_BROKEN, 0.1, CAUGHT, PASSED, PASSED, adjusted=0.8),
        Row(
            info(3, "imposter", threat_models=(ThreatModel.NEAR_KEY, ThreatModel.KNOWN_CIPHERTEXT)),
            Verdict.NOT_BROKEN,
            0.1,
            CAUGHT,
            PASSED,
            Measurement(0.0, "dB", 3, figures=(PICTURES,)),
        ),
        Row(
            info(6, "state-future", threat_models=(ThreatModel.STATE_COMPROMISE,), properties=(3,)),
            Verdict.BROKEN,
            0.1,
            CAUGHT,
            PASSED,
            Measurement(1.0, "share", 3, broken=True, known=True),
        ),
        Row(info(9, "weak-gate"), Verdict.INVALID, 0.1, PASSED, PASSED, PASSED),
        Row(
            info(23, "guessing", **active),
            Verdict.NOT_BROKEN,
            2.0,
            Measurement(7.4, "USD", 9, broken=True),
            Measurement(3.2e4, "USD", 9),
            COST,
        ),
        Row(info(16, "crash"), Verdict.ERROR, 0.1, error="ValueError: no <tag> at f, line 3"),
        Row(info(24, "container", **active), Verdict.INCONCLUSIVE, 0.0, skipped="there is no bundle file to attack"),
    )


@dataclass(frozen=True)
class Finished:
    """What the engine hands over, with the same fields."""

    target: Mapping[str, Any] = field(
        default_factory=lambda: {"name": "weak <g>", "kind": "generator", "sha256": "ab" * 32, "shape": [3, 128, 128]}
    )
    settings: Settings = field(default_factory=lambda: Settings(seed=7))
    rows: tuple[Row, ...] = field(default_factory=rows)
    seconds: float = 12.5
    started: str = "2026-01-02T03:04:05+00:00"
    versions: Mapping[str, str] = field(default_factory=lambda: {"neuralcipher": "0.1.0", "torch": "2.13.0"})
    command: str = "ncipher attack --quick --seed 7 weak-identity"
    partial: bool = False

    @property
    def verdict(self) -> Verdict:
        """The worst row that is not known."""
        order = [Verdict.NOT_BROKEN, Verdict.INCONCLUSIVE, Verdict.INVALID, Verdict.ERROR, Verdict.BROKEN]
        found = [row.verdict for row in self.rows if not row.known and not row.skipped]
        return max(found, key=order.index, default=Verdict.INCONCLUSIVE)

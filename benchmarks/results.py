"""What was measured, kept on disk: rows are written as they come, so that a run that is cut short can go on."""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import av
import scaling
import torch
from curves import Comparison, Point, compare_curves
from metrics import similarity_db

OURS = "neuralcipher"
YARDSTICK = "x264 medium"
_LIBRARIES = ("neuralcipher", "torch", "av", "numpy", "pytorch-msssim", "bjontegaard", "scipy", "constriction")

Key = tuple[str, str, str, float]


@dataclass(frozen=True, slots=True)
class Row:
    """One point. budget_s: seconds asked for, 0 for codecs that take none. seconds: of sealing, training or encoding.

    fps: frames a second from the coded bytes to RGB in memory. note: what else explains the figures. The measures are
    those of `metrics.Metrics`.
    """

    clip: str
    codec: str
    setting: str
    budget_s: float
    width: int
    height: int
    frames: int
    bytes: int
    bpp: float
    psnr_rgb: float
    psnr_rgb_pooled: float
    psnr_yuv611: float
    ms_ssim: float
    window: str
    seconds: float
    fps: float
    note: str = ""

    @property
    def key(self) -> Key:
        """What `--resume` recognises a row by."""
        return self.clip, self.codec, self.setting, self.budget_s

    @property
    def curve(self) -> str:
        """The name of the curve that the point belongs to."""
        return f"{self.codec}, {self.budget_s:g} s" if self.budget_s else self.codec


class Results:
    """The rows of one folder: rd.json and rd.md. Raises FileExistsError if there are some and `resume` is false."""

    def __init__(self, folder: Path, *, resume: bool, threads: int) -> None:
        self.folder = folder
        self.rows: list[Row] = []
        self.runs: list[dict[str, object]] = []
        self.scaling: list[dict[str, Any]] = []
        folder.mkdir(parents=True, exist_ok=True)
        stored = folder / "rd.json"
        if stored.exists():
            if not resume:
                raise FileExistsError(f"{stored} is there already: pass --resume to add to it, or another folder")
            content = json.loads(stored.read_text())
            self.runs, self.scaling = content["runs"], content["scaling"]
            self.rows = [Row(**row) for row in content["rows"]]
        self.runs.append(_environment(threads))

    def find(self, key: Key) -> Row | None:
        """The row that was measured already."""
        return next((row for row in self.rows if row.key == key), None)

    def add(self, row: Row) -> None:
        """Keep a row and write everything."""
        self.rows.append(row)
        self.write()

    def write(self) -> None:
        """Replace rd.json and rd.md."""
        content = {
            "runs": self.runs,
            "rows": [asdict(row) for row in self.rows],
            "comparisons": [asdict(comparison) for comparison in self.comparisons()],
            "scaling": self.scaling,
        }
        _replace(self.folder / "rd.json", json.dumps(content, indent=1) + "\n")
        _replace(self.folder / "rd.md", self.markdown())

    def curves(self, clip: str) -> dict[str, list[Row]]:
        """The rows of a clip by curve, each in order of bytes: ours, then the peers', then the encoders'."""
        named: dict[str, list[Row]] = {}
        here = [row for row in self.rows if row.clip == clip]
        for row in sorted(here, key=lambda row: (row.codec != OURS, not row.budget_s)):
            named.setdefault(row.curve, []).append(row)
        return {name: sorted(rows, key=lambda row: row.bytes) for name, rows in named.items()}

    def clips(self) -> list[str]:
        """The clips in the order in which they were measured."""
        return list(dict.fromkeys(row.clip for row in self.rows))

    def comparisons(self) -> list[Comparison]:
        """Ours, at every budget, against every codec that takes none."""
        found = []
        for clip in self.clips():
            curves = self.curves(clip)
            for ours in (name for name, rows in curves.items() if rows[0].codec == OURS):
                for other in (name for name, rows in curves.items() if not rows[0].budget_s):
                    name = clip if len(_budgets(curves)) == 1 else f"{clip}, {curves[ours][0].budget_s:g} s"
                    found.append(compare_curves(name, other, _points(curves[other]), _points(curves[ours])))
        return found

    def markdown(self) -> str:
        """Both tables, and the scaling if it was measured."""
        commands = "".join(f"    {command}\n" for command in dict.fromkeys(run["command"] for run in self.runs))
        parts = [commands, points_table(self)]
        if comparisons := self.comparisons():
            parts.append(comparison_table(comparisons))
        if self.scaling:
            parts.append(scaling.markdown(self.scaling))
        return "\n".join(parts)


def points_table(results: Results) -> str:
    """Every row."""
    lines = [
        "| clip | codec | setting | bytes | bpp | PSNR RGB | PSNR YUV 6:1:1 | MS-SSIM (window) | seconds | fps |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for clip in results.clips():
        for curve, rows in results.curves(clip).items():
            for row in rows:
                note = f"{row.setting}, {row.note}" if row.note else row.setting
                lines.append(
                    f"| {clip} | {curve} | {note} | {row.bytes:,} | {row.bpp:.4f} | {row.psnr_rgb:.2f} dB "
                    f"| {row.psnr_yuv611:.2f} dB | {_similarity(row)} | {row.seconds:.2f} | {row.fps:.0f} |"
                )
    return "\n".join(lines) + "\n"


def comparison_table(comparisons: Sequence[Comparison]) -> str:
    """Delta rates, and our bytes over the other's at equal RGB PSNR."""
    lines = [
        "| clip | ours against | BD-rate, PSNR | BD-rate, MS-SSIM | bytes at equal PSNR, 28-34 dB | point by point |",
        "|---|---|---|---|---|---|",
    ]
    for one in comparisons:
        ratios = ", ".join(_or_dash(ratio, ".2f") for ratio in one.ratios)
        lines.append(
            f"| {one.clip} | {one.against} | {_or_dash(one.bd_psnr, '+.1f', ' %')} "
            f"| {_or_dash(one.bd_ms_ssim, '+.1f', ' %')} | {_or_dash(one.median, '.2f')} | {ratios} |"
        )
    return "\n".join(lines) + "\n"


def _similarity(row: Row) -> str:
    """MS-SSIM with the window's side; below 97 px on the short side it is SSIM."""
    kind, window = row.window.split()
    side = window.split("x")[0]
    return f"{row.ms_ssim:.4f} ({side})" if kind == "ms-ssim" else f"{row.ms_ssim:.4f} (SSIM, {side})"


def _or_dash(value: float | None, form: str, unit: str = "") -> str:
    return "-" if value is None else format(value, form) + unit


def _budgets(curves: dict[str, list[Row]]) -> set[float]:
    return {rows[0].budget_s for rows in curves.values() if rows[0].codec == OURS}


def _points(rows: Sequence[Row]) -> tuple[list[Point], list[Point]]:
    return [(row.bytes, row.psnr_rgb) for row in rows], [(row.bytes, similarity_db(row.ms_ssim)) for row in rows]


def _environment(threads: int) -> dict[str, object]:
    return {
        "command": shlex.join(["python", *sys.argv]),
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "threads": threads,
        "torch_capability": torch.backends.cpu.get_cpu_capability(),
        "libraries": {name: version(name) for name in _LIBRARIES},
        "ffmpeg": {name: ".".join(map(str, number)) for name, number in av.library_versions.items()},
    }


def _replace(path: Path, text: str) -> None:
    """Write beside the path and rename, so that no cut leaves half a file."""
    temporary = path.with_suffix(path.suffix + ".part")
    temporary.write_text(text)
    temporary.replace(path)

"""One picture per clip: bits per pixel against RGB PSNR, readable at small size."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from results import OURS, Results, Row

_OURS_COLOUR = "#d1242f"
_COLOURS = ("#1f4e79", "#5b9bd5", "#2e8b57", "#8a5fbf", "#7f7f7f")
_MARKERS = "svD^P"
_PEERS = {"autoencoder": "x", "NeRV": "+", "HNeRV": "*"}


def plot_clip(results: Results, clip: str) -> Path:
    """Draw a clip's curves into a PNG in the results' folder; returns its path."""
    curves = results.curves(clip)
    figure, axes = plt.subplots(figsize=(7.6, 4.2), dpi=150)
    others = 0
    for name, rows in curves.items():
        x, y = [row.bytes / 1000 for row in rows], [row.psnr_rgb for row in rows]
        if rows[0].codec == OURS:
            axes.plot(x, y, "o-", color=_OURS_COLOUR, linewidth=2.6, markersize=7, label=name, zorder=5)
        elif rows[0].budget_s:
            axes.plot(x, y, _PEERS.get(rows[0].codec, "1"), color="black", markersize=10, markeredgewidth=2, label=name)
        else:
            colour, marker = _COLOURS[others % 5], _MARKERS[others % 5]
            axes.plot(x, y, f"{marker}-", color=colour, linewidth=1.4, markersize=4.5, label=name)
            others += 1
    _dress(axes, clip, next(iter(curves.values()))[0])
    path = results.folder / (re.sub(r"[^A-Za-z0-9]+", "-", clip).strip("-") + ".png")
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)
    return path


def _dress(axes: Axes, clip: str, row: Row) -> None:
    """Titles, scales, and a second axis in bits per pixel."""
    per_bpp = row.width * row.height * row.frames / 8000  # kilobytes that one bit per pixel makes
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    above = axes.secondary_xaxis("top", functions=(partial(np.multiply, 1 / per_bpp), partial(np.multiply, per_bpp)))
    above.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    above.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    above.xaxis.set_minor_formatter(NullFormatter())
    above.set_xlabel("bits per pixel")
    axes.set_xlabel("kilobytes")
    axes.set_ylabel("PSNR (RGB, dB)")
    axes.set_title(clip, fontsize=12, fontweight="bold")
    axes.grid(alpha=0.3)
    axes.spines["right"].set_visible(False)
    axes.legend(fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)  # beside: hides no point

"""Plots of results through matplotlib, which the extra `plots` brings: pip install "neuralcipher[plots]".

Each function draws onto the Axes that it is given, or onto a new one of pyplot, and returns it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from neuralcipher.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from neuralcipher.attacks.judge import Row
    from neuralcipher.pipeline.comparing import Comparison
    from neuralcipher.pipeline.examining import Examination

_BINS = 30


def rate_distortion(found: Comparison, ax: Axes | None = None) -> Axes:
    """PSNR in dB over bits per pixel, one point for each codec of `neuralcipher.pipeline.comparing.compare`.

    Raises UsageError if no codec has a result.
    """
    rows = [row for row in found.rows if not row.error]
    if not rows:
        raise UsageError("no codec of this comparison has a result", hint="its rows say why in `error`")
    axes = _axes(ax)
    pixels = found.frames * found.width * found.height
    for row in rows:
        name = f"{row.codec} {row.note}".rstrip()
        at = 8 * row.size_bytes / pixels
        # Filled: a flow, whose bundle is encrypted. Open: a classical encoder.
        filled = "none" if row.keyed is None else "full"
        axes.plot([at], [row.psnr_db], marker="o", linestyle="", fillstyle=filled, label=name)
        axes.annotate(name, (at, row.psnr_db), xytext=(5, 5), textcoords="offset points")
    axes.set_xlabel("bits per pixel")
    axes.set_ylabel("PSNR, dB")
    axes.set_title(f"{found.frames} frames of {found.width}x{found.height}")
    axes.margins(0.2)
    return axes


def quality_by_frame(found: Examination, ax: Axes | None = None) -> Axes:
    """PSNR in dB of every frame that `neuralcipher.pipeline.examining.examine` compared with its original.

    Raises UsageError if nothing was compared.
    """
    if found.fit is None or found.fit.quality is None:
        raise UsageError(f"no frame of {found.name} was compared with its original", hint="pass original= to examine")
    axes = _axes(ax)
    axes.plot([frame.number for frame in found.fit.frames], [frame.psnr_db for frame in found.fit.frames])
    axes.axhline(
        found.fit.quality.psnr_db, linestyle="--", color="C1", label=f"mean {found.fit.quality.psnr_db:.2f} dB"
    )
    axes.set_xlabel("frame")
    axes.set_ylabel("PSNR, dB")
    axes.set_title(found.name)
    axes.legend()
    return axes


def null_distribution(row: Row, ax: Axes | None = None) -> Axes:
    """The draws from an attack's null distribution, and where the target's value lies among them.

    row: of a report of `neuralcipher.attacks.run`, as long as its attack keeps such draws. Raises UsageError if not.
    """
    from neuralcipher.attacks.figures import Histogram

    figures = row.target.figures if row.target is not None else ()
    found = next((figure for figure in figures if isinstance(figure, Histogram)), None)
    if found is None:
        raise UsageError(f"the attack {row.info.name} kept no draws from its null", hint="choose another row")
    axes = _axes(ax)
    axes.hist(list(found.samples), bins=_BINS, color="0.6", label="null")
    for i, (name, value) in enumerate(found.observed.items()):
        axes.axvline(value, linestyle="--", color=f"C{i}", label=f"{name}: {value:.4g}")
    axes.set_xlabel(found.x_label)
    axes.set_ylabel("draws from the null")
    axes.set_title(found.title)
    axes.legend()
    return axes


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot
    except ImportError:
        raise UsageError(
            "plots need matplotlib, which is not installed", hint='run: pip install "neuralcipher[plots]"'
        ) from None
    axes: Axes = pyplot.subplots()[1]
    return axes

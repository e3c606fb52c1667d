"""Figures as inline SVG or as pictures within the page: no scripts, no styles of their own, nothing from elsewhere.

Colours come from classes of the page, so that light and dark follow the reader's settings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from neuralcipher.attacks.figures import Figure, Histogram, Lines, Matrix, Pictures
from neuralcipher.attacks.report.record import png_base64

WIDTH, HEIGHT = 400, 230
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 10, 42
COLOURS = 6
_BINS = 30
_MOST_PIXELS = 512


@dataclass(frozen=True, slots=True)
class Axis:
    """Maps values to places. low, high: values at the places start and end; log: by powers of ten."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def place(self, value: float) -> float:
        """Where a value lies; outside values stay at the border."""
        low, high, at = (math.log10(v) if self.log else v for v in (self.low, self.high, max(value, self._least)))
        share = min(1.0, max(0.0, (at - low) / (high - low)))
        return self.start + share * (self.end - self.start)

    @property
    def _least(self) -> float:
        return self.low if self.log else -math.inf

    def ticks(self) -> list[float]:
        """Round values between low and high, two to seven of them."""
        if self.log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            step = max(1, math.ceil((last - first + 1) / 6))
            powers = [10.0**power for power in range(first, last + 1, step)]
            return powers if len(powers) > 1 else [self.low, self.high]
        raw = (self.high - self.low) / 5
        size = 10.0 ** math.floor(math.log10(raw))
        step_ = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= raw * 0.999)
        first = math.ceil(self.low / step_ - 1e-9)
        return [k * step_ for k in range(first, math.floor(self.high / step_ + 1e-9) + 1)]


def axis(values: Sequence[float], start: float, end: float, *, log: bool = False, margin: float = 0.04) -> Axis:
    """An axis that holds all finite values (all positive ones, if log) with a margin; 0..1 without any."""
    inside = [float(v) for v in values if math.isfinite(v) and (v > 0 or not log)]
    if not inside:
        return Axis(0.1 if log else 0.0, 1.0, start, end, log)
    low, high = min(inside), max(inside)
    if log:
        spread = max(10.0 ** (margin * math.log10(high / low)), 1.05 if high > low else 3.0)
        return Axis(low / spread, high * spread, start, end, True)
    spread = (high - low) * margin
    if spread <= max(abs(low), abs(high)) * 1e-9:  # one value, or as good as one
        spread = abs(high) * 0.5 or 0.5
    return Axis(low - spread, high + spread, start, end)


def number(value: float | None) -> str:
    """A number for a reader: four digits, or a dash for none."""
    if value is None or math.isnan(value):
        return "–"  # noqa: RUF001  (an en dash, as tables have it)
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e6:
        text = f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
        return text
    return f"{value:.3g}"


def figure_html(figure: Figure) -> str:
    """One figure with its caption."""
    if isinstance(figure, Lines):
        return _framed(figure.title, _lines(figure), _legend(list(figure.series), list(figure.marks)))
    if isinstance(figure, Histogram):
        return _framed(figure.title, _histogram(figure), _legend([], [_with_value(figure, n) for n in figure.observed]))
    if isinstance(figure, Matrix):
        return _framed(figure.title, _matrix(figure), f"<p>black {number(figure.low)}, white {number(figure.high)}</p>")
    return _framed(figure.title, _pictures(figure), "")


def shares_bar(label: str, shares: Sequence[tuple[str, float]]) -> str:
    """One bar cut into shares of a whole, with a key. shares: name and size, in the order of the bar."""
    total = sum(size for _, size in shares) or 1.0
    at, parts = 0.0, []
    for i, (_, size) in enumerate(shares):
        width = WIDTH * size / total
        parts.append(f'<rect class="f{i % COLOURS}" x="{at:.2f}" y="2" width="{width:.2f}" height="24"/>')
        at += width
    keys = [f"{name}, {100 * size / total:.1f} %" for name, size in shares]
    return f"<figure>{_svg(label, ''.join(parts), 28)}<figcaption>{_legend(keys, [])}</figcaption></figure>"


def _framed(title: str, body: str, below: str) -> str:
    return f"<figure>{body}<figcaption><p>{escape(title)}</p>{below}</figcaption></figure>"


def _with_value(figure: Histogram, name: str) -> str:
    return f"{name}: {number(figure.observed[name])}"


def _legend(series: Sequence[str], marks: Sequence[str]) -> str:
    items = [_key(f"s{i % COLOURS}", name, f"dash{i // COLOURS % 3}") for i, name in enumerate(series)]
    items += [_key(f"m{i % COLOURS}", name, "dashed") for i, name in enumerate(marks)]
    return f'<ul class="legend">{"".join(items)}</ul>' if items else ""


def _key(colour: str, name: str, dash: str) -> str:
    stroke = f'<line class="{colour} {dash}" x1="0" y1="5" x2="22" y2="5"/>'
    return f'<li><svg class="key" viewBox="0 0 22 10" aria-hidden="true">{stroke}</svg> {escape(name)}</li>'


def _svg(label: str, body: str, height: float = HEIGHT) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(label)}">'
        f"<title>{escape(label)}</title>{body}</svg>"
    )


def _frame(x: Axis, y: Axis, x_label: str, y_label: str) -> str:
    """Axes, grid, ticks and labels."""
    parts = []
    for tick in x.ticks():
        at = x.place(tick)
        parts.append(f'<line class="grid" x1="{at:.1f}" y1="{y.end:g}" x2="{at:.1f}" y2="{y.start:g}"/>')
        parts.append(f'<text x="{at:.1f}" y="{y.start + 14:g}" text-anchor="middle">{number(tick)}</text>')
    for tick in y.ticks():
        at = y.place(tick)
        parts.append(f'<line class="grid" x1="{x.start:g}" y1="{at:.1f}" x2="{x.end:g}" y2="{at:.1f}"/>')
        parts.append(f'<text x="{x.start - 5:g}" y="{at + 3.5:.1f}" text-anchor="end">{number(tick)}</text>')
    parts.append(f'<path class="axis" d="M{x.start:g} {y.end:g}V{y.start:g}H{x.end:g}"/>')
    middle = (x.start + x.end) / 2
    parts.append(f'<text x="{middle:g}" y="{y.start + 32:g}" text-anchor="middle">{escape(x_label)}</text>')
    down = (y.start + y.end) / 2
    turned = f'transform="rotate(-90 10 {down:g})" text-anchor="middle"'
    parts.append(f'<text x="10" y="{down:g}" {turned}>{escape(y_label)}</text>')
    return "".join(parts)


def _lines(figure: Lines) -> str:
    xs = [v for x, _ in figure.series.values() for v in x]
    ys = [v for _, y in figure.series.values() for v in y]
    across = axis(xs, LEFT, WIDTH - RIGHT, log=figure.log_x)
    up = axis([*ys, *figure.marks.values()], HEIGHT - BOTTOM, TOP)
    parts = [_frame(across, up, figure.x_label, figure.y_label)]
    for i, value in enumerate(figure.marks.values()):
        if math.isfinite(value):
            at = up.place(value)
            line = f'x1="{LEFT}" y1="{at:.1f}" x2="{WIDTH - RIGHT}" y2="{at:.1f}"'
            parts.append(f'<line class="m{i % COLOURS} dashed" {line}/>')
    for i, (x, y) in enumerate(figure.series.values()):
        points = [(across.place(a), up.place(b)) for a, b in zip(x, y, strict=True) if _drawable(a, b, figure.log_x)]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        parts.append(f'<polyline class="line s{i % COLOURS} dash{i // COLOURS % 3}" points="{path}"/>')
        if len(points) <= 40:
            parts += [f'<circle class="dot s{i % COLOURS}" cx="{a:.1f}" cy="{b:.1f}" r="2.4"/>' for a, b in points]
    return _svg(figure.title, "".join(parts))


def _drawable(x: float, y: float, log: bool) -> bool:
    return math.isfinite(x) and math.isfinite(y) and (x > 0 or not log)


def _histogram(figure: Histogram) -> str:
    samples = [float(v) for v in figure.samples if math.isfinite(v)]
    across = axis([*samples, *figure.observed.values()], LEFT, WIDTH - RIGHT)
    counts, edges = np.histogram(samples, bins=_BINS, range=(across.low, across.high))
    up = Axis(0.0, max(1.0, float(counts.max()) * 1.08), HEIGHT - BOTTOM, TOP)
    parts = [_frame(across, up, figure.x_label, "draws from the null")]
    for count, left, right in zip(counts.tolist(), edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        if count:
            x, top = across.place(left), up.place(count)
            size = f'width="{across.place(right) - x:.1f}" height="{up.start - top:.1f}"'
            parts.append(f'<rect class="bar" x="{x:.1f}" y="{top:.1f}" {size}/>')
    for i, value in enumerate(figure.observed.values()):
        if math.isfinite(value):
            at = across.place(value)
            parts.append(
                f'<line class="m{i % COLOURS} dashed" x1="{at:.1f}" y1="{TOP}" x2="{at:.1f}" y2="{up.start}"/>'
            )
    return _svg(figure.title, "".join(parts))


def grey(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.uint8]:
    """(rows, columns) as grey levels, low black and high white, not finite black; large ones are averaged down."""
    spread = high - low if high > low else 1.0
    shares = np.clip(np.nan_to_num((np.atleast_2d(values) - low) / spread, nan=0.0, posinf=1.0, neginf=0.0), 0, 1)
    for place in (0, 1):
        factor = -(-shares.shape[place] // _MOST_PIXELS)
        if factor > 1:
            starts = np.arange(0, shares.shape[place], factor)
            sizes = np.diff(np.append(starts, shares.shape[place]))
            sums = np.add.reduceat(shares, starts, axis=place)
            shares = sums / (sizes[:, None] if place == 0 else sizes)
    return np.asarray(np.rint(255 * shares), dtype=np.uint8)


def _matrix(figure: Matrix) -> str:
    rows, columns = np.atleast_2d(figure.values).shape
    source = f"data:image/png;base64,{png_base64(grey(figure.values, figure.low, figure.high))}"
    across, up = Axis(0, columns, LEFT, WIDTH - RIGHT), Axis(0, rows, TOP, TOP + 300)
    if rows == columns:
        across = Axis(0, columns, LEFT, LEFT + 300)
    size = f'width="{across.end - across.start:g}" height="{up.end - up.start:g}" preserveAspectRatio="none"'
    image = f'<image class="pixels" href="{source}" x="{across.start:g}" y="{up.start:g}" {size}/>'
    below = up.end + 14
    texts = [
        f'<text x="{across.start:g}" y="{below:g}">0</text>',
        f'<text x="{across.end:g}" y="{below:g}" text-anchor="end">{columns - 1}</text>',
        f'<text x="{(across.start + across.end) / 2:g}" y="{below + 16:g}" text-anchor="middle">'
        f"{escape(figure.x_label)}</text>",
        f'<text x="{across.start - 5:g}" y="{up.start + 9:g}" text-anchor="end">0</text>',
        f'<text x="{across.start - 5:g}" y="{up.end:g}" text-anchor="end">{rows - 1}</text>',
        f'<text x="10" y="160" transform="rotate(-90 10 160)" text-anchor="middle">{escape(figure.y_label)}</text>',
    ]
    return _svg(figure.title, image + "".join(texts), height=up.end + 38)


def _pictures(figure: Pictures) -> str:
    lines = []
    for row in figure.rows:
        items = []
        for caption, pixels in row:
            height, width = pixels.shape[:2]
            source = f"data:image/png;base64,{png_base64(pixels)}"
            sized = f'width="{width}" height="{height}" alt="{escape(caption)}"'
            items.append(f'<li><img class="pixels" src="{source}" {sized}><span>{escape(caption)}</span></li>')
        lines.append(f'<ul class="pictures">{"".join(items)}</ul>')
    return "".join(lines)


@dataclass(frozen=True, slots=True)
class Whisker:
    """One line of a forest plot. value: of the target; interval: around it; positive, negative: of the controls."""

    label: str
    value: float
    interval: tuple[float, float] | None
    threshold: float | None
    positive: float | None
    negative: float | None


def forest(unit: str, whiskers: Sequence[Whisker]) -> str:
    """Values of one unit under each other: the target's with its interval, and the controls'."""
    values = [v for w in whiskers for v in (w.value, *(w.interval or ()), w.threshold, w.positive, w.negative) if v]
    positive = all(v > 0 for v in values if math.isfinite(v))
    finite = [v for v in values if math.isfinite(v)]
    log = bool(finite) and positive and max(finite) > 1000 * min(finite)
    spacing, start = 34, 12
    bottom = start + spacing * len(whiskers)
    across = axis(values if log else [*values, 0.0], 12, WIDTH - 12, log=log)
    parts = []
    for tick in across.ticks():
        at = across.place(tick)
        parts.append(f'<line class="grid" x1="{at:.1f}" y1="{start}" x2="{at:.1f}" y2="{bottom}"/>')
        parts.append(f'<text x="{at:.1f}" y="{bottom + 14}" text-anchor="middle">{number(tick)}</text>')
    parts.append(f'<text x="{WIDTH / 2:g}" y="{bottom + 32}" text-anchor="middle">{escape(unit)}</text>')
    for i, whisker in enumerate(whiskers):
        parts.append(_whisker(whisker, across, start + spacing * i + 24))
    return _svg(f"values and intervals, {unit}", "".join(parts), height=bottom + 40)


def _whisker(whisker: Whisker, across: Axis, y: float) -> str:
    parts = [f'<text class="name" x="{across.start:g}" y="{y - 9:g}">{escape(whisker.label)}</text>']
    if whisker.interval is not None:
        low, high = (across.place(v) for v in whisker.interval)
        parts.append(f'<path class="whisker" d="M{low:.1f} {y - 4:g}V{y + 4:g}M{low:.1f} {y:g}H{high:.1f}M{high:.1f} ')
        parts[-1] += f'{y - 4:g}V{y + 4:g}"/>'
    if whisker.threshold is not None:
        at = across.place(whisker.threshold)
        parts.append(f'<line class="m1" x1="{at:.1f}" y1="{y - 8:g}" x2="{at:.1f}" y2="{y + 8:g}"/>')
    for kind, value in (("positive", whisker.positive), ("negative", whisker.negative)):
        if value is not None and math.isfinite(value):
            at = across.place(value)
            shape = f"M{at:.1f} {y - 4:g}l4 4l-4 4l-4 -4z" if kind == "positive" else f"M{at - 3:.1f} {y - 3:g}h6v6h-6z"
            parts.append(f'<path class="{kind}" d="{shape}"/>')
    if math.isfinite(whisker.value):
        parts.append(f'<circle class="target" cx="{across.place(whisker.value):.1f}" cy="{y:g}" r="4"/>')
    return "".join(parts)

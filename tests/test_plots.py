"""Results in a notebook: tables as HTML and as rows, plots on an Axes that is given or made."""

from __future__ import annotations

import sys
from dataclasses import fields, replace

import pytest

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

from matplotlib import pyplot  # noqa: E402
from plot_parts import COMPARISON, EXAMINED, ROW  # noqa: E402

from neuralcipher.attacks.engine import Report  # noqa: E402
from neuralcipher.attacks.session import Settings  # noqa: E402
from neuralcipher.errors import UsageError  # noqa: E402
from neuralcipher.pipeline.comparing import ComparedRow  # noqa: E402
from neuralcipher.plots import null_distribution, quality_by_frame, rate_distortion  # noqa: E402


@pytest.fixture(autouse=True)
def _closed():
    yield
    pyplot.close("all")


def test_rate_and_distortion() -> None:
    axes = rate_distortion(COMPARISON)
    points = [(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.get_lines()]
    # 100 and 40 bytes for 2 frames of 10x8.
    assert points == [(5.0, 30.0), (2.0, 29.0)]
    assert [line.get_fillstyle() for line in axes.get_lines()] == ["full", "none"]
    assert [text.get_text() for text in axes.texts] == ["latent", "x264 medium crf 30"]
    with pytest.raises(UsageError, match="no codec"):
        rate_distortion(replace(COMPARISON, rows=COMPARISON.rows[2:]))


def test_quality_by_frame() -> None:
    axes = quality_by_frame(EXAMINED)
    assert list(axes.get_lines()[0].get_xdata()) == [0, 1, 3]
    assert list(axes.get_lines()[0].get_ydata()) == [30.0, 32.0, 31.0]
    with pytest.raises(UsageError, match=r"no frame of x\.ncv was compared"):
        quality_by_frame(replace(EXAMINED, fit=None))


def test_a_null_distribution() -> None:
    axes = null_distribution(ROW)
    assert sum(bar.get_height() for bar in axes.patches) == 200
    assert axes.get_lines()[0].get_xdata()[0] == 3.5
    with pytest.raises(UsageError, match="kept no draws"):
        null_distribution(replace(ROW, target=None))


def test_the_axes_that_are_given_are_used() -> None:
    _, axes = pyplot.subplots()
    assert rate_distortion(COMPARISON, axes) is axes
    assert quality_by_frame(EXAMINED, axes) is axes
    assert null_distribution(ROW, axes) is axes
    assert len(pyplot.get_fignums()) == 1


def test_without_matplotlib_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match="plots need matplotlib") as caught:
        rate_distortion(COMPARISON)
    assert "pip install" in caught.value.hint


def test_a_comparison_as_rows_and_as_a_table() -> None:
    rows = COMPARISON.to_dicts()
    assert [row["codec"] for row in rows] == ["latent", "x264 medium", "bad<b>"]
    assert set(rows[0]) == {field.name for field in fields(ComparedRow)} - {"shown"}
    table = COMPARISON._repr_html_()
    assert table.count("<tr>") == 4
    assert "<td>30.00</td>" in table
    assert "bad&lt;b&gt;" in table
    assert "it &lt;failed&gt;" in table


def test_a_report_of_attacks_as_a_table() -> None:
    report = Report({"name": "t<b>"}, Settings(), (ROW,), 1.0, "2026-01-02T03:04:05+00:00", {}, "")
    table = report._repr_html_()
    assert "Attacks on t&lt;b&gt;: NOT BROKEN AT BUDGET" in table
    assert f"<td>{ROW.info.name}</td>" in table

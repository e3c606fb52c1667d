"""The report as data (against its schema) and as a page: everything escaped, nothing from elsewhere, figures true."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_parts import CAUGHT, FIGURES, FOUND, HISTOGRAM, LINES, MATRIX, PASSED, PICTURES, Finished, info

from neuralcipher.attacks.base import Measurement, Verdict
from neuralcipher.attacks.figures import Lines, Matrix, Pictures
from neuralcipher.attacks.judge import Row, settle
from neuralcipher.attacks.report import figure_from_dict, figure_to_dict, page, record, row_to_dict
from neuralcipher.attacks.report.record import plain
from neuralcipher.attacks.report.svg import Axis, Whisker, axis, figure_html, forest, grey, number
from neuralcipher.errors import UsageError

SCHEMA = json.loads((files("neuralcipher") / "data" / "attack-report.schema.json").read_text())
VOID = {"meta", "img", "br", "link"}
NUMBERS = st.floats(allow_nan=True, allow_infinity=True, width=32)


def as_json(value: Any) -> Any:
    return json.loads(json.dumps(value, allow_nan=False))


def test_the_record_fits_its_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    data = as_json(record(Finished()))
    jsonschema.validate(data, SCHEMA)
    assert data["verdict"] == "BROKEN"
    assert (data["seed"], data["settings"]["depth"], data["partial"]) == (7, "quick", False)
    assert data["skipped"] == [{"name": "container", "reason": "there is no bundle file to attack"}]
    assert [row["name"] for row in data["attacks"]][-1] == "crash"


@pytest.mark.parametrize("field", ["verdict", "attacks", "command", "seed"])
def test_the_schema_refuses_what_lacks_a_field(field: str) -> None:
    data = as_json(record(Finished()))
    del data[field]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, SCHEMA)


def test_a_row_says_what_it_found() -> None:
    row = row_to_dict(Row(info(8, "cycles"), Verdict.BROKEN, 1.5, CAUGHT, PASSED, FOUND, adjusted=4e-9))
    assert row["controls"] == {
        "positive": {"value": 0.98, "p_value": 1e-12, "caught": True},
        "negative": {"value": 0.01, "p_value": 0.4, "passed": True},
    }
    assert (row["value"], row["interval"], row["p_adjusted"], row["samples"]) == (0.5, [0.4, 0.6], 4e-9, 100)
    assert row["details"] == {"counts": [0, 1, 2], "share": 0.25, "nothing": None}
    assert (row["property"], row["threat_model"]) == ([1, 2], ["KC"])


def test_controls_that_failed_are_told() -> None:
    row = row_to_dict(Row(info(9, "x"), Verdict.INVALID, 0.0, PASSED, CAUGHT, None))
    assert row["controls"]["positive"]["caught"] is False
    assert row["controls"]["negative"]["passed"] is False
    assert (row["value"], row["interval"], row["p_value"]) == (None, None, None)
    nothing = row_to_dict(Row(info(9, "x"), Verdict.ERROR, 0.0))
    assert nothing["controls"] == {"positive": None, "negative": None}


@settings(max_examples=30)
@given(NUMBERS, NUMBERS, NUMBERS, st.integers(0, 10**9))
def test_any_number_fits_the_schema(value: float, low: float, high: float, samples: int) -> None:
    target = Measurement(value, "u", samples, (low, high), threshold=value, details={"x": [low, {"y": high}]})
    rows = settle([Row(info(9, "x"), Verdict.ERROR, 1.0, CAUGHT, PASSED, target)])
    report = Finished(rows=tuple(rows))
    jsonschema.validate(as_json(record(report)), SCHEMA)
    Page(page(report))


def test_what_is_not_json_is_refused() -> None:
    assert plain((1, np.int64(2), [np.bool_(True)])) == [1, 2, [True]]
    with pytest.raises(TypeError, match="not bytes"):
        plain({"key": b"secret"})


@pytest.mark.parametrize("figure", FIGURES, ids=["lines", "histogram", "matrix", "pictures"])
def test_a_figure_comes_back(figure: Any) -> None:
    back = figure_from_dict(as_json(figure_to_dict(figure)))
    assert type(back) is type(figure)
    assert back.title == figure.title
    if isinstance(figure, Pictures):
        for row, row_back in zip(figure.rows, back.rows, strict=True):
            for (name, pixels), (name_back, pixels_back) in zip(row, row_back, strict=True):
                assert name == name_back
                np.testing.assert_array_equal(pixels, pixels_back)
    elif isinstance(figure, Matrix):
        np.testing.assert_array_equal(back.values, figure.values)
        assert (back.low, back.high) == (figure.low, figure.high)
    else:
        assert figure_to_dict(back) == figure_to_dict(figure)


def test_a_stranger_figure_is_refused() -> None:
    with pytest.raises(UsageError, match="'pie'"):
        figure_from_dict({"kind": "pie"})


def test_missing_values_come_back_as_nan() -> None:
    back = figure_from_dict(as_json(figure_to_dict(Lines("t", "x", "y", {"a": ([1.0, 2.0], [math.inf, 3.0])}))))
    assert isinstance(back, Lines)
    assert math.isnan(back.series["a"][1][0])


class Page(HTMLParser):
    """Parses a page and refuses tags that do not close."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text.append(data)


def test_the_page_needs_nothing_else() -> None:
    parsed = Page(page(Finished()))
    names = {tag for tag, _ in parsed.tags}
    assert not names & {"script", "iframe", "object", "form", "base"}
    for _tag, attributes in parsed.tags:
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        for name in ("src", "href"):
            link = attributes.get(name) or "#"
            assert link.startswith(("#", "data:")), link
    text = page(Finished())
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    assert "url(" not in style[1]
    assert "@import" not in style[1]
    policy = next(a["content"] for tag, a in parsed.tags if tag == "meta" and "http-equiv" in a)
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert f"style-src 'sha256-{digest}'" in policy


def test_what_others_wrote_is_text() -> None:
    text = page(Finished())
    assert "<script>" not in text
    parsed = Page(text)
    assert any("<script>alert(1)</script> says" in piece for piece in parsed.text)
    assert any("weak <g>" in piece for piece in parsed.text)


def test_the_page_tells_what_matters() -> None:
    parsed = Page(page(Finished(partial=True)))
    text = " ".join(" ".join(parsed.text).split())
    for words in (
        "BROKEN. At least one attack broke the target. By: cycles.",
        "1 broken by design",
        "stopped before its end",
        "What this does not show",
        "the positive control was not caught",
        "cycles: zero gradient",
        "container: there is no bundle file to attack",
        "ncipher attack --quick --seed 7 weak-identity",
        "someone could tell.",
        "ValueError: no <tag> at f, line 3",
        "95 % interval 0.4 to 0.6",
        "Fig. 4",
        "Fig. 6",
    ):
        assert words in text, words
    anchors = {a["id"] for tag, a in parsed.tags if tag == "article"}
    links = {a["href"] for tag, a in parsed.tags if tag == "a"}
    assert links <= {f"#{anchor}" for anchor in anchors}


@pytest.mark.parametrize(("number_", "name"), [(8, "Fig. 4"), (2, "Fig. 5"), (3, "Fig. 6")])
def test_figures_of_the_paper_are_named_if_they_are_there(number_: int, name: str) -> None:
    drawn = Row(info(number_, "a"), Verdict.BROKEN, 1.0, CAUGHT, PASSED, FOUND)
    assert name in page(Finished(rows=(drawn,)))
    empty = replace(drawn, target=PASSED)
    assert name not in page(Finished(rows=(empty,)))


def test_a_page_without_rows_stands() -> None:
    text = " ".join(Page(page(Finished(rows=()))).text)
    assert "INCONCLUSIVE" in text
    assert "no attack ran" in text


@given(NUMBERS, NUMBERS)
def test_an_axis_keeps_its_values_inside(a: float, b: float) -> None:
    for log in (False, True):
        made = axis([a, b], 10, 110, log=log)
        assert made.low < made.high
        assert 1 <= len(made.ticks()) <= 12
        for value in (a, b):
            if math.isfinite(value):
                assert 10 <= made.place(value) <= 110


def test_places_by_hand() -> None:
    assert Axis(0, 10, 100, 0).place(2.5) == 75
    assert Axis(1, 100, 0, 10, log=True).place(10) == pytest.approx(5)
    assert Axis(1, 100, 0, 10, log=True).place(-3) == 0
    assert Axis(0, 1, 0, 1).ticks() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert Axis(1, 1000, 0, 1, log=True).ticks() == pytest.approx([1, 10, 100, 1000])
    assert [number(v) for v in (None, 0, 0.5, 1234.5, 1e-9, 3.2e8, math.inf)] == [
        "–",  # noqa: RUF001
        "0",
        "0.5",
        "1,234",
        "1e-09",
        "3.2e+08",
        "inf",
    ]


def test_lines_are_drawn_where_they_are() -> None:
    figure = Lines("t", "x", "y", {"a": ([0.0, 1.0], [0.0, 1.0])})
    points = re.search(r'points="([^"]*)"', figure_html(figure))
    assert points is not None
    (x0, y0), (x1, y1) = (tuple(map(float, pair.split(","))) for pair in points[1].split())
    assert x0 < x1
    assert y0 > y1  # up is up


def test_the_bars_of_a_histogram_are_its_counts() -> None:
    heights = [float(h) for h in re.findall(r'class="bar".*?height="([\d.]+)"', figure_html(HISTOGRAM))]
    assert len(heights) > 3
    tallest = max(heights)
    counts, _ = np.histogram(HISTOGRAM.samples, bins=30, range=_limits())
    shares = [c / counts.max() for c in counts if c]
    assert [h / tallest for h in heights] == pytest.approx(shares, abs=0.01)


def _limits() -> tuple[float, float]:
    made = axis([*HISTOGRAM.samples, *HISTOGRAM.observed.values()], 0, 1)
    return made.low, made.high


def test_grey_levels() -> None:
    values = np.array([[0.0, 0.5], [1.0, np.nan]])
    assert grey(values, 0, 1).tolist() == [[0, 128], [255, 0]]
    assert grey(np.full((2000, 700), 0.25), 0, 1).shape == (500, 350)
    assert set(grey(np.full((1030, 3), 0.2), 0, 1).ravel().tolist()) == {51}
    assert "data:image/png;base64," in figure_html(MATRIX)
    assert figure_html(PICTURES).count("<img") == 6
    assert "quality against distance &lt;&amp;&gt;" in figure_html(LINES)


def test_a_forest_has_every_mark() -> None:
    drawn = forest("USD", [Whisker("a", 3e4, (2e4, 4e4), 1000.0, 7.0, None), Whisker("b", 1.0, None, None, None, 2.0)])
    assert drawn.count('class="target"') == 2
    assert drawn.count('class="whisker"') == 1
    assert drawn.count('class="positive"') == 1
    assert drawn.count('class="negative"') == 1

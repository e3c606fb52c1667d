"""The page of `ncipher report`: everything escaped, nothing from elsewhere, long bundles bounded."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from bundle_page_parts import COUNT, SEGMENTS, attacked, examined
from chromium import needs_chromium, seen_at
from report_parts import Finished

from neuralcipher.attacks.report.bundle_page import bundle_page
from neuralcipher.attacks.report.summary import summarised, summary_fragment


def points(page: str, title: str) -> list[str]:
    chart = page[page.index(f"<title>{title}</title>") :]
    found = re.search(r'points="([^"]*)"', chart)
    assert found is not None
    return found[1].split()


def test_what_others_wrote_is_text() -> None:
    page = bundle_page(examined(), attacked())
    for tag in ("<b>", "<i>", "<u>", "<s>", "<script>", "\u202e"):
        assert tag not in page.replace("<b>If", ""), tag
    assert "a_rather_long_name_of_a_file_without_a_single_space_in_it_&lt;b&gt;_&amp;_more.mp4" in page
    assert "default-src &#x27;none&#x27;" in page


def test_a_long_bundle_makes_no_long_page() -> None:
    page = bundle_page(examined(), None)
    assert "36 more are not listed" in page
    assert len(points(page, "PSNR by frame")) == -(-COUNT // 3)
    assert "Each point is the mean of 3 frames." in page
    short = examined()
    assert short.fit is not None
    few = bundle_page(replace(short, fit=replace(short.fit, frames=short.fit.frames[:5])), None)
    assert len(points(few, "PSNR by frame")) == 5
    assert "Each point" not in few


def test_the_bar_has_the_shares() -> None:
    page = bundle_page(examined(), None)
    widths = [float(w) for w in re.findall(r'<rect class="f\d" x="[\d.]+" y="2" width="([\d.]+)"', page)]
    assert [w / sum(widths) for w in widths] == pytest.approx(
        [400 / 450, 3.6 / 450, 40 / 450, 1 / 450, 5.4 / 450], abs=1e-3
    )


def test_the_damaged_segment_is_named() -> None:
    page = bundle_page(examined(), None)
    assert page.count("<td>damaged</td>") == 1
    assert page.count("<td>whole</td>") == min(SEGMENTS, 64) - 1
    assert "(hits flow 3, generator 3)" in page


def test_the_summary_has_every_row() -> None:
    found = summarised(Finished(partial=True))
    page, fragment = bundle_page(examined(), found), summary_fragment(found)
    for text in (page, fragment):
        for row in Finished().rows:
            assert row.info.name in text
        assert "BROKEN BY DESIGN" in text
        assert "not run, there is no bundle file to attack" in text
        assert "0.5 advantage (0.4 to 0.6)" in text
        assert "before its end" in text
        assert "<script>" not in text
    assert "<style" not in fragment


@needs_chromium
@pytest.mark.parametrize("width", [360, 1100])
def test_the_page_fits_a_screen(tmp_path: Path, width: int) -> None:
    seen = seen_at(tmp_path, bundle_page(examined(), attacked()), width)
    assert seen["scroll"] <= width
    assert seen["wide"] == []
    assert seen["charts"] == 3
    assert seen["small"] > 200
    assert seen["images"]
    assert seen["console"] == []

"""`ncipher compare`: real flows and real encoders on a few frames of the carried clip."""

from __future__ import annotations

import json

import pytest
from command import fails, run
from PIL import Image

SMALL = ("--scale", "48x32", "--max-frames", "3", "--budget", "1")


def test_a_comparison(work):
    done = run(
        "compare", "video.mp4", "--flows", "latent,autoencoder", *SMALL,
        "--html", "c.html", "--sheet", "c.png", "--json", cwd=work,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert (found["frames"], found["width"], found["height"]) == (3, 48, 32)
    assert [row["flow"] for row in found["rows"]][:2] == ["latent", "autoencoder"]
    latent, autoencoder, x264, av1 = found["rows"]
    raw = 3 * 48 * 32 * 3
    for row in found["rows"]:
        assert row["ratio"] == pytest.approx(raw / row["size_bytes"], abs=0.01)
        assert 0 < row["ssim"] <= 1
        assert row["decode_fps"] > 0
        assert row["encode_s_per_frame"] > 0
    assert latent["psnr_db"] > autoencoder["psnr_db"]  # after a second, the paper's flow is noise
    assert (latent["keyed"], autoencoder["keyed"], x264["keyed"]) == (True, True, None)
    assert autoencoder["parameters"] == 48_003  # nconv 32: 896 + 5 * 9,248 + 867
    assert x264["psnr_db"] >= latent["psnr_db"]
    assert av1["psnr_db"] >= latent["psnr_db"]
    page = (work / "c.html").read_text()
    assert "default-src 'none'" in page
    assert page.count("<tr>") == 5
    with Image.open(work / "c.png") as sheet:
        assert sheet.size == (3 * 48, 5 * (32 + 16))


def test_the_sound_is_not_counted(work):
    """The clip's sound alone takes 113 KB for 60 frames; the row is below what 3 frames of raw video take."""
    done = run("compare", "video.mp4", "--flows", "latent", *SMALL, "--json", cwd=work)
    assert json.loads(done.stdout)["rows"][0]["size_bytes"] < 3 * 48 * 32 * 3


def test_bad_input(work):
    fails(work, 2, "no flow is called 'latnt'", "compare", "video.mp4", "--flows", "latnt", *SMALL)
    fails(work, 2, "nothing to compare", "compare", "video.mp4", "--flows", ",", *SMALL)
    fails(work, 2, "a budget is a positive number", "compare", "video.mp4", "--budget", "0")
    fails(work, 2, "does not exist", "compare", "video.mp4", *SMALL, "--html", "no/c.html")
    (work / "c.html").write_text("mine")
    fails(work, 6, "exists already", "compare", "video.mp4", *SMALL, "--html", "c.html")
    assert (work / "c.html").read_text() == "mine"

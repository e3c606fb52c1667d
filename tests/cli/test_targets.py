"""`ncipher seal` aiming at a size or a PSNR, as a user types it."""

from __future__ import annotations

import json

import pytest
from command import fails, run

from neuralcipher.cli.seal import parse_bytes
from neuralcipher.errors import UsageError
from neuralcipher.pipeline.options import PRESETS

TINY = ["--generator", "chacha20", "-O", "steps=0", "--max-frames", "8", "--scale", "64x48"]
SEAL = ["seal", "video.mp4", "-k", "k.bin", "-o", "n.ncv"]


@pytest.fixture
def silent(work):
    """`work`, with eight frames of the video in a folder and no sound beside them."""
    run("open", "video.ncv", "-k", "k.bin", "-o", "frames/", cwd=work)
    return work


def test_a_size_is_kept(silent):
    done = run("seal", "frames", "-k", "k.bin", "--target-size", "2.5k", "--json", *TINY, cwd=silent)
    report = json.loads(done.stdout)
    assert report["size_bytes"] == (silent / "frames.ncv").stat().st_size
    assert 0.75 * 2500 <= report["size_bytes"] <= 2500
    assert report["warnings"] == []
    assert "to meet the target" in done.stderr
    run("open", "frames.ncv", "-k", "k.bin", "-o", "o.mp4", cwd=silent)


def test_a_psnr_is_kept(silent):
    done = run("seal", "frames", "-k", "k.bin", "--target-psnr", "27.5", "--json", *TINY, cwd=silent)
    assert 27.4 <= json.loads(done.stdout)["psnr_db"] <= 28.5


def test_key_frames_and_the_upscaler_have_options_of_their_own(silent):
    recurrent = ["--flow", "recurrent", "-O", "nconv=2", *TINY[:-4], "--max-frames", "4", "--scale", "32x24"]
    sizes = {}
    for name, options in {"plain": [], "keyed": ["--keyframe-threshold", "99"], "up": ["--upscale", "2"]}.items():
        done = run("seal", "frames", "-k", "k.bin", "-o", f"{name}.ncv", "--json", *recurrent, *options, cwd=silent)
        sizes[name] = json.loads(done.stdout)["psnr_db"]
    assert sizes["keyed"] == 100.0  # every frame is a key-frame
    assert len({*sizes.values()}) == 3
    fails(silent, 2, "the flow latent has no option 'upscale'", *SEAL, "--upscale", "2")


def test_pictures_are_tuned_for_what_is_asked(silent):
    shown = {}
    for tune in ("psnr", "ms-ssim"):
        done = run("seal", "frames", "-k", "k.bin", "-o", f"{tune}.ncv", "--json", "--tune", tune, *TINY, cwd=silent)
        shown[tune] = json.loads(done.stdout)["psnr_db"]
    assert shown["psnr"] != shown["ms-ssim"]
    sentence = "tune of the latent flow must be one of psnr, ms-ssim, not 'vmaf'"
    fails(silent, 2, sentence, *SEAL, "--tune", "vmaf")
    fails(silent, 2, "the flow mlp has no option 'tune'", *SEAL, "--flow", "mlp", "--tune", "psnr")


def test_a_size_that_cannot_be_met_gives_a_bundle_and_a_sentence(silent):
    done = run("seal", "frames", "-k", "k.bin", "--target-size", "100", "--json", *TINY, cwd=silent)
    report = json.loads(done.stdout)
    assert report["warnings"] == [
        f"aimed at 100 bytes, reached {report['size_bytes']:,}, the nearest that the flow latent came"
    ]
    assert report["warnings"][0] in done.stderr
    run("open", "frames.ncv", "-k", "k.bin", "-o", "o.mp4", cwd=silent)


@pytest.mark.parametrize(
    ("sentence", "arguments"),
    [
        ("cannot both be aimed at", ["--target-size", "2k", "--target-psnr", "30"]),
        ("a target chooses the quality", ["--target-size", "2k", "--quality", "50"]),
        ("a target chooses the quality", ["--target-psnr", "30", "-O", "quality=50"]),
        ("the flow autoencoder cannot aim", ["--target-size", "2k", "--flow", "autoencoder"]),
        ("the flow autoencoder cannot aim", ["--target-psnr", "30", "--flow", "autoencoder"]),
        ("the sound takes", ["--target-size", "2k", *TINY]),
        ("a PSNR of 61 dB", ["--target-psnr", "61"]),
        ("a PSNR of nan dB", ["--target-psnr", "nan"]),
        ("--target-psnr", ["--target-psnr", "good"]),
        ("a size of 0 bytes", ["--target-size", "0"]),
        ("a size of 0 bytes", ["--target-size", "0.2"]),
        ("'-5' is not a size", ["--target-size=-5"]),
        ("'' is not a size", ["--target-size", ""]),
        ("'small' is not a size", ["--target-size", "small"]),
        ("'1,5M' is not a size", ["--target-size", "1,5M"]),
        ("'1e6' is not a size", ["--target-size", "1e6"]),
        ("'5T' is not a size", ["--target-size", "5T"]),
        ("'5kM' is not a size", ["--target-size", "5kM"]),
    ],
)
def test_bad_targets_are_one_sentence(work, sentence, arguments):
    fails(work, 2, sentence, *SEAL, *arguments)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("500000", 500_000),
        ("500k", 500_000),
        ("500K", 500_000),
        ("1.5M", 1_500_000),
        ("2MB", 2_000_000),
        ("2 mb", 2_000_000),
        ("300KiB", 307_200),
        ("300Ki", 307_200),
        ("1.5MiB", 1_572_864),
        ("1G", 10**9),
        ("1GiB", 2**30),
        ("12B", 12),
        ("0.1k", 100),
        (" 7 ", 7),
    ],
)
def test_sizes(text, size):
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["٣k", "1.k", ".5k", "k", "1kk", "1 000", "0x10", "1k\n2", "9" * 16, "+5"])
def test_what_is_no_size(text):
    with pytest.raises(UsageError, match="is not a size"):
        parse_bytes(text)


def test_the_help_states_the_presets(tmp_path):
    text = " ".join(run("seal", "--help", cwd=tmp_path).stdout.split())
    assert ", ".join(PRESETS).replace(", best", " or best") in text
    seconds = [f"{value:g}" for value in PRESETS.values()]
    assert f"{seconds[0]}, {seconds[1]} or {seconds[2]} seconds per megapixel" in text

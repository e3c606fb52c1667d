"""Sealing and opening as a library: what callers may rely on, and damage of every kind."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import numpy as np
import pytest

import neuralcipher
from neuralcipher import Key, SealOptions
from neuralcipher.errors import (
    BundleError,
    CancelledError,
    NeuralCipherError,
    OutputExistsError,
    UsageError,
    WrongKeyError,
)
from neuralcipher.pipeline.upkeep import rotate, verify
from neuralcipher.video.reading import probe, read_audio, read_frames

SMALL = {"max_frames": 6, "scale": "96x-1", "budget_s": 0.5}


@pytest.fixture(scope="module")
def key() -> Key:
    return neuralcipher.generate_key()


@pytest.fixture(scope="module")
def bundle(key, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("pipeline") / "video.ncv"
    neuralcipher.seal(neuralcipher.demo_clip(), path, keys=[key], options=SealOptions(**SMALL))
    return path


def refused(data: bytes, key: Key, folder: Path) -> None:
    """Opening `data` raises a BundleError or WrongKeyError and leaves nothing beside it."""
    path = folder / "damaged.ncv"
    path.write_bytes(data)
    with pytest.raises((BundleError, WrongKeyError)):
        neuralcipher.open_bundle(path, folder / "out.y4m", keys=[key])
    assert [entry.name for entry in folder.iterdir()] == ["damaged.ncv"]


def test_opened_video_has_the_timestamps_the_size_and_the_sound(bundle, key, tmp_path):
    neuralcipher.open_bundle(bundle, tmp_path / "o.mkv", keys=[key])
    source = probe(neuralcipher.demo_clip(), max_frames=6, scale="96x-1")
    opened = probe(tmp_path / "o.mkv")
    assert (opened.info.width, opened.info.height, opened.info.frames) == (96, 54, 6)
    assert opened.info.duration_s == pytest.approx(float(source.info.duration_s), abs=0.05)
    assert read_audio(tmp_path / "o.mkv", opened.audio_end) is not None
    pairs = zip(read_frames(neuralcipher.demo_clip(), source), read_frames(tmp_path / "o.mkv", opened), strict=True)
    for truth, picture in pairs:
        error = np.mean((truth.astype(float) - picture) ** 2)
        assert error < 255**2 / 10**2.4, "at least 24 dB"


def test_y4m_has_a_frame_for_every_tick_of_the_clip(bundle, key, tmp_path):
    report = neuralcipher.open_bundle(bundle, tmp_path / "o.y4m", keys=[key])
    assert report.frames == 6
    assert (tmp_path / "o.y4m").read_bytes().startswith(b"YUV4MPEG2 W96 H54 ")


def test_outputs_are_not_overwritten_unless_forced(bundle, key, tmp_path):
    target = tmp_path / "o.y4m"
    target.write_text("mine")
    with pytest.raises(OutputExistsError):
        neuralcipher.open_bundle(bundle, target, keys=[key])
    assert target.read_text() == "mine"
    neuralcipher.open_bundle(bundle, target, keys=[key], force=True)
    assert target.read_bytes().startswith(b"YUV4MPEG2")
    with pytest.raises(OutputExistsError):
        neuralcipher.seal(neuralcipher.demo_clip(), target, keys=[key])


@pytest.mark.parametrize("stage", ["reading", "fitting", "checking"])
def test_a_callback_that_raises_cancels_sealing_and_leaves_nothing(key, tmp_path, stage):
    def stop(progress) -> None:
        if progress.stage == stage:
            raise CancelledError("enough")

    options = SealOptions(generator="chacha20", max_frames=2, scale="32x-1", budget_s=0.2)
    with pytest.raises(CancelledError):
        neuralcipher.seal(neuralcipher.demo_clip(), tmp_path / "o.ncv", keys=[key], options=options, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_a_callback_that_raises_cancels_opening_and_leaves_nothing(bundle, key, tmp_path):
    def stop(progress) -> None:
        raise CancelledError("enough")

    for name in ("o.mp4", "o.y4m", "o/"):
        with pytest.raises(CancelledError):
            neuralcipher.open_bundle(bundle, f"{tmp_path}/{name}", keys=[key], progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_bundles_cut_at_every_97th_byte_are_refused(bundle, key, tmp_path):
    data = bundle.read_bytes()
    for length in range(0, len(data), 97):
        refused_or_empty(data[:length], key, tmp_path)


def refused_or_empty(data: bytes, key: Key, folder: Path) -> None:
    if data:
        refused(data, key, folder)
        return
    (folder / "damaged.ncv").touch()
    with pytest.raises(NeuralCipherError, match="empty"):
        neuralcipher.open_bundle(folder / "damaged.ncv", folder / "out.y4m", keys=[key])


def test_one_flipped_bit_anywhere_is_noticed(bundle, key, tmp_path):
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    whole = bundle.read_bytes()
    for _ in range(40):
        data = bytearray(whole)
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        refused(bytes(data), key, tmp_path)


def test_appended_bytes_version_2_and_huge_headers_are_refused(bundle, key, tmp_path):
    data = bundle.read_bytes()
    for damaged in (data + b"\0", data + data, data[:8] + b"\2\0" + data[10:], data[:12] + b"\xff" * 4 + data[16:]):
        refused(damaged, key, tmp_path)


def test_verify_names_the_damaged_section(bundle, key, tmp_path):
    data = bytearray(bundle.read_bytes())
    data[-3000] ^= 1
    (tmp_path / "d.ncv").write_bytes(data)
    problems = verify(tmp_path / "d.ncv", keys=[key])
    assert problems
    assert any("chunk" in problem.message or problem.sections for problem in problems)
    assert verify(bundle, keys=[key]) == []


def test_rotating_keeps_the_pictures_and_drops_other_keys(bundle, key, tmp_path):
    path, new = tmp_path / "r.ncv", neuralcipher.generate_key()
    shutil.copy(bundle, path)
    rotate(path, keys=[key], new_keys=[new])
    with pytest.raises(WrongKeyError):
        neuralcipher.open_bundle(path, tmp_path / "o.y4m", keys=[key])
    neuralcipher.open_bundle(path, tmp_path / "new.y4m", keys=[new])
    neuralcipher.open_bundle(bundle, tmp_path / "old.y4m", keys=[key])
    assert (tmp_path / "new.y4m").read_bytes() == (tmp_path / "old.y4m").read_bytes()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"flow": "latnet"}, "no flow"),
        ({"generator": "fiestel"}, "no generator"),
        ({"suite": "open"}, "no suite"),
        ({"aead": "rot13"}, "rot13"),
        ({"flow_options": {"nconv": 3}}, "no option 'nconv'"),
        ({"flow_options": {"quality": 1000}}, "quality"),
        ({"device": "tpu"}, "no device"),
        ({"scale": "0x0"}, "0x0"),
        ({"max_frames": 0}, "frame"),
    ],
)
def test_unknown_choices_are_refused_before_anything_is_written(key, tmp_path, options, sentence):
    with pytest.raises(UsageError, match=sentence):
        neuralcipher.seal(
            neuralcipher.demo_clip(), tmp_path / "o.ncv", keys=[key], options=SealOptions(**{**SMALL, **options})
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("budget_s", [0, -1, float("nan"), float("inf")])
def test_impossible_budgets_are_refused(budget_s):
    with pytest.raises(UsageError, match="budget"):
        SealOptions(budget_s=budget_s)


def test_sealing_needs_a_key(tmp_path):
    with pytest.raises(UsageError, match="needs a key"):
        neuralcipher.seal(neuralcipher.demo_clip(), tmp_path / "o.ncv", keys=[])


@pytest.mark.slow
@pytest.mark.parametrize("generator", ["chacha20", "autoencoder"])
def test_every_generator_seals_and_opens(key, tmp_path, generator):
    options = SealOptions(
        generator=generator,
        flow="autoencoder",
        flow_options={"nconv": 8},
        max_frames=4,
        scale="48x-1",
        budget_s=1,
    )
    report = neuralcipher.seal(neuralcipher.demo_clip(), tmp_path / "o.ncv", keys=[key], options=options)
    assert (report.generator, report.flow) == (generator, "autoencoder")
    assert neuralcipher.open_bundle(tmp_path / "o.ncv", tmp_path / "o.y4m", keys=[key]).frames == 4
    with pytest.raises(UsageError, match="trained on its keystream"):
        rotate(tmp_path / "o.ncv", keys=[key], new_keys=[key])
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["o.ncv", "o.y4m"]

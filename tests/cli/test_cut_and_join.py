"""`ncipher cut`, `join` and `extract-audio` as a user types them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from in_process import Here

import neuralcipher
from neuralcipher import Key, SealOptions

KEY, OTHER = Key(bytes(range(32))), Key(bytes(range(1, 33)))


@pytest.fixture(scope="module")
def sealed_parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of six frames in three segments, with sound; a bare one; keys."""
    folder = tmp_path_factory.mktemp("parts")
    KEY.write(folder / "k.bin")
    OTHER.write(folder / "other.bin")
    options = SealOptions(max_frames=6, segment_frames=2, scale="32x-1", generator="chacha20", budget_s=0.1)
    neuralcipher.seal(neuralcipher.demo_clip(), folder / "v.ncv", keys=[KEY, OTHER], options=options)
    bare = SealOptions(
        max_frames=1, scale="32x-1", generator="chacha20", budget_s=0.1, suite="bare", include_private=True
    )
    neuralcipher.seal(neuralcipher.demo_clip(), folder / "bare.ncv", keys=[KEY], options=bare)
    return folder


@pytest.fixture
def ncipher(sealed_parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Here:
    shutil.copytree(sealed_parts, tmp_path / "work")
    return Here(tmp_path / "work", capsys)


def test_cut_open_and_join_again(ncipher: Here) -> None:
    done = ncipher("cut", "v.ncv", "-k", "k.bin", "--segments", "0")
    assert done.stdout.startswith("v.0-0.ncv: 2 frames in 1 segments, 0.080 s, ")
    assert "other keys of the bundles do not open v.0-0.ncv" in done.stderr
    fields = json.loads(ncipher("cut", "v.ncv", "-k", "k.bin", "--segments", "1-", "-o", "b.ncv", "--json").stdout)
    assert (fields["bundle"], fields["segments"], fields["frames"], fields["dropped_slots"]) == ("b.ncv", 2, 4, 1)
    ncipher("join", "v.0-0.ncv", "b.ncv", "-k", "k.bin", "-o", "again.ncv")
    ncipher("open", "again.ncv", "-k", "k.bin", "-o", "again.mp4")
    ncipher("open", "v.ncv", "-k", "k.bin", "-o", "v.mp4")
    folder = ncipher.folder
    assert (folder / "again.mp4").read_bytes() == (folder / "v.mp4").read_bytes()
    assert "whole" in ncipher("verify", "again.ncv", "-k", "k.bin").stdout
    quiet = ncipher("join", "v.0-0.ncv", "b.ncv", "-k", "k.bin", "-k", "other.bin", "-o", "both.ncv", "-q")
    assert quiet.stderr == ""
    assert "  flow 2: " in (listed := ncipher("info", "both.ncv", "-k", "other.bin").stdout)
    assert listed.count(", 2 frames") == 3
    ncipher("join", "v.0-0.ncv", "v.0-0.ncv", "-k", "k.bin", "-o", "twice.ncv", "--allow-overlap", "--no-sound")
    ncipher.fails(1, "twice.ncv has no sound", "extract-audio", "twice.ncv", "-k", "k.bin", "-o", "s.m4a")


@pytest.mark.parametrize(
    ("code", "sentence", "arguments"),
    [
        (2, "there are no segments 2-3", ["cut", "v.ncv", "-k", "k.bin", "--segments", "2-3", "-o", "o.ncv"]),
        (2, "names no segments", ["cut", "v.ncv", "-k", "k.bin", "--segments", "first", "-o", "o.ncv"]),
        (2, "missing option '--segments'", ["cut", "v.ncv", "-k", "k.bin", "-o", "o.ncv"]),
        (2, "bare.ncv is bare", ["cut", "bare.ncv", "-k", "k.bin", "--segments", "0", "-o", "o.ncv"]),
        (2, "both an input and the output", ["cut", "v.ncv", "-k", "k.bin", "--segments", "0", "-o", "v.ncv", "-f"]),
        (6, "exists already", ["cut", "v.ncv", "-k", "k.bin", "--segments", "0", "-o", "bare.ncv"]),
        (2, "v.ncv repeats frames of v.ncv", ["join", "v.ncv", "v.ncv", "-k", "k.bin", "-o", "o.ncv"]),
        (2, "bare.ncv is bare", ["join", "v.ncv", "bare.ncv", "-k", "k.bin", "-o", "o.ncv"]),
        (2, "two bundles or more", ["join", "v.ncv", "-k", "k.bin", "-o", "o.ncv"]),
        (2, "absent.ncv does not exist", ["join", "v.ncv", "absent.ncv", "-k", "k.bin", "-o", "o.ncv"]),
        (4, "k.bin is not a neuralcipher bundle", ["join", "v.ncv", "k.bin", "-k", "k.bin", "-o", "o.ncv"]),
        (2, "missing option '--output'", ["join", "v.ncv", "v.ncv", "-k", "k.bin"]),
        (2, "no key was given", ["cut", "v.ncv", "--segments", "0"]),
        (2, "which a .wav file cannot hold", ["extract-audio", "v.ncv", "-k", "k.bin", "-o", "s.wav"]),
        (2, "bare.ncv is a bare bundle", ["extract-audio", "bare.ncv", "-o", "s.m4a"]),
        (6, "exists already", ["extract-audio", "v.ncv", "-k", "k.bin", "-o", "there.m4a"]),
    ],
)
def test_mistakes_are_one_sentence(ncipher: Here, code: int, sentence: str, arguments: list[str]) -> None:
    (ncipher.folder / "there.m4a").write_text("mine")
    ncipher.fails(code, sentence, *arguments)


def test_a_key_that_opens_one_of_them_is_refused_naming_the_other(ncipher: Here) -> None:
    ncipher("cut", "v.ncv", "-k", "k.bin", "--segments", "0", "-o", "a.ncv")
    ncipher("cut", "v.ncv", "-k", "other.bin", "--segments", "1", "-o", "b.ncv")
    ncipher.fails(5, "no key slot of b.ncv opens", "join", "a.ncv", "b.ncv", "-k", "k.bin", "-o", "o.ncv")
    error = json.loads(ncipher("join", "a.ncv", "b.ncv", "-k", "k.bin", "-o", "o.ncv", "--json", code=5).stdout)
    assert set(error) == {"error", "hint", "exit_code"}
    ncipher("join", "a.ncv", "b.ncv", "-k", "k.bin", "-k", "other.bin", "-o", "o.ncv")


def test_sound_alone(ncipher: Here) -> None:
    done = ncipher("extract-audio", "v.ncv", "-k", "k.bin")
    assert done.stdout.startswith("v.m4a: aac, 5.1, 48000 Hz, ")
    fields = json.loads(ncipher("extract-audio", "v.ncv", "-k", "k.bin", "-o", "s.mka", "--json").stdout)
    assert (fields["output"], fields["codec"], fields["sample_rate"]) == ("s.mka", "aac", 48000)
    ncipher("extract-audio", "bare.ncv", "--bare", "-o", "b.m4a")
    assert (ncipher.folder / "b.m4a").stat().st_size > 100

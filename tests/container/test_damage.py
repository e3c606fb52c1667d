"""Damage in every way: nothing accepted, nothing but the documented errors, no file left."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import damage
import pytest
from bundle_parts import KEY, content
from small_chunks import small_chunks

import neuralcipher
from neuralcipher.container import BundleWriter
from neuralcipher.errors import BundleError, WrongKeyError

NCIPHER = str(Path(sys.executable).with_name("ncipher"))
LEAST = {"bits flipped": 4_000, "cut at every byte": 500, "appended to": 600}


@pytest.mark.parametrize("suite", damage.SUITES)
def test_every_damage_is_refused_with_a_documented_error(suite: damage.Suite) -> None:
    with small_chunks():
        sections = damage.SECTIONS
        assert damage.outcome(damage.small_bundle(suite, sections)) == "accepted"
        assert len(damage.cut_up(damage.small_bundle(suite, sections))[1]) >= 7
    found = damage.tally(suite)
    print("\n".join(damage.lines(suite, found)))
    assert {kind: damage.wrong(counts) for kind, counts in found.items()} == dict.fromkeys(found, 0)
    for kind, counts in found.items():
        assert counts.total() >= LEAST.get(kind, 75), kind


def test_what_is_not_refused_is_counted() -> None:
    """The count itself: a whole bundle is accepted, and an exception that is not documented is seen."""
    with small_chunks():
        whole = damage.small_bundle("bare", damage.SECTIONS)
        assert damage.outcome(whole) == "accepted"
        assert damage.outcome(whole[:-1]) == "PayloadDamagedError"
    assert damage.outcome(None) == "crashed with TypeError"  # type: ignore[arg-type]
    assert damage.wrong(damage.Counter({"accepted": 2, "crashed with TypeError": 1, "LimitError": 5})) == 3


def bundle_in(folder: Path, text: str) -> bytes:
    """A sealed video of several chunks; the damage is found before its sections are looked at."""
    with (folder / "whole.ncv").open("wb") as file:
        writer = BundleWriter.create_sealed(file, [KEY])
        writer.add_section("flow", 0, content(150_000), name="mlp", frames=1)
        writer.finish({"text": text})
    data = (folder / "whole.ncv").read_bytes()
    (folder / "whole.ncv").unlink()
    return data


def sample(folder: Path) -> list[bytes]:
    """Files of each kind of damage to a bundle with chunks of the real size."""
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    one, two = bundle_in(folder, "one"), bundle_in(folder, "two")
    at, step = damage.payload_offset(one), 65_552
    files = [one[:length] for length in sorted(draw.sample(range(1, len(one)), 60))]
    for _ in range(60):
        bad = bytearray(one)
        bad[draw.randrange(len(bad))] ^= 1 << draw.randrange(8)
        files.append(bytes(bad))
    files += [one + bytes(extra) for extra in (1, 64, 65, step)]
    chunks, others = ([data[start : start + step] for start in range(at, len(data), step)] for data in (one, two))
    files += [one[:at] + b"".join([chunks[i] for i in order]) for order in [(1, 0, 2), (0, 2, 1), (2, 1, 0), (0, 2)]]
    for number in range(len(chunks)):
        files.append(one[:at] + b"".join([*chunks[:number], others[number], *chunks[number + 1 :]]))
    return [*files, one[:at] + two[at:], two[:at] + one[at:]]


def test_opening_leaves_no_file(tmp_path: Path) -> None:
    files = sample(tmp_path)
    for output in ("out.y4m", "out.mp4", "frames/"):
        for data in files:
            (tmp_path / "damaged.ncv").write_bytes(data)
            with pytest.raises((BundleError, WrongKeyError)):
                neuralcipher.open_bundle(tmp_path / "damaged.ncv", f"{tmp_path}/{output}", keys=[KEY])
            assert [entry.name for entry in tmp_path.iterdir()] == ["damaged.ncv"]
    print(f"{3 * len(files)} opened into files and folders, 0 accepted, 0 files left")


def test_the_command_says_so_in_one_sentence_and_leaves_no_file(tmp_path: Path) -> None:
    files = sample(tmp_path)
    (tmp_path / "k.bin").write_bytes(KEY.reveal())
    (tmp_path / "k.bin").chmod(0o600)
    for data in (files[10], files[70], files[-1]):  # cut, a bit flipped, spliced
        (tmp_path / "damaged.ncv").write_bytes(data)
        command = [NCIPHER, "open", "damaged.ncv", "-o", "out.mp4", "--key", "k.bin"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode in (4, 5), done.stderr
        assert done.stdout == ""
        assert "damaged.ncv" in done.stderr
        assert "Traceback" not in done.stderr
        assert sorted(entry.name for entry in tmp_path.iterdir()) == ["damaged.ncv", "k.bin"]

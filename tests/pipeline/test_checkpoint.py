"""An interrupted sealing goes on from its checkpoint; one of anything else is refused; nothing in it is clear."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import neuralcipher
from neuralcipher import Key, SealOptions
from neuralcipher.container import BundleReader
from neuralcipher.errors import CancelledError, UsageError
from neuralcipher.keys import Argon2Parameters, Passphrase
from neuralcipher.pipeline import fitting, segments
from neuralcipher.pipeline.checkpoint import checkpoint_folder
from neuralcipher.pipeline.options import Progress
from neuralcipher.video.reading import probe, read_frames

KEY = Key(bytes(range(32)))
CHEAP = Argon2Parameters(t=1, m_kib=8, p=1)
SMALL: dict[str, Any] = {
    "max_frames": 6,
    "scale": "64x-1",
    "flow_options": {"steps": 20},
    "seed": 1,
    "generator": "chacha20",
}


@pytest.fixture(autouse=True)
def three_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "_SEGMENT_FRAMES", 2)


def seal(output: Path, *, keys: Any = (KEY,), stop: Callable[[Progress], bool] | None = None, **changes: Any) -> Any:
    """Seal the demo clip; `stop` tells at which report the process is killed, as far as a test can."""

    def progress(report: Progress) -> None:
        if stop is not None and stop(report):
            raise CancelledError("stopped by the test")

    arguments = {name: changes.pop(name) for name in ("resume", "tell", "argon2", "checkpoint_s") if name in changes}
    source = changes.pop("source", neuralcipher.demo_clip())
    options = SealOptions(**{**SMALL, **changes})
    return neuralcipher.seal(source, output, keys=list(keys), options=options, progress=progress, **arguments)


def stopped(output: Path, fraction: float = 0.75, **changes: Any) -> Path:
    """A sealing that was stopped in its third segment; returns the folder of its checkpoint."""
    with pytest.raises(CancelledError):
        seal(output, stop=lambda report: report.stage == "fitting" and report.fraction > fraction, **changes)
    assert not output.exists()
    return checkpoint_folder(output)


def sections(path: Path, *keys: Any) -> list[tuple[str, int, bytes]]:
    with BundleReader.open(path) as reader:
        reader.unlock(list(keys or (KEY,)))
        return [(s.kind, s.segment, reader.read_section(s)) for s in reader.sections]


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The segments that are fitted."""
    numbers: list[int] = []
    fit = fitting.SegmentFitter.fit

    def counted(self: Any, task: Any, *arguments: Any) -> Any:
        numbers.append(task.number)
        return fit(self, task, *arguments)

    monkeypatch.setattr(fitting.SegmentFitter, "fit", counted)
    return numbers


def test_what_was_done_is_not_done_again(tmp_path: Path, fits: list[int]) -> None:
    output = tmp_path / "v.ncv"
    whole = seal(tmp_path / "whole.ncv")
    folder = stopped(output, checkpoint_s=0.0)
    assert sorted(e.name for e in folder.iterdir()) == [
        "fit-000002", "header", "identity", "lock", "segment-000000", "segment-000001",
    ]  # fmt: skip
    kept = {e.name: e.read_bytes() for e in folder.iterdir()}
    fits.clear()
    told: list[str] = []
    report = seal(output, tell=told.append)
    assert fits == [2]
    assert f"going on from {folder}" in told
    assert [entry.name for entry in sorted(tmp_path.iterdir())] == ["v.ncv", "whole.ncv"]
    assert report.psnr_db == pytest.approx(whole.psnr_db, abs=0.5)
    opened = neuralcipher.open_bundle(output, tmp_path / "o.y4m", keys=[KEY])
    assert opened.frames == 6
    with BundleReader.open(output) as reader:
        assert reader.header.salt in kept["header"]
        assert reader.header.payload_salt not in kept["header"]


@pytest.mark.parametrize("flow", ["autoencoder", "mlp"])
def test_flows_that_cannot_be_masked_anew_go_on_too(tmp_path: Path, fits: list[int], flow: str) -> None:
    output = tmp_path / "v.ncv"
    stopped(output, flow=flow)
    fits.clear()
    seal(output, flow=flow)
    assert fits == [2]
    assert neuralcipher.open_bundle(output, tmp_path / "o.y4m", keys=[KEY]).frames == 6


def test_a_bare_bundle_goes_on_too(tmp_path: Path, fits: list[int]) -> None:
    output = tmp_path / "v.ncv"
    folder = stopped(output, suite="bare")
    with pytest.raises(UsageError, match="another key"):
        seal(output, suite="bare", keys=[Key(bytes(32))])
    fits.clear()
    seal(output, suite="bare")
    assert fits == [2]
    assert not folder.exists()


def test_several_keys_must_all_be_given_again(tmp_path: Path, fits: list[int]) -> None:
    output, word = tmp_path / "v.ncv", Passphrase("open sesame")
    stopped(output, keys=[KEY, word], argon2=CHEAP)
    for keys in ([KEY], [word], [KEY, Passphrase("open barley")], [KEY, word, Key(bytes(32))]):
        with pytest.raises(UsageError, match="another key"):
            seal(output, keys=keys)
    fits.clear()
    seal(output, keys=[word, KEY])
    assert fits == [2]
    assert sections(output, word) == sections(output, KEY)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 2}, "another seed"),
        ({"flow_options": {"steps": 9}}, "another flow options"),
        ({"max_frames": 5}, "another frames or size and max frames"),
        ({"preset": "best", "aead": "aes-256-gcm"}, "another aead and preset"),
        ({"generator": "feistel"}, "another generator"),
        ({"keys": [Key(bytes(32))]}, "another key"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    output = tmp_path / "v.ncv"
    folder = stopped(output, fraction=0.4)
    before = sorted(e.name for e in folder.iterdir())
    with pytest.raises(UsageError, match=said) as caught:
        seal(output, **change)
    assert "--no-resume" in caught.value.hint
    assert sorted(e.name for e in folder.iterdir()) == before
    assert not output.exists()


def test_a_checkpoint_of_another_video_or_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "v.ncv"
    stopped(output, fraction=0.4)
    other = tmp_path / "other.mp4"
    data = bytearray(Path(neuralcipher.demo_clip()).read_bytes())
    data += bytes(8)  # plays as before
    other.write_bytes(data)
    with pytest.raises(UsageError, match="another video"):
        seal(output, source=other)
    monkeypatch.setattr(neuralcipher, "__version__", "9.9")
    with pytest.raises(UsageError, match="another version of neuralcipher"):
        seal(output)


def test_beginning_anew_drops_the_checkpoint(tmp_path: Path, fits: list[int]) -> None:
    output = tmp_path / "v.ncv"
    folder = stopped(output)
    fits.clear()
    seal(output, resume=False, keys=[Key(bytes(32))])
    assert fits == [0, 1, 2]
    assert not folder.exists()


def test_every_damaged_file_is_refused(tmp_path: Path) -> None:
    output = tmp_path / "v.ncv"
    folder = stopped(output, checkpoint_s=0.0)
    for name in ("header", "identity", "segment-000001", "fit-000002"):
        path = folder / name
        good = path.read_bytes()
        for at in (0, 20, len(good) // 2, len(good) - 1):
            path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
            with pytest.raises(UsageError, match="damaged"):
                seal(output)
        path.write_bytes(good[:10])
        with pytest.raises(UsageError, match="damaged"):
            seal(output)
        path.write_bytes(good)
    shutil.copy(folder / "segment-000000", folder / "segment-000001")  # moved, not changed
    with pytest.raises(UsageError, match="damaged in segment-000001"):
        seal(output)


def test_nothing_in_it_is_clear_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    whole = tmp_path / "whole.ncv"
    seal(whole, suite="bare")  # what it would look like in clear
    folder = stopped(tmp_path / "v.ncv", checkpoint_s=0.0)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for entry in folder.iterdir():
        assert stat.S_IMODE(entry.stat().st_mode) == 0o600
        data = entry.read_bytes()
        for word in (b"demo", b"latent", b"feistel", b"seed", b"attempt", KEY.reveal(), b"NUMPY"):
            assert word not in data or (entry.name == "header" and word in (b"latent",)), (entry.name, word)


def test_a_checkpoint_in_use_is_left_alone(tmp_path: Path) -> None:
    output = tmp_path / "v.ncv"
    folder = stopped(output, fraction=0.4)
    import fcntl

    with (folder / "lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for resume in (True, False):
            with pytest.raises(UsageError, match="another process is at work"):
                seal(output, resume=resume)
    assert (folder / "segment-000000").exists()


def test_a_checkpoint_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    output = tmp_path / "v.ncv"
    checkpoint_folder(output).write_text("a file is in the way")
    told: list[str] = []
    seal(output, tell=told.append)
    assert sum("nothing is kept" in sentence for sentence in told) == 1
    assert checkpoint_folder(output).read_text() == "a file is in the way"


def test_a_killed_process_is_gone_on_from(tmp_path: Path, fits: list[int]) -> None:
    """kill -9, then the same command: the frames of the bundle are as good as without it."""
    output = tmp_path / "v.ncv"
    program = (
        "import sys, neuralcipher; from neuralcipher import Key, SealOptions\n"
        "from neuralcipher.pipeline import segments\n"
        "segments._SEGMENT_FRAMES = 2\n"
        "options = SealOptions(max_frames=6, scale='64x-1', flow_options={'steps': 60}, seed=1,"
        " generator='chacha20')\n"
        "neuralcipher.seal(neuralcipher.demo_clip(), sys.argv[1], keys=[Key(bytes(range(32)))], options=options,"
        " checkpoint_s=0.0)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(output)])
    folder, deadline = checkpoint_folder(output), time.monotonic() + 600
    while not (folder / "segment-000000").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not output.exists()
    finished = {path.name for path in folder.glob("segment-*")}
    assert finished
    report = seal(output, flow_options={"steps": 60})
    assert fits == [number for number in range(3) if f"segment-{number:06}" not in finished]
    for leftover in tmp_path.glob(".v.ncv.*.part"):  # of the killed process: its name says what it is
        leftover.unlink()
    assert [entry.name for entry in tmp_path.iterdir()] == ["v.ncv"]
    truth = probe(neuralcipher.demo_clip(), scale="64x-1", max_frames=6)
    neuralcipher.open_bundle(output, tmp_path / "o.y4m", keys=[KEY])
    assert len(list(read_frames(tmp_path / "o.y4m", probe(tmp_path / "o.y4m")))) == truth.info.frames
    assert report.psnr_db > 25

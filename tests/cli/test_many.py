"""`ncipher seal` of several videos: what is finished stays, what cannot be sealed is said, and the rest goes on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from in_process import Here

import neuralcipher
from neuralcipher import Key, Passphrase
from neuralcipher.cli import credentials
from neuralcipher.errors import WriteError
from neuralcipher.pipeline import sealing
from neuralcipher.pipeline.fitting import SegmentFitter
from neuralcipher.pipeline.job import Job

FAST = [
    "--max-frames",
    "2",
    "--scale",
    "32x-1",
    "--flow",
    "mlp",
    "-O",
    "steps=0",
    "--generator",
    "chacha20",
    "-k",
    "k.bin",
]


@pytest.fixture
def ncipher(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Here:
    """A folder of two videos, one that is none, and a key."""
    work = tmp_path / "work"
    work.mkdir()
    for name in ("a.mp4", "b.mp4"):
        shutil.copy(neuralcipher.demo_clip(), work / name)
    (work / "bad.mp4").write_text("not a video\n" * 50)
    Key(bytes(range(32))).write(work / "k.bin")
    return Here(work, capsys)


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_bad_file_is_no_end(ncipher: Here) -> None:
    done = ncipher("seal", "a.mp4", "bad.mp4", "b.mp4", "gone.mp4", *FAST, "--output-dir", "new/out", code=1)
    assert sorted(entry.name for entry in (ncipher.folder / "new/out").iterdir()) == ["a.ncv", "b.ncv"]
    assert "2 of 4 videos could not be sealed: bad.mp4, gone.mp4" in done.stderr
    assert "bad.mp4 is not a video that can be decoded" in done.stderr
    assert "the video gone.mp4 does not exist" in done.stderr
    table = done.stdout
    assert all(name in table for name in ("a.mp4", "b.mp4", "bad.mp4", "gone.mp4", "failed"))
    ncipher("open", "new/out/b.ncv", "-k", "k.bin", "-o", "b.y4m")


def test_json_is_one_line_a_video(ncipher: Here) -> None:
    arguments = ["seal", "a.mp4", "bad.mp4", *FAST, "--output-dir", "out", "--json"]
    found = lines(ncipher(*arguments, code=1).stdout)
    assert [line["file"] for line in found] == ["a.mp4", "bad.mp4"]
    assert found[0]["bundle"] == "out/a.ncv"
    assert found[0]["frames"] == 2
    assert set(found[1]) == {"file", "error", "hint", "exit_code"}
    assert found[1]["exit_code"] == 4
    before = (ncipher.folder / "out/a.ncv").read_bytes()
    found = lines(ncipher(*arguments, code=1).stdout)
    assert [line["exit_code"] for line in found] == [6, 4]
    assert "out/a.ncv exists already" in found[0]["error"]
    found = lines(ncipher("seal", "a.mp4", "b.mp4", *arguments[3:], "--skip-existing").stdout)
    assert found[0] == {"file": "a.mp4", "bundle": "out/a.ncv", "skipped": True}
    assert found[1]["bundle"] == "out/b.ncv"
    assert (ncipher.folder / "out/a.ncv").read_bytes() == before
    ncipher(*(argument for argument in arguments if argument != "bad.mp4"), "--force")
    assert (ncipher.folder / "out/a.ncv").read_bytes() != before


def test_names_that_collide_are_refused_before_anything_is_sealed(ncipher: Here) -> None:
    (ncipher.folder / "deep").mkdir()
    shutil.copy(ncipher.folder / "a.mp4", ncipher.folder / "deep/a.mp4")
    for pair in (("a.mp4", "deep/a.mp4"), ("a.mp4", "a.mkv")):
        done = ncipher.fails(2, "would both become out/a.ncv", "seal", *pair, *FAST, "--output-dir", "out")
        assert all(name in done.stderr for name in pair)


def test_the_same_video_twice_is_sealed_once(ncipher: Here) -> None:
    done = ncipher("seal", "a.mp4", "./a.mp4", "a.mp4", *FAST, "--output-dir", "out", "--json")
    assert len(lines(done.stdout)) == 1
    assert "given more than once is sealed once" in done.stderr


@pytest.mark.parametrize(
    ("sentence", "arguments"),
    [
        ("2 videos cannot be sealed into one bundle", ["a.mp4", "b.mp4"]),
        ("2 videos cannot be sealed into one bundle", ["a.mp4", "b.mp4", "-o", "x.ncv"]),
        ("--output and --output-dir cannot be given together", ["a.mp4", "-o", "x.ncv", "--output-dir", "out"]),
        ("--skip-existing goes with --output-dir", ["a.mp4", "--skip-existing"]),
        ("contradict each other", ["a.mp4", "--skip-existing", "--force", "--output-dir", "out"]),
        ("k.bin is no folder", ["a.mp4", "--output-dir", "k.bin"]),
        ("the folder k.bin/out cannot be made", ["a.mp4", "--output-dir", "k.bin/out"]),
        ("no flow is called", ["a.mp4", "bad.mp4", "--output-dir", "out", "--flow", "latnet"]),
        ("has no option 'nconv'", ["a.mp4", "b.mp4", "--output-dir", "out", "-O", "nconv=3"]),
    ],
)
def test_what_can_be_known_before_is_refused_once_and_before(
    ncipher: Here, sentence: str, arguments: list[str]
) -> None:
    done = ncipher.fails(2, sentence, "seal", *FAST, *arguments)
    assert done.stderr.count("error:") == 1


def test_a_folder_that_was_made_for_nothing_is_gone(ncipher: Here) -> None:
    ncipher.fails(1, "1 of 1 videos could not be sealed", "seal", "bad.mp4", *FAST, "--output-dir", "new/out")


def test_an_output_is_never_another_input(ncipher: Here) -> None:
    shutil.copy(ncipher.folder / "b.mp4", ncipher.folder / "a.ncv")
    done = ncipher("seal", "a.mp4", "a.ncv", *FAST, "--output-dir", ".", "--force", code=2)
    assert "would both become a.ncv" in done.stderr
    (ncipher.folder / "deep").mkdir()
    (ncipher.folder / "b.mp4").rename(ncipher.folder / "deep/b.mp4")
    shutil.move(ncipher.folder / "a.ncv", ncipher.folder / "b.ncv")
    before = (ncipher.folder / "b.ncv").read_bytes()
    ncipher("seal", "b.ncv", *FAST, "--output-dir", ".", "--force", code=1)
    assert (ncipher.folder / "b.ncv").read_bytes() == before


def test_an_interrupt_stops_at_once_and_says_how_many_stay(ncipher: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    """^C in the second of three, in the middle of its fit."""
    begun: list[str] = []
    write = Job.write

    def interrupted(self: Job, *more: Any) -> Any:
        begun.append(self.source.path.name)
        if begun[-1] == "b.mp4":
            raise KeyboardInterrupt
        return write(self, *more)

    monkeypatch.setattr(Job, "write", interrupted)
    shutil.copy(ncipher.folder / "a.mp4", ncipher.folder / "c.mp4")
    arguments = ["seal", "a.mp4", "b.mp4", "c.mp4", *FAST, "--output-dir", "out"]
    done = ncipher(*arguments, code=130)
    assert begun == ["a.mp4", "b.mp4"]
    assert "interrupted, 1 of 3 videos are sealed and stay; nothing unfinished was left behind" in done.stderr
    assert [entry.name for entry in (ncipher.folder / "out").iterdir()] == ["a.ncv"]
    found = lines(ncipher(*arguments, "--json", "--skip-existing", code=130).stdout)
    assert found[0]["skipped"] is True
    assert found[1]["exit_code"] == 130


def test_an_unfinished_video_goes_on_where_it_was(ncipher: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted after a segment was kept, the same command does not fit that segment again."""
    fitted: list[int] = []
    fit = SegmentFitter.fit

    def stopped(self: Any, task: Any, *more: Any) -> Any:
        if task.number == 1 and len(fitted) == 1:
            raise KeyboardInterrupt
        fitted.append(task.number)
        return fit(self, task, *more)

    monkeypatch.setattr(SegmentFitter, "fit", stopped)
    arguments = ["seal", "a.mp4", *FAST, "--segment-frames", "1", "--jobs", "1", "--output-dir", "out"]
    done = ncipher(*arguments, code=130)
    assert "0 of 1 videos are sealed and stay; out/a.ncv.checkpoint keeps what was done" in done.stderr
    fitted.append(-1)
    done = ncipher(*arguments)
    assert fitted == [0, -1, 1]
    assert "going on from out/a.ncv.checkpoint" in done.stderr
    assert [entry.name for entry in (ncipher.folder / "out").iterdir()] == ["a.ncv"]


def test_a_disk_that_cannot_be_written_ends_it(ncipher: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise WriteError("out/a.ncv could not be written: the disk is full", hint="free some space")

    monkeypatch.setattr(sealing, "seal", full)
    done = ncipher("seal", "a.mp4", "b.mp4", *FAST, "--output-dir", "out", "--json", code=1)
    found = lines(done.stdout)
    assert [line["file"] for line in found] == ["a.mp4", "b.mp4"]
    assert "the disk is full" in found[0]["error"]
    assert "not begun" in found[1]["error"]
    assert "2 of 2 videos could not be sealed" in done.stderr


def test_a_passphrase_is_asked_for_once(ncipher: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def ask(*, confirm: bool) -> Passphrase:
        asked.append(confirm)
        return Passphrase("seven words that nobody would choose")

    monkeypatch.setattr(credentials, "ask_passphrase", ask)
    ncipher("seal", "a.mp4", "b.mp4", *FAST[:-2], "--passphrase", "--output-dir", "out")
    assert asked == [True]


def test_one_video_without_a_folder_is_as_before(ncipher: Here) -> None:
    report = json.loads(ncipher("seal", "a.mp4", *FAST, "--json").stdout)
    assert report["bundle"] == "a.ncv"
    assert "file" not in report
    assert ncipher("seal", "b.mp4", *FAST).stdout.startswith("b.ncv: ")
    ncipher.fails(4, "bad.mp4 is not a video", "seal", "bad.mp4", *FAST)

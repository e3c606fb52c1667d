"""`ncipher report`: one page on a bundle, true to what sealing measured, and nothing half-written."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_process import Here, contents
from PIL import Image

import neuralcipher
from neuralcipher import Key, SealOptions
from neuralcipher.container import BundleReader
from neuralcipher.pipeline.examining import REST, examine

KEY = Key(b"canary-of-the-key-file-32-bytes!")
FRAMES, PART = 48, 24
QUICK = {"flow": "mlp", "flow_options": {"steps": 0}, "generator": "chacha20", "scale": "32x-1"}
PAGE = "video.report.html"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """Two segments and the clip's sound, which takes more than a chunk."""
    folder = tmp_path_factory.mktemp("made")
    options = SealOptions(**QUICK, max_frames=FRAMES, segment_frames=PART)
    return folder, neuralcipher.seal(neuralcipher.demo_clip(), folder / "video.ncv", keys=[KEY], options=options)


@pytest.fixture
def ncipher(made: tuple[Path, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Here:
    work = tmp_path / "work"
    work.mkdir()
    shutil.copy(made[0] / "video.ncv", work / "video.ncv")
    shutil.copy(neuralcipher.demo_clip(), work / "video.mp4")
    KEY.write(work / "k.bin")
    Key(bytes(range(32))).write(work / "other.bin")
    return Here(work, capsys)


def text_of(page: str) -> str:
    """What a reader sees of a page: text between tags, spaces run together."""
    body = page.partition("<body>")[2]
    return " ".join(re.sub(r"<[^>]*>", " ", body).split())


def damaged(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_a_page_without_an_original(ncipher: Here) -> None:
    done = ncipher("report", "video.ncv", "-k", "k.bin")
    assert done.stdout.startswith(f"{PAGE}: ")
    assert done.stdout.rstrip().endswith("; video.ncv: whole")
    page = (ncipher.folder / PAGE).read_text(encoding="utf-8")
    text = text_of(page)
    for words in (
        "Whole: every chunk and section was checked.",
        "48 of 32x18",
        "version 1, suite sealed, chacha20-poly1305",
        "1: key",
        "generator chacha20 flow mlp",
        "sound aac, 48,000 Hz",
        "frame 47, ",
        "Not measured: --video ORIGINAL",
        "No attack was run",
        "0 to 23",
        "24 to 47",
    ):
        assert words in text, words
    assert page.count("<img ") == 6
    assert "default-src &#x27;none&#x27;" in page
    assert "<script" not in page
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", page)


def test_no_secret_is_in_it(ncipher: Here) -> None:
    ncipher("report", "video.ncv", "-k", "k.bin", "--video", "video.mp4")
    page = (ncipher.folder / PAGE).read_bytes()
    with BundleReader.open(ncipher.folder / "video.ncv") as reader:
        reader.unlock([KEY])
        for secret in (KEY.reveal(), reader.bundle_key.reveal()):
            assert secret not in page
            assert secret.hex().encode() not in page


def test_the_quality_is_what_sealing_measured(ncipher: Here, made: tuple[Path, Any]) -> None:
    arguments = ("report", "video.ncv", "-k", "k.bin", "--video", "video.mp4", "-o", "r.html", "--json")
    found = json.loads(ncipher(*arguments).stdout)
    sealed = made[1]
    assert (found["report"], found["whole"], found["frames"]) == ("r.html", True, FRAMES)
    assert found["psnr_db"] == pytest.approx(sealed.psnr_db, abs=0.002)
    assert found["ms_ssim"] == pytest.approx(sealed.ms_ssim, abs=1e-4)
    page = (ncipher.folder / "r.html").read_text(encoding="utf-8")
    assert f"{sealed.psnr_db:.2f} dB against video.mp4." in text_of(page)
    assert page.count("<img ") == 12
    assert "PSNR by frame" in page


def test_the_parts_add_up(ncipher: Here) -> None:
    path = ncipher.folder / "video.ncv"
    found = examine(path, keys=[KEY], original=ncipher.folder / "video.mp4")
    shares = {share.kind: share.size_bytes for share in found.shares}
    assert sum(shares.values()) == path.stat().st_size == found.size_bytes
    assert shares[REST] > 0
    pictures = found.size_bytes - shares["audio"]
    assert found.bits_per_pixel == pytest.approx(8 * pictures / (FRAMES * 32 * 18))
    assert found.ratio == pytest.approx(FRAMES * 32 * 18 * 3 / pictures)
    assert found.fit is not None
    assert found.fit.quality is not None
    assert len(found.fit.frames) == FRAMES
    assert np.mean([frame.psnr_db for frame in found.fit.frames]) == pytest.approx(found.fit.quality.psnr_db)
    assert np.mean([frame.ssim for frame in found.fit.frames]) == pytest.approx(found.fit.quality.ssim)
    whole = [frame.psnr_db for frame in found.fit.frames]
    neuralcipher.cut(path, ncipher.folder / "end.ncv", keys=[KEY], segments="1-")
    end = examine(ncipher.folder / "end.ncv", keys=[KEY], original=ncipher.folder / "video.mp4")
    assert end.fit is not None
    assert [frame.psnr_db for frame in end.fit.frames] == whole[PART:]


def test_sizes_that_were_rounded_when_it_was_sealed(ncipher: Here) -> None:
    """16:9 becomes 48x28, which bends a pixel by 4 % when it is asked for by both numbers."""
    options = SealOptions(**{**QUICK, "scale": "48x-1"}, max_frames=2)
    sealed = neuralcipher.seal(ncipher.folder / "video.mp4", ncipher.folder / "b.ncv", keys=[KEY], options=options)
    assert (sealed.width, sealed.height) == (48, 28)
    found = json.loads(ncipher("report", "b.ncv", "-k", "k.bin", "--video", "video.mp4", "--json").stdout)
    assert found["psnr_db"] == pytest.approx(sealed.psnr_db, abs=0.002)


def pictures(folder: Path, width: int, height: int, count: int) -> None:
    folder.mkdir()
    for number in range(count):
        Image.new("RGB", (width, height), (number, 0, 0)).save(folder / f"{number}.png")


def test_a_video_that_does_not_fit(ncipher: Here) -> None:
    pictures(ncipher.folder / "few", 64, 36, 5)
    pictures(ncipher.folder / "tall", 36, 64, FRAMES)
    ncipher("open", "video.ncv", "-k", "k.bin", "--frames", "0:30", "-o", "short.mkv")
    arguments = ("report", "video.ncv", "-k", "k.bin", "--video")
    ncipher.fails(2, "few is not what video.ncv was sealed from: it has 5 frames", *arguments, "few")
    ncipher.fails(2, "short.mkv is not what video.ncv was sealed from: it has 30 frames", *arguments, "short.mkv")
    ncipher.fails(2, "tall is not what video.ncv was sealed from: its pictures have another shape", *arguments, "tall")
    ncipher.fails(4, "k.bin is not a video", *arguments, "k.bin")
    ncipher.fails(2, "the video gone.mp4 does not exist", *arguments, "gone.mp4")


def test_other_times_are_another_video(ncipher: Here) -> None:
    """The same frames at half the speed."""
    ncipher("open", "video.ncv", "-k", "k.bin", "-o", "same.y4m")
    ncipher("report", "video.ncv", "-k", "k.bin", "--video", "same.y4m", "-o", "same.html")
    data = (ncipher.folder / "same.y4m").read_bytes()
    slow = re.sub(rb" F(\d+):(\d+)", lambda rate: b" F%d:%d" % (int(rate[1]), 2 * int(rate[2])), data, count=1)
    assert slow != data
    (ncipher.folder / "slow.y4m").write_bytes(slow)
    ncipher.fails(2, "frame 1 is shown at another time", "report", "video.ncv", "-k", "k.bin", "--video", "slow.y4m")


def test_what_was_joined_of_several_videos_has_no_original(ncipher: Here) -> None:
    folder = ncipher.folder
    options = SealOptions(**QUICK, max_frames=2)
    neuralcipher.seal(folder / "video.mp4", folder / "b.ncv", keys=[KEY], options=options)
    neuralcipher.join([folder / "b.ncv", folder / "video.ncv"], folder / "both.ncv", keys=[KEY])
    ncipher.fails(2, "joined from several videos", "report", "both.ncv", "-k", "k.bin", "--video", "video.mp4")
    ncipher("report", "both.ncv", "-k", "k.bin")


def test_bad_input_is_found_out_before_the_work(ncipher: Here) -> None:
    ncipher.fails(5, "no key slot of video.ncv opens", "report", "video.ncv", "-k", "other.bin")
    ncipher.fails(2, "no key was given", "report", "video.ncv")
    ok = ("report", "video.ncv", "-k", "k.bin")
    for same in ("video.ncv", "k.bin", "video.mp4"):
        ncipher.fails(2, "both an input and the output", *ok, "--video", "video.mp4", "-o", same, "--force")
    ncipher.fails(2, "the folder of gone/r.html does not exist", *ok, "-o", "gone/r.html")
    ncipher.fails(6, "k.bin exists already", "report", "video.ncv", "-k", "other.bin", "-o", "k.bin")
    (ncipher.folder / PAGE).write_text("mine")
    ncipher.fails(6, f"{PAGE} exists already", *ok)
    ncipher(*ok, "--force")
    assert "<html" in (ncipher.folder / PAGE).read_text()


@pytest.mark.parametrize(
    ("sentence", "arguments"),
    [
        ("'slow' is not a depth of attack", ["--attack", "slow"]),
        ("--attack and --attack-report cannot be given together", ["--attack", "quick", "--attack-report", "r.json"]),
        ("and nothing is attacked", ["--assume-opened"]),
        ("jobs must be 1 or more, not 0", ["--attack", "quick", "--jobs", "0"]),
        ("no attack is called 'avalanch'", ["--attack", "quick", "--only", "avalanch"]),
        ("the attack report r.json does not exist", ["--attack-report", "r.json"]),
    ],
)
def test_options_that_do_not_go_together(ncipher: Here, sentence: str, arguments: list[str]) -> None:
    ncipher.fails(2, sentence, "report", "video.ncv", "-k", "k.bin", *arguments)


def test_a_damaged_section_is_told(ncipher: Here) -> None:
    path = ncipher.folder / "video.ncv"
    with BundleReader.open(path) as reader:
        reader.unlock([KEY])
        assert all(section.offset < 65_536 for section in reader.sections if section.kind == "flow")
        damaged(path, reader.payload_offset + 100)
    done = ncipher("report", "video.ncv", "-k", "k.bin", "--video", "video.mp4", "--json", code=4)
    found = json.loads(done.stdout)
    assert (found["whole"], found["psnr_db"]) == (False, None)
    text = text_of((ncipher.folder / PAGE).read_text(encoding="utf-8"))
    assert "1 problem found." in text
    assert "the payload of video.ncv is damaged at byte" in text
    assert "frame 0 cannot be shown: its segment is damaged" in text
    assert "Not measured: no frame could be opened." in text
    assert set(contents(ncipher.folder)) == {PAGE, "k.bin", "other.bin", "video.mp4", "video.ncv"}


def test_a_damaged_sound_hides_no_picture(ncipher: Here) -> None:
    path = ncipher.folder / "video.ncv"
    with BundleReader.open(path) as reader:
        reader.unlock([KEY])
        sound = reader.section("audio")
        assert sound is not None
        chunk = -(-sound.offset // 65_536)  # all of it is sound
        assert (chunk + 1) * 65_536 < sound.offset + sound.length
        damaged(path, reader.payload_offset + chunk * 65_552 + 10)
    ncipher("report", "video.ncv", "-k", "k.bin", "-o", "r.html", code=4)
    page = (ncipher.folder / "r.html").read_text(encoding="utf-8")
    assert page.count("<img ") == 6
    assert "sound cannot be read" in text_of(page)
    assert "(hits audio 0)" in text_of(page)


def test_without_a_directory_there_is_no_page(ncipher: Here) -> None:
    path = ncipher.folder / "video.ncv"
    damaged(path, path.stat().st_size - 40)
    ncipher.fails(4, "damaged in its last chunk", "report", "video.ncv", "-k", "k.bin")


def test_attacks_are_summed_up(ncipher: Here) -> None:
    """A finished report is taken, if it is about this very file; a run of its own finds the same."""
    alone = ("--only", "avalanche", "--assume-opened", "--jobs", "1")
    ncipher("attack", "video.ncv", "-k", "k.bin", *alone, "--json", "r.json", code=None)
    kept = json.loads((ncipher.folder / "r.json").read_text())
    arguments = ("report", "video.ncv", "-k", "k.bin", "--json")
    taken = json.loads(ncipher(*arguments, "--attack-report", "r.json", "-o", "taken.html").stdout)
    run = json.loads(ncipher(*arguments, "--attack", "quick", *alone, "-o", "run.html").stdout)
    assert taken["attack_verdict"] == run["attack_verdict"] == kept["verdict"]
    for name in ("taken.html", "run.html"):
        text = text_of((ncipher.folder / name).read_text(encoding="utf-8"))
        assert f"{kept['verdict']}." in text
        assert f"avalanche {kept['attacks'][0]['verdict']}" in text
        assert "That the target is secure." in text  # among what it does not show
        assert "looked behind the outer encryption" in text
    ncipher("rekey", "video.ncv", "-k", "k.bin", "--add-key", "other.bin")
    ncipher.fails(2, "r.json is about another state of video.ncv", *arguments[:-1], "--attack-report", "r.json")
    ncipher("attack", "--generator", "chacha20", "--shape", "3x16x16", *alone[:2], "--jobs", "1", "--json", "g.json")
    ncipher.fails(2, "g.json is about chacha20, not about video.ncv", *arguments[:-1], "--attack-report", "g.json")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": "neuralcipher.attack/1"}', "[" * 100_000])
def test_what_is_no_report_of_attacks(ncipher: Here, text: str) -> None:
    (ncipher.folder / "r.json").write_text(text)
    ncipher.fails(4, "r.json", "report", "video.ncv", "-k", "k.bin", "--attack-report", "r.json")


def test_a_bare_bundle_says_what_that_means(ncipher: Here) -> None:
    options = SealOptions(
        flow="autoencoder",
        flow_options={"nconv": 2, "steps": 0},
        generator="chacha20",
        scale="32x16",
        max_frames=2,
        suite="bare",
    )
    neuralcipher.seal(ncipher.folder / "video.mp4", ncipher.folder / "b.ncv", keys=[KEY], options=options)
    ncipher("report", "b.ncv", "-k", "k.bin", "-o", "b.html")
    text = text_of((ncipher.folder / "b.html").read_text(encoding="utf-8"))
    assert "anyone may have made or changed the bundle" in text
    assert "key slots none" in text
